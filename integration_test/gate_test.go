package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// ask sends a request with the given header fields, names and values in turn.
func (b *browser) ask(method, path string, header ...string) reply {
	b.t.Helper()
	request := b.request(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			request.Host = header[i+1]
			continue
		}
		request.Header.Set(header[i], header[i+1])
	}
	return b.must(request)
}

// TestWhoIsNotSignedIn has what the gate answers to each kind of request of nobody.
func TestWhoIsNotSignedIn(t *testing.T) {
	up := newEcho(t)
	address := freeAddress(t)
	startGateway(t, plain(address, up.address()))
	b := newBrowser(t, "http://"+address)
	const html, jsonType = "text/html,application/xhtml+xml,*/*;q=0.8", "application/json"
	tests := map[string]struct {
		method string
		header []string
		signIn bool // sent to the sign-in page; else 401
	}{
		"navigation":                        {"GET", []string{"Sec-Fetch-Mode", "navigate"}, true},
		"navigation without fetch data":     {"GET", []string{"Accept", html}, true},
		"fetch":                             {"GET", []string{"Sec-Fetch-Mode", "cors", "Accept", html}, false},
		"image":                             {"GET", []string{"Sec-Fetch-Mode", "no-cors", "Accept", "image/*"}, false},
		"script without fetch data":         {"GET", []string{"Accept", jsonType}, false},
		"one that prefers JSON":             {"GET", []string{"Accept", "application/json, text/html;q=0.5"}, false},
		"one that takes anything":           {"GET", []string{"Accept", "*/*"}, false},
		"one that says nothing":             {"GET", nil, false},
		"HEAD":                              {"HEAD", []string{"Accept", html}, false},
		"preflight":                         {"OPTIONS", []string{"Origin", "https://spa.example.com", "Access-Control-Request-Method", "PUT"}, false},
		"WebSocket":                         {"GET", []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-Fetch-Mode", "websocket", "Accept", html}, false},
		"WebSocket without fetch data":      {"GET", []string{"Connection", "Upgrade", "Upgrade", "websocket", "Accept", html}, false},
		"DELETE":                            {"DELETE", []string{"Accept", html}, false},
		"a method that nobody has heard of": {"FROBNICATE", []string{"Accept", html}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			answer := b.ask(test.method, "/a/b?c=d", test.header...)
			if test.signIn {
				if want := "/.auth/sign-in?return_to=" + url.QueryEscape("/a/b?c=d"); answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != want {
					t.Errorf("%s to %q", answer.Status, answer.Header.Get("Location"))
				}
			} else if answer.StatusCode != http.StatusUnauthorized || test.method != "HEAD" && answer.code() != "UNAUTHORIZED" {
				t.Errorf("%s: %s", answer.Status, answer.body)
			}
			if answer.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("Cache-Control: %q", answer.Header.Get("Cache-Control"))
			}
		})
	}
	for name, header := range map[string][]string{
		"form":  {"POST", "Sec-Fetch-Mode", "navigate", "Accept", html},
		"frame": {"GET", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := b.ask(header[0], "/a/b?c=d", header[1:]...)
			if answer.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") || !strings.Contains(string(answer.body), `href="/.auth/sign-in`) {
				t.Errorf("%s: %s", answer.Status, answer.body)
			}
		})
	}
	if n := up.requests.Load(); n != 0 {
		t.Errorf("the upstream saw %d requests", n)
	}
}

// TestRules has each kind of rule for accounts that meet it and that do not.
func TestRules(t *testing.T) {
	up := newEcho(t)
	rules := map[string]struct {
		lines  string
		passes string // users, separated by spaces
	}{
		"a group":                {"require group admin", "alice"},
		"any of two groups":      {"require group nobody dev", "alice bob"},
		"two groups":             {"require group admin\nrequire group dev", "alice"},
		"a user":                 {"require user bob", "bob"},
		"an account id":          {"require user password:carol", "carol"},
		"a user of other case":   {"require user Bob", ""},
		"a claim":                {"require claim department research", "bob"},
		"a claim that is a list": {"require claim teams red", "carol"},
		"a missing claim":        {"require claim no.such.claim x", ""},
		"a group and a user":     {"require group dev\nrequire user bob carol", "bob"},
	}
	users := strings.NewReplacer(
		`name "Bob Example"`, "name \"Bob Example\"\nclaim department research",
		`name "Carol Example"`, "name \"Carol Example\"\nclaim teams red blue",
	).Replace(userOptions)
	var sites strings.Builder
	addresses := make(map[string]string)
	for name, rule := range rules {
		addresses[name] = freeAddress(t)
		fmt.Fprintf(&sites, "http://%s {\nmulti_session {\n%s\n}\nreverse_proxy %s\n}\n", addresses[name], rule.lines, up.address())
	}
	startGateway(t, fmt.Sprintf("{\nmulti_session {\nlogin password {\nthrottle off\n%s\n}\n}\n}\n%s", users, sites.String()))
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			for _, user := range []string{"alice", "bob", "carol"} {
				b := newBrowser(t, "http://"+addresses[name])
				b.signIn(user)
				seen := up.requests.Load()
				if strings.Contains(" "+rule.passes+" ", " "+user+" ") {
					if got := b.get("/").seen(t).Header.Get("Remote-User"); got != user {
						t.Errorf("%s came through as %q", user, got)
					}
					continue
				}
				if answer := b.get("/"); answer.StatusCode != http.StatusForbidden || answer.code() != "FORBIDDEN" {
					t.Errorf("%s: %s: %s", user, answer.Status, answer.body)
				}
				if page := b.open("/"); page.StatusCode != http.StatusForbidden || !strings.Contains(page.Header.Get("Content-Type"), "text/html") {
					t.Errorf("%s: %s", user, page.Status)
				}
				if up.requests.Load() != seen {
					t.Errorf("the upstream saw a refused request of %s", user)
				}
			}
		})
	}
}

// TestRefusalOffersWhoMay has a refused browser that holds an account which may come in.
func TestRefusalOffersWhoMay(t *testing.T) {
	up := newEcho(t)
	address := freeAddress(t)
	startGateway(t, site(address, up.address(), "", "multi_session {\nrequire group admin\n}"))
	b := newBrowser(t, "http://"+address)
	alice := b.signIn("alice")
	carol := b.signIn("carol")
	bob := b.signIn("bob")
	page := b.open("/reports?year=2026")
	if page.StatusCode != http.StatusForbidden || !strings.Contains(page.body, alice) || strings.Contains(page.body, carol) || strings.Contains(page.body, bob) {
		t.Fatalf("%s: offers\n%s", page.Status, page.body)
	}
	answer := b.submit("/.auth/accounts", url.Values{"action": {"switch"}, "session": {alice}, "return_to": {"/reports?year=2026"}})
	if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/reports?year=2026" {
		t.Fatalf("%s to %q", answer.Status, answer.Header.Get("Location"))
	}
	if got := b.open("/reports?year=2026").seen(t).Header.Get("Remote-User"); got != "alice" {
		t.Errorf("after switching the app sees %q", got)
	}
}

// TestSitesAsPeopleWriteThem has the gate among other directives: the portal is where the browser
// looks for it, and a request comes back to where it was, whatever is rewritten for the upstream.
func TestSitesAsPeopleWriteThem(t *testing.T) {
	up := newEcho(t)
	proxy := "reverse_proxy " + up.address()
	sites := map[string]string{
		"rewrite":             "rewrite * /index.php?{query}\nmulti_session\n" + proxy,
		"try_files":           "root /nowhere\ntry_files {path} /index.html\nmulti_session\n" + proxy,
		"strip_prefix":        "uri strip_prefix /app\nmulti_session\n" + proxy,
		"two gates":           "multi_session /admin/* {\nrequire group admin\nambiguous_paths allow\n}\nmulti_session {\nambiguous_paths allow\n}\n" + proxy,
		"two gates, reversed": "multi_session {\nambiguous_paths allow\n}\nmulti_session /admin/* {\nrequire group admin\nambiguous_paths allow\n}\n" + proxy,
		"route":               "route {\nmulti_session\n" + proxy + "\n}",
		"handle":              "handle {\nmulti_session\n" + proxy + "\n}",
		"encode":              "encode\nmulti_session\n" + proxy,
		"behind a header":     "header X-Site yes\nrequest_header X-Up yes\nmulti_session\n" + proxy,
	}
	var config strings.Builder
	addresses := make(map[string]string)
	for name, lines := range sites {
		addresses[name] = freeAddress(t)
		fmt.Fprintf(&config, "http://%s {\n%s\n}\n", addresses[name], lines)
	}
	startGateway(t, fmt.Sprintf("{\nmulti_session {\nlogin password {\nthrottle off\n%s\n}\n}\n}\n%s", userOptions, config.String()))
	for name := range sites {
		t.Run(name, func(t *testing.T) {
			b := newBrowser(t, "http://"+addresses[name])
			answer := b.open("/app/x%2Fy?a=1&b=//c")
			if want := "/.auth/sign-in?return_to=" + url.QueryEscape("/app/x%2Fy?a=1&b=//c"); answer.Header.Get("Location") != want {
				t.Fatalf("sent to %q, want %q", answer.Header.Get("Location"), want)
			}
			if page := b.open(answer.Header.Get("Location")); page.StatusCode != http.StatusOK || !strings.Contains(page.body, `name="password"`) {
				t.Fatalf("sign-in page: %s", page.Status)
			}
			if style := b.get("/.auth/style.css"); style.StatusCode != http.StatusOK || !strings.HasPrefix(style.Header.Get("Content-Type"), "text/css") {
				t.Errorf("stylesheet: %s", style.Status)
			}
			b.signIn("bob")
			if got := b.open("/app/x").seen(t).Header["Remote-User"]; len(got) != 1 || got[0] != "bob" {
				t.Errorf("the app sees %q", got)
			}
			admin := b.get("/admin/x")
			if wantRefused := strings.HasPrefix(name, "two gates"); wantRefused != (admin.StatusCode == http.StatusForbidden) {
				t.Errorf("admin: %s", admin.Status)
			}
		})
	}
}

// TestOptionalAndMatched has the requests that pass without anybody being signed in.
func TestOptionalAndMatched(t *testing.T) {
	up := newEcho(t)
	optional, matched, off, custom := freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t)
	proxy := "reverse_proxy " + up.address()
	startGateway(t, fmt.Sprintf("{\nmulti_session {\npath /_sign/in\nlogin password {\nthrottle off\n%s\n}\n}\n}\n", userOptions)+
		fmt.Sprintf("http://%s {\nmulti_session {\noptional\n}\n%s\n}\n", optional, proxy)+
		fmt.Sprintf("http://%s {\nmulti_session /private/*\n%s\n}\n", matched, proxy)+
		fmt.Sprintf("http://%s {\nmulti_session {\nidentity_headers off\n}\n%s\n}\n", off, proxy)+
		fmt.Sprintf("http://%s {\nmulti_session {\nidentity_headers webauth\nheader X-Who \"{http.auth.user.id}|{http.auth.user.name}|{http.auth.user.email}|{http.auth.user.groups}|{http.auth.user.provider}|{http.auth.user.claim.none}\"\n}\n%s\n}\n", custom, proxy))
	signIn := func(b *browser) {
		t.Helper()
		b.portal = "/_sign/in"
		if answer := b.post("/_sign/in/sign-in/username", map[string]any{"username": "alice", "password": password("alice")}); answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", answer.Status, answer.body)
		}
	}
	identity := func(r reply) string {
		s := r.seen(t)
		return s.Header.Get("Remote-User") + "/" + s.Header.Get("X-Webauth-User") + "/" + s.Header.Get("X-Who")
	}

	b := newBrowser(t, "http://"+optional)
	if got := identity(b.ask("GET", "/", "Remote-User", "mallory", "X-Who", "mallory")); got != "//" {
		t.Errorf("optional, signed out: %q", got)
	}
	signIn(b)
	if got := identity(b.get("/")); got != "alice//" {
		t.Errorf("optional, signed in: %q", got)
	}

	b = newBrowser(t, "http://"+matched)
	if got := identity(b.ask("GET", "/public", "Remote-User", "mallory")); got != "//" {
		t.Errorf("not matched, signed out: %q", got)
	}
	if answer := b.get("/private/x"); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("matched, signed out: %s", answer.Status)
	}
	signIn(b)
	if got := identity(b.get("/private/x")); got != "alice//" {
		t.Errorf("matched, signed in: %q", got)
	}
	if got := identity(b.ask("GET", "/public", "Remote-User", "mallory")); got != "//" {
		t.Errorf("not matched, signed in: %q", got)
	}

	b = newBrowser(t, "http://"+off)
	signIn(b)
	if got := identity(b.ask("GET", "/", "Remote-User", "mallory", "X-WEBAUTH-USER", "mallory")); got != "//" {
		t.Errorf("headers off: %q", got)
	}

	b = newBrowser(t, "http://"+custom)
	signIn(b)
	if got := identity(b.get("/")); got != "/alice/password:alice|Alice Example|alice@example.com|admin,dev|password|" {
		t.Errorf("headers of its own: %q", got)
	}
	if answer := b.get("/.auth/get-session"); answer.StatusCode != http.StatusOK || answer.seen(t).URI != "/.auth/get-session" {
		t.Errorf("the default prefix is the app's where another is configured: %s", answer.Status)
	}
}

// TestPlainHTTP has sign-in refused over plain HTTP on names that are not loopback's, unless it is
// allowed on purpose.
func TestPlainHTTP(t *testing.T) {
	up := newEcho(t)
	strict, lax := freeAddress(t), freeAddress(t)
	site := func(address string) string {
		return fmt.Sprintf("http://app.example.com:%s {\nmulti_session\nreverse_proxy %s\n}\n", port(address), up.address())
	}
	head := "{\nmulti_session {\n%s\nlogin password {\nthrottle off\n" + userOptions + "\n}\n}\n}\n"
	startGateway(t, fmt.Sprintf(head, "")+site(strict))
	g := startGateway(t, fmt.Sprintf(head, "insecure_http")+site(lax))

	for name, header := range map[string][]string{"page": {"Accept", "text/html"}, "API": {"Accept", "application/json"}} {
		for _, path := range []string{"/", "/.auth/sign-in", "/.auth/get-session"} {
			answer := newBrowser(t, "http://"+strict).ask("GET", path, append(header, "Host", "app.example.com:"+port(strict))...)
			if answer.StatusCode != http.StatusForbidden || !strings.Contains(answer.body, "HTTPS") || len(answer.Cookies()) != 0 {
				t.Errorf("%s of %s: %s: %s", name, path, answer.Status, answer.body)
			}
		}
	}
	if answer := newBrowser(t, "http://"+lax).ask("GET", "/", "Accept", "text/html", "Host", "app.example.com:"+port(lax)); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("where it is allowed: %s", answer.Status)
	}
	if !strings.Contains(g.log.String(), "insecure_http is on") {
		t.Error("nothing in the log warns of insecure_http")
	}
	if n := up.requests.Load(); n != 0 {
		t.Errorf("the upstream saw %d requests", n)
	}
}

// TestWhatAProxyInFrontSays counts where Caddy was told to trust it, and nowhere else.
func TestWhatAProxyInFrontSays(t *testing.T) {
	up := newEcho(t)
	trusting, wary := freeAddress(t), freeAddress(t)
	config := func(address, servers string) string {
		return fmt.Sprintf("{\n%s\nmulti_session {\nlogin password {\nthrottle off\n%s\n}\n}\n}\nhttp://:%s {\nmulti_session\nreverse_proxy %s\n}\n", servers, userOptions, port(address), up.address())
	}
	startGateway(t, config(trusting, "servers {\ntrusted_proxies static 127.0.0.1/32\n}"))
	startGateway(t, config(wary, ""))
	signIn := func(address string) reply {
		b := newBrowser(t, "http://"+address)
		request := b.jsonRequest("/.auth/sign-in/username", map[string]any{"username": "alice", "password": password("alice")})
		request.Host = "app.example.com"
		request.Header.Set("Origin", "https://app.example.com")
		request.Header.Set("X-Forwarded-Proto", "https")
		return b.must(request)
	}
	answer := signIn(trusting)
	set := answer.Header.Get("Set-Cookie")
	if answer.StatusCode != http.StatusOK || !strings.HasPrefix(set, "__Host-Http-multi_session=") || !strings.Contains(set, "; Secure") {
		t.Errorf("behind a trusted proxy: %s, cookie %q: %s", answer.Status, set, answer.body)
	}
	for _, attribute := range []string{"Path=/", "HttpOnly", "SameSite=Lax", "Max-Age="} {
		if !strings.Contains(set, attribute) {
			t.Errorf("the cookie lacks %s: %q", attribute, set)
		}
	}
	if strings.Contains(set, "Domain") {
		t.Errorf("the cookie has a domain: %q", set)
	}
	if answer := signIn(wary); answer.StatusCode != http.StatusForbidden || len(answer.Cookies()) != 0 {
		t.Errorf("where nobody is trusted: %s: %s", answer.Status, answer.body)
	}
}
