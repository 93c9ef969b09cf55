package cookie

import (
	"hash/maphash"
	"sync/atomic"
	"time"
)

// Order remembers for a moment what answers have told browsers of their cookies. Of several requests that
// are under way at a switch each finds that the same cookies have to be exchanged. The first answer does
// it; one that comes later must not undo what an upstream has set since. Its methods may be called
// concurrently. The nil Order remembers nothing.
//
// It is as large as it is, however many browsers there are: two cookies that fall into one cell at worst
// have an exchange left to a later request.
type Order struct {
	seed  maphash.Seed
	cells [1 << 12]atomic.Uint64 // the slot in the upper half, the time in the lower
}

// settling is how long a browser may go on sending the cookies that it had before an answer.
const settling = 2 * time.Second

// NewOrder returns an order of nothing.
func NewOrder() *Order { return &Order{seed: maphash.MakeSeed()} }

// cell is that of a cookie: one of a domain is the same to all hosts.
func (o *Order) cell(browser, host string, about subject) *atomic.Uint64 {
	if about.domain != "" {
		host = ""
	}
	sum := maphash.Comparable(o.seed, [5]string{browser, host, about.domain, about.path, about.name})
	return &o.cells[sum%uint64(len(o.cells))]
}

func (o *Order) half(slot string) uint64 { return maphash.String(o.seed, slot) >> 32 << 32 }

// told reports whether the last that a browser was told of a cookie was told under the slot, and
// after the request that was made at the given time could show it.
func (o *Order) told(browser, slot, host string, about subject, request time.Time) bool {
	if o == nil || browser == "" {
		return false
	}
	last := o.cell(browser, host, about).Load()
	// Milliseconds as they wrap around, so that the difference is right.
	ago := int32(uint32(request.UnixMilli()) - uint32(last))
	return last != 0 && last>>32<<32 == o.half(slot) && ago < int32(settling.Milliseconds())
}

// tell says that a browser is told of a cookie now.
func (o *Order) tell(browser, slot, host string, about subject, now time.Time) {
	if o != nil && browser != "" {
		o.cell(browser, host, about).Store(o.half(slot) | uint64(uint32(now.UnixMilli())))
	}
}
