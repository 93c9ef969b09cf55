package caddymodule

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// A gate inside a handle block such as handle /app/* protects what is there, but requests below the
// portal's path go to another block. People who must sign in are then sent to a page that another
// handler answers.

// warnUnreachedPortal logs the hosts at which a gate sends people to the portal, and no gate gets the
// requests for it.
func (a *App) warnUnreachedPortal() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, server := range a.connected {
		for _, host := range gateHosts(server) {
			if strings.Contains(host, "{") || reachesPortal(server, host, a.Path) {
				continue
			}
			a.log.Warn("the gateway's pages cannot be opened at this host, because no multi_session gets the requests for them: "+
				"put multi_session in front of the handle blocks, or add handle "+a.Path+"/* with multi_session in it",
				zap.String("host", host), zap.String("path", a.Path), zap.Strings("listen", server.Listen))
		}
	}
}

// reachesPortal reports whether a request for the portal may come to a gate.
func reachesPortal(server *caddyhttp.Server, host, prefix string) bool {
	if host == "" {
		host = "any.invalid"
	}
	path := prefix + "/accounts"
	r := &http.Request{
		Method:     http.MethodGet,
		Host:       strings.ReplaceAll(host, "*", "any"),
		URL:        &url.URL{Path: path},
		RequestURI: path,
		Header:     make(http.Header),
	}
	probe := portalProbe{
		request: caddyhttp.PrepareRequest(r, caddy.NewReplacer(), nil, server),
		named:   server.NamedRoutes,
	}
	return probe.routes(server.Routes)
}

// portalProbe follows the way of a request through routes. It decides about matchers of host, path
// and method. Of all others it is not known what a real request has, so they may match or not.
type portalProbe struct {
	request *http.Request
	named   map[string]*caddyhttp.Route
	invoked []string // named routes that the probe is in
}

// routes reports whether the request may come to a gate in the list.
func (p *portalProbe) routes(routes caddyhttp.RouteList) bool {
	var taken []string // groups of which a route has surely matched
	for _, route := range routes {
		if route.Group != "" && slices.Contains(taken, route.Group) {
			continue
		}
		matches := p.sets(route.MatcherSets)
		if matches == no {
			continue
		}
		if p.handlers(route.Handlers) {
			return true
		}
		if matches == yes && route.Terminal {
			return false
		}
		if matches == yes && route.Group != "" {
			taken = append(taken, route.Group)
		}
	}
	return false
}

func (p *portalProbe) handlers(handlers []caddyhttp.MiddlewareHandler) bool {
	for _, handler := range handlers {
		switch h := handler.(type) {
		case *Handler:
			return true
		case *caddyhttp.Subroute:
			if p.routes(h.Routes) {
				return true
			}
		case *caddyhttp.Invoke:
			named := p.named[h.Name]
			if named == nil || slices.Contains(p.invoked, h.Name) {
				continue
			}
			p.invoked = append(p.invoked, h.Name)
			reached := p.routes(caddyhttp.RouteList{*named})
			p.invoked = p.invoked[:len(p.invoked)-1]
			if reached {
				return true
			}
		}
	}
	return false
}

// match is whether a request matches. Its values are ordered, so that of several matchers that must
// all match the least one decides, and of several sets the greatest.
type match int

const (
	no match = iota
	perhaps
	yes
)

// sets is yes for routes without matchers.
func (p *portalProbe) sets(sets caddyhttp.MatcherSets) match {
	if len(sets) == 0 {
		return yes
	}
	best := no
	for _, set := range sets {
		best = max(best, p.set(set))
	}
	return best
}

func (p *portalProbe) set(set caddyhttp.MatcherSet) match {
	least := yes
	for _, matcher := range set {
		least = min(least, p.matcher(matcher))
	}
	return least
}

func (p *portalProbe) matcher(matcher any) match {
	var matched bool
	var err error
	switch m := matcher.(type) {
	case *caddyhttp.MatchHost:
		matched, err = m.MatchWithError(p.request)
	case *caddyhttp.MatchPath:
		matched, err = m.MatchWithError(p.request)
	case *caddyhttp.MatchPathRE:
		matched, err = m.MatchWithError(p.request)
	case *caddyhttp.MatchMethod:
		matched, err = m.MatchWithError(p.request)
	case *caddyhttp.MatchNot:
		most := no
		for _, set := range m.MatcherSets {
			most = max(most, p.set(set))
		}
		return yes - most
	default:
		return perhaps
	}
	switch {
	case err != nil:
		return perhaps
	case matched:
		return yes
	}
	return no
}
