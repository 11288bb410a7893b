package connector

import (
	"slices"
	"strings"
	"testing"

	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// longest fills the id of a label up to its maximum.
func longest(begin string) string { return strings.Repeat("x", access.MaxLabelID-len(begin)) }

func TestLabelProfile(t *testing.T) {
	t.Parallel()
	if got := labelProfile([]segmentapi.Label{{Key: "b", Value: "1"}, {Key: "a=", Value: "1"}, {Key: "b", Value: "1"}}); !slices.Equal(got, []any{"a%3D=1", "b=1"}) {
		t.Errorf("the profile has %v", got)
	}
}
