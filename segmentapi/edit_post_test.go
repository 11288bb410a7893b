package segmentapi_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// A POST that replaces removes nothing in the end. A POST that is known to merge is
// not examined again.
func TestGrant_PostThatReplaces(t *testing.T) {
	t.Parallel()
	for name, form := range map[string]sim.PostForm{"all": sim.PostReplaces, "the role": sim.PostReplacesRole} {
		for held, permissions := range map[string][]sim.Permission{
			"much":       {on(admin, "SOURCE a", "SOURCE b", wholeWorkspace+" env=prod"), on(reader, "SOURCE e"), on(minimal, wholeWorkspace)},
			"the role":   {on(admin, "SOURCE a")},
			"another":    {on(minimal, wholeWorkspace)},
			"one of two": {on(admin, "SOURCE a"), on(minimal, wholeWorkspace)},
			"nothing":    nil,
		} {
			t.Run(name+"/"+held, func(t *testing.T) {
				t.Parallel()
				forUserAndGroup(t, permissions, func(t *testing.T, srv *sim.Server, e editor) {
					want := append(holds(testWorkspace(permissions...), "u"), admin+" SOURCE c")
					change, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE c"))
					if err != nil || change.String() != "+ Source Admin on SOURCE c" {
						t.Errorf("%v, %v", change, err)
					}
					checkHolds(t, srv, e.id, want...)
					// Once this is known, nothing is missing even for a moment.
					known := len(simtest.Writes(srv.Journal())) > 1
					srv.ResetJournal()
					if _, err = e.grant(t.Context(), e.id, assigned(admin, "SOURCE d")); err != nil {
						t.Fatal(err)
					}
					checkHolds(t, srv, e.id, append(want, admin+" SOURCE d")...)
					if got := simtest.Writes(srv.Journal()); known && (len(got) != 1 || got[0] != e.put) {
						t.Errorf("writes %v", got)
					}
				}, sim.WithPost(form))
			})
		}
	}
}

// Another administrator revokes, at the moment of a POST, exactly what a replacing POST
// would have removed. It is not restored in the end.
func TestGrant_OthersRevokeDuringThePost(t *testing.T) {
	t.Parallel()
	for name, left := range map[string][]sim.Permission{"the role": {on(minimal, wholeWorkspace)}, "everything": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			held := append([]sim.Permission{on(admin, "SOURCE a", wholeWorkspace+" env=prod")}, left...)
			forUserAndGroup(t, held, func(t *testing.T, srv *sim.Server, e editor) {
				changeBefore(t, srv, e.post, 1, e.id, func(held *[]sim.Permission) { *held = left })
				change, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE c"))
				if err != nil || change.String() != "+ Source Admin on SOURCE c" {
					t.Errorf("%v, %v", change, err)
				}
				checkHolds(t, srv, e.id, append(holds(testWorkspace(left...), "u"), admin+" SOURCE c")...)
				if diff := cmp.Diff([]string{e.post, e.put, e.post, e.put}, simtest.Writes(srv.Journal())); diff != "" {
					t.Errorf("writes (-want +got):\n%s", diff)
				}
				// Now it is known.
				srv.ResetJournal()
				changeBefore(t, srv, e.post, 1, e.id, func(held *[]sim.Permission) { *held = nil })
				if _, err = e.grant(t.Context(), e.id, assigned(admin, "SOURCE d")); err != nil {
					t.Fatal(err)
				}
				checkHolds(t, srv, e.id, admin+" SOURCE d")
				if diff := cmp.Diff([]string{e.post}, simtest.Writes(srv.Journal())); diff != "" {
					t.Errorf("writes (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A POST that replaces the role is repaired. Another role, which an administrator has
// revoked at that moment, is not restored.
func TestGrant_OthersRevokeAnotherRoleDuringThePost(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a"), on(reader, "SOURCE e"), on(minimal, wholeWorkspace)}
	forUserAndGroup(t, held, func(t *testing.T, srv *sim.Server, e editor) {
		changeBefore(t, srv, e.post, 1, e.id, func(held *[]sim.Permission) {
			*held = slices.DeleteFunc(slices.Clone(*held), func(p sim.Permission) bool { return p.RoleID == reader })
		})
		change, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE c"))
		if err != nil || change.String() != "+ Source Admin on SOURCE c" {
			t.Errorf("%v, %v", change, err)
		}
		checkHolds(t, srv, e.id, admin+" SOURCE a", admin+" SOURCE c", minimal+" "+wholeWorkspace)
	}, sim.WithPost(sim.PostReplacesRole))
}

// Once a client has seen that Segment merges, it takes missing assignments for
// assignments that others have revoked.
func TestGrant_PostKnownToMerge(t *testing.T) {
	t.Parallel()
	forUserAndGroup(t, []sim.Permission{on(admin, "SOURCE a")}, func(t *testing.T, srv *sim.Server, e editor) {
		if _, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE b")); err != nil {
			t.Fatal(err)
		}
		changeBefore(t, srv, e.post, 2, e.id, func(held *[]sim.Permission) { *held = nil })
		if _, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE c")); err != nil {
			t.Fatal(err)
		}
		checkHolds(t, srv, e.id, admin+" SOURCE c")
	})
}

// If it cannot be found out who removed an assignment, it stays restored, and the error
// says so.
func TestGrant_SecondPostRefused(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a"), on(minimal, wholeWorkspace)}
	forUserAndGroup(t, held, func(t *testing.T, srv *sim.Server, e editor) {
		if err := srv.Inject(sim.Fault{Operation: e.post, Ordinal: 2, Kind: sim.FaultStatus, Status: 422}); err != nil {
			t.Fatal(err)
		}
		_, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE c"))
		if !errors.Is(err, segmentapi.ErrContested) || !strings.Contains(err.Error(), "+ Source Admin on SOURCE a") {
			t.Error(err)
		}
		checkHolds(t, srv, e.id, admin+" SOURCE a", admin+" SOURCE c", minimal+" "+wholeWorkspace)
	}, sim.WithPost(sim.PostReplaces))
}

// The second POST never arrived, so it is no evidence of what Segment does.
func TestGrant_SecondPostFails(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a"), on(minimal, wholeWorkspace)}
	for name, form := range map[string]sim.PostForm{"all": sim.PostReplaces, "the role": sim.PostReplacesRole} {
		for kind, fault := range map[string]sim.Fault{"reset": {Kind: sim.FaultReset}, "500": {Kind: sim.FaultStatus, Status: 500}, "503": {Kind: sim.FaultStatus, Status: 503}, "409": {Kind: sim.FaultStatus, Status: 409}} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				forUserAndGroup(t, held, func(t *testing.T, srv *sim.Server, e editor) {
					fault := fault // A copy: user and group run in parallel.
					fault.Operation, fault.Ordinal = e.post, 2
					simtest.Inject(t, srv, fault)
					change, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE c"))
					if err != nil || change.String() != "+ Source Admin on SOURCE c" {
						t.Errorf("%v, %v", change, err)
					}
					checkHolds(t, srv, e.id, admin+" SOURCE a", admin+" SOURCE c", minimal+" "+wholeWorkspace)
					// The client must not conclude that Segment merges.
					before := holds(srv.Workspace(), e.id)
					if _, err = e.grant(t.Context(), e.id, assigned(admin, "SOURCE d")); err != nil {
						t.Error(err)
					}
					checkHolds(t, srv, e.id, append(before, admin+" SOURCE d")...)
				}, sim.WithPost(form))
			})
		}
	}
}

// Assignments that a POST replaced are restored, even if the PUT has to be sent again
// or has to wait, or if the caller has given up.
func TestGrant_RestoresAfterAReplacingPost(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a"), on(minimal, wholeWorkspace)}
	for name, faults := range map[string][]sim.Fault{
		"reset at the second": {{Ordinal: 2, Kind: sim.FaultReset}},
		"503 at first":        {{Ordinal: 1, Kind: sim.FaultStatus, Status: 503}},
		"500 at first":        {{Ordinal: 1, Kind: sim.FaultStatus, Status: 500}},
		"limit":               {{Ordinal: 1, Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"30"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(testWorkspace(held...), sim.WithPost(sim.PostReplaces))
				for _, f := range faults {
					f.Operation = "replacePermissionsForUser"
					simtest.Inject(t, srv, f)
				}
				// As the connector does.
				c := connect(t, srv, unspacedWrites(), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 3, MaxWait: 10 * time.Second}))
				if _, err := c.Users.Grant(t.Context(), "u", assigned(admin, "SOURCE c")); err != nil {
					t.Error(err)
				}
				checkHolds(t, srv, "u", admin+" SOURCE a", admin+" SOURCE c", minimal+" "+wholeWorkspace)
			})
		})
	}
	t.Run("the caller leaves", func(t *testing.T) {
		t.Parallel()
		srv := sim.New(testWorkspace(held...), sim.WithPost(sim.PostReplaces))
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		hc := &http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
			if len(simtest.Writes(srv.Journal())) == 1 {
				leave() // At the read back.
			}
			if r.Context().Err() != nil {
				return nil, r.Context().Err()
			}
			return srv.RoundTripper().RoundTrip(r)
		})}
		c, err := segmentapi.New(srv.Token(), segmentapi.WithSettleTime(0), segmentapi.WithHTTPClient(hc), unspacedWrites())
		if err != nil {
			t.Fatal(err)
		}
		if _, err = c.Users.Grant(ctx, "u", assigned(admin, "SOURCE c")); err != nil {
			t.Error(err)
		}
		checkHolds(t, srv, "u", admin+" SOURCE a", admin+" SOURCE c", minimal+" "+wholeWorkspace)
	})
	t.Run("the last owner", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) { makeOwner(ws, "u") }), sim.WithPost(sim.PostReplaces))
			simtest.Inject(t, srv, sim.Fault{Operation: "replacePermissionsForUser", Ordinal: 1, Kind: sim.FaultStatus, Status: 500})
			if _, err := connect(t, srv, unspacedWrites()).Users.Grant(t.Context(), "u", assigned(reader, "SOURCE a")); err != nil {
				t.Error(err)
			}
			if got := owners(srv.Workspace()); len(got) == 0 {
				t.Error("the workspace has no owner")
			}
		})
	})
}
