package stream

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// Connection is what a request is answered on. The registry calls each method at most once, never
// both at the same time, and never after Close of the request has returned: by then the connection
// may serve another request. Neither method may block.
type Connection interface {
	// Interrupt makes the handler of the request give up, so that the request can still be
	// answered.
	Interrupt()

	// Sever ends the connection of a handler that did not give up. Where several requests share a
	// connection it ends the request's part.
	Sever()
}

// Request is a request that is under way as a session. The zero Request has not been opened. It
// must not be copied.
type Request struct {
	since      session.Visit
	id         string // of the session
	epoch      uint32 // of the registry, when the request was opened
	connection Connection

	shard      *shard
	prev, next *Request // in the shard's ring, guarded by its lock

	endOnSwitch atomic.Bool
	state       atomic.Uint32

	mu    sync.Mutex  // held while a method of connection runs
	sever *time.Timer // guarded by mu
}

// States of a Request. One that was ended stays ended.
const (
	stateClosed      uint32 = iota // not under way
	stateOpen                      // under way
	stateEnded                     // under way, and told to give up
	stateEndedClosed               // not under way any more, because it was ended
)

// key identifies the session of a request. Requests with the same key share one question.
type key struct {
	jar     string
	site    session.Site // where the session may be the active one
	session string
}

func (q *Request) key() key { return key{q.since.JarID(), q.since.Site(), q.id} }

// grace is how long an interrupted request may take to be answered before its connection is
// severed.
const grace = 300 * time.Millisecond

// Ended reports whether the request was ended because its session was. It stays true.
func (q *Request) Ended() bool {
	s := q.state.Load()
	return s == stateEnded || s == stateEndedClosed
}

// EndOnSwitch makes the request end as well when another session of its browser becomes the active
// one.
func (q *Request) EndOnSwitch() { q.endOnSwitch.Store(true) }

// Close says that the request is over, and reports whether it was ended before. When it returns no
// method of the request's connection is running, and none will be called. Closing a request again
// does nothing.
func (q *Request) Close() (ended bool) {
	if q.state.CompareAndSwap(stateOpen, stateClosed) {
		q.shard.remove(q)
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state.CompareAndSwap(stateEnded, stateEndedClosed) {
		q.shard.remove(q)
		q.sever.Stop()
	}
	return q.Ended()
}

// end interrupts the request if it is under way, and severs its connection later.
func (q *Request) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state.CompareAndSwap(stateOpen, stateEnded) {
		q.connection.Interrupt()
		q.sever = time.AfterFunc(grace, q.cut)
	}
}

// cut severs the connection if the request is still under way.
func (q *Request) cut() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state.Load() == stateEnded {
		q.connection.Sever()
	}
}
