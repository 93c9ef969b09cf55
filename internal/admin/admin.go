// Package admin is the administration API: users, sessions and invitations as JSON over HTTP. It
// checks no permissions. Whoever can reach it can do everything, so it is served on Caddy's admin
// endpoint only.
//
// # Requests
//
// A body is one JSON object. Unknown members, members that occur twice and null are refused with
// their name, and so are query parameters, so that a typing error changes nothing. A user is named
// by id, user name or e-mail address, which never look alike. If a user of the configuration has
// the name, it means that user, as at sign-in.
//
// # Answers
//
// All answers are JSON, also errors: {"error": "…"} with the reason. Technical failures are not
// hidden, because the reader is the one who fixes them.
//
// # Sessions
//
// An app behind the gateway acts for the browser of a request by the id of the session that the
// request is made as: it lists the sessions beside that one, makes one of them active, and ends one
// as the browser's own pages do.
//
// A change that ends the sessions of a user (a new password, disabling, deletion) ends them in its
// own write, by the user's epoch or absence; see package user. Removing the dead sessions from
// their jars only tidies up, so a failure of that is a warning in the answer.
package admin

import (
	"net/http"
	"path"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/password"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
	"github.com/caddy-multi-session/gateway/storage"
)

// Root is the path of the API.
const Root = "/multi-session"

// Config is what the API administers.
type Config struct {
	Users   *user.Users
	Jars    *session.Jars
	Manager *session.Manager
	Names   *login.Names     // of providers' accounts
	Store   storage.Store    // the store of the above
	Budget  *password.Budget // for new hashes

	// Passwords is the login whose accounts the users are. It is nil if there is none.
	Passwords *password.Method

	Prefix  string   // path of the portal, for links
	Sites   []string // origins that have the portal, as far as they are known; hosts may have wildcards
	PerHost bool     // each host has an active session of its own
	Log     *zap.Logger
	Now     func() time.Time
}

// New returns the handler of all paths below Root. It may be called concurrently.
func New(c Config) http.Handler {
	s := &server{Config: c, audit: audit{c.Log.Named("audit")}, mux: http.NewServeMux()}
	methods := make(map[string][]string)
	for _, route := range s.routes() {
		s.mux.Handle(route.method+" "+Root+route.path, s.answer(route))
		methods[route.path] = append(methods[route.path], route.method)
		if route.method == http.MethodGet {
			methods[route.path] = append(methods[route.path], http.MethodHead)
		}
	}
	for path, allowed := range methods {
		s.mux.HandleFunc(Root+path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			s.fail(w, r, failure(http.StatusMethodNotAllowed, "method %s is not allowed", bounded(r.Method)))
		})
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, failure(http.StatusNotFound, "no such path"))
	})
	return s
}

type server struct {
	Config
	audit audit
	mux   *http.ServeMux
}

// route is the handler for a method and path. query names the allowed query parameters.
type route struct {
	method, path string
	query        []string
	serve        func(http.ResponseWriter, *http.Request, query) error
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The mux would redirect other spellings of a path. A change is made at the requested path or
	// not at all.
	if escaped := r.URL.EscapedPath(); escaped != path.Clean(escaped) {
		s.fail(w, r, failure(http.StatusNotFound, "no such path"))
		return
	}
	s.mux.ServeHTTP(w, r)
}

func (s *server) answer(route route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := parseQuery(r.URL.RawQuery, route.query)
		if err == nil {
			err = route.serve(w, r, q)
		}
		if err != nil {
			s.fail(w, r, err)
		}
	})
}

func (s *server) routes() []route {
	return []route{
		{http.MethodGet, "/users", []string{"search", "after", "limit"}, s.listUsers},
		{http.MethodPost, "/users", nil, s.createUser},
		{http.MethodGet, "/users/{user}", nil, s.getUser},
		{http.MethodPatch, "/users/{user}", nil, s.updateUser},
		{http.MethodDelete, "/users/{user}", nil, s.deleteUser},
		{http.MethodPut, "/users/{user}/password", nil, s.setPassword},
		{http.MethodGet, "/sessions", []string{"user", "jar", "beside", "method", "session", "limit"}, s.listSessions},
		{http.MethodDelete, "/sessions", []string{"user", "jar", "method", "session", "everybody"}, s.endSessions},
		{http.MethodDelete, "/sessions/{id}", []string{"beside"}, s.endSession},
		{http.MethodPut, "/sessions/{id}/active", nil, s.setActive},
		{http.MethodGet, "/invitations", nil, s.listInvitations},
		{http.MethodPost, "/invitations", nil, s.invite},
		{http.MethodDelete, "/invitations/{id}", nil, s.withdraw},
		{http.MethodGet, "/names/{name}", nil, s.getName},
		{http.MethodDelete, "/names/{name}", nil, s.releaseName},
		{http.MethodGet, "/backup", nil, s.backup},
		{http.MethodPost, "/restore", nil, s.restore},
		{http.MethodGet, "/check", nil, s.check},
	}
}
