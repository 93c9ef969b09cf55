package caddymodule

import (
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/caddy-multi-session/gateway/internal/login/claims"
)

// UnmarshalCaddyfile sets up the login. Syntax, after "login":
//
//	oidc <id> {
//	    name             <label>
//	    issuer           <url>
//	    tenants          <id...>
//	    discovery_url          <url>
//	    authorization_endpoint <url>
//	    token_endpoint         <url>
//	    userinfo_endpoint      <url>
//	    jwks_uri               <url>
//	    end_session_endpoint   <url>
//	    client_id        <id>
//	    client_secret    <secret>
//	    client_authentication client_secret_basic|client_secret_post|private_key_jwt|none
//	    client_key_file       <file>
//	    client_key_algorithm  <alg>
//	    client_key_id         <kid>
//	    client_assertion_file <file>
//	    pushed_authorization
//	    scopes           <scope...>
//	    redirect_uri     <url>
//	    prompt           select_account|login|off
//	    response_mode    query|form_post
//	    claims {
//	        user_name      <claim...>
//	        name           <claim>
//	        email          <claim>
//	        email_verified <claim>
//	        picture        <claim>
//	        groups         <claim>
//	        keep_groups    <name...>      # * is any text
//	        keep           <claim...>
//	    }
//	    user_name_prefix <text>
//	    shared_user_names
//	    group_prefix     <text>|off
//	    allow            email_domain|group <value...>
//	    allow            claim <name> <value...>
//	    parameter        <name> <value>
//	    expose           access_token|id_token...
//	    userinfo         off
//	    refresh          off
//	    logout           off
//	    post_logout_redirect off
//	    ca_file          <file>
//	    insecure_http
//	}
//
// The issuer and client_id are needed. An account that any value of any allow line lets in may sign
// in. The options allow and parameter may repeat.
func (l *OIDCLogin) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return l.unmarshal(d, func(b *block) (err error) {
		switch b.Val() {
		case "issuer":
			l.Issuer, err = b.value()
		case "client_authentication":
			l.ClientAuthentication, err = b.value()
		case "tenants":
			l.Tenants, err = b.values()
		case "discovery_url":
			l.DiscoveryURL, err = b.value()
		case "authorization_endpoint":
			l.AuthorizationEndpoint, err = b.value()
		case "token_endpoint":
			l.TokenEndpoint, err = b.value()
		case "userinfo_endpoint":
			l.UserInfoEndpoint, err = b.value()
		case "jwks_uri":
			l.JWKSURI, err = b.value()
		case "end_session_endpoint":
			l.EndSessionEndpoint, err = b.value()
		case "client_key_file":
			l.ClientKeyFile, err = b.value()
		case "client_key_algorithm":
			l.ClientKeyAlgorithm, err = b.value()
		case "client_key_id":
			l.ClientKeyID, err = b.value()
		case "client_assertion_file":
			l.ClientAssertionFile, err = b.value()
		case "pushed_authorization":
			l.PushedAuthorization, err = true, b.flag()
		case "expose":
			l.Expose, err = unmarshalExpose(b, oidcTokens)
		case "userinfo":
			l.NoUserInfo, err = b.turnedOff()
		case "logout":
			l.NoLogout, err = b.turnedOff()
		case "post_logout_redirect":
			l.NoPostLogoutRedirect, err = b.turnedOff()
		case "response_mode":
			l.ResponseMode, err = b.value()
		default:
			err = l.unmarshalOption(b, false)
		}
		return err
	})
}

// UnmarshalCaddyfile sets up the login. Syntax, after "login":
//
//	oauth2 <id> {
//	    preset                 github
//	    base_url               <url>
//	    authorization_endpoint <url>
//	    token_endpoint         <url>
//	    userinfo_endpoint      <url>
//	    client_authentication  client_secret_basic|client_secret_post
//	    issuer                 <url>
//	    claims {
//	        subject <claim>
//	        ...                           # as for OIDCLogin
//	    }
//	    expose                 access_token
//	    ...                               # name, client_id, client_secret, scopes, redirect_uri, prompt,
//	                                      # user_name_prefix, shared_user_names, group_prefix, allow,
//	                                      # parameter, refresh, ca_file and insecure_http, as for OIDCLogin
//	}
//
// The client_id and client_secret are needed. So is the preset, or else all endpoints and the claims
// subject and user_name.
func (l *OAuth2Login) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return l.unmarshal(d, func(b *block) (err error) {
		switch b.Val() {
		case "preset":
			l.Preset, err = b.value()
		case "base_url":
			l.BaseURL, err = b.value()
		case "authorization_endpoint":
			l.AuthorizationEndpoint, err = b.value()
		case "token_endpoint":
			l.TokenEndpoint, err = b.value()
		case "userinfo_endpoint":
			l.UserInfoEndpoint, err = b.value()
		case "client_authentication":
			l.ClientAuthentication, err = b.value()
		case "issuer":
			l.Issuer, err = b.value()
		case "expose":
			l.Expose, err = unmarshalExpose(b, oauth2Tokens)
		default:
			err = l.unmarshalOption(b, true)
		}
		return err
	})
}

// unmarshal reads the id, and calls option for each option of the block.
func (l *ProviderLogin) unmarshal(d *caddyfile.Dispenser, read func(*block) error) error {
	b := &block{Dispenser: d}
	b.Next() // the module's name
	kind := b.Val()
	if !b.NextArg() {
		return b.Errf("login %s: the id is missing", kind)
	}
	l.ID = b.Val()
	if err := b.noMore(); err != nil {
		return err
	}
	for nesting := b.Nesting(); b.NextBlock(nesting); {
		if err := read(b); err != nil {
			return err
		}
	}
	return nil
}

// unmarshalOption reads an option that all logins at providers share.
func (l *ProviderLogin) unmarshalOption(b *block, hasSubject bool) (err error) {
	switch b.Val() {
	case "name":
		l.Name, err = b.value()
	case "client_id":
		l.ClientID, err = b.value()
	case "client_secret":
		l.ClientSecret, err = b.secret()
	case "scopes":
		l.Scopes, err = b.values()
	case "redirect_uri":
		l.RedirectURI, err = b.value()
	case "prompt":
		l.Prompt, err = b.value()
	case "claims":
		l.Claims, err = unmarshalClaims(b, hasSubject)
	case "user_name_prefix":
		l.UserNamePrefix, err = b.value()
	case "shared_user_names":
		l.SharedUserNames, err = true, b.flag()
	case "group_prefix":
		l.GroupPrefix, err = b.value()
	case "allow":
		err = l.unmarshalAllow(b)
	case "parameter":
		err = l.unmarshalParameter(b)
	case "refresh":
		l.NoRefresh, err = b.turnedOff()
	case "ca_file":
		l.CAFile, err = b.value()
	case "insecure_http":
		l.InsecureHTTP = true
		err = b.flag()
	default:
		err = b.unknown()
	}
	return err
}

func unmarshalClaims(b *block, hasSubject bool) (*Claims, error) {
	if err := b.flag(); err != nil {
		return nil, err
	}
	c := new(Claims)
	options := &block{Dispenser: b.Dispenser}
	for nesting := b.Nesting(); b.NextBlock(nesting); {
		if err := c.unmarshalOption(options, hasSubject); err != nil {
			return nil, err
		}
	}
	if options.seen == nil {
		return nil, b.Err("claims: the block is missing or empty")
	}
	return c, nil
}

func (c *Claims) unmarshalOption(b *block, hasSubject bool) (err error) {
	switch name := b.Val(); {
	case name == "subject" && hasSubject:
		c.Subject, err = b.value()
	case name == "user_name":
		c.UserName, err = b.values()
	case name == "name":
		c.Name, err = b.value()
	case name == "email":
		c.Email, err = b.value()
	case name == "email_verified":
		c.EmailVerified, err = b.value()
	case name == "picture":
		c.Picture, err = b.value()
	case name == "groups":
		c.Groups, err = b.value()
	case name == "keep_groups":
		c.KeepGroups, err = b.values()
	case name == "keep":
		c.Keep, err = b.values()
	default:
		err = b.unknown()
	}
	return err
}

func (l *ProviderLogin) unmarshalAllow(b *block) error {
	args, err := b.arguments()
	if err != nil {
		return err
	}
	rule := claims.Rule{Kind: claims.Kind(args[0]), Values: args[1:]}
	if rule.Kind == claims.RuleClaim && len(rule.Values) > 0 {
		rule.Claim, rule.Values = rule.Values[0], rule.Values[1:]
	}
	if err := (claims.Rules{rule}).Validate(); err != nil {
		return b.WrapErr(err)
	}
	l.Allow = append(l.Allow, rule)
	return nil
}

func (l *ProviderLogin) unmarshalParameter(b *block) error {
	args, err := b.arguments()
	if err != nil {
		return err
	}
	if len(args) != 2 {
		return b.Err("parameter: takes a name and a value; quote a value that has spaces")
	}
	if _, ok := l.Parameters[args[0]]; ok {
		return b.Errf("parameter %s: is given twice", args[0])
	}
	if l.Parameters == nil {
		l.Parameters = make(map[string]string)
	}
	l.Parameters[args[0]] = args[1]
	return nil
}

// unmarshalExpose reads which tokens are exposed. The login has the tokens named in known.
func unmarshalExpose(b *block, kinds []string) ([]string, error) {
	names, err := b.values()
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		if err := validateExposed(name, kinds); err != nil {
			return nil, b.WrapErr(err)
		}
		if slices.Contains(names[:i], name) {
			return nil, b.Errf("expose: %s is given twice", name)
		}
	}
	return names, nil
}

// Interface guards
var (
	_ caddyfile.Unmarshaler = (*OIDCLogin)(nil)
	_ caddyfile.Unmarshaler = (*OAuth2Login)(nil)
)
