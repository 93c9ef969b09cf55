package isolation

import (
	"net/http"
	"time"

	"github.com/caddy-multi-session/gateway/internal/cookie"
)

// Accounts is what the gate knows about the browser that sent a request. Its methods are called
// only while that request is served, by one goroutine at a time.
type Accounts interface {
	// JarID returns the id of the browser's jar, empty where the request has none.
	JarID() string

	// Slot returns the tag of the active session's slot, empty for nobody.
	Slot() string

	// AccountTag returns the name of the active account for marks, empty for nobody.
	AccountTag() string

	// SlotOf returns the slot's tag of the live session that the jar has for an account. It is
	// empty if there is none.
	SlotOf(accountTag string) string

	// HasSlot reports whether the tag is that of a live session of the jar.
	HasSlot(tag string) bool

	// SeveralAccounts reports whether the jar has sessions of more than one account.
	SeveralAccounts() bool

	// SlotIsLive reports whether the tag is that of a live session of any jar. It may ask the
	// store, and is false if the store fails.
	SlotIsLive(tag string) bool

	// StillActive reports whether the session that the request is made as is still the active one.
	StillActive() bool
}

// Request is what Read needs to know about a request besides its header.
type Request struct {
	Spec     cookie.Spec
	Cookies  *cookie.Cookies
	Host     string   // as the browser names it, without a port and in lower case
	Path     string   // as the browser asked for it, without the query
	Accounts Accounts // nil if nothing is known about the browser: the app is then sent nobody's cookies
	LeftOut  bool     // the gate's matcher leaves the path out
	Now      time.Time
}

// Exchange holds the cookies of one request and of its answers. Only one goroutine at a time may
// use it.
type Exchange struct {
	options *Options // nil passes the cookies of apps as they are
	request Request
	slot    string // the request is made under it, and the answer's cookies go to it; empty if it is not known
	account string // the account's tag for marks
	alone   bool   // no other account has used the browser; see the package doc
	first   bool   // no answer to the account has reached the browser
	blind   bool   // the browser may have withheld the jar's cookie and marks
	known   bool   // the jar is known, and so which of its slots are live

	items   []item
	forward []string // the Cookie fields for the app, none or one
	marks   []string // fields that say which accounts have used the browser
	always  []string // other fields, for every answer
	plan    []string // other fields, for an answer that is given while the same account is active
	held    []string // names of plain cookies that were held back
	told    bool     // an answer has told the browser the fields above
	refused []Refusal
	bytes   int // of the Cookie header, as it is after the answer
	count   int
}

// item is one cookie of an app in a request.
type item struct {
	stored
	index   int32  // in Exchange.items
	name    string // the app's name for it
	tag     string // of its slot, empty for a plain cookie
	raw     string // of a plain cookie: the pair as the browser sent it
	pair    int32  // the index of a slot's cookie's copy, or of the cookie that a copy belongs to; else -1
	old     bool   // the copy has the value before the last
	changed bool   // of a slot's cookie: its copy is written anew, or a script has changed it
	send    bool   // the app gets it
}

func (k *item) plain() bool { return k.tag == "" }

// Refusal is a cookie that an app has set and the browser was not given.
type Refusal struct {
	Name   string
	Reason Reason
}

// Reason is why a cookie was refused.
type Reason int

const (
	// TooLarge is a cookie that browsers would take under its own name, but not under the slot's.
	TooLarge Reason = iota

	// TooMany is a cookie that the browser has no room for within the bounds of Options.
	TooMany
)

// Read resets x and reads the cookies of a request into it. It does not change the header. With nil
// options the cookies of apps pass as they are.
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
	if r.Cookies.Apps > 0 || len(o.Scripted) > 0 {
		x.parse(h)
		x.sort(!signs || document(h))
	}
	x.mark()
	if r.Cookies.Owner.Count > 0 {
		x.always = append(x.always, r.Spec.ClearOwner())
	}
}

// noBrowser reports whether a request with neither Fetch Metadata nor Origin shows no cookie of the
// gateway.
func (x *Exchange) noBrowser(h http.Header) bool {
	c := x.request.Cookies
	return c.Jar.Count == 0 && !c.Lax && !(c.Apps > 0 && cookie.ShowsSlots(h))
}

// withheld reports whether a browser may have withheld cookies with SameSite=Lax from a request. It
// withholds them from requests of other sites, except from safe navigations of a tab (RFC 6265bis,
// section 5.2).
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

// document reports whether the browser shows the answer as a page, or does not say.
func document(h http.Header) bool {
	switch h.Get("Sec-Fetch-Dest") {
	case "", "document", "iframe", "frame":
		return true
	}
	return false
}

// mark has the browser remember that the request was forwarded for its account.
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

// uncounted reports whether the request is nobody's on a path that the gate leaves out. Such
// requests set no mark: where the gate applies, nobody either cannot pass or is counted there.
func (x *Exchange) uncounted() bool { return x.request.LeftOut && x.slot == cookie.Anonymous }

// SetRequest replaces the cookies in a request's header by those that the app is sent. It may be
// called several times.
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

// Held returns the names of plain cookies that the app was not sent and might miss. Scripts or
// other services have set them.
func (x *Exchange) Held() []string { return x.held }

// Refused returns the cookies that the app has set and the browser was not given.
func (x *Exchange) Refused() []Refusal { return x.refused }

// Load returns the load of a browser whose cookies are c.
func (o *Options) Load(c *cookie.Cookies) cookie.Load {
	return cookie.Load{Cookies: c.Count, Bytes: c.Bytes, MaxCookies: maxCookies, MaxBytes: o.maxBytes()}
}
