package gate

import (
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/origin"
)

// This file is all that the gate knows of the cookies of apps: package cookie has the rules.

// cookieExchange is the cookies of a request on its way to the upstream, and of its answer.
type cookieExchange struct {
	cookie.Crossing
	forward []string // Cookie fields for upstreams; nil if there are none
}

// isolateCookies leaves those cookies in a request that the upstream may see. A request that came
// back with an error has the same ones in the site's error routes.
func (q *Request) isolateCookies(r *http.Request, o *Options) {
	switch {
	case q.phase == forwarding:
		return // a gate further out has done it
	case q.options == nil:
		q.sortCookies(r, o)
		q.cookies.forward = r.Header["Cookie"]
	case q.cookies.forward == nil:
		delete(r.Header, "Cookie")
	default:
		r.Header["Cookie"] = q.cookies.forward
	}
}

func (q *Request) sortCookies(r *http.Request, o *Options) {
	if o.Cookies == nil {
		cookie.StripRequest(r.Header)
		return
	}
	arriving := cookie.Arriving{Jar: q.Cookie, Host: origin.WithoutPort(q.Host), Path: q.path(), Order: q.gate.order, Now: time.Now}
	if q.known(o) {
		arriving.Visit = &q.Visit
	}
	o.Cookies.Sort(&q.cookies.Crossing, r.Header, arriving)
	q.warnOfLoad()
}

// storeCookies has the cookies that an upstream's answer sets land in the slot that its request was
// made under.
func (q *Request) storeCookies(r *http.Request, h http.Header, informational bool) {
	left := q.cookies.Answer(h, informational, func() bool { return q.stillActive(r) })
	for _, name := range left {
		q.warnOfOversized(name)
	}
}

// warnOfLoad logs once for each browser that its cookies are close to what browsers and servers take.
func (q *Request) warnOfLoad() {
	load := q.cookies.Crowd()
	if !load.Near() || !q.gate.warnings.addNew("load:"+q.Visit.JarID()) {
		return
	}
	q.gate.Log.Warn("the cookies of a browser come near to what browsers and servers take: some will be lost. Sign out of accounts there, or name cookies that accounts can share in isolate_cookies except",
		zap.String("jar", q.Visit.JarID()), zap.String("host", q.Host), zap.Int("cookies", load.Cookies), zap.Int("bytes", load.Bytes), zap.Int("accounts", len(q.Visit.Entries())))
}

// warnOfOversized logs once for each host and name that a cookie was left out of an answer.
func (q *Request) warnOfOversized(name string) {
	if !q.gate.warnings.addNew("oversized:" + q.Host + ":" + name) {
		return
	}
	q.gate.Log.Error("a cookie of an upstream was left out: with its account's slot it is larger than browsers take. Where accounts can share it, name it in isolate_cookies except",
		zap.String("host", q.Host), zap.String("cookie", name))
}
