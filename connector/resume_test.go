package connector

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// If a list is read again, in a sync that was interrupted and resumed, stored
// details of its rows do not count: they may be a week old.
func TestList_ReadAgainDropsDetails(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small())
	user := rowWithID(t, f.listAll(t)[typeUser], "u1")
	must(f.entitlements(t.Context(), user))(t)
	f.sim.Update(func(ws *sim.Workspace) { ws.Users[0].Permissions = []sim.Permission{role("member")} })

	f.listAll(t)
	must(f.entitlements(t.Context(), user))(t)
	want := []string{"role:member:assigned:user:u1", "workspace:" + workspaceID + ":member:user:u1"}
	if diff := cmp.Diff(want, grantIDs(must(f.grants(t.Context(), user))(t))); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
}

// E-mails of users who are no longer in the list belong to no one.
func TestList_ReadAgainDropsEmails(t *testing.T) {
	t.Parallel()
	ws := small()
	ws.Users = append(ws.Users, sim.User{ID: "old", Email: "twin@example.com"}, sim.User{ID: "mover", Email: "before@example.com"})
	f := newFixture(t, ws)
	f.listAll(t)
	f.sim.Update(func(ws *sim.Workspace) {
		ws.Users[3] = sim.User{ID: "new", Email: "TWIN@example.com"}
		ws.Users[4].Email = "after@example.com"
	})
	group := rowWithID(t, f.listAll(t)[typeGroup], "g2")
	f.inject(t, sim.Fault{Operation: "listInvitesFromUserGroup", Kind: sim.FaultStatus, Status: 200,
		Body: `{"data":{"emails":["twin@example.com","before@example.com"],"pagination":{"current":"MA=="}}}`})
	want := []string{"group:g2:member:user:u3", "group:g2:member:user:new"}
	if diff := cmp.Diff(want, grantIDs(must(f.grants(t.Context(), group))(t))); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
}

// Rows that are no longer in the list are unlisted, and e-mails of former users
// may be those of invites.
func TestList_ReadAgainDropsRows(t *testing.T) {
	t.Parallel()
	ws := small()
	ws.Users[1].Permissions = []sim.Permission{{RoleID: "owner", Resources: []sim.Resource{{ID: "src", Type: "SOURCE"}, {ID: workspaceID, Type: "WORKSPACE"}}}}
	f := newFixture(t, ws)
	f.listAll(t)
	f.sim.Update(func(ws *sim.Workspace) {
		ws.Sources, ws.Roles = nil, ws.Roles[1:]
		ws.Users = ws.Users[1:]
		ws.Invites = append(ws.Invites, sim.Invite{Email: "Ada@Example.com"})
	})
	rows := f.listAll(t)
	user := rowWithID(t, rows[typeUser], "u2")
	must(f.entitlements(t.Context(), user))(t)
	must(allPages(f, func(o rs.SyncOpAttrs) ([]*v2.Grant, *rs.SyncOpResults, error) {
		page, res, err := f.syncer(user).Grants(t.Context(), user, o)
		for _, g := range page {
			if kind := g.GetEntitlement().GetResource().GetId().GetResourceType(); kind != typeWorkspace && !res.Annotations.Contains(&v2.InsertResourceGrants{}) {
				t.Errorf("%s is on a page without inserts", g.GetId())
			}
		}
		return page, res, err
	}))(t)
	want := []string{"group:g1:member:user:u2", "group:g1:member:invite:Ada@Example.com", "group:g1:member:invite:new@example.com", "role:owner:assigned:group:g1"}
	got := grantIDs(must(f.grants(t.Context(), rowWithID(t, rows[typeGroup], "g1")))(t))
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
}

// A sync may be resumed by another process without notice to this one.
// Entitlements that this one returned are in the file and must be granted.
func TestEntitlements_SyncResumedByAnotherProcess(t *testing.T) {
	t.Parallel()
	ws := small()
	ws.Users[1].Permissions = []sim.Permission{{RoleID: "owner", Resources: []sim.Resource{{ID: "gone", Type: "SOURCE"}}}}
	f := newFixture(t, ws)
	user := rowWithID(t, f.listAll(t)[typeUser], "u2")
	must(f.entitlements(t.Context(), user))(t)
	must(f.inAnotherProcess().Validate(t.Context()))(t)
	f.sim.Update(func(ws *sim.Workspace) { ws.Users[1].Permissions = nil })
	must(f.entitlements(t.Context(), user))(t)
	want := []string{"workspace:" + workspaceID + ":member:user:u2", "source:gone:owner:user:u2"}
	if diff := cmp.Diff(want, grantIDs(must(f.grants(t.Context(), user))(t))); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
}

// The caller may give up a call and make it again in another process, while the
// first still waits for Segment. The rows are those of the list, whichever
// answer is last.
func TestList_LateAnswerOfAnAbandonedCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newInMemoryFixture(t, small())
		f.inject(t, sim.Fault{Operation: "listUsers", Ordinal: 1, Kind: sim.FaultDelay, Delay: time.Minute})
		abandoned := make(chan error, 1)
		first, opts := syncerOf[*userSyncer](f, typeUser), f.opts()
		go func() {
			_, _, err := first.List(t.Context(), nil, opts)
			abandoned <- err
		}()
		<-time.After(time.Second) // The call waits for Segment.
		other := f.inAnotherProcess()
		rows := other.listAll(t)
		if err := <-abandoned; err != nil {
			t.Fatal(err)
		}
		want := []string{"group:g1:member:user:u1", "group:g1:member:user:u2", "group:g1:member:invite:new@example.com", "role:owner:assigned:group:g1"}
		if diff := cmp.Diff(want, grantIDs(must(other.grants(t.Context(), rowWithID(t, rows[typeGroup], "g1")))(t))); diff != "" {
			t.Errorf("grants (-want +got):\n%s", diff)
		}
	})
}

// The same for roles, in a sync that leaves out their type.
func TestStaticEntitlements_LateAnswerOfAnAbandonedCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newInMemoryFixture(t, full())
		static := func(f *fixture, typeID string) ([]*v2.Entitlement, error) {
			return allPages(f, func(o rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
				return typed{c: f.Connector, kind: kindOf(typeID)}.StaticEntitlements(t.Context(), o)
			})
		}
		for _, typeID := range []string{typeSource, typeSpace} {
			if err := f.tracker.Open(f.opts(), segmentapi.FoldEmail).AddRows(t.Context(), typeID, nil); err != nil {
				t.Fatal(err)
			}
		}
		f.inject(t, sim.Fault{Operation: "listRoles", Ordinal: 1, Kind: sim.FaultDelay, Delay: time.Minute})
		abandoned := make(chan error, 1)
		first := f.inAnotherProcess()
		go func() {
			_, err := static(first, typeSource)
			abandoned <- err
		}()
		<-time.After(time.Second) // The call waits for Segment.
		must(static(f, typeSource))(t)
		if err := <-abandoned; err != nil {
			t.Fatal(err)
		}
		if rows := must(static(f, typeSpace))(t); len(rows) != 1 {
			t.Errorf("spaces have the entitlements %v, want one", rows)
		}
	})
}
