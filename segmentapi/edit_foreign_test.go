package segmentapi_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// Another program grants the role of our grant on another source. Only the answer to our
// own write shows what Segment did, so the other grant is kept.
func TestGrant_OtherProgramsGrantOfTheSameRoleIsKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lag    time.Duration
		others func(*testing.T, *sim.Server, editor)
		writes int
	}{
		"a PUT overwrites the grant": {others: func(t *testing.T, srv *sim.Server, e editor) {
			t.Helper()
			simtest.Before(t, srv, e.get, 2, func(ws *sim.Workspace) {
				setPermissions(ws, e.id, on(minimal, wholeWorkspace), on(admin, "SOURCE b"))
			})
		}, writes: 2},
		"a PUT overwrites the grant before the answer": {others: func(t *testing.T, srv *sim.Server, e editor) {
			t.Helper()
			simtest.After(t, srv, e.post, 1, func(ws *sim.Workspace) {
				setPermissions(ws, e.id, on(minimal, wholeWorkspace), on(admin, "SOURCE b"))
			})
		}, writes: 2},
		"a POST that reads do not show yet": {lag: time.Second, others: func(_ *testing.T, srv *sim.Server, e editor) {
			srv.Update(func(ws *sim.Workspace) {
				editPermissions(ws, e.id, func(held []sim.Permission) []sim.Permission { return addLine(held, admin+" SOURCE b") })
			})
			<-time.After(500 * time.Millisecond)
		}, writes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, what := range []string{"user", "group"} {
				synctest.Test(t, func(t *testing.T) {
					srv := sim.New(testWorkspace(on(minimal, wholeWorkspace)), sim.WithLag(c.lag))
					e := editors(connect(t, srv, settling()))[what]
					c.others(t, srv, e)
					change, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE a"))
					if err != nil || change.String() != "+ Source Admin on SOURCE a" {
						t.Errorf("%s: %s, %v", what, change, err)
					}
					if got := simtest.Writes(srv.Journal()); len(got) != c.writes {
						t.Errorf("%s: writes %v", what, got)
					}
					checkHolds(t, srv, e.id, heldMinimal, admin+" SOURCE a", admin+" SOURCE b")
				})
			}
		})
	}
}

// Another administrator grants the role on the whole workspace while a grant with a label
// waits for the rate limit. Segment did not give it, so it is kept.
func TestGrant_WiderGrantByOthersDuringTheWaitIsKept(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"user", "group"} {
		synctest.Test(t, func(t *testing.T) {
			srv := sim.New(testWorkspace(on(minimal, wholeWorkspace)))
			e := editors(connect(t, srv, settling(), unspacedWrites()))[what]
			simtest.Inject(t, srv, sim.Fault{Operation: e.post, Ordinal: 1, Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"30"}}})
			time.AfterFunc(10*time.Second, func() {
				srv.Update(func(ws *sim.Workspace) {
					editPermissions(ws, e.id, func(held []sim.Permission) []sim.Permission { return addLine(held, heldAdmin) })
				})
			})
			if _, err := e.grant(t.Context(), e.id, assigned(admin, wholeWorkspace+" env=prod")); err != nil {
				t.Error(what, err)
			}
			checkHolds(t, srv, e.id, heldMinimal, heldAdmin, heldAdmin+" env=prod")
		})
	}
}

// Right after a revocation another administrator moves the role from another source to
// the whole workspace. Segment did not do it, so it is kept.
func TestRevoke_WiderGrantByOthersIsKept(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"user", "group"} {
		synctest.Test(t, func(t *testing.T) {
			srv := sim.New(testWorkspace(on(admin, "SOURCE a", "SOURCE b"), on(minimal, wholeWorkspace)))
			e := editors(connect(t, srv, settling(), unspacedWrites()))[what]
			simtest.Before(t, srv, e.get, 3, func(ws *sim.Workspace) {
				editPermissions(ws, e.id, func(held []sim.Permission) []sim.Permission {
					return addLine(dropLine(held, admin+" SOURCE b"), heldAdmin)
				})
			})
			change, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a"))
			if err != nil || change.String() != "- Source Admin on SOURCE a" {
				t.Errorf("%s: %s, %v", what, change, err)
			}
			checkHolds(t, srv, e.id, heldAdmin, heldMinimal)
		})
	}
}

// Minimal Workspace Access takes the place of the last permission, and another program
// overwrites it. If the revoked permission is not back, the revocation has succeeded; if it
// is back, it is revoked once more.
func TestRevoke_MinimalAccessOverwrittenByOthers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		others []sim.Permission
		writes int
	}{
		"with another role":                  {[]sim.Permission{on(reader, "SOURCE b")}, 1},
		"with another role and the old ones": {[]sim.Permission{on(admin, "SOURCE a"), on(reader, "SOURCE b")}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, what := range []string{"user", "group"} {
				synctest.Test(t, func(t *testing.T) {
					srv := sim.New(testWorkspace(on(admin, "SOURCE a")))
					e := editors(connect(t, srv, settling(), unspacedWrites()))[what]
					time.AfterFunc(500*time.Millisecond, func() {
						srv.Update(func(ws *sim.Workspace) { setPermissions(ws, e.id, c.others...) })
					})
					if _, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a")); err != nil {
						t.Error(what, err)
					}
					if got := simtest.Writes(srv.Journal()); len(got) != c.writes {
						t.Errorf("%s: writes %v", what, got)
					}
					checkHolds(t, srv, e.id, reader+" SOURCE b")
				})
			}
		})
	}
}

// Another administrator has granted a permission a second ago, and one of two replicas
// does not show it yet. Its revocation must not succeed without a write.
func TestRevoke_GrantThatOneReplicaDoesNotShow(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"user", "group"} {
		synctest.Test(t, func(t *testing.T) {
			srv := sim.New(testWorkspace(on(minimal, wholeWorkspace)), sim.WithReplicas(2, 5*time.Second))
			e := editors(connect(t, srv, settling(), unspacedWrites()))[what]
			srv.Update(func(ws *sim.Workspace) {
				editPermissions(ws, e.id, func(held []sim.Permission) []sim.Permission { return addLine(held, admin+" SOURCE a") })
			})
			<-time.After(time.Second)
			change, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a"))
			if err != nil || change.String() != "- Source Admin on SOURCE a" {
				t.Errorf("%s: %s, %v", what, change, err)
			}
			checkHolds(t, srv, e.id, heldMinimal)
		})
	}
}

// A POST has dropped the labels of a grant, and another program overwrites the
// correction. Either the role on the whole workspace is taken away, or the error is
// ErrNotRestored. The other program's grant of another role is kept.
func TestGrant_CorrectionOverwrittenByOthers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		overwrite func(*testing.T, *sim.Server, editor, func(*sim.Workspace))
		want      error
		holds     []string
	}{
		"the answer shows it": {func(t *testing.T, srv *sim.Server, e editor, edit func(*sim.Workspace)) {
			t.Helper()
			simtest.After(t, srv, e.put, 1, edit)
		}, segmentapi.ErrNotApplied, []string{heldMinimal, reader + " SOURCE b"}},
		"reads show it": {func(t *testing.T, srv *sim.Server, e editor, edit func(*sim.Workspace)) {
			t.Helper()
			simtest.Before(t, srv, e.get, 4, edit)
		}, segmentapi.ErrNotRestored, []string{heldMinimal, heldAdmin, reader + " SOURCE b"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, what := range []string{"user", "group"} {
				synctest.Test(t, func(t *testing.T) {
					srv := sim.New(testWorkspace(on(minimal, wholeWorkspace)), sim.WithNormalizing(sim.NormalizePostDropsLabels))
					e := editors(connect(t, srv, settling(), unspacedWrites()))[what]
					c.overwrite(t, srv, e, func(ws *sim.Workspace) {
						setPermissions(ws, e.id, on(minimal, wholeWorkspace), on(admin, wholeWorkspace), on(reader, "SOURCE b"))
					})
					if _, err := e.grant(t.Context(), e.id, assigned(admin, wholeWorkspace+" env=prod")); !errors.Is(err, c.want) {
						t.Errorf("%s: %v", what, err)
					}
					checkHolds(t, srv, e.id, c.holds...)
				})
			}
		})
	}
}

// An edit is decided on anew because another administrator has changed the user
// meanwhile, and now wants a label that the workspace does not have. It is refused.
func TestEdit_UnknownLabelInTheSecondDecision(t *testing.T) {
	t.Parallel()
	forUserAndGroup(t, []sim.Permission{on(admin, "SOURCE a"), on(minimal, wholeWorkspace)}, func(t *testing.T, srv *sim.Server, e editor) {
		changeBefore(t, srv, e.get, 2, e.id, adds(on(reader, "SOURCE e")))
		_, err := e.edit(t.Context(), e.id, func(held []segmentapi.Assignment) []segmentapi.Assignment {
			label := " env=prod"
			for _, a := range held {
				if a.Same(assigned(reader, "SOURCE e")) {
					label = " nobody=knows"
				}
			}
			return append(segmentapi.Revoke(assigned(admin, "SOURCE a"))(held), assigned(admin, wholeWorkspace+label))
		})
		if !errors.Is(err, segmentapi.ErrInvalid) || !strings.Contains(err.Error(), "nobody=knows") {
			t.Error(err)
		}
		if got := simtest.Writes(srv.Journal()); len(got) != 0 {
			t.Errorf("writes %v", got)
		}
	})
}

// Another administrator grants the role on more than is asked for, while reads lag: the
// answer to the POST shows the wide grant, and a later read shows it before ours. It stays.
func TestGrant_WiderGrantWhileReadsLagIsKept(t *testing.T) {
	t.Parallel()
	for _, asked := range []string{"SOURCE a", wholeWorkspace + " env=prod"} {
		for _, what := range []string{"user", "group"} {
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(testWorkspace(on(minimal, wholeWorkspace)), sim.WithLag(8*time.Second))
				e := editors(connect(t, srv, settling(), unspacedWrites()))[what]
				srv.Update(func(ws *sim.Workspace) {
					editPermissions(ws, e.id, func(held []sim.Permission) []sim.Permission { return addLine(held, reader+" "+wholeWorkspace) })
				})
				<-time.After(5 * time.Second)
				if _, err := e.grant(t.Context(), e.id, assigned(reader, asked)); err != nil {
					t.Fatal(what, err)
				}
				checkHolds(t, srv, e.id, minimal+" "+wholeWorkspace, reader+" "+wholeWorkspace, reader+" "+asked)
			})
		}
	}
}
