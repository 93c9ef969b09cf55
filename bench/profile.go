package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// profileSeconds is how long a CPU profile takes.
const profileSeconds = 10

// profile writes profiles of the gate and of the floor under load, for `go tool pprof`. The
// allocations are those since the process started.
func profile(ctx context.Context, cells []*cell, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, c := range cells {
		for _, l := range c.loads {
			if name := l.server.variant.name; name != gate && name != floor {
				continue
			}
			name := fmt.Sprintf("%s-%s-%d", fileName(l.server.variant.name), fileName(c.protocol), c.cookies)
			if err := l.profile(ctx, filepath.Join(dir, name)); err != nil {
				return err
			}
			fmt.Fprintln(os.Stderr, name)
		}
	}
	return nil
}

func (l *load) profile(ctx context.Context, path string) error {
	loading, stop := context.WithCancel(ctx)
	loaded := make(chan error, 1)
	go func() {
		var err error
		for err == nil {
			err = l.send(loading, 500)
		}
		loaded <- err
	}()
	cpu, err := l.server.fetchAdmin(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", profileSeconds))
	stop()
	if ended := <-loaded; !errors.Is(ended, context.Canceled) {
		return ended
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".cpu", cpu, 0o644); err != nil {
		return err
	}
	allocations, err := l.server.fetchAdmin(ctx, "/debug/pprof/allocs")
	if err != nil {
		return err
	}
	return os.WriteFile(path+".allocs", allocations, 0o644)
}

// fileName is a text with letters, digits and dots alone.
func fileName(text string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == ' ' || c == '/':
			return '_'
		case c == ',' || c == '(' || c == ')':
			return -1
		}
		return c
	}, strings.ToLower(text))
}
