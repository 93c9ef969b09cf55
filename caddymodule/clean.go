package caddymodule

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterModule(CleanHandler{})
}

// CleanHandler frees a request of the identity headers that a client sent and of the gateway's
// cookies, unless a gate did so already. A request that fails before it reaches the gate is handed to
// its server's error routes as the client sent it; if these lead to an upstream, a forged identity
// must not go with it. So every error route of a server that has a gate begins with this handler.
// Nobody needs to configure it.
type CleanHandler struct {
	app *App
}

// CaddyModule implements caddy.Module.
func (CleanHandler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.multi_session_clean",
		New: func() caddy.Module { return new(CleanHandler) },
	}
}

// Provision finds the app.
func (h *CleanHandler) Provision(ctx caddy.Context) (err error) {
	h.app, err = configuredApp(ctx)
	return err
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *CleanHandler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	engine, err := h.app.running()
	if err != nil {
		h.app.unavailable(w, err)
		return nil
	}
	arrived := engine.receive(r)
	if !arrived.cookies.sorted {
		// Which gate it was meant for is not known, and so not whose cookies are whose.
		arrived.cookies.unclaimed = true
	}
	return arrived.pass(w, r, next, apart{cookies: h.app.isolation, caches: h.app.caches})
}

// cleanErrorRoutes puts a CleanHandler in front of the server's error routes. A gate calls it while
// it is provisioned: Caddy provisions a server's routes first and its error routes after them. The
// routes are changed where they are, because a gate inside an error route comes too late for the
// routes before it, and must not disturb those.
//
// Named routes come last of all. It is an error if the only gates are there: the error routes would
// be left as they are.
func (a *App) cleanErrorRoutes(server *caddyhttp.Server) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cleaned[server] || server.Errors == nil {
		return nil
	}
	routes := server.Errors.Routes
	// A route that is provisioned has handlers and has given up their JSON.
	done := slices.ContainsFunc(routes, func(r caddyhttp.Route) bool { return r.Handlers != nil })
	left := slices.ContainsFunc(routes, func(r caddyhttp.Route) bool { return r.HandlersRaw != nil })
	if done && !left {
		return errors.New("multi_session is in a named route, and the server has error routes (handle_errors), which identity headers that clients forge could not be kept out of: import the gate as a snippet instead of invoking it")
	}
	if a.cleaned == nil {
		a.cleaned = make(map[*caddyhttp.Server]bool)
	}
	a.cleaned[server] = true
	clean := caddyconfig.JSONModuleObject(CleanHandler{}, "handler", "multi_session_clean", nil)
	for i := range routes {
		routes[i].HandlersRaw = append([]json.RawMessage{clean}, routes[i].HandlersRaw...)
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*CleanHandler)(nil)
	_ caddyhttp.MiddlewareHandler = (*CleanHandler)(nil)
)
