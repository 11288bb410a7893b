package graph

import (
	"strings"
	"unicode"

	"github.com/mattn/go-runewidth"
)

// maxMarks is how many characters without a width may follow each other. More accents on
// one letter would cover the texts above and below.
const maxMarks = 3

// clean returns a text for one line of XML. Characters that change the direction of
// writing and control characters become spaces, as in the tables of segment-iam, and other
// invisible ones are left out, except for the joiners that scripts and emoji need.
func clean(s string) string {
	marks := 0
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), unicode.IsSpace(r), unicode.Is(unicode.Bidi_Control, r):
			r = ' '
		case r&0xfffe == 0xfffe: // Of these, XML refuses two.
			r = unicode.ReplacementChar
		case unicode.Is(unicode.Cf, r) && !unicode.Is(unicode.Join_Control, r):
			return -1
		}
		if runeWidth(r) > 0 {
			marks = 0
			return r
		}
		if marks++; marks > maxMarks {
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// shown returns the first name that has visible characters.
func shown(names ...string) string {
	for _, name := range names {
		if name = clean(name); name != "" {
			return name
		}
	}
	return "(no name)"
}

const ellipsis = "…"

// cut shortens a text of a size in pixels to a width.
func cut(s string, size int, width float64) string {
	if textWidth(s, size) <= width {
		return s
	}
	width -= textWidth(ellipsis, size)
	for i, r := range s {
		if width -= runeWidth(r) * float64(size); width < 0 {
			return strings.TrimRightFunc(s[:i], func(r rune) bool { return r == ' ' || unicode.Is(unicode.Join_Control, r) }) + ellipsis
		}
	}
	return s
}

func textWidth(s string, size int) float64 {
	width := 0.0
	for _, r := range s {
		width += runeWidth(r)
	}
	return width * float64(size)
}

// widths are those of ASCII characters in units of the size of the text, in DejaVu Sans,
// which is wider than most fonts. Characters that are not here have averageWidth.
var widths = []struct {
	characters string
	width      float64
}{
	{"'ijlIJ ,.", 0.32},
	{"/:;\\|f-()[]t!`r", 0.41},
	{"\"*_sz?c", 0.55},
	{"ABCHKNRUVXZ", 0.75},
	{"DGOQ&Mw#+<=>^~", 0.85},
	{"%mW@" + ellipsis, 1},
}

const averageWidth = 0.64

// runeWidth estimates the width of a character in units of the size of the text.
func runeWidth(r rune) float64 {
	var c runewidth.Condition // The default depends on the environment.
	switch c.RuneWidth(r) {
	case 0:
		return 0
	case 2:
		return 1.05
	}
	for _, w := range widths {
		if strings.ContainsRune(w.characters, r) {
			return w.width
		}
	}
	switch {
	case r <= unicode.MaxASCII:
		return averageWidth
	case unicode.IsLower(r):
		return 0.7
	}
	return 0.8
}

// isSurelyNarrow reports whether the estimates of the characters' widths are good. Fonts
// have characters that are ten times as wide as others.
func isSurelyNarrow(s string) bool {
	var c runewidth.Condition
	for _, r := range s {
		if c.RuneWidth(r) == 1 && r > unicode.MaxASCII && string(r) != ellipsis && !unicode.In(r, unicode.Latin) {
			return false
		}
	}
	return true
}
