package sim

import "strings"

// An index finds rows by what requests name them with. It is rebuilt after
// each change of the state, so that no write has to keep it right.
type index struct {
	users        map[string]int
	usersByEmail map[string]int
	groups       map[string]int
	invites      map[string]int
	roles        map[string]int
}

func newIndex(w *Workspace) *index {
	return &index{
		users:        positions(w.Users, func(u User) string { return u.ID }),
		usersByEmail: positions(w.Users, func(u User) string { return foldEmail(u.Email) }),
		groups:       positions(w.Groups, func(g Group) string { return g.ID }),
		invites:      positions(w.Invites, func(i Invite) string { return foldEmail(i.Email) }),
		roles:        positions(w.Roles, func(r Role) string { return r.ID }),
	}
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

// foldEmail gives the form in which e-mail addresses are compared. That
// Segment ignores case is an assumption: its documentation does not say.
func foldEmail(email string) string { return strings.ToLower(email) }
