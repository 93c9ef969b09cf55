package gate

import (
	"net/http"
	"testing"
)

// ambiguous has request targets, and whether servers read them in different ways.
var ambiguous = map[string]bool{
	"/":                                 false,
	"/admin":                            false,
	"/admin/":                           false,
	"/admin/users?next=/a//b;c%2F":      false,
	"/a.b/..c/d..":                      false,
	"/.well-known/acme":                 false,
	"/...":                              false,
	"/file%20name%2ejson":               false,
	"/100%25":                           false,
	"/100%25/x":                         false,
	"/100%2541":                         false,
	"/%C3%BC":                           false,
	"/user@example.com:8080,x!$&'()*+=": false,
	"*":                                 false,
	"example.com:443":                   false,
	"http://example.com":                false,
	"http://example.com/admin":          false,

	"/admin;x":                   true,
	"/admin%3bx":                 true,
	"/x/..;/admin":               true,
	"/public/../admin":           true,
	"/public/./admin":            true,
	"/public/..":                 true,
	"/public/.":                  true,
	"/public/%2e%2E/admin":       true,
	"/public/.%2e/admin":         true,
	"/public/%2e":                true,
	"/public/%252e%252e/admin":   true,
	"/public/..%2fadmin":         true,
	"/public%2Fadmin":            true,
	"/public%252fadmin":          true,
	"/public%25252fadmin":        true,
	"/admin%5cx":                 true,
	"/admin\\x":                  true,
	"/admin%255cx":               true,
	"/admin%00":                  true,
	"/admin%00.png":              true,
	"/admin%0a":                  true,
	"/admin%7f":                  true,
	"/public/%c0%ae%c0%ae/admin": true,
	"/public/..%c0%afadmin":      true,
	"//admin":                    true,
	"/public//admin":             true,
	"/%":                         true,
	"/%2":                        true,
	"/%zz":                       true,
	"http://example.com/x/..;/":  true,
	"http://example.com//":       true,
}

// TestAttackAmbiguousPath: a path that a matcher reads otherwise than the upstream does not pass a gate
// that paths decide about, whoever asks, and passes others.
func TestAttackAmbiguousPath(t *testing.T) {
	never := func(*http.Request) (bool, error) { return false, nil }
	w := newWorld(t).signIn("alice")
	for target, want := range ambiguous {
		for name, o := range map[string]*Options{
			"where it applies":       {RefuseAmbiguousPaths: true},
			"where it does not":      {RefuseAmbiguousPaths: true, Applies: never},
			"where no path decides":  {},
			"where nobody signed in": {RefuseAmbiguousPaths: true, Optional: true},
		} {
			r := w.request("/x")
			r.RequestURI = target
			var next upstream
			answer := w.serve(serverContext(r), o, &next)
			refused := answer.Body.String() == "target"
			if refused != (want && o.RefuseAmbiguousPaths) || refused == (len(next.requests) > 0) {
				t.Errorf("%s, %s: refused is %t; the upstream got %d requests", target, name, refused, len(next.requests))
			}
		}
	}
	if n := w.log.FilterMessageSnippet("ambiguous_paths").Len(); n != 1 {
		t.Errorf("the log says so %d times, want once for the host", n)
	}
}

// TestAttackAmbiguousPublicPath: an answer to a path that may be another one to the upstream is nobody
// else's.
func TestAttackAmbiguousPublicPath(t *testing.T) {
	public := &CacheOptions{Public: func(*http.Request) bool { return true }}
	for target, want := range ambiguous {
		r := newWorld(t).request("/x")
		r.RequestURI = target
		if got := public.isPublic(r); got == want {
			t.Errorf("%s: public is %t", target, got)
		}
	}
}

func FuzzIsAmbiguous(f *testing.F) {
	for target := range ambiguous {
		f.Add(target)
	}
	f.Fuzz(func(_ *testing.T, target string) { isAmbiguous(target) })
}
