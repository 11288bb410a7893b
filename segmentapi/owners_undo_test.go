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
	"github.com/baton-segment/baton-segment/segmentapi"
)

// Somebody else takes the other owner away after that was found.
func TestTheOtherOwnerGoesMeanwhile(t *testing.T) {
	t.Parallel()
	for how, take := range takings {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			throughGroup := strings.Contains(how, "group")
			ws := owned(func(ws *sim.Workspace) {
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
						edited(ws, "v", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, everything)} })
					}
				}); err != nil {
					t.Fatal(err)
				}
			}
			if err := take(t.Context(), connect(t, srv, fast())); !errors.Is(err, segmentapi.ErrLastOwner) || strings.Contains(err.Error(), "COULD NOT") {
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

// The owner who was found is none any more when the write is done. If there is
// another one that is enough, else what was taken is given back.
func TestTheWitnessGoesMeanwhile(t *testing.T) {
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
			edited(ws, "v", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(owner, everything+" env=prod")} })
		}},
		"group is deleted": {true, func(ws *sim.Workspace) {
			ws.Groups = slices.DeleteFunc(ws.Groups, func(g sim.Group) bool { return g.ID == "third" })
		}},
		"group is demoted": {true, func(ws *sim.Workspace) {
			edited(ws, "third", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, everything)} })
		}},
		"user leaves the group": {true, func(ws *sim.Workspace) {
			ws.Groups[1].Members = without(ws.Groups[1].Members, "v@example.com")
		}},
	} {
		for _, another := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/another %t", name, another), func(t *testing.T) {
				t.Parallel()
				srv := sim.New(owned(func(ws *sim.Workspace) {
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
				change, err := connect(t, srv, fast()).Users.Revoke(t.Context(), "u", assigned(owner, everything))
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

// If nobody can tell afterwards whether an owner is left, what was taken is
// given back.
func TestOwnerThatCannotBeProven(t *testing.T) {
	t.Parallel()
	ws := owned(func(ws *sim.Workspace) { makeOwner(ws, "u"); makeOwner(ws, "v") })
	srv := sim.New(ws)
	// After the write listUsers and the reading of v fail.
	hc := &http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		written := slices.Contains(names(srv), "replacePermissionsForUser")
		if written && (r.URL.Path == "/users" || r.URL.Path == "/users/v") {
			return nil, errors.New("unplugged")
		}
		return srv.RoundTripper().RoundTrip(r)
	})}
	c, err := segmentapi.New(srv.Token(), segmentapi.WithHTTPClient(hc), fast(), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 1}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Users.Revoke(t.Context(), "u", assigned(owner, everything)); !errors.Is(err, segmentapi.ErrConnection) || !strings.Contains(err.Error(), "changed back") {
		t.Error(err)
	}
	if diff := cmp.Diff(holds(ws, "u"), holds(srv.Workspace(), "u")); diff != "" {
		t.Errorf("u (-want +got):\n%s", diff)
	}
}

// Who asked has left, and ownership was taken all the same: it is looked after.
func TestOwnerProofOutlivesTheCaller(t *testing.T) {
	t.Parallel()
	ws := owned(func(ws *sim.Workspace) { makeOwner(ws, "u"); makeOwner(ws, "v") })
	srv := sim.New(ws)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	if err := srv.Before("replacePermissionsForUser", 1, func(ws *sim.Workspace) {
		edited(ws, "v", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, everything)} })
		leave()
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t, srv, fast()).Users.Revoke(ctx, "u", assigned(owner, everything)); !errors.Is(err, segmentapi.ErrLastOwner) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	checkHolds(t, srv, "u", holds(ws, "u")...)
}

// The proof after the write waits for the limit: half-way is no place to stop.
func TestOwnerProofWaits(t *testing.T) {
	t.Parallel()
	for _, demoted := range []bool{false, true} {
		for how, take := range takings {
			t.Run(how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					throughGroup := strings.Contains(how, "group")
					srv := sim.New(owned(func(ws *sim.Workspace) {
						makeOwner(ws, "v")
						if throughGroup {
							addGroup(ws, "group", "u@example.com")
						} else {
							makeOwner(ws, "u")
						}
					}))
					failed := false
					hc := &http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
						if len(writes(srv)) == 1 && r.URL.Path == "/users/v" && !failed {
							failed = true
							if demoted {
								srv.Update(func(ws *sim.Workspace) {
									edited(ws, "v", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, everything)} })
								})
							}
							resp := jsonResponse(r, `{"errors":[{"type":"RequestError","message":"Too many requests"}]}`)
							resp.StatusCode = 429
							resp.Header.Set("Retry-After", "30")
							return resp, nil
						}
						return srv.RoundTripper().RoundTrip(r)
					})}
					c, err := segmentapi.New(srv.Token(), segmentapi.WithHTTPClient(hc), fast(), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 3, MaxWait: 10 * time.Second}))
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

// Whatever was taken on the way is given back, not the last of it alone.
func TestEverythingTakenIsGivenBack(t *testing.T) {
	t.Parallel()
	ws := owned(func(ws *sim.Workspace) {
		edited(ws, "u", func([]sim.Permission) []sim.Permission {
			return []sim.Permission{on(admin, "SOURCE a"), on(reader, "SOURCE b")}
		})
		makeOwner(ws, "u")
		makeOwner(ws, "v")
	})
	srv := sim.New(ws)
	// When ownership has gone, somebody gives what has gone with it, and demotes v.
	written := false
	if err := srv.Before("getUser", 0, func(ws *sim.Workspace) {
		if !written && !slices.Contains(holds(ws, "u"), owner+" "+everything) {
			written = true
			edited(ws, "u", func(held []sim.Permission) []sim.Permission { return append(held, on(admin, "SOURCE a")) })
			edited(ws, "v", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, everything)} })
		}
	}); err != nil {
		t.Fatal(err)
	}
	_, err := connect(t, srv, fast()).Users.Revoke(t.Context(), "u", assigned(owner, everything), assigned(admin, "SOURCE a"))
	if !errors.Is(err, segmentapi.ErrLastOwner) || strings.Contains(err.Error(), "COULD NOT") {
		t.Error(err)
	}
	checkHolds(t, srv, "u", holds(ws, "u")...)
	if diff := cmp.Diff([]string{"replacePermissionsForUser", "replacePermissionsForUser", "addPermissionsToUser"}, writes(srv)); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

// Ownership is given back although something else cannot be.
func TestOwnershipComesBackFirst(t *testing.T) {
	t.Parallel()
	for name, odd := range map[string]sim.Permission{"a deleted source": on(admin, "SOURCE deleted"), "a source with labels": on(admin, "SOURCE a env=prod")} {
		t.Run(name, func(t *testing.T) {
			ws := owned(func(ws *sim.Workspace) {
				makeOwner(ws, "v")
				makeOwner(ws, "u")
				edited(ws, "u", func(held []sim.Permission) []sim.Permission { return append(held, odd) })
			})
			srv := sim.New(ws)
			before(t, srv, "replacePermissionsForUser", 1, "v", func(held *[]sim.Permission) { *held = []sim.Permission{on(minimal, everything)} })
			if err := takings["replace of u"](t.Context(), connect(t, srv, fast())); !errors.Is(err, segmentapi.ErrLastOwner) {
				t.Error(err)
			}
			if got := owners(srv.Workspace()); !slices.Equal(got, []string{"u"}) {
				t.Errorf("owners %v", got)
			}
		})
	}
}

// An owner who holds nothing else gets back what was taken and keeps nothing
// that took its place.
func TestOwnersAloneAreGivenBack(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"revoke from u", "replace of u", "remove u", "revoke from group", "delete group"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			subject := "u"
			if strings.HasSuffix(how, "group") {
				subject = "group"
			}
			ws := owned(func(ws *sim.Workspace) {
				makeOwner(ws, "v")
				addGroup(ws, "group", "w@example.com")
				edited(ws, "group", func([]sim.Permission) []sim.Permission { return nil })
				edited(ws, subject, func([]sim.Permission) []sim.Permission { return []sim.Permission{on(owner, everything)} })
			})
			srv := sim.New(ws)
			gone := false
			for _, operation := range []string{"replacePermissionsForUser", "replacePermissionsForUserGroup"} {
				if err := srv.Before(operation, 1, func(ws *sim.Workspace) {
					gone = true
					edited(ws, "v", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, everything)} })
				}); err != nil {
					t.Fatal(err)
				}
			}
			err := takings[how](t.Context(), connect(t, srv, fast()))
			if !gone || !errors.Is(err, segmentapi.ErrLastOwner) || strings.Contains(err.Error(), "COULD NOT") {
				t.Error(gone, err)
			}
			checkHolds(t, srv, subject, owner+" "+everything)
		})
	}
}

// What was refused was not changed, and so not changed back.
func TestARefusedPutChangedNothing(t *testing.T) {
	t.Parallel()
	srv := sim.New(owned(func(ws *sim.Workspace) { makeOwner(ws, "u"); makeOwner(ws, "v") }))
	injects(t, srv, sim.Fault{Operation: "replacePermissionsForUser", Ordinal: 1, Kind: sim.FaultStatus, Status: 403})
	edits(t, srv, "replacePermissionsForUser", 1, func(ws *sim.Workspace) {
		edited(ws, "v", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, everything)} })
	})
	err := takings["revoke from u"](t.Context(), connect(t, srv, fast()))
	if err == nil || strings.Contains(err.Error(), "changed back") {
		t.Error(err)
	}
}

// takenMeanwhile serves two owners, of whom somebody makes v none meanwhile, and
// takes a permission from u.
func takenMeanwhile() *sim.Server {
	srv := sim.New(owned(func(ws *sim.Workspace) {
		makeOwner(ws, "v")
		edited(ws, "u", func([]sim.Permission) []sim.Permission {
			return []sim.Permission{on(owner, everything), on(admin, "SOURCE a"), on(reader, "SOURCE b")}
		})
	}))
	meanwhile(srv, func(ws *sim.Workspace) {
		edited(ws, "v", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, everything)} })
		edited(ws, "u", func([]sim.Permission) []sim.Permission {
			return []sim.Permission{on(owner, everything), on(reader, "SOURCE b")}
		})
	})
	return srv
}

// What somebody else has taken meanwhile is not given back with what was not even
// sent.
func TestWhatOthersTookIsNotGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := takenMeanwhile()
		injects(t, srv, sim.Fault{Operation: "replacePermissionsForUser", Ordinal: 1, Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"5"}}},
			sim.Fault{Operation: "replacePermissionsForUser", Ordinal: 2, Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"20"}}})
		c := connect(t, srv, segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 3, MaxWait: 10 * time.Second}))
		if _, err := c.Users.Revoke(t.Context(), "u", assigned(owner, everything), assigned(admin, "SOURCE a")); err == nil {
			t.Error("no error")
		}
		<-time.After(time.Minute)
		checkHolds(t, srv, "u", owner+" "+everything, reader+" SOURCE b")
	})
}

// Nor with what was sent and not carried out.
func TestWhatOthersTookIsNotGivenBackAfterA503(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := takenMeanwhile()
		injects(t, srv, sim.Fault{Operation: "replacePermissionsForUser", Ordinal: 1, Kind: sim.FaultStatus, Status: 503})
		if _, err := connect(t, srv).Users.Revoke(t.Context(), "u", assigned(owner, everything), assigned(admin, "SOURCE a")); err == nil {
			t.Error("no error")
		}
		checkHolds(t, srv, "u", owner+" "+everything, reader+" SOURCE b")
	})
}
