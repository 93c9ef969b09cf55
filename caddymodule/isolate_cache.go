package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/gate/cache"
)

// IsolateCache says which answers of the upstream browsers may show to another account than the one that
// they were given to. By default none.
type IsolateCache struct {
	// Off has the answers pass with what the upstream says about caches.
	Off bool `json:"off,omitempty"`

	// Public are paths, as the path matcher has them, whose answers are the same to everybody. They pass
	// with what the upstream says, unless they set a cookie.
	Public []string `json:"public,omitempty"`

	// KeepOnSwitch leaves out the page of the gateway's that precedes the first one which a host shows under another
	// account. Without it Chromium can show images of the one before when somebody goes back.
	KeepOnSwitch bool `json:"keep_on_switch,omitempty"`

	public caddyhttp.MatchPath
}

// validate refuses options that contradict each other and what matches no path.
func (o *IsolateCache) validate() error {
	if o == nil {
		return nil
	}
	switch {
	case o.Off && len(o.Public) > 0:
		return errors.New("isolate_cache: public makes no sense where it is off")
	case o.Off && o.KeepOnSwitch:
		return errors.New("isolate_cache: keep_on_switch makes no sense where it is off")
	}
	named := make(map[string]bool)
	for _, path := range o.Public {
		switch {
		case !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "*"):
			return fmt.Errorf("isolate_cache: public %q: must begin with a slash or an asterisk", path)
		case named[path]:
			return fmt.Errorf("isolate_cache: public %s: is named twice", path)
		}
		named[path] = true
	}
	return nil
}

// provision returns what the options come to, nil where they are off.
func (o *IsolateCache) provision(ctx caddy.Context) (*IsolateCache, error) {
	switch {
	case o == nil:
		return new(IsolateCache), nil
	case o.Off:
		return nil, nil
	}
	o.public = append(caddyhttp.MatchPath(nil), o.Public...)
	if err := o.public.Provision(ctx); err != nil {
		return nil, fmt.Errorf("isolate_cache: %w", err)
	}
	return o, nil
}

// isPublic reports whether the path that the browser asked for is one whose answers are everybody's.
func (o *IsolateCache) isPublic(r *http.Request) bool {
	if len(o.public) == 0 {
		return false
	}
	matches, err := o.public.MatchWithError(r)
	return err == nil && matches
}

// isolateCache has error routes keep caches apart where a handler does. What is public the handler that
// sees the request first would say, and there is none.
func (a *App) isolateCache(by *IsolateCache) {
	if by == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.caches = new(IsolateCache)
}

// storing is what a request and its answer have to do with caches, once that is settled.
type storing struct {
	cache.Exchange
	settled bool
	on      bool
	public  bool
	unknown bool   // whose answer it is nobody knows: it is not to be stored
	at      string // the view that the browser is at
	view    string

	page  bool   // somebody goes to it in a tab
	shown string // the view that a page of the host was last shown under; empty where the browser does not say
}

// markable reports whether it matters under which view the host is shown from now on.
func (c *storing) markable() bool { return c.page && c.on && !c.unknown && !c.public }

// marks reports whether the host is shown under another view than the last from now on. Before anybody signs in
// there is nothing to remember.
func (c *storing) marks() bool {
	return c.markable() && c.shown != c.view && (c.view != cookie.Anonymous || c.shown != "")
}

// settleCache changes the conditions of a request to those of the active account's view. It reports whether
// there was anything to settle: an error that comes later has the site's error routes see the same.
func (a *arrival) settleCache(r *http.Request, by *IsolateCache) bool {
	if a.caches.settled {
		return false
	}
	a.caches = storing{settled: true, on: by != nil}
	if by == nil {
		return false
	}
	c := &a.caches
	c.at, c.view = a.Cookie.ReadView(r.Header), cookie.View(a.Visit.Slot())
	c.unknown = a.cookies.unclaimed || a.err != nil && !errors.Is(a.err, cookie.ErrInsecure)
	original := a.request(r)
	c.public = !c.unknown && by.isPublic(original)
	// Whoever is nobody for sure has no view: the upstream's validators are nobody's too.
	var view cache.View
	if c.unknown || c.view != cookie.Anonymous {
		view = cache.NewView(c.view)
	}
	c.Exchange = cache.NewExchange(original.Method, r.Header, view, c.public)
	if c.page = topNavigation(r); c.page {
		c.shown = a.Cookie.ReadShown(r.Header)
	}
	c.OpenRequest(r.Header)
	return true
}

// answerCache has browsers keep what an answer brings for the view that it was asked under, and be at that
// view as long as it is the one of the active account.
func (a *arrival) answerCache(r *http.Request, h http.Header, status int) {
	c := &a.caches
	if !c.on {
		return
	}
	astray := c.at != c.view && a.Cookie.Name != "" && !c.public
	late := c.unknown
	marks := c.marks() && a.Cookie.Name != ""
	if !late && (astray || marks || c.Storable(h, status)) {
		late = !a.stillActive(r)
	}
	if astray && !late {
		a.Cookie.SetView(h, c.view)
	}
	if marks && !late {
		a.Cookie.SetShown(h, c.view)
	}
	// What a browser stores it stores under the view that it was at when it asked.
	c.SealAnswer(h, status, late || astray)
}
