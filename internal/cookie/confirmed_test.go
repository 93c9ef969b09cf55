package cookie

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/storage/boltstore"
)

var (
	ofHost   = Spec{Name: NameHost, Secure: true}
	ofDomain = Spec{Name: NameDomain, Domain: "example.com", Secure: true}
	overHTTP = Spec{Name: NamePlain, Domain: "example.com"}
)

// parsed returns what the site of a jar reads from a Cookie field.
func (j Spec) parsed(field string) *Cookies {
	c := j.Parse(http.Header{"Cookie": {field}})
	return &c
}

func TestConfirmedCookieBelongsToTheHostAlone(t *testing.T) {
	for name, c := range map[string]struct {
		jar  Spec
		want string
	}{
		"domain":    {ofDomain, "__Host-Http-multi_session_confirmed=" + confirmation("jar") + "; Path=/; Max-Age=34560000; HttpOnly; Secure; SameSite=Lax"},
		"over HTTP": {overHTTP, "multi_session_confirmed=" + confirmation("jar") + "; Path=/; Max-Age=34560000; HttpOnly; SameSite=Lax"},
		"one host":  {ofHost, ""},
	} {
		h := http.Header{}
		c.jar.SetConfirmed(h, "jar")
		if got := h.Get("Set-Cookie"); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if strings.Contains(confirmation("jar"), "jar") {
		t.Error("the cookie tells the jar's id")
	}
}

func TestConfirms(t *testing.T) {
	set := http.Header{}
	ofDomain.SetConfirmed(set, "jar")
	pair, _, _ := strings.Cut(set.Get("Set-Cookie"), ";")
	for name, c := range map[string]struct {
		jar    Spec
		cookie string
		want   bool
	}{
		"confirmed":                     {ofDomain, "a=1; " + pair, true},
		"no cookie":                     {ofDomain, "a=1", false},
		"another jar":                   {ofDomain, NameHost + "_confirmed=" + confirmation("other"), false},
		"the id itself":                 {ofDomain, NameHost + "_confirmed=jar", false},
		"empty":                         {ofDomain, NameHost + "_confirmed=", false},
		"a second one":                  {ofDomain, pair + "; " + NameHost + "_confirmed=x", false},
		"a name that siblings can set":  {ofDomain, NameDomain + "_confirmed=" + confirmation("jar"), false},
		"a plain name":                  {ofDomain, NamePlain + "_confirmed=" + confirmation("jar"), false},
		"over HTTP":                     {overHTTP, NamePlain + "_confirmed=" + confirmation("jar"), true},
		"a jar of one host needs none":  {ofHost, "a=1", true},
		"a jar of one host, another id": {ofHost, NameHost + "_confirmed=x", true},
	} {
		if got := c.jar.Confirms(c.jar.parsed(c.cookie), "jar"); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

// everybody is a session.Directory in which everybody is who they were at sign-in.
type everybody struct{}

func (everybody) Current(recorded *session.Identity) (*session.Identity, bool) { return recorded, true }

func TestHasShown(t *testing.T) {
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "test.db"), boltstore.Options{SweepInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	manager := session.NewManager(session.NewJars(store), everybody{}, session.Options{MaxSessions: 5, Lifetime: time.Hour, IdleTimeout: time.Hour}, time.Now)
	t.Cleanup(manager.Close)
	signIn := func(token session.Token, name string) session.SignedIn {
		t.Helper()
		account := session.Account{Method: "password", Subject: name}
		done, err := manager.SignIn(t.Context(), token, &session.Identity{Account: account, UserName: name}, nil, session.Client{})
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	alice := signIn(session.Token{}, "alice")
	bob := signIn(alice.Token, "bob")
	mallory := signIn(session.Token{}, "mallory")
	visit, err := manager.Visit(t.Context(), bob.Token)
	if err != nil {
		t.Fatal(err)
	}
	shown := func(views ...string) string {
		for i, view := range views {
			views[i] = NameHost + "_shown=" + view
		}
		return strings.Join(views, "; ")
	}
	for name, c := range map[string]struct {
		cookie string
		want   bool
	}{
		"the active session":               {shown(bob.Entry.View()), true},
		"another session of the jar":       {shown(alice.Entry.View()), true},
		"a session of another jar":         {shown(mallory.Entry.View()), false},
		"the slot itself":                  {shown(bob.Entry.Slot), false},
		"nobody":                           {shown(Anonymous), false},
		"nothing":                          {"a=1", false},
		"empty":                            {shown(""), false},
		"two":                              {shown(bob.Entry.View(), alice.Entry.View()), false},
		"a name that siblings can set":     {NameDomain + "_shown=" + bob.Entry.View(), false},
		"the view, which siblings can set": {NameDomain + "_view=" + bob.Entry.View(), false},
	} {
		if got := ofDomain.parsed(c.cookie).HasShown(visit); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
	if ofDomain.parsed(shown(bob.Entry.View())).HasShown(session.Visit{}) {
		t.Error("a browser without a jar has shown one")
	}
}

func TestStarted(t *testing.T) {
	cookies := new(Cookies)
	for _, tag := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"} {
		answer := http.Header{}
		ofDomain.AddStarted(answer, cookies, tag, 10*time.Minute)
		line := answer.Get("Set-Cookie")
		if !strings.HasPrefix(line, "__Host-Http-multi_session_started=") || strings.Contains(line, "Domain") || !strings.Contains(line, "; Max-Age=600; HttpOnly; Secure; SameSite=Lax") {
			t.Fatalf("set %q", line)
		}
		pair, _, _ := strings.Cut(line, ";")
		cookies = ofDomain.parsed("a=1; " + pair)
	}
	if got, want := cookies.StartedHere(), []string{"i", "h", "g", "f", "e", "d", "c", "b"}; !slices.Equal(got, want) {
		t.Errorf("started %q, want %q", got, want)
	}
	cleared := http.Header{}
	ofDomain.ClearStarted(cleared)
	if line := cleared.Get("Set-Cookie"); !strings.HasPrefix(line, "__Host-Http-multi_session_started=;") || !strings.Contains(line, "Max-Age=0") {
		t.Errorf("cleared by %q", line)
	}
	answer := http.Header{}
	ofHost.AddStarted(answer, new(Cookies), "a", time.Minute)
	if set := answer["Set-Cookie"]; set != nil {
		t.Errorf("a jar of one host sets %q", set)
	}
}

func TestStartedRefusesWhatTheGatewayDidNotWrite(t *testing.T) {
	for name, cookie := range map[string]string{
		"none":         "a=1",
		"empty":        NameHost + "_started=",
		"empty tag":    NameHost + "_started=a..b",
		"other letter": NameHost + "_started=a\"b",
		"too many":     NameHost + "_started=a.b.c.d.e.f.g.h.i",
		"two cookies":  NameHost + "_started=a; " + NameHost + "_started=b",
		"planted":      NameDomain + "_started=a",
	} {
		if got := ofDomain.parsed(cookie).StartedHere(); got != nil {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestUpstreamsNeitherSeeNorSetConfirmations(t *testing.T) {
	for _, mark := range []string{confirmedMark, startedMark} {
		for _, name := range names {
			h := http.Header{"Cookie": {"a=1; " + name + mark + "=x; b=2"}}
			StripRequest(h)
			if got := h.Get("Cookie"); got != "a=1; b=2" {
				t.Errorf("%s: Cookie is %q", name+mark, got)
			}
			h = http.Header{"Set-Cookie": {name + mark + "=planted; Path=/", "a=1"}}
			FilterResponse(h)
			if got := h["Set-Cookie"]; len(got) != 1 || got[0] != "a=1" {
				t.Errorf("%s: Set-Cookie is %q", name+mark, got)
			}
		}
	}
}
