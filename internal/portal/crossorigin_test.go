package portal

import (
	"net/http"
	"strings"
	"testing"
)

func TestOrigins(t *testing.T) {
	const own, trusted, evil, sibling = "https://app.example.com", "https://spa.example.org", "https://evil.example", "https://wiki.example.com"
	const missing, invalid, blocked, passes = "MISSING_OR_NULL_ORIGIN", "INVALID_ORIGIN", "CROSS_SITE_NAVIGATION_LOGIN_BLOCKED", ""
	type h = []string
	tests := map[string]struct {
		headers h
		// Results of: a change with cookies, a sign-in without, another change without.
		cookies, signIn, others string
	}{
		"no trace of a browser":             {h{}, missing, passes, passes},
		"own origin":                        {h{"Origin", own}, passes, passes, passes},
		"own origin, all told":              {h{"Origin", own, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"}, passes, passes, passes},
		"own origin, form":                  {h{"Origin", own, "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate"}, passes, passes, passes},
		"own origin by the user":            {h{"Origin", own, "Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"}, passes, passes, passes},
		"own origin with its port":          {h{"Origin", own + ":443"}, invalid, invalid, invalid},
		"own origin in upper case":          {h{"Origin", "HTTPS://APP.EXAMPLE.COM"}, invalid, invalid, invalid},
		"trusted":                           {h{"Origin", trusted, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"}, passes, passes, passes},
		"trusted, old browser":              {h{"Origin", trusted}, passes, passes, passes},
		"trusted, form":                     {h{"Origin", trusted, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, passes, blocked, passes},
		"own referer":                       {h{"Referer", own + "/page?x"}, passes, passes, passes},
		"trusted referer":                   {h{"Referer", trusted + "/"}, passes, passes, passes},
		"other's referer":                   {h{"Referer", evil + "/?" + own}, invalid, invalid, invalid},
		"referer that starts like own":      {h{"Referer", own + ".evil.example/"}, invalid, invalid, invalid},
		"referer that is no URL":            {h{"Referer", "app.example.com"}, invalid, invalid, invalid},
		"own referer, other's origin":       {h{"Origin", evil, "Referer", own + "/"}, invalid, invalid, invalid},
		"own referer, null origin":          {h{"Origin", "null", "Referer", own + "/"}, missing, missing, missing},
		"null":                              {h{"Origin", "null"}, missing, missing, missing},
		"null from a sandbox":               {h{"Origin", "null", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"}, missing, missing, missing},
		"null form":                         {h{"Origin", "null", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, missing, blocked, missing},
		"null of the own site":              {h{"Origin", "null", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate"}, passes, passes, passes},
		"null of the own site, told twice":  {h{"Origin", "null", "Sec-Fetch-Site", "same-origin, same-origin"}, missing, missing, missing},
		"null of a sibling":                 {h{"Origin", "null", "Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "navigate"}, missing, missing, missing},
		"null by the user":                  {h{"Origin", "null", "Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"}, missing, missing, missing},
		"other site":                        {h{"Origin", evil}, invalid, invalid, invalid},
		"other site, fetch":                 {h{"Origin", evil, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, invalid, invalid, invalid},
		"other site, form":                  {h{"Origin", evil, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, invalid, blocked, invalid},
		"other site without origin, form":   {h{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, missing, blocked, invalid},
		"other site that names own origin":  {h{"Origin", own, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors"}, invalid, invalid, invalid},
		"sibling subdomain":                 {h{"Origin", sibling}, invalid, invalid, invalid},
		"sibling subdomain, form":           {h{"Origin", sibling, "Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "navigate"}, invalid, invalid, invalid},
		"sibling without origin":            {h{"Sec-Fetch-Site", "same-site"}, missing, missing, invalid},
		"own host in plain HTTP":            {h{"Origin", "http://app.example.com"}, invalid, invalid, invalid},
		"own host on another port":          {h{"Origin", own + ":8443"}, invalid, invalid, invalid},
		"own host with a dot":               {h{"Origin", own + "."}, invalid, invalid, invalid},
		"own host below another":            {h{"Origin", own + ".evil.example"}, invalid, invalid, invalid},
		"own host as user name":             {h{"Origin", own + "@evil.example"}, invalid, invalid, invalid},
		"below trusted":                     {h{"Origin", "https://x.spa.example.org"}, invalid, invalid, invalid},
		"trusted in plain HTTP":             {h{"Origin", "http://spa.example.org"}, invalid, invalid, invalid},
		"extension":                         {h{"Origin", "chrome-extension://abcdefgh"}, invalid, invalid, invalid},
		"origin with a path":                {h{"Origin", own + "/"}, invalid, invalid, invalid},
		"two origins in a line":             {h{"Origin", own + " " + evil}, invalid, invalid, invalid},
		"two origins with a comma":          {h{"Origin", own + ", " + evil}, invalid, invalid, invalid},
		"empty origin, own referer":         {h{"Origin", "", "Referer", own + "/"}, passes, passes, passes},
		"Node's fetch":                      {h{"Sec-Fetch-Mode", "cors"}, missing, missing, passes},
		"only Sec-Fetch-Dest":               {h{"Sec-Fetch-Dest", "document"}, missing, missing, passes},
		"same-origin without origin":        {h{"Sec-Fetch-Site", "same-origin"}, missing, missing, passes},
		"navigation by the user, no origin": {h{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"}, missing, missing, passes},
		"unknown Sec-Fetch-Site":            {h{"Origin", own, "Sec-Fetch-Site", "x"}, invalid, invalid, invalid},
	}
	b := newGateway(t, func(s *setup) { s.origins = []string{trusted} }).browser()
	check := func(t *testing.T, headers h, cookie, path, want string) {
		t.Helper()
		all := append(h{"Content-Type", "application/json", "Origin", "", "Sec-Fetch-Site", "", "Cookie", cookie}, headers...)
		w := b.send(b.request("POST", "/.auth/"+path, "not JSON", all...))
		if want != passes {
			wantProblem(t, w, http.StatusForbidden, want)
			return
		}
		// The request passed the check and failed at its body.
		wantProblem(t, w, http.StatusBadRequest, "BAD_REQUEST")
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			signIn := test.cookies
			if test.signIn == blocked {
				signIn = blocked
			}
			check(t, test.headers, "any=cookie", "sign-in/email", signIn)
			check(t, test.headers, "any=cookie", "sign-in/username", signIn)
			for _, path := range []string{"sign-out", "multi-session/set-active", "multi-session/revoke"} {
				check(t, test.headers, "any=cookie", path, test.cookies)
				check(t, test.headers, "", path, test.others)
			}
			check(t, test.headers, "", "sign-in/email", test.signIn)
			check(t, test.headers, "", "sign-in/username", test.signIn)
		})
	}
}

func TestTwoOriginFields(t *testing.T) {
	b := newGateway(t).browser()
	r := b.request("POST", "/.auth/sign-out", "{}", "Content-Type", "application/json")
	r.Header.Add("Origin", "https://evil.example")
	wantProblem(t, b.send(r), http.StatusForbidden, "INVALID_ORIGIN")
}

func TestOriginIsTheSchemeServed(t *testing.T) {
	// Behind Caddy both requests look the same; only the visitor knows what the browser sees.
	b := newGateway(t).browser()
	b.scheme, b.host = "http", "localhost:8080"
	wantProblem(t, b.post("/.auth/sign-out", "{}", "Origin", "https://localhost:8080"), http.StatusForbidden, "INVALID_ORIGIN")
	if w := b.post("/.auth/sign-out", "{}"); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestHostFieldDoesNotDecide(t *testing.T) {
	b := newGateway(t).browser()
	r := b.request("POST", "/.auth/sign-out", "{}", "Content-Type", "application/json", "Sec-Fetch-Site", "")
	r.Host = "App.Example.com:443"
	if w := b.send(r); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	r = b.request("POST", "/.auth/sign-out", "{}", "Content-Type", "application/json", "Sec-Fetch-Site", "", "Origin", "https://evil.example")
	r.Host = "evil.example"
	wantProblem(t, b.send(r), http.StatusForbidden, "INVALID_ORIGIN")
}

func TestForgedFormsAreRefusedWithAPage(t *testing.T) {
	b := newGateway(t).browser()
	handle := b.signInAs("alice")
	b.signInAs("bob")
	for path, body := range map[string]string{
		"/.auth/sign-in":  "identifier=carol&password=carol-password",
		"/.auth/accounts": "action=switch&session=" + handle,
	} {
		for site, mode := range map[string]string{"cross-site": "navigate", "same-site": "navigate"} {
			w := b.send(b.request("POST", path, body, "Content-Type", "application/x-www-form-urlencoded",
				"Origin", "https://evil.example", "Sec-Fetch-Site", site, "Sec-Fetch-Mode", mode))
			wantPage(t, w, http.StatusForbidden)
			if strings.Contains(w.Body.String(), "evil.example") {
				t.Error("the page has what the request says")
			}
		}
	}
	if got := b.names(); got != "alice *bob" {
		t.Errorf("the browser has %q", got)
	}
}

// Whoever runs the site must learn which of the two origins is not as expected.
func TestRefusedOriginsAreExplained(t *testing.T) {
	for name, test := range map[string]struct{ origin, says string }{
		"a proxy that drops the port": {"https://app.example.com:8443", "with its port in Host or X-Forwarded-Host"},
		"a proxy that ends HTTPS":     {"http://app.example.com", "its scheme in X-Forwarded-Proto"},
		"no-referrer on plain HTTP":   {"null", "a Referrer-Policy of no-referrer"},
		"another site":                {"https://evil.example", "another site"},
	} {
		b := newGateway(t).browser()
		r := b.form("alice")
		r.Header.Set("Origin", test.origin)
		r.Header.Del("Sec-Fetch-Site")
		wantPage(t, b.send(r), http.StatusForbidden, test.says)
		line := b.log.FilterMessage(eventForged).All()
		if len(line) != 1 {
			t.Fatalf("%s: %d lines", name, len(line))
		}
		fields := line[0].ContextMap()
		if fields["origin"] != test.origin || fields["own_origin"] != "https://app.example.com" {
			t.Errorf("%s: the log has the origins %v and %v", name, fields["origin"], fields["own_origin"])
		}
	}
}
