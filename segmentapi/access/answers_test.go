package access

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Paths of several workspaces are sorted by the name of the workspace, then its id, and
// only then by person.
func TestSortedPaths_Workspaces(t *testing.T) {
	t.Parallel()
	path := func(id, name, person string) Path {
		return Path{Workspace: &Thing{Type: TypeWorkspace, ID: id, Name: name}, Person: Person{Type: TypeUser, ID: person}}
	}
	want := []Path{path("3", "App", "zoe"), path("1", "Shop", "ann"), path("1", "Shop", "bob"), path("2", "Shop", "ann")}
	got := sortedPaths([]Path{want[3], want[1], want[2], want[0], want[3]})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}
