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
		"storage cleared without caches":  {"", alice, "isolate_cache off\nclear_storage_on_switch", "clear_storage_on_switch needs isolate_cache"},
		"storage cleared on no page":      {"", alice, "isolate_cache {\nkeep_on_switch\n}\nclear_storage_on_switch", "without keep_on_switch"},
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
		"hosts without a domain":          {"active per_host", alice, "", "active per_host: needs a cookie_domain"},
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

// In JSON any word can stand where the Caddyfile takes two.
func TestValidateActive(t *testing.T) {
	for _, c := range []struct {
		active, domain, want string
	}{
		{ActivePerJar, "", ""},
		{ActivePerJar, "example.com", ""},
		{ActivePerHost, "example.com", ""},
		{ActivePerHost, "", "active per_host: needs a cookie_domain"},
		{"Per_Host", "example.com", `active "Per_Host": must be per_jar or per_host`},
	} {
		app := App{Active: c.active, CookieDomain: c.domain}
		if err := app.validateActive(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s of %q: %v, want %q", c.active, c.domain, err, c.want)
		}
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

// providerSite is a Caddyfile with a login at a provider beside the given options of the app.
func providerSite(app, login string) string {
	return fmt.Sprintf("{\nmulti_session {\n%s\nlogin %s\n}\n}\nhttp://localhost:0 {\nmulti_session\n}\n", app, login)
}

// oidcLogin is a login that is right, with the options.
func oidcLogin(id, options string) string {
	return "oidc " + id + " {\nissuer https://id.example.com\nclient_id gateway\n" + options + "\n}"
}

// oauth2Login is a login with endpoints that are right, with the options.
func oauth2Login(options string) string {
	return "oauth2 corp {\nauthorization_endpoint https://a.example.com\ntoken_endpoint https://a.example.com/token\n" +
		"userinfo_endpoint https://a.example.com/me\nclient_id a\nclient_secret b\n" + options + "\n}"
}

func TestValidateRefusesProviders(t *testing.T) {
	t.Setenv("TEST_EMPTY", "")
	redirect := func(uri string) string { return oidcLogin("corp", "redirect_uri "+uri) }
	const right = "https://app.example.com/.auth/callback/corp"
	tests := map[string]struct{ app, login, want string }{
		"id with a slash":               {"", oidcLogin("a/b", ""), `login "a/b": the id must have letters, digits and . _ - only`},
		"id with a colon":               {"", oidcLogin("a:b", ""), `login "a:b": the id must`},
		"id with a space":               {"", oidcLogin(`"a b"`, ""), `login "a b": the id must`},
		"id with an umlaut":             {"", oidcLogin("ü", ""), `login "ü": the id must`},
		"id with an escape":             {"", oidcLogin("a%2Fb", ""), `login "a%2Fb": the id must`},
		"id that is the path above":     {"", oidcLogin("..", ""), `login "..": the id must`},
		"id that is the path here":      {"", oidcLogin(".", ""), `login ".": the id must`},
		"id that is empty":              {"", oidcLogin(`""`, ""), "an id is missing"},
		"id of two logins":              {"login " + oidcLogin("corp", ""), oidcLogin("corp", ""), "login corp: the id is used twice"},
		"id of a login with passwords":  {"login password corp", oidcLogin("corp", ""), "login corp: the id is used twice"},
		"placeholder of the secret":     {"", oidcLogin("corp", "client_secret {env.TEST_EMPTY}"), "login corp: client_secret: has a placeholder that is not known or empty"},
		"placeholder of the redirect":   {"", redirect("{env.TEST_EMPTY}"), "login corp: redirect_uri: has a placeholder"},
		"placeholder of the issuer":     {"", "oidc corp {\nissuer https://{env.TEST_EMPTY}\nclient_id a\n}", "login corp: issuer: has a placeholder"},
		"placeholder of the client":     {"", "oidc corp {\nissuer https://id.example.com\nclient_id {no.such}\n}", "login corp: client_id: has a placeholder"},
		"placeholder of an endpoint":    {"", "oauth2 corp {\nuserinfo_endpoint {env.TEST_EMPTY}\nclient_id a\n}", "login corp: userinfo_endpoint: has a placeholder"},
		"placeholder of the base":       {"", "oauth2 corp {\npreset github\nbase_url {env.TEST_EMPTY}\nclient_id a\n}", "login corp: base_url: has a placeholder"},
		"redirect elsewhere":            {"", redirect("https://app.example.com/callback/corp"), "login corp: redirect_uri \"https://app.example.com/callback/corp\": must end with /.auth/callback/corp"},
		"redirect of another login":     {"", redirect("https://app.example.com/.auth/callback/other"), "must end with /.auth/callback/corp"},
		"redirect of another prefix":    {"path /_auth", redirect(right), "must end with /_auth/callback/corp"},
		"redirect with a slash":         {"", redirect(right + "/"), "must end with"},
		"redirect with a query":         {"", redirect(right + "?a=b"), "must end with"},
		"redirect with a fragment":      {"", redirect(right + "#a"), ""},
		"redirect below another path":   {"", redirect("https://app.example.com/x/.auth/callback/corp"), "must end after the host and port"},
		"redirect with a user":          {"", redirect("https://me@app.example.com/.auth/callback/corp"), ""},
		"redirect that is a path":       {"", redirect("/.auth/callback/corp"), ""},
		"redirect of another scheme":    {"", redirect("ftp://app.example.com/.auth/callback/corp"), ""},
		"redirect in upper case":        {"", redirect("https://App.example.com/.auth/callback/corp"), "browsers write https://app.example.com"},
		"redirect with the port of all": {"", redirect("https://app.example.com:443/.auth/callback/corp"), "browsers write https://app.example.com"},
		"redirect at plain HTTP":        {"", redirect("http://app.example.com/.auth/callback/corp"), "must be https"},
		"redirect at plain HTTP, where only the provider is insecure": {"", oidcLogin("corp", "insecure_http\nredirect_uri http://app.example.com/.auth/callback/corp"), "must be https"},
		"redirect out of the domain":                                  {"cookie_domain example.com", redirect("https://app.example.org/.auth/callback/corp"), "must be within the cookie_domain example.com"},
		"redirect named like the domain":                              {"cookie_domain example.com", redirect("https://notexample.com/.auth/callback/corp"), "must be within the cookie_domain example.com"},

		"no issuer":                    {"", "oidc corp {\nclient_id gateway\n}", "login corp: issuer"},
		"issuer at plain HTTP":         {"", "oidc corp {\nissuer http://id.example.com\nclient_id gateway\n}", "login corp: issuer"},
		"no client_id":                 {"", "oidc corp {\nissuer https://id.example.com\n}", "login corp: client_id"},
		"unknown prompt":               {"", oidcLogin("corp", "prompt always"), "login corp: prompt"},
		"user name prefix of a rule":   {"", oidcLogin("corp", "user_name_prefix a:"), "login corp: user name prefix"},
		"parameter that is ours":       {"", oidcLogin("corp", "parameter redirect_uri https://evil.example.com"), "login corp: parameter"},
		"scope that is none":           {"", oidcLogin("corp", `scopes "open id"`), "login corp: scope"},
		"unknown preset":               {"", "oauth2 corp {\npreset gitea\nclient_id a\nclient_secret b\n}", "login corp: preset"},
		"neither preset nor endpoints": {"", "oauth2 corp {\nclient_id a\nclient_secret b\n}", "login corp: "},

		"key that is short":       {"secret_key 0123456789abcdef0123456789abcde", "password", "secret_key: key 1: must have 32 characters at least"},
		"older key that is short": {"secret_key 0123456789abcdef0123456789abcdef short", "password", "secret_key: key 2: must have 32 characters"},
		"placeholder of a key":    {"secret_key {env.TEST_EMPTY}", "password", "secret_key: key 1: has a placeholder"},
		"store that keeps no key": {"store test_keyless", oidcLogin("corp", ""), "secret_key: is needed, because the store cannot keep a key"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := validate(t, providerSite(test.app, test.login))
			if err == nil {
				t.Fatal("was accepted")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("says %q, want %q in it", err, test.want)
			}
		})
	}
}

// TestValidateRefusesJSON has what a Caddyfile cannot say.
func TestValidateRefusesJSON(t *testing.T) {
	for name, test := range map[string]struct{ login, want string }{
		"subject of an OpenID provider": {`{"module":"oidc","id":"corp","issuer":"https://id.example.com","client_id":"a","claims":{"subject":"oid"}}`, "login corp: claims: subject: cannot be chosen"},
		"token that there is none of":   {`{"module":"oidc","id":"corp","issuer":"https://id.example.com","client_id":"a","expose":["refresh_token"]}`, `login corp: expose: "refresh_token" is not access_token or id_token`},
		"token of OpenID alone":         {`{"module":"oauth2","id":"corp","preset":"github","client_id":"a","expose":["id_token"]}`, `login corp: expose: "id_token" is not access_token`},
		"rule of no kind":               {`{"module":"oidc","id":"corp","issuer":"https://id.example.com","client_id":"a","allow":[{"values":["a"]}]}`, "login corp: allow"},
		"unknown option":                {`{"module":"oidc","id":"corp","issuer":"https://id.example.com","client_id":"a","expse":["id_token"]}`, `"expse"`},
	} {
		t.Run(name, func(t *testing.T) {
			raw := json.RawMessage(`{"logins":[` + test.login + `]}`)
			t.Setenv("XDG_DATA_HOME", t.TempDir())
			err := caddy.Validate(&caddy.Config{AppsRaw: caddy.ModuleMap{appName: raw}, Admin: &caddy.AdminConfig{Disabled: true}})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("says %v, want %q in it", err, test.want)
			}
		})
	}
}

func TestValidateAcceptsProviders(t *testing.T) {
	t.Setenv("TEST_SECRET", "a secret of 32 characters at least")
	redirect := func(uri string) string { return oidcLogin("corp", "redirect_uri "+uri) }
	for name, test := range map[string]struct{ app, login string }{
		"the minimum":                   {"", oidcLogin("corp", "")},
		"every character of an id":      {"", oidcLogin("Corp.example_id-1", "")},
		"a password login beside":       {"login password", oidcLogin("corp", "client_secret {env.TEST_SECRET}")},
		"the portal's address":          {"", redirect("https://app.example.com/.auth/callback/corp")},
		"the other one":                 {"", redirect("https://app.example.com/.auth/oauth2/callback/corp")},
		"the portal's, with a port":     {"", redirect("https://app.example.com:8443/.auth/callback/corp")},
		"the portal's, elsewhere":       {"path /oauth2", redirect("https://app.example.com/oauth2/callback/corp")},
		"the portal's, on loopback":     {"", redirect("http://localhost:8080/.auth/callback/corp")},
		"the portal's, of an address":   {"", redirect("http://[::1]:8080/.auth/callback/corp")},
		"the portal's, in the domain":   {"cookie_domain example.com", redirect("https://auth.example.com/.auth/callback/corp")},
		"the portal's, that domain":     {"cookie_domain example.com", redirect("https://example.com/.auth/callback/corp")},
		"the portal's, insecure":        {"insecure_http", redirect("http://app.example.com/.auth/callback/corp")},
		"the preset":                    {"", "oauth2 corp {\npreset github\nclient_id a\nclient_secret {env.TEST_SECRET}\n}"},
		"endpoints":                     {"", oauth2Login("claims {\nsubject id\nuser_name login\n}\nclient_authentication client_secret_post\nissuer https://a.example.com")},
		"a store that keeps no key":     {"store test_keyless\nsecret_key {env.TEST_SECRET}", oidcLogin("corp", "")},
		"that store, without providers": {"store test_keyless", "password"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := validate(t, providerSite(test.app, test.login)); err != nil {
				t.Error(err)
			}
		})
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
