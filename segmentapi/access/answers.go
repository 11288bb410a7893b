package access

import (
	"cmp"
	"slices"
	"strings"
)

// When is a condition of a [Path].
type When string

// The conditions. IfLabeled is for spaces and roles that are held on labels: Segment
// does not show which labels a space carries. It takes precedence over WhenAccepted.
const (
	Now          When = "now"
	WhenAccepted When = "accepted"
	IfLabeled    When = "if labeled"
)

// A RoleRef is the role of a [Path].
type RoleRef struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// memberRole stands for the membership in a group.
var memberRole = RoleRef{ID: "member", Name: "Member"}

// A Path is one way in which a person reaches something: the person holds a role, or is
// in a group that holds it, on something that is or includes what is reached. To take
// the access away, every path must be cut: at HeldOn, or at Group.
type Path struct {
	// Workspace is the workspace that the path is in, where an answer combines the paths
	// of several. It is nil in the answers of one [Snapshot].
	Workspace *Thing `json:"workspace,omitempty"`

	Person Person  `json:"person"`
	Role   RoleRef `json:"role"`
	// HeldOn is the workspace, a set of labels, or a single resource. For a membership
	// it is the group.
	HeldOn Thing `json:"held_on"`
	// Group is the group that holds the role, or nil if the person does.
	Group *Thing `json:"group,omitempty"`
	When  When   `json:"when"`
	// Resource is what is reached, in answers of [Snapshot.What]: the workspace or a set
	// of labels stands for all that it includes. Answers over several workspaces may set
	// it in other paths as well, because the same thing has another id in each.
	Resource *Thing `json:"resource,omitempty"`
	// Reaches is how many resources of each type Resource includes. It is empty for a
	// role that is not about resources, such as an administrator of tracking plans.
	Reaches map[string]int `json:"reaches,omitempty"`
	// ByName is set if the path rests on [Applies], which goes by the role's name:
	// Segment does not say what a role is for.
	ByName bool `json:"by_name,omitempty"`
}

// Who returns the paths to a thing, sorted by person, role, what the role is held on, and
// group:
//   - to a source, function, space or warehouse: who reaches it,
//   - to a role: who holds it, at any scope,
//   - to a label or a set of labels: who holds a role on just these,
//   - to a group: who is in it.
func (s *Snapshot) Who(thing Thing) []Path { return s.Index().Who(thing) }

// Owners returns the paths to the ownership of the workspace. A Workspace Owner whose
// role is restricted to labels is not an owner.
func (s *Snapshot) Owners() []Path { return s.Index().Owners() }

// What returns a person and the paths from it. It does not list each resource: a role on the
// workspace is one path that says how many of each type it reaches, and so is a role on
// labels, except that spaces, which may or may not carry them, have a path of their own.
func (s *Snapshot) What(person Ref) (Person, []Path) { return s.Index().What(person) }

// sortedPaths sorts by the person's name, role, what it is held on, and group, and removes
// duplicates. Ids decide between equal names, so that the order is always the
// same. The result is not nil.
func sortedPaths(paths []Path) []Path {
	slices.SortStableFunc(paths, comparePaths)
	paths = slices.CompactFunc(paths, func(a, b Path) bool { return comparePaths(a, b) == 0 })
	if paths == nil {
		return []Path{}
	}
	return paths
}

// comparePaths compares as sortedPaths sorts. Paths of several workspaces are sorted by
// workspace first.
func comparePaths(a, b Path) int {
	if c := compareThings(a.Workspace, b.Workspace); c != 0 {
		return c
	}
	if c := comparePeople(a.Person, b.Person); c != 0 {
		return c
	}
	return cmp.Or(
		strings.Compare(a.Role.Name, b.Role.Name), strings.Compare(a.Role.ID, b.Role.ID),
		compareThings(&a.HeldOn, &b.HeldOn), compareThings(a.Group, b.Group),
		strings.Compare(string(a.When), string(b.When)), compareThings(a.Resource, b.Resource),
	)
}

func compareThings(a, b *Thing) int {
	var x, y Thing
	if a != nil {
		x = *a
	}
	if b != nil {
		y = *b
	}
	return cmp.Or(strings.Compare(x.Type, y.Type), strings.Compare(x.Name, y.Name), strings.Compare(x.ID, y.ID))
}

func comparePeople(a, b Person) int {
	return cmp.Or(strings.Compare(shownName(a), shownName(b)), strings.Compare(a.ID, b.ID), strings.Compare(a.Type, b.Type))
}

// shownName is the name of a person, or the e-mail of one without a name.
func shownName(p Person) string { return cmp.Or(p.Name, p.Email, p.ID) }
