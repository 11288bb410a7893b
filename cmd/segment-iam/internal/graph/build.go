package graph

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// A precision decides how much of the content has nodes of its own.
type precision struct {
	// nodes is how many a column has at most.
	nodes int
	// eachRoleOnce makes one node of a role, whoever holds it.
	eachRoleOnce bool
}

// graphOf returns the most precise graph that is small enough, without a layout.
func graphOf(paths []access.Path) *graph {
	c := collect(paths)
	var b *builder
	for _, p := range []precision{{nodes: maxNodes}, {maxNodes, true}, {maxNodes / 2, true}, {maxNodes / 4, true}, {maxNodes / 8, true}} {
		b = &builder{content: c, precision: p, when: map[ends]access.When{}}
		if b.build() && len(b.when) <= maxEdges {
			break
		}
	}
	if b.summary() {
		b.addSummaries(b.members, b.group, "")
		b.addSummaries(b.direct, b.role, "directly")
	}
	return b.graph()
}

// ends are the nodes of an edge.
type ends struct{ from, to int }

// A builder makes the nodes and edges of a graph.
type builder struct {
	*content
	precision
	nodes []node
	when  map[ends]access.When
	// The nodes of each row, those of grants being roles. There are none of people in a
	// summary.
	person, group, role, held []int
}

// summary reports whether there are too many people for a node each.
func (b *builder) summary() bool { return len(b.people.rows) > maxNodes }

// build adds everything except the people of a summary. It returns false if there are
// too many roles, of which some are the same.
func (b *builder) build() bool {
	if !b.summary() {
		b.addPeople()
	}
	b.addGroups()
	if !b.addRoles() {
		return false
	}
	b.addHeldOn()
	for i, g := range b.grants.rows {
		when := access.Now
		if g.labeled {
			when = access.IfLabeled
		}
		b.connect(b.role[i], b.held[g.heldOn], when)
	}
	for _, l := range b.content.held {
		b.connect(b.group[l.from], b.role[l.to], access.Now)
	}
	if b.summary() {
		return true
	}
	for _, l := range b.members {
		b.connect(b.person[l.from], b.group[l.to], whenAccepted(l.now))
	}
	for _, l := range b.direct {
		b.connect(b.person[l.from], b.role[l.to], whenAccepted(l.now))
	}
	return true
}

func whenAccepted(now bool) access.When {
	if now {
		return access.Now
	}
	return access.WhenAccepted
}

// connect adds an edge. If there is one already, it has a condition only if both have.
func (b *builder) connect(from, to int, when access.When) {
	if b.when[ends{from, to}] != access.Now {
		b.when[ends{from, to}] = when
	}
}

func (b *builder) graph() *graph {
	g := &graph{nodes: b.nodes}
	if b.summary() {
		g.people = len(b.people.rows)
	}
	for e, when := range b.when {
		g.edges = append(g.edges, edge{e.from, e.to, when})
	}
	slices.SortFunc(g.edges, func(a, b edge) int { return cmp.Or(a.from-b.from, a.to-b.to) })
	return g
}

func (b *builder) addPeople() {
	waiting := map[int]bool{}
	for _, links := range [][]link{b.members, b.direct} {
		for _, l := range links {
			waiting[l.from] = waiting[l.from] || !l.now
		}
	}
	nodes := make([]node, len(b.people.rows))
	for i, p := range b.people.rows {
		var details []string
		if p.Type == access.TypeInvite {
			details = append(details, "invite")
		}
		if waiting[i] {
			details = append(details, "when accepted")
		}
		nodes[i] = node{
			column: columnPerson, thing: access.Thing{Type: p.Type, ID: p.ID, Name: shown(p.Name, p.Email, p.ID)},
			detail: strings.Join(details, ", "), other: shown(p.Email, p.ID),
		}
	}
	b.person = b.place(nodes)
}

func (b *builder) addGroups() {
	nodes := make([]node, len(b.groups.rows))
	for i, g := range b.groups.rows {
		nodes[i] = node{column: columnGroup, thing: *g, other: g.ID}
	}
	for _, l := range b.members {
		nodes[l.to].weight++
	}
	b.group = b.place(nodes)
}

// addRoles returns false if there are too many nodes that eachRoleOnce can merge.
func (b *builder) addRoles() bool {
	holders := b.holders()
	var nodes table[string, node]
	b.role = make([]int, len(b.grants.rows))
	for i, g := range b.grants.rows {
		key := binary.AppendUvarint(nil, uint64(g.kind)) //nolint:gosec // G115: an index is not negative.
		if !b.eachRoleOnce {
			for _, h := range holders[i] {
				key = binary.AppendVarint(key, int64(h))
			}
		}
		n := node{column: columnRole, thing: access.Thing{Type: access.TypeRole, ID: g.role.ID, Name: g.role.Name}, byName: g.byName, other: g.role.ID}
		if g.labeled {
			n.detail = string(access.IfLabeled)
		}
		b.role[i] = nodes.add(string(key), n)
		nodes.rows[b.role[i]].weight += len(holders[i])
		if !b.eachRoleOnce && len(nodes.rows) > b.precision.nodes {
			return false
		}
	}
	placed := b.place(nodes.rows)
	for i := range b.role {
		b.role[i] = placed[b.role[i]]
	}
	return true
}

// holders returns the nodes of the people and groups that have each grant, sorted. In a
// summary, all people are -1.
func (b *builder) holders() [][]int {
	holders := make([][]int, len(b.grants.rows))
	add := func(grant, node int) {
		if h := holders[grant]; len(h) == 0 || h[len(h)-1] != node {
			holders[grant] = append(h, node)
		}
	}
	for _, l := range b.direct {
		if b.summary() {
			add(l.to, -1)
		} else {
			add(l.to, b.person[l.from])
		}
	}
	for _, l := range b.content.held {
		add(l.to, b.group[l.from])
	}
	for i := range holders {
		slices.Sort(holders[i])
		holders[i] = slices.Compact(holders[i])
	}
	return holders
}

func (b *builder) addHeldOn() {
	nodes := make([]node, len(b.heldOn.rows))
	for i, t := range b.heldOn.rows {
		nodes[i] = node{column: columnHeldOn, thing: *t, detail: t.Type, other: t.ID}
	}
	for _, links := range [][]link{b.direct, b.content.held} {
		for _, l := range links {
			nodes[b.grants.rows[l.to].heldOn].weight++
		}
	}
	b.held = b.place(nodes)
}

// addSummaries adds a node for the people who lead to each node.
func (b *builder) addSummaries(leads []link, to []int, detail string) {
	type lead struct{ node, person int }
	now := make(map[lead]bool, len(leads))
	for _, l := range leads {
		k := lead{to[l.to], l.from}
		now[k] = now[k] || l.now
	}
	people, invites, waiting := map[int]int{}, map[int]int{}, map[int]int{}
	for k, isNow := range now {
		people[k.node]++
		if b.people.rows[k.person].Type == access.TypeInvite {
			invites[k.node]++
		}
		if !isNow {
			waiting[k.node]++
		}
	}
	for _, at := range slices.Sorted(maps.Keys(people)) {
		var details []string
		if detail != "" {
			details = append(details, detail)
		}
		text := count(people[at], "person", "people")
		switch invited := count(invites[at], "invite", "invites"); invites[at] {
		case 0:
		case people[at]:
			text = invited
		default:
			details = append(details, "including "+invited)
		}
		all := waiting[at] == people[at]
		if all {
			details = append(details, "when accepted")
		}
		b.nodes = append(b.nodes, node{column: columnPerson, text: text, detail: strings.Join(details, ", ")})
		b.connect(len(b.nodes)-1, at, whenAccepted(!all))
	}
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
