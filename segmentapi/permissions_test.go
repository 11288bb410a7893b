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

// drawAssignments repeats some of what it draws, and of more, in other words.
func drawAssignments(t *rapid.T, what string, more ...segmentapi.Assignment) []segmentapi.Assignment {
	all := rapid.SliceOfN(rapid.Custom(drawAssignment), 0, 4).Draw(t, what)
	for pool := slices.Concat(all, more); len(pool) > 0 && rapid.Bool().Draw(t, "again"); {
		all = append(all, reworded(t, rapid.SampledFrom(pool).Draw(t, "what")))
	}
	return all
}

// reworded says the same in other words.
func reworded(t *rapid.T, a segmentapi.Assignment) segmentapi.Assignment {
	a.RoleName = rapid.SampledFrom([]string{"", "Role"}).Draw(t, "name")
	if id := strings.TrimPrefix(a.Scope.ID, "spa_"); a.Scope.Type == "SPACE" {
		a.Scope.ID = rapid.SampledFrom([]string{id, "spa_" + id}).Draw(t, "id")
	}
	if n := len(a.Scope.Labels); n > 0 {
		a.Scope.Labels = append(rapid.Permutation(a.Scope.Labels).Draw(t, "order"), a.Scope.Labels[rapid.IntRange(0, n-1).Draw(t, "twice")])
	}
	return a
}

func TestAssignmentsCompareAsSets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := drawAssignments(t, "all")
		for _, a := range all {
			for _, b := range all {
				if a.Same(b) != (line(a) == line(b)) {
					t.Fatalf("%+v and %+v: same %t", a, b, a.Same(b))
				}
			}
		}
	})
}

// Each case is a pair that must be the same, or must differ.
func TestAssignment_Same(t *testing.T) {
	t.Parallel()
	restricted := func(labels ...segmentapi.Label) segmentapi.Assignment {
		return segmentapi.Assignment{RoleID: "r", Scope: segmentapi.Scope{Type: "WORKSPACE", ID: "ws", Labels: labels}}
	}
	label := func(key, value string) segmentapi.Label { return segmentapi.Label{Key: key, Value: value} }
	named := assigned("r", "SOURCE a")
	named.RoleName = "Role"
	for name, c := range map[string]struct {
		a, b segmentapi.Assignment
		same bool
	}{
		"labels in another order": {restricted(label("a", "b"), label("c", "d")), restricted(label("c", "d"), label("a", "b")), true},
		"a label twice":           {restricted(label("a", "b"), label("c", "d"), label("a", "b")), restricted(label("a", "b"), label("c", "d")), true},
		"described labels":        {restricted(segmentapi.Label{Key: "a", Value: "b", Description: "text"}), restricted(label("a", "b")), true},
		"named role":              {named, assigned("r", "SOURCE a"), true},
		"space with prefix":       {assigned("r", "SPACE spa_a"), assigned("r", "SPACE a"), true},
		"source with prefix":      {assigned("r", "SOURCE spa_a"), assigned("r", "SOURCE a"), false},
		"no labels":               {restricted(label("a", "b")), restricted(), false},
		"fewer labels":            {restricted(label("a", "b"), label("c", "d")), restricted(label("a", "b")), false},
		"equals sign":             {restricted(label("a=b", "c")), restricted(label("a", "b=c")), false},
		"comma":                   {restricted(label("a", "b"), label("c", "d")), restricted(label("a", "b,c=d")), false},
		"quotation marks":         {restricted(label(`a"="b`, "c")), restricted(label("a", `b"="c`)), false},
		"other case":              {restricted(label("a", "b")), restricted(label("A", "b")), false},
		"another role":            {assigned("r", "SOURCE a"), assigned("r2", "SOURCE a"), false},
		"another type":            {assigned("r", "SOURCE a"), assigned("r", "WAREHOUSE a"), false},
		"another id":              {assigned("r", "SOURCE a"), assigned("r", "SOURCE b"), false},
	} {
		if c.a.Same(c.b) != c.same || c.b.Same(c.a) != c.same {
			t.Errorf("%s: %v and %v: same %t, want %t", name, c.a, c.b, !c.same, c.same)
		}
	}
}

// Split and grouped again, permissions are the same set, in the form that is written:
// each role once for each set of labels, each scope once.
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
		normal := segmentapi.Permissions(held)
		scopes := 0
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
			scopes += len(p.Scopes)
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
		if scopes != len(apart) {
			t.Fatalf("%d scopes in %+v, want %d", scopes, normal, len(apart))
		}
		if diff := cmp.Diff(lines(held), lines(segmentapi.Assignments(normal))); diff != "" {
			t.Fatalf("together (-want +got):\n%s", diff)
		}
	})
}

func TestDifferences(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before := drawAssignments(t, "before")
		after := drawAssignments(t, "after", before...)
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

// An edit changes the assignments that it names, once or twice alike, and nothing else:
// the others keep their labels. A workspace without an id is revoked where it is held.
func TestEditFuncs_ChangeOnlyTheirAssignments(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		held := slices.DeleteFunc(drawAssignments(t, "held"), func(a segmentapi.Assignment) bool { return a.Scope.Type == "WORKSPACE" && a.Scope.ID == "" })
		named := drawAssignments(t, "named", held...)
		start := slices.Clone(held)
		grant, revoke := segmentapi.Grant(named...), segmentapi.Revoke(named...)
		want := lines(held)
		maps.Copy(want, lines(named))
		if diff := cmp.Diff(want, lines(grant(held))); diff != "" {
			t.Fatalf("granted (-want +got):\n%s", diff)
		}
		ids := map[string]bool{}
		for _, a := range held {
			if a.Scope.Type == "WORKSPACE" {
				ids[a.Scope.ID] = true
			}
		}
		named = slices.Clone(named)
		for i := range named {
			if named[i].Scope.Type == "WORKSPACE" && named[i].Scope.ID == "" && len(ids) == 1 {
				named[i].Scope.ID = slices.Collect(maps.Keys(ids))[0]
			}
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

func TestDifference_String(t *testing.T) {
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
