package login

import "time"

// bucket counts the failures of one address or one account. It is a leaky bucket whose level is
// kept as the instant at which it will have run empty: a failure moves that instant away by the
// limits' cost, and the passing of time is all that leaks. Integers only, so that whoever waits as
// long as told is never a rounding error too early; and no limits inside, so that a bucket outlives
// a change of the limits.
//
// (x/time/rate does not fit: its reservations cannot be given back once their time has come, which
// for an attempt that is admitted is at once.)
//
// The Throttle's mutex guards it.
type bucket struct {
	empty   time.Time
	pending int           // attempts that were charged for and have no outcome yet
	settled chan struct{} // closed when one of them gets its outcome; nil while nobody waits
	waiting int           // attempts that have begun to wait for that
}

// delay is how long until one more failure fits; zero or less is now. It is undecided when one
// would fit now if the pending attempts turned out not to be failures.
func (b *bucket) delay(now time.Time, l Limits) (delay time.Duration, undecided bool) {
	delay = b.level(now, l) + l.cost() - l.capacity()
	return delay, delay > 0 && delay <= time.Duration(b.pending)*l.cost()
}

// level is the time until the bucket is empty. What is above l's capacity is poured out for good,
// so that nobody waits longer than a window where limits were loosened or the clock was put back.
func (b *bucket) level(now time.Time, l Limits) time.Duration {
	level := min(max(b.empty.Sub(now), 0), l.capacity())
	b.empty = now.Add(level)
	return level
}

// charge puts in one failure ahead of its happening.
func (b *bucket) charge(now time.Time, l Limits) {
	b.empty = now.Add(b.level(now, l) + l.cost())
	b.pending++
}

// settle ends a charge, of which refund is given back. What has leaked since needs no thought:
// leaking first and giving back first come to the same level.
func (b *bucket) settle(refund time.Duration) {
	b.empty = b.empty.Add(-refund)
	b.pending--
	if b.settled != nil {
		close(b.settled)
		b.settled, b.waiting = nil, 0
	}
}

// wait returns a channel that is closed when a pending attempt gets its outcome. It is Busy if too
// many wait already.
func (b *bucket) wait() (<-chan struct{}, error) {
	if b.waiting >= maxUndecided {
		return nil, Busy()
	}
	b.waiting++
	if b.settled == nil {
		b.settled = make(chan struct{})
	}
	return b.settled, nil
}
