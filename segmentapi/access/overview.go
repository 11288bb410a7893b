package access

import (
	"cmp"
	"slices"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// An Overview is the starting point of an access review. No field is nil, and paths are
// sorted like those of [Snapshot.Who].
type Overview struct {
	// Owners are the paths to the ownership of the workspace.
	Owners []Path
	// PII are the paths through which people see personal data: [segmentapi.RolePIIAccess] and ownership.
	PII []Path
	// Everything are the paths through roles on the whole workspace that are for sources,
	// spaces, functions or warehouses: the holder reaches all of them, and those to come.
	Everything []Path
	// ByName are all paths, as [Snapshot.What] returns them, that rest on the name of a role.
	ByName []Path
	// Invites are pending. Segment does not show how old they are.
	Invites []Person
	// Ungrouped are users and invites that are in no group.
	Ungrouped []Person
	// EmptyGroups are groups without users and invites.
	EmptyGroups []Thing
	// UnheldRoles are the listed roles that no user and no group holds.
	UnheldRoles []Thing
	// LabelSets are the labels and sets of labels that a user or group holds a role on.
	LabelSets []Thing
	// Unlisted are resources that a user or group holds a role on and no list has: they
	// may have been deleted. If the workspace's plan lacks a list, all of its type are
	// among them.
	Unlisted []Thing
}

// Overview returns the lists that an access review starts from.
func (x *Index) Overview() Overview {
	o := Overview{
		Owners:     x.Owners(),
		PII:        x.holders(x.pathIf(x.showsPII)),
		Everything: x.holders(x.everything),
		ByName:     x.holders(x.includedByName),
		Invites:    []Person{}, Ungrouped: []Person{}, EmptyGroups: []Thing{}, UnheldRoles: []Thing{}, LabelSets: []Thing{}, Unlisted: []Thing{},
	}
	for _, p := range x.People {
		if p.Type == TypeInvite {
			o.Invites = append(o.Invites, p)
		}
		if len(x.groupsOf[p.Ref()]) == 0 {
			o.Ungrouped = append(o.Ungrouped, p)
		}
	}
	for _, g := range x.Groups {
		if len(x.membersOf(g)) == 0 {
			o.EmptyGroups = append(o.EmptyGroups, g.thing())
		}
	}
	held, labels := map[string]bool{}, map[string]Thing{}
	for _, targets := range x.Held {
		for _, t := range targets {
			held[t.RoleID] = true
			if t.Type == TypeLabel {
				labels[t.ID] = x.heldOn(t)
			}
		}
	}
	for _, t := range labels {
		o.LabelSets = append(o.LabelSets, t)
	}
	for _, r := range x.Roles {
		if !held[r.ID] {
			o.UnheldRoles = append(o.UnheldRoles, Thing{Type: TypeRole, ID: r.ID, Name: cmp.Or(r.Name, r.ID)})
		}
	}
	for _, r := range x.resources {
		if r.Unlisted {
			o.Unlisted = append(o.Unlisted, r.thing())
		}
	}
	for _, people := range [][]Person{o.Invites, o.Ungrouped} {
		slices.SortStableFunc(people, comparePeople)
	}
	for _, things := range [][]Thing{o.EmptyGroups, o.UnheldRoles, o.LabelSets, o.Unlisted} {
		slices.SortFunc(things, func(a, b Thing) int { return compareThings(&a, &b) })
	}
	return o
}

// showsPII reports whether a target lets its holder see personal data.
func (x *Index) showsPII(t Target) bool {
	return x.roleName(t) == segmentapi.RolePIIAccess || t.Type == TypeRole && x.isOwner(t)
}

// everything returns the path through a target to all resources of some type.
func (x *Index) everything(t Target) []Path {
	if t.Type != TypeRole || len(x.applies[x.roleName(t)]) == 0 {
		return nil
	}
	paths := x.included(t)
	for i := range paths {
		paths[i].ByName = !x.isOwner(t) // Whether or not there are any now.
	}
	return paths
}

// includedByName returns the paths through a target that rest on the name of its role.
func (x *Index) includedByName(t Target) []Path {
	return slices.DeleteFunc(x.included(t), func(p Path) bool { return !p.ByName })
}
