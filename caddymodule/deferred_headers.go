package caddymodule

import (
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/headers"
	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/gate"
)

// Caddy applies a header directive that deletes a field or is deferred to the finished answer, so
// it overrides what a gate behind it has set. With the gate's Cache-Control, ETag or Vary gone,
// browsers may show one account's stored answers to another.

// warnDeferredHeaders logs which header directives override what gates do about caches.
func (a *App) warnDeferredHeaders() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, server := range a.connected {
		for _, field := range overriddenCacheFields(server) {
			a.log.Warn("a header directive changes this field of answers after the gate has set it, so browsers may show one account's answers to another. "+
				"Caddy applies a header block to finished answers if anything in it deletes a field or is deferred: put this field into a directive of its own, "+
				"or name the paths in isolate_cache public if their answers are the same for everybody",
				zap.String("field", field), zap.Strings("listen", server.Listen))
		}
	}
}

// overriddenCacheFields returns the fields of answers, in order, that deferred header directives
// change in front of a gate with isolate_cache.
func overriddenCacheFields(server *caddyhttp.Server) []string {
	w := routeWalk{named: server.NamedRoutes}
	w.routes(server.Routes, nil)
	slices.Sort(w.found)
	return slices.Compact(w.found)
}

// deferredField is a field that a header directive changes in finished answers.
type deferredField struct {
	name    string
	matched bool // for some requests only
}

// routeWalk goes through routes in the order in which a request may come to them.
type routeWalk struct {
	named   map[string]*caddyhttp.Route
	invoked []string // named routes that the walk is in
	found   []string
}

// routes walks through routes in front of which some fields are deferred, and returns the fields
// that are deferred behind them. A terminal route, and one of a group, ends a request's way through
// its list.
func (w *routeWalk) routes(routes caddyhttp.RouteList, deferred []deferredField) []deferredField {
	for _, route := range routes {
		behind := w.route(route, deferred)
		if !route.Terminal && route.Group == "" {
			deferred = behind
		}
	}
	return deferred
}

func (w *routeWalk) route(route caddyhttp.Route, deferred []deferredField) []deferredField {
	deferred = slices.Clip(deferred)
	for _, handler := range route.Handlers {
		switch h := handler.(type) {
		case *headers.Handler:
			for _, name := range deferredCacheFields(h.Response) {
				deferred = append(deferred, deferredField{name, len(route.MatcherSets) > 0})
			}
		case *caddyhttp.Subroute:
			deferred = w.routes(h.Routes, deferred)
		case *caddyhttp.Invoke:
			if named := w.named[h.Name]; named != nil && !slices.Contains(w.invoked, h.Name) {
				w.invoked = append(w.invoked, h.Name)
				deferred = w.route(*named, deferred)
				w.invoked = w.invoked[:len(w.invoked)-1]
			}
		case *Handler:
			w.gate(h.options.Cache, deferred)
		}
	}
	return deferred
}

// gate notes the fields that are deferred in front of a gate. If the gate has public paths, a
// directive with a matcher is most likely for these.
func (w *routeWalk) gate(o *gate.CacheOptions, deferred []deferredField) {
	if o == nil {
		return
	}
	for _, field := range deferred {
		if !field.matched || o.Public == nil {
			w.found = append(w.found, field.name)
		}
	}
}

// deferredCacheFields returns the fields about caches that a header directive changes in finished
// answers, in a way that could let browsers show them to another account.
func deferredCacheFields(ops *headers.RespHeaderOps) (names []string) {
	if ops == nil || ops.HeaderOps == nil || !ops.Deferred && ops.Require == nil {
		return nil
	}
	for name, values := range ops.Set {
		if name = http.CanonicalHeaderKey(name); name == "Vary" || isFreshnessField(name) && !isStrict(name, values) {
			names = append(names, name)
		}
	}
	for name, values := range ops.Add {
		if name = http.CanonicalHeaderKey(name); isFreshnessField(name) && !isStrict(name, values) {
			names = append(names, name)
		}
	}
	for _, name := range [...]string{"Cache-Control", "Etag", "Vary"} {
		if slices.ContainsFunc(ops.Delete, func(pattern string) bool { return matchesField(pattern, name) }) || ops.Replace[name] != nil || ops.Replace["*"] != nil {
			names = append(names, name)
		}
	}
	if ops.Require != nil {
		// "?Cache-Control" is for answers without the field, and a gate sets it in all.
		names = slices.DeleteFunc(names, func(name string) bool {
			values, required := ops.Require.Headers[name]
			return required && values == nil && name == "Cache-Control"
		})
	}
	return names
}

// isFreshnessField reports whether a field lets caches use an answer without asking, or makes up
// the validator that they ask with.
func isFreshnessField(name string) bool {
	switch name {
	case "Cache-Control", "Edge-Control", "Etag", "Expires", "Surrogate-Control", "X-Accel-Expires":
		return true
	}
	return strings.HasSuffix(name, "-Cache-Control")
}

// isStrict reports whether values of Cache-Control are at least as strict as the gate's.
func isStrict(name string, values []string) bool {
	return name == "Cache-Control" && !slices.ContainsFunc(values, func(value string) bool {
		value = strings.ToLower(value)
		return !strings.Contains(value, "no-store") && !strings.Contains(value, "no-cache")
	})
}

// matchesField reports whether a name to delete, in which an asterisk stands for anything at either
// end, is that of a field.
func matchesField(pattern, name string) bool {
	pattern, name = strings.ToLower(pattern), strings.ToLower(name)
	prefix, open := strings.CutSuffix(pattern, "*")
	middle, contained := strings.CutPrefix(prefix, "*")
	switch {
	case open && contained:
		return strings.Contains(name, middle)
	case open:
		return strings.HasPrefix(name, prefix)
	case contained:
		return strings.HasSuffix(name, middle)
	}
	return name == pattern
}
