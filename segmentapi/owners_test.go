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
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// ownerWorkspace has no owners except those that change makes.
func ownerWorkspace(change func(*sim.Workspace)) *sim.Workspace {
	ws := testWorkspace(on(minimal, wholeWorkspace))
	ws.Users[0].Permissions = nil
	for _, id := range []string{"v", "w"} {
		ws.Users = append(ws.Users, sim.User{ID: id, Email: id + "@example.com", Permissions: []sim.Permission{on(minimal, wholeWorkspace)}})
	}
	ws.Invites = []sim.Invite{{Email: "pending@example.com", Permissions: []sim.Permission{on(owner, wholeWorkspace)}}}
	ws.Groups = []sim.Group{{ID: "other", Name: "Other", Permissions: []sim.Permission{on(minimal, wholeWorkspace)}}}
	change(ws)
	return ws
}

func makeOwner(ws *sim.Workspace, id string) {
	editPermissions(ws, id, func(held []sim.Permission) []sim.Permission { return append(held, on(owner, wholeWorkspace)) })
}

func addGroup(ws *sim.Workspace, id string, members ...string) {
	ws.Groups = append(ws.Groups, sim.Group{ID: id, Name: id, Members: members, Permissions: []sim.Permission{on(minimal, wholeWorkspace), on(owner, wholeWorkspace)}})
}

// owners returns the users who own a workspace, computed without the library.
func owners(ws *sim.Workspace) []string {
	var found []string
	for _, u := range ws.Users {
		owns := slices.Contains(holds(ws, u.ID), owner+" "+wholeWorkspace)
		for _, g := range ws.Groups {
			owns = owns || slices.Contains(g.Members, u.Email) && slices.Contains(holds(ws, g.ID), owner+" "+wholeWorkspace)
		}
		if owns {
			found = append(found, u.ID)
		}
	}
	return found
}

// ownershipRemovals are the ways to take ownership away.
var ownershipRemovals = map[string]func(context.Context, *segmentapi.Client) error{
	"revoke from u": func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Users.Revoke(ctx, "u", assigned(owner, wholeWorkspace))
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
		_, err := c.Groups.Revoke(ctx, "group", assigned(owner, wholeWorkspace))
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

// ownerships are workspaces, and which removals would leave them without an owner.
var ownerships = map[string]struct {
	workspace *sim.Workspace
	opts      []sim.Option
	refused   []string
}{
	"u alone": {
		workspace: ownerWorkspace(func(ws *sim.Workspace) { makeOwner(ws, "u"); addGroup(ws, "group"); addGroup(ws, "third") }),
		refused:   []string{"revoke from u", "replace of u", "remove u"},
	},
	"u alone, and an invited owner": {
		workspace: ownerWorkspace(func(ws *sim.Workspace) { makeOwner(ws, "u"); addGroup(ws, "group", "pending@example.com") }),
		refused:   []string{"revoke from u", "replace of u", "remove u"},
	},
	"u through a group": {
		workspace: ownerWorkspace(func(ws *sim.Workspace) { addGroup(ws, "group", "u@example.com", "pending@example.com") }),
		refused:   []string{"remove u", "revoke from group", "delete group", "take u out of group"},
	},
	"u in two ways": {
		workspace: ownerWorkspace(func(ws *sim.Workspace) { makeOwner(ws, "u"); addGroup(ws, "group", "u@example.com") }),
		refused:   []string{"remove u"},
	},
	"u through two groups": {
		workspace: ownerWorkspace(func(ws *sim.Workspace) {
			addGroup(ws, "group", "u@example.com")
			addGroup(ws, "third", "u@example.com")
		}),
		refused: []string{"remove u"},
	},
	"u and v": {
		workspace: ownerWorkspace(func(ws *sim.Workspace) {
			makeOwner(ws, "u")
			makeOwner(ws, "v")
			addGroup(ws, "group", "u@example.com")
		}),
	},
	"u, and v through a group": {
		workspace: ownerWorkspace(func(ws *sim.Workspace) { makeOwner(ws, "u"); addGroup(ws, "group", "u@example.com", "v@example.com") }),
	},
	"u and v through a group": {
		workspace: ownerWorkspace(func(ws *sim.Workspace) { addGroup(ws, "group", "u@example.com", "v@example.com") }),
		refused:   []string{"revoke from group", "delete group"},
	},
	"no owner, but similar roles": {
		workspace: ownerWorkspace(func(ws *sim.Workspace) {
			editPermissions(ws, "u", func(held []sim.Permission) []sim.Permission {
				return append(held, on(owner, wholeWorkspace+" env=prod", "SOURCE a"), on(admin, wholeWorkspace))
			})
			addGroup(ws, "group")
		}),
	},
	"v has it with labels only": {
		workspace: ownerWorkspace(func(ws *sim.Workspace) {
			makeOwner(ws, "u")
			editPermissions(ws, "v", func(held []sim.Permission) []sim.Permission {
				return append(held, on(owner, wholeWorkspace+" env=prod", "SOURCE a"))
			})
			addGroup(ws, "group")
		}),
		refused: []string{"revoke from u", "replace of u", "remove u"},
	},
	"u and v, without groups": {
		workspace: ownerWorkspace(func(ws *sim.Workspace) { makeOwner(ws, "u"); makeOwner(ws, "v") }),
		opts:      []sim.Option{sim.WithoutFeatures(sim.FeatureGroups)},
	},
	"u alone, without groups": {
		workspace: ownerWorkspace(func(ws *sim.Workspace) { makeOwner(ws, "u") }),
		opts:      []sim.Option{sim.WithoutFeatures(sim.FeatureGroups)},
		refused:   []string{"revoke from u", "replace of u", "remove u"},
	},
}

func TestLastOwner_Stays(t *testing.T) {
	t.Parallel()
	for who, o := range ownerships {
		for how, take := range ownershipRemovals {
			if len(o.opts) > 0 && strings.Contains(how, "group") {
				continue // There are none.
			}
			t.Run(who+"/"+how, func(t *testing.T) {
				t.Parallel()
				srv := sim.New(o.workspace, o.opts...)
				start := srv.Workspace()
				err := take(t.Context(), connect(t, srv, unspacedWrites()))
				if slices.Contains(o.refused, how) {
					if !errors.Is(err, segmentapi.ErrLastOwner) {
						t.Errorf("error %v", err)
					}
					if diff := cmp.Diff(start, srv.Workspace()); diff != "" {
						t.Errorf("workspace (-want +got):\n%s", diff)
					}
					if got := simtest.Writes(srv.Journal()); len(got) != 0 {
						t.Errorf("writes %v", got)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if was := owners(start); len(was) > 0 && len(owners(srv.Workspace())) == 0 {
					t.Errorf("the workspace has no owner any more; before: %v", was)
				}
				if left := holds(srv.Workspace(), "u"); how == "revoke from u" && slices.Contains(left, owner+" "+wholeWorkspace) {
					t.Errorf("u still holds %v", left)
				}
			})
		}
	}
}

// Segment refuses the write after another owner was found: nothing has changed, and
// the error reports just that.
func TestLastOwner_RefusedWrite(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"revoke from u", "replace of u", "revoke from group", "take u out of group"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) {
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
			if err := ownershipRemovals[how](t.Context(), connect(t, srv, unspacedWrites())); !errors.Is(err, segmentapi.ErrForbidden) || errors.Is(err, segmentapi.ErrLastOwner) {
				t.Error(err)
			}
			if diff := cmp.Diff(start, srv.Workspace()); diff != "" {
				t.Errorf("workspace (-want +got):\n%s", diff)
			}
			if got := simtest.Writes(srv.Journal()); len(got) != 1 {
				t.Errorf("writes %v, want one", got)
			}
		})
	}
}

// Without exactly one role Workspace Owner the owners are unknown, which matters only
// to edits of workspace-wide roles.
func TestLastOwner_RoleMissingOrAmbiguous(t *testing.T) {
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
			srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) {
				ws.Roles = c.roles(ws.Roles)
				editPermissions(ws, "u", func(held []sim.Permission) []sim.Permission {
					return append(held, on(admin, wholeWorkspace, "SOURCE a", wholeWorkspace+" env=prod"))
				})
				makeOwner(ws, "v")
			}))
			client := connect(t, srv, unspacedWrites())
			if _, err := client.Users.Revoke(t.Context(), "u", assigned(admin, wholeWorkspace)); !errors.Is(err, c.want) || !strings.Contains(err.Error(), "needs to know who owns the workspace") {
				t.Error(err)
			}
			if got := simtest.Writes(srv.Journal()); len(got) != 0 {
				t.Errorf("writes %v", got)
			}
			if _, err := client.Users.Revoke(t.Context(), "u", assigned(admin, "SOURCE a"), assigned(admin, wholeWorkspace+" env=prod")); err != nil {
				t.Error(err)
			}
		})
	}
}

// Two owners are removed at once, through one client or two: one stays.
func TestLastOwner_TwoAtOnce(t *testing.T) {
	t.Parallel()
	for how, remove := range map[string]func(context.Context, *segmentapi.Client, string) error{
		"revoked": func(ctx context.Context, c *segmentapi.Client, id string) error {
			_, err := c.Users.Revoke(ctx, id, assigned(owner, wholeWorkspace))
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

// checkTwoOwnersAtOnce delays reads by reading and writes by a second, so that the
// two removals overlap in different ways.
func checkTwoOwnersAtOnce(t *testing.T, clients int, reading time.Duration, remove func(context.Context, *segmentapi.Client, string) error) {
	srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) { makeOwner(ws, "u"); makeOwner(ws, "v") }))
	if err := srv.Inject(
		sim.Fault{Operation: "getUser", Kind: sim.FaultDelay, Delay: reading},
		sim.Fault{Operation: "replacePermissionsForUser", Kind: sim.FaultDelay, Delay: time.Second},
	); err != nil {
		t.Fatal(err)
	}
	first := connect(t, srv, unspacedWrites())
	second := first
	if clients == 2 {
		second = connect(t, srv, unspacedWrites())
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
		t.Fatalf("no owner is left: %v, %v", errs[0], errs[1])
	}
}
