package gate

import (
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/gate/isolation"
	"github.com/caddy-multi-session/gateway/internal/origin"
)

// This file is all that the gate knows of the cookies of apps: package isolation has the rules.

// readCookies reads the cookies of a request that no gate has forwarded yet. LeftOut says that the
// gate's matcher leaves the request out.
func (q *Request) readCookies(o *Options, leftOut bool) {
	r := isolation.Request{Spec: q.Cookie, Cookies: &q.Cookies, Host: origin.WithoutPort(q.Host), Path: q.path(), LeftOut: leftOut, Now: time.Now()}
	if q.known(o) {
		r.Accounts = q
	}
	o.Cookies.Read(&q.cookies, q.header, r)
	q.readLoad(o)
}

// readLoad finds out how much room the cookies take up in the browser.
func (q *Request) readLoad(o *Options) {
	if o.Cookies != nil {
		q.Load = o.Cookies.Load(&q.Cookies)
		q.logLoad()
	}
}

// isolateCookies leaves those cookies in a request that the upstream may see. A request that came
// back with an error has the same ones in the site's error routes.
func (q *Request) isolateCookies(r *http.Request, o *Options, leftOut bool) {
	switch q.phase {
	case received:
		q.readCookies(o, leftOut)
		q.logHeld()
	case forwarding:
		return // a gate further out has done it
	}
	q.cookies.SetRequest(r.Header)
}

// storeCookies has the cookies that an upstream's answer sets land in the slot that its request was
// made under.
func (q *Request) storeCookies(h http.Header, informational bool) {
	q.cookies.Answer(h, informational)
	for _, refusal := range q.cookies.Refused() {
		q.logRefused(refusal)
	}
}

// tidyCookies tells the browser, with one of the gateway's own answers, what its cookies have shown to be needed.
func (q *Request) tidyCookies(w http.ResponseWriter, o *Options) {
	if q.phase == received {
		q.readCookies(o, false)
	}
	q.cookies.AnswerSelf(w.Header())
}

// Slot implements isolation.Accounts.
func (q *Request) Slot() string {
	if !q.signedIn {
		return ""
	}
	return q.active.Slot
}

// AccountTag implements isolation.Accounts.
func (q *Request) AccountTag() string {
	if !q.signedIn {
		return ""
	}
	return q.active.AccountTag()
}

// JarID implements isolation.Accounts.
func (q *Request) JarID() string { return q.Visit.JarID() }

// SlotOf implements isolation.Accounts.
func (q *Request) SlotOf(accountTag string) string { return q.Visit.SlotOf(accountTag) }

// HasSlot implements isolation.Accounts.
func (q *Request) HasSlot(tag string) bool { return q.Visit.HasSlot(tag) }

// SeveralAccounts implements isolation.Accounts.
func (q *Request) SeveralAccounts() bool { return q.Visit.SeveralAccounts() }

// SlotIsLive implements isolation.Accounts.
func (q *Request) SlotIsLive(tag string) bool {
	live, err := q.gate.Sessions.SlotIsLive(q.ctx, tag)
	if err != nil {
		q.gate.Log.Error("the store did not say whether a session lives; its cookies are not used", zap.Error(err))
	}
	return live && err == nil
}

// StillActive implements isolation.Accounts.
func (q *Request) StillActive() bool {
	now, err := q.gate.Sessions.Follow(q.ctx, q.Visit)
	return err == nil && now.At(q.Visit.Site()).Slot() == q.Slot()
}

// logLoad logs once for each browser that its cookies are close to what browsers and servers take.
func (q *Request) logLoad() {
	if !q.Load.Near() || !q.gate.warnings.addNew("load:"+q.Visit.JarID()) {
		return
	}
	q.gate.Log.Warn("the cookies of a browser come near to what browsers and servers take: beyond, cookies of apps are not set. Sign out of accounts there, or name cookies that accounts can share in isolate_cookies except",
		zap.String("jar", q.Visit.JarID()), zap.String("host", q.Host), zap.Int("cookies", q.Load.Cookies), zap.Int("bytes", q.Load.Bytes), zap.Int("accounts", len(q.Visit.Entries())))
}

// maxHeldLogged bounds the lines about cookies that were held back, whose names anybody can make up.
const maxHeldLogged = 500

// logHeld logs once for each host and name that a cookie was held back, and what to do if the app misses it.
func (q *Request) logHeld() {
	for _, name := range q.cookies.Held() {
		if q.gate.held.Load() >= maxHeldLogged || !q.gate.warnings.addNew("held:"+q.Host+":"+name) {
			continue
		}
		q.gate.held.Add(1)
		q.gate.Log.Info("a cookie is not sent to the app, because the app has not set it for the active account: a script or another service has set it, or it was there before. "+
			"If the app needs it, name it in isolate_cookies: with except all accounts share it, with scripted each account has its own",
			zap.String("host", q.Host), zap.String("cookie", name))
	}
}

// logRefused logs once for each host and name that a cookie of an app was not given to the browser.
func (q *Request) logRefused(refusal isolation.Refusal) {
	if !q.gate.warnings.addNew("refused:" + q.Host + ":" + refusal.Name) {
		return
	}
	reason := "with its account's slot it is larger than browsers take"
	if refusal.Reason == isolation.TooMany {
		reason = "the browser's cookies take up all the room that servers give them: sign out of accounts there, or raise max_header_size"
	}
	q.gate.Log.Error("a cookie of an app was not set: "+reason+". If accounts can share it, name it in isolate_cookies except",
		zap.String("host", q.Host), zap.String("cookie", refusal.Name), zap.String("jar", q.Visit.JarID()))
}

// Interface guard
var _ isolation.Accounts = (*Request)(nil)
