package segmentapi_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// An editor edits a user or a group.
type editor struct {
	id, get, post, put string
	grant, revoke      func(context.Context, string, ...segmentapi.Assignment) (segmentapi.Difference, error)
	replace            func(context.Context, string, []segmentapi.Permission) (segmentapi.Difference, error)
	edit               func(context.Context, string, segmentapi.Edit) (segmentapi.Difference, error)
}

func editors(c *segmentapi.Client) map[string]editor {
	return map[string]editor{
		"user": {
			id: "u", get: "getUser", post: "addPermissionsToUser", put: "replacePermissionsForUser",
			grant: c.Users.Grant, revoke: c.Users.Revoke, replace: c.Users.Replace, edit: c.Users.Edit,
		},
		"group": {
			id: "g", get: "getUserGroup", post: "addPermissionsToUserGroup", put: "replacePermissionsForUserGroup",
			grant: c.Groups.Grant, revoke: c.Groups.Revoke, replace: c.Groups.Replace, edit: c.Groups.Edit,
		},
	}
}

// forUserAndGroup runs a test for a user and for a group, each in a workspace of its
// own and on fake time.
func forUserAndGroup(t *testing.T, held []sim.Permission, test func(*testing.T, *sim.Server, editor), opts ...sim.Option) {
	t.Helper()
	for _, what := range []string{"user", "group"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(testWorkspace(held...), opts...)
				test(t, srv, editors(connect(t, srv, unspacedWrites()))[what])
			})
		})
	}
}

// Each change is made once; the same change again is not written.
func TestGrantRevoke_Idempotent(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a", "SOURCE b", wholeWorkspace+" env=prod"), on(minimal, wholeWorkspace)}
	start := []string{admin + " SOURCE a", admin + " SOURCE b", admin + " " + wholeWorkspace + " env=prod", minimal + " " + wholeWorkspace}
	forUserAndGroup(t, held, func(t *testing.T, srv *sim.Server, e editor) {
		ctx := t.Context()
		for _, resource := range []string{"SOURCE c", wholeWorkspace + " env=dev", wholeWorkspace + " team=growth env=prod", wholeWorkspace, "SPACE spa_bare"} {
			srv.ResetJournal()
			what := assigned(admin, resource)
			change, err := e.grant(ctx, e.id, what)
			if err != nil || len(change.Added) != 1 || len(change.Removed) != 0 || !change.Added[0].Same(what) {
				t.Fatalf("%s: %v, %v", resource, change, err)
			}
			words := strings.Fields(resource)
			if len(words) > 2 {
				expectOrder(t, srv, e.get, "listLabels", e.post, e.get)
			} else {
				expectOrder(t, srv, e.get, e.post, e.get)
			}
			slices.Sort(words[2:])
			checkHolds(t, srv, e.id, append(slices.Clone(start), admin+" "+strings.Join(words, " "))...)

			srv.ResetJournal()
			if change, err = e.grant(ctx, e.id, what); err != nil || !change.Empty() {
				t.Errorf("again: %v, %v", change, err)
			}
			expectOrder(t, srv, e.get)

			srv.ResetJournal()
			change, err = e.revoke(ctx, e.id, what)
			if err != nil || len(change.Removed) != 1 || len(change.Added) != 0 || !change.Removed[0].Same(what) {
				t.Fatalf("%s: %v, %v", resource, change, err)
			}
			checkHolds(t, srv, e.id, start...)
			if got := simtest.Writes(srv.Journal()); len(got) != 1 {
				t.Errorf("writes %v, want one", got)
			}

			srv.ResetJournal()
			if change, err = e.revoke(ctx, e.id, what); err != nil || !change.Empty() {
				t.Errorf("again: %v, %v", change, err)
			}
			expectOrder(t, srv, e.get)
		}
	})
}

// Assignments that are not revoked stay, labels above all.
func TestRevoke_KeepsEverythingElse(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{
		on(admin, "SOURCE a", wholeWorkspace+" env=prod"),
		on(admin, wholeWorkspace+" env=prod team=growth", "SOURCE b", "SOURCE a"),
		on(reader, wholeWorkspace+" env=prod"),
		on(minimal, wholeWorkspace),
	}
	all := holds(testWorkspace(held...), "u")
	for _, gone := range all {
		t.Run(gone, func(t *testing.T) {
			t.Parallel()
			forUserAndGroup(t, held, func(t *testing.T, srv *sim.Server, e editor) {
				role, resource, _ := strings.Cut(gone, " ")
				if _, err := e.revoke(t.Context(), e.id, assigned(role, resource)); err != nil {
					t.Fatal(err)
				}
				checkHolds(t, srv, e.id, slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == gone })...)
			})
		})
	}
}

// A scope of a type that is newer than this library is written back unchanged.
func TestRevoke_KeepsUnknownScopes(t *testing.T) {
	t.Parallel()
	srv := sim.New(testWorkspace(on(admin, "GALAXY far-away", "SOURCE a"), on("role-unlisted", "GALAXY near")))
	// Without the contract, which does not know such a type either.
	c, err := segmentapi.New(srv.Token(), segmentapi.WithSettleTime(0), segmentapi.WithHTTPClient(&http.Client{Transport: srv.RoundTripper()}), unspacedWrites())
	if err != nil {
		t.Fatal(err)
	}
	for what, e := range editors(c) {
		if _, err = e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a")); err != nil {
			t.Fatal(what, err)
		}
		checkHolds(t, srv, e.id, admin+" GALAXY far-away", "role-unlisted GALAXY near")
	}
}

// The body of a replacement has what is left, each role once for each set of
// labels.
func TestRevoke_RequestBody(t *testing.T) {
	t.Parallel()
	ws := testWorkspace(on(admin, "SOURCE a", wholeWorkspace+" env=prod team=growth"), on(minimal, wholeWorkspace))
	ws.Users[1].Permissions[0].Resources[1].Labels[0].Description = "described"
	srv := sim.New(ws)
	if _, err := connect(t, srv, unspacedWrites()).Users.Revoke(t.Context(), "u", assigned(minimal, wholeWorkspace)); err != nil {
		t.Fatal(err)
	}
	labeled := on(admin, wholeWorkspace+" env=prod team=growth")
	labeled.Resources[0].Labels[0].Description = "described"
	want := []sim.Permission{on(admin, "SOURCE a", wholeWorkspace)}
	want[0].Resources[1] = labeled.Resources[0]
	if diff := cmp.Diff(want, srv.Workspace().Users[1].Permissions); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

// A write that widens a restricted permission is never reported as done. The wide one is
// taken away again, and what cannot be given back is reported.
func TestRevoke_PutThatDropsLabels(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, wholeWorkspace+" env=prod", "SOURCE a"), on(minimal, wholeWorkspace)}
	forUserAndGroup(t, held, func(t *testing.T, srv *sim.Server, e editor) {
		_, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a"))
		if !errors.Is(err, segmentapi.ErrNotRestored) || !strings.Contains(err.Error(), "+ Source Admin on WORKSPACE ws with env=prod") {
			t.Error(err)
		}
		checkHolds(t, srv, e.id, minimal+" "+wholeWorkspace)
		if got := simtest.Writes(srv.Journal()); len(got) != 2 {
			t.Errorf("writes %v", got)
		}
	}, sim.WithPutDroppingLabels())
}

func TestReplace(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a", "SOURCE b"), on(minimal, wholeWorkspace)}
	forUserAndGroup(t, held, func(t *testing.T, srv *sim.Server, e editor) {
		// A permission that another program grants meanwhile is not replaced.
		changeBefore(t, srv, e.get, 2, e.id, adds(on(reader, "SOURCE e")))
		change, err := e.replace(t.Context(), e.id, []segmentapi.Permission{
			{RoleID: admin, Scopes: []segmentapi.Scope{assigned(admin, "SOURCE b").Scope, assigned(admin, "SOURCE c").Scope}},
		})
		if err != nil || change.String() != "+ Source Admin on SOURCE c; - Source Admin on SOURCE a; - Minimal Workspace Access on "+wholeWorkspace {
			t.Errorf("%v, %v", change, err)
		}
		checkHolds(t, srv, e.id, admin+" SOURCE b", admin+" SOURCE c", reader+" SOURCE e")
	})
}

// A role is removed from every scope, including scopes on which others grant it during
// the edit.
func TestEdit(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a", wholeWorkspace+" env=prod"), on(reader, "SOURCE a"), on(minimal, wholeWorkspace)}
	isAdmin := func(a segmentapi.Assignment) bool { return a.RoleName == "Source Admin" }
	for name, edit := range map[string]segmentapi.Edit{
		"by function": segmentapi.RevokeFunc(isAdmin),
		// The argument is a copy.
		"in place": func(held []segmentapi.Assignment) []segmentapi.Assignment { return slices.DeleteFunc(held, isAdmin) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forUserAndGroup(t, held, func(t *testing.T, srv *sim.Server, e editor) {
				changeBefore(t, srv, e.get, 2, e.id, adds(on(admin, "SOURCE e")))
				change, err := e.edit(t.Context(), e.id, edit)
				if err != nil || len(change.Added) != 0 || len(change.Removed) != 3 {
					t.Errorf("%v, %v", change, err)
				}
				checkHolds(t, srv, e.id, reader+" SOURCE a", minimal+" "+wholeWorkspace)
				// Removals that were not planned are computed anew before they are written.
				expectOrder(t, srv, e.get, e.get, e.get, e.put, e.get)
			})
		})
	}
}

// Minimal Workspace Access takes the place of everything.
func TestEdit_RemovesEverything(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		held []sim.Permission
		want string
	}{
		"with minimal access":    {[]sim.Permission{on(admin, "SOURCE a"), on(minimal, wholeWorkspace)}, "- Source Admin on SOURCE a"},
		"without minimal access": {[]sim.Permission{on(admin, "SOURCE a")}, "+ Minimal Workspace Access on WORKSPACE ws; - Source Admin on SOURCE a"},
		"nothing":                {nil, "no difference"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forUserAndGroup(t, c.held, func(t *testing.T, srv *sim.Server, e editor) {
				change, err := e.edit(t.Context(), e.id, segmentapi.RevokeFunc(func(segmentapi.Assignment) bool { return true }))
				if err != nil || change.String() != c.want {
					t.Errorf("%v, %v", change, err)
				}
				var want []string
				if c.held != nil {
					want = []string{minimal + " " + wholeWorkspace}
				}
				checkHolds(t, srv, e.id, want...)
			})
		})
	}
}

// An edit may change its argument, labels included: it is a copy.
func TestEdit_ChangesLabelsInPlace(t *testing.T) {
	t.Parallel()
	forUserAndGroup(t, []sim.Permission{on(admin, wholeWorkspace+" env=prod")}, func(t *testing.T, srv *sim.Server, e editor) {
		change, err := e.edit(t.Context(), e.id, func(held []segmentapi.Assignment) []segmentapi.Assignment {
			for _, a := range held {
				for i := range a.Scope.Labels {
					a.Scope.Labels[i].Value = "dev"
				}
			}
			return held
		})
		t.Log(change, err)
		checkHolds(t, srv, e.id, admin+" "+wholeWorkspace+" env=dev")
	})
}

// The same over a network, where connections really break.
func TestGrantRevoke_OverHTTP(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a", "SOURCE b", wholeWorkspace+" env=prod"), on(minimal, wholeWorkspace)}
	srv := sim.New(testWorkspace(held...))
	web := simtest.Listen(t, srv)
	c, err := segmentapi.New(srv.Token(), segmentapi.WithSettleTime(0), segmentapi.WithBaseURL(web.URL), unspacedWrites())
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	for what, e := range editors(c) {
		err := srv.Inject(
			sim.Fault{Operation: e.post, Ordinal: 1, Kind: sim.FaultDrop},
			sim.Fault{Operation: e.put, Ordinal: 1, Kind: sim.FaultReset},
			sim.Fault{Operation: e.put, Ordinal: 2, Kind: sim.FaultTruncate},
		)
		if err != nil {
			t.Fatal(err)
		}
		if change, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE c")); err != nil || change.String() != "+ Source Admin on SOURCE c" {
			t.Errorf("%s: %v, %v", what, change, err)
		}
		if change, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a")); err != nil || change.String() != "- Source Admin on SOURCE a" {
			t.Errorf("%s: %v, %v", what, change, err)
		}
		checkHolds(t, srv, e.id, admin+" SOURCE b", admin+" SOURCE c", admin+" "+wholeWorkspace+" env=prod", minimal+" "+wholeWorkspace)
	}
	if diff := cmp.Diff(map[string]int{
		"getUser": 7, "addPermissionsToUser": 1, "replacePermissionsForUser": 2,
		"getUserGroup": 7, "addPermissionsToUserGroup": 1, "replacePermissionsForUserGroup": 2,
	}, simtest.Count(srv.Journal())); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestEdits_InvalidArgument(t *testing.T) {
	t.Parallel()
	forUserAndGroup(t, []sim.Permission{on(minimal, wholeWorkspace)}, func(t *testing.T, srv *sim.Server, e editor) {
		ctx := t.Context()
		grants := func(id string, as ...segmentapi.Assignment) error {
			_, err := e.grant(ctx, id, as...)
			return err
		}
		revokes := func(id string, as ...segmentapi.Assignment) error {
			_, err := e.revoke(ctx, id, as...)
			return err
		}
		replaces := func(ps ...segmentapi.Permission) error {
			_, err := e.replace(ctx, e.id, ps)
			return err
		}
		_, editErr := e.edit(ctx, e.id, nil)
		good := assigned(admin, "SOURCE a")
		for name, err := range map[string]error{
			"empty id":              grants("", good),
			"id that is a path":     grants("..", good),
			"id that is no path":    grants(".", good),
			"long id":               grants(strings.Repeat("x", 256), good),
			"nothing to grant":      grants(e.id),
			"nothing to revoke":     revokes(e.id),
			"revoke from an empty":  revokes("", good),
			"no role":               grants(e.id, assigned("", "SOURCE a")),
			"no scope":              grants(e.id, segmentapi.Assignment{RoleID: admin}),
			"scope without id":      grants(e.id, segmentapi.Assignment{RoleID: admin, Scope: segmentapi.Scope{Type: "SOURCE"}}),
			"labels on a source":    grants(e.id, assigned(admin, "SOURCE a env=prod")),
			"label without a key":   grants(e.id, assigned(admin, wholeWorkspace+" =prod")),
			"label without a value": grants(e.id, assigned(admin, wholeWorkspace+" env=")),
			"one of two":            grants(e.id, good, assigned("", "SOURCE a")),
			"replace by nil":        replaces(),
			"replace by nothing":    replaces(segmentapi.Permission{RoleID: admin}),
			"replace by half":       replaces(segmentapi.Permission{RoleID: "", Scopes: []segmentapi.Scope{good.Scope}}),
			"no edit":               editErr,
		} {
			if !errors.Is(err, segmentapi.ErrInvalidArgument) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := simtest.Operations(srv.Journal()); len(got) != 0 {
			t.Errorf("requests %v", got)
		}
		// An edit can only be checked once it has seen what is held.
		if _, err := e.edit(ctx, e.id, segmentapi.Grant(assigned("", "SOURCE a"))); !errors.Is(err, segmentapi.ErrInvalidArgument) {
			t.Error(err)
		}
		if got := simtest.Writes(srv.Journal()); len(got) != 0 {
			t.Errorf("writes %v", got)
		}
	})
}

func TestGrantRevoke_NotFound(t *testing.T) {
	t.Parallel()
	forUserAndGroup(t, nil, func(t *testing.T, _ *sim.Server, e editor) {
		if _, err := e.grant(t.Context(), "gone", assigned(admin, "SOURCE a")); !errors.Is(err, segmentapi.ErrNotFound) {
			t.Error(err)
		}
		if _, err := e.revoke(t.Context(), "gone", assigned(admin, "SOURCE a")); !errors.Is(err, segmentapi.ErrNotFound) {
			t.Error(err)
		}
	})
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	srv := sim.New(testWorkspace(on(admin, "SOURCE a")))
	c := connect(t, srv, segmentapi.WithDryRun())
	start := srv.Workspace()
	ctx := t.Context()
	for what, e := range editors(c) {
		granted, err := e.grant(ctx, e.id, assigned(admin, "SOURCE b"))
		if err != nil || granted.String() != "+ role-admin on SOURCE b" {
			t.Errorf("%s: %v, %v", what, granted, err)
		}
		revoked, err := e.revoke(ctx, e.id, assigned(admin, "SOURCE a"))
		if err != nil || revoked.String() != "+ Minimal Workspace Access on WORKSPACE ws; - Source Admin on SOURCE a" {
			t.Errorf("%s: %v, %v", what, revoked, err)
		}
	}
	if _, err := c.Users.Revoke(ctx, "owner", assigned(owner, wholeWorkspace)); !errors.Is(err, segmentapi.ErrLastOwner) {
		t.Error(err)
	}
	if removed, err := c.Users.Remove(ctx, "u"); !removed || err != nil {
		t.Error(removed, err)
	}
	if removed, err := c.Groups.Delete(ctx, "g"); !removed || err != nil {
		t.Error(removed, err)
	}
	if made, err := c.Groups.Create(ctx, "New"); err != nil || made.Name != "New" || made.ID != "" {
		t.Error(made, err)
	}
	if renamed, err := c.Groups.Rename(ctx, "g", "Other"); err != nil || renamed.Name != "Other" {
		t.Error(renamed, err)
	}
	if added, err := c.Groups.AddMembers(ctx, "g", "owner@example.com"); err != nil || len(added) != 1 {
		t.Error(added, err)
	}
	if gone, err := c.Groups.RemoveMembers(ctx, "g", "u@example.com"); err != nil || len(gone) != 1 {
		t.Error(gone, err)
	}
	if invite, err := c.Invites.Create(ctx, segmentapi.Invitation{Email: "new@example.com", Groups: []string{"g"}}); err != nil || !invite.Sent {
		t.Error(invite, err)
	}
	srv.Update(func(ws *sim.Workspace) { ws.Invites = []sim.Invite{{Email: "old@example.com"}} })
	start.Invites = []sim.Invite{{Email: "old@example.com"}}
	if removed, err := c.Invites.Delete(ctx, "old@example.com"); !removed || err != nil {
		t.Error(removed, err)
	}
	if got := simtest.Writes(srv.Journal()); len(got) != 0 {
		t.Errorf("writes %v", got)
	}
	if diff := cmp.Diff(start, srv.Workspace()); diff != "" {
		t.Errorf("workspace (-want +got):\n%s", diff)
	}
	if _, _, err := c.Raw().IAMUsersAPI.DeleteUsers(ctx).UserIds([]string{"u"}).Execute(); err == nil || len(simtest.Writes(srv.Journal())) != 0 {
		t.Errorf("through Raw: %v, writes %v", err, simtest.Writes(srv.Journal()))
	}
}
