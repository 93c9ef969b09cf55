package isolation

import (
	"strings"

	"github.com/caddy-multi-session/gateway/internal/cookie"
)

// exchangeScripted decides about the cookies of Options.Scripted. If the holder cookie says that
// the plain ones belong to the active slot, the app is sent them, and the slot keeps their values.
// If not, the app is sent what the slot has kept, and the next page brings the exchange.
func (x *Exchange) exchangeScripted(page bool) {
	r := &x.request
	holder, known := r.Cookies.Scripted.Only()
	mine := known && holder == x.slot && holder != cookie.Anonymous || x.alone
	held := false
	for i := range x.items {
		k := &x.items[i]
		kept := !k.plain() && k.has(guessed) && k.tag == x.slot
		switch {
		case !x.options.scripted(k.name):
		case k.plain() && mine && x.alone && (x.first && !x.uncounted() || x.holds(k)):
			held = true
			x.hold(k.name)
		case k.plain() && mine:
			x.keepScripted(k)
		case kept && mine && x.scriptedItem(k.name, "") == nil:
			x.plan = append(x.plan, k.clear(x.request.Spec.SlotName(k.tag, k.name))) // a script has deleted it
		case kept && !mine:
			k.send = true
		}
	}
	switch {
	case !x.known: // a sign-in may have renamed the jar, and another slot may hold them by now
	case mine && !held && !(known && holder == x.slot):
		x.holdScripted()
	case !mine && page:
		x.swapScripted(holder)
	}
}

// scriptedItem returns the cookie of a name that a slot has kept, or the plain one if the tag is
// empty. It is nil if there is none.
func (x *Exchange) scriptedItem(name, tag string) *item {
	for i := range x.items {
		if k := &x.items[i]; k.name == name && k.tag == tag && (tag == "" || k.has(guessed)) {
			return k
		}
	}
	return nil
}

// keepScripted sends the app a plain cookie that belongs to the active slot, and has the slot keep
// it. It does not if another slot has kept the same value: then a page of that account is still
// open and has written it again.
func (x *Exchange) keepScripted(p *item) {
	kept := x.scriptedItem(p.name, x.slot)
	others := x.keptElsewhere(p, x.slot)
	switch {
	case kept != nil && kept.value == p.value:
		p.send = true
	case others && kept != nil:
		x.plan = append(x.plan, kept.plainField(p.name))
	case others:
		x.plan = append(x.plan, stored{path: "/"}.clear(p.name))
	default:
		p.send = true
		x.saveScripted(x.slot, p)
	}
}

// keptElsewhere reports whether a slot other than the given one has kept the value of a plain
// cookie.
func (x *Exchange) keptElsewhere(p *item, tag string) bool {
	for i := range x.items {
		if o := &x.items[i]; o.has(guessed) && o.tag != tag && o.name == p.name && o.value == p.value {
			return true
		}
	}
	return false
}

// saveScripted has a slot keep a plain cookie.
func (x *Exchange) saveScripted(tag string, p *item) {
	saved := stored{flags: readable | guessed, path: "/", value: p.value}
	if x.request.Spec.Secure {
		saved.flags |= secureFlag
	}
	name, value := x.request.Spec.SlotName(tag, p.name), saved.encode()
	bytes, count := len(name)+len(value)+len("=; "), 1
	if kept := x.scriptedItem(p.name, tag); kept != nil {
		bytes, count = len(value)-len(kept.encode()), 0
	}
	if writable(p.name) && fits(name, value) && x.grow(p.name, bytes, count) {
		x.plan = append(x.plan, saved.slotField(x.request.Spec.SlotName(tag, p.name)))
	}
}

// swapScripted has the holder's slot keep the plain cookies, if its session lives, and replaces
// them by those that the active slot has kept.
func (x *Exchange) swapScripted(holder string) {
	keep := holder != "" && x.live(holder)
	for i := range x.items {
		k := &x.items[i]
		switch {
		case !x.options.scripted(k.name) || !writable(k.name):
		case k.plain():
			if keep && !x.keptElsewhere(k, holder) {
				x.saveScripted(holder, k)
			}
			if x.scriptedItem(k.name, x.slot) == nil {
				x.plan = append(x.plan, stored{path: "/"}.clear(k.name))
			}
		case !k.has(guessed):
		case k.tag == x.slot:
			x.plan = append(x.plan, k.plainField(k.name))
		case k.tag == holder && x.scriptedItem(k.name, "") == nil:
			x.plan = append(x.plan, k.clear(x.request.Spec.SlotName(holder, k.name))) // a script has deleted it
		}
	}
	if holder == "" && x.slot == cookie.Anonymous {
		return
	}
	for _, name := range x.options.Scripted {
		exact := !strings.Contains(name, "*") && writable(name)
		if exact && x.scriptedItem(name, "") == nil && x.scriptedItem(name, x.slot) == nil {
			x.plan = append(x.plan, stored{path: "/"}.clear(name)) // a script may have made it since the request was sent
		}
	}
	x.holdScripted()
}

// holdScripted makes the active slot the holder of the plain cookies. Nobody's slot never holds
// them, because the answer to a request without a jar cannot tell whether somebody has signed in
// since.
func (x *Exchange) holdScripted() {
	r := &x.request
	switch {
	case x.slot != cookie.Anonymous:
		x.plan = append(x.plan, r.Spec.SetScripted(x.slot))
	case r.Cookies.Scripted.Count > 0:
		x.plan = append(x.plan, r.Spec.ClearScripted())
	}
}
