package cookie

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The bounds of RFC 6265bis, section 5.6: a browser ignores a cookie whose name and value are longer than
// the first together, and an attribute whose value is longer than the second.
const (
	maxCookieBytes    = 4096
	maxAttributeBytes = 1024
)

// flags are what else has to be known of a cookie in a slot. Each is a letter, in this order.
type flags uint16

const (
	readable    flags = 1 << iota // r: scripts may read it, so a plain one is or was beside it
	shown                         // u: the plain one that the browser has is this slot's
	guessed                       // g: a script made it, and its path and domain are not known
	leftover                      // k: the plain one was taken from the browser, which did not confirm it yet
	deleted                       // d: it is gone, with the plain one that was there, whoever's that was
	late                          // w: set while another slot was active, so that nobody knows whose the plain one is
	secure                        // s
	partitioned                   // p
	lax                           // l
	strictly                      // t
	cross                         // n: SameSite=None
)

const flagLetters = "rugkdwsplnt"

var flagOrder = [len(flagLetters)]flags{readable, shown, guessed, leftover, deleted, late, secure, partitioned, lax, cross, strictly}

// kept is a cookie in a slot: its value, and what browsers do not send back but want to hear again to
// replace it or take it away. It is the value of the slot's cookie: flags, path, domain and expiry, each
// after an exclamation mark and as far as they are not the usual, a tilde, and the value as it was. Where that
// has quotes around it they are around all: elsewhere in a value there must be none (RFC 6265, section
// 4.1.1), and clients that are not browsers drop such a cookie.
type kept struct {
	flags
	path    string // with a leading slash
	domain  string // empty for a host-only cookie
	expires int64  // seconds since 1970; 0 until the browser closes
	value   string
}

// maxExpiry is past what browsers keep, and within what a date can be written for.
const maxExpiry = 253402300799 // the end of the year 9999

func (k kept) has(f flags) bool { return k.flags&f == f }

// with and without return k with flags set or not.
func (k kept) with(f flags) kept    { k.flags |= f; return k }
func (k kept) without(f flags) kept { k.flags &^= f; return k }

// gone is what is left of a cookie that was taken away together with a plain one of which it is not known whose
// it was.
func (k kept) gone() kept { return kept{flags: k.flags | deleted, path: k.path, domain: k.domain} }

// encode returns the value of the slot's cookie.
func (k kept) encode() string {
	if inner, ok := unquote(k.value); ok {
		return `"` + k.meta() + slotEnd + inner + `"`
	}
	return k.meta() + slotEnd + k.value
}

// unquote takes the quotes off that a value has around it.
func unquote(value string) (inner string, quoted bool) {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return value, false
	}
	return value[1 : len(value)-1], true
}

func (k kept) meta() string {
	var b strings.Builder
	for i, f := range flagOrder {
		if k.has(f) {
			b.WriteByte(flagLetters[i])
		}
	}
	var fields [3]string
	if k.path != "/" {
		fields[0] = escape(k.path)
	}
	fields[1] = escape(k.domain)
	if k.expires != 0 {
		fields[2] = strconv.FormatInt(k.expires, 36)
	}
	last := len(fields)
	for last > 0 && fields[last-1] == "" {
		last--
	}
	for _, field := range fields[:last] {
		b.WriteByte('!')
		b.WriteString(field)
	}
	return b.String()
}

// decode reads the value of a slot's cookie. Exactly one text stands for what it says; any other was not
// written here.
func decode(text string) (kept, bool) {
	text, quoted := unquote(text)
	meta, value, ok := strings.Cut(text, slotEnd)
	if !ok || len(meta) > 4*maxAttributeBytes {
		return kept{}, false
	}
	if quoted {
		value = `"` + value + `"`
	} else if _, twice := unquote(value); twice {
		return kept{}, false
	}
	k := kept{path: "/", value: value}
	letters, rest, _ := strings.Cut(meta, "!")
	for i := range len(letters) {
		at := strings.IndexByte(flagLetters, letters[i])
		if at < 0 {
			return kept{}, false
		}
		k.flags |= flagOrder[at]
	}
	if rest != "" {
		var path, domain, expires string
		path, rest, _ = strings.Cut(rest, "!")
		domain, expires, _ = strings.Cut(rest, "!")
		if path != "" {
			if k.path, ok = unescape(path); !ok || k.path[0] != '/' || len(k.path) > maxAttributeBytes {
				return kept{}, false
			}
		}
		if k.domain, ok = unescape(domain); !ok || !hostLike(k.domain) {
			return kept{}, false
		}
		if expires != "" {
			var err error
			if k.expires, err = strconv.ParseInt(expires, 36, 64); err != nil || k.expires <= 0 || k.expires > maxExpiry {
				return kept{}, false
			}
		}
	}
	return k, k.meta() == meta
}

// hostLike reports whether a text can be written as a Domain.
func hostLike(domain string) bool {
	return len(domain) <= 255 && !strings.ContainsFunc(domain, func(c rune) bool {
		return !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_')
	})
}

const hex = "0123456789ABCDEF"

func plainByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '/' || c == '-' || c == '.' || c == '_'
}

// escape writes a path or a domain in bytes that every server takes within a cookie's value.
func escape(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; plainByte(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// unescape is the reverse of escape. It is false for control characters, which no attribute has.
func unescape(text string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '%' {
			if i+2 >= len(text) {
				return "", false
			}
			hi, lo := strings.IndexByte(hex, text[i+1]), strings.IndexByte(hex, text[i+2])
			if hi < 0 || lo < 0 {
				return "", false
			}
			c = byte(hi<<4 | lo)
			i += 2
		}
		if control(rune(c)) {
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), true
}

// plain returns the Set-Cookie field that gives the browser the cookie under a name.
func (k kept) plain(name string) string { return k.field(name, k.value) }

// slot returns the Set-Cookie field that gives the browser the slot's cookie.
func (k kept) slot(tag, name string) string {
	return k.field(slotName(tag, name), k.encode()) + "; HttpOnly"
}

func (k kept) field(name, value string) string {
	var b strings.Builder
	b.WriteString(name + "=" + value)
	k.place(&b)
	if k.expires != 0 {
		b.WriteString("; Expires=" + time.Unix(k.expires, 0).UTC().Format(http.TimeFormat))
	}
	switch {
	case k.has(lax):
		b.WriteString("; SameSite=Lax")
	case k.has(strictly):
		b.WriteString("; SameSite=Strict")
	case k.has(cross):
		b.WriteString("; SameSite=None")
	}
	return b.String()
}

// clear returns the Set-Cookie field that takes a cookie of this place from the browser.
func (k kept) clear(name string) string {
	var b strings.Builder
	b.WriteString(name + "=; Max-Age=0")
	if prefix, _ := cutPrefix(name); prefix != "" {
		k.flags |= secure
		if len(prefix) > len("__Secure-") || strings.EqualFold(prefix, "__Http-") {
			b.WriteString("; HttpOnly")
		}
	}
	k.place(&b)
	return b.String()
}

// place writes what tells one cookie of a name from another. A path with a semicolon cannot be written:
// such a one is a request's own, and is meant again where it is left out.
func (k kept) place(b *strings.Builder) {
	if !strings.Contains(k.path, ";") {
		b.WriteString("; Path=" + k.path)
	}
	if k.domain != "" {
		b.WriteString("; Domain=" + k.domain)
	}
	if k.has(secure) {
		b.WriteString("; Secure")
	}
	if k.has(partitioned) {
		b.WriteString("; Partitioned")
	}
}

// same reports whether two are one cookie to the browser, their names being the same.
func (k kept) same(other kept) bool { return k.path == other.path && k.domain == other.domain }
