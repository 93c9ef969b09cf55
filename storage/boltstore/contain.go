package boltstore

import (
	"errors"
	"fmt"
	"runtime/debug"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"
)

// panicError is a panic that was turned into an error.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("damaged database: %v", e.value) }

// contain runs fn and turns its panic into an error. bbolt reads the file through a memory map
// and asserts what it finds: on a damaged page it panics, and where the file ends early, points
// out of itself or cannot be read, the access faults, which without SetPanicOnFault ends the
// process.
func contain(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &panicError{value: p, stack: debug.Stack()}
		}
	}()
	return fn()
}

// errStuck reports a panic that left bbolt's locks taken.
var errStuck = errors.New("headers cannot be read")

// begin is bbolt's Begin. After errStuck, bbolt must not be called again.
func (f file) begin(writable bool) (tx *bbolt.Tx, err error) {
	err = contain(func() (err error) { tx, err = f.db.Begin(writable); return err })
	if _, panicked := errors.AsType[*panicError](err); panicked {
		err = fmt.Errorf("%w: %w", errStuck, err)
	}
	return tx, err
}

// logPanic notes what an error is no place for: where a panic came from.
func (s *Store) logPanic(err error) {
	if p, ok := errors.AsType[*panicError](err); ok {
		s.log.Error("contained a panic in the database", zap.Any("panic", p.value), zap.ByteString("stack", p.stack))
	}
}
