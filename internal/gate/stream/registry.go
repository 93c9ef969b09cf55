package stream

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// State says what has become of a session.
type State int

const (
	// StateEnded means that the session has ended.
	StateEnded State = iota

	// StateInactive means that the session lives, but its browser makes requests as another one.
	StateInactive

	// StateActive means that the browser makes requests as this session.
	StateActive
)

// Lookup returns the state of the session with the id. The visit says where its jar was found last;
// Lookup returns where it is found now, for the next question. An error means that the state is
// unknown. Lookup must return when the context is done.
type Lookup func(ctx context.Context, since session.Visit, id string) (now session.Visit, s State, err error)

const (
	// interval is the time between two rounds of questions. Together with settled and grace it
	// bounds the time from the end of a session to the end of its requests, which is at most two
	// seconds.
	interval = 500 * time.Millisecond

	// settled is how long a request is under way at least before the first question. Most requests
	// are over by then.
	settled = 250 * time.Millisecond

	// patience is how long a round takes at most. Sessions that were not looked up by then are
	// unknown.
	patience = time.Second

	// maxUnknown is how long requests go on while the state of their session is unknown. It is
	// enough for a store that restarts. A session may have ended unseen after that.
	maxUnknown = 10 * time.Second
)

// shards is how many parts the requests are in. Each processor has one of its own as long as there
// are no more processors than shards.
const shards = 64

// Registry holds the requests that are under way. All configurations on one store share it, so that
// a request from before a reload is judged by the rules after it. Its methods may be called
// concurrently.
type Registry struct {
	lookup    atomic.Pointer[Lookup]
	scheduled atomic.Bool // a round is to come
	closed    atomic.Bool
	epoch     atomic.Uint32 // changes settled before each round

	// local hands out a shard that the current processor has used before, so that requests on
	// different processors seldom wait for one another. Each shard may be in it several times.
	local  sync.Pool
	dealt  atomic.Uint32 // how many shards were put into local
	shards [shards]shard

	round   sync.Mutex               // held while a round runs
	visits  map[string]session.Visit // where the last round found each jar, by its id
	unknown map[key]time.Time        // since when the state of a session is unknown
}

// NewRegistry returns a registry without requests. It ends none until SetLookup is called.
func NewRegistry() *Registry {
	r := new(Registry)
	for i := range r.shards {
		r.shards[i].init()
	}
	r.local.New = func() any { return &r.shards[r.dealt.Add(1)%shards] }
	return r
}

// SetLookup sets what answers the registry's questions from now on, by the rules of the
// configuration that is in force.
func (r *Registry) SetLookup(lookup Lookup) { r.lookup.Store(&lookup) }

// Open adds a request that is under way as the session with the id, of the jar that the visit
// found. Close of the request removes it. A request may be opened again after that, but not by two
// goroutines at a time. One that was ended is not added again.
func (r *Registry) Open(q *Request, since session.Visit, id string, on Connection) {
	if q.state.Load() != stateClosed {
		return
	}
	q.since, q.id, q.epoch, q.connection = since, id, r.epoch.Load(), on
	s := r.local.Get().(*shard)
	q.shard = s
	q.state.Store(stateOpen)
	s.add(q)
	r.local.Put(s)
	if r.closed.Load() {
		q.end()
		return
	}
	r.schedule()
}

// schedule makes a round happen after interval, unless one is to come already.
func (r *Registry) schedule() {
	if !r.scheduled.Load() && r.scheduled.CompareAndSwap(false, true) {
		time.AfterFunc(interval-settled, r.settle)
	}
}

// settle begins a new epoch. The round asks about requests from earlier epochs only.
func (r *Registry) settle() {
	r.epoch.Add(1)
	time.AfterFunc(settled, r.runRound)
}

// runRound asks about all settled requests, and schedules the next round if any request is under
// way.
func (r *Registry) runRound() {
	if lookup := r.lookup.Load(); lookup != nil {
		r.endOutlasting(*lookup)
	}
	r.scheduled.Store(false)
	for i := range r.shards {
		if !r.shards[i].empty() {
			r.schedule()
			return
		}
	}
}

// group is the settled requests of one session.
type group struct {
	since    session.Visit
	requests []*Request
}

// endOutlasting ends the settled requests that outlast their session.
func (r *Registry) endOutlasting(lookup Lookup) {
	r.round.Lock()
	defer r.round.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	visits := make(map[string]session.Visit)
	unknown := make(map[key]time.Time)
	for k, g := range r.settledRequests() {
		since, found := visits[k.jar]
		if !found {
			since, found = r.visits[k.jar]
		}
		if !found {
			since = g.since
		}
		now, state, err := lookup(ctx, since.At(k.site), k.session)
		if err == nil {
			visits[k.jar] = now
			g.endIf(state)
			continue
		}
		visits[k.jar] = since
		first, before := r.unknown[k]
		if !before {
			first = time.Now()
		}
		unknown[k] = first
		if time.Since(first) >= maxUnknown {
			g.endIf(StateEnded)
		}
	}
	r.visits, r.unknown = visits, unknown
}

// endIf ends the requests that must not go on in a state of their session.
func (g *group) endIf(s State) {
	for _, q := range g.requests {
		if s == StateEnded || s == StateInactive && q.endOnSwitch.Load() {
			q.end()
		}
	}
}

// settledRequests returns the requests to ask about, by their session.
func (r *Registry) settledRequests() map[key]*group {
	all := make(map[key]*group)
	epoch := r.epoch.Load()
	for i := range r.shards {
		r.shards[i].visit(func(q *Request) {
			if q.Ended() || q.epoch == epoch {
				return
			}
			k := q.key()
			g := all[k]
			if g == nil {
				g = &group{since: q.since}
				all[k] = g
			}
			g.requests = append(g.requests, q)
		})
	}
	return all
}

// Close ends all requests, and every request that is opened later: nobody can answer the registry's
// questions any more.
func (r *Registry) Close() {
	r.closed.Store(true)
	for i := range r.shards {
		var requests []*Request
		r.shards[i].visit(func(q *Request) { requests = append(requests, q) })
		for _, q := range requests {
			q.end()
		}
	}
}

// Closed reports whether Close was called. What it has ended says nothing of sessions.
func (r *Registry) Closed() bool { return r.closed.Load() }
