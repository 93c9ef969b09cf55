package caddymodule

import (
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/oidc"
	"github.com/caddy-multi-session/gateway/internal/login/password"
)

func init() {
	caddy.RegisterModule(PasswordLogin{})
}

// Login is a module of the namespace multi_session.logins.
type Login interface {
	// LoginMethod returns the method as it is configured. It opens nothing: a configuration that is
	// only validated calls it too.
	LoginMethod(*Memory) (login.Method, error)
}

// publicLogin is a Login that can be one for everybody.
type publicLogin interface {
	Login

	// letsInAnybody reports whether anybody at all can make an account there and sign in.
	letsInAnybody() bool
}

// Memory is what the process remembers for logins. It belongs to no configuration: a reload must not
// give a guesser a new start, nor ask every provider again.
type Memory struct {
	// Of attempts to sign in or up, and what they may cost the process.
	Throttle *login.Throttle
	SignUps  *login.Throttle
	Budget   *password.Budget

	// Of OpenID providers, what they said of themselves.
	Providers *oidc.Providers
}

var memory = &Memory{
	Throttle:  login.NewThrottle(time.Now),
	SignUps:   login.NewThrottle(time.Now),
	Budget:    password.NewBudget(password.DefaultMemory, password.DefaultPatience),
	Providers: oidc.NewProviders(),
}

// PasswordLogin signs in users by password: those of the configuration, and those that the gateway
// keeps itself.
type PasswordLogin struct {
	// ID is the method's name, which is part of every account's id. Default: password
	ID string `json:"id,omitempty"`

	// Users are who can sign in.
	Users []User `json:"users,omitempty"`

	// SignUp lets people make accounts for themselves. Default, where it is absent: nobody can.
	SignUp *SignUp `json:"sign_up,omitempty"`

	// Throttle limits failures.
	Throttle *Throttle `json:"throttle,omitempty"`
}

// User is a user of a PasswordLogin.
type User struct {
	// Name is what the user signs in with, and what an upstream knows the account by. Case does not
	// matter at sign-in.
	Name string `json:"name"`

	// Email can be signed in with too.
	Email string `json:"email,omitempty"`

	// Hash is of the password, as caddy hash-password prints it: argon2id or bcrypt. Global
	// placeholders are replaced, such as {env.ALICE_HASH} or {file./run/secrets/alice}.
	Hash string `json:"hash"`

	// DisplayName is how the user is called.
	DisplayName string `json:"display_name,omitempty"`

	// Picture is the URL of one.
	Picture string `json:"picture,omitempty"`

	// Groups are for the rules of sites, and for upstreams.
	Groups []string `json:"groups,omitempty"`

	// Claims are further facts, for the rules of sites and for headers.
	Claims map[string]any `json:"claims,omitempty"`
}

// SignUp says who can make an account. Without domains and invitation everybody can.
type SignUp struct {
	// Domains lets people in whose e-mail address is at one of these. Nobody verifies that it is theirs.
	Domains []string `json:"domains,omitempty"`

	// Invitation lets people in who have the code of an invitation that an administrator made. With
	// domains, either will do.
	Invitation bool `json:"invitation,omitempty"`

	// Groups are what everybody is in who signs up.
	Groups []string `json:"groups,omitempty"`
}

// Throttle limits failed attempts, for each client address (each /64 with IPv6); an account may
// have ten times as many over all addresses.
type Throttle struct {
	// Off limits nothing.
	Off bool `json:"off,omitempty"`

	// Failures is how many attempts may fail at once. Default: 10
	Failures int `json:"failures,omitempty"`

	// Window is how long it takes for all of them to be forgotten. Default: 15m
	Window caddy.Duration `json:"window,omitempty"`
}

var defaultLimits = login.Limits{Failures: 10, Window: 15 * time.Minute}

func (t *Throttle) limits() (login.Limits, error) {
	switch {
	case t == nil:
		return defaultLimits, nil
	case t.Off && (t.Failures != 0 || t.Window != 0):
		return login.Limits{}, fmt.Errorf("throttle: is off and has limits")
	case t.Off:
		return login.Limits{}, nil
	}
	limits := login.Limits{Failures: t.Failures, Window: time.Duration(t.Window)}
	if limits.Failures == 0 {
		limits.Failures = defaultLimits.Failures
	}
	if limits.Window == 0 {
		limits.Window = defaultLimits.Window
	}
	return limits, nil
}

// CaddyModule implements caddy.Module.
func (PasswordLogin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "multi_session.logins.password",
		New: func() caddy.Module { return new(PasswordLogin) },
	}
}

// LoginMethod implements Login.
func (l *PasswordLogin) LoginMethod(memory *Memory) (login.Method, error) {
	config := password.Config{ID: l.ID, Users: make([]password.User, len(l.Users)), SignUps: memory.SignUps}
	if config.ID == "" {
		config.ID = "password"
	}
	limits, err := l.Throttle.limits()
	if err != nil {
		return nil, fmt.Errorf("login %s: %w", config.ID, err)
	}
	config.Limits = limits
	if l.SignUp != nil {
		config.SignUp = &password.SignUp{Domains: l.SignUp.Domains, Invitation: l.SignUp.Invitation, Groups: l.SignUp.Groups}
	}
	repl := caddy.NewReplacer()
	for i, user := range l.Users {
		hash, err := repl.ReplaceOrErr(user.Hash, true, true)
		if err != nil {
			return nil, fmt.Errorf("login %s: user %q: hash: %w", config.ID, user.Name, err)
		}
		config.Users[i] = password.User{
			Name:        user.Name,
			Email:       user.Email,
			Hash:        hash,
			DisplayName: user.DisplayName,
			Picture:     user.Picture,
			Groups:      user.Groups,
			Claims:      user.Claims,
		}
	}
	return password.New(config, memory.Throttle, memory.Budget)
}

// Interface guards
var _ Login = (*PasswordLogin)(nil)
