package isolation

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/internal/cookie"
)

// tagLength is how long the tag of an account's slot is.
const tagLength = 22

// jarOf is a jar in which sessions come and go. It implements Accounts as it was when a request came, for the
// world that it is in.
type jarOf struct {
	id, active string
	live       []string
	world      *world
	account    string // the tag of the active one's account
}

func (j *jarOf) JarID() string           { return j.id }
func (j *jarOf) Slot() string            { return j.active }
func (j *jarOf) AccountTag() string      { return j.account }
func (j *jarOf) HasSlot(tag string) bool { return slices.Contains(j.live, tag) }
func (j *jarOf) SeveralAccounts() bool   { return len(j.live) > 1 }
func (j *jarOf) SlotIsLive(tag string) bool {
	return slices.Contains(j.world.jar.live, tag) || slices.Contains(j.world.elsewhere, tag)
}
func (j *jarOf) SlotOf(account string) string {
	i := slices.IndexFunc(j.live, func(tag string) bool { return accountOf(tag) == account })
	if i < 0 {
		return ""
	}
	return j.live[i]
}
func (j *jarOf) StillActive() bool { return j.world.jar.active == j.active }

// tagOf is the tag of a user's slot in tests. A session that a user has after another has a number behind
// the name.
func tagOf(user string) string { return user + strings.Repeat("-", tagLength-len(user)) }

// accountOf is the account tag of the user whose slot it is.
func accountOf(tag string) string {
	return "of-" + strings.TrimRight(strings.TrimRight(tag, "-"), "0123456789")
}

// world is one browser, in front of it a gateway, behind that an app.
type world struct {
	t       testing.TB
	browser profile
	jar     jarOf
	options *Options
	site    cookie.Spec
	now     time.Time
	leftOut bool        // requests are for a path that the gate leaves out
	headers http.Header // further headers of requests

	elsewhere []string // tags of the live slots of other jars
}

func newWorld(t testing.TB, except ...string) *world {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w := &world{t: t, now: start, options: &Options{Except: except}, site: cookie.Spec{Name: cookie.NamePlain}}
	w.browser = profile{host: "app.example.com", now: start}
	w.headers = http.Header{"Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}}
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
	w.jar.live = slices.DeleteFunc(slices.Clone(w.jar.live), func(tag string) bool { return tag == tagOf(user) })
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
	Exchange
	sees string // the app's Cookie field
	slot string
}

func (w *world) ask(path string) *underway { return w.askWith(path, w.browser.header(path)) }

func (w *world) askWith(path, cookies string) *underway {
	h := w.headers.Clone()
	if cookies != "" {
		h.Set("Cookie", cookies)
	}
	visit := w.jar
	visit.world, visit.account = w, accountOf(w.jar.active)
	u := &underway{w: w, path: path, slot: w.jar.active}
	parsed := w.site.Parse(h)
	w.options.Read(&u.Exchange, h, Request{
		Spec: w.site, Cookies: &parsed, Host: w.browser.host, Path: path, Accounts: &visit, LeftOut: w.leftOut, Now: w.now,
	})
	u.SetRequest(h)
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
	u.Answer(h, false)
	return h["Set-Cookie"]
}

// finish has the browser get the answer.
func (u *underway) finish(set ...string) { u.get(u.answer(set...)) }

// finishWith is finish with the header of an answer.
func (u *underway) finishWith(h http.Header) {
	u.Answer(h, false)
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
	w.reads("/", "theme=dark; csrf=b")
	w.signIn("alice")
	w.visit("/", "csrf=a2")
	w.reads("/", "theme=dark; csrf=a2")
	w.browser.script("/", "csrf=a3; Path=/")
	w.visit("/", "csrf=a2")
	w.signIn("bob")
	w.visit("/", "csrf=b")
	w.reads("/", "theme=dark; csrf=a3")
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
			late.finishWith(h)
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
	w.visit("/", "csrf=b") // the copy was stale for a moment
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
	w.visit("/", "csrf=n") // the copy was stale for a moment
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
	w.reads("/", "zone=Berlin; csrf=a")
	w.visit("/", "csrf=a")
	w.revoke("alice")
	w.visit("/", "basket=1; csrf=nobody")
	w.reads("/", "zone=Berlin; csrf=nobody")
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
		"of a tag that it made up":       cookie.SlotName(tagOf("mallory"), "sid") + "=~evil; Path=/",
		"without a tag":                  "ms~~sid=~evil; Path=/",
		"of a tag that is none":          "ms~a b~sid=~evil; Path=/",
		"with a value that is no slot's": cookie.SlotName(tagOf("alice"), "sid") + "=evil; Path=/",
		"with flags twice":               cookie.SlotName(tagOf("alice"), "sid") + "=rr~evil; Path=/",
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
		cookie.SlotName(tagOf("bob"), "sid") + "=~evil; Path=/",
		cookie.SlotName(cookie.Anonymous, "sid") + "=~evil",
		"__Host-" + cookie.SlotName(tagOf("bob"), "sid") + "=~evil; Secure; Path=/",
		"__host-http-ms~" + tagOf("bob") + "~sid=~evil",
		"MS~x=1", " ms~x=1", "ms~", "=ms~x~sid=1", "ms~x\t=1",
		"multi_session_owner=" + tagOf("bob"),
		cookie.NameHost + "_owner=" + tagOf("bob") + "; Secure; Path=/",
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
	w.visit("/", "sid=b; csrf=b")
	u := w.ask("/")
	h := http.Header{"Clear-Site-Data": {`"cookies", "cache"`}, "Set-Cookie": {"fresh=1; Path=/; HttpOnly"}}
	u.finishWith(h)
	if got := h.Get("Clear-Site-Data"); got != `"cache"` {
		t.Errorf("Clear-Site-Data: %s", got)
	}
	w.reads("/", "zone=b")
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
	late.finishWith(h)
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
	w.ask("/").finishWith(http.Header{"Clear-Site-Data": {`"cookies"`}})
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
	w.jar, w.elsewhere = jarOf{}, was.live
	u := w.ask("/")
	for _, line := range u.answer() {
		// A copy may go: it comes back with the first answer to its account.
		if !strings.HasPrefix(line, "multi_session_") && line != "csrf=; Max-Age=0; Path=/" {
			t.Errorf("the browser is told %q", line)
		}
	}
	if u.sees != "" {
		t.Errorf("the app sees %q", u.sees)
	}
	// A request from another site comes without the gateway's cookies.
	w.headers.Set("Sec-Fetch-Site", "cross-site")
	w.headers.Set("Sec-Fetch-Mode", "no-cors")
	u = w.askWith("/", strings.Join(slices.DeleteFunc(strings.Split(w.browser.header("/"), "; "), func(c string) bool { return strings.HasPrefix(c, "multi_session") }), "; "))
	for _, line := range u.answer() {
		t.Errorf("a request of another site has the browser told %q", line)
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
		{"taken away", "a=; Max-Age=0; Path=/", []string{"a=; Max-Age=0; Path=/", slot + "a=; Max-Age=0; Path=/"}},
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
		u := w.ask("/dir/page")
		u.Answer(h, false)
		left := u.Refused()
		if !slices.Equal(h["Set-Cookie"], c.want) {
			t.Errorf("%s:\n%q, want\n%q", c.name, h["Set-Cookie"], c.want)
		}
		if got := len(left) == 1 && left[0] == (Refusal{"a", TooLarge}); got != strings.HasPrefix(c.name, "too large") {
			t.Errorf("%s: left out %v", c.name, left)
		}
	}
}

// TestNoAllocationsWithoutCookiesOfApps is the request of a browser that is signed in at a site
// which sets none.
func TestNoAllocationsWithoutCookiesOfApps(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "")
	lines := []string{w.browser.header("/")}
	if !strings.Contains(lines[0], "multi_session_used_"+accountOf(tagOf("alice"))) {
		t.Fatal(lines)
	}
	h, answered := w.headers.Clone(), make(http.Header)
	var x Exchange
	visit := w.jar
	visit.world, visit.account = w, accountOf(w.jar.active)
	var parsed cookie.Cookies
	r := Request{Spec: w.site, Cookies: &parsed, Host: "app.example.com", Path: "/", Accounts: &visit, Now: w.now}
	if n := testing.AllocsPerRun(100, func() {
		h["Cookie"] = lines
		parsed = w.site.Parse(h)
		w.options.Read(&x, h, r)
		x.SetRequest(h)
		x.Answer(answered, false)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if h["Cookie"] != nil || len(answered) != 0 {
		t.Errorf("%v %v", h, answered)
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"~", "~v", "rugkdwsplnt~v", "r!/a%20b!example.com!1z~a~b", "!!!~", "r!%2F~", "!/;~", "!a~", "s!/x!EX~", `"r~v"`, `"~"`, `~"v"`, `"~`, "!/%0A~"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var k stored
		ok := k.decode(text)
		if !ok {
			return
		}
		if k.encode() != text {
			t.Fatalf("%q is read as %+v, which is written %q", text, k, k.encode())
		}
		for _, line := range []string{k.clear("name"), stored{flags: k.flags, path: k.path, domain: k.domain, expires: k.expires}.plainField("name")} {
			if strings.ContainsFunc(line, cookie.Control) {
				t.Fatalf("%q comes to the field %q", text, line)
			}
			s := parseSetCookie(line, "/dir/page", time.Unix(0, 0))
			if strings.Count(line, ";") > 7 || !strings.Contains(k.path, ";") && len(k.path) <= maxAttributeBytes && strings.Trim(k.path, " \t") == k.path && (s.path != k.path || s.domain != strings.TrimPrefix(k.domain, ".")) {
				t.Fatalf("%q comes to the field %q, which is read as %+v", text, line, s)
			}
		}
	})
}

func FuzzRead(f *testing.F) {
	tag := tagOf("alice")
	f.Add("a=1; ms~"+tag+"~b=~2; ms~"+tag+"~a=ru~3", "a=2; Path=/x")
	f.Add("multi_session=t; multi_session_used_x=1~; ms~0~a=ru~1; ms~"+tagOf("bob")+"~a=ru!/x~1; a=1; a=2", "=x; Domain=example.com")
	f.Add("ms~"+tagOf("dead")+"~a=rug!/%3B~1; ms~x~a=rgk~z; a;;=;b", "ms~x=1; Max-Age=-1")
	f.Fuzz(func(t *testing.T, cookies, set string) {
		w := newWorld(t)
		w.jar = jarOf{id: "jar", active: tag, live: []string{tag, tagOf("bob")}}
		u := w.askWith("/x/y", cookies)
		for part := range strings.SplitSeq(u.sees, ";") {
			if name, _ := cookie.Split(part); cookie.Reserved(name) {
				t.Fatalf("of %q the app sees %q", cookies, u.sees)
			}
		}
		answer := http.Header{"Set-Cookie": {set}}
		u.Answer(answer, false)
		for _, line := range answer["Set-Cookie"] {
			name, _, _ := strings.Cut(line, "=")
			if other, _, ok := cookie.ParseSlotName(strings.TrimSpace(name)); ok && other == tagOf("dead") && !strings.Contains(line, "Max-Age=0") {
				t.Fatalf("%q and %q give the browser %q", cookies, set, line)
			}
			if name == w.site.Name {
				t.Fatalf("the jar's cookie: %q", line)
			}
		}
	})
}

// BenchmarkExchange is a request and its answer once everything has settled.
func BenchmarkExchange(b *testing.B) {
	for _, n := range []int{0, 1, 5, 20} {
		for _, kind := range []struct{ name, attributes string }{
			{"httponly", "; Path=/; HttpOnly; Max-Age=3600"}, {"readable", "; Path=/; Max-Age=3600"},
		} {
			b.Run(fmt.Sprintf("%s-%d", kind.name, n), func(b *testing.B) {
				w := newWorld(b)
				w.signIn("alice")
				var set []string
				for i := range n {
					set = append(set, fmt.Sprintf("cookie%d=%s%s", i, strings.Repeat("v", 32), kind.attributes))
				}
				w.ask("/").finish(set...)
				lines := []string{w.browser.header("/")}
				h, answered := w.headers.Clone(), make(http.Header)
				visit := w.jar
				visit.world, visit.account = w, accountOf(w.jar.active)
				b.ReportAllocs()
				for b.Loop() {
					var x Exchange
					h["Cookie"] = lines
					parsed := w.site.Parse(h)
					w.options.Read(&x, h, Request{Spec: w.site, Cookies: &parsed, Host: "app.example.com", Path: "/", Accounts: &visit, Now: w.now})
					x.SetRequest(h)
					x.Answer(answered, false)
				}
				if len(answered) != 0 {
					b.Fatal(answered)
				}
			})
		}
	}
}
