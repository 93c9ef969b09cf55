package login

import (
	"fmt"
	"time"
)

// Limits say how many attempts may fail. Failures of them may fail at once; from then on one more
// may for every Window/Failures that passes, and after a Window without failures all are forgotten.
// So a span as long as a Window sees twice as many as Failures at the worst.
//
// The zero Limits limit nothing.
type Limits struct {
	Failures int
	Window   time.Duration
}

// Bounds of Limits: within them all arithmetic here is exact and nothing overflows.
const (
	maxFailures = 1_000_000
	minWindow   = time.Second
	maxWindow   = 365 * 24 * time.Hour
)

// Validate accepts the zero Limits, and otherwise 1 to 1,000,000 failures in a window of a second
// to 365 days. A half-filled Limits is a mistake and not a way to say off.
func (l Limits) Validate() error {
	switch {
	case l == Limits{}:
		return nil
	case l.Failures < 1 || l.Failures > maxFailures:
		return fmt.Errorf("throttle: %d failures: must be 1 to %d", l.Failures, maxFailures)
	case l.Window < minWindow || l.Window > maxWindow:
		return fmt.Errorf("throttle: window of %s: must be %s to %s", l.Window, minWindow, maxWindow)
	}
	return nil
}

// Times returns limits by which a number of failures weigh as much as one does by l.
func (l Limits) Times(number int) Limits {
	l.Failures = min(l.Failures*number, maxFailures)
	return l
}

// cost is the time that it takes to forget one failure.
func (l Limits) cost() time.Duration { return l.Window / time.Duration(l.Failures) }

// capacity is the time that it takes to forget as many failures as may be. By rounding it can be a
// little less than the window.
func (l Limits) capacity() time.Duration { return l.cost() * time.Duration(l.Failures) }
