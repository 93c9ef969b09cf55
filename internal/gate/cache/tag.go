package cache

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// View seals entity tags: it writes its name into them, so that what a browser stored under one
// view validates under no other. A View is immutable and does not change while a session is active.
//
// The zero View belongs to requests that the upstream serves as nobody's. It seals nothing, and it
// does not accept what another view sealed.
type View struct{ name string }

// NewView returns the view with a name, which must not be empty and must consist of letters,
// digits, "-" and "_".
func NewView(name string) View { return View{name} }

// A sealed tag is the mark, the name of its view, a kind, and the value that the kind describes.
const (
	mark      = "ms~"
	separator = "~"

	kindTag  = 'e' // the upstream's own tag, without the quotes
	kindDate = 'd' // Last-Modified, in seconds since 1970, base 36
)

// tag is an entity tag (RFC 9110, section 8.8.3).
type tag struct {
	weak   bool
	opaque string // without the quotes
}

// String returns the tag as HTTP writes it.
func (t tag) String() string {
	if t.weak {
		return `W/"` + t.opaque + `"`
	}
	return `"` + t.opaque + `"`
}

// sealed reports whether a view has sealed the tag.
func (t tag) sealed() bool { return strings.HasPrefix(t.opaque, mark) }

// sealTag returns the sealed form of an upstream's tag, as HTTP writes it.
func (v View) sealTag(t tag) string {
	if t.weak {
		return `W/"` + mark + v.name + separator + string(kindTag) + t.opaque + `"`
	}
	return `"` + mark + v.name + separator + string(kindTag) + t.opaque + `"`
}

// sealDate returns a tag that stands for a date, in seconds since 1970. The tag is weak, because
// two writes within a second have the same date (RFC 9110, section 8.8.2.2).
func (v View) sealDate(seconds int64) string {
	var digits [16]byte
	return `W/"` + mark + v.name + separator + string(kindDate) + string(strconv.AppendInt(digits[:0], seconds, 36)) + `"`
}

// validator is what a sealed tag stands for: an upstream's tag, or a date where date is not empty.
type validator struct {
	tag  tag
	date string
}

// open returns what a tag of this view stands for. It reports false for all other tags.
func (v View) open(t tag) (validator, bool) {
	name, rest, ok := cutMark(t.opaque)
	if !ok || v.name == "" || name != v.name {
		return validator{}, false
	}
	return decode(t.weak, rest)
}

// openAny is open for a tag of any view.
func openAny(t tag) (validator, bool) {
	_, rest, ok := cutMark(t.opaque)
	if !ok {
		return validator{}, false
	}
	return decode(t.weak, rest)
}

// cutMark returns the name of the view that has sealed a tag, and what follows it. It reports false
// for tags that no view has sealed.
func cutMark(opaque string) (name, rest string, ok bool) {
	rest, ok = strings.CutPrefix(opaque, mark)
	if !ok {
		return "", "", false
	}
	return strings.Cut(rest, separator)
}

// maxDate is the last second of the year 9999, which is the last year that HTTP can write.
const maxDate = 253402300799

// decode reads what follows the view's name in a sealed tag.
func decode(weak bool, rest string) (validator, bool) {
	if rest == "" {
		return validator{}, false
	}
	switch rest[0] {
	case kindTag:
		return validator{tag: tag{weak, rest[1:]}}, true
	case kindDate:
		seconds, err := strconv.ParseInt(rest[1:], 36, 64)
		if err != nil || seconds < 0 || seconds > maxDate {
			return validator{}, false
		}
		return validator{date: time.Unix(seconds, 0).UTC().Format(http.TimeFormat)}, true
	}
	return validator{}, false
}

// hasMark reports whether field lines may contain a sealed tag.
func hasMark(lines []string) bool {
	for _, line := range lines {
		if strings.Contains(line, mark) {
			return true
		}
	}
	return false
}

// parseTag reads a field that has exactly one entity tag. It reports false for everything else.
func parseTag(lines []string) (tag, bool) {
	if len(lines) != 1 {
		return tag{}, false
	}
	t, rest, ok := nextTag(strings.Trim(lines[0], " \t"))
	return t, ok && rest == ""
}

// parseTags reads a list of entity tags. It reports false for an empty list, for a malformed one,
// and for "*".
func parseTags(lines []string) (tags []tag, ok bool) {
	for _, rest := range lines {
		for {
			// A list may have empty members (RFC 9110, section 5.6.1.2).
			rest = strings.TrimLeft(rest, " \t,")
			if rest == "" {
				break
			}
			var t tag
			if t, rest, ok = nextTag(rest); !ok {
				return nil, false
			}
			rest = strings.TrimLeft(rest, " \t")
			if rest != "" && rest[0] != ',' {
				return nil, false
			}
			tags = append(tags, t)
		}
	}
	return tags, len(tags) > 0
}

// nextTag reads the entity tag that a text begins with, and returns what follows it.
func nextTag(text string) (t tag, rest string, ok bool) {
	rest, t.weak = strings.CutPrefix(text, "W/")
	if rest, ok = strings.CutPrefix(rest, `"`); !ok {
		return tag{}, "", false
	}
	end := strings.IndexByte(rest, '"')
	if end < 0 {
		return tag{}, "", false
	}
	for i := range end {
		if c := rest[i]; c <= ' ' || c == 0x7f {
			return tag{}, "", false
		}
	}
	t.opaque = rest[:end]
	return t, rest[end+1:], true
}

// joinTags returns a list of entity tags as HTTP writes it.
func joinTags(tags []tag) string {
	if len(tags) == 1 {
		return tags[0].String()
	}
	var b strings.Builder
	for i, t := range tags {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(t.String())
	}
	return b.String()
}
