package access

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/baton-segment/baton-segment/segmentapi"
)

func TestLabelIDs(t *testing.T) {
	t.Parallel()
	for want, labels := range map[string][]segmentapi.Label{
		"key=value":              {{Key: "key", Value: "value"}},
		"env=prod,region=eu":     {{Key: "region", Value: "eu"}, {Key: "env", Value: "prod"}},
		"env=dev,env=prod":       {{Key: "env", Value: "prod"}, {Key: "env", Value: "dev"}},
		"env=prod":               {{Key: "env", Value: "prod", Description: "One"}, {Key: "env", Value: "prod", Description: "Two"}},
		"100%25=a%3Db%2Cc%3Ad":   {{Key: "100%", Value: "a=b,c:d"}},
		"a%3Db=c":                {{Key: "a=b", Value: "c"}},
		"a=b%3Dc":                {{Key: "a", Value: "b=c"}},
		"a=%253D":                {{Key: "a", Value: "%3D"}},
		"=":                      {{}},
		"key=" + longest("key="): {{Key: "key", Value: longest("key=")}},
		// One byte longer than the maximum.
		"sha256-b032e3620308e24bc78aa93776de5d702ff925af6879bbd244db5b91118f55cf": {{Key: "key", Value: longest("key=") + "x"}},
	} {
		if got := LabelID(labels); got != want {
			t.Errorf("%v has the id %q, want %q", labels, got, want)
		}
	}
	for _, id := range []string{"", "key", "key:value", "b=1,a=1", "a=1,a=1", "a=1,", "a=%3d", "a=%", "a=b=c", strings.Repeat("a", MaxLabelID) + "=b", LabelID([]segmentapi.Label{{Key: longest("")}})} {
		if labels, ok := ParseLabelID(id); ok {
			t.Errorf("%q is the id of %v", id, labels)
		}
	}
	if got := LabelText([]segmentapi.Label{{Key: "region", Value: "eu"}, {Key: "env", Value: "a,b"}, {Key: "region", Value: "eu"}}); got != "env=a,b and region=eu" {
		t.Errorf("shown as %q", got)
	}
}

// longest fills an id up to its maximum.
func longest(begin string) string { return strings.Repeat("x", MaxLabelID-len(begin)) }

// An id says which labels are in a set and nothing else, however many there
// are and whatever is in them.
func TestLabelIDsAreTheSets(t *testing.T) {
	t.Parallel()
	part := rapid.OneOf(rapid.StringOfN(rapid.RuneFrom([]rune("ab%=,:3DCA25 ")), 0, 4, -1), rapid.StringN(0, 60, -1))
	drawn := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) segmentapi.Label {
		return segmentapi.Label{Key: part.Draw(t, "key"), Value: part.Draw(t, "value"), Description: part.Draw(t, "description")}
	}), 1, 6)
	set := func(labels []segmentapi.Label) []segmentapi.Label {
		in := map[segmentapi.Label]bool{}
		for _, l := range labels {
			in[segmentapi.Label{Key: l.Key, Value: l.Value}] = true
		}
		var out []segmentapi.Label
		for l := range in {
			out = append(out, l)
		}
		return sorted(out)
	}
	rapid.Check(t, func(t *rapid.T) {
		labels, others := drawn.Draw(t, "labels"), drawn.Draw(t, "others")
		id := LabelID(labels)
		if strings.Contains(id, ":") || len(id) > MaxLabelID || id == "" {
			t.Fatalf("the id is %q", id)
		}
		if same := slices.Equal(set(labels), set(others)); same != (id == LabelID(others)) {
			t.Fatalf("%v and %v are the same set: %v; their ids are %q and %q", labels, others, same, id, LabelID(others))
		}
		again := rapid.Permutation(slices.Concat(labels, labels[:1])).Draw(t, "again")
		if LabelID(again) != id {
			t.Fatalf("%v has the id %q, and in another order %q", labels, id, LabelID(again))
		}
		parsed, ok := ParseLabelID(id)
		if ok == strings.HasPrefix(id, "sha256-") {
			t.Fatalf("%q is an id: %v", id, ok)
		}
		if ok {
			if diff := cmp.Diff(set(labels), parsed); diff != "" {
				t.Fatalf("%q parses to something else (-want +got):\n%s", id, diff)
			}
		}
	})
}
