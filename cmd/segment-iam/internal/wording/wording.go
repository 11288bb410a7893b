// Package wording says in words what answers contain, for tables and pages alike.
package wording

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// Reachable are the types of resources that people reach, in the order of output.
var Reachable = []string{access.TypeSource, access.TypeSpace, access.TypeFunction, access.TypeWarehouse} //nolint:gochecknoglobals // Constant.

// Plain replaces control characters, and those that change the direction of writing: both
// could make a terminal or a page show something else than is there.
func Plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, s)
}

// Person returns the name and e-mail of a person, or the id of one without both.
func Person(p access.Person) string {
	switch {
	case p.Name == "" && p.Email == "":
		return p.ID
	case p.Name == "":
		return p.Email
	case p.Email == "":
		return p.Name
	}
	return p.Name + " <" + p.Email + ">"
}

// Named returns the name and the id of a thing.
func Named(t access.Thing) string {
	if t.Name == t.ID {
		return Plain(t.ID)
	}
	return Plain(t.Name + " (" + t.ID + ")")
}

// Role returns the role of a path, with a star if the path rests on its name.
func Role(p access.Path) string {
	if p.ByName {
		return p.Role.Name + " *"
	}
	return p.Role.Name
}

// Notes for paths that need one.
const (
	ByNameNote    = "* inferred from the name of the role: Segment does not say which resources it applies to"
	IfLabeledNote = "if labeled: Segment does not show which labels a space carries"
)

// Gaps says what no answer about a workspace includes. It is known only of a workspace that
// was read from Segment: a file does not record it.
func Gaps(s *access.Snapshot) []string {
	var gaps []string
	if len(s.Skipped) > 0 {
		gaps = append(gaps, "not read, because the workspace's plan or a feature is missing: "+strings.Join(s.Skipped, ", "))
	}
	if len(s.Unknown) > 0 {
		var kinds []string
		for _, kind := range slices.Sorted(maps.Keys(s.Unknown)) {
			kinds = append(kinds, Plain(kind)+" ("+strconv.Itoa(s.Unknown[kind])+")")
		}
		gaps = append(gaps, "permissions on unknown types of resources, which no answer includes: "+strings.Join(kinds, ", "))
	}
	return gaps
}

// HeldOn returns what a role is held on.
func HeldOn(t access.Thing) string {
	if t.Type == access.TypeWorkspace {
		return "the workspace"
	}
	return t.Type + " " + t.Name
}

// Group returns the name of the group of a path, if there is one.
func Group(p access.Path) string {
	if p.Group == nil {
		return ""
	}
	return p.Group.Name
}

// Reaches says how many resources of each type a path of [access.Snapshot.What] leads to,
// or which one.
func Reaches(p access.Path) string {
	if p.Resource.Type != access.TypeWorkspace && p.Resource.Type != access.TypeLabel {
		return p.Resource.Type + " " + p.Resource.Name
	}
	var counts []string
	for _, typeID := range Reachable {
		if n := p.Reaches[typeID]; n > 0 {
			counts = append(counts, Count(n, typeID))
		}
	}
	switch {
	case len(counts) > 0:
		return strings.Join(counts, ", ")
	case p.Resource.Type == access.TypeWorkspace && p.Role.Name != segmentapi.RoleMinimalWorkspaceAccess && !isForResources(p.Role.Name):
		return "the workspace itself"
	}
	return "nothing"
}

// isForResources reports whether a role is for some type of resource.
func isForResources(role string) bool {
	return slices.ContainsFunc(Reachable, func(typeID string) bool { return access.Applies(role, typeID) })
}

// Count returns a number of things in words.
func Count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case noun == "person":
		return strconv.Itoa(n) + " people"
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
