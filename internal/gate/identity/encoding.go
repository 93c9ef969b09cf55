package identity

import (
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Encoding is how header fields carry text beyond printable ASCII. The zero Encoding sends UTF-8 as
// it is, which HTTP allows and many servers read as Latin-1 (RFC 9110, section 5.5). An app has to
// decode any other.
type Encoding struct {
	name  string
	apply func(string) string // nil: the text stays as it is
}

// encodings are all of them, in the order in which errors name them.
var encodings = []Encoding{
	{"utf-8", nil},
	{"rfc2047", encodeWords},
	{"percent", func(text string) string { return escape(text, '%') }},
	{"quoted-printable", func(text string) string { return escape(text, '=') }},
}

// ParseEncoding returns the encoding of a name: utf-8, rfc2047 (encoded words), percent (RFC 3986,
// section 2.1) or quoted-printable (RFC 2045, section 6.7, on one line). It returns an error for any
// other name.
func ParseEncoding(name string) (Encoding, error) {
	for _, e := range encodings {
		if e.name == name {
			return e, nil
		}
	}
	return Encoding{}, fmt.Errorf("header encoding %q: must be one of utf-8, rfc2047, percent, quoted-printable", name)
}

// encode returns the text as a field carries it. A text with control characters, which no field
// carries as it is, has no encoded form either: the app would read it.
func (e Encoding) encode(text string) string {
	switch {
	case e.apply == nil:
		return text
	case !httpguts.ValidHeaderFieldValue(text):
		return ""
	}
	return e.apply(text)
}

// escape writes every byte that is not printable ASCII, and the mark itself, as the mark and two
// digits. So each text has one form, and the app reads back what was meant.
func escape(text string, mark byte) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; printable(c) && c != mark {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%c%02X", mark, c)
		}
	}
	return b.String()
}

func printable(c byte) bool { return ' ' <= c && c <= '~' }

// maxWordBytes is how much text an encoded word holds in base64, within the 75 characters that it may
// have (RFC 2047, section 2).
const maxWordBytes = 45

// encodeWords writes a text as encoded words (RFC 2047, section 2), each of whole characters. A text
// of printable ASCII stays as it is, unless an app could take some of it for an encoded word.
func encodeWords(text string) string {
	plain := !strings.Contains(text, "=?")
	for i := range len(text) {
		plain = plain && printable(text[i])
	}
	if plain {
		return text
	}
	var words []string
	start := 0
	flush := func(end int) {
		words = append(words, "=?UTF-8?B?"+base64.StdEncoding.EncodeToString([]byte(text[start:end]))+"?=")
		start = end
	}
	for at, c := range text {
		if at+len(string(c)) > start+maxWordBytes {
			flush(at)
		}
	}
	flush(len(text))
	return strings.Join(words, " ")
}
