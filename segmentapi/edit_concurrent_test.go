package segmentapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// Another administrator edits the same user or group, at each moment except in the
// round trip that cannot be closed. Both changes survive.
func TestGrantRevoke_ConcurrentEditsAreKept(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a", "SOURCE b"), on(minimal, wholeWorkspace)}
	theirs := map[string]struct {
		edit  func(*[]sim.Permission)
		apply func([]string) []string
	}{
		"adds":          {adds(on(reader, "SOURCE e")), func(s []string) []string { return append(s, reader+" SOURCE e") }},
		"adds the role": {adds(on(admin, "SOURCE d")), func(s []string) []string { return append(s, admin+" SOURCE d") }},
		"takes": {func(held *[]sim.Permission) {
			*held = slices.DeleteFunc(slices.Clone(*held), func(p sim.Permission) bool { return p.RoleID == minimal })
		}, func(s []string) []string {
			return slices.DeleteFunc(s, func(line string) bool { return strings.HasPrefix(line, minimal) })
		}},
	}
	moments := map[string]struct {
		revoke    bool
		operation func(editor) string
		ordinal   int
	}{
		"before the POST":              {false, func(e editor) string { return e.post }, 1},
		"after the POST":               {false, func(e editor) string { return e.get }, 2},
		"before the PUT is decided on": {true, func(e editor) string { return e.get }, 2},
		"after the PUT":                {true, func(e editor) string { return e.get }, 3},
	}
	for moment, m := range moments {
		for what, their := range theirs {
			t.Run(moment+"/"+what, func(t *testing.T) {
				t.Parallel()
				forUserAndGroup(t, held, func(t *testing.T, srv *sim.Server, e editor) {
					changeBefore(t, srv, m.operation(e), m.ordinal, e.id, their.edit)
					want := []string{admin + " SOURCE a", admin + " SOURCE b", minimal + " " + wholeWorkspace}
					var err error
					if m.revoke {
						want = slices.Delete(want, 0, 1)
						_, err = e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a"))
					} else {
						want = append(want, admin+" SOURCE c")
						_, err = e.grant(t.Context(), e.id, assigned(admin, "SOURCE c"))
					}
					if err != nil {
						t.Fatal(err)
					}
					checkHolds(t, srv, e.id, their.apply(want)...)
				})
			})
		}
	}
}

// Another administrator has made the same change just before.
func TestRevoke_RevokedByOthersMeanwhile(t *testing.T) {
	t.Parallel()
	forUserAndGroup(t, []sim.Permission{on(admin, "SOURCE a"), on(minimal, wholeWorkspace)}, func(t *testing.T, srv *sim.Server, e editor) {
		changeBefore(t, srv, e.get, 2, e.id, func(held *[]sim.Permission) { *held = []sim.Permission{on(minimal, wholeWorkspace)} })
		change, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a"))
		if err != nil || !change.Empty() {
			t.Errorf("%v, %v", change, err)
		}
		expectOrder(t, srv, e.get, e.get)
		checkHolds(t, srv, e.id, minimal+" "+wholeWorkspace)
	})
}

// Another program undoes each change before it can be read back. The change is not made
// again: a read that does not show it may be old.
func TestRevoke_UndoneByOthers(t *testing.T) {
	t.Parallel()
	forUserAndGroup(t, []sim.Permission{on(admin, "SOURCE a"), on(minimal, wholeWorkspace)}, func(t *testing.T, srv *sim.Server, e editor) {
		back := adds(on(admin, "SOURCE a"))
		for ordinal := 3; ordinal < 12; ordinal += 2 { // Each read back.
			changeBefore(t, srv, e.get, ordinal, e.id, back)
		}
		_, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a"))
		if !errors.Is(err, segmentapi.ErrUnconfirmed) || !strings.Contains(err.Error(), "- Source Admin on SOURCE a") {
			t.Error(err)
		}
		if got := simtest.Writes(srv.Journal()); len(got) != 1 {
			t.Errorf("writes %v, want 1", got)
		}
		checkHolds(t, srv, e.id, admin+" SOURCE a", minimal+" "+wholeWorkspace)
	})
}

// Another program grants something at every single read. All of it stays.
func TestGrantRevoke_GrantsAtEveryReadAreKept(t *testing.T) {
	t.Parallel()
	forUserAndGroup(t, []sim.Permission{on(admin, "SOURCE a"), on(minimal, wholeWorkspace)}, func(t *testing.T, srv *sim.Server, e editor) {
		given := 0
		changeBefore(t, srv, e.get, 0, e.id, func(held *[]sim.Permission) {
			given++
			adds(on(fmt.Sprintf("role-%d", given), "SOURCE e"))(held)
		})
		if _, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE b")); err != nil {
			t.Fatal(err)
		}
		if _, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a")); err != nil {
			t.Fatal(err)
		}
		want := []string{admin + " SOURCE b", minimal + " " + wholeWorkspace}
		for i := range given {
			want = append(want, fmt.Sprintf("role-%d SOURCE e", i+1))
		}
		checkHolds(t, srv, e.id, want...)
		if given < 5 {
			t.Errorf("%d reads", given)
		}
	})
}

// An edit that always finds more to remove than it has planned writes nothing.
func TestEdit_WritesNothingUnplanned(t *testing.T) {
	t.Parallel()
	forUserAndGroup(t, []sim.Permission{on(admin, "SOURCE a"), on(minimal, wholeWorkspace)}, func(t *testing.T, srv *sim.Server, e editor) {
		given := 0
		changeBefore(t, srv, e.get, 0, e.id, func(held *[]sim.Permission) {
			given++
			adds(on(fmt.Sprintf("role-%d", given), "SOURCE e"))(held)
		})
		_, err := e.edit(t.Context(), e.id, segmentapi.RevokeFunc(func(a segmentapi.Assignment) bool { return a.Scope.ID == "e" }))
		if !errors.Is(err, segmentapi.ErrContested) || !strings.Contains(err.Error(), "- role-4 on SOURCE e") {
			t.Error(err)
		}
		if got := simtest.Writes(srv.Journal()); len(got) != 0 {
			t.Errorf("writes %v", got)
		}
	})
}

// A PUT is sent right after a read, even if it has to wait for the limit or is sent
// again: changes that others make meanwhile stay.
func TestRevoke_ReadsAgainAfterAWait(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sim.Fault{
		"429": {Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"7"}}},
		"503": {Kind: sim.FaultStatus, Status: 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(testWorkspace(on(admin, "SOURCE a", "SOURCE b"), on(minimal, wholeWorkspace)))
				fault.Operation, fault.Ordinal = "replacePermissionsForUser", 1
				if err := srv.Inject(fault); err != nil {
					t.Fatal(err)
				}
				// In the middle of the wait.
				go func() {
					<-time.After(100 * time.Millisecond)
					srv.Update(func(ws *sim.Workspace) { adds(on(reader, "SOURCE e"))(&ws.Users[1].Permissions) })
				}()
				start := time.Now()
				if _, err := connect(t, srv).Users.Revoke(t.Context(), "u", assigned(admin, "SOURCE a")); err != nil {
					t.Fatal(err)
				}
				checkHolds(t, srv, "u", admin+" SOURCE b", reader+" SOURCE e", minimal+" "+wholeWorkspace)
				read, write := "getUser", "replacePermissionsForUser"
				order := []string{read, read, write, read, write, read}
				if name == "503" { // Its outcome must be read first.
					order = slices.Insert(order, 3, read)
				}
				expectOrder(t, srv, order...)
				if name == "429" && time.Since(start) < 7*time.Second {
					t.Errorf("waited %s", time.Since(start))
				}
			})
		})
	}
}

// Writes are spaced, and the wait is not between the last read and the write.
func TestRevoke_WaitsBeforeTheLastRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(testWorkspace(on(admin, "SOURCE a", "SOURCE b", "SOURCE c"), on(minimal, wholeWorkspace)))
		c := connect(t, srv)
		for _, source := range []string{"a", "b", "c"} {
			if _, err := c.Users.Revoke(t.Context(), "u", assigned(admin, "SOURCE "+source)); err != nil {
				t.Fatal(err)
			}
		}
		journal := srv.Journal()
		sent := 0
		for i, r := range journal {
			if r.Method == http.MethodPut {
				sent++
				if since := r.Time.Sub(journal[i-1].Time); since != 0 {
					t.Errorf("%s between the read and the write", since)
				}
			}
		}
		if took := journal[len(journal)-1].Time.Sub(journal[0].Time); sent != 3 || took != 2*time.Second {
			t.Errorf("%d writes in %s, want 3 in 2s", sent, took)
		}
	})
}

// If one write grants and the next revokes the same, or the other way round, the
// Difference is empty.
func TestEdit_WritesThatCancelOut(t *testing.T) {
	t.Parallel()
	has := func(held []segmentapi.Assignment, what segmentapi.Assignment) bool {
		return slices.ContainsFunc(held, what.Same)
	}
	key, what := assigned(reader, "SOURCE b"), assigned(admin, "SOURCE a")
	for name, c := range map[string]struct {
		held   []sim.Permission
		edit   segmentapi.Edit
		writes func(editor) []string
		want   []string
	}{
		"given and taken": {
			[]sim.Permission{on(reader, "SOURCE b"), on(minimal, wholeWorkspace)},
			func(held []segmentapi.Assignment) []segmentapi.Assignment {
				if has(held, key) {
					return segmentapi.Grant(what)(held)
				}
				return segmentapi.Revoke(what)(held)
			},
			func(e editor) []string { return []string{e.post, e.put} },
			[]string{minimal + " " + wholeWorkspace},
		},
		"taken and given": {
			[]sim.Permission{on(reader, "SOURCE b"), on(minimal, wholeWorkspace), on(admin, "SOURCE a")},
			func(held []segmentapi.Assignment) []segmentapi.Assignment {
				if has(held, key) {
					return segmentapi.Revoke(what)(held)
				}
				return segmentapi.Grant(what)(held)
			},
			func(e editor) []string { return []string{e.put, e.post} },
			[]string{admin + " SOURCE a", minimal + " " + wholeWorkspace},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forUserAndGroup(t, c.held, func(t *testing.T, srv *sim.Server, e editor) {
				// When the first write is read back, others have revoked what the edit looks at.
				first := c.writes(e)[0]
				ordinal := map[string]int{e.post: 2, e.put: 3}[first]
				changeBefore(t, srv, e.get, ordinal, e.id, func(held *[]sim.Permission) {
					*held = slices.DeleteFunc(slices.Clone(*held), func(p sim.Permission) bool { return p.RoleID == reader })
				})
				change, err := e.edit(t.Context(), e.id, c.edit)
				if err != nil || !change.Empty() {
					t.Errorf("%v, %v", change, err)
				}
				if got := simtest.Writes(srv.Journal()); !slices.Equal(got, c.writes(e)) {
					t.Errorf("writes %v", got)
				}
				checkHolds(t, srv, e.id, c.want...)
			})
		})
	}
}

// Edits of one user wait for each other, across clients with another RetryPolicy. A
// caller that gives up while waiting returns at once.
func TestEdits_WaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(testWorkspace(on(minimal, wholeWorkspace)))
		if err := srv.Inject(sim.Fault{Operation: "getUser", Ordinal: 1, Kind: sim.FaultDelay, Delay: time.Hour}); err != nil {
			t.Fatal(err)
		}
		c := connect(t, srv)
		other, err := c.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 1, MaxWait: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() {
			_, grantErr := c.Users.Grant(t.Context(), "u", assigned(admin, "SOURCE a"))
			done <- grantErr
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if _, err = other.Users.Grant(ctx, "u", assigned(admin, "SOURCE b")); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		if got := simtest.Operations(srv.Journal()); len(got) != 1 {
			t.Errorf("requests %v", got)
		}
		if err = <-done; err != nil {
			t.Error(err)
		}
		checkHolds(t, srv, "u", admin+" SOURCE a", minimal+" "+wholeWorkspace)
	})
}

// Two hundred edits of one user at once are all made.
func TestGrantRevoke_TwoHundredAtOnce(t *testing.T) {
	t.Parallel()
	ws := testWorkspace(on(minimal, wholeWorkspace))
	var want []string
	for i := range 100 {
		kept, gone := fmt.Sprintf("kept%d", i), fmt.Sprintf("gone%d", i)
		ws.Sources = append(ws.Sources, sim.Source{ID: kept, Slug: kept}, sim.Source{ID: gone, Slug: gone})
		ws.Users[1].Permissions = append(ws.Users[1].Permissions, on(reader, "SOURCE "+gone))
		want = append(want, admin+" SOURCE "+kept)
	}
	srv := sim.New(ws)
	c := connect(t, srv, unspacedWrites())
	var edits sync.WaitGroup
	for i := range 100 {
		edits.Go(func() {
			if _, err := c.Users.Grant(t.Context(), "u", assigned(admin, fmt.Sprintf("SOURCE kept%d", i))); err != nil {
				t.Error(err)
			}
		})
		edits.Go(func() {
			if _, err := c.Users.Revoke(t.Context(), "u", assigned(reader, fmt.Sprintf("SOURCE gone%d", i))); err != nil {
				t.Error(err)
			}
		})
	}
	edits.Wait()
	checkHolds(t, srv, "u", append(want, minimal+" "+wholeWorkspace)...)
}
