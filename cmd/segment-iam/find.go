package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/baton-segment/baton-segment/cmd/segment-iam/internal/wording"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// A notFoundError is for an argument that means nothing in the workspace, or several
// things.
type notFoundError struct{ text string }

// Error implements error.
func (e notFoundError) Error() string { return e.text }

// find returns the one thing of some types that a text means, in each workspace that has
// it. Its error lists the candidates if there are several, or near misses if no workspace
// has any.
func find(snapshots []*access.Snapshot, text string, types []string) ([]place, error) {
	places := newPlaces(snapshots)
	candidates := lookUp(places, func(p place) []access.Match { return p.Find(text, types...) })
	if len(candidates) > 0 && isPerson(candidates[0].Type) {
		// The same person may have another name or id in another workspace.
		candidates = append(candidates, lookUp(places, func(p place) []access.Match {
			return slices.DeleteFunc(p.Things(types...), func(m access.Match) bool { return !same(candidates[0].Match, m) })
		})...)
	}
	if isAmbiguous(candidates) {
		return nil, ambiguousError(text, candidates, len(places) > 1)
	}
	if len(candidates) > 0 {
		text, types = elsewhere(candidates[0].Match, text, types)
	}
	var missing []string
	for i := range places {
		if p := &places[i]; p.match == nil {
			p.missing = missingText(*p, text, types)
			missing = append(missing, p.missing)
		}
	}
	if len(candidates) == 0 {
		return nil, notFoundError{strings.Join(missing, "\n")}
	}
	return places, nil
}

// A candidate is a thing that a text may mean in a place.
type candidate struct {
	access.Match
	place place
}

// lookUp sets the match of each place that has none yet to the first of its matches, and
// returns all of these.
func lookUp(places []place, matches func(place) []access.Match) []candidate {
	var candidates []candidate
	for i := range places {
		p := &places[i]
		if p.match != nil {
			continue
		}
		found := matches(*p)
		for _, m := range found {
			candidates = append(candidates, candidate{m, *p})
		}
		if len(found) > 0 {
			p.match = &found[0]
		}
	}
	return candidates
}

// isAmbiguous reports whether a workspace has more than one candidate, or those of two
// workspaces are not the same.
func isAmbiguous(candidates []candidate) bool {
	seen := map[string]bool{}
	for _, c := range candidates {
		id := c.place.Workspace.ID
		if seen[id] || !same(candidates[0].Match, c.Match) {
			return true
		}
		seen[id] = true
	}
	return false
}

// same reports whether matches in two workspaces are the same person, or things of one
// type. A person may be a user of one workspace and invited to the other.
func same(a, b access.Match) bool {
	if isPerson(a.Type) && isPerson(b.Type) {
		return a.ID == b.ID || a.Email != "" && segmentapi.FoldEmail(a.Email) == segmentapi.FoldEmail(b.Email)
	}
	return a.Type == b.Type
}

func isPerson(typeID string) bool { return slices.Contains(people, typeID) }

// elsewhere returns the text and the types of what a workspace lacks if another has a match.
func elsewhere(m access.Match, text string, types []string) (string, []string) {
	switch {
	case !isPerson(m.Type):
		return text, []string{m.Type}
	case m.Email != "":
		return m.Email, types
	}
	return text, types
}

// ambiguousError lists all that a text may mean, with the workspaces if there are several.
func ambiguousError(text string, candidates []candidate, several bool) error {
	use := "the id"
	switch first := candidates[0]; {
	case several && isPerson(first.Type):
		use = "the e-mail or the id"
	case several && slices.ContainsFunc(candidates, func(c candidate) bool { return c.Type != first.Type }):
		use = "--type or the id"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%q may be any of these, so use %s:", text, use)
	for _, c := range candidates {
		describe(&b, c.Match)
		if several {
			fmt.Fprintf(&b, "  in workspace %s", c.place.name)
		}
	}
	return notFoundError{b.String()}
}

// missingText says that a workspace has nothing of some types that a text means, and what
// the text may have meant.
func missingText(p place, text string, types []string) string {
	all := p.Things(types...)
	var b strings.Builder
	fmt.Fprintf(&b, "workspace %s has no %s %q", p.name, strings.Join(types, ", "), text)
	var none []string
	for _, typeID := range types {
		if !slices.ContainsFunc(all, func(m access.Match) bool { return m.Type == typeID }) {
			none = append(none, typeID)
		}
	}
	if len(none) > 0 {
		fmt.Fprintf(&b, " (and none at all of: %s)", strings.Join(none, ", "))
	}
	if near := nearest(text, all); len(near) > 0 {
		b.WriteString("; did you mean:")
		for _, m := range near {
			describe(&b, m)
		}
	}
	return b.String()
}

func describe(b *strings.Builder, m access.Match) {
	fmt.Fprintf(b, "\n  %-9s  %s  %s", m.Type, wording.Plain(m.ID), wording.Plain(strings.TrimSpace(m.Name+"  "+m.Email)))
}

// maxSuggestions is how many near misses are worth showing.
const maxSuggestions = 5

// nearest returns the things whose name, slug, e-mail or id contains a text, or is a few
// typing errors away from it, the nearest first.
func nearest(text string, all []access.Match) []access.Match {
	type near struct {
		access.Match
		distance int
	}
	var found []near
	for _, m := range all {
		best := -1
		for _, known := range []string{m.Name, m.Slug, m.Email, m.ID} {
			if d, ok := distance(strings.ToLower(text), strings.ToLower(known)); ok && (best < 0 || d < best) {
				best = d
			}
		}
		if best >= 0 {
			found = append(found, near{m, best})
		}
	}
	slices.SortStableFunc(found, func(a, b near) int { return cmp.Compare(a.distance, b.distance) })
	matches := make([]access.Match, 0, maxSuggestions)
	for _, n := range found[:min(len(found), maxSuggestions)] {
		matches = append(matches, n.Match)
	}
	return matches
}

// distance returns the number of typing errors between two texts, or false if they have
// nothing to do with each other. A text that contains the wanted one has none.
func distance(wanted, known string) (int, bool) {
	switch {
	case wanted == "" || known == "":
		return 0, false
	case strings.Contains(known, wanted):
		return 0, true
	}
	errors := levenshtein.ComputeDistance(wanted, known)
	return errors, errors <= max(1, len(wanted)/3)
}
