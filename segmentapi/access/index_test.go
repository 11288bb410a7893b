package access

import "testing"

// Answers without paths are empty lists in JSON, not null.
func TestIndex_NoPathsAreNotNil(t *testing.T) {
	t.Parallel()
	ann := Person{Type: TypeUser, ID: "ann"}
	x := (&Snapshot{People: []Person{ann}, Groups: []Group{{ID: "empty"}}}).Index()
	_, what := x.What(ann.Ref())
	_, unknown := x.What(Ref{TypeUser, "bob"})
	for name, paths := range map[string][]Path{
		"What": what, "What of nobody": unknown, "Who": x.Who(Thing{Type: TypeSource, ID: "ios"}), "Who is in a group": x.Who(Thing{Type: TypeGroup, ID: "empty"}),
		"Owners": x.Owners(), "GroupHolds": x.GroupHolds("empty"), "GroupHolds of none": x.GroupHolds("none"),
	} {
		if paths == nil || len(paths) > 0 {
			t.Errorf("%s returns %#v", name, paths)
		}
	}
}
