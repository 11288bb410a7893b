package access

import (
	"maps"
	"strings"
	"testing"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// An id of labels says which they are, as a set and exactly.
func FuzzLabelID(f *testing.F) {
	for _, id := range []string{
		"", "=", "a=b", "a=b,c=d", "c=d,a=b", "a=b,a=b", "a=b,", ",", "a", "a=b=c", "a=%3D", "a=%3d", "a=%", "a=%25", "a=%2", "%2C=%3A", "sha256-" + strings.Repeat("0", 64),
		strings.Repeat("a", 511) + "=", strings.Repeat("a", 512) + "=", "\xff=\xfe", "a:b=c",
	} {
		f.Add("a", "b", "c", "d", "a=b", "%3D", id)
	}
	f.Add("a", "b,c=d", "a,b", "c", "", "", "")
	f.Add("%", "%25", "%25", "%", "=", ",", "")
	f.Add(strings.Repeat("a", 300), "", strings.Repeat("=", 200), "", "", "", "")
	f.Fuzz(func(t *testing.T, k1, v1, k2, v2, k3, v3, id string) {
		one, two, three := segmentapi.Label{Key: k1, Value: v1}, segmentapi.Label{Key: k2, Value: v2}, segmentapi.Label{Key: k3, Value: v3}
		set := func(labels []segmentapi.Label) map[[2]string]bool {
			in := map[[2]string]bool{}
			for _, l := range labels {
				in[[2]string{l.Key, l.Value}] = true
			}
			return in
		}
		all := [][]segmentapi.Label{{one}, {two}, {three}, {one, two}, {two, three}, {three, one}, {one, two, three}, {three, two, one, two}}
		ids := make([]string, len(all))
		for i, labels := range all {
			ids[i] = LabelID(labels)
		}
		for i, labels := range all {
			made := ids[i]
			if made == "" || len(made) > 512 || strings.Contains(made, ":") {
				t.Errorf("%v has the id %q", labels, made)
			}
			for j, others := range all {
				if same := maps.Equal(set(labels), set(others)); same != (ids[j] == made) {
					t.Errorf("%v and %v are the same: %v; their ids are %q and %q", labels, others, same, made, ids[j])
				}
			}
			parsed, ok := ParseLabelID(made)
			if ok == strings.HasPrefix(made, "sha256-") || ok && !maps.Equal(set(parsed), set(labels)) {
				t.Errorf("%v has the id %q, which is %v of %v", labels, made, ok, parsed)
			}
		}
		parsed, ok := ParseLabelID(id)
		if !ok {
			return
		}
		if len(parsed) != strings.Count(id, ",")+1 || len(set(parsed)) != len(parsed) || len(id) > 512 || strings.Contains(id, ":") {
			t.Errorf("%q is the id of %v", id, parsed)
		}
	})
}
