package integration

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// pinnedGateway is one with the hosts of example.test, in front of an app that believes its own cookie and,
// below /who, of one that tells what it is told.
type pinnedGateway struct {
	*gateway
	address string
	config  func(options string) string
	first   *browser
}

func startPinned(t *testing.T, options string) *pinnedGateway {
	t.Helper()
	up := newEcho(t)
	_, app := newStubborn(t)
	return startPinnedFor(t, options, up.address(), app)
}

// startPinnedFor is startPinned with other apps.
func startPinnedFor(t *testing.T, options, who, app string) *pinnedGateway {
	t.Helper()
	address := freeAddress(t)
	p := &pinnedGateway{address: address, config: func(options string) string {
		global, active, _ := strings.Cut(options, ";")
		return fmt.Sprintf(`{
	%s
	multi_session {
		cookie_domain example.test
		insecure_http
		%s
		login password {
			throttle off
			%s
		}
	}
}
http://:%s {
	multi_session
	reverse_proxy /who* %s
	reverse_proxy %s
}
`, global, active, userOptions, port(address), who, app)
	}}
	p.gateway = startGateway(t, p.config(options))
	p.first = named(t, address, "http://a.example.test:"+port(address))
	return p
}

// on is the browser at a host of the domain.
func (p *pinnedGateway) on(host string) *browser {
	return p.first.at("http://" + host + ".example.test:" + port(p.address))
}

// who is whom the app is told a request is made as, "" where it does not pass.
func (b *browser) who(header ...string) string {
	b.t.Helper()
	answer := b.ask(http.MethodGet, "/who", append([]string{"Accept", "application/json"}, header...)...)
	switch answer.StatusCode {
	case http.StatusOK:
		return answer.seen(b.t).Header.Get("Remote-User")
	case http.StatusUnauthorized:
		return ""
	}
	b.t.Fatalf("%s: %s: %s", b.base, answer.Status, answer.body)
	return ""
}

// sees compares what each host has: by the headers, by the API, and by what its app believes.
func (p *pinnedGateway) sees(when string, want map[string]string) {
	p.t.Helper()
	for host, user := range want {
		b := p.on(host)
		if user != "" {
			b.confirm()
		}
		if got := b.who(); got != user {
			p.t.Errorf("%s: on %s the app is told %q, want %q", when, host, got, user)
		}
		if got := b.active(); got != user {
			p.t.Errorf("%s: on %s get-session has %q, want %q", when, host, got, user)
		}
		if got := b.believes("/"); got != user {
			p.t.Errorf("%s: on %s the app believes %q, want %q", when, host, got, user)
		}
		if csrf := b.holds("csrf"); user != "" && csrf != "csrf-of-"+user {
			p.t.Errorf("%s: on %s scripts read %q, want that of %q", when, host, csrf, user)
		}
	}
}

// TestAnAccountForEachHost is one browser at several hosts of a domain, by all the ways that an account
// becomes active and ends.
func TestAnAccountForEachHost(t *testing.T) {
	p := startPinned(t, ";active per_host")
	alice := p.on("a").signIn("alice")
	p.sees("the first account", map[string]string{"a": "alice", "b": "alice", "c": "alice"})
	bob := p.on("b").signIn("bob")
	p.sees("one more", map[string]string{"a": "alice", "b": "bob", "c": "alice"})
	p.on("a").switchTo(bob)
	p.on("b").switchTo(alice)
	p.sees("switched", map[string]string{"a": "bob", "b": "alice", "c": "alice"})
	if answer := p.on("b").submit("/.auth/accounts", url.Values{"action": {"switch"}, "session": {bob}}); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("the chooser: %s", answer.Status)
	}
	carol := p.on("c").signIn("carol")
	want := map[string]string{"a": "bob", "b": "bob", "c": "carol", "d": "alice"}
	p.sees("by the chooser", want)

	t.Run("each host's page shows its own", func(t *testing.T) {
		page := p.on("d").open("/.auth/accounts")
		for _, text := range []string{"Choose an account on <bdi>d.example.test</bdi>", "Active on <bdi>a.example.test</bdi>, <bdi>b.example.test</bdi>", "Active on <bdi>c.example.test</bdi>"} {
			if !strings.Contains(page.body, text) {
				t.Errorf("the chooser lacks %q:\n%s", text, page.body)
			}
		}
	})
	t.Run("the expected session is that of the host", func(t *testing.T) {
		for host, user := range want {
			handle := map[string]string{"alice": alice, "bob": bob, "carol": carol}[user]
			if got := p.on(host).ask(http.MethodGet, "/who", "Multi-Session-Expect", handle); got.StatusCode != http.StatusOK {
				t.Errorf("%s on %s: %s", user, host, got.Status)
			}
			if got := p.on(host).ask(http.MethodGet, "/who", "Multi-Session-Expect", map[bool]string{true: alice, false: bob}[user != "alice"]); user != "alice" && got.StatusCode != http.StatusConflict {
				t.Errorf("alice on %s: %s", host, got.Status)
			}
		}
	})
	t.Run("administrators see the hosts", func(t *testing.T) {
		hosts := map[string]string{}
		for _, s := range p.done(http.MethodGet, "/sessions", nil)["sessions"].([]any) {
			s := s.(object)
			hosts[s["user"].(string)] = fmt.Sprint(s["active"], s["active_hosts"])
		}
		for user, want := range map[string]string{"alice": "true [*]", "bob": "true [a.example.test b.example.test]", "carol": "true [c.example.test]"} {
			if hosts[user] != want {
				t.Errorf("%s is active: %s, want %s", user, hosts[user], want)
			}
		}
		if list := p.succeeds("sessions", "list"); !slices.Contains(fields(t, list, "bob"), "a.example.test,b.example.test") {
			t.Errorf("listed:\n%s", list)
		}
		lines := p.audit("switch")
		if len(lines) != 3 || lines[0]["host"] != "a.example.test" || lines[2]["host"] != "b.example.test" {
			t.Errorf("switches in the log: %v", lines)
		}
	})

	p.stop()
	p.start(p.config(";active per_host"))
	p.sees("restarted", want)

	// What ends on one host is nobody's on the others, and nobody else's.
	if answer := p.on("a").post("/.auth/multi-session/revoke", object{"sessionToken": bob}); answer.StatusCode != http.StatusOK {
		t.Fatalf("revoke: %s %s", answer.Status, answer.body)
	}
	p.sees("revoked on another host", map[string]string{"b": "", "c": "carol", "d": "alice"})
	if got := p.on("a").active(); got != "carol" && got != "alice" {
		t.Errorf("where bob was revoked %q is active", got)
	}
	if page := p.on("b").open("/"); page.StatusCode != http.StatusSeeOther || !strings.HasPrefix(page.Header.Get("Location"), "/.auth/accounts?") {
		t.Errorf("where nobody is active any more: %s to %s", page.Status, page.Header.Get("Location"))
	}
	p.succeeds("sessions", "end", "--user", "carol")
	p.sees("ended by an administrator", map[string]string{"b": "", "c": "", "d": "alice"})
	p.on("b").signIn("bob")
	p.sees("signed in again", map[string]string{"b": "bob", "c": "", "d": "alice"})

	p.on("d").post("/.auth/sign-out", object{})
	p.sees("signed out", map[string]string{"a": "", "b": "", "c": "", "d": ""})
	if out := p.succeeds("check"); !strings.HasPrefix(out, "In order") {
		t.Errorf("check: %s", out)
	}
	noErrors(t, p.gateway)
}

// TestFromOneActiveAccountToManyAndBack: by a reload nobody becomes somebody else. Where hosts have
// different accounts and are to share one, somebody has to choose it.
func TestFromOneActiveAccountToManyAndBack(t *testing.T) {
	p := startPinned(t, "")
	load := func(options string) {
		t.Helper()
		if err := p.reload(p.config(options)); err != nil {
			t.Fatal(err)
		}
	}
	alice := p.on("a").signIn("alice")
	p.on("b").signIn("bob")
	p.sees("shared", map[string]string{"a": "bob", "b": "bob"})
	load(";active per_host")
	p.sees("each host has one now", map[string]string{"a": "bob", "b": "bob"})
	p.on("a").switchTo(alice)
	p.sees("switched", map[string]string{"a": "alice", "b": "bob"})
	load(";active per_jar")
	p.sees("shared again", map[string]string{"a": "", "b": ""})
	if got := p.on("a").accounts(); len(got) != 2 {
		t.Errorf("the accounts are %v", got)
	}
	load(";active per_host")
	p.sees("nothing was chosen", map[string]string{"a": "alice", "b": "bob"})
	load("")
	p.on("b").switchTo(alice)
	p.sees("chosen for all", map[string]string{"a": "alice", "b": "alice"})
	load(";active per_host")
	p.sees("which is what each host has", map[string]string{"a": "alice", "b": "alice", "c": "alice"})
	noErrors(t, p.gateway)
}

// TestForgedHost has requests that would be another host's if what the client says of it counted.
func TestForgedHost(t *testing.T) {
	p := startPinned(t, ";active per_host")
	a := p.on("a")
	a.signIn("alice")
	if got := a.who("Host", "x..example.test"); got != "" {
		t.Errorf("on a host of no name the app is told %q", got)
	}
	bob := p.on("b").signIn("bob")
	// Nothing can be chosen there, least of all for all other hosts.
	for _, path := range []string{"/.auth/multi-session/set-active", "/.auth/multi-session/revoke"} {
		request := a.jsonRequest(path, object{"sessionToken": bob})
		request.Host = "x..example.test:" + port(p.address)
		request.Header.Set("Origin", "http://"+request.Host)
		if answer := a.must(request); answer.StatusCode != http.StatusForbidden {
			t.Errorf("%s on a host of no name: %s %s", path, answer.Status, answer.body)
		}
	}
	for name, c := range map[string]struct {
		header []string
		want   string
	}{
		"in upper case":         {[]string{"Host", "A.Example.TEST:" + port(p.address)}, "alice"},
		"without the port":      {[]string{"Host", "a.example.test"}, "alice"},
		"another port":          {[]string{"Host", "b.example.test:1"}, "bob"},
		"X-Forwarded-Host":      {[]string{"X-Forwarded-Host", "b.example.test"}, "alice"},
		"Forwarded":             {[]string{"Forwarded", "host=b.example.test"}, "alice"},
		"X-Original-Host":       {[]string{"X-Original-Host", "b.example.test"}, "alice"},
		"a dot at its end":      {[]string{"Host", "b.example.test."}, ""},
		"an empty label":        {[]string{"Host", "x..example.test"}, ""},
		"a space in it":         {[]string{"Host", "b%20.example.test"}, ""},
		"far too long":          {[]string{"Host", strings.Repeat("b.", 130) + "example.test"}, ""},
		"outside of the domain": {[]string{"Host", "b.example.test.evil.test"}, ""},
		"like the domain":       {[]string{"Host", "bexample.test"}, ""},
	} {
		if got := a.who(c.header...); got != c.want {
			t.Errorf("%s: the app is told %q, want %q", name, got, c.want)
		}
	}
	p.sees("afterwards", map[string]string{"a": "alice", "b": "bob"})

	// Of a proxy that Caddy trusts, the host counts.
	if err := p.reload(p.config("servers {\ntrusted_proxies static 127.0.0.1/32\n};active per_host")); err != nil {
		t.Fatal(err)
	}
	if got := a.who("X-Forwarded-Host", "b.example.test"); got != "bob" {
		t.Errorf("behind a trusted proxy the app is told %q", got)
	}
}

// TestManyHosts has more hosts than are kept: a host whose choice is forgotten is nobody's, and the jar
// does not grow.
func TestManyHosts(t *testing.T) {
	p := startPinned(t, ";active per_host")
	p.on("home").signIn("alice")
	bob := p.on("h0").signIn("bob")
	const hosts = 60
	for i := range hosts {
		p.on(fmt.Sprint("h", i)).confirm()
		p.on(fmt.Sprint("h", i)).switchTo(bob)
	}
	kept := 0
	for i := range hosts {
		switch got := p.on(fmt.Sprint("h", i)).who(); got {
		case "bob":
			kept++
		case "":
		default:
			t.Errorf("on host %d the app is told %q", i, got)
		}
	}
	if kept != 50 {
		t.Errorf("%d hosts have their account, want 50", kept)
	}
	if got := p.on("home").who(); got != "" {
		t.Errorf("where nothing was chosen the app is told %q", got)
	}
	noErrors(t, p.gateway)
}

// TestCookiesOfADomainWithAnAccountForEachHost has an app on two hosts that shares its cookies between them,
// one of which scripts read: each host's requests have those of its account.
func TestCookiesOfADomainWithAnAccountForEachHost(t *testing.T) {
	var mu sync.Mutex
	sets := make(map[string]int)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		user, body := r.Header.Get("Remote-User"), ""
		for _, name := range []string{"hidden", "readable"} {
			c, err := r.Cookie(name)
			if err != nil {
				c = &http.Cookie{Name: name, Value: user, Path: "/", Domain: "example.test", HttpOnly: name == "hidden"}
				http.SetCookie(w, c)
				sets[name+" of "+user]++
			}
			body += c.Value + " "
		}
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(app.Close)
	upstream := app.Listener.Addr().String()
	p := startPinnedFor(t, ";active per_host", upstream, upstream)
	alice := p.on("a").signIn("alice")
	p.on("b").signIn("bob")
	wants := map[string]string{"a": "alice", "b": "bob", "c": "alice"}
	p.on("c").confirm()
	visit := func() {
		t.Helper()
		for i, host := range []string{"a", "b", "c", "b", "b", "a", "c", "a"} {
			user := wants[host]
			if got := p.on(host).open("/").body; got != user+" "+user+" " {
				t.Errorf("visit %d: the app on %s has the cookies %q, want those of %s", i, host, got, user)
			}
			if got := p.on(host).holds("readable"); got != user {
				t.Errorf("visit %d: scripts on %s read %q, want that of %s", i, host, got, user)
			}
		}
	}
	visit()
	p.on("b").switchTo(alice)
	wants["b"] = "alice"
	visit()
	p.on("a").signIn("carol")
	wants["a"] = "carol"
	visit()
	for cookie, n := range sets {
		if n != 1 {
			t.Errorf("the %s was set %d times: its host did not find it again", cookie, n)
		}
	}
}

// TestCacheOfAHost: what a browser stores of one host stays good while another account is chosen on another one,
// and is asked about by no other account.
func TestCacheOfAHost(t *testing.T) {
	var asked sync.Map // by account
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Header.Get("Remote-User"), r.Header.Get("If-None-Match"))
		w.Header().Set("Cache-Control", "public, max-age=3600")
		w.Header().Set("Etag", `"1"`)
		if r.Header.Get("If-None-Match") == `"1"` {
			w.WriteHeader(http.StatusNotModified)
		}
	}))
	t.Cleanup(up.Close)
	p := startPinnedFor(t, ";active per_host", up.Listener.Addr().String(), up.Listener.Addr().String())
	view := func(b *browser) (values []string) {
		for _, c := range b.client.Jar.Cookies(b.request(http.MethodGet, "/", nil).URL) {
			if strings.HasSuffix(c.Name, "_view") {
				values = append(values, c.Value)
			}
		}
		return values
	}
	get := func(b *browser, etag string) reply {
		return b.ask(http.MethodGet, "/image", "If-None-Match", etag, "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image")
	}

	p.on("a").signIn("alice")
	p.on("b").signIn("bob")
	get(p.on("a"), "") // the hosts learn for whom they are shown
	get(p.on("b"), "")
	first, views := get(p.on("a"), "").Header.Get("Etag"), view(p.on("a"))
	if answer := get(p.on("a"), first); answer.StatusCode != http.StatusNotModified || answer.Header.Get("Cache-Control") != "private, no-cache" {
		t.Errorf("asked again: %s %v", answer.Status, answer.Header)
	}
	if answer := get(p.on("b"), first); answer.StatusCode != http.StatusOK {
		t.Errorf("asked by another account on another host: %s", answer.Status)
	}
	if got, _ := asked.Load("bob"); got != "" {
		t.Errorf("as bob the app is asked about %s", got)
	}
	p.on("b").signIn("carol")
	get(p.on("b"), "")
	if got := view(p.on("a")); len(got) != 1 || !slices.Equal(got, views) {
		t.Errorf("a choice on another host has the browser see this one for %q, before %q", got, views)
	}
	if got := view(p.on("b")); len(got) != 1 || slices.Equal(got, views) {
		t.Errorf("the other host is seen for %q", got)
	}
	if answer := get(p.on("a"), first); answer.StatusCode != http.StatusNotModified {
		t.Errorf("asked again after a choice on another host: %s", answer.Status)
	}
}
