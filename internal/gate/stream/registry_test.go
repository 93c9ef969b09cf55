package stream

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/storage/boltstore"
)

// directory confirms every identity as it was at sign-in.
type directory struct{}

func (directory) Current(recorded *session.Identity) (*session.Identity, bool) { return recorded, true }

// browsers returns visits of n jars, each with one session.
func browsers(tb testing.TB, n int) []session.Visit {
	tb.Helper()
	store, err := boltstore.Open(filepath.Join(tb.TempDir(), "test.db"), boltstore.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	defer store.Close()
	options := session.Options{MaxSessions: 5, Lifetime: time.Hour}
	manager := session.NewManager(session.NewJars(store), directory{}, options, time.Now)
	defer manager.Close()
	visits := make([]session.Visit, n)
	for i := range visits {
		identity := &session.Identity{Account: session.Account{Method: "password", Subject: "alice"}, UserName: "alice"}
		done, err := manager.SignIn(tb.Context(), session.Token{}, identity, nil, session.Client{})
		if err != nil {
			tb.Fatal(err)
		}
		if visits[i], err = manager.Visit(tb.Context(), done.Token); err != nil {
			tb.Fatal(err)
		}
	}
	return visits
}

// sessions is a Lookup whose answers a test sets.
type sessions struct {
	mu     sync.Mutex
	states map[string]State // by session; others are StateActive
	err    error
	hangs  bool
	asked  map[string]int
}

func (c *sessions) lookup(ctx context.Context, since session.Visit, id string) (session.Visit, State, error) {
	c.mu.Lock()
	err, hangs := c.err, c.hangs
	if c.asked == nil {
		c.asked = make(map[string]int)
	}
	c.asked[id]++
	s, ok := c.states[id]
	c.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return session.Visit{}, StateEnded, ctx.Err()
	}
	if err != nil {
		return session.Visit{}, StateEnded, err
	}
	if !ok {
		s = StateActive
	}
	return since, s, nil
}

func (c *sessions) set(id string, s State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.states == nil {
		c.states = make(map[string]State)
	}
	c.states[id] = s
}

func (c *sessions) fail(err error, hangs bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err, c.hangs = err, hangs
}

func (c *sessions) count(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked[id]
}

// withRegistry runs a test in a bubble, with a registry that asks sessions.
func withRegistry(t *testing.T, test func(t *testing.T, r *Registry, c *sessions)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, c := NewRegistry(), new(sessions)
		r.SetLookup(c.lookup)
		test(t, r, c)
	})
}

// wire is a connection that counts calls, and panics at one that comes after Close.
type wire struct {
	interrupted, severed atomic.Int32
	reused               atomic.Bool
}

func (w *wire) Interrupt() { w.count(&w.interrupted) }
func (w *wire) Sever()     { w.count(&w.severed) }

func (w *wire) count(n *atomic.Int32) {
	if w.reused.Load() {
		panic("somebody else's answer was cut off")
	}
	n.Add(1)
}

func (w *wire) want(t *testing.T, what string, interrupted, severed int32) {
	t.Helper()
	if i, s := w.interrupted.Load(), w.severed.Load(); i != interrupted || s != severed {
		t.Errorf("%s: interrupted %d times and severed %d, want %d and %d", what, i, s, interrupted, severed)
	}
}

// advance moves the bubble's clock on, and returns when everything that is due by then has
// happened.
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// bound is how long a request may outlast its session.
const bound = 2 * time.Second

// open returns how many requests are under way.
func (r *Registry) open() (n int) {
	for i := range r.shards {
		r.shards[i].visit(func(*Request) { n++ })
	}
	return n
}

func TestEndsWithItsSession(t *testing.T) {
	visits := browsers(t, 2)
	for _, test := range []struct {
		name     string
		onSwitch bool
		state    State
		ends     bool
	}{
		{"active", false, StateActive, false},
		{"active, and ends on a switch", true, StateActive, false},
		{"inactive", false, StateInactive, false},
		{"inactive, and ends on a switch", true, StateInactive, true},
		{"ended", false, StateEnded, true},
		{"ended, and ends on a switch", true, StateEnded, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			// The session may end at any point between two rounds, and at any age of the request.
			for _, after := range []time.Duration{0, settled - 1, settled + 1, interval - 1, interval + 1, time.Hour + settled} {
				withRegistry(t, func(t *testing.T, r *Registry, c *sessions) {
					var q, same, other, elsewhere Request
					var w, sameWire, otherWire, elsewhereWire wire
					r.Open(&q, visits[0], "a", &w)
					r.Open(&same, visits[0], "a", &sameWire)
					r.Open(&other, visits[0], "b", &otherWire)
					r.Open(&elsewhere, visits[1], "c", &elsewhereWire)
					if test.onSwitch {
						q.EndOnSwitch()
						other.EndOnSwitch()
					}
					advance(after)
					w.want(t, "before", 0, 0)
					c.set("a", test.state)
					advance(bound)
					if test.ends {
						w.want(t, "it", 1, 1)
					} else {
						w.want(t, "it", 0, 0)
					}
					if same.Ended() != (test.state == StateEnded) {
						t.Errorf("the other request of the session: ended is %t", same.Ended())
					}
					otherWire.want(t, "one of another session", 0, 0)
					elsewhereWire.want(t, "one of another jar", 0, 0)
					if got := q.Close(); got != test.ends || q.Ended() != test.ends {
						t.Errorf("ended is %t, and %t after it", got, q.Ended())
					}
					q.Close()
					same.Close()
					other.Close()
					elsewhere.Close()
					if n := r.open(); n > 0 {
						t.Errorf("%d are under way", n)
					}
				})
			}
		})
	}
}

// TestInterruptedRequestIsNotSevered if its handler gives up in time.
func TestInterruptedRequestIsNotSevered(t *testing.T) {
	visits := browsers(t, 1)
	withRegistry(t, func(t *testing.T, r *Registry, c *sessions) {
		var q Request
		var w wire
		r.Open(&q, visits[0], "a", &w)
		c.set("a", StateEnded)
		advance(interval + 1)
		w.want(t, "after a round", 1, 0)
		if !q.Close() {
			t.Error("it was not ended")
		}
		w.reused.Store(true)
		advance(time.Minute)
	})
}

// TestAttackCutsAnotherRequest: a request closes while its session is looked up, or just before its
// connection would be severed. The connection may be answering somebody else by then.
func TestAttackCutsAnotherRequest(t *testing.T) {
	visits := browsers(t, 1)
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry()
		var q, other Request
		var w, reused wire
		r.SetLookup(func(_ context.Context, since session.Visit, _ string) (session.Visit, State, error) {
			if q.Close() {
				t.Error("it was ended before")
			}
			w.reused.Store(true)
			return since, StateEnded, nil
		})
		r.Open(&q, visits[0], "a", &w)
		advance(bound)
		if q.Ended() {
			t.Error("it was ended after it was over")
		}

		r.Open(&other, visits[0], "a", &reused)
		other.end()
		other.Close()
		reused.reused.Store(true)
		other.cut() // as a timer does that Stop did not catch
	})
}

// TestNothingRuns while no request is under way. Short requests are not asked about.
func TestNothingRuns(t *testing.T) {
	visits := browsers(t, 1)
	withRegistry(t, func(t *testing.T, r *Registry, c *sessions) {
		for range 100 {
			var q Request
			r.Open(&q, visits[0], "short", new(wire))
			advance(settled / 2)
			q.Close()
			advance(interval / 3)
		}
		if n := c.count("short"); n > 0 {
			t.Errorf("asked %d times", n)
		}
		advance(interval)
		if r.scheduled.Load() {
			t.Error("a round is to come, with no request under way")
		}
		var q Request
		r.Open(&q, visits[0], "long", new(wire))
		advance(10*interval + 1)
		if n := c.count("long"); n != 10 {
			t.Errorf("asked %d times in 10 rounds", n)
		}
		q.Close()
	})
}

// TestManyOfOneSession: requests of one session share one question a round.
func TestManyOfOneSession(t *testing.T) {
	visits := browsers(t, 1)
	withRegistry(t, func(t *testing.T, r *Registry, c *sessions) {
		requests := make([]Request, 500)
		for i := range requests {
			r.Open(&requests[i], visits[0], "a", new(wire))
		}
		advance(3*interval + 1)
		if n := c.count("a"); n != 3 {
			t.Errorf("asked %d times in 3 rounds", n)
		}
		c.set("a", StateEnded)
		advance(interval)
		for i := range requests {
			if !requests[i].Close() {
				t.Fatalf("request %d was not ended", i)
			}
		}
	})
}

// TestUnknownState: requests go on while the state of their session is unknown, but not for ever.
// Every answer starts the time anew.
func TestUnknownState(t *testing.T) {
	visits := browsers(t, 1)
	down := errors.New("the store is down")
	for _, hangs := range []bool{false, true} {
		t.Run(fmt.Sprintf("hangs %t", hangs), func(t *testing.T) {
			withRegistry(t, func(t *testing.T, r *Registry, c *sessions) {
				var q Request
				var w wire
				r.Open(&q, visits[0], "a", &w)
				for range 3 {
					c.fail(down, hangs)
					advance(maxUnknown - bound)
					w.want(t, "unknown", 0, 0)
					c.fail(nil, false)
					advance(bound)
				}
				c.fail(down, hangs)
				advance(maxUnknown + 2*bound)
				w.want(t, "unknown for too long", 1, 1)
				q.Close()
			})
		})
	}
	t.Run("and the end is seen after it", func(t *testing.T) {
		withRegistry(t, func(t *testing.T, r *Registry, c *sessions) {
			var q Request
			var w wire
			r.Open(&q, visits[0], "a", &w)
			c.fail(down, false)
			advance(bound)
			c.set("a", StateEnded)
			advance(bound)
			w.want(t, "unknown", 0, 0)
			c.fail(nil, false)
			advance(bound)
			w.want(t, "known again", 1, 1)
			q.Close()
		})
	})
}

// TestNewLookup: a request from before a reload is judged by the rules after it. Nothing ends
// before there is a lookup.
func TestNewLookup(t *testing.T) {
	visits := browsers(t, 1)
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry()
		var q Request
		var w wire
		r.Open(&q, visits[0], "a", &w)
		advance(time.Minute)
		var before, after sessions
		r.SetLookup(before.lookup)
		advance(bound)
		w.want(t, "before the reload", 0, 0)
		r.SetLookup(after.lookup)
		after.set("a", StateEnded)
		advance(bound)
		w.want(t, "after the reload", 1, 1)
		q.Close()
	})
}

// TestNextQuestionStartsFromLastVisit: the visit that a lookup returns is what it is asked with
// next.
func TestNextQuestionStartsFromLastVisit(t *testing.T) {
	visits := browsers(t, 2)
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry()
		var asked []string
		r.SetLookup(func(_ context.Context, since session.Visit, _ string) (session.Visit, State, error) {
			asked = append(asked, since.JarID())
			return visits[1], StateActive, nil
		})
		var q Request
		r.Open(&q, visits[0], "a", new(wire))
		advance(2*interval + 1)
		q.Close()
		synctest.Wait()
		if want := []string{visits[0].JarID(), visits[1].JarID()}; len(asked) != 2 || asked[0] != want[0] || asked[1] != want[1] {
			t.Errorf("asked with %q, want %q", asked, want)
		}
	})
}

// TestReopened: a request is opened again after it was closed, as for a site's error routes, unless
// it was ended.
func TestReopened(t *testing.T) {
	visits := browsers(t, 1)
	withRegistry(t, func(t *testing.T, r *Registry, c *sessions) {
		var q Request
		var first, second, third wire
		r.Open(&q, visits[0], "a", &first)
		q.Close()
		first.reused.Store(true)
		r.Open(&q, visits[0], "a", &second)
		advance(interval)
		c.set("a", StateEnded)
		advance(bound)
		second.want(t, "opened again", 1, 1)
		if !q.Close() {
			t.Error("it was not ended")
		}
		second.reused.Store(true)
		r.Open(&q, visits[0], "a", &third)
		advance(bound)
		third.want(t, "opened after it was ended", 0, 0)
		if !q.Close() || r.open() > 0 {
			t.Errorf("ended is %t, %d are under way", q.Ended(), r.open())
		}
	})
}

// TestClose: requests that are under way when the registry closes end, and so do later ones.
func TestClose(t *testing.T) {
	visits := browsers(t, 1)
	withRegistry(t, func(t *testing.T, r *Registry, c *sessions) {
		var before, after Request
		var w, late wire
		r.Open(&before, visits[0], "a", &w)
		r.Close()
		r.Open(&after, visits[0], "a", &late)
		w.want(t, "before", 1, 0)
		late.want(t, "after", 1, 0)
		before.Close()
		after.Close()
		advance(time.Minute)
		if n := c.count("a"); n > 0 {
			t.Errorf("asked %d times", n)
		}
	})
}

// TestChurn: requests come and go while sessions end, and no request is cut after it was closed.
func TestChurn(t *testing.T) {
	visits := browsers(t, 8)
	withRegistry(t, func(t *testing.T, r *Registry, c *sessions) {
		var clients sync.WaitGroup
		for i := range 64 {
			clients.Go(func() {
				id := fmt.Sprint(i % 16)
				for n := range 50 {
					var q Request
					var w wire
					r.Open(&q, visits[i%len(visits)], id, &w)
					<-time.After(time.Duration((i*50+n)*7%1500) * time.Millisecond)
					q.Close()
					w.reused.Store(true)
					if q.Ended() != (w.interrupted.Load() == 1) {
						t.Errorf("ended is %t, and it was interrupted %d times", q.Ended(), w.interrupted.Load())
					}
					if i < 16 && n%10 == 5 {
						c.set(id, State(n/10%3))
					}
				}
			})
		}
		clients.Wait()
		if n := r.open(); n > 0 {
			t.Errorf("%d are under way", n)
		}
		advance(interval)
		if len(r.visits) > 0 || len(r.unknown) > 0 || r.scheduled.Load() {
			t.Errorf("left over: %d visits, %d unknown sessions, scheduled is %t", len(r.visits), len(r.unknown), r.scheduled.Load())
		}
	})
}

func BenchmarkOpenClose(b *testing.B) {
	visit := browsers(b, 1)[0]
	r := NewRegistry()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var q Request
		var w wire
		for pb.Next() {
			r.Open(&q, visit, "a", &w)
			q.Close()
		}
	})
}

// BenchmarkRound is what a round costs with 10,000 requests under way.
func BenchmarkRound(b *testing.B) {
	visits := browsers(b, 64)
	var c sessions
	r := NewRegistry()
	requests := make([]Request, 10_000)
	for i := range requests {
		r.Open(&requests[i], visits[i%len(visits)], fmt.Sprint(i), new(wire))
	}
	r.epoch.Add(1)
	b.ReportAllocs()
	for b.Loop() {
		r.endOutlasting(c.lookup)
	}
}
