package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
	"github.com/caddy-multi-session/gateway/storage/boltstore"
)

// What all tests of the package share: a clock that is moved, a directory whose mind is changed,
// and a store that fails and pauses where it is told to.

var epoch = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// people is a Directory: everybody is who they were at sign-in, but for those named here.
type people struct {
	mu   sync.Mutex
	gone map[Account]bool
	now  map[Account]*Identity
}

func (p *people) Current(recorded *Identity) (*Identity, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone[recorded.Account] {
		return nil, false
	}
	if now, ok := p.now[recorded.Account]; ok {
		return now, true
	}
	return recorded, true
}

func (p *people) setGone(gone bool, accounts ...Account) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range accounts {
		p.gone[a] = gone
	}
}

func (p *people) become(a Account, id *Identity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now[a] = id
}

// call is a call of a memStore.
type call struct {
	op  string // "get", "swap", "delete" or "find"
	key string
	rev storage.Revision // with after: the one that a swap resulted in
}

// memStore keeps records in memory. Before and after are called around the work of each call, and
// may pause it or fail it: before, nothing was done, and after, all was.
type memStore struct {
	now    func() time.Time
	before func(context.Context, call) error
	after  func(context.Context, call) error

	mu       sync.Mutex
	records  map[string]memRecord
	revision storage.Revision
	calls    map[string]int
}

type memRecord struct {
	storage.Record
	revision storage.Revision
}

func newMemStore(now func() time.Time) *memStore {
	return &memStore{now: now, records: make(map[string]memRecord), calls: make(map[string]int)}
}

func (s *memStore) do(ctx context.Context, c call, work func() (storage.Revision, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.before != nil {
		if err := s.before(ctx, c); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.calls[c.op]++
	rev, err := work()
	s.mu.Unlock()
	if err == nil && s.after != nil {
		c.rev = rev
		return s.after(ctx, c)
	}
	return err
}

func (s *memStore) live(key string) (memRecord, bool) {
	r, ok := s.records[key]
	return r, ok && s.now().Before(r.Expiry)
}

func (s *memStore) Get(ctx context.Context, key string) (storage.Record, storage.Revision, error) {
	var found memRecord
	err := s.do(ctx, call{op: "get", key: key}, func() (storage.Revision, error) {
		r, ok := s.live(key)
		if !ok {
			return 0, storage.ErrNotFound
		}
		found = r
		found.Value, found.Terms = bytes.Clone(r.Value), slices.Clone(r.Terms)
		return r.revision, nil
	})
	if err != nil {
		return storage.Record{}, 0, err
	}
	return found.Record, found.revision, nil
}

func (s *memStore) CompareAndSwap(ctx context.Context, key string, rev storage.Revision, next storage.Record) (storage.Revision, error) {
	if err := checkRecord(next); err != nil {
		return 0, err
	}
	var revision storage.Revision
	err := s.do(ctx, call{op: "swap", key: key}, func() (storage.Revision, error) {
		old, ok := s.live(key)
		switch {
		case rev == 0 && next.Key != key:
			return 0, storage.ErrInvalid
		case rev == 0 && ok, rev != 0 && (!ok || old.revision != rev):
			return 0, storage.ErrConflict
		}
		if _, taken := s.live(next.Key); taken && next.Key != key {
			return 0, storage.ErrConflict
		}
		delete(s.records, key)
		s.revision++
		revision = s.revision
		next.Value, next.Terms = bytes.Clone(next.Value), slices.Clone(next.Terms)
		s.records[next.Key] = memRecord{next, revision}
		return revision, nil
	})
	if err != nil {
		return 0, err
	}
	return revision, nil
}

func checkRecord(r storage.Record) error {
	terms := slices.Sorted(slices.Values(r.Terms))
	switch {
	case len(r.Value) > storage.MaxValueBytes:
		return fmt.Errorf("value of %d bytes: %w", len(r.Value), storage.ErrInvalid)
	case len(terms) > storage.MaxTerms, len(slices.Compact(terms)) != len(r.Terms):
		return fmt.Errorf("too many terms or two alike: %w", storage.ErrInvalid)
	case r.Expiry.IsZero(), r.Key == "", len(r.Key) > storage.MaxKeyBytes:
		return storage.ErrInvalid
	}
	for _, term := range r.Terms {
		if term == "" || len(term) > storage.MaxTermBytes || strings.Contains(term, "\x00") {
			return storage.ErrInvalid
		}
	}
	return nil
}

func (s *memStore) Delete(ctx context.Context, key string, rev storage.Revision) error {
	return s.do(ctx, call{op: "delete", key: key}, func() (storage.Revision, error) {
		if r, ok := s.live(key); !ok || r.revision != rev {
			return 0, storage.ErrConflict
		}
		delete(s.records, key)
		return 0, nil
	})
}

func (s *memStore) Find(ctx context.Context, term, after string, limit int) ([]string, error) {
	var keys []string
	err := s.do(ctx, call{op: "find", key: term}, func() (storage.Revision, error) {
		for _, key := range slices.Sorted(maps.Keys(s.records)) {
			if r, ok := s.live(key); ok && key > after && slices.Contains(r.Terms, term) && len(keys) < limit {
				keys = append(keys, key)
			}
		}
		return 0, nil
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// count returns how often the operations were carried out, successfully or not.
func (s *memStore) count(ops ...string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, op := range ops {
		n += s.calls[op]
	}
	return n
}

// snapshot returns every live jar and its revision, by key.
func (s *memStore) snapshot(t testing.TB) map[string]storedJar {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	jars := make(map[string]storedJar)
	for key := range s.records {
		r, ok := s.live(key)
		if !ok || !strings.HasPrefix(key, jarPrefix) {
			continue
		}
		jar, err := decodeJar(r.Value)
		if err != nil {
			t.Errorf("a stored jar is not readable: %v", err)
			continue
		}
		jars[key] = storedJar{jar, r.revision, len(r.Value)}
	}
	return jars
}

// pause stops the first call of the operation that comes, before its work or after it. Reached is
// closed when it has come; it goes on when release is called.
func (s *memStore) pause(when *func(context.Context, call) error, op string) (reached chan struct{}, release func()) {
	reached = make(chan struct{})
	resume := make(chan struct{})
	var once sync.Once
	*when = func(_ context.Context, c call) error {
		if c.op == op {
			first := false
			once.Do(func() { first = true })
			if first {
				close(reached)
				<-resume
			}
		}
		return nil
	}
	return reached, func() { close(resume) }
}

// world is a gateway's sessions, and what they depend on.
type world struct {
	testing.TB
	clock  *clock
	people *people
	store  storage.Store
	mem    *memStore // store, where it is one
	jars   *Jars
	*Manager
}

func defaults() Options {
	return Options{MaxSessions: DefaultMaxSessions, Lifetime: DefaultLifetime, IdleTimeout: DefaultIdleTimeout}
}

func newWorld(t testing.TB, options Options) *world {
	t.Helper()
	w := emptyWorld(t)
	w.mem = newMemStore(w.clock.now)
	w.store = w.mem
	w.restart(options)
	return w
}

func newBoltWorld(t testing.TB, options Options) *world {
	t.Helper()
	w := emptyWorld(t)
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "sessions.db"), boltstore.Options{Now: w.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	w.store = store
	w.restart(options)
	return w
}

func emptyWorld(t testing.TB) *world {
	return &world{
		TB:     t,
		clock:  &clock{t: epoch},
		people: &people{gone: make(map[Account]bool), now: make(map[Account]*Identity)},
	}
}

// everyWorld runs a test on every kind of store.
func everyWorld(t *testing.T, options Options, test func(*world)) {
	t.Run("memory", func(t *testing.T) { test(newWorld(t, options)) })
	t.Run("bbolt", func(t *testing.T) { test(newBoltWorld(t, options)) })
}

// restart begins anew with what is stored.
func (w *world) restart(options Options) {
	if w.Manager != nil {
		w.Close()
	}
	w.jars = NewJars(w.store)
	w.reload(options)
}

// settle waits until it is recorded that sessions were used and tokens presented.
func (w *world) settle() {
	w.Close()
	w.reload(w.options)
}

// reload replaces the manager, as a new configuration does, and keeps the jars.
func (w *world) reload(options Options) {
	m := NewManager(w.jars, w.people, options, w.clock.now)
	w.Cleanup(m.Close)
	w.Manager = m
}

// person returns the identity of somebody who signs in by password.
func person(name string) *Identity {
	return &Identity{Account: Account{"password", name}, UserName: name}
}

func (w *world) signIn(token Token, name string) SignedIn {
	w.Helper()
	done, err := w.SignIn(context.Background(), token, person(name), nil, Client{})
	if err != nil {
		w.Fatalf("sign in %s: %v", name, err)
	}
	return done
}

// browser signs people in, one after the other, a minute apart, into one jar. It returns the jar's
// token, which has been presented, and everybody's handle; the last one is active.
func (w *world) browser(names ...string) (Token, map[string]string) {
	w.Helper()
	var token Token
	handles := make(map[string]string)
	for i, name := range names {
		if i > 0 {
			w.clock.advance(time.Minute)
		}
		done := w.signIn(token, name)
		token, handles[name] = done.Token, done.Entry.Handle
	}
	w.visit(token)
	w.settle()
	return token, handles
}

func (w *world) visit(token Token) Visit {
	w.Helper()
	v, err := w.Visit(context.Background(), token)
	if err != nil {
		w.Fatalf("visit: %v", err)
	}
	return v
}

// names lists who is signed in, the active one with a star: "alice bob*".
func names(v Visit) string {
	var list []string
	for _, e := range v.Entries() {
		name := e.Identity.UserName
		if e.Active {
			name += "*"
		}
		list = append(list, name)
	}
	return strings.Join(list, " ")
}

func (w *world) want(token Token, want string) {
	w.Helper()
	v := w.visit(token)
	if got := names(v); got != want {
		w.Errorf("signed in are %q, want %q", got, want)
	}
	active, ok := v.Active()
	if ok != strings.Contains(want, "*") {
		w.Errorf("Active reports %t with %q signed in", ok, want)
	}
	if ok && (!active.Active || !strings.Contains(want, active.Identity.UserName+"*")) {
		w.Errorf("Active is %s with %q signed in", active.Identity.UserName, want)
	}
}

// stored returns the jar of a token as the store has it, and its revision; zero where it has none.
func (w *world) stored(token Token) storedJar {
	w.Helper()
	record, revision, err := w.store.Get(context.Background(), token.Key().storeKey())
	if errors.Is(err, storage.ErrNotFound) {
		return storedJar{}
	}
	if err != nil {
		w.Fatal(err)
	}
	jar, err := decodeJar(record.Value)
	if err != nil {
		w.Fatal(err)
	}
	return storedJar{jar, revision, len(record.Value)}
}

// unchanged reports an error if the stored jar is not what it was.
func (w *world) unchanged(token Token, was storedJar) {
	w.Helper()
	if is := w.stored(token); is.revision != was.revision {
		w.Errorf("the stored jar went from revision %d to %d, want no change", was.revision, is.revision)
	}
}

func (s *memStore) Walk(ctx context.Context, prefix string, visit func(storage.Record) error) error {
	var found []storage.Record
	err := s.do(ctx, call{op: "walk", key: prefix}, func() (storage.Revision, error) {
		for key, r := range s.records {
			if _, ok := s.live(key); ok && strings.HasPrefix(key, prefix) {
				found = append(found, r.Record)
			}
		}
		return 0, nil
	})
	if err != nil {
		return err
	}
	for _, r := range found {
		if err := visit(r); err != nil {
			return err
		}
	}
	return nil
}

// EndAccount ends the account's sessions that were created before the given time, and returns their
// number.
func (m *Manager) EndAccount(ctx context.Context, account Account, before time.Time) (int, error) {
	ended, err := m.End(ctx, Selection{Account: account}, notBefore(before))
	return len(ended), err
}
