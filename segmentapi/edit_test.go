package segmentapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
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

// The workspace of these tests. Its roles are named by short ids.
const (
	workspaceID = "ws"
	owner       = "role-owner"
	minimal     = "role-minimal"
	admin       = "role-admin"
	reader      = "role-reader"
)

// on is a role on resources, each a type and an id, and for the workspace its
// labels: "SOURCE a", "WORKSPACE ws env=prod".
func on(role string, resources ...string) sim.Permission {
	p := sim.Permission{RoleID: role}
	for _, text := range resources {
		words := strings.Fields(text)
		r := sim.Resource{Type: words[0], ID: words[1]}
		for _, label := range words[2:] {
			key, value, _ := strings.Cut(label, "=")
			r.Labels = append(r.Labels, sim.Label{Key: key, Value: value})
		}
		p.Resources = append(p.Resources, r)
	}
	return p
}

// assigned is on for the library.
func assigned(role, resource string) segmentapi.Assignment {
	r := on(role, resource).Resources[0]
	return segmentapi.Assignment{RoleID: role, Scope: segmentapi.Scope{Type: segmentapi.ScopeType(r.Type), ID: r.ID, Labels: labels(r.Labels)}}
}

const everything = "WORKSPACE " + workspaceID

// editable is a workspace with one owner, a user "u" and a group "g" who hold
// the same.
func editable(held ...sim.Permission) *sim.Workspace {
	ws := sim.Empty()
	ws.ID = workspaceID
	ws.Roles = []sim.Role{{ID: owner, Name: "Workspace Owner"}, {ID: minimal, Name: "Minimal Workspace Access"}, {ID: admin, Name: "Source Admin"}, {ID: reader, Name: "Source Read-only"}}
	ws.Labels = []sim.Label{{Key: "env", Value: "prod"}, {Key: "env", Value: "dev"}, {Key: "team", Value: "growth"}}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		ws.Sources = append(ws.Sources, sim.Source{ID: id, Slug: id})
	}
	ws.Spaces = []sim.Space{{ID: "bare"}}
	ws.Users = []sim.User{
		{ID: "owner", Email: "owner@example.com", Permissions: []sim.Permission{on(owner, everything)}},
		{ID: "u", Email: "u@example.com", Permissions: held},
	}
	ws.Groups = []sim.Group{{ID: "g", Name: "Group", Members: []string{"u@example.com"}, Permissions: held}}
	return ws
}

// holds is what a user or a group of a workspace holds, as a sorted list: the
// order and the grouping of permissions do not matter.
func holds(ws *sim.Workspace, id string) []string {
	set := map[string]bool{}
	add := func(permissions []sim.Permission) {
		for _, p := range permissions {
			for _, r := range p.Resources {
				var labels []string
				for _, l := range r.Labels {
					labels = append(labels, l.Key+"="+l.Value)
				}
				slices.Sort(labels)
				set[strings.Join(slices.Concat([]string{p.RoleID, r.Type, r.ID}, slices.Compact(labels)), " ")] = true
			}
		}
	}
	for _, u := range ws.Users {
		if u.ID == id {
			add(u.Permissions)
		}
	}
	for _, g := range ws.Groups {
		if g.ID == id {
			add(g.Permissions)
		}
	}
	return slices.Sorted(maps.Keys(set))
}

func checkHolds(t interface {
	Helper()
	Errorf(string, ...any)
}, srv *sim.Server, id string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if diff := cmp.Diff(want, holds(srv.Workspace(), id)); diff != "" {
		t.Errorf("%s holds (-want +got):\n%s", id, diff)
	}
}

// writes are the operations in the journal that are not reads.
func writes(srv *sim.Server) []string {
	var names []string
	for _, r := range srv.Journal() {
		if r.Method != http.MethodGet {
			names = append(names, r.Operation)
		}
	}
	return names
}

func names(srv *sim.Server) []string {
	var all []string
	for _, r := range srv.Journal() {
		all = append(all, r.Operation)
	}
	return all
}

// fast does not space writes.
func fast() segmentapi.Option {
	return segmentapi.WithLimits(segmentapi.Limits{WritesPerMinute: 1_000_000})
}

// editor edits a user or a group.
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

// each runs a test for a user and for a group, in a workspace of its own.
func each(t *testing.T, held []sim.Permission, test func(*testing.T, *sim.Server, editor), opts ...sim.Option) {
	t.Helper()
	for _, what := range []string{"user", "group"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			srv := sim.New(editable(held...), opts...)
			test(t, srv, editors(connect(t, srv, fast()))[what])
		})
	}
}

// before plans what another administrator does to who is edited.
func before(t *testing.T, srv *sim.Server, operation string, ordinal int, id string, edit func(*[]sim.Permission)) {
	t.Helper()
	err := srv.Before(operation, ordinal, func(ws *sim.Workspace) {
		for i := range ws.Users {
			if ws.Users[i].ID == id {
				edit(&ws.Users[i].Permissions)
			}
		}
		for i := range ws.Groups {
			if ws.Groups[i].ID == id {
				edit(&ws.Groups[i].Permissions)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func adds(p sim.Permission) func(*[]sim.Permission) {
	return func(held *[]sim.Permission) { *held = append(*held, p) }
}

func expectOrder(t *testing.T, srv *sim.Server, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, names(srv)); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestGrantAndRevokeTwice(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a", "SOURCE b", everything+" env=prod"), on(minimal, everything)}
	start := []string{admin + " SOURCE a", admin + " SOURCE b", admin + " " + everything + " env=prod", minimal + " " + everything}
	each(t, held, func(t *testing.T, srv *sim.Server, e editor) {
		ctx := t.Context()
		for _, resource := range []string{"SOURCE c", everything + " env=dev", everything + " team=growth env=prod", everything, "SPACE spa_bare"} {
			srv.ResetJournal()
			what := assigned(admin, resource)
			change, err := e.grant(ctx, e.id, what)
			if err != nil || len(change.Added) != 1 || len(change.Removed) != 0 || !change.Added[0].Same(what) {
				t.Fatalf("%s: %v, %v", resource, change, err)
			}
			expectOrder(t, srv, e.get, e.post, e.get)
			words := strings.Fields(resource)
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
			if got := writes(srv); len(got) != 1 {
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

// What is not asked for stays: the labels of another grant above all.
func TestRevokeTakesOneThing(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{
		on(admin, "SOURCE a", everything+" env=prod"),
		on(admin, everything+" env=prod team=growth", "SOURCE b", "SOURCE a"),
		on(reader, everything+" env=prod"),
		on(minimal, everything),
	}
	all := holds(editable(held...), "u")
	for _, gone := range all {
		t.Run(gone, func(t *testing.T) {
			t.Parallel()
			each(t, held, func(t *testing.T, srv *sim.Server, e editor) {
				role, resource, _ := strings.Cut(gone, " ")
				if _, err := e.revoke(t.Context(), e.id, assigned(role, resource)); err != nil {
					t.Fatal(err)
				}
				checkHolds(t, srv, e.id, slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == gone })...)
			})
		})
	}
}

// A scope of a type that came after this library goes back as it came.
func TestUnknownScopesStay(t *testing.T) {
	t.Parallel()
	srv := sim.New(editable(on(admin, "GALAXY far-away", "SOURCE a"), on("role-unlisted", "GALAXY near")))
	// Without the contract, which does not know such a type either.
	c, err := segmentapi.New(srv.Token(), segmentapi.WithHTTPClient(&http.Client{Transport: srv.RoundTripper()}), fast())
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
// labels, and no permission without a resource.
func TestLabelsAreWrittenAsTheyWereRead(t *testing.T) {
	t.Parallel()
	ws := editable(on(admin, "SOURCE a", everything+" env=prod team=growth"), on(reader), on(minimal, everything))
	ws.Users[1].Permissions[0].Resources[1].Labels[0].Description = "described"
	srv := sim.New(ws)
	if _, err := connect(t, srv, fast()).Users.Revoke(t.Context(), "u", assigned(minimal, everything)); err != nil {
		t.Fatal(err)
	}
	labeled := on(admin, everything+" env=prod team=growth")
	labeled.Resources[0].Labels[0].Description = "described"
	want := []sim.Permission{on(admin, "SOURCE a", everything)}
	want[0].Resources[1] = labeled.Resources[0]
	if diff := cmp.Diff(want, srv.Workspace().Users[1].Permissions); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

func TestReplace(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a", "SOURCE b"), on(minimal, everything)}
	each(t, held, func(t *testing.T, srv *sim.Server, e editor) {
		// What another program gives meanwhile is not what was to be replaced.
		before(t, srv, e.get, 2, e.id, adds(on(reader, "SOURCE e")))
		change, err := e.replace(t.Context(), e.id, []segmentapi.Permission{
			{RoleID: admin, Scopes: []segmentapi.Scope{assigned(admin, "SOURCE b").Scope, assigned(admin, "SOURCE c").Scope}},
		})
		if err != nil || change.String() != "+ Source Admin on SOURCE c; - Source Admin on SOURCE a; - Minimal Workspace Access on "+everything {
			t.Errorf("%v, %v", change, err)
		}
		checkHolds(t, srv, e.id, admin+" SOURCE b", admin+" SOURCE c", reader+" SOURCE e")
	})
}

// A role goes on whatever it is held, also where it has come to be held since
// the edit began.
func TestEdit(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a", everything+" env=prod"), on(reader, "SOURCE a"), on(minimal, everything)}
	isAdmin := func(a segmentapi.Assignment) bool { return a.RoleName == "Source Admin" }
	for name, edit := range map[string]segmentapi.Edit{
		"by function": segmentapi.RevokeFunc(isAdmin),
		// What it is given is its own.
		"in place": func(held []segmentapi.Assignment) []segmentapi.Assignment { return slices.DeleteFunc(held, isAdmin) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, held, func(t *testing.T, srv *sim.Server, e editor) {
				before(t, srv, e.get, 2, e.id, adds(on(admin, "SOURCE e")))
				change, err := e.edit(t.Context(), e.id, edit)
				if err != nil || len(change.Added) != 0 || len(change.Removed) != 3 {
					t.Errorf("%v, %v", change, err)
				}
				checkHolds(t, srv, e.id, reader+" SOURCE a", minimal+" "+everything)
				// What was not planned for is not written before it has been thought over.
				expectOrder(t, srv, e.get, e.get, e.get, e.put, e.get)
			})
		})
	}
}

// Everything goes but the least that Segment has.
func TestEditThatTakesEverything(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		held []sim.Permission
		want string
	}{
		"with minimal access":    {[]sim.Permission{on(admin, "SOURCE a"), on(minimal, everything)}, "- Source Admin on SOURCE a"},
		"without minimal access": {[]sim.Permission{on(admin, "SOURCE a")}, "+ Minimal Workspace Access on WORKSPACE ws; - Source Admin on SOURCE a"},
		"nothing":                {nil, "no difference"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, c.held, func(t *testing.T, srv *sim.Server, e editor) {
				change, err := e.edit(t.Context(), e.id, segmentapi.RevokeFunc(func(segmentapi.Assignment) bool { return true }))
				if err != nil || change.String() != c.want {
					t.Errorf("%v, %v", change, err)
				}
				var want []string
				if c.held != nil {
					want = []string{minimal + " " + everything}
				}
				checkHolds(t, srv, e.id, want...)
			})
		})
	}
}

// The same over a network, where connections break for real.
func TestEditsOverHTTP(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a", "SOURCE b", everything+" env=prod"), on(minimal, everything)}
	srv := sim.New(editable(held...))
	web := httptest.NewServer(srv)
	defer web.Close()
	c, err := segmentapi.New(srv.Token(), segmentapi.WithBaseURL(web.URL), fast())
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
		checkHolds(t, srv, e.id, admin+" SOURCE b", admin+" SOURCE c", admin+" "+everything+" env=prod", minimal+" "+everything)
	}
	if diff := cmp.Diff(map[string]int{
		"getUser": 7, "addPermissionsToUser": 1, "replacePermissionsForUser": 2,
		"getUserGroup": 7, "addPermissionsToUserGroup": 1, "replacePermissionsForUserGroup": 2,
	}, operations(srv)); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestEditsAreCheckedBeforeAnyRequest(t *testing.T) {
	t.Parallel()
	each(t, []sim.Permission{on(minimal, everything)}, func(t *testing.T, srv *sim.Server, e editor) {
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
			"label without a key":   grants(e.id, assigned(admin, everything+" =prod")),
			"label without a value": grants(e.id, assigned(admin, everything+" env=")),
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
		if got := names(srv); len(got) != 0 {
			t.Errorf("requests %v", got)
		}
		// An edit can only be checked once it has seen what is held.
		if _, err := e.edit(ctx, e.id, segmentapi.Grant(assigned("", "SOURCE a"))); !errors.Is(err, segmentapi.ErrInvalidArgument) {
			t.Error(err)
		}
		if got := writes(srv); len(got) != 0 {
			t.Errorf("writes %v", got)
		}
	})
}

func TestSubjectThatIsGone(t *testing.T) {
	t.Parallel()
	each(t, nil, func(t *testing.T, _ *sim.Server, e editor) {
		if _, err := e.grant(t.Context(), "gone", assigned(admin, "SOURCE a")); !errors.Is(err, segmentapi.ErrNotFound) {
			t.Error(err)
		}
		if _, err := e.revoke(t.Context(), "gone", assigned(admin, "SOURCE a")); !errors.Is(err, segmentapi.ErrNotFound) {
			t.Error(err)
		}
	})
}

// Another administrator edits the same subject, at each moment that there is
// but the one that cannot be closed. Both changes survive.
func TestTwoAdministrators(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a", "SOURCE b"), on(minimal, everything)}
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
				each(t, held, func(t *testing.T, srv *sim.Server, e editor) {
					before(t, srv, m.operation(e), m.ordinal, e.id, their.edit)
					want := []string{admin + " SOURCE a", admin + " SOURCE b", minimal + " " + everything}
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

// Another administrator has done the same just before.
func TestSomebodyWasFaster(t *testing.T) {
	t.Parallel()
	each(t, []sim.Permission{on(admin, "SOURCE a"), on(minimal, everything)}, func(t *testing.T, srv *sim.Server, e editor) {
		before(t, srv, e.get, 2, e.id, func(held *[]sim.Permission) { *held = []sim.Permission{on(minimal, everything)} })
		change, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a"))
		if err != nil || !change.Empty() {
			t.Errorf("%v, %v", change, err)
		}
		expectOrder(t, srv, e.get, e.get)
		checkHolds(t, srv, e.id, minimal+" "+everything)
	})
}

// Somebody undoes each change at once: it is made three times and then reported.
func TestContested(t *testing.T) {
	t.Parallel()
	each(t, []sim.Permission{on(admin, "SOURCE a"), on(minimal, everything)}, func(t *testing.T, srv *sim.Server, e editor) {
		back := adds(on(admin, "SOURCE a"))
		for ordinal := 3; ordinal < 12; ordinal += 2 { // Each read back.
			before(t, srv, e.get, ordinal, e.id, back)
		}
		_, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a"))
		if !errors.Is(err, segmentapi.ErrNotApplied) || !strings.Contains(err.Error(), "- Source Admin on SOURCE a") {
			t.Error(err)
		}
		if got := writes(srv); len(got) != 3 {
			t.Errorf("writes %v, want 3", got)
		}
		checkHolds(t, srv, e.id, admin+" SOURCE a", minimal+" "+everything)
	})
}

// Somebody gives something at every single read. All of it stays.
func TestRestless(t *testing.T) {
	t.Parallel()
	each(t, []sim.Permission{on(admin, "SOURCE a"), on(minimal, everything)}, func(t *testing.T, srv *sim.Server, e editor) {
		given := 0
		before(t, srv, e.get, 0, e.id, func(held *[]sim.Permission) {
			given++
			adds(on(fmt.Sprintf("role-%d", given), "SOURCE e"))(held)
		})
		if _, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE b")); err != nil {
			t.Fatal(err)
		}
		if _, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a")); err != nil {
			t.Fatal(err)
		}
		want := []string{admin + " SOURCE b", minimal + " " + everything}
		for i := range given {
			want = append(want, fmt.Sprintf("role-%d SOURCE e", i+1))
		}
		checkHolds(t, srv, e.id, want...)
		if given < 5 {
			t.Errorf("%d reads", given)
		}
	})
}

// An edit that always finds more than it has planned for writes nothing.
func TestNothingIsWrittenUnplanned(t *testing.T) {
	t.Parallel()
	each(t, []sim.Permission{on(admin, "SOURCE a"), on(minimal, everything)}, func(t *testing.T, srv *sim.Server, e editor) {
		given := 0
		before(t, srv, e.get, 0, e.id, func(held *[]sim.Permission) {
			given++
			adds(on(fmt.Sprintf("role-%d", given), "SOURCE e"))(held)
		})
		_, err := e.edit(t.Context(), e.id, segmentapi.RevokeFunc(func(a segmentapi.Assignment) bool { return a.Scope.ID == "e" }))
		if !errors.Is(err, segmentapi.ErrNotApplied) || !strings.Contains(err.Error(), "- role-4 on SOURCE e") {
			t.Error(err)
		}
		if got := writes(srv); len(got) != 0 {
			t.Errorf("writes %v", got)
		}
	})
}

// Whatever becomes of the answer, the end is right.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a", "SOURCE b"), on(minimal, everything)}
	for name, c := range map[string]struct {
		fault sim.Fault
		// What a write comes to that failed this way.
		posted, replaced bool
		writes           int // Of a PUT.
	}{
		"dropped after":       {sim.Fault{Kind: sim.FaultDrop}, true, true, 1},
		"500 after":           {sim.Fault{Kind: sim.FaultLateStatus, Status: 500}, true, true, 1},
		"503 after":           {sim.Fault{Kind: sim.FaultLateStatus, Status: 503}, true, true, 1},
		"409 after":           {sim.Fault{Kind: sim.FaultLateStatus, Status: 409}, true, true, 1},
		"408 after":           {sim.Fault{Kind: sim.FaultLateStatus, Status: 408}, true, true, 1},
		"empty answer after":  {sim.Fault{Kind: sim.FaultContentType}, true, true, 1},
		"reset before":        {sim.Fault{Kind: sim.FaultReset}, false, true, 2},
		"503 before":          {sim.Fault{Kind: sim.FaultStatus, Status: 503}, false, true, 2},
		"502 page before":     {sim.Fault{Kind: sim.FaultHTML}, false, true, 2},
		"500 before":          {sim.Fault{Kind: sim.FaultStatus, Status: 500}, false, false, 1},
		"200 before, empty":   {sim.Fault{Kind: sim.FaultEmpty}, true, true, 2},
		"200 before, no JSON": {sim.Fault{Kind: sim.FaultHTML, Status: 200}, false, false, 1},
		"422":                 {sim.Fault{Kind: sim.FaultStatus, Status: 422}, false, false, 1},
		"401":                 {sim.Fault{Kind: sim.FaultStatus, Status: 401}, false, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, held, func(t *testing.T, srv *sim.Server, e editor) {
				inject := func(operation string) {
					fault := c.fault // A copy: user and group are side by side.
					fault.Operation, fault.Ordinal = operation, 1
					if err := srv.Inject(fault); err != nil {
						t.Fatal(err)
					}
				}
				want := []string{admin + " SOURCE a", admin + " SOURCE b", minimal + " " + everything}
				inject(e.post)
				change, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE c"))
				if (err == nil) != c.posted || change.Empty() == c.posted {
					t.Errorf("grant: %v, %v", change, err)
				}
				if c.posted {
					want = append(want, admin+" SOURCE c")
				}
				checkHolds(t, srv, e.id, want...)

				srv.ResetJournal()
				inject(e.put)
				change, err = e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a"))
				if (err == nil) != c.replaced || change.Empty() == c.replaced {
					t.Errorf("revoke: %v, %v", change, err)
				}
				if c.replaced {
					want = slices.Delete(want, 0, 1)
				}
				checkHolds(t, srv, e.id, want...)
				if got := writes(srv); len(got) != c.writes {
					t.Errorf("writes %v, want %d", got, c.writes)
				}
			})
		})
	}
}

// A PUT is sent right after a read, also when it has to wait for the limit or
// is sent again: what somebody else does meanwhile stays.
func TestNoWriteOnAnOldRead(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sim.Fault{
		"429": {Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"7"}}},
		"503": {Kind: sim.FaultStatus, Status: 503},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(editable(on(admin, "SOURCE a", "SOURCE b"), on(minimal, everything)))
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
				checkHolds(t, srv, "u", admin+" SOURCE b", reader+" SOURCE e", minimal+" "+everything)
				read, write := "getUser", "replacePermissionsForUser"
				order := []string{read, read, write, read, write, read}
				if name == "503" { // What has become of it must be read first.
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

// What fails again and again is given up with the last failure, and waits for
// the limit add up.
func TestReplacementThatKeepsFailing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  sim.Fault
		want   error
		writes int
		least  time.Duration
	}{
		"503": {sim.Fault{Kind: sim.FaultStatus, Status: 503}, segmentapi.ErrServer, 3, 375 * time.Millisecond},
		"429": {sim.Fault{Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"7"}}}, segmentapi.ErrRateLimited, 3, 14 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(editable(on(admin, "SOURCE a"), on(minimal, everything)))
				c.fault.Operation = "replacePermissionsForUser"
				if err := srv.Inject(c.fault); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				client := connect(t, srv, fast(), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 5, MaxWait: 20 * time.Second}))
				_, err := client.Users.Revoke(t.Context(), "u", assigned(admin, "SOURCE a"))
				if !errors.Is(err, c.want) {
					t.Error(err)
				}
				if took := time.Since(start); took < c.least || took > 20*time.Second {
					t.Errorf("it took %s", took)
				}
				if got := writes(srv); len(got) != c.writes {
					t.Errorf("writes %v, want %d", got, c.writes)
				}
				checkHolds(t, srv, "u", admin+" SOURCE a", minimal+" "+everything)
			})
		})
	}
}

// Writes are spaced, and the wait is not between the last read and the write.
func TestWaitsComeBeforeTheLastRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(editable(on(admin, "SOURCE a", "SOURCE b", "SOURCE c"), on(minimal, everything)))
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

// Who may not wait long is told for how long, and nothing has changed.
func TestLimitBeyondPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(editable(on(admin, "SOURCE a"), on(minimal, everything)))
		for _, operation := range []string{"replacePermissionsForUser", "addPermissionsToUser"} {
			if err := srv.Inject(sim.Fault{Operation: operation, Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"30"}}}); err != nil {
				t.Fatal(err)
			}
		}
		c := connect(t, srv, segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 3, MaxWait: 10 * time.Second}))
		var limited *segmentapi.RateLimitError
		_, err := c.Users.Revoke(t.Context(), "u", assigned(admin, "SOURCE a"))
		if !errors.As(err, &limited) || limited.Wait < 28*time.Second || limited.Wait > 30*time.Second || !strings.Contains(err.Error(), "replacePermissionsForUser") {
			t.Errorf("%v", err)
		}
		<-time.After(time.Minute)
		if _, err = c.Users.Grant(t.Context(), "u", assigned(admin, "SOURCE b")); !errors.As(err, &limited) {
			t.Errorf("%v", err)
		}
		checkHolds(t, srv, "u", admin+" SOURCE a", minimal+" "+everything)
	})
}

// Nothing is lost to a POST that replaces, and nothing is asked twice of one
// that is known to merge.
func TestPostThatReplaces(t *testing.T) {
	t.Parallel()
	for name, form := range map[string]sim.PostForm{"all": sim.PostReplaces, "the role": sim.PostReplacesRole} {
		for held, permissions := range map[string][]sim.Permission{
			"much":       {on(admin, "SOURCE a", "SOURCE b", everything+" env=prod"), on(reader, "SOURCE e"), on(minimal, everything)},
			"the role":   {on(admin, "SOURCE a")},
			"another":    {on(minimal, everything)},
			"one of two": {on(admin, "SOURCE a"), on(minimal, everything)},
			"nothing":    nil,
		} {
			t.Run(name+"/"+held, func(t *testing.T) {
				t.Parallel()
				each(t, permissions, func(t *testing.T, srv *sim.Server, e editor) {
					want := append(holds(editable(permissions...), "u"), admin+" SOURCE c")
					change, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE c"))
					if err != nil || change.String() != "+ Source Admin on SOURCE c" {
						t.Errorf("%v, %v", change, err)
					}
					checkHolds(t, srv, e.id, want...)
					// Once it is known, nothing is lost even for a moment.
					known := len(writes(srv)) > 1
					srv.ResetJournal()
					if _, err = e.grant(t.Context(), e.id, assigned(admin, "SOURCE d")); err != nil {
						t.Fatal(err)
					}
					checkHolds(t, srv, e.id, append(want, admin+" SOURCE d")...)
					if got := writes(srv); known && (len(got) != 1 || got[0] != e.put) {
						t.Errorf("writes %v", got)
					}
				}, sim.WithPost(form))
			})
		}
	}
}

// What a POST that replaces would have taken, somebody else may have taken at
// that very moment. It is not given back for good.
func TestPostAtABadMoment(t *testing.T) {
	t.Parallel()
	for name, left := range map[string][]sim.Permission{"the role": {on(minimal, everything)}, "everything": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			held := append([]sim.Permission{on(admin, "SOURCE a", everything+" env=prod")}, left...)
			each(t, held, func(t *testing.T, srv *sim.Server, e editor) {
				before(t, srv, e.post, 1, e.id, func(held *[]sim.Permission) { *held = left })
				change, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE c"))
				if err != nil || change.String() != "+ Source Admin on SOURCE c" {
					t.Errorf("%v, %v", change, err)
				}
				checkHolds(t, srv, e.id, append(holds(editable(left...), "u"), admin+" SOURCE c")...)
				if diff := cmp.Diff([]string{e.post, e.put, e.post, e.put}, writes(srv)); diff != "" {
					t.Errorf("writes (-want +got):\n%s", diff)
				}
				// Now it is known.
				srv.ResetJournal()
				before(t, srv, e.post, 1, e.id, func(held *[]sim.Permission) { *held = nil })
				if _, err = e.grant(t.Context(), e.id, assigned(admin, "SOURCE d")); err != nil {
					t.Fatal(err)
				}
				checkHolds(t, srv, e.id, admin+" SOURCE d")
				if diff := cmp.Diff([]string{e.post}, writes(srv)); diff != "" {
					t.Errorf("writes (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Who took it cannot be found out: what was lost stays given back.
func TestDoubtThatStays(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a"), on(minimal, everything)}
	each(t, held, func(t *testing.T, srv *sim.Server, e editor) {
		if err := srv.Inject(sim.Fault{Operation: e.post, Ordinal: 2, Kind: sim.FaultStatus, Status: 422}); err != nil {
			t.Fatal(err)
		}
		change, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE c"))
		if err != nil || change.String() != "+ Source Admin on SOURCE c" {
			t.Errorf("%v, %v", change, err)
		}
		checkHolds(t, srv, e.id, admin+" SOURCE a", admin+" SOURCE c", minimal+" "+everything)
	}, sim.WithPost(sim.PostReplaces))
}

// Once a client has seen that Segment merges, it takes what is missing for what
// somebody else has taken.
func TestPostThatIsKnownToMerge(t *testing.T) {
	t.Parallel()
	each(t, []sim.Permission{on(admin, "SOURCE a")}, func(t *testing.T, srv *sim.Server, e editor) {
		if _, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE b")); err != nil {
			t.Fatal(err)
		}
		before(t, srv, e.post, 2, e.id, func(held *[]sim.Permission) { *held = nil })
		if _, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE c")); err != nil {
			t.Fatal(err)
		}
		checkHolds(t, srv, e.id, admin+" SOURCE c")
	})
}

// A write that widens what was restricted is never reported as done.
func TestPutThatDropsLabels(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, everything+" env=prod", "SOURCE a"), on(minimal, everything)}
	each(t, held, func(t *testing.T, srv *sim.Server, e editor) {
		_, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a"))
		if !errors.Is(err, segmentapi.ErrNotApplied) ||
			!strings.Contains(err.Error(), "+ Source Admin on WORKSPACE ws with env=prod; - Source Admin on WORKSPACE ws") {
			t.Error(err)
		}
		if got := writes(srv); len(got) != 3 {
			t.Errorf("writes %v", got)
		}
	}, sim.WithPutDroppingLabels())
}

func TestLastPermission(t *testing.T) {
	t.Parallel()
	each(t, []sim.Permission{on(admin, "SOURCE a")}, func(t *testing.T, srv *sim.Server, e editor) {
		ctx := t.Context()
		change, err := e.revoke(ctx, e.id, assigned(admin, "SOURCE a"))
		if err != nil || change.String() != "+ Minimal Workspace Access on WORKSPACE ws; - Source Admin on SOURCE a" {
			t.Errorf("%v, %v", change, err)
		}
		checkHolds(t, srv, e.id, minimal+" "+everything)
		srv.ResetJournal()
		if _, err = e.revoke(ctx, e.id, assigned(minimal, everything)); !errors.Is(err, segmentapi.ErrLastPermission) {
			t.Error(err)
		}
		checkHolds(t, srv, e.id, minimal+" "+everything)
		if got := writes(srv); len(got) != 0 {
			t.Errorf("writes %v", got)
		}
	})
}

// What becomes the last permission while it is being edited.
func TestLastPermissionMeanwhile(t *testing.T) {
	t.Parallel()
	each(t, []sim.Permission{on(admin, "SOURCE a", "SOURCE b")}, func(t *testing.T, srv *sim.Server, e editor) {
		before(t, srv, e.get, 2, e.id, func(held *[]sim.Permission) { *held = []sim.Permission{on(admin, "SOURCE a")} })
		if _, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a")); err != nil {
			t.Fatal(err)
		}
		checkHolds(t, srv, e.id, minimal+" "+everything)
		order := names(srv)
		if i := slices.Index(order, e.put); order[i-1] != e.get {
			t.Errorf("the write came after %s", order[i-1])
		}
	})
}

func TestLastPermissionWithoutMinimalAccess(t *testing.T) {
	t.Parallel()
	each(t, []sim.Permission{on(admin, "SOURCE a")}, func(t *testing.T, srv *sim.Server, e editor) {
		srv.Update(func(ws *sim.Workspace) { ws.Roles = slices.Delete(ws.Roles, 1, 2) })
		_, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a"))
		if !errors.Is(err, segmentapi.ErrLastPermission) || !strings.Contains(err.Error(), "Minimal Workspace Access") {
			t.Error(err)
		}
		checkHolds(t, srv, e.id, admin+" SOURCE a")
		if got := writes(srv); len(got) != 0 {
			t.Errorf("writes %v", got)
		}
	})
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	srv := sim.New(editable(on(admin, "SOURCE a")))
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
	if _, err := c.Users.Revoke(ctx, "owner", assigned(owner, everything)); !errors.Is(err, segmentapi.ErrLastOwner) {
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
	if got := writes(srv); len(got) != 0 {
		t.Errorf("writes %v", got)
	}
	if diff := cmp.Diff(start, srv.Workspace()); diff != "" {
		t.Errorf("workspace (-want +got):\n%s", diff)
	}
	if _, _, err := c.Raw().IAMUsersAPI.DeleteUsers(ctx).UserIds([]string{"u"}).Execute(); err == nil || len(writes(srv)) != 0 {
		t.Errorf("through Raw: %v, writes %v", err, writes(srv))
	}
}

// Each change leaves one line in the log, and what changes nothing leaves none.
func TestAuditLine(t *testing.T) {
	t.Parallel()
	each(t, []sim.Permission{on(minimal, everything)}, func(t *testing.T, srv *sim.Server, e editor) {
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		c := connect(t, srv, fast(), segmentapi.WithLogger(logger))
		e = editors(c)[map[string]string{"u": "user", "g": "group"}[e.id]]
		for range 2 {
			if _, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE a")); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if _, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a")); err != nil {
				t.Fatal(err)
			}
		}
		want := fmt.Sprintf("level=INFO msg=changed operation=%s subject=%q change=\"+ Source Admin on SOURCE a\"\n", e.post, subjectName(e)) +
			fmt.Sprintf("level=INFO msg=changed operation=%s subject=%q change=\"- Source Admin on SOURCE a\"\n", e.put, subjectName(e))
		if diff := cmp.Diff(want, log.String()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

// The line is there as well if nobody knows how a change has ended.
func TestAuditOfWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]error{"who has left": context.Canceled, "who cannot read back": segmentapi.ErrConnection} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, write := range []string{"addPermissionsToUser", "replacePermissionsForUser"} {
				var log bytes.Buffer
				srv := sim.New(editable(on(admin, "SOURCE a"), on(minimal, everything)))
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				c, err := segmentapi.New(srv.Token(), fast(), segmentapi.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
					segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 1}),
					segmentapi.WithHTTPClient(&http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
						written := len(writes(srv)) > 0
						resp, err := srv.RoundTripper().RoundTrip(r)
						if r.Method != http.MethodGet && errors.Is(cause, context.Canceled) {
							leave()
							return nil, ctx.Err()
						}
						if written {
							return nil, errors.New("unplugged")
						}
						return resp, err
					})}))
				if err != nil {
					t.Fatal(err)
				}
				if write == "addPermissionsToUser" {
					_, err = c.Users.Grant(ctx, "u", assigned(admin, "SOURCE b"))
				} else {
					_, err = c.Users.Revoke(ctx, "u", assigned(admin, "SOURCE a"))
				}
				if !errors.Is(err, cause) {
					t.Errorf("%s: %v", write, err)
				}
				if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN") || !strings.Contains(got, "operation="+write) ||
					!strings.Contains(got, `subject="user u"`) || !strings.Contains(got, "Source Admin on SOURCE") && !strings.Contains(got, admin+" on SOURCE") {
					t.Errorf("log:\n%s", got)
				}
			}
		})
	}
}

func subjectName(e editor) string {
	return map[string]string{"u": "user u", "g": "group g"}[e.id]
}

// Edits of one subject wait for each other, across clients with other patience.
// Who leaves while waiting leaves at once.
func TestEditsWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(editable(on(minimal, everything)))
		if err := srv.Inject(sim.Fault{Operation: "getUser", Ordinal: 1, Kind: sim.FaultDelay, Delay: time.Hour}); err != nil {
			t.Fatal(err)
		}
		c := connect(t, srv)
		patient, err := c.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 1, MaxWait: time.Minute})
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
		if _, err = patient.Users.Grant(ctx, "u", assigned(admin, "SOURCE b")); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		if got := names(srv); len(got) != 1 {
			t.Errorf("requests %v", got)
		}
		if err = <-done; err != nil {
			t.Error(err)
		}
		checkHolds(t, srv, "u", admin+" SOURCE a", minimal+" "+everything)
	})
}

// Two hundred edits of one user at once.
func TestNoEditIsLost(t *testing.T) {
	t.Parallel()
	ws := editable(on(minimal, everything))
	var want []string
	for i := range 100 {
		kept, gone := fmt.Sprintf("kept%d", i), fmt.Sprintf("gone%d", i)
		ws.Sources = append(ws.Sources, sim.Source{ID: kept, Slug: kept}, sim.Source{ID: gone, Slug: gone})
		ws.Users[1].Permissions = append(ws.Users[1].Permissions, on(reader, "SOURCE "+gone))
		want = append(want, admin+" SOURCE "+kept)
	}
	srv := sim.New(ws)
	c := connect(t, srv, fast())
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
	checkHolds(t, srv, "u", append(want, minimal+" "+everything)...)
}

// The second POST never arrived, which says nothing of what Segment does.
func TestDoubtThatNothingDispels(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a"), on(minimal, everything)}
	for name, form := range map[string]sim.PostForm{"all": sim.PostReplaces, "the role": sim.PostReplacesRole} {
		for kind, fault := range map[string]sim.Fault{"reset": {Kind: sim.FaultReset}, "500": {Kind: sim.FaultStatus, Status: 500}, "503": {Kind: sim.FaultStatus, Status: 503}, "409": {Kind: sim.FaultStatus, Status: 409}} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				each(t, held, func(t *testing.T, srv *sim.Server, e editor) {
					fault := fault // A copy: user and group run side by side.
					fault.Operation, fault.Ordinal = e.post, 2
					injects(t, srv, fault)
					change, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE c"))
					if err != nil || change.String() != "+ Source Admin on SOURCE c" {
						t.Errorf("%v, %v", change, err)
					}
					checkHolds(t, srv, e.id, admin+" SOURCE a", admin+" SOURCE c", minimal+" "+everything)
					// Nor may the client believe from now on that Segment merges.
					before := holds(srv.Workspace(), e.id)
					if _, err = e.grant(t.Context(), e.id, assigned(admin, "SOURCE d")); err != nil {
						t.Error(err)
					}
					checkHolds(t, srv, e.id, append(before, admin+" SOURCE d")...)
				}, sim.WithPost(form))
			})
		}
	}
}

// What a POST took is given back, also if the PUT has to be sent again, has
// to wait, or if the caller has left meanwhile.
func TestWhatAPostTookIsGivenBack(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a"), on(minimal, everything)}
	for name, faults := range map[string][]sim.Fault{
		"reset after the doubt": {{Ordinal: 2, Kind: sim.FaultReset}},
		"503 at first":          {{Ordinal: 1, Kind: sim.FaultStatus, Status: 503}},
		"500 at first":          {{Ordinal: 1, Kind: sim.FaultStatus, Status: 500}},
		"limit":                 {{Ordinal: 1, Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"30"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(editable(held...), sim.WithPost(sim.PostReplaces))
				for _, f := range faults {
					f.Operation = "replacePermissionsForUser"
					injects(t, srv, f)
				}
				// As the connector does.
				c := connect(t, srv, fast(), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 3, MaxWait: 10 * time.Second}))
				if _, err := c.Users.Grant(t.Context(), "u", assigned(admin, "SOURCE c")); err != nil {
					t.Error(err)
				}
				checkHolds(t, srv, "u", admin+" SOURCE a", admin+" SOURCE c", minimal+" "+everything)
			})
		})
	}
	t.Run("the caller leaves", func(t *testing.T) {
		srv := sim.New(editable(held...), sim.WithPost(sim.PostReplaces))
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		hc := &http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
			if len(writes(srv)) == 1 {
				leave() // At the read back.
			}
			if r.Context().Err() != nil {
				return nil, r.Context().Err()
			}
			return srv.RoundTripper().RoundTrip(r)
		})}
		c, err := segmentapi.New(srv.Token(), segmentapi.WithHTTPClient(hc), fast())
		if err != nil {
			t.Fatal(err)
		}
		if _, err = c.Users.Grant(ctx, "u", assigned(admin, "SOURCE c")); err != nil {
			t.Error(err)
		}
		checkHolds(t, srv, "u", admin+" SOURCE a", admin+" SOURCE c", minimal+" "+everything)
	})
	t.Run("the last owner", func(t *testing.T) {
		srv := sim.New(owned(func(ws *sim.Workspace) { makeOwner(ws, "u") }), sim.WithPost(sim.PostReplaces))
		injects(t, srv, sim.Fault{Operation: "replacePermissionsForUser", Ordinal: 1, Kind: sim.FaultStatus, Status: 500})
		if _, err := connect(t, srv, fast()).Users.Grant(t.Context(), "u", assigned(reader, "SOURCE a")); err != nil {
			t.Error(err)
		}
		if got := owners(srv.Workspace()); len(got) == 0 {
			t.Error("nobody owns the workspace")
		}
	})
}

// The write that puts Minimal Workspace Access in the place of everything
// was carried out, its answer was lost.
func TestLastPermissionWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	each(t, []sim.Permission{on(admin, "SOURCE a")}, func(t *testing.T, srv *sim.Server, e editor) {
		injects(t, srv, sim.Fault{Operation: e.put, Ordinal: 1, Kind: sim.FaultDrop})
		change, err := e.edit(t.Context(), e.id, segmentapi.RevokeFunc(func(segmentapi.Assignment) bool { return true }))
		if err != nil || change.String() != "+ Minimal Workspace Access on WORKSPACE ws; - Source Admin on SOURCE a" {
			t.Errorf("%v, %v", change, err)
		}
		checkHolds(t, srv, e.id, minimal+" "+everything)
	})
}

// An edit may change labels in place: what it is given is its own.
func TestEditOfLabelsInPlace(t *testing.T) {
	t.Parallel()
	each(t, []sim.Permission{on(admin, everything+" env=prod")}, func(t *testing.T, srv *sim.Server, e editor) {
		change, err := e.edit(t.Context(), e.id, func(held []segmentapi.Assignment) []segmentapi.Assignment {
			for _, a := range held {
				for i := range a.Scope.Labels {
					a.Scope.Labels[i].Value = "dev"
				}
			}
			return held
		})
		t.Log(change, err)
		checkHolds(t, srv, e.id, admin+" "+everything+" env=dev")
	})
}

// What one write gave and the next took, or the other way round, is no
// difference.
func TestWritesThatCancelEachOther(t *testing.T) {
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
			[]sim.Permission{on(reader, "SOURCE b"), on(minimal, everything)},
			func(held []segmentapi.Assignment) []segmentapi.Assignment {
				if has(held, key) {
					return segmentapi.Grant(what)(held)
				}
				return segmentapi.Revoke(what)(held)
			},
			func(e editor) []string { return []string{e.post, e.put} },
			[]string{minimal + " " + everything},
		},
		"taken and given": {
			[]sim.Permission{on(reader, "SOURCE b"), on(minimal, everything), on(admin, "SOURCE a")},
			func(held []segmentapi.Assignment) []segmentapi.Assignment {
				if has(held, key) {
					return segmentapi.Revoke(what)(held)
				}
				return segmentapi.Grant(what)(held)
			},
			func(e editor) []string { return []string{e.put, e.post} },
			[]string{admin + " SOURCE a", minimal + " " + everything},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, c.held, func(t *testing.T, srv *sim.Server, e editor) {
				// When the first write is read back, somebody has taken what the edit goes by.
				first := c.writes(e)[0]
				ordinal := map[string]int{e.post: 2, e.put: 3}[first]
				before(t, srv, e.get, ordinal, e.id, func(held *[]sim.Permission) {
					*held = slices.DeleteFunc(slices.Clone(*held), func(p sim.Permission) bool { return p.RoleID == reader })
				})
				change, err := e.edit(t.Context(), e.id, c.edit)
				if err != nil || !change.Empty() {
					t.Errorf("%v, %v", change, err)
				}
				if got := writes(srv); !slices.Equal(got, c.writes(e)) {
					t.Errorf("writes %v", got)
				}
				checkHolds(t, srv, e.id, c.want...)
			})
		})
	}
}

// A POST that replaces the role is put right; what somebody else has taken of
// another role at that moment is not given back.
func TestPostThatReplacesAtABadMoment(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a"), on(reader, "SOURCE e"), on(minimal, everything)}
	each(t, held, func(t *testing.T, srv *sim.Server, e editor) {
		before(t, srv, e.post, 1, e.id, func(held *[]sim.Permission) {
			*held = slices.DeleteFunc(slices.Clone(*held), func(p sim.Permission) bool { return p.RoleID == reader })
		})
		change, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE c"))
		if err != nil || change.String() != "+ Source Admin on SOURCE c" {
			t.Errorf("%v, %v", change, err)
		}
		checkHolds(t, srv, e.id, admin+" SOURCE a", admin+" SOURCE c", minimal+" "+everything)
	}, sim.WithPost(sim.PostReplacesRole))
}

// A replacement that the limit refuses is sent as often as the policy says.
func TestPutKeepsToMaxAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(editable(on(minimal, everything), on(admin, "SOURCE a")))
		injects(t, srv, sim.Fault{Operation: "replacePermissionsForUser", Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"0"}}})
		c := connect(t, srv, segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 3, MaxWait: 65 * time.Second}))
		_, err := c.Users.Revoke(t.Context(), "u", assigned(admin, "SOURCE a"))
		if n := operations(srv)["replacePermissionsForUser"]; n > 3 {
			t.Errorf("sent %d times: %v", n, err)
		}
	})
}

// What the limit has refused was not sent: Minimal Workspace Access, which is
// to go, does not stand in its own place.
func TestRefusedPutIsNotSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(editable(on(minimal, everything), on(admin, "SOURCE a")))
		injects(t, srv, sim.Fault{Operation: "replacePermissionsForUser", Ordinal: 1, Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"10"}}})
		meanwhile(srv, func(ws *sim.Workspace) {
			edited(ws, "u", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, everything)} })
		})
		d, err := connect(t, srv).Users.Revoke(t.Context(), "u", assigned(minimal, everything))
		t.Log(d, err, holds(srv.Workspace(), "u"))
		if !errors.Is(err, segmentapi.ErrLastPermission) {
			t.Errorf("it is still held, but: %v, %v", d, err)
		}
	})
}

// The same where what was sent has come to nothing.
func TestFailedPutIsNotMinimal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(editable(on(minimal, everything), on(admin, "SOURCE a")))
		injects(t, srv, sim.Fault{Operation: "replacePermissionsForUser", Ordinal: 1, Kind: sim.FaultStatus, Status: 503})
		edits(t, srv, "getUser", 3, func(ws *sim.Workspace) {
			edited(ws, "u", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, everything)} })
		})
		d, err := connect(t, srv).Users.Revoke(t.Context(), "u", assigned(minimal, everything))
		if !errors.Is(err, segmentapi.ErrLastPermission) {
			t.Errorf("it is still held (%v), but: %v, %v", holds(srv.Workspace(), "u"), d, err)
		}
	})
}
