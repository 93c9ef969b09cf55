package password

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"

	"github.com/caddy-multi-session/gateway/internal/login"
)

// DefaultMemory is a memory for NewBudget, in KiB.
const DefaultMemory = 256 << 10

// maxWaiting bounds how many hashes wait, whose requests take memory meanwhile.
const maxWaiting = 1000

// Budget bounds what checking passwords may take up at once, in memory and in processors, so that a
// crowd at the sign-in form does not bring down the applications behind the gateway. RFC 9106
// leaves the choice of memory to whoever knows the machine; this is where it is kept to. At least half
// of the processors are left to other requests, or one hash at a time is made where there is one.
//
// A hash takes the larger one of its share of the memory and its share of the processors: where these
// are busy hashing already, one more hash at once would only make all of them take longer, and hold
// its memory meanwhile. A hash of more threads than there are processors for it runs alone, and its
// threads use the others.
//
// The memory is what hashes in progress hold. What they have held stays with the process until the
// garbage collector has passed, so that the process can take up about twice as much.
//
// Hashes for which there is no room wait. The addresses that they are for take turns, so whoever sends
// many passwords makes nobody at another address wait for more than one of them each time.
//
// It belongs to the machine and not to a configuration: it is meant to be shared by all and to
// outlive reloads. It may be used concurrently.
type Budget struct {
	memory     int64 // KiB
	processors int64 // that may hash

	mu      sync.Mutex
	free    int64        // KiB
	turns   []netip.Addr // the addresses that wait, in the order of their turns
	waiting map[netip.Addr][]*waiter
	length  int // how many wait
}

// waiter is a hash that waits.
type waiter struct {
	address netip.Addr
	weight  int64
	done    chan struct{} // closed when it has its room, or is shed
	shed    bool          // others waited, and it was one too many
}

// NewBudget returns a Budget of so many KiB of memory, and half of the processors that Go uses.
func NewBudget(memory int64) *Budget {
	return newBudget(memory, max(1, int64(runtime.GOMAXPROCS(0)/2)))
}

func newBudget(memory, processors int64) *Budget {
	memory = max(memory, 0) // nothing fits then, and fits says so
	return &Budget{
		memory:     memory,
		processors: processors,
		free:       memory,
		waiting:    make(map[netip.Addr][]*waiter),
	}
}

// fits refuses a hash that could never be checked.
func (b *Budget) fits(h hash) error {
	if needed := h.cost().memory; needed > b.memory {
		return fmt.Errorf("takes %d KiB of memory, more than the %d KiB there are for checking passwords", needed, b.memory)
	}
	return nil
}

// matches checks a client's password when there is room. *login.ThrottledError says that too many
// wait already. If ctx ends before there is room the error wraps its cause; a check that has begun is
// finished in any case.
func (b *Budget) matches(ctx context.Context, client netip.Addr, h hash, password []byte) (bool, error) {
	weight := b.weight(h.cost())
	if err := b.acquire(ctx, client, weight); err != nil {
		return false, err
	}
	defer b.release(weight)
	return h.matches(password), nil
}

// make hashes a client's password when there is room, with the errors of matches.
func (b *Budget) make(ctx context.Context, client netip.Addr, password []byte) (string, error) {
	weight := b.weight(defaultHash.cost())
	if err := b.acquire(ctx, client, weight); err != nil {
		return "", err
	}
	defer b.release(weight)
	return newArgon2id(password).String(), nil
}

// weight is what a hash takes of the budget. Threads beyond the processors take no more.
func (b *Budget) weight(c cost) int64 {
	return max(c.memory, b.memory*min(c.threads, b.processors)/b.processors)
}

func (b *Budget) acquire(ctx context.Context, client netip.Addr, weight int64) error {
	if ctx.Err() != nil {
		return fmt.Errorf("wait to check the password: %w", context.Cause(ctx))
	}
	w := b.enqueue(login.Network(client), weight)
	select {
	case <-w.done:
		if w.shed {
			return login.Busy()
		}
		return nil
	case <-ctx.Done():
		b.leave(w)
		return fmt.Errorf("wait to check the password: %w", context.Cause(ctx))
	}
}

func (b *Budget) release(weight int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += weight
	b.grant()
}

// enqueue has a hash wait, which may be over at once. If there are too many, the address with the most
// loses its last one.
func (b *Budget) enqueue(address netip.Addr, weight int64) *waiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &waiter{address: address, weight: weight, done: make(chan struct{})}
	if len(b.waiting[address]) == 0 {
		b.turns = append(b.turns, address)
	}
	b.waiting[address] = append(b.waiting[address], w)
	b.length++
	b.grant()
	if b.length > maxWaiting {
		most := address
		for other, queue := range b.waiting {
			if len(queue) > len(b.waiting[most]) {
				most = other
			}
		}
		last := b.waiting[most][len(b.waiting[most])-1]
		b.remove(last)
		last.shed = true
		close(last.done)
	}
	return w
}

// grant gives room to those whose turn it is. A large hash is not passed by, or it would wait for ever
// while small ones come. The caller holds the mutex.
func (b *Budget) grant() {
	for len(b.turns) > 0 {
		address := b.turns[0]
		next := b.waiting[address][0]
		if next.weight > b.free {
			return
		}
		b.free -= next.weight
		b.remove(next)
		if len(b.waiting[address]) > 0 {
			b.turns = append(b.turns[1:], address)
		}
		close(next.done)
	}
}

// leave ends the wait of a hash that nobody wants any more. It may have been granted meanwhile.
func (b *Budget) leave(w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.done:
		if !w.shed {
			b.free += w.weight
		}
	default:
		b.remove(w)
	}
	b.grant()
}

// remove takes a hash out of the queue of its address. The caller holds the mutex.
func (b *Budget) remove(w *waiter) {
	queue := b.waiting[w.address]
	i := slices.Index(queue, w)
	queue = slices.Delete(queue, i, i+1)
	b.length--
	if len(queue) > 0 {
		b.waiting[w.address] = queue
		return
	}
	delete(b.waiting, w.address)
	b.turns = slices.DeleteFunc(b.turns, func(address netip.Addr) bool { return address == w.address })
}
