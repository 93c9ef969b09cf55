package login

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// The reasons of a ThrottledError.
const (
	ReasonAddress = "address" // too many failures from the client's address
	ReasonAccount = "account" // too many failures for the account from all unfamiliar addresses
	ReasonBusy    = "busy"    // too much at once; nothing is held against anybody
)

// Throttle slows the guessing of passwords: every failure counts against the address it came from
// and against the account it was for (NIST SP 800-63B, "Rate Limiting (Throttling)").
//
// An address may have Limits.Failures. An address is a network of a customer rather than a device:
// IPv4 to the bit, IPv6 to the /64. Clients without a valid address share one bucket.
//
// An account may have ten times as many, counted over all addresses, with one exception that keeps
// strangers from locking the owner out: failures from an address that the account has signed in
// from within 30 days do not count against the account, and the account's limit does not apply
// there. What is left there is the address's own limit. A bucket for each pair of account and
// address would add nothing: each of its failures is the address's as well, so it could never be
// the fuller of the two.
//
// An attempt is charged before it is made and given back when it was none, so that any number of
// guesses at once are as many as they would be one after the other. When it is only attempts
// without an outcome that fill a bucket, a further one waits for theirs instead of being refused:
// people behind one address can sign in at the same moment. A success gives back its own charge and
// no more, or an attacker who has an account could wipe out the count with it. A refused attempt is
// charged nowhere, so trying again too early prolongs nothing; and an attempt that the address
// forbids leaves no trace with the account.
//
// What remains: whoever shares the guesser's address shares its limit. While somebody with very
// many addresses keeps guessing at one account, its owner, coming from a new address, competes with
// them for the attempts that become free. So it is after a restart, which forgets everything.
//
// Memory is bounded: the buckets used longest ago are dropped, addresses and accounts apart, so
// that neither can flush the other. It takes thousands of addresses to flush either, and whoever
// has so many has no need to.
//
// A Throttle is meant to outlive reloads of the configuration; the Limits come with each attempt
// and may differ. It may be used concurrently.
type Throttle struct {
	now func() time.Time

	mu        sync.Mutex
	addresses *simplelru.LRU[netip.Addr, *bucket]
	accounts  *simplelru.LRU[accountKey, *bucket]
	familiar  familiar
}

const (
	// accountFactor makes the limit of an account laxer than that of an address. With 10 failures
	// an address, an account has 100: where SP 800-63B would disable it. Here attempts become free
	// again with time instead, or everybody could have anybody disabled.
	accountFactor = 10

	// Full, these take some 40 MB.
	maxBuckets  = 1 << 16 // of each kind
	maxFamiliar = 1 << 14 // accounts

	// maxUndecided is how many attempts from one address, or for one account, wait for the outcome of
	// others. It is more than a class of people who sign in at once.
	maxUndecided = 100

	// busyRetry is what somebody is told who waited in vain.
	busyRetry = 2 * time.Second
)

// Busy is the error of an attempt that waited in vain, or found too many waiting.
func Busy() *ThrottledError { return &ThrottledError{Reason: ReasonBusy, RetryAfter: busyRetry} }

// WithPatience returns a context for what an attempt waits for. Its cause is Busy after so long.
func WithPatience(ctx context.Context, patience time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, patience, Busy())
}

// accountKey names an account in bounded memory, however long a name somebody makes up.
type accountKey [sha256.Size]byte

// NewThrottle returns a Throttle that tells the time by now.
func NewThrottle(now func() time.Time) *Throttle { return newThrottle(now, maxBuckets, maxFamiliar) }

func newThrottle(now func() time.Time, buckets, accounts int) *Throttle {
	return &Throttle{
		now:       now,
		addresses: newLRU[netip.Addr, *bucket](buckets),
		accounts:  newLRU[accountKey, *bucket](buckets),
		familiar:  newFamiliar(accounts),
	}
}

func newLRU[K comparable, V any](size int) *simplelru.LRU[K, V] {
	lru, err := simplelru.NewLRU[K, V](size, nil)
	if err != nil { // of a size that is not positive, and the sizes are constants
		panic(err)
	}
	return lru
}

// Admit lets an attempt be made or returns *ThrottledError. It may wait for the outcome of other
// attempts; if ctx ends meanwhile the error wraps its cause. Limits that are not valid are an error.
//
// The account is any text that stands for it, and the same text for every name it has. Text of
// accounts that do not exist is treated alike.
//
// The caller tells the outcome by one of the Attempt's methods, always:
//
//	attempt, err := throttle.Admit(ctx, limits, account, client)
//	if err != nil {
//		return err
//	}
//	defer attempt.Fail() // unless told otherwise below
func (t *Throttle) Admit(ctx context.Context, limits Limits, account string, client netip.Addr) (*Attempt, error) {
	if err := limits.Validate(); err != nil {
		return nil, err
	}
	if limits == (Limits{}) {
		return &Attempt{}, nil
	}
	a := &Attempt{throttle: t, account: sha256.Sum256([]byte(account)), address: Network(client)}
	settled, err := t.charge(a, limits)
	if settled != nil {
		err = t.await(ctx, settled, a, limits)
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// await charges a as soon as the outcome of other attempts says whether it can be.
func (t *Throttle) await(ctx context.Context, settled <-chan struct{}, a *Attempt, limits Limits) (err error) {
	for settled != nil {
		select {
		case <-settled:
			settled, err = t.charge(a, limits)
		case <-ctx.Done():
			return fmt.Errorf("wait for other attempts: %w", context.Cause(ctx))
		}
	}
	return err
}

// charge charges a to every bucket that applies, or to none and returns *ThrottledError, or, when
// that depends on the outcome of other attempts, to none and returns a channel that is closed when
// there is news.
func (t *Throttle) charge(a *Attempt, limits Limits) (settled <-chan struct{}, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()

	address := get(t.addresses, a.address)
	if delay, undecided := address.delay(now, limits); undecided {
		return address.wait()
	} else if delay > 0 {
		return nil, &ThrottledError{Reason: ReasonAddress, RetryAfter: delay}
	}

	if !t.familiar.has(a.account, a.address, now) {
		limits := Limits{Failures: accountFactor * limits.Failures, Window: limits.Window}
		account := get(t.accounts, a.account)
		if delay, undecided := account.delay(now, limits); undecided {
			return account.wait()
		} else if delay > 0 {
			return nil, &ThrottledError{Reason: ReasonAccount, RetryAfter: delay}
		}
		account.charge(now, limits)
		a.charges[1] = charge{account, limits.cost()}
	}
	address.charge(now, limits)
	a.charges[0] = charge{address, limits.cost()}
	return nil, nil
}

// get returns key's bucket, a new one where there is none.
func get[K comparable](buckets *simplelru.LRU[K, *bucket], key K) *bucket {
	b, ok := buckets.Get(key)
	if !ok {
		b = &bucket{}
		buckets.Add(key, b)
	}
	return b
}

// Network returns what stands for all the addresses that one client can choose from. A host is
// given a whole /64 (RFC 4291, section 2.5.4), and an IPv4 address written as IPv6 is that address.
func Network(ip netip.Addr) netip.Addr {
	ip = ip.Unmap()
	if !ip.Is6() {
		return ip // IPv4, or the zero Addr
	}
	network, err := ip.Prefix(64) // without the zone
	if err != nil {
		return netip.Addr{}
	}
	return network.Addr()
}
