package segmentapi_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// Nothing is lost to a POST that replaces, and nothing is asked twice of one
// that is known to merge.
func TestPostThatReplaces(t *testing.T) {
	t.Parallel()
	for name, form := range map[string]sim.PostForm{"all": sim.PostReplaces, "the role": sim.PostReplacesRole} {
		for held, permissions := range map[string][]sim.Permission{
			"much":       {on(admin, "SOURCE a", "SOURCE b", everything+" env=prod"), on(reader, "SOURCE e"), on(minimal, everything)},
			"the role":   {on(admin, "SOURCE a")},
			"another":    {on(minimal, everything)},
			"one of two": {on(admin, "SOURCE a"), on(minimal, everything)},
			"nothing":    nil,
		} {
			t.Run(name+"/"+held, func(t *testing.T) {
				t.Parallel()
				each(t, permissions, func(t *testing.T, srv *sim.Server, e editor) {
					want := append(holds(editable(permissions...), "u"), admin+" SOURCE c")
					change, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE c"))
					if err != nil || change.String() != "+ Source Admin on SOURCE c" {
						t.Errorf("%v, %v", change, err)
					}
					checkHolds(t, srv, e.id, want...)
					// Once it is known, nothing is lost even for a moment.
					known := len(writes(srv)) > 1
					srv.ResetJournal()
					if _, err = e.grant(t.Context(), e.id, assigned(admin, "SOURCE d")); err != nil {
						t.Fatal(err)
					}
					checkHolds(t, srv, e.id, append(want, admin+" SOURCE d")...)
					if got := writes(srv); known && (len(got) != 1 || got[0] != e.put) {
						t.Errorf("writes %v", got)
					}
				}, sim.WithPost(form))
			})
		}
	}
}

// What a POST that replaces would have taken, somebody else may have taken at
// that very moment. It is not given back for good.
func TestPostAtABadMoment(t *testing.T) {
	t.Parallel()
	for name, left := range map[string][]sim.Permission{"the role": {on(minimal, everything)}, "everything": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			held := append([]sim.Permission{on(admin, "SOURCE a", everything+" env=prod")}, left...)
			each(t, held, func(t *testing.T, srv *sim.Server, e editor) {
				before(t, srv, e.post, 1, e.id, func(held *[]sim.Permission) { *held = left })
				change, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE c"))
				if err != nil || change.String() != "+ Source Admin on SOURCE c" {
					t.Errorf("%v, %v", change, err)
				}
				checkHolds(t, srv, e.id, append(holds(editable(left...), "u"), admin+" SOURCE c")...)
				if diff := cmp.Diff([]string{e.post, e.put, e.post, e.put}, writes(srv)); diff != "" {
					t.Errorf("writes (-want +got):\n%s", diff)
				}
				// Now it is known.
				srv.ResetJournal()
				before(t, srv, e.post, 1, e.id, func(held *[]sim.Permission) { *held = nil })
				if _, err = e.grant(t.Context(), e.id, assigned(admin, "SOURCE d")); err != nil {
					t.Fatal(err)
				}
				checkHolds(t, srv, e.id, admin+" SOURCE d")
				if diff := cmp.Diff([]string{e.post}, writes(srv)); diff != "" {
					t.Errorf("writes (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A POST that replaces the role is put right; what somebody else has taken of
// another role at that moment is not given back.
func TestPostThatReplacesAtABadMoment(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a"), on(reader, "SOURCE e"), on(minimal, everything)}
	each(t, held, func(t *testing.T, srv *sim.Server, e editor) {
		before(t, srv, e.post, 1, e.id, func(held *[]sim.Permission) {
			*held = slices.DeleteFunc(slices.Clone(*held), func(p sim.Permission) bool { return p.RoleID == reader })
		})
		change, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE c"))
		if err != nil || change.String() != "+ Source Admin on SOURCE c" {
			t.Errorf("%v, %v", change, err)
		}
		checkHolds(t, srv, e.id, admin+" SOURCE a", admin+" SOURCE c", minimal+" "+everything)
	}, sim.WithPost(sim.PostReplacesRole))
}

// Once a client has seen that Segment merges, it takes what is missing for what
// somebody else has taken.
func TestPostThatIsKnownToMerge(t *testing.T) {
	t.Parallel()
	each(t, []sim.Permission{on(admin, "SOURCE a")}, func(t *testing.T, srv *sim.Server, e editor) {
		if _, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE b")); err != nil {
			t.Fatal(err)
		}
		before(t, srv, e.post, 2, e.id, func(held *[]sim.Permission) { *held = nil })
		if _, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE c")); err != nil {
			t.Fatal(err)
		}
		checkHolds(t, srv, e.id, admin+" SOURCE c")
	})
}

// Who took it cannot be found out: what was lost stays given back.
func TestDoubtThatStays(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a"), on(minimal, everything)}
	each(t, held, func(t *testing.T, srv *sim.Server, e editor) {
		if err := srv.Inject(sim.Fault{Operation: e.post, Ordinal: 2, Kind: sim.FaultStatus, Status: 422}); err != nil {
			t.Fatal(err)
		}
		change, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE c"))
		if err != nil || change.String() != "+ Source Admin on SOURCE c" {
			t.Errorf("%v, %v", change, err)
		}
		checkHolds(t, srv, e.id, admin+" SOURCE a", admin+" SOURCE c", minimal+" "+everything)
	}, sim.WithPost(sim.PostReplaces))
}

// The second POST never arrived, which says nothing of what Segment does.
func TestDoubtThatNothingDispels(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a"), on(minimal, everything)}
	for name, form := range map[string]sim.PostForm{"all": sim.PostReplaces, "the role": sim.PostReplacesRole} {
		for kind, fault := range map[string]sim.Fault{"reset": {Kind: sim.FaultReset}, "500": {Kind: sim.FaultStatus, Status: 500}, "503": {Kind: sim.FaultStatus, Status: 503}, "409": {Kind: sim.FaultStatus, Status: 409}} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				each(t, held, func(t *testing.T, srv *sim.Server, e editor) {
					fault := fault // A copy: user and group run side by side.
					fault.Operation, fault.Ordinal = e.post, 2
					injects(t, srv, fault)
					change, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE c"))
					if err != nil || change.String() != "+ Source Admin on SOURCE c" {
						t.Errorf("%v, %v", change, err)
					}
					checkHolds(t, srv, e.id, admin+" SOURCE a", admin+" SOURCE c", minimal+" "+everything)
					// Nor may the client believe from now on that Segment merges.
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

// What a POST took is given back, also if the PUT has to be sent again, has
// to wait, or if the caller has left meanwhile.
func TestWhatAPostTookIsGivenBack(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a"), on(minimal, everything)}
	for name, faults := range map[string][]sim.Fault{
		"reset after the doubt": {{Ordinal: 2, Kind: sim.FaultReset}},
		"503 at first":          {{Ordinal: 1, Kind: sim.FaultStatus, Status: 503}},
		"500 at first":          {{Ordinal: 1, Kind: sim.FaultStatus, Status: 500}},
		"limit":                 {{Ordinal: 1, Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"30"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(editable(held...), sim.WithPost(sim.PostReplaces))
				for _, f := range faults {
					f.Operation = "replacePermissionsForUser"
					injects(t, srv, f)
				}
				// As the connector does.
				c := connect(t, srv, fast(), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 3, MaxWait: 10 * time.Second}))
				if _, err := c.Users.Grant(t.Context(), "u", assigned(admin, "SOURCE c")); err != nil {
					t.Error(err)
				}
				checkHolds(t, srv, "u", admin+" SOURCE a", admin+" SOURCE c", minimal+" "+everything)
			})
		})
	}
	t.Run("the caller leaves", func(t *testing.T) {
		srv := sim.New(editable(held...), sim.WithPost(sim.PostReplaces))
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		hc := &http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
			if len(writes(srv)) == 1 {
				leave() // At the read back.
			}
			if r.Context().Err() != nil {
				return nil, r.Context().Err()
			}
			return srv.RoundTripper().RoundTrip(r)
		})}
		c, err := segmentapi.New(srv.Token(), segmentapi.WithHTTPClient(hc), fast())
		if err != nil {
			t.Fatal(err)
		}
		if _, err = c.Users.Grant(ctx, "u", assigned(admin, "SOURCE c")); err != nil {
			t.Error(err)
		}
		checkHolds(t, srv, "u", admin+" SOURCE a", admin+" SOURCE c", minimal+" "+everything)
	})
	t.Run("the last owner", func(t *testing.T) {
		srv := sim.New(owned(func(ws *sim.Workspace) { makeOwner(ws, "u") }), sim.WithPost(sim.PostReplaces))
		injects(t, srv, sim.Fault{Operation: "replacePermissionsForUser", Ordinal: 1, Kind: sim.FaultStatus, Status: 500})
		if _, err := connect(t, srv, fast()).Users.Grant(t.Context(), "u", assigned(reader, "SOURCE a")); err != nil {
			t.Error(err)
		}
		if got := owners(srv.Workspace()); len(got) == 0 {
			t.Error("nobody owns the workspace")
		}
	})
}
