package newfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// maxLinks is how many symbolic links may point on to a file, as on Linux.
const maxLinks = 40

// Resolve returns the absolute path without symbolic links, as far as it exists. So a file has one
// name, however it is written. A link to a file that is missing stands for that file: it is made
// where the link points to.
func Resolve(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return resolve(path, maxLinks)
}

func resolve(path string, links int) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		return real, nil
	}
	parent := filepath.Dir(path)
	if !errors.Is(err, fs.ErrNotExist) || parent == path {
		return "", err
	}
	if parent, err = resolve(parent, links); err != nil {
		return "", err
	}
	path = filepath.Join(parent, filepath.Base(path))
	target, err := os.Readlink(path)
	if err != nil {
		return path, nil // it is no link
	}
	if links == 0 {
		return "", &fs.PathError{Op: "resolve", Path: path, Err: errors.New("too many symbolic links")}
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(parent, target)
	}
	return resolve(filepath.Clean(target), links-1)
}
