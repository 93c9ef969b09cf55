package boltstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/newfile"
)

// A file never shrinks by itself. Open writes one that is mostly free pages anew, unless that would
// take long.
const (
	maxCompactedBytes = 1 << 30  // of what is in use, so that Open takes seconds at most
	compactChunkBytes = 16 << 20 // of one transaction
)

// compactIfSparse returns the file as it is or, where more than half of it is free, a smaller one in
// its place with the same content. If anything goes wrong the file stays as it is: it is in order.
func (f file) compactIfSparse(opts Options) file {
	log := opts.Logger.With(zap.String("path", f.path))
	free, pageSize := f.freePages(), f.db.Info().PageSize
	all, err := f.pages()
	if err != nil || free <= maxSyncedPages || free <= all/2 || (all-free)*pageSize > maxCompactedBytes {
		return f
	}
	start := time.Now()
	var compacted file
	err = contain(func() (err error) { compacted, err = f.compact(opts); return err })
	if err != nil {
		log.Warn("could not give the free room of the database back", zap.Error(err))
		return f
	}
	log.Info("gave the free room of the database back",
		zap.Int("from_bytes", all*pageSize), zap.Int("to_bytes", (all-free)*pageSize), zap.Duration("took", time.Since(start)))
	if err := f.close(); err != nil {
		log.Warn("could not close the file of before", zap.Error(err))
	}
	return compacted
}

// pages returns how many pages the file has, free ones included.
func (f file) pages() (int, error) {
	tx, err := f.begin(false)
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	return int(tx.Size()) / f.db.Info().PageSize, nil
}

// compact writes a copy of the file without its free pages, opens it and puts it in the place of the
// file. The lock on the copy is taken before it has the name that others know.
func (f file) compact(opts Options) (compacted file, err error) {
	temp := filepath.Join(filepath.Dir(f.path), "."+filepath.Base(f.path)+".compact")
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) { // a crash has left it
		return file{}, err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp)
		}
	}()
	if err := f.copyTo(temp); err != nil {
		return file{}, err
	}
	if err := keepOwner(temp, f.raw); err != nil {
		return file{}, fmt.Errorf("keep the owner: %w", err)
	}
	if compacted, err = openToWrite(temp, opts); err != nil {
		return file{}, err
	}
	if err := os.Rename(temp, f.path); err != nil {
		return file{}, errors.Join(err, compacted.close())
	}
	compacted.path = f.path
	if err := newfile.SyncDir(filepath.Dir(f.path)); err != nil {
		opts.Logger.Warn("could not bring the name of the database to disk", zap.String("path", f.path), zap.Error(err))
	}
	return compacted, nil
}

// copyTo writes what is in the file to a new one, and brings it to disk.
func (f file) copyTo(path string) error {
	copied, err := bbolt.Open(path, fileMode, &bbolt.Options{NoSync: true, NoFreelistSync: true, PageSize: f.db.Info().PageSize})
	if err != nil {
		return err
	}
	err = bbolt.Compact(copied, f.db, compactChunkBytes)
	if err == nil {
		copied.NoFreelistSync = false
		err = copied.Update(func(*bbolt.Tx) error { return nil })
	}
	if err == nil {
		err = copied.Sync()
	}
	return errors.Join(err, copied.Close())
}
