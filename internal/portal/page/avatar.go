package page

import (
	"crypto/sha256"
	"strings"
	"unicode"
)

// Initials returns what an avatar shows of a name: the first letters of its first and last word. A
// name without letters and digits gives a question mark.
func Initials(name string) string {
	// Text in brackets is a remark, as in "Alice Example (Admin)". Text after an at sign is the
	// same for all colleagues.
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

// dropInvisible removes format characters, such as joiners and those that change the direction of
// text.
func dropInvisible(r rune) rune {
	if unicode.Is(unicode.Cf, r) {
		return -1
	}
	return r
}

// joins reports whether a letter would join with the next one and so read as a word.
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

// firstLetter returns the first letter or digit of a word in title case, with its marks. It limits
// the marks, because a name may pile up any number of them.
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

// Hue returns the colour of an account's avatar. It is the same on every node and after every
// restart.
func Hue(accountID string) int {
	// Any byte would do. This one gives the accounts of Caddyfile.example different colours.
	return int(sha256.Sum256([]byte(accountID))[3] % Hues)
}
