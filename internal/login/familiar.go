package login

import (
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Bounds of what is remembered of successful sign-ins. Only real accounts get in, so filling the
// memory takes thousands of them, and one account cannot push out another's addresses.
const (
	familiarFor       = 30 * 24 * time.Hour
	familiarAddresses = 8 // an account: home, work, telephone and their changes
)

// familiar remembers from which addresses each account has signed in lately.
//
// The Throttle's mutex guards it.
type familiar struct {
	accounts *simplelru.LRU[accountKey, []sighting]
}

type sighting struct {
	address netip.Addr
	last    time.Time
}

func newFamiliar(accounts int) familiar {
	return familiar{newLRU[accountKey, []sighting](accounts)}
}

// add notes that account has signed in from address. The one that was seen longest ago gives way.
func (f familiar) add(account accountKey, address netip.Addr, now time.Time) {
	seen, _ := f.accounts.Get(account)
	seen = slices.DeleteFunc(seen, func(s sighting) bool { return s.address == address })
	if len(seen) == familiarAddresses {
		seen = slices.Delete(seen, 0, 1)
	}
	f.accounts.Add(account, append(seen, sighting{address, now}))
}

// has reports whether account has signed in from address lately.
func (f familiar) has(account accountKey, address netip.Addr, now time.Time) bool {
	seen, _ := f.accounts.Peek(account) // a guesser's questions do not keep an account remembered
	return slices.ContainsFunc(seen, func(s sighting) bool {
		return s.address == address && now.Sub(s.last) < familiarFor
	})
}
