package connector

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate"
	"github.com/baton-segment/baton-segment/connector/internal/syncstate/statetest"
	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// The lists decide which id a space has, whether a resource is listed, and
// whether a role applies to its type.
func TestLocate(t *testing.T) {
	t.Parallel()
	permission := func(role, name string, kind segmentapi.ScopeType, ids ...string) segmentapi.Permission {
		p := segmentapi.Permission{RoleID: role, RoleName: name}
		for _, id := range ids {
			p.Scopes = append(p.Scopes, segmentapi.Scope{Type: kind, ID: id})
		}
		return p
	}
	const listed, foretold = " listed", " foretold"
	all := map[string]map[string]string{
		typeRole:   {"src": "Source Admin", "uni": "Unify and Engage Admin", "renamed": "Source Admin"},
		typeSource: {"s": "Web"}, typeSpace: {"spa_a": "A", "b": "B", "spa_c": "C", "c": "Bare C"},
	}
	for name, c := range map[string]struct {
		lists      map[string]map[string]string
		permission segmentapi.Permission
		want       []string
	}{
		"foretold":                            {all, permission("src", "Source Admin", "SOURCE", "s"), []string{"source:s:src" + listed + foretold}},
		"the same twice":                      {all, permission("src", "Source Admin", "SOURCE", "s", "gone", "s", "gone"), []string{"source:s:src" + listed + foretold, "source:gone:src"}},
		"resource not listed":                 {all, permission("src", "Source Admin", "SOURCE", "gone"), []string{"source:gone:src"}},
		"role not listed":                     {all, permission("ghost", "Source Admin", "SOURCE", "s"), []string{"source:s:ghost" + listed}},
		"role not listed, workspace":          {all, permission("ghost", "Ghost", "WORKSPACE", "ws"), []string{"role:ghost:assigned"}},
		"role listed, workspace":              {all, permission("src", "", "WORKSPACE", "ws"), []string{"role:src:assigned" + listed + foretold}},
		"role for something else":             {all, permission("uni", "Unify and Engage Admin", "SOURCE", "s"), []string{"source:s:uni" + listed}},
		"the list's name counts":              {all, permission("renamed", "Tracking Plan Admin", "SOURCE", "s"), []string{"source:s:renamed" + listed + foretold}},
		"the name in the permission does not": {all, permission("uni", "Source Admin", "SOURCE", "s"), []string{"source:s:uni" + listed}},
		"space with the prefix":               {all, permission("uni", "", "SPACE", "spa_a"), []string{"space:spa_a:uni" + listed + foretold}},
		"space lacks the prefix":              {all, permission("uni", "", "SPACE", "a"), []string{"space:spa_a:uni" + listed + foretold}},
		"space is listed bare":                {all, permission("uni", "", "SPACE", "spa_b", "b"), []string{"space:b:uni" + listed + foretold}},
		"both forms are listed":               {all, permission("uni", "", "SPACE", "c", "spa_c"), []string{"space:c:uni" + listed + foretold, "space:spa_c:uni" + listed + foretold}},
		"neither form is listed":              {all, permission("uni", "", "SPACE", "d", "spa_d"), []string{"space:spa_d:uni"}},
		"two forms of one":                    {all, permission("uni", "", "SPACE", "a", "spa_spa_a"), []string{"space:spa_a:uni" + listed + foretold}},
		"only spaces have forms":              {all, permission("src", "", "SOURCE", "spa_s"), []string{"source:spa_s:src"}},
		"nothing was listed":                  {nil, permission("src", "Source Admin", "SOURCE", "s"), []string{"source:s:src" + listed}},
		"nothing was listed, and the role is for something else": {nil, permission("uni", "Unify and Engage Admin", "SOURCE", "s"), []string{"source:s:uni" + listed}},
		"nothing was listed, space":                              {nil, permission("uni", "Unify", "SPACE", "e"), []string{"space:e:uni" + listed}},
		"roles were not listed":                                  {map[string]map[string]string{typeSource: {}}, permission("src", "Source Admin", "SOURCE", "s"), []string{"source:s:src"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var tracker syncstate.Tracker
			s := tracker.Open(rs.SyncOpAttrs{Session: statetest.New(), SyncID: "sync"}, segmentapi.FoldEmail)
			for typeID, names := range c.lists {
				var rows []syncstate.Row
				for id, name := range names {
					rows = append(rows, syncstate.Row{ID: id, Name: name})
				}
				for _, err := range []error{
					s.AddRows(t.Context(), typeID, rows),
					s.Mark(t.Context(), syncstate.Ended(typeID), len(rows)),
					s.Mark(t.Context(), syncstate.Static(typeID), 1),
				} {
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			holdings, err := locate(t.Context(), s, []segmentapi.Permission{c.permission})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, h := range holdings {
				line := h.Type + ":" + h.ID + ":" + h.slug()
				if h.Listed {
					line += listed
				}
				if h.Foretold {
					line += foretold
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("holdings (-want +got):\n%s", diff)
			}
		})
	}
}

// A role on a type that it does not apply to gets an entitlement. So does a role
// or resource that no list returned, whose grants are on a page of their own
// that carries its row.
func TestGrants_UnlistedRolesAndResources(t *testing.T) {
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
	rows := f.listAll(t)
	for _, r := range []*v2.Resource{rowWithID(t, rows[typeUser], "u2"), rowWithID(t, rows[typeGroup], "g1")} {
		var got []string
		for _, e := range must(f.entitlements(t.Context(), r))(t) {
			got = append(got, fmt.Sprintf("%s %q on %q %v immutable=%t", e.GetId(), e.GetDisplayName(), e.GetResource().GetDisplayName(), e.GetResource().GetProfile().AsMap(), immutable(e)))
		}
		want := []string{
			`source:src:fn "Functions Admin" on "Web" map[] immutable=false`,
			`warehouse:w1:owner "Workspace Owner" on "Lake" map[] immutable=true`,
			`function:f1:ghost "Was ghost" on "f1" map[] immutable=false`,
			`role:ghost:assigned "Assigned" on "Was ghost" map[listed:false workspace_id:wksp] immutable=false`,
			`label:env=prod,team=a:src "Source Admin" on "env=prod and team=a" map[labels:[env=prod team=a] listed:false workspace_id:wksp] immutable=false`,
			`source:gone:src "Source Admin" on "gone" map[listed:false workspace_id:wksp] immutable=false`,
			`function:gone:fn "Functions Admin" on "gone" map[listed:false workspace_id:wksp] immutable=false`,
			`space:spa_gone:uni "Unify and Engage Admin" on "spa_gone" map[listed:false workspace_id:wksp] immutable=false`,
			`warehouse:gone:wh "Warehouse Destination Admin" on "gone" map[listed:false workspace_id:wksp] immutable=true`,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("entitlements of %v (-want +got):\n%s", r.GetId(), diff)
		}
		got = nil
		must(allPages(f, func(o rs.SyncOpAttrs) ([]*v2.Grant, *rs.SyncOpResults, error) {
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
			`role:ghost:assigned stores=true "Was ghost" map[listed:false workspace_id:wksp] immutable=false`,
			`label:env=prod,team=a:src stores=true "env=prod and team=a" map[labels:[env=prod team=a] listed:false workspace_id:wksp] immutable=false`,
			`source:gone:src stores=true "gone" map[listed:false workspace_id:wksp] immutable=false`,
			`function:gone:fn stores=true "gone" map[listed:false workspace_id:wksp] immutable=false`,
			`space:spa_gone:uni stores=true "spa_gone" map[listed:false workspace_id:wksp] immutable=false`,
			`warehouse:gone:wh stores=true "gone" map[listed:false workspace_id:wksp] immutable=true`,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("grants of %v (-want +got):\n%s", r.GetId(), diff)
		}
	}
}

// In a targeted or filtered sync some lists were not read. Then a resource that
// is referred to counts as listed.
func TestGrants_UnreadLists(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small())
	user, group := must(userResource("", segmentapiUser("u1")))(t), must(groupResource("", segmentapiGroup("g1")))(t)
	// The SDK asks for no static entitlements there.
	var extra []string
	for _, r := range []*v2.Resource{user, group} {
		for _, e := range must(f.entitlements(t.Context(), r))(t) {
			extra = append(extra, e.GetId())
		}
	}
	want := []string{
		"role:owner:assigned", "role:member:assigned", "workspace:wksp:member", "group:g1:member",
		"role:owner:assigned", "group:g1:member",
	}
	if diff := cmp.Diff(want, extra); diff != "" {
		t.Errorf("entitlements (-want +got):\n%s", diff)
	}
	got := slices.Concat(grantIDs(must(f.grants(t.Context(), user))(t)), grantIDs(must(f.grants(t.Context(), group))(t)))
	want = []string{
		"role:owner:assigned:user:u1", "role:member:assigned:user:u1", "role:owner:assigned:group:g1",
		"workspace:wksp:member:user:u1", "group:g1:member:user:u1",
		"group:g1:member:user:u1", "group:g1:member:user:u2", "group:g1:member:invite:new@example.com", "role:owner:assigned:group:g1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
}

// A targeted sync reads the list of spaces once, for the first permission on a
// space. Otherwise one space could get two ids.
func TestGrants_SpacesInATargetedSync(t *testing.T) {
	t.Parallel()
	spaces := func(ids ...string) []sim.Permission {
		p := sim.Permission{RoleID: "uni"}
		for _, id := range ids {
			p.Resources = append(p.Resources, sim.Resource{ID: id, Type: "SPACE"})
		}
		return []sim.Permission{p}
	}
	ws := full()
	ws.Users[0].Permissions, ws.Users[1].Permissions = spaces("1", "spa_2"), spaces("2", "spa_other")
	ws.Groups = nil
	for name, c := range map[string]struct {
		size  int
		fault sim.Fault
		want  []string
		code  codes.Code
	}{
		"listed": {want: []string{
			"space:spa_1:uni:user:u1", "space:2:uni:user:u1", "workspace:wksp:member:user:u1",
			"space:2:uni:user:u2", "space:spa_other:uni:user:u2", "workspace:wksp:member:user:u2",
		}},
		"not in the plan": {fault: sim.Fault{Kind: sim.FaultStatus, Status: 400}, want: []string{
			"space:spa_1:uni:user:u1", "space:spa_2:uni:user:u1", "workspace:wksp:member:user:u1",
			"space:spa_2:uni:user:u2", "space:spa_other:uni:user:u2", "workspace:wksp:member:user:u2",
		}},
		"refused":     {fault: sim.Fault{Kind: sim.FaultStatus, Status: 403}, code: codes.PermissionDenied},
		"of a proxy":  {fault: sim.Fault{Kind: sim.FaultHTML, Status: 404}, code: codes.FailedPrecondition},
		"second page": {size: 1, fault: sim.Fault{Ordinal: 2, Kind: sim.FaultStatus, Status: 404}, code: codes.FailedPrecondition},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newPagedFixture(t, ws, c.size)
			if c.fault.Kind != "" {
				c.fault.Operation = "listSpaces"
				f.inject(t, c.fault)
			}
			// A user without permissions on spaces needs no list of them.
			must(f.grants(t.Context(), must(userResource("", segmentapiUser("u3")))(t)))(t)
			if asked := f.requestCounts()["listSpaces"]; asked != 0 {
				t.Errorf("spaces were listed for nothing")
			}
			var got []string
			for _, id := range []string{"u1", "u2"} {
				grants, err := f.grants(t.Context(), must(userResource("", segmentapiUser(id)))(t))
				if status.Code(err) != c.code {
					t.Fatalf("%s: %v, want %s", id, err, c.code)
				}
				if err != nil {
					return
				}
				got = append(got, grantIDs(grants)...)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("grants (-want +got):\n%s", diff)
			}
			if asked := f.requestCounts()["listSpaces"]; asked != 1 {
				t.Errorf("spaces were listed %d times", asked)
			}
		})
	}
}
