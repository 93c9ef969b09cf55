package cache

import "net/http"

// OpenRequest rewrites the conditions of a request to what the upstream knows. A condition that
// only saves a transfer is dropped if it is not of this view. A condition that keeps a write from
// being made is never dropped.
func (e *Exchange) OpenRequest(h http.Header) {
	if !e.read {
		openWriteCondition(h, "If-Match")
		openWriteCondition(h, "If-None-Match")
		return
	}
	e.openMatch(h)
	e.openRange(h)
	e.openNoneMatch(h)
}

// openWriteCondition replaces sealed tags in a condition of a write by the upstream's own. It does
// so for tags of every view: the condition names a state of the resource, and only the upstream can
// tell whether it is the current one, also if the same person has signed out and in since.
func openWriteCondition(h http.Header, name string) {
	lines, ok := h[name]
	if !ok || !hasMark(lines) {
		return
	}
	tags, ok := parseTags(lines)
	if !ok {
		return // the upstream refuses what is malformed
	}
	for i, t := range tags {
		if v, ok := openAny(t); ok && v.date == "" {
			tags[i] = v.tag
		}
	}
	h[name] = []string{joinTags(tags)}
}

// openMatch replaces tags of this view in If-Match of a read by the upstream's own. Tags of other
// views stay as they are, and the upstream answers 412: a client that combines ranges by If-Match
// (RFC 9110, section 13.1.1) must not combine those of two accounts.
func (e *Exchange) openMatch(h http.Header) {
	lines, ok := h["If-Match"]
	if !ok || !hasMark(lines) {
		return
	}
	tags, ok := parseTags(lines)
	if !ok {
		return
	}
	for i, t := range tags {
		if v, ok := e.view.open(t); ok && v.date == "" {
			tags[i] = v.tag
		}
	}
	h["If-Match"] = []string{joinTags(tags)}
}

// openRange rewrites If-Range (RFC 9110, section 13.1.5). The upstream is asked for a part only if
// the parts that the browser has are of this view; otherwise it is asked for the whole. A tag that
// stands for a date becomes that date. Clients should not send weak tags here, but Chromium sends
// whatever tag it was given, and fails if it then gets a 200.
func (e *Exchange) openRange(h http.Header) {
	lines, ok := h["If-Range"]
	if !ok || e.acceptsPlain() && !hasMark(lines) {
		return
	}
	if t, ok := parseTag(lines); ok {
		if v, ok := e.view.open(t); ok {
			e.rangeTag = lines
			if v.date == "" {
				v.date = v.tag.String()
			}
			h["If-Range"] = []string{v.date}
			return
		}
	}
	delete(h, "If-Range")
	delete(h, "Range")
}

// openNoneMatch rewrites If-None-Match and If-Modified-Since. At most one of them is left, because
// a tag takes precedence over a date (RFC 9110, section 13.1.3) and a browser that sends a sealed
// tag has the date from the same answer.
func (e *Exchange) openNoneMatch(h http.Header) {
	lines, ok := h["If-None-Match"]
	if !ok {
		if _, ok := h["If-Modified-Since"]; ok && !e.acceptsPlain() {
			delete(h, "If-Modified-Since")
		}
		return
	}
	if e.acceptsPlain() && !hasMark(lines) {
		return
	}
	tags, _ := parseTags(lines)
	var since string
	own := tags[:0]
	for _, t := range tags {
		v, ok := e.view.open(t)
		switch {
		case ok && v.date != "":
			since = v.date
		case ok:
			own = append(own, v.tag)
		case e.acceptsPlain() && !t.sealed():
			own = append(own, t)
		}
	}
	delete(h, "If-None-Match")
	delete(h, "If-Modified-Since")
	switch {
	case len(own) > 0:
		h["If-None-Match"] = []string{joinTags(own)}
	case since != "":
		h["If-Modified-Since"] = []string{since}
	}
}
