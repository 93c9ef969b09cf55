package isolation

import (
	"net/http"
	"time"

	"github.com/caddy-multi-session/gateway/internal/cookie"
)

// Accounts is what is known of the browser that sent a request. Its methods are called while that
// request is served.
type Accounts interface {
	// JarID returns the id of the browser's jar, empty where the request has none.
	JarID() string

	// Slot returns the tag of the active session's slot, empty for nobody.
	Slot() string

	// AccountTag returns the name of the active account for marks, empty for nobody.
	AccountTag() string

	// SlotOf returns the tag of the slot of the jar's live session of an account, empty where there is none.
	SlotOf(accountTag string) string

	// HasSlot reports whether the tag is that of a live session of the jar.
	HasSlot(tag string) bool

	// SeveralAccounts reports whether the jar has sessions of more than one account.
	SeveralAccounts() bool

	// SlotIsLive reports whether the tag is that of a live session of any jar. It may ask the store, and is
	// false where that fails.
	SlotIsLive(tag string) bool

	// StillActive reports whether requests of the browser are made as the same session now as this one.
	StillActive() bool
}

// Request is what is known of a request when its cookies are read.
type Request struct {
	Spec     cookie.Spec
	Cookies  *cookie.Cookies
	Host     string   // as the browser names it, without a port and in lower case
	Path     string   // as the browser asked for it, without the query
	Accounts Accounts // nil where nothing is known: the app is then sent nobody's cookies
	LeftOut  bool     // the gate's matcher leaves the path out
	Now      time.Time
}

// Exchange is the cookies of one request and of its answer. It is used by one goroutine at a time.
type Exchange struct {
	options *Options // nil passes the cookies of apps as they are
	request Request
	slot    string // that the request is made under, and that the answer's cookies go to
	account string // the account's tag for marks
	alone   bool   // no other account has used the browser; see the package's doc
	first   bool   // no answer to the account has reached the browser
	blind   bool   // the browser may have withheld the jar's cookie and marks
	known   bool   // which slots of the jar are live is known

	items   []item
	forward []string // the Cookie fields for the app, none or one
	marks   []string // fields that say which accounts the browser was used as
	always  []string // further fields that are right whoever is active by then
	plan    []string // fields that are right while the same account is active
	held    []string // names of plain cookies that were held back
	told    bool     // an answer has carried out the plan
	refused []Refusal
	bytes   int // of the Cookie header, as it is after the answer
	count   int
}

// item is one cookie of an app in a request.
type item struct {
	stored
	index   int    // in Exchange.items
	name    string // that the app gave it
	tag     string // of its slot, empty for a plain cookie
	raw     string // a plain cookie as it was sent
	pair    int    // the index of the copy of a slot's cookie, or of the cookie that a plain one is the copy of; -1
	old     bool   // the copy has the value before the last
	changed bool   // of a slot's cookie: a script has changed the copy
	send    bool   // the app gets it
}

func (k *item) plain() bool { return k.tag == "" }

// Refusal is a cookie of an app that the browser was not given.
type Refusal struct {
	Name   string
	Reason Reason
}

// Reason is why a cookie was refused.
type Reason int

const (
	// TooLarge is a cookie that browsers take under its own name but not with its slot's.
	TooLarge Reason = iota

	// TooMany is a cookie for which there is no room left in the browser.
	TooMany
)

// Read reads the cookies of a request into x, which it resets. It changes nothing yet. Nil options
// let the cookies of apps pass as they are.
func (o *Options) Read(x *Exchange, h http.Header, r Request) {
	*x = Exchange{options: o, request: r, slot: cookie.Anonymous, account: cookie.Anonymous}
	if o == nil {
		return
	}
	x.bytes, x.count = r.Cookies.Bytes, r.Cookies.Count
	signs := h.Get("Sec-Fetch-Site") != ""
	if r.LeftOut && !signs && h.Get("Origin") == "" && x.noBrowser(h) {
		x.options = nil
		return
	}
	x.blind = withheld(h, r.Cookies)
	if r.Accounts == nil || r.Spec.Name == "" || x.blind {
		x.readBlind(h)
		return
	}
	if tag := r.Accounts.Slot(); tag != "" {
		x.slot, x.account = tag, r.Accounts.AccountTag()
	}
	used := &r.Cookies.Used
	x.known = r.Accounts.JarID() != "" || r.Cookies.Jar.Count == 0 && r.Cookies.Lax
	x.first = used.None()
	x.alone = !used.Several() && (used.Tag == "" || used.Tag == x.account) && !(x.first && r.Accounts.SeveralAccounts())
	if r.Cookies.Apps || len(o.Scripted) > 0 {
		x.parse(h)
		x.sort(!signs || document(h))
	}
	x.mark()
	if r.Cookies.Owner.Count > 0 {
		x.always = append(x.always, r.Spec.ClearOwner())
	}
}

// noBrowser reports whether a request with neither Fetch Metadata nor Origin shows no cookie of the gateway.
func (x *Exchange) noBrowser(h http.Header) bool {
	c := x.request.Cookies
	return c.Jar.Count == 0 && !c.Lax && !(c.Apps && cookie.ShowsSlots(h))
}

// withheld reports whether a browser may have withheld cookies with SameSite=Lax from a request, which
// it does for requests of other sites unless they are safe navigations of a tab (RFC 6265bis, section 5.2).
func withheld(h http.Header, c *cookie.Cookies) bool {
	if c.Jar.Count > 0 || c.Lax {
		return false
	}
	switch h.Get("Sec-Fetch-Site") {
	case "":
		return h.Get("Origin") != ""
	case "cross-site":
		return h.Get("Sec-Fetch-Mode") != "navigate" || h.Get("Sec-Fetch-Dest") != "document" || h.Get("Origin") != ""
	}
	return false
}

// document reports whether a browser shows the answer as a page, as far as it says so.
func document(h http.Header) bool {
	switch h.Get("Sec-Fetch-Dest") {
	case "", "document", "iframe", "frame":
		return true
	}
	return false
}

// mark has the browser remember that the request was forwarded as its account. Nobody's requests on a path
// that the gate leaves out are not counted: where the gate applies it lets nobody pass, or counts them there.
func (x *Exchange) mark() {
	r := &x.request
	if x.uncounted() {
		return
	}
	used := &r.Cookies.Used
	switch {
	case !x.alone && (!used.Shared || !used.Fresh(r.Now)):
		x.marks = append(x.marks, r.Spec.MarkShared(r.Now))
		fallthrough
	case !x.alone:
		if used.Tag != "" {
			x.marks = append(x.marks, r.Spec.Unmark(used.Tag))
		}
	case x.first:
		x.marks = append(x.marks, r.Spec.Mark(x.account, x.fingerprints(), r.Now))
	case !used.Fresh(r.Now):
		x.marks = append(x.marks, r.Spec.Mark(x.account, used.Held, r.Now))
	}
}

// uncounted reports whether the request is nobody's on a path that the gate leaves out.
func (x *Exchange) uncounted() bool { return x.request.LeftOut && x.slot == cookie.Anonymous }

// SetRequest leaves those cookies in a request's header that the app is to see. It may be called again.
func (x *Exchange) SetRequest(h http.Header) {
	switch {
	case x.options == nil:
		cookie.StripRequest(h)
	case x.forward == nil:
		delete(h, "Cookie")
	default:
		h["Cookie"] = x.forward
	}
}

// Held returns the names of plain cookies that the app was not sent, and might miss: scripts or
// other services have made them.
func (x *Exchange) Held() []string { return x.held }

// Refused returns the cookies of the app's answers that the browser was not given.
func (x *Exchange) Refused() []Refusal { return x.refused }

// Load returns the load of a browser whose cookies are c.
func (o *Options) Load(c *cookie.Cookies) cookie.Load {
	return cookie.Load{Cookies: c.Count, Bytes: c.Bytes, MaxCookies: maxCookies, MaxBytes: o.maxBytes()}
}
