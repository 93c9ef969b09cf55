package caddymodule

import (
	"fmt"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/gate/isolation"
)

// IsolateCookies configures which cookies of the upstream belong to the account that is active when
// they are set. By default all do.
type IsolateCookies struct {
	// Off passes the upstream's cookies as if there were no gateway.
	Off bool `json:"off,omitempty"`

	// Except are the names of cookies that all accounts of a browser share, such as cookies that
	// other hosts have set for a whole domain. An asterisk stands for any characters.
	Except []string `json:"except,omitempty"`

	// Scripted are the names of cookies that a script makes at the path / for this host, and of which
	// each account has its own, such as a login that scripts keep in a cookie. An asterisk stands for
	// any characters.
	Scripted []string `json:"scripted,omitempty"`
}

// validate refuses options that contradict each other, and names that no cookie can have.
func (o *IsolateCookies) validate() error {
	if o == nil {
		return nil
	}
	named := make(map[string]bool)
	for _, list := range [...]struct {
		option string
		names  []string
	}{{"except", o.Except}, {"scripted", o.Scripted}} {
		if o.Off && len(list.names) > 0 {
			return fmt.Errorf("isolate_cookies: %s makes no sense where it is off", list.option)
		}
		for _, name := range list.names {
			switch {
			case !cookieName(name):
				return fmt.Errorf("isolate_cookies: %s %q: is not the name of a cookie", list.option, name)
			case cookie.Reserved(name):
				return fmt.Errorf("isolate_cookies: %s %s: is a cookie of the gateway", list.option, name)
			case named[name]:
				return fmt.Errorf("isolate_cookies: %s %s: is named twice", list.option, name)
			}
			named[name] = true
		}
	}
	return nil
}

// cookieName reports whether a text can be the name of a cookie (RFC 6265, section 4.1.1).
func cookieName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, c)
	})
}

// isolation translates the options for the gate. It is nil if the isolation is off. MaxHeader is how many
// bytes of a request's header the server takes; zero if that is not known.
func (o *IsolateCookies) isolation(maxHeader int) *isolation.Options {
	if o == nil {
		o = new(IsolateCookies)
	}
	if o.Off {
		return nil
	}
	// What cookies leave is for the address and the other fields.
	return &isolation.Options{Except: o.Except, Scripted: o.Scripted, MaxBytes: maxHeader / 8 * 5}
}
