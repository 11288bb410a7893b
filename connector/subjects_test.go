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
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// Entitlements and grants of users and groups are complete at every page size,
// with one detail request for each user and group.
func TestGrants(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 2, 1000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			f := newPagedFixture(t, small(), size)
			rows := f.listAll(t)
			f.requestCounts()
			got := map[string][]string{}
			var extra []string
			for _, r := range slices.Concat(rows[typeUser], rows[typeGroup]) {
				for _, e := range must(f.entitlements(t.Context(), r))(t) {
					extra = append(extra, e.GetId())
				}
			}
			// The owner's role applies neither to sources nor to labels.
			if diff := cmp.Diff([]string{"source:src:owner", "label:env=prod:owner"}, extra); diff != "" {
				t.Errorf("entitlements that no list foretold (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[string]int{"getUser": 3, "getUserGroup": 2}, f.requestCounts()); diff != "" {
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
			if got := f.requestCounts(); got["getUser"]+got["getUserGroup"]+got["getWorkspace"] != 0 {
				t.Errorf("grants asked again for what was known: %v", got)
			}
		})
	}
}

// If Segment sends permissions in lists, details are read only of users and
// groups that have none there, u2 and g2: a list without permissions may leave
// them out.
func TestEntitlements_PermissionsInLists(t *testing.T) {
	t.Parallel()
	plain, generous := newFixture(t, small()), newFixture(t, small(), sim.WithPermissionsInLists())
	grants := func(f *fixture) []string {
		var ids []string
		rows := f.listAll(t)
		for _, r := range slices.Concat(rows[typeUser], rows[typeGroup]) {
			must(f.entitlements(t.Context(), r))(t)
			ids = append(ids, grantIDs(must(f.grants(t.Context(), r))(t))...)
		}
		return ids
	}
	if diff := cmp.Diff(grants(plain), grants(generous)); diff != "" {
		t.Errorf("grants (-plain +generous):\n%s", diff)
	}
	want, got := plain.requestCounts(), generous.requestCounts()
	want["getUser"], want["getUserGroup"] = 1, 1
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// A detail that is in the session store is not read a second time: not when a
// sync is resumed, after another detail failed, or in another process.
func TestEntitlements_StoredDetailIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(*testing.T, *fixture){
		"a sync begins": func(t *testing.T, f *fixture) {
			t.Helper()
			must(f.Validate(t.Context()))(t)
		},
		"another failed": func(t *testing.T, f *fixture) {
			t.Helper()
			f.inject(t, sim.Fault{Operation: "getUser", Kind: sim.FaultStatus, Status: http.StatusForbidden})
			if _, err := f.entitlements(t.Context(), stub(typeUser, "u2")); err == nil {
				t.Error("the fault made no error")
			}
			f.sim.ClearFaults()
		},
		"another process": func(t *testing.T, f *fixture) {
			t.Helper()
			f.Connector = &Connector{client: f.client, patient: f.patient}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, small())
			user := rowWithID(t, f.listAll(t)[typeUser], "u1")
			must(f.entitlements(t.Context(), user))(t)
			before(t, f)
			f.requestCounts()
			must(f.entitlements(t.Context(), user))(t)
			must(f.grants(t.Context(), user))(t)
			if n := f.requestCounts()["getUser"]; n != 0 {
				t.Errorf("%d requests for what is stored", n)
			}
		})
	}
}

// A user or group that is not found is asked for once more, a second later. If
// it is found then, its rows are complete.
func TestEntitlements_NotFoundIsRechecked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newInMemoryFixture(t, usersAndEmptyGroups(5, 2))
		rows := f.listAll(t)
		for _, r := range []*v2.Resource{rows[typeUser][0], rows[typeGroup][0]} {
			for _, operation := range []string{"getUser", "getUserGroup", "listUsersFromUserGroup", "listInvitesFromUserGroup"} {
				f.inject(t, sim.Fault{Operation: operation, Ordinal: 1, Kind: sim.FaultStatus, Status: http.StatusNotFound})
			}
			began := time.Now()
			f.requestCounts()
			must(f.entitlements(t.Context(), r))(t)
			if grants := must(f.grants(t.Context(), r))(t); len(grants) == 0 {
				t.Errorf("%s has no grants", r.GetId().GetResource())
			}
			requests := f.requestCounts()
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

// A user or group that is not found twice is gone for the rest of the sync,
// because its rows would be incomplete. This holds in another process as well,
// until the list is read again.
func TestEntitlements_GoneStaysGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newInMemoryFixture(t, usersAndEmptyGroups(200, 200))
		rows := f.listAll(t)
		ctx, logs := withObservedLog(t)
		for _, r := range []*v2.Resource{rows[typeUser][0], rows[typeGroup][0]} {
			f.inject(t, sim.Fault{Operation: "getUser", Kind: sim.FaultStatus, Status: http.StatusNotFound})
			f.inject(t, sim.Fault{Operation: "getUserGroup", Kind: sim.FaultStatus, Status: http.StatusNotFound})
			must(f.entitlements(ctx, r))(t)
			f.sim.ClearFaults()
			other := f.inAnotherProcess()
			other.validate(t)
			for _, in := range []*fixture{f, other} {
				if extra := must(in.entitlements(ctx, r))(t); len(extra) != 0 {
					t.Errorf("%s has the entitlements %v", r.GetId().GetResource(), extra)
				}
				if grants := must(in.grants(ctx, r))(t); len(grants) != 0 {
					t.Errorf("%s has the grants %v", r.GetId().GetResource(), grantIDs(grants))
				}
			}
			if requests := f.requestCounts(); len(requests) != 0 {
				t.Errorf("%s was asked for again: %v", r.GetId().GetResource(), requests)
			}
		}
		if n := logs.FilterMessageSnippet(whyVanished).Len(); n != 1 { // The second warning is due for the tenth.
			t.Errorf("%d warnings", n)
		}
		// After the list is read again, details are as well.
		f.listAll(t)
		for _, r := range []*v2.Resource{rows[typeUser][0], rows[typeGroup][0]} {
			must(f.entitlements(ctx, r))(t)
			if grants := must(f.grants(ctx, r))(t); len(grants) == 0 {
				t.Errorf("%s has no grants after its list was read again", r.GetId().GetResource())
			}
		}
	})
}

// The call ends with its context during the second before the recheck.
func TestEntitlements_ContextEndsDuringRecheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newInMemoryFixture(t, usersAndEmptyGroups(3, 0))
		user := f.listAll(t)[typeUser][0]
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

// Some users and groups that are gone get no grants. More than one in a hundred
// fail the sync.
func TestEntitlements_TooManyGone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		users, groups         int
		goneUsers, goneGroups int
		want                  codes.Code
	}{
		{users: 5, goneUsers: 1, want: codes.OK},
		{users: 5, goneUsers: 2, want: codes.FailedPrecondition},
		{users: 1, groups: 2, goneGroups: 1, want: codes.OK},
		{users: 1, groups: 2, goneGroups: 2, want: codes.FailedPrecondition},
		{users: 300, goneUsers: 3, want: codes.OK},
		{users: 300, goneUsers: 4, want: codes.FailedPrecondition},
		{users: 150, groups: 150, goneUsers: 2, goneGroups: 1, want: codes.OK},
		{users: 150, groups: 150, goneUsers: 2, goneGroups: 2, want: codes.FailedPrecondition},
	} {
		for _, storeless := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				f := newInMemoryFixture(t, usersAndEmptyGroups(c.users, c.groups))
				if storeless {
					f.session = nil
				}
				rows := f.listAll(t)
				f.requestCounts()
				f.sim.Update(func(ws *sim.Workspace) { ws.Users, ws.Groups = ws.Users[c.goneUsers:], ws.Groups[c.goneGroups:] })
				var err error
				for _, r := range slices.Concat(rows[typeUser][:c.goneUsers], rows[typeGroup][:c.goneGroups]) {
					if _, err = f.entitlements(t.Context(), r); err != nil {
						break
					}
					if grants := must(f.grants(t.Context(), r))(t); len(grants) != 0 {
						t.Errorf("one that has gone has grants: %v", grants)
					}
				}
				if status.Code(err) != c.want {
					t.Errorf("%+v, without a store %t: %v", c, storeless, err)
				}
				// Each detail is requested twice for the entitlements and, without a store,
				// twice more for the grants, unless the sync has failed before.
				want := 2 * (c.goneUsers + c.goneGroups)
				if storeless {
					want *= 2
					if c.want != codes.OK {
						want -= 2
					}
				}
				if got := f.requestCounts(); got["getUser"]+got["getUserGroup"] != want {
					t.Errorf("%+v, without a store %t: requests %v, want %d", c, storeless, got, want)
				}
			})
		}
	}
}

// Only Segment's own 404 means that a user or group is gone. Every other error
// fails the sync and names the user or group.
func TestEntitlements_OtherErrorsFail(t *testing.T) {
	t.Parallel()
	for fault, want := range map[*sim.Fault]codes.Code{
		{Kind: sim.FaultStatus, Status: http.StatusBadRequest}:          codes.InvalidArgument,
		{Kind: sim.FaultStatus, Status: http.StatusUnauthorized}:        codes.Unauthenticated,
		{Kind: sim.FaultStatus, Status: http.StatusForbidden}:           codes.PermissionDenied,
		{Kind: sim.FaultStatus, Status: http.StatusInternalServerError}: codes.Internal,
		{Kind: sim.FaultHTML, Status: http.StatusNotFound}:              codes.FailedPrecondition,
	} {
		t.Run(http.StatusText(fault.Status), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newInMemoryFixture(t, small())
				rows := f.listAll(t)
				for _, operation := range []string{"getUser", "listUsersFromUserGroup"} {
					fault.Operation = operation
					f.inject(t, *fault)
				}
				user, group := rows[typeUser][0], rows[typeGroup][0]
				_, err := f.entitlements(t.Context(), user)
				if status.Code(err) != want || !strings.Contains(err.Error(), "user u1") {
					t.Errorf("user: %v, want %s", err, want)
				}
				if _, err := f.grants(t.Context(), group); status.Code(err) != want || !strings.Contains(err.Error(), "group g1") {
					t.Errorf("group: %v, want %s", err, want)
				}
			})
		})
	}
}

// If a user or group holds more than fits on a page, the rest is on further
// pages, so that no gRPC message grows too large.
func TestGrants_ManyHoldings(t *testing.T) {
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
	rows := f.listAll(t)
	for _, r := range []*v2.Resource{rowWithID(t, rows[typeUser], "u2"), rowWithID(t, rows[typeGroup], "g2")} {
		syncer := f.syncer(r)
		var entitlements, grants []string
		check := func(page int) {
			if page > maxRows {
				t.Errorf("%v: a page of %d rows", r.GetId(), page)
			}
		}
		must(allPages(f, func(o rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
			page, res, err := syncer.Entitlements(t.Context(), r, o)
			for _, e := range page {
				entitlements = append(entitlements, e.GetId())
			}
			check(len(page))
			return page, res, err
		}))(t)
		must(allPages(f, func(o rs.SyncOpAttrs) ([]*v2.Grant, *rs.SyncOpResults, error) {
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
	if got := f.requestCounts(); got["getUser"]+got["getUserGroup"] != 2 {
		t.Errorf("requests: %v", got)
	}
}

// Without a session store each page reads the user again. If the number of rows
// has changed, the sync fails.
func TestGrants_HoldingsChangeBetweenPages(t *testing.T) {
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
	if grants, err := f.grants(t.Context(), must(userResource("", segmentapiUser("u2")))(t)); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("%d grants, %v", len(grants), err)
	}
}
