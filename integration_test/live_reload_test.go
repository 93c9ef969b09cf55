package integration

import (
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
)

// TestLiveConnectionsOverReloads: what was opened under one configuration lives on under the next as far as
// Caddy lets it, and ends with its session whichever configuration ends that.
func TestLiveConnectionsOverReloads(t *testing.T) {
	t.Setenv("GODEBUG", "http2xconnect=1")
	s := &liveSite{newGateway(t), newLiveApp(t), freeAddress(t), freeAddress(t)}
	late := watchLag(t)
	first, second := filepath.Join(s.dir, "first.db"), filepath.Join(s.dir, "second.db")
	// Web sockets end at a reload unless the site says otherwise. Each variant is another configuration.
	config := func(database, options string, variant int) string {
		return s.config(storeAt(database)+"\n"+options, fmt.Sprintf("header X-Variant %d\n\tmulti_session\n\treverse_proxy /socket %s {\n\t\tstream_close_delay 1h\n\t}", variant, s.app.address()))
	}
	without := fmt.Sprintf("{\n}\nhttp://%s {\n\treverse_proxy %s\n}\nhttps://localhost:%s {\n\ttls internal\n\treverse_proxy %s\n}\n", s.plain, s.app.address(), port(s.secure), s.app.address())
	usual := config(first, "", 0)
	s.start(usual)
	awaitTLS(t, s.secure, "localhost")
	reload := func(t *testing.T, caddyfile string) {
		t.Helper()
		if err := s.reload(caddyfile); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name string
		end  func(t *testing.T, b *browser, alice string)
		all  bool // bob's end too
		gone bool // the gateway of before is gone
	}{
		{"revoked", func(t *testing.T, b *browser, alice string) {
			b.expectOK(b.post(revokePath, object{"sessionToken": alice}))
		}, false, false},
		{"signed in anew, which moves the jar, and then revoked", func(t *testing.T, b *browser, alice string) {
			b.signIn("carol")
			b.expectOK(b.post(revokePath, object{"sessionToken": alice}))
		}, false, false},
		{"ended by an administrator", func(t *testing.T, b *browser, _ string) {
			s.done(http.MethodDelete, "/sessions?user=alice", nil)
		}, false, false},
		{"taken out of the configuration", func(t *testing.T, _ *browser, _ string) { reload(t, withoutUser(t, config(first, "", 3), "alice")) }, false, false},
		{"taken out and put in again at once", func(t *testing.T, _ *browser, _ string) {
			reload(t, withoutUser(t, config(first, "", 3), "alice"))
			reload(t, config(first, "", 4))
		}, false, false},
		{"a shorter lifetime", func(t *testing.T, _ *browser, _ string) { reload(t, config(first, "lifetime 1s", 3)) }, true, false},
		{"another database", func(t *testing.T, _ *browser, _ string) { reload(t, config(second, "", 3)) }, true, true},
		{"the gateway is taken out", func(t *testing.T, _ *browser, _ string) { reload(t, without) }, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			reload(t, usual)
			var alices, bobs []*line
			var browsers []*browser
			var handles []string
			for _, protocol := range protocols {
				b := s.browser(t, protocol)
				b.signIn("bob")
				bobs = append(bobs, b.lines(t, s.app)...)
				handles = append(handles, b.signIn("alice"))
				alices = append(alices, b.lines(t, s.app)...)
				browsers = append(browsers, b)
			}
			reload(t, config(first, "", 1))
			reload(t, config(first, "", 2))
			if err := s.reload(config(first, "max_sessions 0", 3)); err == nil {
				t.Fatal("a configuration that makes no sense is loaded")
			}
			for _, l := range alices {
				if l.kind.name != "poll" { // which can be answered once
					l.alive()
				}
			}
			for i, b := range browsers {
				test.end(t, b, handles[i])
			}
			after := late.now()
			for _, l := range slices.Concat(alices, bobs) {
				l.outlives = test.gone
			}
			allEnded(alices, after, late)
			allOver(bobs, test.all, after, late)
		})
	}
	s.calm(t)
}

// TestCaddyEndsSocketsAtReloads: that the gateway follows what is live over reloads keeps nothing alive
// that Caddy ends.
func TestCaddyEndsSocketsAtReloads(t *testing.T) {
	s := newLiveSite(t, "", "multi_session")
	var sockets []*line
	for _, protocol := range protocols {
		b := s.browser(t, protocol)
		b.signIn("alice")
		sockets = append(sockets, b.line(t, s.app, kind{"socket", openSocket, false}, ""))
	}
	if err := s.reload(s.config("", "header X-Other 1\n\tmulti_session")); err != nil {
		t.Fatal(err)
	}
	for _, l := range sockets {
		await(t, l.name+" to end", func() bool {
			select {
			case <-l.over:
				return true
			default:
				return false
			}
		})
	}
	s.calm(t)
}
