package caddymodule

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	httpcaddyfile.RegisterGlobalOption(appName, parseApp)
}

func parseApp(d *caddyfile.Dispenser, existing any) (any, error) {
	if existing != nil {
		d.Next()
		return nil, d.Errf("the global option %s is given twice", appName)
	}
	app := new(App)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: appName, Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile sets up the app from the global option. Syntax:
//
//	multi_session {
//	    login <module> [<id>] {
//	        ...                                   # the login's own options; see PasswordLogin, OIDCLogin, OAuth2Login
//	    }
//	    store <module> {
//	        ...                                   # the store's own options; see BBoltStore
//	    }
//	    path            <prefix>
//	    cookie_domain   <domain>
//	    cookie_name     <name>
//	    active          per_jar|per_host
//	    max_sessions    <count> [evict|reject]
//	    lifetime        <duration>
//	    idle_timeout    <duration>|off
//	    trusted_origins <origin...>
//	    secret_key      <key> [<older key...>]
//	    skip_sign_in_page
//	    insecure_http
//	}
//
// At least one login is needed. Every other option may be given once.
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	b := &block{Dispenser: d}
	b.Next() // the option's name
	if err := b.noMore(); err != nil {
		return err
	}
	for nesting := b.Nesting(); b.NextBlock(nesting); {
		if err := a.unmarshalOption(b); err != nil {
			return err
		}
	}
	return nil
}

func (a *App) unmarshalOption(b *block) (err error) {
	switch b.Val() {
	case "login":
		var login json.RawMessage
		login, err = guest(b, "multi_session.logins.")
		a.LoginsRaw = append(a.LoginsRaw, login)
	case "store":
		if err := b.once(); err != nil {
			return err
		}
		a.StoreRaw, err = guest(b, "multi_session.stores.")
	case "path":
		a.Path, err = b.value()
	case "cookie_domain":
		a.CookieDomain, err = b.value()
	case "cookie_name":
		a.CookieName, err = b.value()
	case "active":
		err = a.unmarshalActive(b)
	case "max_sessions":
		err = a.unmarshalMaxSessions(b)
	case "lifetime":
		var text string
		if text, err = b.value(); err == nil {
			a.Lifetime, err = b.duration("lifetime", text)
		}
	case "idle_timeout":
		var text string
		if text, err = b.value(); err != nil {
			return err
		}
		if text == off {
			a.IdleTimeout = never
			return nil
		}
		a.IdleTimeout, err = b.duration("idle_timeout", text)
	case "trusted_origins":
		a.TrustedOrigins, err = b.values()
	case "secret_key":
		a.SecretKeys, err = b.values()
	case "skip_sign_in_page":
		a.SkipSignInPage = true
		err = b.flag()
	case "insecure_http":
		a.InsecureHTTP = true
		err = b.flag()
	default:
		return b.unknown()
	}
	return err
}

func (a *App) unmarshalActive(b *block) (err error) {
	if a.Active, err = b.value(); err != nil {
		return err
	}
	if a.Active != ActivePerJar && a.Active != ActivePerHost {
		return b.Errf("active: %q is neither %s nor %s", a.Active, ActivePerJar, ActivePerHost)
	}
	return nil
}

func (a *App) unmarshalMaxSessions(b *block) error {
	args, err := b.values()
	if err != nil {
		return err
	}
	if a.MaxSessions, err = b.count("max_sessions", args[0]); err != nil {
		return err
	}
	switch {
	case len(args) == 1:
	case len(args) > 2:
		return b.Errf("surplus argument %q", args[2])
	case args[1] == WhenFullEvict || args[1] == WhenFullReject:
		a.WhenFull = args[1]
	default:
		return b.Errf("max_sessions: %q is neither %s nor %s", args[1], WhenFullEvict, WhenFullReject)
	}
	return nil
}

// guest reads an option that names a guest module, whose options are in its block.
func guest(b *block, namespace string) (json.RawMessage, error) {
	option := b.Val()
	if !b.NextArg() {
		return nil, b.Errf("%s: the kind is missing", option)
	}
	name := b.Val()
	info, err := caddy.GetModule(namespace + name)
	if err != nil {
		return nil, b.Errf("unrecognized %s %q", option, name)
	}
	module, ok := info.New().(caddyfile.Unmarshaler)
	if !ok {
		return nil, b.Errf("%s %s cannot be configured in a Caddyfile", option, name)
	}
	if err := module.UnmarshalCaddyfile(b.NewFromNextSegment()); err != nil {
		return nil, err
	}
	return caddyconfig.JSONModuleObject(module, "module", name, nil), nil
}

// UnmarshalCaddyfile sets up the store. Syntax, after "store":
//
//	bbolt {
//	    path <file>
//	}
func (s *BBoltStore) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	b := &block{Dispenser: d}
	b.Next() // the module's name
	if err := b.noMore(); err != nil {
		return err
	}
	for nesting := b.Nesting(); b.NextBlock(nesting); {
		if b.Val() != "path" {
			return b.unknown()
		}
		var err error
		if s.Path, err = b.value(); err != nil {
			return err
		}
	}
	return nil
}

// UnmarshalCaddyfile sets up the login. Syntax, after "login":
//
//	password [<id>] {
//	    user <name> [<email>] <hash> {
//	        name    <display name>
//	        picture <url>
//	        groups  <group...>
//	        claim   <name> <value...>
//	    }
//	    sign_up {
//	        domains    <domain...>
//	        invitation
//	        groups     <group...>
//	    }
//	    throttle <failures> <window>
//	    throttle off
//	    max_wait <duration>
//	}
//
// There can be any number of users. The blocks of a user and of sign_up are optional. A claim with
// several values is a list.
func (l *PasswordLogin) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	b := &block{Dispenser: d}
	b.Next() // the module's name
	if b.NextArg() {
		l.ID = b.Val()
	}
	if err := b.noMore(); err != nil {
		return err
	}
	for nesting := b.Nesting(); b.NextBlock(nesting); {
		var err error
		switch b.Val() {
		case "user":
			err = l.unmarshalUser(b)
		case "sign_up":
			err = l.unmarshalSignUp(b)
		case "throttle":
			err = l.unmarshalThrottle(b)
		case "max_wait":
			var text string
			if text, err = b.value(); err == nil {
				l.MaxWait, err = b.duration("max_wait", text)
			}
		default:
			err = b.unknown()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *PasswordLogin) unmarshalUser(b *block) error {
	args, err := b.arguments()
	if err != nil {
		return err
	}
	user := User{Name: args[0], Hash: args[len(args)-1]}
	switch len(args) {
	case 1:
		return b.Errf("user %s: the password's hash is missing", user.Name)
	case 2:
	case 3:
		user.Email = args[1]
	default:
		return b.Errf("user %s: takes a name, an e-mail address and a hash; quote values that have spaces", user.Name)
	}
	options := &block{Dispenser: b.Dispenser}
	for nesting := b.Nesting(); b.NextBlock(nesting); {
		var err error
		switch b.Val() {
		case "name":
			user.DisplayName, err = options.value()
		case "picture":
			user.Picture, err = options.value()
		case "groups":
			user.Groups, err = options.values()
		case "claim":
			err = user.unmarshalClaim(options)
		default:
			err = options.unknown()
		}
		if err != nil {
			return err
		}
	}
	l.Users = append(l.Users, user)
	return nil
}

func (u *User) unmarshalClaim(b *block) error {
	args, err := b.arguments()
	if err != nil {
		return err
	}
	name := args[0]
	if len(args) == 1 {
		return b.Errf("claim %s: a value is missing", name)
	}
	if _, ok := u.Claims[name]; ok {
		return b.Errf("claim %s: is given twice", name)
	}
	if u.Claims == nil {
		u.Claims = make(map[string]any)
	}
	if len(args) == 2 {
		u.Claims[name] = args[1]
		return nil
	}
	list := make([]any, 0, len(args)-1)
	for _, value := range args[1:] {
		list = append(list, value)
	}
	u.Claims[name] = list
	return nil
}

func (l *PasswordLogin) unmarshalSignUp(b *block) error {
	if err := b.flag(); err != nil {
		return err
	}
	l.SignUp = new(SignUp)
	options := &block{Dispenser: b.Dispenser}
	for nesting := b.Nesting(); b.NextBlock(nesting); {
		var err error
		switch b.Val() {
		case "domains":
			l.SignUp.Domains, err = options.values()
		case "invitation":
			l.SignUp.Invitation = true
			err = options.flag()
		case "groups":
			l.SignUp.Groups, err = options.values()
		default:
			err = options.unknown()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *PasswordLogin) unmarshalThrottle(b *block) error {
	args, err := b.values()
	if err != nil {
		return err
	}
	if len(args) == 1 && args[0] == off {
		l.Throttle = &Throttle{Off: true}
		return nil
	}
	if len(args) != 2 {
		return b.Errf("throttle: takes a number of failures and a window, as in throttle 10 15m, or off")
	}
	l.Throttle = new(Throttle)
	if l.Throttle.Failures, err = b.count("throttle", args[0]); err != nil {
		return err
	}
	l.Throttle.Window, err = b.duration("throttle", args[1])
	return err
}

// Interface guards
var (
	_ caddyfile.Unmarshaler = (*App)(nil)
	_ caddyfile.Unmarshaler = (*BBoltStore)(nil)
	_ caddyfile.Unmarshaler = (*PasswordLogin)(nil)
)
