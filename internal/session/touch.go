package session

import (
	"context"
	"sync"
	"time"
)

// touchInterval is how much later than the last recorded use a use must be to be recorded too: a
// hundredth of the idle time, so that a session ends at most that much too early, and never above
// five minutes, which is close enough for "last used" on a page.
func (o Options) touchInterval() time.Duration {
	const most = 5 * time.Minute
	if o.IdleTimeout > 0 {
		return min(o.IdleTimeout/100, most)
	}
	return most
}

// use is one use of a session, to be recorded.
type use struct {
	key    Key
	handle string
	at     time.Time
}

// toucher records uses in the background, so that no request waits for a write. A use that finds
// the queue full is dropped: the session's next one is as good.
type toucher struct {
	record  func(context.Context, use) error
	queue   chan use
	workers sync.WaitGroup
	ctx     context.Context // ends when close has waited long enough
	cancel  context.CancelFunc

	mu      sync.Mutex
	pending map[Key]bool // jars that have a use in the queue
	closed  bool
}

const (
	touchWorkers = 8 // so that several writes share one commit of the store
	touchQueue   = 1024
	touchTimeout = 10 * time.Second
)

func newToucher(record func(context.Context, use) error) *toucher {
	t := &toucher{record: record, queue: make(chan use, touchQueue), pending: make(map[Key]bool)}
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
	if t.closed || t.pending[u.key] {
		return
	}
	select {
	case t.queue <- u:
		t.pending[u.key] = true
	default:
	}
}

func (t *toucher) work() {
	for u := range t.queue {
		ctx, cancel := context.WithTimeout(t.ctx, touchTimeout)
		// A failure loses nothing but a little of the session's idle time, and the next use tries
		// again; a store that fails for good is reported by the requests that need it.
		_ = t.record(ctx, u)
		cancel()
		t.mu.Lock()
		delete(t.pending, u.key)
		t.mu.Unlock()
	}
}

// close records what is queued, and waits for it: not longer than touchTimeout for all of it, or a
// store that hangs would hold up a reload for as long as each use takes to fail. Later uses are
// dropped.
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
