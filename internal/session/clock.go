package session

import (
	"sync"
	"sync/atomic"
	"time"
)

// steadyClock is a clock that never steps back. If the system's clock does, because it was wrong,
// an expired session must not come back, and a new one must not live longer than it may. The steady
// clock then goes on at the right speed until the system's clock has caught up. Its methods may be
// called concurrently.
type steadyClock struct {
	once  sync.Once
	start time.Time    // the first reading
	lead  atomic.Int64 // how far the wall clock has been ahead of start and the elapsed time, at most
	last  atomic.Int64 // the latest reading that had no monotonic time, in milliseconds
}

// now returns the time of a reading of the system's clock, in UTC and to the millisecond.
func (c *steadyClock) now(read time.Time) time.Time {
	c.once.Do(func() { c.start = read })
	wall, start := read.Round(0), c.start.Round(0)
	if wall == read || start == c.start {
		// There is no monotonic time to tell how much time has passed, so the clock stands still.
		return time.UnixMilli(raise(&c.last, wall.UnixMilli())).UTC()
	}
	return c.at(wall.Sub(start), read.Sub(c.start)).Truncate(time.Millisecond).UTC()
}

// at returns the time, given how much the wall clock has advanced since the start, and how much
// time has elapsed. The elapsed time may stand still while the machine sleeps.
func (c *steadyClock) at(advanced, elapsed time.Duration) time.Time {
	lead := raise(&c.lead, int64(advanced-elapsed))
	return c.start.Round(0).Add(elapsed + time.Duration(lead))
}

// raise raises a value to at least the given one and returns it.
func raise(value *atomic.Int64, least int64) int64 {
	for {
		now := value.Load()
		if now >= least || value.CompareAndSwap(now, least) {
			return max(now, least)
		}
	}
}

// clockUnset is a time that has passed long ago. A clock that is before it was never set, as on a
// machine that has just started without a battery.
var clockUnset = time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)

// clamp corrects sessions that were made or used while the clock was ahead, as the jar is read. All
// that is known of their real times is that they are past. So they count as made or used now, and
// have the rest of their time from now on at most.
func (j *Jar) clamp(at time.Time) {
	if at.Before(clockUnset) {
		return
	}
	for i := range j.Sessions {
		s := &j.Sessions[i]
		if ahead := s.CreatedAt.Sub(at); ahead > 0 {
			s.CreatedAt = at
			s.ExpiresAt = s.ExpiresAt.Add(-ahead)
		}
		if s.LastUsedAt.After(at) {
			s.LastUsedAt = at
		}
	}
}
