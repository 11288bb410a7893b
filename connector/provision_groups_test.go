package connector

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// Create returns the row that a sync has. If the plan may lack groups, the error
// says so.
func TestCreate_Group(t *testing.T) {
	t.Parallel()
	f := newFixture(t, writable())
	created, annos, err := syncerOf[*groupSyncer](f, typeGroup).Create(t.Context(), v2.Resource_builder{DisplayName: "Newcomers"}.Build())
	if err != nil || len(annos) > 0 {
		t.Fatal(annos, err)
	}
	listed := rowWithID(t, f.listAll(t)[typeGroup], created.GetId().GetResource())
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

// The grant has the e-mail of an invite as Segment writes it.
func TestGrant_InviteInOtherCase(t *testing.T) {
	t.Parallel()
	f := newFixture(t, writable())
	grants, annos, err := f.grantTo(t.Context(), "group:g2:member", "invite:NEW@Example.com")
	if grant, _ := onlyGrant(t, grants, annos, err); grant.GetId() != "group:g2:member:invite:new@example.com" {
		t.Errorf("granted %s", grant.GetId())
	}
	if diff := cmp.Diff([]string{"cy@example.com", "new@example.com"}, f.state()["members of g2"]); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
}

// If several invites differ only in case, the grant has the one that was asked
// for.
func TestGrant_InvitesThatDifferInCase(t *testing.T) {
	t.Parallel()
	for _, email := range []string{"TWO@example.com", "Two@example.com", "two@example.com"} {
		ws := writable()
		ws.Invites = append(ws.Invites, sim.Invite{Email: "TWO@example.com"}, sim.Invite{Email: "Two@example.com"}, sim.Invite{Email: "two@example.com"})
		f := newFixture(t, ws)
		grants, annos, err := f.grantTo(t.Context(), "group:g2:member", "invite:"+email)
		if grant, already := onlyGrant(t, grants, annos, err); already || grant.GetId() != "group:g2:member:invite:"+email {
			t.Errorf("granted %s, already %v", grant.GetId(), already)
		}
	}
}

// A person who has accepted and is still listed as invited counts as the user.
func TestGrantAndRevoke_MemberStillInvited(t *testing.T) {
	t.Parallel()
	joined := func(ws *sim.Workspace) {
		ws.Users = append(ws.Users, sim.User{ID: "u5", Email: "New@example.com", Permissions: []sim.Permission{role("member")}})
	}
	for name, principal := range map[string]string{"as the user": "user:u5", "as the invite": "invite:new@example.com"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ws := writable()
				joined(ws)
				f := newInMemoryFixture(t, ws)
				grants, annos, err := f.grantTo(t.Context(), "group:g1:member", principal)
				if _, already := onlyGrant(t, grants, annos, err); !already {
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
		})
	}
}

// If an invite was accepted after the sync, its membership is revoked all the
// same.
func TestRevoke_MemberJoinedSince(t *testing.T) {
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

// A user whose e-mail differs only in case from that of a member is refused:
// Segment might add the wrong one.
func TestGrant_MemberHasTheSameEmail(t *testing.T) {
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

// A list that changes while it is read may have a group twice. The error names
// it once.
func TestRevoke_GroupListedTwice(t *testing.T) {
	t.Parallel()
	ws := writable()
	ws.Groups[1].Permissions = []sim.Permission{{RoleID: "src", Resources: []sim.Resource{{ID: "src", Type: "SOURCE"}}}}
	f := newFixture(t, ws)
	f.inject(t, sim.Fault{Operation: "listUserGroupsFromUser", Kind: sim.FaultRepeatRow})
	const once = `through the group "g2" (g2): `
	if _, err := revoking("source:src:src", "user:u3")(t.Context(), f); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), once) {
		t.Errorf("%v does not say %s", err, once)
	}
}

// A group that is deleted while a user's groups are read gives nothing.
func TestRevoke_GroupDeletedMeanwhile(t *testing.T) {
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
	if f.requestCounts()["getUserGroup"] != 1 {
		t.Error("the group was not read")
	}
}

// Segment knows the members of a group by address. Addresses that differ in more than
// the case of A to Z are those of different people, so each is changed alone.
func TestGrantAndRevoke_MembersWhoseEmailsLookAlike(t *testing.T) {
	t.Parallel()
	for name, pair := range map[string][2]string{
		"KELVIN SIGN":                    {"kate@example.com", "\u212aate@example.com"},
		"LATIN CAPITAL I WITH DOT ABOVE": {"ian@example.com", "\u0130an@example.com"},
		"a no-break space":               {"ann@example.com", "ann@example.com\u00a0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ws := writable()
			ws.Users = append(ws.Users, sim.User{ID: "a", Email: pair[0]}, sim.User{ID: "b", Email: pair[1]})
			f := newFixture(t, ws)
			for _, principal := range []string{"user:a", "user:b"} {
				other := segmentapi.ErrAmbiguous
				if _, _, err := f.grantTo(t.Context(), "group:g2:member", principal); errors.Is(err, other) {
					t.Errorf("granting to %s: %v", principal, err)
				}
				if _, err := f.revokeFrom(t.Context(), "group:g2:member", principal); errors.Is(err, other) {
					t.Errorf("revoking from %s: %v", principal, err)
				}
			}
		})
	}
}

// An invite is not another one whose address looks alike.
func TestGrant_InviteWhoseEmailLooksLikeAnother(t *testing.T) {
	t.Parallel()
	ws := writable()
	ws.Invites = []sim.Invite{{Email: "\u212aate@example.com"}, {Email: "ian@example.com\u00a0"}}
	f := newFixture(t, ws)
	for _, email := range []string{"kate@example.com", "ian@example.com", "\u0130an@example.com"} {
		if _, _, err := f.grantTo(t.Context(), "group:g2:member", "invite:"+email); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "is no longer invited") {
			t.Errorf("%q: %v", email, err)
		}
	}
	if writes := f.writes(); len(writes) > 0 {
		t.Errorf("it wrote %v", writes)
	}
}
