package integration

import (
	"net/http"
	"slices"
	"sync"
	"testing"
)

// TestSignOutAgainstSignIn has a browser sign in and out at the same moment, with the same cookie. Each
// of the two cookies that may come of it is looked at: the sign-out must have ended the account,
// wherever the sign-in has moved the jar meanwhile, and the old cookie is dead in any case.
func TestSignOutAgainstSignIn(t *testing.T) {
	up := newEcho(t)
	address := freeAddress(t)
	g := startGateway(t, plain(address, up.address()))
	base := "http://" + address
	for range 25 {
		b := newBrowser(t, base)
		handle := b.signIn("alice")
		old := b.cookieHeader()
		request := func(path string, body any) *http.Request {
			r := b.jsonRequest(path, body)
			r.Header.Set("Cookie", old)
			return r
		}
		requests := []*http.Request{
			request("/.auth/sign-in/username", map[string]any{"username": "bob", "password": password("bob")}),
			request("/.auth/sign-out", map[string]any{}),
			request("/.auth/multi-session/set-active", map[string]any{"sessionToken": handle}),
			request("/.auth/multi-session/revoke", map[string]any{"sessionToken": handle}),
		}
		answers := make([]reply, len(requests))
		var group sync.WaitGroup
		for i, r := range requests {
			group.Go(func() {
				bare := &browser{t: b.t, base: base, portal: b.portal, client: &http.Client{Transport: b.client.Transport}}
				answer, err := bare.do(r)
				if err != nil {
					t.Error(err)
					return
				}
				answers[i] = answer
			})
		}
		group.Wait()
		if t.Failed() {
			return
		}
		for i, answer := range answers {
			if answer.StatusCode != http.StatusOK && (i < 2 || answer.StatusCode != http.StatusUnauthorized) {
				t.Fatalf("%s: %s %s", requests[i].URL.Path, answer.Status, answer.body)
			}
		}
		if got := b.as(old); got != "" {
			t.Errorf("the old cookie is %q", got)
		}
		signedOut := slices.ContainsFunc(g.audit("sign-out"), func(line map[string]any) bool { return line["handle"] == handle })
		revoked := slices.ContainsFunc(g.audit("revoke"), func(line map[string]any) bool {
			return line["handle"] == handle && line["outcome"] == "success"
		})
		moved := newBrowser(t, base)
		moved.client.Jar.SetCookies(moved.request(http.MethodGet, "/", nil).URL, answers[0].Cookies())
		accounts := moved.accounts()
		if slices.Contains(accounts, "alice") {
			t.Errorf("the sign-out was acknowledged, and she is still there: %v; logged: signed out %t, revoked %t", accounts, signedOut, revoked)
		}
		if len(accounts) > 2 {
			t.Errorf("the browser holds %v", accounts)
		}
	}
}
