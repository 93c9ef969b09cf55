package newfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

func TestPublishWithoutLinks(t *testing.T) {
	noLinks := func(string, string) error { return errors.New("operation not supported") }
	for name, link := range map[string]func(string, string) error{"link": os.Link, "copy": noLinks} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			temp, path := filepath.Join(dir, "temp"), filepath.Join(dir, "test.db")
			content := func(want string) {
				t.Helper()
				if got, err := os.ReadFile(path); err != nil || string(got) != want {
					t.Errorf("there is %q, %v; want %q", got, err, want)
				}
			}
			for _, attempt := range []string{"first", "second"} {
				if err := os.WriteFile(temp, []byte(attempt), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := publish(temp, path, link); err != nil {
					t.Fatal(err)
				}
				content("first") // also when another process was quicker
				if err := os.Remove(temp); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestCreateLeavesNothingHalfMade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "test")
	broken := errors.New("disk full")
	err := Create(path, func(temp string) error {
		if err := os.WriteFile(temp, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the file is there before it is complete: %v", err)
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "test")
	for _, attempt := range []string{"first", "second"} {
		if err := Write(path, []byte(attempt)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != "first" {
			t.Errorf("there is %q, %v", got, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
}
