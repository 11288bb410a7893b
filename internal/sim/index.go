package sim

import (
	"slices"
	"strings"
)

// An index finds rows by their ids and addresses, so that a read takes no longer in a
// larger workspace. It is rebuilt after each change of the state, so that writes need
// not maintain it.
type index struct {
	users        map[string]int
	usersByEmail map[string]int
	groups       map[string]int
	invites      map[string]int
	roles        map[string]int
	sources      map[string]int
	warehouses   map[string]int
	functions    map[string]int
	spaces       map[string]int

	// members has the members of each group, in the order of the groups.
	members []membership
	// groupsOf has the groups of each member, by folded e-mail address.
	groupsOf map[string][]int
	// functionsOf has the functions of each type.
	functionsOf map[string][]int
}

// A membership is the addresses of a group, resolved: users by position, pending
// invites in the group's spelling. An address may be both.
type membership struct {
	users   []int
	pending []string
}

func newIndex(w *Workspace) *index {
	idx := &index{
		users:        positions(w.Users, func(u User) string { return u.ID }),
		usersByEmail: positions(w.Users, func(u User) string { return foldEmail(u.Email) }),
		groups:       positions(w.Groups, func(g Group) string { return g.ID }),
		invites:      positions(w.Invites, func(i Invite) string { return foldEmail(i.Email) }),
		roles:        positions(w.Roles, func(r Role) string { return r.ID }),
		sources:      positions(w.Sources, func(s Source) string { return s.ID }),
		warehouses:   positions(w.Warehouses, func(h Warehouse) string { return h.ID }),
		functions:    positions(w.Functions, func(f Function) string { return f.ID }),
		spaces:       positions(w.Spaces, func(s Space) string { return s.ID }),
		groupsOf:     map[string][]int{},
		functionsOf:  map[string][]int{},
	}
	for i, g := range w.Groups {
		var found membership
		for _, m := range g.Members {
			email := foldEmail(m)
			if u, there := idx.usersByEmail[email]; there {
				found.users = append(found.users, u)
			}
			if has(idx.invites, email) {
				found.pending = append(found.pending, m)
			}
			// A member that is in a group twice is in one group.
			if in := idx.groupsOf[email]; len(in) == 0 || in[len(in)-1] != i {
				idx.groupsOf[email] = append(in, i)
			}
		}
		idx.members = append(idx.members, found)
	}
	for i, f := range w.Functions {
		idx.functionsOf[f.ResourceType] = append(idx.functionsOf[f.ResourceType], i)
	}
	return idx
}

// groupsOfUser returns the groups that list u as a member. Of two users whose addresses
// differ only in case, a group lists one.
func (x *index) groupsOfUser(u *User) []int {
	var in []int
	for _, i := range x.groupsOf[foldEmail(u.Email)] {
		if slices.ContainsFunc(x.members[i].users, func(at int) bool { return at == x.users[u.ID] }) {
			in = append(in, i)
		}
	}
	return in
}

// positions maps each key to its first row.
func positions[T any](rows []T, key func(T) string) map[string]int {
	m := make(map[string]int, len(rows))
	for i, r := range rows {
		if k := key(r); !has(m, k) {
			m[k] = i
		}
	}
	return m
}

func has[K comparable, V any](m map[K]V, k K) bool {
	_, ok := m[k]
	return ok
}

// foldEmail returns an e-mail address in the form for comparisons. That Segment ignores
// the case of the letters A to Z is an assumption: its documentation does not cover it.
// Other letters stay as they are. Unicode folds the kelvin sign to k and the dotted
// capital I to i, which are other addresses.
func foldEmail(email string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, email)
}
