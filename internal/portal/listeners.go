package portal

import (
	"net/netip"
	"sync"

	"github.com/caddy-multi-session/gateway/internal/login"
)

// Limits of open event streams. A browser has at most one for each of its pages; many people may
// share an address.
const (
	maxListenersByJar    = 16
	maxListenersByClient = 256
)

// listeners counts the open event streams and ends them. Its methods are safe for concurrent use.
type listeners struct {
	ended   chan struct{} // closed by end
	endOnce sync.Once

	mu       sync.Mutex
	byJar    map[string]int     // by the jar's id, which stays when the token changes
	byClient map[netip.Addr]int // by login.Network
}

func newListeners() *listeners {
	return &listeners{ended: make(chan struct{}), byJar: make(map[string]int), byClient: make(map[netip.Addr]int)}
}

// enter counts a stream, and returns the function that removes it. It returns false at a limit.
func (l *listeners) enter(jar string, client netip.Addr) (leave func(), ok bool) {
	client = login.Network(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byJar[jar] >= maxListenersByJar || l.byClient[client] >= maxListenersByClient {
		return nil, false
	}
	l.byJar[jar]++
	l.byClient[client]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.byJar[jar]--; l.byJar[jar] == 0 {
			delete(l.byJar, jar)
		}
		if l.byClient[client]--; l.byClient[client] == 0 {
			delete(l.byClient, client)
		}
	}, true
}

// end ends all streams, and every later one as soon as it has started.
func (l *listeners) end() { l.endOnce.Do(func() { close(l.ended) }) }
