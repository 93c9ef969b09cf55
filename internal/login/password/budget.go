package password

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/caddy-multi-session/gateway/internal/login"
	"golang.org/x/sync/semaphore"
)

// Defaults for NewBudget.
const (
	DefaultMemory   = 256 << 10 // KiB
	DefaultPatience = 2 * time.Second
)

// busyRetry is what somebody is told for whose hash there was no room.
const busyRetry = 2 * time.Second

// Budget bounds what checking passwords may take up at once, in memory and in processors, so that a
// crowd at the sign-in form does not bring down the applications behind the gateway. RFC 9106
// leaves the choice of memory to whoever knows the machine; this is where it is kept to.
//
// A hash takes the larger one of its share of the memory and its share of the processors: where the
// processors are busy hashing already, one more hash at once would only make all of them take
// longer, and hold its memory meanwhile.
//
// The memory is what hashes in progress hold. What they have held stays with the process until the
// garbage collector has passed, so that the process can take up about twice as much.
//
// It belongs to the machine and not to a configuration: it is meant to be shared by all and to
// outlive reloads. It may be used concurrently.
type Budget struct {
	memory     int64 // KiB, which are the units of slots
	processors int64
	patience   time.Duration
	slots      *semaphore.Weighted
}

// NewBudget returns a Budget of so many KiB of memory. A hash for which there is no room waits for
// it as long as patience; without patience it does not wait.
func NewBudget(memory int64, patience time.Duration) *Budget {
	return newBudget(memory, int64(runtime.GOMAXPROCS(0)), patience)
}

func newBudget(memory, processors int64, patience time.Duration) *Budget {
	memory = max(memory, 0) // nothing fits then, and fits says so
	return &Budget{
		memory:     memory,
		processors: processors,
		patience:   patience,
		slots:      semaphore.NewWeighted(memory),
	}
}

// fits refuses a hash that could never be checked.
func (b *Budget) fits(h hash) error {
	if needed := h.cost().memory; needed > b.memory {
		return fmt.Errorf("takes %d KiB of memory, more than the %d KiB there are for checking passwords", needed, b.memory)
	}
	return nil
}

// matches checks a password when there is room. *login.ThrottledError says that there was none for
// as long as patience goes. If ctx ends before there is room the error wraps its cause; a check
// that has begun is finished in any case.
func (b *Budget) matches(ctx context.Context, h hash, password []byte) (bool, error) {
	weight := b.weight(h.cost())
	if err := b.acquire(ctx, weight); err != nil {
		return false, err
	}
	defer b.slots.Release(weight)
	return h.matches(password), nil
}

// make hashes a password when there is room, with the errors of matches.
func (b *Budget) make(ctx context.Context, password []byte) (string, error) {
	weight := b.weight(defaultHash.cost())
	if err := b.acquire(ctx, weight); err != nil {
		return "", err
	}
	defer b.slots.Release(weight)
	return newArgon2id(password).String(), nil
}

// weight is what a hash takes of the budget. Threads beyond the processors take no more.
func (b *Budget) weight(c cost) int64 {
	return max(c.memory, b.memory*min(c.threads, b.processors)/b.processors)
}

func (b *Budget) acquire(ctx context.Context, weight int64) error {
	if ctx.Err() == nil && b.slots.TryAcquire(weight) {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	if b.slots.Acquire(waiting, weight) == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("wait to check the password: %w", context.Cause(ctx))
	}
	return &login.ThrottledError{Reason: login.ReasonBusy, RetryAfter: busyRetry}
}
