package segmentapi_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// line is an assignment in the words of these tests: they must not compare as
// the library does. The parts are in a form in which none can pass for two.
func line(a segmentapi.Assignment) string {
	set := map[string]bool{}
	for _, l := range a.Scope.Labels {
		set[fmt.Sprintf("%d:%s%d:%s", len(l.Key), l.Key, len(l.Value), l.Value)] = true
	}
	id := a.Scope.ID
	if a.Scope.Type == "SPACE" && strings.HasPrefix(id, "spa_") {
		id = id[len("spa_"):]
	}
	return fmt.Sprintf("%d:%s%d:%s%d:%s%v", len(a.RoleID), a.RoleID, len(a.Scope.Type), a.Scope.Type, len(id), id, slices.Sorted(maps.Keys(set)))
}

func lines(as []segmentapi.Assignment) map[string]bool {
	set := map[string]bool{}
	for _, a := range as {
		set[line(a)] = true
	}
	return set
}

// drawAssignment has few values, so that they meet, and such as would run
// together.
func drawAssignment(t *rapid.T) segmentapi.Assignment {
	few := func(what string, values ...string) string { return rapid.SampledFrom(values).Draw(t, what) }
	a := segmentapi.Assignment{
		RoleID:   few("role", "r", "r2", ""),
		RoleName: few("name", "", "Role"),
		Scope:    segmentapi.Scope{Type: segmentapi.ScopeType(few("type", "WORKSPACE", "SOURCE", "SPACE", "GALAXY")), ID: few("id", "x", "spa_x", "y", "")},
	}
	for range rapid.IntRange(0, 3).Draw(t, "labels") {
		a.Scope.Labels = append(a.Scope.Labels, segmentapi.Label{
			Key: few("key", "a", "a=b", `a"`, "a,b"), Value: few("value", "b", "=b", `"b`, "b,a"), Description: few("description", "", "text"),
		})
	}
	return a
}

func drawAssignments(t *rapid.T, what string) []segmentapi.Assignment {
	return rapid.SliceOfN(rapid.Custom(drawAssignment), 0, 6).Draw(t, what)
}

func TestAssignmentsCompareAsSets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawAssignment(t), drawAssignment(t)
		if a.Same(b) != (line(a) == line(b)) {
			t.Fatalf("%+v and %+v: same %t", a, b, a.Same(b))
		}
	})
}

// Taken apart and put together, permissions are the same set, in the form that
// is written: each role once for each set of labels, each scope once.
func TestPermissionsInNormalForm(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		held := drawAssignments(t, "held")
		var permissions []segmentapi.Permission
		for _, a := range held { // Repeated roles and mixed scopes, at random.
			if n := len(permissions); n > 0 && permissions[n-1].RoleID == a.RoleID && rapid.Bool().Draw(t, "together") {
				permissions[n-1].Scopes = append(permissions[n-1].Scopes, a.Scope)
			} else {
				permissions = append(permissions, segmentapi.Permission{RoleID: a.RoleID, RoleName: a.RoleName, Scopes: []segmentapi.Scope{a.Scope}})
			}
		}
		permissions = append(permissions, segmentapi.Permission{RoleID: "gives nothing"})
		apart := segmentapi.Assignments(permissions)
		if diff := cmp.Diff(lines(held), lines(apart)); diff != "" {
			t.Fatalf("apart (-want +got):\n%s", diff)
		}
		if len(apart) != len(lines(held)) {
			t.Fatalf("%d assignments, want %d", len(apart), len(lines(held)))
		}
		normal := segmentapi.Permissions(apart)
		seen := map[string]bool{}
		for _, p := range normal {
			if len(p.Scopes) == 0 {
				t.Fatalf("%+v has no scope", p)
			}
			key := line(segmentapi.Assignment{RoleID: p.RoleID, Scope: segmentapi.Scope{Labels: p.Scopes[0].Labels}})
			if seen[key] {
				t.Fatalf("twice in %+v: the role and labels of %+v", normal, p)
			}
			seen[key] = true
			for _, s := range p.Scopes {
				if line(segmentapi.Assignment{RoleID: p.RoleID, Scope: segmentapi.Scope{Labels: s.Labels}}) != key {
					t.Fatalf("%+v has scopes with several sets of labels", p)
				}
				// Word for word one of those that were held.
				if !slices.ContainsFunc(held, func(a segmentapi.Assignment) bool { return a.RoleID == p.RoleID && cmp.Equal(a.Scope, s) }) {
					t.Fatalf("%+v was not held", s)
				}
			}
		}
		if diff := cmp.Diff(lines(held), lines(segmentapi.Assignments(normal))); diff != "" {
			t.Fatalf("together (-want +got):\n%s", diff)
		}
	})
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before, after := drawAssignments(t, "before"), drawAssignments(t, "after")
		d := segmentapi.Compare(before, after)
		if diff := cmp.Diff(lines(after), lines(d.Apply(before))); diff != "" {
			t.Fatalf("applied (-want +got):\n%s", diff)
		}
		if d.Empty() != cmp.Equal(lines(before), lines(after)) {
			t.Fatalf("empty %t", d.Empty())
		}
		for added := range lines(d.Added) {
			if lines(before)[added] || !lines(after)[added] {
				t.Fatalf("%s is not added", added)
			}
		}
		for removed := range lines(d.Removed) {
			if !lines(before)[removed] || lines(after)[removed] {
				t.Fatalf("%s is not removed", removed)
			}
		}
	})
}

// An edit changes what it names, twice as much as once, and nothing else: the
// labels of what is left are those that it had.
func TestEditsChangeWhatTheyName(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		held, named := drawAssignments(t, "held"), drawAssignments(t, "named")
		start := slices.Clone(held)
		grant, revoke := segmentapi.Grant(named...), segmentapi.Revoke(named...)
		want := lines(held)
		maps.Copy(want, lines(named))
		if diff := cmp.Diff(want, lines(grant(held))); diff != "" {
			t.Fatalf("granted (-want +got):\n%s", diff)
		}
		want = lines(held)
		maps.DeleteFunc(want, func(l string, _ bool) bool { return lines(named)[l] })
		if diff := cmp.Diff(want, lines(revoke(held))); diff != "" {
			t.Fatalf("revoked (-want +got):\n%s", diff)
		}
		for _, edit := range []segmentapi.Edit{grant, revoke} {
			if diff := cmp.Diff(lines(edit(held)), lines(edit(edit(held)))); diff != "" {
				t.Fatalf("twice (-want +got):\n%s", diff)
			}
		}
		if diff := cmp.Diff(start, held); diff != "" {
			t.Fatalf("held was changed (-want +got):\n%s", diff)
		}
	})
}

func TestDifferenceAsText(t *testing.T) {
	t.Parallel()
	restricted := assigned("r", "WORKSPACE ws env=prod team=growth")
	restricted.RoleName = "Source Admin"
	for want, d := range map[string]segmentapi.Difference{
		"no difference": {},
		"+ Source Admin on WORKSPACE ws with env=prod and team=growth; - r on SOURCE a": {
			Added: []segmentapi.Assignment{restricted}, Removed: []segmentapi.Assignment{assigned("r", "SOURCE a")},
		},
	} {
		if got := d.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
