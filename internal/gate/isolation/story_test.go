package isolation

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// jarOf is a jar in which sessions come and go.
type jarOf struct {
	id, active string
	live       []string
}

func (j *jarOf) JarID() string           { return j.id }
func (j *jarOf) Slot() string            { return j.active }
func (j *jarOf) HasSlot(tag string) bool { return slices.Contains(j.live, tag) }

// tagOf is the tag of a user's slot in tests.
func tagOf(user string) string { return user + strings.Repeat("-", tagLength-len(user)) }

// world is one browser, in front of it a gateway, behind that an app.
type world struct {
	t         testing.TB
	browser   profile
	jar       jarOf
	isolation *Isolation
	order     *Order
	site      Spec
	now       time.Time
}

func newWorld(t testing.TB, except ...string) *world {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w := &world{t: t, now: start, isolation: &Isolation{Except: except}, site: Spec{Name: NamePlain}, order: NewOrder()}
	w.browser = profile{host: "app.example.com", now: start}
	return w
}

// signIn makes a session of a user the active one.
func (w *world) signIn(user string) {
	w.jar.id, w.jar.active = "jar", tagOf(user)
	if !slices.Contains(w.jar.live, tagOf(user)) {
		w.jar.live = append(w.jar.live, tagOf(user))
	}
	w.browser.set("/", w.site.Name+"=token; Path=/; HttpOnly")
}

// revoke ends a session.
func (w *world) revoke(user string) {
	w.jar.live = slices.DeleteFunc(w.jar.live, func(tag string) bool { return tag == tagOf(user) })
	if w.jar.active == tagOf(user) {
		w.jar.active = ""
	}
	if len(w.jar.live) == 0 {
		w.jar = jarOf{}
		w.browser.set("/", w.site.Name+"=; Path=/; Max-Age=0")
	}
}

// underway is a request that the app has and the browser has no answer to.
type underway struct {
	w    *world
	path string
	Crossing
	sees string // the upstream's Cookie field
	slot string
}

func (w *world) ask(path string) *underway { return w.askWith(path, w.browser.header(path)) }

func (w *world) askWith(path, cookies string) *underway {
	h := http.Header{"Cookie": {cookies}}
	if cookies == "" {
		delete(h, "Cookie")
	}
	visit := w.jar
	u := &underway{w: w, path: path, slot: w.jar.active}
	w.isolation.Sort(&u.Crossing, h, Arriving{Jar: w.site, Host: w.browser.host, Path: path, Visit: &visit, Order: w.order, Now: func() time.Time { return w.now }})
	u.sees = h.Get("Cookie")
	if len(h["Cookie"]) > 1 {
		w.t.Fatalf("two Cookie fields: %q", h["Cookie"])
	}
	return u
}

// answer is what the gateway makes of an answer of the app.
func (u *underway) answer(set ...string) []string {
	h := http.Header{}
	if set != nil {
		h["Set-Cookie"] = set
	}
	u.Answer(h, false, func() bool { return u.w.jar.active == u.slot })
	return h["Set-Cookie"]
}

// finish has the browser get the answer.
func (u *underway) finish(set ...string) { u.get(u.answer(set...)) }

// finishAsActive is finish with the header of an answer of which the gateway believes that its slot is
// the active one still.
func (u *underway) finishAsActive(h http.Header) {
	u.Answer(h, false, func() bool { return true })
	u.get(h["Set-Cookie"])
}

// get has the browser do what it is told.
func (u *underway) get(lines []string) {
	for _, line := range lines {
		u.w.browser.set(u.path, line)
	}
}

// visit asks, checks what the app sees, and gets an answer.
func (w *world) visit(path, want string, set ...string) {
	w.t.Helper()
	u := w.ask(path)
	if u.sees != want {
		w.t.Errorf("%s as %q: the app sees %q, want %q\nof %q", path, w.jar.active, u.sees, want, w.browser.header(path))
	}
	u.finish(set...)
}

func (w *world) reads(path, want string) {
	w.t.Helper()
	if got := w.browser.document(path); got != want {
		w.t.Errorf("scripts of %s as %q read %q, want %q", path, w.jar.active, got, want)
	}
}

func TestSwitchChangesTheCookiesOfTheApp(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "", "sid=alice; HttpOnly; Path=/", "csrf=a; Path=/")
	w.visit("/", "sid=alice; csrf=a")
	w.reads("/", "csrf=a")
	w.signIn("bob")
	w.visit("/", "", "sid=bob; HttpOnly; Path=/")
	w.reads("/", "")
	w.visit("/", "sid=bob", "csrf=b; Path=/")
	w.reads("/", "csrf=b")
	for range 3 {
		w.signIn("alice")
		w.visit("/", "sid=alice; csrf=a")
		w.reads("/", "csrf=a")
		w.signIn("bob")
		w.visit("/", "sid=bob; csrf=b")
		w.reads("/", "csrf=b")
	}
}

func TestWhatScriptsChangeStaysWithTheirAccount(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "", "csrf=a; Path=/", "gone=1; Path=/")
	w.browser.script("/", "csrf=a2; Path=/")
	w.browser.script("/", "gone=; Path=/; Max-Age=0")
	w.browser.script("/", "theme=dark; Path=/")
	w.signIn("bob")
	w.visit("/", "", "csrf=b; Path=/")
	w.reads("/", "csrf=b")
	w.signIn("alice")
	w.visit("/", "csrf=a2; theme=dark")
	w.reads("/", "csrf=a2; theme=dark")
	w.signIn("bob")
	w.visit("/", "csrf=b")
	w.now = w.now.Add(settling)
	w.visit("/", "csrf=b")
	w.browser.script("/", "theme=dark; Path=/")
	w.visit("/", "csrf=b; theme=dark")
	w.signIn("alice")
	w.visit("/", "csrf=a2; theme=dark")
}

// TestQuotedValuesComeBackAsTheyWere is what many frameworks write, such as those that sign their cookies.
func TestQuotedValuesComeBackAsTheyWere(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "", `sid="2|1:0|a=="; HttpOnly; Path=/`, `csrf="a b"; Path=/`)
	set := w.ask("/").answer(`sid="2|1:0|a=="; HttpOnly; Path=/`)
	if c, err := http.ParseSetCookie(set[0]); err != nil || !c.Quoted || !strings.HasSuffix(c.Value, "~2|1:0|a==") {
		t.Errorf("a strict client reads %q as %v: %v", set, c, err)
	}
	w.signIn("bob")
	w.visit("/", "")
	w.reads("/", "")
	w.signIn("alice")
	w.visit("/", `sid="2|1:0|a=="; csrf="a b"`)
	w.reads("/", `csrf="a b"`)
}

// TestScriptsMayReadACookieNoLonger has an app set a cookie with HttpOnly that it has set without.
func TestScriptsMayReadACookieNoLonger(t *testing.T) {
	for name, answers := range map[string][][]string{
		"in one answer": {{"a=1; Path=/", "a=2; Path=/; HttpOnly"}},
		"in two":        {{"a=1; Path=/"}, {"a=2; Path=/; HttpOnly"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.signIn("alice")
			for i, set := range answers {
				w.visit("/", []string{"", "a=1"}[i], set...)
			}
			w.reads("/", "")
			w.visit("/", "a=2")
		})
	}
}

func TestCookiesOfSeveralPaths(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/a/b/page", "", "x=root; Path=/; HttpOnly", "x=a; Path=/a; HttpOnly", "x=dir", "x=own; Domain=app.example.com; Path=/")
	w.visit("/a/b/page", "x=dir; x=a; x=root; x=own")
	w.visit("/a/x", "x=a; x=root; x=own")
	w.signIn("bob")
	w.visit("/other", "")
	w.visit("/a/b/page", "", "x=bob")
	w.reads("/a/b/page", "x=bob")
	w.signIn("alice")
	w.visit("/a/b/page", "x=dir; x=a; x=root; x=own")
	w.reads("/a/b/page", "x=dir; x=own")
	w.visit("/a/b/page", "x=dir; x=a; x=root; x=own", "x=; Max-Age=0", "x=; Path=/a; Expires=Thu, 01 Jan 1970 00:00:00 GMT")
	w.visit("/a/b/page", "x=root; x=own")
}

func TestLateAnswerLandsInTheSlotItWasAskedUnder(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "", "csrf=a; Path=/")
	late := w.ask("/")
	w.signIn("bob")
	w.visit("/", "", "csrf=b; Path=/")
	late.finish("csrf=late; Path=/", "sid=late; Path=/; HttpOnly")
	w.reads("/", "csrf=b")
	w.visit("/", "csrf=b")
	w.signIn("alice")
	w.visit("/", "csrf=late; sid=late")
	w.reads("/", "csrf=late")
}

// TestLateAnswerToNobodyTakesNothingFromAnAccount has somebody sign in while an app clears cookies of nobody's. The
// request named no jar, so that it is not known that another slot is active by then.
func TestLateAnswerToNobodyTakesNothingFromAnAccount(t *testing.T) {
	for name, h := range map[string]http.Header{
		"a cookie":    {"Set-Cookie": {"csrf=; Path=/; Max-Age=0"}},
		"all cookies": {"Clear-Site-Data": {`"cookies"`}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.visit("/", "", "csrf=n; Path=/")
			late := w.ask("/")
			w.signIn("alice")
			w.visit("/", "", "csrf=a; Path=/")
			late.finishAsActive(h)
			w.now = w.now.Add(time.Minute)
			w.visit("/", "csrf=a")
			w.reads("/", "csrf=a")
			w.revoke("alice")
			w.visit("/", "")
			w.reads("/", "")
		})
	}
}

// TestAnswersThatCross has several requests under way at a switch, of which each finds the old account's
// plain cookie.
func TestAnswersThatCross(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "", "csrf=a; Path=/")
	w.signIn("bob")
	first, second, third := w.ask("/"), w.ask("/"), w.ask("/")
	first.finish("csrf=b; Path=/")
	fourth := w.ask("/")
	second.finish()
	third.finish()
	w.reads("/", "csrf=b")
	fourth.finish("csrf=b2; Path=/")
	w.reads("/", "csrf=b2")
	w.visit("/", "csrf=b2")
	w.signIn("alice")
	w.visit("/", "csrf=a")
}

// TestSignOutWithRequestsUnderWay has the app set a cookie for nobody, while another request, which still showed
// the account's, is not answered yet.
func TestSignOutWithRequestsUnderWay(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "", "csrf=a; Path=/")
	w.revoke("alice")
	late := w.ask("/")
	w.visit("/", "")
	w.visit("/", "", "csrf=n; Path=/")
	late.finish()
	w.visit("/", "csrf=n")
	w.reads("/", "csrf=n")
}

// TestExchangesDoNotWaitForEachOther has cookies of one name be set and exchanged within a moment, in several
// places and at several hosts.
func TestExchangesDoNotWaitForEachOther(t *testing.T) {
	t.Run("places", func(t *testing.T) {
		w := newWorld(t)
		w.signIn("alice")
		w.visit("/a/page", "", "t=alice; Path=/a")
		w.signIn("bob")
		w.visit("/", "", "t=bob; Path=/")
		w.visit("/a/page", "t=bob")
		w.reads("/a/page", "t=bob")
	})
	t.Run("hosts", func(t *testing.T) {
		w := newWorld(t)
		w.site.Domain = "example.com"
		w.signIn("alice")
		w.visit("/", "", "t=alice; Path=/; Domain=example.com")
		w.signIn("bob")
		w.browser.host = "other.example.com"
		w.visit("/", "")
		w.reads("/", "")
		w.signIn("alice")
		w.browser.host = "app.example.com"
		w.visit("/", "t=alice")
		w.reads("/", "t=alice")
	})
}

func TestAnonymousCookiesStayApart(t *testing.T) {
	w := newWorld(t)
	w.visit("/", "", "basket=1; Path=/; HttpOnly", "csrf=nobody; Path=/")
	w.reads("/", "csrf=nobody")
	w.browser.script("/", "zone=Berlin; Path=/")
	w.visit("/", "basket=1; csrf=nobody; zone=Berlin")
	w.signIn("alice")
	w.visit("/", "", "csrf=a; Path=/")
	w.reads("/", "csrf=a")
	w.visit("/", "csrf=a")
	w.revoke("alice")
	w.visit("/", "basket=1; csrf=nobody; zone=Berlin")
	w.reads("/", "csrf=nobody; zone=Berlin")
	if strings.Contains(w.browser.header("/"), tagOf("alice")) {
		t.Errorf("of a session that has ended is left %q", w.browser.header("/"))
	}
}

func TestCookiesOfEndedSessionsAreClearedWhereTheyAre(t *testing.T) {
	w := newWorld(t)
	w.site.Domain = "example.com"
	w.signIn("alice")
	w.visit("/a/page", "", "h=1; Path=/a; HttpOnly", "r=1", "d=1; Domain=example.com; Path=/", "p=1; Path=/a%20b/ö; HttpOnly")
	w.signIn("bob")
	w.revoke("alice")
	w.visit("/a/page", "")
	if got := w.browser.header("/a/page"); strings.Contains(got, "=1") {
		t.Errorf("left: %q", got)
	}
}

// TestOlderCookiesAreNobodys is a browser that has been at the app before there was isolation.
func TestOlderCookiesAreNobodys(t *testing.T) {
	w := newWorld(t)
	w.browser.set("/a/x", "sid=somebody; Path=/; HttpOnly")
	w.browser.set("/a/x", "sid=deep; HttpOnly")
	w.browser.set("/a/x", "wide=somebody; Domain=example.com; Path=/")
	w.signIn("alice")
	w.visit("/a/x", "")
	w.visit("/a/x", "")
	w.reads("/a/x", "wide=somebody")
	w.signIn("bob")
	w.visit("/a/x", "")
	w.signIn("alice")
	w.visit("/a/x", "", "sid=alice; Path=/; HttpOnly")
	w.visit("/a/x", "sid=alice")
}

func TestExceptedCookiesAreShared(t *testing.T) {
	w := newWorld(t, "theme")
	w.browser.script("/", "theme=dark; Path=/")
	w.signIn("alice")
	w.visit("/", "theme=dark", "sid=a; Path=/", "theme=light; Path=/")
	w.signIn("bob")
	w.visit("/", "theme=light")
}

func TestAttackScriptPlantsCookieInSlot(t *testing.T) {
	for name, planted := range map[string]string{
		"of a tag that it made up":       slotName(tagOf("mallory"), "sid") + "=~evil; Path=/",
		"without a tag":                  "ms~~sid=~evil; Path=/",
		"of a tag that is none":          "ms~a b~sid=~evil; Path=/",
		"with a value that is no slot's": slotName(tagOf("alice"), "sid") + "=evil; Path=/",
		"with flags twice":               slotName(tagOf("alice"), "sid") + "=rr~evil; Path=/",
		"with a prefix behind":           "ms~" + tagOf("alice") + "~__Host-sid=~evil; Path=/",
		"in capitals":                    "MS~" + tagOf("alice") + "~sid=~evil; Path=/",
		"of nobody's":                    "ms~x~sid=rgk~evil; Path=/",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.signIn("alice")
			w.visit("/", "")
			w.browser.script("/", planted)
			u := w.ask("/")
			if name != "with a prefix behind" && u.sees != "" {
				t.Errorf("the app sees %q", u.sees)
			}
			for _, line := range u.answer() {
				if strings.ContainsAny(line, "\r\n") || strings.Contains(line, "evil") {
					t.Errorf("the browser is told %q", line)
				}
			}
		})
	}
}

// TestAttackTwoOwners is a sibling host that has planted an owner's cookie beside the true one.
func TestAttackTwoOwners(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "")
	w.signIn("bob")
	w.browser.script("/", "left=alice; Path=/")
	u := w.askWith("/", "multi_session_owner="+tagOf("bob")+"; "+w.browser.header("/"))
	if u.sees != "" {
		t.Errorf("the app sees %q", u.sees)
	}
}

func TestAttackUpstreamPlantsCookieOfAnotherSlot(t *testing.T) {
	for _, line := range []string{
		slotName(tagOf("bob"), "sid") + "=~evil; Path=/",
		slotName(Anonymous, "sid") + "=~evil",
		"__Host-" + slotName(tagOf("bob"), "sid") + "=~evil; Secure; Path=/",
		"__host-http-ms~" + tagOf("bob") + "~sid=~evil",
		"MS~x=1", " ms~x=1", "ms~", "=ms~x~sid=1", "ms~x\t=1",
		"multi_session_owner=" + tagOf("bob"),
		NameHost + "_owner=" + tagOf("bob") + "; Secure; Path=/",
	} {
		w := newWorld(t)
		w.signIn("bob")
		w.signIn("alice")
		w.visit("/", "")
		if got := w.ask("/").answer(line); got != nil {
			t.Errorf("%q: the browser is told %q", line, got)
		}
	}
}

func TestUpstreamClearsTheActiveSlotAlone(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "", "sid=a; HttpOnly; Path=/", "csrf=a; Path=/")
	w.signIn("bob")
	w.visit("/", "", "sid=b; HttpOnly; Path=/", "csrf=b; Path=/")
	w.browser.script("/", "zone=b; Path=/")
	w.visit("/", "sid=b; csrf=b; zone=b")
	u := w.ask("/")
	h := http.Header{"Clear-Site-Data": {`"cookies", "cache"`}, "Set-Cookie": {"fresh=1; Path=/; HttpOnly"}}
	u.finishAsActive(h)
	if got := h.Get("Clear-Site-Data"); got != `"cache"` {
		t.Errorf("Clear-Site-Data: %s", got)
	}
	w.reads("/", "")
	w.visit("/", "fresh=1")
	w.signIn("alice")
	w.visit("/", "sid=a; csrf=a")
}

// TestUpstreamClearsLate has the answer that clears a slot come when another is active: what is left of it in the
// browser is still known as the first one's.
func TestUpstreamClearsLate(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/a/page", "", "csrf=a; Path=/")
	late, other := w.ask("/a/page"), w.ask("/a/page")
	w.signIn("bob")
	other.finish("csrf=late; Path=/a")
	h := http.Header{"Clear-Site-Data": {`"cookies"`}}
	late.Answer(h, false, func() bool { return false })
	late.get(h["Set-Cookie"])
	w.now = w.now.Add(time.Minute)
	w.visit("/a/page", "")
	w.reads("/a/page", "")
	w.signIn("alice")
	w.now = w.now.Add(time.Minute)
	w.visit("/a/page", "csrf=late")
}

// TestUpstreamClearsAtTheFirstRequestAfterASwitch has the answer that exchanges a cookie take it away.
func TestUpstreamClearsAtTheFirstRequestAfterASwitch(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "", "csrf=a; Path=/")
	w.signIn("bob")
	w.visit("/", "", "csrf=b; Path=/")
	w.signIn("alice")
	w.now = w.now.Add(time.Minute)
	w.ask("/").finishAsActive(http.Header{"Clear-Site-Data": {`"cookies"`}})
	w.reads("/", "")
	w.visit("/", "")
	w.signIn("bob")
	w.visit("/", "csrf=b")
}

// TestUnknownJarChangesNothing is a request with a jar's cookie that is dead, as one that was under way
// when a sign-in gave the jar a new one: its slots may be live.
func TestUnknownJarChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "", "sid=a; HttpOnly; Path=/", "csrf=a; Path=/")
	was := w.jar
	w.jar = jarOf{}
	u := w.ask("/")
	if got := u.answer(); u.sees != "" || got != nil {
		t.Errorf("the app sees %q, the browser is told %q", u.sees, got)
	}
	// A request from another site comes without the gateway's cookies.
	u = w.askWith("/", strings.Join(slices.DeleteFunc(strings.Split(w.browser.header("/"), "; "), func(c string) bool { return strings.HasPrefix(c, "multi_session") }), "; "))
	for _, line := range u.answer() {
		if line != ownerField(w.site, nobody) {
			t.Errorf("a request of another site has the browser told %q", line)
		}
	}
	w.jar = was
	w.visit("/", "sid=a; csrf=a")
}

func TestSetCookieInASlot(t *testing.T) {
	slot := "ms~" + tagOf("alice") + "~"
	for _, c := range []struct {
		name, line string
		want       []string
	}{
		{"attributes as they are", "a=1; Path=/x; Domain=.Example.com; SameSite=None; Secure; Partitioned; HttpOnly; Priority=High", []string{slot + "a=spn!/x!example.com~1; Path=/x; Domain=.Example.com; SameSite=None; Secure; Partitioned; HttpOnly; Priority=High"}},
		{"readable by scripts", "a=1; Path=/", []string{"a=1; Path=/", slot + "a=ru~1; Path=/; HttpOnly"}},
		{"path of the request", "a=1; HttpOnly", []string{slot + "a=!/dir~1; HttpOnly"}},
		{"path that is none", "a=1; Path=x; HttpOnly", []string{slot + "a=!/dir~1; Path=x; HttpOnly"}},
		{"last path holds", "a=1; Path=/x; Path=/; HttpOnly", []string{slot + "a=~1; Path=/x; Path=/; HttpOnly"}},
		{"prefix stays in front", "__Host-a=1; Secure; Path=/; HttpOnly", []string{"__Host-" + slot + "a=s~1; Secure; Path=/; HttpOnly"}},
		{"longer prefix", "__Host-Http-a=1; Secure; Path=/; HttpOnly", []string{"__Host-Http-" + slot + "a=s~1; Secure; Path=/; HttpOnly"}},
		{"prefix in other letters", "__hOST-a=1; Secure; Path=/; HttpOnly", []string{"__hOST-" + slot + "a=s~1; Secure; Path=/; HttpOnly"}},
		{"taken away", "a=; Max-Age=0; Path=/", []string{"a=; Max-Age=0; Path=/", slot + "a=ru~; Max-Age=0; Path=/; HttpOnly"}},
		{"without a name", "=v; Path=/", []string{slot + "=~v; Path=/; HttpOnly"}},
		{"quoted", `a="x y"; Path=/; HttpOnly`, []string{slot + `a="~x y"; Path=/; HttpOnly`}},
		{"quoted and empty", `a=""; Path=/; HttpOnly`, []string{slot + `a="~"; Path=/; HttpOnly`}},
		{"a quote at one end", `a="x; Path=/; HttpOnly`, []string{slot + `a=~"x; Path=/; HttpOnly`}},
		{"expiry", "a=1; Max-Age=60; Path=/; SameSite=Strict", []string{"a=1; Max-Age=60; Path=/; SameSite=Strict", slot + "a=rut!!!tb7ypo~1; Max-Age=60; Path=/; SameSite=Strict; HttpOnly"}},
		{"too large once renamed", "a=" + strings.Repeat("x", 4090) + "; HttpOnly", nil},
		{"control character", "a=1\x01; HttpOnly", nil},
	} {
		w := newWorld(t)
		w.signIn("alice")
		w.visit("/dir/page", "")
		h := http.Header{"Set-Cookie": {c.line}}
		left := func() []string {
			u := w.ask("/dir/page")
			return u.Answer(h, false, func() bool { return true })
		}()
		if !slices.Equal(h["Set-Cookie"], c.want) {
			t.Errorf("%s:\n%q, want\n%q", c.name, h["Set-Cookie"], c.want)
		}
		if got := len(left) == 1 && left[0] == "a"; got != strings.HasPrefix(c.name, "too large") {
			t.Errorf("%s: left out %q", c.name, left)
		}
	}
}

// TestSortDoesNotAllocateWithoutCookiesOfUpstreams is the request of a browser that is signed in at a site
// which sets none.
func TestSortDoesNotAllocateWithoutCookiesOfUpstreams(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "")
	lines := []string{w.browser.header("/")}
	if !strings.Contains(lines[0], "multi_session_owner") {
		t.Fatal(lines)
	}
	h, answered := make(http.Header), make(http.Header)
	var c Crossing
	a := Arriving{Jar: w.site, Host: "app.example.com", Path: "/", Visit: &w.jar, Order: w.order, Now: time.Now}
	current := func() bool { return true }
	if n := testing.AllocsPerRun(100, func() {
		h["Cookie"] = lines
		w.isolation.Sort(&c, h, a)
		c.Answer(answered, false, current)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if len(h) != 0 || len(answered) != 0 {
		t.Errorf("%v %v", h, answered)
	}
}

func TestCrowdIsNoticedInTime(t *testing.T) {
	for _, c := range []struct {
		cookies, bytes int
		want           bool
	}{{119, 6143, false}, {120, 10, true}, {1, 6144, true}} {
		if got := (Crowd{c.cookies, c.bytes}).Near(); got != c.want {
			t.Errorf("%d cookies of %d bytes: %v", c.cookies, c.bytes, got)
		}
	}
	w := newWorld(t)
	w.signIn("alice")
	u := w.askWith("/", strings.Repeat("a=1; ", 130)+w.browser.header("/"))
	if !u.Crowd().Near() {
		t.Errorf("%+v", u.Crowd())
	}
}

// TestIsolationAgainstModel has a browser with the gateway do what several profiles without one would: one
// for each session and one for nobody. On every request the app sees what it would of that profile, and
// on every page that was answered under the active session scripts read what they would there.
func TestIsolationAgainstModel(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, seed) })
		if t.Failed() {
			return
		}
	}
}

func runModel(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(t)
	paths := []string{"/", "/a/page", "/a/b/page"}
	places := []string{"/", "/a", "/a/b"}
	model := map[string]*profile{}
	of := func(slot string) *profile {
		if model[slot] == nil {
			model[slot] = &profile{host: w.browser.host, now: w.now}
		}
		return model[slot]
	}
	page, pageSlot := "", "" // the page that the browser shows
	generation := 0
	users := []string{"", "", ""}
	fresh := func(i int) string {
		generation++
		users[i] = fmt.Sprintf("u%dg%d", i, generation)
		return users[i]
	}
	var pending []*underway
	var trace []string
	note := func(format string, args ...any) { trace = append(trace, fmt.Sprintf(format, args...)) }
	value := 0
	setLines := func() (lines []string) {
		for range r.IntN(3) {
			value++
			line := fmt.Sprintf("h%d=v%d; HttpOnly", r.IntN(2), value)
			if r.IntN(2) == 0 {
				line = fmt.Sprintf("r%d=v%d", r.IntN(2), value)
			}
			line += "; Path=" + places[r.IntN(len(places))]
			if r.IntN(5) == 0 {
				line += "; Max-Age=0"
			}
			lines = append(lines, line)
		}
		return lines
	}
	askFor := func(path string) *underway {
		u := w.ask(path)
		want := of(w.jar.active).header(path)
		note("%q asks for %s with %q, the app sees %q", w.jar.active, path, w.browser.header(path), u.sees)
		got, wanted := byPlace(u.sees), byPlace(want)
		if got != wanted {
			t.Fatalf("seed %d: the app sees\n%q, want\n%q\n%s", seed, u.sees, want, strings.Join(trace, "\n"))
		}
		return u
	}
	ask := func() *underway { return askFor(paths[r.IntN(len(paths))]) }
	switchTo := func() {
		i := r.IntN(len(users))
		if users[i] == "" || !w.jar.HasSlot(tagOf(users[i])) {
			fresh(i)
		}
		w.signIn(users[i])
		note("switch to %s", users[i])
	}
	finish := func(u *underway) {
		lines := setLines()
		note("the answer for %q to %s sets %q", u.slot, u.path, lines)
		for _, line := range lines {
			of(u.slot).set(u.path, line)
		}
		u.finish(lines...)
	}
	for range 120 {
		w.now = w.now.Add(3 * time.Second)
		switch r.IntN(10) {
		case 0, 1:
			switchTo()
		case 2:
			if i := r.IntN(len(users)); users[i] != "" && r.IntN(3) == 0 {
				note("%s is signed out", users[i])
				w.revoke(users[i])
				users[i] = ""
			}
		case 3:
			pending = append(pending, ask())
		case 4:
			if len(pending) > 0 {
				i := r.IntN(len(pending))
				u := pending[i]
				pending = slices.Delete(pending, i, i+1)
				if u.slot != w.jar.active { // else it is no late one
					finish(u)
				}
			}
		case 5:
			if page == "" || pageSlot != w.jar.active {
				break
			}
			// A script changes a cookie that it sees. Where an answer has come late and the gateway has not
			// sorted it out yet, the change may be lost.
			list := slices.DeleteFunc(of(pageSlot).shown(page), func(c stored) bool {
				return c.httpOnly || slices.ContainsFunc(w.browser.cookies, func(k stored) bool {
					_, name, ok := parseSlotName(k.name)
					at, _ := decode(k.value)
					return ok && name == c.name && at.has(late)
				})
			})
			if len(list) > 0 {
				c := list[r.IntN(len(list))]
				value++
				line := fmt.Sprintf("%s=s%d; Path=%s", c.name, value, c.path)
				if r.IntN(4) == 0 {
					line = fmt.Sprintf("%s=; Path=%s; Max-Age=0", c.name, c.path)
				}
				note("a script of %s sets %q", page, line)
				of(pageSlot).script(page, line)
				w.browser.script(page, line)
				// The gateway hears of it by the next request from there, whoever is active by then. What an
				// upstream replaces before that is lost.
				if r.IntN(2) == 0 {
					switchTo()
				}
				finish(askFor(page))
			}
			page = ""
		default:
			u := ask()
			finish(u)
			page, pageSlot = u.path, u.slot
			if got, want := w.browser.document(page), of(pageSlot).document(page); byPlace(got) != byPlace(want) {
				t.Fatalf("seed %d: scripts read\n%q, want\n%q\n%s", seed, got, want, strings.Join(trace, "\n"))
			}
		}
	}
}

// byPlace is a Cookie field with the cookies of different names in one order. Those of one name stay in
// theirs: of several places the deepest comes first.
func byPlace(header string) string {
	parts := strings.Split(header, "; ")
	slices.SortStableFunc(parts, func(a, b string) int {
		x, _, _ := strings.Cut(a, "=")
		y, _, _ := strings.Cut(b, "=")
		return strings.Compare(x, y)
	})
	return strings.Join(parts, "; ")
}

func FuzzKept(f *testing.F) {
	for _, seed := range []string{"~", "~v", "rugkdwsplnt~v", "r!/a%20b!example.com!1z~a~b", "!!!~", "r!%2F~", "!/;~", "!a~", "s!/x!EX~", `"r~v"`, `"~"`, `~"v"`, `"~`, "!/%0A~"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k, ok := decode(text)
		if !ok {
			return
		}
		if k.encode() != text {
			t.Fatalf("%q is read as %+v, which is written %q", text, k, k.encode())
		}
		for _, line := range []string{k.clear("name"), kept{flags: k.flags, path: k.path, domain: k.domain, expires: k.expires}.plain("name")} {
			if strings.ContainsFunc(line, control) {
				t.Fatalf("%q comes to the field %q", text, line)
			}
			s := parseSetCookie(line, "/dir/page", time.Unix(0, 0))
			if strings.Count(line, ";") > 7 || !strings.Contains(k.path, ";") && len(k.path) <= maxAttributeBytes && strings.Trim(k.path, " \t") == k.path && (s.path != k.path || s.domain != strings.TrimPrefix(k.domain, ".")) {
				t.Fatalf("%q comes to the field %q, which is read as %+v", text, line, s)
			}
		}
	})
}

func FuzzSort(f *testing.F) {
	tag := tagOf("alice")
	f.Add("a=1; ms~"+tag+"~b=~2; ms~"+tag+"~a=ru~3", "a=2; Path=/x")
	f.Add("multi_session=t; multi_session_owner="+tag+"; ms~0~a=ru~1; ms~"+tagOf("bob")+"~a=ru!/x~1; a=1; a=2", "=x; Domain=example.com")
	f.Add("ms~"+tagOf("dead")+"~a=rug!/%3B~1; ms~x~a=rgk~z; a;;=;b", "ms~x=1; Max-Age=-1")
	f.Fuzz(func(t *testing.T, cookies, set string) {
		w := newWorld(t)
		w.jar = jarOf{id: "jar", active: tag, live: []string{tag, tagOf("bob")}}
		h := http.Header{"Cookie": {cookies}}
		var c Crossing
		w.isolation.Sort(&c, h, Arriving{Jar: w.site, Host: "app.example.com", Path: "/x/y", Visit: &w.jar, Now: time.Now})
		for part := range pairs(h.Get("Cookie")) {
			if name, _ := split(part); reserved(name) {
				t.Fatalf("of %q the app sees %q", cookies, h.Get("Cookie"))
			}
		}
		answer := http.Header{"Set-Cookie": {set}}
		c.Answer(answer, false, func() bool { return true })
		for _, line := range answer["Set-Cookie"] {
			name, _, _ := strings.Cut(line, "=")
			if other, _, ok := parseSlotName(strings.TrimSpace(name)); ok && other == tagOf("dead") && !strings.Contains(line, "Max-Age=0") {
				t.Fatalf("%q and %q give the browser %q", cookies, set, line)
			}
			if name == w.site.Name {
				t.Fatalf("the jar's cookie: %q", line)
			}
		}
	})
}
