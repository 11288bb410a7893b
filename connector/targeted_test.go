package connector

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate/statetest"
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

// Several users of a targeted sync may be read at a time. Each of their groups is asked for
// once, in each sync.
func TestEntitlements_UsersOfOneGroupInATargetedSync(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ws := small()
		ws.Groups[1].Members = ws.Groups[0].Members
		f := newInMemoryFixture(t, ws)
		f.validate(t)
		f.inject(t, sim.Fault{Operation: "getUserGroup", Kind: sim.FaultDelay, Delay: time.Second})
		for range 2 {
			f.session = statetest.New()
			var all sync.WaitGroup
			for _, id := range []string{"u1", "u2"} {
				all.Go(func() {
					if _, err := f.entitlements(t.Context(), stub(typeUser, id)); err != nil {
						t.Errorf("%s: %v", id, err)
					}
				})
			}
			all.Wait()
			if diff := cmp.Diff(map[string]int{"getUser": 2, "listUserGroupsFromUser": 2, "getUserGroup": 2}, f.requestCounts()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		}
	})
}

// A call that is canceled while another reads a group is canceled, and the other goes on.
// If the one that reads is canceled, the other has the group all the same.
func TestEntitlements_CanceledWhileAGroupIsRead(t *testing.T) {
	t.Parallel()
	for _, canceled := range []string{"u1", "u2"} {
		t.Run(canceled, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newInMemoryFixture(t, small())
				f.validate(t)
				f.inject(t, sim.Fault{Operation: "getUserGroup", Kind: sim.FaultDelay, Delay: time.Minute})
				ctx, cancel := context.WithCancel(t.Context())
				errs := map[string]chan error{}
				for _, id := range []string{"u1", "u2"} {
					answer, callCtx := make(chan error, 1), t.Context()
					if id == canceled {
						callCtx = ctx
					}
					errs[id] = answer
					go func() {
						_, err := f.entitlements(callCtx, stub(typeUser, id))
						answer <- err
					}()
					synctest.Wait()
				}
				cancel()
				for id, answer := range errs {
					if err := <-answer; status.Code(err) == codes.Canceled != (id == canceled) || id != canceled && err != nil {
						t.Errorf("%s: %v", id, err)
					}
				}
			})
		})
	}
}
