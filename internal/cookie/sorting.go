package cookie

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/origin"
)

// sorting is the cookies of one request while they are taken apart.
type sorting struct {
	*Crossing
	owner string // whose the plain cookies are; empty where nobody knows
	known bool   // which slots are live is known, so that cookies of others can be cleared

	items   []item // in the browser's order
	cleared int    // names of which plain cookies are cleared by guess
}

// maxGuessed is of how many names plain cookies are cleared by guess in one answer. More are held back
// and wait for the next.
const maxGuessed = 10

// sort makes the header what the upstream is to see. Where it is not known which slots are live, the
// browser is told nothing.
func (s *sorting) sort(h http.Header) {
	s.parse(h["Cookie"])
	for i := range s.items {
		switch k := &s.items[i]; {
		case slices.ContainsFunc(s.items[:i], k.namesake):
		case k.tag == s.slot && !k.has(readable) && !slices.ContainsFunc(s.items[i+1:], k.namesake):
			k.forward = pair(k.name, k.value)
			s.Crossing.own = append(s.Crossing.own, *k)
		default:
			s.decide(k.name)
		}
	}
	if !s.known {
		s.always, s.plan = nil, nil
	}
	var b strings.Builder
	for i := range s.items {
		if forward := s.items[i].forward; forward != "" {
			if b.Len() > 0 {
				b.WriteString("; ")
			}
			b.WriteString(forward)
		}
	}
	if b.Len() == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = []string{b.String()}
}

// parse makes items of the cookies, and drops those that are the gateway's own business.
func (s *sorting) parse(lines []string) {
	s.items = make([]item, 0, s.crowd.Cookies)
	for _, line := range lines {
		for part := range pairs(line) {
			part = strings.Trim(part, " \t")
			name, value := split(part)
			switch {
			case part == "":
			case slotted(name):
				s.parseSlotted(name, value)
			case reserved(name):
			case s.isolation.excepted(name):
				s.items = append(s.items, item{raw: part, name: name, forward: part, used: true})
			default:
				s.items = append(s.items, item{raw: part, name: name, kept: kept{value: value}})
			}
		}
	}
}

func (s *sorting) parseSlotted(name, value string) {
	tag, own, ok := parseSlotName(name)
	k, decoded := decode(value)
	switch {
	case !ok || !decoded:
		// Not from here. Where it is, one can only try.
		if s.known && writable(name) {
			s.always = append(s.always, kept{path: "/"}.clear(name))
		}
		return
	case s.isolation.excepted(own):
		// It was an account's until the configuration was changed.
		if s.known && s.within(k.domain) {
			s.always = append(s.always, k.clear(name))
		}
		return
	}
	s.items = append(s.items, item{kept: k, name: own, tag: tag})
}

// writable reports whether a name can be written back into a header.
func writable(name string) bool {
	return !strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c == ';' || c == '=' || c >= 0x7f })
}

// within reports whether the cookies of a domain are this jar's alone. Those of a wider one may be in a
// slot of another host's jar.
func (s *sorting) within(domain string) bool {
	return domain == "" || domain == s.arriving.Host || s.arriving.Jar.Domain != "" && origin.Within(domain, s.arriving.Jar.Domain)
}

// live reports whether a slot is one that the browser may come back to.
func (s *sorting) live(tag string) bool {
	return tag == Anonymous || s.arriving.Visit != nil && s.arriving.Visit.HasSlot(tag)
}

// decide says for all cookies of a name which of them the upstream gets, and what the browser is to do.
func (s *sorting) decide(name string) {
	var plain, slots []*item
	for i := range s.items {
		switch k := &s.items[i]; {
		case k.name != name || k.used:
		case k.tag == "":
			plain = append(plain, k)
		default:
			slots = append(slots, k)
		}
	}
	for _, k := range slots {
		switch {
		case k.tag == s.slot:
			if !k.has(readable) {
				k.forward = pair(name, k.value)
			}
			s.Crossing.own = append(s.Crossing.own, *k)
		case k.tag != nobody && !s.live(k.tag) && s.known && s.within(k.domain):
			if field := k.clear(slotName(k.tag, name)); k.has(readable) {
				s.intend(k.at(name), field) // with the plain one or not at all: nobody would know whose that is
			} else {
				s.always = append(s.always, field)
			}
		}
	}
	// Those first of which it is known whose the plain one is: what they leave may be one of the others.
	doubtful := false
	for _, known := range [...]flags{shown, 0} {
		for _, k := range slots {
			if k.has(readable|known) && !k.has(guessed) && !k.used {
				doubtful = s.exchange(name, plain, slots, k) || doubtful
			}
		}
	}
	for _, p := range plain {
		p.used = p.used || doubtful
	}
	s.scripted(name, plain, slots)
}

// pair is how a cookie is written for the upstream.
func pair(name, value string) string {
	if name == "" {
		return value
	}
	return name + "=" + value
}

// exchange sees to a plain cookie that an upstream has set, in the place of one of its slots' cookies:
// where it is not the active slot's already, that one's takes its place. It reports whether any plain
// one of the name that has no place may be a remainder.
func (s *sorting) exchange(name string, plain, slots []*item, first *item) (doubtful bool) {
	var holders, lates []*item
	var own *item
	vague := false
	for _, k := range slots {
		if !k.has(readable) || k.has(guessed) || k.used || !k.same(first.kept) {
			continue
		}
		k.used = true
		if k.has(deleted) {
			if k.has(late) {
				lates = append(lates, k)
			} else {
				vague = true
			}
			s.intend(k.at(name), k.clear(slotName(k.tag, name)))
			continue
		}
		if k.tag == s.slot {
			own = k
		}
		switch {
		case k.has(shown):
			holders = append(holders, k)
		case k.has(late):
			lates = append(lates, k)
		}
	}
	p := match(plain, slots, holders)
	holder := holderOf(p, holders, s.slot)
	if len(holders) == 0 && len(lates) > 0 {
		// A plain one may be here that was set before. It is nobody's, and which it is is not known.
		doubtful = true
		if own == nil {
			s.intend(first.at(name), first.clear(name))
		}
	}
	if p != nil {
		p.used = true
	}
	// What differs then may have been changed by a script, or be the other's: on doubt it is nobody's.
	if (vague || len(lates) > 0) && holder != nil && (p == nil || p.value != holder.value) {
		holder = nil
	}
	switch {
	case holder == nil || holder != own:
		s.replace(name, own, holder, p, first)
	case p == nil:
		// A script has taken it away.
		s.intend(own.at(name), own.clear(slotName(s.slot, name)))
	default:
		p.forward = pair(name, p.value)
		if p.value != own.value {
			s.save(name, own, p)
		}
	}
	for _, k := range append(holders, lates...) {
		if k != holder && k != own && !k.has(deleted) && s.live(k.tag) && s.known {
			s.intend(k.at(name), k.without(shown|late).slot(k.tag, name))
		}
	}
	return doubtful
}

// replace has the active slot's cookie take the place of a plain one that is another's, or nobody's.
func (s *sorting) replace(name string, own, holder, p, place *item) {
	if holder != nil && s.known && s.live(holder.tag) {
		if p == nil {
			s.intend(holder.at(name), holder.clear(slotName(holder.tag, name)))
		} else {
			holder.kept = holder.without(shown)
			s.save(name, holder, p)
		}
	}
	switch {
	case own != nil:
		own.forward = pair(name, own.value)
		s.intend(own.at(name), own.plain(name), own.with(shown).without(late).slot(s.slot, name))
	case p != nil && s.within(place.domain):
		s.intend(place.at(name), place.clear(name))
	}
}

// save keeps in a slot what a script has made of a plain cookie. What is too large for that is gone with
// the plain one.
func (s *sorting) save(name string, k, p *item) {
	saved := k.kept
	saved.value = p.value
	if len(slotName(k.tag, name))+len(saved.encode()) <= maxCookieBytes {
		s.intend(k.at(name), saved.slot(k.tag, name))
	} else {
		s.intend(k.at(name), k.clear(slotName(k.tag, name)))
	}
}

// match returns the plain cookie that is in the place of the holders, or nil. What browsers send does not
// say where it is from: it is the one that has a holder's value, else the next that is not another's and
// can be in this place by the order that deeper paths come first in.
func match(plain, slots, holders []*item) *item {
	if len(holders) == 0 {
		return nil
	}
	for _, p := range plain {
		if !p.used && slices.ContainsFunc(holders, func(k *item) bool { return k.value == p.value }) {
			return p
		}
	}
	for _, p := range plain {
		elsewhere := slices.ContainsFunc(slots, func(k *item) bool {
			return k.has(shown) && !k.has(guessed) && !k.same(holders[0].kept) && (k.value == p.value && !k.used || misplaced(plain, p, k, holders[0]))
		})
		if !p.used && !elsewhere {
			return p
		}
	}
	return nil
}

// misplaced reports whether a plain cookie cannot be in the place of one, because it is on the wrong side
// of that of another.
func misplaced(plain []*item, p, other, place *item) bool {
	at := slices.IndexFunc(plain, func(q *item) bool { return q != p && q.value == other.value })
	if at < 0 || len(other.path) == len(place.path) {
		return false
	}
	return (at < slices.Index(plain, p)) != (len(other.path) > len(place.path))
}

// holderOf returns the slot's cookie that the plain one belongs to. Answers that cross on their way can
// leave two that say so; then the value tells, or nothing does and it is nil.
func holderOf(p *item, holders []*item, active string) *item {
	if len(holders) == 1 {
		return holders[0]
	}
	var found *item
	for _, k := range holders {
		if p != nil && k.value == p.value && (found == nil || k.tag == active) {
			found = k
		}
	}
	return found
}

// scripted sees to the plain cookies of a name that no upstream has set.
func (s *sorting) scripted(name string, plain, slots []*item) {
	plain = slices.DeleteFunc(plain, func(p *item) bool { return p.used })
	slots = slices.DeleteFunc(slots, func(k *item) bool { return !k.has(guessed) })
	if len(plain) == 0 && len(slots) == 0 {
		return
	}
	var own, holder *item
	for _, k := range slots {
		if k.tag == s.slot {
			own = k
		}
		if k.has(shown) && (holder == nil || k.tag == s.slot) {
			holder = k
		}
	}
	if len(plain) == 0 {
		s.absent(name, own, holder, slots)
		return
	}
	tag := s.owner
	if holder != nil {
		tag = holder.tag
	}
	if holder != nil && tag != s.slot && s.owner == s.slot && !slices.ContainsFunc(plain, func(p *item) bool { return p.value == holder.value }) {
		// It was not here since the switch, or it is new. On doubt it is nobody's.
		if s.live(tag) {
			s.intend(holder.at(name), holder.without(shown).slot(tag, name))
		}
		tag, holder = nobody, nil
	}
	stale := func(p *item) bool {
		return slices.ContainsFunc(slots, func(k *item) bool {
			return k.tag != s.slot && k.has(leftover) && (k.value == p.value || k.value == fingerprint(p.value))
		})
	}
	remains := slices.DeleteFunc(slices.Clone(plain), stale)
	switch {
	case len(remains) == 0:
		s.takeAway(name)
		if own != nil {
			s.restore(name, own)
		}
	case tag == s.slot && s.known:
		s.adopt(name, own, remains)
		if len(remains) < len(plain) {
			return // to clear by guess would take both
		}
	case s.known:
		s.disown(name, tag, holder, remains[0])
		s.takeAway(name)
		if own != nil {
			s.restore(name, own)
		}
	}
}

// adopt forwards what scripts have made under the active slot, and makes a note whose it is.
func (s *sorting) adopt(name string, own *item, plain []*item) {
	for _, p := range plain {
		p.forward = p.raw
	}
	if !writable(name) || name == "" {
		return
	}
	s.made = append(s.made, name)
	if own == nil || !own.has(shown) {
		k := kept{path: "/", value: plain[0].value, flags: readable | shown | guessed}
		if s.arriving.Jar.Secure {
			k.flags |= secure
		}
		s.note(s.slot, name, k)
	}
}

// disown saves a plain cookie to the slot that it is of, where the browser may come back to that, and
// makes a note of it where not, so that it is known as somebody else's as long as it is there.
func (s *sorting) disown(name, tag string, holder, p *item) {
	if !writable(name) || name == "" {
		return
	}
	k := kept{path: "/", value: p.value, flags: readable | guessed | leftover}
	if holder != nil {
		k.flags |= holder.flags
		k.flags &^= shown
	} else if s.arriving.Jar.Secure {
		k.flags |= secure
	}
	if tag == "" || !s.live(tag) {
		tag, k.value = nobody, fingerprint(p.value)
	}
	s.note(tag, name, k)
}

// note has the browser keep a cookie of a slot that a script has made, unless it is too large.
func (s *sorting) note(tag, name string, k kept) {
	if tag != nobody && len(slotName(tag, name))+len(k.encode()) > maxCookieBytes {
		tag, k.value = nobody, fingerprint(k.value)
		if k.has(shown) {
			return
		}
	}
	s.intend(k.at(name), k.slot(tag, name))
}

// restore gives the browser a script's cookie of the active slot again.
func (s *sorting) restore(name string, own *item) {
	own.forward = pair(name, own.value)
	k := own.with(shown).without(leftover)
	s.intend(k.at(name), k.plain(name), k.slot(s.slot, name))
	s.made = append(s.made, name)
}

// absent is scripted where the browser has no plain cookie of the name here. Those that were taken away are
// gone for sure, so that one which comes up again with the same value is new.
func (s *sorting) absent(name string, own, holder *item, slots []*item) {
	for _, k := range slots {
		switch {
		case !s.known || !k.has(leftover) || k == own:
		case k.tag == nobody:
			s.intend(k.at(name), k.clear(slotName(nobody, name)))
		case s.live(k.tag):
			s.intend(k.at(name), k.without(leftover).slot(k.tag, name))
		}
	}
	if own != nil && holder == nil && s.known {
		s.restore(name, own)
	}
}

// takeAway clears the plain cookies of a name that scripts have made, wherever they are.
func (s *sorting) takeAway(name string) {
	if s.known && writable(name) && s.cleared < maxGuessed {
		s.cleared++
		s.intend(subject{name: name}, s.guesses(name)...)
	}
}

// maxGuessedPaths bounds how deep into a path cookies are looked for.
const maxGuessedPaths = 8

// guesses are the fields that clear a cookie wherever the request's path and host can be shown it from, as
// far as the jar goes: what is of a wider domain is other sites' too.
func (c *Crossing) guesses(name string) []string {
	domains := []string{""}
	if c.arriving.Host != "" && hostLike(c.arriving.Host) && strings.Contains(c.arriving.Host, ".") {
		domains = append(domains, c.arriving.Host)
		for host := c.arriving.Host; c.arriving.Jar.Domain != "" && host != c.arriving.Jar.Domain; {
			_, parent, ok := strings.Cut(host, ".")
			if !ok || !origin.Within(parent, c.arriving.Jar.Domain) {
				break
			}
			host = parent
			domains = append(domains, host)
		}
	}
	paths := []string{"/"}
	for i := 1; i < len(c.arriving.Path) && len(paths) < 2*maxGuessedPaths; i++ {
		if c.arriving.Path[i] == '/' {
			paths = append(paths, c.arriving.Path[:i], c.arriving.Path[:i+1])
		}
	}
	if path := c.arriving.Path; len(path) > 1 && path[len(path)-1] != '/' && len(paths) < 2*maxGuessedPaths {
		paths = append(paths, path)
	}
	var fields []string
	for _, path := range paths {
		if strings.Contains(path, ";") || len(path) > maxAttributeBytes {
			break
		}
		for _, domain := range domains {
			fields = append(fields, kept{path: path, domain: domain}.clear(name))
		}
	}
	return fields
}

// intend has the browser told something of a cookie, as long as the slot is active.
func (s *sorting) intend(about subject, fields ...string) {
	for _, field := range fields {
		s.plan = append(s.plan, intent{about, field})
	}
}

// claim says whose the plain cookies are from now on.
func (s *sorting) claim() {
	j := s.arriving.Jar
	switch {
	case j.Name == "" || s.arriving.Visit == nil || s.owner == s.slot:
	case s.known:
		if s.slot != Anonymous || s.owner != "" {
			s.intend(subject{}, ownerField(j, s.slot))
		}
	case s.owner == "" && s.items != nil:
		// A request from another site shows neither the jar's cookie nor the owner's. Where this is
		// none, the next shows that nobody is known to own what is there.
		s.intend(subject{}, ownerField(j, nobody))
	}
}

// fingerprint stands for a value that is not to be known, only to be known again.
func fingerprint(value string) string {
	sum := sha256.Sum256([]byte(value))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}
