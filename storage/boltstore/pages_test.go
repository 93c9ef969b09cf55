package boltstore

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/caddy-multi-session/gateway/storage"
)

// layout is where things are in the file of a store.
type layout struct {
	pageSize, end  int64
	freeList, free int64 // the page of the list, and the one that comes first on it
	records, child int64 // the root of the table, and where it is a branch, the page that comes first below
}

func layoutOf(t *testing.T, s *Store) (l layout) {
	t.Helper()
	err := s.file.db.View(func(tx *bbolt.Tx) error {
		header, err := headerOf(tx)
		if err != nil {
			return err
		}
		l.pageSize = int64(order.Uint32(header[headerPageSize:]))
		l.end = int64(order.Uint64(header[headerEnd:]))
		l.freeList = int64(order.Uint64(header[headerFreeList:]))
		l.records = int64(tx.Bucket(recordsBucket).RootPage())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	l.free = int64(order.Uint64(readAt(t, s, l.freeList*l.pageSize+pageHeaderBytes, 8)))
	l.child = int64(order.Uint64(readAt(t, s, l.records*l.pageSize+pageHeaderBytes+8, 8)))
	return l
}

func readAt(t *testing.T, s *Store, at int64, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := s.file.raw.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCheckFindsDamagedPages(t *testing.T) {
	number := func(n int64) []byte { return order.AppendUint64(nil, uint64(n)) }
	for name, test := range map[string]struct {
		damage func(l layout) (at int64, b []byte)
		says   func(l layout) string
	}{
		"zeros in place of a branch": {
			func(l layout) (int64, []byte) { return l.records * l.pageSize, make([]byte, l.pageSize) },
			func(l layout) string { return fmt.Sprintf("page %d: is damaged", l.records) },
		},
		"zeros in place of a leaf": {
			func(l layout) (int64, []byte) { return l.child * l.pageSize, make([]byte, l.pageSize) },
			func(l layout) string { return fmt.Sprintf("page %d: is damaged", l.child) },
		},
		"garbage in place of a leaf": {
			func(l layout) (int64, []byte) { return l.child * l.pageSize, garbage(make([]byte, l.pageSize), 1) },
			func(l layout) string { return fmt.Sprintf("page %d: is damaged", l.child) },
		},
		"garbage below the header of a leaf": {
			func(l layout) (int64, []byte) {
				return l.child*l.pageSize + pageHeaderBytes, garbage(make([]byte, l.pageSize-pageHeaderBytes), 1)
			},
			func(l layout) string { return fmt.Sprintf("page %d: is damaged", l.child) },
		},
		"a branch without pages below": {
			func(l layout) (int64, []byte) { return l.records*l.pageSize + 10, make([]byte, 2) },
			func(l layout) string { return fmt.Sprintf("page %d: is damaged", l.records) },
		},
		"a page that goes on beyond the end": {
			func(l layout) (int64, []byte) { return l.child*l.pageSize + 12, []byte{255, 255, 255, 255} },
			func(l layout) string { return fmt.Sprintf("page %d: is damaged", l.child) },
		},
		"a page that goes on over another": {
			func(l layout) (int64, []byte) {
				return l.child*l.pageSize + 12, order.AppendUint32(nil, uint32(l.end-1-l.child))
			},
			func(layout) string { return "is used twice" },
		},
		"a branch that is below itself": {
			func(l layout) (int64, []byte) { return l.records*l.pageSize + pageHeaderBytes + 8, number(l.records) },
			func(l layout) string { return fmt.Sprintf("page %d: is used twice", l.records) },
		},
		"a branch that points beyond the end": {
			func(l layout) (int64, []byte) { return l.records*l.pageSize + pageHeaderBytes + 8, number(l.end) },
			func(l layout) string { return fmt.Sprintf("page %d: is beyond the end", l.end) },
		},
		"a key beyond its page": {
			func(l layout) (int64, []byte) {
				return l.child*l.pageSize + pageHeaderBytes + 4, order.AppendUint32(nil, uint32(l.pageSize))
			},
			func(l layout) string { return fmt.Sprintf("page %d: is damaged", l.child) },
		},
		"keys out of order": {
			func(l layout) (int64, []byte) {
				// The first key is where a later one is.
				return l.child*l.pageSize + pageHeaderBytes + 4, order.AppendUint32(nil, uint32(l.pageSize/2))
			},
			func(l layout) string { return fmt.Sprintf("page %d: a key is not in its place", l.child) },
		},
		"a page that is used and free": {
			func(l layout) (int64, []byte) { return l.freeList*l.pageSize + pageHeaderBytes, number(l.child) },
			func(l layout) string { return fmt.Sprintf("page %d: is used, and free too", l.child) },
		},
		"a page that is free twice": {
			func(l layout) (int64, []byte) {
				return l.freeList*l.pageSize + pageHeaderBytes, bytes.Repeat(number(l.free), 2)
			},
			func(l layout) string { return fmt.Sprintf("page %d: is free twice", l.free) },
		},
		"a free page beyond the end": {
			func(l layout) (int64, []byte) { return l.freeList*l.pageSize + pageHeaderBytes, number(l.end) },
			func(l layout) string { return fmt.Sprintf("page %d: is free, but beyond the end", l.end) },
		},
		"a page that is neither used nor free": {
			func(l layout) (int64, []byte) { return l.freeList*l.pageSize + 10, []byte{0, 0} },
			func(layout) string { return "is neither used nor free" },
		},
		"a free list that is none": {
			func(l layout) (int64, []byte) { return l.freeList*l.pageSize + 8, []byte{0, 0} },
			func(l layout) string { return fmt.Sprintf("page %d: is damaged", l.freeList) },
		},
		"a free list longer than its page": {
			func(l layout) (int64, []byte) {
				return l.freeList*l.pageSize + 10, append([]byte{255, 255, 0, 0, 0, 0}, number(1<<62)...)
			},
			func(l layout) string { return fmt.Sprintf("page %d: is damaged", l.freeList) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			fill(t, s, "secret-", 300, time.Now().Add(time.Hour))
			if err := s.Check(t.Context()); err != nil {
				t.Fatalf("before the damage: %v", err)
			}
			l := layoutOf(t, s)
			at, b := test.damage(l)
			if _, err := s.file.raw.WriteAt(b, at); err != nil {
				t.Fatal(err)
			}
			err := s.Check(t.Context())
			errorSays(t, err, test.says(l))
			tellsNoSecret(t, err)
		})
	}
}

// Whatever byte of the structure is wrong: what passes for sound, bbolt's own check finds sound too.
func TestCheckFindsAllThatBboltDoes(t *testing.T) {
	good, _ := sample(t)
	size, page := len(good), os.Getpagesize()
	path := filepath.Join(t.TempDir(), "test.db")
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		content := bytes.Clone(good)
		at := 2*page + r.IntN(size/page-2)*page
		if r.IntN(2) == 0 {
			at += r.IntN(pageHeaderBytes)
		} else {
			at += r.IntN(page)
		}
		content[at] ^= 1 << r.IntN(8)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, unswept)
		if err != nil {
			continue // refused at once
		}
		found := fmt.Sprint(s.Check(t.Context()))
		if !strings.Contains(found, "page ") && !strings.Contains(found, "damaged database") {
			_ = s.file.db.View(func(tx *bbolt.Tx) error {
				for err := range tx.Check() {
					t.Errorf("byte %d of page %d: bbolt finds %v, and Check %s", at%page, at/page, err, found)
				}
				return nil
			})
		}
		closeStore(t, s)
	}
}

// A check sees one instant, and is in the way of nobody.
func TestCheckWhileWriting(t *testing.T) {
	s := newStore(t)
	fill(t, s, "key-", 300, time.Now().Add(time.Hour))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			key := fmt.Sprint("key-", i%300)
			_, rev, err := s.Get(t.Context(), key)
			if err == nil {
				_, err = s.CompareAndSwap(t.Context(), key, rev, record(key, fmt.Sprint("t-", i), "shared"))
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range 50 {
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("check %d: %v", i, err)
		}
	}
	close(stop)
	wg.Wait()
}

// Large values go on over several pages, small tables are inside of the page above, and a long free
// list has its length elsewhere: none of it is damage.
func TestCheckKnowsTheFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	// Small pages make a long free list of little.
	db, err := bbolt.Open(path, fileMode, &bbolt.Options{PageSize: 1024})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := initialise(path); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, path, unswept)
	check := func(what string) {
		t.Helper()
		if err := s.Check(t.Context()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	check("an empty store")
	put(t, s, record("small", "t"))
	check("small tables")
	err = s.Replace(t.Context(), func(yield func(storage.Record, error) bool) {
		for i := range 66 {
			r := record(fmt.Sprint("large-", i), "t")
			r.Value = make([]byte, 1<<20)
			if !yield(r, nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	check("large values")
	if err := s.Replace(t.Context(), sequence(record("last", "t"))); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s) // which writes the list
	s = openStore(t, path, Options{ReadOnly: true})
	l := layoutOf(t, s)
	if count := order.Uint16(readAt(t, s, l.freeList*l.pageSize+10, 2)); count != 1<<16-1 {
		t.Errorf("the free list has %d pages, too few for this test", count)
	}
	check("a long free list")
	closeStore(t, s)
	verifyFile(t, path)
}
