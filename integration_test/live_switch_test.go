package integration

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestLiveConnectionsAndSwitches: a switch ends what is live as who was active before where the site says
// so, and nothing elsewhere. Whoever is switched to again has lost it all the same.
func TestLiveConnectionsAndSwitches(t *testing.T) {
	const sites = `@ends path /ends/*
	route @ends {
		multi_session {
			end_streams_on_switch
		}
		uri strip_prefix /ends
		reverse_proxy %[1]s
	}
	route {
		multi_session
		reverse_proxy %[1]s
	}`
	t.Setenv("GODEBUG", "http2xconnect=1")
	s := &liveSite{newGateway(t), newLiveApp(t), freeAddress(t), freeAddress(t)}
	s.start(s.config("", fmt.Sprintf(sites, s.app.address())))
	awaitTLS(t, s.secure, "localhost")
	late := watchLag(t)

	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			for _, test := range []struct {
				name string
				do   func(b *browser, alice string)
				ends bool // what ends on a switch does

				alice, bob bool // what does not has lost its session
			}{
				{"a switch", func(b *browser, _ string) { b.become("password:bob") }, true, false, false},
				{"a sign-in of another account", func(b *browser, _ string) { b.signIn("carol") }, true, false, false},
				{"the active account is removed", func(b *browser, alice string) {
					b.expectOK(b.post(revokePath, object{"sessionToken": alice}))
				}, true, true, false},
				{"another account is removed", func(b *browser, _ string) {
					b.expectOK(b.post(revokePath, object{"sessionToken": b.handles()["password:bob"]}))
				}, false, false, true},
				{"a switch to who is active", func(b *browser, _ string) { b.become("password:alice") }, false, false, false},
			} {
				t.Run(test.name, func(t *testing.T) {
					b := s.browser(t, protocol)
					b.signIn("bob")
					asBob := b.lines(t, s.app) // where a switch ends nothing
					alice := b.signIn("alice")
					var ending, staying []*line
					for _, k := range kinds {
						ending = append(ending, b.line(t, s.app, k, "/ends"))
						staying = append(staying, b.line(t, s.app, k, ""))
					}
					test.do(b, alice)
					over := late.now()
					// Those that end come first: they say when the others would have.
					if test.bob {
						allOver(asBob, true, over, late)
					}
					if !test.ends && !test.bob {
						s.judged(t, protocol, "", late)
					}
					allOver(ending, test.ends, over, late)
					allOver(staying, test.alice, over, late)
					if !test.bob {
						allOver(asBob, false, over, late)
					}
				})
			}
		})
	}
	s.calm(t)
}

// TestWhoseLiveConnection: a request belongs to the session whose identity or cookies the app was given,
// whichever way it came to that, and to nobody where it was given neither.
func TestWhoseLiveConnection(t *testing.T) {
	for _, test := range []struct {
		name       string
		directives string
		ends       bool
	}{
		{"a gate", "multi_session", true},
		{"identity without cookies", "multi_session {\n isolate_cookies off\n}", true},
		{"cookies without identity", "multi_session /admin/*", true},
		{"neither", "multi_session /admin/* {\n isolate_cookies off\n}", false},
		{"optional", "multi_session {\n optional\n}", true},
		{"a gate inside of one that leaves it out", "multi_session /admin/* {\n isolate_cookies off\n}\n handle {\n multi_session\n reverse_proxy {upstream}\n}", true},
		{"a gate around one that leaves it out", "multi_session\n handle {\n multi_session /admin/* {\n isolate_cookies off\n}\n reverse_proxy {upstream}\n}", true},
		{"an error route behind a gate", "multi_session\n handle {\n error 418\n}\n handle_errors {\n reverse_proxy {upstream}\n}", true},
		{"an error route before any gate", "@live path /events /poll /download\n route {\n error @live 418\n multi_session\n}\n handle_errors {\n reverse_proxy {upstream}\n}", false},
		{"behind encode", "encode {\n match status 200\n}\n multi_session", true},
		{"answers flushed at once", "handle {\n multi_session\n reverse_proxy {upstream} {\n flush_interval -1\n}\n}", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			app := newLiveApp(t)
			s := &liveSite{newGateway(t), app, freeAddress(t), freeAddress(t)}
			late := watchLag(t)
			s.start(s.config("", strings.ReplaceAll(test.directives, "{upstream}", app.address())))
			awaitTLS(t, s.secure, "localhost")
			var all []*line
			for _, protocol := range protocols {
				b := s.browser(t, protocol)
				alice := b.signIn("alice")
				for _, k := range kinds {
					if k.name == "events" || k.name == "poll" || k.name == "download" {
						all = append(all, b.line(t, app, k, ""))
					}
				}
				b.expectOK(b.post(revokePath, object{"sessionToken": alice}))
			}
			over := late.now()
			if !test.ends {
				s.judged(t, protocols[0], "/admin", late) // a gate is for that in each of these
			}
			allOver(all, test.ends, over, late)
			s.calm(t)
		})
	}
}

// TestLiveConnectionsOfNobody: who is not signed in has what is live for as long as it lasts, whoever
// signs in meanwhile. It was opened with nobody's identity and nobody's cookies.
func TestLiveConnectionsOfNobody(t *testing.T) {
	s := newLiveSite(t, "", "multi_session {\n\toptional\n\tend_streams_on_switch\n\t}")
	late := watchLag(t)
	for _, protocol := range protocols {
		b := s.browser(t, protocol)
		nobodys := b.lines(t, s.app)
		alice := b.signIn("alice")
		alices := b.lines(t, s.app)
		b.expectOK(b.post(revokePath, object{"sessionToken": alice}))
		over := late.now()
		allEnded(alices, over, late)
		for _, l := range nobodys {
			if got := l.server().user; got != "" {
				t.Errorf("%s is made as %q", l.name, got)
			}
			l.alive()
		}
	}
}

// TestAttackLateCookies: the answer to a request whose session has ended meanwhile sets no cookie, neither
// of the app's that goes on answering nor of the gateway's.
func TestAttackLateCookies(t *testing.T) {
	s := newLiveSite(t, "", "multi_session")
	late := watchLag(t)
	for _, protocol := range protocols {
		b := s.browser(t, protocol)
		alice := b.signIn("alice")
		l := b.line(t, s.app, kind{"poll", openPoll, true}, "")
		b.expectOK(b.post(revokePath, object{"sessionToken": alice}))
		l.ended(late.now(), late)
		if cookies := b.cookieHeader(); strings.Contains(cookies, "polled") {
			t.Errorf("%s: the browser has %s", protocol, cookies)
		}
		if answer := b.get("/"); answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %s", protocol, answer.Status)
		}
	}
}
