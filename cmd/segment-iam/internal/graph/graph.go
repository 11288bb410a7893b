// Package graph draws the paths of an answer as an SVG. Its columns are, from left to
// right, people, groups, roles, and the things that the roles are held on.
package graph

import (
	"html/template"

	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// Options are the settings of [SVG].
type Options struct {
	// Link returns the address of the page of a person, group, role, resource, set of
	// labels or workspace, or "" if it has none. The address is escaped, but its scheme is
	// not checked. Nil makes no links.
	Link func(access.Thing) string
	// ID is the prefix of the ids in the SVG. It must be unique in the page and must not
	// contain spaces.
	ID string
	// Title is the accessible name of the SVG.
	Title string
}

// CSS is the stylesheet for pages with graphs. Pages may set its colors, which are
// variables and follow the color of the text by default.
const CSS = `.graph{max-width:none}
.graph text{fill:var(--graph-text,currentColor);stroke:none}
.graph .head{font-weight:600}
.graph .dim{fill:var(--graph-dim,currentColor);font-size:12px}
.graph .edge{stroke:var(--graph-edge,currentColor);stroke-width:1.25;opacity:var(--graph-edge-opacity,.6)}
.graph rect{fill:var(--graph-node,none);stroke:var(--graph-border,currentColor);rx:5px;pointer-events:all}
.graph .more rect{stroke-dasharray:1 3;stroke-linecap:round}
.graph a{text-decoration:none;cursor:pointer}
.graph a:hover text{text-decoration:underline}
.graph a:focus{outline:none}
.graph a:hover rect,.graph a:focus rect{stroke:var(--graph-accent,currentColor);stroke-width:2}
.graph a:focus-visible rect{stroke-width:3}
@media print{.graph{max-width:100%;height:auto}}
`

// SVG returns the graph of paths, or "" if there are none. Columns without nodes are left
// out. A membership in a group is a line from the person to the group, and a path without
// a person begins at the group.
//
// A role that is held on several things by the same people and groups is one node.
// Otherwise it is several, so that the lines from left to right form the given paths and
// no others. This requires that all members of a group have the same paths through it,
// as in the answers of an [access.Snapshot].
//
// If there are more than 30 people, a node stands for all who are in a group or hold a
// role themselves. Other columns of more than 30 nodes, or less if there would be too
// many lines, have one node for the rest of each type. The lines may then form more than
// the given paths.
//
// A dashed line has a condition, which the text of the node to its left repeats.
func SVG(paths []access.Path, o Options) template.HTML {
	if len(paths) == 0 {
		return ""
	}
	g := graphOf(paths)
	g.addJunctions()
	g.sortColumns()
	g.setWidths()
	g.setPositions()
	return template.HTML(g.write(o)) //nolint:gosec // G203: write escapes all that it is given.
}

const (
	// maxNodes is how many nodes a column has at most. The people of a summary have a
	// node for each group and for each role.
	maxNodes = 30
	// maxEdges is how many lines a graph has at most, unless it is as coarse as it can be.
	maxEdges = 240
)

// The columns.
const (
	columnPerson = iota
	columnGroup
	columnRole
	columnHeldOn
	columns
)

// A graph is what is drawn.
type graph struct {
	nodes []node
	edges []edge
	// people is how many people there are if they have no nodes of their own, else 0.
	people int
	// order has the nodes of each column, from top to bottom.
	order [columns][]int
	// left and width are those of each column. The width of an empty one is 0.
	left, width [columns]int
	bottom      int
}

// A node is a box, or a point where lines pass the groups' column.
type node struct {
	column int
	// thing is what the node is. It has no type if the node stands for several things.
	thing access.Thing
	// byName marks a role that is known by its name only.
	byName bool
	// text is the first line and detail the second, or "". Full is both, before they were
	// cut, or "" if they were not.
	text, detail, full string
	// other is the e-mail of a person or the id of another thing.
	other string
	// weight decides which nodes are drawn if there are too many.
	weight   int
	junction bool
	// y is the middle.
	y, height int
}

// An edge is a line from a node to one of a column to the right of it.
type edge struct {
	from, to int
	when     access.When
}
