package cookie

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxFlows is how many sign-ins a browser can have under way. Tabs that people left at a provider pile
// up otherwise until the Cookie field is more than servers take.
const maxFlows = 8

// Flow is the cookie of one sign-in at a provider that is under way. It is held as the jar's is: by
// the same site or domain, and as safely. Each has a name of its own, so that several tabs do not get
// into each other's way.
type Flow struct{ jar Spec }

// Flow returns the cookie of the sign-in that the tag names. A tag is of the base64url alphabet.
func (j Spec) Flow(tag string) Flow {
	j.Name += flowMark + tag
	return Flow{j}
}

// Read returns the value that came with a request, and false without one, and where there are two, of
// which one may have been planted.
func (f Flow) Read(h http.Header) (value string, ok bool) { return only(h, f.jar.Name) }

// Set gives the browser a value. Of those that it has had longest so many are taken from it that there
// are not too many: browsers send them in that order (RFC 6265, section 5.4).
func (f Flow) Set(w, r http.Header, value string, maxAge time.Duration) {
	for _, name := range f.surplus(r) {
		other := f
		other.jar.Name = name
		other.Clear(w)
	}
	c := f.jar.cookie(value)
	c.MaxAge = int(maxAge / time.Second)
	w.Add("Set-Cookie", c.String())
}

// Clear takes the cookie from the browser.
func (f Flow) Clear(w http.Header) { f.jar.Clear(w) }

// surplus are the names of the flows in a request that there is no room for beside this one.
func (f Flow) surplus(r http.Header) []string {
	prefix, _, _ := strings.Cut(f.jar.Name, flowMark)
	var names []string
	for _, line := range r["Cookie"] {
		for part := range pairs(line) {
			name, _ := Split(part)
			if strings.HasPrefix(name, prefix+flowMark) && tagged(name) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names[:max(0, len(names)-maxFlows+1)]
}

// tagged reports whether a name ends with a tag, so that what somebody planted is not written back
// into a header.
func tagged(name string) bool {
	_, tag, _ := strings.Cut(name, flowMark)
	return tag != "" && Alphabetic(tag)
}
