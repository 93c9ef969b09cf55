package user

import (
	"strings"
	"unicode"

	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

// Fold makes equal what differs in case. It is of ASCII alone, as names and addresses are:
// Unicode's would let the Kelvin sign stand for a k.
func Fold(s string) string {
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}, s)
}

// FoldName makes equal the user names of any login that people and upstreams take for one name, by
// the rules of the profile UsernameCaseMapped (RFC 8265, section 3.3): case, wide and composed
// letters do not tell two names apart.
//
// Providers also let people choose names that the profile has no place for, such as names with
// spaces. Of these, what cannot be seen is dropped first: "dave" with a zero width space at its end
// looks like dave, so it is dave.
//
// Letters of two scripts that look alike stay two letters, as in the profile.
func FoldName(name string) string {
	if isASCII(name) {
		return Fold(name)
	}
	if folded, err := precis.UsernameCaseMapped.CompareKey(name); err == nil {
		return folded
	}
	visible := strings.Map(func(c rune) rune {
		if isInvisible(c) {
			return -1
		}
		return c
	}, norm.NFKC.String(name))
	visible = strings.Join(strings.Fields(visible), " ") // pages show one space for any number
	if folded, err := precis.UsernameCaseMapped.CompareKey(visible); err == nil {
		return folded
	}
	return strings.ToLower(visible)
}

// foldNameByCase is what FoldName did in releases that told names with invisible characters apart.
// Accounts that had such a name then keep it.
func foldNameByCase(name string) string { return strings.ToLower(norm.NFKC.String(name)) }

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// isInvisible reports whether a character is shown as nothing (the property
// Default_Ignorable_Code_Point of the Unicode Character Database, and other format characters).
func isInvisible(c rune) bool {
	return unicode.In(c, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
