package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/newfile"
)

const fileMode = 0o600

// What the meta bucket says of the file. The format tells it from other programs' bbolt files;
// the schema counts the layouts that this program has given it.
var (
	formatKey = []byte("format")
	schemaKey = []byte("schema")
)

const (
	format = "caddy-multi-session/boltstore"
	schema = 1
)

// mapBytes is how much of the file is mapped into memory at least. When the file grows beyond the
// map, bbolt makes a larger one and waits for the readers first, while nobody can begin to read. A
// check of a large file reads for minutes. The map costs address space, not memory; where that is
// scarce, or Windows would make the file as large as the map, it is as large as the file.
var mapBytes = func() int {
	if strconv.IntSize < 64 || runtime.GOOS == "windows" {
		return 0
	}
	return 64 << 30
}()

// file is an open database file.
type file struct {
	db     *bbolt.DB
	raw    *os.File // what db reads and writes
	path   string   // as newfile.Resolve returns it
	opened int      // id of the last transaction when it was opened
}

// open opens the database at path, after it has made sure that it is one.
func open(path string, opts Options) (file, error) {
	if path == "" || os.IsPathSeparator(path[len(path)-1]) {
		return file{}, errors.New("is not a regular file")
	}
	path, err := newfile.Resolve(path)
	if err != nil {
		return file{}, err
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) && !opts.ReadOnly {
		if err := create(path); err != nil {
			return file{}, fmt.Errorf("create: %w", err)
		}
		info, err = os.Stat(path)
	}
	if err != nil {
		return file{}, err
	}
	if !info.Mode().IsRegular() {
		return file{}, errors.New("is not a regular file")
	}
	if info.Size() == 0 {
		// bbolt would take it for a new one. But a database does not become empty by itself, and
		// sessions that silently start from nothing hide that something went wrong.
		return file{}, errors.New("is empty; restore it, or remove it to start anew")
	}

	// Only reading can leave a file as it is: bbolt writes to some on opening them for more.
	probe, err := openBolt(path, &bbolt.Options{ReadOnly: true, Timeout: opts.LockTimeout})
	if err != nil {
		return file{}, err
	}
	if err = probe.check(); err == nil && opts.ReadOnly {
		probe.logDamagedHeader(opts.Logger)
		return probe, nil
	}
	if err == nil {
		err = probe.checkUnlisted()
	}
	if err := errors.Join(err, probe.closeAfter(err)); err != nil {
		return file{}, err
	}

	f, err := openToWrite(path, opts)
	if err != nil {
		return file{}, err
	}
	f.logDamagedHeader(opts.Logger)
	f.tighten(opts.Logger)
	return f.compactIfSparse(opts), nil
}

func openToWrite(path string, opts Options) (file, error) {
	f, err := openMapped(path, opts, mapBytes)
	if errors.Is(err, syscall.ENOMEM) && mapBytes > 0 {
		f, err = openMapped(path, opts, 0) // the process may not have so much address space
	}
	if err != nil {
		return file{}, err
	}
	// The process that had the file since the last look at it may be of a newer version.
	if err := f.check(); err != nil {
		return file{}, errors.Join(err, f.closeAfter(err))
	}
	return f, nil
}

// openMapped opens a file to write, with a memory map of a size at least.
func openMapped(path string, opts Options, mapBytes int) (file, error) {
	return openBolt(path, &bbolt.Options{
		Timeout:         opts.LockTimeout,
		FreelistType:    bbolt.FreelistMapType, // the other one slows down in a large, fragmented file
		NoFreelistSync:  true,                  // else bbolt would write the list of free pages where it is missing
		InitialMmapSize: mapBytes,
		NoSync:          opts.unsynced,
	})
}

// openBolt is bbolt.Open, which panics on some damaged files and then forgets to close them.
func openBolt(path string, opts *bbolt.Options) (file, error) {
	f := file{path: path}
	opts.OpenFile = func(name string, flag int, mode fs.FileMode) (*os.File, error) {
		// Without O_CREATE, a file that was removed just now is not replaced by an empty one.
		opened, err := os.OpenFile(name, flag&^os.O_CREATE, mode)
		f.raw = opened
		return opened, err
	}
	err := contain(func() (err error) {
		f.db, err = bbolt.Open(path, fileMode, opts)
		return err
	})
	if err == nil {
		return f, nil
	}
	if f.raw != nil {
		_ = f.abandon() // no error, but for the file that bbolt did close
	}
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return file{}, fmt.Errorf("is locked by another process (is another gateway running on it?): %w", err)
	case errors.Is(err, bbolterrors.ErrInvalid), errors.Is(err, bbolterrors.ErrChecksum), errors.Is(err, bbolterrors.ErrVersionMismatch):
		return file{}, fmt.Errorf("is not a bbolt database, or is damaged: %w", err)
	}
	return file{}, err
}

// check refuses a file that is truncated or not of this program and version.
func (f *file) check() error {
	tx, err := f.begin(false)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	f.opened = tx.ID()
	return contain(func() (err error) {
		if err := f.whole(tx); err != nil {
			return err
		}
		if f.db.NoFreelistSync, err = lacksFreeList(tx); err != nil {
			return err
		}
		meta := tx.Bucket(metaBucket)
		if meta == nil || string(meta.Get(formatKey)) != format {
			return errors.New("is a bbolt database, but not of this program")
		}
		version := meta.Get(schemaKey)
		if len(version) != 4 {
			return errors.New("is damaged: its schema version is missing")
		}
		if v := binary.BigEndian.Uint32(version); v != schema {
			return fmt.Errorf("has schema version %d, but this program knows version %d only; was it written by a newer one?", v, schema)
		}
		_, err = tablesOf(tx)
		return err
	})
}

// whole refuses a file that ends before the pages that a transaction sees do. To read a page beyond
// the end of the file is a fault, not an error.
func (f file) whole(tx *bbolt.Tx) error {
	info, err := f.raw.Stat()
	if err != nil {
		return err
	}
	if info.Size() < tx.Size() {
		return fmt.Errorf("is truncated: it has %d of %d bytes", info.Size(), tx.Size())
	}
	return nil
}

// inPlace returns an error if the path does not name the open file any more. Whatever is written to
// the open file then is lost when it is closed.
func (f file) inPlace() error {
	there, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("was removed or renamed while it was open; put it back, or restart to begin with a new one")
	}
	if err != nil {
		return nil // nobody can tell
	}
	open, err := f.raw.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(open, there) {
		return errors.New("was replaced by another file while it was open; put it back, or restart to use the other one")
	}
	return nil
}

// tighten takes from others what access they have to the file: it holds the sessions of everyone.
func (f file) tighten(log *zap.Logger) {
	if runtime.GOOS == "windows" {
		return // access is not in the mode there
	}
	info, err := f.raw.Stat()
	if err != nil || info.Mode().Perm()&^fileMode == 0 {
		return
	}
	log = log.With(zap.String("path", f.raw.Name()), zap.Stringer("mode", info.Mode().Perm()))
	if err := f.raw.Chmod(fileMode); err != nil {
		log.Warn("others than the owner may access the database, and its mode cannot be changed", zap.Error(err))
		return
	}
	log.Warn("others than the owner could access the database; its mode is 0600 now")
}

// close waits for the open transactions and releases the file.
func (f file) close() error { return f.db.Close() }

// closeAfter is close after check has returned err.
func (f file) closeAfter(err error) error {
	if errors.Is(err, errStuck) {
		return f.abandon()
	}
	return f.close()
}

// abandon releases the file without a word to bbolt, for when a panic has left bbolt in no state
// to listen. The memory map stays: nobody can tell who still reads it.
func (f file) abandon() error { return errors.Join(unlock(f.raw), f.raw.Close()) }
