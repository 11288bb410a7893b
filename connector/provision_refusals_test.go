package connector

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// Missing arguments are refused before any request.
func TestProvisioning_MissingArguments(t *testing.T) {
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
			known := bareEntitlement(typeID + ":x:" + slug)
			for _, principal := range []*v2.Resource{nil, {}, {Id: &v2.ResourceId{}}, {Id: &v2.ResourceId{ResourceType: typeUser}}, {Id: &v2.ResourceId{Resource: "u2"}}} {
				_, _, err := p.Grant(ctx, principal, known)
				refused(typeID+" grant", err)
				_, err = p.Revoke(ctx, v2.Grant_builder{Entitlement: known, Principal: principal}.Build())
				refused(typeID+" revoke", err)
			}
			for _, e := range []*v2.Entitlement{nil, {}, {Resource: principalOf(typeID + ":x")}, {Slug: slug, Resource: principalOf(typeID + ":x")}} {
				_, _, err := p.Grant(ctx, principalOf("user:u2"), e)
				refused(typeID+" grant", err)
				_, err = p.Revoke(ctx, v2.Grant_builder{Entitlement: e, Principal: principalOf("user:u2")}.Build())
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
		_, err := f.createAccount(ctx, info)
		refused("create account", err)
	}
	if requests := f.requestCounts(); len(requests) > 0 {
		t.Errorf("requests: %v", requests)
	}
}

// Each refusal has its code and message, and changes nothing.
func TestProvisioning_Refusals(t *testing.T) {
	t.Parallel()
	sum := "label:" + access.LabelID([]segmentapi.Label{{Key: padToMaxLabelID(""), Value: "x"}}) + ":src"
	held := func(principal string, permissions ...sim.Permission) func(*sim.Workspace) {
		return func(ws *sim.Workspace) {
			for i := range ws.Users {
				if "user:"+ws.Users[i].ID == principal {
					ws.Users[i].Permissions = permissions
				}
			}
			for i := range ws.Groups {
				if "group:"+ws.Groups[i].ID == principal {
					ws.Groups[i].Permissions = permissions
				}
			}
		}
	}
	onSource := sim.Permission{RoleID: "src", Resources: []sim.Resource{{ID: "src", Type: "SOURCE"}}}
	combined := func(edits ...func(*sim.Workspace)) func(*sim.Workspace) {
		return func(ws *sim.Workspace) {
			for _, edit := range edits {
				edit(ws)
			}
		}
	}
	noMinimal := func(ws *sim.Workspace) { ws.Roles[1].Name = "Something else" }
	sameEmail := func(ws *sim.Workspace) { ws.Users = append(ws.Users, sim.User{ID: "u4", Email: "CY@example.com"}) }
	// The only owner is u1, directly.
	oneOwner := func(ws *sim.Workspace) {
		held("user:u1", role("owner"), role("member"))(ws)
		held("user:u3", role("member"))(ws)
		held("group:g1", role("member"))(ws)
	}
	// The only owner is u2, through g1.
	oneMember := func(ws *sim.Workspace) {
		held("user:u1", role("member"))(ws)
		held("user:u3", role("member"))(ws)
		ws.Groups[0].Members = []string{"bo@example.com"}
	}
	for name, c := range map[string]struct {
		edit func(*sim.Workspace)
		do   attempt
		code codes.Code
		says string
	}{
		// Principals.
		"a role to an invite": {nil, granting("source:src:src", "invite:new@example.com"), codes.FailedPrecondition,
			`new@example.com is invited and cannot get or lose roles: Segment does not show what an invite gives; add the invite to a group, or delete it and send one with another role`},
		"a role from an invite": {nil, revoking("role:src:assigned", "invite:new@example.com"), codes.FailedPrecondition,
			`new@example.com is invited and cannot get or lose roles: Segment does not show what an invite gives; add the invite to a group, or delete it and send one with another role`},
		"a role to a source": {nil, granting("source:src:src", "source:src"), codes.InvalidArgument,
			`source "src" cannot be the principal: use a user or group`},
		"a group to a group": {nil, granting("group:g1:member", "group:g2"), codes.InvalidArgument,
			`group "g2" cannot be the principal: use a user or invite`},
		"a role to no principal": {nil, granting("source:src:src", "user:"), codes.InvalidArgument,
			`the principal has no id`},
		"a role to a deleted user": {nil, granting("source:src:src", "user:gone"), codes.NotFound,
			`Segment no longer has user gone: sync again`},
		"a role to a deleted group": {nil, granting("role:src:assigned", "group:gone"), codes.NotFound,
			`Segment no longer has group gone: sync again`},
		"a group to a deleted user": {nil, granting("group:g1:member", "user:gone"), codes.NotFound,
			`Segment no longer has user gone: sync again`},
		"a deleted group": {nil, granting("group:gone:member", "user:u3"), codes.NotFound,
			`Segment no longer has group gone: sync again`},
		"a group to an accepted invite": {nil, granting("group:g1:member", "invite:gone@example.com"), codes.FailedPrecondition,
			`gone@example.com is no longer invited: if the person has joined, sync again and grant it to the user`},
		"a group to a user without an e-mail": {func(ws *sim.Workspace) { ws.Users[2].Email = "" }, granting("group:g1:member", "user:u3"), codes.FailedPrecondition,
			`reading user u3: the user has no e-mail, by which Segment's groups know their members: ambiguous: make the change in Segment`},
		// Entitlements.
		"the workspace": {nil, granting("workspace:wksp:member", "invite:new@example.com"), codes.FailedPrecondition,
			`a user cannot be added to the workspace directly: create an account instead, which sends an invite`},
		"an unknown role": {nil, granting("source:src:gone", "user:u3"), codes.InvalidArgument,
			`granting source:src:gone to user u3: segment addPermissionsToUser (POST /users/u3/permissions): 422 Unprocessable Entity; "permissions.0.roleId" is not a role (field permissions.0.roleId); Segment may not allow this role there, or one of the two no longer exists: sync again and use ids from the new file`},
		"a deleted source": {nil, granting("source:gone:src", "group:g2"), codes.InvalidArgument,
			`granting source:gone:src to group g2: segment addPermissionsToUserGroup (POST /groups/g2/permissions): 422 Unprocessable Entity; "permissions.0.resources.0.id" is not a resource of this type in the workspace (field permissions.0.resources.0.id); Segment may not allow this role there, or one of the two no longer exists: sync again and use ids from the new file`},
		"a deleted label": {nil, granting("label:env=gone:src", "user:u3"), codes.InvalidArgument,
			`granting label:env=gone:src to user u3: segment user u3: invalid value: the workspace has no label env=gone: create it first; Segment may not allow this role there, or one of the two no longer exists: sync again and use ids from the new file`},
		"a label without a value": {nil, granting("label:env=:src", "user:u3"), codes.InvalidArgument,
			`granting label:env=:src to user u3: segmentapi: invalid argument: the assignment of role src has a label without key or value`},
		"an invalid label id": {nil, granting("label:b=1,a=2:src", "user:u3"), codes.InvalidArgument,
			`"b=1,a=2" is not the id of a label or of a set of labels`},
		"labels by their checksum": {nil, granting(sum, "user:u3"), codes.FailedPrecondition,
			`label:sha256-45ee020c910323b26db5c418fc84ba0002643389104fffce24513095d1ec4ec6:src stands for labels that are too long to be told from its id, so it can be revoked but not granted: grant the role in Segment`},
		"an entitlement of one word": {nil, granting("source", "user:u3"), codes.InvalidArgument,
			`"source" is not the id of an entitlement, which is type:resource:slug`},
		// Revocations.
		"another workspace": {nil, revoking("workspace:other:member", "user:u3"), codes.FailedPrecondition,
			`the token belongs to workspace wksp, not to workspace other: use the token that the file was synced with, or sync into a new file`},
		"a role held through a group": {held("group:g2", onSource), revoking("source:src:src", "user:u3"), codes.FailedPrecondition,
			`user u3 holds source:src:src not directly but through the group "g2" (g2): take the user out of the group, or revoke it from the group`},
		"a role held through two groups": {combined(held("group:g1", onSource), held("group:g2", onSource), func(ws *sim.Workspace) {
			ws.Groups[0].Members = append(ws.Groups[0].Members, "cy@example.com")
		}), revoking("source:src:src", "user:u3"), codes.FailedPrecondition,
			`user u3 holds source:src:src not directly but through the groups "Owners" (g1) and "g2" (g2): take the user out of the groups, or revoke it from the groups`},
		"the last permission, Minimal Workspace Access": {nil, revoking("role:member:assigned", "user:u2"), codes.FailedPrecondition,
			`revoking role:member:assigned from user u2: segment user u2: the last permission cannot be revoked: it is Minimal Workspace Access on WORKSPACE wksp, the least that Segment offers: remove the user from the workspace, or delete the group, instead`},
		"the last permission without Minimal Workspace Access": {combined(noMinimal, held("user:u2", onSource)), revoking("source:src:src", "user:u2"), codes.FailedPrecondition,
			`revoking source:src:src from user u2: segment user u2: the last permission cannot be revoked: segment listRoles (GET /roles): not found: no role has the name "Minimal Workspace Access": remove the user from the workspace, or delete the group, instead`},
		"a group to a user with another's e-mail": {sameEmail, granting("group:g2:member", "user:u4"), codes.FailedPrecondition,
			`adding user u4 to group g2: user u3, who is in the group, has the same address but for case: ambiguous: make the change in Segment`},
		"the membership of a user with another's e-mail": {sameEmail, revoking("group:g2:member", "user:u4"), codes.FailedPrecondition,
			`removing user u4 from group g2: user u3, who is in the group, has the same address but for case: ambiguous: make the change in Segment`},
		// The last owner of the workspace.
		"the last owner's role": {oneOwner, revoking("role:owner:assigned", "user:u1"), codes.FailedPrecondition,
			`revoking role:owner:assigned from user u1: segment user u1: segmentapi: no other Workspace Owner found: grant the role Workspace Owner to another user first: nobody can manage a workspace without an owner`},
		"the last owner's membership": {oneOwner, revoking("workspace:wksp:member", "user:u1"), codes.FailedPrecondition,
			`removing user u1: segment user u1: segmentapi: no other Workspace Owner found: grant the role Workspace Owner to another user first: nobody can manage a workspace without an owner`},
		"the last owner": {oneOwner, deleting("user:u1"), codes.FailedPrecondition,
			`removing user u1: segment user u1: segmentapi: no other Workspace Owner found: grant the role Workspace Owner to another user first: nobody can manage a workspace without an owner`},
		"the last owners' role": {oneMember, revoking("role:owner:assigned", "group:g1"), codes.FailedPrecondition,
			`revoking role:owner:assigned from group g1: segment group g1: segmentapi: no other Workspace Owner found: grant the role Workspace Owner to another user first: nobody can manage a workspace without an owner`},
		"the last owner in a group": {oneMember, revoking("group:g1:member", "user:u2"), codes.FailedPrecondition,
			`removing user u2 from group g1: segment group g1: segmentapi: no other Workspace Owner found: grant the role Workspace Owner to another user first: nobody can manage a workspace without an owner`},
		"the last owner of a group": {oneMember, deleting("user:u2"), codes.FailedPrecondition,
			`removing user u2: segment user u2: segmentapi: no other Workspace Owner found: grant the role Workspace Owner to another user first: nobody can manage a workspace without an owner`},
		"the group of the last owner": {oneMember, deleting("group:g1"), codes.FailedPrecondition,
			`removing group g1: segment group g1: segmentapi: no other Workspace Owner found: grant the role Workspace Owner to another user first: nobody can manage a workspace without an owner`},
		"an owner, if the owner role is unknown": {func(ws *sim.Workspace) { ws.Roles[0].Name = "Renamed" }, revoking("role:owner:assigned", "user:u1"), codes.FailedPrecondition,
			`revoking role:owner:assigned from user u1: segmentapi: an edit of workspace-wide roles needs to know who owns the workspace: segment listRoles (GET /roles): not found: no role has the name "Workspace Owner"`},
		// New groups.
		"a group of the same name": {nil, creatingGroup("owners"), codes.AlreadyExists,
			`creating group "owners": segment createUserGroup (POST /groups): conflict: group g1 already has the name "Owners": two groups with the same name could not be told apart`},
		"a group without a name": {nil, creatingGroup(""), codes.InvalidArgument,
			`a group needs a display name, which becomes its name in Segment`},
		"a group with a space first": {nil, creatingGroup(" x"), codes.InvalidArgument,
			`creating group " x": segmentapi: invalid argument: the group name " x" is empty, begins or ends with a space or has control characters`},
		// Invalid ids.
		"a user without an id": {nil, deleting("user:"), codes.InvalidArgument,
			`user "" is not the id of a user`},
		"a user by e-mail": {nil, deleting("user:bo@example.com"), codes.InvalidArgument,
			`"bo@example.com" is an e-mail and not the id of a user: to remove a user, use the id of the user's row; to withdraw an invite, use the e-mail with the resource type invite`},
		"a group by e-mail": {nil, deleting("group:bo@example.com"), codes.InvalidArgument,
			`"bo@example.com" is an e-mail and not the id of a group: use the id of the group's row`},
		"an invite by another id": {nil, deleting("invite:u2"), codes.InvalidArgument,
			`"u2" is not the id of an invite, which is the e-mail: to remove a user, use the id with the resource type user`},
		"a user by the id of a row": {nil, deleting("user:bid:r:user/u2"), codes.InvalidArgument,
			`"bid:r:user/u2" is not a Segment id: use the part after the last slash`},
		"a member of the workspace by e-mail": {nil, revoking("workspace:wksp:member", "user:bo@example.com"), codes.InvalidArgument,
			`"bo@example.com" is an e-mail and not the id of a user: to remove a user, use the id of the user's row; to withdraw an invite, use the e-mail with the resource type invite`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ws := writable()
				if c.edit != nil {
					c.edit(ws)
				}
				f := newInMemoryFixture(t, ws)
				before := f.state()
				annos, err := c.do(t.Context(), f)
				if got := status.Convert(err); got.Code() != c.code || got.Message() != c.says || len(annos) > 0 {
					t.Errorf("%s with %v: %s\nwant %s: %s", got.Code(), annos, got.Message(), c.code, c.says)
				}
				if diff := cmp.Diff(before, f.state()); diff != "" {
					t.Errorf("the workspace (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// If the role that replaces a last permission cannot be read, the code is that
// of the failed read.
func TestRevoke_LastPermissionInAnOutage(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"listRoles", "getWorkspace"} {
		for code, want := range map[int]codes.Code{401: codes.Unauthenticated, 403: codes.PermissionDenied, 500: codes.Internal, 503: codes.Unavailable} {
			t.Run(operation+" "+http.StatusText(code), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					ws := writable()
					ws.Users[1].Permissions = []sim.Permission{{RoleID: "src", Resources: []sim.Resource{{ID: "src", Type: "SOURCE"}}}}
					f := newInMemoryFixture(t, ws)
					f.inject(t, sim.Fault{Operation: operation, Kind: sim.FaultStatus, Status: code})
					if _, err := f.revokeFrom(t.Context(), "source:src:src", "user:u2"); status.Code(err) != want {
						t.Errorf("%v, want %s", err, want)
					}
				})
			})
		}
	}
}

// An error adds advice to Segment's own words.
func TestProvisioning_RefusalsGiveAdvice(t *testing.T) {
	t.Parallel()
	for _, code := range []int{400, 409, 413, 422} {
		for operation, do := range oneAttemptPerOperation() {
			t.Run(operation+" "+http.StatusText(code), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := newInMemoryFixture(t, writableWithHoldings())
					f.inject(t, sim.Fault{Operation: operation, Kind: sim.FaultStatus, Status: code})
					if _, err := do(t.Context(), f); strings.HasSuffix(status.Convert(err).Message(), "Injected by a fault plan") {
						t.Errorf("no advice: %v", err)
					}
				})
			})
		}
	}
}
