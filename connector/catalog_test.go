package connector

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// wantStaticEntitlements are the static entitlements of full.
func wantStaticEntitlements() map[string][]string {
	return map[string][]string{
		typeWorkspace: {`member "Member" to user`},
		typeGroup:     {`member "Member" to user invite`},
		typeRole:      {`assigned "Assigned" to user group`},
		typeSource:    {`src "Source Admin" to user group`},
		typeFunction:  {`fn "Functions Admin" to user group`},
		typeSpace:     {`uni "Unify and Engage Admin" to user group`},
		typeWarehouse: {`wh "Warehouse Destination Admin" to user group, immutable`},
		typeLabel:     {`src "Source Admin" to user group`, `uni "Unify and Engage Admin" to user group`},
	}
}

// listAllButRoles lists all types but the roles.
func listAllButRoles(t *testing.T, f *fixture) {
	for typeID := range wantStaticEntitlements() {
		if typeID != typeRole {
			must(f.listType(t.Context(), typeID))(t)
		}
	}
}

// The static entitlements of a type are the roles that apply to it. The roles
// are read once in a sync, even if it leaves out their type.
func TestStaticEntitlements(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		size     int
		before   func(*testing.T, *fixture)
		requests int
	}{
		"roles listed":                        {before: func(t *testing.T, f *fixture) { f.listAll(t) }},
		"roles listed, page by page":          {size: 1, before: func(t *testing.T, f *fixture) { f.listAll(t) }},
		"roles not listed":                    {before: listAllButRoles, requests: 1},
		"roles not listed, page by page":      {size: 1, before: listAllButRoles, requests: 6},
		"no store":                            {before: func(_ *testing.T, f *fixture) { f.session = nil }, requests: 5},
		"roles listed, no store for the next": {before: func(t *testing.T, f *fixture) { f.listAll(t); f.session = nil }, requests: 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newPagedFixture(t, full(), c.size)
			f.validate(t)
			if c.before != nil {
				c.before(t, f)
			}
			f.requestCounts()
			if diff := cmp.Diff(wantStaticEntitlements(), must(f.staticEntitlements(t))(t)); diff != "" {
				t.Errorf("static entitlements (-want +got):\n%s", diff)
			}
			want := map[string]int{"listRoles": c.requests}
			if c.requests == 0 {
				want = map[string]int{}
			}
			if diff := cmp.Diff(want, f.requestCounts()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

// If the roles cannot be read to the end, the call fails, and the next one reads
// them from the start: some roles would pass for all.
func TestStaticEntitlements_RolesNotReadToTheEnd(t *testing.T) {
	t.Parallel()
	for want, fault := range map[codes.Code]sim.Fault{
		codes.FailedPrecondition: {Kind: sim.FaultStatus, Status: http.StatusNotFound},
		codes.PermissionDenied:   {Kind: sim.FaultStatus, Status: http.StatusForbidden},
		codes.Internal:           {Kind: sim.FaultRepeatCursor},
	} {
		f := newPagedFixture(t, full(), 1)
		listAllButRoles(t, f)
		fault.Operation, fault.Ordinal = "listRoles", 3
		f.inject(t, fault)
		if rows, err := f.staticEntitlements(t); status.Code(err) != want {
			t.Errorf("%v: %v, %v", fault.Kind, rows, err)
		}
		// Roles that were read before the error do not count.
		f.sim.ClearFaults()
		if diff := cmp.Diff(wantStaticEntitlements(), must(f.staticEntitlements(t))(t)); diff != "" {
			t.Errorf("static entitlements (-want +got):\n%s", diff)
		}
	}
}

// Get returns the same row as List, with one request.
func TestGet_ReturnsTheListedRow(t *testing.T) {
	t.Parallel()
	for name, ws := range map[string]*sim.Workspace{"full": full(), "demo": sim.Demo(), "hostile": sim.Hostile()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, ws)
			for typeID, rows := range f.listAll(t) {
				f.requestCounts()
				if len(rows) == 0 {
					t.Errorf("no %s", typeID)
				}
				// If a label is defined twice, the file has the last row.
				last := map[string]*v2.Resource{}
				for _, r := range rows {
					last[r.GetId().GetResource()] = r
				}
				for id, want := range last {
					if diff := cmp.Diff(want, must(f.get(t.Context(), typeID, id))(t), protocmp.Transform()); diff != "" {
						t.Errorf("%s %s (-listed +got):\n%s", typeID, id, diff)
					}
				}
				want := map[string]int{getOperations()[typeID]: len(last)}
				if typeID == typeRole {
					want["listRoles"] = 1
				}
				if diff := cmp.Diff(want, f.requestCounts()); diff != "" {
					t.Errorf("requests (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// A row that does not exist is NotFound, which a targeted sync leaves out. Every
// other error fails it.
func TestGet_Errors(t *testing.T) {
	t.Parallel()
	for typeID, operation := range getOperations() {
		for httpStatus, want := range map[int]codes.Code{
			http.StatusOK:                  codes.NotFound,
			http.StatusBadRequest:          codes.InvalidArgument,
			http.StatusUnauthorized:        codes.Unauthenticated,
			http.StatusForbidden:           codes.PermissionDenied,
			http.StatusInternalServerError: codes.Internal,
			http.StatusServiceUnavailable:  codes.Unavailable,
		} {
			synctest.Test(t, func(t *testing.T) {
				f := newInMemoryFixture(t, full())
				if httpStatus != http.StatusOK {
					f.inject(t, sim.Fault{Operation: operation, Kind: sim.FaultStatus, Status: httpStatus})
				}
				if httpStatus == http.StatusBadRequest && slices.Contains(optionalTypes(), typeID) {
					want = codes.NotFound // The plan may lack the type.
				}
				r, err := f.get(t.Context(), typeID, "missing")
				if status.Code(err) != want || r != nil {
					t.Errorf("%s, status %d: %v, %v, want %s", typeID, httpStatus, r, err, want)
				}
			})
		}
	}
}

// Get waits for the rate limit itself, because the SDK does not try again in a
// targeted sync.
func TestGet_WaitsForTheRateLimit(t *testing.T) {
	t.Parallel()
	ids := map[string]string{
		typeWorkspace: workspaceID, typeUser: "u1", typeInvite: "new@example.com", typeGroup: "g1", typeRole: "owner",
		typeSource: "src", typeWarehouse: "w1", typeFunction: "f1", typeSpace: "spa_1", typeLabel: "env=prod",
	}
	limit := sim.Fault{Ordinal: 1, Kind: sim.FaultStatus, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"40"}}}
	for typeID, operation := range getOperations() {
		synctest.Test(t, func(t *testing.T) {
			f := newInMemoryFixture(t, full())
			limit.Operation = operation
			f.inject(t, limit)
			began := time.Now()
			if _, err := f.get(t.Context(), typeID, ids[typeID]); err != nil {
				t.Errorf("%s: %v", typeID, err)
			}
			if waited := time.Since(began); waited < 40*time.Second || waited > 65*time.Second {
				t.Errorf("%s: waited %s", typeID, waited)
			}
		})
	}
	// The connector that New makes waits as well: until its context ends.
	f := newFixture(t, full())
	limit.Operation = "getUser"
	f.inject(t, limit)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := f.get(ctx, typeUser, "u1"); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
}
