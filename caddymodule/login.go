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
	// LoginMethod returns the configured method. It must open nothing, because it is also called for
	// configurations that are only validated.
	LoginMethod(*Memory) (login.Method, error)
}

// publicLogin is a Login with which anybody may be able to sign in.
type publicLogin interface {
	Login

	// letsInAnybody reports whether anybody can get an account there and sign in.
	letsInAnybody() bool
}

// Memory is what the process remembers for logins. It outlives configurations: a reload must not reset
// the throttling of guesses, nor discover every provider again.
type Memory struct {
	// Throttle and SignUps limit attempts to sign in and up. Budget bounds the memory for hashing.
	Throttle *login.Throttle
	SignUps  *login.Throttle
	Budget   *password.Budget

	// Providers has the discovered configurations of OpenID providers.
	Providers *oidc.Providers
}

var memory = &Memory{
	Throttle:  login.NewThrottle(time.Now),
	SignUps:   login.NewThrottle(time.Now),
	Budget:    password.NewBudget(password.DefaultMemory),
	Providers: oidc.NewProviders(),
}

// PasswordLogin signs in users with a password: those of the configuration, and those that the gateway
// stores.
type PasswordLogin struct {
	// ID is the login's name. It is part of every account's id. Default: password
	ID string `json:"id,omitempty"`

	// Users are the users of the configuration.
	Users []User `json:"users,omitempty"`

	// SignUp lets people create their own accounts. Default, if absent: nobody can.
	SignUp *SignUp `json:"sign_up,omitempty"`

	// Throttle limits failed attempts.
	Throttle *Throttle `json:"throttle,omitempty"`

	// MaxWait is how long a sign-in or sign-up waits for its turn while many people sign in at once,
	// until it is refused with status 429. Passwords are checked on half of the processors. Default: 30s
	MaxWait caddy.Duration `json:"max_wait,omitempty"`
}

// User is a user of a PasswordLogin.
type User struct {
	// Name is the user name, for signing in and for upstreams. Case does not matter at sign-in.
	Name string `json:"name"`

	// Email is the e-mail address. The user can also sign in with it.
	Email string `json:"email,omitempty"`

	// Hash is the password's hash, as caddy hash-password prints it: argon2id or bcrypt. Global
	// placeholders are replaced, such as {env.ALICE_HASH} or {file./run/secrets/alice}.
	Hash string `json:"hash"`

	// DisplayName is the name to show to people.
	DisplayName string `json:"display_name,omitempty"`

	// Picture is the URL of a picture.
	Picture string `json:"picture,omitempty"`

	// Groups are the user's groups, for the rules of sites and for upstreams.
	Groups []string `json:"groups,omitempty"`

	// Claims are further data, for the rules of sites and for headers.
	Claims map[string]any `json:"claims,omitempty"`
}

// SignUp configures who can create an account. Without domains and invitation, everybody can.
type SignUp struct {
	// Domains lets people sign up whose e-mail address is at one of these domains. Nothing verifies that
	// the address is theirs.
	Domains []string `json:"domains,omitempty"`

	// Invitation lets people sign up who have the code of an administrator's invitation. With domains,
	// either is enough.
	Invitation bool `json:"invitation,omitempty"`

	// Groups are the groups of everybody who signs up.
	Groups []string `json:"groups,omitempty"`
}

// Throttle limits failed attempts for each client address, with IPv6 for each /64. For an account, the
// limit over all addresses is ten times as high.
type Throttle struct {
	// Off disables the limit.
	Off bool `json:"off,omitempty"`

	// Failures is how many attempts may fail within Window. Default: 10
	Failures int `json:"failures,omitempty"`

	// Window is how long it takes until all failures are forgotten. Default: 15m
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
	config.MaxWait = time.Duration(l.MaxWait)
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
