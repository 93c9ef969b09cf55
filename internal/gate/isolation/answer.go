package isolation

import (
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/cookie"
)

// Answer changes the header of an app's answer. The app's cookies go to the slot that the request
// was made under, and the browser is told which of its cookies to replace. An informational answer
// has only what the app sets. Answer may be called for each answer to a request.
func (x *Exchange) Answer(h http.Header, informational bool) {
	clearing := x.options != nil && clearsCookies(h["Clear-Site-Data"])
	cookie.FilterResponse(h)
	if x.options == nil {
		return
	}
	set := h["Set-Cookie"]
	tell := !informational && !x.told
	if len(set) == 0 && !clearing && (!tell || len(x.marks)+len(x.always)+len(x.plan) == 0) {
		return
	}
	a := answer{Exchange: x}
	if tell {
		x.told = true
		a.tell()
	}
	if clearing {
		a.clearOwn()
	}
	for _, line := range set {
		a.set(line)
	}
	if len(a.lines) == 0 {
		delete(h, "Set-Cookie")
		return
	}
	h["Set-Cookie"] = a.lines
}

// AnswerSelf has an answer of the gateway's own tell the browser which of its cookies to replace.
// Nothing was forwarded, so it sets no mark.
func (x *Exchange) AnswerSelf(h http.Header) {
	if x.options == nil || x.told {
		return
	}
	x.told = true
	for _, line := range x.always {
		h.Add("Set-Cookie", line)
	}
	if len(x.plan) > 0 && x.settled(false) && x.request.Accounts.StillActive() {
		for _, line := range x.plan {
			h.Add("Set-Cookie", line)
		}
	}
}

// answer collects the Set-Cookie fields of one answer.
type answer struct {
	*Exchange
	lines []string
	now   state // of the session that the request was made as
}

// state says what has become of a session since its request was made.
type state uint8

const (
	stateUnknown  state = iota // nobody has asked yet
	stateActive                // it is still the active one
	stateInactive              // it lives, and another one is active
	stateEnded
)

// maxLines bounds the fields of each kind that one answer has beside the app's. The next answer has
// the rest.
const maxLines = 60

func (a *answer) tell() {
	a.lines = append(a.lines, a.marks...)
	a.lines = append(a.lines, a.always[:min(len(a.always), maxLines)]...)
	if len(a.plan) > 0 && a.active() {
		a.lines = append(a.lines, a.plan[:min(len(a.plan), maxLines)]...)
	}
}

// settled reports whether copies may change. While a mark says that another live account is alone,
// the gateway would take its absent copies for ones that a script has deleted. So only an answer
// that brings the mark of a second account may clear them.
func (x *Exchange) settled(marking bool) bool {
	used := &x.request.Cookies.Used
	switch {
	case marking, x.alone, used.Several():
		return true
	case used.Tag == cookie.Anonymous:
		return false
	case x.known:
		return x.request.Accounts.SlotOf(used.Tag) == ""
	}
	for i := range x.items {
		k := &x.items[i]
		if !k.plain() && k.tag != x.slot && k.tag != cookie.Anonymous && x.within(k.domain) && x.request.Accounts.SlotIsLive(k.tag) {
			return false
		}
	}
	return true
}

// active reports whether copies may be written: the account of the request is known and still
// active.
func (a *answer) active() bool {
	return !a.blind && a.request.Accounts != nil && a.settled(len(a.marks) > 0) && a.state() == stateActive
}

// ended reports whether the session has ended that the request was made as. Its slot is never used
// again. A late answer that replaced a cookie there would only hide whose copy the browser has.
func (a *answer) ended() bool {
	return a.slot != cookie.Anonymous && a.request.Accounts != nil && a.state() == stateEnded
}

func (a *answer) state() state {
	if a.now != stateUnknown {
		return a.now
	}
	switch accounts := a.request.Accounts; {
	case accounts.StillActive():
		a.now = stateActive
	case accounts.SlotIsLive(a.slot):
		a.now = stateInactive
	default:
		a.now = stateEnded
	}
	return a.now
}

// set has the browser keep a cookie of the app in the slot.
func (a *answer) set(line string) {
	s := parseSetCookie(line, a.request.Path, a.request.Now)
	if a.options.excepted(s.name) {
		a.lines = append(a.lines, line)
		return
	}
	if a.slot == "" || s.name == "" && s.value == "" || a.ended() {
		return // it is not known whose it is, or browsers ignore it, or nobody gets it any more
	}
	if prefix, _ := cookie.CutPrefix(s.name); !s.httpOnly && needsHTTPOnly(prefix) {
		return // browsers refuse it, but would take the slot's cookie, which has HttpOnly
	}
	before := a.inPlace(s)
	if s.gone {
		a.remove(s, line, before)
		return
	}
	if before != nil {
		if s.before = before.before; before.value != s.value {
			s.before = fingerprint(before.value)
		}
	}
	copies := !s.httpOnly && s.name != "" && a.active()
	if !s.httpOnly && s.name != "" {
		s.flags |= readable
	}
	if copies {
		s.flags |= copied
	}
	name, value := a.request.Spec.SlotName(a.slot, s.name), s.encode()
	if !a.room(s, name, value, before, copies) {
		return
	}
	switch {
	case copies:
		a.lines = append(a.lines, line)
	case s.httpOnly && (before != nil && before.has(readable) && (before.pair >= 0 || before.changed) || a.sets(s)):
		// Scripts may not read it any more.
		a.lines = append(a.lines, s.clear(s.name))
	}
	field := name + "=" + value + s.attributes
	if !s.httpOnly {
		field += "; HttpOnly"
	}
	a.lines = append(a.lines, field)
}

// needsHTTPOnly reports whether browsers take cookies with a prefix only with HttpOnly (RFC
// 6265bis, section 4.1.3).
func needsHTTPOnly(prefix string) bool {
	return len(prefix) > len("__Secure-") || strings.EqualFold(prefix, "__Http-")
}

// remove clears a cookie in the slot, and its copy.
func (a *answer) remove(s setCookie, line string, before *item) {
	if !s.httpOnly && a.active() || before != nil && before.pair >= 0 || a.sets(s) {
		a.lines = append(a.lines, line)
	}
	a.lines = append(a.lines, s.clear(a.request.Spec.SlotName(a.slot, s.name)))
}

// sets reports whether this answer has set a copy of the cookie.
func (a *answer) sets(s setCookie) bool {
	return slices.ContainsFunc(a.lines, func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		return name == s.name
	})
}

// inPlace returns the cookie of the slot that a new one replaces, as far as the request showed it,
// or nil.
func (a *answer) inPlace(s setCookie) *item {
	for i := range a.items {
		if k := &a.items[i]; a.own(k) && k.name == s.name && k.same(s.stored) {
			return k
		}
	}
	return nil
}

// room reports whether a slot's cookie is within the bounds, counts it if so, and notes the refusal
// if not.
func (a *answer) room(s setCookie, name, value string, before *item, copies bool) bool {
	if !fits(name, value) {
		if len(s.name)+len(s.value) <= maxCookieBytes {
			a.refused = append(a.refused, Refusal{s.name, TooLarge})
		}
		return false
	}
	bytes, count := len(name)+len(value)+len("=; "), 1
	if copies {
		bytes, count = bytes+len(s.name)+len(s.value)+len("=; "), 2
	}
	if before != nil {
		bytes -= len(a.request.Spec.SlotName(a.slot, s.name)) + len(before.encode()) + len("=; ")
		count--
		if before.pair >= 0 {
			bytes -= len(s.name) + len(before.value) + len("=; ")
			count--
		}
	}
	return a.grow(s.name, bytes, count)
}

// grow reports whether a browser has room for so many more bytes and cookies, and takes it.
func (x *Exchange) grow(name string, bytes, count int) bool {
	if bytes > 0 && x.bytes+bytes > x.options.maxBytes() || count > 0 && x.count+count > maxCookies {
		x.refused = append(x.refused, Refusal{name, TooMany})
		return false
	}
	x.bytes, x.count = x.bytes+bytes, x.count+count
	return true
}

// fits reports whether browsers take a cookie of this size.
func fits(name, value string) bool { return len(name)+len(value) <= maxCookieBytes }

// clearOwn clears the cookies of the slot that the request showed, and their copies.
func (a *answer) clearOwn() {
	for i := range a.items {
		k := &a.items[i]
		if !a.own(k) {
			continue
		}
		if k.has(readable) && (k.pair >= 0 || k.changed) {
			a.lines = append(a.lines, k.clear(k.name))
		}
		a.lines = append(a.lines, k.clear(a.request.Spec.SlotName(a.slot, k.name)))
	}
}

// clearsCookies reports whether an app asks the browser to drop all cookies (Clear Site Data,
// section 3.1).
func clearsCookies(lines []string) bool {
	for _, line := range lines {
		for directive := range strings.SplitSeq(line, ",") {
			switch strings.ToLower(strings.Trim(strings.TrimSpace(directive), `"`)) {
			case "cookies", "*":
				return true
			}
		}
	}
	return false
}
