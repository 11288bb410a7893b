package graph

import "github.com/baton-segment/baton-segment/segmentapi/access"

// A table has each row once, in the order in which they were added.
type table[K comparable, R any] struct {
	at   map[K]int
	rows []R
}

// add returns the index of a row, which is new if its key is.
func (t *table[K, R]) add(key K, row R) int {
	i, known := t.at[key]
	if !known {
		if t.at == nil {
			t.at = map[K]int{}
		}
		i = len(t.rows)
		t.at[key] = i
		t.rows = append(t.rows, row)
	}
	return i
}

// A pair has the indices of two rows.
type pair struct{ from, to int }

// pairs has true for those that hold now, without a condition.
type pairs map[pair]bool

func (p pairs) add(from, to int, now bool) {
	k := pair{from, to}
	p[k] = p[k] || now
}

// A grant is a role on something.
type grant struct {
	role            access.RoleRef
	byName, labeled bool
	// heldOn is an index.
	heldOn int
}

type grantKey struct {
	role            string
	byName, labeled bool
	heldOn          int
}

// content is what paths consist of, each part once.
type content struct {
	people table[access.Ref, access.Person]
	groups table[string, access.Thing]
	grants table[grantKey, grant]
	heldOn table[access.Ref, access.Thing]
	// members are of people and groups, direct of people and grants, held of groups and
	// grants.
	members, direct, held pairs
}

func collect(paths []access.Path) *content {
	c := &content{members: pairs{}, direct: pairs{}, held: pairs{}}
	for i := range paths {
		c.add(&paths[i])
	}
	return c
}

func (c *content) add(p *access.Path) {
	person := c.people.add(p.Person.Ref(), p.Person)
	now := p.When != access.WhenAccepted && p.Person.Type != access.TypeInvite
	if p.HeldOn.Type == access.TypeGroup {
		c.members.add(person, c.groups.add(p.HeldOn.ID, p.HeldOn), now)
		return
	}
	key := grantKey{
		role: p.Role.ID, byName: p.ByName, labeled: p.When == access.IfLabeled,
		heldOn: c.heldOn.add(access.Ref{Type: p.HeldOn.Type, ID: p.HeldOn.ID}, p.HeldOn),
	}
	g := c.grants.add(key, grant{role: p.Role, byName: key.byName, labeled: key.labeled, heldOn: key.heldOn})
	if p.Group == nil {
		c.direct.add(person, g, now)
		return
	}
	group := c.groups.add(p.Group.ID, *p.Group)
	c.members.add(person, group, now)
	c.held.add(group, g, true)
}
