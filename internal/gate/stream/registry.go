package stream

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// State is what has become of a session.
type State int

const (
	// StateEnded is a session that has ended.
	StateEnded State = iota

	// StateInactive is one that requests of its browser are not made as.
	StateInactive

	// StateActive is one that they are made as.
	StateActive
)

// Lookup says what has become of a session of a jar since a visit, and returns a visit of the jar as it is
// now, for the next time. An error says that it cannot be found out.
type Lookup func(ctx context.Context, since session.Visit, id string) (now session.Visit, s State, err error)

const (
	// interval is the time between two rounds of questions. With the time that a request is passed over
	// at first, and grace, all is over within two seconds after a session's end.
	interval = 500 * time.Millisecond

	// settled is how long a request has passed when it is first asked about. Most are over by then.
	settled = 250 * time.Millisecond

	// patience is how long a round takes at most. Who was not asked about by then is in doubt.
	patience = time.Second

	// maxDoubt is how long requests go on while nothing can be found out of their session. It is enough for
	// a store that restarts; beyond, a session may have ended unseen.
	maxDoubt = 10 * time.Second
)

// shards is how many parts the passes are in, so that requests do not wait for one another.
const shards = 16

// Registry is the requests that are passing. It is shared by all configurations on one store, so that what
// passes since before a reload is judged by what holds after it. Its methods may be called concurrently.
type Registry struct {
	judge  atomic.Pointer[Lookup]
	asking atomic.Bool // a round is to come
	closed atomic.Bool
	next   atomic.Uint32
	shards [shards]shard

	// What the round before has left, for the next one only.
	round   sync.Mutex
	visits  map[string]session.Visit // where jars were found, by id
	doubted map[subject]time.Time    // since when
}

// shard is a part of the passes, in a ring that begins and ends with root.
type shard struct {
	mu   sync.Mutex
	root Pass
	_    [64]byte // the next one's lock is on another cache line
}

// NewRegistry returns one without requests. Until SetLookup is called none are ended.
func NewRegistry() *Registry {
	r := new(Registry)
	for i := range r.shards {
		root := &r.shards[i].root
		root.prev, root.next = root, root
	}
	return r
}

// SetLookup says who judges from now on: whoever knows the rules of the configuration that is in force.
func (r *Registry) SetLookup(judge Lookup) { r.judge.Store(&judge) }

// Open says that a request passes as the session with the id, of the jar that since found, on a
// connection. Close of the pass says that it is over; then it can be opened again.
func (r *Registry) Open(p *Pass, since session.Visit, id string, on Connection) {
	p.mu.Lock()
	p.subject = subject{since.JarID(), since.Site(), id}
	p.since, p.opened, p.connection, p.closed = since, time.Now(), on, false
	p.shard = &r.shards[r.next.Add(1)%shards]
	p.mu.Unlock()
	p.shard.add(p)
	if r.closed.Load() {
		p.end()
		return
	}
	r.ask()
}

// ask has a round come, unless one does already.
func (r *Registry) ask() {
	if !r.asking.Load() && r.asking.CompareAndSwap(false, true) {
		time.AfterFunc(interval, r.rounds)
	}
}

// rounds does one, and has another come as long as any request is passing.
func (r *Registry) rounds() {
	if judge := r.judge.Load(); judge != nil {
		r.ended(*judge)
	}
	r.asking.Store(false)
	for i := range r.shards {
		if !r.shards[i].empty() {
			r.ask()
			return
		}
	}
}

// inquiry is the passes of one subject.
type inquiry struct {
	subject
	since  session.Visit
	passes []*Pass
}

// ended ends the requests that outlast their session.
func (r *Registry) ended(judge Lookup) {
	r.round.Lock()
	defer r.round.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	visits := make(map[string]session.Visit)
	doubted := make(map[subject]time.Time)
	for _, q := range r.inquiries() {
		since, known := visits[q.jar]
		if !known {
			since, known = r.visits[q.jar]
		}
		if !known {
			since = q.since
		}
		now, standing, err := judge(ctx, since.At(q.site), q.session)
		if err == nil {
			visits[q.jar] = now
			q.end(standing)
			continue
		}
		visits[q.jar] = since
		first, before := r.doubted[q.subject]
		if !before {
			first = time.Now()
		}
		doubted[q.subject] = first
		if time.Since(first) >= maxDoubt {
			q.end(StateEnded)
		}
	}
	r.visits, r.doubted = visits, doubted
}

// end ends the passes that a standing is the end of.
func (q inquiry) end(s State) {
	for _, p := range q.passes {
		if s == StateEnded || s == StateInactive && p.onSwitch.Load() {
			p.end()
		}
	}
}

// inquiries returns what is to be asked now.
func (r *Registry) inquiries() map[subject]*inquiry {
	all := make(map[subject]*inquiry)
	before := time.Now().Add(-settled)
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for p := s.root.next; p != &s.root; p = p.next {
			if p.Ended() || p.opened.After(before) {
				continue
			}
			q := all[p.subject]
			if q == nil {
				q = &inquiry{subject: p.subject, since: p.since}
				all[p.subject] = q
			}
			q.passes = append(q.passes, p)
		}
		s.mu.Unlock()
	}
	return all
}

// Close ends every request there is and those to come, as when nothing can be found out of any session
// any more.
func (r *Registry) Close() {
	r.closed.Store(true)
	for i := range r.shards {
		for _, p := range r.shards[i].all() {
			p.end()
		}
	}
}

func (s *shard) add(p *Pass) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.prev, p.next = s.root.prev, &s.root
	p.prev.next, p.next.prev = p, p
}

// remove takes a pass out, if it is in.
func (s *shard) remove(p *Pass) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.next == nil {
		return
	}
	p.prev.next, p.next.prev = p.next, p.prev
	p.prev, p.next = nil, nil
}

func (s *shard) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.root.next == &s.root
}

func (s *shard) all() []*Pass {
	s.mu.Lock()
	defer s.mu.Unlock()
	var passes []*Pass
	for p := s.root.next; p != &s.root; p = p.next {
		passes = append(passes, p)
	}
	return passes
}
