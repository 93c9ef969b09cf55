//go:build !unix

package boltstore

import "os"

// keepOwner does nothing: here access is inherited from the directory.
func keepOwner(string, *os.File) error { return nil }
