package caddymodule

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// siteOrigins returns the origins that gates serve, such as "https://app.example.com", sorted. A host
// may have a wildcard. The caller holds a.mu.
func (a *App) siteOrigins() (origins []string) {
	httpPort := caddyhttp.DefaultHTTPPort
	if app, err := a.ctx.AppIfConfigured("http"); err == nil {
		httpPort = cmp.Or(app.(*caddyhttp.App).HTTPPort, httpPort)
	}
	for _, server := range a.connected {
		for _, host := range gateHosts(server) {
			if origin, ok := siteOrigin(server, host, httpPort); ok {
				origins = append(origins, origin)
			}
		}
	}
	slices.Sort(origins)
	return slices.Compact(origins)
}

// siteOrigin returns the origin of a host of the server. Without a host it is where the server
// listens. It reports false if the server listens on no TCP port.
func siteOrigin(server *caddyhttp.Server, host string, httpPort int) (string, bool) {
	if len(server.Listen) == 0 {
		return "", false
	}
	address, err := caddy.ParseNetworkAddress(server.Listen[0])
	if err != nil || address.IsUnixNetwork() || address.IsFdNetwork() {
		return "", false
	}
	port := int(address.StartPort)
	scheme, standard := "https", caddyhttp.DefaultHTTPSPort
	if len(server.TLSConnPolicies) == 0 || port == httpPort {
		scheme, standard = "http", caddyhttp.DefaultHTTPPort
	}
	if host == "" {
		host = "localhost"
		if ip, err := netip.ParseAddr(address.Host); err != nil && address.Host != "" || err == nil && !ip.IsUnspecified() {
			host = address.Host
		}
	}
	if port != standard {
		return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(port)), true
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme + "://" + host, true
}

// gateHosts returns the hosts whose requests come to a gate of the server, sorted. The empty host
// stands for those that no host matcher names.
func gateHosts(server *caddyhttp.Server) []string {
	w := hostWalk{named: server.NamedRoutes}
	w.routes(server.Routes, []string{""})
	slices.Sort(w.found)
	return slices.Compact(w.found)
}

// hostWalk goes through routes and notes the hosts that lead to a gate: those of the innermost host
// matcher around it.
type hostWalk struct {
	named   map[string]*caddyhttp.Route
	invoked []string // named routes that the walk is in
	found   []string
}

func (w *hostWalk) routes(routes caddyhttp.RouteList, hosts []string) {
	for _, route := range routes {
		w.route(route, hosts)
	}
}

func (w *hostWalk) route(route caddyhttp.Route, hosts []string) {
	if inner := matchedHosts(route.MatcherSets); len(inner) > 0 {
		hosts = inner
	}
	for _, handler := range route.Handlers {
		switch h := handler.(type) {
		case *caddyhttp.Subroute:
			w.routes(h.Routes, hosts)
		case *caddyhttp.Invoke:
			if named := w.named[h.Name]; named != nil && !slices.Contains(w.invoked, h.Name) {
				w.invoked = append(w.invoked, h.Name)
				w.route(*named, hosts)
				w.invoked = w.invoked[:len(w.invoked)-1]
			}
		case *Handler:
			w.found = append(w.found, hosts...)
		}
	}
}

// matchedHosts returns the hosts that the matchers name, in any set.
func matchedHosts(sets caddyhttp.MatcherSets) (hosts []string) {
	for _, set := range sets {
		for _, matcher := range set {
			if names, ok := matcher.(*caddyhttp.MatchHost); ok {
				hosts = append(hosts, *names...)
			}
		}
	}
	return hosts
}
