package portal

import (
	"net/http"
	"testing"
)

func TestOwns(t *testing.T) {
	p := newGateway(t).Portal
	for path, want := range map[string]bool{
		"/.auth":          true,
		"/.auth/":         true,
		"/.auth/sign-in":  true,
		"/.auth//sign-in": true,
		"/.authority":     false,
		"/.auth.css":      false,
		"/":               false,
		"":                false,
		"/x/.auth":        false,
		"/.AUTH":          false,
	} {
		if got := p.Owns(path); got != want {
			t.Errorf("%q: got %v", path, got)
		}
	}
}

func TestMethods(t *testing.T) {
	const get, post, both = "GET, HEAD", "POST", "GET, HEAD, POST"
	paths := map[string]string{
		"":                                    get,
		"/":                                   get,
		"/sign-in":                            both,
		"/accounts":                           both,
		"/style.css":                          get,
		"/icon.svg":                           get,
		"/openapi.json":                       get,
		"/get-session":                        get,
		"/sign-in/email":                      post,
		"/sign-in/username":                   post,
		"/sign-out":                           both,
		"/multi-session/list-device-sessions": get,
		"/multi-session/set-active":           post,
		"/multi-session/revoke":               post,
	}
	b := newGateway(t).browser()
	for path, allow := range paths {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "BREW"} {
			w := b.send(b.request(method, "/.auth"+path, ""))
			allowed := allow == both && (method == "GET" || method == "HEAD" || method == "POST") ||
				allow == get && (method == "GET" || method == "HEAD") || allow == post && method == "POST"
			if refused := w.Code == http.StatusMethodNotAllowed; refused == allowed {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
			if got := w.Header().Get("Allow"); !allowed && got != allow {
				t.Errorf("%s %s: Allow is %q, want %q", method, path, got, allow)
			}
			if w.Header().Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s %s: has CORS headers", method, path)
			}
			if !allowed {
				wantProblem(t, w, http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED")
			}
		}
	}
}

func TestWrongMethodInTheAddressBarIsAPage(t *testing.T) {
	b := newGateway(t).browser()
	wantPage(t, b.get("/.auth/change-password", "Sec-Fetch-Mode", "navigate"), http.StatusMethodNotAllowed)
}

func TestUnknownPaths(t *testing.T) {
	b := newGateway(t).browser()
	for _, path := range []string{
		"/.auth/nothing", "/.auth/sign-in/", "/.auth/Sign-In", "/.auth//sign-in", "/.auth/sign-in/email/", "/.auth/../accounts", "/.auth/multi-session",
	} {
		wantProblem(t, b.get(path), http.StatusNotFound, "NOT_FOUND")
		wantProblem(t, b.post(path, "{}"), http.StatusNotFound, "NOT_FOUND")
		wantPage(t, b.get(path, "Sec-Fetch-Mode", "navigate"), http.StatusNotFound)
	}
}

func TestHomeLeadsToTheChooser(t *testing.T) {
	b := newGateway(t).browser()
	wantRedirect(t, b.get("/.auth"), "/.auth/accounts")
	wantRedirect(t, b.get("/.auth/"), "/.auth/accounts")
}

func TestAssets(t *testing.T) {
	b := newGateway(t).browser()
	for path, contentType := range map[string]string{
		"/.auth/style.css": "text/css; charset=utf-8",
		"/.auth/icon.svg":  "image/svg+xml",
	} {
		w := b.get(path)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != contentType || w.Body.Len() == 0 {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
}
