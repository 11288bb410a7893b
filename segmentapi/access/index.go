package access

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// resourceTypes are the types of [Resource].
var resourceTypes = []string{TypeSource, TypeSpace, TypeFunction, TypeWarehouse}

// An Index answers questions about a [Snapshot], which must not change meanwhile. Its
// lookup tables make many questions about one snapshot cheap. It is safe for concurrent use.
type Index struct {
	*Snapshot
	roles     map[string]string   // Names of listed roles by id.
	applies   map[string][]string // For each role's name, the types of resources that it is for.
	people    map[Ref]Person
	resources map[Ref]Resource
	listed    map[string]int // How many resources of each type are listed.
	holdings  func() *holdings
	labeled   func() map[string]int // For each set of labels that a role is held on, how many sources carry it.
	groupsOf  map[Ref][]int         // For each person, the indices of the groups, in order.
}

// Index returns an index of the snapshot.
func (s *Snapshot) Index() *Index {
	x := &Index{
		Snapshot: s,
		roles:    make(map[string]string, len(s.Roles)), applies: map[string][]string{},
		people: make(map[Ref]Person, len(s.People)), resources: make(map[Ref]Resource, len(s.Resources)),
		listed: map[string]int{}, groupsOf: map[Ref][]int{},
	}
	x.labeled = sync.OnceValue(x.countLabeled)
	x.holdings = sync.OnceValue(x.newHoldings)
	for _, r := range s.Roles {
		x.roles[r.ID] = r.Name
	}
	for _, p := range s.People {
		x.people[p.Ref()] = p
	}
	for _, r := range s.Resources {
		if _, repeated := x.resources[Ref{r.Type, r.ID}]; repeated {
			continue
		}
		x.resources[Ref{r.Type, r.ID}] = r
		if !r.Unlisted {
			x.listed[r.Type]++
		}
	}
	for i, g := range s.Groups {
		for _, member := range x.membersOf(g) {
			x.groupsOf[member] = append(x.groupsOf[member], i)
		}
	}
	for _, targets := range s.Held {
		for _, t := range targets {
			x.addRole(x.roleName(t))
		}
	}
	return x
}

func (x *Index) addRole(name string) {
	if _, known := x.applies[name]; known {
		return
	}
	x.applies[name] = nil
	for _, typeID := range resourceTypes {
		if name == segmentapi.RoleWorkspaceOwner || Applies(name, typeID) {
			x.applies[name] = append(x.applies[name], typeID)
		}
	}
}

// Who is [Snapshot.Who].
func (x *Index) Who(thing Thing) []Path {
	switch thing.Type {
	case TypeGroup:
		return sortedPaths(x.members(thing.ID))
	case TypeRole:
		return x.holders(x.pathIf(func(t Target) bool { return t.RoleID == thing.ID }))
	case TypeLabel:
		return x.holders(x.pathIf(func(t Target) bool { return t.Type == TypeLabel && t.ID == thing.ID }))
	}
	r := x.resource(thing.Type, thing.ID)
	return x.holders(func(t Target) []Path {
		when, byName, ok := x.reaches(t, r)
		if !ok {
			return nil
		}
		p := x.path(t)
		p.When, p.ByName = when, byName
		return []Path{p}
	})
}

// Owners is [Snapshot.Owners].
func (x *Index) Owners() []Path {
	return x.holders(x.pathIf(func(t Target) bool { return t.Type == TypeRole && x.isOwner(t) }))
}

// What is [Snapshot.What].
func (x *Index) What(person Ref) (Person, []Path) {
	return x.people[person], x.pathsFrom(person, x.included)
}

// Resource returns a resource, or false if neither a list nor a permission has it.
func (x *Index) Resource(typeID, id string) (Resource, bool) {
	r, ok := x.resources[Ref{typeID, id}]
	return r, ok
}

// GroupsOf returns the groups that a person is in, in the order of the snapshot.
func (x *Index) GroupsOf(person Ref) []Group {
	groups := make([]Group, len(x.groupsOf[person]))
	for i, n := range x.groupsOf[person] {
		groups[i] = x.Groups[n]
	}
	return groups
}

// GroupHolds returns the paths from a group, as [Index.What] returns those from a person:
// each member has them. They have no person.
func (x *Index) GroupHolds(id string) []Path {
	i := slices.IndexFunc(x.Groups, func(g Group) bool { return g.ID == id })
	if i < 0 {
		return []Path{}
	}
	thing := x.Groups[i].thing()
	paths := pathsOf(x.Held[x.Groups[i].Ref()], x.included)
	for i := range paths {
		paths[i].Group = &thing
	}
	return sortedPaths(paths)
}

// pathIf returns a function that returns the path through a target if the target
// matches.
func (x *Index) pathIf(match func(Target) bool) func(Target) []Path {
	return func(t Target) []Path {
		if !match(t) {
			return nil
		}
		return []Path{x.path(t)}
	}
}

// resource returns a resource, or one without labels if there is none with the id.
func (x *Index) resource(typeID, id string) Resource {
	for _, form := range IDForms(typeID, id) {
		if r, ok := x.resources[Ref{typeID, form}]; ok {
			return r
		}
	}
	return Resource{Type: typeID, ID: id, Unlisted: true}
}

// roleName returns the name of the role of a target: that of the list of roles, else
// that of the permission.
func (x *Index) roleName(t Target) string {
	return strings.TrimSpace(cmp.Or(x.roles[t.RoleID], t.RoleName))
}

func (x *Index) isOwner(t Target) bool { return x.roleName(t) == segmentapi.RoleWorkspaceOwner }

// path returns the path through a target, without person and group.
func (x *Index) path(t Target) Path {
	return Path{Role: RoleRef{ID: t.RoleID, Name: cmp.Or(x.roleName(t), t.RoleID)}, HeldOn: x.heldOn(t), When: Now}
}

func (x *Index) heldOn(t Target) Thing {
	switch t.Type {
	case TypeRole:
		return x.WorkspaceThing()
	case TypeLabel:
		return Thing{Type: TypeLabel, ID: t.ID, Name: cmp.Or(LabelText(t.Labels), t.ID)}
	}
	if r, ok := x.resources[Ref{t.Type, t.ID}]; ok {
		return r.thing()
	}
	return Thing{Type: t.Type, ID: t.ID, Name: t.ID}
}

// holders returns the paths of all people whose targets, or whose groups' targets, have
// paths. They are sorted.
func (x *Index) holders(of func(Target) []Path) []Path {
	h := x.holdings()
	ofTarget := make([][]Path, len(h.targets))
	for i, t := range h.targets {
		ofTarget[i] = of(t)
	}
	add := func(paths []Path, held []int) []Path {
		for _, i := range held {
			paths = append(paths, ofTarget[i]...)
		}
		return paths
	}
	ofGroup := make([][]Path, len(x.Groups))
	for i := range x.Groups {
		ofGroup[i] = add(nil, h.ofGroup[i])
	}
	n := 0
	for i := range h.people {
		for _, t := range h.ofPerson[i] {
			n += len(ofTarget[t])
		}
		for _, g := range h.groupsOf[i] {
			n += len(ofGroup[g])
		}
	}
	all := make([]Path, 0, n)
	for i, p := range h.people {
		own := len(all)
		all = add(all, h.ofPerson[i])
		all = x.complete(all, own, p, h.groupsOf[i], func(i int) []Path { return ofGroup[i] })
	}
	return all
}

// holdings are the people, sorted, and the targets of people and groups, each target once.
// They make questions about all people cheap.
type holdings struct {
	people   []Person
	targets  []Target
	ofPerson [][]int // For each of the people, indices of targets.
	groupsOf [][]int // For each of the people, indices of groups.
	ofGroup  [][]int // For each group.
}

func (x *Index) newHoldings() *holdings {
	type key struct{ typeID, id, roleID, roleName string }
	known := map[key]int{}
	h := &holdings{people: slices.SortedFunc(maps.Values(x.people), comparePeople)}
	indices := func(targets []Target) []int {
		held := make([]int, len(targets))
		for i, t := range targets {
			k := key{t.Type, t.ID, t.RoleID, t.RoleName}
			n, ok := known[k]
			if !ok {
				n = len(h.targets)
				known[k] = n
				h.targets = append(h.targets, t)
			}
			held[i] = n
		}
		return held
	}
	for _, p := range h.people {
		h.ofPerson = append(h.ofPerson, indices(x.Held[p.Ref()]))
		h.groupsOf = append(h.groupsOf, x.groupsOf[p.Ref()])
	}
	for _, g := range x.Groups {
		h.ofGroup = append(h.ofGroup, indices(x.Held[g.Ref()]))
	}
	return h
}

// pathsFrom is holders for one person.
func (x *Index) pathsFrom(person Ref, of func(Target) []Path) []Path {
	p, known := x.people[person]
	if !known {
		return []Path{}
	}
	own := append([]Path{}, pathsOf(x.Held[person], of)...)
	return x.complete(own, 0, p, x.groupsOf[person], func(i int) []Path { return pathsOf(x.Held[x.Groups[i].Ref()], of) })
}

// complete sets the person of the paths from an index on, adds those of the person's groups,
// which ofGroup returns by the index of the group, and sorts them.
func (x *Index) complete(all []Path, own int, p Person, groups []int, ofGroup func(i int) []Path) []Path {
	for i := own; i < len(all); i++ {
		all[i].Person = p
	}
	for _, i := range groups {
		for _, path := range ofGroup(i) {
			all = append(all, x.through(path, x.Groups[i], p))
		}
	}
	return all[:own+len(sortedPaths(all[own:]))]
}

func pathsOf(targets []Target, of func(Target) []Path) []Path {
	var paths []Path
	for _, t := range targets {
		paths = append(paths, of(t)...)
	}
	return paths
}

// through returns the path of a member of a group that has a path.
func (x *Index) through(path Path, g Group, member Person) Path {
	thing := g.thing()
	path.Person, path.Group = member, &thing
	if member.Type == TypeInvite && path.When == Now {
		path.When = WhenAccepted
	}
	return path
}

// membersOf returns the members of a group who are in the workspace, each once.
func (x *Index) membersOf(g Group) []Ref {
	seen := make(map[Ref]bool, len(g.Members))
	var members []Ref
	for _, ref := range g.Members {
		if _, known := x.people[ref]; known && !seen[ref] {
			seen[ref] = true
			members = append(members, ref)
		}
	}
	return members
}

// members returns the memberships in a group.
func (x *Index) members(groupID string) []Path {
	var paths []Path
	for _, g := range x.Groups {
		if g.ID != groupID {
			continue
		}
		for _, ref := range x.membersOf(g) {
			paths = append(paths, x.membership(g, ref))
		}
	}
	return paths
}

func (x *Index) membership(g Group, member Ref) Path {
	p := Path{Person: x.people[member], Role: memberRole, HeldOn: g.thing(), When: Now}
	if member.Type == TypeInvite {
		p.When = WhenAccepted
	}
	return p
}

// isFor reports whether a role is for a type of resources. An owner's is for all.
func (x *Index) isFor(t Target, typeID string) bool {
	return slices.Contains(x.applies[x.roleName(t)], typeID)
}

// reaches reports whether a target leads to a resource, under which condition, and
// whether that rests on the name of the role.
//
// A role that is held on the resource itself always does: its meaning may not be known,
// but its holder has some access. Labels are on sources and spaces only.
func (x *Index) reaches(t Target, r Resource) (When, bool, bool) {
	byName := !x.isOwner(t)
	switch {
	case t.Type == TypeRole:
		return Now, byName, x.isFor(t, r.Type)
	case t.Type == TypeLabel && r.Type == TypeSource:
		return Now, byName, carries(r, t.Labels) && x.isFor(t, r.Type)
	case t.Type == TypeLabel && r.Type == TypeSpace:
		return IfLabeled, byName, x.isFor(t, r.Type)
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
func (x *Index) included(t Target) []Path {
	base := x.path(t)
	base.Resource = &base.HeldOn
	counts := map[When]map[string]int{}
	switch t.Type {
	case TypeRole:
		counts[Now] = x.countAll(t, resourceTypes...)
	case TypeLabel:
		if n := x.labeled()[t.ID]; n > 0 && x.isFor(t, TypeSource) {
			counts[Now] = map[string]int{TypeSource: n}
		}
		counts[IfLabeled] = x.countAll(t, TypeSpace)
	}
	var paths []Path
	for _, when := range []When{Now, IfLabeled} {
		if len(counts[when]) > 0 {
			p := base
			p.When, p.Reaches, p.ByName = when, counts[when], !x.isOwner(t)
			paths = append(paths, p)
		}
	}
	if len(paths) == 0 {
		return []Path{base}
	}
	return paths
}

// countAll counts the resources of the given types that a role is for.
func (x *Index) countAll(t Target, types ...string) map[string]int {
	counts := map[string]int{}
	for _, typeID := range types {
		if n := x.listed[typeID]; n > 0 && x.isFor(t, typeID) {
			counts[typeID] = n
		}
	}
	return counts
}

func (x *Index) countLabeled() map[string]int {
	sets := map[string][]segmentapi.Label{}
	for _, targets := range x.Held {
		for _, t := range targets {
			if t.Type == TypeLabel {
				sets[t.ID] = t.Labels
			}
		}
	}
	counts := make(map[string]int, len(sets))
	for id, labels := range sets {
		for _, r := range x.resources {
			if r.Type == TypeSource && !r.Unlisted && carries(r, labels) {
				counts[id]++
			}
		}
	}
	return counts
}
