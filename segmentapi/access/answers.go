package access

import (
	"cmp"
	"slices"
	"strings"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// When is a condition of a [Path].
type When string

// The conditions. IfLabeled is for spaces and roles that are held on labels: Segment
// does not show which labels a space carries. It comes before WhenAccepted if both hold.
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

// Roles that are found by their names, since ids differ between workspaces of Segment:
// an owner reaches everything, and minimal access nothing.
const (
	OwnerRole   = "Workspace Owner"
	MinimalRole = "Minimal Workspace Access"
)

// Who returns the paths to a thing, sorted by person, role, what the role is held on, and
// group:
//   - to a source, function, space or warehouse: who reaches it,
//   - to a role: who holds it, at any scope,
//   - to a label or a set of labels: who holds a role on just these,
//   - to a group: who is in it.
func (s *Snapshot) Who(thing Thing) []Path {
	v := s.view()
	var paths []Path
	switch thing.Type {
	case TypeGroup:
		paths = v.members(thing.ID)
	case TypeRole:
		paths = v.holders(func(t Target) []Path { return only(t.RoleID == thing.ID, v.path(t)) })
	case TypeLabel:
		paths = v.holders(func(t Target) []Path { return only(t.Type == TypeLabel && t.ID == thing.ID, v.path(t)) })
	default:
		r := s.resource(thing.Type, thing.ID)
		paths = v.holders(func(t Target) []Path {
			when, byName, ok := v.reaches(t, r)
			p := v.path(t)
			p.When, p.ByName = when, byName
			return only(ok, p)
		})
	}
	return sortedPaths(paths)
}

// Owners returns the paths to the ownership of the workspace: a Workspace Owner whose
// role is restricted to labels is none.
func (s *Snapshot) Owners() []Path {
	v := s.view()
	paths := v.holders(func(t Target) []Path { return only(t.Type == TypeRole && v.isOwner(t), v.path(t)) })
	return sortedPaths(paths)
}

// What returns a person and the paths from it. It does not list each resource: a role on the
// workspace is one path that says how many of each type it reaches, and so is a role on
// labels, except that spaces, which may or may not carry them, have a path of their own.
func (s *Snapshot) What(person Ref) (Person, []Path) {
	v := s.view()
	return v.people[person], sortedPaths(v.holdersAmong(map[Ref]bool{person: true}, v.included))
}

func only(ok bool, p Path) []Path {
	if !ok {
		return nil
	}
	return []Path{p}
}

// resource returns a resource, or one without labels if there is none with the id.
func (s *Snapshot) resource(typeID, id string) Resource {
	for _, form := range IDForms(typeID, id) {
		for _, r := range s.Resources {
			if r.Type == typeID && r.ID == form {
				return r
			}
		}
	}
	return Resource{Type: typeID, ID: id, Unlisted: true}
}

// A view is a snapshot with lookup tables.
type view struct {
	*Snapshot
	roles  map[string]string
	people map[Ref]Person
	names  map[Ref]string // Of resources, by type and id.
}

func (s *Snapshot) view() *view {
	v := &view{Snapshot: s, roles: make(map[string]string, len(s.Roles)), people: make(map[Ref]Person, len(s.People)), names: map[Ref]string{}}
	for _, r := range s.Roles {
		v.roles[r.ID] = r.Name
	}
	for _, p := range s.People {
		v.people[p.Ref()] = p
	}
	for _, r := range s.Resources {
		v.names[Ref{r.Type, r.ID}] = r.thing().Name
	}
	return v
}

// roleName returns the name of the role of a target: that of the list of roles, else
// that of the permission.
func (v *view) roleName(t Target) string {
	return strings.TrimSpace(firstOf(v.roles[t.RoleID], t.RoleName))
}

func (v *view) isOwner(t Target) bool { return v.roleName(t) == OwnerRole }

// path returns the path through a target, without person and group.
func (v *view) path(t Target) Path {
	return Path{Role: RoleRef{ID: t.RoleID, Name: firstOf(v.roleName(t), t.RoleID)}, HeldOn: v.heldOn(t), When: Now}
}

func (v *view) heldOn(t Target) Thing {
	switch t.Type {
	case TypeRole:
		return v.WorkspaceThing()
	case TypeLabel:
		return Thing{Type: TypeLabel, ID: t.ID, Name: firstOf(LabelText(t.Labels), t.ID)}
	}
	return Thing{Type: t.Type, ID: t.ID, Name: firstOf(v.names[Ref{t.Type, t.ID}], t.ID)}
}

// holders returns the paths of all people whose targets, or whose groups' targets, have
// paths.
func (v *view) holders(of func(Target) []Path) []Path { return v.holdersAmong(nil, of) }

// holdersAmong is holders for some of the people, or for all of them if among is nil.
func (v *view) holdersAmong(among map[Ref]bool, of func(Target) []Path) []Path {
	var paths []Path
	for _, p := range v.People {
		if among != nil && !among[p.Ref()] {
			continue
		}
		for _, path := range pathsOf(v.Held[p.Ref()], of) {
			path.Person = p
			paths = append(paths, path)
		}
	}
	for _, g := range v.Groups {
		held := pathsOf(v.Held[g.Ref()], of)
		if len(held) == 0 {
			continue
		}
		for _, ref := range v.membersOf(g) {
			if among != nil && !among[ref] {
				continue
			}
			for _, path := range held {
				paths = append(paths, v.through(path, g, ref))
			}
		}
	}
	return paths
}

func pathsOf(targets []Target, of func(Target) []Path) []Path {
	var paths []Path
	for _, t := range targets {
		paths = append(paths, of(t)...)
	}
	return paths
}

// through returns the path of a member of a group that has a path.
func (v *view) through(path Path, g Group, member Ref) Path {
	thing := g.thing()
	path.Person, path.Group = v.people[member], &thing
	if member.Type == TypeInvite && path.When == Now {
		path.When = WhenAccepted
	}
	return path
}

// membersOf returns the members of a group who are in the workspace, each once.
func (v *view) membersOf(g Group) []Ref {
	seen := make(map[Ref]bool, len(g.Members))
	var members []Ref
	for _, ref := range g.Members {
		if _, known := v.people[ref]; known && !seen[ref] {
			seen[ref] = true
			members = append(members, ref)
		}
	}
	return members
}

// members returns the memberships in a group.
func (v *view) members(groupID string) []Path {
	var paths []Path
	for _, g := range v.Groups {
		if g.ID != groupID {
			continue
		}
		for _, ref := range v.membersOf(g) {
			paths = append(paths, v.membership(g, ref))
		}
	}
	return paths
}

func (v *view) membership(g Group, member Ref) Path {
	p := Path{Person: v.people[member], Role: memberRole, HeldOn: g.thing(), When: Now}
	if member.Type == TypeInvite {
		p.When = WhenAccepted
	}
	return p
}

// reaches reports whether a target leads to a resource, under which condition, and
// whether that rests on the name of the role.
//
// A role that is held on the resource itself always does: its meaning may not be known,
// but its holder has something there. Labels are on sources and spaces only.
func (v *view) reaches(t Target, r Resource) (When, bool, bool) {
	owner := v.isOwner(t)
	ofType := owner || Applies(v.roleName(t), r.Type)
	switch {
	case t.Type == TypeRole:
		return Now, !owner, ofType
	case t.Type == TypeLabel && r.Type == TypeSource:
		return Now, !owner, ofType && carries(r, t.Labels)
	case t.Type == TypeLabel && r.Type == TypeSpace:
		return IfLabeled, !owner, ofType
	}
	return Now, false, t.Type == r.Type && t.ID == r.ID
}

// carries reports whether a resource carries all of some labels, of which there must be
// at least one: labels whose id is a checksum are not known.
func carries(r Resource, labels []segmentapi.Label) bool {
	for _, want := range labels {
		if !slices.ContainsFunc(r.Labels, func(l segmentapi.Label) bool { return l.Key == want.Key && l.Value == want.Value }) {
			return false
		}
	}
	return len(labels) > 0
}

// included returns the paths through a target to all that it includes: one for each
// condition.
func (v *view) included(t Target) []Path {
	base := v.path(t)
	base.Resource = &base.HeldOn
	if t.Type != TypeRole && t.Type != TypeLabel {
		return []Path{base}
	}
	var paths []Path
	for _, when := range []When{Now, IfLabeled} {
		p := base
		p.When, p.Reaches = when, map[string]int{}
		for _, r := range v.Resources {
			if w, byName, ok := v.reaches(t, r); ok && w == when && !r.Unlisted {
				p.Reaches[r.Type]++
				p.ByName = byName
			}
		}
		if len(p.Reaches) > 0 {
			paths = append(paths, p)
		}
	}
	if len(paths) == 0 {
		return []Path{base}
	}
	return paths
}

// sortedPaths sorts by the person's name, role, what it is held on, and group, and leaves out
// what is there twice. Ids decide between equal names, so that the order is always the
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
	return cmp.Or(
		compareThings(a.Workspace, b.Workspace),
		strings.Compare(shownName(a.Person), shownName(b.Person)), strings.Compare(a.Person.ID, b.Person.ID), strings.Compare(a.Person.Type, b.Person.Type),
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

// shownName is the name of a person, or the e-mail of one without a name.
func shownName(p Person) string { return firstOf(p.Name, p.Email, p.ID) }
