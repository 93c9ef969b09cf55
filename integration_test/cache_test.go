package integration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// newTagged is an app whose answers have a tag, the same for all accounts, and which heeds conditions. It says
// what cookies and conditions it has seen.
func newTagged(t testing.TB) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=3600")
		w.Header().Set("Etag", `"1"`)
		w.Header().Set("X-Seen", strings.Join(r.Header["Cookie"], ";")+"|"+r.Header.Get("If-None-Match")+"|"+r.Header.Get("If-Match"))
		switch {
		case r.URL.Path == "/plant":
			w.Header().Add("Set-Cookie", "multi_session_view=planted; Path=/")
		case r.URL.Path == "/static/cookie":
			w.Header().Add("Set-Cookie", "app=1")
		}
		switch {
		case r.Header.Get("If-None-Match") == `"1"`:
			w.WriteHeader(http.StatusNotModified)
			return
		case r.Header.Get("If-Match") != "" && r.Header.Get("If-Match") != `"1"`:
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		fmt.Fprint(w, r.Header.Get("Remote-User"))
	}))
	t.Cleanup(server.Close)
	return server
}

// fetch asks for a path as an image does, on conditions.
func (b *browser) fetch(method, path string, conditions ...string) reply {
	b.t.Helper()
	request := b.request(method, path, nil)
	request.Header.Set("Sec-Fetch-Mode", "no-cors")
	request.Header.Set("Sec-Fetch-Dest", "image")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i < len(conditions); i += 2 {
		request.Header.Set(conditions[i], conditions[i+1])
	}
	return b.must(request)
}

// TestValidatorsOfAnotherAccountAreWorthNothing asks for what one account has with what another was given.
func TestValidatorsOfAnotherAccountAreWorthNothing(t *testing.T) {
	app := newTagged(t)
	address := freeAddress(t)
	startGateway(t, site(address, app.Listener.Addr().String(), "", publicStatic))
	b := newBrowser(t, "http://"+address)
	alice := b.signIn("alice")
	first := b.fetch(http.MethodGet, "/x")
	hers := first.Header.Get("Etag")
	if first.body != "alice" || !strings.HasPrefix(hers, `"ms~`) || first.Header.Get("Cache-Control") != "private, no-cache" || first.Header.Get("Vary") != "Cookie" {
		t.Fatalf("%q %v", first.body, first.Header)
	}
	again := b.fetch(http.MethodGet, "/x", "If-None-Match", hers)
	if again.StatusCode != http.StatusNotModified || again.Header.Get("Etag") != hers {
		t.Errorf("alice has it, and is answered %s %v", again.Status, again.Header)
	}
	if got := b.fetch(http.MethodPut, "/x", "If-Match", hers); got.StatusCode != http.StatusOK {
		t.Errorf("alice changes what she has seen: %s", got.Status)
	}
	b.signIn("bob")
	for name, condition := range map[string]string{"hers": hers, "the app's own": `"1"`, "hers and more": `"1", ` + hers, "any": "*"} {
		if got := b.fetch(http.MethodGet, "/x", "If-None-Match", condition); got.StatusCode != http.StatusOK || got.body != "bob" || got.Header.Get("Etag") == hers {
			t.Errorf("%s: bob is answered %s %q", name, got.Status, got.body)
		}
	}
	if got := b.fetch(http.MethodPut, "/x", "If-Match", hers); got.StatusCode != http.StatusOK {
		t.Errorf("the app is not asked whether bob may change what alice has seen: %s", got.Status)
	}
	if got := b.fetch(http.MethodPut, "/x", "If-Match", `"1"`); got.StatusCode != http.StatusOK {
		t.Errorf("what clients know from elsewhere: %s", got.Status)
	}
	b.post("/.auth/multi-session/set-active", map[string]any{"sessionToken": alice})
	if got := b.fetch(http.MethodGet, "/x", "If-None-Match", hers); got.StatusCode != http.StatusNotModified {
		t.Errorf("alice again: %s", got.Status)
	}
	t.Run("public", func(t *testing.T) {
		if got := b.fetch(http.MethodGet, "/static/x"); got.Header.Get("Cache-Control") != "public, max-age=3600" || got.Header.Get("Etag") != `"1"` || got.Header.Get("Vary") != "" || len(got.Header["Set-Cookie"]) > 0 {
			t.Errorf("%v", got.Header)
		}
		if got := b.fetch(http.MethodGet, "/static/x", "If-None-Match", `"1"`); got.StatusCode != http.StatusNotModified {
			t.Error(got.Status)
		}
		if got := b.fetch(http.MethodGet, "/static/cookie"); got.Header.Get("Cache-Control") != "private, no-cache" || got.Header.Get("Etag") != hers {
			t.Errorf("with a cookie: %v", got.Header)
		}
		if got := b.fetch(http.MethodGet, "/static/../x"); got.Header.Get("Cache-Control") == "public, max-age=3600" {
			t.Errorf("not below: %v", got.Header)
		}
	})
}

// TestViewCookieIsTheGateways: apps neither see it nor set it, and a browser that has another one, or one that
// somebody planted, gets the right one with the next answer.
func TestViewCookieIsTheGateways(t *testing.T) {
	app := newTagged(t)
	address := freeAddress(t)
	startGateway(t, plain(address, app.Listener.Addr().String()))
	b := newBrowser(t, "http://"+address)
	b.signIn("alice")
	if got := b.fetch(http.MethodGet, "/plant"); strings.Contains(got.Header.Get("X-Seen"), "_view") || strings.Contains(strings.Join(got.Header["Set-Cookie"], ";"), "planted") {
		t.Errorf("%v", got.Header)
	}
	right := ""
	for _, c := range b.client.Jar.Cookies(b.request(http.MethodGet, "/", nil).URL) {
		if c.Name == "multi_session_view" {
			right = c.Value
		}
	}
	if right == "" {
		t.Fatal("there is no view after the sign-in")
	}
	for name, cookies := range map[string]string{"none": "", "another": "; multi_session_view=AAAAAAAAAAAAAAAA", "two": "; multi_session_view=" + right + "; multi_session_view=x"} {
		request := b.request(http.MethodGet, "/", nil)
		for _, c := range b.client.Jar.Cookies(request.URL) {
			if c.Name == "multi_session" {
				request.Header.Set("Cookie", c.Name+"="+c.Value+cookies)
			}
		}
		bare := &browser{t: t, base: b.base, client: &http.Client{Transport: b.client.Transport}}
		if set := strings.Join(bare.must(request).Header["Set-Cookie"], "\n"); !strings.Contains(set, "multi_session_view="+right+"; Path=/; HttpOnly; SameSite=Lax") {
			t.Errorf("%s: the answer sets %q", name, set)
		}
	}
	b.post("/.auth/sign-out", map[string]any{})
	for _, c := range b.client.Jar.Cookies(b.request(http.MethodGet, "/", nil).URL) {
		if c.Name == "multi_session_view" {
			t.Errorf("after signing out the browser is at the view %s", c.Value)
		}
	}
}

// TestLateAnswerIsNotStored has the account switched while an app is about to answer.
func TestLateAnswerIsNotStored(t *testing.T) {
	arrived, goOn := make(chan struct{}), make(chan struct{})
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-goOn
		w.Header().Set("Cache-Control", "public, max-age=3600")
		fmt.Fprint(w, r.Header.Get("Remote-User"))
	}))
	t.Cleanup(app.Close)
	address := freeAddress(t)
	startGateway(t, plain(address, app.Listener.Addr().String()))
	b := newBrowser(t, "http://"+address)
	bob := b.signIn("bob")
	b.signIn("alice")
	for _, switched := range []bool{false, true} {
		request := b.request(http.MethodGet, "/x", nil)
		request.Header.Set("Sec-Fetch-Dest", "image")
		answered := make(chan reply)
		go func() {
			got, err := b.do(request)
			if err != nil {
				t.Error(err)
			}
			answered <- got
		}()
		<-arrived
		want := "private, no-cache"
		if switched {
			want = "no-store"
			b.post("/.auth/multi-session/set-active", map[string]any{"sessionToken": bob})
		}
		goOn <- struct{}{}
		got := <-answered
		if got.Response == nil || got.body != "alice" || got.Header.Get("Cache-Control") != want || strings.Contains(strings.Join(got.Header["Set-Cookie"], "\n"), "_view") {
			t.Fatalf("switched %t: %q %+v", switched, got.body, got.Response)
		}
	}
}

// TestErrorRoutesStoreNothing: an answer to a request that no gate has seen is of nobody knows whom.
func TestErrorRoutesStoreNothing(t *testing.T) {
	app := newTagged(t)
	address := freeAddress(t)
	startGateway(t, site(address, app.Listener.Addr().String(), "", "route {\n error /broken 500\n multi_session\n}\n handle_errors {\n reverse_proxy "+app.Listener.Addr().String()+"\n}"))
	b := newBrowser(t, "http://"+address)
	b.signIn("alice")
	if got := b.fetch(http.MethodGet, "/broken", "If-None-Match", `"1"`); got.StatusCode == http.StatusNotModified || got.Header.Get("Cache-Control") != "no-store" || got.body != "" {
		t.Errorf("%s %q %v", got.Status, got.body, got.Header)
	}
	if got := b.fetch(http.MethodGet, "/x"); got.body != "alice" || got.Header.Get("Cache-Control") != "private, no-cache" {
		t.Errorf("%q %v", got.body, got.Header)
	}
}
