package login

import (
	"net/netip"
	"time"
)

// Attempt is one that the Throttle has admitted. The first outcome that is told counts, and later
// ones do nothing. An attempt that is never told an outcome is a failure. Its methods may be called
// concurrently.
type Attempt struct {
	throttle *Throttle // nil where there are no limits
	account  accountKey
	address  netip.Addr

	// Guarded by the throttle's mutex.
	charges [2]charge
	settled bool
}

// charge is what an attempt has put into a bucket. The bucket may have been dropped since, and
// perhaps another made for the same key, which has nothing to give back.
type charge struct {
	bucket *bucket
	cost   time.Duration
}

// Fail says that the credentials were wrong.
func (a *Attempt) Fail() { a.settle(successFactor, false) }

// Withdraw says that nobody looked at the credentials. Nothing is held against anybody.
func (a *Attempt) Withdraw() { a.settle(0, false) }

// Succeed says that the credentials were right. The address is familiar to the account from now on.
func (a *Attempt) Succeed() { a.settle(0, true) }

// successFactor is how many successes that count are as much as one failure.
const successFactor = 10

// Count says that the attempt succeeded, and that successes count too, a tenth of a failure each.
func (a *Attempt) Count() { a.settle(1, false) }

// settle ends the attempt. Kept is how many tenths of what was charged for it stay charged.
func (a *Attempt) settle(kept time.Duration, familiar bool) {
	t := a.throttle
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if a.settled {
		return
	}
	a.settled = true
	for _, c := range a.charges {
		if c.bucket != nil {
			c.bucket.settle(c.cost - c.cost*kept/successFactor)
		}
	}
	if familiar {
		t.familiar.add(a.account, a.address, t.now())
	}
}
