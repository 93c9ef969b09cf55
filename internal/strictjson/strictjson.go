// Package strictjson decodes JSON that somebody else wrote, such as request bodies and the answers
// of identity providers.
//
// encoding/json alone is too lax for that. It replaces bytes that are not UTF-8 and surrogates
// without their other half, which makes two different passwords equal. It keeps the last of two
// members with one name, where another reader of the same body keeps the first. It matches names
// whatever their case, and takes null for anything.
//
// Errors never quote a value, because values can be secrets.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Object is a JSON object: its members in the order of the text, each with a name of its own.
type Object []Member

// Member is a member of an Object. Value is valid JSON.
type Member struct {
	Name  string
	Value json.RawMessage
}

// Get returns the value of a member. Names match exactly.
func (o Object) Get(name string) (value json.RawMessage, ok bool) {
	for _, m := range o {
		if m.Name == name {
			return m.Value, true
		}
	}
	return nil, false
}

// The errors of ParseObject and Decode besides KindError and DuplicateError. ErrNotJSON is wrapped,
// with the place of the mistake.
var (
	ErrNotUTF8       = errors.New("not UTF-8")
	ErrNotJSON       = errors.New("not JSON")
	ErrMore          = errors.New("there is more after the JSON value")
	ErrLoneSurrogate = errors.New("a surrogate without its other half")
)

// KindError reports a JSON value of the wrong kind, in the words of KindOf.
type KindError struct{ Want, Got string }

func (e *KindError) Error() string { return "expected " + e.Want + ", received " + e.Got }

// DuplicateError reports an object that has two members with one name, or with names that differ
// only in case. Name is the later one.
type DuplicateError struct{ Name string }

func (e *DuplicateError) Error() string { return fmt.Sprintf("member %q is there twice", e.Name) }

// ParseObject parses text that is one JSON object, with nothing but white space around it. The
// error is ErrNotUTF8, ErrLoneSurrogate, ErrNotJSON, ErrMore, a *KindError or a *DuplicateError.
//
// Names that differ only in case are duplicates, because many readers ignore case and would take the
// other member (RFC 8259, section 4). A surrogate without its other half is no character, and
// readers replace all of them by the same one (RFC 8259, section 8.2). ParseObject does not look for
// duplicates in the objects inside of values.
func ParseObject(text []byte) (Object, error) {
	if !utf8.Valid(text) {
		return nil, ErrNotUTF8
	}
	if err := checkOne(text); err != nil {
		return nil, err
	}
	if hasLoneSurrogate(text) {
		return nil, ErrLoneSurrogate
	}
	if kind := KindOf(text); kind != "object" {
		return nil, &KindError{Want: "object", Got: kind}
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if _, err := decoder.Token(); err != nil { // the opening brace
		return nil, ErrNotJSON
	}
	object := Object{}
	seen := make(map[string]bool)
	for decoder.More() {
		token, err := decoder.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, ErrNotJSON
		}
		if seen[foldCase(name)] {
			return nil, &DuplicateError{name}
		}
		seen[foldCase(name)] = true
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, ErrNotJSON
		}
		object = append(object, Member{name, value})
	}
	return object, nil
}

// foldCase returns the same text for all names that differ only in case, by the rule of
// encoding/json: Unicode's simple case folding.
func foldCase(name string) string {
	return strings.Map(func(c rune) rune {
		least := c
		for other := unicode.SimpleFold(c); other != c; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, name)
}

// hasLoneSurrogate reports whether a string of valid JSON text has an escaped surrogate that is not
// half of a pair.
func hasLoneSurrogate(text []byte) bool {
	for i := bytes.IndexByte(text, '\\'); i < len(text) && i >= 0; {
		unit, isUnit := codeUnit(text[i:])
		if !isUnit || !utf16.IsSurrogate(unit) {
			i = nextEscape(text, i+2) // at least the escaped character, which may be a backslash
			continue
		}
		low, _ := codeUnit(text[i+6:])
		if utf16.DecodeRune(unit, low) == unicode.ReplacementChar {
			return true
		}
		i = nextEscape(text, i+12)
	}
	return false
}

// nextEscape returns the place of the next backslash, or -1.
func nextEscape(text []byte, from int) int {
	next := bytes.IndexByte(text[from:], '\\')
	if next < 0 {
		return -1
	}
	return from + next
}

// codeUnit returns the UTF-16 code unit that text begins with an escape of, such as \u0061.
func codeUnit(text []byte) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(unit), err == nil
}

// KindOf returns the kind of a valid JSON value: "object", "array", "string", "number", "boolean"
// or "null".
func KindOf(value []byte) string {
	switch bytes.TrimLeft(value, " \t\r\n")[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	default:
		return "number"
	}
}

// Decode decodes text that is one JSON value into a Go value, with nothing but white space around
// it. Numbers in an any become json.Number, so that no digit is lost. null is a *KindError.
//
// Decode is for formats in which the last of two members with one name counts, as in JWT claims
// (RFC 7519, section 4), and in which unknown members are no error.
func Decode(text []byte, into any) error {
	if err := checkOne(text); err != nil {
		return err
	}
	if KindOf(text) == "null" {
		return &KindError{Want: "a value", Got: "null"}
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	err := decoder.Decode(into)
	// The text of these errors can quote what was decoded.
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &mismatch):
		return fmt.Errorf("a value has another type than %s", mismatch.Type)
	case err != nil:
		return errors.New("a value cannot be decoded")
	}
	return nil
}

// checkOne checks that there is one JSON value, and nothing but white space around it.
func checkOne(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	var value json.RawMessage
	if err := decoder.Decode(&value); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return fmt.Errorf("%w at byte %d", ErrNotJSON, syntax.Offset)
		}
		return fmt.Errorf("%w: it ends too early", ErrNotJSON)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return ErrMore
	}
	return nil
}
