package segmentapi_test

import (
	"context"
	"errors"
	"fmt"
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

// Another administrator demotes the other owner after that one was found.
func TestLastOwner_OtherOwnerDemotedDuringTheWrite(t *testing.T) {
	t.Parallel()
	for how, take := range ownershipRemovals {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			throughGroup := strings.Contains(how, "group")
			ws := ownerWorkspace(func(ws *sim.Workspace) {
				makeOwner(ws, "v")
				if throughGroup {
					addGroup(ws, "group", "u@example.com")
				} else {
					makeOwner(ws, "u")
				}
			})
			srv := sim.New(ws)
			// At the first write: v has been found by then.
			gone := false
			for _, operation := range sim.Operations() {
				if operation.Method == http.MethodGet {
					continue
				}
				if err := srv.Before(operation.Name, 0, func(ws *sim.Workspace) {
					if !gone {
						gone = true
						editPermissions(ws, "v", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, wholeWorkspace)} })
					}
				}); err != nil {
					t.Fatal(err)
				}
			}
			if err := take(t.Context(), connect(t, srv, unspacedWrites())); !errors.Is(err, segmentapi.ErrLastOwner) || strings.Contains(err.Error(), "COULD NOT") {
				t.Error(err)
			}
			if !gone {
				t.Fatal("there was no write")
			}
			after := srv.Workspace()
			if got := owners(after); !slices.Equal(got, []string{"u"}) {
				t.Errorf("owners %v", got)
			}
			for _, id := range []string{"u", "group"} {
				if diff := cmp.Diff(holds(ws, id), holds(after, id)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", id, diff)
				}
			}
		})
	}
}

// The owner who was found is none any more after the write. If there is another one,
// the change stays, otherwise it is undone.
func TestLastOwner_FoundOwnerGoesDuringTheWrite(t *testing.T) {
	t.Parallel()
	without := func(members []string, email string) []string {
		return slices.DeleteFunc(slices.Clone(members), func(m string) bool { return m == email })
	}
	for name, c := range map[string]struct {
		through bool // A group, or the user v.
		goes    func(*sim.Workspace)
	}{
		"user leaves": {false, func(ws *sim.Workspace) {
			ws.Users = slices.DeleteFunc(ws.Users, func(u sim.User) bool { return u.ID == "v" })
		}},
		"user is demoted": {false, func(ws *sim.Workspace) {
			editPermissions(ws, "v", func([]sim.Permission) []sim.Permission {
				return []sim.Permission{on(owner, wholeWorkspace+" env=prod")}
			})
		}},
		"group is deleted": {true, func(ws *sim.Workspace) {
			ws.Groups = slices.DeleteFunc(ws.Groups, func(g sim.Group) bool { return g.ID == "third" })
		}},
		"group is demoted": {true, func(ws *sim.Workspace) {
			editPermissions(ws, "third", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, wholeWorkspace)} })
		}},
		"user leaves the group": {true, func(ws *sim.Workspace) {
			ws.Groups[1].Members = without(ws.Groups[1].Members, "v@example.com")
		}},
	} {
		for _, another := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/another %t", name, another), func(t *testing.T) {
				t.Parallel()
				srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) {
					makeOwner(ws, "u")
					if c.through {
						addGroup(ws, "third", "v@example.com", "pending@example.com")
					} else {
						makeOwner(ws, "v")
					}
				}))
				if err := srv.Before("replacePermissionsForUser", 1, func(ws *sim.Workspace) {
					c.goes(ws)
					if another {
						makeOwner(ws, "w")
					}
				}); err != nil {
					t.Fatal(err)
				}
				change, err := connect(t, srv, unspacedWrites()).Users.Revoke(t.Context(), "u", assigned(owner, wholeWorkspace))
				want := []string{"w"}
				if !another {
					want = []string{"u"}
				}
				if another != (err == nil) || err != nil && !errors.Is(err, segmentapi.ErrLastOwner) || another == change.Empty() {
					t.Errorf("%v, %v", change, err)
				}
				if got := owners(srv.Workspace()); !slices.Equal(got, want) {
					t.Errorf("owners %v, want %v", got, want)
				}
			})
		}
	}
}

// If it cannot be read afterwards whether an owner is left, the change is undone.
func TestLastOwner_OwnersUnreadableAfterTheWrite(t *testing.T) {
	t.Parallel()
	ws := ownerWorkspace(func(ws *sim.Workspace) { makeOwner(ws, "u"); makeOwner(ws, "v") })
	srv := sim.New(ws)
	// After the write listUsers and the reading of v fail.
	hc := &http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		written := slices.Contains(simtest.Operations(srv.Journal()), "replacePermissionsForUser")
		if written && (r.URL.Path == "/users" || r.URL.Path == "/users/v") {
			return nil, errors.New("unplugged")
		}
		return srv.RoundTripper().RoundTrip(r)
	})}
	c, err := segmentapi.New(srv.Token(), segmentapi.WithSettleTime(0), segmentapi.WithHTTPClient(hc), unspacedWrites(), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 1}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Users.Revoke(t.Context(), "u", assigned(owner, wholeWorkspace)); !errors.Is(err, segmentapi.ErrConnection) || !strings.Contains(err.Error(), "changed back") {
		t.Error(err)
	}
	if diff := cmp.Diff(holds(ws, "u"), holds(srv.Workspace(), "u")); diff != "" {
		t.Errorf("u (-want +got):\n%s", diff)
	}
}

// The caller has given up, and ownership was taken: the check and the undo still
// happen.
func TestLastOwner_CallerGivesUpDuringTheWrite(t *testing.T) {
	t.Parallel()
	ws := ownerWorkspace(func(ws *sim.Workspace) { makeOwner(ws, "u"); makeOwner(ws, "v") })
	srv := sim.New(ws)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	if err := srv.Before("replacePermissionsForUser", 1, func(ws *sim.Workspace) {
		editPermissions(ws, "v", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, wholeWorkspace)} })
		leave()
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t, srv, unspacedWrites()).Users.Revoke(ctx, "u", assigned(owner, wholeWorkspace)); !errors.Is(err, segmentapi.ErrLastOwner) {
		t.Error(err)
	}
	checkHolds(t, srv, "u", holds(ws, "u")...)
}

// The check after the write waits for the limit, longer than MaxWait.
func TestLastOwner_CheckAfterTheWriteWaits(t *testing.T) {
	t.Parallel()
	for _, demoted := range []bool{false, true} {
		for how, take := range ownershipRemovals {
			t.Run(how, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					throughGroup := strings.Contains(how, "group")
					srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) {
						makeOwner(ws, "v")
						if throughGroup {
							addGroup(ws, "group", "u@example.com")
						} else {
							makeOwner(ws, "u")
						}
					}))
					failed := false
					hc := &http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
						if len(simtest.Writes(srv.Journal())) == 1 && r.URL.Path == "/users/v" && !failed {
							failed = true
							if demoted {
								srv.Update(func(ws *sim.Workspace) {
									editPermissions(ws, "v", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, wholeWorkspace)} })
								})
							}
							resp := jsonResponse(r, `{"errors":[{"type":"RequestError","message":"Too many requests"}]}`)
							resp.StatusCode = 429
							resp.Header.Set("Retry-After", "30")
							return resp, nil
						}
						return srv.RoundTripper().RoundTrip(r)
					})}
					c, err := segmentapi.New(srv.Token(), segmentapi.WithSettleTime(0), segmentapi.WithHTTPClient(hc), unspacedWrites(), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 3, MaxWait: 10 * time.Second}))
					if err != nil {
						t.Fatal(err)
					}
					err = take(t.Context(), c)
					if !failed {
						t.Fatal("no proof")
					}
					if got := owners(srv.Workspace()); len(got) == 0 {
						t.Errorf("demoted %v: owners %v", demoted, got)
					}
					if !demoted && err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// All writes of the edit are undone, not just the last.
func TestLastOwner_UndoesEveryWrite(t *testing.T) {
	t.Parallel()
	ws := ownerWorkspace(func(ws *sim.Workspace) {
		editPermissions(ws, "u", func([]sim.Permission) []sim.Permission {
			return []sim.Permission{on(admin, "SOURCE a"), on(reader, "SOURCE b")}
		})
		makeOwner(ws, "u")
		makeOwner(ws, "v")
	})
	srv := sim.New(ws)
	// After ownership is revoked, others grant the other permission again and demote v.
	written := false
	if err := srv.Before("getUser", 0, func(ws *sim.Workspace) {
		if !written && !slices.Contains(holds(ws, "u"), owner+" "+wholeWorkspace) {
			written = true
			editPermissions(ws, "u", func(held []sim.Permission) []sim.Permission { return append(held, on(admin, "SOURCE a")) })
			editPermissions(ws, "v", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, wholeWorkspace)} })
		}
	}); err != nil {
		t.Fatal(err)
	}
	_, err := connect(t, srv, unspacedWrites()).Users.Revoke(t.Context(), "u", assigned(owner, wholeWorkspace), assigned(admin, "SOURCE a"))
	if !errors.Is(err, segmentapi.ErrLastOwner) || strings.Contains(err.Error(), "COULD NOT") {
		t.Error(err)
	}
	checkHolds(t, srv, "u", holds(ws, "u")...)
	if diff := cmp.Diff([]string{"replacePermissionsForUser", "addPermissionsToUser"}, simtest.Writes(srv.Journal())); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

// Ownership is restored even if other permissions cannot be.
func TestLastOwner_OwnershipIsRestoredFirst(t *testing.T) {
	t.Parallel()
	for name, odd := range map[string]sim.Permission{"a deleted source": on(admin, "SOURCE deleted"), "a source with labels": on(admin, "SOURCE a env=prod")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ws := ownerWorkspace(func(ws *sim.Workspace) {
				makeOwner(ws, "v")
				makeOwner(ws, "u")
				editPermissions(ws, "u", func(held []sim.Permission) []sim.Permission { return append(held, odd) })
			})
			srv := sim.New(ws)
			changeBefore(t, srv, "replacePermissionsForUser", 1, "v", func(held *[]sim.Permission) { *held = []sim.Permission{on(minimal, wholeWorkspace)} })
			if err := ownershipRemovals["replace of u"](t.Context(), connect(t, srv, unspacedWrites())); !errors.Is(err, segmentapi.ErrLastOwner) {
				t.Error(err)
			}
			if got := owners(srv.Workspace()); !slices.Equal(got, []string{"u"}) {
				t.Errorf("owners %v", got)
			}
		})
	}
}

// An owner who holds nothing else gets ownership back, without Minimal Workspace
// Access.
func TestLastOwner_OnlyPermissionIsRestored(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"revoke from u", "replace of u", "remove u", "revoke from group", "delete group"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			subject := "u"
			if strings.HasSuffix(how, "group") {
				subject = "group"
			}
			ws := ownerWorkspace(func(ws *sim.Workspace) {
				makeOwner(ws, "v")
				addGroup(ws, "group", "w@example.com")
				editPermissions(ws, "group", func([]sim.Permission) []sim.Permission { return nil })
				editPermissions(ws, subject, func([]sim.Permission) []sim.Permission { return []sim.Permission{on(owner, wholeWorkspace)} })
			})
			srv := sim.New(ws)
			gone := false
			for _, operation := range []string{"replacePermissionsForUser", "replacePermissionsForUserGroup"} {
				if err := srv.Before(operation, 1, func(ws *sim.Workspace) {
					gone = true
					editPermissions(ws, "v", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, wholeWorkspace)} })
				}); err != nil {
					t.Fatal(err)
				}
			}
			err := ownershipRemovals[how](t.Context(), connect(t, srv, unspacedWrites()))
			if !gone || !errors.Is(err, segmentapi.ErrLastOwner) || strings.Contains(err.Error(), "COULD NOT") {
				t.Error(gone, err)
			}
			checkHolds(t, srv, subject, owner+" "+wholeWorkspace)
		})
	}
}

// A refused PUT changed nothing, so nothing is undone.
func TestLastOwner_RefusedPutIsNotUndone(t *testing.T) {
	t.Parallel()
	srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) { makeOwner(ws, "u"); makeOwner(ws, "v") }))
	simtest.Inject(t, srv, sim.Fault{Operation: "replacePermissionsForUser", Ordinal: 1, Kind: sim.FaultStatus, Status: 403})
	simtest.Before(t, srv, "replacePermissionsForUser", 1, func(ws *sim.Workspace) {
		editPermissions(ws, "v", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, wholeWorkspace)} })
	})
	err := ownershipRemovals["revoke from u"](t.Context(), connect(t, srv, unspacedWrites()))
	if err == nil || strings.Contains(err.Error(), "changed back") {
		t.Error(err)
	}
}

// takenMeanwhile serves two owners, u and v. Meanwhile another administrator demotes v
// and revokes a permission of u.
func takenMeanwhile() *sim.Server {
	srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) {
		makeOwner(ws, "v")
		editPermissions(ws, "u", func([]sim.Permission) []sim.Permission {
			return []sim.Permission{on(owner, wholeWorkspace), on(admin, "SOURCE a"), on(reader, "SOURCE b")}
		})
	}))
	updateSoon(srv, func(ws *sim.Workspace) {
		editPermissions(ws, "v", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, wholeWorkspace)} })
		editPermissions(ws, "u", func([]sim.Permission) []sim.Permission {
			return []sim.Permission{on(owner, wholeWorkspace), on(reader, "SOURCE b")}
		})
	})
	return srv
}

// A permission that others revoke meanwhile is not restored if this edit sent nothing.
func TestLastOwner_UndoKeepsRevocationsByOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := takenMeanwhile()
		simtest.Inject(t, srv, sim.Fault{Operation: "replacePermissionsForUser", Ordinal: 1, Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"5"}}},
			sim.Fault{Operation: "replacePermissionsForUser", Ordinal: 2, Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"20"}}})
		c := connect(t, srv, segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 3, MaxWait: 10 * time.Second}))
		if _, err := c.Users.Revoke(t.Context(), "u", assigned(owner, wholeWorkspace), assigned(admin, "SOURCE a")); err == nil {
			t.Error("no error")
		}
		<-time.After(time.Minute)
		checkHolds(t, srv, "u", owner+" "+wholeWorkspace, reader+" SOURCE b")
	})
}

// Nor if the PUT was sent and not carried out.
func TestLastOwner_UndoKeepsRevocationsByOthersAfterA503(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := takenMeanwhile()
		simtest.Inject(t, srv, sim.Fault{Operation: "replacePermissionsForUser", Ordinal: 1, Kind: sim.FaultStatus, Status: 503})
		if _, err := connect(t, srv).Users.Revoke(t.Context(), "u", assigned(owner, wholeWorkspace), assigned(admin, "SOURCE a")); err == nil {
			t.Error("no error")
		}
		checkHolds(t, srv, "u", owner+" "+wholeWorkspace, reader+" SOURCE b")
	})
}
