package caddymodule

import (
	"context"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/oauth2"
	"github.com/caddy-multi-session/gateway/internal/session"
)

func init() {
	caddy.RegisterModule(busyLogin{})
}

// busyLogin is a login that has something to do beside requests.
type busyLogin struct{}

func (busyLogin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "multi_session.logins.test_busy", New: func() caddy.Module { return new(busyLogin) }}
}

func (*busyLogin) LoginMethod(*Memory) (login.Method, error) { return busyMethod{}, nil }

type busyMethod struct{}

func (busyMethod) ID() string                                             { return "busy" }
func (busyMethod) Current(id *session.Identity) (*session.Identity, bool) { return id, true }

// What busyMethod does: it says that it began, and that it was told to end, and ends when it may.
var busyBegan, busyTold, busyMayEnd = make(chan struct{}), make(chan struct{}), make(chan struct{})

func (busyMethod) Run(ctx context.Context) {
	busyBegan <- struct{}{}
	<-ctx.Done()
	busyTold <- struct{}{}
	<-busyMayEnd
}

func TestLoginsRunFromStartToCleanup(t *testing.T) {
	app, _ := provisionedApp(t, `{"module":"test_busy"}`)
	select {
	case <-busyBegan:
		t.Fatal("a login ran for a configuration that is only validated")
	default:
	}
	if err := app.Start(); err != nil {
		t.Fatal(err)
	}
	<-busyBegan
	cleaned := make(chan error)
	go func() { cleaned <- app.Cleanup() }()
	<-busyTold
	select {
	case err := <-cleaned:
		t.Fatalf("cleaned up while a login still ran: %v", err)
	default:
	}
	busyMayEnd <- struct{}{}
	if err := <-cleaned; err != nil {
		t.Error(err)
	}
}

func TestWarningOfLoginsForEverybody(t *testing.T) {
	oidcOf := func(issuer, more string) string {
		return `{"module":"oidc","id":"there","issuer":"` + issuer + `","client_id":"gateway"` + more + `}`
	}
	githubOf := func(more string) string {
		return `{"module":"oauth2","id":"there","preset":"github","client_id":"gateway","client_secret":"s"` + more + `}`
	}
	t.Setenv("TEST_ISSUER", "https://accounts.google.com")
	for name, test := range map[string]struct {
		login string
		warns bool
	}{
		"google":                        {oidcOf("https://accounts.google.com", ""), true},
		"google, by a placeholder":      {oidcOf("{env.TEST_ISSUER}", ""), true},
		"google, of one domain":         {oidcOf("https://accounts.google.com", `,"allow":[{"kind":"email_domain","values":["example.com"]}]`), false},
		"all of entra":                  {oidcOf("https://login.microsoftonline.com/common/v2.0", ""), true},
		"the personal ones of entra":    {oidcOf("https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0", ""), true},
		"one company's entra":           {oidcOf("https://login.microsoftonline.com/5f3c0f4e-17b3-4c0a-9b11-1a2b3c4d5e6f/v2.0", ""), false},
		"two companies' entra":          {oidcOf("https://login.microsoftonline.com/organizations/v2.0", `,"tenants":["5f3c0f4e-17b3-4c0a-9b11-1a2b3c4d5e6f","72f988bf-86f1-41af-91ab-2d7cd011db47"]`), false},
		"personal ones among tenants":   {oidcOf("https://login.microsoftonline.com/common/v2.0", `,"tenants":["9188040d-6c67-4c5b-b112-36a304b66dad"]`), true},
		"one's own provider":            {oidcOf("https://id.example.com/realms/common", ""), false},
		"one's own, named like another": {oidcOf("https://accounts.google.com.example.com", ""), false},
		"github":                        {githubOf(""), true},
		"github, of one organisation":   {githubOf(`,"allow":[{"kind":"group","values":["acme"]}]`), false},
		"one's own github":              {githubOf(`,"base_url":"https://github.example.com"`), false},
		"an endpoint of a public one": {`{"module":"oauth2","id":"there","client_id":"gateway","client_secret":"s",
			"authorization_endpoint":"https://discord.com/oauth2/authorize","token_endpoint":"https://discord.com/api/oauth2/token",
			"userinfo_endpoint":"https://discord.com/api/users/@me","claims":{"subject":"id","user_name":["username"]}}`, true},
		"passwords": {aliceLogin, false},
	} {
		t.Run(name, func(t *testing.T) {
			app, _ := provisionedApp(t, test.login)
			core, logged := observer.New(zapcore.WarnLevel)
			app.log = zap.New(core)
			if err := app.Start(); err != nil {
				t.Fatal(err)
			}
			warned := logged.FilterMessageSnippet("everybody with an account at the provider").FilterField(zap.String("login", "there")).Len()
			if (warned == 1) != test.warns || warned > 1 {
				t.Errorf("warned %d times", warned)
			}
		})
	}
}

// TestGroupsOfAPresetHavePrefixes has organisations that anybody could have made: none may have the
// name of a group that means something here.
func TestGroupsOfAPresetHavePrefixes(t *testing.T) {
	claims := map[string]any{"sub": "1", "id": "1", "login": "alice", "groups": []any{"admin"}}
	for name, test := range map[string]struct {
		preset, configured string
		want               string
	}{
		"github's own":          {oauth2.PresetGitHub, "", "github:admin"},
		"github's, configured":  {oauth2.PresetGitHub, "gh-", "gh-admin"},
		"github's, turned off":  {oauth2.PresetGitHub, "off", "admin"},
		"without a preset":      {"", "", "admin"},
		"no preset, configured": {"", "corp/", "corp/admin"},
		"no preset, turned off": {"", "off", "admin"},
	} {
		t.Run(name, func(t *testing.T) {
			l := &ProviderLogin{GroupPrefix: test.configured, Claims: &Claims{Subject: "id", UserName: []string{"login"}, Groups: "groups"}}
			identity, err := l.mapping(presetGroupPrefixes[test.preset]).Identity("there", "", claims)
			if err != nil || len(identity.Groups) != 1 || identity.Groups[0] != test.want {
				t.Errorf("groups %q, %v; want %q", identity.Groups, err, test.want)
			}
		})
	}
}

// TestSecretsAreNotTold has secrets that go wrong in each way there is.
func TestSecretsAreNotTold(t *testing.T) {
	const secret = "hunter-two"
	t.Setenv("TEST_EMPTY", "")
	for name, config := range map[string]string{
		"braces":               "login oidc corp {\nissuer https://id.example.com\nclient_id a\nclient_secret hunter{hunter-two}hunter\n}",
		"behind a placeholder": "login oidc corp {\nissuer https://id.example.com\nclient_id a\nclient_secret {env.TEST_EMPTY}hunter-two\n}",
		"in a client_id":       "login oidc corp {\nissuer https://id.example.com\nclient_id {hunter-two}\nclient_secret a\n}",
		"short key":            "secret_key hunter-two\nlogin password",
		"braces in a key":      "secret_key {hunter-two}\nlogin password",
		"second key":           "secret_key 0123456789abcdef0123456789abcdef hunter-two\nlogin password",
	} {
		t.Run(name, func(t *testing.T) {
			err := validate(t, "{\nmulti_session {\n"+config+"\n}\n}\nhttp://localhost:0 {\nmulti_session\n}\n")
			if err == nil {
				t.Fatal("was accepted")
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("tells the secret: %s", err)
			}
		})
	}
}
