// Package newfile makes files that are there whole or not at all, and never in the place of another.
package newfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// mode lets nobody but the owner read or write.
const mode = 0o600

// Create makes a file at path, and the directories above it. One that another process has made there
// in the meantime stays, which is no error: the caller looks at what is there.
//
// The file is made under another name, as an empty one of mode 0600 that fill fills and brings to
// disk, and appears at path when it is complete: a crash at any moment leaves no half-made file that
// would be refused ever after.
func Create(path string, fill func(temp string) error) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".new-*") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	if err := temp.Close(); err != nil {
		return err
	}
	if err := fill(temp.Name()); err != nil {
		return err
	}
	if err := publish(temp.Name(), path, os.Link); err != nil {
		return err
	}
	return SyncDir(dir)
}

// Write makes a file at path with the content, as Create does.
func Write(path string, content []byte) error {
	return Create(path, func(temp string) error {
		f, err := os.OpenFile(temp, os.O_WRONLY, mode)
		if err != nil {
			return err
		}
		_, err = f.Write(content)
		return errors.Join(err, f.Sync(), f.Close())
	})
}

// publish gives the file temp the name path too, unless there is one of that name: unlike a
// rename, a link replaces nothing, so that of two processes that start at once both end up with
// the same file. Where the file system knows no links, a copy into a file that is opened
// exclusively keeps that promise, if not the one about crashes.
func publish(temp, path string, link func(from, to string) error) error {
	err := link(temp, path)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	content, err := os.ReadFile(temp)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		_ = os.Remove(path)
	}
	return err
}

// SyncDir brings the names in a directory to disk. Windows does that by itself, and cannot be asked to.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
