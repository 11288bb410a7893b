package connector

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// grantPages returns a line for each page of grants: the requests it made and
// the grants it has.
func (f *fixture) grantPages(t *testing.T, r *v2.Resource) []string {
	t.Helper()
	var all []string
	f.sim.ResetJournal()
	must(allPages(f, func(o rs.SyncOpAttrs) ([]*v2.Grant, *rs.SyncOpResults, error) {
		grants, res, err := f.syncer(r).Grants(t.Context(), r, o)
		var asked []string
		for _, request := range f.sim.Journal() {
			asked = append(asked, request.Operation)
		}
		f.sim.ResetJournal()
		all = append(all, strings.TrimSpace(strings.Join(asked, " ")+": "+strings.Join(grantIDs(grants), " ")))
		return grants, res, err
	}))(t)
	return all
}

// The pages of a group's grants are its users, its invites unless the workspace
// has none, and what it holds. Each makes one request at most.
func TestGrants_GroupPages(t *testing.T) {
	t.Parallel()
	const users, invites = "group:g1:member:user:u1 group:g1:member:user:u2", "group:g1:member:invite:new@example.com"
	const held, unlisted = "role:owner:assigned:group:g1", "source:gone:src:group:g1"
	list := func(t *testing.T, f *fixture) {
		f.listAll(t)
		must(f.entitlements(t.Context(), must(groupResource("", segmentapiGroup("g1")))(t)))(t)
	}
	noInvites := func(ws *sim.Workspace) { ws.Invites = nil }
	for name, c := range map[string]struct {
		size   int
		edit   func(*sim.Workspace)
		before func(*testing.T, *fixture)
		want   []string
	}{
		"after all lists": {before: list, want: []string{
			"listUsersFromUserGroup: " + users, "listInvitesFromUserGroup: " + invites, ": " + held, ": " + unlisted,
		}},
		"page by page": {size: 1, before: list, want: []string{
			"listUsersFromUserGroup: group:g1:member:user:u1", "listUsersFromUserGroup: group:g1:member:user:u2",
			"listInvitesFromUserGroup: " + invites, ": " + held, ": " + unlisted,
		}},
		"no invites": {edit: noInvites, before: list, want: []string{
			"listUsersFromUserGroup: " + users, ": " + held, ": " + unlisted,
		}},
		// Without lists nothing is unlisted.
		"nothing listed": {want: []string{
			"listUsersFromUserGroup: " + users, "listInvitesFromUserGroup: " + invites, "getUserGroup: " + held + " " + unlisted,
		}},
		"nothing listed, no invites": {edit: noInvites, want: []string{
			"listUsersFromUserGroup: " + users, "listInvitesFromUserGroup:", "getUserGroup: " + held + " " + unlisted,
		}},
		"invites not listed to the end": {
			edit: noInvites, before: func(t *testing.T, f *fixture) {
				for _, typeID := range kindIDs(func(k *kind) bool { return k.id != typeInvite }) {
					must(f.listType(t.Context(), typeID))(t)
				}
				must(f.staticEntitlements(t))(t)
				f.keepOwner(t.Context(), t)
			},
			want: []string{"listUsersFromUserGroup: " + users, "listInvitesFromUserGroup:", "getUserGroup: " + held, ": " + unlisted},
		},
		"no store": {edit: noInvites, before: func(_ *testing.T, f *fixture) { f.session = nil }, want: []string{
			"listUsersFromUserGroup: " + users, "listInvitesFromUserGroup:", "getUserGroup: " + held + " " + unlisted,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ws := full()
			ws.Groups[0].Permissions = append(ws.Groups[0].Permissions, sim.Permission{RoleID: "src", Resources: []sim.Resource{{ID: "gone", Type: "SOURCE"}}})
			if c.edit != nil {
				c.edit(ws)
			}
			f := newPagedFixture(t, ws, c.size)
			f.validate(t)
			if c.before != nil {
				c.before(t, f)
			}
			if diff := cmp.Diff(c.want, f.grantPages(t, must(groupResource("", segmentapiGroup("g1")))(t))); diff != "" {
				t.Errorf("pages (-want +got):\n%s", diff)
			}
		})
	}
}

// The roles that a group holds expand to its users.
func TestGrants_GroupPermissionsExpandToUsers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small())
	group := rowWithID(t, f.listAll(t)[typeGroup], "g1")
	for _, g := range must(f.grants(t.Context(), group))(t) {
		var e v2.GrantExpandable
		annos := annotations.Annotations(g.GetAnnotations())
		expands, err := annos.Pick(&e)
		if err != nil {
			t.Fatal(err)
		}
		if byGroup := g.GetPrincipal().GetId().GetResourceType() == typeGroup; expands != byGroup {
			t.Errorf("%s: expands is %v", g.GetId(), expands)
		}
		if expands && (!slices.Equal(e.GetEntitlementIds(), []string{"group:g1:member"}) || !e.GetShallow() || !slices.Equal(e.GetResourceTypeIds(), []string{typeUser})) {
			t.Errorf("%s expands as %v", g.GetId(), &e)
		}
	}
}

// If a request of a group is not found twice, the group holds nothing and no
// more requests are made. The page for unlisted resources remains, because the
// entitlements on them are in the file.
func TestGrants_GroupGone(t *testing.T) {
	t.Parallel()
	const users = "group:g1:member:user:u1 group:g1:member:user:u2"
	for operation, want := range map[string][]string{
		"getUserGroup":             {":"},
		"listUsersFromUserGroup":   {"listUsersFromUserGroup listUsersFromUserGroup:", ": source:gone:src:group:g1"},
		"listInvitesFromUserGroup": {"listUsersFromUserGroup: " + users, "listInvitesFromUserGroup listInvitesFromUserGroup:", ": source:gone:src:group:g1"},
	} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ws := full()
				ws.Groups[0].Permissions = append(ws.Groups[0].Permissions, sim.Permission{RoleID: "src", Resources: []sim.Resource{{ID: "gone", Type: "SOURCE"}}})
				f := newInMemoryFixture(t, ws)
				group := rowWithID(t, f.listAll(t)[typeGroup], "g1")
				f.inject(t, sim.Fault{Operation: operation, Kind: sim.FaultStatus, Status: http.StatusNotFound})
				must(f.entitlements(t.Context(), group))(t)
				if diff := cmp.Diff(want, f.grantPages(t, group)); diff != "" {
					t.Errorf("pages (-want +got):\n%s", diff)
				}
			})
		})
	}
	t.Run("what it holds", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			f := newInMemoryFixture(t, full())
			f.session = nil // So that the detail is read again.
			f.inject(t, sim.Fault{Operation: "getUserGroup", Kind: sim.FaultStatus, Status: http.StatusNotFound})
			group := must(groupResource("", segmentapiGroup("g1")))(t)
			want := []string{"group:g1:member:user:u1", "group:g1:member:user:u2", "group:g1:member:invite:new@example.com"}
			if diff := cmp.Diff(want, grantIDs(must(f.grants(t.Context(), group))(t))); diff != "" {
				t.Errorf("grants (-want +got):\n%s", diff)
			}
		})
	})
}

// A group that is gone when its members are read is not asked for again.
func TestGrants_GroupGoneStaysGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newInMemoryFixture(t, usersAndEmptyGroups(0, 3))
		group := f.listAll(t)[typeGroup][0]
		must(f.entitlements(t.Context(), group))(t)
		f.inject(t, sim.Fault{Operation: "listUsersFromUserGroup", Kind: sim.FaultStatus, Status: http.StatusNotFound})
		f.requestCounts()
		for range 2 {
			must(f.grants(t.Context(), group))(t)
		}
		if diff := cmp.Diff(map[string]int{"listUsersFromUserGroup": 2}, f.requestCounts()); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
	})
}

// A pending member is a user if the e-mail is that of one: Segment lists an
// invite for a while after it was accepted. The same spelling is preferred to
// one that differs in case. An e-mail that no list has gets no grant.
func TestGrants_PendingMembers(t *testing.T) {
	t.Parallel()
	ws := small()
	ws.Users = []sim.User{
		{ID: "upper", Email: "TWIN@example.com"}, {ID: "lower", Email: "twin@example.com"}, {ID: "mixed", Email: "Mixed@Example.com"},
		{ID: "spaced", Email: " spaced@example.com"}, {ID: "nobody"},
		{ID: "kelvin", Email: "\u212aate@example.com"}, {ID: "kate", Email: "Kate@example.com"},
	}
	ws.Invites = []sim.Invite{
		{Email: "PAIR@example.com"}, {Email: "pair@example.com"}, {Email: "Alone@example.com"}, {Email: "mixed@example.com"}, {Email: "TWIN@EXAMPLE.com"},
		{Email: "ian@example.com"}, {Email: "\u00e9ve@example.com"},
	}
	first := newFixture(t, ws)
	group := rowWithID(t, first.listAll(t)[typeGroup], "g2")
	for emails, want := range map[[2]string]string{
		// A user is preferred to an invite, in every spelling.
		{"TWIN@example.com"}:  "user:upper",
		{"twin@example.com"}:  "user:lower",
		{"Twin@example.com"}:  "user:lower",
		{"Mixed@Example.com"}: "user:mixed",
		{"MIXED@EXAMPLE.COM"}: "user:mixed",
		{"mixed@example.com"}: "user:mixed",
		{"TWIN@EXAMPLE.com"}:  "user:lower",
		{"PAIR@example.com"}:  "invite:PAIR@example.com",
		{"pair@example.com"}:  "invite:pair@example.com",
		{"Pair@example.com"}:  "invite:pair@example.com",
		{"Alone@example.com"}: "invite:Alone@example.com",
		{"alone@EXAMPLE.com"}: "invite:Alone@example.com",
		// Only A to Z have a case. Other characters that look alike, and blanks, are those
		// of other people.
		{"spaced@example.com"}:    "",
		{" SPACED@example.com"}:   "user:spaced",
		{"kate@example.com"}:      "user:kate",
		{"\u212aate@example.com"}: "user:kelvin",
		{"\u212aATE@EXAMPLE.COM"}: "user:kelvin",
		{"ian@example.com"}:       "invite:ian@example.com",
		{"\u0130AN@example.com"}:  "",
		{"ian@example.com\u00a0"}: "",
		{"\u00c9VE@example.com"}:  "",
		{"\u00e9VE@example.com"}:  "invite:\u00e9ve@example.com",
		{"nobody@example.com"}:    "",
		{" "}:                     "",
		// One person is twice on a page.
		{"Twin@example.com", "twin@example.com"}:   "user:lower",
		{"TWIN@example.com", "twin@example.com"}:   "user:upper user:lower",
		{"alone@example.com", "ALONE@example.com"}: "invite:Alone@example.com",
	} {
		f := first.inAnotherProcess() // Its warnings start anew.
		body := `{"data":{"emails":["` + strings.Join(slices.DeleteFunc(emails[:], func(s string) bool { return s == "" }), `","`) + `"],"pagination":{"current":"MA=="}}}`
		f.sim.ClearFaults()
		f.inject(t, sim.Fault{Operation: "listInvitesFromUserGroup", Kind: sim.FaultStatus, Status: http.StatusOK, Body: body})
		ctx, logs := withObservedLog(t)
		var got []string
		for _, g := range must(f.grants(ctx, group))(t) {
			got = append(got, strings.TrimPrefix(g.GetId(), "group:g2:member:"))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q are %q, want %q", emails, got, want)
		}
		if missing := logs.FilterMessageSnippet(whyUninvited).Len(); (missing == 1) != (want == "") {
			t.Errorf("%q: %d warnings of members that are in no list", emails, missing)
		}
	}
}

// Members who are not in the list of users or invites are left out, unless that
// list was not read.
func TestGrants_UnlistedMembers(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"listed":     {"group:g1:member:user:u1", "group:g1:member:user:u2", "group:g1:member:invite:new@example.com"},
		"not listed": {"group:g1:member:user:u1", "group:g1:member:user:u2", "group:g1:member:user:late", "group:g1:member:invite:new@example.com", "group:g1:member:invite:later@example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, small())
			if name == "listed" {
				f.listAll(t)
			}
			f.sim.Update(func(ws *sim.Workspace) {
				ws.Users = append(ws.Users, sim.User{ID: "late", Email: "late@example.com"})
				ws.Invites = append(ws.Invites, sim.Invite{Email: "later@example.com"})
				ws.Groups[0].Members = append(ws.Groups[0].Members, "late@example.com", "later@example.com")
				ws.Groups[0].Permissions = nil
			})
			ctx, logs := withObservedLog(t)
			got := grantIDs(must(f.grants(ctx, must(groupResource("", segmentapiGroup("g1")))(t)))(t))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("grants (-want +got):\n%s", diff)
			}
			warned := logs.FilterMessageSnippet(whyUnlisted).Len() + logs.FilterMessageSnippet(whyUninvited).Len()
			if (warned == 2) != (name == "listed") {
				t.Errorf("%d warnings", warned)
			}
		})
	}
}

// In a targeted sync the e-mails of the group's own users are known, so that a
// pending member who is one of them counts as the user.
func TestGrants_PendingMemberInATargetedSync(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small())
	f.inject(t, sim.Fault{Operation: "listInvitesFromUserGroup", Kind: sim.FaultStatus, Status: http.StatusOK,
		Body: `{"data":{"emails":["BO@example.com","cy@example.com"],"pagination":{"current":"MA=="}}}`})
	want := []string{"group:g1:member:user:u1", "group:g1:member:user:u2", "group:g1:member:user:u2", "group:g1:member:invite:cy@example.com", "role:owner:assigned:group:g1"}
	got := grantIDs(must(f.grants(t.Context(), must(groupResource("", segmentapiGroup("g1")))(t)))(t))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
}

// An error on any page of a group fails the sync, so that no member is missing.
func TestGrants_GroupErrors(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"getUserGroup", "listUsersFromUserGroup", "listInvitesFromUserGroup"} {
		for want, fault := range map[codes.Code]sim.Fault{
			codes.PermissionDenied: {Kind: sim.FaultStatus, Status: http.StatusForbidden},
			codes.InvalidArgument:  {Kind: sim.FaultStatus, Status: http.StatusBadRequest},
			codes.Internal:         {Kind: sim.FaultEmpty},
		} {
			f := newFixture(t, full())
			group := rowWithID(t, f.listAll(t)[typeGroup], "g1")
			fault.Operation = operation
			f.inject(t, fault)
			if grants, err := f.grants(t.Context(), group); status.Code(err) != want || !strings.Contains(err.Error(), "group g1") || !strings.Contains(err.Error(), operation) {
				t.Errorf("%s, %s: %v, %v", operation, want, grants, err)
			}
		}
	}
}
