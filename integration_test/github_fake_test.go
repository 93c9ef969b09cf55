package integration

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// fakeGitHub is a GitHub Enterprise Server as far as signing in goes, in the shapes that its
// documentation has. https://docs.github.com/rest and /apps/oauth-apps/building-oauth-apps.
type fakeGitHub struct {
	server *httptest.Server
	base   string

	mu      sync.Mutex
	users   []githubUser
	codes   map[string]githubGrant
	tokens  map[string]githubGrant
	secrets []string
}

// githubUser is somebody there.
type githubUser struct {
	ID            int
	Login         string
	Name          any // nil where none is given
	Emails        []object
	Organizations []string
	Teams         []string // organisation/team
}

// githubGrant is what somebody has let the gateway do.
type githubGrant struct {
	user      int // index
	scopes    []string
	redirect  string
	challenge string
}

// newGitHub runs one until the test ends.
func newGitHub(t testing.TB) *fakeGitHub {
	t.Helper()
	email := func(address string, primary, verified bool) object {
		return object{"email": address, "primary": primary, "verified": verified, "visibility": nil}
	}
	g := &fakeGitHub{
		codes: map[string]githubGrant{}, tokens: map[string]githubGrant{},
		users: []githubUser{
			{583231, "alice", "Alice of GitHub", []object{email("alice@users.noreply.example", false, true), email("alice@example.com", true, true)}, manyOrganizations(), []string{"acme/ops", "acme/web"}},
			{583232, "bob", nil, []object{email("bob@example.com", true, false)}, nil, nil},
			{583233, "carol", "Carol", []object{email("carol@example.net", true, true)}, []string{"acme"}, nil},
		},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login/oauth/authorize", g.ask)
	mux.HandleFunc("POST /login/oauth/authorize", g.answer)
	mux.HandleFunc("POST /login/oauth/access_token", g.exchange)
	mux.HandleFunc("GET /api/v3/user", g.api("", g.user))
	mux.HandleFunc("GET /api/v3/user/emails", g.api("user:email", g.emails))
	mux.HandleFunc("GET /api/v3/user/orgs", g.api("read:org", g.organizations))
	mux.HandleFunc("GET /api/v3/user/teams", g.api("read:org", g.teams))
	g.server = httptest.NewServer(mux)
	t.Cleanup(g.server.Close)
	g.base = localOrigin(g.server.Listener.Addr().String())
	return g
}

// manyOrganizations are more than one page has.
func manyOrganizations() []string {
	names := []string{"acme"}
	for i := range 104 {
		names = append(names, fmt.Sprintf("org-%03d", i))
	}
	return names
}

// login is the block of a Caddyfile for it.
func (g *fakeGitHub) login(id string, options ...string) string {
	return fmt.Sprintf("login oauth2 %s {\n\tpreset github\n\tbase_url %s\n\tclient_id %s\n\tclient_secret %q\n\t%s\n}\n",
		id, g.base, clientID, clientSecret, strings.Join(options, "\n\t"))
}

// told is all that nobody but the gateway is to know.
func (g *fakeGitHub) told() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.secrets)
}

// ask is the page at which somebody signs in.
func (g *fakeGitHub) ask(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("client_id") != clientID || r.URL.Query().Get("code_challenge_method") != "S256" {
		http.NotFound(w, r)
		return
	}
	writePage(w, "Sign in to GitHub", fmt.Sprintf(signInForm, html.EscapeString(r.URL.Query().Get("login"))))
}

func (g *fakeGitHub) answer(w http.ResponseWriter, r *http.Request) {
	request := r.URL.Query()
	answer := url.Values{"state": {request.Get("state")}}
	g.mu.Lock()
	user := slices.IndexFunc(g.users, func(u githubUser) bool { return u.Login == r.PostFormValue("user") })
	switch {
	case r.PostFormValue("cancel") != "":
		answer.Set("error", "access_denied")
		answer.Set("error_description", "The user has denied your application access.")
		answer.Set("error_uri", "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-authorization-request-errors/#access-denied")
	case user >= 0:
		code := rand.Text()
		g.secrets = append(g.secrets, code, request.Get("state"))
		g.codes[code] = githubGrant{user, strings.Fields(request.Get("scope")), request.Get("redirect_uri"), request.Get("code_challenge")}
		answer.Set("code", code)
	}
	g.mu.Unlock()
	http.Redirect(w, r, request.Get("redirect_uri")+"?"+answer.Encode(), http.StatusFound)
}

// exchange answers refusals with 200, and in a form's encoding unless it is asked for JSON.
func (g *fakeGitHub) exchange(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	code := r.PostFormValue("code")
	grant, known := g.codes[code]
	delete(g.codes, code)
	verifier := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	response := map[string]string{}
	switch {
	case id != clientID || secret != clientSecret:
		response["error"], response["error_description"] = "incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect."
	case !known || base64.RawURLEncoding.EncodeToString(verifier[:]) != grant.challenge:
		response["error"], response["error_description"] = "bad_verification_code", "The code passed is incorrect or expired."
	case r.PostFormValue("redirect_uri") != grant.redirect:
		response["error"], response["error_description"] = "redirect_uri_mismatch", "The redirect_uri MUST match the registered callback URL for this application."
	default:
		token := "gho_" + rand.Text()
		g.secrets = append(g.secrets, token, r.PostFormValue("code_verifier"))
		g.tokens[token] = grant
		response["access_token"], response["token_type"], response["scope"] = token, "bearer", strings.Join(grant.scopes, ",")
	}
	if strings.Contains(r.Header.Get("Accept"), "json") {
		writeObject(w, response)
		return
	}
	form := url.Values{}
	for name, value := range response {
		form.Set(name, value)
	}
	w.Header().Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	fmt.Fprint(w, form.Encode())
}

// api is a resource of the REST API, which takes a scope. What the scope is missing for is not found.
func (g *fakeGitHub) api(scope string, resource func(githubUser) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		g.mu.Lock()
		grant, ok := g.tokens[token]
		g.mu.Unlock()
		switch {
		case r.Header.Get("User-Agent") == "":
			http.Error(w, "Request forbidden by administrative rules.", http.StatusForbidden)
			return
		case !ok:
			writeStatus(w, http.StatusUnauthorized, object{"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest"})
			return
		case scope != "" && !slices.Contains(grant.scopes, scope):
			writeStatus(w, http.StatusNotFound, object{"message": "Not Found", "documentation_url": "https://docs.github.com/rest"})
			return
		}
		w.Header().Set("X-OAuth-Scopes", strings.Join(grant.scopes, ", "))
		value := resource(g.users[grant.user])
		if list, ok := value.([]object); ok {
			value = paged(w, r, list)
		}
		writeObject(w, value)
	}
}

// paged is the page of a list that is asked for, with a Link field for the rest.
func paged(w http.ResponseWriter, r *http.Request, list []object) []object {
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(r.URL.Query().Get(name)); err == nil && n > 0 {
			return n
		}
		return otherwise
	}
	size, page := min(number("per_page", 30), 100), number("page", 1)
	from, to := min((page-1)*size, len(list)), min(page*size, len(list))
	if to < len(list) {
		query := r.URL.Query()
		query.Set("page", strconv.Itoa(page+1))
		w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?%s>; rel="next"`, r.Host, r.URL.Path, query.Encode()))
	}
	return append([]object{}, list[from:to]...)
}

func (g *fakeGitHub) user(u githubUser) any {
	return object{
		"login": u.Login, "id": u.ID, "node_id": "MDQ6VXNlcjU4MzIzMQ==", "type": "User", "site_admin": false,
		"avatar_url": fmt.Sprintf("%s/avatars/u/%d?v=4", g.base, u.ID), "html_url": g.base + "/" + u.Login,
		"name": u.Name, "company": nil, "email": nil, "created_at": "2011-01-25T18:44:36Z",
	}
}

func (g *fakeGitHub) emails(u githubUser) any { return u.Emails }

func (g *fakeGitHub) organizations(u githubUser) any {
	list := []object{}
	for i, name := range u.Organizations {
		list = append(list, object{"login": name, "id": i + 1, "description": ""})
	}
	return list
}

func (g *fakeGitHub) teams(u githubUser) any {
	list := []object{}
	for i, path := range u.Teams {
		organization, slug, _ := strings.Cut(path, "/")
		list = append(list, object{"id": i + 1, "slug": slug, "name": strings.ToUpper(slug), "organization": object{"login": organization, "id": 1}})
	}
	return list
}
