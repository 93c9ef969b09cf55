package cache

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// tag is an entity tag (RFC 9110, section 8.8.3).
type tag struct {
	weak   bool
	opaque string // without the quotes
}

// A tag of a view is the mark, the view, and what it stands for: the tag of the upstream, or a date in
// seconds since 1970.
const (
	tagMark = "ms~"
	tagEnd  = "~"
	ofTag   = 'e'
	ofDate  = 'd'
)

// whose says whether a tag is of the view that it came under.
type whose int

const (
	nobodys whose = iota // as an upstream writes them
	mine
	others
)

func (e Exchange) sealTag(t tag) tag {
	t.opaque = tagMark + e.view + tagEnd + string(ofTag) + t.opaque
	return t
}

// sealDate is weak, as dates are: what was written twice in a second has the same.
func (e Exchange) sealDate(at time.Time) tag {
	return tag{weak: true, opaque: tagMark + e.view + tagEnd + string(ofDate) + strconv.FormatInt(at.Unix(), 36)}
}

// open returns what a tag of the view stands for: the upstream's tag, or a date as HTTP writes it.
func (e Exchange) open(t tag) (own tag, date string, of whose) {
	rest, ok := strings.CutPrefix(t.opaque, tagMark)
	if !ok {
		return tag{}, "", nobodys
	}
	rest, ok = strings.CutPrefix(rest, e.view+tagEnd)
	if !ok || rest == "" {
		return tag{}, "", others
	}
	switch rest[0] {
	case ofTag:
		return tag{t.weak, rest[1:]}, "", mine
	case ofDate:
		seconds, err := strconv.ParseInt(rest[1:], 36, 64)
		if err != nil || seconds <= 0 || seconds > maxDate {
			return tag{}, "", others
		}
		return tag{}, time.Unix(seconds, 0).UTC().Format(http.TimeFormat), mine
	}
	return tag{}, "", others
}

// maxDate is the end of the year 9999, the last that HTTP can write.
const maxDate = 253402300799

// parseTags reads a list of entity tags. It is false for what is none, "*" too.
func parseTags(lines []string) (tags []tag, ok bool) {
	for _, rest := range lines {
		for {
			rest = strings.TrimLeft(rest, " \t,") // a list may have empty members (RFC 9110, section 5.6.1.2)
			if rest == "" {
				break
			}
			var t tag
			rest, t.weak = strings.CutPrefix(rest, "W/")
			rest, ok = strings.CutPrefix(rest, `"`)
			end := strings.IndexByte(rest, '"')
			if !ok || end < 0 || strings.ContainsFunc(rest[:end], notInTag) {
				return nil, false
			}
			t.opaque, rest = rest[:end], strings.TrimLeft(rest[end+1:], " \t")
			if rest != "" && rest[0] != ',' {
				return nil, false
			}
			tags = append(tags, t)
		}
	}
	return tags, len(tags) > 0
}

func notInTag(c rune) bool { return c <= ' ' || c == 0x7f }

func joinTags(tags []tag) string {
	var b strings.Builder
	for i, t := range tags {
		if i > 0 {
			b.WriteString(", ")
		}
		if t.weak {
			b.WriteString("W/")
		}
		b.WriteString(`"` + t.opaque + `"`)
	}
	return b.String()
}
