package segmentapi_test

import (
	"testing"

	"github.com/baton-segment/baton-segment/segmentapi"
)

func TestFoldEmail(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Ann@Example.COM":  "ann@example.com",
		"\u212Aate@a.com":  "\u212Aate@a.com",
		"\u0130an@a.com":   "\u0130an@a.com",
		"ann@a.com\u00A0":  "ann@a.com\u00A0",
		"ÄNN@a.com":        "Änn@a.com",
		"broken\xff@A.com": "broken\uFFFD@a.com",
	} {
		if got := segmentapi.FoldEmail(in); got != want {
			t.Errorf("FoldEmail(%q) = %q, want %q", in, got, want)
		}
	}
}
