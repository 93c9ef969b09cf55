package cache

import (
	"net/http"
	"strings"
)

// Storable reports whether a browser may store the answer under the exchange's view, so that it
// matters whether the view is still the browser's.
func (e *Exchange) Storable(h http.Header, status int) bool {
	return !e.passes(h) && !e.forbidden(h, status) && !parseCacheControl(h["Cache-Control"]).noStore
}

// SealAnswer rewrites the header of a final answer: Cache-Control makes browsers ask before they
// show it again, and the validators name the view. An answer is late if its view is not the
// browser's any more; then it is not stored at all.
func (e *Exchange) SealAnswer(h http.Header, status int, late bool) {
	if e.passes(h) {
		return
	}
	said := parseCacheControl(h["Cache-Control"])
	deleteFreshness(h)
	never := late || said.noStore || e.forbidden(h, status)
	switch {
	case never && said.noTransform:
		e.values[0] = "no-store, no-transform"
	case never:
		e.values[0] = "no-store"
	case said.noTransform:
		e.values[0] = "private, no-cache, no-transform"
	default:
		e.values[0] = "private, no-cache"
	}
	h["Cache-Control"] = e.values[0:1:1]
	if !e.read {
		return // the tag is for conditions of writes, and for scripts that compare it
	}
	e.seal(h, status)
	if !never {
		e.varyByCookie(h)
	}
}

// passes reports whether an answer is public. An answer that sets cookies is its receiver's alone.
func (e *Exchange) passes(h http.Header) bool { return e.public && len(h["Set-Cookie"]) == 0 }

// forbidden reports whether no browser may store the answer. Pages are among these: browsers keep
// whole pages in memory to go back to, except pages with no-store once a cookie has changed.
// So are redirects, which browsers may keep for good and which have no validators.
func (e *Exchange) forbidden(h http.Header, status int) bool {
	return !e.read || e.document ||
		status/100 == 3 && status != http.StatusNotModified ||
		e.unsure && mayBePage(h["Content-Type"])
}

// deleteFreshness deletes the fields that let caches use an answer without asking: Expires, and
// those that address shared caches alone, which RFC 9213 lets end in "-Cache-Control".
func deleteFreshness(h http.Header) {
	for name := range h {
		switch name {
		case "Age", "Edge-Control", "Expires", "Surrogate-Control", "X-Accel-Expires":
			delete(h, name)
		default:
			if strings.HasSuffix(name, "-Cache-Control") {
				delete(h, name)
			}
		}
	}
}

// seal makes the validators name the view. An answer that has a date alone gets a tag that stands
// for the date, because a date cannot name a view. What cannot be sealed is deleted.
func (e *Exchange) seal(h http.Header, status int) {
	lines, tagged := h["Etag"]
	if e.view.name == "" {
		// Nobody's tag must not look like one that a view has sealed.
		if tagged && hasMark(lines) {
			delete(h, "Etag")
		}
		return
	}
	if tagged {
		if t, ok := parseTag(lines); ok {
			e.setTag(h, e.view.sealTag(t))
			return
		}
		delete(h, "Etag")
	}
	dates, dated := h["Last-Modified"]
	switch {
	case dated:
		if len(dates) == 1 {
			if at, err := http.ParseTime(dates[0]); err == nil && at.Unix() >= 0 {
				e.setTag(h, e.view.sealDate(at.Unix()))
				return
			}
		}
		delete(h, "Last-Modified")
	case status == http.StatusPartialContent && e.rangeTag != nil:
		// An upstream may leave out Last-Modified in a 206 that answers If-Range (RFC 9110, section
		// 15.3.7). The part belongs to what the browser has, so it gets the same tag.
		e.setTag(h, e.rangeTag[0])
	}
}

func (e *Exchange) setTag(h http.Header, text string) {
	e.values[1] = text
	h["Etag"] = e.values[1:2:2]
}

// varyByCookie adds Cookie to Vary, unless it is there.
func (e *Exchange) varyByCookie(h http.Header) {
	lines, ok := h["Vary"]
	if !ok {
		e.values[2] = "Cookie"
		h["Vary"] = e.values[2:3:3]
		return
	}
	for _, line := range lines {
		for line != "" {
			var name string
			name, line, _ = strings.Cut(line, ",")
			if name = strings.Trim(name, " \t"); name == "*" || strings.EqualFold(name, "Cookie") {
				return
			}
		}
	}
	h["Vary"] = append(lines[:len(lines):len(lines)], "Cookie")
}

// cacheControl is what an upstream's Cache-Control says that the gateway keeps.
type cacheControl struct {
	noStore, noTransform bool
}

func parseCacheControl(lines []string) (said cacheControl) {
	for _, line := range lines {
		for line != "" {
			var directive string
			directive, line, _ = strings.Cut(line, ",")
			name, _, _ := strings.Cut(directive, "=")
			name = strings.Trim(name, " \t")
			said.noStore = said.noStore || strings.EqualFold(name, "no-store")
			said.noTransform = said.noTransform || strings.EqualFold(name, "no-transform")
		}
	}
	return said
}

// mayBePage reports whether browsers may show an answer with a Content-Type as a page: one that is
// HTML, and one whose type they have to guess because it is missing, malformed or given twice.
func mayBePage(contentType []string) bool {
	if len(contentType) != 1 {
		return true
	}
	essence, _, _ := strings.Cut(contentType[0], ";")
	essence = strings.Trim(essence, " \t")
	kind, subtype, ok := strings.Cut(essence, "/")
	if !ok || !isToken(kind) || !isToken(subtype) {
		return true
	}
	return strings.EqualFold(essence, "text/html") || strings.EqualFold(essence, "application/xhtml+xml")
}

// isToken reports whether a text is a token (RFC 9110, section 5.6.2).
func isToken(text string) bool {
	for i := range len(text) {
		c := text[i]
		letterOrDigit := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letterOrDigit && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return text != ""
}
