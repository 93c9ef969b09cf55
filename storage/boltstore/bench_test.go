package boltstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/caddy-multi-session/gateway/storage"
	"github.com/caddy-multi-session/gateway/storage/storagetest"
)

// benchValue is the size of a record of a few sessions.
const benchValue = 512

func benchKey(i int) string {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func benchRecord(i int) storage.Record {
	return storage.Record{
		Key:    benchKey(i),
		Value:  bytes.Repeat([]byte{byte(i)}, benchValue),
		Expiry: time.Now().Add(24*time.Hour + time.Duration(i)*time.Millisecond),
		Terms:  []string{fmt.Sprintf("account:%d", i/3), "kind:jar"},
	}
}

// BenchmarkWrite measures creating records, by number of writers at a time.
func BenchmarkWrite(b *testing.B) {
	for _, writers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			b.ReportAllocs()
			s := newStore(b)
			before := commits(b, s)
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range writers {
				wg.Go(func() {
					for {
						i := int(next.Add(1)) - 1
						if i >= b.N {
							return
						}
						r := benchRecord(i)
						if _, err := s.CompareAndSwap(context.Background(), r.Key, 0, r); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
			b.ReportMetric(float64(b.N)/float64(commits(b, s)-before), "writes/commit")
		})
	}
}

func BenchmarkGet(b *testing.B) {
	eachSize(b, func(b *testing.B, s *Store, d *benchData) {
		for b.Loop() {
			if _, _, err := s.Get(b.Context(), d.keys[rand.IntN(len(d.keys))]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkGetParallel(b *testing.B) {
	eachSize(b, func(b *testing.B, s *Store, d *benchData) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, _, err := s.Get(context.Background(), d.keys[rand.IntN(len(d.keys))]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

// BenchmarkCompareAndSwap measures one writer who changes value and expiry of random records.
func BenchmarkCompareAndSwap(b *testing.B) {
	eachSize(b, func(b *testing.B, s *Store, d *benchData) {
		for b.Loop() {
			i := rand.IntN(len(d.keys))
			rev, err := s.CompareAndSwap(b.Context(), d.keys[i], d.revisions[i], benchRecord(i))
			if err != nil {
				b.Fatal(err)
			}
			d.revisions[i] = rev
		}
	})
}

func BenchmarkFind(b *testing.B) {
	eachSize(b, func(b *testing.B, s *Store, d *benchData) {
		for b.Loop() {
			term := fmt.Sprintf("account:%d", rand.IntN(len(d.keys))/3)
			if keys, err := s.Find(b.Context(), term, "", 10); err != nil || len(keys) == 0 {
				b.Fatal(keys, err)
			}
		}
	})
}

func eachSize(b *testing.B, run func(b *testing.B, s *Store, d *benchData)) {
	for _, d := range []*benchData{&smallData, &largeData} {
		b.Run(fmt.Sprintf("records=%d", d.records), func(b *testing.B) {
			d.build(b)
			s := openStore(b, d.path, unswept)
			b.ReportAllocs()
			b.ResetTimer()
			run(b, s, d)
		})
	}
}

// benchData is a database that the benchmarks of a process share: the large one takes a while.
type benchData struct {
	records   int
	once      sync.Once
	dir, path string
	keys      []string
	revisions []storage.Revision
}

var (
	smallData = benchData{records: 1_000}
	largeData = benchData{records: 1_000_000}
)

func removeBenchFiles() {
	for _, d := range []*benchData{&smallData, &largeData} {
		if d.dir != "" {
			_ = os.RemoveAll(d.dir)
		}
	}
}

// build writes the database table by table in the order of the keys and without a sync, which
// makes a million records a matter of seconds.
func (d *benchData) build(b *testing.B) {
	b.Helper()
	d.once.Do(func() {
		var err error
		if d.dir, err = os.MkdirTemp("", "boltstore-bench-"); err != nil {
			b.Fatal(err)
		}
		d.path = filepath.Join(d.dir, "bench.db")
		if err := create(d.path); err != nil {
			b.Fatal(err)
		}
		var terms, expiries [][]byte
		order := make([]int, d.records)
		for i := range d.records {
			r := benchRecord(i)
			order[i] = i
			d.keys = append(d.keys, r.Key)
			d.revisions = append(d.revisions, storage.Revision(i+1))
			expiries = append(expiries, expiryEntry(r.Expiry.UnixMilli(), r.Key))
			for _, term := range r.Terms {
				terms = append(terms, termEntry(term, r.Key))
			}
		}
		slices.SortFunc(order, func(i, j int) int { return bytes.Compare([]byte(d.keys[i]), []byte(d.keys[j])) })
		slices.SortFunc(terms, bytes.Compare)
		slices.SortFunc(expiries, bytes.Compare)

		f, err := openBolt(d.path, &bbolt.Options{NoSync: true})
		if err != nil {
			b.Fatal(err)
		}
		inChunks(b, f.db, d.records, func(t *tables, n int) error {
			i := order[n]
			draft := newDraft(benchRecord(i))
			draft.stamp(d.revisions[i])
			return t.records.Put([]byte(d.keys[i]), draft.encoded)
		})
		inChunks(b, f.db, len(terms), func(t *tables, n int) error { return t.terms.Put(terms[n], noValue) })
		inChunks(b, f.db, len(expiries), func(t *tables, n int) error { return t.expiries.Put(expiries[n], noValue) })
		inChunks(b, f.db, 1, func(t *tables, _ int) error { return t.meta.SetSequence(uint64(d.records)) })
		if err := f.db.Sync(); err != nil {
			b.Fatal(err)
		}
		if err := f.close(); err != nil {
			b.Fatal(err)
		}
	})
}

func inChunks(b *testing.B, db *bbolt.DB, n int, put func(t *tables, n int) error) {
	b.Helper()
	const chunk = 50_000
	for start := 0; start < n; start += chunk {
		err := db.Update(func(tx *bbolt.Tx) error {
			t, err := tablesOf(tx)
			if err != nil {
				return err
			}
			for i := start; i < min(start+chunk, n); i++ {
				if err := put(t, i); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWalk measures a walk over all of ten thousand records.
func BenchmarkWalk(b *testing.B) {
	s := replacedStore(b, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Walk(b.Context(), "", func(storage.Record) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReplace measures putting as many records in the place of as many.
func BenchmarkReplace(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("records=%d", n), func(b *testing.B) {
			s := replacedStore(b, n)
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Replace(b.Context(), benchRecords(n)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCheck measures a check of ten thousand records that are in order.
func BenchmarkCheck(b *testing.B) {
	s := replacedStore(b, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Check(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func benchRecords(n int) iter.Seq2[storage.Record, error] {
	return func(yield func(storage.Record, error) bool) {
		for i := range n {
			if !yield(benchRecord(i), nil) {
				return
			}
		}
	}
}

func replacedStore(b *testing.B, n int) *Store {
	b.Helper()
	s := newStore(b)
	if err := s.Replace(b.Context(), benchRecords(n)); err != nil {
		b.Fatal(err)
	}
	return s
}

// BenchmarkSweep measures the removal of a hundred thousand records that have all expired, what the
// file grows by meanwhile, and how long a writer waits meanwhile and afterwards.
func BenchmarkSweep(b *testing.B) {
	const records = 100_000
	for b.Loop() {
		b.StopTimer()
		path := filepath.Join(b.TempDir(), "bench.db")
		var clock storagetest.Clock
		s := openStore(b, path, Options{SweepInterval: -1, Now: clock.Now})
		err := s.Replace(b.Context(), func(yield func(storage.Record, error) bool) {
			for i := range records {
				r := benchRecord(i)
				r.Expiry = clock.Now().Add(time.Duration(1+i) * time.Millisecond)
				r.Terms = nil
				for _, kind := range []string{"jar:", "session:", "account:", "slot:"} {
					r.Terms = append(r.Terms, kind+benchKey(-i)[:22])
				}
				if !yield(r, nil) {
					return
				}
			}
		})
		if err != nil {
			b.Fatal(err)
		}
		clock.Advance(time.Hour)
		before := pagesOf(b, s)
		writes := func(until <-chan struct{}, most int) (n int, each time.Duration) {
			start := time.Now()
			for n = 0; n < most; n++ {
				select {
				case <-until:
					return n, time.Since(start) / time.Duration(max(n, 1))
				default:
				}
				r := benchRecord(n)
				r.Expiry = clock.Now().Add(time.Hour)
				r.Key = fmt.Sprint("live-", before, n, most)
				put(b, s, r)
			}
			return n, time.Since(start) / time.Duration(n)
		}
		swept := make(chan struct{})
		b.StartTimer()
		go func() {
			defer close(swept)
			if n, err := s.sweep(b.Context()); n != records || err != nil {
				b.Errorf("sweep = %d, %v", n, err)
			}
		}()
		_, during := writes(swept, 1<<30)
		<-swept
		b.StopTimer()
		_, after := writes(nil, 50)
		b.ReportMetric(float64(during.Microseconds())/1000, "ms/write-during")
		b.ReportMetric(float64(after.Microseconds())/1000, "ms/write-after")
		b.ReportMetric(float64(pagesOf(b, s))/float64(before), "growth")
		closeStore(b, s)
		b.StartTimer()
	}
}
