package cookie

import (
	"net/http"
	"strings"
	"time"
)

// Limits of the flow cookies in one browser. Tabs that people leave at a provider pile up otherwise,
// until the Cookie field is longer than servers accept. The newest flow always has room, even if it
// alone is larger.
const (
	maxFlows      = 8
	maxFlowsBytes = 3 << 10 // of names and values, with what separates them in the Cookie field
)

// Flow is the cookie of one sign-in at a provider that is under way. It belongs to the same site or
// domain as the jar's cookie, with the same protection. Each flow has its own name, so tabs do not
// disturb each other.
type Flow struct{ jar Spec }

// Flow returns the cookie of the sign-in that a tag names. The tag has base64url characters only.
func (j Spec) Flow(tag string) Flow {
	j.Name += flowMark + tag
	return Flow{j}
}

// Read returns the value that a request has. It returns false without a value, and with two, one of
// which may have been planted.
func (f Flow) Read(h http.Header) (value string, ok bool) { return only(h, f.jar.Name) }

// Set stores a value in the browser. It clears the oldest other flows where they would exceed the
// limits together with this one.
func (f Flow) Set(w, r http.Header, value string, maxAge time.Duration) {
	for _, name := range f.surplus(r, pairBytes(f.jar.Name, value)) {
		other := f
		other.jar.Name = name
		other.Clear(w)
	}
	c := f.jar.cookie(value)
	c.MaxAge = int(maxAge / time.Second)
	w.Add("Set-Cookie", c.String())
}

// Clear deletes the cookie from the browser.
func (f Flow) Clear(w http.Header) { f.jar.Clear(w) }

// surplus returns the names of the flows in a request for which there is no room beside a new one of
// the given size. Browsers send the oldest cookies first (RFC 6265, section 5.4).
func (f Flow) surplus(r http.Header, size int) []string {
	prefix, _, _ := strings.Cut(f.jar.Name, flowMark)
	var names []string
	sizes := make(map[string]int)
	for _, line := range r["Cookie"] {
		for part := range pairs(line) {
			name, value := Split(part)
			if name == f.jar.Name || !strings.HasPrefix(name, prefix+flowMark) || !tagged(name) {
				continue
			}
			if sizes[name] == 0 {
				names = append(names, name)
			}
			sizes[name] += pairBytes(name, value)
		}
	}
	kept := len(names)
	for kept > 0 && len(names)-kept < maxFlows-1 && size+sizes[names[kept-1]] <= maxFlowsBytes {
		kept--
		size += sizes[names[kept]]
	}
	return names[:kept]
}

// pairBytes returns how many bytes a cookie takes in the Cookie field, with its separators.
func pairBytes(name, value string) int { return len(name) + len("=") + len(value) + len("; ") }

// tagged reports whether a name ends with a tag. A name that somebody planted must not be written
// back into a header.
func tagged(name string) bool {
	_, tag, _ := strings.Cut(name, flowMark)
	return tag != "" && Alphabetic(tag)
}
