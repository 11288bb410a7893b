package graph

import (
	"cmp"
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
		b = &builder{content: c, precision: p, when: map[pair]access.When{}}
		b.build()
		if len(b.when) <= maxEdges && !b.tooManyRoles {
			break
		}
	}
	return b.graph()
}

// A builder makes the nodes and edges of a graph.
type builder struct {
	*content
	precision
	nodes        []node
	when         map[pair]access.When // Of edges, by their nodes.
	tooManyRoles bool
}

// summary reports whether there are too many people for a node each.
func (b *builder) summary() bool { return len(b.people.rows) > maxNodes }

func (b *builder) build() {
	var person []int
	if !b.summary() {
		person = b.addPeople()
	}
	group := b.addGroups()
	role := b.addRoles(person, group)
	heldOn := b.addHeldOn()
	for i, g := range b.grants.rows {
		when := access.Now
		if g.labeled {
			when = access.IfLabeled
		}
		b.connect(role[i], heldOn[g.heldOn], when)
	}
	for p := range b.held {
		b.connect(group[p.from], role[p.to], access.Now)
	}
	if b.summary() {
		b.addSummaries(b.members, group, "")
		b.addSummaries(b.direct, role, "directly")
		return
	}
	for p, now := range b.members {
		b.connect(person[p.from], group[p.to], whenAccepted(now))
	}
	for p, now := range b.direct {
		b.connect(person[p.from], role[p.to], whenAccepted(now))
	}
}

func whenAccepted(now bool) access.When {
	if now {
		return access.Now
	}
	return access.WhenAccepted
}

// connect adds an edge. If there is one already, it has a condition only if both have.
func (b *builder) connect(from, to int, when access.When) {
	if b.when[pair{from, to}] != access.Now {
		b.when[pair{from, to}] = when
	}
}

func (b *builder) graph() *graph {
	g := &graph{nodes: b.nodes}
	if b.summary() {
		g.people = len(b.people.rows)
	}
	for p, when := range b.when {
		g.edges = append(g.edges, edge{p.from, p.to, when})
	}
	slices.SortFunc(g.edges, func(a, b edge) int { return cmp.Or(a.from-b.from, a.to-b.to) })
	return g
}

func (b *builder) addPeople() []int {
	waiting := map[int]bool{}
	for _, p := range []pairs{b.members, b.direct} {
		for k, now := range p {
			waiting[k.from] = waiting[k.from] || !now
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
			column: columnPerson, thing: access.Thing{Type: p.Type, ID: p.ID, Name: p.Name},
			text: shown(p.Name, p.Email, p.ID), detail: strings.Join(details, ", "), other: shown(p.Email, p.ID),
		}
	}
	return b.place(nodes)
}

func (b *builder) addGroups() []int {
	nodes := make([]node, len(b.groups.rows))
	for i, g := range b.groups.rows {
		nodes[i] = node{column: columnGroup, thing: g, text: shown(g.Name, g.ID), other: clean(g.ID)}
	}
	for p := range b.members {
		nodes[p.to].weight++
	}
	return b.place(nodes)
}

// addRoles returns the node of each grant.
func (b *builder) addRoles(person, group []int) []int {
	holders := b.holders(person, group)
	var nodes table[string, node]
	of := make([]int, len(b.grants.rows))
	for i, g := range b.grants.rows {
		key := strconv.AppendQuote(nil, g.role.ID)
		key = strconv.AppendBool(strconv.AppendBool(key, g.byName), g.labeled)
		for _, h := range holders[i] {
			if b.eachRoleOnce {
				break
			}
			key = strconv.AppendInt(append(key, ' '), int64(h), 10)
		}
		n := node{
			column: columnRole, thing: access.Thing{Type: access.TypeRole, ID: g.role.ID, Name: g.role.Name},
			text: shown(g.role.Name, g.role.ID), other: clean(g.role.ID),
		}
		if g.byName {
			n.text += " *"
		}
		if g.labeled {
			n.detail = string(access.IfLabeled)
		}
		of[i] = nodes.add(string(key), n)
		nodes.rows[of[i]].weight += len(holders[i])
	}
	b.tooManyRoles = len(nodes.rows) > b.precision.nodes && !b.eachRoleOnce
	placed := b.place(nodes.rows)
	for i := range of {
		of[i] = placed[of[i]]
	}
	return of
}

// holders returns the nodes of the people and groups that have each grant, sorted. In a
// summary, people are -1.
func (b *builder) holders(person, group []int) [][]int {
	holders := make([][]int, len(b.grants.rows))
	for p := range b.held {
		holders[p.to] = append(holders[p.to], group[p.from])
	}
	for p := range b.direct {
		if person == nil {
			if h := holders[p.to]; len(h) == 0 || h[len(h)-1] >= 0 {
				holders[p.to] = append(h, -1)
			}
			continue
		}
		holders[p.to] = append(holders[p.to], person[p.from])
	}
	for i := range holders {
		slices.Sort(holders[i])
		holders[i] = slices.Compact(holders[i])
	}
	return holders
}

func (b *builder) addHeldOn() []int {
	nodes := make([]node, len(b.heldOn.rows))
	for i, t := range b.heldOn.rows {
		nodes[i] = node{column: columnHeldOn, thing: t, text: shown(t.Name, t.ID), detail: clean(t.Type), other: clean(t.ID)}
	}
	for _, g := range b.grants.rows {
		nodes[g.heldOn].weight++
	}
	return b.place(nodes)
}

// place adds the nodes of a column, sorted by name, and returns where each is. If there
// are too many, the lightest are replaced with one node for each type.
func (b *builder) place(nodes []node) []int {
	distinguish(nodes)
	sorted := make([]int, len(nodes))
	for i := range sorted {
		sorted[i] = i
	}
	byName := func(i, j int) int {
		x, y := nodes[i], nodes[j]
		return cmp.Or(strings.Compare(x.text, y.text), strings.Compare(x.detail, y.detail), strings.Compare(x.thing.ID, y.thing.ID), strings.Compare(x.thing.Type, y.thing.Type), i-j)
	}
	kept := sorted
	if len(nodes) > b.precision.nodes {
		slices.SortFunc(sorted, func(i, j int) int { return cmp.Or(nodes[j].weight-nodes[i].weight, byName(i, j)) })
		types := map[string]bool{}
		for _, n := range nodes {
			types[plural(n.thing.Type)] = true
		}
		kept = sorted[:max(b.precision.nodes-len(types), 0)]
	}
	rest := sorted[len(kept):]
	slices.SortFunc(kept, byName)
	at := make([]int, len(nodes))
	for _, i := range kept {
		at[i] = len(b.nodes)
		b.nodes = append(b.nodes, nodes[i])
	}
	b.placeRest(nodes, rest, at)
	return at
}

// distinguish adds an e-mail or id to the nodes of different things that look the same.
func distinguish(nodes []node) {
	type look struct{ text, detail string }
	first, several := map[look]access.Thing{}, map[look]bool{}
	for _, n := range nodes {
		l := look{n.text, n.detail}
		if _, known := first[l]; !known {
			first[l] = n.thing
		}
		several[l] = several[l] || first[l].ID != n.thing.ID
	}
	for i := range nodes {
		if n := &nodes[i]; several[look{n.text, n.detail}] {
			n.detail = strings.TrimPrefix(n.detail+", "+n.other, ", ")
		}
	}
}

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
		b.nodes = append(b.nodes, node{column: nodes[rest[0]].column, text: "and " + count(len(things), "more "+strings.TrimSuffix(name, "s"), "more "+name), more: true})
	}
}

func plural(typeID string) string {
	switch typeID {
	case access.TypeWorkspace, access.TypeGroup, access.TypeRole, access.TypeLabel, access.TypeSource, access.TypeFunction, access.TypeSpace, access.TypeWarehouse:
		return typeID + "s"
	}
	return "things"
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// addSummaries adds a node for the people who lead to each node.
func (b *builder) addSummaries(leads pairs, to []int, detail string) {
	people := map[int]map[int]bool{}
	now := map[int]bool{}
	for p, n := range leads {
		at := to[p.to]
		if people[at] == nil {
			people[at] = map[int]bool{}
		}
		people[at][p.from] = true
		now[at] = now[at] || n
	}
	for _, at := range slices.Sorted(maps.Keys(people)) {
		invites := 0
		for p := range people[at] {
			if b.people.rows[p].Type == access.TypeInvite {
				invites++
			}
		}
		var details []string
		if detail != "" {
			details = append(details, detail)
		}
		if invites > 0 {
			details = append(details, "including "+count(invites, "invite", "invites"))
		}
		if !now[at] {
			details = append(details, "when accepted")
		}
		n := node{column: columnPerson, text: count(len(people[at]), "person", "people"), detail: strings.Join(details, ", "), more: true}
		b.nodes = append(b.nodes, n)
		b.connect(len(b.nodes)-1, at, whenAccepted(now[at]))
	}
}
