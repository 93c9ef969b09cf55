package cookie

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Isolation keeps the cookies that upstreams set under one session from all others. Nothing is stored for
// it: the browser has each cookie under a name that carries the slot of the session, with HttpOnly, and it
// goes to the upstream under its own name while that session is active.
//
// A cookie that scripts may read is there under its own name too. Which slot the plain one is of, the
// slot's cookie says, which the browser sends wherever it sends the plain one. After a switch the first
// request that shows it saves what scripts have made of it to the slot that it was of, and has the
// browser exchange it.
//
// Plain cookies that no slot's cookie tells of are made by scripts. They are of the session that was
// active when the browser was last here, which the owner's cookie says. Where there is none, they may be
// older than the isolation and of anybody: they are not forwarded, and are taken from the browser.
//
// The zero Isolation keeps all cookies apart. It is not changed once used.
type Isolation struct {
	// Except are the names of cookies that are not an account's: they pass under their own names both ways.
	Except []string
}

// Slots are those of a jar. A *session.Visit knows them.
type Slots interface {
	JarID() string           // empty where there is no jar
	Slot() string            // the tag of the active session's, empty where there is none
	HasSlot(tag string) bool // whether the tag is of a live session of the jar
}

// Arriving is what is known of a request when its cookies are sorted.
type Arriving struct {
	Jar   Spec
	Host  string // as the browser names it, without a port and in lower case
	Path  string // as the browser asked for it, without the query
	Visit Slots  // nil where nothing is known of the jar
	Order *Order // of all answers that the browser can get; may be nil
	Now   func() time.Time
}

// Crossing is the cookies of one request on their way to the upstream, and of its answer on the way back.
// The zero Crossing has none to sort.
type Crossing struct {
	isolation *Isolation
	arriving  Arriving
	slot      string // the active one's tag
	browser   string // which one it is, for Order: its jar, or where it has none whose it was last
	crowd     Crowd

	always []string // fields for the browser that are right whoever is active by then
	plan   []intent // those that are right as long as the same slot is active
	came   time.Time
	fresh  bool     // the browser has sent no cookie at all
	own    []item   // the cookies of the slot that the request showed, by their names in it
	made   []string // names of the plain ones that scripts made, of this slot
}

// intent is a field for the browser that is about a cookie of the upstream's, or about none.
type intent struct {
	about subject
	field string
}

// subject is what an exchange is about: the cookie of a place, or with an empty path all of a name, as
// nobody knows where scripts put theirs. What is about no cookie is the zero subject.
type subject struct{ name, domain, path string }

// at is the subject of what is done about a cookie.
func (k kept) at(name string) subject {
	if k.has(guessed) {
		return subject{name: name}
	}
	return subject{name, k.domain, k.path}
}

// Crowd is how many cookies a browser has sent.
type Crowd struct{ Cookies, Bytes int }

// The crowd from which on an operator should know. Browsers keep some 180 cookies of a site and drop the
// oldest beyond; servers in front of the gateway often take no more than 8 KiB of a header.
const (
	manyCookies = 120
	manyBytes   = 6 << 10
)

// Near reports whether the cookies are close to what browsers and servers take.
func (c Crowd) Near() bool { return c.Cookies >= manyCookies || c.Bytes >= manyBytes }

// Crowd is how many cookies came with the request.
func (c *Crossing) Crowd() Crowd { return c.crowd }

// item is one cookie of a request.
type item struct {
	kept
	raw     string // as it was sent
	name    string // the upstream's name for it
	tag     string // of its slot; empty for a plain one
	forward string // what the upstream gets of it, if it gets any
	used    bool
}

// namesake reports whether another cookie has the same name for the upstream.
func (k *item) namesake(other item) bool { return k.name == other.name }

// Sort takes the request's cookies apart, leaves those for the upstream in the header, and sets c to what
// the answer has to go through. A request without cookies of upstreams costs nothing.
func (i *Isolation) Sort(c *Crossing, h http.Header, a Arriving) {
	*c = Crossing{isolation: i, arriving: a, slot: Anonymous}
	if a.Visit != nil {
		if tag := a.Visit.Slot(); tag != "" {
			c.slot = tag
		}
	}
	owner, jarShown, others := c.look(h["Cookie"])
	c.browser = browserOf(a.Visit, owner)
	known := a.Visit != nil && (a.Visit.JarID() != "" || !jarShown && owner != "")
	s := sorting{Crossing: c, owner: owner, known: known}
	if others {
		c.came = a.Now()
		s.sort(h)
	} else {
		delete(h, "Cookie")
	}
	s.claim()
	c.fresh = !others && !jarShown && owner == ""
}

// browserOf names a browser by its jar. One in which somebody has just signed out has none: its requests
// that are under way at that moment all name the slot that its plain cookies were of.
func browserOf(visit Slots, owner string) string {
	switch {
	case visit != nil && visit.JarID() != "":
		return visit.JarID()
	case len(owner) == tagLength:
		return owner
	}
	return ""
}

// look goes over the cookies once: whose the plain ones are, whether there is a jar's, and whether there
// are any that are not the gateway's own. Two owners are none.
func (c *Crossing) look(lines []string) (owner string, jarShown, others bool) {
	owners := 0
	for _, line := range lines {
		c.crowd.Bytes += len(line)
		for part := range pairs(line) {
			c.crowd.Cookies++
			switch name, value := split(part); {
			case c.arriving.Jar.Name != "" && name == c.arriving.Jar.Name:
				jarShown = true
			case ownerOf(name, c.arriving.Jar):
				owners++
				if validTag(value) {
					owner = value
				}
			case slotted(name) || !reserved(name):
				others = others || strings.Trim(part, " \t") != ""
			}
		}
	}
	if owners != 1 {
		owner = ""
	}
	return owner, jarShown, others
}

// ownerMark stands in the name of the owner's cookie behind the name of the jar's.
const ownerMark = "_owner"

// owner is the cookie that says which slot plain cookies are of. It is of one host also where the jar is of
// a domain, for so are the cookies that scripts make.
func (j Spec) owner() Spec { return j.ofHost(ownerMark) }

func ownerOf(name string, j Spec) bool {
	base, ok := strings.CutSuffix(name, ownerMark)
	return ok && base == j.hostName()
}

// ownerAge is as long as browsers keep a cookie.
const ownerAge = 400 * 24 * time.Hour

func ownerField(j Spec, tag string) string {
	c := j.owner().cookie(tag)
	c.MaxAge = int(ownerAge / time.Second)
	return c.String()
}

// excepted reports whether cookies of a name pass as they are.
func (i *Isolation) excepted(name string) bool { return slices.Contains(i.Except, name) }

// Answer changes the header of the upstream's answer. Cookies land in the slot that the request was made
// under; the plain ones are touched only where that is the active one still, which current says. It
// returns the names of cookies that were left out because no browser would have kept them. Of an answer
// that is informational the browser hears nothing but what the upstream set. It includes FilterResponse.
func (c *Crossing) Answer(h http.Header, informational bool, current func() bool) (oversized []string) {
	clearing := c.isolation != nil && clearsCookies(h["Clear-Site-Data"])
	FilterResponse(h)
	if c.isolation == nil {
		return nil
	}
	set := h["Set-Cookie"]
	if len(set) == 0 && !clearing && (informational || len(c.always)+len(c.plan) == 0) {
		return nil
	}
	a := answer{Crossing: c, now: c.arriving.Now(), active: c.arriving.Visit != nil && current()}
	if !informational {
		a.carryOut()
	}
	if clearing {
		a.clearOwn()
	}
	for _, line := range set {
		a.set(line)
	}
	if len(a.lines) > 0 {
		h["Set-Cookie"] = a.lines
	} else {
		delete(h, "Set-Cookie")
	}
	return a.oversized
}

// answer is the Set-Cookie fields of one answer while they are made.
type answer struct {
	*Crossing
	now       time.Time
	active    bool
	lines     []string
	plain     []item // those that scripts may read, as this answer sets them
	telling   []subject
	oversized []string
}

// carryOut tells the browser what the request has shown to be needed, but for cookies of which an answer
// that was given meanwhile has told it something newer.
func (a *answer) carryOut() {
	a.lines = append(a.lines, a.always...)
	if !a.active {
		return
	}
	var silent []subject // the whole of an exchange, or nothing
	for _, intent := range a.plan {
		switch about := intent.about; {
		case about == subject{} || slices.Contains(a.telling, about):
		case slices.Contains(silent, about) || a.arriving.Order.told(a.browser, a.slot, a.arriving.Host, about, a.came):
			silent = append(silent, about)
			continue
		default:
			a.telling = append(a.telling, about)
		}
		a.lines = append(a.lines, intent.field)
	}
	for _, about := range a.telling {
		a.tell(about)
	}
	if a.fresh && a.slot == Anonymous && a.arriving.Jar.Name != "" {
		a.lines = append(a.lines, ownerField(a.arriving.Jar, Anonymous))
	}
}

// tell remembers that the browser is told of a cookie. It is then told of one of the name, too.
func (a *answer) tell(about subject) {
	a.arriving.Order.tell(a.browser, a.slot, a.arriving.Host, about, a.now)
	a.arriving.Order.tell(a.browser, a.slot, a.arriving.Host, subject{name: about.name}, a.now)
}

// set has the browser keep a cookie of the upstream in the slot.
func (a *answer) set(line string) {
	s := parseSetCookie(line, a.arriving.Path, a.now)
	if a.isolation.excepted(s.name) {
		a.lines = append(a.lines, line)
		return
	}
	plain := !s.httpOnly && s.name != ""
	if plain {
		s.flags |= readable
		if a.active {
			s.flags |= shown
		} else {
			s.flags |= late
		}
		if a.active {
			a.tell(s.at(s.name))
		}
	}
	if plain && s.gone && !(a.active && a.arriving.Visit.JarID() != "" && pathMatch(a.arriving.Path, s.path)) {
		// The plain one there may be another slot's by now, whose shall not look deleted for it; or it
		// stays although the slot's goes. Of a browser that had no jar it is not known whether somebody
		// has signed in since.
		if a.active {
			a.lines = append(a.lines, line)
		}
		a.lines = append(a.lines, s.kept.gone().slot(a.slot, s.name))
		return
	}
	name, value := slotName(a.slot, s.name), s.encode()
	if !s.gone && len(name)+len(value) > maxCookieBytes {
		if len(s.name)+len(s.value) <= maxCookieBytes {
			a.oversized = append(a.oversized, s.name)
		}
		return
	}
	switch {
	case plain && a.active:
		a.lines = append(a.lines, line)
		a.plain = append(a.plain, item{kept: s.kept, name: s.name})
	case a.active && a.hasPlain(s.name, s.kept):
		// From now on scripts may not read it; the one that they read would stay beside it.
		a.lines = append(a.lines, s.clear(s.name))
	}
	field := name + "=" + value + s.attributes
	if !s.httpOnly {
		field += "; HttpOnly"
	}
	a.lines = append(a.lines, field)
}

// pathMatch reports whether a request for a path shows the cookies of another (RFC 6265, section 5.1.4).
func pathMatch(request, cookie string) bool {
	rest, ok := strings.CutPrefix(request, cookie)
	return ok && (rest == "" || strings.HasSuffix(cookie, "/") || rest[0] == '/')
}

// hasPlain reports whether the browser has a plain cookie of the slot in a place, as the request showed or as
// this answer has set it.
func (a *answer) hasPlain(name string, at kept) bool {
	there := func(k item) bool { return k.name == name && k.has(readable|shown) && k.same(at) }
	return slices.ContainsFunc(a.own, there) || slices.ContainsFunc(a.plain, there)
}

// clearOwn takes the slot's cookies from the browser, as far as the request showed them.
func (a *answer) clearOwn() {
	for _, k := range a.own {
		placed := k.has(readable) && !k.has(guessed)                                              // where the plain one is is known
		plain := a.active && placed && (k.has(shown) || slices.Contains(a.telling, k.at(k.name))) // also where it has only just been exchanged
		if plain {
			a.lines = append(a.lines, k.clear(k.name))
		}
		switch {
		case plain && a.arriving.Visit.JarID() == "":
			a.lines = append(a.lines, k.gone().slot(a.slot, k.name))
		case !a.active && placed && k.has(shown):
			// The plain one stays, and shall not pass for one that nobody knows of.
			a.lines = append(a.lines, k.without(shown).with(late).gone().slot(a.slot, k.name))
		default:
			a.lines = append(a.lines, k.clear(slotName(a.slot, k.name)))
		}
	}
	if a.active {
		for _, name := range a.made {
			a.lines = append(a.lines, a.guesses(name)...)
		}
	}
}

// clearsCookies reports whether an upstream asks the browser to drop all cookies.
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
