package isolation

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/cookie"
)

// The stories of this file were found by TestDifferential, most of them as answers that cross.

// crossSite has requests be those of another site's page, and returns the cookies that a browser
// shows with them.
func (w *world) crossSite() string {
	w.leftOut = true
	w.headers = http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}}
	shown := slices.DeleteFunc(strings.Split(w.browser.header("/"), "; "), func(pair string) bool {
		return strings.HasPrefix(pair, w.site.Name)
	})
	return strings.Join(shown, "; ")
}

func TestOwnAnswerOfTheGatewayLeavesTheCopiesOfOneWhoWasAlone(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "", "csrf=a; Path=/")
	w.signIn("bob")
	h := http.Header{}
	u := w.ask("/")
	u.AnswerSelf(h)
	u.get(h["Set-Cookie"])
	w.signIn("alice")
	w.visit("/", "csrf=a")
	w.reads("/", "csrf=a")
}

func TestParallelFirstRequestsKeepWhatOneOfThemSets(t *testing.T) {
	w := newWorld(t)
	w.leftOut = true
	w.visit("/", "", "csrf=nobody; Path=/")
	w.leftOut = false
	w.signIn("alice")
	first, second := w.ask("/"), w.ask("/")
	second.finish("csrf=a; Path=/")
	first.finish()
	w.visit("/", "csrf=a")
	w.reads("/", "csrf=a")
}

// TestLateAnswerIsNoChangeByAScript has a late answer leave the copy of an earlier value beside the
// slot's cookie.
func TestLateAnswerIsNoChangeByAScript(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "", "csrf=1; Path=/")
	late := w.ask("/")
	w.signIn("bob")
	lines := late.answer("csrf=2; Path=/")
	w.signIn("alice")
	late.get(lines)
	w.visit("/", "csrf=2")
	w.reads("/", "csrf=2")
	w.visit("/", "csrf=2")
}

func TestAnswerToAnotherSiteDeletesTheCopyToo(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "", "embed=1; Path=/; Secure; SameSite=None")
	u := w.askWith("/", w.crossSite())
	if u.sees != "embed=1" {
		t.Fatalf("the app sees %q", u.sees)
	}
	lines := u.answer("embed=; Path=/; Max-Age=0; Secure; SameSite=None")
	for _, line := range lines {
		if !strings.HasSuffix(line, "; SameSite=None") {
			t.Errorf("browsers ignore %q in an answer to another site's request", line)
		}
	}
	u.get(lines)
	w.reads("/", "")
}

func TestRestoredCopyGoesWithAllCookies(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "", "csrf=a; Path=/")
	w.signIn("bob")
	w.visit("/", "")
	w.signIn("alice")
	w.ask("/").finishWith(http.Header{"Clear-Site-Data": {`"cookies"`}})
	w.reads("/", "")
	w.visit("/", "")
}

// TestWiderDomainIsSharedWithOtherJars has a cookie for a domain on which hosts with other jars
// write too.
func TestWiderDomainIsSharedWithOtherJars(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "", "wide=1; Domain=example.com; Path=/")
	t.Run("what their scripts write is not taken", func(t *testing.T) {
		w.browser.script("/", "wide=2; Domain=example.com; Path=/")
		w.visit("/", "wide=1")
		w.reads("/", "wide=2")
	})
	t.Run("a copy that is gone comes back", func(t *testing.T) {
		w.browser.script("/", "wide=; Domain=example.com; Path=/; Max-Age=0")
		w.visit("/", "wide=1")
		w.reads("/", "wide=1")
	})
}

func TestScriptedCookiesOfAnswersThatCross(t *testing.T) {
	start := func(t *testing.T) *world {
		w := newWorld(t)
		w.options.Scripted = []string{"token"}
		w.signIn("bob")
		return w
	}
	t.Run("a late answer claims nothing", func(t *testing.T) {
		w := start(t)
		late := w.ask("/")
		w.visit("/", "")
		w.signIn("alice")
		w.visit("/", "")
		w.browser.script("/", "token=A; Path=/")
		late.finish()
		w.signIn("bob")
		w.visit("/", "")
		w.signIn("alice")
		w.visit("/", "token=A")
	})
	t.Run("what a request did not show yet is cleared", func(t *testing.T) {
		w := start(t)
		w.visit("/", "")
		w.visit("/", "")
		shown := w.browser.header("/")
		w.browser.script("/", "token=B; Path=/")
		w.signIn("alice")
		w.askWith("/", shown).finish()
		w.visit("/", "")
	})
	t.Run("nobody holds them", func(t *testing.T) {
		w := newWorld(t)
		w.options.Scripted = []string{"token"}
		w.visit("/", "")
		w.visit("/", "")
		if shown := w.browser.header("/"); strings.Contains(shown, "_scripted=") {
			t.Errorf("the browser shows %q", shown)
		}
	})
}

func TestChangeThatDoesNotFitStaysInTheBrowser(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "", "big=1; Path=/")
	w.browser.script("/", "big="+strings.Repeat("x", 4080)+"; Path=/")
	w.signIn("bob")
	w.visit("/", "")
	if got := w.browser.document("/"); len(got) < 4080 {
		t.Errorf("scripts read %q", got)
	}
}

func TestFieldsThatBrowsersIgnore(t *testing.T) {
	for _, line := range []string{
		"__Http-a=1; Secure; Path=/", "__Host-Http-a=1; Secure; Path=/", "__host-http-a=1; Secure; Path=/",
		"; Path=/; Max-Age=0", "=; Path=/; Max-Age=0", " = ; Max-Age=0",
	} {
		w := newWorld(t)
		w.signIn("alice")
		w.visit("/", "")
		if got := w.ask("/").answer(line); got != nil {
			t.Errorf("%q: the browser is told %q", line, got)
		}
	}
}

func TestRequestWithOriginIsABrowsers(t *testing.T) {
	w := newWorld(t)
	w.leftOut = true
	w.headers = http.Header{"Origin": {"https://elsewhere.example"}}
	for _, line := range w.ask("/").answer("a=1; Path=/") {
		if !strings.HasPrefix(line, cookie.SlotName(cookie.Anonymous, "a")+"=") {
			t.Errorf("the browser is told %q", line)
		}
	}
}

func TestJarKnowsOfSeveralAccounts(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.signIn("bob")
	if u := w.ask("/"); u.alone {
		t.Error("bob is taken to be alone, with alice in the jar")
	}
}

func TestScriptedCookiesStayWithTheirSlot(t *testing.T) {
	start := func(t *testing.T) *world {
		w := newWorld(t)
		w.options.Scripted = []string{"token"}
		w.signIn("bob")
		w.visit("/", "")
		w.browser.script("/", "token=B; Path=/")
		w.visit("/", "token=B")
		return w
	}
	t.Run("where the jar is unknown", func(t *testing.T) {
		w := start(t)
		w.jar = jarOf{} // a sign-in has moved it
		for _, line := range w.ask("/").answer() {
			if strings.HasPrefix(line, "token=") || strings.Contains(line, "_scripted=") {
				t.Errorf("the browser is told %q", line)
			}
		}
	})
	t.Run("where another slot is said to hold them", func(t *testing.T) {
		w := start(t)
		w.signIn("alice")
		w.visit("/", "")
		w.browser.script("/", "token=A; Path=/")
		w.visit("/", "token=A")
		w.browser.set("/", w.site.SetScripted(tagOf("bob"))) // an answer that was given long ago
		w.visit("/", "token=A")
		w.signIn("bob")
		w.visit("/", "token=B")
	})
}

// TestLateAnswerToAnEndedSessionHidesNoCopy has the late answer replace a cookie that its request did
// not show.
func TestLateAnswerToAnEndedSessionHidesNoCopy(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/a/", "", "csrf=1; Path=/a")
	late := w.ask("/")
	w.signIn("bob")
	w.visit("/b/", "")
	w.revoke("alice")
	late.finish("csrf=2; Path=/a")
	w.visit("/a/", "")
	w.reads("/a/", "")
}
