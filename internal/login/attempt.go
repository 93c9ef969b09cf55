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
func (a *Attempt) Fail() { a.settle(false, false) }

// Withdraw says that nobody looked at the credentials. Nothing is held against anybody.
func (a *Attempt) Withdraw() { a.settle(true, false) }

// Succeed says that the credentials were right. The address is familiar to the account from now on.
func (a *Attempt) Succeed() { a.settle(true, true) }

func (a *Attempt) settle(refund, familiar bool) {
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
		switch {
		case c.bucket == nil:
		case refund:
			c.bucket.settle(c.cost)
		default:
			c.bucket.settle(0)
		}
	}
	if familiar {
		t.familiar.add(a.account, a.address, t.now())
	}
}
