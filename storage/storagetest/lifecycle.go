package storagetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

var lifecycleTests = []test{
	{"a call of a canceled context does nothing", func(f *fixture) {
		ctx, cancel := context.WithCancel(f.Context())
		cancel()
		f.doesNothing(ctx, context.Canceled)
	}},
	{"a call past its deadline does nothing", func(f *fixture) {
		ctx, cancel := context.WithDeadline(f.Context(), time.Unix(0, 0))
		defer cancel()
		f.doesNothing(ctx, context.DeadlineExceeded)
	}},
	{"a closed store says so", func(f *fixture) {
		rev := f.create(f.record("a", "v", "t"))
		f.close()
		if _, _, err := f.store.Get(f.Context(), "a"); !errors.Is(err, storage.ErrClosed) {
			f.Errorf("Get = %v, want error %q", err, storage.ErrClosed)
		}
		f.findFails(storage.ErrClosed, f.Context(), "t", "", 1)
		f.swapFails(storage.ErrClosed, "a", rev, f.record("a", "w"))
		f.swapFails(storage.ErrClosed, "b", 0, f.record("b", "v"))
		f.deleteFails(storage.ErrClosed, "a", rev)
		if err := f.walkNothing(f.Context()); !errors.Is(err, storage.ErrClosed) {
			f.Errorf("Walk = %v, want error %q", err, storage.ErrClosed)
		}
		if replacer, ok := f.store.(storage.Replacer); ok {
			if err := replacer.Replace(f.Context(), sequence(nil)); !errors.Is(err, storage.ErrClosed) {
				f.Errorf("Replace = %v, want error %q", err, storage.ErrClosed)
			}
		}
	}},
	{"a store can be closed twice", func(f *fixture) {
		f.close()
		f.close()
	}},
	{"what was written is there after opening again", func(f *fixture) {
		changed := f.swap("a", f.create(f.record("a", "1", "t1")), f.record("a", "2", "t2"))
		moved := f.swap("b", f.create(f.record("b", "1", "t1")), f.record("c", "2", "t2"))
		f.delete("d", f.create(f.record("d", "1", "t1")))
		soon := f.record("e", "1", "t1", "t2")
		soon.Expiry = f.clock.Now().Add(time.Second)
		soonRev := f.create(soon)
		f.reopen()
		f.has(f.record("a", "2", "t2"), changed)
		f.lacks("b")
		f.has(f.record("c", "2", "t2"), moved)
		f.lacks("d")
		f.has(soon, soonRev)
		f.finds("t1", "e")
		f.finds("t2", "a", "c", "e")
		f.clock.Advance(time.Second)
		f.lacks("e")
		f.finds("t2", "a", "c")
	}},
	{"opening again gives no revision again", func(f *fixture) {
		seen := map[storage.Revision]bool{}
		for range 5 {
			rev := f.create(f.record("a", "v"))
			if seen[rev] {
				f.Fatalf("revision %d was given twice", rev)
			}
			seen[rev] = true
			f.delete("a", rev)
			f.reopen()
		}
	}},
	{"closing amid writes loses none that was acknowledged", testCloseAmidWrites},
}

// doesNothing checks that no call has an effect when ctx has ended already.
func (f *fixture) doesNothing(ctx context.Context, want error) {
	f.Helper()
	r := f.record("a", "v", "t")
	rev := f.create(r)
	if _, _, err := f.store.Get(ctx, "a"); !errors.Is(err, want) {
		f.Errorf("Get = %v, want error %q", err, want)
	}
	f.findFails(want, ctx, "t", "", 1)
	if err := f.walkNothing(ctx); !errors.Is(err, want) {
		f.Errorf("Walk = %v, want error %q", err, want)
	}
	if replacer, ok := f.store.(storage.Replacer); ok {
		if err := replacer.Replace(ctx, sequence(nil)); !errors.Is(err, want) {
			f.Errorf("Replace = %v, want error %q", err, want)
		}
	}
	if checker, ok := f.store.(storage.Checker); ok {
		if err := checker.Check(ctx); !errors.Is(err, want) {
			f.Errorf("Check = %v, want error %q", err, want)
		}
	}
	for _, err := range []error{
		f.swapWith(ctx, "a", rev, f.record("a", "w", "u")),
		f.swapWith(ctx, "a", rev, f.record("b", "w", "u")),
		f.swapWith(ctx, "c", 0, f.record("c", "w", "u")),
		f.store.Delete(ctx, "a", rev),
	} {
		if !errors.Is(err, want) {
			f.Errorf("write = %v, want error %q", err, want)
		}
	}
	f.has(r, rev)
	f.lacks("b")
	f.lacks("c")
	f.finds("t", "a")
	f.finds("u")
}

func (f *fixture) swapWith(ctx context.Context, key string, rev storage.Revision, next storage.Record) error {
	_, err := f.store.CompareAndSwap(ctx, key, rev, next)
	return err
}

// walkNothing is a walk that must not come to a record.
func (f *fixture) walkNothing(ctx context.Context) error {
	return f.store.Walk(ctx, "", func(r storage.Record) error {
		f.Errorf("walked to %q", r.Key)
		return nil
	})
}

func (f *fixture) close() {
	f.Helper()
	closer, ok := f.store.(io.Closer)
	if !ok {
		f.Skip("the store has no Close")
	}
	if err := closer.Close(); err != nil {
		f.Fatalf("Close: %v", err)
	}
}

func (f *fixture) reopen() {
	f.Helper()
	f.close()
	f.store = f.open()
}

func testCloseAmidWrites(f *fixture) {
	const writers = 16
	var (
		mu           sync.Mutex
		acknowledged = map[string]storage.Revision{}
		wg, underWay sync.WaitGroup
	)
	underWay.Add(writers)
	for w := range writers {
		wg.Go(func() {
			started := sync.OnceFunc(underWay.Done)
			defer started()
			for i := 0; ; i++ {
				key := fmt.Sprintf("%d-%d", w, i)
				rev, err := f.store.CompareAndSwap(f.Context(), key, 0, f.record(key, "v", "t"))
				if errors.Is(err, storage.ErrClosed) {
					return
				}
				if err != nil {
					f.Errorf("CompareAndSwap: %v", err)
					return
				}
				mu.Lock()
				acknowledged[key] = rev
				mu.Unlock()
				if i == 2 {
					started()
				}
			}
		})
	}
	underWay.Wait()
	f.close()
	wg.Wait()
	f.store = f.open()
	for key, rev := range acknowledged {
		f.has(f.record(key, "v", "t"), rev)
	}
	if found := f.findAll("t", 100); len(found) != len(acknowledged) {
		f.Errorf("%d records are found, but %d writes were acknowledged and the others refused", len(found), len(acknowledged))
	}
}
