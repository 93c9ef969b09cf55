package session

import (
	"testing"
	"time"
)

func TestSteadyClock(t *testing.T) {
	type reading struct{ wall, elapsed, want time.Duration } // since the start
	const h = time.Hour
	for name, readings := range map[string][]reading{
		"runs":                  {{0, 0, 0}, {h, h, h}, {2 * h, 2 * h, 2 * h}},
		"steps back":            {{0, 0, 0}, {5 * h, 5 * h, 5 * h}, {-20 * h, 6 * h, 6 * h}, {-19 * h, 7 * h, 7 * h}},
		"ahead, then put right": {{24 * h, 0, 24 * h}, {25 * h, h, 25 * h}, {2 * h, 2 * h, 26 * h}, {3 * h, 3 * h, 27 * h}},
		"steps forward":         {{0, 0, 0}, {9 * h, h, 9 * h}, {10 * h, 2 * h, 10 * h}},
		"back and forth":        {{0, 0, 0}, {-h, h, h}, {3 * h, 3 * h, 3 * h}, {9 * h, 4 * h, 9 * h}, {5 * h, 5 * h, 10 * h}},
		"the machine slept":     {{0, 0, 0}, {10 * h, h, 10 * h}, {11 * h, 2 * h, 11 * h}},
	} {
		t.Run(name, func(t *testing.T) {
			c := steadyClock{start: epoch}
			for i, r := range readings {
				if got := c.at(r.wall, r.elapsed).Sub(epoch); got != r.want {
					t.Errorf("reading %d says %s, want %s", i, got, r.want)
				}
			}
		})
	}
}

func TestSteadyClockIsTheSystems(t *testing.T) {
	var c steadyClock
	for range 3 {
		read := time.Now()
		if got := c.now(read).Sub(read.Truncate(time.Millisecond)); got < -time.Millisecond || got > time.Millisecond {
			t.Errorf("differs from the system's clock by %s", got)
		}
	}
}

// The clock steps back in a running gateway: who was signed out by time stays signed out.
func TestExpiredSessionsStayDeadWhenTheClockStepsBack(t *testing.T) {
	everyWorld(t, defaults(), func(w *world) {
		token, _ := w.browser("alice", "bob")
		w.clock.advance(DefaultIdleTimeout)
		w.want(token, "")
		w.clock.advance(-24 * time.Hour)
		w.want(token, "")
		w.reload(defaults())
		w.want(token, "")
	})
}

// Somebody signs in while the clock is a day ahead. It is put right and the gateway started anew.
func TestSessionsOfAClockThatWasAheadEndInTime(t *testing.T) {
	options := defaults()
	options.Lifetime, options.IdleTimeout = 12*time.Hour, 0
	everyWorld(t, options, func(w *world) {
		w.clock.advance(24 * time.Hour)
		done := w.signIn(Token{}, "alice")
		w.clock.advance(-24 * time.Hour)
		w.restart(options)
		w.want(done.Token, "alice*")
		if e, _ := w.visit(done.Token).Active(); e.CreatedAt.After(w.clock.now()) || e.LastUsedAt.After(w.clock.now()) {
			w.Errorf("made %s and used %s, in the future", e.CreatedAt, e.LastUsedAt)
		}
		w.clock.advance(12*time.Hour - time.Millisecond)
		w.want(done.Token, "alice*")
		w.clock.advance(time.Millisecond)
		w.want(done.Token, "")
	})
}

// A machine without a battery starts in the past, and serves before it has learned the time.
func TestAnUnsetClockCostsNobodyASession(t *testing.T) {
	w := newWorld(t, defaults())
	done := w.signIn(Token{}, "alice")
	since := epoch.Sub(time.Unix(0, 0))
	w.clock.advance(-since)
	w.restart(defaults())
	w.want(done.Token, "alice*")
	w.clock.advance(since + time.Hour)
	w.want(done.Token, "alice*")
}
