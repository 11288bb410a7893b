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

// foldName returns the form in which the names of roles and groups are compared.
func foldName(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// trimEmail removes the white space of ASCII around an address. Any other is a part of
// it, and so makes it another address.
func trimEmail(email string) string { return strings.Trim(email, " \t\r\n") }
