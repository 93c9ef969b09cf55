package session

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

// The stale loads below have read the store before a write, and come to keep what they read after
// that write was acknowledged.

func TestLoadThatWriteOvertakes(t *testing.T) {
	for _, c := range []struct {
		name  string
		write func(*world, Token, map[string]string) (Token, error)
		want  string
	}{
		{"swap", func(w *world, token Token, handles map[string]string) (Token, error) {
			_, err := w.Revoke(ctx, token, handles["bob"])
			return token, err
		}, "alice*"},
		{"delete", func(w *world, token Token, _ map[string]string) (Token, error) {
			_, err := w.SignOut(ctx, token, Visit{})
			return token, err
		}, ""},
		{"move", func(w *world, token Token, _ map[string]string) (Token, error) {
			_, err := w.SignIn(ctx, token, person("carol"), nil, Client{})
			return token, err
		}, ""},
		{"move, and the new place", func(w *world, token Token, _ map[string]string) (Token, error) {
			done, err := w.SignIn(ctx, token, person("carol"), nil, Client{})
			return done.Token, err
		}, "alice bob carol*"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, defaults())
			token, handles := w.browser("alice", "bob")
			w.restart(defaults())
			read, release := w.mem.pause(&w.mem.after, "get")
			visited := make(chan string)
			go func() {
				v, err := w.Visit(ctx, token)
				if err != nil {
					t.Error(err)
				}
				visited <- names(v)
			}()
			<-read
			token, err := c.write(w, token, handles)
			if err != nil {
				t.Fatal(err)
			}
			w.want(token, c.want)
			release()
			if got := <-visited; got != "alice bob*" {
				t.Errorf("the request that came before the write saw %q", got)
			}
			w.want(token, c.want)
		})
	}
}

// Two writes of one jar overlap: the store takes one after the other, and they end in either order.
func TestWritesThatOverlap(t *testing.T) {
	for _, firstEndsFirst := range []bool{true, false} {
		w := newWorld(t, defaults())
		token, handles := w.browser("alice", "bob", "carol")
		var mu sync.Mutex
		paused := make(chan int, 2)
		resume := []chan struct{}{make(chan struct{}), make(chan struct{})}
		n := 0
		w.mem.after = func(_ context.Context, c call) error {
			if c.op != "swap" {
				return nil
			}
			mu.Lock()
			i := n
			n++
			mu.Unlock()
			if i < 2 {
				paused <- i
				<-resume[i]
			}
			return nil
		}
		done := []chan error{make(chan error, 1), make(chan error, 1)}
		revoke := func(i int, name string) {
			_, err := w.Revoke(ctx, token, handles[name])
			done[i] <- err
		}
		go revoke(0, "alice")
		<-paused // stored, and not yet in memory
		go revoke(1, "bob")
		<-paused
		order := []int{1, 0}
		if firstEndsFirst {
			order = []int{0, 1}
		}
		for _, i := range order {
			close(resume[i])
			if err := <-done[i]; err != nil {
				t.Fatal(err)
			}
			// Whoever was told of the end of a session must never see it again.
			gone := []string{"alice", "bob"}[i]
			if got := names(w.visit(token)); strings.Contains(got, gone) {
				t.Errorf("first ends first %t: %s was ended, and signed in are %q", firstEndsFirst, gone, got)
			}
		}
		w.want(token, "carol*")
	}
}

// A search finds the jar at its new place and changes it before the sign-in that moved it is through.
func TestMovedJarIsChangedBeforeTheMoveEnds(t *testing.T) {
	w := newWorld(t, defaults())
	token, _ := w.browser("alice")
	w.clock.advance(time.Second)
	moved, release := w.mem.pause(&w.mem.after, "swap")
	out := make(chan SignedIn)
	go func() {
		done, err := w.SignIn(ctx, token, person("bob"), nil, Client{})
		if err != nil {
			t.Error(err)
		}
		out <- done
	}()
	<-moved
	if n, err := w.EndAccount(ctx, person("alice").Account, w.clock.now()); n != 1 || err != nil {
		t.Errorf("EndAccount = %d, %v; want 1", n, err)
	}
	release()
	done := <-out
	w.want(done.Token, "bob*")
}

// The store did what it was asked to, and said that it failed.
func TestMemoryAfterAnAmbiguousError(t *testing.T) {
	lost := errors.New("connection lost")
	w := newWorld(t, defaults())
	token, handles := w.browser("alice", "bob", "carol")
	w.restart(defaults())
	w.want(token, "alice bob carol*")
	failing := func(do func() error) {
		t.Helper()
		w.mem.after = func(_ context.Context, c call) error {
			if c.op == "swap" || c.op == "delete" {
				return lost
			}
			return nil
		}
		if err := do(); !errors.Is(err, lost) {
			t.Errorf("got %v, want the store's error", err)
		}
		w.mem.after = nil
	}
	failing(func() error { _, err := w.Revoke(ctx, token, handles["carol"]); return err })
	w.want(token, "alice bob*")
	failing(func() error { _, err := w.SetActive(ctx, token, handles["alice"]); return err })
	w.want(token, "alice* bob")
	old := token
	failing(func() error { _, err := w.SignIn(ctx, token, person("dave"), nil, Client{}); return err })
	w.want(old, "")

	token, _ = w.browser("erin")
	failing(func() error { _, err := w.SignOut(ctx, token, Visit{}); return err })
	w.want(token, "")
}

// The store did nothing, and said that it failed.
func TestMemoryAfterAFailedWrite(t *testing.T) {
	w := newWorld(t, defaults())
	token, handles := w.browser("alice", "bob")
	w.mem.before = func(_ context.Context, c call) error {
		if c.op == "swap" {
			return errors.New("disk is full")
		}
		return nil
	}
	if _, err := w.Revoke(ctx, token, handles["bob"]); err == nil {
		t.Error("acknowledged what was not stored")
	}
	w.want(token, "alice bob*")
}

// A jar that was changed behind the memory's back: the write notices, and does not overwrite.
func TestConflictWithTheStoreIsNotOverwritten(t *testing.T) {
	w := newWorld(t, defaults())
	token, handles := w.browser("alice", "bob", "carol")
	other := NewManager(NewJars(w.store), w.people, defaults(), w.clock.now)
	t.Cleanup(other.Close)
	if _, err := other.Revoke(ctx, token, handles["alice"]); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Revoke(ctx, token, handles["carol"]); err != nil {
		t.Fatal(err)
	}
	w.want(token, "bob*")
}

func TestMemoryIsHit(t *testing.T) {
	w := newWorld(t, defaults())
	token, _ := w.browser("alice")
	for range 10 {
		w.want(token, "alice*")
	}
	if got := w.mem.count("get"); got != 0 {
		t.Errorf("%d reads, want none after the sign-in", got)
	}
	w.restart(defaults())
	for range 10 {
		w.want(token, "alice*")
	}
	if got := w.mem.count("get"); got != 1 {
		t.Errorf("%d reads after a restart, want 1", got)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	j := NewJars(newMemStore(time.Now))
	kept := &storedJar{&Jar{ID: "x"}, 1, 1}
	for i := range 3 * jarShards * jarsByShard {
		var key Key
		binary.LittleEndian.PutUint32(key[:], uint32(i))
		j.shard(key).written(key, kept, j.shard(key).epoch)
		if i%2 == 0 {
			j.shard(key).keep(key, *kept) // once more, which needs no room
		}
	}
	total := 0
	for i := range j.shards {
		if n := len(j.shards[i].kept); n > jarsByShard {
			t.Errorf("shard %d keeps %d jars, more than %d", i, n, jarsByShard)
		} else {
			total += n
		}
	}
	if total != jarShards*jarsByShard {
		t.Errorf("%d jars are kept, want as many as there is room for, %d", total, jarShards*jarsByShard)
	}
}

// Jars with large tokens must not fill the memory of the machine.
func TestMemoryIsBoundedInBytes(t *testing.T) {
	shard := &jarShard{kept: make(map[Key]storedJar)}
	check := func(what string, jars int) {
		t.Helper()
		sum := 0
		for _, jar := range shard.kept {
			sum += jar.bytes
		}
		if len(shard.kept) != jars || sum != shard.bytes || sum > bytesByShard {
			t.Errorf("%s: %d jars of %d bytes, counted as %d; want %d jars", what, len(shard.kept), sum, shard.bytes, jars)
		}
	}
	large := func(bytes int) *storedJar { return &storedJar{&Jar{ID: "x"}, 1, bytes} }
	for i := range 100 {
		shard.written(Key{byte(i)}, large(bytesByShard/10), shard.epoch)
	}
	check("a hundred large ones", 10)
	for key := range shard.kept {
		shard.keep(key, *large(bytesByShard / 20))
	}
	check("smaller now", 10)
	for key := range shard.kept {
		shard.written(key, nil, 0)
		break
	}
	check("one is gone", 9)
	shard.written(Key{255}, nil, 0)
	check("one is gone that was not there", 9)
	shard.written(Key{200}, large(bytesByShard), shard.epoch)
	check("the largest", 1)
	if _, ok := shard.kept[Key{200}]; !ok {
		t.Error("the jar that came last is not kept")
	}
}

func TestStoreKeys(t *testing.T) {
	key := NewToken().Key()
	if got, err := parseStoreKey(key.storeKey()); err != nil || got != key {
		t.Errorf("parseStoreKey = %v, %v; want the key", got == key, err)
	}
	for _, name := range []string{"", "roster", "jar:", "jar:x", key.storeKey() + "A", strings.TrimPrefix(key.storeKey(), jarPrefix)} {
		if _, err := parseStoreKey(name); err == nil {
			t.Errorf("%q was taken for a jar's key", name)
		}
	}
}

// seed returns the seed of a random test, which TEST_SEED repeats.
func seed(t *testing.T) uint64 {
	t.Helper()
	s := rand.Uint64()
	if text := os.Getenv("TEST_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		s = n
	}
	t.Logf("TEST_SEED=%d repeats this run", s)
	return s
}

// stepper runs several calls at a time, one step of one of them after another: a step ends before
// and after each piece of work of the store. So every interleaving that there can be comes up.
type stepper struct {
	rng     *rand.Rand
	waiting []*stepped
	arrived chan *stepped
}

type stepped struct {
	name string
	goOn chan struct{}
	done bool

	// What the store told this call since it began: where jars are now, and where no more.
	wrote map[string]storage.Revision
	err   error
}

type steppedKey struct{}

func (s *stepper) yield(ctx context.Context) *stepped {
	op, ok := ctx.Value(steppedKey{}).(*stepped)
	if ok {
		s.arrived <- op
		<-op.goOn
	}
	return op
}

// start begins a call, up to its first step.
func (s *stepper) start(name string, call func(context.Context) error) {
	op := &stepped{name: name, goOn: make(chan struct{}), wrote: make(map[string]storage.Revision)}
	go func() {
		op.err = call(context.WithValue(context.Background(), steppedKey{}, op))
		op.done = true
		s.arrived <- op
	}()
	s.take()
}

// take waits for the one call that runs to pause or to end.
func (s *stepper) take() *stepped {
	op := <-s.arrived
	if !op.done {
		s.waiting = append(s.waiting, op)
	}
	return op
}

// step lets one call go on, chosen at random. It returns it if it has ended, else nil.
func (s *stepper) step() *stepped {
	i := s.rng.IntN(len(s.waiting))
	op := s.waiting[i]
	s.waiting = append(s.waiting[:i], s.waiting[i+1:]...)
	op.goOn <- struct{}{}
	if op = s.take(); op.done {
		return op
	}
	return nil
}

// stepStore tells the stepper of each piece of work, and sometimes fails after it.
type stepStore struct {
	*memStore
	*stepper
}

var errAmbiguous = errors.New("connection lost")

func (s stepStore) Get(ctx context.Context, key string) (storage.Record, storage.Revision, error) {
	s.yield(ctx)
	r, rev, err := s.memStore.Get(ctx, key)
	s.yield(ctx)
	return r, rev, err
}

func (s stepStore) CompareAndSwap(ctx context.Context, key string, rev storage.Revision, next storage.Record) (storage.Revision, error) {
	op := s.yield(ctx)
	now, err := s.memStore.CompareAndSwap(ctx, key, rev, next)
	s.yield(ctx)
	if err == nil && op != nil {
		if s.rng.IntN(10) == 0 {
			return 0, errAmbiguous
		}
		op.wrote[key] = 0
		op.wrote[next.Key] = now
	}
	return now, err
}

func (s stepStore) Delete(ctx context.Context, key string, rev storage.Revision) error {
	op := s.yield(ctx)
	err := s.memStore.Delete(ctx, key, rev)
	s.yield(ctx)
	if err == nil && op != nil {
		if s.rng.IntN(10) == 0 {
			return errAmbiguous
		}
		op.wrote[key] = 0
	}
	return err
}

// TestMemoryIsNeverOlderThanAnAcknowledgedWrite looks into the memory after every step of calls
// that overlap. What it has must be at least as new as every write that has been acknowledged, and
// when all is quiet it must be what is stored.
func TestMemoryIsNeverOlderThanAnAcknowledgedWrite(t *testing.T) {
	rng := rand.New(rand.NewPCG(seed(t), 0))
	runs := 1500
	if testing.Short() {
		runs = 200
	}
	w := newWorld(t, defaults())
	token, handles := w.browser("alice", "bob", "carol")
	w.clock.advance(time.Hour)
	for run := range runs {
		mem := newMemStore(w.clock.now)
		mem.records, mem.revision = maps.Clone(w.mem.records), w.mem.revision
		steps := &stepper{rng: rng, arrived: make(chan *stepped)}
		cold := rng.IntN(2) == 0
		jars := NewJars(stepStore{mem, steps})
		if !cold {
			if _, err := jars.load(ctx, token.Key(), w.clock.now()); err != nil {
				t.Fatal(err)
			}
		}
		m := &Manager{jars: jars, directory: w.people, options: defaults(), now: w.clock.now}

		var trace []string
		floor := make(map[string]storage.Revision) // zero where there must be nothing
		check := func(when string) {
			for i := range jars.shards {
				for key, kept := range jars.shards[i].kept {
					if min, ok := floor[key.storeKey()]; ok && (min == 0 || kept.revision < min) {
						t.Fatalf("run %d, cold %t: %s: memory has revision %d, and %d was acknowledged (0: that it is gone)\n%s",
							run, cold, when, kept.revision, min, strings.Join(trace, "\n"))
					}
				}
			}
		}
		calls := []struct {
			name string
			call func(context.Context) error
		}{
			{"visit", func(ctx context.Context) error { _, err := m.Visit(ctx, token); return err }},
			{"revoke alice", func(ctx context.Context) error { _, err := m.Revoke(ctx, token, handles["alice"]); return err }},
			{"revoke carol", func(ctx context.Context) error { _, err := m.Revoke(ctx, token, handles["carol"]); return err }},
			{"switch to bob", func(ctx context.Context) error { _, err := m.SetActive(ctx, token, handles["bob"]); return err }},
			{"sign in", func(ctx context.Context) error {
				_, err := m.SignIn(ctx, token, person("dave"), nil, Client{})
				return err
			}},
			{"sign out", func(ctx context.Context) error { _, err := m.SignOut(ctx, token, Visit{}); return err }},
			{"end bob", func(ctx context.Context) error {
				_, err := m.EndAccount(ctx, person("bob").Account, w.clock.now())
				return err
			}},
			{"use", func(ctx context.Context) error {
				return m.recordUse(ctx, use{token.Key(), handles["alice"], w.clock.now()})
			}},
		}
		left := 2 + rng.IntN(4)
		for left > 0 || len(steps.waiting) > 0 {
			var ended *stepped
			if left > 0 && (len(steps.waiting) == 0 || rng.IntN(3) == 0) {
				left--
				c := calls[rng.IntN(len(calls))]
				trace = append(trace, "begin "+c.name)
				steps.start(c.name, c.call)
			} else {
				name := "?"
				if ended = steps.step(); ended != nil {
					name = ended.name
					trace = append(trace, fmt.Sprintf("end %s: %v", name, ended.err))
					for key, revision := range ended.wrote {
						if was, ok := floor[key]; ok && (was == 0 || revision != 0 && revision < was) {
							continue // a key that is gone never comes back; a later write was told of earlier
						}
						floor[key] = revision
					}
				}
			}
			check("while calls overlap")
		}
		stored := mem.snapshot(t)
		for i := range jars.shards {
			for key, kept := range jars.shards[i].kept {
				if s := stored[key.storeKey()]; s.revision != kept.revision {
					t.Fatalf("run %d, cold %t: all is quiet, memory has revision %d and the store %d\n%s",
						run, cold, kept.revision, s.revision, strings.Join(trace, "\n"))
				}
			}
		}
	}
}
