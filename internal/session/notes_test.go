package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

// everyNotes runs a test on notes in every kind of store.
func everyNotes(t *testing.T, test func(*world, *Notes)) {
	t.Run("memory", func(t *testing.T) { w := newWorld(t, defaults()); test(w, NewNotes(w.store, w.clock.now)) })
	t.Run("bbolt", func(t *testing.T) { w := newBoltWorld(t, defaults()); test(w, NewNotes(w.store, w.clock.now)) })
}

func (w *world) wantNote(n *Notes, kind, name, want string) {
	w.Helper()
	value, ok, err := n.Get(ctx, kind, name)
	if err != nil || ok != (want != "none") || ok && string(value) != want {
		w.Errorf("%s %q: %q, %t, %v; want %q", kind, name, value, ok, err, want)
	}
}

func TestNotes(t *testing.T) {
	everyNotes(t, func(w *world, n *Notes) {
		until := w.clock.now().Add(time.Minute)
		w.wantNote(n, "jti", "a", "none")
		if err := n.Put(ctx, "jti", "a", []byte("1"), until); err != nil {
			w.Fatal(err)
		}
		w.wantNote(n, "jti", "a", "1")
		for name, other := range map[string][2]string{
			"another name": {"jti", "b"}, "another kind": {"state", "a"}, "no name": {"jti", ""},
			"a kind that is both": {"jti:a", ""}, "another case": {"jti", "A"},
		} {
			if _, ok, err := n.Get(ctx, other[0], other[1]); ok || err != nil {
				w.Errorf("%s: there is a note, %v", name, err)
			}
		}
		if err := n.Put(ctx, "jti", "a", []byte("2"), until); !errors.Is(err, ErrNoted) {
			w.Errorf("Put again: %v, want ErrNoted", err)
		}
		w.wantNote(n, "jti", "a", "1")
		if err := n.Replace(ctx, "jti", "a", []byte("3"), until.Add(time.Minute)); err != nil {
			w.Error(err)
		}
		if err := n.Replace(ctx, "state", "a", nil, until); err != nil {
			w.Error(err)
		}
		w.wantNote(n, "jti", "a", "3")
		w.wantNote(n, "state", "a", "")
		w.clock.advance(time.Minute)
		w.wantNote(n, "jti", "a", "3") // the later time holds
		w.wantNote(n, "state", "a", "none")
		if value, ok, err := n.Take(ctx, "state", "a"); ok || err != nil {
			w.Errorf("Take of an expired one: %q, %t, %v", value, ok, err)
		}
		if err := n.Put(ctx, "state", "a", []byte("4"), w.clock.now().Add(time.Minute)); err != nil {
			w.Errorf("Put after the end of another: %v", err)
		}
		if value, ok, err := n.Take(ctx, "jti", "a"); !ok || err != nil || string(value) != "3" {
			w.Errorf("Take: %q, %t, %v", value, ok, err)
		}
		w.wantNote(n, "jti", "a", "none")
		if value, ok, err := n.Take(ctx, "jti", "a"); ok || err != nil {
			w.Errorf("Take again: %q, %t, %v", value, ok, err)
		}
	})
}

func TestNotesAreRefused(t *testing.T) {
	w := newWorld(t, defaults())
	n := NewNotes(w.store, w.clock.now)
	most := bytes.Repeat([]byte("x"), MaxNoteBytes)
	for name, c := range map[string]struct {
		value []byte
		until time.Duration
		want  error
	}{
		"the largest":        {most, time.Minute, nil},
		"too large":          {append(bytes.Clone(most), 'x'), time.Minute, ErrNote},
		"the shortest":       {nil, time.Millisecond, nil},
		"over at once":       {nil, 0, ErrNote},
		"over in no time":    {nil, time.Millisecond - 1, ErrNote},
		"over an hour ago":   {nil, -time.Hour, ErrNote},
		"of an instant ever": {nil, 200 * 365 * 24 * time.Hour, nil},
	} {
		if err := n.Put(ctx, "put", name, c.value, w.clock.now().Add(c.until)); !errors.Is(err, c.want) {
			t.Errorf("%s: Put: %v, want %v", name, err, c.want)
		}
		if err := n.Replace(ctx, "replace", name, c.value, w.clock.now().Add(c.until)); !errors.Is(err, c.want) {
			t.Errorf("%s: Replace: %v, want %v", name, err, c.want)
		}
	}
	if err := n.Put(ctx, "put", "zero", nil, time.Time{}); !errors.Is(err, ErrNote) {
		t.Errorf("without a time: %v, want ErrNote", err)
	}
}

// A token that is replayed twenty times at the same moment is used once.
func TestParallelNotes(t *testing.T) {
	everyNotes(t, func(w *world, n *Notes) {
		const callers = 20
		until := w.clock.now().Add(time.Minute)
		var put, taken atomic.Int64
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range callers {
			wg.Go(func() {
				<-start
				switch err := n.Put(ctx, "jti", "a", fmt.Append(nil, i), until); {
				case err == nil:
					put.Add(1)
				case !errors.Is(err, ErrNoted):
					w.Error(err)
				}
			})
		}
		close(start)
		wg.Wait()
		if put.Load() != 1 {
			w.Errorf("%d of %d put the note, want 1", put.Load(), callers)
		}
		for range callers {
			wg.Go(func() {
				switch _, ok, err := n.Take(ctx, "jti", "a"); {
				case err != nil:
					w.Error(err)
				case ok:
					taken.Add(1)
				}
			})
		}
		wg.Wait()
		if taken.Load() != 1 {
			w.Errorf("%d of %d took the note, want 1", taken.Load(), callers)
		}
	})
}

// Whatever is put in place of a note meanwhile, no value is taken twice.
func TestParallelReplacesAndTakes(t *testing.T) {
	everyNotes(t, func(w *world, n *Notes) {
		until := w.clock.now().Add(time.Minute)
		var mu sync.Mutex
		taken := make(map[string]int)
		take := func() {
			value, ok, err := n.Take(ctx, "k", "a")
			if err != nil {
				w.Error(err)
			}
			if ok {
				mu.Lock()
				taken[string(value)]++
				mu.Unlock()
			}
		}
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() {
				for j := range 20 {
					if err := n.Replace(ctx, "k", "a", fmt.Appendf(nil, "%d-%d", i, j), until); err != nil {
						w.Error(err)
					}
				}
			})
			wg.Go(func() {
				for range 20 {
					take()
				}
			})
		}
		wg.Wait()
		take()
		for value, times := range taken {
			if times != 1 {
				w.Errorf("%s was taken %d times", value, times)
			}
		}
		if len(taken) == 0 {
			w.Error("nothing was taken")
		}
	})
}

func TestNotesTellOfTheStoresErrors(t *testing.T) {
	broken := errors.New("disk is gone")
	for _, op := range []string{"get", "swap", "delete"} {
		w := newWorld(t, defaults())
		n := NewNotes(w.store, w.clock.now)
		until := w.clock.now().Add(time.Minute)
		if err := n.Put(ctx, "k", "there", nil, until); err != nil {
			t.Fatal(err)
		}
		w.mem.before = func(_ context.Context, c call) error {
			if c.op == op {
				return broken
			}
			return nil
		}
		for name, c := range map[string]struct {
			do  func() error
			ops string
		}{
			"put":     {func() error { return n.Put(ctx, "k", "new", nil, until) }, "swap"},
			"replace": {func() error { return n.Replace(ctx, "k", "there", nil, until) }, "get swap"},
			"get":     {func() error { _, _, err := n.Get(ctx, "k", "there"); return err }, "get"},
			"take":    {func() error { _, _, err := n.Take(ctx, "k", "there"); return err }, "get delete"},
		} {
			if err := c.do(); errors.Is(err, broken) != strings.Contains(c.ops, op) || errors.Is(err, ErrNoted) {
				t.Errorf("%s while %s is broken: %v", name, op, err)
			}
		}
	}
}

// A note's name may be a secret, which a copy of the database must not tell.
func TestNamesOfNotesAreNotStored(t *testing.T) {
	w := newWorld(t, defaults())
	n := NewNotes(w.store, w.clock.now)
	if err := n.Put(ctx, "state", "hunter2", nil, w.clock.now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	err := w.store.Walk(ctx, "", func(r storage.Record) error {
		if strings.Contains(fmt.Sprint(r), "hunter2") {
			t.Errorf("the record %+v has it", r)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestLasting(t *testing.T) {
	w := newWorld(t, defaults())
	n := NewNotes(w.store, w.clock.now)
	w.browser("alice", "bob")
	if records, err := w.jars.Lasting(ctx); err != nil || len(records) != 0 {
		t.Errorf("of jars alone: %v, %v", records, err)
	}
	if err := n.Put(ctx, "jti", "a", []byte("1"), w.clock.now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := n.Put(ctx, "jti", "b", []byte("2"), w.clock.now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := w.NoteRoster(ctx, Roster{"password": {"alice"}}, nil); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(time.Second)
	records, err := w.jars.Lasting(ctx)
	if err != nil || len(records) != 2 || records[0].Key != noteKey("jti", "a") || records[1].Key != rosterKey {
		t.Errorf("%v, %v; want the note that is there, and the roster", records, err)
	}
}
