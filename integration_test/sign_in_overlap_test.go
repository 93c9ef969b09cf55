package integration

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestSignInsThatOverlap has a browser with one account add others at about the same time: by a form
// that is sent twice, and by a page that does not wait for the first answer. The browser must have all
// accounts afterwards, in whatever order it takes the answers.
func TestSignInsThatOverlap(t *testing.T) {
	up := newEcho(t)
	address := freeAddress(t)
	startGateway(t, plain(address, up.address()))
	base := "http://" + address
	for _, gap := range []time.Duration{0, 30 * time.Millisecond, 100 * time.Millisecond} {
		for name, users := range map[string][]string{"twice": {"bob", "bob"}, "two accounts": {"bob", "carol"}} {
			b := newBrowser(t, base)
			b.signIn("alice")
			var requests []*http.Request
			for _, user := range users {
				r := b.jsonRequest("/.auth/sign-in/username", map[string]any{"username": user, "password": password(user)})
				r.Header.Set("Cookie", b.cookieHeader())
				requests = append(requests, r)
			}
			answers := make([]reply, len(requests))
			var group sync.WaitGroup
			for i, r := range requests {
				group.Go(func() {
					time.Sleep(time.Duration(i) * gap) // the gap is what the test is about
					bare := &browser{t: b.t, base: base, portal: b.portal, client: &http.Client{Transport: b.client.Transport}}
					answer, err := bare.do(r)
					if err != nil || answer.StatusCode != http.StatusOK {
						t.Errorf("%s after %s: %v %s", name, gap, err, answer.body)
						return
					}
					answers[i] = answer
				})
			}
			group.Wait()
			if t.Failed() {
				return
			}
			want := append([]string{"alice"}, slices.Compact(slices.Clone(users))...)
			for i := range answers {
				last := newBrowser(t, base)
				last.client.Jar.SetCookies(last.request(http.MethodGet, "/", nil).URL, answers[i].Cookies())
				got := last.accounts()
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Errorf("%s after %s, with the answer to %s taken last: the browser has %v, want %v", name, gap, users[i], got, want)
				}
			}
		}
	}
}
