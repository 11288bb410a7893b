package connector

import (
	"context"
	"strings"
	"testing"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate/statetest"
	"github.com/baton-segment/baton-segment/internal/sim"
)

// inOtherWorkspace returns the connector of another process in the same sync, whose
// token is of the workspace "other".
func (f *fixture) inOtherWorkspace(t *testing.T) *fixture {
	t.Helper()
	ws := f.sim.Workspace()
	ws.ID = "other"
	other := newFixture(t, ws)
	other.session = f.session
	return other
}

// checkNames fails if a row does not name the workspace.
func checkNames(t *testing.T, r *v2.Resource) {
	t.Helper()
	if got, ok := r.GetProfile().AsMap()["workspace_id"]; !ok || got != workspaceID {
		t.Errorf("%s %s has the workspace %v", r.GetId().GetResourceType(), r.GetId().GetResource(), got)
	}
}

// Each row names its workspace in its profile, whether a list, a single request or
// a permission returned it. The row of the workspace also says which connector
// wrote it.
func TestSync_EveryRowNamesTheWorkspace(t *testing.T) {
	t.Parallel()
	ws := full()
	ws.Users[1].Permissions = []sim.Permission{{RoleID: "gone", Resources: []sim.Resource{
		{ID: workspaceID, Type: "WORKSPACE"},
		{ID: "gone", Type: "SOURCE"},
		{ID: "gone", Type: "WAREHOUSE"},
		{ID: workspaceID, Type: "WORKSPACE", Labels: []sim.Label{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}}},
	}}}
	f := newFixture(t, ws)
	rows := f.listAll(t)
	if len(rows) != len(kinds) {
		t.Errorf("%d types", len(rows))
	}
	for typeID, ofType := range rows {
		if len(ofType) == 0 {
			t.Errorf("no %s", typeID)
		}
		for _, r := range ofType {
			checkNames(t, r)
			checkNames(t, must(f.get(t.Context(), typeID, r.GetId().GetResource()))(t))
		}
	}
	profile := rows[typeWorkspace][0].GetProfile().AsMap()
	want := map[string]any{"workspace_id": workspaceID, "slug": "small", "connector": "baton-segment", "schema": 1.0}
	if diff := cmp.Diff(want, profile); diff != "" {
		t.Errorf("the profile of the workspace (-want +got):\n%s", diff)
	}
	unlisted := 0
	user := rowWithID(t, rows[typeUser], "u2")
	for _, e := range must(f.entitlements(t.Context(), user))(t) {
		checkNames(t, e.GetResource())
		unlisted++
	}
	for _, g := range must(f.grants(t.Context(), user))(t) {
		if r := g.GetEntitlement().GetResource(); r.GetDisplayName() != "" {
			checkNames(t, r)
			unlisted++
		}
	}
	if unlisted != 8 {
		t.Errorf("%d unlisted resources", unlisted)
	}
}

// A sync asks for the workspace twice, once for Validate and once for its row. A
// process that did not validate asks once more at most.
func TestSync_AsksForTheWorkspaceOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		validate bool
		want     int
	}{"validated": {true, 2}, "not validated": {false, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, full())
			if c.validate {
				must(f.Validate(t.Context()))(t)
			}
			f.readEntitlementsAndGrants(t.Context(), t, usersAndGroups(f.listAll(t)))
			if got := f.requestCounts()["getWorkspace"]; got != c.want {
				t.Errorf("getWorkspace was called %d times, want %d", got, c.want)
			}
			resumed := f.inAnotherProcess()
			if c.validate {
				must(resumed.Validate(t.Context()))(t)
			}
			for _, typeID := range []string{typeUser, typeGroup, typeSource} {
				must(resumed.listType(t.Context(), typeID))(t)
			}
			if got := f.requestCounts()["getWorkspace"]; got != 1 {
				t.Errorf("after resuming, getWorkspace was called %d times, want 1", got)
			}
		})
	}
}

// A sync that began in one workspace is refused in another, in each of its phases.
func TestSync_ResumedInAnotherWorkspaceIsRefused(t *testing.T) {
	t.Parallel()
	type call func(context.Context, *fixture) error
	calls := map[string]call{}
	for _, k := range kinds {
		calls["list of "+k.id] = func(ctx context.Context, f *fixture) error {
			_, err := f.listType(ctx, k.id)
			return err
		}
		if k.only != nil || k.on != "" {
			calls["entitlements of each "+k.id] = func(ctx context.Context, f *fixture) error {
				_, err := allPages(f, func(o rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
					return syncerOf[connectorbuilder.ResourceSyncerV2](f, k.id).(connectorbuilder.StaticEntitlementSyncerV2).StaticEntitlements(ctx, o) //nolint:errcheck // A wrong type is a mistake in the test.
				})
				return err
			}
		}
	}
	for _, r := range []*v2.Resource{stub(typeUser, "u1"), stub(typeGroup, "g1")} {
		calls["entitlements of one "+r.GetId().GetResourceType()] = func(ctx context.Context, f *fixture) error {
			_, err := f.entitlements(ctx, r)
			return err
		}
		calls["grants of one "+r.GetId().GetResourceType()] = func(ctx context.Context, f *fixture) error {
			_, err := f.grants(ctx, r)
			return err
		}
	}
	for name, call := range calls {
		for _, began := range []string{"one list", "all lists"} {
			t.Run(name+" after "+began, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, full())
				if began == "one list" {
					must(f.listType(t.Context(), typeSource))(t)
				} else {
					f.listAll(t)
				}
				other := f.inOtherWorkspace(t)
				err := call(t.Context(), other)
				if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "this file belongs to workspace wksp, the token to workspace other: use a new file") {
					t.Errorf("%v", err)
				}
				// Another sync of the same process is none of that one's.
				other.session = statetest.New()
				if _, err = allPages(other, func(o rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
					o.SyncID = "another"
					return syncerOf[*userSyncer](other, typeUser).List(t.Context(), nil, o)
				}); err != nil {
					t.Errorf("another sync: %v", err)
				}
			})
		}
	}
}

// A change of a row of another workspace is refused before anything is read or
// written.
func TestProvisioning_OtherWorkspaceIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ entitlement, principal string }{
		"role":             {"role:src:assigned", "user:u2"},
		"role of a group":  {"role:src:assigned", "group:g2"},
		"role on a source": {"source:src:src", "user:u2"},
		"role on a label":  {"label:env=prod:src", "user:u2"},
		"group":            {"group:g2:member", "user:u2"},
		"invite":           {"group:g2:member", "invite:new@example.com"},
		"workspace":        {"workspace:wksp:member", "user:u2"},
	} {
		for _, says := range []string{"both", "the principal", "the resource"} {
			t.Run(name+", "+says, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, writable())
				rows := f.listAll(t)
				row := func(resource string) *v2.Resource {
					typeID, id, _ := strings.Cut(resource, ":")
					return rowWithID(t, rows[typeID], id)
				}
				principal, on := row(c.principal), row(c.entitlement[:strings.LastIndex(c.entitlement, ":")])
				if says == "the resource" {
					principal = principalOf(c.principal)
				}
				ent := bareEntitlement(c.entitlement)
				if says != "the principal" {
					ent.SetResource(on)
				}
				other := f.inOtherWorkspace(t)
				before := other.state()
				provisioner := other.provisioner(t.Context(), on.GetId().GetResourceType())
				_, _, grantErr := provisioner.Grant(t.Context(), principal, ent)
				_, revokeErr := provisioner.Revoke(t.Context(), v2.Grant_builder{Entitlement: ent, Principal: principal}.Build())
				for what, err := range map[string]error{"grant": grantErr, "revoke": revokeErr} {
					if status.Code(err) != codes.FailedPrecondition {
						t.Errorf("%s: %v", what, err)
						continue
					}
					for _, part := range []string{"the token belongs to workspace other, not to workspace wksp", "use the token that the file was synced with"} {
						if !strings.Contains(err.Error(), part) {
							t.Errorf("%s: the error does not say %q: %v", what, part, err)
						}
					}
				}
				if diff := cmp.Diff(map[string]int{"getWorkspace": 1}, other.requestCounts()); diff != "" {
					t.Errorf("requests (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(before, other.state()); diff != "" {
					t.Errorf("the workspace (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// A group is not created from the row of a group of another workspace.
func TestCreate_GroupOfAnotherWorkspaceIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t, writable())
	row := rowWithID(t, f.listAll(t)[typeGroup], "g1")
	other := f.inOtherWorkspace(t)
	_, _, err := syncerOf[*groupSyncer](other, typeGroup).Create(t.Context(), row)
	if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "the token belongs to workspace other, not to workspace wksp") {
		t.Errorf("%v", err)
	}
	if writes := other.writes(); len(writes) > 0 {
		t.Errorf("it wrote %v", writes)
	}
}
