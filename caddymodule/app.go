package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/gate"
	"github.com/caddy-multi-session/gateway/internal/gate/isolation"
	"github.com/caddy-multi-session/gateway/internal/gateway"
	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/origin"
	"github.com/caddy-multi-session/gateway/internal/portal"
	"github.com/caddy-multi-session/gateway/internal/session"
)

func init() {
	caddy.RegisterModule(new(App))
}

// appName is the app's module id and the name of the Caddyfile's global option.
const appName = "multi_session"

// DefaultPath is the default of App.Path.
const DefaultPath = "/.auth"

// The values of App.WhenFull.
const (
	WhenFullEvict  = "evict"
	WhenFullReject = "reject"
)

// The values of App.Active.
const (
	ActivePerJar  = "per_jar"
	ActivePerHost = "per_host"
)

// App holds what all sites of a configuration share: the sessions and the ways to sign in. Sites use
// it through the multi_session handler.
type App struct {
	// Store keeps the sessions. Default: bbolt, in Caddy's data directory
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=multi_session.stores inline_key=module"`

	// Logins are the ways to sign in, at least one.
	LoginsRaw []json.RawMessage `json:"logins,omitempty" caddy:"namespace=multi_session.logins inline_key=module"`

	// Path is the prefix of the paths that the gateway answers itself, on every site with a gate.
	// Default: /.auth
	Path string `json:"path,omitempty"`

	// CookieDomain is a domain whose hosts share one jar of sessions in a browser. Default: each host
	// has its own jar.
	CookieDomain string `json:"cookie_domain,omitempty"`

	// CookieName is part of the names of all cookies of this gateway, to tell them apart from those of
	// another gateway on the same host: 1 to 16 lower-case letters and digits. Default: none
	CookieName string `json:"cookie_name,omitempty"`

	// Active is "per_jar" if all hosts of CookieDomain have one active account, or "per_host" if each
	// host has its own. Default: per_jar
	Active string `json:"active,omitempty"`

	// MaxSessions is how many accounts one browser can hold, 1 to 50. Default: 5
	MaxSessions int `json:"max_sessions,omitempty"`

	// WhenFull is what a sign-in beyond MaxSessions does: "evict" ends the least recently used
	// session, "reject" refuses the sign-in. Default: evict
	WhenFull string `json:"when_full,omitempty"`

	// Lifetime is the longest time that a session lasts. Default: 30d
	Lifetime caddy.Duration `json:"lifetime,omitempty"`

	// IdleTimeout is how long a session lasts without being used. If negative, only Lifetime ends it.
	// Default: 7d
	IdleTimeout caddy.Duration `json:"idle_timeout,omitempty"`

	// TrustedOrigins are the origins of other web apps, such as "https://spa.example.com", that may
	// use the JSON API and that a sign-in may return to.
	TrustedOrigins []string `json:"trusted_origins,omitempty"`

	// InsecureHTTP allows sign-in over plain HTTP on hosts that are not loopback. Anybody on the
	// network path can then read and take over sessions.
	InsecureHTTP bool `json:"insecure_http,omitempty"`

	// SecretKeys encrypt the providers' tokens in the store, and the state of sign-ins in browsers. The
	// first key encrypts and all decrypt, so that a key can be replaced. Each must be random, with at
	// least 32 characters. Global placeholders are replaced, such as {env.SECRET_KEY} or
	// {file./run/secrets/key}. Default: a key that the store makes once and keeps beside it, if it can
	SecretKeys []string `json:"secret_keys,omitempty"`

	// SkipSignInPage sends browsers without an account straight to the provider, if that is the only
	// way to sign in.
	SkipSignInPage bool `json:"skip_sign_in_page,omitempty"`

	ctx     caddy.Context
	log     *zap.Logger
	logins  *login.Methods
	options session.Options
	lease   *lease
	keys    [][]byte // SecretKeys, with placeholders replaced
	public  []string // ids of the logins with which anybody can sign in

	// What handlers register while they are provisioned, which is before anything is served.
	mu          sync.Mutex
	headers     []string       // names of headers that gates set, besides the presets'
	rules       session.Policy // of all gates
	errorRoutes gate.Options   // isolates what any gate isolates
	cleaned     map[*caddyhttp.Server]bool
	connected   []*caddyhttp.Server

	loggedTokens []string // names of headers with tokens that the debug log shows

	released bool // Cleanup ran
	gateway  atomic.Pointer[gateway.Gateway]
}

// CaddyModule implements caddy.Module.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  appName,
		New: func() caddy.Module { return new(App) },
	}
}

// Provision sets the defaults, loads the guest modules, and takes a lease of the store. It opens
// nothing: a configuration that is only validated, or refused later, must leave the store of the
// running one alone.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx = ctx
	a.log = ctx.Logger()
	opener, err := a.build(ctx)
	if err != nil {
		return err
	}
	a.lease = takeLease(opener)
	return a.subscribe(ctx)
}

// build sets the defaults and loads the guest modules.
func (a *App) build(ctx caddy.Context) (StoreOpener, error) {
	a.setDefaults()
	if err := a.provisionSecretKeys(); err != nil {
		return nil, err
	}
	if err := a.provisionLogins(ctx); err != nil {
		return nil, err
	}
	opener, err := a.loadStore(ctx)
	if err != nil {
		return nil, err
	}
	return opener, a.validateSecretKeys(opener)
}

func (a *App) setDefaults() {
	if a.Path == "" {
		a.Path = DefaultPath
	}
	if a.MaxSessions == 0 {
		a.MaxSessions = session.DefaultMaxSessions
	}
	if a.Active == "" {
		a.Active = ActivePerJar
	}
	if a.WhenFull == "" {
		a.WhenFull = WhenFullEvict
	}
	if a.Lifetime == 0 {
		a.Lifetime = caddy.Duration(session.DefaultLifetime)
	}
	if a.IdleTimeout == 0 {
		a.IdleTimeout = caddy.Duration(session.DefaultIdleTimeout)
	}
	a.options = session.Options{
		MaxSessions: a.MaxSessions,
		RejectAtMax: a.WhenFull == WhenFullReject,
		Lifetime:    time.Duration(a.Lifetime),
		IdleTimeout: time.Duration(a.IdleTimeout),
	}
}

func (a *App) provisionLogins(ctx caddy.Context) error {
	loaded, err := ctx.LoadModule(a, "LoginsRaw")
	if err != nil {
		return fmt.Errorf("load logins: %w", err)
	}
	var methods []login.Method
	for _, module := range loaded.([]any) {
		maker, ok := module.(Login)
		if !ok {
			return fmt.Errorf("login module %T is not a login", module)
		}
		method, err := maker.LoginMethod(memory)
		if err != nil {
			return err
		}
		if public, ok := module.(publicLogin); ok && public.letsInAnybody() {
			a.public = append(a.public, method.ID())
		}
		methods = append(methods, method)
	}
	a.logins, err = login.NewMethods(methods...)
	return err
}

func (a *App) loadStore(ctx caddy.Context) (StoreOpener, error) {
	if a.StoreRaw == nil {
		a.StoreRaw = json.RawMessage(`{"module":"bbolt"}`)
	}
	module, err := ctx.LoadModule(a, "StoreRaw")
	if err != nil {
		return nil, fmt.Errorf("load store: %w", err)
	}
	opener, ok := module.(StoreOpener)
	if !ok {
		return nil, fmt.Errorf("store module %T is not a store", module)
	}
	return opener, nil
}

// Validate refuses a configuration that cannot work, before anything is opened.
func (a *App) Validate() error {
	if len(a.logins.All()) == 0 {
		return errors.New("no login is configured: at least one is needed")
	}
	if a.WhenFull != WhenFullEvict && a.WhenFull != WhenFullReject {
		return fmt.Errorf("when_full %q: must be %s or %s", a.WhenFull, WhenFullEvict, WhenFullReject)
	}
	if err := a.validateActive(); err != nil {
		return err
	}
	if err := a.options.Validate(); err != nil {
		return err
	}
	if err := portal.ValidatePrefix(a.Path); err != nil {
		return err
	}
	if err := validateCookieDomain(a.CookieDomain); err != nil {
		return err
	}
	if _, err := cookie.Labelled(a.CookieName); err != nil {
		return fmt.Errorf("cookie_name %w", err)
	}
	for _, provider := range a.logins.Providers() {
		if err := a.validateRedirectURI(provider); err != nil {
			return fmt.Errorf("login %s: redirect_uri %w", provider.ID(), err)
		}
	}
	for _, trusted := range a.TrustedOrigins {
		if _, err := origin.Parse(trusted); err != nil {
			return fmt.Errorf("trusted_origins: %q: %w", trusted, err)
		}
	}
	return nil
}

// Start opens the store, unless a request or an earlier configuration has.
func (a *App) Start() error {
	if a.InsecureHTTP {
		a.log.Warn("insecure_http is on: sessions can be read and taken over by whoever is between browser and gateway")
	}
	for _, id := range a.public {
		a.log.Warn("everybody with an account at the provider can sign in, and pass at sites without require: allow says who may", zap.String("login", id))
	}
	a.warnDeferredHeaders()
	a.warnUnreachedPortal()
	a.warnLoggedTokens()
	_, err := a.running()
	return err
}

// Stop ends the streams of events, which would otherwise last as long as their pages are open. Other
// requests under way are served to their end, and Cleanup does the rest.
func (a *App) Stop() error {
	a.endStreams()
	return nil
}

// endStreams ends the streams of events. Caddy stops its apps in no particular order, and the HTTP
// app waits for requests.
func (a *App) endStreams() {
	if g := a.gateway.Load(); g != nil {
		g.EndStreams()
	}
}

// Cleanup releases exactly what was acquired, however far provisioning came.
func (a *App) Cleanup() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.released {
		return nil
	}
	a.released = true
	if g := a.gateway.Load(); g != nil {
		g.Close()
	}
	if a.lease == nil {
		return nil
	}
	return a.lease.release()
}

// running returns the gateway of this configuration. Caddy starts its apps in no particular order, so
// a request may come before Start; it starts the gateway then.
func (a *App) running() (*gateway.Gateway, error) {
	if g := a.gateway.Load(); g != nil {
		return g, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if g := a.gateway.Load(); g != nil {
		return g, nil
	}
	if a.released {
		return nil, errReplaced
	}
	db, err := a.lease.open()
	if err != nil {
		return nil, err
	}
	a.readLayout()
	config := a.config()
	config.Sites = a.siteOrigins()
	config.Database = a.lease.resource
	g, err := gateway.Start(a.ctx, db, config)
	if err != nil {
		return nil, err
	}
	a.gateway.Store(g)
	return g, nil
}

// errReplaced reports that another configuration is the running one.
var errReplaced = errors.New("the configuration was replaced before the store was open")

// borrow returns what running does, for requests that Caddy does not wait for when it replaces a
// configuration: the store stays open until release is called. If the configuration was replaced
// already, the error is errReplaced.
func (a *App) borrow() (g *gateway.Gateway, release func(), err error) {
	if g, err = a.running(); err != nil {
		return nil, nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.released {
		return nil, nil, errReplaced
	}
	borrowed := a.lease.takeAnother()
	return g, func() {
		if err := borrowed.release(); err != nil {
			currentLogger("multi_session.store").Error("closing the store", zap.Error(err))
		}
	}, nil
}

// config translates the configuration.
func (a *App) config() gateway.Config {
	names, _ := cookie.Labelled(a.CookieName) // see Validate
	return gateway.Config{
		Prefix:         a.Path,
		Sessions:       a.options,
		Cookies:        cookie.Options{Names: names, Domain: a.CookieDomain, PerHost: a.Active == ActivePerHost, InsecureHTTP: a.InsecureHTTP},
		TrustedOrigins: a.TrustedOrigins,
		SkipSignInPage: a.SkipSignInPage,
		Logins:         a.logins,
		Rules:          a.rules,
		ManagedHeaders: a.headers,
		SecretKeys:     func() ([][]byte, error) { return a.secretKeys(a.lease.shared.opener) },
		HashBudget:     memory.Budget,
		Server:         server{},
		Log:            a.log,
	}
}

// answerUnavailable answers a request that came while the store could not be opened. Start fails for
// the same reason, so Caddy is about to refuse this configuration.
func (a *App) answerUnavailable(w http.ResponseWriter, err error) {
	a.log.Error("a request came before the store could be opened", zap.Error(err))
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, "sign-in is not available", http.StatusServiceUnavailable)
}

// register notes what all gates and error routes need to know of a gate. Handlers call it while they
// are provisioned.
func (a *App) register(o *gate.Options) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, header := range o.Headers {
		a.headers = append(a.headers, header.Name)
	}
	a.noteTokenFields(o.Headers)
	a.rules = append(a.rules, o.Require...)
	routes := &a.errorRoutes
	routes.ErrorRoute = true
	if o.Cookies != nil {
		if routes.Cookies == nil {
			routes.Cookies = new(isolation.Options)
		}
		routes.Cookies.Except = append(routes.Cookies.Except, o.Cookies.Except...)
	}
	// Which paths are public only the gate that a request was meant for could tell.
	if o.Cache != nil && routes.Cache == nil {
		routes.Cache = new(gate.CacheOptions)
	}
}

// subscribe has Caddy tell when this configuration becomes the running one, and when it is about to
// stop.
func (a *App) subscribe(ctx caddy.Context) error {
	app, err := ctx.App("events")
	if err != nil {
		return fmt.Errorf("load events app: %w", err)
	}
	events := app.(*caddyevents.App)
	if err := events.On("stopping", stoppingHandler{a}); err != nil {
		return err
	}
	return events.On("started", startedHandler{a})
}

type stoppingHandler struct{ app *App }

// Handle ends the streams that Caddy would wait for. Caddy emits the event before it stops any app.
func (h stoppingHandler) Handle(context.Context, caddy.Event) error {
	h.app.endStreams()
	return nil
}

type startedHandler struct{ app *App }

// Handle has the gateway take over. Caddy emits the event for configurations that it did not refuse.
func (h startedHandler) Handle(context.Context, caddy.Event) error {
	if g := h.app.gateway.Load(); g != nil {
		g.TakeOver()
	}
	return nil
}

// Interface guards
var (
	_ caddy.App           = (*App)(nil)
	_ caddy.Provisioner   = (*App)(nil)
	_ caddy.Validator     = (*App)(nil)
	_ caddy.CleanerUpper  = (*App)(nil)
	_ caddyevents.Handler = startedHandler{}
	_ caddyevents.Handler = stoppingHandler{}
)
