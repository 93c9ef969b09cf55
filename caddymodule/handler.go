package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-multi-session/gateway/internal/gate"
	"github.com/caddy-multi-session/gateway/internal/gate/identity"
	"github.com/caddy-multi-session/gateway/internal/origin"
	"github.com/caddy-multi-session/gateway/internal/session"
)

func init() {
	caddy.RegisterModule(Handler{})
}

// Handler is a gate in front of an upstream. It forwards a request as the active account of the
// browser's jar, and tells the upstream who that is. It answers everything else itself: the portal
// below the app's path, requests of browsers that must sign in, and refusals.
//
// Before a request is forwarded, the identity headers that the client sent and the gateway's cookies
// are deleted from it.
//
// The handler sets these placeholders:
//
// Placeholder | Description
// ------------|------------
// `{http.auth.user.id}` | The account: the login's id, a colon, and the account's id there
// `{http.auth.user.name}` | The display name
// `{http.auth.user.email}` | The e-mail address, if it is verified
// `{http.auth.user.groups}` | The groups, separated by commas
// `{http.auth.user.provider}` | The id of the login
// `{http.auth.user.session}` | The public id of the session
// `{http.auth.user.claim.*}` | A claim, such as `{http.auth.user.claim.department}`
// `{http.auth.user.access_token}` | The provider's access token, if the login exposes it
// `{http.auth.user.id_token}` | The provider's ID token, if the login exposes it
type Handler struct {
	// Match limits the gate to the requests that any of these matcher sets matches. Other requests
	// pass without an identity. The portal answers in any case.
	MatchRaw caddyhttp.RawMatcherSets `json:"match,omitempty" caddy:"namespace=http.matchers"`

	// Optional also forwards requests of browsers that are not signed in, without an identity.
	Optional bool `json:"optional,omitempty"`

	// Require are rules about the account. It must meet all of them.
	Require session.Policy `json:"require,omitempty"`

	// IdentityHeaders are the presets of headers that tell the upstream who the account is: "remote",
	// "forwarded", "webauth". Default, if absent: remote. An empty list sets none.
	IdentityHeaders []string `json:"identity_headers,omitzero"`

	// Headers are further headers to set.
	Headers []IdentityHeader `json:"headers,omitempty"`

	// HeaderEncoding is how headers carry text beyond ASCII: "utf-8" as it is, "rfc2047" in encoded
	// words, "percent" or "quoted-printable" in escapes. Default: utf-8.
	HeaderEncoding string `json:"header_encoding,omitempty"`

	// IsolateCookies configures which cookies of the upstream belong to the account that is active
	// when they are set. Default: all. If gates are nested, the outermost decides.
	IsolateCookies *IsolateCookies `json:"isolate_cookies,omitempty"`

	// IsolateCache configures which answers of the upstream a browser may show to other accounts.
	// Default: none. If gates are nested, the outermost decides.
	IsolateCache *IsolateCache `json:"isolate_cache,omitempty"`

	// WebsocketOrigins are origins, such as "https://spa.example.com", whose pages may open WebSockets
	// as the active account. Pages of the site itself and of trusted_origins may in any case. Clients
	// that send no Origin header are no browsers, and pass.
	WebsocketOrigins []string `json:"websocket_origins,omitempty"`

	// StripAuthorization deletes the Authorization header of requests to the upstream. Browsers keep a
	// password that somebody typed into their own dialogue for every account of the host.
	StripAuthorization bool `json:"strip_authorization,omitempty"`

	// EndStreamsOnSwitch ends requests under way, such as web sockets, also when another account of
	// the browser becomes the active one. By default they end only when their session ends.
	EndStreamsOnSwitch bool `json:"end_streams_on_switch,omitempty"`

	// ClearStorageOnSwitch clears what scripts have stored in the browser for this host, of every
	// account, before the first page after a switch: localStorage, IndexedDB, service workers.
	ClearStorageOnSwitch bool `json:"clear_storage_on_switch,omitempty"`

	// AmbiguousPaths is what becomes of requests whose path servers read in different ways, such as
	// /admin;x, /x/..;/admin or /a%2Fb: "refuse" answers them with status 400, "allow" forwards them.
	// Default: refuse if matchers that look at the path decide about the gate, or about another one of
	// the site; else allow.
	AmbiguousPaths string `json:"ambiguous_paths,omitempty"`

	app     *App
	match   caddyhttp.MatcherSets
	options gate.Options
}

// IdentityHeader is a header to set for the upstream.
type IdentityHeader struct {
	// Name is the header's name. Headers of that name are deleted from what clients send.
	Name string `json:"name"`

	// Value is the header's value, with placeholders, such as {http.auth.user.claim.department}. If
	// it expands to nothing, the header is absent.
	Value string `json:"value"`
}

// CaddyModule implements caddy.Module.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.multi_session",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision translates the options for the gate, and registers with the app what all gates need to
// know of this one.
func (h *Handler) Provision(ctx caddy.Context) error {
	app, err := configuredApp(ctx)
	if err != nil {
		return err
	}
	h.app = app
	maxHeader := 0
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok {
		maxHeader = server.MaxHeaderBytes
		if err := app.cleanErrorRoutes(server); err != nil {
			return err
		}
		app.exposeConnections(server)
	}
	h.options = gate.Options{
		Optional:             h.Optional,
		Require:              h.Require,
		Cookies:              h.IsolateCookies.isolation(maxHeader),
		StripAuthorization:   h.StripAuthorization,
		EndStreamsOnSwitch:   h.EndStreamsOnSwitch,
		ClearStorageOnSwitch: h.ClearStorageOnSwitch,
		RefuseAmbiguousPaths: h.AmbiguousPaths != AmbiguousPathsAllow, // until readLayout knows more
	}
	if h.MatchRaw != nil {
		loaded, err := ctx.LoadModule(h, "MatchRaw")
		if err != nil {
			return fmt.Errorf("load matchers: %w", err)
		}
		if err := h.match.FromInterface(loaded); err != nil {
			return err
		}
		h.options.Applies = h.match.AnyMatchWithError
	}
	if h.IdentityHeaders == nil {
		h.IdentityHeaders = []string{defaultPreset}
	}
	for _, name := range h.IdentityHeaders {
		fields, err := identity.Preset(name)
		if err != nil {
			return err
		}
		h.options.Fields = append(h.options.Fields, fields...)
	}
	if h.options.Encoding, err = headerEncoding(h.HeaderEncoding); err != nil {
		return err
	}
	for _, header := range h.Headers {
		h.options.Headers = append(h.options.Headers, gate.Header(header))
	}
	if h.options.UpgradeOrigins, err = websocketOrigins(h.WebsocketOrigins); err != nil {
		return err
	}
	if h.options.Cache, err = h.IsolateCache.provision(ctx); err != nil {
		return err
	}
	app.register(&h.options)
	return nil
}

// headerEncoding returns the encoding of a name, and that of UTF-8 for none.
func headerEncoding(name string) (identity.Encoding, error) {
	if name == "" {
		return identity.Encoding{}, nil
	}
	return identity.ParseEncoding(name)
}

// websocketOrigins returns origins in their canonical form, which is the one that browsers send.
func websocketOrigins(texts []string) ([]string, error) {
	var origins []string
	for _, text := range texts {
		canonical, err := origin.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("websocket_origins: %q: %w", text, err)
		}
		if slices.Contains(origins, canonical) {
			return nil, fmt.Errorf("websocket_origins: %s: is named twice", text)
		}
		origins = append(origins, canonical)
	}
	return origins, nil
}

// defaultPreset is the preset that most apps behind a gateway can read.
const defaultPreset = "remote"

// Validate refuses options that contradict each other.
func (h *Handler) Validate() error {
	if err := h.Require.Validate(); err != nil {
		return err
	}
	if err := h.validateAmbiguousPaths(); err != nil {
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
	for _, field := range h.options.Fields {
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
// would run the site's error routes, and these may lead to the upstream that is protected.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	g, err := h.app.running()
	if err != nil {
		h.app.answerUnavailable(w, err)
		return nil
	}
	return g.Gate.Serve(w, r, &h.options, next)
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
