package page

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

var now = time.Date(2026, 11, 25, 1, 30, 0, 0, time.UTC)

var devices = []Device{
	{ID: "here", Browser: "Firefox 140", System: "Windows", IP: "192.0.2.1", SignedIn: now.Add(-3 * time.Hour), LastUsed: now, Current: true},
	{ID: "phone", Browser: "Safari 18", System: "iPhone", IP: "2001:db8::1", SignedIn: now.Add(-30 * 24 * time.Hour), LastUsed: now.Add(-5 * time.Minute)},
	{ID: "script", Browser: "Unknown browser", SignedIn: now.Add(-8 * 24 * time.Hour), LastUsed: now.Add(-2 * time.Hour)},
}

func profile() Profile {
	return Profile{
		Frame: frame, ReturnTo: "/a b", Account: alice, Editable: true, Name: "Alice Example", UserName: "alice", Email: "alice@example.com",
		Picture: "https://example.com/alice.jpg", EmailVerified: true, MinPassword: 8, Devices: devices, Now: now,
	}
}

func drawProfile(t *testing.T, v Profile) *html.Node {
	t.Helper()
	return draw(t, func(w http.ResponseWriter) { WriteProfile(w, http.StatusOK, v) })
}

func TestProfile(t *testing.T) {
	document := drawProfile(t, profile())
	for name, want := range map[string]struct {
		action string
		values url.Values
	}{
		"Save profile": {"/.auth/account", url.Values{
			"action": {"profile"}, "return_to": {"/a b"}, "name": {"Alice Example"}, "username": {"alice"}, "picture": {"https://example.com/alice.jpg"}}},
		"Change password": {"/.auth/account", url.Values{
			"action": {"password"}, "return_to": {"/a b"}, "current_password": {""}, "new_password": {""}, "end_others": {"1"}}},
		"Sign out of this browser":           {"/.auth/account", url.Values{"action": {"end"}, "return_to": {"/a b"}, "session": {"here"}}},
		"End session of Safari 18 on iPhone": {"/.auth/account#sessions", url.Values{"action": {"end"}, "return_to": {"/a b"}, "session": {"phone"}}},
		"End session of Unknown browser":     {"/.auth/account#sessions", url.Values{"action": {"end"}, "return_to": {"/a b"}, "session": {"script"}}},
		"Sign out everywhere else":           {"/.auth/account#sessions", url.Values{"action": {"end-others"}, "return_to": {"/a b"}}},
	} {
		t.Run(name, func(t *testing.T) {
			want.values.Set("account", alice.Handle) // whose page it is
			if action, got := press(t, named(document, name)); action != want.action || got.Encode() != want.values.Encode() {
				t.Errorf("posts %v to %q", got, action)
			}
		})
	}
	for name, want := range map[string]string{"Back": "/a%20b", "All accounts": "/.auth/accounts?return_to=%2Fa+b"} {
		t.Run(name, func(t *testing.T) {
			if href := attr(named(document, name), "href"); href != want {
				t.Errorf("link %q", href)
			}
		})
	}
	t.Run("password managers", func(t *testing.T) {
		for name, want := range map[string]string{
			"name": "name", "username": "username", "picture": "photo", "current_password": "current-password", "new_password": "new-password",
		} {
			if got := attr(field(document, name), "autocomplete"); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		form := named(document, "Change password").Parent
		name := find(form, func(n *html.Node) bool { return attr(n, "autocomplete") == "username" })
		if attr(name, "value") != "alice" || !has(name, "hidden") {
			t.Errorf("the password is filed under %q", attr(name, "value"))
		}
	})
	t.Run("e-mail is shown and not to be typed", func(t *testing.T) {
		if !strings.Contains(content(document), "alice@example.com") || field(document, "email") != nil {
			t.Error("it is not")
		}
	})
	t.Run("password is described", func(t *testing.T) {
		if got := described(document, "new_password"); got != "At least 8 characters." {
			t.Errorf("%q", got)
		}
	})
	t.Run("nothing has the focus", func(t *testing.T) {
		if got := focused(document); len(got) > 0 {
			t.Errorf("focus on %q", got)
		}
	})
}

func TestProfileSaysWhoItIs(t *testing.T) {
	bob := account("b", "bob@example.com", "")
	for _, c := range []struct {
		name string
		v    Profile
		want string
	}{
		{"verified", Profile{Account: alice, Email: "alice@example.com", EmailVerified: true}, "Alice Example alice@example.com"},
		{"unverified", Profile{Account: alice, Email: "alice@example.com"}, "Alice Example alice@example.com This e-mail address is unverified."},
		{"no e-mail", Profile{Account: account("a", "Alice Example", "alice")}, "Alice Example alice"},
		{"e-mail for a name", Profile{Account: bob, Email: "bob@example.com", EmailVerified: true}, "bob@example.com"},
		{"e-mail for a name, unverified", Profile{Account: bob, Email: "bob@example.com"}, "bob@example.com This e-mail address is unverified."},
		{"method", Profile{Account: Account{Name: "Alice", Method: "Google"}}, "Alice Google"},
		{"active", Profile{Account: active(alice)}, "Alice Example alice@example.com"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.v.Frame = frame
			who := find(drawProfile(t, c.v), func(n *html.Node) bool { return attr(n, "class") == "row person" })
			if got := strings.Join(strings.Fields(content(who)), " "); got != c.want {
				t.Errorf("%q", got)
			}
		})
	}
}

func TestProfileThatIsLookedAfterElsewhere(t *testing.T) {
	v := profile()
	v.Editable = false
	document := drawProfile(t, v)
	for _, name := range []string{"name", "username", "picture", "current_password", "new_password", "end_others"} {
		if field(document, name) != nil {
			t.Errorf("asks for %s", name)
		}
	}
	if !strings.Contains(content(document), "This account is managed by whoever runs this site.") {
		t.Error("does not say who can change it")
	}
	t.Run("at a provider", func(t *testing.T) {
		v := v
		v.Provider = "Google"
		text := content(drawProfile(t, v))
		if !strings.Contains(text, "Name, e-mail and picture come from Google and can be changed there.") || strings.Contains(text, "whoever runs this site") {
			t.Error("does not say where it can be changed")
		}
	})
	if named(document, "End session of Safari 18 on iPhone") == nil {
		t.Error("its sessions cannot be ended")
	}
}

func TestProfileSessions(t *testing.T) {
	rows := func(devices []Device) (rows []string) {
		v := profile()
		v.Devices = devices
		for n := range drawProfile(t, v).Descendants() {
			if n.DataAtom == atom.Li {
				rows = append(rows, strings.Join(strings.Fields(content(n)), " "))
			}
		}
		return rows
	}
	t.Run("all", func(t *testing.T) {
		want := []string{
			"Firefox 140 on Windows This browser Sign out of this browser Last used just now Signed in 24 Nov 2026, 22:30 UTC IP address 192.0.2.1",
			"Safari 18 on iPhone End session of Safari 18 on iPhone Last used 5 minutes ago Signed in 26 Oct 2026, 01:30 UTC IP address 2001:db8::1",
			"Unknown browser End session of Unknown browser Last used 2 hours ago Signed in 17 Nov 2026, 01:30 UTC",
		}
		if got := rows(devices); !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
	t.Run("for machines", func(t *testing.T) {
		var stamps []string
		for n := range drawProfile(t, profile()).Descendants() {
			if n.DataAtom == atom.Time {
				stamps = append(stamps, attr(n, "datetime"))
			}
		}
		if len(stamps) != 2*len(devices) || stamps[0] != "2026-11-25T01:30:00Z" || stamps[1] != "2026-11-24T22:30:00Z" {
			t.Errorf("%q", stamps)
		}
	})
	t.Run("this one alone", func(t *testing.T) {
		v := profile()
		v.Editable, v.Devices = false, devices[:1]
		if named(drawProfile(t, v), "Sign out everywhere else") != nil {
			t.Error("offers to sign out where nobody is signed in")
		}
	})
	t.Run("buttons are told apart", func(t *testing.T) {
		document := drawProfile(t, profile())
		button := named(document, "End session of Safari 18 on iPhone")
		facts := find(document, func(n *html.Node) bool { return attr(n, "id") == attr(button, "aria-describedby") })
		if facts == nil || !strings.Contains(content(facts), "2001:db8::1") {
			t.Error("the button is not described by its session's facts")
		}
	})
}

func TestProfileMessages(t *testing.T) {
	for _, section := range []string{"", SectionProfile, SectionPassword, SectionSessions} {
		t.Run("next to "+section, func(t *testing.T) {
			v := profile()
			v.Section, v.Problem, v.Notice = section, "That did not work.", "The rest did."
			document := drawProfile(t, v)
			for role, want := range map[string]string{"alert": "That did not work.", "status": "The rest did."} {
				message := find(document, func(n *html.Node) bool { return attr(n, "role") == role })
				if message == nil || content(message) != want {
					t.Fatalf("no %s", role)
				}
				parent := message.Parent
				if section == "" && parent.DataAtom != atom.Main || section != "" && attr(parent, "id") != section {
					t.Errorf("the %s stands in <%s id=%q>", role, parent.Data, attr(parent, "id"))
				}
			}
			if n := strings.Count(content(document), "That did not work."); n != 1 {
				t.Errorf("said %d times", n)
			}
		})
	}
	for name, section := range map[string]string{
		"name": SectionProfile, "username": SectionProfile, "picture": SectionProfile, "current_password": SectionPassword, "new_password": SectionPassword,
	} {
		t.Run("about "+name, func(t *testing.T) {
			v := profile()
			v.Section, v.Field, v.Problem = section, name, "That will not do."
			document := drawProfile(t, v)
			for n := range document.Descendants() {
				if n.DataAtom == atom.Input && has(n, "aria-invalid") != (attr(n, "name") == name) {
					t.Errorf("%s: invalid %v", attr(n, "name"), has(n, "aria-invalid"))
				}
			}
			if got := described(document, name); !strings.HasPrefix(got, "That will not do.") {
				t.Errorf("described by %q", got)
			}
			if got := focused(document); !slices.Equal(got, []string{name}) {
				t.Errorf("focus on %q", got)
			}
		})
	}
	t.Run("others are kept", func(t *testing.T) {
		v := profile()
		v.KeepOthers = true
		if _, got := press(t, named(drawProfile(t, v), "Change password")); got.Has("end_others") {
			t.Errorf("posts %v", got)
		}
	})
}

// TestDirection: a name that is written from right to left, or contains marks that say so, does not
// reverse the text next to it.
func TestDirection(t *testing.T) {
	const name = "\u202eمنى العربي"
	for view, write := range views(name) {
		if view == "sign-up" {
			continue // shows what was typed in inputs alone
		}
		t.Run(view, func(t *testing.T) {
			for n := range draw(t, write).Descendants() {
				if n.Type != html.TextNode || !strings.Contains(n.Data, name) || n.Parent.DataAtom == atom.Title {
					continue
				}
				if n.Parent.DataAtom != atom.Bdi && attr(n.Parent, "dir") != "auto" && attr(n.Parent, "aria-hidden") != "true" {
					t.Errorf("in <%s class=%q>", n.Parent.Data, attr(n.Parent, "class"))
				}
			}
		})
	}
}

func TestAgo(t *testing.T) {
	for _, c := range []struct {
		name string
		t    time.Time
		want string
	}{
		{"now", now, "just now"},
		{"another clock", now.Add(30 * time.Second), "just now"},
		{"seconds", now.Add(-59 * time.Second), "just now"},
		{"a minute", now.Add(-time.Minute), "1 minute ago"},
		{"minutes", now.Add(-59*time.Minute - 59*time.Second), "59 minutes ago"},
		{"an hour", now.Add(-time.Hour), "1 hour ago"},
		{"hours", now.Add(-24*time.Hour + time.Second), "23 hours ago"},
		{"the same time yesterday", now.Add(-24 * time.Hour), "yesterday"},
		{"yesterday's first minute", time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), "yesterday"},
		{"the day before's last", time.Date(2026, 11, 23, 23, 59, 59, 0, time.UTC), "2 days ago"},
		{"in another zone", time.Date(2026, 11, 24, 2, 0, 0, 0, time.FixedZone("", 3*60*60)), "2 days ago"},
		{"six days", time.Date(2026, 11, 19, 0, 0, 0, 0, time.UTC), "6 days ago"},
		{"a week", time.Date(2026, 11, 18, 23, 59, 0, 0, time.UTC), "18 Nov 2026, 23:59 UTC"},
		{"a year", now.AddDate(-1, 0, 0), "25 Nov 2025, 01:30 UTC"},
		{"to come", now.Add(time.Hour), "25 Nov 2026, 02:30 UTC"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ago(now, c.t); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
