package segmentapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// The model tests have found these cases, each reduced to the smallest one.

// POST replaces what is held. A grant by another administrator between the first POST and
// the second one, which finds that out, is kept.
func TestGrant_GrantBeforeTheSecondPostIsKept(t *testing.T) {
	t.Parallel()
	for name, form := range map[string]sim.PostForm{"replaces": sim.PostReplaces, "replacesrole": sim.PostReplacesRole} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forUserAndGroup(t, []sim.Permission{on(admin, "SOURCE a")}, func(t *testing.T, srv *sim.Server, e editor) {
				simtest.After(t, srv, e.post, 1, func(ws *sim.Workspace) {
					editPermissions(ws, e.id, func(held []sim.Permission) []sim.Permission { return addLine(held, admin+" SOURCE c") })
				})
				if _, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE b")); err != nil {
					t.Fatal(err)
				}
				checkHolds(t, srv, e.id, admin+" SOURCE a", admin+" SOURCE b", admin+" SOURCE c")
			}, sim.WithPost(form))
		})
	}
}

// A replica answers with a state in which the role was held on the workspace, before it
// was narrowed to a label. Such an old read is no sign that PUT has dropped the label.
func TestRevoke_OldReadIsNoDroppedLabel(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, wholeWorkspace), on(reader, "SOURCE a", "SOURCE b")}
	for _, what := range []string{"user", "group"} {
		for _, replicas := range []int{2, 3} {
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(testWorkspace(held...), sim.WithReplicas(replicas, 5*time.Second))
				e := editors(connect(t, srv, settling(), unspacedWrites()))[what]
				narrow := func(held []segmentapi.Assignment) []segmentapi.Assignment {
					for i, a := range held {
						if lineOf(a) == admin+" "+wholeWorkspace {
							held[i] = assigned(admin, wholeWorkspace+" env=prod")
						}
					}
					return held
				}
				if _, err := e.edit(t.Context(), e.id, narrow); err != nil {
					t.Fatal(err)
				}
				if _, err := e.revoke(t.Context(), e.id, assigned(reader, "SOURCE a")); err != nil {
					t.Errorf("%s, %d replicas: %v", what, replicas, err)
				}
				checkHolds(t, srv, e.id, admin+" "+wholeWorkspace+" env=prod", reader+" SOURCE b")
			})
		}
	}
}

// PUT drops the label of the only permission that is to be left. The error names what is
// lost.
func TestReplace_LastPermissionLosesItsLabel(t *testing.T) {
	t.Parallel()
	kept := admin + " " + wholeWorkspace + " env=prod"
	forUserAndGroup(t, []sim.Permission{on(admin, wholeWorkspace+" env=prod"), on(reader, "SOURCE a"), on(minimal, wholeWorkspace)}, func(t *testing.T, srv *sim.Server, e editor) {
		_, err := e.replace(t.Context(), e.id, segmentapi.Permissions(fromLines(kept)))
		if !errors.Is(err, segmentapi.ErrNotRestored) || !names(err, kept) {
			t.Errorf("the error does not name what is lost: %v", err)
		}
		checkHolds(t, srv, e.id, minimal+" "+wholeWorkspace)
	}, sim.WithPutDroppingLabels(), sim.WithNormalizing(sim.NormalizeAddsMinimal))
}

// POST replaces what is held, and replicas still show it before the PUT that gives it back.
// It is given back all the same.
func TestGrant_ReplicasHideWhatPostReplaced(t *testing.T) {
	t.Parallel()
	for name, form := range map[string]sim.PostForm{"replaces": sim.PostReplaces, "replacesrole": sim.PostReplacesRole} {
		for _, replicas := range []int{2, 3} {
			for _, lag := range []time.Duration{0, 100 * time.Millisecond, time.Second, 2500 * time.Millisecond} {
				t.Run(fmt.Sprintf("%s/%d/%s", name, replicas, lag), func(t *testing.T) {
					t.Parallel()
					for _, what := range []string{"user", "group"} {
						synctest.Test(t, func(t *testing.T) {
							srv := sim.New(testWorkspace(on(admin, "SOURCE a"), on(minimal, wholeWorkspace)), sim.WithPost(form), sim.WithLag(lag), sim.WithReplicas(replicas, time.Second))
							e := editors(connect(t, srv, settling(), unspacedWrites()))[what]
							if _, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE b")); err != nil {
								t.Errorf("%s: %v", what, err)
							}
							checkHolds(t, srv, e.id, admin+" SOURCE a", admin+" SOURCE b", minimal+" "+wholeWorkspace)
						})
					}
				})
			}
		}
	}
}

// PUT drops labels, and the role is to be revoked from the workspace but kept on a label.
// The loss is not reported as a success.
func TestRevoke_KeptLabelIsDropped(t *testing.T) {
	t.Parallel()
	kept := admin + " " + wholeWorkspace + " env=prod"
	for _, what := range []string{"user", "group"} {
		synctest.Test(t, func(t *testing.T) {
			srv := sim.New(testWorkspace(on(admin, wholeWorkspace, wholeWorkspace+" env=prod"), on(reader, "SOURCE a")), sim.WithPutDroppingLabels())
			e := editors(connect(t, srv, settling(), unspacedWrites()))[what]
			_, err := e.revoke(t.Context(), e.id, assigned(admin, wholeWorkspace))
			if err == nil || !names(err, kept) {
				t.Errorf("%s holds %v, and the error does not name what is lost: %v", e.id, holds(srv.Workspace(), e.id), err)
			}
		})
	}
}

// Segment adds Minimal Workspace Access to what an edit leaves. The edit is not applied to
// that, so that nobody gets another role on the workspace in its place.
func TestEdit_AddedMinimalAccessIsNotEdited(t *testing.T) {
	t.Parallel()
	forUserAndGroup(t, []sim.Permission{on(minimal, "SOURCE a")}, func(t *testing.T, srv *sim.Server, e editor) {
		_, err := e.edit(t.Context(), e.id, func(held []segmentapi.Assignment) []segmentapi.Assignment {
			for i := range held {
				held[i].RoleID = reader
			}
			return held
		})
		if err != nil {
			t.Error(err)
		}
		checkHolds(t, srv, e.id, reader+" SOURCE a", minimal+" "+wholeWorkspace)
	}, sim.WithNormalizing(sim.NormalizeAddsMinimal))
}

// Another administrator revokes something right before a POST, whose repetition fails. It is
// not given back without an error.
func TestGrant_RevocationBeforeAFailedSecondPost(t *testing.T) {
	t.Parallel()
	forUserAndGroup(t, []sim.Permission{on(admin, "SOURCE a"), on(reader, "SOURCE a")}, func(t *testing.T, srv *sim.Server, e editor) {
		if err := srv.Before(e.post, 1, func(ws *sim.Workspace) {
			editPermissions(ws, e.id, func(held []sim.Permission) []sim.Permission { return dropLine(held, admin+" SOURCE a") })
		}); err != nil {
			t.Fatal(err)
		}
		if err := srv.Inject(sim.Fault{Operation: e.post, Ordinal: 2, Kind: sim.FaultReset}); err != nil {
			t.Fatal(err)
		}
		_, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE b"))
		if got := holds(srv.Workspace(), e.id); err == nil && slices.Contains(got, admin+" SOURCE a") {
			t.Errorf("%s holds %v, and there is no error", e.id, got)
		}
	})
}

// Another administrator revokes something right before a POST, and again before its repetition,
// which is refused. A POST that is refused replaces nothing, so it is not given back again.
func TestGrant_RevocationBeforeARefusedSecondPost(t *testing.T) {
	t.Parallel()
	forUserAndGroup(t, []sim.Permission{on(admin, "SOURCE a"), on(reader, "SOURCE a")}, func(t *testing.T, srv *sim.Server, e editor) {
		revoke := func(ws *sim.Workspace) {
			editPermissions(ws, e.id, func(held []sim.Permission) []sim.Permission { return dropLine(held, admin+" SOURCE a") })
		}
		for ordinal := 1; ordinal <= 2; ordinal++ {
			if err := srv.Before(e.post, ordinal, revoke); err != nil {
				t.Fatal(err)
			}
		}
		if err := srv.Inject(sim.Fault{Operation: e.post, Ordinal: 2, Kind: sim.FaultStatus, Status: 422}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE b")); !errors.Is(err, segmentapi.ErrContested) {
			t.Errorf("the error is not that another program is in the way: %v", err)
		}
		checkHolds(t, srv, e.id, admin+" SOURCE b", reader+" SOURCE a")
	})
}

// POST replaces what is held, and Segment adds Minimal Workspace Access, which was held
// before. That it is there is no proof that POST keeps other roles, or the same one.
func TestGrant_AddedMinimalAccessDoesNotHideAReplacement(t *testing.T) {
	t.Parallel()
	for name, added := range map[string]string{"another role": reader + " SOURCE b", "the same role": admin + " SOURCE b"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forUserAndGroup(t, []sim.Permission{on(admin, "SOURCE a"), on(minimal, wholeWorkspace)}, func(t *testing.T, srv *sim.Server, e editor) {
				if _, err := e.grant(t.Context(), e.id, fromLine(added)); err != nil {
					t.Fatal(err)
				}
				checkHolds(t, srv, e.id, admin+" SOURCE a", added, minimalLine)
			}, sim.WithPost(sim.PostReplaces), sim.WithNormalizing(sim.NormalizeAddsMinimal))
		})
	}
}

// A PUT that was to remove two assignments is lost, and another administrator removes one of
// them. The other one, Minimal Workspace Access, is still held. Segment may add it by itself, but
// it has not: the PUT is sent again.
func TestRevoke_LostPutIsNotTakenForAddedMinimalAccess(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sim.Fault{"lost": {Kind: sim.FaultHTML}, "refused": {Kind: sim.FaultStatus, Status: 503}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forUserAndGroup(t, []sim.Permission{on(admin, "SOURCE a", "SOURCE b"), on(minimal, wholeWorkspace)}, func(t *testing.T, srv *sim.Server, e editor) {
				first := fault
				first.Operation, first.Ordinal = e.put, 1
				if err := srv.Inject(first); err != nil {
					t.Fatal(err)
				}
				simtest.After(t, srv, e.put, 1, func(ws *sim.Workspace) {
					editPermissions(ws, e.id, func(held []sim.Permission) []sim.Permission { return dropLine(held, admin+" SOURCE b") })
				})
				_, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE b"), fromLine(minimalLine))
				got := holds(srv.Workspace(), e.id)
				if err == nil && slices.Contains(got, minimalLine) {
					t.Errorf("%s holds %v, and there is no error", e.id, got)
				}
				if name == "refused" {
					if err != nil {
						t.Error(err)
					}
					checkHolds(t, srv, e.id, admin+" SOURCE a")
				}
			})
		})
	}
}

// Minimal Workspace Access is revoked together with a role that was granted a moment ago. A
// replica answers with a state from before the grant. It looks as if the role had been revoked, and
// Segment had added Minimal Workspace Access, but that read does not confirm the revocation.
func TestRevoke_OldReadIsNotTakenForAddedMinimalAccess(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"user", "group"} {
		synctest.Test(t, func(t *testing.T) {
			srv := sim.New(testWorkspace(on(admin, "SOURCE a"), on(minimal, wholeWorkspace)), sim.WithReplicas(3, 5*time.Second))
			e := editors(connect(t, srv, settling(), unspacedWrites()))[what]
			srv.Update(func(ws *sim.Workspace) {
				editPermissions(ws, e.id, func(held []sim.Permission) []sim.Permission { return addLine(held, reader+" SOURCE b") })
			})
			<-time.After(6 * time.Second) // Only the replica that is 10 s behind does not show it.
			change, err := e.revoke(t.Context(), e.id, fromLines(reader+" SOURCE b", minimalLine)...)
			if err != nil || len(change.Removed) != 2 {
				t.Errorf("%s: revoked %v, %v", what, change, err)
			}
			checkHolds(t, srv, e.id, admin+" SOURCE a")
		})
	}
}

// A role is revoked and granted again. A replica that still shows it from before does not confirm
// the second grant. Otherwise another role, granted in between, would look like one that Segment
// has added.
func TestGrant_OldReadOfAnEarlierGrantDoesNotConfirm(t *testing.T) {
	t.Parallel()
	held, labeled := []sim.Permission{on(admin, "SOURCE b"), on(minimal, wholeWorkspace)}, reader+" "+wholeWorkspace+" env=dev"
	for _, what := range []string{"user", "group"} {
		for phase := range 2 { // Which replica answers the reads that confirm.
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(testWorkspace(held...), sim.WithReplicas(2, 5*time.Second))
				e := editors(connect(t, srv, settling(), unspacedWrites()))[what]
				<-time.After(time.Minute)
				_, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE b"))
				for _, lines := range [][]string{{labeled, reader + " " + wholeWorkspace}, {labeled, admin + " SOURCE b"}} {
					for range phase {
						_, readErr := e.grant(t.Context(), e.id, fromLine(minimalLine)) // It is held: this only reads.
						err = errors.Join(err, readErr)
					}
					_, grantErr := e.grant(t.Context(), e.id, fromLines(lines...)...)
					err = errors.Join(err, grantErr)
				}
				if err != nil {
					t.Error(err)
				}
				checkHolds(t, srv, e.id, admin+" SOURCE b", minimalLine, reader+" "+wholeWorkspace, labeled)
			})
		}
	}
}

// Another administrator revokes something right before a POST, and a PUT gives it back. The answer
// to the second POST is lost, and a replica is behind the PUT. Its answer is no sign that POST
// replaces what is held: the next grant is a POST.
func TestGrant_OldReadDoesNotShowThatPostReplaces(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"user", "group"} {
		for _, replicas := range []int{2, 3} {
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(testWorkspace(on(admin, "SOURCE a"), on(reader, "SOURCE a")), sim.WithReplicas(replicas, time.Second))
				e := editors(connect(t, srv, settling(), unspacedWrites()))[what]
				if err := srv.Before(e.post, 1, func(ws *sim.Workspace) {
					editPermissions(ws, e.id, func(held []sim.Permission) []sim.Permission { return dropLine(held, admin+" SOURCE a") })
				}); err != nil {
					t.Fatal(err)
				}
				if err := srv.Inject(sim.Fault{Operation: e.post, Ordinal: 2, Kind: sim.FaultLateStatus, Status: http.StatusServiceUnavailable}); err != nil {
					t.Fatal(err)
				}
				_, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE b"))
				before := len(simtest.Writes(srv.Journal()))
				_, secondErr := e.grant(t.Context(), e.id, assigned(reader, "SOURCE c"))
				if err = errors.Join(err, secondErr); err != nil {
					t.Errorf("%s, %d replicas: %v", what, replicas, err)
				}
				if writes := simtest.Writes(srv.Journal())[before:]; !slices.Equal(writes, []string{e.post}) {
					t.Errorf("%s, %d replicas: the second grant sent %v", what, replicas, writes)
				}
			})
		}
	}
}
