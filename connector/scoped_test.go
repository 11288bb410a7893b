package connector

import (
	"fmt"
	"net/http"
	"testing"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// static are the entitlements that all resources of a type have.
func (f *fixture) static(t *testing.T) (map[string][]string, error) {
	t.Helper()
	all := map[string][]string{}
	for _, s := range f.ResourceSyncers(t.Context()) {
		typeID := s.ResourceType(t.Context()).GetId()
		static, ok := s.(connectorbuilder.StaticEntitlementSyncerV2)
		if !ok {
			continue
		}
		rows, err := pages(f, func(o rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
			return static.StaticEntitlements(t.Context(), o)
		})
		if err != nil {
			return nil, err
		}
		for _, e := range rows {
			row := fmt.Sprintf("%s %q to", e.GetSlug(), e.GetDisplayName())
			for _, to := range e.GetGrantableTo() {
				row += " " + to.GetId()
			}
			if immutable(e) {
				row += ", immutable"
			}
			if e.GetDescription() == "" || e.GetResource() != nil || e.GetPurpose() != v2.Entitlement_PURPOSE_VALUE_ASSIGNMENT {
				t.Errorf("%s: %v", typeID, e)
			}
			all[typeID] = append(all[typeID], row)
		}
	}
	return all, nil
}

// foretold are the static entitlements of full.
func foretold() map[string][]string {
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

// withoutRoles lists all types but the roles.
func withoutRoles(t *testing.T, f *fixture) {
	for typeID := range foretold() {
		if typeID != typeRole {
			must(f.listType(t.Context(), typeID))(t)
		}
	}
}

// Roles say what can be held on each type. They are asked for once in a sync,
// also in one that leaves the type out.
func TestStaticEntitlements(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		size     int
		before   func(*testing.T, *fixture)
		requests int
	}{
		"roles listed":                        {before: func(t *testing.T, f *fixture) { f.list(t) }},
		"roles listed, page by page":          {size: 1, before: func(t *testing.T, f *fixture) { f.list(t) }},
		"roles not listed":                    {before: withoutRoles, requests: 1},
		"roles not listed, page by page":      {size: 1, before: withoutRoles, requests: 6},
		"no store":                            {before: func(_ *testing.T, f *fixture) { f.session = nil }, requests: 5},
		"roles listed, no store for the next": {before: func(t *testing.T, f *fixture) { f.list(t); f.session = nil }, requests: 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := paged(t, full(), c.size)
			if c.before != nil {
				c.before(t, f)
			}
			f.requests()
			if diff := cmp.Diff(foretold(), must(f.static(t))(t)); diff != "" {
				t.Errorf("static entitlements (-want +got):\n%s", diff)
			}
			want := map[string]int{"listRoles": c.requests}
			if c.requests == 0 {
				want = map[string]int{}
			}
			if diff := cmp.Diff(want, f.requests()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

// Half of the roles would look like all of them.
func TestStaticEntitlementsNeedAllRoles(t *testing.T) {
	t.Parallel()
	for want, fault := range map[codes.Code]sim.Fault{
		codes.FailedPrecondition: {Kind: sim.FaultStatus, Status: http.StatusNotFound},
		codes.PermissionDenied:   {Kind: sim.FaultStatus, Status: http.StatusForbidden},
		codes.Internal:           {Kind: sim.FaultRepeatCursor},
	} {
		f := paged(t, full(), 1)
		withoutRoles(t, f)
		fault.Operation, fault.Ordinal = "listRoles", 3
		f.inject(t, fault)
		if rows, err := f.static(t); status.Code(err) != want {
			t.Errorf("%v: %v, %v", fault.Kind, rows, err)
		}
		// What was read of them does not pass for the whole.
		f.sim.ClearFaults()
		if diff := cmp.Diff(foretold(), must(f.static(t))(t)); diff != "" {
			t.Errorf("static entitlements (-want +got):\n%s", diff)
		}
	}
}

// Cursors that lead back would keep a sync busy for ever.
func TestCirclesOfPagesEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t, full())
	withoutRoles(t, f)
	page := func(cursor, next string) sim.Fault {
		return sim.Fault{Operation: "listRoles", Query: cursor, Kind: sim.FaultStatus, Status: http.StatusOK,
			Body: `{"data":{"roles":[],"pagination":{"current":"` + cursor + `","next":"` + next + `"}}}`}
	}
	f.inject(t, sim.Fault{Operation: "listRoles", Ordinal: 100, Kind: sim.FaultStatus, Status: http.StatusForbidden}) // Or a failure would take for ever.
	for _, fault := range []sim.Fault{page("one", "two"), page("two", "three"), page("three", "one"), page("", "one")} {
		f.inject(t, fault)
	}
	if rows, err := f.static(t); status.Code(err) != codes.Internal {
		t.Errorf("static entitlements: %v, %v", rows, err)
	}
	if rows, err := f.listType(t.Context(), typeRole); status.Code(err) != codes.Internal {
		t.Errorf("roles: %v, %v", rows, err)
	}
}
