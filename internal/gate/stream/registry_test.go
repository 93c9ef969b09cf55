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

// directory says that everybody is who they were at sign-in.
type directory struct{}

func (directory) Current(recorded *session.Identity) (*session.Identity, bool) { return recorded, true }

// browsers returns visits of so many jars, in each of which somebody is signed in.
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

// court is a judge of whom it is known what he says.
type court struct {
	mu    sync.Mutex
	says  map[string]State // by session; who is not there is StateActive
	err   error
	hangs bool
	asked map[string]int
}

func (c *court) judge(ctx context.Context, since session.Visit, id string) (session.Visit, State, error) {
	c.mu.Lock()
	err, hangs := c.err, c.hangs
	if c.asked == nil {
		c.asked = make(map[string]int)
	}
	c.asked[id]++
	s, ok := c.says[id]
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

func (c *court) find(id string, s State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.says == nil {
		c.says = make(map[string]State)
	}
	c.says[id] = s
}

func (c *court) fail(err error, hangs bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err, c.hangs = err, hangs
}

func (c *court) count(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked[id]
}

// hearing runs a test in a bubble, with a registry whose judge is a court.
func hearing(t *testing.T, test func(t *testing.T, r *Registry, c *court)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, c := NewRegistry(), new(court)
		r.SetLookup(c.judge)
		test(t, r, c)
	})
}

// wire is a connection that counts what is done to it, and panics if that is too late.
type wire struct {
	interrupted, severed atomic.Int32
	reused               atomic.Bool
}

func (w *wire) Interrupt() { w.used(&w.interrupted) }
func (w *wire) Sever()     { w.used(&w.severed) }

func (w *wire) used(n *atomic.Int32) {
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

// advance moves the bubble's clock on. What is due by then has happened when it returns, and no time has passed
// outside.
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// bound is within what a request must end.
const bound = 2 * time.Second

func (r *Registry) passing() int {
	n := 0
	for i := range r.shards {
		n += len(r.shards[i].all())
	}
	return n
}

func TestEndsWithItsSession(t *testing.T) {
	visits := browsers(t, 2)
	for _, test := range []struct {
		name     string
		onSwitch bool
		standing State
		ends     bool
	}{
		{"active", false, StateActive, false},
		{"active, and ends on a switch", true, StateActive, false},
		{"aside", false, StateInactive, false},
		{"aside, and ends on a switch", true, StateInactive, true},
		{"over", false, StateEnded, true},
		{"over, and ends on a switch", true, StateEnded, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			// Whenever it ends, in relation to the rounds and to when it was opened.
			for _, after := range []time.Duration{0, settled - 1, settled + 1, interval - 1, interval + 1, time.Hour + settled} {
				hearing(t, func(t *testing.T, r *Registry, c *court) {
					var p, same, other, elsewhere Pass
					var w, sameWire, otherWire, elsewhereWire wire
					r.Open(&p, visits[0], "a", &w)
					r.Open(&same, visits[0], "a", &sameWire)
					r.Open(&other, visits[0], "b", &otherWire)
					r.Open(&elsewhere, visits[1], "c", &elsewhereWire)
					if test.onSwitch {
						p.EndOnSwitch()
						other.EndOnSwitch()
					}
					advance(after)
					w.want(t, "before", 0, 0)
					c.find("a", test.standing)
					advance(bound)
					if test.ends {
						w.want(t, "it", 1, 1)
					} else {
						w.want(t, "it", 0, 0)
					}
					if same.Ended() != (test.standing == StateEnded) {
						t.Errorf("the other request of the session: ended is %t", same.Ended())
					}
					otherWire.want(t, "one of another session", 0, 0)
					elsewhereWire.want(t, "one of another jar", 0, 0)
					if got := p.Close(); got != test.ends || p.Ended() != test.ends {
						t.Errorf("ended is %t, and %t after it", got, p.Ended())
					}
					p.Close()
					same.Close()
					other.Close()
					elsewhere.Close()
					if n := r.passing(); n > 0 {
						t.Errorf("%d are passing", n)
					}
				})
			}
		})
	}
}

// TestInOrder: who gives up when interrupted is not severed.
func TestInOrder(t *testing.T) {
	visits := browsers(t, 1)
	hearing(t, func(t *testing.T, r *Registry, c *court) {
		var p Pass
		var w wire
		r.Open(&p, visits[0], "a", &w)
		c.find("a", StateEnded)
		advance(interval + 1)
		w.want(t, "after a round", 1, 0)
		if !p.Close() {
			t.Error("it was not ended")
		}
		w.reused.Store(true)
		advance(time.Minute)
	})
}

// TestAttackTooLate: a request is over while its session is asked about, or just before it would be cut. Its
// connection may be answering somebody else by then.
func TestAttackTooLate(t *testing.T) {
	visits := browsers(t, 1)
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry()
		var p, q Pass
		var w, reused wire
		r.SetLookup(func(_ context.Context, since session.Visit, _ string) (session.Visit, State, error) {
			if p.Close() {
				t.Error("it was ended before")
			}
			w.reused.Store(true)
			return since, StateEnded, nil
		})
		r.Open(&p, visits[0], "a", &w)
		advance(bound)
		if p.Ended() {
			t.Error("it was ended after it was over")
		}

		r.Open(&q, visits[0], "a", &reused)
		q.end()
		q.Close()
		reused.reused.Store(true)
		q.cut() // as a timer does that could not be stopped any more
	})
}

// TestNothingRuns while nothing passes, and short requests are not asked about.
func TestNothingRuns(t *testing.T) {
	visits := browsers(t, 1)
	hearing(t, func(t *testing.T, r *Registry, c *court) {
		for range 100 {
			var p Pass
			r.Open(&p, visits[0], "short", new(wire))
			advance(settled / 2)
			p.Close()
			advance(interval / 3)
		}
		if n := c.count("short"); n > 0 {
			t.Errorf("asked %d times", n)
		}
		advance(interval)
		if r.asking.Load() {
			t.Error("a round is to come, with nothing passing")
		}
		var p Pass
		r.Open(&p, visits[0], "long", new(wire))
		advance(10*interval + 1)
		if n := c.count("long"); n != 10 {
			t.Errorf("asked %d times in 10 rounds", n)
		}
		p.Close()
	})
}

// TestManyOfOneSession are asked about once a round.
func TestManyOfOneSession(t *testing.T) {
	visits := browsers(t, 1)
	hearing(t, func(t *testing.T, r *Registry, c *court) {
		passes := make([]Pass, 500)
		for i := range passes {
			r.Open(&passes[i], visits[0], "a", new(wire))
		}
		advance(3*interval + 1)
		if n := c.count("a"); n != 3 {
			t.Errorf("asked %d times in 3 rounds", n)
		}
		c.find("a", StateEnded)
		advance(interval)
		for i := range passes {
			if !passes[i].Close() {
				t.Fatalf("request %d was not ended", i)
			}
		}
	})
}

// TestDoubt: while nothing can be found out requests go on, but not for ever, and the time begins anew
// with every answer.
func TestDoubt(t *testing.T) {
	visits := browsers(t, 1)
	down := errors.New("the store is down")
	for _, hangs := range []bool{false, true} {
		t.Run(fmt.Sprintf("hangs %t", hangs), func(t *testing.T) {
			hearing(t, func(t *testing.T, r *Registry, c *court) {
				var p Pass
				var w wire
				r.Open(&p, visits[0], "a", &w)
				for range 3 {
					c.fail(down, hangs)
					advance(maxDoubt - bound)
					w.want(t, "in doubt", 0, 0)
					c.fail(nil, false)
					advance(bound)
				}
				c.fail(down, hangs)
				advance(maxDoubt + 2*bound)
				w.want(t, "in doubt for too long", 1, 1)
				p.Close()
			})
		})
	}
	t.Run("and the end is seen after it", func(t *testing.T) {
		hearing(t, func(t *testing.T, r *Registry, c *court) {
			var p Pass
			var w wire
			r.Open(&p, visits[0], "a", &w)
			c.fail(down, false)
			advance(bound)
			c.find("a", StateEnded)
			advance(bound)
			w.want(t, "in doubt", 0, 0)
			c.fail(nil, false)
			advance(bound)
			w.want(t, "no more in doubt", 1, 1)
			p.Close()
		})
	})
}

// TestNewJudge: a request from before a reload is judged by what holds after it. Until there is a judge
// nothing ends.
func TestNewJudge(t *testing.T) {
	visits := browsers(t, 1)
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry()
		var p Pass
		var w wire
		r.Open(&p, visits[0], "a", &w)
		advance(time.Minute)
		var before, after court
		r.SetLookup(before.judge)
		advance(bound)
		w.want(t, "before the reload", 0, 0)
		r.SetLookup(after.judge)
		after.find("a", StateEnded)
		advance(bound)
		w.want(t, "after the reload", 1, 1)
		p.Close()
	})
}

// TestLooksWhereItWasFoundLast: the visit that the judge returns is what he is asked with next.
func TestLooksWhereItWasFoundLast(t *testing.T) {
	visits := browsers(t, 2)
	synctest.Test(t, func(t *testing.T) {
		r := NewRegistry()
		var asked []string
		r.SetLookup(func(_ context.Context, since session.Visit, _ string) (session.Visit, State, error) {
			asked = append(asked, since.JarID())
			return visits[1], StateActive, nil
		})
		var p Pass
		r.Open(&p, visits[0], "a", new(wire))
		advance(2*interval + 1)
		p.Close()
		synctest.Wait()
		if want := []string{visits[0].JarID(), visits[1].JarID()}; len(asked) != 2 || asked[0] != want[0] || asked[1] != want[1] {
			t.Errorf("asked with %q, want %q", asked, want)
		}
	})
}

// TestClosed: who passes when the store is closed ends, and who comes later too.
func TestClosed(t *testing.T) {
	visits := browsers(t, 1)
	hearing(t, func(t *testing.T, r *Registry, c *court) {
		var before, after Pass
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

// TestChurn: requests come and go while sessions end, and nobody is cut off whose request is over.
func TestChurn(t *testing.T) {
	visits := browsers(t, 8)
	hearing(t, func(t *testing.T, r *Registry, c *court) {
		var clients sync.WaitGroup
		for i := range 64 {
			clients.Go(func() {
				id := fmt.Sprint(i % 16)
				for n := range 50 {
					var p Pass
					var w wire
					r.Open(&p, visits[i%len(visits)], id, &w)
					<-time.After(time.Duration((i*50+n)*7%1500) * time.Millisecond)
					p.Close()
					w.reused.Store(true)
					if p.Ended() != (w.interrupted.Load() == 1) {
						t.Errorf("ended is %t, and it was interrupted %d times", p.Ended(), w.interrupted.Load())
					}
					if i < 16 && n%10 == 5 {
						c.find(id, State(n/10%3))
					}
				}
			})
		}
		clients.Wait()
		if n := r.passing(); n > 0 {
			t.Errorf("%d are passing", n)
		}
		advance(interval)
		if len(r.visits) > 0 || len(r.doubted) > 0 || r.asking.Load() {
			t.Errorf("left over: %d visits, %d doubts, asking is %t", len(r.visits), len(r.doubted), r.asking.Load())
		}
	})
}

func BenchmarkPass(b *testing.B) {
	visit := browsers(b, 1)[0]
	r := NewRegistry()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var p Pass
		var w wire
		for pb.Next() {
			r.Open(&p, visit, "a", &w)
			p.Close()
		}
	})
}

// BenchmarkRound is what a round costs for each stream that is open.
func BenchmarkRound(b *testing.B) {
	visits := browsers(b, 64)
	var c court
	r := NewRegistry()
	passes := make([]Pass, 10_000)
	for i := range passes {
		r.Open(&passes[i], visits[i%len(visits)], fmt.Sprint(i), new(wire))
		passes[i].opened = passes[i].opened.Add(-time.Minute)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.ended(c.judge)
	}
}
