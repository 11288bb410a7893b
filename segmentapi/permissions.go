package segmentapi

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// An Assignment is one role held on one scope. Permissions consist of assignments,
// and are compared and edited as assignments.
type Assignment struct {
	RoleID string
	// RoleName is for display. It is ignored in comparisons and not written.
	RoleName string
	Scope    Scope
}

// Assignments splits permissions: each role on each scope once, in their order. A
// permission without a scope yields no assignment.
func Assignments(permissions []Permission) []Assignment {
	var all []Assignment
	for _, p := range permissions {
		for _, s := range p.Scopes {
			all = append(all, Assignment{RoleID: p.RoleID, RoleName: p.RoleName, Scope: s})
		}
	}
	return union(nil, all)
}

// Permissions groups assignments in the form in which they are written: one
// permission for each role and set of labels, each scope once. It keeps the order,
// and everything in a scope, its labels above all.
//
// Segment documents neither a role in two permissions nor scopes with different
// labels in one permission. Both are read, and written in this form.
func Permissions(assignments []Assignment) []Permission {
	type group struct{ roleID, labels string }
	at := map[group]int{}
	var permissions []Permission
	for _, a := range union(nil, assignments) {
		key := group{a.RoleID, labelsKey(a.Scope.Labels)}
		i, ok := at[key]
		if !ok {
			i = len(permissions)
			at[key] = i
			permissions = append(permissions, Permission{RoleID: a.RoleID})
		}
		permissions[i].RoleName = cmp.Or(permissions[i].RoleName, a.RoleName)
		permissions[i].Scopes = append(permissions[i].Scopes, a.Scope)
	}
	return permissions
}

// Same reports whether a and b are the same role on the same scope. Labels are
// a set of keys and values. The id of a space is the same with and without its
// prefix "spa_", as Segment writes both.
func (a Assignment) Same(b Assignment) bool { return a.key() == b.key() }

type assignmentKey struct{ roleID, scopeType, scopeID, labels string }

func (a Assignment) key() assignmentKey {
	id := a.Scope.ID
	if a.Scope.Type == ScopeSpace {
		id = strings.TrimPrefix(id, "spa_")
	}
	return assignmentKey{a.RoleID, string(a.Scope.Type), id, labelsKey(a.Scope.Labels)}
}

// fact is the name under which the memory of own writes has an assignment.
func (a Assignment) fact() string {
	key := a.key()
	return strings.Join([]string{key.roleID, key.scopeType, key.scopeID, key.labels}, "\n")
}

// hasFact reports whether the assignment with this fact is among held.
func hasFact(held []Assignment, name string) bool {
	return slices.ContainsFunc(held, func(a Assignment) bool { return a.fact() == name })
}

// covers reports whether a is the same role as b on more than b: on the whole
// workspace, or on the same resource with fewer labels.
func (a Assignment) covers(b Assignment) bool {
	return a.RoleID == b.RoleID && !a.Same(b) && workspaceWide(a) || a.hasFewerLabels(b)
}

// hasFewerLabels reports whether a is b without some of its labels.
func (a Assignment) hasFewerLabels(b Assignment) bool {
	bare := func(a Assignment) assignmentKey {
		key := a.key()
		key.labels = ""
		return key
	}
	return bare(a) == bare(b) && !a.Same(b) && !slices.ContainsFunc(a.Scope.Labels, func(l Label) bool {
		return !slices.ContainsFunc(b.Scope.Labels, func(other Label) bool { return l.Key == other.Key && l.Value == other.Value })
	})
}

func labelsKey(labels []Label) string {
	pairs := make([]string, len(labels))
	for i, l := range labels {
		pairs[i] = strconv.Quote(l.Key) + "=" + strconv.Quote(l.Value)
	}
	slices.Sort(pairs)
	return strings.Join(slices.Compact(pairs), ",")
}

// String names the role and the scope on one line.
func (a Assignment) String() string {
	s := strings.TrimSuffix(fmt.Sprintf("%s on %s %s", cmp.Or(a.RoleName, a.RoleID), a.Scope.Type, a.Scope.ID), " ")
	for i, l := range a.Scope.Labels {
		s += []string{" with ", " and "}[min(i, 1)] + l.Key + "=" + l.Value
	}
	return s
}

// checkIDs refuses assignments that nobody can hold.
func (a Assignment) checkIDs() error {
	switch {
	case a.RoleID == "":
		return invalidArgument("an assignment has no role id")
	case a.Scope.Type == "" || a.Scope.ID == "" && !needsWorkspace(a):
		return invalidArgument("the assignment of role %s has a scope without type or id", a.RoleID)
	}
	return nil
}

// check refuses assignments that must not be sent.
func (a Assignment) check() error {
	if err := a.checkIDs(); err != nil {
		return err
	}
	if len(a.Scope.Labels) > 0 && a.Scope.Type != ScopeWorkspace {
		return invalidArgument("the assignment of role %s has labels on a scope of type %s: labels restrict the workspace only", a.RoleID, a.Scope.Type)
	}
	for _, l := range a.Scope.Labels {
		if l.Key == "" || l.Value == "" {
			return invalidArgument("the assignment of role %s has a label without key or value", a.RoleID)
		}
	}
	return nil
}

func checkAssignments(assignments []Assignment) error {
	if len(assignments) == 0 {
		return invalidArgument("no assignments: name at least one")
	}
	for _, a := range assignments {
		if err := a.check(); err != nil {
			return err
		}
	}
	return nil
}

// union returns held and those of more that are not in it, each once.
func union(held, more []Assignment) []Assignment {
	var all []Assignment
	seen := map[assignmentKey]bool{}
	for _, a := range slices.Concat(held, more) {
		if key := a.key(); !seen[key] {
			seen[key] = true
			all = append(all, a)
		}
	}
	return all
}

// without returns those of held that are not in removed.
func without(held, removed []Assignment) []Assignment {
	return slices.DeleteFunc(slices.Clone(held), isIn(removed))
}

// matching returns those of held that match.
func matching(held []Assignment, match func(Assignment) bool) []Assignment {
	var found []Assignment
	for _, a := range held {
		if match(a) {
			found = append(found, a)
		}
	}
	return found
}

// isIn returns a function that reports whether an assignment is in set.
func isIn(set []Assignment) func(Assignment) bool {
	keys := make(map[assignmentKey]bool, len(set))
	for _, a := range set {
		keys[a.key()] = true
	}
	return func(a Assignment) bool { return keys[a.key()] }
}

// A Difference is the difference between two sets of assignments.
type Difference struct {
	Added   []Assignment
	Removed []Assignment
}

// Compare returns what must be added to and removed from before to get after.
func Compare(before, after []Assignment) Difference {
	return Difference{
		Added:   union(nil, without(after, before)),
		Removed: union(nil, without(before, after)),
	}
}

// Empty reports whether nothing is added and nothing removed.
func (d Difference) Empty() bool { return len(d.Added) == 0 && len(d.Removed) == 0 }

// Apply returns held after the difference.
func (d Difference) Apply(held []Assignment) []Assignment {
	return union(without(held, d.Removed), d.Added)
}

// then combines d and a later difference.
func (d Difference) then(next Difference) Difference {
	return Difference{
		Added:   union(without(d.Added, next.Removed), without(next.Added, d.Removed)),
		Removed: union(without(d.Removed, next.Added), without(next.Removed, d.Added)),
	}
}

// String lists what is added and removed on one line.
func (d Difference) String() string {
	if d.Empty() {
		return "no difference"
	}
	var parts []string
	for _, a := range d.Added {
		parts = append(parts, "+ "+a.String())
	}
	for _, a := range d.Removed {
		parts = append(parts, "- "+a.String())
	}
	return strings.Join(parts, "; ")
}

// An Edit returns what a user or a group is to hold, given what it holds. It must
// be pure, because it may be called several times, and idempotent: applied to its
// own result, it must return the same.
type Edit func(held []Assignment) []Assignment

// Grant returns the edit that adds assignments.
func Grant(assignments ...Assignment) Edit {
	return func(held []Assignment) []Assignment { return union(held, assignments) }
}

// Revoke returns the edit that removes assignments and nothing else: the role is
// kept on other scopes, and on the same scope with other labels. A workspace without an id
// is the one that the held assignments name.
func Revoke(assignments ...Assignment) Edit {
	return func(held []Assignment) []Assignment { return without(held, withWorkspaceOf(held, assignments)) }
}

// RevokeFunc returns the edit that removes the assignments that match.
func RevokeFunc(match func(Assignment) bool) Edit {
	return func(held []Assignment) []Assignment { return slices.DeleteFunc(slices.Clone(held), match) }
}
