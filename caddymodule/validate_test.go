package caddymodule

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// validate says what `caddy validate` says of a Caddyfile.
func validate(t *testing.T, caddyfile string) error {
	t.Helper()
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), nil)
	if err != nil {
		t.Fatal(err)
	}
	var parsed caddy.Config
	if err := json.Unmarshal(config, &parsed); err != nil {
		t.Fatal(err)
	}
	return caddy.Validate(&parsed)
}

// gatedSite is a Caddyfile with the given options of the app, of its login, and of the directive.
func gatedSite(app, login, handler string) string {
	return fmt.Sprintf(`{
	multi_session {
		%s
		login password {
			%s
		}
	}
}
http://localhost:0 {
	multi_session {
		%s
	}
}
`, app, login, handler)
}

func userLine(name, rest string) string { return "user " + name + " " + rest + " " + testHash + "\n" }

// TestValidateRefuses has what the Caddyfile's syntax allows and the gateway does not, with what it
// says about it.
func TestValidateRefuses(t *testing.T) {
	alice := userLine("alice", "alice@example.com")
	tests := map[string]struct{ app, login, handler, want string }{
		"more sessions than a jar holds":  {"max_sessions 51", alice, "", "max_sessions 51: must be from 1 to 50"},
		"lifetime of less than a second":  {"lifetime 500ms", alice, "", "lifetime 500ms: must be a second at least"},
		"idle time of less than a second": {"idle_timeout 1ms", alice, "", "idle_timeout 1ms: must be a second at least"},
		"prefix without a slash":          {"path auth", alice, "", `path "auth": must be like /.auth`},
		"prefix of the whole site":        {"path /", alice, "", `path "/": must be like /.auth`},
		"prefix with dot segments":        {"path /a/../b", alice, "", `path "/a/../b": must be like /.auth`},
		"prefix with a slash at its end":  {"path /auth/", alice, "", `path "/auth/": must be like /.auth`},
		"domain with a leading dot":       {"cookie_domain .example.com", alice, "", "must be a domain in lower case"},
		"domain in upper case":            {"cookie_domain Example.com", alice, "", "must be a domain in lower case"},
		"domain with a port":              {"cookie_domain example.com:443", alice, "", "must be a domain in lower case"},
		"domain that is an address":       {"cookie_domain 127.0.0.1", alice, "", "must be a domain, not an address"},
		"domain without a dot":            {"cookie_domain localhost", alice, "", "must have a dot"},
		"domain that is a public suffix":  {"cookie_domain co.uk", alice, "", "is a public suffix"},
		"domain of a hosting provider":    {"cookie_domain github.io", alice, "", "is a public suffix"},
		"origin with a path":              {"trusted_origins https://example.com/app", alice, "", `trusted_origins: "https://example.com/app"`},
		"origin without a scheme":         {"trusted_origins example.com", alice, "", `trusted_origins: "example.com"`},
		"origin with a wildcard":          {"trusted_origins https://*.example.com", alice, "", `trusted_origins: "https://*.example.com"`},
		"placeholder of the store's path": {"store bbolt {\npath {env.NO_SUCH_VARIABLE}/x.db\n}", alice, "", "store bbolt: path"},
		"two logins with passwords":       {"login password other", alice, "", "takes passwords already, and only one login can"},
		"two logins of one id":            {"login password", alice, "", "login password: the id is used twice"},

		"user twice, in another case": {"", alice + userLine("Alice", "a@example.com"), "", "another user has it"},
		"e-mail of two users":         {"", alice + userLine("bob", "Alice@Example.com"), "", `user "bob"`},
		"e-mail that is none":         {"", userLine("alice", "nobody"), "", `user "alice": e-mail "nobody"`},
		"user name with a colon":      {"", userLine("a:b", ""), "", `user "a:b"`},
		"user name like a path":       {"", userLine("..", ""), "", `user ".."`},
		"hash of another kind":        {"", "user alice $1$abc$def", "", `user "alice": hash`},
		"password in place of a hash": {"", "user alice secret", "", `user "alice": hash`},
		"hash of a missing variable":  {"", "user alice {env.NO_SUCH_VARIABLE}", "", `user "alice": hash`},
		"group with a comma":          {"", "user alice " + testHash + " {\ngroups a,b\n}", "", "must not have a comma"},
		"throttle beyond its bounds":  {"", "throttle 10 500ms", "", "throttle: window of 500ms"},

		"unknown preset":               {"", alice, "identity_headers authelia", `identity headers preset "authelia": must be one of forwarded, remote, webauth`},
		"header that is the proxy's":   {"", alice, "header X-Forwarded-For {http.auth.user.id}", "header X-Forwarded-For: cannot be set from an identity"},
		"header that is HTTP's":        {"", alice, "header connection {http.auth.user.id}", "header Connection: cannot be set from an identity"},
		"header that is no name":       {"", alice, `header "X Y" {http.auth.user.id}`, "not a header field name"},
		"header twice":                 {"", alice, "header X-A {http.auth.user.id}\nheader x-a {http.auth.user.name}", "header X-A: is set twice"},
		"header of the preset":         {"", alice, "header remote-user {http.auth.user.id}", "header Remote-User: is set twice"},
		"rule for what is open to all": {"", alice, "optional\nrequire group admin", "optional and require do not go together"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := validate(t, gatedSite(test.app, test.login, test.handler))
			if err == nil {
				t.Fatal("was accepted")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("says %q, want %q in it", err, test.want)
			}
			if strings.Contains(err.Error(), testHash) {
				t.Errorf("tells a hash: %s", err)
			}
		})
	}
}

func TestValidateRefusesAGateWithoutApp(t *testing.T) {
	err := validate(t, "http://localhost:0 {\nmulti_session\n}\n")
	if err == nil || !strings.Contains(err.Error(), "add the global option multi_session with at least one login") {
		t.Errorf("got %v", err)
	}
}

func TestValidateRefusesAnAppWithoutLogin(t *testing.T) {
	err := validate(t, "{\nmulti_session {\n}\n}\nhttp://localhost:0 {\nmulti_session\n}\n")
	if err == nil || !strings.Contains(err.Error(), "no login is configured") {
		t.Errorf("got %v", err)
	}
}

func TestValidateAccepts(t *testing.T) {
	alice := userLine("alice", "alice@example.com")
	tests := map[string]struct{ app, login, handler string }{
		"the minimum":             {"", alice, ""},
		"a login without users":   {"", "", ""},
		"a domain of two labels":  {"cookie_domain example.com", alice, ""},
		"a domain below a suffix": {"cookie_domain me.github.io", alice, ""},
		"no idle timeout":         {"idle_timeout off", alice, ""},
		"a deep prefix":           {"path /_/auth", alice, ""},
		"every preset":            {"", alice, "identity_headers remote forwarded webauth"},
		"no preset, one header":   {"", alice, "identity_headers off\nheader Remote-User {http.auth.user.email}"},
		"a header to replace":     {"", alice, `header Authorization "Bearer {http.auth.user.claim.token}"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if err := validate(t, gatedSite(test.app, test.login, test.handler)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestValidateNamedRoutes has gates that are invoked. Caddy provisions them after the error routes, so
// these can be cleaned of forged headers only by another gate of the server.
func TestValidateNamedRoutes(t *testing.T) {
	const errorRoutes = "handle_errors {\n\t\trespond oops\n\t}"
	for name, test := range map[string]struct {
		site  string
		valid bool
	}{
		"no error routes":                {"invoke gated", true},
		"error routes":                   {"invoke gated\n\t" + errorRoutes, false},
		"error routes and another gate":  {"multi_session /none\n\tinvoke gated\n\t" + errorRoutes, true},
		"in the error routes themselves": {"handle_errors 404 {\n\t\trespond no\n\t}\n\thandle_errors {\n\t\tmulti_session\n\t}", true},
	} {
		t.Run(name, func(t *testing.T) {
			err := validate(t, gatedSite("", userLine("alice", "alice@example.com"), "")+
				"&(gated) {\n\tmulti_session\n}\nhttp://localhost:1 {\n\t"+test.site+"\n}\n")
			if test.valid && err != nil {
				t.Error(err)
			}
			if !test.valid && (err == nil || !strings.Contains(err.Error(), "named route")) {
				t.Errorf("%v", err)
			}
		})
	}
}
