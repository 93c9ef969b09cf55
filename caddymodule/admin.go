package caddymodule

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-multi-session/gateway/internal/admin"
	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/password"
	"github.com/caddy-multi-session/gateway/internal/session"
)

func init() {
	caddy.RegisterModule(AdminAPI{})
}

// AdminAPI serves the administration of users, sessions and invitations on Caddy's admin endpoint,
// for the configuration that runs. Nobody needs to configure it. Whoever reaches the admin endpoint
// can replace the configuration, and so can do all of this anyway.
type AdminAPI struct{}

// CaddyModule implements caddy.Module.
func (AdminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.multi_session",
		New: func() caddy.Module { return new(AdminAPI) },
	}
}

// Routes implements caddy.AdminRouter.
func (AdminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: admin.Root + "/", Handler: caddy.AdminHandlerFunc(serveAdmin)}}
}

// serveAdmin hands a request to the app of the configuration that runs. An admin endpoint outlives
// configurations, and is there before the first has started, so the app is asked for each time.
func serveAdmin(w http.ResponseWriter, r *http.Request) error {
	running, release, err := borrowRunning()
	switch {
	case errors.Is(err, caddy.ErrNotConfigured):
		failAdmin(w, http.StatusNotFound, "the running configuration has no multi_session app")
		return nil
	case err != nil:
		failAdmin(w, http.StatusServiceUnavailable, err.Error())
		return nil
	}
	defer release()
	running.admin.ServeHTTP(w, r)
	return nil
}

// borrowRunning borrows the engine of the configuration that runs.
func borrowRunning() (*engine, func(), error) {
	for {
		ctx := caddy.ActiveContext()
		if ctx.Context == nil {
			return nil, nil, errors.New("no configuration is running")
		}
		app, err := ctx.AppIfConfigured(appName)
		if err != nil {
			return nil, nil, err
		}
		running, release, err := app.(*App).borrow()
		if !errors.Is(err, errReplaced) {
			return running, release, err
		}
		// Caddy names the next configuration before it cleans the last one up, so there is another now.
	}
}

// failAdmin answers with an error as the administration API does, which is not how Caddy does.
func failAdmin(w http.ResponseWriter, status int, sentence string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(admin.Error{Error: sentence}) // fails only when the client has gone
}

// administration is the handler of the administration API.
func (a *App) administration(db *database, logins *login.Methods, manager *session.Manager) http.Handler {
	return admin.New(admin.Config{
		Users:     db.users,
		Jars:      db.jars,
		Manager:   manager,
		Names:     db.names,
		Store:     db.store,
		Budget:    attempts.Budget,
		Passwords: passwordsOf(logins),
		Prefix:    a.Path,
		Log:       a.log,
		Now:       time.Now,
	})
}

// passwordsOf returns the login that stored users are accounts of, nil where there is none.
func passwordsOf(logins *login.Methods) *password.Method {
	for _, method := range logins.All() {
		if m, ok := method.(*password.Method); ok {
			return m
		}
	}
	return nil
}

// Interface guards
var _ caddy.AdminRouter = AdminAPI{}
