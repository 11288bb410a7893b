package connector

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// An id that has a checksum in place of long labels finds the labels that are
// held. That is enough to revoke, and not to grant to another principal.
func TestGrantAndRevoke_LabelChecksum(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		labels := []sim.Label{{Key: "k", Value: strings.Repeat("x", access.MaxLabelID)}}
		ws := writable()
		ws.Users[2].Permissions = append(ws.Users[2].Permissions, sim.Permission{
			RoleID: "src", Resources: []sim.Resource{{ID: workspaceID, Type: "WORKSPACE", Labels: labels}},
		})
		f := newInMemoryFixture(t, ws)
		ctx := t.Context()
		id := "label:" + access.LabelID([]segmentapi.Label{{Key: labels[0].Key, Value: labels[0].Value}}) + ":src"
		if f.grantsInANewSync(ctx, t, "user:u3")[id+":user:u3"] == nil || !strings.Contains(id, "sha256-") {
			t.Fatalf("%s is not shown", id)
		}
		grants, annos, err := f.grantTo(ctx, id, "user:u3")
		if grant, already := onlyGrant(t, grants, annos, err); !already || grant.GetId() != id+":user:u3" {
			t.Errorf("already %v, %s", already, grant.GetId())
		}
		if _, _, err = f.grantTo(ctx, id, "group:g2"); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "grant the role in Segment") {
			t.Errorf("to another: %v", err)
		}
		if writes := f.writes(); len(writes) > 0 {
			t.Errorf("it wrote %v", writes)
		}
		if annos, err = f.revokeFrom(ctx, id, "user:u3"); err != nil || len(annos) > 0 {
			t.Errorf("%v, %v", annos, err)
		}
		if held := f.state()["user:u3"]; len(held) != 3 || slices.ContainsFunc(held, func(s string) bool { return strings.Contains(s, "xxx") }) {
			t.Errorf("now holds %v", held)
		}
	})
}

// An invalid label id is an error and not "already revoked".
func TestRevoke_InvalidLabelID(t *testing.T) {
	t.Parallel()
	ws := writable()
	ws.Users[2].Permissions = append(ws.Users[2].Permissions, sim.Permission{RoleID: "src", Resources: []sim.Resource{
		{ID: workspaceID, Type: "WORKSPACE", Labels: []sim.Label{{Key: "a", Value: "2"}, {Key: "b", Value: "1"}}},
	}})
	f := newFixture(t, ws)
	if annos, err := f.revokeFrom(t.Context(), "label:b=1,a=2:src", "user:u3"); status.Code(err) != codes.InvalidArgument {
		t.Errorf("%v, %v, still holds %v", annos, err, f.state()["user:u3"])
	}
}

// A space is granted by the id that the list has, whichever form others hold.
func TestGrantAndRevoke_SpaceIDForms(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for entitlementID, want := range map[string]string{"space:2:uni": "uni on SPACE 2 []", "space:spa_1:uni": "uni on SPACE spa_1 []"} {
			ws := writable()
			ws.Users[2].Permissions = []sim.Permission{{RoleID: "uni", Resources: []sim.Resource{{ID: "spa_2", Type: "SPACE"}, {ID: "1", Type: "SPACE"}}}}
			f := newInMemoryFixture(t, ws)
			grants, annos, err := f.grantTo(t.Context(), entitlementID, "user:u3")
			if _, already := onlyGrant(t, grants, annos, err); !already {
				t.Errorf("%s: held in another form, and granted once more", entitlementID)
			}
			grants, annos, err = f.grantTo(t.Context(), entitlementID, "user:u2")
			onlyGrant(t, grants, annos, err)
			if held := f.state()["user:u2"]; !slices.Contains(held, want) {
				t.Errorf("%s: holds %v", entitlementID, held)
			}
			if _, err = f.revokeFrom(t.Context(), entitlementID, "user:u3"); err != nil {
				t.Fatal(err)
			}
			if held := f.state()["user:u3"]; len(held) != 1 {
				t.Errorf("%s: %v is left", entitlementID, held)
			}
		}
	})
}

// Resources of several types may have the same id. A role on one is not a role
// on the others.
func TestGrantAndRevoke_SameIDInSeveralTypes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ws := writable()
		ws.Sources = append(ws.Sources, sim.Source{ID: "same", Slug: "same"})
		ws.Functions = append(ws.Functions, sim.Function{ID: "same", ResourceType: "SOURCE"})
		ws.Spaces = append(ws.Spaces, sim.Space{ID: "same"})
		all := []sim.Resource{{ID: "same", Type: "SOURCE"}, {ID: "same", Type: "FUNCTION"}, {ID: "same", Type: "SPACE"}}
		ids := []string{"source:same:src", "function:same:src", "space:same:src"}
		for i, id := range ids {
			held := ws.Users[1].Permissions
			f := newInMemoryFixture(t, ws)
			ctx := t.Context()
			f.sim.Update(func(ws *sim.Workspace) {
				ws.Users[1].Permissions = append(slices.Clone(held), sim.Permission{RoleID: "src", Resources: slices.Delete(slices.Clone(all), i, i+1)})
			})
			grants, annos, err := f.grantTo(ctx, id, "user:u2")
			if _, already := onlyGrant(t, grants, annos, err); already {
				t.Errorf("%s: said to be held already", id)
			}
			if annos, err = f.revokeFrom(ctx, id, "user:u2"); err != nil || len(annos) > 0 {
				t.Errorf("%s: %v, %v", id, annos, err)
			}
			want := slices.Sorted(slices.Values(holdingLines(append(slices.Clone(held), sim.Permission{RoleID: "src", Resources: slices.Delete(slices.Clone(all), i, i+1)}))))
			if diff := cmp.Diff(want, f.state()["user:u2"]); diff != "" {
				t.Errorf("%s (-want +got):\n%s", id, diff)
			}
		}
	})
}
