package password

import (
	"context"
	"errors"
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
			b := newBudget(DefaultMemory, tc.processors, DefaultPatience)
			if got := b.weight(cost{tc.memory, tc.threads}); got != tc.want {
				t.Errorf("weight = %d KiB, want %d", got, tc.want)
			}
		})
	}
}

func TestBudgetIsNeverExceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const capacity = 100
		b := newBudget(capacity, 8, time.Hour)
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
				if ok, err := b.matches(t.Context(), h, nil); !ok || err != nil {
					t.Errorf("matches = %t, %v", ok, err)
				}
			})
		}
		all.Wait()
		if most.Load() < 2 {
			t.Error("nothing ran at the same time")
		}
		if !b.slots.TryAcquire(capacity) {
			t.Error("not all was given back")
		}
	})
}

func TestBudgetPatience(t *testing.T) {
	gone := errors.New("the client is gone")
	free := func() {}
	for name, tc := range map[string]struct {
		patience, held time.Duration
		ctx            func(context.Context) (context.Context, context.CancelFunc)
		busy           bool
		err            error
	}{
		"in time":          {patience: 2 * time.Second, held: time.Second},
		"too late":         {patience: 2 * time.Second, held: 3 * time.Second, busy: true},
		"none":             {held: time.Second, busy: true},
		"none, none taken": {},
		"caller gives up": {
			patience: 2 * time.Second, held: 3 * time.Second, err: gone,
			ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeoutCause(ctx, time.Second, gone)
			},
		},
		"caller was gone": {
			patience: 2 * time.Second, err: context.Canceled,
			ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				cancel()
				return ctx, cancel
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBudget(100, 1, tc.patience)
				if tc.held > 0 {
					var holder sync.WaitGroup
					defer holder.Wait()
					holder.Go(func() {
						b.matches(t.Context(), priced{cost{1, 1}, func() { <-time.After(tc.held) }}, nil)
					})
					synctest.Wait()
				}
				ctx := t.Context()
				if tc.ctx != nil {
					var cancel context.CancelFunc
					ctx, cancel = tc.ctx(ctx)
					defer cancel()
				}
				ok, err := b.matches(ctx, priced{cost{1, 1}, free}, nil)
				var throttled *login.ThrottledError
				switch {
				case tc.busy:
					if !errors.As(err, &throttled) || throttled.Reason != login.ReasonBusy || throttled.RetryAfter <= 0 {
						t.Errorf("got %v, want busy", err)
					}
				case !errors.Is(err, tc.err) || ok != (tc.err == nil):
					t.Errorf("got %t, %v, want %v", ok, err, tc.err)
				}
			})
		})
	}
}

func TestBudgetSurvivesPanic(t *testing.T) {
	b := newBudget(100, 1, 0)
	func() {
		defer func() { recover() }()
		b.matches(t.Context(), priced{cost{100, 1}, func() { panic("out of memory") }}, nil)
	}()
	if !b.slots.TryAcquire(100) {
		t.Error("the budget of a check that panicked is lost")
	}
}
