package connector

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// oneAttemptPerOperation has one attempt for each operation that changes
// something.
func oneAttemptPerOperation() map[string]attempt {
	return map[string]attempt{
		"addPermissionsToUser":           granting("function:f1:fn", "user:u4"),
		"addPermissionsToUserGroup":      granting("label:env=prod:src", "group:g2"),
		"replacePermissionsForUser":      revoking("source:src:src", "user:u4"),
		"replacePermissionsForUserGroup": revoking("source:src:src", "group:g2"),
		"addUsersToUserGroup":            granting("group:g2:member", "user:u4"),
		"removeUsersFromUserGroup":       revoking("group:g2:member", "user:u3"),
		"deleteUsers":                    revoking("workspace:wksp:member", "user:u4"),
		"deleteInvites":                  deleting("invite:new@example.com"),
		"createInvites":                  inviting("eve@example.com"),
		"createUserGroup":                creatingGroup("Newcomers"),
		"deleteUserGroup":                deleting("group:g2"),
	}
}

// No failed write passes for a success. The code says who has to act: the SDK
// retries Unavailable and nothing else.
func TestProvisioning_Errors(t *testing.T) {
	t.Parallel()
	bare := func(status int) sim.Fault { return sim.Fault{Kind: sim.FaultHTML, Status: status} }
	segment := func(status int) sim.Fault { return sim.Fault{Kind: sim.FaultStatus, Status: status} }
	for _, c := range []struct {
		name  string
		fault sim.Fault
		want  codes.Code
		says  string
	}{
		{"400", segment(400), codes.InvalidArgument, ""},
		{"401", segment(401), codes.Unauthenticated, "region"},
		{"403", segment(403), codes.PermissionDenied, "token's role"},
		{"404", segment(404), codes.FailedPrecondition, "may be gone: sync again"},
		{"409", segment(409), codes.FailedPrecondition, ""},
		{"422", segment(422), codes.InvalidArgument, ""},
		{"429", segment(429), codes.Unavailable, "try again in"},
		{"500", segment(500), codes.Internal, "support"},
		{"503", segment(503), codes.Unavailable, ""},
		{"403 of a proxy", bare(403), codes.PermissionDenied, ""},
		{"404 of a proxy", bare(404), codes.FailedPrecondition, ""},
		{"200 of a proxy", bare(200), codes.Internal, "base URL"},
		{"redirect", sim.Fault{Kind: sim.FaultRedirect}, codes.Internal, ""},
		{"empty", sim.Fault{Kind: sim.FaultEmpty}, codes.Internal, ""},
		{"broken connection", sim.Fault{Kind: sim.FaultReset}, codes.Unavailable, "network"},
	} {
		for operation, do := range oneAttemptPerOperation() {
			t.Run(operation+" "+c.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := newInMemoryFixture(t, writableWithHoldings())
					fault := c.fault
					fault.Operation = operation
					f.inject(t, fault)
					before := f.state()
					annos, err := do(t.Context(), f)
					want := c.want
					if operation == "createUserGroup" && c.fault.Status == http.StatusConflict {
						want = codes.AlreadyExists
					}
					if status.Code(err) != want || !strings.Contains(status.Convert(err).Message(), c.says) || len(annos) > 0 {
						t.Errorf("%v, %v, want %s with %q", annos, err, want, c.says)
					}
					if diff := cmp.Diff(before, f.state()); diff != "" {
						t.Errorf("the workspace (-want +got):\n%s", diff)
					}
					var limits int
					for _, detail := range status.Convert(err).Details() {
						if limit, ok := detail.(*v2.RateLimitDescription); ok && limit.GetResetAt().AsTime().After(time.Now()) {
							limits++
						}
					}
					if (limits == 1) != (c.fault.Status == http.StatusTooManyRequests) {
						t.Errorf("%d details say when to come back", limits)
					}
				})
			})
		}
	}
}

// The client waits for short limits. For longer ones the SDK does, but only in
// calls that it tries again.
func TestProvisioning_RateLimitWait(t *testing.T) {
	t.Parallel()
	all := oneAttemptPerOperation()
	all["deleteUsers directly"] = deleting("user:u4")
	for name, do := range all {
		operation, _, _ := strings.Cut(name, " ")
		for _, wait := range []time.Duration{5 * time.Second, 40 * time.Second, 70 * time.Second} {
			longest := 10 * time.Second
			switch name {
			case "deleteUsers directly", "deleteInvites", "createInvites", "createUserGroup", "deleteUserGroup":
				longest = 65 * time.Second
			}
			synctest.Test(t, func(t *testing.T) {
				f := newInMemoryFixture(t, writableWithHoldings())
				f.inject(t, sim.Fault{
					Operation: operation, Ordinal: 1, Kind: sim.FaultStatus, Status: http.StatusTooManyRequests,
					Header: http.Header{"Retry-After": {fmt.Sprint(wait.Seconds())}},
				})
				want := codes.OK
				if wait > longest {
					want = codes.Unavailable
				}
				start := time.Now()
				_, err := do(t.Context(), f)
				if took := time.Since(start); status.Code(err) != want || want == codes.OK && took < wait || want != codes.OK && took > time.Second {
					t.Errorf("%s with Retry-After %s: %v after %s", name, wait, err, took)
				}
			})
		}
	}
}

// A write whose answer was lost or wrong is a success if it was done, and is not
// done twice.
func TestProvisioning_LostAnswer(t *testing.T) {
	t.Parallel()
	for _, fault := range []sim.Fault{{Kind: sim.FaultDrop}, {Kind: sim.FaultLateStatus}, {Kind: sim.FaultLateStatus, Status: 503}, {Kind: sim.FaultTruncate}} {
		for operation, do := range oneAttemptPerOperation() {
			t.Run(operation+" "+string(fault.Kind), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f, undisturbed := newInMemoryFixture(t, writableWithHoldings()), newInMemoryFixture(t, writableWithHoldings())
					f.inject(t, sim.Fault{Operation: operation, Ordinal: 1, Kind: fault.Kind, Status: fault.Status})
					annos, err := do(t.Context(), f)
					if _, wanted := do(t.Context(), undisturbed); err != nil || wanted != nil || len(annos) > 0 {
						t.Errorf("%v, %v; undisturbed %v", annos, err, wanted)
					}
					if diff := cmp.Diff(undisturbed.state(), f.state()); diff != "" {
						t.Errorf("the workspace (-want +got):\n%s", diff)
					}
					if sent := f.writes(); len(sent) > 1 && !strings.HasPrefix(operation, "delete") && !strings.HasPrefix(operation, "re") {
						t.Errorf("it was sent as %v", sent)
					}
				})
			})
		}
	}
}

// A failed read is an error, and never "already revoked" or "does not exist".
func TestProvisioning_FailedReadIsAnError(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do    attempt
		fault sim.Fault
		want  codes.Code
	}{
		"the user cannot be read":           {revoking("source:src:src", "user:u2"), sim.Fault{Operation: "getUser", Status: 403}, codes.PermissionDenied},
		"404 of a proxy for a user":         {revoking("source:src:src", "user:u2"), sim.Fault{Operation: "getUser", Kind: sim.FaultHTML, Status: 404}, codes.FailedPrecondition},
		"404 of a proxy for a group":        {revoking("source:src:src", "group:g1"), sim.Fault{Operation: "getUserGroup", Kind: sim.FaultHTML, Status: 404}, codes.FailedPrecondition},
		"404 of a proxy for members":        {revoking("group:g2:member", "user:u3"), sim.Fault{Operation: "listUsersFromUserGroup", Kind: sim.FaultHTML, Status: 404}, codes.FailedPrecondition},
		"the groups cannot be listed":       {revoking("source:src:src", "user:u2"), sim.Fault{Operation: "listUserGroupsFromUser", Status: 500}, codes.Internal},
		"the groups are refused":            {revoking("source:src:src", "user:u2"), sim.Fault{Operation: "listUserGroupsFromUser", Status: 403}, codes.PermissionDenied},
		"a group cannot be read":            {revoking("source:src:src", "user:u2"), sim.Fault{Operation: "getUserGroup", Status: 500}, codes.Internal},
		"404 of a proxy for a user's group": {revoking("source:src:src", "user:u2"), sim.Fault{Operation: "getUserGroup", Kind: sim.FaultHTML, Status: 404}, codes.FailedPrecondition},
		"the roles cannot be listed":        {revoking("role:owner:assigned", "user:u1"), sim.Fault{Operation: "listRoles", Status: 404}, codes.FailedPrecondition},
		"invites cannot be listed":          {deleting("invite:gone@example.com"), sim.Fault{Operation: "listInvites", Status: 404}, codes.FailedPrecondition},
		"404 of a proxy for a user to delete": {
			deleting("user:u2"), sim.Fault{Operation: "getUser", Kind: sim.FaultHTML, Status: 404}, codes.FailedPrecondition,
		},
		"404 of a proxy for a group to delete": {
			deleting("group:g2"), sim.Fault{Operation: "getUserGroup", Kind: sim.FaultHTML, Status: 404}, codes.FailedPrecondition,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newInMemoryFixture(t, writable())
				if c.fault.Kind == "" {
					c.fault.Kind = sim.FaultStatus
				}
				f.inject(t, c.fault)
				before := f.state()
				annos, err := c.do(t.Context(), f)
				if status.Code(err) != c.want || len(annos) > 0 {
					t.Errorf("%v, %v, want %s", annos, err, c.want)
				}
				if diff := cmp.Diff(before, f.state()); diff != "" {
					t.Errorf("the workspace (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// If the principal or the group is deleted between the read and the write, the
// grant counts as revoked.
func TestRevoke_PrincipalDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		operation string
		do        attempt
		edit      func(*sim.Workspace)
	}{
		"user":              {"replacePermissionsForUser", revoking("source:src:src", "user:u4"), func(ws *sim.Workspace) { ws.Users = ws.Users[:3] }},
		"group":             {"replacePermissionsForUserGroup", revoking("source:src:src", "group:g2"), func(ws *sim.Workspace) { ws.Groups = ws.Groups[:1] }},
		"group of a member": {"removeUsersFromUserGroup", revoking("group:g2:member", "user:u3"), func(ws *sim.Workspace) { ws.Groups = ws.Groups[:1] }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newInMemoryFixture(t, writableWithHoldings())
				if err := f.sim.Before(c.operation, 1, c.edit); err != nil {
					t.Fatal(err)
				}
				if annos, err := c.do(t.Context(), f); err != nil || !annos.Contains(&v2.GrantAlreadyRevoked{}) {
					t.Errorf("%v, %v", annos, err)
				}
			})
		})
	}
}

// A call whose context is canceled ends, and changes nothing.
func TestProvisioning_CanceledContext(t *testing.T) {
	t.Parallel()
	for operation, do := range oneAttemptPerOperation() {
		f := newFixture(t, writableWithHoldings())
		before := f.state()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if annos, err := do(ctx, f); status.Code(err) != codes.Canceled || len(annos) > 0 {
			t.Errorf("%s: %v, %v", operation, annos, err)
		}
		if diff := cmp.Diff(before, f.state()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", operation, diff)
		}
	}
}

// A call ends with its context, even while it waits for a request that another
// call has made.
func TestGrant_ContextEndsWhileTheWorkspaceIsRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newInMemoryFixture(t, writable())
		f.inject(t, sim.Fault{Operation: "getWorkspace", Ordinal: 1, Kind: sim.FaultDelay, Delay: time.Minute})
		first := make(chan error, 1)
		go func() {
			_, err := f.workspaceID(t.Context(), f.client)
			first <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, _, err := f.grantTo(ctx, "role:src:assigned", "user:u2"); status.Code(err) != codes.DeadlineExceeded || time.Since(start) != time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}
