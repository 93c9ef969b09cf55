package gate

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// advance moves the bubble's clock on.
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestRecentSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			lifetime, wait time.Duration
			again          bool // it is new once more
		}{
			"at once":         {10 * time.Second, 0, false},
			"within its time": {10 * time.Second, 9 * time.Second, false},
			"after its time":  {10 * time.Second, 10 * time.Second, true},
			"for good":        {0, 1000 * time.Hour, false},
		} {
			s := newRecentSet(test.lifetime)
			if !s.addNew("text") || s.addNew("text") || !s.has("text") || s.has("other") {
				t.Errorf("%s: it does not know what was added", name)
			}
			advance(test.wait)
			if again := !s.has("text"); again != test.again || s.addNew("text") != test.again {
				t.Errorf("%s: it is new again %t", name, again)
			}
		}
	})
}

// TestRecentSetAddsAgain: with add the time begins anew.
func TestRecentSetAddsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newRecentSet(10 * time.Second)
		s.add("text")
		advance(9 * time.Second)
		s.add("text")
		advance(9 * time.Second)
		if !s.has("text") {
			t.Error("it is forgotten")
		}
	})
}

// TestAttackRecentSetOverflow: whoever makes up texts fills no memory, and does not empty the set.
func TestAttackRecentSetOverflow(t *testing.T) {
	s := newRecentSet(0)
	for i := range 10 * maxRecent {
		s.addNew(strconv.Itoa(i))
		if i%(maxRecent/2) == 0 {
			s.add("text") // is in use
		}
	}
	if n := s.added.Len(); n > maxRecent || !s.has("text") {
		t.Errorf("it has %d texts, and the one in use: %t", n, s.has("text"))
	}
}
