package caddymodule

import (
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// The values of Handler.AmbiguousPaths.
const (
	AmbiguousPathsAllow  = "allow"
	AmbiguousPathsRefuse = "refuse"
)

func (h *Handler) validateAmbiguousPaths() error {
	switch h.AmbiguousPaths {
	case "", AmbiguousPathsAllow, AmbiguousPathsRefuse:
		return nil
	}
	return fmt.Errorf("ambiguous_paths %q: must be %s or %s", h.AmbiguousPaths, AmbiguousPathsAllow, AmbiguousPathsRefuse)
}

// site is what the routes of a server say about the gates for some hosts.
type site struct {
	server   *caddyhttp.Server
	hosts    []string // empty: any
	gates    []*Handler
	byPath   bool     // the path decides which gate a request comes to, or what that does
	bypassed bool     // a request can be forwarded that came to no gate
	invoked  []string // named routes that the walk is in
}

// readLayout tells gates what the routes around them mean, and the log where these go past the gates.
// All routes are provisioned when it is called, and nothing is served yet.
func (a *App) readLayout() {
	var sites []*site
	for _, server := range a.connected {
		sites = append(sites, sitesOf(server)...)
	}
	for _, s := range sites {
		byPath, bypassed := s.byPath, s.bypassed
		for _, other := range sites {
			if other.server == s.server && overlap(other.hosts, s.hosts) {
				byPath, bypassed = byPath || other.byPath, bypassed || other.bypassed
			}
		}
		for _, h := range s.gates {
			if h.AmbiguousPaths == "" {
				h.options.RefuseAmbiguousPaths = byPath
			}
		}
		if len(s.gates) > 0 && bypassed {
			a.log.Warn("a route beside those with multi_session forwards requests as they come: with identity headers that clients forge, and with the gateway's cookies. Put multi_session in front of it, with optional if nobody needs an account there",
				zap.Strings("hosts", s.hosts))
		}
	}
}

// sitesOf returns a site for each route of a server that is for certain hosts, and one for all others.
func sitesOf(server *caddyhttp.Server) []*site {
	var sites []*site
	var others caddyhttp.RouteList
	for _, route := range server.Routes {
		hosts := hostsOf(route.MatcherSets)
		if len(hosts) == 0 {
			others = append(others, route)
			continue
		}
		s := &site{server: server, hosts: hosts}
		s.walk(caddyhttp.RouteList{route}, false)
		sites = append(sites, s)
	}
	rest := &site{server: server}
	rest.walk(others, false)
	if server.Errors != nil {
		rest.walk(server.Errors.Routes, true) // CleanHandler is in front of them
	}
	return append(sites, rest)
}

// walk reads routes, and reports whether gates are in them, and whether every request has come to one
// behind them. Gated says whether every request has before them.
func (s *site) walk(routes caddyhttp.RouteList, gated bool) (gates, gatedAfter bool) {
	for _, route := range routes {
		gatesHere, gatedHere := false, gated
		for _, handler := range route.Handlers {
			switch h := handler.(type) {
			case *Handler:
				s.gates = append(s.gates, h)
				s.byPath = s.byPath || looksAtPath(h.match)
				gatesHere, gatedHere = true, true
			case *caddyhttp.Subroute:
				gatesInner, gatedInner := s.walk(h.Routes, gatedHere)
				gatesHere, gatedHere = gatesHere || gatesInner, gatedInner
			case *caddyhttp.Invoke:
				if named := s.server.NamedRoutes[h.Name]; named != nil && !slices.Contains(s.invoked, h.Name) {
					s.invoked = append(s.invoked, h.Name)
					gatesInner, gatedInner := s.walk(caddyhttp.RouteList{*named}, gatedHere)
					s.invoked = s.invoked[:len(s.invoked)-1]
					gatesHere, gatedHere = gatesHere || gatesInner, gatedInner
				}
			default:
				if caddy.GetModuleID(handler) == "http.handlers.reverse_proxy" && !gatedHere {
					s.bypassed = true
				}
			}
		}
		if gatesHere && looksAtPath(route.MatcherSets) {
			s.byPath = true
		}
		if len(route.MatcherSets) == 0 {
			gated = gatedHere
		}
		gates = gates || gatesHere
	}
	return gates, gated
}

// pathless are the matchers that do not look at a request's path. Of others it is not known, as of
// expressions.
var pathless = []string{
	"http.matchers.client_ip", "http.matchers.header", "http.matchers.header_regexp", "http.matchers.host",
	"http.matchers.method", "http.matchers.protocol", "http.matchers.query", "http.matchers.remote_ip", "http.matchers.tls",
}

// looksAtPath reports whether matchers may decide by a request's path.
func looksAtPath(sets caddyhttp.MatcherSets) bool {
	for _, set := range sets {
		for _, matcher := range set {
			if not, ok := matcher.(*caddyhttp.MatchNot); ok {
				if looksAtPath(not.MatcherSets) {
					return true
				}
			} else if !slices.Contains(pathless, caddy.GetModuleID(matcher)) {
				return true
			}
		}
	}
	return false
}

// hostsOf returns the hosts that requests must be for, and none if some need not.
func hostsOf(sets caddyhttp.MatcherSets) []string {
	var hosts []string
	for _, set := range sets {
		before := len(hosts)
		for _, matcher := range set {
			if m, ok := matcher.(*caddyhttp.MatchHost); ok {
				hosts = append(hosts, *m...)
			}
		}
		if len(hosts) == before {
			return nil
		}
	}
	return hosts
}

// overlap reports whether a request may be for one of both lists of hosts. Of hosts with wildcards and
// placeholders it is taken to be so.
func overlap(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	open := func(host string) bool { return strings.ContainsAny(host, "*{") }
	if slices.ContainsFunc(a, open) || slices.ContainsFunc(b, open) {
		return true
	}
	return slices.ContainsFunc(a, func(host string) bool {
		return slices.ContainsFunc(b, func(other string) bool { return strings.EqualFold(host, other) })
	})
}
