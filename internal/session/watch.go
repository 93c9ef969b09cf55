package session

import "slices"

// Watch tells that the jar under a token may have changed. It says no more: whoever hears of it looks
// at the jar anew, and finds none where the token is dead by then. What it does not tell of are ends
// that nothing is written for (times that are over, accounts that are gone), and changes by others
// where the store has other writers. So it saves waiting, and is no substitute for looking now and then.
type Watch struct {
	shard   *jarShard
	key     Key
	changed chan struct{}
}

// Watch begins to watch the jar of a token, whether there is one or not. Stop ends it. A change that
// ends after Watch has returned is told.
func (m *Manager) Watch(token Token) *Watch {
	key := token.Key()
	w := &Watch{shard: m.jars.shard(key), key: key, changed: make(chan struct{}, 1)}
	w.shard.mu.Lock()
	defer w.shard.mu.Unlock()
	if w.shard.watched == nil {
		w.shard.watched = make(map[Key][]*Watch)
	}
	w.shard.watched[key] = append(w.shard.watched[key], w)
	return w
}

// Changed has a value after a change. Changes that follow one another before it is taken are one.
func (w *Watch) Changed() <-chan struct{} { return w.changed }

// Stop ends the watch. To stop it again does nothing.
func (w *Watch) Stop() {
	w.shard.mu.Lock()
	defer w.shard.mu.Unlock()
	left := slices.DeleteFunc(w.shard.watched[w.key], func(other *Watch) bool { return other == w })
	if len(left) == 0 {
		delete(w.shard.watched, w.key)
		return
	}
	w.shard.watched[w.key] = left
}

// wake tells who watches the jar under key. It never waits. The caller holds the lock.
func (s *jarShard) wake(key Key) {
	for _, w := range s.watched[key] {
		select {
		case w.changed <- struct{}{}:
		default: // told already
		}
	}
}
