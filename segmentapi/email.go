package segmentapi

import "strings"

// FoldEmail returns the form in which e-mail addresses are compared: A to Z in lower
// case, everything else unchanged. Unicode's own folding would make one person of
// two: it turns the KELVIN SIGN into a k.
func FoldEmail(email string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, email)
}
