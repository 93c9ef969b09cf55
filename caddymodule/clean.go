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

// CleanHandler deletes the identity headers that a client sent, and the gateway's cookies, from a
// request in an error route, unless a gate has done so already. If a request fails before it reaches
// the gate, Caddy hands it to the server's error routes as the client sent it. If these lead to an
// upstream, a forged identity must not go with it. So every error route of a server that has a gate
// begins with this handler. Nobody needs to configure it.
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
	g, err := h.app.running()
	if err != nil {
		h.app.answerUnavailable(w, err)
		return nil
	}
	return g.Gate.ServeErrorRoute(w, r, &h.app.errorRoutes, next)
}

// cleanErrorRoutes puts a CleanHandler in front of the server's error routes. Gates call it while
// they are provisioned: Caddy provisions a server's routes first and its error routes after them. It
// changes the routes in place, because a gate inside an error route comes too late for the routes
// before it, and must leave those as they are.
//
// Caddy provisions named routes last. If the only gates are there, the error routes could not be
// changed any more, which is an error.
func (a *App) cleanErrorRoutes(server *caddyhttp.Server) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cleaned[server] || server.Errors == nil {
		return nil
	}
	routes := server.Errors.Routes
	// A provisioned route has handlers, and its JSON is gone.
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
