package caddymodule

import (
	"sync"
	"time"
)

// notices are what has come up already, so that not as much is made of it each time.
type notices struct {
	lasting time.Duration // from when on something counts as new again; zero for never

	mu   sync.Mutex
	seen map[string]time.Time
}

// maxNotices bounds them. Beyond, they begin again.
const maxNotices = 1024

// first reports whether something has not come up before, and has it come up.
func (n *notices) first(what string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known(what) {
		return false
	}
	n.note(what)
	return true
}

// has reports whether something has come up before.
func (n *notices) has(what string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.known(what)
}

// add has something come up, again or not.
func (n *notices) add(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.note(what)
}

func (n *notices) known(what string) bool {
	at, ok := n.seen[what]
	return ok && (n.lasting == 0 || time.Since(at) < n.lasting)
}

func (n *notices) note(what string) {
	if n.seen == nil || len(n.seen) >= maxNotices {
		n.seen = make(map[string]time.Time)
	}
	n.seen[what] = time.Now()
}
