package cookie

import (
	"iter"
	"net/http"
	"slices"
	"strings"
)

// pairs iterates over the cookies of a Cookie field as browsers write them: only semicolons
// separate them, and quotes have no meaning (RFC 6265, section 4.2.1).
func pairs(line string) iter.Seq[string] { return strings.SplitSeq(line, ";") }

// Next splits the first cookie off a Cookie field. Pair is the cookie without the white space around
// it, and name and value are those of Split. They are empty where the field has nothing between two
// semicolons.
func Next(line string) (pair, name, value, rest string) {
	pair = line
	if i := strings.IndexByte(line, ';'); i >= 0 {
		pair, rest = line[:i], line[i+1:]
	}
	pair = Trim(pair)
	name, value = Split(pair)
	return pair, name, value, rest
}

// Split splits a pair as servers do: without the white space around name and value. A pair without
// an equals sign is a name without a value, as some servers read it.
func Split(pair string) (name, value string) {
	i := strings.IndexByte(pair, '=')
	if i < 0 {
		return Trim(pair), ""
	}
	return Trim(pair[:i]), Trim(pair[i+1:])
}

// Trim removes spaces and tabs from both ends of a text.
func Trim(text string) string {
	for text != "" && (text[0] == ' ' || text[0] == '\t') {
		text = text[1:]
	}
	for text != "" && (text[len(text)-1] == ' ' || text[len(text)-1] == '\t') {
		text = text[:len(text)-1]
	}
	return text
}

// only returns the value of a request's cookie. It is false unless the request has exactly one of
// the name.
func only(h http.Header, name string) (value string, ok bool) {
	value, n := find(h, name, "")
	return value, n == 1
}

// find returns how many cookies of a name a request has, and the value of the last one. The name
// comes as base and mark, so that no caller has to join them for each request.
func find(h http.Header, base, mark string) (value string, count int) {
	for _, line := range h["Cookie"] {
		for line != "" {
			var name, v string
			_, name, v, line = Next(line)
			if rest, ok := strings.CutPrefix(name, base); ok && rest == mark {
				value = v
				count++
			}
		}
	}
	return value, count
}

// StripRequest deletes all cookies of the gateway, whatever the site, from a request's header, so
// that no upstream sees them. It leaves other cookies byte for byte.
func StripRequest(h http.Header) {
	lines := h["Cookie"]
	if !carriesReserved(lines) {
		return
	}
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		if line = without(line); line != "" {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = kept
}

func carriesReserved(lines []string) bool {
	for _, line := range lines {
		for part := range pairs(line) {
			if name, _ := Split(part); reserved(name) {
				return true
			}
		}
	}
	return false
}

func without(line string) string {
	var b strings.Builder
	b.Grow(len(line))
	for part := range pairs(line) {
		if name, _ := Split(part); reserved(name) {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(';')
		} else {
			part = strings.TrimLeft(part, " \t")
		}
		b.WriteString(part)
	}
	return b.String()
}

// FilterResponse deletes from an upstream's response header what would set or clear the gateway's
// cookies: Set-Cookie fields of its names, and "cookies" in Clear-Site-Data, by which a browser
// drops every cookie of the domain (Clear Site Data, section 3.1). It deletes both fields from the
// trailers, which net/http has in the same map. They have no meaning there (RFC 9110, section
// 6.5.1), but a server further on may merge trailers into the header.
func FilterResponse(h http.Header) {
	delete(h, http.TrailerPrefix+"Set-Cookie")
	delete(h, http.TrailerPrefix+"Clear-Site-Data")
	if lines, ok := h["Set-Cookie"]; ok {
		filterSetCookie(h, lines)
	}
	if lines, ok := h["Clear-Site-Data"]; ok {
		filterClearSiteData(h, lines)
	}
}

func filterSetCookie(h http.Header, lines []string) {
	if !slices.ContainsFunc(lines, setsReserved) {
		return
	}
	kept := slices.DeleteFunc(slices.Clone(lines), setsReserved)
	if len(kept) == 0 {
		delete(h, "Set-Cookie")
		return
	}
	h["Set-Cookie"] = kept
}

// setsReserved reports whether a browser could take a Set-Cookie field for one of the gateway's.
func setsReserved(line string) bool {
	pair, _, _ := strings.Cut(line, ";")
	name, value := Split(pair)
	return reserved(name) || name == "" && startsReserved(value) || strings.ContainsFunc(line, Control)
}

// Control reports whether browsers ignore a Set-Cookie field with this character (RFC 6265bis,
// section 5.6). Some browsers cut the field there instead, or trim the character off, and could so
// read one of the gateway's names.
func Control(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

// startsReserved reports whether a cookie without a name looks like one of the gateway's when a
// browser sends it back: "=multi_session=x" comes back as "multi_session=x".
func startsReserved(value string) bool {
	name, _ := Split(value)
	return reserved(name)
}

// everythingElse is what the wildcard of Clear-Site-Data stands for, except cookies.
const everythingElse = `"cache", "clientHints", "executionContexts", "prefetchCache", "prerenderCache", "storage"`

func filterClearSiteData(h http.Header, lines []string) {
	var kept []string
	for _, line := range lines {
		for directive := range strings.SplitSeq(line, ",") {
			directive = strings.TrimSpace(directive)
			// Browsers compare exactly. This is lenient, in case one does not.
			switch strings.ToLower(strings.Trim(directive, `"`)) {
			case "", "cookies":
			case "*":
				kept = append(kept, everythingElse)
			default:
				kept = append(kept, directive)
			}
		}
	}
	if len(kept) == 0 {
		delete(h, "Clear-Site-Data")
		return
	}
	h["Clear-Site-Data"] = []string{strings.Join(kept, ", ")}
}

// ShowsSlots reports whether a request's header has cookies of a slot.
func ShowsSlots(h http.Header) bool {
	for _, line := range h["Cookie"] {
		for part := range pairs(line) {
			if name, _ := Split(part); Slotted(name) {
				return true
			}
		}
	}
	return false
}
