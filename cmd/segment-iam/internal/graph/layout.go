package graph

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// Lengths in pixels. Nodes are on a grid of 8 pixels, which makes many edges straight:
// heights are odd multiples of 8.
const (
	grid          = 8
	margin        = 8
	headHeight    = 28
	lineHeight    = 24 // Of a node with one line.
	detailHeight  = 40 // Of a node with two lines.
	passHeight    = 8  // Of a junction.
	space         = 8  // Between nodes.
	padding       = 10 // Left and right of a text.
	minWidth      = 84
	maxWidth      = 216
	minGap        = 56 // Between columns.
	maxGap        = 104
	textSize      = 13
	detailSize    = 12
	orderAttempts = 12
)

// addJunctions makes the edges that pass the groups' column go through junctions, one
// for each role, so that they pass between the groups.
func (g *graph) addJunctions() {
	if !slices.ContainsFunc(g.nodes, func(n node) bool { return n.column == columnGroup }) {
		return
	}
	at := map[int]int{}
	trunks := map[int]access.When{}
	for i, e := range g.edges {
		if g.nodes[e.from].column != columnPerson || g.nodes[e.to].column != columnRole {
			continue
		}
		if _, known := at[e.to]; !known {
			at[e.to] = len(g.nodes)
			g.nodes = append(g.nodes, node{column: columnGroup, junction: true})
		}
		g.edges[i].to = at[e.to]
		if trunks[e.to] != access.Now {
			trunks[e.to] = e.when
		}
	}
	for _, role := range slices.Sorted(maps.Keys(at)) {
		g.edges = append(g.edges, edge{at[role], role, trunks[role]})
	}
}

// sortColumns orders the nodes of each column so that few edges cross: it moves nodes to
// the mean position of their neighbors to the left, then to the right, several times, and
// keeps the best order.
func (g *graph) sortColumns() {
	before, after := make([][]int, len(g.nodes)), make([][]int, len(g.nodes))
	for _, e := range g.edges {
		before[e.to] = append(before[e.to], e.from)
		after[e.from] = append(after[e.from], e.to)
	}
	for i, n := range g.nodes {
		g.order[n.column] = append(g.order[n.column], i)
	}
	best, fewest := g.order, math.MaxInt
	for attempt := range orderAttempts {
		for c := range columns {
			neighbors, column := before, c
			if attempt%2 == 1 {
				neighbors, column = after, columns-1-c
			}
			g.order[column] = sortedByMean(g.order[column], neighbors, g.ranks())
		}
		if n := g.crossings(); n < fewest {
			best, fewest = g.order, n
		}
	}
	g.order = best
}

// ranks returns the position of each node in its column.
func (g *graph) ranks() []float64 {
	ranks := make([]float64, len(g.nodes))
	for _, nodes := range g.order {
		for rank, i := range nodes {
			ranks[i] = float64(rank)
		}
	}
	return ranks
}

// sortedByMean sorts nodes by the mean of their neighbors' values. A node without any has
// its own value.
func sortedByMean(nodes []int, neighbors [][]int, values []float64) []int {
	means := make(map[int]float64, len(nodes))
	for _, i := range nodes {
		means[i] = mean(neighbors[i], values, values[i])
	}
	return slices.SortedStableFunc(slices.Values(nodes), func(i, j int) int { return cmp.Compare(means[i], means[j]) })
}

func mean(nodes []int, values []float64, none float64) float64 {
	if len(nodes) == 0 {
		return none
	}
	sum := 0.0
	for _, i := range nodes {
		sum += values[i]
	}
	return sum / float64(len(nodes))
}

// crossings returns how many pairs of edges cross.
func (g *graph) crossings() int {
	ranks := g.ranks()
	n := 0
	for i, e := range g.edges {
		for _, f := range g.edges[:i] {
			if g.nodes[e.from].column == g.nodes[f.from].column && (ranks[e.from]-ranks[f.from])*(ranks[e.to]-ranks[f.to]) < 0 {
				n++
			}
		}
	}
	return n
}

// setWidths sets the heights of nodes, the widths of columns, and cuts texts that are too
// long for their column.
func (g *graph) setWidths() {
	for i := range g.nodes {
		n := &g.nodes[i]
		n.height = lineHeight
		if n.detail != "" {
			n.height = detailHeight
		}
		if n.junction {
			n.height = passHeight
			continue
		}
		width := 2*padding + int(math.Ceil(max(textWidth(n.text+n.mark(), textSize), textWidth(n.detail, detailSize), minWidth-2*padding)))
		g.width[n.column] = min(max(g.width[n.column], width), maxWidth)
	}
	for i := range g.nodes {
		n := &g.nodes[i]
		room := float64(g.width[n.column] - 2*padding)
		text, detail := cut(n.text, textSize, room-textWidth(n.mark(), textSize)), cut(n.detail, detailSize, room)
		if text != n.text || detail != n.detail {
			n.full = strings.TrimSuffix(n.text+n.mark()+", "+n.detail, ", ")
		}
		n.text, n.detail = text, detail
	}
}

// mark follows the first line, even if that is cut.
func (n *node) mark() string {
	if n.byName {
		return " *"
	}
	return ""
}

// setPositions spaces the nodes of the tallest column evenly, and puts those of the
// others as near as possible to the mean of their neighbors.
func (g *graph) setPositions() {
	tallest, height := 0, 0
	for c, nodes := range g.order {
		h := 0
		for _, i := range nodes {
			h += g.nodes[i].height + space
		}
		if h > height {
			tallest, height = c, h
		}
	}
	placed := make([]float64, len(g.nodes))
	g.placeColumn(tallest, func(int) float64 { return 0 }, placed)
	for c := tallest - 1; c >= 0; c-- {
		g.placeBeside(c, func(e edge) (int, int) { return e.from, e.to }, placed)
	}
	for c := tallest + 1; c < columns; c++ {
		g.placeBeside(c, func(e edge) (int, int) { return e.to, e.from }, placed)
	}
	top := math.MaxInt
	for _, n := range g.nodes {
		top = min(top, n.y-n.height/2)
	}
	for i := range g.nodes {
		n := &g.nodes[i]
		n.y += headHeight + margin - top
		g.bottom = max(g.bottom, n.y+n.height/2+margin)
	}
	x, gap := margin, min(max(height/8, minGap), maxGap)
	for c := range columns {
		if g.width[c] > 0 {
			g.left[c] = x
			x += g.width[c] + gap
		}
	}
}

// placeBeside places a column next to one that has been placed. The function returns the
// nodes of an edge, the one to place first.
func (g *graph) placeBeside(column int, ends func(edge) (int, int), placed []float64) {
	neighbors := map[int][]int{}
	for _, e := range g.edges {
		node, neighbor := ends(e)
		if g.nodes[node].column == column {
			neighbors[node] = append(neighbors[node], neighbor)
		}
	}
	last := 0.0
	g.placeColumn(column, func(i int) float64 {
		last = mean(neighbors[i], placed, last)
		return last
	}, placed)
}

// placeColumn places the nodes of a column: as near to where they are wanted as is
// possible if they keep their order and do not overlap. The sum of the squares of the
// distances is minimal: while a node would overlap the ones above, it joins them, and all
// move to their mean.
func (g *graph) placeColumn(column int, wanted func(int) float64, placed []float64) {
	type block struct {
		first, size int
		sum         float64
	}
	nodes := g.order[column]
	offsets := make([]int, len(nodes)) // Of middles, if there is no more space than necessary.
	var blocks []block
	for k, i := range nodes {
		if k > 0 {
			offsets[k] = offsets[k-1] + (g.nodes[nodes[k-1]].height+g.nodes[i].height)/2 + space
		}
		b := block{first: k, size: 1, sum: wanted(i) - float64(offsets[k])}
		for len(blocks) > 0 {
			above := blocks[len(blocks)-1]
			if above.sum/float64(above.size) < b.sum/float64(b.size) {
				break
			}
			b = block{first: above.first, size: above.size + b.size, sum: above.sum + b.sum}
			blocks = blocks[:len(blocks)-1]
		}
		blocks = append(blocks, b)
	}
	for _, b := range blocks {
		y := grid * int(math.Round(b.sum/float64(b.size*grid)))
		for k := b.first; k < b.first+b.size; k++ {
			g.nodes[nodes[k]].y = y + offsets[k]
			placed[nodes[k]] = float64(y + offsets[k])
		}
	}
}
