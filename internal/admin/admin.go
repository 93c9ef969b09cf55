// Package admin is the administration of users, sessions and invitations as JSON over HTTP. Whoever
// can reach it can do everything, so it is served on Caddy's admin endpoint and nowhere else, and
// knows of no permissions itself.
//
// # Requests
//
// A body is one JSON object. Members that are not known, that are there twice or are null are
// refused and named, as are query parameters, so that a slip of the pen changes nothing rather than
// something else. A user is said by id, user name or e-mail address, which never look alike. Where a
// user of the configuration has the name, that user is meant, as at sign-in.
//
// # Answers
//
// All are JSON, errors too: {"error": "…"} with what is wrong. Technical failures are told as they
// are, because the reader is the one to mend them.
//
// # Sessions
//
// What makes the sessions of a user end (a new password, disabling, deletion) does so in its own
// write, by the epoch or the absence of the user; see package user. To take the dead sessions out of
// their jars is tidying up, and a failure of that is a warning beside the answer.
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

// Root is the path that everything is below.
const Root = "/multi-session"

// Config is what is administered.
type Config struct {
	Users   *user.Users
	Jars    *session.Jars
	Manager *session.Manager
	Names   *login.Names     // of providers' accounts
	Store   storage.Store    // what the above are kept in
	Budget  *password.Budget // for making hashes

	// Passwords is the login that the users are accounts of. It may be nil, where there is none.
	Passwords *password.Method

	Prefix string // path of the portal, for links
	Log    *zap.Logger
	Now    func() time.Time
}

// New returns the handler of all that is below Root. It may be called concurrently.
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

// route is what is done for a method and path. Its query has no other parameters than those named.
type route struct {
	method, path string
	query        []string
	serve        func(http.ResponseWriter, *http.Request, query) error
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The mux would send whoever writes a path in another way on to the plain one. A change is made
	// where it was asked for or not at all.
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
		{http.MethodGet, "/sessions", []string{"user", "jar", "method", "session", "limit"}, s.listSessions},
		{http.MethodDelete, "/sessions", []string{"user", "jar", "method", "session", "everybody"}, s.endSessions},
		{http.MethodDelete, "/sessions/{id}", nil, s.endSession},
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
