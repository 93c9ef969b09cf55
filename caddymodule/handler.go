package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/gate/identity"
	"github.com/caddy-multi-session/gateway/internal/session"
)

func init() {
	caddy.RegisterModule(Handler{})
}

// Handler stands in front of an upstream. It lets a request through as the active account of the
// browser's jar, tells the upstream who that is, and answers everything else itself: the portal
// under the app's path, the way to sign in, refusals.
//
// Whatever it lets through has been freed of the identity headers that the client sent, and of the
// gateway's cookies.
type Handler struct {
	// Match limits the gate to the requests that any of these matcher sets matches. Others pass
	// without an identity. The portal is there in any case.
	MatchRaw caddyhttp.RawMatcherSets `json:"match,omitempty" caddy:"namespace=http.matchers"`

	// Optional lets requests of browsers that are not signed in through as well, without identity.
	Optional bool `json:"optional,omitempty"`

	// Require are rules about the account, of which all must hold.
	Require session.Policy `json:"require,omitempty"`

	// IdentityHeaders are the presets of headers that tell the upstream who it is: "remote",
	// "forwarded", "webauth". Default, where it is absent: remote. An empty list sets none.
	IdentityHeaders []string `json:"identity_headers,omitzero"`

	// Headers are further headers to set.
	Headers []IdentityHeader `json:"headers,omitempty"`

	// IsolateCookies says which cookies of the upstream belong to the account that is active when they
	// are set. Default: all. Of gates inside of one another the outermost says it.
	IsolateCookies *IsolateCookies `json:"isolate_cookies,omitempty"`

	// IsolateCache says which answers of the upstream browsers may show to other accounts. Default: none.
	// Of gates inside of one another the outermost says it.
	IsolateCache *IsolateCache `json:"isolate_cache,omitempty"`

	// EndStreamsOnSwitch has requests that are under way, such as web sockets, end as well when another
	// account of the browser becomes the active one, and not only when their session ends.
	EndStreamsOnSwitch bool `json:"end_streams_on_switch,omitempty"`

	// ClearStorageOnSwitch has browsers forget, before they show the first page after a switch, what scripts have
	// stored at this host, of every account: localStorage, IndexedDB, service workers.
	ClearStorageOnSwitch bool `json:"clear_storage_on_switch,omitempty"`

	app    *App
	match  caddyhttp.MatcherSets
	fields []identity.Field
	apart  apart
}

// IdentityHeader is a header to set for the upstream.
type IdentityHeader struct {
	// Name is the header's. The client's own headers of that name are deleted.
	Name string `json:"name"`

	// Value is the header's, with placeholders, such as {http.auth.user.claim.department}. Where it
	// comes out empty the header is absent.
	Value string `json:"value"`
}

// CaddyModule implements caddy.Module.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.multi_session",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision finds the app and tells it which headers this handler sets.
func (h *Handler) Provision(ctx caddy.Context) error {
	app, err := configuredApp(ctx)
	if err != nil {
		return err
	}
	h.app = app
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		if err := app.cleanErrorRoutes(server); err != nil {
			return err
		}
		app.connections(server)
	}
	if h.MatchRaw != nil {
		loaded, err := ctx.LoadModule(h, "MatchRaw")
		if err != nil {
			return fmt.Errorf("load matchers: %w", err)
		}
		if err := h.match.FromInterface(loaded); err != nil {
			return err
		}
	}
	if h.IdentityHeaders == nil {
		h.IdentityHeaders = []string{defaultPreset}
	}
	for _, name := range h.IdentityHeaders {
		fields, err := identity.Preset(name)
		if err != nil {
			return err
		}
		h.fields = append(h.fields, fields...)
	}
	for _, header := range h.Headers {
		app.manage(header.Name)
	}
	app.reserve(h.Require)
	h.apart.cookies = h.IsolateCookies.isolation()
	app.isolate(h.apart.cookies)
	if h.apart.caches, err = h.IsolateCache.provision(ctx); err != nil {
		return err
	}
	app.isolateCache(h.apart.caches)
	h.apart.clearStorage = h.ClearStorageOnSwitch
	return nil
}

// defaultPreset is the one that most apps behind a gateway can read.
const defaultPreset = "remote"

// Validate refuses options that could not work together.
func (h *Handler) Validate() error {
	if err := h.Require.Validate(); err != nil {
		return err
	}
	if err := h.IsolateCookies.validate(); err != nil {
		return err
	}
	if err := h.IsolateCache.validate(); err != nil {
		return err
	}
	if c := h.IsolateCache; h.ClearStorageOnSwitch && c != nil && (c.Off || c.KeepOnSwitch) {
		return errors.New("clear_storage_on_switch needs isolate_cache, without keep_on_switch: it is done by the page that comes before the first after a switch")
	}
	if h.Optional && len(h.Require) > 0 {
		return errors.New("optional and require do not go together: one lets everybody through, the other does not")
	}
	set := make(map[string]bool)
	for _, field := range h.fields {
		set[http.CanonicalHeaderKey(field.Name)] = true
	}
	for _, header := range h.Headers {
		name := http.CanonicalHeaderKey(header.Name)
		switch err := identity.ValidateName(name); {
		case err != nil:
			return err
		case header.Value == "":
			return fmt.Errorf("header %s: has no value", name)
		case set[name]:
			return fmt.Errorf("header %s: is set twice", name)
		}
		set[name] = true
	}
	return nil
}

// ServeHTTP implements caddyhttp.MiddlewareHandler. It never returns an error of its own: an error
// would run the site's error routes, and these may lead to the upstream that is being protected.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	engine, err := h.app.running()
	if err != nil {
		h.app.unavailable(w, err)
		return nil
	}
	arrived := engine.receive(r)
	if original := arrived.request(r); engine.portal.Owns(original.URL.Path) {
		if entry, active := arrived.Visit.Active(); active {
			setPlaceholders(r, entry, nil)
		}
		engine.servePortal(arrived.answer(w), original, arrived)
		arrived.remember(w.Header())
		return nil
	}
	if !engine.expected(arrived, w, r) {
		return nil
	}
	if applies, err := h.applies(r); err != nil {
		return err
	} else if !applies {
		if active, ok := arrived.Visit.Active(); ok && h.apart.cookies != nil {
			arrived.claim(active, h.EndStreamsOnSwitch)
		}
		return arrived.pass(w, r, next, h.apart)
	}
	entry, let := h.admit(engine, arrived, w, r)
	if !let {
		return nil
	}
	engine.managed.Strip(r)
	if entry.Session != nil {
		arrived.Visit.Used(entry)
		arrived.claim(entry, h.EndStreamsOnSwitch)
		h.identify(r, entry.Identity)
	}
	return arrived.pass(w, r, next, h.apart)
}

// applies reports whether the gate is for this request. Without matchers it is for all.
func (h *Handler) applies(r *http.Request) (bool, error) {
	return h.match.AnyMatchWithError(r)
}

// admit is the gate: it returns whose request may pass, the zero Entry for one without identity.
// Where it reports false the request has been answered.
func (h *Handler) admit(engine *engine, arrived *arrival, w http.ResponseWriter, r *http.Request) (session.Entry, bool) {
	entry, active := arrived.Visit.Active()
	switch {
	case errors.Is(arrived.err, cookie.ErrInsecure) && h.Optional:
		return session.Entry{}, true
	case arrived.err != nil:
		engine.explain(arrived.answer(w), arrived.request(r), arrived)
		return session.Entry{}, false
	case !active && h.Optional:
		return session.Entry{}, true
	case !active:
		engine.portal.Challenge(arrived.answer(w), arrived.request(r), arrived.Visitor)
		return session.Entry{}, false
	}
	setPlaceholders(r, entry, engine.grants)
	if arrived.met == nil {
		arrived.met = h.Require
	} else {
		arrived.met = slices.Concat(arrived.met, h.Require)
	}
	if rule, unmet := h.Require.Unmet(entry.Identity); unmet {
		engine.portal.Refuse(arrived.answer(w), arrived.request(r), arrived.Visitor, arrived.met, rule)
		return session.Entry{}, false
	}
	return entry, true
}

// identify tells the upstream who the request is made as.
func (h *Handler) identify(r *http.Request, as *session.Identity) {
	identity.SetIdentity(r.Header, h.fields, as)
	if len(h.Headers) == 0 {
		return
	}
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	for _, header := range h.Headers {
		identity.Set(r.Header, header.Name, repl.ReplaceAll(header.Value, ""))
	}
}

var errNoApp = errors.New("the multi_session app is not configured: add the global option multi_session with at least one login")

// configuredApp returns the app of the configuration that is being provisioned.
func configuredApp(ctx caddy.Context) (*App, error) {
	app, err := ctx.AppIfConfigured(appName)
	if errors.Is(err, caddy.ErrNotConfigured) {
		return nil, errNoApp
	}
	if err != nil {
		return nil, err
	}
	return app.(*App), nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.Validator             = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
