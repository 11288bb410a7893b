package access

import (
	"cmp"
	"slices"
	"strings"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// A Match is a candidate for a search text.
type Match struct {
	Thing
	// Email is that of a person.
	Email string
	// Slug is that of a source or space.
	Slug string
	// Unlisted is set for a resource that a permission names and no list has.
	Unlisted bool
}

// Find returns the things of the given types that a text identifies, from the first of
// these for which there are any: the id, the other form of a space's id, the e-mail, the
// slug, the name. The case of letters counts in ids only. More than one match means that
// the text is ambiguous. The text of a label is "key=value", of a set of labels
// "key=value and key2=value2" or its [LabelID].
func (s *Snapshot) Find(text string, types ...string) []Match {
	all := s.Things(types...)
	for _, same := range []func(Match) bool{
		func(m Match) bool { return m.ID == text },
		func(m Match) bool { return slices.Contains(IDForms(m.Type, m.ID), text) },
		func(m Match) bool {
			return m.Email != "" && segmentapi.FoldEmail(m.Email) == segmentapi.FoldEmail(text)
		},
		func(m Match) bool { return m.Slug != "" && strings.EqualFold(m.Slug, text) },
		func(m Match) bool { return strings.EqualFold(m.Name, text) },
	} {
		var found []Match
		for _, m := range all {
			if same(m) {
				found = append(found, m)
			}
		}
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// Things returns all things of some types, sorted by type and name. A set of labels that a
// role is held on is one, as is each label and each role that is held and not listed.
func (s *Snapshot) Things(types ...string) []Match {
	var all []Match
	add := func(m Match) {
		if slices.Contains(types, m.Type) {
			all = append(all, m)
		}
	}
	for _, p := range s.People {
		add(Match{Thing: Thing{Type: p.Type, ID: p.ID, Name: cmp.Or(p.Name, p.Email, p.ID)}, Email: p.Email})
	}
	for _, g := range s.Groups {
		add(Match{Thing: g.thing()})
	}
	for _, r := range s.Resources {
		add(Match{Thing: r.thing(), Slug: r.Slug, Unlisted: r.Unlisted})
	}
	for _, t := range s.rolesAndLabels() {
		add(Match{Thing: t})
	}
	slices.SortFunc(all, func(a, b Match) int { return compareThings(&a.Thing, &b.Thing) })
	return all
}

// rolesAndLabels returns the roles and labels that lists have, and those that only a
// permission names.
func (s *Snapshot) rolesAndLabels() []Thing {
	known := map[Ref]Thing{}
	addOnce := func(t Thing) {
		if _, ok := known[Ref{t.Type, t.ID}]; !ok {
			known[Ref{t.Type, t.ID}] = t
		}
	}
	for _, r := range s.Roles {
		addOnce(Thing{Type: TypeRole, ID: r.ID, Name: cmp.Or(r.Name, r.ID)})
	}
	for _, l := range s.Labels {
		addOnce(labelThing([]segmentapi.Label{l}))
	}
	for _, targets := range s.Held {
		for _, t := range targets {
			addOnce(Thing{Type: TypeRole, ID: t.RoleID, Name: cmp.Or(t.RoleName, t.RoleID)})
			if t.Type == TypeLabel {
				addOnce(Thing{Type: TypeLabel, ID: t.ID, Name: cmp.Or(LabelText(t.Labels), t.ID)})
			}
		}
	}
	things := make([]Thing, 0, len(known))
	for _, t := range known {
		things = append(things, t)
	}
	return things
}
