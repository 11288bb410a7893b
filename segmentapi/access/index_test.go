package access

import (
	"testing"

	"github.com/baton-segment/baton-segment/segmentapi"
)

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

// A role on everything rests on its name, whether or not there is a resource that it is for.
func TestIndex_EverythingRestsOnNames(t *testing.T) {
	t.Parallel()
	ann := Person{Type: TypeUser, ID: "ann"}
	held := map[Ref][]Target{ann.Ref(): {{Type: TypeRole, ID: "r", RoleID: "r", RoleName: "Source Admin"}, {Type: TypeRole, ID: "o", RoleID: "o", RoleName: segmentapi.RoleWorkspaceOwner}}}
	for name, resources := range map[string][]Resource{"no source": nil, "a source": {{Type: TypeSource, ID: "ios"}}} {
		everything := (&Snapshot{People: []Person{ann}, Resources: resources, Held: held}).Index().Overview().Everything
		if len(everything) != 2 || !everything[0].ByName || everything[1].ByName {
			t.Errorf("%s: the paths are %+v", name, everything)
		}
	}
}
