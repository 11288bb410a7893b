package access

import "slices"

// Changes are what differs between two snapshots of a workspace. No field is nil.
type Changes struct {
	// Gained and Lost are roles that people hold, themselves or through a group, and
	// memberships in groups.
	Gained []Path `json:"gained"`
	Lost   []Path `json:"lost"`
	People Moves  `json:"people"`
}

// Moves are the users and invites that only one of two snapshots has.
type Moves struct {
	Came []Person `json:"came"`
	Went []Person `json:"went"`
}

// Diff returns what changed from one snapshot to a later one. People are recognized by
// type and id, so someone who accepted an invite came as a user and went as an invite.
// New names of people, roles and resources are not changes.
func Diff(before, after *Snapshot) Changes {
	oldPaths, newPaths := before.heldPaths(), after.heldPaths()
	return Changes{
		Gained: missingIn(newPaths, oldPaths), Lost: missingIn(oldPaths, newPaths),
		People: Moves{Came: peopleMissingIn(after, before), Went: peopleMissingIn(before, after)},
	}
}

// A pathKey is what makes a path the same in two snapshots.
type pathKey struct {
	person, heldOn, group Ref
	role                  string
	when                  When
}

func (p Path) key() pathKey {
	k := pathKey{person: p.Person.Ref(), heldOn: Ref{p.HeldOn.Type, p.HeldOn.ID}, role: p.Role.ID, when: p.When}
	if p.Group != nil {
		k.group = Ref{p.Group.Type, p.Group.ID}
	}
	return k
}

// heldPaths returns all roles that people hold, and their memberships.
func (s *Snapshot) heldPaths() []Path {
	x := s.Index()
	paths := x.holders(func(t Target) []Path { return []Path{x.path(t)} })
	for _, g := range x.Groups {
		for _, ref := range x.membersOf(g) {
			paths = append(paths, x.membership(g, ref))
		}
	}
	return paths
}

func missingIn(paths, others []Path) []Path {
	known := make(map[pathKey]bool, len(others))
	for _, p := range others {
		known[p.key()] = true
	}
	missing := []Path{}
	for _, p := range paths {
		if k := p.key(); !known[k] {
			known[k] = true
			missing = append(missing, p)
		}
	}
	return sortedPaths(missing)
}

func peopleMissingIn(s, other *Snapshot) []Person {
	known := make(map[Ref]bool, len(other.People))
	for _, p := range other.People {
		known[p.Ref()] = true
	}
	missing := []Person{}
	for _, p := range s.People {
		if !known[p.Ref()] {
			missing = append(missing, p)
		}
	}
	slices.SortStableFunc(missing, comparePeople)
	return missing
}
