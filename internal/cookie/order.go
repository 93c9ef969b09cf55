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
// It is as large as it is, 512 KiB, however many browsers there are: of two cookies that fall into one cell the one
// that was told first is forgotten, and none is ever taken for the other.
type Order struct {
	seed  maphash.Seed
	cells [1 << 16]atomic.Uint64 // whose it is, of which cookie and slot, in the upper half, the time in the lower
}

// settling is how long a browser may go on sending the cookies that it had before an answer.
const settling = 2 * time.Second

// NewOrder returns an order of nothing.
func NewOrder() *Order { return &Order{seed: maphash.MakeSeed()} }

// cell is that of a cookie, and what is in its upper half if the slot is the last: one of a domain is the same
// to all hosts.
func (o *Order) cell(browser, slot, host string, about subject) (cell *atomic.Uint64, mark uint64) {
	if about.domain != "" {
		host = ""
	}
	sum := maphash.Comparable(o.seed, [5]string{browser, host, about.domain, about.path, about.name})
	mark = maphash.Comparable(o.seed, struct {
		cookie uint64
		slot   string
	}{sum, slot})
	return &o.cells[sum%uint64(len(o.cells))], mark >> 32 << 32
}

// told reports whether the last that a browser was told of a cookie was told under the slot, and
// after the request that was made at the given time could show it.
func (o *Order) told(browser, slot, host string, about subject, request time.Time) bool {
	if o == nil || browser == "" {
		return false
	}
	cell, mark := o.cell(browser, slot, host, about)
	last := cell.Load()
	// Milliseconds as they wrap around, so that the difference is right.
	ago := int32(uint32(request.UnixMilli()) - uint32(last))
	return last != 0 && last>>32<<32 == mark && ago < int32(settling.Milliseconds())
}

// tell says that a browser is told of a cookie now.
func (o *Order) tell(browser, slot, host string, about subject, now time.Time) {
	if o != nil && browser != "" {
		cell, mark := o.cell(browser, slot, host, about)
		cell.Store(mark | uint64(uint32(now.UnixMilli())))
	}
}
