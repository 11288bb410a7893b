package graph

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// place adds the nodes of a column, sorted by name, and returns the index of each. If
// there are too many, the lightest are replaced with one node for each type.
func (b *builder) place(nodes []node) []int {
	kept, rest := heaviest(nodes, b.precision.nodes)
	slices.SortStableFunc(kept, func(i, j int) int { return byName(&nodes[i], &nodes[j]) })
	at := make([]int, len(nodes))
	first := len(b.nodes)
	for _, i := range kept {
		at[i] = len(b.nodes)
		b.nodes = append(b.nodes, nodes[i])
	}
	label(b.nodes[first:])
	b.placeRest(nodes, rest, at)
	return at
}

func byName(a, b *node) int {
	return cmp.Or(strings.Compare(a.thing.Name, b.thing.Name), strings.Compare(a.thing.ID, b.thing.ID), strings.Compare(a.thing.Type, b.thing.Type))
}

// heaviest divides nodes into those that are drawn and the rest, which is drawn as one
// node for each type. At least one is drawn, and no more than limit with those of the types.
func heaviest(nodes []node, limit int) ([]int, []int) {
	var kept, rest []int
	if len(nodes) > limit {
		types := map[string]bool{}
		for i := range nodes {
			types[plural(nodes[i].thing.Type)] = true
		}
		limit = max(limit-len(types), 1)
	}
	order := func(i, j int) int {
		return cmp.Or(nodes[j].weight-nodes[i].weight, byName(&nodes[i], &nodes[j]), i-j)
	}
	for i := range nodes {
		if len(kept) == limit && order(i, kept[limit-1]) > 0 {
			rest = append(rest, i)
			continue
		}
		at, _ := slices.BinarySearchFunc(kept, i, order)
		kept = slices.Insert(kept, at, i)
		if len(kept) > limit {
			rest = append(rest, kept[limit])
			kept = kept[:limit]
		}
	}
	return kept, rest
}

// label sets the texts of nodes. An e-mail or id tells different things apart that would
// look the same.
func label(nodes []node) {
	type look struct {
		text, detail string
		byName       bool
	}
	things := map[look]map[string]bool{}
	for i := range nodes {
		n := &nodes[i]
		n.text, n.detail = shown(n.thing.Name, n.thing.ID), clean(n.detail)
		l := look{n.text, n.detail, n.byName}
		if things[l] == nil {
			things[l] = map[string]bool{}
		}
		things[l][n.thing.ID] = true
	}
	for i := range nodes {
		if n := &nodes[i]; len(things[look{n.text, n.detail, n.byName}]) > 1 {
			n.detail = strings.TrimPrefix(n.detail+", "+clean(n.other), ", ")
		}
	}
}

// placeRest adds a node for each type of the rest.
func (b *builder) placeRest(nodes []node, rest, at []int) {
	ofType := map[string][]int{}
	for _, i := range rest {
		name := plural(nodes[i].thing.Type)
		ofType[name] = append(ofType[name], i)
	}
	for _, name := range slices.Sorted(maps.Keys(ofType)) {
		things := map[access.Ref]bool{}
		for _, i := range ofType[name] {
			at[i] = len(b.nodes)
			things[access.Ref{Type: nodes[i].thing.Type, ID: nodes[i].thing.ID}] = true
		}
		text := "and " + count(len(things), "more "+strings.TrimSuffix(name, "s"), "more "+name)
		b.nodes = append(b.nodes, node{column: nodes[rest[0]].column, text: text})
	}
}

// plurals are those of types.
var plurals = map[string]string{
	access.TypeWorkspace: "workspaces", access.TypeGroup: "groups", access.TypeRole: "roles", access.TypeLabel: "labels",
	access.TypeSource: "sources", access.TypeFunction: "functions", access.TypeSpace: "spaces", access.TypeWarehouse: "warehouses",
}

func plural(typeID string) string { return cmp.Or(plurals[typeID], "things") }
