package password

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-multi-session/gateway/internal/login"
)

// watched is a hash whose checks a test watches and holds up.
type watched struct {
	hash
	begin func()
}

func (w watched) matches(password []byte) bool {
	w.begin()
	return w.hash.matches(password)
}

// priced is a hash that costs what a test says, and nothing.
type priced struct {
	price cost
	check func()
}

func (p priced) matches([]byte) bool { p.check(); return true }
func (p priced) decoy() hash         { return p }
func (p priced) cost() cost          { return p.price }

func TestBudgetWeight(t *testing.T) {
	const MiB = 1 << 10 // in KiB
	for name, tc := range map[string]struct {
		processors, memory, threads, want int64
	}{
		"memory decides":             {64, 46 * MiB, 1, 46 * MiB},
		"processors decide":          {2, 46 * MiB, 1, 128 * MiB},
		"bcrypt":                     {8, 5, 1, 32 * MiB},
		"threads take processors":    {8, 46 * MiB, 4, 128 * MiB},
		"more threads than there is": {2, 46 * MiB, 255, 256 * MiB},
		"one processor":              {1, 5, 1, 256 * MiB},
		"all memory":                 {4, 256 * MiB, 1, 256 * MiB},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBudget(DefaultMemory, tc.processors)
			if got := b.weight(cost{tc.memory, tc.threads}); got != tc.want {
				t.Errorf("weight = %d KiB, want %d", got, tc.want)
			}
		})
	}
}

func TestBudgetIsNeverExceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const capacity = 100
		b := newBudget(capacity, 8)
		var used, threads, most atomic.Int64
		var all sync.WaitGroup
		for i := range 200 {
			price := cost{memory: 1 + int64(i)*7%capacity, threads: 1 + int64(i)%3}
			h := priced{price, func() {
				if now := used.Add(price.memory); now > capacity {
					t.Errorf("%d of %d KiB are in use", now, capacity)
				}
				if now := threads.Add(price.threads); now > b.processors {
					t.Errorf("%d threads run on %d processors", now, b.processors)
				} else if now > most.Load() {
					most.Store(now)
				}
				<-time.After(time.Second) // the hashing, in the bubble's time
				used.Add(-price.memory)
				threads.Add(-price.threads)
			}}
			all.Go(func() {
				if ok, err := b.matches(t.Context(), netip.Addr{}, h, nil); !ok || err != nil {
					t.Errorf("matches = %t, %v", ok, err)
				}
			})
		}
		all.Wait()
		if most.Load() < 2 {
			t.Error("nothing ran at the same time")
		}
		b.wantIdle(t)
	})
}

// wantIdle checks that nothing is taken and nobody waits.
func (b *Budget) wantIdle(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.free != b.memory || b.length != 0 || len(b.turns) != 0 || len(b.waiting) != 0 {
		t.Errorf("%d of %d KiB are free, %d hashes of %d addresses wait", b.free, b.memory, b.length, len(b.waiting))
	}
}

// TestBudgetLeavesProcessors: half of them, and one hash at a time where there is one.
func TestBudgetLeavesProcessors(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for processors, want := range map[int]int64{1: 1, 2: 1, 3: 1, 4: 2, 8: 4} {
		runtime.GOMAXPROCS(processors)
		b := NewBudget(DefaultMemory)
		if got := b.memory / b.weight(cost{5, 1}); got != want {
			t.Errorf("of %d processors %d hash, want %d", processors, got, want)
		}
	}
}

func TestBudgetPatience(t *testing.T) {
	gone := errors.New("the client is gone")
	for name, tc := range map[string]struct {
		held time.Duration
		ctx  func(context.Context) (context.Context, context.CancelFunc)
		busy bool
		err  error
	}{
		"in time": {held: time.Second, ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return login.WithPatience(ctx, 2*time.Second)
		}},
		"too late": {held: 3 * time.Second, busy: true, ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return login.WithPatience(ctx, 2*time.Second)
		}},
		"caller gives up": {held: 3 * time.Second, err: gone, ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Second, gone)
		}},
		"caller was gone": {err: context.Canceled, ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBudget(100, 1)
				var holder sync.WaitGroup
				if tc.held > 0 {
					holder.Go(func() {
						b.matches(t.Context(), netip.Addr{}, priced{cost{1, 1}, func() { <-time.After(tc.held) }}, nil)
					})
					synctest.Wait()
				}
				ctx, cancel := tc.ctx(t.Context())
				defer cancel()
				ok, err := b.matches(ctx, netip.Addr{}, priced{cost{1, 1}, func() {}}, nil)
				var throttled *login.ThrottledError
				switch {
				case tc.busy:
					if !errors.As(err, &throttled) || throttled.Reason != login.ReasonBusy || throttled.RetryAfter <= 0 {
						t.Errorf("got %v, want busy", err)
					}
				case !errors.Is(err, tc.err) || ok != (tc.err == nil):
					t.Errorf("got %t, %v, want %v", ok, err, tc.err)
				}
				holder.Wait()
				b.wantIdle(t)
			})
		})
	}
}

// TestAttackManyHashesFromOneAddress: whoever sends many passwords lets others go first in between.
func TestAttackManyHashesFromOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100, 1)
		var order []string
		var all sync.WaitGroup
		check := func(who, address string) {
			all.Go(func() {
				h := priced{cost{1, 1}, func() { order = append(order, who); <-time.After(time.Second) }}
				if _, err := b.matches(t.Context(), netip.MustParseAddr(address), h, nil); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		for i := range 10 {
			check("mallory", fmt.Sprintf("2001:db8::%d", i)) // all of one network
		}
		check("alice", "192.0.2.1")
		check("bob", "192.0.2.2")
		check("bob again", "192.0.2.2")
		all.Wait()
		want := []string{"mallory", "mallory", "alice", "bob", "mallory", "bob again", "mallory"}
		if !slices.Equal(order[:len(want)], want) {
			t.Errorf("the order is %q, want %q first", order, want)
		}
		b.wantIdle(t)
	})
}

// TestAttackFillTheQueue: of too many that wait, the address with the most loses one.
func TestAttackFillTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100, 1)
		var shed [2]atomic.Int64
		var all sync.WaitGroup
		check := func(i int, address string) {
			all.Go(func() {
				_, err := b.matches(t.Context(), netip.MustParseAddr(address), priced{cost{1, 1}, func() { <-time.After(time.Second) }}, nil)
				var throttled *login.ThrottledError
				if errors.As(err, &throttled) && throttled.Reason == login.ReasonBusy {
					shed[i].Add(1)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		for range maxWaiting + 10 {
			check(0, "192.0.2.1")
		}
		synctest.Wait()
		for range 5 {
			check(1, "192.0.2.2")
		}
		all.Wait()
		// One is hashed, the others wait.
		if shed[0].Load() != 9+5 || shed[1].Load() != 0 {
			t.Errorf("%d of the crowd were sent away, and %d of the others", shed[0].Load(), shed[1].Load())
		}
		b.wantIdle(t)
	})
}

// TestClassOnASlowMachine: the default wait is enough for a class whose hashes take half a second each.
func TestClassOnASlowMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(DefaultMemory, 1)
		var class sync.WaitGroup
		for range 48 {
			class.Go(func() {
				ctx, cancel := login.WithPatience(t.Context(), DefaultMaxWait)
				defer cancel()
				slow := priced{cost{5, 1}, func() { <-time.After(500 * time.Millisecond) }}
				if _, err := b.matches(ctx, netip.MustParseAddr("192.0.2.1"), slow, nil); err != nil {
					t.Error(err)
				}
			})
		}
		class.Wait()
	})
}

func TestBudgetSurvivesPanic(t *testing.T) {
	b := newBudget(100, 1)
	func() {
		defer func() { recover() }()
		b.matches(t.Context(), netip.Addr{}, priced{cost{100, 1}, func() { panic("out of memory") }}, nil)
	}()
	b.wantIdle(t)
}
