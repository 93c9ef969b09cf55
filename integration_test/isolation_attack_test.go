package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// cookieGate is a gateway with sites of several configurations, each on a port of its own, which
// all attacks share. The hosts of example.com have one jar; any other host has its own.
type cookieGate struct {
	*gateway
	app    *recorder
	client *http.Client
	ports  map[string]string // by site
}

// cookieSites are the gates of the sites.
var cookieSites = map[string]string{
	"gated":    "multi_session",
	"optional": "multi_session {\n optional\n}",
	"left out": "@gated not path /open/*\n multi_session @gated",
	"options":  "multi_session {\n isolate_cookies {\n except corp_* theme\n scripted token\n}\n}",
}

func startCookieGate(t *testing.T) *cookieGate {
	t.Helper()
	a := &cookieGate{client: newProfileClient(t), ports: make(map[string]string)}
	app, upstream := newRecorder(t)
	a.app = app
	config := fmt.Sprintf("{\nmulti_session {\ncookie_domain example.com\ninsecure_http\nlogin password {\nthrottle off\n%s\n}\n}\n}\n", userOptions)
	for name, gate := range cookieSites {
		a.ports[name] = port(freeAddress(t))
		config += fmt.Sprintf("http://:%s {\n%s\nreverse_proxy %s\n}\n", a.ports[name], gate, upstream)
	}
	a.gateway = startGateway(t, config)
	return a
}

// victim is a browser of several accounts at a site.
type victim struct {
	profile
	t       *testing.T
	host    string
	headers http.Header       // of its requests, beside or instead of the usual
	user    string            // who is signed in and active
	handles map[string]string // by user
}

func (a *cookieGate) victim(t *testing.T, site string) *victim {
	return &victim{profile: profile{app: a.app, client: a.client, port: a.ports[site]}, t: t, host: "a.example.test", handles: make(map[string]string)}
}

// as makes a user the active one.
func (v *victim) as(user string) {
	v.t.Helper()
	var answer struct{ Token string }
	path, body := "/multi-session/set-active", object{"sessionToken": v.handles[user]}
	if v.handles[user] == "" {
		path, body = "/sign-in/username", object{"username": user, "password": password(user)}
	}
	if err := v.portal(v.t.Context(), http.MethodPost, v.host, path, body, &answer); err != nil {
		v.t.Fatal(err)
	}
	if v.handles[user] == "" {
		v.handles[user] = answer.Token
	}
	v.user = user
}

// visit makes a request as the active user. The app must see the cookies, and sets those that
// follow.
func (v *victim) visit(path, want string, set ...string) {
	v.t.Helper()
	seen, err := v.ask(v.t.Context(), pageAddress{v.host, path}, v.headers, order{Set: set})
	if err != nil {
		v.t.Fatal(err)
	}
	v.saw(path, seen, want)
}

func (v *victim) saw(path string, seen recorded, want string) {
	v.t.Helper()
	if seen.User != v.user || byName(seen.Cookie) != byName(want) {
		v.t.Errorf("as %q at %s%s the app sees %q of %q, want %q", v.user, v.host, path, seen.Cookie, seen.User, want)
	}
}

// begin makes a request that the app does not answer yet.
func (v *victim) begin(path, want string) *pending {
	v.t.Helper()
	p, err := v.hold(v.t.Context(), pageAddress{v.host, path})
	if err != nil {
		v.t.Fatal(err)
	}
	v.saw(path, p.seen, want)
	return p
}

// finish has the app answer a request that was begun.
func (v *victim) finish(p *pending, set ...string) {
	v.t.Helper()
	if err := p.release(order{Set: set}); err != nil {
		v.t.Fatal(err)
	}
}

// writes has a script of a page write a cookie.
func (v *victim) writes(path, line string) { v.script(v.host, path, line) }

// reads checks what scripts of a page read.
func (v *victim) reads(path, want string) {
	v.t.Helper()
	if got := byName(cookieField(v.readable(v.host, path))); got != byName(want) {
		v.t.Errorf("as %q scripts of %s read %q, want %q", v.user, path, got, want)
	}
}

// TestAttackCookies has one account's cookies try to get into requests of another one, and out of
// those of its own, and what the gateway does not own try to get lost.
func TestAttackCookies(t *testing.T) {
	a := startCookieGate(t)
	for _, attack := range []struct {
		name, site string
		run        func(*victim)
	}{
		{"a readable cookie of a domain wider than the jar", "gated", attackWiderDomain},
		{"a script's cookie on a deeper path", "gated", attackDeeperScript},
		{"a cookie from before the gateway on a deeper path", "gated", attackDeeperOld},
		{"nobody's script cookie on a deeper path", "optional", attackDeeperNobody},
		{"a script's cookie of the whole domain on another host", "gated", attackWholeDomain},
		{"what is known of a cookie outlives it", "gated", attackOutlives},
		{"names that cannot be written back", "gated", attackNames},
		{"one name in many places", "gated", attackPlaces},
		{"a late answer crosses two switches", "gated", attackLateSwitch},
		{"answers of both accounts in the wrong order", "gated", attackOrder},
		{"nobody's answer crosses a sign-in", "optional", attackLateSignIn},
		{"a script forges a cookie with HttpOnly", "gated", attackHTTPOnly},
		{"more cookies than a header takes", "gated", a.attackTooMany},
		{"the last session is ended by an administrator", "optional", a.attackEnded},
		{"cookies of others on the host are taken away", "gated", attackForeign},
		{"cookies of others on the host are taken away where nobody passes too", "optional", attackForeign},
		{"another site's request changes whose cookies are", "left out", attackCrossSite},
		{"a client that is no browser on a path left out", "left out", attackNoBrowser},
		{"what is held back is said once", "gated", a.attackHeld},
		{"cookies that all accounts share", "options", attackExcepted},
		{"a login that scripts keep", "options", attackScripted},
	} {
		t.Run(attack.name, func(t *testing.T) { attack.run(a.victim(t, attack.site)) })
	}
}

func attackWiderDomain(v *victim) {
	v.as("alice")
	v.visit("/", "", "sess=A; Domain=example.test; Path=/")
	v.as("bob")
	v.visit("/one", "")
	v.visit("/two", "")
	v.reads("/", "")
	v.as("alice")
	v.visit("/", "sess=A")
}

func attackDeeperScript(v *victim) {
	v.as("alice")
	v.visit("/app/page", "")
	v.writes("/app/page", "token=A")
	v.visit("/app/page", "token=A")
	v.as("bob")
	v.visit("/", "")
	v.visit("/app/page", "")
}

func attackDeeperOld(v *victim) {
	v.set(v.host, "/app/page", "sid=old; Path=/app; HttpOnly")
	v.as("alice")
	v.visit("/", "")
	v.as("bob")
	v.visit("/", "")
	v.visit("/app/page", "")
	v.as("alice")
	v.visit("/app/page", "")
}

func attackDeeperNobody(v *victim) {
	v.visit("/app/page", "")
	v.writes("/app/page", "token=N")
	v.visit("/app/page", "token=N")
	v.as("alice")
	v.visit("/", "")
	v.visit("/app/page", "")
}

func attackWholeDomain(v *victim) {
	const a, b = "a.example.com", "b.example.com"
	v.host = b
	v.as("bob")
	v.visit("/", "")
	v.host = a
	if err := v.confirm(v.t.Context(), a, v.handles["bob"]); err != nil {
		v.t.Fatal(err)
	}
	v.as("alice")
	v.visit("/", "")
	v.writes("/", "dtok=A; Domain=example.com; Path=/")
	v.visit("/", "")
	v.host = b
	if err := v.confirm(v.t.Context(), b, v.handles["bob"]); err != nil {
		v.t.Fatal(err)
	}
	v.user = "bob"
	v.visit("/", "")
}

func attackOutlives(v *victim) {
	v.as("alice")
	v.visit("/", "")
	v.writes("/", "token=ALICE; Path=/")
	v.visit("/", "token=ALICE")
	v.writes("/", "token=; Path=/; Max-Age=0")
	v.as("bob")
	v.visit("/", "")
	v.writes("/", "token=BOB; Path=/")
	v.visit("/", "")
	v.as("alice")
	v.visit("/", "")
}

func attackNames(v *victim) {
	v.as("alice")
	v.visit("/", "")
	for _, name := range []string{"a b", "grüße", "", "a\tb"} {
		v.writes("/", name+"=A; Path=/")
	}
	v.as("bob")
	v.visit("/", "")
	v.visit("/", "")
}

func attackPlaces(v *victim) {
	const deep = "/1/2/3/4/5/6/7/8/9/10/page"
	v.as("alice")
	v.visit(deep, "", "x=A1; Path=/", "x=A2; Path=/1/2", "x=A3; Path=/1/2/3/4/5/6/7/8/9/10", "x=A4; Domain=example.test; Path=/")
	for range 2 {
		v.as("bob")
		v.visit(deep, "")
		v.visit(deep, "")
		v.reads(deep, "")
		v.as("alice")
		v.visit(deep, "x=A3; x=A2; x=A1; x=A4")
	}
}

func attackLateSwitch(v *victim) {
	v.as("alice")
	v.visit("/", "")
	v.as("bob")
	slow := v.begin("/slow", "")
	v.as("alice")
	v.visit("/", "")
	v.writes("/", "token=A; Path=/")
	v.as("bob")
	v.finish(slow, "late=B; Path=/")
	v.visit("/", "late=B")
	v.as("alice")
	v.visit("/", "")
}

func attackOrder(v *victim) {
	var answers []*pending
	for _, user := range []string{"bob", "alice", "bob"} {
		v.as(user)
		answers = append(answers, v.begin("/", ""))
	}
	v.finish(answers[1])
	v.writes("/", "token=1; Path=/")
	v.finish(answers[0])
	v.writes("/", "token=0; Path=/")
	v.visit("/", "")
	v.finish(answers[2])
	v.writes("/", "token=2; Path=/")
	v.visit("/", "")
}

func attackLateSignIn(v *victim) {
	first, second := v.begin("/", ""), v.begin("/", "")
	v.finish(first)
	v.writes("/", "token=N; Path=/")
	v.as("alice")
	v.visit("/", "")
	v.finish(second)
	v.writes("/", "token=N2; Path=/")
	v.visit("/", "")
}

func attackHTTPOnly(v *victim) {
	v.as("alice")
	v.visit("/", "", "sid=REAL; HttpOnly; Path=/")
	v.writes("/", "sid=FORGED; Path=/")
	v.visit("/", "sid=REAL")
	v.visit("/", "sid=REAL")
	v.writes("/app/x", "sid=FORGED; Path=/app")
	v.visit("/app/x", "sid=REAL")
}

// attackTooMany has the app set 7.8 KB for each of two accounts.
func (a *cookieGate) attackTooMany(v *victim) {
	one, two := "one="+strings.Repeat("1", 3900), "two="+strings.Repeat("2", 3900)
	const attributes = "; Path=/; HttpOnly"
	v.as("alice")
	v.visit("/", "", one+attributes, two+attributes)
	v.visit("/", one+"; "+two)
	v.as("bob")
	v.visit("/", "", one+attributes, two+attributes, "small=B"+attributes)
	v.visit("/", "small=B")
	await(v.t, "the error", func() bool {
		log := a.log.String()
		return strings.Contains(log, `"cookie":"one"`) && strings.Contains(log, `"cookie":"two"`)
	})
	answer, page, err := v.send(v.t.Context(), http.MethodGet, pageAddress{v.host, defaultPrefix + "/accounts"}, http.Header{"Sec-Fetch-Mode": {"navigate"}, "Accept": {"text/html"}}, nil)
	if err != nil || answer.StatusCode != http.StatusOK {
		v.t.Fatalf("the chooser: %v %v %s", err, answer, page)
	}
	v.as("alice")
	v.visit("/", one+"; "+two)
	// Signed out of alice, the browser has room again.
	var done any
	if err := v.portal(v.t.Context(), http.MethodPost, v.host, "/multi-session/revoke", object{"sessionToken": v.handles["alice"]}, &done); err != nil {
		v.t.Fatal(err)
	}
	v.as("bob")
	v.visit("/", "small=B")
	v.visit("/", "small=B", one+attributes, two+attributes)
	v.visit("/", one+"; "+two+"; small=B")
}

func (a *cookieGate) attackEnded(v *victim) {
	v.as("alice")
	v.visit("/", "", "csrf=A; Path=/", "sid=A; Path=/; HttpOnly")
	v.reads("/", "csrf=A")
	a.succeeds("sessions", "end", "--user", "alice")
	v.user = ""
	v.visit("/", "")
	v.reads("/", "")
	v.visit("/", "")
	for _, c := range v.cookies {
		if strings.HasPrefix(c.name, "ms~") {
			v.t.Errorf("of the session is left %s=%s", c.name, c.value)
		}
	}
}

// attackForeign has a proxy in front, another port and a company's sign-on set cookies beside the
// gateway.
func attackForeign(v *victim) {
	names := []string{"FRONT_AUTH", "nas_session", "corp_sso", "deep"}
	for i, user := range []string{"", "alice", "bob", "alice", "bob", "alice"} {
		value := fmt.Sprint("V", i)
		v.set(v.host, "/", "FRONT_AUTH="+value+"; Path=/; HttpOnly; SameSite=Lax; Max-Age=86400")
		v.set(v.host, "/", "nas_session="+value+"; Path=/; HttpOnly")
		v.set(v.host, "/", "corp_sso="+value+"; Domain=example.test; Path=/")
		v.set(v.host, "/", "deep="+value+"; Path=/deep")
		before := foreign(v, names)
		if user != "" {
			v.as(user)
			for _, path := range []string{"/", "/deep/page", "/"} {
				if _, err := v.ask(v.t.Context(), pageAddress{v.host, path}, nil, order{}); err != nil {
					v.t.Fatal(err)
				}
			}
		}
		if after := foreign(v, names); !slices.Equal(before, after) {
			v.t.Errorf("as %q foreign cookies are\n%v, were\n%v", user, after, before)
		}
	}
	for _, line := range v.told {
		if name, _, _ := strings.Cut(line, "="); slices.Contains(names, name) {
			v.t.Errorf("the browser was told %q", line)
		}
	}
}

func foreign(v *victim, names []string) (list []storedCookie) {
	for _, c := range v.cookies {
		if slices.Contains(names, c.name) {
			list = append(list, c)
		}
	}
	return list
}

// attackCrossSite has another site send a form to a path that is left out, with the cookies that
// browsers then send.
func attackCrossSite(v *victim) {
	v.as("alice")
	v.visit("/", "", "saml=A; Path=/; HttpOnly; SameSite=None; Secure")
	v.writes("/", "draft=unsaved; Path=/")
	v.visit("/", "saml=A; draft=unsaved")

	crossSite := &victim{profile: v.profile, t: v.t, host: v.host, headers: http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Origin": {"https://idp.example.org"}}}
	crossSite.cookies = slices.DeleteFunc(slices.Clone(v.cookies), func(c storedCookie) bool { return strings.HasPrefix(c.name, "multi_session") || c.name == "draft" })
	crossSite.told = nil
	crossSite.visit("/open/acs", "saml=A", "acs=1; Path=/; HttpOnly")
	for _, line := range crossSite.told {
		v.set(v.host, "/open/acs", line)
		if !strings.HasPrefix(line, "ms~") {
			v.t.Errorf("the browser was told %q", line)
		}
	}
	v.visit("/", "saml=A; draft=unsaved; acs=1")

	// With two accounts nobody knows whose the form is.
	v.as("bob")
	v.visit("/", "", "saml=B; Path=/; HttpOnly; SameSite=None; Secure")
	crossSite.cookies = slices.DeleteFunc(slices.Clone(v.cookies), func(c storedCookie) bool { return strings.HasPrefix(c.name, "multi_session") })
	crossSite.visit("/open/acs", "")
}

// attackNoBrowser is a program with a cookie store that looks for the app's session cookie by its
// name.
func attackNoBrowser(v *victim) {
	none := http.Header{"Sec-Fetch-Site": nil, "Sec-Fetch-Mode": nil}
	v.headers = none
	const login = "SID=tok123; HttpOnly; Path=/"
	v.visit("/open/login", "", login)
	if !slices.Equal(v.told, []string{login}) {
		v.t.Errorf("the program is told %q", v.told)
	}
	v.visit("/open/torrents", "SID=tok123")
	// A browser's request has the jar's cookie, and its own cookies.
	v.headers = nil
	v.as("alice")
	v.headers = none
	v.visitAsNobodyKnows("/open/login", "SID=tok456; HttpOnly; Path=/")
	if last := v.told[len(v.told)-1]; !strings.HasPrefix(last, "ms~") || !strings.Contains(last, "tok456") {
		v.t.Errorf("the browser is told %q", last)
	}
	v.headers = nil
	v.visit("/", "SID=tok456")
}

// visitAsNobodyKnows makes a request on a path that is left out, where the app is not told who it
// is.
func (v *victim) visitAsNobodyKnows(path string, set ...string) {
	v.t.Helper()
	seen, err := v.ask(v.t.Context(), pageAddress{v.host, path}, v.headers, order{Set: set})
	if err != nil {
		v.t.Fatal(err)
	}
	if seen != (recorded{}) {
		v.t.Errorf("at %s the app sees %v", path, seen)
	}
}

func (a *cookieGate) attackHeld(v *victim) {
	v.host = "held.example.test"
	v.as("alice")
	v.visit("/", "")
	v.as("bob")
	v.visit("/", "")
	v.writes("/", "draft=B; Path=/")
	v.writes("/", "other=B; Path=/")
	for range 3 {
		v.visit("/", "")
	}
	said := func(name string) (lines []string) {
		for line := range strings.Lines(a.log.String()) {
			if strings.Contains(line, `"cookie":"`+name+`"`) && strings.Contains(line, `"held.example.test:`+v.port+`"`) {
				lines = append(lines, line)
			}
		}
		return lines
	}
	await(v.t, "the line", func() bool { return len(said("draft")) > 0 && len(said("other")) > 0 })
	for _, name := range []string{"draft", "other"} {
		lines := said(name)
		if len(lines) != 1 || !strings.Contains(lines[0], "isolate_cookies") || !strings.Contains(lines[0], "except") || !strings.Contains(lines[0], "scripted") {
			v.t.Errorf("of %s the log says %q", name, lines)
		}
	}
}

func attackExcepted(v *victim) {
	v.set(v.host, "/", "corp_sso=S; Domain=example.test; Path=/; HttpOnly")
	v.as("alice")
	v.visit("/", "corp_sso=S", "theme=dark; Path=/", "corp_team=red; Path=/", "themes=A; Path=/", "own=A; Path=/; HttpOnly")
	v.visit("/", "corp_sso=S; theme=dark; corp_team=red; themes=A; own=A")
	v.as("bob")
	v.visit("/", "corp_sso=S; theme=dark; corp_team=red")
	v.visit("/", "corp_sso=S; theme=dark; corp_team=red", "theme=light; Path=/")
	v.as("alice")
	v.visit("/", "corp_sso=S; theme=light; corp_team=red; themes=A; own=A")
}

func attackScripted(v *victim) {
	v.as("alice")
	v.visit("/", "")
	v.writes("/", "token=A; Path=/")
	v.visit("/", "token=A")
	v.as("bob")
	v.visit("/", "")
	v.reads("/", "")
	v.writes("/", "token=B; Path=/")
	v.visit("/", "token=B")
	for range 2 {
		v.as("alice")
		v.visit("/", "token=A")
		v.reads("/", "token=A")
		v.visit("/", "token=A")
		v.as("bob")
		v.visit("/", "token=B")
		v.reads("/", "token=B")
	}
	// A page of alice's that is still open writes again what it had.
	v.writes("/", "token=A; Path=/")
	v.visit("/", "")
	v.visit("/", "token=B")
	// Bob signs out of the app.
	v.writes("/", "token=; Path=/; Max-Age=0")
	v.as("alice")
	v.visit("/", "token=A")
	v.as("bob")
	v.visit("/", "")
	v.reads("/", "")
}
