package segmentapi

import "strings"

// FoldEmail returns the form in which e-mail addresses are compared: A to Z in lower
// case, everything else unchanged. Unicode's own folding would merge two people
// into one: it turns the KELVIN SIGN into a k.
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

// trimEmail removes ASCII white space around an address. Any other white space is part
// of the address.
func trimEmail(email string) string { return strings.Trim(email, " \t\r\n") }
