package boltstore

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

func TestReadOnlyWritesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "test.db")
	s := openStore(t, path, unswept)
	rev := put(t, s, record("a", "term"))
	expired := record("expired")
	expired.Expiry = time.Now().Add(-time.Hour)
	put(t, s, expired)
	closeStore(t, s)
	if err := os.Chmod(path, 0o640); err != nil { // which is not tightened either
		t.Fatal(err)
	}
	before, content := dirContent(t, dir), read(t, path)

	s = openStore(t, path, Options{ReadOnly: true})
	has(t, s, "a")
	lacks(t, s, "expired")
	for name, write := range map[string]func() error{
		"create": func() error { _, err := s.CompareAndSwap(t.Context(), "b", 0, record("b")); return err },
		"change": func() error { _, err := s.CompareAndSwap(t.Context(), "a", rev, record("a")); return err },
		"delete": func() error { return s.Delete(t.Context(), "a", rev) },
		"replace": func() error {
			return s.Replace(t.Context(), func(yield func(storage.Record, error) bool) { yield(record("b"), nil) })
		},
	} {
		if err := write(); !errors.Is(err, storage.ErrReadOnly) {
			t.Errorf("%s: %v, want %v", name, err, storage.ErrReadOnly)
		}
	}
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	closeStore(t, s)
	if after := dirContent(t, dir); after != before {
		t.Errorf("the directory holds\n%s\nand before\n%s", after, before)
	}
	if !bytes.Equal(read(t, path), content) {
		t.Error("the file was written to")
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestReadOnlyBesideAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	closeStore(t, openStore(t, path, unswept))
	reader := openStore(t, path, Options{ReadOnly: true})
	closeStore(t, openStore(t, path, Options{ReadOnly: true}))
	_, err := Open(path, Options{LockTimeout: -1})
	errorSays(t, err, path, "is locked by another process")
	closeStore(t, reader)
	writer := openStore(t, path, unswept)
	_, err = Open(path, Options{ReadOnly: true, LockTimeout: -1})
	errorSays(t, err, path, "is locked by another process")
	closeStore(t, writer)
}

func TestReadOnlyMakesNoFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	if _, err := Open(filepath.Join(dir, "test.db"), Options{ReadOnly: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory: %v", err)
	}
}
