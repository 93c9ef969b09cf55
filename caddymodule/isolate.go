package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/cookie"
)

// IsolateCookies says which cookies of the upstream belong to the account that is active when they are
// set. By default all do.
type IsolateCookies struct {
	// Off has the upstream set and see its cookies as if there were no gateway.
	Off bool `json:"off,omitempty"`

	// Except are the names of cookies that all accounts of a browser share, such as those that other
	// hosts have set for a whole domain.
	Except []string `json:"except,omitempty"`
}

// validate refuses options that contradict each other and what is no name of a cookie.
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

// isolation is what the options come to, nil where they are off.
func (o *IsolateCookies) isolation() *cookie.Isolation {
	switch {
	case o == nil:
		return new(cookie.Isolation)
	case o.Off:
		return nil
	}
	return &cookie.Isolation{Except: o.Except}
}

// isolate has error routes keep cookies apart as a handler does. Handlers call it as they call manage.
func (a *App) isolate(by *cookie.Isolation) {
	if by == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.isolation == nil {
		a.isolation = new(cookie.Isolation)
	}
	a.isolation.Except = append(a.isolation.Except, by.Except...)
}

// crossing is the cookies of a request on their way through the gateway, once they are sorted.
type crossing struct {
	cookie.Crossing
	sorted    bool
	unclaimed bool     // no gate has seen the request: it is nobody's, and the browser's cookies stay as they are
	forward   []string // Cookie fields for upstreams
}

// sortCookies leaves those cookies in a request that the upstream is to see. An error that comes later
// has the site's error routes see the same.
func (a *arrival) sortCookies(r *http.Request, by *cookie.Isolation) {
	switch {
	case a.cookies.sorted && a.cookies.forward == nil:
		delete(r.Header, "Cookie")
		return
	case a.cookies.sorted:
		r.Header["Cookie"] = a.cookies.forward
		return
	case by == nil:
		cookie.StripRequest(r.Header)
	default:
		by.Sort(&a.cookies.Crossing, r.Header, a.arriving(r))
		a.engine.noticeCrowd(a)
	}
	a.cookies.sorted, a.cookies.forward = true, r.Header["Cookie"]
}

// arriving is what is known of a request whose cookies are to be sorted. Over plain HTTP, where nobody can
// be signed in, it is for sure that of nobody.
func (a *arrival) arriving(r *http.Request) cookie.Arriving {
	known := cookie.Arriving{Jar: a.Cookie, Host: hostname(a.Host), Path: requestPath(r), Order: a.engine.order, Now: time.Now}
	if !a.cookies.unclaimed && (a.err == nil || errors.Is(a.err, cookie.ErrInsecure)) {
		known.Visit = &a.Visit
	}
	return known
}

// requestPath is the path that the browser asked for, as it was written.
func requestPath(r *http.Request) string {
	uri := r.RequestURI
	if first, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		uri = first.RequestURI
	}
	path, _, _ := strings.Cut(uri, "?")
	if !strings.HasPrefix(path, "/") {
		return "/" // whoever asks like this is no browser
	}
	return path
}

// answerCookies has what the upstream's answer sets land in the slot that its request was made under.
func (a *arrival) answerCookies(r *http.Request, h http.Header, informational bool) {
	left := a.cookies.Answer(h, informational, func() bool { return a.stillActive(r) })
	for _, name := range left {
		a.engine.noticeOversized(a, name)
	}
}

// stillActive reports whether requests of the browser are made as the same session as this one.
func (a *arrival) stillActive(r *http.Request) bool {
	now, err := a.engine.manager.Visit(r.Context(), a.Token)
	return err == nil && now.At(a.Visit.Site()).Slot() == a.Visit.Slot()
}

func (e *engine) noticeCrowd(a *arrival) {
	crowd := a.cookies.Crowd()
	if !crowd.Near() || !e.notices.first("crowd:"+a.Visit.JarID()) {
		return
	}
	e.log.Warn("the cookies of a browser come near to what browsers and servers take: some will be lost. Sign out of accounts there, or name cookies that accounts can share in isolate_cookies except",
		zap.String("jar", a.Visit.JarID()), zap.String("host", a.Host), zap.Int("cookies", crowd.Cookies), zap.Int("bytes", crowd.Bytes), zap.Int("accounts", len(a.Visit.Entries())))
}

func (e *engine) noticeOversized(a *arrival, name string) {
	if !e.notices.first("oversized:" + a.Host + ":" + name) {
		return
	}
	e.log.Error("a cookie of an upstream was left out: with its account's slot it is larger than browsers take. Where accounts can share it, name it in isolate_cookies except",
		zap.String("host", a.Host), zap.String("cookie", name))
}
