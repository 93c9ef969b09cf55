package stream

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// Connection is what a request is answered on. Both methods are called at most once each, not at the same
// time, and never after the pass is closed, when others may be answered on it. They must not wait.
type Connection interface {
	// Interrupt has whoever serves the request give up, so that it can be answered in order.
	Interrupt()

	// Sever ends the connection, or of one that is shared the request's part, for whoever did not give up.
	Sever()
}

// Pass is a request that passes as a session. The zero Pass is one that was not opened.
type Pass struct {
	subject    subject
	since      session.Visit
	opened     time.Time
	connection Connection
	shard      *shard
	prev, next *Pass // of the shard, which guards them; nil where it is not in its list

	onSwitch atomic.Bool
	ended    atomic.Bool

	mu     sync.Mutex
	closed bool
	sever  *time.Timer
}

// subject is whose passes are judged alike.
type subject struct {
	jar     string
	site    session.Site // where its being active counts
	session string
}

// grace is how long a request that is ended has to be answered in order.
const grace = 300 * time.Millisecond

// Ended reports whether the request was ended, because its session was. It stays so.
func (p *Pass) Ended() bool { return p.ended.Load() }

// EndOnSwitch has the request end as well when requests of its browser are made as another session.
func (p *Pass) EndOnSwitch() { p.onSwitch.Store(true) }

// Close says that the request is over, and reports whether it was ended before. No method of its
// connection runs any more then. To close a pass again does nothing.
func (p *Pass) Close() (ended bool) {
	if p.shard == nil {
		return false
	}
	p.shard.remove(p)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.sever != nil {
		p.sever.Stop()
	}
	return p.ended.Load()
}

// end ends the request, if it is not over. To do it again does nothing.
func (p *Pass) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.ended.Load() {
		return
	}
	p.ended.Store(true)
	p.connection.Interrupt()
	p.sever = time.AfterFunc(grace, p.cut)
}

// cut ends the connection of a request that was to give up, if it is not over.
func (p *Pass) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.connection.Sever()
	}
}
