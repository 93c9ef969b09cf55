package boltstore

import (
	"fmt"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"
)

// A commit writes to pages that are not in use, also one that only deletes. So that sessions can be
// ended when the disk is full, the end of the file is kept ahead of what is in use, and only writes
// that add little may use this reserve. What they free serves the next ones.
const (
	reserveBytes = 1 << 20

	// maxUnreserved is how many bytes a write may add to the reserve's account: as much as a note that
	// sessions have ended, and less than a session.
	maxUnreserved = 384
)

// keepReserve makes sure that the file has the reserve beyond what a transaction uses.
func (s *Store) keepReserve(tx *bbolt.Tx) error {
	end := tx.Size()
	if s.room >= end+reserveBytes {
		return nil
	}
	// Twice as much, so that it is not done for each commit.
	from, to := max(s.room, end), end+2*reserveBytes
	err := s.occupy(from, to)
	if (err != nil) != s.full {
		s.full = err != nil
		if err != nil {
			s.log.Error("the disk is full: sessions can be ended, and nobody can sign in", zap.String("path", s.file.path), zap.Error(err))
		} else {
			s.log.Info("the disk has room again", zap.String("path", s.file.path))
		}
	}
	if err != nil {
		return fmt.Errorf("keep a reserve: %w", err)
	}
	s.room = to
	return nil
}

// occupy takes room on the disk for a part of the file that is not in use.
func (f file) occupy(from, to int64) error {
	_, err := f.raw.WriteAt(make([]byte, to-from), from)
	return err
}
