package boltstore

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// withinReason fails the test if fn does not return.
func withinReason(t *testing.T, what string, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatalf("%s: does not return", what)
	}
}

// Whatever happens to the file while it is open: no call hangs or ends the process, and the store
// can be closed.
func TestDamageToAnOpenFileEndsNothing(t *testing.T) {
	page := os.Getpagesize()
	for name, damage := range map[string]func(f *os.File, size int64) error{
		"truncated to nothing":  func(f *os.File, _ int64) error { return f.Truncate(0) },
		"truncated to a header": func(f *os.File, _ int64) error { return f.Truncate(int64(page)) },
		"truncated to headers":  func(f *os.File, _ int64) error { return f.Truncate(2 * int64(page)) },
		"truncated to half":     func(f *os.File, size int64) error { return f.Truncate(size / 2) },
		"zeros in both headers": func(f *os.File, _ int64) error { _, err := f.WriteAt(make([]byte, 2*page), 0); return err },
		"garbage in all":        func(f *os.File, size int64) error { _, err := f.WriteAt(garbage(make([]byte, size), 1), 0); return err },
		"garbage behind headers": func(f *os.File, size int64) error {
			_, err := f.WriteAt(garbage(make([]byte, size), 1), 2*int64(page))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "test.db")
			content, keys := sample(t)
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(path, unswept)
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() { useAll(t, s, keys) })
			}
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := damage(f, int64(len(content))); err != nil {
				t.Fatal(err)
			}
			withinReason(t, "calls amid the damage", wg.Wait)
			withinReason(t, "calls after the damage", func() { useAll(t, s, keys) })
			if _, err := s.CompareAndSwap(t.Context(), "late", 0, record("late")); err == nil {
				t.Error("a write to the damaged file was acknowledged")
			}
			withinReason(t, "Close", func() { closeStore(t, s) })
			if again, err := Open(path, Options{LockTimeout: -1, unsynced: true}); err == nil {
				closeStore(t, again)
			} else {
				errorSays(t, err, path)
				refused(t, path, "")
			}
		})
	}
}

// damageNewerHeader makes the header that was written last unreadable.
func damageNewerHeader(t *testing.T, path string, last int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{0xff}, int64(last%2*os.Getpagesize())+headerRoot); err != nil {
		t.Fatal(err)
	}
}

// Bbolt would go on from the commit before the last one, and write over what that one still uses.
func TestOlderHeaderIsNotServed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := openStore(t, path, unswept)
	put(t, s, record("a"))
	put(t, s, record("b"))
	damageNewerHeader(t, path, commits(t, s))
	_, _, err := s.Get(t.Context(), "a")
	errorSays(t, err, "headers were changed")
	_, err = s.CompareAndSwap(t.Context(), "c", 0, record("c"))
	errorSays(t, err, "headers were changed")
}

func TestOpeningWithTheOlderHeaderIsAnErrorInTheLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := openStore(t, path, unswept)
	put(t, s, record("a"))
	last := commits(t, s)
	closeStore(t, s)
	core, logs := observer.New(zap.ErrorLevel)
	opts := Options{SweepInterval: -1, unsynced: true, Logger: zap.New(core)}
	closeStore(t, openStore(t, path, opts))
	if logs.Len() != 0 {
		t.Fatalf("a sound file: logged %v", logs.All())
	}
	damageNewerHeader(t, path, last)
	closeStore(t, openStore(t, path, opts))
	if logs.Len() != 1 || logs.All()[0].ContextMap()["path"] != path {
		t.Errorf("logged %v, want one error that names the file", logs.All())
	}
}

// A copy of an earlier state that someone writes over the open file would bring back what was deleted.
func TestEarlierStateWrittenOverAnOpenFileIsNotServed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := openStore(t, path, unswept)
	rev := put(t, s, record("a"))
	earlier, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), "a", rev); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(earlier, 0); err != nil {
		t.Fatal(err)
	}
	_, _, err = s.Get(t.Context(), "a")
	errorSays(t, err, "headers were changed")
}

// What is written to a file without a name is gone at the next start.
func TestWritesAreRefusedWhileThePathNamesAnotherFile(t *testing.T) {
	for name, test := range map[string]struct {
		move func(t *testing.T, path, aside string)
		says string
	}{
		"renamed": {func(*testing.T, string, string) {}, "was removed or renamed"},
		"replaced": {func(t *testing.T, path, aside string) {
			content, err := os.ReadFile(aside)
			if err == nil {
				err = os.WriteFile(path, content, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}, "was replaced by another file"},
	} {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zap.InfoLevel)
			path := filepath.Join(t.TempDir(), "test.db")
			s := openStore(t, path, Options{SweepInterval: -1, unsynced: true, Logger: zap.New(core)})
			put(t, s, record("a"))
			aside := path + ".aside"
			if err := os.Rename(path, aside); err != nil {
				t.Fatal(err)
			}
			test.move(t, path, aside)
			before, err := os.ReadFile(aside)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				_, err := s.CompareAndSwap(t.Context(), "b", 0, record("b"))
				errorSays(t, err, test.says)
			}
			has(t, s, "a")
			if after, err := os.ReadFile(aside); err != nil || !bytes.Equal(before, after) {
				t.Errorf("the file was written to (%v)", err)
			}
			if logs.Len() != 1 || logs.All()[0].Level != zap.ErrorLevel {
				t.Errorf("logged %v, want one error", logs.All())
			}
			if err := os.Rename(aside, path); err != nil {
				t.Fatal(err)
			}
			put(t, s, record("b"))
		})
	}
}

// Nobody needs to write for it to be noticed.
func TestRemovedFileIsNoticedWithoutAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.ErrorLevel)
		path := filepath.Join(t.TempDir(), "test.db")
		s := openStore(t, path, Options{unsynced: true, Logger: zap.New(core)})
		put(t, s, record("a"))
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		advance(DefaultSweepInterval)
		if logs.Len() != 1 {
			t.Errorf("logged %v, want one error", logs.All())
		}
	})
}
