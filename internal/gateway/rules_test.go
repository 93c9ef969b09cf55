package gateway

import (
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/password"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
)

// worldOf is a gateway that has not started: its logins and its database are known.
func worldOf(t *testing.T, c password.Config, providers ...login.Method) (*Gateway, *observer.ObservedLogs) {
	t.Helper()
	db, err := Load(newStore(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	c.ID = "password"
	method, err := password.New(c, login.NewThrottle(time.Now), password.NewBudget(password.DefaultMemory))
	if err != nil {
		t.Fatal(err)
	}
	logins, err := login.NewMethods(append([]login.Method{method.With(db.Users)}, providers...)...)
	if err != nil {
		t.Fatal(err)
	}
	core, log := observer.New(zapcore.InfoLevel)
	return &Gateway{ctx: t.Context(), db: db, logins: logins, log: zap.New(core)}, log
}

// TestUnmetRules: the log warns of what no account has, as far as all accounts are known.
func TestUnmetRules(t *testing.T) {
	group := func(values ...string) session.Rule { return session.Rule{Kind: session.RequireGroup, Values: values} }
	name := func(values ...string) session.Rule { return session.Rule{Kind: session.RequireUser, Values: values} }
	claim := func(path string, values ...string) session.Rule {
		return session.Rule{Kind: session.RequireClaim, Claim: path, Values: values}
	}
	for title, test := range map[string]struct {
		rules    session.Policy
		provider bool
		want     []string
	}{
		"a group of the configuration":   {session.Policy{group("admin")}, false, nil},
		"a group of the database":        {session.Policy{group("ops")}, false, nil},
		"the group of who signs up":      {session.Policy{group("guests")}, false, nil},
		"a group of an invitation":       {session.Policy{group("invited")}, false, nil},
		"a misspelt group":               {session.Policy{group("admin", "admni")}, false, []string{"admni"}},
		"a group in another case":        {session.Policy{group("Admin")}, false, []string{"Admin"}},
		"a misspelt group, twice":        {session.Policy{group("admni"), group("admni")}, false, []string{"admni"}},
		"a group beside a provider":      {session.Policy{group("admni")}, true, nil},
		"a user of the configuration":    {session.Policy{name("alice", "password:alice")}, false, nil},
		"a user of the database":         {session.Policy{name("dave")}, false, nil},
		"a misspelt user":                {session.Policy{name("bobb")}, false, []string{"bobb"}},
		"a user beside a provider":       {session.Policy{name("bobb")}, true, nil},
		"an id of a login":               {session.Policy{name("password:bobb")}, true, []string{"password:bobb"}},
		"an id of a provider":            {session.Policy{name("corp:4f1c")}, true, nil},
		"an id of no login":              {session.Policy{name("crop:4f1c")}, true, []string{"crop:4f1c"}},
		"a claim":                        {session.Policy{claim("department", "research")}, false, nil},
		"a misspelt value of a claim":    {session.Policy{claim("department", "reserach")}, false, []string{"reserach"}},
		"a misspelt claim":               {session.Policy{claim("departement", "research")}, false, []string{"research"}},
		"a claim beside a provider":      {session.Policy{claim("department", "reserach")}, true, nil},
		"a group by the name of a claim": {session.Policy{group("research")}, false, []string{"research"}},
	} {
		t.Run(title, func(t *testing.T) {
			var providers []login.Method
			if test.provider {
				providers = append(providers, providerStub{})
			}
			g, log := worldOf(t, password.Config{
				Users:  []password.User{{Name: "alice", Hash: hash, Groups: []string{"admin"}, Claims: map[string]any{"department": "research"}}},
				SignUp: &password.SignUp{Groups: []string{"guests"}},
			}, providers...)
			if _, err := g.db.Users.Create(t.Context(), user.User{Name: "dave", Groups: []string{"ops"}}, false); err != nil {
				t.Fatal(err)
			}
			if _, _, err := g.db.Users.Invite(t.Context(), user.Invitation{Groups: []string{"invited"}, Uses: 1, ExpiresAt: time.Now().Add(time.Hour)}); err != nil {
				t.Fatal(err)
			}
			g.warnUnmetRules(test.rules)
			var got []string
			for _, line := range log.All() {
				got = append(got, line.ContextMap()["value"].(string))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("warns of %q, want %q", got, test.want)
			}
		})
	}
}

// TestAnnounce: one line says where to open the gateway, who can sign in, and where the database is.
func TestAnnounce(t *testing.T) {
	many := make([]password.User, maxNamed+1)
	for i := range many {
		many[i] = password.User{Name: "user" + string(rune('a'+i)), Hash: hash}
	}
	for title, test := range map[string]struct {
		config password.Config
		stored int
		want   string
	}{
		"nobody":          {password.Config{}, 0, "password: nobody yet"},
		"some":            {password.Config{Users: many[:2]}, 0, "password: usera, userb"},
		"many":            {password.Config{Users: many}, 0, "password: 9 users of the configuration"},
		"of the database": {password.Config{}, 1, "password: 1 in the database"},
		"and sign-up":     {password.Config{Users: many[:1], SignUp: &password.SignUp{}}, 1, "password: usera; 1 in the database; sign-up is on"},
		"sign-up alone":   {password.Config{SignUp: &password.SignUp{}}, 0, "password: sign-up is on"},
	} {
		t.Run(title, func(t *testing.T) {
			g, log := worldOf(t, test.config, providerStub{})
			for range test.stored {
				if _, err := g.db.Users.Create(t.Context(), user.User{Name: "dave"}, false); err != nil {
					t.Fatal(err)
				}
			}
			g.announce(Config{Prefix: "/.auth", Sites: []string{"https://app.example.com"}, Database: "bbolt:/var/lib/caddy/multi_session.db"})
			lines := log.All()
			if len(lines) != 1 {
				t.Fatalf("logged is %v", lines)
			}
			got := lines[0].ContextMap()
			logins, _ := got["logins"].([]any)
			sites, _ := got["sites"].([]any)
			if !slices.Equal(logins, []any{test.want, "corp"}) || !slices.Equal(sites, []any{"https://app.example.com"}) ||
				got["accounts_page"] != "/.auth/accounts" || got["database"] != "bbolt:/var/lib/caddy/multi_session.db" {
				t.Errorf("%v", got)
			}
		})
	}
}
