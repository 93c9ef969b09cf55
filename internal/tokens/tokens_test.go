package tokens

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/seal"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// idle returns a Manager and entries that need no renewal.
func idle(t testing.TB) (*Manager, map[string]session.Entry) {
	t.Helper()
	box, err := seal.NewBox(bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	logins, err := login.NewMethods(
		renewer{&provider{id: "both", exposes: login.Exposed{Access: true, ID: true}}},
		renewer{&provider{id: "access", exposes: login.Exposed{Access: true}}},
		&provider{id: "id", exposes: login.Exposed{ID: true}},
		&provider{id: "none"},
	)
	if err != nil {
		t.Fatal(err)
	}
	k := New(Config{Logins: logins, Sealer: box.Sealer("grant"), Log: zap.NewNop(), Now: time.Now})
	t.Cleanup(k.Close)
	entries := make(map[string]session.Entry)
	for name, tokens := range map[string]login.Tokens{
		"no tokens": {},
		"tokens":    {Access: strings.Repeat("a", 6<<10), Refresh: "refresh", ID: "id", Expiry: time.Now().Add(time.Hour)},
	} {
		id := &session.Identity{Account: session.Account{Method: "both", Subject: name}}
		grant, err := k.Seal(&login.Granted{Identity: id, Tokens: tokens})
		if err != nil {
			t.Fatal(err)
		}
		entries[name] = session.Entry{Session: &session.Session{ID: name, Recorded: id, Grant: grant}, Identity: id}
	}
	return k, entries
}

func TestSeal(t *testing.T) {
	k, _ := idle(t)
	expiry := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		method  string
		granted login.Granted
		want    string // none, sid, tokens, renewed; or an error
	}{
		"nothing":                {"both", login.Granted{}, "none"},
		"an expiry of nothing":   {"both", login.Granted{Tokens: login.Tokens{Expiry: expiry}}, "none"},
		"a SID":                  {"both", login.Granted{SID: "s"}, "sid"},
		"an access token":        {"both", login.Granted{Tokens: login.Tokens{Access: "a", Expiry: expiry}}, "tokens"},
		"an ID token":            {"both", login.Granted{Tokens: login.Tokens{ID: "i"}, SID: "s"}, "tokens"},
		"tokens without end":     {"both", login.Granted{Tokens: login.Tokens{Access: "a", Refresh: "r"}}, "renewed"},
		"no refresh token":       {"both", login.Granted{Tokens: login.Tokens{Access: "a"}}, "tokens"},
		"a refresh token":        {"both", login.Granted{Tokens: login.Tokens{Refresh: "r", Expiry: expiry}}, "renewed"},
		"all":                    {"access", login.Granted{Tokens: login.Tokens{Access: "a", Refresh: "r", ID: "i", Expiry: expiry}, SID: "s"}, "renewed"},
		"of one who cannot":      {"none", login.Granted{Tokens: login.Tokens{Access: "a", Refresh: "r", Expiry: expiry}}, "tokens"},
		"of one who is gone":     {"gone", login.Granted{Tokens: login.Tokens{Access: "a", Refresh: "r", Expiry: expiry}}, "tokens"},
		"large ones":             {"both", login.Granted{Tokens: login.Tokens{Access: strings.Repeat("a", 8<<10), Refresh: strings.Repeat("r", 8<<10), ID: strings.Repeat("i", 8<<10), Expiry: expiry}}, "renewed"},
		"too large ones":         {"both", login.Granted{Tokens: login.Tokens{Access: strings.Repeat("a", 60<<10)}}, "more than"},
		"a SID that breaks":      {"both", login.Granted{SID: "a\nb"}, "control characters"},
		"a SID that is too long": {"both", login.Granted{SID: strings.Repeat("s", 2000)}, "longer"},
	} {
		c.granted.Identity = &session.Identity{Account: session.Account{Method: c.method, Subject: "alice"}}
		grant, err := k.Seal(&c.granted)
		got := "renewed"
		switch {
		case err != nil:
			got = err.Error()
		case grant == nil:
			got = "none"
		case len(grant.Sealed) == 0:
			got = "sid"
		case grant.RenewAt.IsZero():
			got = "tokens"
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if grant == nil {
			continue
		}
		opened, ok := k.Open(&session.Session{Recorded: c.granted.Identity, Grant: grant})
		if ok != (got != "sid") {
			t.Errorf("%s: opens %t", name, ok)
		}
		want := c.granted.Tokens
		want.Expiry = want.Expiry.UTC().Truncate(time.Millisecond)
		if opened != want || grant.SID != c.granted.SID || !grant.ExpiresAt.Equal(want.Expiry) {
			t.Errorf("%s: opened %+v, want %+v", name, opened, want)
		}
	}
}

// Tokens copied into another account's session cannot be decrypted there.
func TestTokensOpenForTheirAccountAlone(t *testing.T) {
	k, _ := idle(t)
	alice := &session.Identity{Account: session.Account{Method: "both", Subject: "alice"}}
	grant, err := k.Seal(&login.Granted{Identity: alice, Tokens: login.Tokens{Access: "a", ID: "i"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*session.Session{
		"another subject": {Recorded: &session.Identity{Account: session.Account{Method: "both", Subject: "bob"}}, Grant: grant},
		"another method":  {Recorded: &session.Identity{Account: session.Account{Method: "access", Subject: "alice"}}, Grant: grant},
		"no grant":        {Recorded: alice},
		"no tokens":       {Recorded: alice, Grant: &session.Grant{SID: "s"}},
		"other bytes":     {Recorded: alice, Grant: &session.Grant{Sealed: []byte("tokens")}},
		"another form":    {Recorded: alice, Grant: &session.Grant{Sealed: k.sealer.Seal([]byte(`{"access":"a"}`), []byte("both:alice"))}},
	} {
		if tokens, ok := k.Open(s); ok || tokens != (login.Tokens{}) {
			t.Errorf("%s: opened %+v", name, tokens)
		}
		if tokens := k.Exposed(s); tokens != (login.Tokens{}) {
			t.Errorf("%s: exposed %+v", name, tokens)
		}
	}
}

func TestExposed(t *testing.T) {
	k, _ := idle(t)
	soon, past := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond), time.Now().Add(-time.Millisecond)
	for name, c := range map[string]struct {
		method string
		expiry time.Time
		want   login.Tokens
	}{
		"both":               {"both", soon, login.Tokens{Access: "a", ID: "i", Expiry: soon}},
		"both, without end":  {"both", time.Time{}, login.Tokens{Access: "a", ID: "i"}},
		"both, expired":      {"both", past, login.Tokens{ID: "i"}},
		"access":             {"access", soon, login.Tokens{Access: "a", Expiry: soon}},
		"access, expired":    {"access", past, login.Tokens{}},
		"id":                 {"id", soon, login.Tokens{ID: "i"}},
		"none":               {"none", soon, login.Tokens{}},
		"of a provider gone": {"gone", soon, login.Tokens{}},
	} {
		id := &session.Identity{Account: session.Account{Method: c.method, Subject: "alice"}}
		grant, err := k.Seal(&login.Granted{Identity: id, Tokens: login.Tokens{Access: "a", Refresh: "r", ID: "i", Expiry: c.expiry}})
		if err != nil {
			t.Fatal(err)
		}
		if got := k.Exposed(&session.Session{Recorded: id, Grant: grant}); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestRenewAt(t *testing.T) {
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	for life, want := range map[time.Duration]time.Duration{
		24 * time.Hour:          24*time.Hour - maxMargin,
		time.Hour:               55 * time.Minute,
		25 * time.Minute:        20 * time.Minute,
		5 * time.Minute:         4 * time.Minute,
		time.Minute:             48 * time.Second,
		5 * time.Second:         4 * time.Second,
		1200 * time.Millisecond: time.Second,
		time.Second:             time.Second,
		0:                       time.Second,
		-time.Hour:              time.Second,
	} {
		if got := renewAt(now.Add(life), now).Sub(now); got != want {
			t.Errorf("of a life of %s: after %s, want %s", life, got, want)
		}
	}
	if got := renewAt(time.Time{}, now).Sub(now); got != unknownLife {
		t.Errorf("without an expiry: after %s, want %s", got, unknownLife)
	}
}

func FuzzDecodeTokens(f *testing.F) {
	full := encode(login.Tokens{Access: "access", Refresh: "refresh", ID: "id", Expiry: time.UnixMilli(1_700_000_000_123)})
	f.Add("")
	f.Add(string(full))
	f.Add(string(full[:len(full)-1]))
	f.Add(string(full) + "x")
	f.Add("\x02" + string(full[1:]))
	f.Add("\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
	f.Add("\x01\x00\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01")
	f.Fuzz(func(t *testing.T, text string) {
		tokens, ok := decode(text)
		if !ok {
			return
		}
		if len(tokens.Access)+len(tokens.Refresh)+len(tokens.ID) > len(text) {
			t.Fatalf("%d bytes were read as %+v", len(text), tokens)
		}
		if again, ok := decode(string(encode(tokens))); !ok || again != tokens {
			t.Fatalf("%+v became %+v", tokens, again)
		}
	})
}

func BenchmarkExposed(b *testing.B) {
	k, entries := idle(b)
	for name, e := range entries {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				k.Exposed(e.Session)
			}
		})
	}
}
