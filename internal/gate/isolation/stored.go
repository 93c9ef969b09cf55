package isolation

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-multi-session/gateway/internal/cookie"
)

// The bounds of RFC 6265bis, section 5.6: a browser ignores a cookie whose name and value are
// longer than the first together, and an attribute whose value is longer than the second.
const (
	maxCookieBytes    = 4096
	maxAttributeBytes = 1024
)

// flags say more about a cookie in a slot. Each is written as a letter, in this order.
type flags uint16

const (
	readable    flags = 1 << iota // r: scripts may read it
	copied                        // u: the answer that set it also set the copy
	guessed                       // g: a script made it; only for Options.Scripted
	leftover                      // k: only earlier releases write it
	deleted                       // d: it is gone; only earlier releases write it
	late                          // w: only earlier releases write it
	secureFlag                    // s
	partitioned                   // p
	lax                           // l
	strict                        // t
	none                          // n: SameSite=None
)

const flagLetters = "rugkdwsplnt"

var flagOrder = [len(flagLetters)]flags{readable, copied, guessed, leftover, deleted, late, secureFlag, partitioned, lax, none, strict}

// stored is a cookie in a slot: its value, and the attributes that browsers do not send back but
// that the gateway needs to replace or clear it. The value of the slot's cookie is this text: the
// flags; path, domain, expiry and the fingerprint of the value before, each after an exclamation
// mark, empty or left out at the end if it is the default; a tilde; and the value as the app wrote
// it. Quotes around a value are put around the whole text, because clients that are no browsers
// drop cookies that have quotes elsewhere (RFC 6265, section 4.1.1).
type stored struct {
	flags
	path    string // with a leading slash
	domain  string // empty for a host-only cookie
	expires int64  // seconds since 1970; 0 if the browser drops it when it closes
	before  string // the fingerprint of the value that this one replaced; empty for none
	value   string
}

// maxExpiry is later than browsers keep any cookie, and can still be written as a date.
const maxExpiry = 253402300799 // the end of the year 9999

func (k stored) has(f flags) bool { return k.flags&f == f }

// valueMark separates the attributes of a cookie from its value.
const valueMark = '~'

// encode returns the value of the slot's cookie.
func (k stored) encode() string {
	text := make([]byte, 0, len(k.value)+len(k.path)+len(k.domain)+32)
	inner, quoted := unquote(k.value)
	if quoted {
		text = append(text, '"')
	}
	text = k.appendMeta(text)
	text = append(text, valueMark)
	text = append(text, inner...)
	if quoted {
		text = append(text, '"')
	}
	return string(text)
}

// unquote removes the quotes around a value.
func unquote(value string) (inner string, quoted bool) {
	if len(value) < 2 || value[0] != '"' || value[len(value)-1] != '"' {
		return value, false
	}
	return value[1 : len(value)-1], true
}

// appendMeta appends all but the value.
func (k stored) appendMeta(text []byte) []byte {
	for i, f := range flagOrder {
		if k.has(f) {
			text = append(text, flagLetters[i])
		}
	}
	end := len(text) // without the defaults at the end
	text = append(text, '!')
	if k.path != "/" {
		text = appendEscaped(text, k.path)
		end = len(text)
	}
	text = append(text, '!')
	if k.domain != "" {
		text = appendEscaped(text, k.domain)
		end = len(text)
	}
	text = append(text, '!')
	if k.expires != 0 {
		text = strconv.AppendInt(text, k.expires, 36)
		end = len(text)
	}
	if k.before != "" {
		text = append(append(text, '!'), k.before...)
		end = len(text)
	}
	return text[:end]
}

// decode reads the value of a slot's cookie into the zero stored. Only one text stands for each
// cookie. Decode is false for any other, because encode did not write it.
func (k *stored) decode(text string) bool {
	text, quoted := unquote(text)
	end := strings.IndexByte(text, valueMark)
	if end < 0 || end > 4*maxAttributeBytes {
		return false
	}
	meta := text[:end]
	k.value = text[end+1:]
	if _, twice := unquote(k.value); twice && !quoted {
		return false
	}
	if quoted {
		k.value = `"` + k.value + `"`
	}
	k.path = "/"
	for i, next := 0, 0; i < len(meta); i++ {
		if meta[i] == '!' {
			return k.decodeFields(meta[i+1:])
		}
		at := strings.IndexByte(flagLetters, meta[i])
		if at < next {
			return false
		}
		k.flags |= flagOrder[at]
		next = at + 1
	}
	return true
}

// decodeFields reads what follows the flags. The last field is not empty, because defaults at the
// end are left out.
func (k *stored) decodeFields(text string) bool {
	path, rest, more := cutField(text)
	domain, expires, before := "", "", ""
	if more {
		domain, rest, more = cutField(rest)
	}
	if more {
		expires, rest, more = cutField(rest)
	}
	if more {
		before = rest
	}
	return text != "" && text[len(text)-1] != '!' &&
		(path == "" || k.decodePath(path)) &&
		(domain == "" || k.decodeDomain(domain)) &&
		(expires == "" || k.decodeExpiry(expires)) &&
		(before == "" || k.decodeBefore(before))
}

// cutField splits a field off. Most are empty or short, so it does not search by words.
func cutField(text string) (field, rest string, more bool) {
	for i := range len(text) {
		if text[i] == '!' {
			return text[:i], text[i+1:], true
		}
	}
	return text, "", false
}

func (k *stored) decodePath(text string) (ok bool) {
	if k.path, ok = unescape(text); !ok || k.path == "/" || k.path[0] != '/' || len(k.path) > maxAttributeBytes {
		return false
	}
	return isPlain(text) || string(appendEscaped(nil, k.path)) == text
}

func (k *stored) decodeDomain(text string) bool {
	k.domain = text // whose characters are never escaped
	return hostLike(text)
}

func (k *stored) decodeExpiry(text string) bool {
	const longest = 8 // of maxExpiry
	if text[0] == '0' || len(text) > longest {
		return false
	}
	for i := range len(text) {
		switch c := text[i]; {
		case '0' <= c && c <= '9':
			k.expires = 36*k.expires + int64(c-'0')
		case 'a' <= c && c <= 'z':
			k.expires = 36*k.expires + int64(c-'a'+10)
		default:
			return false
		}
	}
	return k.expires <= maxExpiry
}

func (k *stored) decodeBefore(text string) bool {
	k.before = text
	return len(text) == fingerprintLength && cookie.Alphabetic(text)
}

// hostLike reports whether a text can be written as a Domain.
func hostLike(domain string) bool {
	return domain == "" || len(domain) <= 255 && !strings.ContainsFunc(domain, func(c rune) bool {
		return !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_')
	})
}

// writable reports whether a name can be written back into a header.
func writable(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c == ';' || c == '=' || c >= 0x7f })
}

const hex = "0123456789ABCDEF"

func plainByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '/' || c == '-' || c == '.' || c == '_'
}

func isPlain(text string) bool {
	for i := range len(text) {
		if !plainByte(text[i]) {
			return false
		}
	}
	return true
}

// appendEscaped appends a path or a domain in bytes that every server takes within a cookie's
// value.
func appendEscaped(text []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; plainByte(c) {
			text = append(text, c)
		} else {
			text = append(text, '%', hex[c>>4], hex[c&15])
		}
	}
	return text
}

// unescape is the reverse of appendEscaped. It is false for control characters, which no attribute
// has.
func unescape(text string) (string, bool) {
	if isPlain(text) {
		return text, true
	}
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
		if cookie.Control(rune(c)) {
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), true
}

// plainField returns the Set-Cookie field of a plain cookie, such as a copy.
func (k stored) plainField(name string) string { return k.field(name, k.value) }

// slotField returns the Set-Cookie field of the slot's cookie, whose name is that of Spec.SlotName.
func (k stored) slotField(name string) string {
	return k.field(name, k.encode()) + "; HttpOnly"
}

func (k stored) field(name, value string) string {
	var b strings.Builder
	b.WriteString(name + "=" + value)
	k.writePlace(&b)
	if k.expires != 0 {
		b.WriteString("; Expires=" + time.Unix(k.expires, 0).UTC().Format(http.TimeFormat))
	}
	switch {
	case k.has(lax):
		b.WriteString("; SameSite=Lax")
	case k.has(strict):
		b.WriteString("; SameSite=Strict")
	case k.has(none):
		b.WriteString("; SameSite=None")
	}
	return b.String()
}

// clear returns the Set-Cookie field that clears a cookie of this place.
func (k stored) clear(name string) string {
	var b strings.Builder
	b.WriteString(name + "=; Max-Age=0")
	if prefix, _ := cookie.CutPrefix(name); prefix != "" {
		k.flags |= secureFlag
		if needsHTTPOnly(prefix) {
			b.WriteString("; HttpOnly")
		}
	}
	k.writePlace(&b)
	if k.has(none) {
		b.WriteString("; SameSite=None") // else browsers ignore the field in answers to requests of other sites
	}
	return b.String()
}

// writePlace writes the attributes that tell cookies of one name apart. A path with a semicolon
// cannot be written. Only the default path can have one, so it is left out.
func (k stored) writePlace(b *strings.Builder) {
	if !strings.Contains(k.path, ";") {
		b.WriteString("; Path=" + k.path)
	}
	if k.domain != "" {
		b.WriteString("; Domain=" + k.domain)
	}
	if k.has(secureFlag) {
		b.WriteString("; Secure")
	}
	if k.has(partitioned) {
		b.WriteString("; Partitioned")
	}
}

// same reports whether two cookies of one name are the same cookie to the browser.
func (k stored) same(other stored) bool {
	return k.path == other.path && k.domain == other.domain && k.has(partitioned) == other.has(partitioned)
}
