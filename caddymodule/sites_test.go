package caddymodule

import (
	"slices"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// siteBlocks is a Caddyfile with one login, whose sites follow.
func siteBlocks(sites string) string {
	return `{
	admin off
	multi_session {
		login password {
			` + userLine("alice", "alice@example.com") + `
		}
	}
}
(gate) {
	multi_session
}
&(named) {
	multi_session
}
` + sites
}

// TestSiteOrigins: the start-up log names the addresses at which people can open the gateway.
func TestSiteOrigins(t *testing.T) {
	for name, test := range map[string]struct {
		sites string
		want  []string
	}{
		"HTTPS":                {"app.example.com {\nmulti_session\n}", []string{"https://app.example.com"}},
		"HTTPS, another port":  {"app.example.com:8443 {\nmulti_session\n}", []string{"https://app.example.com:8443"}},
		"plain HTTP":           {"http://app.example.com {\nmulti_session\n}", []string{"http://app.example.com"}},
		"loopback":             {"http://localhost:8080 {\nbind 127.0.0.1 ::1\nmulti_session\n}", []string{"http://localhost:8080"}},
		"a port alone":         {":8080 {\nmulti_session\n}", []string{"http://localhost:8080"}},
		"a port of an address": {":8080 {\nbind 192.0.2.1\nmulti_session\n}", []string{"http://192.0.2.1:8080"}},
		"IPv6":                 {":8080 {\nbind 2001:db8::1\nmulti_session\n}", []string{"http://[2001:db8::1]:8080"}},
		"a socket":             {"http://app.example.com {\nbind unix//tmp/gate.sock\nmulti_session\n}", nil},
		"several hosts":        {"b.example.com, a.example.com {\nmulti_session\n}", []string{"https://a.example.com", "https://b.example.com"}},
		"only some sites":      {"a.example.com {\nmulti_session\n}\nb.example.com {\nrespond ok\n}", []string{"https://a.example.com"}},
		"a host in a wildcard": {"*.example.com {\n@a host a.example.com\nhandle @a {\nmulti_session\n}\n}", []string{"https://a.example.com"}},
		"in a snippet":         {"a.example.com {\nimport gate\n}", []string{"https://a.example.com"}},
		"in a named route":     {"a.example.com {\ninvoke named\n}", []string{"https://a.example.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			app := provisionedSite(t, siteBlocks(test.sites))
			if got := app.siteOrigins(); !slices.Equal(got, test.want) {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}

// TestUnreachedPortal: the log warns of a gate that sends people to a page which another handler
// answers.
func TestUnreachedPortal(t *testing.T) {
	for name, test := range map[string]struct {
		site string
		want []string
	}{
		"at the top":                  {"multi_session\nrespond ok", nil},
		"for some paths":              {"multi_session /app/*\nrespond ok", nil},
		"in a handle of paths":        {"handle /app/* {\nmulti_session\n}\nhandle {\nrespond ok\n}", []string{"a.example.com"}},
		"in a handle_path":            {"handle_path /app/* {\nmulti_session\n}", []string{"a.example.com"}},
		"in a route of paths":         {"route /app/* {\nmulti_session\n}", []string{"a.example.com"}},
		"in a handle of all":          {"handle {\nmulti_session\n}", nil},
		"in the handle of the rest":   {"handle /public/* {\nrespond ok\n}\nhandle {\nmulti_session\n}", nil},
		"in a handle of other paths":  {"@private not path /public/*\nhandle @private {\nmulti_session\n}", nil},
		"in a handle of no auth path": {"@private not path /.auth/*\nhandle @private {\nmulti_session\n}", []string{"a.example.com"}},
		"beside one of the portal":    {"handle /app/* {\nmulti_session\n}\nhandle /.auth/* {\nmulti_session\n}", nil},
		"in a handle of a regexp":     {"@app path_regexp ^/app\nhandle @app {\nmulti_session\n}", []string{"a.example.com"}},
		"in a handle of a method":     {"@post method POST\nhandle @post {\nmulti_session\n}", []string{"a.example.com"}},
		"in a handle of a header":     {"@app header X-App *\nhandle @app {\nmulti_session\n}", nil},
		"behind a handle of a header": {"@app header X-App *\nhandle @app {\nrespond ok\n}\nhandle {\nmulti_session\n}", nil},
		"in a named route":            {"handle /app/* {\ninvoke named\n}", []string{"a.example.com"}},
		"the portal is taken":         {"handle /.auth/* {\nrespond ok\n}\nhandle {\nmulti_session\n}", []string{"a.example.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			app := provisionedSite(t, siteBlocks("a.example.com {\n"+test.site+"\n}\nb.example.com {\nmulti_session\n}\n"))
			checkUnreached(t, app, test.want)
		})
	}
	t.Run("in handles of hosts", func(t *testing.T) {
		checkUnreached(t, provisionedSite(t, siteBlocks(`*.example.com {
	@a host a.example.com
	handle @a {
		multi_session
	}
	@c host c.example.com
	handle @c {
		handle /app/* {
			multi_session
		}
	}
}`)), []string{"c.example.com"})
	})
}

// checkUnreached compares the hosts that the log warns of.
func checkUnreached(t *testing.T, app *App, want []string) {
	t.Helper()
	core, log := observer.New(zapcore.WarnLevel)
	app.log = zap.New(core)
	app.warnUnreachedPortal()
	var got []string
	for _, line := range log.FilterMessageSnippet("pages cannot be opened").All() {
		got = append(got, line.ContextMap()["host"].(string))
	}
	if !slices.Equal(got, want) {
		t.Errorf("warns of %q, want %q", got, want)
	}
}
