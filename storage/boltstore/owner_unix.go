//go:build unix

package boltstore

import (
	"errors"
	"os"
	"syscall"
)

// keepOwner gives a file the owner of another: an administrator's command must not lock the server
// out.
func keepOwner(path string, like *os.File) error {
	info, err := like.Stat()
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("cannot be told")
	}
	return os.Chown(path, int(owner.Uid), int(owner.Gid))
}
