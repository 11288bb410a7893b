package connector

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	sdksession "github.com/conductorone/baton-sdk/pkg/session"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/internal/sim"
)

const workspaceID = "wksp"

// role is a permission on the whole workspace.
func role(id string) sim.Permission {
	return sim.Permission{RoleID: id, Resources: []sim.Resource{{ID: workspaceID, Type: "WORKSPACE"}}}
}

// small is a workspace with one of everything that takes a decision.
func small() *sim.Workspace {
	web := "Web"
	return &sim.Workspace{
		ID: workspaceID, Slug: "small", Name: "Small",
		Roles: []sim.Role{{ID: "owner", Name: "Workspace Owner", Description: "All of it."}, {ID: "member", Name: "Minimal Workspace Access"}},
		Users: []sim.User{
			{ID: "u1", Name: "Ada Lovelace King", Email: "Ada@Example.com", Permissions: []sim.Permission{role("owner"), role("owner"), role("member")}},
			{ID: "u2", Name: "", Email: "bo@example.com"},
			{ID: "u3", Name: "Cy", Email: "cy@example.com", Permissions: []sim.Permission{{RoleID: "owner", Resources: []sim.Resource{
				{ID: "src", Type: "SOURCE"},
				{ID: workspaceID, Type: "WORKSPACE", Labels: []sim.Label{{Key: "env", Value: "prod"}}},
				{ID: workspaceID, Type: "WORKSPACE"},
			}}}},
		},
		Invites: []sim.Invite{{Email: "new@example.com"}},
		Sources: []sim.Source{{ID: "src", Slug: "web", Name: &web}},
		Labels:  []sim.Label{{Key: "env", Value: "prod"}},
		Groups: []sim.Group{
			{ID: "g1", Name: "Owners", Members: []string{"Ada@Example.com", "bo@example.com", "new@example.com"}, Permissions: []sim.Permission{role("owner")}},
			{ID: "g2", Name: "", Members: []string{"cy@example.com"}},
		},
	}
}

func TestRowsOfEachType(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 2, 7, 1000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			f := paged(t, small(), size)
			got := map[string]string{}
			for typeID, rows := range f.list(t) {
				for _, r := range rows {
					if r.GetId().GetResourceType() != typeID || r.GetParentResourceId() != nil {
						t.Errorf("%v has a foreign type or a parent", r.GetId())
					}
					got[typeID+" "+r.GetId().GetResource()] = r.GetDisplayName()
				}
			}
			want := map[string]string{
				"workspace wksp": "Small",
				"user u1":        "Ada Lovelace King", "user u2": "bo@example.com", "user u3": "Cy",
				"group g1": "Owners", "group g2": "g2", "invite new@example.com": "new@example.com",
				"source src": "Web", "label env=prod": "env=prod",
				"role owner": "Workspace Owner", "role member": "Minimal Workspace Access",
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUserProfile(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small())
	user := find(t, f.list(t)[typeUser], "u1")
	want := map[string]any{"user_id": "u1", "email": "Ada@Example.com", "first_name": "Ada", "last_name": "Lovelace King"}
	if diff := cmp.Diff(want, user.GetProfile().AsMap()); diff != "" {
		t.Errorf("profile (-want +got):\n%s", diff)
	}
	trait := must(rs.GetUserTrait(user))(t)
	if trait.GetLogin() != "Ada@Example.com" || len(trait.GetEmails()) != 1 || !trait.GetEmails()[0].GetIsPrimary() {
		t.Errorf("trait is %v", trait)
	}
	//nolint:staticcheck // Deprecated, and still what baton's own actions read.
	if trait.GetStatus().GetStatus() != v2.UserTrait_Status_STATUS_ENABLED {
		t.Errorf("status of the trait is %v", trait.GetStatus())
	}
	if user.GetStatus().GetStatus() != v2.Status_RESOURCE_STATUS_ENABLED {
		t.Errorf("status is %v", user.GetStatus())
	}
}

// A row that Baton would refuse fails a whole sync.
func TestRowsThatBatonWouldRefuse(t *testing.T) {
	t.Parallel()
	ws := small()
	ws.Users[1].Email = "not an address"
	ws.Users[2].Name = strings.Repeat("é", 2000)
	ws.Roles[0].Description = strings.Repeat("d", 5000)
	ws.Groups[0].Name = " \t "
	f := newFixture(t, ws)
	for typeID, rows := range f.list(t) {
		for _, r := range rows {
			if err := r.ValidateAll(); err != nil || r.GetDisplayName() == "" {
				t.Errorf("%s %q: %v", typeID, r.GetDisplayName(), err)
			}
			if trait, err := rs.GetUserTrait(r); err == nil {
				if err := trait.ValidateAll(); err != nil {
					t.Errorf("%v: %v", r.GetId(), err)
				}
			}
		}
	}
}

func TestGrants(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 2, 1000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			f := paged(t, small(), size)
			rows := f.list(t)
			f.requests()
			got := map[string][]string{}
			var extra []string
			for _, r := range slices.Concat(rows[typeUser], rows[typeGroup]) {
				for _, e := range must(f.entitlements(t.Context(), r))(t) {
					extra = append(extra, e.GetId())
				}
			}
			// The owner's role is not one for sources, nor for labels.
			if diff := cmp.Diff([]string{"source:src:owner", "label:env=prod:owner"}, extra); diff != "" {
				t.Errorf("entitlements that no list foretold (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[string]int{"getUser": 3, "getUserGroup": 2}, f.requests()); diff != "" {
				t.Errorf("requests for entitlements (-want +got):\n%s", diff)
			}
			for _, r := range slices.Concat(rows[typeUser], rows[typeGroup]) {
				ids := grantIDs(must(f.grants(t.Context(), r))(t))
				slices.Sort(ids)
				got[r.GetId().GetResource()] = slices.Compact(ids)
			}
			want := map[string][]string{
				"u1": {"role:member:assigned:user:u1", "role:owner:assigned:user:u1", "workspace:wksp:member:user:u1"},
				"u2": {"workspace:wksp:member:user:u2"},
				"u3": {"label:env=prod:owner:user:u3", "role:owner:assigned:user:u3", "source:src:owner:user:u3", "workspace:wksp:member:user:u3"},
				"g1": {"group:g1:member:invite:new@example.com", "group:g1:member:user:u1", "group:g1:member:user:u2", "role:owner:assigned:group:g1"},
				"g2": {"group:g2:member:user:u3"},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("grants (-want +got):\n%s", diff)
			}
			if got := f.requests(); got["getUser"]+got["getUserGroup"]+got["getWorkspace"] != 0 {
				t.Errorf("grants asked again for what was known: %v", got)
			}
		})
	}
}

// Segment lists an invite for a while after it was accepted, and keeps the
// capitals that each was written with. Who is in no list at all has no row.
func TestAcceptedInvitesCountAsUsers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small())
	group := find(t, f.list(t)[typeGroup], "g2")
	f.inject(t, sim.Fault{Operation: "listInvitesFromUserGroup", Ordinal: 1, Kind: sim.FaultStatus, Status: 200,
		Body: `{"data":{"emails":["ADA@example.com","NEW@example.com"],"pagination":{"current":"MA==","next":"Mg=="}}}`})
	f.inject(t, sim.Fault{Operation: "listInvitesFromUserGroup", Ordinal: 2, Kind: sim.FaultStatus, Status: 200,
		Body: `{"data":{"emails":["Bo@Example.com","bo@example.com","nobody@example.com"],"pagination":{"current":"Mg=="}}}`})
	ctx, logs := logged(t)
	want := []string{"group:g2:member:user:u3", "group:g2:member:user:u1", "group:g2:member:invite:new@example.com", "group:g2:member:user:u2"}
	if diff := cmp.Diff(want, grantIDs(must(f.grants(ctx, group))(t))); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
	if logs.FilterMessageSnippet(whyUninvited).Len() != 1 {
		t.Errorf("the member that is in no list was not counted: %v", logs.All())
	}
}

func TestGroupPermissionsExpandToItsUsers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small())
	group := find(t, f.list(t)[typeGroup], "g1")
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

// A role that /roles did not return is access all the same: it gets an
// entitlement, and a page of grants of its own that stores the resource.
func TestRoleThatNoListReturned(t *testing.T) {
	t.Parallel()
	ws := small()
	ws.Users[1].Permissions = []sim.Permission{role("member"), role("ghost")}
	ws.Groups[0].Permissions = []sim.Permission{role("ghost")}
	f := newFixture(t, ws)
	rows := f.list(t)
	for _, r := range []*v2.Resource{find(t, rows[typeUser], "u2"), find(t, rows[typeGroup], "g1")} {
		extra := must(f.entitlements(t.Context(), r))(t)
		if len(extra) != 1 || extra[0].GetId() != "role:ghost:assigned" {
			t.Fatalf("entitlements of %v: %v", r.GetId(), extra)
		}
		if profile := extra[0].GetResource().GetProfile().AsMap(); profile["listed"] != false {
			t.Errorf("profile of the role is %v", profile)
		}
		inserting := 0
		_, err := pages(f, func(o rs.SyncOpAttrs) ([]*v2.Grant, *rs.SyncOpResults, error) {
			grants, res, err := f.syncer(r).Grants(t.Context(), r, o)
			inserts := res != nil && res.Annotations.Contains(&v2.InsertResourceGrants{})
			for _, g := range grants {
				ghost := g.GetEntitlement().GetResource().GetId().GetResource() == "ghost"
				if ghost != inserts {
					t.Errorf("%s on a page with inserts %v", g.GetId(), inserts)
				}
				if ghost {
					inserting++
					if g.GetEntitlement().GetResource().GetDisplayName() == "" {
						t.Errorf("%s stores a resource without a name", g.GetId())
					}
				}
			}
			return grants, res, err
		})
		if err != nil || inserting != 1 {
			t.Errorf("%v: %d grants on the role, error %v", r.GetId(), inserting, err)
		}
	}
}

// In a targeted or filtered sync the lists were not read, and what is
// referenced counts as listed.
func TestNothingIsMissingFromAListThatWasNotRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small())
	user, group := must(userResource(segmentapiUser("u1")))(t), must(groupResource(segmentapiGroup("g1")))(t)
	if extra := must(f.entitlements(t.Context(), user))(t); len(extra) != 0 {
		t.Errorf("entitlements: %v", extra)
	}
	got := slices.Concat(grantIDs(must(f.grants(t.Context(), user))(t)), grantIDs(must(f.grants(t.Context(), group))(t)))
	want := []string{
		"role:owner:assigned:user:u1", "role:member:assigned:user:u1", "workspace:wksp:member:user:u1",
		"group:g1:member:user:u1", "group:g1:member:user:u2", "group:g1:member:invite:new@example.com", "role:owner:assigned:group:g1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
}

func TestMembersThatNoListReturnedAreDropped(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small())
	group := find(t, f.list(t)[typeGroup], "g1")
	f.sim.Update(func(ws *sim.Workspace) {
		ws.Users = append(ws.Users, sim.User{ID: "late", Email: "late@example.com"})
		ws.Groups[0].Members = append(ws.Groups[0].Members, "late@example.com")
	})
	for _, id := range grantIDs(must(f.grants(t.Context(), group))(t)) {
		if strings.Contains(id, "late") {
			t.Errorf("%s dangles", id)
		}
	}
}

// Segment may start to send permissions in lists. Then only who has none there
// is asked about: u2 and g2. An empty list may be a list that does not say.
func TestPermissionsInListsSaveTheDetailRequests(t *testing.T) {
	t.Parallel()
	plain, generous := newFixture(t, small()), newFixture(t, small(), sim.WithPermissionsInLists())
	grants := func(f *fixture) []string {
		var ids []string
		rows := f.list(t)
		for _, r := range slices.Concat(rows[typeUser], rows[typeGroup]) {
			must(f.entitlements(t.Context(), r))(t)
			ids = append(ids, grantIDs(must(f.grants(t.Context(), r))(t))...)
		}
		return ids
	}
	if diff := cmp.Diff(grants(plain), grants(generous)); diff != "" {
		t.Errorf("grants (-plain +generous):\n%s", diff)
	}
	want, got := plain.requests(), generous.requests()
	want["getUser"], want["getUserGroup"] = 1, 1
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// Without a session store everything is asked for, and found.
func TestWithoutASessionStore(t *testing.T) {
	t.Parallel()
	for name, without := range map[string]func(*fixture){
		"nil":      func(f *fixture) { f.session = nil },
		"disabled": func(f *fixture) { f.session = &sdksession.NoOpSessionStore{} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, small())
			without(f)
			rows := f.list(t)
			f.requests()
			user := find(t, rows[typeUser], "u1")
			if extra := must(f.entitlements(t.Context(), user))(t); len(extra) != 0 {
				t.Errorf("entitlements: %v", extra)
			}
			want := []string{"role:owner:assigned:user:u1", "role:member:assigned:user:u1", "workspace:wksp:member:user:u1"}
			if diff := cmp.Diff(want, grantIDs(must(f.grants(t.Context(), user))(t))); diff != "" {
				t.Errorf("grants (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[string]int{"getUser": 2, "getWorkspace": 1}, f.requests()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

// Static entitlements and the zero connector are what `capabilities` shows.
func TestZeroConnectorDescribesItself(t *testing.T) {
	t.Parallel()
	var got []string
	for _, s := range (&Connector{}).ResourceSyncers(t.Context()) {
		got = append(got, s.ResourceType(t.Context()).GetId())
	}
	if diff := cmp.Diff([]string{
		typeWorkspace, typeUser, typeInvite, typeGroup, typeRole,
		typeSource, typeWarehouse, typeFunction, typeSpace, typeLabel,
	}, got); diff != "" {
		t.Errorf("types (-want +got):\n%s", diff)
	}
	if md := must((&Connector{}).Metadata(t.Context()))(t); md.GetDisplayName() == "" {
		t.Error("the connector has no name")
	}
}

// A sync that was broken off is taken up in the same file, up to a week later.
// What it had learned must not pass for the present.
func TestListsReadAgainMakeOldAnswersWorthless(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small())
	user := find(t, f.list(t)[typeUser], "u1")
	must(f.entitlements(t.Context(), user))(t)
	f.sim.Update(func(ws *sim.Workspace) { ws.Users[0].Permissions = []sim.Permission{role("member")} })

	f.list(t)
	must(f.entitlements(t.Context(), user))(t)
	want := []string{"role:member:assigned:user:u1", "workspace:" + workspaceID + ":member:user:u1"}
	if diff := cmp.Diff(want, grantIDs(must(f.grants(t.Context(), user))(t))); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
}

// "Not found" that was wrong, as from a proxy, costs nobody the rows of the
// next attempt.
func TestWhoIsBackHasGrants(t *testing.T) {
	t.Parallel()
	f := newFixture(t, crowd(5))
	rows := f.list(t)[typeUser]
	f.inject(t, sim.Fault{Operation: "getUser", Kind: sim.FaultHTML, Status: http.StatusNotFound})
	must(f.entitlements(t.Context(), rows[0]))(t)
	if _, err := f.entitlements(t.Context(), rows[1]); status.Code(err) != codes.FailedPrecondition {
		t.Fatalf("two of five have gone: %v", err)
	}
	f.sim.ClearFaults()
	for _, r := range rows[:2] {
		if grants := must(f.grants(t.Context(), r))(t); len(grants) == 0 {
			t.Errorf("%s is back and has no grants", r.GetId().GetResource())
		}
	}
	// Nobody is missing any more, so one more is one of five again.
	f.sim.Update(func(ws *sim.Workspace) { ws.Users = ws.Users[:4] })
	must(f.entitlements(t.Context(), rows[4]))(t)
}
