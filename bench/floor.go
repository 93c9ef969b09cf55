package main

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterModule(Floor{})
	httpcaddyfile.RegisterHandlerDirective("bench_floor", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		f := new(Floor)
		return f, f.UnmarshalCaddyfile(h.Dispenser)
	})
	httpcaddyfile.RegisterDirectiveOrder("bench_floor", httpcaddyfile.Before, "basic_auth")
}

// floorCookie is the name of the jar's cookie on plain HTTP, which the floor looks for.
const floorCookie = "multi_session"

// floorToken is the value of the jar's cookie that the floor knows. It is as long as the gate's.
const floorToken = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"

// Floor is the least that any handler does that keeps sessions by a cookie: it hashes the jar's
// cookie, looks the session up, checks its expiry, takes the cookie out of the request, and sets
// three headers. It protects nothing: it strips no forged header and filters no response.
type Floor struct {
	// Token is the value of the only jar's cookie.
	Token string `json:"token"`

	sessions map[[sha256.Size]byte]floorSession
}

type floorSession struct {
	user, name, email string
	expires           time.Time
}

// CaddyModule implements caddy.Module.
func (Floor) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.bench_floor", New: func() caddy.Module { return new(Floor) }}
}

// UnmarshalCaddyfile sets the handler up. Syntax:
//
//	bench_floor <token>
func (f *Floor) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if !d.AllArgs(&f.Token) {
		return d.ArgErr()
	}
	return nil
}

// Provision makes the one session.
func (f *Floor) Provision(caddy.Context) error {
	f.sessions = map[[sha256.Size]byte]floorSession{
		sha256.Sum256([]byte(f.Token)): {userName, userFullName, userEmail, time.Now().Add(24 * time.Hour)},
	}
	return nil
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (f *Floor) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	token, rest := cutCookie(r.Header.Get("Cookie"), floorCookie)
	session, ok := f.sessions[sha256.Sum256([]byte(token))]
	if !ok || time.Now().After(session.expires) {
		return caddyhttp.Error(http.StatusUnauthorized, nil)
	}
	if rest == "" {
		r.Header.Del("Cookie")
	} else {
		r.Header.Set("Cookie", rest)
	}
	r.Header.Set("Remote-User", session.user)
	r.Header.Set("Remote-Name", session.name)
	r.Header.Set("Remote-Email", session.email)
	return next.ServeHTTP(w, r)
}

// cutCookie takes the first cookie of a name out of a Cookie field. It returns the cookie's value,
// and the field without the cookie.
func cutCookie(field, name string) (value, rest string) {
	for start := 0; start < len(field); {
		end := len(field)
		next := end
		if i := strings.IndexByte(field[start:], ';'); i >= 0 {
			end = start + i
			next = end + 1
			for next < len(field) && field[next] == ' ' {
				next++
			}
		}
		if key, v, _ := strings.Cut(field[start:end], "="); key == name {
			if next == len(field) {
				return v, strings.TrimRight(field[:start], "; ")
			}
			return v, field[:start] + field[next:]
		}
		start = next
	}
	return "", field
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Floor)(nil)
	_ caddyfile.Unmarshaler       = (*Floor)(nil)
	_ caddyhttp.MiddlewareHandler = (*Floor)(nil)
)
