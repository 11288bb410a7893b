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

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// A refused removal leaves everything as it was.
func TestRemoveDelete_Refused(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"remove u", "delete group"} {
		for _, status := range []int{403, 500} {
			t.Run(how, func(t *testing.T) {
				t.Parallel()
				srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) {
					makeOwner(ws, "u")
					makeOwner(ws, "v")
					addGroup(ws, "group", "u@example.com", "v@example.com")
				}))
				simtest.Inject(t, srv, sim.Fault{Operation: "deleteUsers", Kind: sim.FaultStatus, Status: status}, sim.Fault{Operation: "deleteUserGroup", Kind: sim.FaultStatus, Status: status})
				start := srv.Workspace()
				err := ownershipRemovals[how](t.Context(), connect(t, srv, unspacedWrites()))
				if err == nil {
					t.Fatal("no error")
				}
				if diff := cmp.Diff(owners(start), owners(srv.Workspace())); diff != "" {
					t.Errorf("owners (-want +got):\n%s", diff)
				}
				for _, id := range []string{"u", "group"} {
					if diff := cmp.Diff(holds(start, id), holds(srv.Workspace(), id)); diff != "" {
						t.Errorf("%s (-want +got):\n%s", id, diff)
					}
				}
			})
		}
	}
}

// Minimal Workspace Access, which took the place of ownership, goes when ownership is
// restored.
func TestUsersRemove_UndoRemovesMinimalAccess(t *testing.T) {
	t.Parallel()
	ws := ownerWorkspace(func(ws *sim.Workspace) {
		makeOwner(ws, "v")
		editPermissions(ws, "u", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(owner, wholeWorkspace)} })
	})
	srv := sim.New(ws)
	failed := false
	hc := &http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		if len(simtest.Writes(srv.Journal())) == 1 && r.URL.Path == "/users/u" && !failed {
			failed = true // The read back, once.
			return nil, errors.New("unplugged")
		}
		return srv.RoundTripper().RoundTrip(r)
	})}
	c, err := segmentapi.New(srv.Token(), segmentapi.WithSettleTime(0), segmentapi.WithHTTPClient(hc), unspacedWrites(), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 1}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Users.Remove(t.Context(), "u"); err == nil {
		t.Error("no error")
	}
	checkHolds(t, srv, "u", owner+" "+wholeWorkspace)
}

// The addresses of two users in an owning group differ only in case. The simulator
// lists the first of them twice, so the test serves the list.
func TestUsersRemove_AddressesDifferOnlyInCase(t *testing.T) {
	t.Parallel()
	srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) {
		makeOwner(ws, "v")
		ws.Users = append(ws.Users, sim.User{ID: "U", Email: "U@example.com", Permissions: []sim.Permission{on(minimal, wholeWorkspace)}})
		addGroup(ws, "group", "u@example.com", "U@example.com")
	}))
	hc := &http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodGet || r.URL.Path != "/groups/group/users" {
			return srv.RoundTripper().RoundTrip(r)
		}
		var rows []string
		ws := srv.Workspace()
		for _, u := range ws.Users {
			if slices.Contains(ws.Groups[1].Members, u.Email) {
				rows = append(rows, `{"id":"`+u.ID+`","name":"","email":"`+u.Email+`"}`)
			}
		}
		return jsonResponse(r, `{"data":{"users":[`+strings.Join(rows, ",")+`],"pagination":{"current":"MA=="}}}`), nil
	})}
	c, err := segmentapi.New(srv.Token(), segmentapi.WithSettleTime(0), segmentapi.WithHTTPClient(hc), unspacedWrites())
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Users.Remove(t.Context(), "u"); !errors.Is(err, segmentapi.ErrAmbiguous) {
		t.Error(err)
	}
	if !slices.Contains(srv.Workspace().Groups[1].Members, "U@example.com") {
		t.Error("the twin, who was not named, was taken out of the group")
	}
}

// Another administrator removes the owner meanwhile: that is no error.
func TestUsersRemove_RemovedByOthersMeanwhile(t *testing.T) {
	t.Parallel()
	for _, ordinal := range []int{2, 3, 4, 5} {
		srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) { makeOwner(ws, "u"); makeOwner(ws, "v") }))
		if err := srv.Before("getUser", ordinal, func(ws *sim.Workspace) {
			ws.Users = slices.DeleteFunc(ws.Users, func(u sim.User) bool { return u.ID == "u" })
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := connect(t, srv, unspacedWrites()).Users.Remove(t.Context(), "u"); err != nil {
			t.Error(ordinal, err)
		}
	}
}

// The other owner leaves while a removal waits for the limit: the ownership that was
// taken before it is restored, and nobody is removed.
func TestRemoveDelete_OtherOwnerGoesDuringTheWait(t *testing.T) {
	t.Parallel()
	for how, operation := range map[string]string{"remove u": "deleteUsers", "delete group": "deleteUserGroup"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) {
					makeOwner(ws, "v")
					if how == "remove u" {
						makeOwner(ws, "u")
						return
					}
					addGroup(ws, "group", "u@example.com")
				}))
				simtest.Inject(t, srv, sim.Fault{Operation: operation, Ordinal: 1, Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"30"}}})
				go func() {
					<-time.After(20 * time.Second) // well inside the wait
					srv.Update(func(ws *sim.Workspace) {
						editPermissions(ws, "v", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, wholeWorkspace)} })
					})
				}()
				if err := ownershipRemovals[how](t.Context(), connect(t, srv)); !errors.Is(err, segmentapi.ErrLastOwner) {
					t.Error(err)
				}
				if got := owners(srv.Workspace()); !slices.Equal(got, []string{"u"}) {
					t.Errorf("owners %v", got)
				}
			})
		})
	}
}

// A removal waits for an edit of the same user or group.
func TestRemoveDelete_WaitForEdits(t *testing.T) {
	t.Parallel()
	for what, remove := range map[string]func(context.Context, *segmentapi.Client) (bool, error){
		"user":  func(ctx context.Context, c *segmentapi.Client) (bool, error) { return c.Users.Remove(ctx, "u") },
		"group": func(ctx context.Context, c *segmentapi.Client) (bool, error) { return c.Groups.Delete(ctx, "g") },
	} {
		synctest.Test(t, func(t *testing.T) {
			srv := sim.New(testWorkspace(on(minimal, wholeWorkspace)))
			c := connect(t, srv, unspacedWrites())
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

// The first request was carried out without an answer, and the limit held back the
// second.
func TestRemoveDeleteRename_LimitAfterAnUnknownOutcome(t *testing.T) {
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
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(testWorkspace(on(minimal, wholeWorkspace)))
				simtest.Inject(t, srv, sim.Fault{Operation: c.operation, Ordinal: 1, Kind: sim.FaultLateStatus, Status: 503},
					sim.Fault{Operation: c.operation, Ordinal: 2, Kind: sim.FaultStatus, Status: 429, Header: limited})
				var log bytes.Buffer
				err := c.do(t.Context(), connect(t, srv, unspacedWrites(), segmentapi.WithLogger(slog.New(slog.NewTextHandler(&log, nil)))))
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
		})
	}
}

// No write rests on a read from before a long wait.
func TestWrites_CheckedAgainAfterAWait(t *testing.T) {
	t.Parallel()
	wait := http.Header{"Retry-After": {"30"}}
	t.Run("two groups of one name", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			srv := sim.New(testWorkspace(on(minimal, wholeWorkspace)))
			simtest.Inject(t, srv, sim.Fault{Operation: "createUserGroup", Ordinal: 1, Kind: sim.FaultStatus, Status: 429, Header: wait})
			updateSoon(srv, func(ws *sim.Workspace) { ws.Groups = append(ws.Groups, sim.Group{ID: "theirs", Name: "New"}) })
			if _, err := connect(t, srv).Groups.Create(t.Context(), "New"); !errors.Is(err, segmentapi.ErrConflict) {
				t.Error(err)
			}
			if n := len(srv.Workspace().Groups); n != 2 {
				t.Errorf("%d groups", n)
			}
		})
	})
	t.Run("ownership is handed over meanwhile", func(t *testing.T) {
		t.Parallel()
		for how, operation := range map[string]string{"remove u": "deleteUsers", "delete group": "deleteUserGroup", "take u out of group": "removeUsersFromUserGroup"} {
			t.Run(how, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) {
						makeOwner(ws, "v")
						ws.Groups = append(ws.Groups, sim.Group{ID: "group", Name: "group", Members: []string{"u@example.com"}, Permissions: []sim.Permission{on(minimal, wholeWorkspace)}})
					}))
					simtest.Inject(t, srv, sim.Fault{Operation: operation, Ordinal: 1, Kind: sim.FaultStatus, Status: 429, Header: wait})
					updateSoon(srv, func(ws *sim.Workspace) {
						id := "group"
						if how == "remove u" {
							id = "u"
						}
						makeOwner(ws, id)
						editPermissions(ws, "v", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, wholeWorkspace)} })
					})
					if err := ownershipRemovals[how](t.Context(), connect(t, srv)); !errors.Is(err, segmentapi.ErrLastOwner) {
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
