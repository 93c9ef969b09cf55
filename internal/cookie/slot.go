package cookie

import "strings"

// Anonymous is the tag of nobody's slot. It is no secret: cookies in that slot are as safe as those
// of an app without a gateway.
const Anonymous = "0"

// UnknownOrigin is the tag that earlier releases gave cookies of unknown origin. No slot has it.
const UnknownOrigin = "x"

// The name of a slot's cookie is a mark, the slot's tag and the upstream's name. A prefix that
// browsers heed stays in front. The mark is short, because every cookie of an app has it.
const (
	slotMark = "ms~"
	slotEnd  = '~'
)

// prefixes are beginnings of names that have a meaning to browsers, in upper or lower case (RFC
// 6265bis, section 4.1.3). Of two that begin alike, the longer one comes first.
var prefixes = [...]string{"__Host-Http-", "__Host-", "__Secure-", "__Http-"}

// CutPrefix splits a name after the prefix that browsers heed. The prefix is empty if there is
// none.
func CutPrefix(name string) (prefix, rest string) {
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

// SlotName returns the name that an upstream's cookie has in a slot.
func SlotName(tag, name string) string {
	prefix, rest := CutPrefix(name)
	return prefix + slotMark + tag + string(slotEnd) + rest
}

// Slotted reports whether a name is that of a slot's cookie, or looks like one.
func Slotted(name string) bool {
	_, rest := CutPrefix(name)
	return len(rest) >= len(slotMark) && strings.EqualFold(rest[:len(slotMark)], slotMark)
}

// ParseSlotName is the reverse of SlotName. It is false for names that SlotName does not make.
func ParseSlotName(slot string) (tag, name string, ok bool) { return parseSlotName(slot, "") }

func parseSlotName(slot, label string) (tag, name string, ok bool) {
	prefix, rest := CutPrefix(slot)
	if rest, ok = strings.CutPrefix(rest, slotMark); ok {
		rest, ok = strings.CutPrefix(rest, label)
	}
	if !ok {
		return "", "", false
	}
	end := tagLength
	if len(rest) > 1 && rest[1] == slotEnd {
		end = 1 // Anonymous or UnknownOrigin
	}
	if len(rest) <= end || rest[end] != slotEnd || !validTag(rest[:end]) || hasControl(rest[end+1:]) {
		return "", "", false
	}
	tag, name = rest[:end], rest[end+1:]
	if prefix != "" {
		name = prefix + name
	}
	if again, _ := CutPrefix(name); len(again) != len(prefix) {
		return "", "", false
	}
	return tag, name, true
}

func hasControl(text string) bool {
	for i := range len(text) {
		if Control(rune(text[i])) {
			return true
		}
	}
	return false
}

// tagLength is how long the tag of an account's slot is: 128 bits as base64url.
const tagLength = 22

func validTag(tag string) bool {
	return tag == Anonymous || tag == UnknownOrigin || len(tag) == tagLength && Alphabetic(tag)
}

// Alphabetic reports whether a text has base64url characters only.
func Alphabetic(text string) bool {
	for i := range len(text) {
		if !alphabet[text[i]] {
			return false
		}
	}
	return true
}

// alphabet is the base64url alphabet. Random text makes comparisons with the ends of ranges slow.
var alphabet = func() (set [256]bool) {
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		set[c] = true
	}
	return set
}()
