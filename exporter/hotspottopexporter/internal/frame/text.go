package frame

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The longest text that is kept, in bytes.
const maxText = 1024

// Printable returns text that a terminal takes for nothing but text. Processes
// choose their names: control characters, what turns the direction of writing,
// what has no width and bytes that are no UTF-8 become the replacement character.
func Printable(s string) string {
	clean := true
	for i := 0; i < len(s) && clean; i++ {
		clean = ' ' <= s[i] && s[i] <= '~'
	}
	if clean && len(s) <= maxText {
		return s
	}
	var b strings.Builder
	for len(s) > 0 && b.Len() < maxText {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) || unicode.Is(unicode.M, r) {
			r = utf8.RuneError
		}
		b.WriteRune(r)
		s = s[size:]
	}
	return b.String()
}
