package segmentapi_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// The first DELETE was carried out, the second was held back by the limit.
func TestLimitAfterAnUnclearWrite(t *testing.T) {
	t.Parallel()
	limited := http.Header{"Retry-After": {"90"}}
	for name, c := range map[string]struct {
		operation string
		do        func(context.Context, *segmentapi.Client) error
		done      func(*sim.Workspace) bool
	}{
		"remove a user": {"deleteUsers", func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Users.Remove(ctx, "u")
			return err
		}, func(ws *sim.Workspace) bool { return len(ws.Users) == 1 }},
		"delete a group": {"deleteUserGroup", func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Groups.Delete(ctx, "g")
			return err
		}, func(ws *sim.Workspace) bool { return len(ws.Groups) == 0 }},
		"rename a group": {"updateUserGroup", func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Groups.Rename(ctx, "g", "Other")
			return err
		}, func(ws *sim.Workspace) bool { return ws.Groups[0].Name == "Other" }},
	} {
		t.Run(name, func(t *testing.T) {
			srv := sim.New(editable(on(minimal, everything)))
			injects(t, srv, sim.Fault{Operation: c.operation, Ordinal: 1, Kind: sim.FaultLateStatus, Status: 503},
				sim.Fault{Operation: c.operation, Ordinal: 2, Kind: sim.FaultStatus, Status: 429, Header: limited})
			var log bytes.Buffer
			err := c.do(t.Context(), connect(t, srv, fast(), segmentapi.WithLogger(slog.New(slog.NewTextHandler(&log, nil)))))
			if !c.done(srv.Workspace()) {
				t.Fatal("not done")
			}
			if err != nil {
				t.Error("it is done, but: ", err)
			}
			if !strings.Contains(log.String(), "change=") {
				t.Error("no audit line")
			}
		})
	}
}

// Who may not wait at all may still send again.
func TestNoPatience(t *testing.T) {
	t.Parallel()
	srv := sim.New(editable(on(admin, "SOURCE a"), on(minimal, everything)))
	injects(t, srv, sim.Fault{Operation: "replacePermissionsForUser", Ordinal: 1, Kind: sim.FaultStatus, Status: 503},
		sim.Fault{Operation: "deleteUsers", Ordinal: 1, Kind: sim.FaultStatus, Status: 503})
	c := connect(t, srv, fast(), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 3}))
	if _, err := c.Users.Revoke(t.Context(), "u", assigned(admin, "SOURCE a")); err != nil {
		t.Error(err)
	}
	if _, err := c.Users.Remove(t.Context(), "u"); err != nil {
		t.Error(err)
	}
}

// No write rests on what was read before a long wait.
func TestWritesAreThoughtOverAfterAWait(t *testing.T) {
	t.Parallel()
	after := func(srv *sim.Server, edit func(*sim.Workspace)) {
		go func() {
			<-time.After(100 * time.Millisecond)
			srv.Update(edit)
		}()
	}
	wait := http.Header{"Retry-After": {"30"}}
	t.Run("two groups of one name", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := sim.New(editable(on(minimal, everything)))
			injects(t, srv, sim.Fault{Operation: "createUserGroup", Ordinal: 1, Kind: sim.FaultStatus, Status: 429, Header: wait})
			after(srv, func(ws *sim.Workspace) { ws.Groups = append(ws.Groups, sim.Group{ID: "theirs", Name: "New"}) })
			if _, err := connect(t, srv).Groups.Create(t.Context(), "New"); !errors.Is(err, segmentapi.ErrConflict) {
				t.Error(err)
			}
			if n := len(srv.Workspace().Groups); n != 2 {
				t.Errorf("%d groups", n)
			}
		})
	})
	t.Run("ownership is handed over meanwhile", func(t *testing.T) {
		for how, operation := range map[string]string{"remove u": "deleteUsers", "delete group": "deleteUserGroup", "take u out of group": "removeUsersFromUserGroup"} {
			t.Run(how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					srv := sim.New(owned(func(ws *sim.Workspace) {
						makeOwner(ws, "v")
						ws.Groups = append(ws.Groups, sim.Group{ID: "group", Name: "group", Members: []string{"u@example.com"}, Permissions: []sim.Permission{on(minimal, everything)}})
					}))
					injects(t, srv, sim.Fault{Operation: operation, Ordinal: 1, Kind: sim.FaultStatus, Status: 429, Header: wait})
					after(srv, func(ws *sim.Workspace) {
						id := "group"
						if how == "remove u" {
							id = "u"
						}
						makeOwner(ws, id)
						edited(ws, "v", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, everything)} })
					})
					if err := takings[how](t.Context(), connect(t, srv)); !errors.Is(err, segmentapi.ErrLastOwner) {
						t.Error(err)
					}
					if got := owners(srv.Workspace()); !slices.Equal(got, []string{"u"}) {
						t.Errorf("owners %v", got)
					}
				})
			})
		}
	})
}

// A removal waits for an edit of the same user or group, and does not come in
// between.
func TestRemovalsWaitForEdits(t *testing.T) {
	t.Parallel()
	for what, remove := range map[string]func(context.Context, *segmentapi.Client) (bool, error){
		"user":  func(ctx context.Context, c *segmentapi.Client) (bool, error) { return c.Users.Remove(ctx, "u") },
		"group": func(ctx context.Context, c *segmentapi.Client) (bool, error) { return c.Groups.Delete(ctx, "g") },
	} {
		synctest.Test(t, func(t *testing.T) {
			srv := sim.New(editable(on(minimal, everything)))
			c := connect(t, srv, fast())
			e := editors(c)[what]
			// The edit reads back late.
			if err := srv.Inject(sim.Fault{Operation: e.get, Ordinal: 2, Kind: sim.FaultDelay, Delay: time.Hour}); err != nil {
				t.Fatal(err)
			}
			granted := make(chan error, 1)
			go func() {
				_, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE a"))
				granted <- err
			}()
			synctest.Wait()
			if removed, err := remove(t.Context(), c); !removed || err != nil {
				t.Errorf("%s: %v, %v", what, removed, err)
			}
			if err := <-granted; err != nil {
				t.Errorf("%s: the edit: %v", what, err)
			}
			if got := holds(srv.Workspace(), e.id); len(got) != 0 {
				t.Errorf("%s: %v is left", what, got)
			}
		})
	}
}

// Two groups of one name are not made while neither is there yet.
func TestGroupNamesWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(editable(on(minimal, everything)))
		if err := srv.Inject(sim.Fault{Operation: "createUserGroup", Kind: sim.FaultDelay, Delay: time.Hour}); err != nil {
			t.Fatal(err)
		}
		c := connect(t, srv, fast())
		first := make(chan error, 1)
		go func() {
			_, err := c.Groups.Create(t.Context(), "New")
			first <- err
		}()
		synctest.Wait()
		if _, err := c.Groups.Create(t.Context(), "NEW"); !errors.Is(err, segmentapi.ErrConflict) {
			t.Error(err)
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
		if got := len(srv.Workspace().Groups); got != 2 {
			t.Errorf("%d groups", got)
		}
	})
}

// An invite is not withdrawn while it is being sent: neither call takes what the
// other does for its own failure.
func TestInviteAndItsEndWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(editable(on(minimal, everything)))
		// The invite is looked for late.
		if err := srv.Inject(sim.Fault{Operation: "listInvites", Ordinal: 2, Kind: sim.FaultDelay, Delay: time.Hour}); err != nil {
			t.Fatal(err)
		}
		c := connect(t, srv, fast())
		sent := make(chan error, 1)
		go func() {
			_, err := c.Invites.Create(t.Context(), segmentapi.Invitation{Email: "new@example.com"})
			sent <- err
		}()
		synctest.Wait()
		removed, err := c.Invites.Delete(t.Context(), "NEW@example.com")
		if !removed || err != nil {
			t.Error(removed, err)
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		if got := srv.Workspace().Invites; len(got) != 0 {
			t.Errorf("invites %v", got)
		}
	})
}

// meanwhile makes somebody else's edit while something waits.
func meanwhile(srv *sim.Server, edit func(*sim.Workspace)) {
	go func() {
		<-time.After(100 * time.Millisecond)
		srv.Update(edit)
	}()
}

// A deletion that was carried out is in the log, also if nobody could look before
// it was to be sent again.
func TestLookFailsAfterAnUnclearDelete(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]sim.Fault{
		"403": {Kind: sim.FaultStatus, Status: 403},
		"429": {Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"90"}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(editable(on(minimal, everything)))
				f.Operation, f.Ordinal = "getUserGroup", 2
				injects(t, srv, sim.Fault{Operation: "deleteUserGroup", Ordinal: 1, Kind: sim.FaultLateStatus, Status: 503}, f)
				var log bytes.Buffer
				if _, err := connect(t, srv, segmentapi.WithLogger(slog.New(slog.NewTextHandler(&log, nil)))).Groups.Delete(t.Context(), "g"); err != nil && !errors.Is(err, segmentapi.ErrRateLimited) {
					t.Error(err)
				}
				if len(srv.Workspace().Groups) != 0 {
					t.Fatal("not done")
				}
				if !strings.Contains(log.String(), "change=") {
					t.Errorf("deleted, but no audit line: %q", log.String())
				}
			})
		})
	}
}

// Who was removed is in the log, whatever becomes of the others.
func TestHalfOfTheMembersRemoved(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]sim.Fault{
		"403": {Kind: sim.FaultStatus, Status: 403},
		"429": {Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"90"}}},
		"500": {Kind: sim.FaultStatus, Status: 500},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(owned(func(ws *sim.Workspace) {
					makeOwner(ws, "w")
					ws.Groups = append(ws.Groups, sim.Group{ID: "group", Name: "group", Members: []string{"u@example.com", "v@example.com"}, Permissions: []sim.Permission{on(minimal, everything)}})
				}))
				f.Operation, f.Ordinal = "removeUsersFromUserGroup", 2
				injects(t, srv, f)
				var log bytes.Buffer
				logger := slog.New(slog.NewTextHandler(&log, nil))
				if _, err := connect(t, srv, segmentapi.WithLogger(logger)).Groups.RemoveMembers(t.Context(), "group", "u@example.com", "v@example.com"); err == nil {
					t.Error("no error")
				}
				if got := srv.Workspace().Groups[1].Members; len(got) != 1 {
					t.Fatal(got)
				}
				if !strings.Contains(log.String(), "change=") {
					t.Errorf("one was removed, but no audit line: %q", log.String())
				}
			})
		})
	}
}

// A name is taken while a renaming waits for the limit.
func TestANameIsTakenWhileARenamingWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(editable(on(minimal, everything)))
		injects(t, srv, sim.Fault{Operation: "updateUserGroup", Ordinal: 1, Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"30"}}})
		meanwhile(srv, func(ws *sim.Workspace) { ws.Groups = append(ws.Groups, sim.Group{ID: "theirs", Name: "New"}) })
		if _, err := connect(t, srv).Groups.Rename(t.Context(), "g", "New"); !errors.Is(err, segmentapi.ErrConflict) {
			t.Error(err)
		}
		if got := srv.Workspace().Groups; got[0].Name == got[1].Name {
			t.Errorf("two groups %q", got[0].Name)
		}
	})
}
