package login

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// limits are the ones of most tests: an attempt becomes free every 90 seconds.
var limits = Limits{Failures: 10, Window: 15 * time.Minute}

// bench is a Throttle whose clock stands still until it is moved.
type bench struct {
	*Throttle
	t   testing.TB
	now time.Time
}

func newBench(t testing.TB) *bench {
	b := &bench{t: t, now: time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)}
	b.Throttle = NewThrottle(func() time.Time { return b.now })
	return b
}

func (b *bench) admit(l Limits, account, address string) (*Attempt, error) {
	b.t.Helper()
	return b.Admit(b.t.Context(), l, account, parseAddr(address))
}

// fail makes n failed attempts that must be admitted.
func (b *bench) fail(n int, account, address string) {
	b.t.Helper()
	for i := range n {
		attempt, err := b.admit(limits, account, address)
		if err != nil {
			b.t.Fatalf("attempt %d at %s from %q: %v", i+1, account, address, err)
		}
		attempt.Fail()
	}
}

// succeed signs in.
func (b *bench) succeed(account, address string) {
	b.t.Helper()
	attempt, err := b.admit(limits, account, address)
	if err != nil {
		b.t.Fatalf("the right password for %s from %q: %v", account, address, err)
	}
	attempt.Succeed()
}

// refused wants the next attempt to be refused, and returns after how long to try again.
func (b *bench) refused(reason, account, address string) time.Duration {
	b.t.Helper()
	_, err := b.admit(limits, account, address)
	var throttled *ThrottledError
	if !errors.As(err, &throttled) {
		b.t.Fatalf("attempt at %s from %q: %v, want it throttled", account, address, err)
	}
	if throttled.Reason != reason || throttled.RetryAfter <= 0 {
		b.t.Fatalf("attempt at %s from %q: %v, want the reason %s and to retry later", account, address, throttled, reason)
	}
	return throttled.RetryAfter
}

// exhaust uses up the limit of an account from strangers' addresses, each within its own.
func (b *bench) exhaust(account string) {
	b.t.Helper()
	for i := range accountFactor {
		b.fail(limits.Failures, account, fmt.Sprintf("203.0.113.%d", i))
	}
}

func parseAddr(s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	return netip.MustParseAddr(s)
}

func TestLimitsValidate(t *testing.T) {
	for name, tc := range map[string]struct {
		limits Limits
		ok     bool
	}{
		"off":                {Limits{}, true},
		"usual":              {Limits{10, 15 * time.Minute}, true},
		"least":              {Limits{1, time.Second}, true},
		"most":               {Limits{maxFailures, maxWindow}, true},
		"most a second":      {Limits{maxFailures, time.Second}, true},
		"no failures":        {Limits{0, time.Minute}, false},
		"no window":          {Limits{10, 0}, false},
		"negative failures":  {Limits{-1, time.Minute}, false},
		"negative window":    {Limits{10, -time.Minute}, false},
		"too many failures":  {Limits{maxFailures + 1, time.Minute}, false},
		"too short a window": {Limits{10, time.Second - 1}, false},
		"too long a window":  {Limits{10, maxWindow + 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tc.limits.Validate(); (err == nil) != tc.ok {
				t.Errorf("Validate() = %v", err)
			}
			_, err := newBench(t).admit(tc.limits, "alice", "192.0.2.1")
			if (err == nil) != tc.ok {
				t.Errorf("Admit() = %v", err)
			}
		})
	}
}

func TestAddressKey(t *testing.T) {
	for name, tc := range map[string]struct{ address, key string }{
		"IPv4":             {"192.0.2.1", "192.0.2.1"},
		"IPv4 as IPv6":     {"::ffff:192.0.2.1", "192.0.2.1"},
		"IPv6":             {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
		"IPv6 with a zone": {"fe80::1%eth0", "fe80::"},
		"none":             {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Network(parseAddr(tc.address)); got != parseAddr(tc.key) {
				t.Errorf("Network(%q) = %v, want %q", tc.address, got, tc.key)
			}
		})
	}
}

func TestAttackOneAddressManyAccounts(t *testing.T) {
	b := newBench(t)
	for i := range limits.Failures {
		b.fail(1, fmt.Sprintf("user%d", i), "192.0.2.1")
	}
	b.refused(ReasonAddress, "one more", "192.0.2.1")
	b.fail(1, "one more", "192.0.2.2")
}

func TestAttackOneAccountManyAddresses(t *testing.T) {
	b := newBench(t)
	b.exhaust("alice")
	b.refused(ReasonAccount, "alice", "198.51.100.1")
	b.fail(1, "bob", "198.51.100.1")
}

func TestAttackHopInsideOneNetwork(t *testing.T) {
	for name, address := range map[string]func(i int) string{
		"IPv6 /64":       func(i int) string { return fmt.Sprintf("2001:db8:1:2:%x::1", i) },
		"IPv4 both ways": func(i int) string { return []string{"192.0.2.1", "::ffff:192.0.2.1"}[i%2] },
		"no address":     func(int) string { return "" },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			for i := range limits.Failures {
				b.fail(1, "alice", address(i))
			}
			b.refused(ReasonAddress, "alice", address(limits.Failures))
		})
	}
	b := newBench(t)
	b.fail(limits.Failures, "alice", "2001:db8:1:2::1")
	b.fail(limits.Failures, "alice", "2001:db8:1:3::1")
}

func TestAttackClearTheCountWithAnOwnAccount(t *testing.T) {
	b := newBench(t)
	for range limits.Failures - 1 {
		b.fail(1, "alice", "192.0.2.1")
		b.succeed("mallory", "192.0.2.1")
	}
	b.fail(1, "alice", "192.0.2.1")
	b.refused(ReasonAddress, "alice", "192.0.2.1")
	b.refused(ReasonAddress, "mallory", "192.0.2.1")
}

func TestAttackClearTheAccountsCount(t *testing.T) {
	b := newBench(t)
	b.succeed("alice", "192.0.2.1") // the owner signs in, and again in between
	b.exhaust("alice")
	b.succeed("alice", "192.0.2.1")
	b.refused(ReasonAccount, "alice", "198.51.100.1")
}

func TestAttackBlockedAddressWearsOutTheAccount(t *testing.T) {
	b := newBench(t)
	b.fail(limits.Failures, "alice", "192.0.2.1")
	for range 1000 {
		b.refused(ReasonAddress, "alice", "192.0.2.1")
		b.refused(ReasonAddress, "bob", "192.0.2.1")
	}
	if b.accounts.Len() != 1 {
		t.Errorf("%d accounts are remembered, want alice alone", b.accounts.Len())
	}
	for i := range accountFactor - 1 { // what is left of alice's limit
		b.fail(limits.Failures, "alice", fmt.Sprintf("203.0.113.%d", i))
	}
	b.refused(ReasonAccount, "alice", "198.51.100.1")
}

func TestAttackLockTheOwnerOut(t *testing.T) {
	t.Run("a stranger does not", func(t *testing.T) {
		b := newBench(t)
		b.fail(limits.Failures, "alice", "203.0.113.1")
		b.refused(ReasonAddress, "alice", "203.0.113.1")
		b.succeed("alice", "192.0.2.1")
	})
	t.Run("many strangers do not where the owner is known", func(t *testing.T) {
		b := newBench(t)
		b.succeed("alice", "192.0.2.1")
		b.exhaust("alice")
		b.refused(ReasonAccount, "alice", "198.51.100.1")
		b.fail(limits.Failures-1, "alice", "192.0.2.1")
		b.succeed("alice", "192.0.2.1")
	})
	t.Run("nor elsewhere in the owner's network", func(t *testing.T) {
		b := newBench(t)
		b.succeed("alice", "2001:db8:1:2::a")
		b.exhaust("alice")
		b.succeed("alice", "2001:db8:1:2::b")
	})
	t.Run("nor for good where the owner is new", func(t *testing.T) {
		b := newBench(t)
		b.exhaust("alice")
		b.now = b.now.Add(b.refused(ReasonAccount, "alice", "198.51.100.1"))
		b.succeed("alice", "198.51.100.1")
	})
	t.Run("after a long absence the owner is new", func(t *testing.T) {
		b := newBench(t)
		b.succeed("alice", "192.0.2.1")
		b.now = b.now.Add(familiarFor)
		b.exhaust("alice")
		b.refused(ReasonAccount, "alice", "192.0.2.1")
	})
	t.Run("a familiar address guesses no more than others", func(t *testing.T) {
		b := newBench(t)
		b.succeed("alice", "192.0.2.1")
		b.fail(limits.Failures, "alice", "192.0.2.1")
		b.refused(ReasonAddress, "alice", "192.0.2.1")
	})
	t.Run("a familiar address is familiar to one account", func(t *testing.T) {
		b := newBench(t)
		b.succeed("mallory", "192.0.2.1")
		b.exhaust("alice")
		b.refused(ReasonAccount, "alice", "192.0.2.1")
	})
}

func TestFamiliarAddressesOfAnAccount(t *testing.T) {
	b := newBench(t)
	address := func(i int) string { return fmt.Sprintf("192.0.2.%d", i) }
	for i := range familiarAddresses + 1 {
		b.succeed("alice", address(i))
		b.succeed("alice", address(1)) // in use all the time
	}
	b.exhaust("alice")
	b.refused(ReasonAccount, "alice", address(0))
	for i := range familiarAddresses {
		b.succeed("alice", address(i+1))
	}
}

func TestRetryAfter(t *testing.T) {
	for name, tc := range map[string]struct {
		reason, address string
		use             func(*bench)
	}{
		ReasonAddress: {ReasonAddress, "192.0.2.1", func(b *bench) { b.fail(limits.Failures, "alice", "192.0.2.1") }},
		ReasonAccount: {ReasonAccount, "192.0.2.2", func(b *bench) { b.exhaust("alice") }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			tc.use(b)
			wait := b.refused(tc.reason, "alice", tc.address)
			b.now = b.now.Add(wait - 1)
			if left := b.refused(tc.reason, "alice", tc.address); left != 1 {
				t.Errorf("a nanosecond early, another %s are left", left)
			}
			b.now = b.now.Add(1)
			b.fail(1, "alice", tc.address)
			b.refused(tc.reason, "alice", tc.address)
		})
	}
}

func TestFailuresAreForgotten(t *testing.T) {
	for _, l := range []Limits{limits, {7, 15 * time.Minute}, {1, time.Second}, {maxFailures, time.Second}} {
		t.Run(fmt.Sprint(l), func(t *testing.T) {
			b := newBench(t)
			for range 2 {
				for i := range min(l.Failures, 100) {
					if attempt, err := b.admit(l, "alice", "192.0.2.1"); err != nil {
						t.Fatalf("attempt %d: %v", i+1, err)
					} else {
						attempt.Fail()
					}
				}
				b.now = b.now.Add(l.Window)
			}
		})
	}
}

func TestTryingTooEarlyProlongsNothing(t *testing.T) {
	b := newBench(t)
	b.fail(limits.Failures, "alice", "192.0.2.1")
	wait := b.refused(ReasonAddress, "alice", "192.0.2.1")
	for range 99 {
		b.now = b.now.Add(wait / 100)
		b.refused(ReasonAddress, "alice", "192.0.2.1")
	}
	b.now = b.now.Add(wait / 100)
	b.fail(1, "alice", "192.0.2.1")
}

func TestClockThatGoesBack(t *testing.T) {
	b := newBench(t)
	b.fail(limits.Failures, "alice", "192.0.2.1")
	b.now = b.now.Add(-1000 * time.Hour)
	b.now = b.now.Add(b.refused(ReasonAddress, "alice", "192.0.2.1"))
	b.now = b.now.Add(b.refused(ReasonAccount, "alice", "192.0.2.1"))
	b.fail(1, "alice", "192.0.2.1")
}

func TestOutcomes(t *testing.T) {
	for name, tc := range map[string]struct {
		tell func(*Attempt)
		left int // of the address's attempts
	}{
		"fail":                  {(*Attempt).Fail, limits.Failures - 1},
		"withdraw":              {(*Attempt).Withdraw, limits.Failures},
		"succeed":               {(*Attempt).Succeed, limits.Failures},
		"succeed and then fail": {func(a *Attempt) { a.Succeed(); a.Fail() }, limits.Failures},
		"fail and then succeed": {func(a *Attempt) { a.Fail(); a.Succeed() }, limits.Failures - 1},
		"withdraw twice":        {func(a *Attempt) { a.Withdraw(); a.Withdraw() }, limits.Failures},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.fail(1, "alice", "192.0.2.1")
			attempt, err := b.admit(limits, "alice", "192.0.2.1")
			if err != nil {
				t.Fatal(err)
			}
			tc.tell(attempt)
			b.fail(tc.left-1, "alice", "192.0.2.1")
			b.refused(ReasonAddress, "alice", "192.0.2.1")
		})
	}
}

func TestWithdrawnAttemptIsNotFamiliar(t *testing.T) {
	b := newBench(t)
	attempt, err := b.admit(limits, "alice", "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	attempt.Withdraw()
	b.exhaust("alice")
	b.refused(ReasonAccount, "alice", "192.0.2.1")
}

func TestLimitsMayChange(t *testing.T) {
	for name, tc := range map[string]struct {
		limits Limits
		wait   time.Duration
	}{
		"off":             {Limits{}, 0},
		"more failures":   {Limits{20, 15 * time.Minute}, 45 * time.Second},
		"fewer failures":  {Limits{5, 15 * time.Minute}, 3 * time.Minute},
		"shorter window":  {Limits{10, time.Minute}, 6 * time.Second},
		"a longer window": {Limits{10, 30 * time.Minute}, 0},
		"the same":        {limits, 90 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.fail(limits.Failures, "alice", "192.0.2.1")
			attempt, err := b.admit(tc.limits, "alice", "192.0.2.1")
			if tc.wait > 0 {
				var throttled *ThrottledError
				if !errors.As(err, &throttled) || throttled.RetryAfter != tc.wait {
					t.Fatalf("Admit() = %v, want to wait %s", err, tc.wait)
				}
				b.now = b.now.Add(tc.limits.Window)
				attempt, err = b.admit(tc.limits, "alice", "192.0.2.1")
			}
			if err != nil {
				t.Fatal(err)
			}
			attempt.Fail()
		})
	}
}

func TestAttackFloodTheMemory(t *testing.T) {
	const size = 64
	now := time.Unix(0, 0)
	throttle := newThrottle(func() time.Time { return now }, size, size)
	b := &bench{t: t, Throttle: throttle}
	long := make([]byte, 1<<16)

	b.fail(limits.Failures, "victim", "192.0.2.1")
	for i := range 10 * size {
		b.fail(1, fmt.Sprint(string(long), i), fmt.Sprintf("2001:db8:0:%x::", i/limits.Failures))
	}
	if got := throttle.accounts.Len(); got != size {
		t.Errorf("%d accounts are remembered, want %d", got, size)
	}
	for i := range 10 * size {
		b.succeed(fmt.Sprint(i), fmt.Sprintf("2001:db8:1:%x::", i))
	}
	if got := throttle.addresses.Len(); got != size {
		t.Errorf("%d addresses are remembered, want %d", got, size)
	}
	if got := throttle.familiar.accounts.Len(); got != size {
		t.Errorf("the addresses of %d accounts are remembered, want %d", got, size)
	}
	for i := range 10 * size {
		b.succeed("alice", fmt.Sprintf("2001:db8:1:%x::", i))
	}
	if seen, _ := throttle.familiar.accounts.Get(sha256.Sum256([]byte("alice"))); len(seen) != familiarAddresses || cap(seen) > 4*familiarAddresses {
		t.Errorf("%d of alice's addresses are remembered, with room for %d", len(seen), cap(seen))
	}
	if got := throttle.familiar.accounts.Len(); got != size {
		t.Errorf("the addresses of %d accounts are remembered, want %d", got, size)
	}
}

func TestAttackNamesFlushTheAddress(t *testing.T) {
	now := time.Unix(0, 0)
	b := &bench{t: t, Throttle: newThrottle(func() time.Time { return now }, 4, 4)}
	for i := range limits.Failures {
		b.fail(1, fmt.Sprint(i), "192.0.2.1")
	}
	b.refused(ReasonAddress, "alice", "192.0.2.1")
}

// TestAttackGuessAsFastAsAllowed tries to guess at every moment, from one address, and looks
// whether a window ever sees more failures than the limits promise.
func TestAttackGuessAsFastAsAllowed(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		l := Limits{Failures: 1 + random.IntN(20), Window: time.Duration(1+random.IntN(900)) * time.Second}
		b := newBench(t)
		var failures []time.Time
		for range 2000 {
			b.now = b.now.Add(time.Duration(random.Int64N(int64(l.Window) / 20)))
			attempt, err := b.admit(l, "alice", "192.0.2.1")
			if err != nil {
				continue
			}
			if random.IntN(4) == 0 {
				attempt.Succeed()
				continue
			}
			attempt.Fail()
			failures = append(failures, b.now)
			for failures[0].Add(l.Window).Before(b.now) {
				failures = failures[1:]
			}
			if len(failures) > 2*l.Failures {
				t.Fatalf("%v: %d failures within a window", l, len(failures))
			}
		}
	}
}

func TestAttackParallelGuesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := NewThrottle(time.Now)
		verdict := make(chan struct{}) // all passwords are wrong once this is closed
		var verified, throttled atomic.Int64
		var guessers sync.WaitGroup
		for range 50 {
			guessers.Go(func() {
				attempt, err := throttle.Admit(t.Context(), limits, "alice", parseAddr("192.0.2.1"))
				if err != nil {
					throttled.Add(1)
					return
				}
				defer attempt.Fail()
				verified.Add(1)
				<-verdict
			})
		}
		synctest.Wait()
		if got := verified.Load(); got != int64(limits.Failures) {
			t.Errorf("%d guesses at once, want %d", got, limits.Failures)
		}
		close(verdict)
		guessers.Wait()
		if verified.Load() != int64(limits.Failures) || throttled.Load() != 50-int64(limits.Failures) {
			t.Errorf("%d guesses were made and %d throttled", verified.Load(), throttled.Load())
		}
	})
}

func TestManySignInsBehindOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := NewThrottle(time.Now)
		var people sync.WaitGroup
		for i := range 50 {
			people.Go(func() {
				attempt, err := throttle.Admit(t.Context(), limits, fmt.Sprint("user", i), parseAddr("192.0.2.1"))
				if err != nil {
					t.Errorf("user%d: %v", i, err)
					return
				}
				defer attempt.Fail()
				<-time.After(100 * time.Millisecond) // the hashing, in the bubble's time
				attempt.Succeed()
			})
		}
		people.Wait()
	})
}

func TestUndecidedAttemptsAreWaitedFor(t *testing.T) {
	one := Limits{Failures: 1, Window: time.Hour}
	client := parseAddr("192.0.2.1")

	for name, tc := range map[string]struct {
		wait func(t *testing.T, throttle *Throttle, pending *Attempt) error
		want error
	}{
		"not for ever": {
			func(t *testing.T, throttle *Throttle, _ *Attempt) error {
				ctx, cancel := WithPatience(t.Context(), time.Second)
				defer cancel()
				_, err := throttle.Admit(ctx, one, "alice", client)
				return err
			},
			&ThrottledError{Reason: ReasonBusy, RetryAfter: busyRetry},
		},
		"not longer than the caller": {
			func(t *testing.T, throttle *Throttle, _ *Attempt) error {
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errGone)
				defer cancel()
				_, err := throttle.Admit(ctx, one, "alice", client)
				return err
			},
			errGone,
		},
		"until they fail": {
			func(t *testing.T, throttle *Throttle, pending *Attempt) error {
				time.AfterFunc(time.Second, pending.Fail)
				_, err := throttle.Admit(t.Context(), one, "alice", client)
				return err
			},
			&ThrottledError{Reason: ReasonAddress, RetryAfter: time.Hour - time.Second},
		},
		"until they succeed": {
			func(t *testing.T, throttle *Throttle, pending *Attempt) error {
				time.AfterFunc(time.Second, pending.Succeed)
				_, err := throttle.Admit(t.Context(), one, "alice", client)
				return err
			},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				throttle := NewThrottle(time.Now)
				pending, err := throttle.Admit(t.Context(), one, "alice", client)
				if err != nil {
					t.Fatal(err)
				}
				got := tc.wait(t, throttle, pending)
				var want, throttled *ThrottledError
				switch {
				case errors.As(tc.want, &want):
					if !errors.As(got, &throttled) || *throttled != *want {
						t.Errorf("got %v, want %v", got, want)
					}
				case !errors.Is(got, tc.want):
					t.Errorf("got %v, want %v", got, tc.want)
				}
			})
		})
	}
}

func TestManySignInsToOneAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := NewThrottle(time.Now)
		one := Limits{Failures: 1, Window: time.Hour}
		var devices sync.WaitGroup
		for i := range accountFactor + 1 {
			devices.Go(func() {
				address := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
				attempt, err := throttle.Admit(t.Context(), one, "alice", address)
				if err != nil {
					t.Errorf("from %s: %v", address, err)
					return
				}
				defer attempt.Fail()
				<-time.After(100 * time.Millisecond) // the hashing, in the bubble's time
				attempt.Succeed()
			})
		}
		devices.Wait()
	})
}

// TestAttackCrowdThatWaits: those who wait at one address take memory, so there are not any number.
func TestAttackCrowdThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := NewThrottle(time.Now)
		one := Limits{Failures: 1, Window: time.Hour}
		pending, err := throttle.Admit(t.Context(), one, "alice", parseAddr("192.0.2.1"))
		if err != nil {
			t.Fatal(err)
		}
		var busy, admitted atomic.Int64
		var crowd sync.WaitGroup
		for range 3 * maxUndecided {
			crowd.Go(func() {
				attempt, err := throttle.Admit(t.Context(), one, "alice", parseAddr("192.0.2.1"))
				var throttled *ThrottledError
				switch {
				case err == nil:
					admitted.Add(1)
					attempt.Succeed()
				case errors.As(err, &throttled) && throttled.Reason == ReasonBusy:
					busy.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if got := busy.Load(); got != 2*maxUndecided {
			t.Errorf("%d of %d did not wait, want %d", got, 3*maxUndecided, 2*maxUndecided)
		}
		pending.Succeed()
		crowd.Wait()
		if got := admitted.Load(); got != maxUndecided {
			t.Errorf("%d of those who waited were admitted, want %d", got, maxUndecided)
		}
	})
}

// TestSuccessesThatCount: ten times as many of them as of failures may be, from one address.
func TestSuccessesThatCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := NewThrottle(time.Now)
		client := parseAddr("192.0.2.1")
		n := 0
		for ; n < 1000; n++ {
			attempt, err := throttle.Admit(t.Context(), limits, fmt.Sprint("user", n), client)
			if err != nil {
				break
			}
			attempt.Count()
		}
		if most := successFactor * limits.Failures; n <= most-successFactor || n > most {
			t.Errorf("%d were admitted, want no more than %d and nearly as many", n, most)
		}
		if _, err := throttle.Admit(t.Context(), limits, "user", parseAddr("192.0.2.2")); err != nil {
			t.Errorf("from another address: %v", err)
		}
	})
}

var errGone = errors.New("the client is gone")

func BenchmarkThrottle(b *testing.B) {
	const account = "password:name:alice"
	address := parseAddr("2001:db8::1")
	b.Run("admit and succeed", func(b *testing.B) {
		throttle := NewThrottle(time.Now)
		b.ReportAllocs()
		for b.Loop() {
			attempt, err := throttle.Admit(b.Context(), limits, account, address)
			if err != nil {
				b.Fatal(err)
			}
			attempt.Succeed()
		}
	})
	b.Run("refuse", func(b *testing.B) {
		throttle := newBench(b)
		throttle.fail(limits.Failures, account, address.String())
		b.ReportAllocs()
		for b.Loop() {
			if _, err := throttle.Admit(b.Context(), limits, account, address); err == nil {
				b.Fatal("admitted")
			}
		}
	})
}
