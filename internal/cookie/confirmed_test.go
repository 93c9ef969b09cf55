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

// sent returns the request header of a browser that has got an answer's cookies.
func sent(answer http.Header, more ...string) http.Header {
	var pairs []string
	for _, line := range answer["Set-Cookie"] {
		pair, _, _ := strings.Cut(line, ";")
		pairs = append(pairs, pair)
	}
	return http.Header{"Cookie": {strings.Join(append(pairs, more...), "; ")}}
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
		if got := c.jar.Confirms(http.Header{"Cookie": {c.cookie}}, "jar"); got != c.want {
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
	manager := session.NewManager(session.NewJars(store, true), everybody{}, session.Options{MaxSessions: 5, Lifetime: time.Hour, IdleTimeout: time.Hour}, time.Now)
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
		"the active session":               {shown(View(bob.Entry.Slot)), true},
		"another session of the jar":       {shown(View(alice.Entry.Slot)), true},
		"a session of another jar":         {shown(View(mallory.Entry.Slot)), false},
		"the slot itself":                  {shown(bob.Entry.Slot), false},
		"nobody":                           {shown(Anonymous), false},
		"nothing":                          {"a=1", false},
		"empty":                            {shown(""), false},
		"two":                              {shown(View(bob.Entry.Slot), View(alice.Entry.Slot)), false},
		"a name that siblings can set":     {NameDomain + "_shown=" + View(bob.Entry.Slot), false},
		"the view, which siblings can set": {NameDomain + "_view=" + View(bob.Entry.Slot), false},
	} {
		if got := ofDomain.HasShown(http.Header{"Cookie": {c.cookie}}, visit); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
	if ofDomain.HasShown(http.Header{"Cookie": {shown(View(bob.Entry.Slot))}}, session.Visit{}) {
		t.Error("a browser without a jar has shown one")
	}
}

func TestStarted(t *testing.T) {
	var cookies http.Header
	for _, tag := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"} {
		answer := http.Header{}
		ofDomain.AddStarted(answer, cookies, tag, 10*time.Minute)
		line := answer.Get("Set-Cookie")
		if !strings.HasPrefix(line, "__Host-Http-multi_session_started=") || strings.Contains(line, "Domain") || !strings.Contains(line, "; Max-Age=600; HttpOnly; Secure; SameSite=Lax") {
			t.Fatalf("set %q", line)
		}
		cookies = sent(answer)
	}
	if got, want := ofDomain.Started(cookies), []string{"i", "h", "g", "f", "e", "d", "c", "b"}; !slices.Equal(got, want) {
		t.Errorf("started %q, want %q", got, want)
	}
	cleared := http.Header{}
	ofDomain.ClearStarted(cleared)
	if line := cleared.Get("Set-Cookie"); !strings.HasPrefix(line, "__Host-Http-multi_session_started=;") || !strings.Contains(line, "Max-Age=0") {
		t.Errorf("cleared by %q", line)
	}
	answer := http.Header{}
	ofHost.AddStarted(answer, nil, "a", time.Minute)
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
		if got := ofDomain.Started(http.Header{"Cookie": {cookie}}); got != nil {
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
