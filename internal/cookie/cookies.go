package cookie

import (
	"net/http"
	"strings"
)

// The marks of the cookies beside the jar's.
const (
	viewMark     = "_view"      // the view of a jar
	hostViewMark = "_host_view" // the view of one host, with an active account for each
	shownMark    = "_shown"     // the view that the host's last page was shown under
	usedMark     = "_used_"     // followed by a user's tag: see Used
	sharedMark   = "_shared"    // see Used
	runMark      = "_run"       // the name of the browser's run: see package session
	scriptedMark = "_scripted"  // the slot that scripted cookies of the host belong to
	flowMark     = "_flow_"     // followed by a flow's tag
	ownerMark    = "_owner"     // of releases before Used; only read

	// Of a host whose domain shares the jar: see confirmed.go.
	confirmedMark = "_confirmed"
	startedMark   = "_started"
)

// Cookies is what a request's own cookies of the gateway say, and how many cookies there are at
// all.
type Cookies struct {
	Jar      Value // the jar's token
	View     Value
	Shown    Value // see ReadShown for all of several
	Scripted Value
	Owner    Value // of releases before Used: the slot that plain cookies belong to
	Used     Used
	Run      Value // the browser's run; see ReadRun

	Confirmed Value // names the jar that is confirmed at this host
	Started   Value // tags of sign-ins that began at this host

	// Apps counts the cookies that are not the gateway's own: those in slots, and plain ones.
	Apps int

	// Lax reports whether there is a cookie that browsers withhold from requests of other sites,
	// beside the jar's. A request that shows one and no jar comes from a browser without a jar.
	Lax bool

	Count int // of all cookies
	Bytes int // of all Cookie fields
}

// Value is the value of a cookie that a request may carry several times.
type Value struct {
	Last  string
	Count int
}

// Only returns the value. It is false unless the request has the cookie exactly once, because a
// second one may have been planted (RFC 6265, section 8.6).
func (v Value) Only() (string, bool) { return v.Last, v.Count == 1 }

func (v *Value) add(value string) { v.Last, v.Count = value, v.Count+1 }

// Parse reads the cookies of a request, in one pass and without allocations.
func (j Spec) Parse(h http.Header) Cookies {
	var c Cookies
	for _, line := range h["Cookie"] {
		c.Bytes += len(line)
		for line != "" {
			var name, value string
			_, name, value, line = Next(line)
			if name == "" && value == "" {
				continue
			}
			c.Count++
			if strings.HasPrefix(name, slotMark) {
				c.Apps++
				continue
			}
			base, mark, ok := cutBase(name)
			if !ok || !ours(mark) {
				c.Apps++
				continue
			}
			j.read(&c, base, mark, value)
		}
	}
	return c
}

// read notes one of the gateway's own cookies, if it belongs to this site.
func (j Spec) read(c *Cookies, base, mark, value string) {
	atJar, atHost := base == j.Name, base == j.hostName()
	switch mark {
	case "":
		if atJar {
			c.Jar.add(value)
		}
		return
	case viewMark:
		if atJar && !j.PerHost {
			c.View.add(value)
		}
	case hostViewMark:
		if atHost && j.PerHost {
			c.View.add(value)
		}
	case shownMark:
		if atHost {
			c.Shown.add(value)
		}
	case scriptedMark:
		if atHost {
			c.Scripted.add(value)
		}
	case ownerMark:
		if atHost {
			c.Owner.add(value)
		}
	case confirmedMark:
		if atHost {
			c.Confirmed.add(value)
		}
	case startedMark:
		if atHost {
			c.Started.add(value)
		}
	case runMark:
		if atJar {
			c.Run.add(value)
		}
	case sharedMark:
		if atJar {
			c.Used.share(value)
		}
	default:
		if tag, ok := strings.CutPrefix(mark, usedMark); ok && atJar {
			c.Used.add(tag, value)
		}
	}
	c.Lax = c.Lax || atJar || atHost
}

// names are all names of the jar's cookie. Upstreams see none of them, whichever the site uses.
var names = [...]string{NameHost, NameDomain, NamePlain}

// cutBase splits a name after the name of a jar's cookie, of any site and label. It is false if the
// name does not begin with one.
func cutBase(name string) (base, mark string, ok bool) {
	if name == "" || name[0] != NameHost[0] && name[0] != NamePlain[0] {
		return "", "", false // most are other names
	}
	for _, base := range names {
		if strings.HasPrefix(name, base) {
			end := len(base) + labelLength(name[len(base):])
			return name[:end], name[end:], true
		}
	}
	return "", "", false
}

// ours reports whether a mark, the rest of a name after its base, is one of the gateway's.
func ours(mark string) bool {
	switch mark {
	case "", viewMark, hostViewMark, shownMark, scriptedMark, ownerMark, runMark, sharedMark, confirmedMark, startedMark:
		return true
	}
	return strings.HasPrefix(mark, usedMark) || strings.HasPrefix(mark, flowMark)
}

// reserved reports whether a name belongs to the gateway: to one of its own cookies, on any site,
// or to a slot's.
func reserved(name string) bool {
	if _, mark, ok := cutBase(name); ok && ours(mark) {
		return true
	}
	return Slotted(name)
}

// Reserved reports whether a name belongs to a cookie that upstreams can neither see nor set.
func Reserved(name string) bool { return reserved(name) }
