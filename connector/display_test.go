package connector

import (
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// Clipped text is valid UTF-8, no longer than the limit and as long as that
// allows.
func TestClip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "text")
		limit := rapid.IntRange(0, 40).Draw(t, "limit")
		out := clip(in, limit)
		if len(out) > limit || !utf8.ValidString(out) {
			t.Fatalf("clip(%q, %d) = %q", in, limit, out)
		}
		if utf8.ValidString(in) && len(in) <= limit && out != in {
			t.Fatalf("clip changed %q to %q", in, out)
		}
		if utf8.ValidString(in) && len(in) > limit && limit-len(out) >= utf8.UTFMax {
			t.Fatalf("clip(%q, %d) = %q is shorter than it must be", in, limit, out)
		}
	})
}
