package boltstore

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/caddy-multi-session/gateway/storage"
)

// refused checks that Open refuses the file, leaves it and its directory as they are, and keeps
// no lock on it.
func refused(t *testing.T, path, says string) {
	t.Helper()
	sum := func() [sha256.Size]byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return sha256.Sum256(b)
	}
	before, around := sum(), dirContent(t, filepath.Dir(path))
	for range 2 {
		s, err := Open(path, Options{LockTimeout: -1, unsynced: true})
		if err == nil {
			t.Error("the file was not refused")
			closeStore(t, s)
			return
		}
		errorSays(t, err, path, says)
		if errors.Is(err, bbolterrors.ErrTimeout) {
			t.Errorf("the lock was kept: %v", err)
		}
	}
	if sum() != before {
		t.Error("the file was changed")
	}
	if after := dirContent(t, filepath.Dir(path)); after != around {
		t.Errorf("the directory was changed from\n%sto\n%s", around, after)
	}
}

// sample returns a database with enough records for branch pages, up to the end that its own header
// counts, and the keys in it.
func sample(t testing.TB) (content []byte, keys []string) {
	t.Helper()
	const records = 100
	path := filepath.Join(t.TempDir(), "sample.db")
	s := openStore(t, path, unswept)
	fill(t, s, "key-", records, time.Now().Add(time.Hour))
	for i := range records {
		keys = append(keys, fmt.Sprint("key-", i))
	}
	var size int
	if err := s.file.db.View(func(tx *bbolt.Tx) error { size = int(tx.Size()); return nil }); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// The rest, many times as much, is what bbolt has reserved.
	return content[:size], keys
}

// withoutFreeList returns a database as a crash can leave it, without a list of its free pages.
func withoutFreeList(t testing.TB, content []byte) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sample.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, fileMode, &bbolt.Options{NoFreelistSync: true})
	if err == nil {
		err = errors.Join(db.Update(func(*bbolt.Tx) error { return nil }), db.Close())
	}
	if err == nil {
		content, err = os.ReadFile(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// garbage overwrites b with the bytes that seed stands for.
func garbage(b []byte, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestOpenRefusesDamagedFiles(t *testing.T) {
	good, _ := sample(t)
	size, page := len(good), os.Getpagesize()
	edit := func(fn func(b []byte)) []byte {
		b := bytes.Clone(good)
		fn(b)
		return b
	}
	for name, test := range map[string]struct {
		content []byte
		says    string
	}{
		"empty":                     {nil, "is empty"},
		"one byte":                  {good[:1], ""},
		"text":                      {bytes.Repeat([]byte("not a database\n"), 5000), "not a bbolt database"},
		"zeros":                     {make([]byte, 16*page), "not a bbolt database"},
		"garbage":                   {garbage(make([]byte, 16*page), 1), "not a bbolt database"},
		"short garbage":             {garbage(make([]byte, 100), 1), ""},
		"SQLite":                    {append([]byte("SQLite format 3\x00"), make([]byte, 4*page)...), "not a bbolt database"},
		"cut in the first page":     {good[:page-100], ""},
		"cut after the first page":  {good[:page], ""},
		"cut in the second page":    {good[:page+100], ""},
		"cut after the second page": {good[:2*page], "truncated"},
		"cut after the third page":  {good[:3*page], "truncated"},
		"cut in half":               {good[:size/2], "truncated"},
		"cut in half of a page":     {good[:size/2/page*page+page/2], "truncated"},
		"cut of its last page":      {good[:size-page], "truncated"},
		"cut of its last byte":      {good[:size-1], "truncated"},
		"no header page":            {edit(func(b []byte) { clear(b[:2*page]) }), "not a bbolt database"},
		"garbage in both headers": {edit(func(b []byte) {
			garbage(b[16:80], 1)
			garbage(b[page+16:page+80], 2)
		}), "not a bbolt database"},
		"a byte wrong in both headers": {edit(func(b []byte) { b[40]++; b[page+40]++ }), "damaged"},
		"zeros after the headers":      {edit(func(b []byte) { clear(b[2*page:]) }), "damaged"},
		"garbage after the headers":    {edit(func(b []byte) { garbage(b[2*page:], 3) }), "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "test.db")
			if err := os.WriteFile(path, test.content, 0o644); err != nil {
				t.Fatal(err)
			}
			refused(t, path, test.says)
		})
	}
}

// What bbolt has reserved of the file, but not used yet, may go.
func TestOpenAcceptsAFileCutToItsContent(t *testing.T) {
	good, keys := sample(t)
	path := filepath.Join(t.TempDir(), "test.db")
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, path, unswept)
	for _, key := range keys {
		has(t, s, key)
	}
	put(t, s, record("new"))
	verify(t, s.file.db)
}

func TestOpenRefusesADirectory(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(dir, Options{})
	errorSays(t, err, dir, "not a regular file")
	_, err = Open(filepath.Join(dir, "test.db")+string(filepath.Separator), Options{})
	if err == nil {
		t.Error("a path that ends in a separator was accepted")
	}
}

func TestOpenRefusesAFileForADirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(filepath.Join(path, "test.db"), Options{})
	errorSays(t, err, path)
}

// Whatever page of the file is damaged: a database that opens at all serves what it can, fails
// what it cannot, and neither ends the process nor hangs nor keeps the lock.
func TestDamagedPagesEndNothing(t *testing.T) {
	listed, keys := sample(t)
	unlisted := withoutFreeList(t, listed)
	page := os.Getpagesize()
	for name, test := range map[string]struct {
		good   []byte
		damage func(b []byte, seed uint64)
	}{
		"garbage":                      {listed, func(b []byte, seed uint64) { garbage(b, seed) }},
		"garbage, without a free list": {unlisted, func(b []byte, seed uint64) { garbage(b, seed) }},
		"zeros":                        {listed, func(b []byte, _ uint64) { clear(b) }},
		"zeros, without a free list":   {unlisted, func(b []byte, _ uint64) { clear(b) }},
		"garbage below header":         {listed, func(b []byte, seed uint64) { garbage(b[16:], seed) }},
		"garbage in the data":          {listed, func(b []byte, seed uint64) { garbage(b[page/2:], seed) }},
	} {
		t.Run(name, func(t *testing.T) {
			good, damage, size := test.good, test.damage, len(test.good)
			path := filepath.Join(t.TempDir(), "test.db")
			for at := 2 * page; at < size; at += page {
				content := bytes.Clone(good)
				damage(content[at:at+page], uint64(at))
				if err := os.WriteFile(path, content, 0o600); err != nil {
					t.Fatal(err)
				}
				s, err := Open(path, Options{LockTimeout: -1, unsynced: true})
				if err != nil {
					errorSays(t, err, path)
					refused(t, path, "")
					continue
				}
				useAll(t, s, keys)
				closeStore(t, s)
				if s, err := Open(path, Options{LockTimeout: -1, unsynced: true}); err == nil {
					closeStore(t, s)
				} else if errors.Is(err, bbolterrors.ErrTimeout) {
					t.Fatalf("page %d: the lock was kept: %v", at/page, err)
				}
			}
		})
	}
}

// useAll makes every kind of call and expects no more of it than to come back.
func useAll(t *testing.T, s *Store, keys []string) {
	t.Helper()
	for i, key := range keys {
		_, rev, err := s.Get(t.Context(), key)
		if err == nil && i%10 == 0 {
			_, _ = s.CompareAndSwap(t.Context(), key, rev, record(key, "shared"))
		}
		if err == nil && i%10 == 1 {
			_ = s.Delete(t.Context(), key, rev)
		}
	}
	_, _ = s.Find(t.Context(), "shared", "", 1000)
	_ = s.Walk(t.Context(), "", func(storage.Record) error { return nil })
	_ = s.Check(t.Context())
	_ = s.Replace(t.Context(), func(yield func(storage.Record, error) bool) { yield(record("replaced"), nil) })
	_, _ = s.CompareAndSwap(t.Context(), "new", 0, record("new", "shared"))
	if _, _, err := s.Get(t.Context(), "new"); errors.Is(err, storage.ErrClosed) {
		t.Error("the store closed itself")
	}
}
