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

// The stories below are attacks on the isolation, and mishaps. In all of them alice and bob use the same
// browser.

func TestAttackReadableCookieOfWiderDomain(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "", "sess=A; Domain=example.com; Path=/")
	w.signIn("bob")
	w.visit("/one", "")
	w.visit("/two", "")
	w.signIn("alice")
	w.visit("/", "sess=A")
}

func TestAttackWiderDomainReachesHostWithAnotherJar(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "", "sess=A; Domain=example.com; Path=/")
	// The other host has a jar and marks of its own: this browser has shown it none of the host's.
	var wide []string
	for part := range strings.SplitSeq(w.browser.header("/"), "; ") {
		if !strings.HasPrefix(part, "multi_session") {
			wide = append(wide, part)
		}
	}
	w.jar = jarOf{id: "other", active: tagOf("bob"), live: []string{tagOf("bob")}}
	w.elsewhere = []string{tagOf("alice")}
	w.browser.host = "b.example.com"
	for _, seen := range []string{"", "; multi_session_used_of-bob=1~"} {
		u := w.askWith("/", "multi_session=token; "+strings.Join(wide, "; ")+seen)
		if u.sees != "" {
			t.Errorf("the app of the other host sees %q", u.sees)
		}
		for _, line := range u.answer() {
			if strings.Contains(line, tagOf("alice")) {
				t.Errorf("the other host's jar changes %q", line)
			}
		}
	}
}

// TestHostBelowWithAnotherJar has a host below this one set a cookie for both, under a session of its own jar.
func TestHostBelowWithAnotherJar(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "")
	name := cookie.SlotName(tagOf("bob"), "s")
	w.browser.set("/", name+"=!!app.example.com~1; Domain=app.example.com; Path=/; HttpOnly")
	for _, c := range []struct {
		live []string
		gone bool
	}{{[]string{tagOf("bob")}, false}, {nil, true}} {
		w.elsewhere = c.live
		lines := w.ask("/").answer()
		gone := slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, name+"=; Max-Age=0") })
		if gone != c.gone {
			t.Errorf("with %q live elsewhere the browser is told %q", c.live, lines)
		}
	}
}

func TestAttackDeeperPaths(t *testing.T) {
	t.Run("of a script", func(t *testing.T) {
		w := newWorld(t)
		w.signIn("alice")
		w.visit("/app/page", "")
		w.browser.script("/app/page", "token=A")
		w.visit("/app/page", "token=A")
		w.signIn("bob")
		w.visit("/", "")
		w.visit("/app/page", "")
	})
	t.Run("from before the gateway", func(t *testing.T) {
		w := newWorld(t)
		w.browser.set("/app/page", "sid=old; Path=/app; HttpOnly")
		w.signIn("alice")
		w.visit("/", "")
		w.signIn("bob")
		w.visit("/", "")
		w.visit("/app/page", "")
		w.signIn("alice")
		w.visit("/app/page", "")
	})
	t.Run("of a page for nobody", func(t *testing.T) {
		w := newWorld(t)
		w.visit("/app/page", "")
		w.browser.script("/app/page", "token=N")
		w.signIn("alice")
		w.visit("/", "")
		w.visit("/app/page", "")
	})
}

// TestAttackScriptCookieOfWholeDomain has two hosts of one cookie domain: the marks are the domain's.
func TestAttackScriptCookieOfWholeDomain(t *testing.T) {
	w := newWorld(t)
	w.site.Domain = "example.com"
	w.signIn("bob")
	w.browser.host = "b.example.com"
	w.visit("/", "")
	w.signIn("alice")
	w.browser.host = "a.example.com"
	w.visit("/", "")
	w.browser.script("/", "dtok=A; Domain=example.com; Path=/")
	w.visit("/", "")
	w.signIn("bob")
	w.browser.host = "b.example.com"
	w.visit("/", "")
}

func TestAttackNotesOutliveCookies(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "")
	w.browser.script("/", "token=ALICE; Path=/")
	w.visit("/", "token=ALICE")
	w.browser.script("/", "token=; Path=/; Max-Age=0")
	w.signIn("bob")
	w.visit("/", "")
	w.browser.script("/", "token=BOB; Path=/")
	w.visit("/", "")
	w.signIn("alice")
	w.visit("/", "")
}

func TestAttackNamesThatCannotBeWrittenBack(t *testing.T) {
	for _, name := range []string{"a b", "grüße", "", "a\tb"} {
		w := newWorld(t)
		w.signIn("alice")
		w.visit("/", "")
		alice := w.browser.header("/") + "; " + name + "=A"
		w.signIn("bob")
		if u := w.askWith("/", alice); u.sees != "" {
			t.Errorf("%q: the app sees %q", name, u.sees)
		}
	}
}

func TestAttackOneNameOnManyPlaces(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	const deep = "/1/2/3/4/5/6/7/8/9/10/page"
	w.visit(deep, "", "x=A1; Path=/", "x=A2; Path=/1/2", "x=A3; Path=/1/2/3/4/5/6/7/8/9/10", "x=A4; Domain=example.com; Path=/")
	for range 2 {
		w.signIn("bob")
		w.visit(deep, "")
		w.visit(deep, "")
		w.reads(deep, "")
		w.signIn("alice")
		w.visit(deep, "x=A3; x=A2; x=A1; x=A4")
	}
}

// TestAttackAnswersThatCrossASwitch has an answer to one account's page arrive in every order with those of the other,
// and a script of its page write a cookie each time.
func TestAttackAnswersThatCrossASwitch(t *testing.T) {
	t.Run("a slow answer", func(t *testing.T) {
		w := newWorld(t)
		w.signIn("alice")
		w.visit("/", "")
		w.signIn("bob")
		slow := w.ask("/slow")
		w.signIn("alice")
		w.visit("/", "")
		w.browser.script("/", "token=A; Path=/")
		w.signIn("bob")
		slow.finish()
		w.visit("/", "")
	})
	t.Run("to and fro at once", func(t *testing.T) {
		w := newWorld(t)
		var pages []*underway
		for _, user := range []string{"bob", "alice", "bob"} {
			w.signIn(user)
			pages = append(pages, w.ask("/"))
		}
		for _, i := range []int{1, 0, 2} {
			pages[i].finish()
			w.browser.script("/", fmt.Sprintf("token=%d; Path=/", i))
			if i != 1 {
				w.visit("/", "") // the browser has answers to both
			}
		}
	})
	t.Run("nobody's across a sign-in", func(t *testing.T) {
		w := newWorld(t)
		first, second := w.ask("/"), w.ask("/")
		first.finish()
		w.browser.script("/", "token=N; Path=/")
		w.signIn("alice")
		w.visit("/", "")
		second.finish()
		w.browser.script("/", "token=N2; Path=/")
		w.visit("/", "")
	})
	t.Run("the first answer to an account is the last to arrive", func(t *testing.T) {
		w := newWorld(t)
		w.signIn("alice")
		late := w.ask("/")
		w.signIn("bob")
		w.visit("/", "")
		w.browser.script("/", "token=B; Path=/")
		late.finish()
		w.signIn("alice")
		w.visit("/", "")
	})
}

func TestAttackScriptReplacesHttpOnlyCookie(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "", "sid=REAL; HttpOnly; Path=/")
	w.browser.script("/", "sid=FORGED; Path=/")
	w.visit("/", "sid=REAL")
	w.visit("/", "sid=REAL")
	w.browser.script("/app/x", "sid=FORGED; Path=/app")
	w.visit("/app/x", "sid=REAL")
}

func TestAttackSignedOutBrowserKeepsNothingReadable(t *testing.T) {
	w := newWorld(t)
	w.signIn("alice")
	w.visit("/", "", "csrf=A; Path=/", "sid=A; Path=/; HttpOnly")
	w.jar = jarOf{} // an administrator has ended the session; the browser still has the jar's cookie
	w.visit("/", "")
	w.reads("/", "")
	if got := w.browser.header("/"); strings.Contains(got, tagOf("alice")) {
		t.Errorf("the browser still has %q", got)
	}
}

// TestOneAccountAlone has an app work as without a gateway.
func TestOneAccountAlone(t *testing.T) {
	w := newWorld(t)
	w.browser.set("/", "front=1; Path=/; HttpOnly")
	w.signIn("alice")
	w.visit("/", "")
	w.visit("/", "") // still what it was before
	w.browser.set("/", "front=2; Path=/; HttpOnly")
	w.browser.script("/", "theme=dark; Path=/")
	w.visit("/", "front=2; theme=dark", "csrf=1; Path=/", "sid=1; Path=/; HttpOnly")
	w.browser.script("/", "csrf=2; Path=/")
	w.visit("/", "front=2; theme=dark; csrf=2; sid=1")
	w.browser.script("/", "csrf=; Path=/; Max-Age=0")
	w.visit("/", "front=2; theme=dark; sid=1")
	w.visit("/", "front=2; theme=dark; sid=1")
	// Signed in again, the account has another session, and is still alone.
	w.revoke("alice")
	w.signIn("alice2")
	w.visit("/", "front=2; theme=dark")
	for range 60 {
		w.now = w.now.Add(20 * 24 * time.Hour)
		w.browser.now = w.now
		w.visit("/", "front=2; theme=dark")
	}
}

// TestForeignCookiesStayAsTheyAre is a proxy in front, another port, and a company's sign-on on the parent domain.
func TestForeignCookiesStayAsTheyAre(t *testing.T) {
	w := newWorld(t)
	foreign := func(value string) {
		w.browser.set("/", "FRONT_AUTH="+value+"; Path=/; HttpOnly")
		w.browser.set("/", "corp_sso="+value+"; Domain=example.com; Path=/; HttpOnly")
		w.browser.set("/", "nas="+value+"; Path=/")
	}
	check := func(value string) {
		t.Helper()
		var got []string
		for _, c := range w.browser.shown("/") {
			if !strings.Contains(c.name, "multi_session") && !cookie.Slotted(c.name) {
				got = append(got, fmt.Sprintf("%s=%s %q %v", c.name, c.value, c.domain, c.httpOnly))
			}
		}
		want := []string{"FRONT_AUTH=" + value + ` "" true`, "corp_sso=" + value + ` "example.com" true`, "nas=" + value + ` "" false`}
		if !slices.Equal(got, want) {
			t.Errorf("foreign cookies %q, want %q", got, want)
		}
	}
	foreign("V0")
	for i, user := range []string{"alice", "alice", "bob", "alice", "bob", "alice"} {
		w.signIn(user)
		w.visit("/", map[bool]string{true: "", false: "FRONT_AUTH=V1; corp_sso=V1; nas=V1"}[i != 1])
		check(fmt.Sprintf("V%d", i))
		foreign(fmt.Sprintf("V%d", i+1))
	}
	w.revoke("alice")
	w.revoke("bob")
	w.visit("/", "")
	check("V6")
}

func TestCrossSiteRequestWithoutTheJar(t *testing.T) {
	for _, c := range []struct {
		name    string
		leftOut bool
		live    []string
		slots   []string
		want    string
		lands   string
	}{
		{"one live slot, left out", true, []string{"alice"}, []string{"alice"}, "saml=alice", tagOf("alice")},
		{"one live slot of two shown", true, []string{"alice"}, []string{"alice", "bob"}, "saml=alice", tagOf("alice")},
		{"two live slots", true, []string{"alice", "bob"}, []string{"alice", "bob"}, "", ""},
		{"a dead slot", true, nil, []string{"alice"}, "", cookie.Anonymous},
		{"one live slot where the gate applies", false, []string{"alice"}, []string{"alice"}, "", cookie.Anonymous},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.leftOut = c.leftOut
			w.headers = http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Origin": {"https://idp.example.org"}}
			for _, user := range c.live {
				w.elsewhere = append(w.elsewhere, tagOf(user))
			}
			sent := []string{"draft=unsaved"}
			for _, user := range c.slots {
				sent = append(sent, cookie.SlotName(tagOf(user), "saml")+"=n~"+user)
			}
			u := w.askWith("/saml/acs", strings.Join(sent, "; "))
			if u.sees != c.want {
				t.Errorf("the app sees %q, want %q", u.sees, c.want)
			}
			var want []string
			if c.lands != "" {
				want = []string{cookie.SlotName(c.lands, "sid") + "=r~1; Path=/; HttpOnly"}
			}
			if got := u.answer("sid=1; Path=/"); !slices.Equal(got, want) {
				t.Errorf("the browser is told %q, want %q", got, want)
			}
		})
	}
}

func TestClientThatIsNoBrowser(t *testing.T) {
	for _, c := range []struct {
		name    string
		leftOut bool
		headers http.Header
		sends   string
		direct  bool
	}{
		{"left out", true, http.Header{}, "SID=tok123", true},
		{"where the gate applies", false, http.Header{}, "SID=tok123", false},
		{"with Fetch Metadata", true, http.Header{"Sec-Fetch-Site": {"none"}}, "SID=tok123", false},
		{"with the jar's cookie", true, http.Header{}, "SID=tok123; multi_session=token", false},
		{"with a mark", true, http.Header{}, "SID=tok123; multi_session_shared=1~", false},
		{"with a slot's cookie", true, http.Header{}, "SID=tok123; ms~0~a=~1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.leftOut, w.headers = c.leftOut, c.headers
			u := w.askWith("/api", c.sends)
			line := u.answer("SID=tok124; HttpOnly; Path=/")
			if direct := slices.Contains(line, "SID=tok124; HttpOnly; Path=/"); direct != c.direct {
				t.Errorf("the client is told %q", line)
			}
			if c.direct && u.sees != "SID=tok123" {
				t.Errorf("the app sees %q", u.sees)
			}
		})
	}
}

// TestScriptedCookies has a script keep the login of each account in a cookie.
func TestScriptedCookies(t *testing.T) {
	w := newWorld(t)
	w.options = &Options{Scripted: []string{"tok*"}}
	w.signIn("alice")
	w.visit("/", "")
	w.browser.script("/", "token=A; Path=/")
	w.visit("/", "token=A")
	w.signIn("bob")
	w.visit("/", "")
	w.reads("/", "")
	w.browser.script("/", "token=B; Path=/")
	w.visit("/", "token=B")
	w.signIn("alice")
	w.visit("/", "token=A")
	w.reads("/", "token=A")
	w.visit("/", "token=A")
	w.browser.script("/", "token=B; Path=/") // a page of bob's that is still open writes again what it had
	w.visit("/", "")
	w.visit("/", "token=A")
	w.browser.script("/", "token=; Path=/; Max-Age=0") // alice signs out of the app
	w.signIn("bob")
	w.visit("/", "token=B")
	w.signIn("alice")
	w.visit("/", "")
	w.reads("/", "")
	w.revoke("bob")
	w.visit("/", "")
	if got := w.browser.header("/"); strings.Contains(got, "~B") {
		t.Errorf("of an ended session is left %q", got)
	}
}

// TestScriptedCookiesWaitForAPage has a page of the other account that is still open ask first after a switch.
func TestScriptedCookiesWaitForAPage(t *testing.T) {
	w := newWorld(t)
	w.options = &Options{Scripted: []string{"token"}}
	w.signIn("alice")
	w.visit("/", "")
	w.browser.script("/", "token=A; Path=/")
	w.signIn("bob")
	page := w.headers
	w.headers = http.Header{"Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}}
	w.visit("/api", "")
	w.browser.script("/", "token=A2; Path=/")
	w.visit("/api", "")
	w.headers = page
	w.visit("/", "")
	w.signIn("alice")
	w.visit("/", "token=A2")
}

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(i int) string
	}{
		{"of bytes", func(i int) string { return fmt.Sprintf("c%d=%s; Path=/; HttpOnly", i, strings.Repeat("v", 3000)) }},
		{"of cookies", func(i int) string { return fmt.Sprintf("c%d=v; Path=/", i) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.signIn("alice")
			refused := 0
			for i := range 200 {
				u := w.ask("/")
				u.finish(c.set(i))
				refused += len(u.Refused())
			}
			if refused == 0 {
				t.Error("nothing was refused")
			}
			got := w.browser.header("/")
			if n := len(w.browser.shown("/")); len(got) > DefaultMaxBytes+200 || n > maxCookies {
				t.Errorf("%d cookies of %d bytes", n, len(got))
			}
			u := w.ask("/")
			u.finish("c0=; Path=/; Max-Age=0")
			u = w.ask("/")
			u.finish("small=1; Path=/; HttpOnly")
			if len(u.Refused()) != 0 {
				t.Errorf("there is room, and refused are %v", u.Refused())
			}
		})
	}
}

// TestUpgrade is a browser with the cookies of releases before marks.
func TestUpgrade(t *testing.T) {
	alice, bob := tagOf("alice"), tagOf("bob")
	for _, c := range []struct {
		name  string
		live  []string
		sends string
		want  string
		gone  []string // slots' cookies that are cleared
	}{
		{"one account", []string{"alice"},
			"multi_session_owner=" + alice + "; ms~" + alice + "~sid=~S; csrf=C; ms~" + alice + "~csrf=ru~C; theme=dark; ms~" + alice + "~theme=rug~dark",
			"sid=S; csrf=C", []string{"ms~" + alice + "~theme"}},
		{"two accounts", []string{"alice", "bob"},
			"multi_session_owner=" + bob + "; ms~" + alice + "~sid=~S; csrf=B; ms~" + bob + "~csrf=ru~B; ms~" + alice + "~csrf=r!!!1z~C; ms~" + bob + "~sid=~T; theme=light",
			"sid=S; csrf=C", nil},
		{"what was deleted, and of unknown origin", []string{"alice"},
			"multi_session_owner=" + alice + "; ms~" + alice + "~sid=rd~; ms~x~theme=rgk~abc; theme=dark",
			"", []string{"ms~" + alice + "~sid", "ms~x~theme"}},
		{"an account that is gone", []string{"alice"},
			"multi_session_owner=" + alice + "; ms~" + bob + "~sid=~T; ms~" + alice + "~sid=~S; token=B",
			"sid=S", []string{"ms~" + bob + "~sid"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			for _, user := range c.live {
				w.signIn(user)
			}
			w.signIn("alice")
			u := w.askWith("/", "multi_session=token; "+c.sends)
			if u.sees != c.want {
				t.Errorf("the app sees %q, want %q", u.sees, c.want)
			}
			lines := u.answer()
			for _, name := range append(c.gone, "multi_session_owner") {
				if !slices.ContainsFunc(lines, func(line string) bool {
					return strings.HasPrefix(line, name+"=; ") && strings.Contains(line, "Max-Age=0")
				}) {
					t.Errorf("%s is not cleared: %q", name, lines)
				}
			}
		})
	}
}
