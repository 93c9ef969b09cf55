package gate

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestAttackReplayedEarlyData: a request that came before the handshake was complete changes nothing
// and reaches nobody, as it can be a recording, and as its address can be made up.
func TestAttackReplayedEarlyData(t *testing.T) {
	never := func(*http.Request) (bool, error) { return false, nil }
	handshaking, complete := &tls.ConnectionState{}, &tls.ConnectionState{HandshakeComplete: true}
	for name, test := range map[string]struct {
		tls     *tls.ConnectionState
		header  []string
		method  string
		path    string
		signOut bool
		options func(*Options)
		resumes bool
		answer  string // empty if the upstream answers
	}{
		"a page of the app":               {tls: handshaking, answer: "early"},
		"a form of the app":               {tls: handshaking, method: http.MethodPost, answer: "early"},
		"a page of the portal":            {tls: handshaking, path: "/.auth/accounts", answer: "early"},
		"a switch":                        {tls: handshaking, method: http.MethodPost, path: "/.auth/multi-session/set-active", answer: "early"},
		"a provider's answer":             {tls: handshaking, path: "/.auth/callback/idp?code=x", answer: "early"},
		"the way back of a sign-in":       {tls: handshaking, resumes: true, answer: "early"},
		"of nobody":                       {tls: handshaking, signOut: true, answer: "early"},
		"where nobody needs an account":   {tls: handshaking, options: func(o *Options) { o.Optional = true }, answer: "early"},
		"that the gate leaves out":        {tls: handshaking, options: func(o *Options) { o.Applies = never }, answer: "early"},
		"an upgrade":                      {tls: handshaking, header: []string{"Upgrade", "websocket"}, answer: "early"},
		"a page fetched ahead":            {tls: handshaking, header: slices.Concat(navigation, []string{"Sec-Purpose", "prefetch"}), answer: "early"},
		"that expects another session":    {tls: handshaking, header: []string{ExpectHeader, "another"}, answer: "early"},
		"early to a proxy before":         {tls: complete, header: []string{"Early-Data", "1"}, answer: "early"},
		"early to a proxy, over HTTP":     {header: []string{"Early-Data", "1"}, answer: "early"},
		"an invalid field is a valid one": {tls: complete, header: []string{"Early-Data", "0"}, answer: "early"},
		"after the handshake":             {tls: complete},
		"over HTTP":                       {},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).signIn("alice")
			cookies := w.jar()
			if test.signOut {
				w.signOut("alice")
			}
			sessions := &countingSessions{Sessions: w.Sessions}
			w.Sessions = sessions
			w.portal.resumes = test.resumes
			o := isolating(t)
			if test.options != nil {
				test.options(o)
			}
			if test.path == "" {
				test.path = "/page"
			}
			r := w.request(test.path, slices.Clone(test.header)...)
			if test.method != "" {
				r.Method = test.method
			}
			r.TLS = test.tls
			if r.TLS != nil {
				r.Header.Set("Cookie", strings.Replace(cookies, "multi_session=", "__Host-Http-multi_session=", 1))
				if test.answer == "" {
					w.confirm(r)
				}
			}
			r = serverContext(r)
			var next upstream
			answer := w.serve(r, o, &next)
			if got := answer.Body.String(); got != test.answer || (len(next.requests) > 0) != (test.answer == "") {
				t.Errorf("the answer is %d %q, want %q; the upstream was sent %d requests", answer.Code, got, test.answer, len(next.requests))
			}
			if test.answer != "" && sessions.visits > 0 {
				t.Errorf("the jar was looked up %d times", sessions.visits)
			}
		})
	}
}

// TestErrorRouteOfEarlyData: where the server itself has refused early data, its error routes are
// nobody's, and see neither the gateway's cookies nor a forged identity.
func TestErrorRouteOfEarlyData(t *testing.T) {
	w := newWorld(t).signIn("alice")
	r := w.request("/page", "Cookie", "theme=dark", "X-User", "alice")
	r.TLS = &tls.ConnectionState{}
	r.Header.Set("Cookie", "__Host-Http-"+w.jar()+"; theme=dark")
	o := isolating(t)
	o.ErrorRoute = true
	var next upstream
	if err := w.ServeErrorRoute(httptest.NewRecorder(), serverContext(r), o, &next); err != nil {
		t.Fatal(err)
	}
	if len(next.requests) != 1 {
		t.Fatal("the error route did not get the request")
	}
	if h := next.requests[0]; h.Get("X-User") != "" || strings.Contains(h.Get("Cookie"), "multi_session") {
		t.Errorf("the error route is shown %v", h)
	}
}
