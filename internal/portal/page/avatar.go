package page

import (
	"crypto/sha256"
	"strings"
	"unicode"
)

// Initials is what an avatar shows of a name: the first letters of its first and last word. A
// name without letters and digits gives a question mark.
func Initials(name string) string {
	// What follows in brackets is a remark, as in "Alice Example (Admin)"; what follows an at sign
	// is the same for all colleagues.
	if i := strings.IndexAny(name, "@(["); i > 0 {
		name = name[:i]
	}
	words := strings.FieldsFunc(strings.Map(dropInvisible, name), separates)
	var initials []string
	for _, word := range words {
		if initial := firstLetter(word); initial != "" {
			initials = append(initials, initial)
		}
	}
	switch n := len(initials); {
	case n == 0:
		return "?"
	case n == 1 || joins(initials[0]):
		return initials[0]
	default:
		return initials[0] + initials[n-1]
	}
}

// dropInvisible removes format characters, such as joiners within a word and those that turn the
// direction of text around.
func dropInvisible(r rune) rune {
	if unicode.Is(unicode.Cf, r) {
		return -1
	}
	return r
}

// joins is true of letters that would join with the next one, and so read as a word.
func joins(letter string) bool {
	return strings.ContainsFunc(letter, func(r rune) bool { return unicode.In(r, unicode.Arabic, unicode.Syriac) })
}

func separates(r rune) bool {
	switch {
	case unicode.IsLetter(r), unicode.IsNumber(r), unicode.IsMark(r):
		return false
	}
	return r != '\'' && r != '’' // O'Brien is one word
}

// firstLetter is the first letter or digit of a word in its title-case form, with the marks that
// belong to it. Marks are limited, since a name may pile up any number of them.
func firstLetter(word string) string {
	const maxMarks = 2
	var letter strings.Builder
	marks := 0
	for _, r := range word {
		switch {
		case letter.Len() == 0:
			if unicode.IsLetter(r) || unicode.IsNumber(r) {
				letter.WriteRune(unicode.ToTitle(r))
			}
		case unicode.IsMark(r) && marks < maxMarks:
			letter.WriteRune(r)
			marks++
		default:
			return letter.String()
		}
	}
	return letter.String()
}

// Hue is an account's avatar colour: the same for the same account, on every node and after every
// restart.
func Hue(accountID string) int {
	// Any byte would do. With this one the accounts of Caddyfile.example differ.
	return int(sha256.Sum256([]byte(accountID))[3] % Hues)
}
