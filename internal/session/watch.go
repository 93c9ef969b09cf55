package session

import "slices"

// Watch signals that the jar of a token may have changed. It says nothing more: the receiver reads
// the jar again, and finds none if the token is invalid by then. It does not signal ends without a
// write, such as expired times and deleted accounts. So it saves waiting, but does not replace a
// regular look.
type Watch struct {
	shard   *jarShard
	key     Key
	changed chan struct{}
}

// Watch starts to watch the jar of a token, whether it exists or not. Stop ends it. Every change
// that ends after Watch returns is signalled.
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

// Changed receives a value after a change. Several changes before it is read are one value.
func (w *Watch) Changed() <-chan struct{} { return w.changed }

// Stop ends the watch. It may be called again.
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

// wake signals the watches of the jar under key. It never waits. The caller holds the lock.
func (s *jarShard) wake(key Key) {
	for _, w := range s.watched[key] {
		select {
		case w.changed <- struct{}{}:
		default: // already signalled
		}
	}
}
