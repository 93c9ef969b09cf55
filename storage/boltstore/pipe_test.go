//go:build unix && !aix && !illumos && !solaris

package boltstore

import (
	"path/filepath"
	"syscall"
	"testing"
)

// To open a pipe for reading waits for a writer: Open must not get that far.
func TestOpenRefusesAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	_, err := Open(path, Options{})
	errorSays(t, err, path, "not a regular file")
}
