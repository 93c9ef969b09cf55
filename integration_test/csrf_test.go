package integration

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// add adds header fields, names and values in turn, to a request.
func add(request *http.Request, header []string) {
	for i := 0; i < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
}

// TestForgedRequestsChangeNothing has every way in which another site can have a browser send a
// request that changes state, at every path that does so. The browser has two accounts, and has them
// still when all is over.
func TestForgedRequestsChangeNothing(t *testing.T) {
	up := newEcho(t)
	address := freeAddress(t)
	startGateway(t, site(address, up.address(), "trusted_origins https://spa.example.com", "multi_session"))
	base := "http://" + address
	b := newBrowser(t, base)
	b.signIn("alice")
	bob := b.signIn("bob")
	var entries []entry
	b.get("/.auth/multi-session/list-device-sessions").json(t, &entries)
	alice := entries[0].Session.Token

	forms := map[string]string{
		"/.auth/sign-in":  "identifier=carol&password=carol-example",
		"/.auth/accounts": "action=switch&session=" + alice,
	}
	calls := map[string]string{
		"/.auth/sign-in/username":         `{"username":"carol","password":"carol-example"}`,
		"/.auth/sign-in/email":            `{"email":"carol@example.com","password":"carol-example"}`,
		"/.auth/sign-out":                 `{}`,
		"/.auth/multi-session/set-active": `{"sessionToken":"` + alice + `"}`,
		"/.auth/multi-session/revoke":     `{"sessionToken":"` + bob + `"}`,
	}
	const invalid, missing = "INVALID_ORIGIN", "MISSING_OR_NULL_ORIGIN"
	tests := map[string]struct {
		header []string // names and values
		code   string
	}{
		"nothing says where it is from":     {nil, missing},
		"no origin, but fetch metadata":     {[]string{"Sec-Fetch-Site", "same-origin"}, missing},
		"null origin":                       {[]string{"Origin", "null"}, missing},
		"null origin of a sandboxed frame":  {[]string{"Origin", "null", "Referer", base + "/"}, missing},
		"another site":                      {[]string{"Origin", "https://evil.example"}, invalid},
		"another port":                      {[]string{"Origin", "http://127.0.0.1:1"}, invalid},
		"another scheme":                    {[]string{"Origin", "https://" + address}, invalid},
		"another loopback":                  {[]string{"Origin", "http://localhost:" + port(address)}, invalid},
		"a host that begins alike":          {[]string{"Origin", base + ".evil.example"}, invalid},
		"user info that looks like it":      {[]string{"Origin", base + "@evil.example"}, invalid},
		"with a path":                       {[]string{"Origin", base + "/"}, invalid},
		"a sibling of a trusted one":        {[]string{"Origin", "https://evil.example.com"}, invalid},
		"a trusted one by another scheme":   {[]string{"Origin", "http://spa.example.com"}, invalid},
		"two origins":                       {[]string{"Origin", base, "Origin", "https://evil.example"}, invalid},
		"a foreign referrer, no origin":     {[]string{"Referer", "https://evil.example/" + base}, invalid},
		"a referrer with user info":         {[]string{"Referer", base + "@evil.example/"}, invalid},
		"an own origin that browsers deny":  {[]string{"Origin", base, "Sec-Fetch-Site", "cross-site"}, invalid},
		"a same-site origin is not enough":  {[]string{"Origin", "http://sibling.127.0.0.1", "Sec-Fetch-Site", "same-site"}, invalid},
		"an own host in the wrong spelling": {[]string{"Origin", "HTTP://" + address}, invalid},
	}
	forge := func(path, contentType, body string, header []string) reply {
		request := b.request(http.MethodPost, path, strings.NewReader(body))
		request.Header.Set("Content-Type", contentType)
		add(request, header)
		return b.must(request)
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for path, body := range calls {
				answer := forge(path, "application/json", body, test.header)
				if answer.StatusCode != http.StatusForbidden || answer.code() != test.code {
					t.Errorf("%s: %s: %s", path, answer.Status, answer.body)
				}
				if len(answer.Cookies()) > 0 {
					t.Errorf("%s: set a cookie", path)
				}
			}
			for path, body := range forms {
				answer := forge(path, "application/x-www-form-urlencoded", body, test.header)
				if answer.StatusCode != http.StatusForbidden || len(answer.Cookies()) > 0 || answer.Header.Get("Location") != "" {
					t.Errorf("%s: %s", path, answer.Status)
				}
			}
		})
	}
	t.Run("a cross-site form that signs in", func(t *testing.T) {
		header := []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}
		answer := forge("/.auth/sign-in/username", "application/json", calls["/.auth/sign-in/username"], header)
		if answer.StatusCode != http.StatusForbidden || answer.code() != "CROSS_SITE_NAVIGATION_LOGIN_BLOCKED" {
			t.Errorf("%s: %s", answer.Status, answer.body)
		}
	})
	t.Run("what a form of another site can send is not read", func(t *testing.T) {
		for _, contentType := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json", "", "application/jsonp"} {
			for path, body := range calls {
				answer := forge(path, contentType, body, []string{"Origin", base})
				if answer.StatusCode != http.StatusUnsupportedMediaType || answer.code() != "UNSUPPORTED_MEDIA_TYPE" {
					t.Errorf("%s as %q: %s: %s", path, contentType, answer.Status, answer.body)
				}
			}
			for path, body := range forms {
				if contentType == "application/x-www-form-urlencoded" {
					continue
				}
				if answer := forge(path, contentType, body, []string{"Origin", base}); answer.StatusCode != http.StatusUnsupportedMediaType {
					t.Errorf("%s as %q: %s", path, contentType, answer.Status)
				}
			}
		}
	})
	t.Run("signing in without cookies passes without any trace of a browser only", func(t *testing.T) {
		for name, test := range map[string]struct {
			header []string
			status int
		}{
			"no trace":              {nil, http.StatusOK},
			"own origin":            {[]string{"Origin", base}, http.StatusOK},
			"own referrer":          {[]string{"Referer", base + "/.auth/sign-in"}, http.StatusOK},
			"a trusted origin":      {[]string{"Origin", "https://spa.example.com"}, http.StatusOK},
			"fetch metadata":        {[]string{"Sec-Fetch-Mode", "cors"}, http.StatusForbidden},
			"a foreign origin":      {[]string{"Origin", "https://evil.example"}, http.StatusForbidden},
			"a foreign referrer":    {[]string{"Referer", "https://evil.example/"}, http.StatusForbidden},
			"null":                  {[]string{"Origin", "null"}, http.StatusForbidden},
			"a referrer of nowhere": {[]string{"Referer", "about:blank"}, http.StatusForbidden},
		} {
			fresh := newBrowser(t, base)
			request := fresh.jsonRequest("/.auth/sign-in/username", map[string]any{"username": "carol", "password": password("carol")})
			request.Header = http.Header{"Content-Type": {"application/json"}}
			add(request, test.header)
			if answer := fresh.must(request); answer.StatusCode != test.status {
				t.Errorf("%s: %s: %s", name, answer.Status, answer.body)
			}
		}
	})

	if accounts, active := b.accounts(), b.active(); !slices.Equal(accounts, []string{"alice", "bob"}) || active != "bob" {
		t.Errorf("after all this the browser has %v and is %q", accounts, active)
	}
}

// TestMethodsAndPaths has every path of the portal answer the methods it has, and no other, and every
// other path below the prefix answered by nobody but the gateway.
func TestMethodsAndPaths(t *testing.T) {
	up := newEcho(t)
	address := freeAddress(t)
	startGateway(t, plain(address, up.address()))
	b := newBrowser(t, "http://"+address)
	b.signIn("alice")
	b.get("/")
	seen := up.requests.Load()

	paths := map[string]string{ // and the Allow of each
		"/.auth/sign-in":                            "GET, HEAD, POST",
		"/.auth/accounts":                           "GET, HEAD, POST",
		"/.auth/style.css":                          "GET, HEAD",
		"/.auth/icon.svg":                           "GET, HEAD",
		"/.auth/get-session":                        "GET, HEAD",
		"/.auth/multi-session/list-device-sessions": "GET, HEAD",
		"/.auth/sign-in/email":                      "POST",
		"/.auth/sign-in/username":                   "POST",
		"/.auth/sign-out":                           "GET, HEAD, POST",
		"/.auth/multi-session/set-active":           "POST",
		"/.auth/multi-session/revoke":               "POST",
	}
	for path, allow := range paths {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"} {
			request := b.request(method, path, nil)
			request.Header.Set("Origin", b.base)
			answer := b.must(request)
			if has := strings.Contains(", "+allow+",", ", "+method+","); has != (answer.StatusCode != http.StatusMethodNotAllowed) {
				t.Errorf("%s %s: %s", method, path, answer.Status)
			} else if !has && answer.Header.Get("Allow") != allow {
				t.Errorf("%s %s: Allow: %q", method, path, answer.Header.Get("Allow"))
			}
			for name, want := range map[string]string{
				"Cache-Control":                "no-store",
				"X-Content-Type-Options":       "nosniff",
				"Referrer-Policy":              "same-origin",
				"Cross-Origin-Resource-Policy": "same-origin",
			} {
				if got := answer.Header.Get(name); got != want {
					t.Errorf("%s %s: %s: %q", method, path, name, got)
				}
			}
		}
	}
	for _, path := range []string{
		"/.auth/unknown", "/.auth/sign-in/", "/.auth//sign-in", "/.auth/../x", "/.auth/%2e%2e/x", "/%2eauth/unknown", "/.auth/sign-in/email/x", "/.auth/%2Fsign-in",
	} {
		if answer := b.must(b.request(http.MethodGet, path, nil)); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}
	if up.requests.Load() != seen {
		t.Error("the upstream saw a request below the prefix")
	}
	b.signIn("alice") // one of the calls has signed out
	// What only looks like the prefix is the upstream's.
	for _, path := range []string{"/.authx", "/.AUTH/sign-in", "/x/.auth/sign-in", "/.aut"} {
		if answer := b.must(b.request(http.MethodGet, path, nil)); answer.StatusCode != http.StatusOK || answer.seen(t).URI != path {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}
}

// TestBodies has what a client can get wrong about a JSON body, with what it is told.
func TestBodies(t *testing.T) {
	up := newEcho(t)
	address := freeAddress(t)
	startGateway(t, plain(address, up.address()))
	b := newBrowser(t, "http://"+address)
	b.signIn("alice")
	tests := map[string]struct {
		path, body string
		status     int
		code       string
	}{
		"not JSON":                {"sign-in/username", `username=alice`, 400, "BAD_REQUEST"},
		"empty":                   {"sign-in/username", ``, 400, "BAD_REQUEST"},
		"cut short":               {"sign-in/username", `{"username":"alice"`, 400, "BAD_REQUEST"},
		"an object and more":      {"sign-in/username", `{"username":"alice","password":"x"} {}`, 400, "BAD_REQUEST"},
		"a member twice":          {"sign-in/username", `{"username":"alice","username":"bob","password":"x"}`, 400, "BAD_REQUEST"},
		"a list":                  {"sign-in/username", `[]`, 400, "VALIDATION_ERROR"},
		"null":                    {"sign-in/username", `null`, 400, "VALIDATION_ERROR"},
		"a member is missing":     {"sign-in/username", `{"username":"alice"}`, 400, "VALIDATION_ERROR"},
		"a member in other case":  {"sign-in/username", `{"Username":"alice","password":"x"}`, 400, "VALIDATION_ERROR"},
		"a member of other type":  {"sign-in/username", `{"username":1,"password":"x"}`, 400, "VALIDATION_ERROR"},
		"a handle of other type":  {"multi-session/set-active", `{"sessionToken":["x"]}`, 400, "VALIDATION_ERROR"},
		"no handle":               {"multi-session/set-active", `{}`, 400, "VALIDATION_ERROR"},
		"an e-mail that is none":  {"sign-in/email", `{"email":"alice","password":"x"}`, 400, "INVALID_EMAIL"},
		"a wrong password":        {"sign-in/email", `{"email":"alice@example.com","password":"x"}`, 401, "INVALID_EMAIL_OR_PASSWORD"},
		"an unknown e-mail":       {"sign-in/email", `{"email":"nobody@example.com","password":"x"}`, 401, "INVALID_EMAIL_OR_PASSWORD"},
		"an unknown user":         {"sign-in/username", `{"username":"nobody","password":"x"}`, 401, "INVALID_USERNAME_OR_PASSWORD"},
		"a short name":            {"sign-in/username", `{"username":"a","password":"x"}`, 422, "USERNAME_TOO_SHORT"},
		"a long name":             {"sign-in/username", `{"username":"` + strings.Repeat("a", 65) + `","password":"x"}`, 422, "USERNAME_TOO_LONG"},
		"a name that cannot be":   {"sign-in/username", `{"username":"a b c","password":"x"}`, 422, "INVALID_USERNAME"},
		"callback elsewhere":      {"sign-in/username", `{"username":"alice","password":"alice-example","callbackURL":"https://evil.example/"}`, 403, "INVALID_CALLBACK_URL"},
		"callback by two slashes": {"sign-in/username", `{"username":"alice","password":"alice-example","callbackURL":"//evil.example/"}`, 403, "INVALID_CALLBACK_URL"},
		"callback of other type":  {"sign-in/username", `{"username":"alice","password":"alice-example","callbackURL":7}`, 400, "VALIDATION_ERROR"},
		"too large":               {"sign-in/username", `{"username":"` + strings.Repeat("a", 1<<20) + `"}`, 413, ""},
		"endlessly nested":        {"sign-in/username", strings.Repeat("[", 10_000), 400, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			request := b.request(http.MethodPost, "/.auth/"+test.path, strings.NewReader(test.body))
			request.Header.Set("Content-Type", "application/json")
			request.Header.Set("Origin", b.base)
			answer := b.must(request)
			if answer.StatusCode != test.status || test.code != "" && answer.code() != test.code {
				t.Errorf("%s: %s, want %d %s", answer.Status, answer.body, test.status, test.code)
			}
			if got := b.active(); got != "alice" {
				t.Errorf("the browser is %q", got)
			}
		})
	}
	t.Run("a callback of the site's own", func(t *testing.T) {
		answer := b.post("/.auth/sign-in/username", map[string]any{"username": "bob", "password": password("bob"), "callbackURL": "/dashboard"})
		var body struct {
			Redirect bool
			URL      string
			Token    string
		}
		answer.json(t, &body)
		if answer.StatusCode != http.StatusOK || !body.Redirect || body.URL != "/dashboard" || answer.Header.Get("Location") != "/dashboard" || body.Token == "" {
			t.Errorf("%s, Location %q: %s", answer.Status, answer.Header.Get("Location"), answer.body)
		}
	})
	t.Run("a session that the browser forgets", func(t *testing.T) {
		answer := b.post("/.auth/sign-in/username", map[string]any{"username": "bob", "password": password("bob"), "rememberMe": false})
		cookies := answer.Header["Set-Cookie"]
		runs := slices.DeleteFunc(slices.Clone(cookies), func(line string) bool { return !strings.HasPrefix(line, "multi_session_run=") })
		if len(runs) != 1 || strings.Contains(runs[0], "Max-Age") || strings.Contains(runs[0], "Expires") {
			t.Errorf("cookies: %q", cookies)
		}
	})
}
