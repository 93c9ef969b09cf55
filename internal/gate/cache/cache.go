// Package cache keeps what browsers and other caches store of one account from being shown to another. It
// changes the headers of requests and answers, and knows nothing of who is who: what an account sees is a
// view, and all that is stored of one is of no use under another.
//
// A browser asks before it shows what it has stored: no answer is fresh by itself, for the caches that a
// browser's renderer has in memory do not heed Vary for cookies. What it asks with, the validators, carries
// the view; those of another are dropped, and the answer is a whole one. Where a browser does not ask, as on
// the way back in its history, Vary and the cookie that names the view keep it from taking what is another's.
package cache

import (
	"mime"
	"net/http"
	"strings"
)

// Exchange is a request and its answer, as far as caches are concerned. It is a small value.
type Exchange struct {
	view     string
	method   string
	document bool // a page of its own, or in a frame
	unsure   bool // whether it is a document the browser does not say
	public   bool
}

// Of returns the exchange that a request begins, under a view. What is public is the same to all accounts:
// its answer passes as it is, unless it sets cookies.
func Of(method string, h http.Header, view string, public bool) Exchange {
	dest := h.Get("Sec-Fetch-Dest")
	e := Exchange{view: view, method: method, public: public, unsure: dest == ""}
	switch dest {
	case "document", "iframe", "frame", "fencedframe", "embed", "object":
		e.document = true
	default:
		e.document = h.Get("Sec-Fetch-Mode") == "navigate"
	}
	return e
}

// reads reports whether the method is one whose answers are stored.
func (e Exchange) reads() bool { return e.method == http.MethodGet || e.method == http.MethodHead }

// Request changes the conditions of the request to what the upstream has said under this view. To drop one
// that only saves a transfer is always right. One that keeps a write from being made is never dropped: what
// is another view's stays as it is, and the upstream does not know it.
func (e Exchange) Request(h http.Header) {
	if _, ok := h["If-Match"]; ok {
		e.openAll(h, "If-Match")
	}
	if !e.reads() {
		if _, ok := h["If-None-Match"]; ok {
			e.openAll(h, "If-None-Match")
		}
		return
	}
	e.openRange(h)
	lines, tagged := h["If-None-Match"]
	if !tagged {
		if !e.public {
			delete(h, "If-Modified-Since")
		}
		return
	}
	tags, ok := parseTags(lines)
	var kept []tag
	var since string
	for _, t := range tags {
		switch own, date, of := e.open(t); {
		case of == mine && date != "":
			since = date
		case of == mine:
			kept = append(kept, own)
		case of == nobodys && e.public:
			kept = append(kept, t)
		}
	}
	if !ok {
		kept, since = nil, ""
	}
	// What is left of it is one or the other, for the tags win over the date where there are both
	// (RFC 9110, section 13.1.3).
	delete(h, "If-None-Match")
	modified := h["If-Modified-Since"]
	delete(h, "If-Modified-Since")
	switch {
	case len(kept) > 0:
		h["If-None-Match"] = []string{joinTags(kept)}
		if e.public && len(modified) > 0 {
			h["If-Modified-Since"] = modified
		}
	case since != "":
		h["If-Modified-Since"] = []string{since}
	}
}

// openAll gives the upstream's own tags back to a condition of a write.
func (e Exchange) openAll(h http.Header, name string) {
	tags, ok := parseTags(h[name])
	if !ok {
		return // "*", which is about no view; or what the upstream has to say that it is malformed
	}
	for i, t := range tags {
		if own, date, of := e.open(t); of == mine && date == "" {
			tags[i] = own
		}
	}
	h[name] = []string{joinTags(tags)}
}

// openRange has a part asked for only where the rest is of this view.
func (e Exchange) openRange(h http.Header) {
	lines, ok := h["If-Range"]
	if !ok {
		return
	}
	if tags, ok := parseTags(lines); ok && len(tags) == 1 {
		switch own, date, of := e.open(tags[0]); {
		case of == mine && date == "":
			h["If-Range"] = []string{joinTags([]tag{own})}
			return
		case of == nobodys && e.public:
			return
		}
	} else if e.public {
		return // a date
	}
	delete(h, "If-Range")
	delete(h, "Range")
}

// Stored reports whether an answer could be stored, so that it matters whether it is late.
func (e Exchange) Stored(h http.Header, status int) bool {
	return e.reads() && !e.passes(h) && !e.never(h, status)
}

// passes reports whether an answer is public. One that sets cookies is its receiver's alone.
func (e Exchange) passes(h http.Header) bool { return e.public && len(h["Set-Cookie"]) == 0 }

// never reports whether an answer is not to be stored at all. A page is not, for browsers keep whole pages
// for the way back, but not those that are not stored, once a cookie has changed. Nor is where another
// address leads to, which browsers keep for good and which has no validators.
func (e Exchange) never(h http.Header, status int) bool {
	return !e.reads() || e.document || e.unsure && isHTML(h) || status/100 == 3 && status != http.StatusNotModified || directive(h["Cache-Control"], "no-store")
}

// Answer changes the header of the answer. One that is late is of a view that is not the browser's any more.
// Only the final answer of a request has to do with caches.
func (e Exchange) Answer(h http.Header, status int, late bool) {
	if e.passes(h) {
		return
	}
	never := late || e.never(h, status)
	// Caches that are told apart from browsers share what they have (RFC 9213).
	for name := range h {
		if strings.HasSuffix(name, "-Cache-Control") {
			delete(h, name)
		}
	}
	for _, name := range [...]string{"Surrogate-Control", "Edge-Control", "X-Accel-Expires", "Expires", "Age"} {
		delete(h, name)
	}
	say := "private, no-cache"
	if never {
		say = "no-store"
	}
	if directive(h["Cache-Control"], "no-transform") {
		say += ", no-transform"
	}
	h["Cache-Control"] = []string{say}
	if !e.reads() {
		return // its tag is for writes, and what scripts make of it
	}
	e.seal(h)
	if !never {
		varyCookie(h)
	}
}

// seal has the validators carry the view. Of an answer that has a date alone they are a tag that stands for
// it: a date could be another view's as well.
func (e Exchange) seal(h http.Header) {
	lines, ok := h["Etag"]
	if ok {
		if tags, valid := parseTags(lines); valid && len(tags) == 1 {
			h["Etag"] = []string{joinTags([]tag{e.sealTag(tags[0])})}
			return
		}
		delete(h, "Etag")
	}
	if dates := h["Last-Modified"]; len(dates) == 1 {
		if at, err := http.ParseTime(dates[0]); err == nil && at.Unix() > 0 {
			h["Etag"] = []string{joinTags([]tag{e.sealDate(at)})}
		}
	}
}

// isHTML reports whether browsers may show an answer as a page. What has no type they guess.
func isHTML(h http.Header) bool {
	kind := h.Get("Content-Type")
	if kind == "" {
		return true
	}
	kind, _, err := mime.ParseMediaType(kind)
	return err != nil || kind == "text/html" || kind == "application/xhtml+xml"
}

// directive reports whether a Cache-Control has a directive, which takes no value.
func directive(lines []string, name string) bool {
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ",") {
			word, _, _ := strings.Cut(part, "=")
			if strings.EqualFold(strings.Trim(word, " \t"), name) {
				return true
			}
		}
	}
	return false
}

func varyCookie(h http.Header) {
	for _, line := range h["Vary"] {
		for part := range strings.SplitSeq(line, ",") {
			if part = strings.Trim(part, " \t"); part == "*" || strings.EqualFold(part, "Cookie") {
				return
			}
		}
	}
	h.Add("Vary", "Cookie")
}
