package oauth2

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/caddy-multi-session/gateway/internal/login"
)

const (
	clientID     = "Iv1.0123456789abcdef"
	clientSecret = "0123456789abcdef0123456789abcdef01234567"
	redirectURI  = "https://app.example/.auth/callback/hub"
)

// hub is a GitHub, as its documentation describes it: the web application flow of an OAuth App, or
// with expiring tokens of a GitHub App, and the parts of the REST API that say who somebody is.
type hub struct {
	t      *testing.T
	server *httptest.Server

	mu        sync.Mutex
	user      map[string]any
	emails    []map[string]any
	orgs      []string
	teams     [][2]string // organisation, slug
	expires   bool        // tokens do, as a GitHub App's
	broken    map[string]http.HandlerFunc
	grants    map[string]url.Values // by code: what it was asked for with
	access    map[string]bool
	refresh   map[string]bool
	issued    int
	requested []string
}

func newHub(t *testing.T) *hub {
	h := &hub{
		t: t,
		user: map[string]any{
			"login": "octocat", "id": json.Number("583231"), "node_id": "MDQ6VXNlcjU4MzIzMQ==", "avatar_url": "https://avatars.example/u/583231?v=4",
			"gravatar_id": "", "url": "https://api.example/users/octocat", "html_url": "https://github.example/octocat", "type": "User",
			"name": "The Octocat", "company": "@github", "blog": "", "location": "San Francisco", "email": nil, "bio": nil,
			"two_factor_authentication": true, "plan": map[string]any{"name": "free", "space": 976562499}, "private_gists": 81,
			"created_at": "2011-01-25T18:44:36Z",
		},
		emails: []map[string]any{
			{"email": "old@octo.example", "verified": true, "primary": false, "visibility": nil},
			{"email": "Octocat@GitHub.Example", "verified": true, "primary": true, "visibility": "private"},
		},
		orgs:    []string{"github", "acme"},
		teams:   [][2]string{{"github", "justice-league"}, {"acme", "ops"}},
		broken:  make(map[string]http.HandlerFunc),
		grants:  make(map[string]url.Values),
		access:  make(map[string]bool),
		refresh: make(map[string]bool),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login/oauth/access_token", h.token)
	mux.HandleFunc("GET /api/v3/user", func(w http.ResponseWriter, r *http.Request) { answer(w, h.user) })
	mux.HandleFunc("GET /api/v3/user/emails", func(w http.ResponseWriter, r *http.Request) {
		h.page(w, r, len(h.emails), func(i int) any { return h.emails[i] })
	})
	mux.HandleFunc("GET /api/v3/user/orgs", func(w http.ResponseWriter, r *http.Request) {
		h.page(w, r, len(h.orgs), func(i int) any {
			return map[string]any{"login": h.orgs[i], "id": i + 1, "description": "an organisation"}
		})
	})
	mux.HandleFunc("GET /api/v3/user/teams", func(w http.ResponseWriter, r *http.Request) {
		h.page(w, r, len(h.teams), func(i int) any {
			return map[string]any{"id": i, "name": "A Team", "slug": h.teams[i][1], "organization": map[string]any{"login": h.teams[i][0], "type": "Organization"}}
		})
	})
	h.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.requested = append(h.requested, r.URL.RequestURI())
		if handler := h.broken[r.URL.Path]; handler != nil {
			handler(w, r)
			return
		}
		if r.Method == http.MethodGet && !h.access[r.Header.Get("Authorization")] {
			w.WriteHeader(http.StatusUnauthorized)
			answer(w, map[string]any{"message": "Bad credentials", "documentation_url": "https://docs.example/rest"})
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(h.server.Close)
	return h
}

// method returns one that signs in here.
func (h *hub) method(change func(*Config)) *Method {
	h.t.Helper()
	config := Config{ID: "hub", Preset: PresetGitHub, BaseURL: h.server.URL, ClientID: clientID, ClientSecret: clientSecret}
	if change != nil {
		change(&config)
	}
	m, err := New(config)
	if err != nil {
		h.t.Fatal(err)
	}
	return m
}

// consent is the browser: it takes an authorization request here, and comes back with the answer.
func (h *hub) consent(m *Method) (login.Pending, url.Values) {
	h.t.Helper()
	location, pending, err := m.Authorize(h.t.Context(), login.AuthorizationRequest{State: "st", RedirectURI: redirectURI})
	if err != nil {
		h.t.Fatal(err)
	}
	u, err := url.Parse(location)
	if err != nil {
		h.t.Fatal(err)
	}
	if got := u.Scheme + "://" + u.Host + u.Path; got != h.server.URL+"/login/oauth/authorize" {
		h.t.Fatalf("sent to %s", got)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	code := "code-" + strconv.Itoa(len(h.grants))
	h.grants[code] = u.Query()
	return pending, url.Values{"code": {code}, "state": {u.Query().Get("state")}}
}

func (h *hub) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	if r.PostForm.Get("client_id") != clientID || r.PostForm.Get("client_secret") != clientSecret {
		answer(w, map[string]any{"error": "incorrect_client_credentials", "error_description": "The client_id and/or client_secret passed are incorrect."})
		return
	}
	if r.PostForm.Get("grant_type") == "refresh_token" {
		if token := r.PostForm.Get("refresh_token"); !h.refresh[token] {
			answer(w, map[string]any{"error": "bad_refresh_token", "error_description": "The refresh token passed is incorrect or expired."})
			return
		}
		delete(h.refresh, r.PostForm.Get("refresh_token"))
		answer(w, h.issue())
		return
	}
	asked, ok := h.grants[r.PostForm.Get("code")]
	delete(h.grants, r.PostForm.Get("code"))
	if !ok || asked.Get("code_challenge_method") != "S256" ||
		asked.Get("code_challenge") != oauth2.S256ChallengeFromVerifier(r.PostForm.Get("code_verifier")) {
		answer(w, map[string]any{"error": "bad_verification_code", "error_description": "The code passed is incorrect or expired."})
		return
	}
	if asked.Get("redirect_uri") != r.PostForm.Get("redirect_uri") {
		answer(w, map[string]any{"error": "redirect_uri_mismatch"})
		return
	}
	answer(w, h.issue())
}

func (h *hub) issue() map[string]any {
	h.issued++
	token := map[string]any{"access_token": fmt.Sprint("gho_", h.issued), "scope": "read:org,read:user,user:email", "token_type": "bearer"}
	h.access[fmt.Sprint("Bearer gho_", h.issued)] = true
	if h.expires {
		token["expires_in"], token["refresh_token"], token["refresh_token_expires_in"] = 28800, fmt.Sprint("ghr_", h.issued), 15811200
		h.refresh[fmt.Sprint("ghr_", h.issued)] = true
	}
	return token
}

// page answers one page of a list, and with the addresses of others.
func (h *hub) page(w http.ResponseWriter, r *http.Request, n int, item func(int) any) {
	size, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
	number, _ := strconv.Atoi(r.URL.Query().Get("page"))
	if size < 1 || size > 100 || number < 1 {
		h.t.Errorf("asked for page %d of %d: %s", number, size, r.URL)
		return
	}
	list := []any{}
	for i := (number - 1) * size; i < min(n, number*size); i++ {
		list = append(list, item(i))
	}
	if number*size < n {
		// Where the next page is said to be must not matter: a token goes there.
		w.Header().Set("Link", `<https://api.evil.example`+r.URL.Path+`?page=`+strconv.Itoa(number+1)+`>; rel="next", <https://api.evil.example>; rel="last"`)
	}
	answer(w, list)
}

func (h *hub) breaks(path string, handler http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken[path] = handler
}

// status is a broken part of the API.
func status(code int, header map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(code)
		_, _ = w.Write([]byte(`{"message": "no"}`))
	}
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(value)
}

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
