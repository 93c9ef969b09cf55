package caddymodule

import (
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// readLayoutOf provisions a Caddyfile's sites and reads their layout. It returns the gates by the group
// that they require, and the hosts that the log warns of.
func readLayoutOf(t *testing.T, sites string) (gates map[string]*Handler, warned []string) {
	t.Helper()
	app := provisionedSite(t, siteBlocks(sites))
	core, log := observer.New(zapcore.WarnLevel)
	app.log = zap.New(core)
	app.readLayout()
	for _, entry := range log.FilterMessageSnippet("forwards requests as they come").All() {
		for _, host := range entry.ContextMap()["hosts"].([]any) {
			warned = append(warned, host.(string))
		}
	}
	gates = make(map[string]*Handler)
	for _, server := range app.connected {
		for _, s := range sitesOf(server) {
			for _, h := range s.gates {
				name := ""
				if len(h.Require) > 0 {
					name = h.Require[0].Values[0]
				}
				gates[name] = h
			}
		}
	}
	return gates, warned
}

// TestWherePathsDecide: ambiguous paths are refused by default where a matcher decides about a gate by the
// path, and only there, so that sites of one gate keep all addresses of their app.
func TestWherePathsDecide(t *testing.T) {
	const admin, all = "multi_session {\nrequire group admin\n}\n", "multi_session\n"
	for name, test := range map[string]struct {
		site string
		want bool
	}{
		"one gate":                           {all + "reverse_proxy app:80", false},
		"one gate, and paths behind it":      {all + "handle /api/* {\nreverse_proxy api:80\n}\nhandle {\nreverse_proxy app:80\n}", false},
		"a path beside, without a gate":      {"handle /metrics {\nrespond 403\n}\nhandle {\n" + all + "reverse_proxy app:80\n}", false},
		"a gate for a method":                {"@write method POST PUT\nmulti_session @write\nreverse_proxy app:80", false},
		"a gate for no header and address":   {"@out {\nnot header X-Internal *\nnot remote_ip 10.0.0.0/8\n}\nmulti_session @out\nreverse_proxy app:80", false},
		"two gates by host":                  {"@a host a.example.com\nhandle @a {\n" + admin + "}\nhandle {\n" + all + "}", false},
		"a gate of paths":                    {"multi_session /admin* {\nrequire group admin\n}\nreverse_proxy app:80", true},
		"a gate of a named path":             {"@admin path /admin /admin/*\nmulti_session @admin {\nrequire group admin\n}\n", true},
		"a gate of no path":                  {"@private not path /public/*\nmulti_session @private", true},
		"a gate of a regexp":                 {"@admin path_regexp ^/admin\nmulti_session @admin", true},
		"a gate of an expression":            {"@admin `path('/admin/*')`\nmulti_session @admin", true},
		"a gate of files":                    {"@there file\nmulti_session @there", true},
		"gates in handles of paths":          {"handle /admin/* {\n" + admin + "}\nhandle {\n" + all + "}", true},
		"a gate in a handle_path":            {"handle_path /admin/* {\n" + admin + "}\nhandle {\n" + all + "}", true},
		"a gate in a route":                  {"route /admin/* {\n" + admin + "}\n", true},
		"a named route in a handle of paths": {"handle /admin/* {\ninvoke named\n}\nhandle {\n" + admin + "}", true},
	} {
		t.Run(name, func(t *testing.T) {
			gates, _ := readLayoutOf(t, "app.example.com {\n"+test.site+"\n}\nother.example.com {\nmulti_session {\nrequire group other\n}\n}")
			for group, h := range gates {
				if want := test.want && group != "other"; h.options.RefuseAmbiguousPaths != want {
					t.Errorf("the gate for %q refuses: %t, want %t", group, h.options.RefuseAmbiguousPaths, want)
				}
			}
			if len(gates) < 2 {
				t.Errorf("found %d gates", len(gates))
			}
		})
	}
}

// TestSitesThatShareHosts: a path that decides in one route of a host decides about the gates of all.
func TestSitesThatShareHosts(t *testing.T) {
	for name, test := range map[string]struct {
		sites string
		want  bool
	}{
		"the same host on another path": {"app.example.com/admin* {\nmulti_session {\nrequire group admin\n}\n}\napp.example.com {\nmulti_session\n}", true},
		"a wildcard":                    {"*.example.com {\nmulti_session\n}\napp.example.com {\nmulti_session /admin* {\nrequire group admin\n}\n}", true},
		"another host":                  {"b.example.com {\nmulti_session\n}\napp.example.com {\nmulti_session /admin* {\nrequire group admin\n}\n}", false},
	} {
		t.Run(name, func(t *testing.T) {
			gates, _ := readLayoutOf(t, test.sites)
			if gates[""] == nil || gates["admin"] == nil {
				t.Fatalf("found the gates %v", gates)
			}
			if got := gates[""].options.RefuseAmbiguousPaths; got != test.want {
				t.Errorf("the gate of all refuses: %t, want %t", got, test.want)
			}
			if !gates["admin"].options.RefuseAmbiguousPaths {
				t.Error("the gate of paths does not refuse")
			}
		})
	}
}

func TestAmbiguousPathsAsConfigured(t *testing.T) {
	gates, _ := readLayoutOf(t, "app.example.com {\nmulti_session {\nrequire group refuse\nambiguous_paths refuse\n}\n}\nb.example.com {\nmulti_session /admin* {\nrequire group allow\nambiguous_paths allow\n}\n}")
	if !gates["refuse"].options.RefuseAmbiguousPaths || gates["allow"].options.RefuseAmbiguousPaths {
		t.Error("it is not as it was configured")
	}
}

// TestRoutesBesideGates: the log warns of routes that forward what clients forge.
func TestRoutesBesideGates(t *testing.T) {
	for name, test := range map[string]struct {
		site string
		want bool
	}{
		"a gate in front of all":         {"multi_session\nreverse_proxy app:80", false},
		"a gate in front of the handles": {"multi_session /app/*\nhandle /app/* {\nreverse_proxy app:80\n}\nhandle {\nreverse_proxy app:80\n}", false},
		"a gate in each handle":          {"handle /app/* {\nmulti_session\nreverse_proxy app:80\n}\nhandle {\nmulti_session {\noptional\n}\nreverse_proxy app:80\n}", false},
		"nothing forwarded beside":       {"handle /health {\nrespond ok\n}\nhandle {\nmulti_session\nreverse_proxy app:80\n}", false},
		"a handle without a gate":        {"handle /app/* {\nmulti_session\nreverse_proxy app:80\n}\nhandle {\nreverse_proxy app:80\n}", true},
		"php without a gate":             {"handle /app/* {\nmulti_session\n}\nhandle {\nroot * /srv\nphp_fastcgi php:9000\n}", true},
		"no gate at all":                 {"reverse_proxy app:80", false},
		"a named route":                  {"handle /app/* {\ninvoke named\nreverse_proxy app:80\n}\nhandle {\ninvoke named\nreverse_proxy app:80\n}", false},
	} {
		t.Run(name, func(t *testing.T) {
			_, warned := readLayoutOf(t, "app.example.com {\n"+test.site+"\n}\nother.example.com {\nmulti_session\nreverse_proxy app:80\n}\nopen.example.com {\nreverse_proxy app:80\n}")
			if got := len(warned) == 1 && warned[0] == "app.example.com"; got != test.want || !test.want && len(warned) > 0 {
				t.Errorf("warned of %v, want it: %t", warned, test.want)
			}
		})
	}
}
