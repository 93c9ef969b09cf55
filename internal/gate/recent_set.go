package gate

import (
	"sync"
	"time"
)

// maxRecent bounds a recentSet. A set that is full is emptied.
const maxRecent = 1024

// recentSet remembers texts for a while. The zero recentSet is empty and remembers them for good. Its
// methods may be called concurrently.
type recentSet struct {
	lifetime time.Duration // zero: for good

	mu    sync.Mutex
	added map[string]time.Time
}

// addNew adds a text if the set does not have it, and reports whether it did.
func (s *recentSet) addNew(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.contains(text) {
		return false
	}
	s.put(text)
	return true
}

// has reports whether the set has a text.
func (s *recentSet) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.contains(text)
}

// add adds a text. If the set has it already, its lifetime begins again.
func (s *recentSet) add(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(text)
}

func (s *recentSet) contains(text string) bool {
	at, ok := s.added[text]
	return ok && (s.lifetime == 0 || time.Since(at) < s.lifetime)
}

func (s *recentSet) put(text string) {
	if s.added == nil || len(s.added) >= maxRecent {
		s.added = make(map[string]time.Time)
	}
	s.added[text] = time.Now()
}
