package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// A notFoundError is for an argument that means nothing in the workspace, or several
// things.
type notFoundError struct{ text string }

// Error implements error.
func (e notFoundError) Error() string { return e.text }

// find returns the one thing of some types that a text means. Else its error lists the
// candidates or, if there are none, what the text may have meant.
func find(s *access.Snapshot, text string, types []string) (access.Match, error) {
	found := s.Find(text, types...)
	if len(found) == 1 {
		return found[0], nil
	}
	var b strings.Builder
	if len(found) > 1 {
		fmt.Fprintf(&b, "%q may be any of these, so use the id:", text)
		describe(&b, found)
		return access.Match{}, notFoundError{b.String()}
	}
	all := s.Things(types...)
	fmt.Fprintf(&b, "workspace %s has no %s %q", plain(s.WorkspaceThing().Name), strings.Join(types, ", "), text)
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
		describe(&b, near)
	}
	return access.Match{}, notFoundError{b.String()}
}

func describe(b *strings.Builder, matches []access.Match) {
	for _, m := range matches {
		fmt.Fprintf(b, "\n  %-9s  %s  %s", m.Type, plain(m.ID), plain(strings.TrimSpace(m.Name+"  "+m.Email)))
	}
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
