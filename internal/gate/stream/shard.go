package stream

import "sync"

// shard is a part of the requests that are under way. They form a ring that begins and ends at
// root.
type shard struct {
	mu   sync.Mutex
	root Request
	_    [64]byte // keeps the next shard's lock on another cache line
}

func (s *shard) init() { s.root.prev, s.root.next = &s.root, &s.root }

func (s *shard) add(q *Request) {
	s.mu.Lock()
	q.prev, q.next = s.root.prev, &s.root
	q.prev.next, q.next.prev = q, q
	s.mu.Unlock()
}

func (s *shard) remove(q *Request) {
	s.mu.Lock()
	q.prev.next, q.next.prev = q.next, q.prev
	q.prev, q.next = nil, nil
	s.mu.Unlock()
}

// visit calls f for each request while it holds the lock.
func (s *shard) visit(f func(*Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for q := s.root.next; q != &s.root; q = q.next {
		f(q)
	}
}

func (s *shard) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.root.next == &s.root
}
