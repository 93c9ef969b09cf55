package gate

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxRecent is how many texts a recentSet remembers. If it is full, the one that was added or
// looked up longest ago gives way.
const maxRecent = 4096

// recentSet remembers texts for a while. It keeps their hashes, so its size does not depend on
// their length. Its methods may be called concurrently.
type recentSet struct {
	lifetime time.Duration // zero: for good

	mu    sync.Mutex
	added *simplelru.LRU[digest, time.Time]
}

// digest is a hash of a text.
type digest [sha256.Size]byte

func digestOf(text string) digest { return sha256.Sum256([]byte(text)) }

func newRecentSet(lifetime time.Duration) *recentSet {
	return &recentSet{lifetime: lifetime, added: newLRU[time.Time]()}
}

// newLRU returns a memory of maxRecent values.
func newLRU[V any]() *simplelru.LRU[digest, V] {
	lru, err := simplelru.NewLRU[digest, V](maxRecent, nil)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return lru
}

// addNew adds a text if the set does not have it, and reports whether it did.
func (s *recentSet) addNew(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := digestOf(text)
	if s.contains(key) {
		return false
	}
	s.added.Add(key, time.Now())
	return true
}

// has reports whether the set has a text.
func (s *recentSet) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.contains(digestOf(text))
}

// add adds a text. If the set has it already, its lifetime begins again.
func (s *recentSet) add(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.added.Add(digestOf(text), time.Now())
}

func (s *recentSet) contains(key digest) bool {
	at, ok := s.added.Get(key)
	return ok && (s.lifetime == 0 || time.Since(at) < s.lifetime)
}
