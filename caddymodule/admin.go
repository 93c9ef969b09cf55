package caddymodule

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-multi-session/gateway/internal/admin"
	"github.com/caddy-multi-session/gateway/internal/gateway"
)

func init() {
	caddy.RegisterModule(AdminAPI{})
}

// AdminAPI serves the administration of users, sessions and invitations of the running configuration
// on Caddy's admin endpoint. Nobody needs to configure it. It checks no permissions: whoever reaches
// the admin endpoint can replace the configuration anyway.
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

// serveAdmin hands a request to the gateway of the running configuration. It looks that up for each
// request, because an admin endpoint outlives configurations and exists before the first has
// started.
func serveAdmin(w http.ResponseWriter, r *http.Request) error {
	g, release, err := borrowRunning()
	switch {
	case errors.Is(err, caddy.ErrNotConfigured):
		failAdmin(w, http.StatusNotFound, "the running configuration has no multi_session app")
		return nil
	case err != nil:
		failAdmin(w, http.StatusServiceUnavailable, err.Error())
		return nil
	}
	defer release()
	g.Admin.ServeHTTP(w, r)
	return nil
}

// borrowRunning borrows the gateway of the running configuration.
func borrowRunning() (*gateway.Gateway, func(), error) {
	for {
		ctx := caddy.ActiveContext()
		if ctx.Context == nil {
			return nil, nil, errors.New("no configuration is running")
		}
		app, err := ctx.AppIfConfigured(appName)
		if err != nil {
			return nil, nil, err
		}
		g, release, err := app.(*App).borrow()
		if !errors.Is(err, errReplaced) {
			return g, release, err
		}
		// Caddy makes the next configuration the active one before it cleans up the last one.
	}
}

// failAdmin answers with an error in the format of the administration API, which is not Caddy's.
func failAdmin(w http.ResponseWriter, status int, sentence string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(admin.Error{Error: sentence}) // fails only when the client has gone
}

// Interface guards
var _ caddy.AdminRouter = AdminAPI{}
