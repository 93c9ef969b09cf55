package isolation

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/origin"
)

// parse lists the cookies of apps in the browser's order, without the gateway's own.
func (x *Exchange) parse(h http.Header) {
	x.items = make([]item, 0, x.request.Cookies.Apps)
	for _, line := range h["Cookie"] {
		for line != "" {
			var pair, name, value string
			pair, name, value, line = cookie.Next(line)
			tag, own, slotted := x.request.Spec.ParseSlotName(name)
			switch {
			case slotted:
				x.parseSlotted(tag, own, value)
			case pair == "", cookie.Reserved(name):
			default:
				k := x.add("", name)
				k.raw, k.value, k.send = pair, value, x.options.excepted(name)
			}
		}
	}
}

// add adds an item without a pair.
func (x *Exchange) add(tag, name string) *item {
	n := len(x.items)
	x.items = slices.Grow(x.items, 1)[:n+1] // an appended item would be copied
	k := &x.items[n]
	k.index, k.pair, k.tag, k.name = int32(n), -1, tag, name
	return k
}

// parseSlotted reads a slot's cookie. If its value does not decode, the gateway has not set it and
// leaves it alone.
func (x *Exchange) parseSlotted(tag, name, value string) {
	n := len(x.items)
	k := x.add(tag, name)
	switch {
	case !k.decode(value):
	case tag == cookie.UnknownOrigin, k.has(deleted), k.has(guessed) && !x.options.scripted(name), x.options.excepted(name):
		// Set by an earlier release, or under another configuration.
		if x.within(k.domain) {
			x.always = append(x.always, k.clear(x.request.Spec.SlotName(tag, name)))
		}
	default:
		return
	}
	x.items[n] = item{}
	x.items = x.items[:n]
}

// within reports whether cookies of a domain count as this jar's. Cookies of a wider domain may belong
// to a slot of another host's jar.
func (x *Exchange) within(domain string) bool {
	jar := x.request.Spec.Domain
	return domain == "" || domain == x.request.Host || jar != "" && origin.Within(domain, jar)
}

// own reports whether a cookie is in the slot that the request is made under and an app has set it.
func (x *Exchange) own(k *item) bool { return k.tag == x.slot && !k.has(guessed) }

// live reports whether a slot is nobody's, or that of a live session of the jar.
func (x *Exchange) live(tag string) bool {
	return tag == cookie.Anonymous || x.request.Accounts.HasSlot(tag)
}

// dead reports whether the session of a slot's cookie has ended. What is left in such a slot is never
// used again.
func (x *Exchange) dead(k *item) bool {
	r := &x.request
	switch {
	case k.tag == x.slot || x.live(k.tag):
		return false
	case x.known && (k.domain == "" || r.Spec.Domain != ""):
		return true
	case !x.known && r.Cookies.Jar.Count != 1:
		return false
	}
	// If the jar of the token does not exist, a sign-in may have renamed it while the request was
	// under way. And a host below this one, with a jar of its own, can set cookies for this one. So
	// the store is asked.
	return !r.Accounts.SlotIsLive(k.tag)
}

// sort decides which cookies the app is sent and what the browser is told. Page says that the
// browser may show the answer as a page.
func (x *Exchange) sort(page bool) {
	x.weigh()
	x.pair()
	x.saveChanges()
	scripted := len(x.options.Scripted) > 0
	for i := range x.items {
		switch p := &x.items[i]; {
		case !p.plain() || p.send:
		case scripted && x.options.scripted(p.name): // exchangeScripted decides
		default:
			x.sortPlain(p)
		}
	}
	for i := range x.items {
		switch k := &x.items[i]; {
		case k.plain():
		case x.own(k):
			x.sortOwn(k)
		case x.within(k.domain) && x.dead(k):
			x.always = append(x.always, k.clear(x.request.Spec.SlotName(k.tag, k.name)))
		}
	}
	if scripted {
		x.exchangeScripted(page)
	}
	x.join()
}

// weigh looks for signs, other than marks, that several accounts have used the browser.
func (x *Exchange) weigh() {
	if x.first && x.request.Cookies.Owner.Count > 0 && x.request.Cookies.Owner.Last != x.slot {
		x.alone = false // an earlier release, without marks, has seen another account
	}
	for i := range x.items {
		k := &x.items[i]
		// Either a slot of another host's jar, whose cookies for a wider domain are seen here, or,
		// from a release without marks, a slot of another account.
		if !k.plain() && k.tag != x.slot && (!x.within(k.domain) || x.first && k.tag != cookie.Anonymous) {
			x.alone = false
		}
	}
	if x.alone && x.first && len(x.items) > maxHeld {
		x.alone = false
	}
}

// pair finds the copies of slots' cookies among the plain cookies, by their values. If several fit,
// cookies of the active slot come before others, and current values before replaced ones.
func (x *Exchange) pair() {
	for i := range x.items {
		p := &x.items[i]
		if !p.plain() || p.send || x.options.scripted(p.name) {
			continue
		}
		if k, old := x.original(p); k != nil {
			p.pair, k.pair, p.old = k.index, p.index, old
		}
	}
}

// original returns the slot's cookie that a plain one is a copy of, or nil, and whether the copy
// has the value before the last.
func (x *Exchange) original(plain *item) (of *item, old bool) {
	const none = 4
	best := none // 0 and 1 for the active slot, 2 and 3 for others; the odd ones for replaced values
	print := ""
	for i := range x.items {
		k := &x.items[i]
		if k.plain() || k.pair >= 0 || !k.has(readable) || k.name != plain.name {
			continue
		}
		rank := 0
		if k.tag != x.slot {
			rank = 2
		}
		switch {
		case rank >= best:
		case k.value == plain.value:
			of, best = k, rank
		case rank+1 < best && k.before != "" && !(rank == 0 && x.alone && k.has(copied)):
			// Alone, an earlier value may be one that a script has set again. Only a cookie whose
			// answer set its copy can have one that a script changed.
			if print == "" {
				print = fingerprint(plain.value)
			}
			if k.before == print {
				of, best = k, rank+1
			}
		}
	}
	return of, best%2 == 1
}

// sortPlain decides about a plain cookie.
func (x *Exchange) sortPlain(p *item) {
	if p.pair >= 0 {
		if k := &x.items[p.pair]; !x.own(k) {
			x.replaceCopy(k)
		} else if p.old {
			x.plan = append(x.plan, k.plainField(k.name))
		}
		return // the slot's cookie is sent instead
	}
	switch {
	case !x.alone, x.first && !x.uncounted(), x.hides(p.name), x.holds(p):
		x.hold(p.name)
	default:
		x.sortChanged(p)
	}
}

// showsPlain reports whether there is a plain cookie of the name that is no copy.
func (x *Exchange) showsPlain(name string) bool {
	for i := range x.items {
		if p := &x.items[i]; p.plain() && p.name == name && p.pair < 0 {
			return true
		}
	}
	return false
}

// hides reports whether plain cookies of a name do not count, even while one account is alone. They
// do not if the app has set a cookie of the name with HttpOnly, or in an answer that made no copy,
// or for a domain in which scripts of hosts with other jars can write.
func (x *Exchange) hides(name string) bool {
	for i := range x.items {
		if k := &x.items[i]; x.own(k) && k.name == name && (!k.has(readable|copied) || !x.within(k.domain)) {
			return true
		}
	}
	return false
}

// sortChanged decides about a plain cookie that may be a changed copy. If it is not clear which
// cookie of the slot it is a copy of, it is sent as it is.
func (x *Exchange) sortChanged(p *item) {
	k := x.changedCopy(p, x.slot)
	if k == nil {
		p.send = true
		return
	}
	x.save(k, p)
	k.changed, k.value = true, p.value // which sortOwn sends
}

// changedCopy returns the cookie of a slot that a plain cookie must be a changed copy of: of all
// cookies of the name, these two alone have no counterpart. It is nil if there is no such pair.
func (x *Exchange) changedCopy(p *item, tag string) (of *item) {
	for i := range x.items {
		switch k := &x.items[i]; {
		case k == p || k.name != p.name || k.pair >= 0 || !k.plain() && (k.tag != tag || !k.has(readable|copied) || !x.within(k.domain)):
		case k.plain() || of != nil:
			return nil
		default:
			of = k
		}
	}
	return of
}

// save keeps the value of a changed copy in the slot. It is false if browsers would not take a
// cookie so large.
func (x *Exchange) save(k, p *item) bool {
	saved := k.stored
	saved.before, saved.value = fingerprint(k.value), p.value
	value := saved.encode()
	if !fits(x.request.Spec.SlotName(k.tag, k.name), value) || !x.grow(k.name, len(value)-len(k.encode()), 0) {
		return false
	}
	x.plan = append(x.plan, saved.slotField(x.request.Spec.SlotName(k.tag, k.name)))
	return true
}

// saveChanges is the hand-over: if one account was alone until this request of another one, its
// slot keeps what scripts have made of its copies.
func (x *Exchange) saveChanges() {
	used := &x.request.Cookies.Used
	if x.alone || used.Several() || used.Tag == "" || used.Tag == x.account {
		return
	}
	tag := cookie.Anonymous
	if used.Tag != cookie.Anonymous {
		tag = x.request.Accounts.SlotOf(used.Tag)
	}
	for i := range x.items {
		p := &x.items[i]
		if !p.plain() || p.pair >= 0 || p.send || x.holds(p) {
			continue
		}
		if k := x.changedCopy(p, tag); k != nil && x.save(k, p) {
			p.pair, k.pair = k.index, p.index
		}
	}
	for i := range x.items {
		k := &x.items[i]
		if k.tag == tag && k.has(readable|copied) && k.pair < 0 && x.within(k.domain) && !x.showsPlain(k.name) {
			x.plan = append(x.plan, k.clear(x.request.Spec.SlotName(tag, k.name))) // a script has deleted it
		}
	}
}

// replaceCopy clears the copy of another slot's cookie, or replaces it by that of the active slot's
// cookie in the same place.
func (x *Exchange) replaceCopy(k *item) {
	i := slices.IndexFunc(x.items, func(s item) bool {
		return x.own(&s) && s.name == k.name && s.has(readable) && s.same(k.stored)
	})
	switch {
	case i < 0 && x.alone && k.tag == cookie.Anonymous:
		// A parallel request may be setting the account's own cookie, whose copy this would clear.
	case i < 0 && x.dead(k):
		x.always = append(x.always, k.clear(k.name))
	case i < 0:
		x.plan = append(x.plan, k.clear(k.name))
	case x.items[i].pair < 0:
		x.plan = append(x.plan, x.items[i].plainField(k.name))
		x.items[i].changed = true // it has a copy again
	}
}

// sortOwn decides about a cookie of the active slot.
func (x *Exchange) sortOwn(k *item) {
	k.send = true
	if !k.has(readable) || k.pair >= 0 || k.changed {
		return
	}
	others := x.showsPlain(k.name)
	switch {
	case x.alone && !x.first && others:
		k.send = !k.has(copied) || x.hides(k.name) // else sortChanged has sent the plain cookie
	case x.alone && !x.first && k.has(copied) && x.within(k.domain):
		k.send = false // a script has deleted the copy; no other jar can have replaced it
		x.plan = append(x.plan, k.clear(x.request.Spec.SlotName(k.tag, k.name)))
	case !others:
		x.plan = append(x.plan, k.plainField(k.name))
		k.changed = true // it has a copy again
	}
}

// hold notes that the app is not sent a plain cookie.
func (x *Exchange) hold(name string) {
	if !slices.Contains(x.held, name) {
		x.held = append(x.held, name)
	}
}

// holds reports whether the browser had a plain cookie, as it is now, before the account was first
// used in it.
func (x *Exchange) holds(p *item) bool {
	held := x.request.Cookies.Used.Held
	if held == "" {
		return false
	}
	print := fingerprint(p.raw)
	for ; len(held) >= fingerprintLength; held = held[fingerprintLength:] {
		if held[:fingerprintLength] == print {
			return true
		}
	}
	return false
}

// maxHeld bounds the plain cookies of a first request, so that their fingerprints fit into the
// mark.
const maxHeld = 60

// fingerprints returns those of all plain cookies that are no copies.
func (x *Exchange) fingerprints() string {
	var b strings.Builder
	for i := range x.items {
		if k := &x.items[i]; k.plain() && k.pair < 0 && !x.options.excepted(k.name) {
			b.WriteString(fingerprint(k.raw))
		}
	}
	return b.String()
}

const fingerprintLength = 6

// fingerprint returns a short hash by which a text is recognized. It does not reveal the text.
func fingerprint(text string) string {
	sum := sha256.Sum256([]byte(text))
	var b [8]byte
	base64.RawURLEncoding.Encode(b[:], sum[:6])
	return string(b[:fingerprintLength])
}

// join writes the Cookie field that the app is sent.
func (x *Exchange) join() {
	size := 0
	for i := range x.items {
		if k := &x.items[i]; k.send {
			size += len(k.name) + len(k.value) + 3
		}
	}
	if size == 0 {
		return
	}
	var b strings.Builder
	b.Grow(size)
	for i := range x.items {
		k := &x.items[i]
		if !k.send {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		switch {
		case k.plain():
			b.WriteString(k.raw)
		case k.name == "":
			b.WriteString(k.value)
		default:
			b.WriteString(k.name)
			b.WriteByte('=')
			b.WriteString(k.value)
		}
	}
	x.forward = []string{b.String()}
}
