package boltstore

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-multi-session/gateway/storage"
	"github.com/caddy-multi-session/gateway/storage/storagetest"
)

// sparseStore opens a store that is mostly free pages, and has some records.
func sparseStore(t *testing.T, path string, opts Options) *Store {
	t.Helper()
	var clock storagetest.Clock
	opts.SweepInterval, opts.unsynced, opts.Now = -1, true, clock.Now
	s := openStore(t, path, opts)
	err := s.Replace(t.Context(), func(yield func(storage.Record, error) bool) {
		for i := range 1000 {
			r := storage.Record{Key: fmt.Sprintf("short-%d", i), Value: make([]byte, 64<<10), Expiry: clock.Now().Add(time.Minute)}
			if !yield(r, nil) {
				return
			}
		}
		for i := range 100 {
			key := fmt.Sprintf("long-%d", i)
			if !yield(storage.Record{Key: key, Value: []byte(key), Expiry: clock.Now().Add(time.Hour), Terms: []string{"t"}}, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	clock.Advance(time.Minute)
	if n, err := s.sweep(t.Context()); n != 1000 || err != nil {
		t.Fatalf("sweep = %d, %v", n, err)
	}
	r := storage.Record{Key: "last", Value: []byte("last"), Expiry: clock.Now().Add(time.Hour)}
	put(t, s, r) // no reader holds pages back any more
	return s
}

func listed(t *testing.T, s *Store) bool {
	t.Helper()
	tx, err := s.file.begin(false)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	lacks, err := lacksFreeList(tx)
	if err != nil {
		t.Fatal(err)
	}
	return !lacks
}

// The list of sixteen thousand free pages would be in each commit.
func TestListOfManyFreePagesIsWrittenAtTheEndOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := sparseStore(t, path, Options{})
	if listed(t, s) {
		t.Error("a commit wrote the list")
	}
	crashed := filepath.Join(t.TempDir(), "crashed.db")
	content, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(crashed, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	s = openStore(t, path, Options{ReadOnly: true})
	if !listed(t, s) {
		t.Error("the list was not written at the end: the next start has to look at every page")
	}
	s = openStore(t, crashed, Options{SweepInterval: -1, unsynced: true})
	has(t, s, "last")
	put(t, s, record("new"))
	verify(t, s.file.db)
}

func TestFewFreePagesAreListed(t *testing.T) {
	s := newStore(t)
	for i := range 20 {
		put(t, s, record(fmt.Sprint(i)))
	}
	if !listed(t, s) {
		t.Error("a crash would have the next start look at every page")
	}
}

func TestSparseFileIsCompactedOnOpening(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "test.db"), filepath.Join(t.TempDir(), "link.db")
	closeStore(t, sparseStore(t, path, Options{}))
	if err := os.Symlink(path, link); err != nil {
		t.Skip(err)
	}
	// What a crash amid an earlier attempt has left.
	if err := os.WriteFile(filepath.Join(dir, ".test.db.compact"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	s := openStore(t, link, unswept)
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if after.Size()*4 > before.Size() || after.Mode() != before.Mode() {
		t.Errorf("the file has %d bytes and mode %v, before %d and %v", after.Size(), after.Mode(), before.Size(), before.Mode())
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v; want the database alone", entries, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
	keys, err := s.Find(t.Context(), "t", "", 1000)
	if err != nil || len(keys) != 100 {
		t.Errorf("Find = %d keys, %v", len(keys), err)
	}
	r, rev, err := s.Get(t.Context(), "long-7")
	if err != nil || !bytes.Equal(r.Value, []byte("long-7")) {
		t.Errorf("Get = %q, %v", r.Value, err)
	}
	if next := put(t, s, record("new")); next <= rev {
		t.Errorf("revision %d was given again", next)
	}
	if _, err := Open(path, Options{LockTimeout: -1}); err == nil {
		t.Error("the compacted file is not locked")
	}
	verify(t, s.file.db)
	closeStore(t, s)
	has(t, openStore(t, path, unswept), "new")
}

// A file that cannot be compacted, as on a disk without room, is served as it is.
func TestFileThatCannotBeCompactedIsServed(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "test.db")
	closeStore(t, sparseStore(t, path, Options{}))
	if err := os.MkdirAll(filepath.Join(dir, ".test.db.compact", "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.WarnLevel)
	s := openStore(t, path, Options{SweepInterval: -1, unsynced: true, Logger: zap.New(core)})
	if logs.Len() != 1 {
		t.Errorf("logged %v, want a warning", logs.All())
	}
	has(t, s, "last")
	put(t, s, record("new"))
}
