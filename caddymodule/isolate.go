package caddymodule

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/cookie"
)

// IsolateCookies configures which cookies of the upstream belong to the account that is active when
// they are set. By default all do.
type IsolateCookies struct {
	// Off passes the upstream's cookies as if there were no gateway.
	Off bool `json:"off,omitempty"`

	// Except are the names of cookies that all accounts of a browser share, such as cookies that
	// other hosts have set for a whole domain.
	Except []string `json:"except,omitempty"`
}

// validate refuses options that contradict each other, and names that no cookie can have.
func (o *IsolateCookies) validate() error {
	if o == nil {
		return nil
	}
	if o.Off && len(o.Except) > 0 {
		return errors.New("isolate_cookies: except makes no sense where it is off")
	}
	named := make(map[string]bool)
	for _, name := range o.Except {
		switch {
		case !cookieName(name):
			return fmt.Errorf("isolate_cookies: except %q: is not the name of a cookie", name)
		case cookie.Reserved(name):
			return fmt.Errorf("isolate_cookies: except %s: is a cookie of the gateway", name)
		case named[name]:
			return fmt.Errorf("isolate_cookies: except %s: is named twice", name)
		}
		named[name] = true
	}
	return nil
}

// cookieName reports whether a text can be the name of a cookie (RFC 6265, section 4.1.1).
func cookieName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, c)
	})
}

// isolation translates the options for the gate. It is nil if the isolation is off.
func (o *IsolateCookies) isolation() *cookie.Isolation {
	switch {
	case o == nil:
		return new(cookie.Isolation)
	case o.Off:
		return nil
	}
	return &cookie.Isolation{Except: o.Except}
}
