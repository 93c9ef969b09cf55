package integration

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestChromiumFetchesNoPageAhead: a page of alice has the browser fetch another one ahead of a visit.
// After a switch the visit shows bob's page, and without one alice's.
func TestChromiumFetchesNoPageAhead(t *testing.T) {
	ahead := map[string]string{
		"prefetch":      `Object.assign(document.createElement("script"), {type: "speculationrules", text: '{"prefetch": [{"urls": ["/other"], "eagerness": "immediate"}]}'})`,
		"prerender":     `Object.assign(document.createElement("script"), {type: "speculationrules", text: '{"prerender": [{"urls": ["/other"], "eagerness": "immediate"}]}'})`,
		"prefetch link": `Object.assign(document.createElement("link"), {rel: "prefetch", href: "/other"})`,
	}
	for name, element := range ahead {
		for _, user := range []string{"bob", "alice"} {
			t.Run(name+", then "+user, func(t *testing.T) {
				startChromium(t)
				app := newHoarder(t)
				address := freeAddress(t)
				g := startGateway(t, site(address, app.Listener.Addr().String(), "", "log\n "+publicStatic))
				l := looking{newFaultyTab(t), "http://" + address}
				l.signIn("bob")
				l.signIn("alice")
				l.open(l.origin + "/page")
				l.sees("at first", "/page", "alice")
				evaluate[bool](l.tab, `document.head.append(`+element+`), true`)
				await(t, "the browser to fetch /other ahead", func() bool { return fetchedAhead(t, g, "/other") })
				if user != "alice" {
					l.setActive(user)
				}
				l.link("/other")
				l.sees("the visit", "/other", user)
			})
		}
	}
}

// fetchedAhead reports whether the access log has an answered request for a path that a browser made
// ahead of a visit.
func fetchedAhead(t *testing.T, g *gateway, path string) bool {
	t.Helper()
	for line := range strings.Lines(g.log.String()) {
		var entry struct {
			Logger  string
			Request struct {
				URI     string
				Headers map[string][]string
			}
		}
		if json.Unmarshal([]byte(line), &entry) == nil && strings.HasPrefix(entry.Logger, "http.log.access") &&
			entry.Request.URI == path && len(entry.Request.Headers["Sec-Purpose"]) > 0 {
			return true
		}
	}
	return false
}
