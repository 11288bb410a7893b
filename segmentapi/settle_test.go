package segmentapi_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// settling is the option of clients in tests of reads that are behind a write.
func settling() segmentapi.Option { return segmentapi.WithSettleTime(segmentapi.DefaultSettleTime) }

// settlingWorkspace has the owners "owner" and "u", who holds something else as well, and
// a group "owners" that makes "v" an owner.
func settlingWorkspace() *sim.Workspace {
	ws := testWorkspace(on(admin, "SOURCE a"), on(minimal, wholeWorkspace))
	ws.Users[1].Permissions = append(ws.Users[1].Permissions, on(owner, wholeWorkspace))
	ws.Users = append(ws.Users, sim.User{ID: "v", Email: "v@example.com", Permissions: []sim.Permission{on(reader, "SOURCE a"), on(minimal, wholeWorkspace)}})
	ws.Invites = []sim.Invite{{Email: pending}}
	addGroup(ws, "owners", "v@example.com")
	return ws
}

// everyWrite is every operation that changes something: what it does, and what the
// workspace has afterwards.
var everyWrite = map[string]struct {
	do   func(context.Context, *segmentapi.Client) error
	done func(*sim.Workspace) bool
	// kept is set if the operation gives back what it took when its first step cannot be
	// confirmed.
	kept bool
}{
	"grant to a user": {do: func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Users.Grant(ctx, "v", assigned(admin, wholeWorkspace+" env=prod"))
		return err
	}, done: func(ws *sim.Workspace) bool {
		return slices.Contains(holds(ws, "v"), admin+" "+wholeWorkspace+" env=prod")
	}},
	"grant to a group": {do: func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Groups.Grant(ctx, "g", assigned(admin, "SOURCE b"))
		return err
	}, done: func(ws *sim.Workspace) bool { return slices.Contains(holds(ws, "g"), admin+" SOURCE b") }},
	"revoke from a user": {do: func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Users.Revoke(ctx, "v", assigned(reader, "SOURCE a"))
		return err
	}, done: func(ws *sim.Workspace) bool { return !slices.Contains(holds(ws, "v"), reader+" SOURCE a") }},
	"revoke from a group": {do: func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Groups.Revoke(ctx, "g", assigned(admin, "SOURCE a"))
		return err
	}, done: func(ws *sim.Workspace) bool { return !slices.Contains(holds(ws, "g"), admin+" SOURCE a") }},
	"revoke ownership": {do: func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Users.Revoke(ctx, "u", assigned(owner, wholeWorkspace))
		return err
	}, done: func(ws *sim.Workspace) bool { return !slices.Contains(holds(ws, "u"), owner+" "+wholeWorkspace) }},
	"add a member": {do: func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Groups.AddMembers(ctx, "g", "v@example.com", pending)
		return err
	}, done: func(ws *sim.Workspace) bool {
		return slices.Contains(ws.Groups[0].Members, "v@example.com") && slices.Contains(ws.Groups[0].Members, pending)
	}},
	"remove a member": {do: func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Groups.RemoveMembers(ctx, "g", "u@example.com")
		return err
	}, done: func(ws *sim.Workspace) bool { return len(ws.Groups[0].Members) == 0 }},
	"remove a user": {do: func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Users.Remove(ctx, "x")
		return err
	}, done: func(ws *sim.Workspace) bool { return holds(ws, "x") == nil }},
	"remove an owner": {do: func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Users.Remove(ctx, "u")
		return err
	}, done: func(ws *sim.Workspace) bool { return holds(ws, "u") == nil }, kept: true},
	"invite": {do: func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Invites.Create(ctx, segmentapi.Invitation{Email: newcomer, Permissions: onSourceA()})
		return err
	}, done: func(ws *sim.Workspace) bool { return isInvited(ws, newcomer) }},
	"withdraw an invite": {do: func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Invites.Delete(ctx, pending)
		return err
	}, done: func(ws *sim.Workspace) bool { return !isInvited(ws, pending) }},
	"create a group": {do: func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Groups.Create(ctx, "New")
		if errors.Is(err, segmentapi.ErrConflict) { // It is there already.
			return nil
		}
		return err
	}, done: func(ws *sim.Workspace) bool { return ws.Groups[len(ws.Groups)-1].Name == "New" }},
	"rename a group": {do: func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Groups.Rename(ctx, "g", "New")
		return err
	}, done: func(ws *sim.Workspace) bool { return ws.Groups[0].Name == "New" }},
	"delete a group": {do: func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Groups.Delete(ctx, "g")
		return err
	}, done: func(ws *sim.Workspace) bool { return ws.Groups[0].ID != "g" }},
}

// Reads are behind every write. Up to the settle time each operation succeeds. Beyond it
// the error is ErrUnconfirmed, nothing is sent twice, and the same operation later finds
// that it is done.
func TestWrites_ReadsLag(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	rows := map[string][]string{}
	lags := []time.Duration{0, 100 * time.Millisecond, time.Second, 2500 * time.Millisecond, 8 * time.Second, 15 * time.Second}
	t.Cleanup(func() {
		var table strings.Builder
		w := tabwriter.NewWriter(&table, 0, 1, 2, ' ', 0)
		for _, name := range slices.Sorted(maps.Keys(rows)) {
			if _, err := fmt.Fprintln(w, name+"\t"+strings.Join(rows[name], "\t")); err != nil {
				t.Error(err)
			}
		}
		if err := w.Flush(); err != nil {
			t.Error(err)
		}
		t.Logf("lags of %v: outcome, requests, time\n%s", lags, &table)
	})
	for name, op := range everyWrite {
		rows[name] = make([]string, len(lags))
		for i, lag := range lags {
			t.Run(fmt.Sprintf("%s/%s", name, lag), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					ws := settlingWorkspace()
					ws.Users = append(ws.Users, sim.User{ID: "x", Email: "x@example.com", Permissions: []sim.Permission{on(minimal, wholeWorkspace)}})
					srv := sim.New(ws, sim.WithLag(lag))
					c := connect(t, srv, settling())
					start := time.Now()
					err := op.do(t.Context(), c)
					took, requests, written := time.Since(start), len(srv.Journal()), simtest.Writes(srv.Journal())
					outcome := "done"
					switch {
					case lag <= segmentapi.DefaultSettleTime:
						if err != nil || !op.done(srv.Workspace()) {
							t.Errorf("done %t: %v", op.done(srv.Workspace()), err)
						}
					case op.kept:
						outcome = "given back"
						if !errors.Is(err, segmentapi.ErrUnconfirmed) || !slices.Equal(holds(ws, "u"), holds(srv.Workspace(), "u")) {
							t.Errorf("%v, holds %v", err, holds(srv.Workspace(), "u"))
						}
					default:
						outcome = "unconfirmed"
						if !errors.Is(err, segmentapi.ErrUnconfirmed) || !op.done(srv.Workspace()) {
							t.Errorf("done %t: %v", op.done(srv.Workspace()), err)
						}
						if err = op.do(t.Context(), c); err != nil {
							t.Errorf("once more: %v", err)
						}
						if again := simtest.Writes(srv.Journal()); len(again) != len(written) {
							t.Errorf("written again: %v", again)
						}
					}
					if got := owners(srv.Workspace()); len(got) < 2 {
						t.Errorf("owners %v", got)
					}
					mu.Lock()
					defer mu.Unlock()
					rows[name][i] = fmt.Sprintf("%s %d %s", outcome, requests, took.Round(100*time.Millisecond))
				})
			})
		}
	}
}

// Replicas answer with different states. A role that this process has revoked does not come
// back with its next edit.
func TestRevoke_ReplicasDoNotRestore(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]func(context.Context, editor) error{
		"another revocation": func(ctx context.Context, e editor) error {
			_, err := e.revoke(ctx, e.id, assigned(admin, "SOURCE b"))
			return err
		},
		"a grant": func(ctx context.Context, e editor) error {
			_, err := e.grant(ctx, e.id, assigned(admin, "SOURCE c"))
			return err
		},
		"a replacement": func(ctx context.Context, e editor) error {
			_, err := e.replace(ctx, e.id, segmentapi.Permissions([]segmentapi.Assignment{assigned(reader, "SOURCE c"), assigned(minimal, wholeWorkspace)}))
			return err
		},
	} {
		for _, phase := range []int{0, 1, 2, 3, 4, 5} { // Which replica answers the first read.
			t.Run(fmt.Sprintf("%s/%d", name, phase), func(t *testing.T) {
				t.Parallel()
				held := []sim.Permission{on(admin, "SOURCE a", "SOURCE b"), on(minimal, wholeWorkspace)}
				for _, what := range []string{"user", "group"} {
					synctest.Test(t, func(t *testing.T) {
						srv := sim.New(testWorkspace(held...), sim.WithReplicas(3, 5*time.Second))
						c := connect(t, srv, settling(), unspacedWrites())
						e := editors(c)[what]
						for range phase {
							if _, err := e.edit(t.Context(), e.id, func(held []segmentapi.Assignment) []segmentapi.Assignment { return held }); err != nil {
								t.Fatal(err)
							}
						}
						if _, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a")); err != nil {
							t.Fatal(err)
						}
						if err := second(t.Context(), e); err != nil {
							t.Fatal(err)
						}
						if got := holds(srv.Workspace(), e.id); slices.Contains(got, admin+" SOURCE a") {
							t.Errorf("%s: what was revoked is back: %v", what, got)
						}
					})
				}
			})
		}
	}
}

// A change by another administrator within the minute in which own writes are remembered is
// kept, and is read for no longer than the settle time.
func TestEdit_RevertsByOthersStay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(testWorkspace(on(admin, "SOURCE a", "SOURCE b"), on(minimal, wholeWorkspace)))
		c := connect(t, srv, settling(), unspacedWrites())
		if _, err := c.Users.Revoke(t.Context(), "u", assigned(admin, "SOURCE a")); err != nil {
			t.Fatal(err)
		}
		srv.Update(func(ws *sim.Workspace) {
			editPermissions(ws, "u", func(held []sim.Permission) []sim.Permission { return append(held, on(admin, "SOURCE a")) })
		})
		for _, most := range []time.Duration{12 * time.Second, 2 * time.Second} { // Once it is known, it costs no wait.
			start := time.Now()
			if _, err := c.Users.Grant(t.Context(), "u", assigned(reader, "SOURCE c")); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took > most {
				t.Errorf("it took %s", took)
			}
		}
		checkHolds(t, srv, "u", admin+" SOURCE a", admin+" SOURCE b", reader+" SOURCE c", minimal+" "+wholeWorkspace)
	})
}

// Segment does something else than it was asked to. It is corrected, and the error and
// the log say what happened.
func TestWrites_SegmentDoesSomethingElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		does []sim.Normalization
		held []sim.Permission
		what string
		// grants is set for a grant of what, else it is revoked.
		grants bool
		want   error
		holds  []string
		logged string
	}{
		"POST drops labels": {
			does: []sim.Normalization{sim.NormalizePostDropsLabels}, held: []sim.Permission{on(minimal, wholeWorkspace)},
			what: wholeWorkspace + " env=prod", grants: true,
			holds: []string{admin + " " + wholeWorkspace + " env=prod", minimal + " " + wholeWorkspace}, logged: "which is to be corrected",
		},
		"POST and PUT drop labels": {
			does: []sim.Normalization{sim.NormalizePostDropsLabels, sim.NormalizePutDropsLabels}, held: []sim.Permission{on(reader, "SOURCE a")},
			what: wholeWorkspace + " env=prod", grants: true, want: segmentapi.ErrNotApplied,
			holds: []string{reader + " SOURCE a"}, logged: "which is to be corrected",
		},
		"PUT drops labels that were held": {
			does: []sim.Normalization{sim.NormalizePutDropsLabels}, held: []sim.Permission{on(admin, "SOURCE a", wholeWorkspace+" env=prod"), on(minimal, wholeWorkspace)},
			what: "SOURCE a", want: segmentapi.ErrNotRestored,
			holds: []string{minimal + " " + wholeWorkspace}, logged: "which is to be corrected",
		},
		"POST gives the role on the workspace as well": {
			does: []sim.Normalization{sim.NormalizePostAddsWorkspace}, held: []sim.Permission{on(minimal, wholeWorkspace)},
			what: "SOURCE a", grants: true,
			holds: []string{admin + " SOURCE a", minimal + " " + wholeWorkspace}, logged: "which is to be corrected",
		},
		"Minimal Workspace Access is added to a grant": {
			does: []sim.Normalization{sim.NormalizeAddsMinimal}, held: []sim.Permission{on(reader, "SOURCE b")},
			what: "SOURCE a", grants: true,
			holds: []string{admin + " SOURCE a", minimal + " " + wholeWorkspace, reader + " SOURCE b"}, logged: "level=INFO",
		},
		"Minimal Workspace Access is added to a revocation": {
			does: []sim.Normalization{sim.NormalizeAddsMinimal}, held: []sim.Permission{on(admin, "SOURCE a"), on(reader, "SOURCE b")},
			what: "SOURCE a", holds: []string{minimal + " " + wholeWorkspace, reader + " SOURCE b"}, logged: "level=INFO",
		},
		"answers are in another form": {
			does: []sim.Normalization{sim.NormalizeSplitsResources, sim.NormalizeReverses, sim.NormalizeNullLabels, sim.NormalizeKnownFields},
			held: []sim.Permission{on(admin, "SOURCE a", "SOURCE b", wholeWorkspace+" env=prod"), on(minimal, wholeWorkspace)},
			what: "SOURCE a", holds: []string{admin + " SOURCE b", admin + " " + wholeWorkspace + " env=prod", minimal + " " + wholeWorkspace}, logged: "level=INFO",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, what := range []string{"user", "group"} {
				synctest.Test(t, func(t *testing.T) {
					var log sharedLog
					srv := sim.New(testWorkspace(c.held...), sim.WithNormalizing(c.does...))
					e := editors(connect(t, srv, settling(), unspacedWrites(), segmentapi.WithLogger(log.logger())))[what]
					do := e.revoke
					if c.grants {
						do = e.grant
					}
					if _, err := do(t.Context(), e.id, assigned(admin, c.what)); !errors.Is(err, c.want) {
						t.Errorf("%s: %v", what, err)
					}
					checkHolds(t, srv, e.id, c.holds...)
					if !strings.Contains(log.String(), c.logged) || c.logged == "level=INFO" && strings.Contains(log.String(), "level=WARN") {
						t.Errorf("%s: log:\n%s", what, &log)
					}
				})
			}
		})
	}
}

// A replacement that would lose what this package does not understand is refused before
// it is sent; a grant, which only adds, is not.
func TestRevoke_NotUnderstood(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		does []sim.Normalization
		held []sim.Permission
		says string
	}{
		"permission": {does: []sim.Normalization{sim.NormalizeUnknownPermissionField}, says: "expiresAt"},
		"resource":   {does: []sim.Normalization{sim.NormalizeUnknownResourceField}, says: "condition"},
		"label":      {does: []sim.Normalization{sim.NormalizeUnknownLabelField}, says: "source"},
		"nothing":    {held: []sim.Permission{on(reader)}, says: "Source Read-only has no resource"},
		"hidden":     {does: []sim.Normalization{sim.NormalizeOmitsPermissions}, says: "does not see them"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			held := append([]sim.Permission{on(admin, "SOURCE a", wholeWorkspace+" env=prod"), on(minimal, wholeWorkspace)}, c.held...)
			for _, what := range []string{"user", "group"} {
				synctest.Test(t, func(t *testing.T) {
					srv := sim.New(testWorkspace(held...), sim.WithNormalizing(c.does...))
					e := editors(connect(t, srv, settling(), unspacedWrites()))[what]
					before := srv.Workspace()
					_, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a"))
					if !errors.Is(err, segmentapi.ErrNotUnderstood) || !strings.Contains(err.Error(), c.says) {
						t.Errorf("%s: %v", what, err)
					}
					if diff := cmp.Diff(before, srv.Workspace()); diff != "" || len(simtest.Writes(srv.Journal())) != 0 {
						t.Errorf("%s: wrote %v:\n%s", what, simtest.Writes(srv.Journal()), diff)
					}
					if name == "hidden" {
						return
					}
					if _, err = e.grant(t.Context(), e.id, assigned(reader, "SOURCE b")); err != nil {
						t.Errorf("%s: %v", what, err)
					}
				})
			}
		})
	}
}

// A change by another administrator that the answer to a PUT already shows stays.
func TestRevoke_ChangeInTheAnswerIsKept(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a", "SOURCE b"), on(reader, "SOURCE e"), on(minimal, wholeWorkspace)}
	for name, c := range map[string]struct {
		edit func([]sim.Permission) []sim.Permission
		want []string
	}{
		"grant of another role":      {func(held []sim.Permission) []sim.Permission { return addLine(held, "role-x SOURCE c") }, []string{admin + " SOURCE b", reader + " SOURCE e", "role-x SOURCE c"}},
		"grant of the same role":     {func(held []sim.Permission) []sim.Permission { return addLine(held, admin+" SOURCE c") }, []string{admin + " SOURCE b", admin + " SOURCE c", reader + " SOURCE e"}},
		"grant of the role on all":   {func(held []sim.Permission) []sim.Permission { return addLine(held, admin+" "+wholeWorkspace) }, []string{admin + " SOURCE b", admin + " " + wholeWorkspace, reader + " SOURCE e"}},
		"revocation of another role": {func(held []sim.Permission) []sim.Permission { return dropLine(held, reader+" SOURCE e") }, []string{admin + " SOURCE b"}},
		"revocation of the same":     {func(held []sim.Permission) []sim.Permission { return dropLine(held, admin+" SOURCE b") }, []string{reader + " SOURCE e"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, what := range []string{"user", "group"} {
				synctest.Test(t, func(t *testing.T) {
					srv := sim.New(testWorkspace(held...))
					e := editors(connect(t, srv, settling(), unspacedWrites()))[what]
					simtest.After(t, srv, e.put, 1, func(ws *sim.Workspace) { editPermissions(ws, e.id, c.edit) })
					if _, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a")); err != nil {
						t.Fatal(what, err)
					}
					checkHolds(t, srv, e.id, append(c.want, minimal+" "+wholeWorkspace)...)
				})
			}
		})
	}
}
