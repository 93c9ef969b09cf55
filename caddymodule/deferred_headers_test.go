package caddymodule

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// TestDeferredHeadersInFrontOfAGate: which header directives undo what a gate does about caches.
func TestDeferredHeadersInFrontOfAGate(t *testing.T) {
	const immutable = `"public, max-age=31536000, immutable"`
	for name, test := range map[string]struct {
		site string
		want []string
	}{
		"nothing":                      {"multi_session", nil},
		"at once":                      {"header Cache-Control " + immutable + "\nmulti_session", nil},
		"beside a deletion":            {"header {\n-Server\nCache-Control " + immutable + "\n}\nmulti_session", []string{"Cache-Control"}},
		"deferred by the block":        {"header {\ndefer\nCache-Control " + immutable + "\n}\nmulti_session", []string{"Cache-Control"}},
		"deferred by the field":        {"header >Cache-Control " + immutable + "\nmulti_session", []string{"Cache-Control"}},
		"added":                        {"header {\n-Server\n+Cache-Control max-age=60\n}\nmulti_session", []string{"Cache-Control"}},
		"replaced":                     {"header >Cache-Control no-cache max-age=60\nmulti_session", []string{"Cache-Control"}},
		"deleted":                      {"header -Cache-Control\nmulti_session", []string{"Cache-Control"}},
		"deleted by a prefix":          {"header -Cache-*\nmulti_session", []string{"Cache-Control"}},
		"deleted by a suffix":          {"header -*-control\nmulti_session", []string{"Cache-Control"}},
		"deleted by a part":            {"header -*tag*\nmulti_session", []string{"Etag"}},
		"validators":                   {"header {\n-ETag\nVary Accept\nExpires 0\n}\nmulti_session", []string{"Etag", "Expires", "Vary"}},
		"of shared caches":             {"header >CDN-Cache-Control max-age=60\nmulti_session", []string{"Cdn-Cache-Control"}},
		"for some answers":             {"header {\nCache-Control " + immutable + "\nmatch status 200\n}\nmulti_session", []string{"Cache-Control"}},
		"where there is none":          {"header ?Cache-Control " + immutable + "\nmulti_session", nil},
		"stricter":                     {"header {\n-Server\nCache-Control no-store\n}\nmulti_session", nil},
		"as strict":                    {"header {\n-Server\nCache-Control \"private, no-cache\"\n}\nmulti_session", nil},
		"other fields":                 {"header {\n-Server\nReferrer-Policy no-referrer\n+Vary Accept\n}\nmulti_session", nil},
		"of requests":                  {"request_header -Cache-Control\nmulti_session", nil},
		"isolation off":                {"header >Cache-Control " + immutable + "\nmulti_session {\nisolate_cache off\n}", nil},
		"behind the gate":              {"route {\nmulti_session\nheader >Cache-Control " + immutable + "\n}", nil},
		"in front, in a route":         {"route {\nheader >Cache-Control " + immutable + "\nmulti_session\n}", []string{"Cache-Control"}},
		"without a gate behind":        {"header >Cache-Control " + immutable, nil},
		"for some paths":               {"header /static/* >Cache-Control " + immutable + "\nmulti_session", []string{"Cache-Control"}},
		"for paths that may be public": {"header /static/* >Cache-Control " + immutable + "\nmulti_session {\nisolate_cache {\npublic /static/*\n}\n}", nil},
		"for all, beside public paths": {"header >Cache-Control " + immutable + "\nmulti_session {\nisolate_cache {\npublic /static/*\n}\n}", []string{"Cache-Control"}},
		"in another handle block":      {"handle /a/* {\nheader >Cache-Control " + immutable + "\n}\nhandle {\nmulti_session\n}", nil},
		"in the same handle block":     {"handle {\nheader >Cache-Control " + immutable + "\nmulti_session\n}", []string{"Cache-Control"}},
		"gate in a named route":        {"header >Cache-Control " + immutable + "\ninvoke gated", []string{"Cache-Control"}},
		"header in a named route":      {"route {\ninvoke fast\nmulti_session\n}", []string{"Cache-Control"}},
	} {
		t.Run(name, func(t *testing.T) {
			app := provisionedSite(t, `{
	multi_session {
		login password {
			`+userLine("alice", "alice@example.com")+`
		}
	}
}
&(gated) {
	multi_session
}
&(fast) {
	header >Cache-Control `+immutable+`
}
http://localhost:0 {
	`+test.site+`
	respond ok
}
http://other.localhost:0 {
	multi_session
	respond ok
}
`)
			core, log := observer.New(zapcore.WarnLevel)
			app.log = zap.New(core)
			if err := app.Start(); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, line := range log.FilterMessageSnippet("after the gate has set it").All() {
				got = append(got, line.ContextMap()["field"].(string))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("warns of %q, want %q", got, test.want)
			}
		})
	}
}

// provisionedSite returns the app of a Caddyfile that could be started.
func provisionedSite(t *testing.T, caddyfile string) *App {
	t.Helper()
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), nil)
	if err != nil {
		t.Fatal(err)
	}
	parsed := caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}}
	if err := json.Unmarshal(config, &parsed); err != nil {
		t.Fatal(err)
	}
	ctx, err := caddy.ProvisionContext(&parsed)
	if err != nil {
		t.Fatal(err)
	}
	module, err := ctx.App(appName)
	if err != nil {
		t.Fatal(err)
	}
	app := module.(*App)
	t.Cleanup(func() {
		if err := app.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	return app
}
