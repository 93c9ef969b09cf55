package integration

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
)

// at returns the browser at another origin: its cookies and its connections are the same.
func (b *browser) at(origin string) *browser {
	return &browser{t: b.t, base: origin, client: b.client, portal: b.portal}
}

// named returns a browser to which every host name leads to the address.
func named(t *testing.T, address, origin string) *browser {
	t.Helper()
	b := newBrowser(t, origin)
	b.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	return b
}

// confirm continues as the account that the chooser offers first, where the page asks whether to
// continue at this host.
func (b *browser) confirm() {
	b.t.Helper()
	page := b.open("/.auth/accounts")
	if !strings.Contains(page.body, "Continue on this site?") {
		return
	}
	_, rest, _ := strings.Cut(page.body, `name="session" value="`)
	handle, _, _ := strings.Cut(rest, `"`)
	if answer := b.submit("/.auth/accounts", url.Values{"action": {"switch"}, "session": {handle}}); answer.StatusCode != http.StatusSeeOther {
		b.t.Fatalf("%s: continue: %s: %s", b.base, answer.Status, answer.body)
	}
}

// wantUnconfirmed checks that the host uses none of the browser's accounts yet.
func (b *browser) wantUnconfirmed() {
	b.t.Helper()
	if answer := b.get("/"); answer.StatusCode != http.StatusUnauthorized || !strings.Contains(answer.body, "CONTINUE_REQUIRED") {
		b.t.Errorf("%s: a request is answered %s: %s", b.base, answer.Status, answer.body)
	}
	if page := b.open("/x?y"); page.StatusCode != http.StatusSeeOther || page.Header.Get("Location") != "/.auth/accounts?return_to=%2Fx%3Fy" {
		b.t.Errorf("%s: a page is answered %s to %q", b.base, page.Status, page.Header.Get("Location"))
	}
	if got := b.active(); got != "" {
		b.t.Errorf("%s: %q is active", b.base, got)
	}
}

// TestOneJarForADomain has two hosts of a domain share a jar, one outside of it have its own, and each
// of them try to get at what is the others'.
func TestOneJarForADomain(t *testing.T) {
	up := newWiretap(t)
	address := freeAddress(t)
	a, b, outside := "https://a.example.com:"+port(address), "https://b.example.com:"+port(address), "https://outside.test:"+port(address)
	startGateway(t, fmt.Sprintf(`{
	auto_https disable_redirects
	multi_session {
		cookie_domain example.com
		login password {
			throttle off
			%s
		}
	}
}
%s, %s, %s {
	tls internal
	multi_session
	reverse_proxy %s
}
`, userOptions, a, b, outside, up.address))
	awaitTLS(t, address, "a.example.com", "b.example.com", "outside.test")

	onA := named(t, address, a)
	onB, onOutside := onA.at(b), onA.at(outside)
	sees := func(browser *browser, want map[string]string) {
		t.Helper()
		got, ok := browser.get("/").wire()
		if !ok {
			t.Fatalf("%s: the request did not pass", browser.base)
		}
		check(t, got, want)
	}
	confirmed := "" // what the first host sets; the second one has been continued at by then
	signIn := func(browser *browser, user, cookie string) {
		t.Helper()
		answer := browser.post("/.auth/sign-in/username", map[string]any{"username": user, "password": password(user)})
		set := answer.Header["Set-Cookie"]
		if browser == onA {
			i := slices.IndexFunc(set, func(field string) bool { return strings.HasPrefix(field, "__Host-Http-multi_session_confirmed=") })
			if i < 0 || !strings.HasSuffix(set[i], "; Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=Lax") {
				t.Fatalf("%s: cookies %q", browser.base, set)
			}
			confirmed, _, _ = strings.Cut(set[i], ";")
			set = slices.Delete(slices.Clone(set), i, i+1)
		}
		// Cookies of the name that other configurations have set go.
		set = slices.DeleteFunc(slices.Clone(set), func(field string) bool { return strings.HasPrefix(field, cookie+"=;") })
		if answer.StatusCode != http.StatusOK || len(set) != 2 || !strings.HasPrefix(set[0], cookie+"=") || !strings.HasPrefix(set[1], cookie+"_view=") {
			t.Fatalf("%s: %s %s, cookies %q", browser.base, answer.Status, answer.body, set)
		}
		for _, field := range set {
			for _, attribute := range []string{"; Secure", "; HttpOnly", "; Path=/", "; SameSite=Lax"} {
				if !strings.Contains(field, attribute) {
					t.Errorf("%s: the cookie lacks %q: %q", browser.base, attribute, set)
				}
			}
			if strings.Contains(field, "Domain=example.com") != (browser != onOutside) {
				t.Errorf("%s: %q", browser.base, set)
			}
		}
	}

	signIn(onA, "alice", "__Secure-multi_session")
	sees(onA, remoteAlice)
	onB.wantUnconfirmed()
	onB.confirm()
	sees(onB, remoteAlice)
	if got := onOutside.active(); got != "" {
		t.Errorf("outside of the domain the browser is %q", got)
	}
	signIn(onB, "bob", "__Secure-multi_session")
	if got := onA.accounts(); !slices.Equal(got, []string{"alice", "bob"}) || onA.active() != "bob" {
		t.Errorf("one host sees %v after the other's sign-in", got)
	}
	signIn(onOutside, "carol", "__Host-Http-multi_session")
	if got := onOutside.accounts(); !slices.Equal(got, []string{"carol"}) {
		t.Errorf("outside of the domain there are %v", got)
	}
	if got := onA.accounts(); !slices.Equal(got, []string{"alice", "bob"}) {
		t.Errorf("after the sign-in outside there are %v", got)
	}

	t.Run("a sibling cannot change state", func(t *testing.T) {
		for _, origin := range []string{b, "https://evil.example.com:" + port(address), "https://example.com:" + port(address), "http://a.example.com:" + port(address), "https://a.example.com", outside, "null"} {
			for _, call := range []string{"/.auth/sign-out", "/.auth/multi-session/set-active"} {
				request := onA.jsonRequest(call, map[string]any{"sessionToken": "x"})
				request.Header.Set("Origin", origin)
				request.Header.Set("Sec-Fetch-Site", "same-site")
				if answer := onA.must(request); answer.StatusCode != http.StatusForbidden {
					t.Errorf("%s from %s: %s", call, origin, answer.Status)
				}
			}
		}
		if got := onA.accounts(); len(got) != 2 {
			t.Errorf("afterwards there are %v", got)
		}
	})
	t.Run("return addresses stay within the domain", func(t *testing.T) {
		for returnTo, allowed := range map[string]bool{
			b + "/x":                             true,
			"https://b.example.com/x":            true, // cookies know no ports
			"https://example.com/":               true,
			"http://b.example.com/":              false,
			outside + "/":                        false,
			"https://example.com.evil.test/":     false,
			"https://evilexample.com/":           false,
			"https://b.example.com@evil.test/":   false,
			"https://b.example.com\\@evil.test/": false,
		} {
			page := onA.open("/.auth/sign-in?return_to=" + url.QueryEscape(returnTo))
			if allowed != (page.StatusCode == http.StatusOK) {
				t.Errorf("%s: %s", returnTo, page.Status)
			}
			fromOutside := onOutside.open("/.auth/sign-in?return_to=" + url.QueryEscape(returnTo))
			if (returnTo == outside+"/") != (fromOutside.StatusCode == http.StatusOK) {
				t.Errorf("%s from outside: %s", returnTo, fromOutside.Status)
			}
		}
	})
	t.Run("cookies of the wrong kind are nobody's and nobody sees them", func(t *testing.T) {
		site, err := url.Parse(a)
		if err != nil {
			t.Fatal(err)
		}
		var right string
		for _, c := range onA.client.Jar.Cookies(site) {
			if c.Name == "__Secure-multi_session" {
				right = c.Value
			}
		}
		host := strings.TrimPrefix(a, "https://")
		for cookie, want := range map[string]string{
			"__Secure-multi_session=" + right: "200",
			"__Secure-multi_session=" + right + "; __Host-Http-multi_session=x; multi_session=y; app=1": "200",
			"__Host-Http-multi_session=" + right:                                                          "401",
			"multi_session=" + right:                                                                      "401",
			"__Secure-multi_session=x; __Secure-multi_session=" + right:                                   "200", // one alone names a jar
			"__Secure-multi_session=" + right + "; __Secure-multi_session=":                               "200",
			"__Host-Http-multi_session=" + right + "; multi_session=" + right:                             "401",
			"__secure-multi_session=" + right:                                                             "401",
			"__Secure-multi_session=" + right + "\u0000":                                                  "400",
			"__Secure-multi_session=%" + right[1:]:                                                        "401",
			"a=\"; __Secure-multi_session=" + right + "; b=\"":                                            "200",
			"__Host-Http-multi_session=\"; __Secure-multi_session=" + right + "; x=\";multi_session ;a=b": "200",
		} {
			f := newFrames(t, address, "a.example.com")
			f.headers(true, field{":method", "GET"}, field{":scheme", "https"}, field{":path", "/"}, field{":authority", host}, field{"cookie", cookie}, field{"cookie", confirmed})
			answer := f.answer()
			if answer.status != want && (want != "400" || answer.status != "") {
				t.Errorf("%q: %s", cookie, answer.status)
			}
			if got, ok := answer.wire(); ok && strings.Contains(strings.Join(got.values("Cookie"), ""), "multi_session") {
				t.Errorf("%q: the upstream sees %q", cookie, got.values("Cookie"))
			}
			for _, set := range canonicalFields(answer.fields)["Set-Cookie"] {
				if name, _, _ := strings.Cut(set, "="); answer.status != "200" || name == "__Secure-multi_session" {
					t.Errorf("%q was answered with the cookie %q", cookie, set)
				}
			}
		}
	})
	if got := onB.post("/.auth/sign-out", map[string]any{}); got.StatusCode != http.StatusOK || onA.active() != "" || onOutside.active() != "carol" {
		t.Errorf("after signing out at one host: %s, %q, outside %q", got.Status, onA.active(), onOutside.active())
	}
}

// TestHandlePath has the gate with paths that are cut for the upstream: the portal is where the browser
// looks for it and nowhere else, and a request comes back to where it was.
func TestHandlePath(t *testing.T) {
	up := newWiretap(t)
	sites := map[string]string{
		"gate in front": "multi_session\nhandle_path /app/* {\nreverse_proxy {up}\n}",
		"gate inside":   "handle_path /app/* {\nmulti_session\nreverse_proxy {up}\n}\nhandle /.auth/* {\nmulti_session\n}",
		"gate in route": "route /app/* {\nuri strip_prefix /app\nmulti_session\nreverse_proxy {up}\n}\nmulti_session /none",
		"two rewrites":  "route {\nrewrite /app/* /b{uri}\nuri strip_prefix /b/app\nmulti_session\nrewrite * {uri}\nreverse_proxy {up}\n}",
		"method too":    "method HEAD\nuri strip_prefix /app\nmulti_session\nmethod GET\nreverse_proxy {up}",
	}
	addresses := make(map[string]string)
	config := fmt.Sprintf("{\nmulti_session {\nlogin password {\nthrottle off\n%s\n}\n}\n}\n", userOptions)
	for name, directives := range sites {
		addresses[name] = freeAddress(t)
		config += fmt.Sprintf("http://%s {\n%s\n}\n", addresses[name], strings.ReplaceAll(directives, "{up}", up.address))
	}
	startGateway(t, config)
	for name := range sites {
		t.Run(name, func(t *testing.T) {
			b := newBrowser(t, "http://"+addresses[name])
			before := up.requests.Load()
			answer := b.open("/app/x%20y?a=b&c")
			if want := "/.auth/sign-in?return_to=" + url.QueryEscape("/app/x%20y?a=b&c"); answer.Header.Get("Location") != want {
				t.Fatalf("%s to %q, want %q", answer.Status, answer.Header.Get("Location"), want)
			}
			if page := b.open(answer.Header.Get("Location")); page.StatusCode != http.StatusOK || !strings.Contains(page.body, `name="password"`) {
				t.Fatalf("sign-in page: %s", page.Status)
			}
			if unknown := b.get("/.auth/unknown"); unknown.StatusCode != http.StatusNotFound {
				t.Errorf("below the prefix: %s", unknown.Status)
			}
			if got := up.requests.Load(); got != before {
				t.Errorf("the upstream saw %d requests", got-before)
			}
			b.signIn("alice")
			got, ok := b.get("/app/x%20y?a=b&c").wire()
			if !ok || !strings.Contains(got.Line, " /x%20y?a=b&c ") && name != "method too" {
				t.Fatalf("the upstream saw %q", got.Line)
			}
			check(t, got, remoteAlice)
			// What is the portal's path after rewriting only is the app's.
			if got, ok := b.get("/app/.auth/sign-in").wire(); !ok || !strings.Contains(got.Line, " /.auth/sign-in ") && name != "method too" {
				t.Errorf("the upstream saw %q", got.Line)
			}
		})
	}
}

// TestWaysAroundAMatcher has paths that an app may read as one below /admin, and that a gate for
// /admin/* must see as such.
func TestWaysAroundAMatcher(t *testing.T) {
	up := newWiretap(t)
	address := freeAddress(t)
	startGateway(t, site(address, up.address, "", "multi_session /admin/*"))
	for _, target := range []string{
		"/admin/x", "/admin/", "//admin/x", "///admin/x", "/admin//x", "/./admin/x", "/.//admin/x", "/y/../admin/x", "/y/./../admin/x", "/../admin/x", "/../../admin/x",
		"/%61dmin/x", "/%61%64%6d%69%6e/x", "/admin%2fx", "/admin%2Fx", "/%2fadmin/x", "/%2Fadmin%2Fx", "/y/%2e%2e/admin/x", "/y/..%2fadmin/x", "/y%2f..%2fadmin%2fx", "/%2e/admin/x", "/%2e%2e/admin/x",
		"/ADMIN/x", "/Admin/x", "/%41DMIN/x", "/admin/../admin/x", "/admin/%2e%2e/admin/x", "/admin/x?", "/admin/x?/../../y", "/admin/x%3f", "/admin/x;/y", "/admin/.", "/admin/%2e",
		"http://" + address + "/admin/x", "http://" + address + "//admin/x", "http://evil.example/admin/x",
	} {
		for _, method := range []string{"GET", "POST", "PUT", "HEAD", "OPTIONS", "FROBNICATE"} {
			before := len(up.received())
			send(t, address, method+" "+target+" HTTP/1.1\r\nHost: "+address+"\r\nX-Original-Url: /y\r\nX-Rewrite-Url: /y\r\nX-Http-Method-Override: GET\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			for _, got := range up.received()[before:] {
				reached, err := url.ParseRequestURI(strings.Fields(got.Line)[1])
				if err != nil {
					t.Errorf("%s %s: the upstream received %q", method, target, got.Line)
					continue
				}
				if clean := strings.ToLower(path.Clean("/" + reached.Path)); strings.HasPrefix(clean+"/", "/admin/") && clean != "/admin" {
					t.Errorf("%s %s: nobody came to %q", method, target, got.Line)
				}
			}
		}
	}
}

// TestWhoIsTrustedAboutTheBrowser has what a proxy in front can say about scheme, host and address
// said by one that is trusted and by one that is not.
func TestWhoIsTrustedAboutTheBrowser(t *testing.T) {
	up := newEcho(t)
	address := freeAddress(t)
	// Of two addresses of loopback one is a proxy of the site's own.
	startGateway(t, fmt.Sprintf("{\nservers {\ntrusted_proxies static 127.0.0.2/32\n}\nmulti_session {\nlogin password {\nthrottle off\n%s\n}\n}\n}\nhttp://:%s {\nmulti_session\nreverse_proxy %s\n}\n", userOptions, port(address), up.address()))
	from := func(source string) *browser {
		b := newBrowser(t, "http://"+address)
		b.client.Transport.(*http.Transport).DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}).DialContext
		return b
	}
	signIn := func(b *browser, header http.Header) reply {
		request := b.jsonRequest("/.auth/sign-in/username", map[string]any{"username": "alice", "password": password("alice")})
		for name, values := range header {
			request.Header[name] = values
		}
		return b.must(request)
	}
	const trusted, stranger = "127.0.0.2", "127.0.0.1"
	own := "http://" + address
	tests := map[string]struct {
		source string
		header http.Header
		cookie string // "" where the sign-in is refused
	}{
		"stranger, nothing":               {stranger, http.Header{}, "multi_session"},
		"stranger, scheme":                {stranger, http.Header{"X-Forwarded-Proto": {"https"}}, "multi_session"},
		"stranger, host":                  {stranger, http.Header{"X-Forwarded-Host": {"app.example.com"}}, "multi_session"},
		"stranger, host that he is from":  {stranger, http.Header{"X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"evil.example"}, "Origin": {"https://evil.example"}}, ""},
		"stranger, RFC 7239":              {stranger, http.Header{"Forwarded": {"proto=https;host=evil.example"}, "Origin": {"https://evil.example"}}, ""},
		"stranger, RFC 7239, own origin":  {stranger, http.Header{"Forwarded": {"proto=https;host=evil.example"}}, "multi_session"},
		"trusted, nothing":                {trusted, http.Header{}, "multi_session"},
		"trusted, all":                    {trusted, http.Header{"X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"app.example.com"}, "Origin": {"https://app.example.com"}}, "__Host-Http-multi_session"},
		"trusted, host of other case":     {trusted, http.Header{"X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"App.Example.COM"}, "Origin": {"https://app.example.com"}}, "__Host-Http-multi_session"},
		"trusted, from the inner origin":  {trusted, http.Header{"X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"app.example.com"}, "Origin": {own}}, ""},
		"trusted, client's line and own":  {trusted, http.Header{"X-Forwarded-Proto": {"http", "https"}, "X-Forwarded-Host": {"evil.example", "app.example.com"}, "Origin": {"https://evil.example"}}, ""},
		"trusted, own line is the last":   {trusted, http.Header{"X-Forwarded-Proto": {"http", "https"}, "X-Forwarded-Host": {"evil.example", "app.example.com"}, "Origin": {"https://app.example.com"}}, "__Host-Http-multi_session"},
		"trusted, list in one line":       {trusted, http.Header{"X-Forwarded-Host": {"evil.example, app.example.com"}, "Origin": {"https://evil.example"}}, ""},
		"trusted, plain HTTP elsewhere":   {trusted, http.Header{"X-Forwarded-Proto": {"http"}, "X-Forwarded-Host": {"app.example.com"}, "Origin": {"http://app.example.com"}}, ""},
		"trusted, unknown scheme":         {trusted, http.Header{"X-Forwarded-Proto": {"wss"}}, "multi_session"},
		"trusted, host with a line break": {trusted, http.Header{"X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"app.example.com\tevil"}, "Origin": {"https://app.example.com"}}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			answer := signIn(from(test.source), test.header)
			cookie := ""
			if set := answer.Cookies(); len(set) > 0 {
				cookie = set[0].Name
			}
			if cookie != test.cookie || (cookie == "") != (answer.StatusCode == http.StatusForbidden) {
				t.Errorf("%s %s, cookie %q, want %q", answer.Status, answer.body, cookie, test.cookie)
			}
		})
	}
	for source, want := range map[string]string{stranger: stranger, trusted: "192.0.2.7"} {
		b := from(source)
		signIn(b, http.Header{"X-Forwarded-For": {"192.0.2.7"}})
		var entries []entry
		b.get("/.auth/multi-session/list-device-sessions").json(t, &entries)
		if len(entries) != 1 || entries[0].Session.IPAddress == nil || *entries[0].Session.IPAddress != want {
			t.Errorf("from %s: %+v, want %s", source, entries, want)
		}
	}
	if n := up.requests.Load(); n != 0 {
		t.Errorf("the upstream saw %d requests", n)
	}
}
