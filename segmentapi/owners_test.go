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

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// owned is a workspace without owners but those that the test names.
func owned(change func(*sim.Workspace)) *sim.Workspace {
	ws := editable(on(minimal, everything))
	ws.Users[0].Permissions = nil
	for _, id := range []string{"v", "w"} {
		ws.Users = append(ws.Users, sim.User{ID: id, Email: id + "@example.com", Permissions: []sim.Permission{on(minimal, everything)}})
	}
	ws.Invites = []sim.Invite{{Email: "pending@example.com", Permissions: []sim.Permission{on(owner, everything)}}}
	ws.Groups = []sim.Group{{ID: "other", Name: "Other", Permissions: []sim.Permission{on(minimal, everything)}}}
	change(ws)
	return ws
}

func makeOwner(ws *sim.Workspace, id string) {
	edited(ws, id, func(held []sim.Permission) []sim.Permission { return append(held, on(owner, everything)) })
}

func addGroup(ws *sim.Workspace, id string, members ...string) {
	ws.Groups = append(ws.Groups, sim.Group{ID: id, Name: id, Members: members, Permissions: []sim.Permission{on(minimal, everything), on(owner, everything)}})
}

// owners are the users who own a workspace, as this test understands it.
func owners(ws *sim.Workspace) []string {
	var found []string
	for _, u := range ws.Users {
		owns := slices.Contains(holds(ws, u.ID), owner+" "+everything)
		for _, g := range ws.Groups {
			owns = owns || slices.Contains(g.Members, u.Email) && slices.Contains(holds(ws, g.ID), owner+" "+everything)
		}
		if owns {
			found = append(found, u.ID)
		}
	}
	return found
}

// The ways in which ownership is taken away.
var takings = map[string]func(context.Context, *segmentapi.Client) error{
	"revoke from u": func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Users.Revoke(ctx, "u", assigned(owner, everything))
		return err
	},
	"replace of u": func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Users.Replace(ctx, "u", []segmentapi.Permission{{RoleID: reader, Scopes: []segmentapi.Scope{assigned(reader, "SOURCE a").Scope}}})
		return err
	},
	"remove u": func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Users.Remove(ctx, "u")
		return err
	},
	"revoke from group": func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Groups.Revoke(ctx, "group", assigned(owner, everything))
		return err
	},
	"delete group": func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Groups.Delete(ctx, "group")
		return err
	},
	"take u out of group": func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Groups.RemoveMembers(ctx, "group", "U@example.com")
		return err
	},
}

// Who owns the workspace, and which takings leave nobody.
var ownerships = map[string]struct {
	workspace *sim.Workspace
	opts      []sim.Option
	refused   []string
}{
	"u alone": {
		workspace: owned(func(ws *sim.Workspace) { makeOwner(ws, "u"); addGroup(ws, "group"); addGroup(ws, "third") }),
		refused:   []string{"revoke from u", "replace of u", "remove u"},
	},
	"u alone, next to who is invited": {
		workspace: owned(func(ws *sim.Workspace) { makeOwner(ws, "u"); addGroup(ws, "group", "pending@example.com") }),
		refused:   []string{"revoke from u", "replace of u", "remove u"},
	},
	"u through a group": {
		workspace: owned(func(ws *sim.Workspace) { addGroup(ws, "group", "u@example.com", "pending@example.com") }),
		refused:   []string{"remove u", "revoke from group", "delete group", "take u out of group"},
	},
	"u in two ways": {
		workspace: owned(func(ws *sim.Workspace) { makeOwner(ws, "u"); addGroup(ws, "group", "u@example.com") }),
		refused:   []string{"remove u"},
	},
	"u through two groups": {
		workspace: owned(func(ws *sim.Workspace) {
			addGroup(ws, "group", "u@example.com")
			addGroup(ws, "third", "u@example.com")
		}),
		refused: []string{"remove u"},
	},
	"u and v": {
		workspace: owned(func(ws *sim.Workspace) {
			makeOwner(ws, "u")
			makeOwner(ws, "v")
			addGroup(ws, "group", "u@example.com")
		}),
	},
	"u, and v through a group": {
		workspace: owned(func(ws *sim.Workspace) { makeOwner(ws, "u"); addGroup(ws, "group", "u@example.com", "v@example.com") }),
	},
	"u and v through a group": {
		workspace: owned(func(ws *sim.Workspace) { addGroup(ws, "group", "u@example.com", "v@example.com") }),
		refused:   []string{"revoke from group", "delete group"},
	},
	"nobody, but roles that look like it": {
		workspace: owned(func(ws *sim.Workspace) {
			edited(ws, "u", func(held []sim.Permission) []sim.Permission {
				return append(held, on(owner, everything+" env=prod", "SOURCE a"), on(admin, everything))
			})
			addGroup(ws, "group")
		}),
	},
	"v has it with labels only": {
		workspace: owned(func(ws *sim.Workspace) {
			makeOwner(ws, "u")
			edited(ws, "v", func(held []sim.Permission) []sim.Permission {
				return append(held, on(owner, everything+" env=prod", "SOURCE a"))
			})
			addGroup(ws, "group")
		}),
		refused: []string{"revoke from u", "replace of u", "remove u"},
	},
	"u and v, without groups": {
		workspace: owned(func(ws *sim.Workspace) { makeOwner(ws, "u"); makeOwner(ws, "v") }),
		opts:      []sim.Option{sim.WithoutFeatures(sim.FeatureGroups)},
	},
	"u alone, without groups": {
		workspace: owned(func(ws *sim.Workspace) { makeOwner(ws, "u") }),
		opts:      []sim.Option{sim.WithoutFeatures(sim.FeatureGroups)},
		refused:   []string{"revoke from u", "replace of u", "remove u"},
	},
}

func TestTheLastOwnerStays(t *testing.T) {
	t.Parallel()
	for who, o := range ownerships {
		for how, take := range takings {
			if len(o.opts) > 0 && strings.Contains(how, "group") {
				continue // There are none.
			}
			t.Run(who+"/"+how, func(t *testing.T) {
				t.Parallel()
				srv := sim.New(o.workspace, o.opts...)
				start := srv.Workspace()
				err := take(t.Context(), connect(t, srv, fast()))
				if slices.Contains(o.refused, how) {
					if !errors.Is(err, segmentapi.ErrLastOwner) {
						t.Errorf("error %v", err)
					}
					if diff := cmp.Diff(start, srv.Workspace()); diff != "" {
						t.Errorf("workspace (-want +got):\n%s", diff)
					}
					if got := writes(srv); len(got) != 0 {
						t.Errorf("writes %v", got)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if was := owners(start); len(was) > 0 && len(owners(srv.Workspace())) == 0 {
					t.Errorf("nobody owns the workspace any more, it was %v", was)
				}
				if left := holds(srv.Workspace(), "u"); how == "revoke from u" && slices.Contains(left, owner+" "+everything) {
					t.Errorf("u still holds %v", left)
				}
			})
		}
	}
}

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

// The write is refused after another owner was found: nothing has changed, and
// the error says no more than that.
func TestTakingThatIsRefused(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"revoke from u", "replace of u", "revoke from group", "take u out of group"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			srv := sim.New(owned(func(ws *sim.Workspace) {
				makeOwner(ws, "u")
				makeOwner(ws, "v")
				addGroup(ws, "group", "u@example.com")
			}))
			for _, operation := range sim.Operations() {
				if operation.Method == http.MethodGet {
					continue
				}
				if err := srv.Inject(sim.Fault{Operation: operation.Name, Kind: sim.FaultStatus, Status: http.StatusForbidden}); err != nil {
					t.Fatal(err)
				}
			}
			start := srv.Workspace()
			if err := takings[how](t.Context(), connect(t, srv, fast())); !errors.Is(err, segmentapi.ErrForbidden) || errors.Is(err, segmentapi.ErrLastOwner) {
				t.Error(err)
			}
			if diff := cmp.Diff(start, srv.Workspace()); diff != "" {
				t.Errorf("workspace (-want +got):\n%s", diff)
			}
			if got := writes(srv); len(got) != 1 {
				t.Errorf("writes %v, want one", got)
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

// A witness that is sound is asked for once more, and nobody else.
func TestTheWitnessStays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*sim.Workspace)
		asked  []string // After the write.
	}{
		"user":  {func(ws *sim.Workspace) { makeOwner(ws, "v") }, []string{"getUser"}},
		"group": {func(ws *sim.Workspace) { addGroup(ws, "third", "w@example.com", "v@example.com") }, []string{"getUserGroup", "listUsersFromUserGroup"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := sim.New(owned(func(ws *sim.Workspace) { makeOwner(ws, "u"); c.change(ws) }))
			if _, err := connect(t, srv, fast()).Users.Revoke(t.Context(), "u", assigned(owner, everything)); err != nil {
				t.Fatal(err)
			}
			order := names(srv)
			after := order[slices.Index(order, "replacePermissionsForUser")+1:]
			if diff := cmp.Diff(append([]string{"getUser"}, c.asked...), after); diff != "" {
				t.Errorf("requests after the write (-want +got):\n%s", diff)
			}
		})
	}
}

// What goes while the owners are looked for is passed over; what cannot be read
// leaves it open whether there is another owner, and the edit undone.
func TestOwnerScanUnderway(t *testing.T) {
	t.Parallel()
	crowd := func(ws *sim.Workspace) {
		makeOwner(ws, "u")
		addGroup(ws, "vanishing", "w@example.com")
		ws.Users = append(ws.Users, sim.User{ID: "last", Email: "last@example.com"})
		makeOwner(ws, "last")
	}
	vanish := func(ws *sim.Workspace) {
		ws.Groups = slices.DeleteFunc(ws.Groups, func(g sim.Group) bool { return g.ID == "vanishing" })
		ws.Users = slices.DeleteFunc(ws.Users, func(u sim.User) bool { return u.ID == "v" || u.ID == "w" })
	}
	for _, operation := range []string{"getUserGroup", "listUsersFromUserGroup", "listUsers"} {
		t.Run("gone at "+operation, func(t *testing.T) {
			t.Parallel()
			srv := sim.New(owned(crowd))
			// The list of users may still show who is gone.
			if err := srv.Before(operation, 1, vanish); err != nil {
				t.Fatal(err)
			}
			if _, err := connect(t, srv, fast()).Users.Revoke(t.Context(), "u", assigned(owner, everything)); err != nil {
				t.Error(err)
			}
			if got := owners(srv.Workspace()); !slices.Contains(got, "last") || slices.Contains(got, "u") {
				t.Errorf("owners %v", got)
			}
		})
	}
	t.Run("gone after the list", func(t *testing.T) {
		t.Parallel()
		srv := sim.New(owned(func(ws *sim.Workspace) { crowd(ws); ws.Groups = nil }))
		if err := srv.Before("getUser", 3, vanish); err != nil { // The first are those of u and of who is listed first.
			t.Fatal(err)
		}
		if _, err := connect(t, srv, fast()).Users.Revoke(t.Context(), "u", assigned(owner, everything)); err != nil {
			t.Error(err)
		}
	})
	for _, operation := range []string{"listRoles", "listUserGroups", "getUserGroup", "listUsersFromUserGroup", "listUsers", "getUser"} {
		for name, c := range map[string]struct {
			fault sim.Fault
			want  error
		}{
			"500":           {sim.Fault{Kind: sim.FaultStatus, Status: 500}, segmentapi.ErrServer},
			"not Segment's": {sim.Fault{Kind: sim.FaultHTML, Status: 404}, segmentapi.ErrNotFound},
		} {
			t.Run(name+" from "+operation, func(t *testing.T) {
				t.Parallel()
				srv := sim.New(owned(func(ws *sim.Workspace) {
					makeOwner(ws, "u")
					addGroup(ws, "empty", "pending@example.com")
				}))
				c.fault.Operation = operation
				if operation == "getUser" {
					c.fault.Ordinal = 2 // The subject can be read.
				}
				if err := srv.Inject(c.fault); err != nil {
					t.Fatal(err)
				}
				client := connect(t, srv, fast(), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 1}))
				_, err := client.Users.Revoke(t.Context(), "u", assigned(owner, everything))
				if !errors.Is(err, c.want) || errors.Is(err, segmentapi.ErrLastOwner) || !strings.Contains(err.Error(), operation) {
					t.Error(err)
				}
				if got := writes(srv); len(got) != 0 {
					t.Errorf("writes %v", got)
				}
			})
		}
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

// Two owners at once, through one client or two: one stays.
func TestTwoOwnersAtOnce(t *testing.T) {
	t.Parallel()
	for how, remove := range map[string]func(context.Context, *segmentapi.Client, string) error{
		"revoked": func(ctx context.Context, c *segmentapi.Client, id string) error {
			_, err := c.Users.Revoke(ctx, id, assigned(owner, everything))
			return err
		},
		"removed": func(ctx context.Context, c *segmentapi.Client, id string) error {
			_, err := c.Users.Remove(ctx, id)
			return err
		},
	} {
		for clients := 1; clients <= 2; clients++ {
			t.Run(fmt.Sprintf("%s by %d", how, clients), func(t *testing.T) {
				t.Parallel()
				for i := range 20 {
					synctest.Test(t, func(t *testing.T) { checkTwoOwnersAtOnce(t, clients, time.Duration(i)*100*time.Millisecond, remove) })
				}
			})
		}
	}
}

// checkTwoOwnersAtOnce has reads that take this long and writes that take a
// second, so that what overlaps can overlap.
func checkTwoOwnersAtOnce(t *testing.T, clients int, reading time.Duration, remove func(context.Context, *segmentapi.Client, string) error) {
	srv := sim.New(owned(func(ws *sim.Workspace) { makeOwner(ws, "u"); makeOwner(ws, "v") }))
	if err := srv.Inject(
		sim.Fault{Operation: "getUser", Kind: sim.FaultDelay, Delay: reading},
		sim.Fault{Operation: "replacePermissionsForUser", Kind: sim.FaultDelay, Delay: time.Second},
	); err != nil {
		t.Fatal(err)
	}
	first := connect(t, srv, fast())
	second := first
	if clients == 2 {
		second = connect(t, srv, fast())
	}
	errs := make([]error, 2)
	var both sync.WaitGroup
	both.Go(func() { errs[0] = remove(t.Context(), first, "u") })
	both.Go(func() { errs[1] = remove(t.Context(), second, "v") })
	both.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, segmentapi.ErrLastOwner) {
			t.Error(err)
		}
	}
	if clients == 1 && (errs[0] == nil) == (errs[1] == nil) {
		t.Errorf("%v, %v: want one refusal", errs[0], errs[1])
	}
	if got := owners(srv.Workspace()); len(got) == 0 {
		t.Fatalf("nobody is left: %v, %v", errs[0], errs[1])
	}
}

// The scan looks at groups first, reads eight users at a time, and stops at the
// first owner.
func TestOwnerScanStops(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*sim.Workspace)
		least  int
		most   int // Reads of users, that of the subject aside.
	}{
		"at a group": {func(ws *sim.Workspace) { addGroup(ws, "third", "w@example.com") }, 0, 0},
		// Those that are under way at the time end, and each may have made room
		// for another.
		"at the first user":            {func(ws *sim.Workspace) { makeOwner(ws, "owner") }, 8, 16},
		"at the last user, if it must": {func(ws *sim.Workspace) { makeOwner(ws, "late") }, 104, 104},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ws := owned(func(ws *sim.Workspace) {
					for i := range 100 {
						ws.Users = append(ws.Users, sim.User{ID: fmt.Sprintf("x%d", i), Email: fmt.Sprintf("x%d@example.com", i)})
					}
					ws.Users = append(ws.Users, sim.User{ID: "late", Email: "late@example.com"})
					makeOwner(ws, "u")
					c.change(ws)
				})
				srv := sim.New(ws)
				if err := srv.Inject(sim.Fault{Operation: "getUser", Kind: sim.FaultDelay, Delay: time.Second}); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				if _, err := connect(t, srv, fast(), segmentapi.WithPageSize(20), segmentapi.WithDryRun()).Users.Revoke(t.Context(), "u", assigned(owner, everything)); err != nil {
					t.Fatal(err)
				}
				if pages := operations(srv)["listUsers"]; pages > (c.most+19)/20 {
					t.Errorf("%d pages of users were read", pages)
				}
				read := operations(srv)["getUser"] - 1
				if read < c.least || read > c.most {
					t.Errorf("%d users were read, want %d to %d", read, c.least, c.most)
				}
				// The subject, and then eight a second.
				if took, want := time.Since(start), time.Duration(1+(c.least+7)/8)*time.Second; took != want {
					t.Errorf("it took %s, want %s", took, want)
				}
			})
		})
	}
}

func TestOwnerScanLimit(t *testing.T) {
	t.Parallel()
	ws := owned(func(ws *sim.Workspace) {
		makeOwner(ws, "u")
		for i := range segmentapi.OwnerScanLimit {
			ws.Users = append(ws.Users, sim.User{ID: fmt.Sprintf("x%d", i), Email: fmt.Sprintf("x%d@example.com", i)})
		}
		ws.Users = append(ws.Users, sim.User{ID: "late", Email: "late@example.com"})
		makeOwner(ws, "late")
	})
	srv := sim.New(ws)
	hc := &http.Client{Transport: srv.RoundTripper()}
	c, err := segmentapi.New(srv.Token(), segmentapi.WithHTTPClient(hc), fast())
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Users.Revoke(t.Context(), "u", assigned(owner, everything))
	if !errors.Is(err, segmentapi.ErrLastOwner) || !strings.Contains(err.Error(), "2000") {
		t.Error(err)
	}
	// Beside the scan: the subject, and the roles and the workspace for what takes
	// the place of a last permission. What is under way at the end may not arrive.
	if got := len(srv.Journal()); got < segmentapi.OwnerScanLimit-8 || got > segmentapi.OwnerScanLimit+4 {
		t.Errorf("%d requests", got)
	}
	if got := writes(srv); len(got) != 0 {
		t.Errorf("writes %v", got)
	}
}

// Without one role of that name nobody can tell who owns the workspace, which
// matters to workspace-wide roles alone.
func TestOwnerRoleThatCannotBeTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		roles func([]sim.Role) []sim.Role
		want  error
	}{
		"none": {func(roles []sim.Role) []sim.Role { return roles[1:] }, segmentapi.ErrNotFound},
		"two": {func(roles []sim.Role) []sim.Role {
			return append(roles, sim.Role{ID: "second", Name: "workspace owner"})
		}, segmentapi.ErrAmbiguous},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := sim.New(owned(func(ws *sim.Workspace) {
				ws.Roles = c.roles(ws.Roles)
				edited(ws, "u", func(held []sim.Permission) []sim.Permission {
					return append(held, on(admin, everything, "SOURCE a", everything+" env=prod"))
				})
				makeOwner(ws, "v")
			}))
			client := connect(t, srv, fast())
			if _, err := client.Users.Revoke(t.Context(), "u", assigned(admin, everything)); !errors.Is(err, c.want) || !strings.Contains(err.Error(), "who owns the workspace cannot be told") {
				t.Error(err)
			}
			if got := writes(srv); len(got) != 0 {
				t.Errorf("writes %v", got)
			}
			if _, err := client.Users.Revoke(t.Context(), "u", assigned(admin, "SOURCE a"), assigned(admin, everything+" env=prod")); err != nil {
				t.Error(err)
			}
		})
	}
}

// A removal that is refused leaves everything as it was.
func TestRemovalThatIsRefused(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"remove u", "delete group"} {
		for _, status := range []int{403, 500} {
			t.Run(how, func(t *testing.T) {
				srv := sim.New(owned(func(ws *sim.Workspace) {
					makeOwner(ws, "u")
					makeOwner(ws, "v")
					addGroup(ws, "group", "u@example.com", "v@example.com")
				}))
				injects(t, srv, sim.Fault{Operation: "deleteUsers", Kind: sim.FaultStatus, Status: status}, sim.Fault{Operation: "deleteUserGroup", Kind: sim.FaultStatus, Status: status})
				start := srv.Workspace()
				err := takings[how](t.Context(), connect(t, srv, fast()))
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

// What comes in the place of ownership goes again when it is given back.
func TestNothingIsLeftOfADemotion(t *testing.T) {
	t.Parallel()
	ws := owned(func(ws *sim.Workspace) {
		makeOwner(ws, "v")
		edited(ws, "u", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(owner, everything)} })
	})
	srv := sim.New(ws)
	failed := false
	hc := &http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		if len(writes(srv)) == 1 && r.URL.Path == "/users/u" && !failed {
			failed = true // The read back, once.
			return nil, errors.New("unplugged")
		}
		return srv.RoundTripper().RoundTrip(r)
	})}
	c, err := segmentapi.New(srv.Token(), segmentapi.WithHTTPClient(hc), fast(), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 1}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Users.Remove(t.Context(), "u"); err == nil {
		t.Error("no error")
	}
	checkHolds(t, srv, "u", owner+" "+everything)
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

// Two users whose addresses differ but for case, in a group that owns. The
// simulator lists the first of them twice, so the list is made here.
func TestRemoveLeavesTheTwin(t *testing.T) {
	t.Parallel()
	srv := sim.New(owned(func(ws *sim.Workspace) {
		makeOwner(ws, "v")
		ws.Users = append(ws.Users, sim.User{ID: "U", Email: "U@example.com", Permissions: []sim.Permission{on(minimal, everything)}})
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
	c, err := segmentapi.New(srv.Token(), segmentapi.WithHTTPClient(hc), fast())
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

// Somebody else removes the owner meanwhile: that is what was asked.
func TestOwnerWhoIsGoneMeanwhile(t *testing.T) {
	t.Parallel()
	for _, ordinal := range []int{2, 3, 4, 5} {
		srv := sim.New(owned(func(ws *sim.Workspace) { makeOwner(ws, "u"); makeOwner(ws, "v") }))
		if err := srv.Before("getUser", ordinal, func(ws *sim.Workspace) {
			ws.Users = slices.DeleteFunc(ws.Users, func(u sim.User) bool { return u.ID == "u" })
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := connect(t, srv, fast()).Users.Remove(t.Context(), "u"); err != nil {
			t.Error(ordinal, err)
		}
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

// The other owner leaves while a removal waits for the limit: what was taken
// before it comes back, and nobody is removed.
func TestOtherOwnerLeavesWhileARemovalWaits(t *testing.T) {
	t.Parallel()
	for how, operation := range map[string]string{"remove u": "deleteUsers", "delete group": "deleteUserGroup"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(owned(func(ws *sim.Workspace) {
					makeOwner(ws, "v")
					if how == "remove u" {
						makeOwner(ws, "u")
						return
					}
					addGroup(ws, "group", "u@example.com")
				}))
				injects(t, srv, sim.Fault{Operation: operation, Ordinal: 1, Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"30"}}})
				go func() {
					<-time.After(20 * time.Second) // well inside the wait
					srv.Update(func(ws *sim.Workspace) {
						edited(ws, "v", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, everything)} })
					})
				}()
				if err := takings[how](t.Context(), connect(t, srv)); !errors.Is(err, segmentapi.ErrLastOwner) {
					t.Error(err)
				}
				if got := owners(srv.Workspace()); !slices.Equal(got, []string{"u"}) {
					t.Errorf("owners %v", got)
				}
			})
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
