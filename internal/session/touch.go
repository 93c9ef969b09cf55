package session

import (
	"context"
	"sync"
	"time"
)

// touchInterval returns how long after a recorded use the next use is recorded. It is a hundredth
// of the idle time, so a session ends at most that much too early. It is at most five minutes,
// which is precise enough for "last used" on a page.
func (o Options) touchInterval() time.Duration {
	const most = 5 * time.Minute
	if o.IdleTimeout > 0 {
		return min(o.IdleTimeout/100, most)
	}
	return most
}

// use is a use of a session, to be recorded.
type use struct {
	key    Key
	handle string // empty: only the jar's token was presented
	at     time.Time
}

// pendingUse names what is in the queue: a use of a jar, or that its token was presented.
type pendingUse struct {
	key       Key
	presented bool
}

func (u use) pending() pendingUse { return pendingUse{u.key, u.handle == ""} }

// toucher records uses in the background, so that no request waits for a write. If the queue is
// full, a use is dropped: the session's next use is as good.
type toucher struct {
	record  func(context.Context, use) error
	queue   chan use
	workers sync.WaitGroup
	ctx     context.Context // ends when close stops waiting
	cancel  context.CancelFunc

	mu      sync.Mutex
	pending map[pendingUse]bool
	closed  bool
}

const (
	touchWorkers = 8 // so that several writes share one commit of the store
	touchQueue   = 1024
	touchTimeout = 10 * time.Second
)

func newToucher(record func(context.Context, use) error) *toucher {
	t := &toucher{record: record, queue: make(chan use, touchQueue), pending: make(map[pendingUse]bool)}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	for range touchWorkers {
		t.workers.Go(t.work)
	}
	return t
}

// touch queues a use. It never waits.
func (t *toucher) touch(u use) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.pending[u.pending()] {
		return
	}
	select {
	case t.queue <- u:
		t.pending[u.pending()] = true
	default:
	}
}

func (t *toucher) work() {
	for u := range t.queue {
		ctx, cancel := context.WithTimeout(t.ctx, touchTimeout)
		// A failure only shortens the session's idle time a little, and the next use tries again.
		// Requests that need the store report one that keeps failing.
		_ = t.record(ctx, u)
		cancel()
		t.mu.Lock()
		delete(t.pending, u.pending())
		t.mu.Unlock()
	}
}

// close records the queued uses and waits, for touchTimeout in total. Without a limit, a store that
// hangs would delay a reload for each use. Later uses are dropped.
func (t *toucher) close() {
	t.mu.Lock()
	if !t.closed {
		t.closed = true
		close(t.queue)
	}
	t.mu.Unlock()
	enough := time.AfterFunc(touchTimeout, t.cancel)
	defer enough.Stop()
	t.workers.Wait()
	t.cancel()
}
