package portal

import (
	"net/http"
	"strconv"
	"strings"
)

// navigation reports whether a request is a browser that opens a page. Scripts, WebSockets and CORS
// preflights cannot use a redirect to a form.
func navigation(r *http.Request) bool { return r.Method == http.MethodGet && shown(r) }

// sendsForm reports whether a request is a browser that sends a page's form and shows the answer.
func sendsForm(r *http.Request) bool { return r.Method == http.MethodPost && shown(r) }

// shown reports whether a browser shows the answer to a request as a page.
func shown(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodPost || r.Header.Get("Upgrade") != "" {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" || fromBrowser(r.Header) {
		return mode == "navigate"
	}
	// Over plain HTTP browsers send no Fetch Metadata, and old browsers never do. Libraries that put
	// the answer into a page which is shown already say so, whatever they accept.
	if strings.EqualFold(r.Header.Get("X-Requested-With"), "XMLHttpRequest") || r.Header.Get("HX-Request") == "true" {
		return false
	}
	return prefersHTML(r.Header["Accept"])
}

// inFrame reports whether a browser shows the answer within another page.
func inFrame(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Dest") {
	case "iframe", "frame", "embed", "object":
		return true
	}
	return false
}

// prefersHTML reports whether an Accept header prefers HTML to JSON and to */* (RFC 9110, section
// 12.5.1).
func prefersHTML(accept []string) bool {
	var html, others float64
	for _, line := range accept {
		for element := range strings.SplitSeq(line, ",") {
			mediaType, weight := weigh(element)
			switch mediaType {
			case "text/html", "application/xhtml+xml":
				html = max(html, weight)
			case "application/json", "*/*":
				others = max(others, weight)
			}
		}
	}
	return html > others
}

// weigh splits an element of Accept into its media type and weight. A missing weight is 1, as the
// standard says. A malformed one is 0, to be safe.
func weigh(element string) (mediaType string, weight float64) {
	mediaType, params, _ := strings.Cut(element, ";")
	weight = 1
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(param, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(q >= 0 && q <= 1) {
			q = 0
		}
		weight = q
	}
	return strings.ToLower(strings.TrimSpace(mediaType)), weight
}

// accepts reports whether an Accept header allows a media type. A missing header allows all. The
// most specific element decides (RFC 9110, section 12.5.1).
func accepts(accept []string, mediaType string) bool {
	if len(accept) == 0 {
		return true
	}
	kind, _, _ := strings.Cut(mediaType, "/")
	exactness := map[string]int{"*/*": 1, kind + "/*": 2, mediaType: 3}
	best, accepted := 0, false
	for _, line := range accept {
		for element := range strings.SplitSeq(line, ",") {
			named, weight := weigh(element)
			if exact := exactness[named]; exact > best {
				best, accepted = exact, weight > 0
			}
		}
	}
	return accepted
}
