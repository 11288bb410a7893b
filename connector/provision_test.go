package connector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate/statetest"
	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// provisioner returns the syncer that the SDK calls for changes of a type.
func (f *fixture) provisioner(ctx context.Context, typeID string) connectorbuilder.ResourceProvisionerV2Limited {
	for _, s := range f.ResourceSyncers(ctx) {
		if p, ok := s.(connectorbuilder.ResourceProvisionerV2Limited); ok && s.ResourceType(ctx).GetId() == typeID {
			return p
		}
	}
	panic("nothing can be granted on a " + typeID)
}

// bareEntitlement is an entitlement with its id alone.
func bareEntitlement(id string) *v2.Entitlement { return v2.Entitlement_builder{Id: id}.Build() }

// principalOf returns the resource of type:id.
func principalOf(principal string) *v2.Resource {
	typeID, id, _ := strings.Cut(principal, ":")
	return stub(typeID, id)
}

// grantTo grants an entitlement, by id, to a principal, as type:id.
func (f *fixture) grantTo(ctx context.Context, entitlementID, principal string) ([]*v2.Grant, annotations.Annotations, error) {
	typeID, _, _ := strings.Cut(entitlementID, ":")
	return f.provisioner(ctx, typeID).Grant(ctx, principalOf(principal), bareEntitlement(entitlementID))
}

// revokeFrom revokes an entitlement, by id, from a principal, as type:id.
func (f *fixture) revokeFrom(ctx context.Context, entitlementID, principal string) (annotations.Annotations, error) {
	typeID, _, _ := strings.Cut(entitlementID, ":")
	return f.provisioner(ctx, typeID).Revoke(ctx, v2.Grant_builder{Entitlement: bareEntitlement(entitlementID), Principal: principalOf(principal)}.Build())
}

// state is what everyone holds, the members of each group, and the invites, as
// sets.
func (f *fixture) state() map[string][]string {
	ws := f.sim.Workspace()
	all := map[string][]string{}
	add := func(key string, rows []string) { all[key] = slices.Compact(slices.Sorted(slices.Values(rows))) }
	for _, u := range ws.Users {
		add("user:"+u.ID, holdingLines(u.Permissions))
	}
	for _, g := range ws.Groups {
		add("group:"+g.ID, holdingLines(g.Permissions))
		add("members of "+g.ID, g.Members)
	}
	var invites []string
	for _, i := range ws.Invites {
		invites = append(invites, i.Email)
	}
	add("invites", invites)
	return all
}

// holdingLines is a line for each scope of permissions.
func holdingLines(permissions []sim.Permission) []string {
	var all []string
	for _, p := range permissions {
		for _, r := range p.Resources {
			var labels []string
			for _, l := range r.Labels {
				labels = append(labels, l.Key+"="+l.Value)
			}
			slices.Sort(labels)
			all = append(all, fmt.Sprintf("%s on %s %s %v", p.RoleID, r.Type, r.ID, slices.Compact(labels)))
		}
	}
	return all
}

// grantsInANewSync returns the grants of a principal in a new sync, by id.
func (f *fixture) grantsInANewSync(ctx context.Context, t *testing.T, principal string) map[string]*v2.Grant {
	t.Helper()
	f.session = statetest.New()
	return f.grantsAfterLists(ctx, t, f.listAllIn(ctx, t), principal)
}

// grantsAfterLists returns the grants of a principal in a sync that has read its
// lists, by id.
func (f *fixture) grantsAfterLists(ctx context.Context, t *testing.T, lists map[string][]*v2.Resource, principal string) map[string]*v2.Grant {
	t.Helper()
	shown := map[string]*v2.Grant{}
	subjects := []*v2.Resource{principalOf(principal)}
	if subjects[0].GetId().GetResourceType() != typeGroup {
		subjects = append(subjects, lists[typeGroup]...)
	}
	for _, r := range subjects {
		if r.GetId().GetResourceType() == typeInvite {
			continue
		}
		must(f.entitlements(ctx, r))(t)
		for _, g := range must(f.grants(ctx, r))(t) {
			if id := g.GetPrincipal().GetId(); id.GetResourceType()+":"+id.GetResource() == principal {
				shown[g.GetId()] = g
			}
		}
	}
	f.sim.ResetJournal()
	return shown
}

// onlyGrant returns the one grant of a successful Grant, and whether it existed
// already.
func onlyGrant(t *testing.T, grants []*v2.Grant, annos annotations.Annotations, err error) (*v2.Grant, bool) {
	t.Helper()
	if err != nil || len(grants) != 1 {
		t.Fatalf("granted %v, %v", grants, err)
	}
	return grants[0], annos.Contains(&v2.GrantAlreadyExists{})
}

// An attempt is one call that changes something.
type attempt func(context.Context, *fixture) (annotations.Annotations, error)

func granting(entitlementID, principal string) attempt {
	return func(ctx context.Context, f *fixture) (annotations.Annotations, error) {
		_, annos, err := f.grantTo(ctx, entitlementID, principal)
		return annos, err
	}
}

func revoking(entitlementID, principal string) attempt {
	return func(ctx context.Context, f *fixture) (annotations.Annotations, error) {
		return f.revokeFrom(ctx, entitlementID, principal)
	}
}

func creatingGroup(name string) attempt {
	return func(ctx context.Context, f *fixture) (annotations.Annotations, error) {
		_, annos, err := syncerOf[*groupSyncer](f, typeGroup).Create(ctx, v2.Resource_builder{
			Id: resourceID(typeGroup, ""), DisplayName: name,
		}.Build())
		return annos, err
	}
}

func deleting(resource string) attempt {
	return func(ctx context.Context, f *fixture) (annotations.Annotations, error) {
		id := principalOf(resource).GetId()
		for _, s := range f.ResourceSyncers(ctx) {
			if d, ok := s.(connectorbuilder.ResourceDeleterV2Limited); ok && s.ResourceType(ctx).GetId() == id.GetResourceType() {
				return d.Delete(ctx, id, nil)
			}
		}
		panic("nothing deletes a " + id.GetResourceType())
	}
}

func inviting(email string) attempt {
	return func(ctx context.Context, f *fixture) (annotations.Annotations, error) {
		_, _, annos, err := syncerOf[*inviteSyncer](f, typeInvite).CreateAccount(ctx, accountInfo(map[string]any{"email": email}), nil)
		return annos, err
	}
}

// After Grant a sync shows the grant exactly as Grant returned it, and after
// Revoke it is gone. Nothing else changes, and a repeated call writes nothing.
func TestGrantAndRevoke(t *testing.T) {
	t.Parallel()
	userAndGroup := []string{"user:u2", "group:g2"}
	for name, c := range map[string]struct {
		principals []string
		scope      string
	}{
		"role:src:assigned":                  {userAndGroup, "src on WORKSPACE wksp []"},
		"source:src:src":                     {userAndGroup, "src on SOURCE src []"},
		"function:f2:fn":                     {userAndGroup, "fn on FUNCTION f2 []"},
		"space:spa_1:uni":                    {userAndGroup, "uni on SPACE spa_1 []"},
		"space:spa_1:ent":                    {userAndGroup, "ent on SPACE spa_1 []"},
		"space:2:uni":                        {userAndGroup, "uni on SPACE 2 []"},
		"label:env=prod:uni":                 {userAndGroup, "uni on WORKSPACE wksp [env=prod]"},
		"label:env=prod,team=a%2Cb:src":      {userAndGroup, "src on WORKSPACE wksp [env=prod team=a,b]"},
		"source:src:fn":                      {userAndGroup, "fn on SOURCE src []"}, // The role does not apply to sources.
		"group:g2:member":                    {[]string{"user:u2"}, "bo@example.com"},
		"group:g2:member and a pending one":  {[]string{"invite:new@example.com"}, "new@example.com"},
		"group:g1:member and one of another": {[]string{"invite:newer@example.com", "user:u3"}, ""},
	} {
		entitlementID, _, _ := strings.Cut(name, " ")
		for _, principal := range c.principals {
			t.Run(entitlementID+" "+principal, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					ctx := t.Context()
					f := newInMemoryFixture(t, writable())
					before, rows := f.state(), f.grantsInANewSync(ctx, t, principal)

					grants, annos, err := f.grantTo(ctx, entitlementID, principal)
					grant, already := onlyGrant(t, grants, annos, err)
					if already || len(f.writes()) != 1 {
						t.Errorf("already granted: %v", already)
					}
					if c.scope != "" {
						want := maps.Clone(before)
						key := principal
						if strings.HasPrefix(entitlementID, typeGroup) {
							key = "members of g2"
						}
						want[key] = slices.Sorted(slices.Values(append(slices.Clone(want[key]), c.scope)))
						if diff := cmp.Diff(want, f.state()); diff != "" {
							t.Errorf("the workspace (-want +got):\n%s", diff)
						}
					}
					now := f.grantsInANewSync(ctx, t, principal)
					if row := now[grant.GetId()].GetEntitlement(); row != nil { // The returned grant has only the id.
						row.SetResource(v2.Resource_builder{Id: row.GetResource().GetId()}.Build())
					}
					if diff := cmp.Diff(now[grant.GetId()], grant, protocmp.Transform()); diff != "" {
						t.Errorf("the grant (-shown +returned):\n%s", diff)
					}
					if len(now) != len(rows)+1 {
						t.Errorf("%d grants became %d", len(rows), len(now))
					}

					grants, annos, err = f.grantTo(ctx, entitlementID, principal)
					again, already := onlyGrant(t, grants, annos, err)
					if diff := cmp.Diff(grant, again, protocmp.Transform()); diff != "" || !already {
						t.Errorf("granted again: already %v, %s", already, diff)
					}
					if writes := f.writes(); len(writes) > 0 {
						t.Errorf("granting again wrote %v", writes)
					}

					if annos, err := f.revokeFrom(ctx, entitlementID, principal); err != nil || len(annos) > 0 || len(f.writes()) != 1 {
						t.Errorf("revoked: %v, %v", annos, err)
					}
					if diff := cmp.Diff(before, f.state()); diff != "" {
						t.Errorf("the workspace is not as it was (-want +got):\n%s", diff)
					}
					if diff := cmp.Diff(rows, f.grantsInANewSync(ctx, t, principal), protocmp.Transform()); diff != "" {
						t.Errorf("the grants are not what they were (-want +got):\n%s", diff)
					}
					if annos, err := f.revokeFrom(ctx, entitlementID, principal); err != nil || !annos.Contains(&v2.GrantAlreadyRevoked{}) {
						t.Errorf("revoked again: %v, %v", annos, err)
					}
					if writes := f.writes(); len(writes) > 0 {
						t.Errorf("revoking again wrote %v", writes)
					}
				})
			})
		}
	}
}

// Every grant that a sync shows can be revoked, and nothing else changes:
// repeated roles, sets of labels in any order, both forms of a space id,
// unlisted roles and resources.
func TestRevoke_EveryShownGrant(t *testing.T) {
	t.Parallel()
	first := newInMemoryFixture(t, hostileWithSpare())
	store := statetest.New()
	first.session = store
	lists := first.listAll(t)
	listed := maps.Clone(store.Values)         // A change of permissions changes no list.
	shown := map[string]map[string]*v2.Grant{} // By principal and id.
	for _, r := range usersAndGroups(lists) {
		must(first.entitlements(t.Context(), r))(t)
		for _, g := range must(first.grants(t.Context(), r))(t) {
			id := g.GetPrincipal().GetId()
			principal := id.GetResourceType() + ":" + id.GetResource()
			if shown[principal] == nil {
				shown[principal] = map[string]*v2.Grant{}
			}
			shown[principal][g.GetId()] = g
		}
	}
	var tried atomic.Int32
	t.Run("principals", func(t *testing.T) { // It ends once all of them have been tried.
		for _, principal := range slices.Sorted(maps.Keys(shown)) {
			rows := shown[principal]
			if principal == "user:spare" {
				continue // Without the spare owner the others could not lose ownership.
			}
			t.Run(principal, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := newInMemoryFixture(t, hostileWithSpare())
					ctx := t.Context()
					for _, id := range slices.Sorted(maps.Keys(rows)) {
						entitlementID := rows[id].GetEntitlement().GetId()
						typeID, _, _ := strings.Cut(entitlementID, ":")
						if !slices.Contains(grantableTypes(), typeID) {
							continue
						}
						f.sim.Update(func(ws *sim.Workspace) { *ws = *hostileWithSpare() })
						before := f.state()
						tried.Add(1)
						_, annos, err := f.grantTo(ctx, entitlementID, principal)
						if writes := f.writes(); err != nil || !annos.Contains(&v2.GrantAlreadyExists{}) || len(writes) > 0 {
							t.Errorf("%s: granting what is shown: %v, %v, wrote %v", id, annos, err, writes)
						}
						annos, err = f.revokeFrom(ctx, entitlementID, principal)
						if status.Code(err) == codes.FailedPrecondition && errors.Is(err, segmentapi.ErrLastPermission) {
							continue // Minimal Workspace Access cannot be revoked if it is the last.
						}
						if principal == "user:user-malformed" { // It has a role on no resource, which a PUT would lose.
							if !errors.Is(err, segmentapi.ErrNotUnderstood) || len(f.writes()) > 0 {
								t.Errorf("%s: %v, %v", id, annos, err)
							}
							continue
						}
						if err != nil || len(annos) > 0 {
							t.Errorf("%s: %v, %v", id, annos, err)
							continue
						}
						later := f.inAnotherProcess()
						later.session = &statetest.Memory{Values: maps.Clone(listed)}
						after := later.grantsAfterLists(ctx, t, lists, principal)
						want := maps.Clone(rows)
						delete(want, id)
						minimal := "role:1aEWAcU0fArxScocwH9xxLgW7r3:assigned:" + principal
						if _, had := want[minimal]; !had {
							delete(after, minimal) // It replaces the last permission.
						}
						if diff := cmp.Diff(want, after, protocmp.Transform()); diff != "" {
							t.Errorf("%s (-want +got):\n%s", id, diff)
						}
						now := f.state()
						delete(before, principal)
						delete(now, principal)
						if diff := cmp.Diff(before, now); diff != "" {
							t.Errorf("%s: the others (-want +got):\n%s", id, diff)
						}
					}
				})
			})
		}
	})
	if n := tried.Load(); n < 60 {
		t.Errorf("only %d grants were tried", n)
	}
}

// Only the ids in a request count. Names, e-mails, parents, slugs and
// annotations may be out of date or wrong.
func TestGrantAndRevoke_OnlyIDsCount(t *testing.T) {
	t.Parallel()
	for entitlementID, principal := range map[string]string{
		"source:src:src":        "user:u2",
		"role:src:assigned":     "group:g2",
		"label:env=prod:src":    "user:u2",
		"group:g2:member":       "user:u2",
		"group:g1:member":       "invite:newer@example.com",
		"workspace:wksp:member": "user:u2",
	} {
		t.Run(entitlementID, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				plain, edited := newInMemoryFixture(t, writable()), newInMemoryFixture(t, writable())
				holder := principalOf(principal)
				// The e-mail is another user's, who must not change.
				outdated := must(userResource("", segmentapi.User{ID: "u3", Name: "Cy", Email: "cy@example.com"}))(t)
				outdated.SetId(holder.GetId())
				outdated.SetParentResourceId(resourceID(typeWorkspace, "other"))
				outdated.SetAnnotations(annotations.New(&v2.ExternalLink{Url: "https://example.com"}, &v2.GrantImmutable{}))
				target := must(parseEntitlementID(entitlementID))(t)
				on := stub(target.typeID, target.id)
				on.SetDisplayName("Something else")
				on.SetParentResourceId(resourceID(typeWorkspace, "other"))
				e := v2.Entitlement_builder{
					Id: entitlementID, Slug: "owner", DisplayName: "Workspace Owner", Purpose: v2.Entitlement_PURPOSE_VALUE_OWNERSHIP,
					Resource: on, GrantableTo: []*v2.ResourceType{kindOf(typeWarehouse).message()}, Annotations: annotations.New(&v2.EntitlementImmutable{}),
				}.Build()
				if target.typeID != typeWorkspace {
					if _, _, err := plain.grantTo(ctx, entitlementID, principal); err != nil {
						t.Fatal(err)
					}
					if _, _, err := edited.provisioner(ctx, target.typeID).Grant(ctx, outdated, e); err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(plain.state(), edited.state()); diff != "" {
						t.Errorf("granted (-plain +edited):\n%s", diff)
					}
				}
				if _, err := plain.revokeFrom(ctx, entitlementID, principal); err != nil {
					t.Fatal(err)
				}
				grant := v2.Grant_builder{Id: "whatever", Entitlement: e, Principal: outdated, Annotations: annotations.New(&v2.GrantImmutable{})}.Build()
				if _, err := edited.provisioner(ctx, target.typeID).Revoke(ctx, grant); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(plain.state(), edited.state()); diff != "" {
					t.Errorf("revoked (-plain +edited):\n%s", diff)
				}
			})
		})
	}
}

// If there is nothing to do, the call succeeds, says so, logs one line with the reason
// and writes nothing.
func TestProvisioning_NothingToDo(t *testing.T) {
	t.Parallel()
	exists, revoked, gone := &v2.GrantAlreadyExists{}, &v2.GrantAlreadyRevoked{}, &v2.ResourceDoesNotExist{}
	for name, c := range map[string]struct {
		edit func(*sim.Workspace)
		opts []sim.Option
		do   attempt
		says proto.Message
		// why is the reason in the one line that the log has.
		why string
	}{
		"held by a user":                    {do: granting("role:owner:assigned", "user:u1"), says: exists, why: "the user already holds it"},
		"held by a group":                   {do: granting("role:owner:assigned", "group:g1"), says: exists, why: "the group already holds it"},
		"held on one label":                 {do: granting("label:env=prod:owner", "user:u3"), says: exists, why: "the user already holds it"},
		"a member":                          {do: granting("group:g1:member", "user:u1"), says: exists, why: "the user is already in the group"},
		"a pending member":                  {do: granting("group:g1:member", "invite:new@example.com"), says: exists, why: "the invite is already in the group"},
		"a pending member in other case":    {do: granting("group:g1:member", "invite:NEW@example.com"), says: exists, why: "the invite is already in the group"},
		"a deleted user":                    {do: revoking("source:src:src", "user:gone"), says: revoked, why: "workspace wksp has no user gone"},
		"a deleted group":                   {do: revoking("source:src:src", "group:gone"), says: revoked, why: "workspace wksp has no group gone"},
		"not held by a group":               {do: revoking("source:src:src", "group:g2"), says: revoked, why: "the group does not hold it"},
		"an unknown role":                   {do: revoking("source:src:nonsense", "user:u3"), says: revoked, why: "the user does not hold it"},
		"an unrestricted one for a label":   {do: revoking("label:env=prod:owner", "user:u1"), says: revoked, why: "the user does not hold it"},
		"not a member":                      {do: revoking("group:g2:member", "user:u1"), says: revoked, why: "the user is not in the group"},
		"not a pending member":              {do: revoking("group:g2:member", "invite:new@example.com"), says: revoked, why: "the invite is not in the group"},
		"a deleted member":                  {do: revoking("group:g2:member", "user:gone"), says: revoked, why: "workspace wksp has no user gone"},
		"a deleted invite":                  {do: revoking("group:g2:member", "invite:gone@example.com"), says: revoked, why: "the invite is not in the group"},
		"a member of a deleted group":       {do: revoking("group:gone:member", "user:u1"), says: revoked, why: "workspace wksp has no group gone"},
		"a deleted member of the workspace": {do: revoking("workspace:wksp:member", "user:gone"), says: revoked, why: "workspace wksp has no user gone"},
		"on a plan without groups":          {opts: []sim.Option{sim.WithoutFeatures(sim.FeatureGroups)}, do: revoking("source:src:src", "user:u1"), says: revoked, why: "the user does not hold it"},
		"on a plan without groups, and 404": {opts: []sim.Option{sim.WithoutFeatures(sim.FeatureGroups), sim.WithGateStatus(404)}, do: revoking("source:src:src", "user:u1"), says: revoked, why: "the user does not hold it"},
		"a member of the workspace":         {do: granting("workspace:wksp:member", "user:u2"), says: exists, why: "the user is a member already"},
		"a deleted user, deleted again":     {do: deleting("user:gone"), says: gone, why: "workspace wksp has no user gone"},
		"a deleted invite, deleted again":   {do: deleting("invite:gone@example.com"), says: gone, why: "workspace wksp has no invite gone@example.com"},
		"a deleted group, deleted again":    {do: deleting("group:gone"), says: gone, why: "workspace wksp has no group gone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, writable(), c.opts...)
			before := f.state()
			ctx, logs := withObservedLog(t)
			annos, err := c.do(ctx, f)
			if err != nil || len(annos) != 1 || !annos.Contains(c.says) {
				t.Errorf("%v, %v", annos, err)
			}
			if writes := f.writes(); len(writes) > 0 {
				t.Errorf("it wrote %v", writes)
			}
			lines := logs.FilterMessageSnippet("nothing to change").FilterField(zap.String("workspace_id", workspaceID)).All()
			if len(lines) != 1 || lines[0].Message != "nothing to change: "+c.why || lines[0].Level != zap.InfoLevel {
				t.Fatalf("the log has %v, want one line with %q", lines, c.why)
			}
			fields := lines[0].ContextMap()
			if fields["operation"] == nil || fields["subject"] == nil {
				t.Errorf("the line has the fields %v", fields)
			}
			if diff := cmp.Diff(before, f.state()); diff != "" {
				t.Errorf("the workspace (-want +got):\n%s", diff)
			}
		})
	}
}

// The SDK refuses to grant or revoke a role on a warehouse, and so does the
// syncer of another type.
func TestGrantAndRevoke_Warehouse(t *testing.T) {
	t.Parallel()
	f := newFixture(t, writable())
	server := must(connectorbuilder.NewConnector(t.Context(), f.Connector))(t)
	e := v2.Entitlement_builder{Id: "warehouse:w1:wh", Resource: stub(typeWarehouse, "w1")}.Build()
	_, granted := server.Grant(t.Context(), v2.GrantManagerServiceGrantRequest_builder{Entitlement: e, Principal: principalOf("user:u2")}.Build())
	_, revoked := server.Revoke(t.Context(), v2.GrantManagerServiceRevokeRequest_builder{
		Grant: v2.Grant_builder{Entitlement: e, Principal: principalOf("user:u2")}.Build(),
	}.Build())
	for _, err := range []error{granted, revoked} {
		if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "warehouse") {
			t.Errorf("%v", err)
		}
	}
	// The syncer of another type refuses as well.
	_, _, err := syncerOf[*grantableCatalog[segmentapi.Source]](f, typeSource).Grant(t.Context(), principalOf("user:u2"), bareEntitlement("warehouse:w1:wh"))
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "warehouse:w1:wh") {
		t.Errorf("%v", err)
	}
	if requests := f.requestCounts(); len(requests) > 0 {
		t.Errorf("requests: %v", requests)
	}
}

// Minimal Workspace Access replaces the last permission. The log says so; the
// SDK learns only of the grant that is gone.
func TestRevoke_LastPermission(t *testing.T) {
	t.Parallel()
	ws := writable()
	ws.Users[1].Permissions = []sim.Permission{{RoleID: "src", Resources: []sim.Resource{{ID: "src", Type: "SOURCE"}}}}
	f := newFixture(t, ws)
	ctx, logs := withObservedLog(t)
	annos, err := f.revokeFrom(ctx, "source:src:src", "user:u2")
	if err != nil || len(annos) > 0 {
		t.Errorf("%v, %v", annos, err)
	}
	if diff := cmp.Diff([]string{"member on WORKSPACE wksp []"}, f.state()["user:u2"]); diff != "" {
		t.Errorf("holds (-want +got):\n%s", diff)
	}
	lines := logs.FilterMessage("changed").All()
	if len(lines) != 1 || lines[0].ContextMap()["change"] != "+ Minimal Workspace Access on WORKSPACE wksp; - Source Admin on SOURCE src" {
		t.Errorf("the log says %v", lines)
	}
}

// A deleted user, invite or group is in no later sync and in no group. A second
// call says that there is none.
func TestDelete_Twice(t *testing.T) {
	t.Parallel()
	for _, resource := range []string{"user:u3", "invite:new@example.com", "invite:NEWER@example.com", "group:g2"} {
		t.Run(resource, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				f := newInMemoryFixture(t, writable())
				id := principalOf(resource).GetId()
				rows := len(f.listAll(t)[id.GetResourceType()])
				if annos, err := deleting(resource)(ctx, f); err != nil || len(annos) > 0 {
					t.Errorf("%v, %v", annos, err)
				}
				f.writes()
				if left := f.listAll(t)[id.GetResourceType()]; len(left) != rows-1 {
					t.Errorf("%d rows became %d", rows, len(left))
				}
				if annos, err := deleting(resource)(ctx, f); err != nil || !annos.Contains(&v2.ResourceDoesNotExist{}) {
					t.Errorf("again: %v, %v", annos, err)
				}
				if writes := f.writes(); len(writes) > 0 {
					t.Errorf("again it wrote %v", writes)
				}
				for _, members := range [][]string{f.state()["members of g1"], f.state()["members of g2"]} {
					if slices.ContainsFunc(members, func(m string) bool {
						return strings.EqualFold(m, id.GetResource()) || m == "cy@example.com" && resource == "user:u3"
					}) {
						t.Errorf("still in a group: %v", members)
					}
				}
			})
		})
	}
}

// Membership of the workspace exists already for every user.
func TestGrant_WorkspaceMember(t *testing.T) {
	t.Parallel()
	f := newFixture(t, writable())
	if _, annos, err := f.grantTo(t.Context(), "workspace:wksp:member", "user:u3"); err != nil || !annos.Contains(&v2.GrantAlreadyExists{}) {
		t.Errorf("%v, %v", annos, err)
	}
}
