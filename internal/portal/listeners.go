package portal

import (
	"net/netip"
	"sync"

	"github.com/caddy-multi-session/gateway/internal/login"
)

// How many streams of events are open at a time. A browser has one for each of its pages at most; many
// people may share an address.
const (
	maxListenersByJar    = 16
	maxListenersByClient = 256
)

// listeners counts the streams of events that are open, and ends them. Its methods may be called concurrently.
type listeners struct {
	ended   chan struct{} // closed by end
	endOnce sync.Once

	mu       sync.Mutex
	byJar    map[string]int     // by the jar's public id, which stays when the token changes
	byClient map[netip.Addr]int // by login.Network
}

func newListeners() *listeners {
	return &listeners{ended: make(chan struct{}), byJar: make(map[string]int), byClient: make(map[netip.Addr]int)}
}

// enter counts a stream, and returns what takes it off again. It is false where there are as many as
// may be.
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

// end ends every stream, and those to come as soon as they have begun.
func (l *listeners) end() { l.endOnce.Do(func() { close(l.ended) }) }
