package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "serve" {
		serve(os.Args[2])
		return
	}
	quick := flag.Bool("quick", false, "fewer and shorter rounds, less than two minutes in all")
	markdown := flag.Bool("markdown", false, "print the tables in Markdown")
	profiles := flag.String("profile", "", "write profiles of the gate to this `directory` instead of measuring")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "bench: surplus argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	plan := plan{rounds: 30, turns: 8, requests: 160, limit: 8 * time.Minute}
	if *quick {
		plan = quickPlan
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, plan, *profiles, *markdown); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// plan bounds a run.
type plan struct {
	rounds   int
	turns    int           // of each variant in a round
	requests int           // in one turn
	limit    time.Duration // after which no further round begins
}

// quickPlan ends within two minutes, also where the machine is slow and only some of the rounds fit.
var quickPlan = plan{rounds: 14, turns: 5, requests: 160, limit: 80 * time.Second}

func run(ctx context.Context, plan plan, profiles string, markdown bool) error {
	// The load and the app have one core, and the server that the load goes to has another.
	runtime.GOMAXPROCS(1)
	dir, err := os.MkdirTemp("", "gateway-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	upstream, err := startUpstream()
	if err != nil {
		return err
	}
	defer upstream.Close()

	var servers []*server
	defer func() {
		for _, s := range servers {
			s.stop()
		}
	}()
	for _, v := range variants {
		s, err := startServer(ctx, dir, v, upstream.address())
		if err != nil {
			return fmt.Errorf("start %q: %w", v.name, err)
		}
		servers = append(servers, s)
	}
	cells, err := prepareCells(ctx, servers)
	if err != nil {
		return err
	}
	if profiles != "" {
		return profile(ctx, cells, profiles)
	}
	started := time.Now()
	for round := 0; round < plan.rounds && time.Since(started) < plan.limit; round++ {
		if err := measureRound(ctx, cells, round, plan); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "\rround %d of %d", round+1, plan.rounds)
	}
	fmt.Fprintln(os.Stderr)
	if rounds := len(cells[0].samples[variants[0].name]); rounds < minRounds {
		return fmt.Errorf("only %d rounds fitted into %s: too few to say anything", rounds, plan.limit)
	}
	for _, c := range cells {
		if err := c.countAllocations(ctx); err != nil {
			return err
		}
	}
	return report(os.Stdout, cells, markdown)
}

// minRounds is how many rounds a median needs to mean anything.
const minRounds = 5

// prepareCells signs a browser in at each server for each number of cookies.
func prepareCells(ctx context.Context, servers []*server) ([]*cell, error) {
	var cells []*cell
	for _, count := range cookieCounts {
		headers := make(map[string]string) // Cookie header for each variant
		for _, s := range servers {
			header, err := s.cookies(ctx, count)
			if err != nil {
				return nil, fmt.Errorf("prepare %q with %d cookies: %w", s.variant.name, count, err)
			}
			headers[s.variant.name] = header
		}
		for _, protocol := range protocols {
			cells = append(cells, newCell(protocol, count, servers, headers))
		}
	}
	return cells, nil
}

// cookieCounts are how many cookies of the app a browser has.
var cookieCounts = []int{0, 5, 20}
