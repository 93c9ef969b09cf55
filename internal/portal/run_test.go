package portal

import (
	"fmt"
	"net/http"
	"testing"
)

// close closes the browser: it forgets the cookies that are for one run alone.
func (b *browser) close() {
	b.run, b.views = "", nil
	if b.forgets {
		b.cookie = ""
	}
}

func (b *browser) signInFor(name string, remember bool) {
	b.t.Helper()
	w := b.post("/.auth/sign-in/username", fmt.Sprintf(`{"username":%q,"password":%q,"rememberMe":%t}`, name, name+"-password", remember))
	if w.Code != http.StatusOK {
		b.t.Fatalf("sign-in of %s: %d %s", name, w.Code, w.Body)
	}
}

// Each account is remembered or not as its own sign-in asked, whatever the others did.
func TestEachAccountIsRememberedOrNot(t *testing.T) {
	for name, c := range map[string]struct {
		remember []bool // of alice, bob and carol
		before   string
		after    string
		next     string // with dave in the next run
	}{
		"the first alone":  {[]bool{true, false}, "alice *bob", "alice", "alice *dave"},
		"the second alone": {[]bool{false, true}, "alice *bob", "*bob", "bob *dave"},
		"neither":          {[]bool{false, false}, "alice *bob", "", "*dave"},
		"both":             {[]bool{true, true}, "alice *bob", "alice *bob", "alice bob *dave"},
		"the outer two":    {[]bool{true, false, true}, "alice bob *carol", "alice *carol", "alice carol *dave"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newGateway(t).browser()
			for i, remember := range c.remember {
				b.signInFor([]string{"alice", "bob", "carol"}[i], remember)
			}
			if got := b.names(); got != c.before {
				t.Errorf("before: %q, want %q", got, c.before)
			}
			b.close()
			if got := b.names(); got != c.after {
				t.Errorf("after a new start: %q, want %q", got, c.after)
			}
			// What is over does not come back with the next run.
			b.signInFor("dave", false)
			if got := b.names(); got != c.next {
				t.Errorf("in the next run: %q, want %q", got, c.next)
			}
		})
	}
}

func TestARunIsWrittenInTheBrowserOnce(t *testing.T) {
	b := newGateway(t).browser()
	b.signInFor("alice", false)
	run := b.run
	b.signInFor("bob", false)
	if run == "" || b.run != run {
		t.Errorf("the run went from %q to %q", run, b.run)
	}
	if got := b.names(); got != "alice *bob" {
		t.Errorf("signed in are %q", got)
	}
}
