package connector

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// Names, addresses, parents, slugs and annotations are of the day on which a
// caller read them, or made up. Only ids count.
func TestNothingButIDsCounts(t *testing.T) {
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
				plain, edited := timeless(t, writable()), timeless(t, writable())
				person := who(principal)
				// The address of another, who must not be touched.
				lie := must(userResource(segmentapi.User{ID: "u3", Name: "Cy", Email: "cy@example.com"}))(t)
				lie.SetId(person.GetId())
				lie.SetParentResourceId(resourceID(typeWorkspace, "other"))
				lie.SetAnnotations(annotations.New(&v2.ExternalLink{Url: "https://example.com"}, &v2.GrantImmutable{}))
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
					if _, _, err := edited.provisioner(ctx, target.typeID).Grant(ctx, lie, e); err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff(plain.state(), edited.state()); diff != "" {
						t.Errorf("granted (-plain +edited):\n%s", diff)
					}
				}
				if _, err := plain.revokeFrom(ctx, entitlementID, principal); err != nil {
					t.Fatal(err)
				}
				grant := v2.Grant_builder{Id: "whatever", Entitlement: e, Principal: lie, Annotations: annotations.New(&v2.GrantImmutable{})}.Build()
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

// What is missing altogether is refused before any request.
func TestNothingAtAll(t *testing.T) {
	t.Parallel()
	f := newFixture(t, writable())
	ctx := t.Context()
	refused := func(what string, err error) {
		t.Helper()
		if code := status.Code(err); code != codes.InvalidArgument && (code != codes.FailedPrecondition || what != "workspace grant") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, s := range f.ResourceSyncers(ctx) {
		typeID := s.ResourceType(ctx).GetId()
		if p, ok := s.(connectorbuilder.ResourceProvisionerV2Limited); ok {
			slug := map[string]string{typeRole: slugAssigned, typeGroup: slugMember, typeWorkspace: slugMember}[typeID]
			if slug == "" {
				slug = "src"
			}
			known := entitled(typeID + ":x:" + slug)
			for _, principal := range []*v2.Resource{nil, {}, {Id: &v2.ResourceId{}}, {Id: &v2.ResourceId{ResourceType: typeUser}}, {Id: &v2.ResourceId{Resource: "u2"}}} {
				_, _, err := p.Grant(ctx, principal, known)
				refused(typeID+" grant", err)
				_, err = p.Revoke(ctx, v2.Grant_builder{Entitlement: known, Principal: principal}.Build())
				refused(typeID+" revoke", err)
			}
			for _, e := range []*v2.Entitlement{nil, {}, {Resource: who(typeID + ":x")}, {Slug: slug, Resource: who(typeID + ":x")}} {
				_, _, err := p.Grant(ctx, who("user:u2"), e)
				refused(typeID+" grant", err)
				_, err = p.Revoke(ctx, v2.Grant_builder{Entitlement: e, Principal: who("user:u2")}.Build())
				refused(typeID+" revoke", err)
			}
			for _, g := range []*v2.Grant{nil, {}, {Id: typeID + ":x:" + slug + ":user:u2"}} {
				_, err := p.Revoke(ctx, g)
				refused(typeID+" revoke", err)
			}
		}
		if d, ok := s.(connectorbuilder.ResourceDeleterV2Limited); ok {
			for _, id := range []*v2.ResourceId{nil, {}, {ResourceType: typeID}, {Resource: "u2"}, resourceID(typeSource, "src")} {
				_, err := d.Delete(ctx, id, nil)
				refused(typeID+" delete", err)
			}
		}
		if m, ok := s.(connectorbuilder.ResourceManagerV2Limited); ok {
			for _, r := range []*v2.Resource{nil, {}} {
				_, _, err := m.Create(ctx, r)
				refused(typeID+" create", err)
			}
		}
	}
	for _, info := range []*v2.AccountInfo{nil, {}, {Emails: []*v2.AccountInfo_Email{nil}}} {
		_, err := f.create(ctx, info)
		refused("create account", err)
	}
	if requests := f.requests(); len(requests) > 0 {
		t.Errorf("requests: %v", requests)
	}
}

// Labels that are too long for an id are known by a checksum: it is enough to
// find what is held, and not to grant it to somebody else.
func TestLabelsByTheirChecksum(t *testing.T) {
	t.Parallel()
	labels := []sim.Label{{Key: "k", Value: strings.Repeat("x", access.MaxLabelID)}}
	ws := writable()
	ws.Users[2].Permissions = append(ws.Users[2].Permissions, sim.Permission{
		RoleID: "src", Resources: []sim.Resource{{ID: workspaceID, Type: "WORKSPACE", Labels: labels}},
	})
	f := newFixture(t, ws)
	ctx := t.Context()
	id := "label:" + access.LabelID([]segmentapi.Label{{Key: labels[0].Key, Value: labels[0].Value}}) + ":src"
	if f.shown(ctx, t, "user:u3")[id+":user:u3"] == nil || !strings.Contains(id, "sha256-") {
		t.Fatalf("%s is not shown", id)
	}
	grants, annos, err := f.grantTo(ctx, id, "user:u3")
	if grant, already := granted(t, grants, annos, err); !already || grant.GetId() != id+":user:u3" {
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
}

// A space is sent in the form that the list has, whatever others hold.
func TestFormsOfSpaces(t *testing.T) {
	t.Parallel()
	for entitlementID, want := range map[string]string{"space:2:uni": "uni on SPACE 2 []", "space:spa_1:uni": "uni on SPACE spa_1 []"} {
		ws := writable()
		ws.Users[2].Permissions = []sim.Permission{{RoleID: "uni", Resources: []sim.Resource{{ID: "spa_2", Type: "SPACE"}, {ID: "1", Type: "SPACE"}}}}
		f := newFixture(t, ws)
		grants, annos, err := f.grantTo(t.Context(), entitlementID, "user:u3")
		if _, already := granted(t, grants, annos, err); !already {
			t.Errorf("%s: held in another form, and granted once more", entitlementID)
		}
		grants, annos, err = f.grantTo(t.Context(), entitlementID, "user:u2")
		granted(t, grants, annos, err)
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
}

// In the place of the last permission stands the least that Segment has, which
// the log says; the SDK is told of the grant that is gone and nothing else.
func TestLastPermission(t *testing.T) {
	t.Parallel()
	ws := writable()
	ws.Users[1].Permissions = []sim.Permission{{RoleID: "src", Resources: []sim.Resource{{ID: "src", Type: "SOURCE"}}}}
	f := newFixture(t, ws)
	ctx, logs := logged(t)
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

// An owner may go as long as another is left.
func TestOwnersButTheLast(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]attempt{
		"role":             revoking("role:owner:assigned", "user:u1"),
		"role of a group":  revoking("role:owner:assigned", "group:g1"),
		"membership":       revoking("workspace:wksp:member", "user:u1"),
		"user":             deleting("user:u1"),
		"member":           revoking("group:g1:member", "user:u2"),
		"group":            deleting("group:g1"),
		"owner by a group": deleting("user:u2"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ws := writable()
				ws.Groups[0].Permissions = append(ws.Groups[0].Permissions, role("member"))
				f := timeless(t, ws)
				before := f.state()
				if annos, err := do(t.Context(), f); err != nil || len(annos) > 0 {
					t.Errorf("%v, %v", annos, err)
				}
				if diff := cmp.Diff(before, f.state()); diff == "" {
					t.Error("nothing has changed")
				}
			})
		})
	}
}

// Who or what is deleted is gone from a sync, and gone for good.
func TestDeleteTwice(t *testing.T) {
	t.Parallel()
	for _, resource := range []string{"user:u3", "invite:new@example.com", "invite:NEWER@example.com", "group:g2"} {
		t.Run(resource, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				f := timeless(t, writable())
				id := who(resource).GetId()
				rows := len(f.list(t)[id.GetResourceType()])
				if annos, err := deleting(resource)(ctx, f); err != nil || len(annos) > 0 {
					t.Errorf("%v, %v", annos, err)
				}
				f.writes()
				if left := f.list(t)[id.GetResourceType()]; len(left) != rows-1 {
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

// The row of a group that is made is that of a sync.
func TestCreateGroup(t *testing.T) {
	t.Parallel()
	f := newFixture(t, writable())
	created, annos, err := syncerOf[*groupSyncer](f, typeGroup).Create(t.Context(), v2.Resource_builder{DisplayName: "Newcomers"}.Build())
	if err != nil || len(annos) > 0 {
		t.Fatal(annos, err)
	}
	listed := find(t, f.list(t)[typeGroup], created.GetId().GetResource())
	if created.GetDisplayName() != "Newcomers" || !proto.Equal(listed, created) {
		t.Errorf("%v, listed as %v", created, listed)
	}
	for _, gate := range []int{400, 404} {
		gated := newFixture(t, writable(), sim.WithoutFeatures(sim.FeatureGroups), sim.WithGateStatus(gate))
		if _, err := creatingGroup("Newcomers")(t.Context(), gated); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "plan may not include user groups") {
			t.Errorf("without groups: %v", err)
		}
	}
}

// Who has accepted and is still listed as invited counts as the user.
func TestMemberWhoseInviteIsStillListed(t *testing.T) {
	t.Parallel()
	joined := func(ws *sim.Workspace) {
		ws.Users = append(ws.Users, sim.User{ID: "u5", Email: "New@example.com", Permissions: []sim.Permission{role("member")}})
	}
	for name, principal := range map[string]string{"as the user": "user:u5", "as the invite": "invite:new@example.com"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ws := writable()
			joined(ws)
			f := newFixture(t, ws)
			grants, annos, err := f.grantTo(t.Context(), "group:g1:member", principal)
			if _, already := granted(t, grants, annos, err); !already {
				t.Error("granted, although a member")
			}
			if annos, err = f.revokeFrom(t.Context(), "group:g1:member", principal); err != nil || len(annos) > 0 {
				t.Errorf("%v, %v", annos, err)
			}
			if diff := cmp.Diff([]string{"Ada@Example.com", "bo@example.com"}, f.state()["members of g1"]); diff != "" {
				t.Errorf("members (-want +got):\n%s", diff)
			}
			if annos, err = f.revokeFrom(t.Context(), "group:g1:member", principal); err != nil || !annos.Contains(&v2.GrantAlreadyRevoked{}) {
				t.Errorf("again: %v, %v", annos, err)
			}
		})
	}
}

// An invite is known by the address as Segment writes it.
func TestInviteInAnotherCase(t *testing.T) {
	t.Parallel()
	f := newFixture(t, writable())
	grants, annos, err := f.grantTo(t.Context(), "group:g2:member", "invite:NEW@Example.com")
	if grant, _ := granted(t, grants, annos, err); grant.GetId() != "group:g2:member:invite:new@example.com" {
		t.Errorf("granted %s", grant.GetId())
	}
	if diff := cmp.Diff([]string{"cy@example.com", "new@example.com"}, f.state()["members of g2"]); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
}

// A caller who leaves is not kept.
func TestCallerWhoLeaves(t *testing.T) {
	t.Parallel()
	for operation, do := range everyWrite() {
		f := newFixture(t, crowded())
		before := f.state()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if annos, err := do(ctx, f); status.Code(err) != codes.Canceled || len(annos) > 0 {
			t.Errorf("%s: %v, %v", operation, annos, err)
		}
		if diff := cmp.Diff(before, f.state()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", operation, diff)
		}
	}
}

// A twin who is in no group must not be made a member in another's place.
func TestTwinOutsideTheGroup(t *testing.T) {
	t.Parallel()
	ws := writable()
	ws.Users = append(ws.Users, sim.User{ID: "u4", Email: "CY@example.com"})
	f := newFixture(t, ws)
	before := f.state()
	_, _, err := f.grantTo(t.Context(), "group:g1:member", "user:u4") // u3 is cy@example.com.
	if status.Code(err) != codes.FailedPrecondition || !cmp.Equal(before, f.state()) {
		t.Errorf("%v; the members are %v", err, f.state()["members of g1"])
	}
}

// What is the id of nothing is not "already revoked".
func TestRevokeOfLabelsThatAreNone(t *testing.T) {
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

// Who is a member is one already.
func TestMemberOfTheWorkspaceAlready(t *testing.T) {
	t.Parallel()
	f := newFixture(t, writable())
	if _, annos, err := f.grantTo(t.Context(), "workspace:wksp:member", "user:u3"); err != nil || !annos.Contains(&v2.GrantAlreadyExists{}) {
		t.Errorf("%v, %v", annos, err)
	}
}

// A group that goes while a user's groups are looked at gives nothing.
func TestGroupThatGoesWhileLookedAt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, writable())
	f.sim.Update(func(ws *sim.Workspace) {
		ws.Groups[0].Permissions = append(ws.Groups[0].Permissions, sim.Permission{RoleID: "src", Resources: []sim.Resource{{ID: "src", Type: "SOURCE"}}})
		ws.Groups[0].Members = []string{"bo@example.com"}
	})
	if err := f.sim.Before("getUserGroup", 1, func(ws *sim.Workspace) { ws.Groups = ws.Groups[1:] }); err != nil {
		t.Fatal(err)
	}
	annos, err := f.revokeFrom(t.Context(), "source:src:src", "user:u2")
	if err != nil || !annos.Contains(&v2.GrantAlreadyRevoked{}) {
		t.Errorf("%v, %v", annos, err)
	}
	if f.requests()["getUserGroup"] != 1 {
		t.Error("the group was not read")
	}
}

// Things of two types may have one id, and a role on one is none on the other.
func TestOneIDOfSeveralTypes(t *testing.T) {
	t.Parallel()
	ws := writable()
	ws.Sources = append(ws.Sources, sim.Source{ID: "same", Slug: "same"})
	ws.Functions = append(ws.Functions, sim.Function{ID: "same", ResourceType: "SOURCE"})
	ws.Spaces = append(ws.Spaces, sim.Space{ID: "same"})
	all := []sim.Resource{{ID: "same", Type: "SOURCE"}, {ID: "same", Type: "FUNCTION"}, {ID: "same", Type: "SPACE"}}
	ids := []string{"source:same:src", "function:same:src", "space:same:src"}
	for i, id := range ids {
		held := ws.Users[1].Permissions
		f := newFixture(t, ws)
		ctx := t.Context()
		f.sim.Update(func(ws *sim.Workspace) {
			ws.Users[1].Permissions = append(slices.Clone(held), sim.Permission{RoleID: "src", Resources: slices.Delete(slices.Clone(all), i, i+1)})
		})
		grants, annos, err := f.grantTo(ctx, id, "user:u2")
		if _, already := granted(t, grants, annos, err); already {
			t.Errorf("%s: said to be held already", id)
		}
		if annos, err = f.revokeFrom(ctx, id, "user:u2"); err != nil || len(annos) > 0 {
			t.Errorf("%s: %v, %v", id, annos, err)
		}
		want := slices.Sorted(slices.Values(holdings(append(slices.Clone(held), sim.Permission{RoleID: "src", Resources: slices.Delete(slices.Clone(all), i, i+1)}))))
		if diff := cmp.Diff(want, f.state()["user:u2"]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
}

// Of two invites that differ in nothing but case, the one that is asked for
// is named in the grant.
func TestOneOfTwoSpellings(t *testing.T) {
	t.Parallel()
	for _, email := range []string{"TWO@example.com", "Two@example.com", "two@example.com"} {
		ws := writable()
		ws.Invites = append(ws.Invites, sim.Invite{Email: "TWO@example.com"}, sim.Invite{Email: "Two@example.com"}, sim.Invite{Email: "two@example.com"})
		f := newFixture(t, ws)
		grants, annos, err := f.grantTo(t.Context(), "group:g2:member", "invite:"+email)
		if grant, already := granted(t, grants, annos, err); already || grant.GetId() != "group:g2:member:invite:"+email {
			t.Errorf("granted %s, already %v", grant.GetId(), already)
		}
	}
}

// Who was invited when the file was synced has joined since: the membership is
// the same, and goes.
func TestMemberWhoHasAcceptedSince(t *testing.T) {
	t.Parallel()
	f := newFixture(t, writable())
	f.sim.Update(func(ws *sim.Workspace) {
		if !ws.Accept("new@example.com", "u9") {
			t.Fatal("nobody was invited")
		}
	})
	if got := f.state()["members of g1"]; !slices.Contains(got, "new@example.com") {
		t.Fatalf("members %v", got)
	}
	annos, err := f.revokeFrom(t.Context(), "group:g1:member", "invite:new@example.com")
	if err != nil || len(annos) > 0 {
		t.Errorf("%v, %v", annos, err)
	}
	if got := f.state()["members of g1"]; slices.Contains(got, "new@example.com") {
		t.Errorf("members %v", got)
	}
}

// An id outweighs the same text as the name of another.
func TestNameThatIsTheIDOfAnother(t *testing.T) {
	t.Parallel()
	for _, first := range []bool{true, false} {
		ws := writable()
		roles, groups := sim.Role{ID: "other", Name: "SRC"}, sim.Group{ID: "g9", Name: "G2"}
		if first {
			ws.Roles, ws.Groups = slices.Insert(ws.Roles, 0, roles), slices.Insert(ws.Groups, 0, groups)
		} else {
			ws.Roles, ws.Groups = append(ws.Roles, roles), append(ws.Groups, groups)
		}
		f := newFixture(t, ws)
		if _, err := f.create(t.Context(), account(map[string]any{"email": "eve@example.com", "role": "src", "groups": "g2"})); err != nil {
			t.Fatal(err)
		}
		after := f.sim.Workspace()
		if diff := cmp.Diff([]string{"src on WORKSPACE wksp []"}, holdings(after.Invites[len(after.Invites)-1].Permissions)); diff != "" {
			t.Errorf("permissions (-want +got):\n%s", diff)
		}
		if !slices.Contains(f.state()["members of g2"], "eve@example.com") || slices.Contains(f.state()["members of g9"], "eve@example.com") {
			t.Errorf("groups: %v", f.state())
		}
	}
}
