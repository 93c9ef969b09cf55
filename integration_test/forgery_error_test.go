package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// brokenEarly are sites whose requests can fail before they come to the gate, and whose error routes
// lead to the upstream. {broken} is where they do fail.
var brokenEarly = []struct{ name, directives string }{
	{"in a route in front of it", `
		route {
			error {broken} 500
			multi_session
			reverse_proxy {upstream}
		}
		handle_errors {
			reverse_proxy {upstream}
		}`},
	{"error routes written first", `
		handle_errors 4xx {
			reverse_proxy {upstream}
		}
		handle_errors 5xx {
			rewrite * /broken{uri}
			reverse_proxy {upstream}
		}
		route {
			error {broken} 500
			multi_session
			reverse_proxy {upstream}
		}`},
	{"in a matcher", `
		@odd expression ` + "`int({http.request.uri.query.number}) == 1`" + `
		redir @odd /elsewhere
		multi_session
		handle_errors {
			reverse_proxy {upstream}
		}`},
	{"in the gate's own matcher", `
		@odd expression ` + "`int({http.request.uri.query.number}) == 1`" + `
		multi_session @odd
		handle_errors {
			reverse_proxy {upstream}
		}`},
	{"gate in handle", `
		handle {
			multi_session
			reverse_proxy {upstream}
		}
		handle {broken} {
			error 500
		}
		handle_errors {
			handle {
				reverse_proxy {upstream}
			}
		}`},
	{"gate in both", `
		route {
			error {broken} 500
			multi_session
			reverse_proxy {upstream}
		}
		handle_errors {
			multi_session {
				optional
				identity_headers off
			}
			reverse_proxy {upstream}
		}`},
	{"other site of the server", `
		error {broken} 500
		handle_errors {
			reverse_proxy {upstream}
		}`},
	{"in an imported snippet", `
		import gated
		handle_errors {
			reverse_proxy {upstream}
		}`},
	{"by the upstream that is down", `
		multi_session {
			optional
			identity_headers off
		}
		handle_errors {
			reverse_proxy {upstream}
		}
		reverse_proxy {broken} {down}`},
}

// The ways to fail early that are the client's, whatever the site does.
var earlyFailures = map[string]string{
	"the site fails":     "GET /broken HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}{fields}\r\n",
	"bad number":         "GET /broken?number=x HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}{fields}\r\n",
	"long method":        strings.Repeat("X", 33) + " /broken HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}{fields}\r\n",
	"longer method":      strings.Repeat("X", 5000) + " /broken HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}{fields}\r\n",
	"host of dots":       "GET /broken HTTP/1.1\r\nHost: ...\r\n{cookie}{close}{fields}\r\n",
	"no host":            "GET /broken HTTP/1.1\r\nHost:\r\n{cookie}{close}{fields}\r\n",
	"body with trailers": "POST /broken?number=x HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Transfer-Encoding: chunked\r\nTrailer: Remote-User, X-Checksum\r\n{fields}\r\n2\r\nhi\r\n0\r\nX-Checksum: 1\r\nRemote-User: forged\r\nRemote_Groups: forged\r\n\r\n",
	"Connection":         strings.Repeat("X", 33) + " /broken HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Connection: Remote-User\r\n{fields}\r\n",
}

// TestForgedIdentityByError has requests fail before any gate has seen them, where Caddy hands them as
// they came to error routes. No identity may come to an upstream by those, neither forged nor true.
func TestForgedIdentityByError(t *testing.T) {
	up := newWiretap(t)
	config := fmt.Sprintf(`{
	servers {
		expected_underscore_headers Remote_* X_*
	}
	multi_session {
		login password {
			throttle off
			%s
		}
	}
}
(gated) {
	error /broken* 500
	multi_session /admin/*
}
`, userOptions)
	addresses := make([]string, len(brokenEarly))
	fill := strings.NewReplacer("{broken}", "/broken*", "{upstream}", up.address, "{down}", freeAddress(t))
	for i, site := range brokenEarly {
		addresses[i] = freeAddress(t)
		config += fmt.Sprintf("http://:%s {\n%s\n}\n", port(addresses[i]), fill.Replace(site.directives))
		if site.name == "other site of the server" {
			config += fmt.Sprintf("http://gated.example:%s {\n\tmulti_session {\n\t\theader X-Department other\n\t}\n\treverse_proxy %s\n}\n", port(addresses[i]), up.address)
		}
	}
	startGateway(t, config)
	cookie := signedIn(t, "http://"+addresses[0])

	came := make(map[string]bool)
	for i, site := range brokenEarly {
		for name, asked := range map[string]string{"alice": cookie, "nobody": ""} {
			t.Run(site.name+" as "+name, func(t *testing.T) {
				for failure, raw := range earlyFailures {
					t.Run(failure, func(t *testing.T) {
						raw = strings.ReplaceAll(raw, "{fields}", every("%s: forged\r\n"))
						for _, answer := range send(t, addresses[i], fillIn(raw, addresses[i], asked)) {
							if got, ok := answer.wire(); ok {
								check(t, got, nobody)
								came[site.name], came[failure] = true, true
							}
						}
					})
				}
			})
		}
	}
	checkAll(t, up)
	for _, site := range brokenEarly {
		if !came[site.name] {
			t.Errorf("%s: nothing came to the upstream, so nothing was tested", site.name)
		}
	}
	for failure := range earlyFailures {
		// net/http answers a request without a host by itself.
		if !came[failure] && failure != "no host" {
			t.Errorf("%s: nothing came to the upstream, so nothing was tested", failure)
		}
	}
}

// fillIn is fill for requests that name their path themselves.
func fillIn(raw, host, cookie string) string { return fill(raw, host, "", cookie) }

// TestForgedIdentityByNamedRoute is about gates that a site invokes, and which Caddy provisions after
// the error routes: there it must not serve what it cannot keep forged identities out of.
func TestForgedIdentityByNamedRoute(t *testing.T) {
	up := newWiretap(t)
	address := freeAddress(t)
	config := func(errors string) string {
		return fmt.Sprintf(`{
	multi_session {
		login password {
			throttle off
			%s
		}
	}
}
&(gated) {
	route {
		multi_session
		reverse_proxy %s
	}
}
http://:%s {
	%s
	invoke gated
}
`, userOptions, up.address, port(address), errors)
	}
	t.Run("without error routes", func(t *testing.T) {
		g := startGateway(t, config(""))
		cookie := signedIn(t, "http://"+address)
		answers := send(t, address, fill("GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}{close}Remote-User: forged\r\nRemote!Groups: forged\r\n\r\n", address, "/x", cookie))
		if len(answers) != 1 || answers[0].StatusCode != http.StatusOK {
			t.Fatalf("%v", answers)
		}
		got, _ := answers[0].wire()
		check(t, got, remoteAlice)
		checkAll(t, up)

		// A site's own gate comes early enough for the error routes, wherever else there are gates.
		if err := g.reload(config("multi_session /none/*\n\thandle_errors {\n\t\treverse_proxy " + up.address + "\n\t}")); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("with error routes", func(t *testing.T) {
		g := newGateway(t)
		g.launch(config("handle_errors {\n\t\treverse_proxy " + up.address + "\n\t}"))
		await(t, "the gateway to serve or to refuse", func() bool {
			select {
			case <-g.ended:
				return true
			default:
				return strings.Contains(g.log.String(), "serving initial configuration")
			}
		})
		if log := g.log.String(); !strings.Contains(log, "serving initial configuration") {
			if !strings.Contains(log, "handle_errors") {
				t.Errorf("refused without a word about the cause:\n%s", log)
			}
			return
		}
		for _, answer := range send(t, address, fill(strings.Repeat("X", 33)+" / HTTP/1.1\r\nHost: {host}\r\n{close}Remote-User: forged\r\nRemote!Groups: forged\r\n\r\n", address, "", "")) {
			if got, ok := answer.wire(); ok {
				check(t, got, nobody)
			}
		}
	})
}

// TestTunnelToUpstream is h2c smuggling: who could talk another HTTP to the upstream, through a
// connection that was switched over, could tell it any identity.
func TestTunnelToUpstream(t *testing.T) {
	up := newSwitching(t)
	all := doors()
	openDoors(t, strings.TrimPrefix(up.URL, "http://"), "", all)
	cookie := signedIn(t, "http://"+all[0].plain)
	for _, d := range all {
		for name, asked := range d.cast(cookie) {
			for _, protocol := range []string{"h2c", "H2C", "h2c, websocket", "websocket, h2c", "HTTP/2.0", "HTTP/1.1", "TLS/1.0, HTTP/1.1", "h2"} {
				t.Run(d.name+" as "+name+" to "+protocol, func(t *testing.T) {
					raw := "GET {path} HTTP/1.1\r\nHost: {host}\r\n{cookie}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: " + protocol + "\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
					answer := first(t, d.plain, fill(raw, d.plain, d.path, asked.cookie))
					if answer.StatusCode == http.StatusSwitchingProtocols && !strings.EqualFold(answer.Header.Get("Upgrade"), "websocket") {
						t.Errorf("switched to %q", answer.Header["Upgrade"])
					}
				})
			}
		}
	}
}
