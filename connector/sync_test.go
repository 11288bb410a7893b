package connector

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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

// full is small with roles and things of every type.
func full() *sim.Workspace {
	ws := small()
	ws.Roles = append(ws.Roles, sim.Role{ID: "src", Name: "Source Admin"}, sim.Role{ID: "fn", Name: "Functions Admin"},
		sim.Role{ID: "uni", Name: "Unify and Engage Admin"}, sim.Role{ID: "wh", Name: "Warehouse Destination Admin"})
	ws.Warehouses = []sim.Warehouse{{ID: "w1", Settings: map[string]any{"name": "Lake"}}, {ID: "w2"}}
	ws.Functions = []sim.Function{{ID: "f1", ResourceType: "SOURCE"}, {ID: "f2", ResourceType: "INSERT_TRANSFORMATION"}}
	ws.Spaces = []sim.Space{{ID: "spa_1", Name: "One"}, {ID: "2", Name: "Two"}}
	ws.Invites = append(ws.Invites, sim.Invite{Email: "newer@example.com"})
	return ws
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

// An invite is of nobody yet, and is recognized by the address alone.
func TestInviteProfile(t *testing.T) {
	t.Parallel()
	invite := find(t, newFixture(t, small()).list(t)[typeInvite], "new@example.com")
	if diff := cmp.Diff(map[string]any{"email": "new@example.com"}, invite.GetProfile().AsMap()); diff != "" {
		t.Errorf("profile (-want +got):\n%s", diff)
	}
	trait := must(rs.GetUserTrait(invite))(t)
	if trait.GetLogin() != "new@example.com" || len(trait.GetEmails()) != 1 {
		t.Errorf("trait is %v", trait)
	}
	//nolint:staticcheck // Deprecated, and still what baton's own actions read.
	if trait.GetStatus().GetStatus() != v2.UserTrait_Status_STATUS_UNSPECIFIED {
		t.Errorf("status of the trait is %v", trait.GetStatus())
	}
	if s := invite.GetStatus(); s.GetStatus() != v2.Status_RESOURCE_STATUS_UNSPECIFIED || s.GetDetails() != "invitation pending" {
		t.Errorf("status is %v", s)
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

// What no list foretold is access all the same. A role on what it is not meant
// for gets an entitlement; what no list returned gets one and, on a page of
// grants of its own, a row.
func TestWhatNoListForetold(t *testing.T) {
	t.Parallel()
	on := func(role, kind, id string, labels ...sim.Label) sim.Permission {
		return sim.Permission{RoleID: role, RoleName: "Was " + role, Resources: []sim.Resource{{ID: id, Type: kind, Labels: labels}}}
	}
	env, team := sim.Label{Key: "env", Value: "prod"}, sim.Label{Key: "team", Value: "a"}
	ws := full()
	ws.Users[1].Permissions = []sim.Permission{
		on("member", "WORKSPACE", workspaceID), on("src", "SOURCE", "src"), on("wh", "WAREHOUSE", "w1"), on("src", "WORKSPACE", workspaceID, env),
		on("uni", "SPACE", "spa_2"), on("fn", "SOURCE", "src"), on("owner", "WAREHOUSE", "w1"), on("ghost", "FUNCTION", "f1"),
		on("ghost", "WORKSPACE", workspaceID), on("src", "WORKSPACE", workspaceID, team, env), on("src", "SOURCE", "gone"),
		on("fn", "FUNCTION", "gone"), on("uni", "SPACE", "gone"), on("wh", "WAREHOUSE", "gone"),
	}
	ws.Groups[0].Permissions = ws.Users[1].Permissions
	f := newFixture(t, ws)
	rows := f.list(t)
	for _, r := range []*v2.Resource{find(t, rows[typeUser], "u2"), find(t, rows[typeGroup], "g1")} {
		var got []string
		for _, e := range must(f.entitlements(t.Context(), r))(t) {
			got = append(got, fmt.Sprintf("%s %q on %q %v immutable=%t", e.GetId(), e.GetDisplayName(), e.GetResource().GetDisplayName(), e.GetResource().GetProfile().AsMap(), immutable(e)))
		}
		want := []string{
			`source:src:fn "Functions Admin" on "Web" map[] immutable=false`,
			`warehouse:w1:owner "Workspace Owner" on "Lake" map[] immutable=true`,
			`function:f1:ghost "Was ghost" on "f1" map[] immutable=false`,
			`role:ghost:assigned "Assigned" on "Was ghost" map[listed:false] immutable=false`,
			`label:env=prod,team=a:src "Source Admin" on "env=prod and team=a" map[labels:[env=prod team=a] listed:false] immutable=false`,
			`source:gone:src "Source Admin" on "gone" map[listed:false] immutable=false`,
			`function:gone:fn "Functions Admin" on "gone" map[listed:false] immutable=false`,
			`space:spa_gone:uni "Unify and Engage Admin" on "spa_gone" map[listed:false] immutable=false`,
			`warehouse:gone:wh "Warehouse Destination Admin" on "gone" map[listed:false] immutable=true`,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("entitlements of %v (-want +got):\n%s", r.GetId(), diff)
		}
		got = nil
		must(pages(f, func(o rs.SyncOpAttrs) ([]*v2.Grant, *rs.SyncOpResults, error) {
			grants, res, err := f.syncer(r).Grants(t.Context(), r, o)
			stores := res != nil && res.Annotations.Contains(&v2.InsertResourceGrants{})
			for _, g := range grants {
				on := g.GetEntitlement().GetResource()
				if slices.Contains([]string{typeWorkspace, typeGroup}, on.GetId().GetResourceType()) {
					continue
				}
				id := strings.TrimSuffix(g.GetId(), ":"+r.GetId().GetResourceType()+":"+r.GetId().GetResource())
				got = append(got, fmt.Sprintf("%s stores=%t %q %v immutable=%t", id, stores, on.GetDisplayName(), on.GetProfile().AsMap(), immutable(g)))
			}
			return grants, res, err
		}))(t)
		want = []string{
			`role:member:assigned stores=false "" map[] immutable=false`,
			`source:src:src stores=false "" map[] immutable=false`,
			`warehouse:w1:wh stores=false "" map[] immutable=true`,
			`label:env=prod:src stores=false "" map[] immutable=false`,
			`space:2:uni stores=false "" map[] immutable=false`,
			`source:src:fn stores=false "" map[] immutable=false`,
			`warehouse:w1:owner stores=false "" map[] immutable=true`,
			`function:f1:ghost stores=false "" map[] immutable=false`,
			`role:ghost:assigned stores=true "Was ghost" map[listed:false] immutable=false`,
			`label:env=prod,team=a:src stores=true "env=prod and team=a" map[labels:[env=prod team=a] listed:false] immutable=false`,
			`source:gone:src stores=true "gone" map[listed:false] immutable=false`,
			`function:gone:fn stores=true "gone" map[listed:false] immutable=false`,
			`space:spa_gone:uni stores=true "spa_gone" map[listed:false] immutable=false`,
			`warehouse:gone:wh stores=true "gone" map[listed:false] immutable=true`,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("grants of %v (-want +got):\n%s", r.GetId(), diff)
		}
	}
}

// In a targeted or filtered sync the lists were not read, and what is
// referenced counts as listed.
func TestNothingIsMissingFromAListThatWasNotRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small())
	user, group := must(userResource(segmentapiUser("u1")))(t), must(groupResource(segmentapiGroup("g1")))(t)
	// Nobody asks for static entitlements there.
	var extra []string
	for _, r := range []*v2.Resource{user, group} {
		for _, e := range must(f.entitlements(t.Context(), r))(t) {
			extra = append(extra, e.GetId())
		}
	}
	want := []string{"role:owner:assigned", "role:member:assigned", "workspace:wksp:member", "role:owner:assigned", "group:g1:member"}
	if diff := cmp.Diff(want, extra); diff != "" {
		t.Errorf("entitlements (-want +got):\n%s", diff)
	}
	got := slices.Concat(grantIDs(must(f.grants(t.Context(), user))(t)), grantIDs(must(f.grants(t.Context(), group))(t)))
	want = []string{
		"role:owner:assigned:user:u1", "role:member:assigned:user:u1", "workspace:wksp:member:user:u1",
		"group:g1:member:user:u1", "group:g1:member:user:u2", "group:g1:member:invite:new@example.com", "role:owner:assigned:group:g1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
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
			if diff := cmp.Diff(map[string]int{"getUser": 2}, f.requests()); diff != "" {
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

// A user who is not found is asked for once more, a second later. "Not found" that
// was wrong costs nobody their rows.
func TestEntitlements_NotFoundIsRechecked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := timeless(t, crowd(5, 2))
		rows := f.list(t)
		for _, r := range []*v2.Resource{rows[typeUser][0], rows[typeGroup][0]} {
			for _, operation := range []string{"getUser", "getUserGroup", "listUsersFromUserGroup", "listInvitesFromUserGroup"} {
				f.inject(t, sim.Fault{Operation: operation, Ordinal: 1, Kind: sim.FaultStatus, Status: http.StatusNotFound})
			}
			began := time.Now()
			f.requests()
			must(f.entitlements(t.Context(), r))(t)
			if grants := must(f.grants(t.Context(), r))(t); len(grants) == 0 {
				t.Errorf("%s has no grants", r.GetId().GetResource())
			}
			requests := f.requests()
			for operation, n := range requests {
				if n != 2 {
					t.Errorf("%s: %d requests %s, want 2", r.GetId().GetResource(), n, operation)
				}
			}
			if took, want := time.Since(began), time.Duration(len(requests))*time.Second; took != want || want == 0 {
				t.Errorf("%s took %s, want %s", r.GetId().GetResource(), took, want)
			}
		}
	})
}

// A user or group that is still not found has gone for the rest of the sync: its
// rows would be incomplete. So it is for another process, and in a call that is
// made again.
func TestEntitlements_GoneStaysGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := timeless(t, crowd(200, 200))
		rows := f.list(t)
		ctx, logs := logged(t)
		for _, r := range []*v2.Resource{rows[typeUser][0], rows[typeGroup][0]} {
			f.inject(t, sim.Fault{Operation: "getUser", Kind: sim.FaultStatus, Status: http.StatusNotFound})
			f.inject(t, sim.Fault{Operation: "getUserGroup", Kind: sim.FaultStatus, Status: http.StatusNotFound})
			must(f.entitlements(ctx, r))(t)
			f.sim.ClearFaults()
			f.requests()
			for _, in := range []*fixture{f, f.another()} {
				if extra := must(in.entitlements(ctx, r))(t); len(extra) != 0 {
					t.Errorf("%s has the entitlements %v", r.GetId().GetResource(), extra)
				}
				if grants := must(in.grants(ctx, r))(t); len(grants) != 0 {
					t.Errorf("%s has the grants %v", r.GetId().GetResource(), grantIDs(grants))
				}
			}
			if requests := f.requests(); len(requests) != 0 {
				t.Errorf("%s was asked for again: %v", r.GetId().GetResource(), requests)
			}
		}
		if n := logs.FilterMessageSnippet(whyVanished).Len(); n != 1 { // The next line is due at ten.
			t.Errorf("%d warnings", n)
		}
		// The list is read again: so are they.
		f.list(t)
		for _, r := range []*v2.Resource{rows[typeUser][0], rows[typeGroup][0]} {
			must(f.entitlements(ctx, r))(t)
			if grants := must(f.grants(ctx, r))(t); len(grants) == 0 {
				t.Errorf("%s has no grants after its list was read again", r.GetId().GetResource())
			}
		}
	})
}

// The same of a group that goes while its members are read: it is asked for
// nothing more.
func TestGrants_GroupGoneStaysGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := timeless(t, crowd(0, 3))
		group := f.list(t)[typeGroup][0]
		must(f.entitlements(t.Context(), group))(t)
		f.inject(t, sim.Fault{Operation: "listUsersFromUserGroup", Kind: sim.FaultStatus, Status: http.StatusNotFound})
		f.requests()
		for range 2 {
			must(f.grants(t.Context(), group))(t)
		}
		if diff := cmp.Diff(map[string]int{"listUsersFromUserGroup": 2}, f.requests()); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
	})
}

// A caller that leaves during the second of waiting is not kept.
func TestEntitlements_CallerLeavesDuringRecheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := timeless(t, crowd(3, 0))
		user := f.list(t)[typeUser][0]
		f.inject(t, sim.Fault{Operation: "getUser", Kind: sim.FaultStatus, Status: http.StatusNotFound})
		ctx, cancel := context.WithTimeout(t.Context(), recheckAfter/2)
		defer cancel()
		began := time.Now()
		_, err := f.entitlements(ctx, user)
		if status.Code(err) != codes.DeadlineExceeded || time.Since(began) != recheckAfter/2 {
			t.Errorf("%v, after %s", err, time.Since(began))
		}
	})
}

// What a workspace keeps secret gets into no row, no session store and no log.
func TestSecretsStayOut(t *testing.T) {
	t.Setenv("BATON_DEBUG_PRINT_RESPONSE_BODY", "1")
	for name, ws := range map[string]*sim.Workspace{"demo": sim.Demo(), "hostile": sim.Hostile()} {
		ctx, logs := logged(t)
		f := newFixture(t, ws)
		var out strings.Builder
		keep := func(rows ...any) { fmt.Fprintln(&out, rows...) }
		rows := f.listIn(ctx, t)
		for typeID, resources := range rows {
			for _, r := range resources {
				keep(r, must(f.get(ctx, typeID, r.GetId().GetResource()))(t))
			}
		}
		keep(must(f.static(t))(t))
		for _, r := range slices.Concat(rows[typeUser], rows[typeGroup]) {
			keep(must(f.entitlements(ctx, r))(t), must(f.grants(ctx, r))(t))
		}
		stored, _, err := f.session.GetAll(ctx, "")
		if err != nil || len(stored) == 0 {
			t.Errorf("%s: the session store has %d values: %v", name, len(stored), err)
		}
		for key, value := range stored {
			keep(key, string(value))
		}
		for _, e := range logs.All() {
			keep(e.Message, e.ContextMap())
		}
		if !strings.Contains(out.String(), "spa_") || logs.Len() == 0 {
			t.Errorf("%s: there is nothing to see", name)
		}
		if i := strings.Index(out.String(), "SECRET"); i >= 0 {
			t.Errorf("%s: a secret got out: …%s…", name, out.String()[max(0, i-200):i+100])
		}
	}
}

// One message must not have to hold everything that a subject has.
func TestPagesOfASubjectThatHoldsMuch(t *testing.T) {
	t.Parallel()
	const listed, unlisted = 2*maxRows + 7, maxRows + 3
	ws := small()
	held := sim.Permission{RoleID: "owner"}
	for i := range listed + unlisted {
		id := fmt.Sprintf("s%05d", i)
		held.Resources = append(held.Resources, sim.Resource{ID: id, Type: "SOURCE"})
		if i < listed {
			ws.Sources = append(ws.Sources, sim.Source{ID: id})
		}
	}
	ws.Users[1].Permissions = []sim.Permission{held}
	ws.Groups[1].Permissions = []sim.Permission{held}
	f := newFixture(t, ws)
	rows := f.list(t)
	for _, r := range []*v2.Resource{find(t, rows[typeUser], "u2"), find(t, rows[typeGroup], "g2")} {
		syncer := f.syncer(r)
		var entitlements, grants []string
		check := func(page int) {
			if page > maxRows {
				t.Errorf("%v: a page of %d rows", r.GetId(), page)
			}
		}
		must(pages(f, func(o rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
			page, res, err := syncer.Entitlements(t.Context(), r, o)
			for _, e := range page {
				entitlements = append(entitlements, e.GetId())
			}
			check(len(page))
			return page, res, err
		}))(t)
		must(pages(f, func(o rs.SyncOpAttrs) ([]*v2.Grant, *rs.SyncOpResults, error) {
			page, res, err := syncer.Grants(t.Context(), r, o)
			inserts := res.Annotations.Contains(&v2.InsertResourceGrants{})
			for _, g := range page {
				id := g.GetEntitlement().GetResource().GetId()
				if id.GetResourceType() != typeSource {
					continue
				}
				grants = append(grants, g.GetEntitlement().GetId())
				if gone := id.GetResource() >= fmt.Sprintf("s%05d", listed); gone != inserts {
					t.Errorf("%s on a page with inserts %v", g.GetId(), inserts)
				}
			}
			check(len(page))
			return page, res, err
		}))(t)
		if len(grants) != listed+unlisted || !slices.Equal(slices.Compact(slices.Sorted(slices.Values(grants))), entitlements) {
			t.Errorf("%v: %d grants on %d entitlements, want %d", r.GetId(), len(grants), len(entitlements), listed+unlisted)
		}
	}
	if got := f.requests(); got["getUser"]+got["getUserGroup"] != 2 {
		t.Errorf("requests: %v", got)
	}
}

// Without a session store each page reads the subject anew, and what it holds
// may have changed.
func TestPagesOfASubjectThatChanges(t *testing.T) {
	t.Parallel()
	ws := small()
	held := sim.Permission{RoleID: "owner"}
	for i := range maxRows + 7 {
		held.Resources = append(held.Resources, sim.Resource{ID: fmt.Sprint("s", i), Type: "SOURCE"})
	}
	ws.Users[1].Permissions = []sim.Permission{held}
	f := newFixture(t, ws)
	f.session = nil
	if err := f.sim.Before("getUser", 2, func(ws *sim.Workspace) {
		p := &ws.Users[1].Permissions[0]
		p.Resources = p.Resources[5:]
	}); err != nil {
		t.Fatal(err)
	}
	if grants, err := f.grants(t.Context(), must(userResource(segmentapiUser("u2")))(t)); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("%d grants, %v", len(grants), err)
	}
}

// An address of an older reading belongs to nobody, and stands in nobody's way.
func TestAddressesOfAnOlderReading(t *testing.T) {
	t.Parallel()
	ws := small()
	ws.Users = append(ws.Users, sim.User{ID: "old", Email: "twin@example.com"}, sim.User{ID: "mover", Email: "before@example.com"})
	f := newFixture(t, ws)
	f.list(t)
	f.sim.Update(func(ws *sim.Workspace) {
		ws.Users[3] = sim.User{ID: "new", Email: "TWIN@example.com"}
		ws.Users[4].Email = "after@example.com"
	})
	group := find(t, f.list(t)[typeGroup], "g2")
	f.inject(t, sim.Fault{Operation: "listInvitesFromUserGroup", Kind: sim.FaultStatus, Status: 200,
		Body: `{"data":{"emails":["twin@example.com","before@example.com"],"pagination":{"current":"MA=="}}}`})
	want := []string{"group:g2:member:user:u3", "group:g2:member:user:new"}
	if diff := cmp.Diff(want, grantIDs(must(f.grants(t.Context(), group))(t))); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
}

// The rows of a list that was read before the sync was broken off are not those
// of the list that is read now, nor are the addresses of the people in it.
func TestRowsOfAnOlderReading(t *testing.T) {
	t.Parallel()
	ws := small()
	ws.Users[1].Permissions = []sim.Permission{{RoleID: "owner", Resources: []sim.Resource{{ID: "src", Type: "SOURCE"}, {ID: workspaceID, Type: "WORKSPACE"}}}}
	f := newFixture(t, ws)
	f.list(t)
	f.sim.Update(func(ws *sim.Workspace) {
		ws.Sources, ws.Roles = nil, ws.Roles[1:]
		ws.Users = ws.Users[1:]
		ws.Invites = append(ws.Invites, sim.Invite{Email: "Ada@Example.com"})
	})
	rows := f.list(t)
	user := find(t, rows[typeUser], "u2")
	must(f.entitlements(t.Context(), user))(t)
	must(pages(f, func(o rs.SyncOpAttrs) ([]*v2.Grant, *rs.SyncOpResults, error) {
		page, res, err := f.syncer(user).Grants(t.Context(), user, o)
		for _, g := range page {
			if kind := g.GetEntitlement().GetResource().GetId().GetResourceType(); kind != typeWorkspace && !res.Annotations.Contains(&v2.InsertResourceGrants{}) {
				t.Errorf("%s passes for one on a row of the list", g.GetId())
			}
		}
		return page, res, err
	}))(t)
	want := []string{"group:g1:member:user:u2", "group:g1:member:invite:Ada@Example.com", "group:g1:member:invite:new@example.com", "role:owner:assigned:group:g1"}
	got := grantIDs(must(f.grants(t.Context(), find(t, rows[typeGroup], "g1")))(t))
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
}
