package segmentapi_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

func TestScopes(t *testing.T) {
	t.Parallel()
	prod, growth := segmentapi.Label{Key: "env", Value: "prod"}, segmentapi.Label{Key: "team", Value: "growth"}
	for name, c := range map[string]struct{ got, want segmentapi.Scope }{
		"workspace":  {segmentapi.OnWorkspace(), segmentapi.Scope{Type: segmentapi.ScopeWorkspace}},
		"label":      {segmentapi.OnLabels(prod), segmentapi.Scope{Type: segmentapi.ScopeWorkspace, Labels: []segmentapi.Label{prod}}},
		"two labels": {segmentapi.OnLabels(prod, growth), segmentapi.Scope{Type: segmentapi.ScopeWorkspace, Labels: []segmentapi.Label{prod, growth}}},
		"source":     {segmentapi.OnSource("a"), segmentapi.Scope{Type: segmentapi.ScopeSource, ID: "a"}},
		"function":   {segmentapi.OnFunction("a"), segmentapi.Scope{Type: segmentapi.ScopeFunction, ID: "a"}},
		"space":      {segmentapi.OnSpace("a"), segmentapi.Scope{Type: segmentapi.ScopeSpace, ID: "a"}},
		"warehouse":  {segmentapi.OnWarehouse("a"), segmentapi.Scope{Type: segmentapi.ScopeWarehouse, ID: "a"}},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Changes on a workspace without an id are on the workspace of the token, whatever is held
// already. The Edit that revokes does without a request: what is held has the id.
func TestOnWorkspace(t *testing.T) {
	t.Parallel()
	whole := segmentapi.Assignment{RoleID: admin, Scope: segmentapi.OnWorkspace()}
	labeled := segmentapi.Assignment{RoleID: admin, Scope: segmentapi.OnLabels(segmentapi.Label{Key: "env", Value: "prod"})}
	const onProd = wholeWorkspace + " env=prod"
	grant := func(t *testing.T, e editor, a segmentapi.Assignment) (segmentapi.Difference, error) {
		return e.grant(t.Context(), e.id, a)
	}
	revoke := func(t *testing.T, e editor, a segmentapi.Assignment) (segmentapi.Difference, error) {
		return e.revoke(t.Context(), e.id, a)
	}
	replace := func(t *testing.T, e editor, a segmentapi.Assignment) (segmentapi.Difference, error) {
		return e.replace(t.Context(), e.id, segmentapi.Permissions([]segmentapi.Assignment{a}))
	}
	edit := func(of func(...segmentapi.Assignment) segmentapi.Edit) func(*testing.T, editor, segmentapi.Assignment) (segmentapi.Difference, error) {
		return func(t *testing.T, e editor, a segmentapi.Assignment) (segmentapi.Difference, error) {
			return e.edit(t.Context(), e.id, of(a))
		}
	}
	for name, c := range map[string]struct {
		held    []sim.Permission
		do      func(*testing.T, editor, segmentapi.Assignment) (segmentapi.Difference, error)
		what    segmentapi.Assignment
		left    []string
		lookups int
		same    bool
	}{
		"grant":                   {[]sim.Permission{on(reader, "SOURCE a")}, grant, whole, []string{reader + " SOURCE a", heldAdmin}, 1, false},
		"grant on a label":        {[]sim.Permission{on(reader, "SOURCE a")}, grant, labeled, []string{reader + " SOURCE a", admin + " " + onProd}, 1, false},
		"grant beside another":    {[]sim.Permission{on(minimal, wholeWorkspace)}, grant, whole, []string{heldMinimal, heldAdmin}, 1, false},
		"grant what is held":      {[]sim.Permission{on(admin, wholeWorkspace)}, grant, whole, []string{heldAdmin}, 1, true},
		"edit that grants":        {[]sim.Permission{on(reader, "SOURCE a")}, edit(segmentapi.Grant), whole, []string{reader + " SOURCE a", heldAdmin}, 1, false},
		"revoke":                  {[]sim.Permission{on(admin, wholeWorkspace, "SOURCE a", onProd)}, revoke, whole, []string{admin + " SOURCE a", admin + " " + onProd}, 1, false},
		"revoke on a label":       {[]sim.Permission{on(admin, wholeWorkspace, onProd)}, revoke, labeled, []string{heldAdmin}, 1, false},
		"revoke what is not":      {[]sim.Permission{on(admin, "SOURCE a")}, revoke, whole, []string{admin + " SOURCE a"}, 1, true},
		"edit beside another":     {[]sim.Permission{on(minimal, wholeWorkspace)}, edit(segmentapi.Grant), whole, []string{heldMinimal, heldAdmin}, 1, false},
		"edit beside a stranger":  {[]sim.Permission{on(minimal, "WORKSPACE other"), on(reader, wholeWorkspace)}, edit(segmentapi.Grant), whole, []string{minimal + " WORKSPACE other", reader + " " + wholeWorkspace, heldAdmin}, 1, false},
		"grant beside a stranger": {[]sim.Permission{on(minimal, "WORKSPACE other")}, grant, whole, []string{minimal + " WORKSPACE other", heldAdmin}, 1, false},
		"edit that revokes":       {[]sim.Permission{on(admin, wholeWorkspace, onProd)}, edit(segmentapi.Revoke), whole, []string{admin + " " + onProd}, 0, false},
		"replace":                 {[]sim.Permission{on(reader, "SOURCE a")}, replace, labeled, []string{admin + " " + onProd}, 1, false},
		"replace with the same":   {[]sim.Permission{on(admin, wholeWorkspace)}, replace, whole, []string{heldAdmin}, 1, true},
		"replace and keep some":   {[]sim.Permission{on(admin, wholeWorkspace), on(reader, wholeWorkspace)}, replace, whole, []string{heldAdmin}, 1, false},
		"grant and need nothing":  {[]sim.Permission{on(admin, onProd)}, grant, labeled, []string{admin + " " + onProd}, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forUserAndGroup(t, c.held, func(t *testing.T, srv *sim.Server, e editor) {
				change, err := c.do(t, e, c.what)
				if err != nil || change.Empty() != c.same {
					t.Errorf("%v, %v", change, err)
				}
				for _, a := range change.Added {
					if a.Scope.ID == "" {
						t.Errorf("added without an id: %v", a)
					}
				}
				checkHolds(t, srv, e.id, c.left...)
				if got := simtest.Count(srv.Journal())["getWorkspace"]; got != c.lookups {
					t.Errorf("the workspace was read %d times, want %d", got, c.lookups)
				}
			})
		})
	}
}

// The id of the workspace is asked for once. If that fails, nothing is written.
func TestOnWorkspace_Lookup(t *testing.T) {
	t.Parallel()
	srv := sim.New(testWorkspace(on(reader, "SOURCE a")))
	simtest.Inject(t, srv, sim.Fault{Operation: "getWorkspace", Ordinal: 1, Kind: sim.FaultStatus, Status: http.StatusForbidden})
	c := connect(t, srv, unspacedWrites())
	whole := segmentapi.Assignment{RoleID: admin, Scope: segmentapi.OnWorkspace()}
	if _, err := c.Users.Grant(t.Context(), "u", whole); !errors.Is(err, segmentapi.ErrForbidden) {
		t.Errorf("without the workspace: %v", err)
	}
	if got := simtest.Writes(srv.Journal()); len(got) != 0 {
		t.Errorf("written: %v", got)
	}
	for _, grant := range []func() (segmentapi.Difference, error){
		func() (segmentapi.Difference, error) { return c.Users.Grant(t.Context(), "u", whole) },
		func() (segmentapi.Difference, error) { return c.Groups.Grant(t.Context(), "g", whole) },
	} {
		if _, err := grant(); err != nil {
			t.Error(err)
		}
	}
	if got := simtest.Count(srv.Journal())["getWorkspace"]; got != 2 {
		t.Errorf("the workspace was read %d times, want 2", got)
	}
}

// An invite may be for the workspace without its id.
func TestOnWorkspace_Invite(t *testing.T) {
	t.Parallel()
	srv := sim.New(inviting())
	c := connect(t, srv, unspacedWrites())
	label := segmentapi.Label{Key: "env", Value: "prod"}
	if _, err := c.Invites.Create(t.Context(), segmentapi.Invitation{Email: newcomer, Permissions: []segmentapi.Permission{
		{RoleID: reader, Scopes: []segmentapi.Scope{segmentapi.OnWorkspace()}}, {RoleID: admin, Scopes: []segmentapi.Scope{segmentapi.OnLabels(label)}},
	}}); err != nil {
		t.Fatal(err)
	}
	invites := srv.Workspace().Invites
	want := []sim.Permission{on(reader, wholeWorkspace), on(admin, wholeWorkspace+" env=prod")}
	got := invites[len(invites)-1].Permissions
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("permissions of the invite (-want +got):\n%s", diff)
	}
}
