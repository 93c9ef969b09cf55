package cookie

import "strings"

// Anonymous is the tag of the slot of requests that are made as nobody. It is no secret: what is in that
// slot is as safe as cookies of an app without a gateway are.
const Anonymous = "0"

// nobody is the tag of what is of unknown origin, which is no account's and not Anonymous's either.
const nobody = "x"

// The names of a slot's cookies are those that the upstream gave them, with a mark and the slot's tag in
// front. A prefix that browsers heed stays in front of all. The mark is short, for every cookie has it.
const (
	slotMark = "ms~"
	slotEnd  = "~"
)

// prefixes are the beginnings of names that browsers tie to conditions, in any case of their letters
// (RFC 6265bis, section 4.1.3). The longer of two comes first.
var prefixes = [...]string{"__Host-Http-", "__Host-", "__Secure-", "__Http-"}

// cutPrefix takes the prefix off that browsers heed.
func cutPrefix(name string) (prefix, rest string) {
	if !strings.HasPrefix(name, "__") {
		return "", name
	}
	for _, p := range prefixes {
		if len(name) >= len(p) && strings.EqualFold(name[:len(p)], p) {
			return name[:len(p)], name[len(p):]
		}
	}
	return "", name
}

// slotName is what an upstream's cookie is called in a slot.
func slotName(tag, name string) string {
	prefix, rest := cutPrefix(name)
	return prefix + slotMark + tag + slotEnd + rest
}

// slotted reports whether a name is one of a slot's cookies, or looks so.
func slotted(name string) bool {
	_, rest := cutPrefix(name)
	return len(rest) >= len(slotMark) && strings.EqualFold(rest[:len(slotMark)], slotMark)
}

// parseSlotName is the reverse of slotName. It is false for names that slotName does not make.
func parseSlotName(slot string) (tag, name string, ok bool) {
	prefix, rest := cutPrefix(slot)
	rest, ok = strings.CutPrefix(rest, slotMark)
	if !ok {
		return "", "", false
	}
	tag, rest, ok = strings.Cut(rest, slotEnd)
	if !ok || !validTag(tag) {
		return "", "", false
	}
	name = prefix + rest
	if again, _ := cutPrefix(name); len(again) != len(prefix) || strings.ContainsFunc(rest, control) {
		return "", "", false
	}
	return tag, name, true
}

// tagLength is how long the tag of an account's slot is: 128 bits as base64url.
const tagLength = 22

func validTag(tag string) bool {
	return tag == Anonymous || tag == nobody || len(tag) == tagLength && alphabetic(tag)
}

// alphabetic reports whether a text is of the base64url alphabet.
func alphabetic(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_')
	})
}
