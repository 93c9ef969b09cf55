package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/gate/identity"
	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/password"
	"github.com/caddy-multi-session/gateway/internal/portal"
	"github.com/caddy-multi-session/gateway/internal/seal"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/tokens"
)

func init() {
	caddy.RegisterModule(new(App))
}

// appName is the app's module id and the name of the Caddyfile's global option.
const appName = "multi_session"

// DefaultPath is the portal's path prefix where none is configured.
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

// App is what all sites of a configuration share: the sessions and the ways to sign in. Sites use
// it through the multi_session handler.
type App struct {
	// Store is where sessions are kept. The default is bbolt, in Caddy's data directory.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=multi_session.stores inline_key=module"`

	// Logins are the ways to sign in, at least one.
	LoginsRaw []json.RawMessage `json:"logins,omitempty" caddy:"namespace=multi_session.logins inline_key=module"`

	// Path is the prefix of the paths that the gateway answers itself, on every site that uses it.
	// Default: /.auth
	Path string `json:"path,omitempty"`

	// CookieDomain is a domain whose hosts share one jar of sessions in a browser. Default: each
	// host has a jar of its own.
	CookieDomain string `json:"cookie_domain,omitempty"`

	// Active says what has an active account: "per_jar", all hosts of CookieDomain together, or
	// "per_host", each of them. Default: per_jar
	Active string `json:"active,omitempty"`

	// MaxSessions is how many accounts one browser can hold, 1 to 50. Default: 5
	MaxSessions int `json:"max_sessions,omitempty"`

	// WhenFull says what a sign-in beyond MaxSessions does: "evict" ends the least recently used
	// session, "reject" refuses the sign-in. Default: evict
	WhenFull string `json:"when_full,omitempty"`

	// Lifetime is how long a session lasts at most. Default: 30d
	Lifetime caddy.Duration `json:"lifetime,omitempty"`

	// IdleTimeout is how long a session lasts without being used. Negative: only Lifetime ends it.
	// Default: 7d
	IdleTimeout caddy.Duration `json:"idle_timeout,omitempty"`

	// TrustedOrigins are the origins of other web apps, as "https://spa.example.com", that may use
	// the JSON API and that a sign-in may lead back to.
	TrustedOrigins []string `json:"trusted_origins,omitempty"`

	// InsecureHTTP allows sign-in over plain HTTP on hosts that are not loopback. Whoever is on the
	// way can then read and take over sessions.
	InsecureHTTP bool `json:"insecure_http,omitempty"`

	// SecretKeys encrypt what browsers and the store keep of signing in at other sites: the first
	// encrypts, and all decrypt, so that a key can be replaced. Each has 32 characters at least, and
	// is random. Global placeholders are replaced, such as {env.SECRET_KEY} or {file./run/secrets/key}.
	// Default: a key made once and kept beside the store, by stores that can
	SecretKeys []string `json:"secret_keys,omitempty"`

	// SkipSignInPage sends browsers without an account straight to the provider, where that is the
	// only way to sign in.
	SkipSignInPage bool `json:"skip_sign_in_page,omitempty"`

	ctx     caddy.Context
	log     *zap.Logger
	logins  *login.Methods
	options session.Options
	lease   *lease
	keys    [][]byte // SecretKeys, with placeholders replaced
	public  []string // ids of the logins that let in anybody

	mu        sync.Mutex
	managed   []string                   // header names of the handlers, besides the presets'
	rights    []string                   // user names that the handlers' rules let in
	isolation *cookie.Isolation          // of the handlers together; nil where it is off for all
	caches    *IsolateCache              // likewise
	cleaned   map[*caddyhttp.Server]bool // servers whose error routes begin with a CleanHandler
	connected []*caddyhttp.Server        // servers whose requests know their connection
	released  bool                       // Cleanup ran
	engine    atomic.Pointer[engine]     // set when the store is open
}

// engine is what serves requests once the store is open.
type engine struct {
	*database
	logins  *login.Methods
	manager *session.Manager
	grants  tokenKeeper // nil where no login is a provider
	portal  *portal.Portal
	admin   http.Handler
	managed *identity.Managed
	cookies cookie.Options
	log     *zap.Logger
	order   *cookie.Order
	notices notices
	afresh  notices // which browsers were sent to begin afresh
	led     notices // where the portal has led which clients
	stop    func()  // ends what logins do beside requests, and waits for it
}

// CaddyModule implements caddy.Module.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  appName,
		New: func() caddy.Module { return new(App) },
	}
}

// Provision sets the defaults, loads the modules inside, and takes a lease of the store. It opens
// nothing: a configuration that is only validated, or that turns out to be refused, leaves the
// store of the running one alone.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx = ctx
	a.log = ctx.Logger()
	opener, err := a.build(ctx)
	if err != nil {
		return err
	}
	a.lease = leaseOf(opener)
	return a.subscribe(ctx)
}

// build sets the defaults and loads the modules inside.
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

// Validate refuses a configuration that could not work, before anything is opened.
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
	for _, provider := range a.logins.Providers() {
		if err := a.validateRedirectURI(provider); err != nil {
			return fmt.Errorf("login %s: redirect_uri %w", provider.ID(), err)
		}
	}
	for _, origin := range a.TrustedOrigins {
		if _, err := portal.ParseOrigin(origin); err != nil {
			return fmt.Errorf("trusted_origins: %q: %w", origin, err)
		}
	}
	return nil
}

// Start opens the store, if no request or configuration before this one did.
func (a *App) Start() error {
	if a.InsecureHTTP {
		a.log.Warn("insecure_http is on: sessions can be read and taken over by whoever is between browser and gateway")
	}
	for _, id := range a.public {
		a.log.Warn("everybody with an account at the provider can sign in, and pass at sites without require: allow says who may", zap.String("login", id))
	}
	_, err := a.running()
	return err
}

// Stop ends what would go on for as long as a page is open. Other requests that are under way when a
// configuration is replaced are served to their end, and Cleanup does the rest.
func (a *App) Stop() error {
	a.endStreams()
	return nil
}

// endStreams ends the streams of events. Caddy stops its apps in no particular order, and the one that
// serves HTTP waits for requests.
func (a *App) endStreams() {
	if e := a.engine.Load(); e != nil {
		e.portal.EndStreams()
	}
}

// Cleanup gives back what was taken, however far provisioning came.
func (a *App) Cleanup() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.released {
		return nil
	}
	a.released = true
	if e := a.engine.Load(); e != nil {
		e.close()
	}
	if a.lease == nil {
		return nil
	}
	return a.lease.release()
}

// running returns what serves requests. Caddy starts its apps in no particular order, so a request
// may come before Start; it then opens the store itself.
func (a *App) running() (*engine, error) {
	if e := a.engine.Load(); e != nil {
		return e, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := a.engine.Load(); e != nil {
		return e, nil
	}
	if a.released {
		return nil, errReplaced
	}
	e, err := a.start()
	if err != nil {
		return nil, err
	}
	a.engine.Store(e)
	return e, nil
}

// errReplaced says that another configuration is the running one by now.
var errReplaced = errors.New("the configuration was replaced before the store was open")

// borrow is running for requests that Caddy does not wait for when it replaces a configuration: the
// store stays open until release is called. Where the configuration was replaced already, it is
// errReplaced.
func (a *App) borrow() (e *engine, release func(), err error) {
	if e, err = a.running(); err != nil {
		return nil, nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.released {
		return nil, nil, errReplaced
	}
	another := a.lease.another()
	return e, func() {
		if err := another.release(); err != nil {
			currentLogger("multi_session.store").Error("closing the store", zap.Error(err))
		}
	}, nil
}

func (a *App) start() (*engine, error) {
	db, err := a.lease.open()
	if err != nil {
		return nil, err
	}
	logins, err := a.loginsWith(db)
	if err != nil {
		return nil, err
	}
	manager := session.NewManager(db.jars, logins, a.options, time.Now)
	keeper, box, err := a.keeper(db, logins, manager)
	if err != nil {
		manager.Close()
		return nil, err
	}
	// What the configurations before have left must be done before this one serves anybody: it may
	// have an account again whose sessions they were to end.
	a.endNoted(manager)
	p, err := portal.New(portal.Config{
		Prefix:         a.Path,
		Manager:        manager,
		Logins:         logins,
		Box:            box,
		Notes:          db.notes,
		Names:          db.names,
		Grants:         keeper,
		TrustedOrigins: a.TrustedOrigins,
		SkipSignInPage: a.SkipSignInPage,
		Now:            time.Now,
		Log:            a.log,
	})
	if err != nil {
		manager.Close()
		return nil, err
	}
	e := &engine{
		database: db,
		logins:   logins,
		manager:  manager,
		portal:   p,
		admin:    a.administration(db, logins, manager),
		managed:  identity.NewManaged(append(slices.Clone(a.managed), expectHeader)...),
		cookies:  cookie.Options{Domain: a.CookieDomain, PerHost: a.Active == ActivePerHost, InsecureHTTP: a.InsecureHTTP},
		log:      a.log,
		order:    cookie.NewOrder(),
		afresh:   notices{lasting: recent},
		led:      notices{lasting: recent},
		stop:     runLogins(a.ctx, logins),
	}
	if keeper != nil {
		e.grants = keeper
	}
	return e, nil
}

// keeper returns what keeps the tokens of sessions, and the box that they are sealed with: nothing of
// both where no login is a provider.
func (a *App) keeper(db *database, logins *login.Methods, manager *session.Manager) (*tokens.Manager, *seal.Box, error) {
	if len(logins.Providers()) == 0 {
		return nil, nil, nil
	}
	keys, err := a.secretKeys(a.lease.shared.opener)
	if err != nil {
		return nil, nil, err
	}
	box, err := seal.NewBox(keys...)
	if err != nil {
		return nil, nil, fmt.Errorf("secret_key: %w", err)
	}
	return tokens.New(tokens.Config{
		Manager:  manager,
		Logins:   logins,
		Sealer:   box.Sealer("grant"),
		Log:      a.log,
		Now:      time.Now,
		Names:    db.names,
		Underway: db.underway,
		Ended:    portal.AuditRefusals(a.log),
	}), box, nil
}

// runLogins lets logins do what they do beside requests, until the function that it returns is called.
func runLogins(ctx context.Context, logins *login.Methods) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	for _, method := range logins.All() {
		if runner, ok := method.(login.Runner); ok {
			running.Go(func() { runner.Run(ctx) })
		}
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// loginsWith returns the logins with the users that the gateway keeps itself.
func (a *App) loginsWith(db *database) (*login.Methods, error) {
	methods := slices.Clone(a.logins.All())
	for i, method := range methods {
		configured, ok := method.(*password.Method)
		if !ok {
			continue
		}
		with := configured.With(db.users, db.names, a.rights...)
		for _, u := range with.Shadowed() {
			a.log.Warn("a stored user cannot sign in: a user of the configuration has the name or e-mail address",
				zap.String("login", with.ID()), zap.String("user", u.Name), zap.String("id", u.ID))
		}
		methods[i] = with
	}
	return login.NewMethods(methods...)
}

// close ends what goes on beside the requests, once nothing is served any more.
func (e *engine) close() {
	e.portal.EndStreams()
	e.stop()
	if e.grants != nil {
		e.grants.Close()
	}
	e.manager.Close()
}

// unavailable answers a request that came while the store could not be opened. Start fails for the
// same reason, so this configuration is about to be refused.
func (a *App) unavailable(w http.ResponseWriter, err error) {
	a.log.Error("a request came before the store could be opened", zap.Error(err))
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, "sign-in is not available", http.StatusServiceUnavailable)
}

// manage adds header names that a handler sets, so that every handler deletes them from what
// clients send. Handlers call it while they are provisioned, which is before anything is served.
func (a *App) manage(names ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.managed = append(a.managed, names...)
}

// reserve keeps the user names that a policy lets in from people who choose a name: whoever it is
// meant for may not have an account yet. Handlers call it as they call manage.
func (a *App) reserve(policy session.Policy) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, rule := range policy {
		if rule.Kind == session.RequireUser {
			a.rights = append(a.rights, rule.Values...)
		}
	}
}

// subscribe asks to be told when this configuration is the running one, and when it is not any more.
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

// Handle ends what Caddy would wait for. It is told so before any app is stopped.
func (h stoppingHandler) Handle(context.Context, caddy.Event) error {
	h.app.endStreams()
	return nil
}

type startedHandler struct{ app *App }

// Handle notes which accounts there are now, and has the sessions of those that are gone ended. A
// refused configuration never comes here, so it signs nobody out. What is noted is done sooner or
// later, even if this configuration is replaced by one that has the accounts again, or the process
// ends. It is done beside the requests: until it is through, those sessions are refused one by one as
// they are used.
func (h startedHandler) Handle(context.Context, caddy.Event) error {
	e := h.app.engine.Load()
	if e == nil {
		return nil
	}
	e.streams.SetLookup(e.judge)
	if err := e.manager.NoteRoster(h.app.ctx, e.roster()); err != nil {
		h.app.log.Error("noting which accounts there are", zap.Error(err))
		return nil
	}
	go h.app.endNoted(e.manager)
	return nil
}

// endNoted ends the sessions of accounts that are gone.
func (a *App) endNoted(manager *session.Manager) {
	ended, err := manager.EndNoted(a.ctx)
	switch {
	case errors.Is(err, context.Canceled):
		// Replaced by a newer configuration, which did what was left before it began to serve.
	case err != nil:
		a.log.Error("ending the sessions of removed accounts", zap.Error(err))
	case ended > 0:
		a.log.Info("ended the sessions of removed accounts", zap.Int("sessions", ended))
	}
}

// roster is which accounts there are, as far as the methods know.
func (e *engine) roster() session.Roster {
	roster := make(session.Roster)
	for _, method := range e.logins.All() {
		var subjects []string
		if lister, ok := method.(login.Lister); ok {
			subjects = slices.Clone(lister.Subjects())
		}
		roster[method.ID()] = subjects
	}
	return roster
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
