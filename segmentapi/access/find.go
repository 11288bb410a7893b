package access

import (
	"cmp"
	"slices"
	"strings"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// A Match is a thing that a text may mean.
type Match struct {
	Thing
	// Email is that of a person.
	Email string
	// Slug is that of a source or space.
	Slug string
}

// Find returns the things of some types that a text means: by id, else by e-mail, slug or
// name, in which the case of letters does not count. More than one means that the text
// is ambiguous. The text of a label is "key=value", of a set of labels "key=value and
// key2=value2" or its [LabelID].
func (s *Snapshot) Find(text string, types ...string) []Match {
	all := s.matches(types)
	for _, same := range []func(Match) bool{
		func(m Match) bool { return m.ID == text || slices.Contains(IDForms(m.Type, m.ID), text) },
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

// maxSuggestions is how many near misses are worth showing.
const maxSuggestions = 5

// Suggest returns the things of some types whose names, slugs, e-mails or ids contain a
// text or are a typing error away from it, the nearest first.
func (s *Snapshot) Suggest(text string, types ...string) []Match {
	type near struct {
		Match
		distance int
	}
	var found []near
	wanted := strings.ToLower(text)
	for _, m := range s.matches(types) {
		best := -1
		for _, known := range []string{m.Name, m.Email, m.Slug, m.ID} {
			if d, ok := distance(wanted, strings.ToLower(known)); ok && (best < 0 || d < best) {
				best = d
			}
		}
		if best >= 0 {
			found = append(found, near{m, best})
		}
	}
	slices.SortStableFunc(found, func(a, b near) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), compareThings(&a.Thing, &b.Thing))
	})
	matches := make([]Match, 0, maxSuggestions)
	for _, n := range found[:min(len(found), maxSuggestions)] {
		matches = append(matches, n.Match)
	}
	return matches
}

// distance returns how far a known text is from the wanted one, or false if they have
// nothing to do with each other: a known text that contains the wanted one is nearest,
// after it come those with the fewest edits, of which a third of the wanted one may be.
func distance(wanted, known string) (int, bool) {
	switch {
	case wanted == "" || known == "":
		return 0, false
	case strings.Contains(known, wanted):
		return 0, true
	}
	edits := editDistance([]rune(wanted), []rune(known))
	return edits, edits <= max(1, len([]rune(wanted))/3)
}

// editDistance is the least number of runes to insert, delete or replace.
func editDistance(a, b []rune) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i, r := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j, q := range b {
			edits := diagonal
			if r != q {
				edits = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], edits
		}
	}
	return row[len(b)]
}

// matches returns all things of some types, sorted; each set of labels that a role is
// held on is one, and each label.
func (s *Snapshot) matches(types []string) []Match {
	var all []Match
	add := func(m Match) {
		if slices.Contains(types, m.Type) {
			all = append(all, m)
		}
	}
	for _, p := range s.People {
		add(Match{Thing: Thing{Type: p.Type, ID: p.ID, Name: firstOf(p.Name, p.Email, p.ID)}, Email: p.Email})
	}
	for _, g := range s.Groups {
		add(Match{Thing: g.thing()})
	}
	for _, r := range s.Resources {
		add(Match{Thing: r.thing(), Slug: r.Slug})
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
	note := func(t Thing) {
		if _, ok := known[Ref{t.Type, t.ID}]; !ok {
			known[Ref{t.Type, t.ID}] = t
		}
	}
	for _, r := range s.Roles {
		note(Thing{Type: TypeRole, ID: r.ID, Name: firstOf(r.Name, r.ID)})
	}
	for _, l := range s.Labels {
		note(labelThing([]segmentapi.Label{l}))
	}
	for _, targets := range s.Held {
		for _, t := range targets {
			note(Thing{Type: TypeRole, ID: t.RoleID, Name: firstOf(t.RoleName, t.RoleID)})
			if t.Type == TypeLabel {
				note(Thing{Type: TypeLabel, ID: t.ID, Name: firstOf(LabelText(t.Labels), t.ID)})
			}
		}
	}
	things := make([]Thing, 0, len(known))
	for _, t := range known {
		things = append(things, t)
	}
	return things
}
