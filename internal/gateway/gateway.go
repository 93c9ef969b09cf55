// Package gateway is the composition root: it makes a running gateway of a configuration and an open
// database, and closes it again. A configuration is plain Go values; whoever reads it from a file
// has validated them.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/admin"
	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/gate"
	"github.com/caddy-multi-session/gateway/internal/gate/identity"
	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/password"
	"github.com/caddy-multi-session/gateway/internal/origin"
	"github.com/caddy-multi-session/gateway/internal/portal"
	"github.com/caddy-multi-session/gateway/internal/seal"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/tokens"
)

// Config is a configuration. It must not change once it is used.
type Config struct {
	Prefix         string // path of the portal on every site, such as "/.auth"
	Sessions       session.Options
	Cookies        cookie.Options
	TrustedOrigins []string // other origins that may use the API and be returned to
	SkipSignInPage bool     // if there is only one way to sign in
	Logins         *login.Methods

	// Rules are the rules of all gates.
	Rules session.Policy

	// Sites are the origins that the gates serve, such as "https://app.example.com", as far as they
	// are known. A host may have a wildcard.
	Sites []string

	// Database is the path or address of the database, for people.
	Database string

	// ManagedHeaders are the names of header fields that gates set, besides the presets'. Clients
	// cannot send them to an upstream.
	ManagedHeaders []string

	// SecretKeys returns the keys that the gateway encrypts with: the first encrypts, all decrypt. It
	// is called once, and only if a login is a provider.
	SecretKeys func() ([][]byte, error)

	HashBudget *password.Budget // bounds the memory for hashing passwords
	Server     gate.Server      // needed by Start alone
	Log        *zap.Logger
}

// Gateway is a running gateway. Its methods may be called concurrently, but for Close.
type Gateway struct {
	Gate     *gate.Gate
	Admin    http.Handler // the administration API
	Sessions *session.Manager

	ctx        context.Context
	db         *Database
	portal     *portal.Portal
	logins     *login.Methods
	tokens     *tokens.Manager // nil if no login is a provider
	stopLogins func()
	config     Config
	log        *zap.Logger
}

// Start makes a gateway of a configuration. Its work besides requests ends with ctx or with Close.
// The database stays open after Close.
func Start(ctx context.Context, db *Database, c Config) (*Gateway, error) {
	trusted, err := canonicalOrigins(c.TrustedOrigins)
	if err != nil {
		return nil, err
	}
	logins, err := withUsers(db, c)
	if err != nil {
		return nil, err
	}
	g := &Gateway{
		Sessions: session.NewManager(db.Jars, logins, c.Sessions, time.Now),
		ctx:      ctx,
		db:       db,
		logins:   logins,
		config:   c,
		log:      c.Log,
	}
	box, err := g.startTokens(c)
	if err != nil {
		g.Sessions.Close()
		return nil, err
	}
	// This configuration may have an account again that an earlier one has removed. Its old sessions
	// must be dead before anybody is served.
	if err := db.Jars.LoadEndings(ctx); err != nil {
		g.closeManagers()
		return nil, err
	}
	g.portal, err = portal.New(portal.Config{
		Prefix:         c.Prefix,
		Manager:        g.Sessions,
		Logins:         logins,
		Box:            box,
		Notes:          db.Notes,
		Names:          db.Names,
		Grants:         g.tokens,
		TrustedOrigins: trusted,
		SkipSignInPage: c.SkipSignInPage,
		Now:            time.Now,
		Log:            c.Log,
	})
	if err != nil {
		g.closeManagers()
		return nil, err
	}
	g.Gate = gate.New(gate.Config{
		Server:   c.Server,
		Portal:   portalForGate{g.portal},
		Sessions: g.Sessions,
		Tokens:   g.tokensForGate(),
		Managed:  identity.NewManaged(append(slices.Clone(c.ManagedHeaders), gate.ExpectHeader)...),
		Cookies:  c.Cookies,
		Streams:  db.Streams,
		Log:      c.Log,

		TrustedOrigins: trusted,
	})
	g.Admin = administration(db, c, logins, g.Sessions)
	g.stopLogins = runLogins(ctx, logins, c.Log)
	return g, nil
}

// canonicalOrigins returns origins in the form that browsers send.
func canonicalOrigins(texts []string) ([]string, error) {
	origins := make([]string, len(texts))
	for i, text := range texts {
		var err error
		if origins[i], err = origin.Parse(text); err != nil {
			return nil, fmt.Errorf("trusted origin %q: %w", text, err)
		}
	}
	return origins, nil
}

// startTokens starts what keeps the tokens of sessions, and returns the box that they are sealed
// with. It does nothing if no login is a provider.
func (g *Gateway) startTokens(c Config) (*seal.Box, error) {
	if len(g.logins.Providers()) == 0 {
		return nil, nil
	}
	keys, err := c.SecretKeys()
	if err != nil {
		return nil, err
	}
	box, err := seal.NewBox(keys...)
	if err != nil {
		return nil, fmt.Errorf("secret_key: %w", err)
	}
	g.tokens = tokens.New(tokens.Config{
		Manager:  g.Sessions,
		Logins:   g.logins,
		Sealer:   box.Sealer("grant"),
		Log:      c.Log,
		Now:      time.Now,
		Names:    g.db.Names,
		Underway: g.db.underway,
		Ended:    portal.AuditRefusals(c.Log),
	})
	return box, nil
}

// tokensForGate returns the tokens' manager, or a nil interface if there is none.
func (g *Gateway) tokensForGate() gate.Tokens {
	if g.tokens == nil {
		return nil
	}
	return g.tokens
}

// EndStreams ends the streams of events, which would otherwise last as long as their pages are open.
// Other requests under way are served to their end.
func (g *Gateway) EndStreams() { g.portal.EndStreams() }

// Close ends what a gateway does besides requests, and waits for it. It must be called once, after
// the last request.
func (g *Gateway) Close() {
	g.EndStreams()
	g.stopLogins()
	g.closeManagers()
}

func (g *Gateway) closeManagers() {
	if g.tokens != nil {
		g.tokens.Close()
	}
	g.Sessions.Close()
}

// Administer returns the administration API of a database that no gateway serves, and a function
// that closes both. The directory decides which accounts there are; nil stands for the
// configuration's logins. If it fails, the database is closed.
func Administer(db *Database, c Config, directory session.Directory) (api http.Handler, closeAll func() error, err error) {
	logins, err := withUsers(db, c)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	if directory == nil {
		directory = logins
	}
	if err := db.Jars.LoadEndings(context.Background()); err != nil {
		c.Log.Error("sessions that have ended may be listed", zap.Error(err))
	}
	manager := session.NewManager(db.Jars, directory, c.Sessions, time.Now)
	return administration(db, c, logins, manager), func() error {
		manager.Close()
		return db.Close()
	}, nil
}

func administration(db *Database, c Config, logins *login.Methods, manager *session.Manager) http.Handler {
	return admin.New(admin.Config{
		Users:     db.Users,
		Jars:      db.Jars,
		Manager:   manager,
		Names:     db.Names,
		Store:     db.store,
		Budget:    c.HashBudget,
		Passwords: passwordMethod(logins),
		Prefix:    c.Prefix,
		PerHost:   c.Cookies.PerHost,
		Sites:     c.Sites,
		Log:       c.Log,
		Now:       time.Now,
	})
}
