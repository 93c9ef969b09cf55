package storagetest

import (
	"sync/atomic"
	"time"
)

// Clock stands still until it is advanced, so that a test decides what has expired. The zero
// Clock is ready to use; its methods may be called concurrently.
type Clock struct {
	elapsed atomic.Int64 // nanoseconds since epoch
}

// epoch is where every Clock starts: far in the future, for a database that also expires
// records by a clock of its own would otherwise remove them in the middle of a test.
var epoch = time.Date(2100, time.January, 1, 0, 0, 0, 0, time.UTC)

// Now returns the time on the clock, in UTC. It starts at a whole second.
func (c *Clock) Now() time.Time { return epoch.Add(time.Duration(c.elapsed.Load())) }

// Advance moves the clock by d, back where d is negative.
func (c *Clock) Advance(d time.Duration) { c.elapsed.Add(int64(d)) }
