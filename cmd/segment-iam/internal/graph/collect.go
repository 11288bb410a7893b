package graph

import (
	"cmp"
	"slices"

	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// A table has each row once, in the order in which they were added.
type table[K comparable, R any] struct {
	at   map[K]int
	rows []R
	// last is the key that was added last. Paths are sorted, so the next is often the same.
	last   K
	lastAt int
}

// add returns the index of a row, which is new if its key is.
func (t *table[K, R]) add(key K, row R) int {
	if len(t.rows) > 0 && key == t.last {
		return t.lastAt
	}
	i, known := t.at[key]
	if !known {
		if t.at == nil {
			t.at = map[K]int{}
		}
		i = len(t.rows)
		t.at[key] = i
		t.rows = append(t.rows, row)
	}
	t.last, t.lastAt = key, i
	return i
}

// A link is from a row to one of another table.
type link struct {
	from, to int
	// now is set if it holds without a condition.
	now bool
}

// unique sorts links and leaves out what is there twice. Of links that differ in their
// condition, the one without remains.
func unique(links []link) []link {
	slices.SortFunc(links, func(a, b link) int {
		switch c := cmp.Or(a.from-b.from, a.to-b.to); {
		case c != 0 || a.now == b.now:
			return c
		case a.now:
			return -1
		}
		return 1
	})
	return slices.CompactFunc(links, func(a, b link) bool { return a.from == b.from && a.to == b.to })
}

// A grant is a role on something.
type grant struct {
	role            *access.RoleRef
	byName, labeled bool
	// kind and heldOn are indices. All that differ in no more than what the role is held
	// on are of one kind.
	kind, heldOn int
}

type kindKey struct {
	role            string
	byName, labeled bool
}

// content is what paths consist of, each part once.
type content struct {
	people table[access.Ref, *access.Person]
	groups table[string, *access.Thing]
	kinds  table[kindKey, struct{}]
	grants table[link, grant] // By kind and what the role is held on.
	heldOn table[access.Ref, *access.Thing]
	// members are from people to groups, direct from people to grants, held from groups to
	// grants.
	members, direct, held []link
}

func collect(paths []access.Path) *content {
	c := &content{direct: make([]link, 0, len(paths))}
	c.people.at = make(map[access.Ref]int, len(paths)) // Most paths are of another person.
	for i := range paths {
		c.add(&paths[i])
	}
	c.members, c.direct, c.held = unique(c.members), unique(c.direct), unique(c.held)
	return c
}

func (c *content) add(p *access.Path) {
	person := -1
	if p.Person.Type != "" {
		person = c.people.add(p.Person.Ref(), &p.Person)
	}
	now := p.When != access.WhenAccepted && p.Person.Type != access.TypeInvite
	if p.HeldOn.Type == access.TypeGroup {
		c.members = linked(c.members, person, c.groups.add(p.HeldOn.ID, &p.HeldOn), now)
		return
	}
	kind := kindKey{p.Role.ID, p.ByName, p.When == access.IfLabeled}
	g := grant{
		role: &p.Role, byName: kind.byName, labeled: kind.labeled,
		kind:   c.kinds.add(kind, struct{}{}),
		heldOn: c.heldOn.add(access.Ref{Type: p.HeldOn.Type, ID: p.HeldOn.ID}, &p.HeldOn),
	}
	at := c.grants.add(link{from: g.kind, to: g.heldOn}, g)
	if p.Group == nil {
		c.direct = linked(c.direct, person, at, now)
		return
	}
	group := c.groups.add(p.Group.ID, p.Group)
	c.members = linked(c.members, person, group, now)
	c.held = append(c.held, link{group, at, true})
}

// linked adds a link from a person, unless the path has none.
func linked(links []link, person, to int, now bool) []link {
	if person < 0 {
		return links
	}
	return append(links, link{person, to, now})
}
