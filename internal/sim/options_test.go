package sim

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/public-api-sdk-go/api"
)

// Each option has its effect on the permissions that a user holds after a write.
func TestWithPost_AndWithPutDroppingLabels(t *testing.T) {
	t.Parallel()
	const userID = "user"
	start := func() *Workspace {
		w := Empty()
		w.Sources = []Source{{ID: "a"}, {ID: "b"}, {ID: "c"}}
		w.Labels = append(w.Labels, Label{Key: "env", Value: "x"})
		labeled := scope(typeWorkspace, w.ID)
		labeled.Labels = []Label{{Key: "env", Value: "x"}}
		w.Users = []User{{ID: userID, Email: "user@example.com", Permissions: []Permission{
			on(roleSourceAdmin, scope(typeSource, "a"), labeled), on(roleMinimal, scope(typeWorkspace, w.ID)),
		}}}
		return w
	}
	asked := func(resources ...api.PermissionResourceV1) []api.PermissionInputV1 {
		return []api.PermissionInputV1{{RoleId: roleSourceAdmin, Resources: resources}}
	}
	added := api.PermissionResourceV1{Id: "b", Type: typeSource}
	id := start().ID
	restricted := roleSourceAdmin + " WORKSPACE " + id + " env=x"
	minimal := roleMinimal + " WORKSPACE " + id
	onA, onB := roleSourceAdmin+" SOURCE a", roleSourceAdmin+" SOURCE b"
	for name, c := range map[string]struct {
		opt  Option
		put  bool
		want []string
	}{
		"merges":        {opt: WithPost(PostMerges), want: []string{onA, restricted, onB, minimal}},
		"replaces":      {opt: WithPost(PostReplaces), want: []string{onB}},
		"replaces role": {opt: WithPost(PostReplacesRole), want: []string{minimal, onB}},
		"put":           {opt: WithPost(PostReplaces), put: true, want: []string{restricted}},
		"drops labels":  {opt: WithPutDroppingLabels(), put: true, want: []string{roleSourceAdmin + " WORKSPACE " + id}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := New(start(), c.opt)
			ctx, client := inProcess(t, s)
			var err error
			if c.put {
				_, _, err = client.IAMUsersAPI.ReplacePermissionsForUser(ctx, userID).ReplacePermissionsForUserV1Input(api.ReplacePermissionsForUserV1Input{
					Permissions: asked(api.PermissionResourceV1{Id: id, Type: typeWorkspace, Labels: []api.AllowedLabelBeta{{Key: "env", Value: "x"}}}),
				}).Execute()
			} else {
				_, _, err = client.IAMUsersAPI.AddPermissionsToUser(ctx, userID).
					AddPermissionsToUserV1Input(api.AddPermissionsToUserV1Input{Permissions: asked(added)}).Execute()
			}
			if err != nil {
				t.Fatal(err)
			}
			var held []string
			for _, p := range s.Workspace().Users[0].Permissions {
				for _, r := range p.Resources {
					line := fmt.Sprintf("%s %s %s", p.RoleID, r.Type, r.ID)
					for _, l := range r.Labels {
						line += " " + l.Key + "=" + l.Value
					}
					held = append(held, line)
				}
			}
			slices.Sort(held)
			slices.Sort(c.want)
			if diff := cmp.Diff(c.want, held); diff != "" {
				t.Errorf("held (-want +got):\n%s", diff)
			}
		})
	}
}

// Accept gives the new user the permissions and the groups of the invite.
func TestAccept(t *testing.T) {
	t.Parallel()
	w := Empty()
	gives := []Permission{on(roleOwner, scope(typeWorkspace, w.ID))}
	w.Invites = []Invite{{Email: "other@example.com"}, {Email: "New@example.com", Permissions: gives}}
	w.Groups = []Group{{ID: "group", Members: []string{"New@example.com"}}}
	if w.Accept("nobody@example.com", "none") {
		t.Error("nobody has accepted")
	}
	kept := w.clone()
	if !w.Accept("new@example.com", "user") || !kept.AcceptStillListed("new@example.com", "user") {
		t.Error("there was an invite")
	}
	if diff := cmp.Diff(w.Users, kept.Users); diff != "" || len(kept.Invites) != 2 {
		t.Errorf("%d invites are still listed; users (-accepted +still listed):\n%s", len(kept.Invites), diff)
	}
	want := []User{{ID: "user", Email: "New@example.com", Permissions: gives}}
	if diff := cmp.Diff(want, w.Users); diff != "" {
		t.Errorf("users (-want +got):\n%s", diff)
	}
	if len(w.Invites) != 1 || w.Invites[0].Email != "other@example.com" || w.Groups[0].Members[0] != "New@example.com" {
		t.Errorf("invites %v, members %v", w.Invites, w.Groups[0].Members)
	}
}

// With WithRoleScopes a role may be on the types that Segment documents for it, on the
// workspace, and where it is held already. Without it, it may be on any type.
func TestWithRoleScopes(t *testing.T) {
	t.Parallel()
	workspace := func() *Workspace {
		w := Demo()
		w.Users[0].Permissions = []Permission{on(roleNamed(w, "Functions Admin"), scope(typeSource, w.Sources[0].ID))}
		return w
	}
	w := workspace()
	on := map[string]string{typeWorkspace: w.ID, typeSource: w.Sources[0].ID, typeFunction: w.Functions[0].ID, typeSpace: w.Spaces[0].ID, typeWarehouse: w.Warehouses[0].ID}
	for role, types := range map[string][]string{
		"Source Read-only":                {typeWorkspace, typeSource},
		"Functions Admin":                 {typeWorkspace, typeFunction, typeSource}, // A source is held.
		"Unify and Engage Admin":          {typeWorkspace, typeSpace},
		"Warehouse Destination Read-only": {typeWorkspace},
		"Workspace Owner":                 {typeWorkspace},
	} {
		for kind, id := range on {
			for _, checked := range []bool{true, false} {
				var opts []Option
				if checked {
					opts = append(opts, WithRoleScopes())
				}
				s := New(workspace(), opts...)
				ctx, client := inProcess(t, s)
				_, resp, _ := client.IAMUsersAPI.AddPermissionsToUser(ctx, w.Users[0].ID).AddPermissionsToUserV1Input(api.AddPermissionsToUserV1Input{
					Permissions: []api.PermissionInputV1{{RoleId: roleNamed(w, role), Resources: []api.PermissionResourceV1{{Id: id, Type: kind}}}},
				}).Execute()
				want := 200
				if checked && !slices.Contains(types, kind) {
					want = 422
				}
				if resp.StatusCode != want {
					t.Errorf("%s on %s, checked %t: %d, want %d", role, kind, checked, resp.StatusCode, want)
				}
			}
		}
	}
}

func roleNamed(w *Workspace, name string) string {
	return w.Roles[slices.IndexFunc(w.Roles, func(r Role) bool { return r.Name == name })].ID
}
