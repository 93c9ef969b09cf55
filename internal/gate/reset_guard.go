package gate

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/caddy-multi-session/gateway/internal/cookie"
)

// recent is how long the gate remembers for which addresses a browser got the reset page, and where
// the portal has sent which browsers.
const recent = 10 * time.Second

// maxResetAddresses is how many addresses are remembered of one browser. If there are more, the
// oldest is forgotten.
const maxResetAddresses = 16

// resetGuard keeps the reset page from coming again and again in browsers that do not take the
// cookie which says that they had it. Its methods may be called concurrently.
//
// It remembers the reset pages that it has allowed, by host and view. The names of views are random
// (96 bits), and a view belongs to one session, so nobody else's requests change what is remembered
// of a browser. Nobody's view is the same in all browsers; there the views that the browser was
// shown before stand for it.
//
// It forgets them when the browser shows that it takes the cookie after all. So a browser gets the
// page again with the next switch, however soon that is. What is forgotten too early, because the
// memory is full, leads to one more reset page.
type resetGuard struct {
	mu      sync.Mutex
	allowed *simplelru.LRU[digest, []allowedReset]
}

type allowedReset struct {
	address digest
	at      time.Time
}

func newResetGuard() *resetGuard {
	return &resetGuard{allowed: newLRU[[]allowedReset]()}
}

// observe notes which views a browser says it was shown last at a host, and the view of its
// request. A browser that has one cookie, of the request's view, had the reset page and took the
// cookie. One that has a cookie of another view does not rely on what was allowed for that view any
// more.
func (g *resetGuard) observe(host string, shown []string, view string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.allowed.Len() == 0 {
		return
	}
	for _, s := range shown {
		if s != cookie.Anonymous && (s != view || len(shown) == 1) {
			g.allowed.Remove(resetKey(host, nil, s))
		}
	}
	if view != cookie.Anonymous {
		g.allowed.Remove(resetKey(host, shown, cookie.Anonymous))
	}
}

// allow reports whether a browser gets the reset page before an address, and remembers that. It
// does not if it got the page before the same address a moment ago.
func (g *resetGuard) allow(host string, shown []string, view, address string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	key, hash, now := resetKey(host, shown, view), digestOf(address), time.Now()
	resets, _ := g.allowed.Get(key)
	resets = slices.DeleteFunc(resets, func(a allowedReset) bool { return now.Sub(a.at) >= recent })
	if slices.ContainsFunc(resets, func(a allowedReset) bool { return a.address == hash }) {
		return false
	}
	if len(resets) == maxResetAddresses {
		resets = slices.Delete(resets, 0, 1)
	}
	g.allowed.Add(key, append(resets, allowedReset{hash, now}))
	return true
}

// resetKey is what a browser is known by. The views that it was shown count only if it is nobody's
// now.
func resetKey(host string, shown []string, view string) digest {
	parts := []string{host, view}
	if view == cookie.Anonymous {
		parts = append(parts, shown...)
	}
	return digestOf(strings.Join(parts, "\x00")) // which no header field can contain
}
