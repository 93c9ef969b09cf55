package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is the CPU time, user and system, that all threads of a process have used so far. It is
// exact to the nanosecond, where /proc/<pid>/stat counts ticks of 10 ms.
func cpuTime(pid int) (time.Duration, error) {
	// The clock of a process, as clock_getcpuclockid(3) computes it.
	const cpuClockSched = 2
	var spent unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|cpuClockSched), &spent); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(spent.Nano()), nil
}
