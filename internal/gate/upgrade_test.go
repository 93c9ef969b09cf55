package gate

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestAttackUpgradeFromAnotherOrigin: a page of another origin opens a WebSocket, with which the
// browser sends the cookies of this site.
func TestAttackUpgradeFromAnotherOrigin(t *testing.T) {
	never := func(*http.Request) (bool, error) { return false, nil }
	socket := []string{"Connection", "Upgrade", "Upgrade", "websocket"}
	for name, test := range map[string]struct {
		origins   []string
		header    []string // a WebSocket of HTTP/1.1
		connect   bool     // an extended CONNECT instead
		signedOut bool
		host      string // localhost
		options   func(*Options)
		refused   bool
	}{
		"this origin":                      {origins: []string{"http://localhost"}},
		"this origin with its port":        {origins: []string{"http://localhost:8080"}, host: "localhost:8080"},
		"this origin, default port":        {origins: []string{"http://localhost"}, host: "localhost:80"},
		"another port":                     {origins: []string{"http://localhost:8081"}, refused: true},
		"another scheme":                   {origins: []string{"https://localhost"}, refused: true},
		"a sibling":                        {origins: []string{"http://opt.localhost"}, refused: true},
		"another site":                     {origins: []string{"https://evil.example"}, refused: true},
		"null":                             {origins: []string{"null"}, refused: true},
		"empty":                            {origins: []string{""}, refused: true},
		"no origin":                        {origins: []string{"http://localhost/"}, refused: true},
		"two origins":                      {origins: []string{"http://localhost", "https://evil.example"}, refused: true},
		"a client that is no browser":      {},
		"a trusted origin":                 {origins: []string{"https://trusted.example.com"}},
		"an origin of the options":         {origins: []string{"https://spa.example.com"}, options: func(o *Options) { o.UpgradeOrigins = []string{"https://spa.example.com"} }},
		"HTTP/2, this origin":              {origins: []string{"http://localhost"}, connect: true},
		"HTTP/2, another site":             {origins: []string{"https://evil.example"}, connect: true, refused: true},
		"another protocol":                 {origins: []string{"https://evil.example"}, header: []string{"Connection", "Upgrade", "Upgrade", "tcp"}, refused: true},
		"not an upgrade":                   {origins: []string{"https://evil.example"}, header: []string{"Accept", "*/*"}},
		"HTTP, which is never upgraded to": {origins: []string{"https://evil.example"}, header: []string{"Connection", "Upgrade", "Upgrade", "h2c"}},
		"nobody":                           {origins: []string{"https://evil.example"}, signedOut: true},
		"left out, with cookies isolated":  {origins: []string{"https://evil.example"}, options: func(o *Options) { o.Applies = never }, refused: true},
		"left out, with cookies as usual":  {origins: []string{"https://evil.example"}, options: func(o *Options) { o.Applies, o.Cookies = never, nil }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if !test.signedOut {
				w.signIn("alice")
			}
			o := isolating(t)
			o.Optional = true
			if test.options != nil {
				test.options(o)
			}
			if test.header == nil && !test.connect {
				test.header = socket
			}
			r := w.request("/socket", slices.Clone(test.header)...)
			if test.connect {
				r.Method, r.ProtoMajor, r.ProtoMinor = http.MethodConnect, 2, 0
			}
			if test.host != "" {
				r.Host = test.host
			}
			if test.origins != nil {
				r.Header["Origin"] = test.origins
			}
			var next upstream
			answer := w.serve(r, o, &next)
			if refused := answer.Body.String() == "upgrade"; refused != test.refused || refused == (len(next.requests) > 0) {
				t.Errorf("the answer is %q, and the upstream was sent %d requests", answer.Body, len(next.requests))
			}
			logged := w.log.FilterMessageSnippet("websocket_origins").Len()
			if (logged == 1) != test.refused {
				t.Errorf("%d lines are logged", logged)
			}
		})
	}
}

// TestRefusedUpgradeIsLoggedOnce for each origin.
func TestRefusedUpgradeIsLoggedOnce(t *testing.T) {
	w := newWorld(t).signIn("alice")
	for range 3 {
		for _, from := range []string{"https://a.example", "https://b.example"} {
			w.serve(w.request("/socket", "Connection", "Upgrade", "Upgrade", "websocket", "Origin", from), isolating(t), new(upstream))
		}
	}
	lines := w.log.FilterMessageSnippet("websocket_origins").All()
	if len(lines) != 2 || !strings.HasSuffix(lines[0].ContextMap()["origin"].(string), "a.example") {
		t.Errorf("%v", lines)
	}
}
