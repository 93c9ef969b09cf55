package main

import (
	"context"
	"fmt"
	"time"
)

// cell is what is measured of all variants with one protocol and one number of cookies.
type cell struct {
	protocol    string
	cookies     int
	loads       []*load
	samples     map[string][]float64 // variant to microseconds of CPU time for a request, one for each round
	allocations map[string]float64   // variant to objects for a request
}

func newCell(protocol string, cookies int, servers []*server, headers map[string]string) *cell {
	c := &cell{protocol: protocol, cookies: cookies, samples: make(map[string][]float64), allocations: make(map[string]float64)}
	for _, s := range servers {
		c.loads = append(c.loads, newLoad(s, protocol, headers[s.variant.name]))
	}
	return c
}

// warmUp is how many requests a server gets before each measurement, after others had the machine.
const warmUp = 4 * concurrency

// measureRound measures every variant once in every cell. The variants of a cell take turns, several
// times in a round, so that what slows the machine down for a while hits all of them.
func measureRound(ctx context.Context, cells []*cell, round int, plan plan) error {
	for _, c := range cells {
		spent := make([]time.Duration, len(c.loads))
		for turn := range plan.turns {
			for i := range c.loads {
				i = (i + turn + round) % len(c.loads) // each is the first once
				took, err := c.loads[i].measure(ctx, plan.requests)
				if err != nil {
					return fmt.Errorf("%s, %s, %d cookies: %w", c.loads[i].server.variant.name, c.protocol, c.cookies, err)
				}
				spent[i] += took
			}
		}
		for i, l := range c.loads {
			name := l.server.variant.name
			perRequest := float64(spent[i].Nanoseconds()) / 1e3 / float64(plan.turns*plan.requests)
			c.samples[name] = append(c.samples[name], perRequest)
		}
	}
	return nil
}

// measure returns the CPU time, user and system, that the server spends on so many requests.
func (l *load) measure(ctx context.Context, requests int) (time.Duration, error) {
	if err := l.send(ctx, warmUp); err != nil {
		return 0, err
	}
	before, err := cpuTime(l.server.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	if err := l.send(ctx, requests); err != nil {
		return 0, err
	}
	after, err := cpuTime(l.server.cmd.Process.Pid)
	return after - before, err
}

// countAllocations counts the objects that each server allocates for a request.
func (c *cell) countAllocations(ctx context.Context) error {
	const requests = 1000 // so that what the server allocates beside them does not count
	for _, l := range c.loads {
		if err := l.send(ctx, warmUp); err != nil {
			return err
		}
		before, err := l.server.allocations(ctx)
		if err != nil {
			return err
		}
		if err := l.send(ctx, requests); err != nil {
			return err
		}
		after, err := l.server.allocations(ctx)
		if err != nil {
			return err
		}
		c.allocations[l.server.variant.name] = float64(after-before) / float64(requests)
	}
	return nil
}
