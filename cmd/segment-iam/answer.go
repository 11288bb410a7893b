package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/baton-segment/baton-segment/cmd/segment-iam/internal/wording"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// A place is one of the workspaces that a command is about.
type place struct {
	*access.Snapshot
	// name is the name of the workspace, with the id if another one has the same name.
	name string
	// match is the thing or person that the command asks about. It is nil if the workspace
	// does not have it, and missing says so.
	match   *access.Match
	missing string
}

func newPlaces(snapshots []*access.Snapshot) []place {
	places := make([]place, len(snapshots))
	times := map[string]int{}
	for i, s := range snapshots {
		places[i] = place{Snapshot: s, name: wording.Plain(s.WorkspaceThing().Name)}
		times[places[i].name]++
	}
	for i, p := range places {
		if times[p.name] > 1 {
			places[i].name = wording.Named(p.WorkspaceThing())
		}
	}
	return places
}

// workspaces returns the places of a command that asks about the workspaces themselves.
func workspaces(snapshots []*access.Snapshot) []place {
	places := newPlaces(snapshots)
	for i, p := range places {
		places[i].match = &access.Match{Thing: p.WorkspaceThing()}
	}
	return places
}

// person returns the person that a command asks about.
func (p place) person() access.Person {
	i := slices.IndexFunc(p.People, func(person access.Person) bool {
		return person.Type == p.match.Type && person.ID == p.match.ID
	})
	return p.People[i]
}

// An answer has the paths of one or several workspaces. If there are several, each path
// says which it is in, and which thing the command asks about there.
type answer struct {
	places []place
	paths  []access.Path
}

// newAnswer returns the answer that consists of the paths of each place.
func newAnswer(places []place, pathsOf func(place) []access.Path) answer {
	a := answer{places: places, paths: []access.Path{}}
	for _, p := range places {
		if p.match == nil {
			continue
		}
		workspace := p.WorkspaceThing()
		for _, path := range pathsOf(p) {
			if a.several() {
				path.Workspace = &workspace
				if path.Resource == nil {
					path.Resource = &p.match.Thing
				}
			}
			a.paths = append(a.paths, path)
		}
	}
	return a
}

func (a answer) several() bool { return len(a.places) > 1 }

// first returns the first place that has what the command asks about.
func (a answer) first() place {
	return a.places[slices.IndexFunc(a.places, func(p place) bool { return p.match != nil })]
}

// thing returns what the command asks about, as a title names it. Ids differ between
// workspaces, so it has one only if there is one workspace.
func (a answer) thing() string {
	if !a.several() {
		return wording.Named(a.first().match.Thing)
	}
	var names []string
	for _, p := range a.places {
		if p.match != nil && !slices.Contains(names, wording.Plain(p.match.Name)) {
			names = append(names, wording.Plain(p.match.Name))
		}
	}
	return strings.Join(names, ", ")
}

// sheet returns an empty table for the answer.
func (a answer) sheet(title string, columns ...string) *sheet {
	if a.several() {
		columns = slices.Insert(columns, 0, "Workspace")
	}
	return newSheet(title, columns...)
}

// cells returns the cells of a path in a table, given those that are the same if there is
// one workspace.
func (a answer) cells(path access.Path, cells ...string) []string {
	for _, p := range a.places {
		if path.Workspace != nil && path.Workspace.ID == p.Workspace.ID {
			return slices.Insert(cells, 0, p.name)
		}
	}
	return cells
}

// csv returns the columns and rows of CSV.
func (a answer) csv() ([]string, [][]string) {
	columns, rows := csvColumns, make([][]string, len(a.paths))
	if a.several() {
		columns = slices.Concat(csvWorkspace, csvColumns)
	}
	for i, p := range a.paths {
		resource := p.Resource
		if resource == nil {
			resource = &a.first().match.Thing
		}
		rows[i] = csvRow(p, *resource)
		if p.Workspace != nil {
			rows[i] = slices.Insert(rows[i], 0, p.Workspace.Name, p.Workspace.ID)
		}
	}
	return columns, rows
}

// notes returns what a table over several workspaces does not show: those that have no row,
// which is what none says, and things that Segment does not list.
func (a answer) notes(none string) []string {
	if !a.several() {
		return nil
	}
	var notes []string
	for _, p := range a.places {
		inPlace := func(path access.Path) bool { return path.Workspace.ID == p.Workspace.ID }
		switch {
		case p.match == nil:
			notes = append(notes, p.missing)
			continue
		case len(a.paths) > 0 && !slices.ContainsFunc(a.paths, inPlace):
			notes = append(notes, none+" in workspace "+p.name)
		}
		if p.match.Unlisted {
			notes = append(notes, fmt.Sprintf("workspace %s: Segment no longer lists %s %s", p.name, p.match.Type, wording.Named(p.match.Thing)))
		}
	}
	return notes
}

// count returns how many people the paths are of. One person may be in several
// workspaces, and is known by the e-mail then.
func (a answer) count(none string) string {
	people := map[access.Ref]bool{}
	for _, p := range a.paths {
		ref := p.Person.Ref()
		if a.several() && p.Person.Email != "" {
			ref = access.Ref{ID: segmentapi.FoldEmail(p.Person.Email)}
		}
		people[ref] = true
	}
	switch len(people) {
	case 0:
		return none
	case 1:
		return "1 person"
	}
	return fmt.Sprintf("%d people", len(people))
}
