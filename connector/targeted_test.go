package connector

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// The groups of a user that are not found at first are asked for once more. If they are
// not found then either, or the plan lacks groups, one warning names the type, and the
// user's own roles are there. Other errors fail.
func TestGrants_GroupsInATargetedSync(t *testing.T) {
	t.Parallel()
	own := []string{"role:owner:assigned:user:u1", "role:member:assigned:user:u1", "workspace:wksp:member:user:u1"}
	whole := append(slices.Clone(own), "group:g1:member:user:u1", "role:owner:assigned:group:g1")
	slices.Sort(own)
	slices.Sort(whole)
	for name, c := range map[string]struct {
		fault    sim.Fault
		want     []string
		warnings int
		requests int
		code     codes.Code
	}{
		"found":              {want: whole, requests: 1},
		"found later":        {fault: sim.Fault{Ordinal: 1, Status: http.StatusNotFound}, want: whole, requests: 2},
		"not found":          {fault: sim.Fault{Status: http.StatusNotFound}, want: own, warnings: 1, requests: 2},
		"not in the plan":    {fault: sim.Fault{Status: http.StatusBadRequest}, want: own, warnings: 1, requests: 1},
		"a wrong request":    {fault: sim.Fault{Status: http.StatusBadRequest, Body: `{"errors":[{"type":"input-validation"}]}`}, code: codes.InvalidArgument, requests: 1},
		"refused":            {fault: sim.Fault{Status: http.StatusForbidden}, code: codes.PermissionDenied, requests: 1},
		"404 of a proxy":     {fault: sim.Fault{Kind: sim.FaultHTML, Status: http.StatusNotFound}, code: codes.FailedPrecondition, requests: 1},
		"group has vanished": {fault: sim.Fault{Operation: "getUserGroup", Status: http.StatusNotFound}, want: own, warnings: 1, requests: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newInMemoryFixture(t, small())
				if c.fault.Status != 0 {
					if c.fault.Kind == "" {
						c.fault.Kind = sim.FaultStatus
					}
					if c.fault.Operation == "" {
						c.fault.Operation = "listUserGroupsFromUser"
					}
					f.inject(t, c.fault)
				}
				ctx, logs := withObservedLog(t)
				user := stub(typeUser, "u1")
				_, err := f.entitlements(ctx, user)
				if status.Code(err) != c.code {
					t.Fatalf("%v, want %s", err, c.code)
				}
				if n := f.requestCounts()["listUserGroupsFromUser"]; n != c.requests {
					t.Errorf("%d requests, want %d", n, c.requests)
				}
				if err != nil {
					return
				}
				n := logs.FilterMessageSnippet("skipped: ").Len() + logs.FilterMessageSnippet(whyVanished).Len()
				if n != c.warnings {
					t.Errorf("%d warnings, want %d: %v", n, c.warnings, logs.All())
				}
				got := grantIDs(must(f.grants(ctx, user))(t))
				slices.Sort(got)
				if diff := cmp.Diff(c.want, slices.Compact(got)); diff != "" {
					t.Errorf("grants (-want +got):\n%s", diff)
				}
				if requests := f.requestCounts(); len(requests) != 0 {
					t.Errorf("what is known was asked for again: %v", requests)
				}
			})
		})
	}
}
