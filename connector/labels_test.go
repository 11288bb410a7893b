package connector

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// padToMaxLabelID returns the text that makes an id which begins like this as
// long as it may be.
func padToMaxLabelID(begin string) string { return strings.Repeat("x", access.MaxLabelID-len(begin)) }

// Labels in a profile are sorted, and each is there once.
func TestLabelProfile(t *testing.T) {
	t.Parallel()
	if got := labelProfile([]segmentapi.Label{{Key: "b", Value: "1"}, {Key: "a=", Value: "1"}, {Key: "b", Value: "1"}}); !slices.Equal(got, []any{"a%3D=1", "b=1"}) {
		t.Errorf("the profile has %v", got)
	}
}

// A set of labels is read from its id without a request, because no list has it.
func TestGet_LabelSet(t *testing.T) {
	t.Parallel()
	f := newFixture(t, full())
	f.validate(t)
	got := must(f.get(t.Context(), typeLabel, "env=prod,team=a%2Cb"))(t)
	want := map[string]any{"listed": false, "labels": []any{"env=prod", "team=a%2Cb"}, "workspace_id": workspaceID}
	if diff := cmp.Diff(want, got.GetProfile().AsMap()); diff != "" || got.GetDisplayName() != "env=prod and team=a,b" {
		t.Errorf("%q, profile (-want +got):\n%s", got.GetDisplayName(), diff)
	}
	if requests := f.requestCounts(); len(requests) != 0 {
		t.Errorf("requests: %v", requests)
	}
	// A set in another order, or a single label that is not defined, does not exist.
	for _, id := range []string{"team=a,env=prod", "env=gone", "nonsense", access.LabelID([]segmentapi.Label{{Key: padToMaxLabelID("")}})} {
		if r, err := f.get(t.Context(), typeLabel, id); status.Code(err) != codes.NotFound {
			t.Errorf("%s: %v, %v", id, r, err)
		}
	}
}
