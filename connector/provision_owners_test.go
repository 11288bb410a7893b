package connector

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// revokeWithRetries revokes through the SDK, which tries again.
func revokeWithRetries(ctx context.Context, t *testing.T, f *fixture, entitlementID, principal string) (annotations.Annotations, error) {
	t.Helper()
	server := must(connectorbuilder.NewConnector(ctx, f.Connector))(t)
	on := must(parseEntitlementID(entitlementID))(t)
	e := v2.Entitlement_builder{Id: entitlementID, Resource: stub(on.typeID, on.id)}.Build()
	res, err := server.Revoke(ctx, v2.GrantManagerServiceRevokeRequest_builder{
		Grant: v2.Grant_builder{Entitlement: e, Principal: principalOf(principal)}.Build(),
	}.Build())
	return res.GetAnnotations(), err
}

// hasOwner reports whether the workspace has an owner.
func (f *fixture) hasOwner() bool {
	for _, held := range f.state() {
		if slices.Contains(held, "owner on WORKSPACE wksp []") {
			return true
		}
	}
	return false
}

// Ownership can be taken away as long as another owner is left.
func TestProvisioning_OneOfSeveralOwners(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]attempt{
		"role":             revoking("role:owner:assigned", "user:u1"),
		"role of a group":  revoking("role:owner:assigned", "group:g1"),
		"membership":       revoking("workspace:wksp:member", "user:u1"),
		"user":             deleting("user:u1"),
		"member":           revoking("group:g1:member", "user:u2"),
		"group":            deleting("group:g1"),
		"owner by a group": deleting("user:u2"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ws := writable()
				ws.Groups[0].Permissions = append(ws.Groups[0].Permissions, role("member"))
				f := newInMemoryFixture(t, ws)
				before := f.state()
				if annos, err := do(t.Context(), f); err != nil || len(annos) > 0 {
					t.Errorf("%v, %v", annos, err)
				}
				if diff := cmp.Diff(before, f.state()); diff == "" {
					t.Error("nothing has changed")
				}
			})
		})
	}
}

// If Segment refuses a removal, nothing changes.
func TestDelete_Refused(t *testing.T) {
	t.Parallel()
	for resource, operation := range map[string]string{"user:u1": "deleteUsers", "user:u2": "deleteUsers", "group:g1": "deleteUserGroup"} {
		for _, code := range []int{403, 422, 429, 500, 503} {
			t.Run(resource+" "+http.StatusText(code), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := newInMemoryFixture(t, writable())
					f.inject(t, sim.Fault{Operation: operation, Kind: sim.FaultStatus, Status: code, Header: http.Header{"Retry-After": {"30"}}})
					before := f.state()
					_, err := deleting(resource)(t.Context(), f)
					if diff := cmp.Diff(before, f.state()); err == nil || diff != "" {
						t.Errorf("%v\nthe workspace (-want +got):\n%s", err, diff)
					}
				})
			})
		}
	}
}

// If the rate limit delays a removal and the other owner goes meanwhile, the
// retry of the SDK checks the owners again.
func TestRevoke_OtherOwnerGoneDuringRateLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newInMemoryFixture(t, twoOwners())
		f.inject(t, sim.Fault{Operation: "deleteUsers", Ordinal: 1, Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"30"}}})
		if err := f.sim.Before("deleteUsers", 1, demoteSecondUser); err != nil {
			t.Fatal(err)
		}
		_, err := revokeWithRetries(t.Context(), t, f, "workspace:wksp:member", "user:u1")
		if !f.hasOwner() {
			t.Errorf("nobody owns the workspace: %v, wrote %v", err, f.writes())
		}
	})
}

// If ownership was revoked and could not be restored, the call fails with a code
// that is not retried.
func TestRevoke_OwnershipNotRestored(t *testing.T) {
	t.Parallel()
	for entitlementID, first := range map[string]int{"role:owner:assigned": 5, "workspace:wksp:member": 6} {
		t.Run(entitlementID, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newInMemoryFixture(t, twoOwners())
				for i := range 6 { // From the check after the write to the end of the restoring.
					f.inject(t, sim.Fault{Operation: "getUser", Ordinal: first + i, Kind: sim.FaultStatus, Status: 503})
				}
				if err := f.sim.Before("getUser", first, demoteSecondUser); err != nil {
					t.Fatal(err)
				}
				annos, err := revokeWithRetries(t.Context(), t, f, entitlementID, "user:u1")
				if !f.hasOwner() && (err == nil || status.Code(err) == codes.Unavailable) {
					t.Errorf("nobody owns the workspace: %v, %v, wrote %v", annos, err, f.writes())
				}
			})
		})
	}
}

// If the groups of a user cannot be read to the end, the user is not deleted:
// one of them may be the last owner.
func TestDelete_OwnerGroupsNotReadToTheEnd(t *testing.T) {
	t.Parallel()
	ws := writable()
	ws.Users[0].Permissions, ws.Users[2].Permissions = []sim.Permission{role("member")}, []sim.Permission{role("member")}
	ws.Groups[0].Permissions = []sim.Permission{role("owner")}
	ws.Groups[0].Members, ws.Groups[1].Members = []string{"bo@example.com"}, []string{"bo@example.com"}
	f := newPagedFixture(t, ws, 1)
	f.inject(t, sim.Fault{Operation: "listUserGroupsFromUser", Ordinal: 2, Kind: sim.FaultStatus, Status: 400})
	if _, err := deleting("user:u2")(t.Context(), f); err == nil {
		t.Errorf("the last owner is gone: %v", f.state())
	}
}
