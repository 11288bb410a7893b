package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// A Size is the number of rows of each kind that Sized makes. Zero and negative numbers
// make none.
type Size struct {
	Users, Groups, Sources, Warehouses, Functions, Spaces, Invites, Labels int
	// MembersPerGroup is how many members each group has, or all users and invites
	// if there are fewer.
	MembersPerGroup int
	// Seed selects memberships and permissions, but no ids.
	Seed uint64
}

// defaultMembers is MembersPerGroup if the name of a workspace has none.
const defaultMembers = 10

// counts maps the keys of ParseSize to the numbers of z.
func (z *Size) counts() map[string]*int {
	return map[string]*int{
		"users":           &z.Users,
		"groups":          &z.Groups,
		"sources":         &z.Sources,
		"warehouses":      &z.Warehouses,
		"functions":       &z.Functions,
		"spaces":          &z.Spaces,
		"invites":         &z.Invites,
		"labels":          &z.Labels,
		"memberspergroup": &z.MembersPerGroup,
	}
}

// ParseSize reads key=number pairs that commas separate. The keys are the fields of
// Size in lower case. Missing keys are zero, except memberspergroup, which is 10. It
// fails on a key that does not exist, is repeated, or has a value that is negative or
// no number.
func ParseSize(text string) (Size, error) {
	z := Size{MembersPerGroup: defaultMembers}
	counts := z.counts()
	seen := map[string]bool{}
	if text == "" {
		return z, nil
	}
	for pair := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(pair, "=")
		count, known := counts[key]
		if key != "seed" && !known {
			return Size{}, fmt.Errorf("sim: size has no %q: there are %s", key, sizeKeys())
		}
		if seen[key] {
			return Size{}, fmt.Errorf("sim: size has %s twice", key)
		}
		seen[key] = true
		if !known {
			seed, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				return Size{}, fmt.Errorf("sim: size: seed is %q, not a number from 0", value)
			}
			z.Seed = seed
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return Size{}, fmt.Errorf("sim: size: %s is %q, not a number from 0", key, value)
		}
		*count = n
	}
	return z, nil
}

func sizeKeys() string {
	keys := []string{"seed"}
	for key := range new(Size).counts() {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return strings.Join(keys, ", ")
}

// Sized returns a workspace of a given size: the same for the same size in every run.
// If there are enough users and groups, they hold every kind of scope that Segment
// grants: the workspace, a label, a set of labels, sources, functions and spaces. About
// one in fifty permissions on sources, functions or spaces is on a deleted one.
func Sized(z Size) *Workspace {
	w := &Workspace{
		ID:    makeID("sized workspace")[:22],
		Slug:  "sized",
		Name:  "Sized",
		Roles: builtInRoles(),
	}
	g := &generator{
		// The sequence must be predictable: the same seed gives the same workspace.
		Rand: rand.New(rand.NewPCG(z.Seed, 0)), //nolint:gosec // G404: no secret depends on it.
		w:    w,
	}
	w.Labels = rows(z.Labels, sizedLabel)
	w.Sources = rows(z.Sources, g.source)
	w.Warehouses = rows(z.Warehouses, func(i int) Warehouse {
		name := fmt.Sprintf("Warehouse %d", i)
		if i%2 == 1 { // About half of the names in real workspaces are JSON.
			name = strconv.Quote(name)
		}
		return demoWarehouse(fmt.Sprintf("warehouse-%d", i), name, Metadata{"55d3d3aea3c", "postgres", "Postgres"})
	})
	w.Functions = rows(z.Functions, func(i int) Function {
		kinds := functionTypes()
		kind := kinds[i%len(kinds)]
		id := functionPrefix(kind) + makeID("sized function", i)[:22]
		return demoFunction(id, kind, fmt.Sprintf("Function %d", i), "")
	})
	w.Spaces = rows(z.Spaces, func(i int) Space {
		return Space{"spa_" + makeID("sized space", i)[:22], fmt.Sprintf("space-%d", i), fmt.Sprintf("Space %d", i)}
	})
	w.Users = rows(z.Users, func(i int) User {
		u := User{
			ID:    makeID("sized user", i),
			Name:  fmt.Sprintf("User %d", i),
			Email: fmt.Sprintf("user-%d@example.com", i),
		}
		if i == 0 {
			u.Permissions = []Permission{on(roleOwner, g.workspace())}
			return u
		}
		u.Permissions = g.permissions(i)
		return u
	})
	w.Invites = rows(z.Invites, func(i int) Invite {
		return Invite{fmt.Sprintf("invite-%d@example.com", i), g.permissions(0)}
	})
	w.Groups = rows(z.Groups, func(i int) Group {
		return Group{
			ID:          makeID("sized group", i),
			Name:        fmt.Sprintf("Group %d", i),
			Members:     g.members(z.MembersPerGroup),
			Permissions: g.permissions(i),
		}
	})
	return w
}

// rows makes n rows by their numbers.
func rows[T any](n int, row func(int) T) []T {
	out := make([]T, 0, max(0, n))
	for i := range max(0, n) {
		out = append(out, row(i))
	}
	return out
}

// sizedLabel returns the i-th label, the default labels first. Keys repeat, because a
// set cannot combine labels of one key.
func sizedLabel(i int) Label {
	if byDefault := defaultLabels(); i < len(byDefault) {
		return byDefault[i]
	}
	keys := []string{"team", "region", "tier"}
	return Label{Key: keys[i%len(keys)], Value: fmt.Sprintf("value-%d", i)}
}

// functionPrefix returns the prefix of the ids of a type of functions. That of
// INSERT_TRANSFORMATION is an assumption.
func functionPrefix(kind string) string {
	switch kind {
	case "SOURCE":
		return "sfnc_"
	case "DESTINATION":
		return "dfn_"
	case "INSERT_SOURCE":
		return "ifns_"
	default:
		return "ifnd_"
	}
}

// A generator draws the permissions, members and labels of a workspace at random.
type generator struct {
	*rand.Rand
	w *Workspace
}

func (g *generator) source(i int) Source {
	s := demoSource(fmt.Sprintf("source-%d", i), fmt.Sprintf("Source %d", i), Metadata{"IqDTy1TpoU", "javascript", "Javascript"}, nil)
	if len(g.w.Labels) > 0 && i%3 != 0 {
		s.Labels = []Label{pick(g, g.w.Labels)}
	}
	return s
}

func (g *generator) workspace() Resource { return scope(typeWorkspace, g.w.ID) }

// permissions returns minimal access and one more permission for the i-th principal.
// The kinds of the latter take turns, so that a small workspace has all of them.
func (g *generator) permissions(i int) []Permission {
	base := on(roleMinimal, g.workspace())
	extra, there := g.extraPermission(i)
	switch {
	case !there:
		return []Permission{base}
	// Some principals have narrow access only, without minimal access.
	case g.IntN(20) == 0:
		return []Permission{extra}
	default:
		return []Permission{base, extra}
	}
}

// extraPermission returns false if the workspace has no resource of the i-th kind.
func (g *generator) extraPermission(i int) (Permission, bool) {
	w := g.w
	labelRoles := []string{roleSourceAdmin, roleSourceReadOnly, roleEngageAdmin, roleEngageReadOnlyMade, roleEngageUserMade}
	switch i % 8 {
	case 1:
		roles := []string{roleSourceReadOnly, roleWarehouseAdmin, roleTrackingAdmin, rolePIIAccess, roleFunctionsReadOnly, roleEngageAdmin}
		return on(pick(g, roles), g.workspace()), true
	case 2:
		return g.on([]string{roleSourceAdmin, roleSourceReadOnly}, typeSource, len(w.Sources), func(i int) string { return w.Sources[i].ID })
	case 3:
		return g.on([]string{roleFunctionsAdmin, roleFunctionsReadOnly}, typeFunction, len(w.Functions), func(i int) string { return w.Functions[i].ID })
	case 4:
		return g.on([]string{roleEngageAdmin, roleEngageReadOnlyMade, roleEngageUserMade}, typeSpace, len(w.Spaces), func(i int) string { return w.Spaces[i].ID })
	case 5:
		return g.labeled(labelRoles, 1)
	case 6:
		return g.labeled(labelRoles, 2)
	default:
		return Permission{}, false
	}
}

// on returns a role on one to four of n resources, rarely on a deleted one.
func (g *generator) on(roles []string, kind string, n int, id func(int) string) (Permission, bool) {
	if n == 0 {
		return Permission{}, false
	}
	p := Permission{RoleID: pick(g, roles)}
	for _, i := range g.sample(n, 1+g.IntN(4)) {
		p.Resources = append(p.Resources, scope(kind, id(i)))
	}
	if g.IntN(50) == 0 {
		p.Resources[0].ID = makeID("sized, deleted", kind, g.IntN(10))
	}
	return p, true
}

// labeled returns a role on everything that carries n labels of different keys. It
// returns false if the workspace has fewer such labels.
func (g *generator) labeled(roles []string, n int) (Permission, bool) {
	labels := g.w.Labels
	if len(labels) == 0 {
		return Permission{}, false
	}
	r := g.workspace()
	first := g.IntN(len(labels))
	for i := 0; i < len(labels) && len(r.Labels) < n; i++ {
		l := labels[(first+i)%len(labels)]
		if !slices.ContainsFunc(r.Labels, func(have Label) bool { return have.Key == l.Key }) {
			r.Labels = append(r.Labels, l)
		}
	}
	return on(pick(g, roles), r), len(r.Labels) == n
}

// members draws n members from all users and invites, by their e-mail addresses.
func (g *generator) members(n int) []string {
	users := len(g.w.Users)
	emails := []string{}
	for _, i := range g.sample(users+len(g.w.Invites), n) {
		if i < users {
			emails = append(emails, g.w.Users[i].Email)
		} else {
			emails = append(emails, g.w.Invites[i-users].Email)
		}
	}
	return emails
}

// sample draws k different numbers below n, or all of them if there are fewer.
func (g *generator) sample(n, k int) []int {
	k = min(k, n)
	if k*2 > n {
		return g.Perm(n)[:max(0, k)]
	}
	seen := map[int]bool{}
	out := make([]int, 0, max(0, k))
	for len(out) < k {
		if i := g.IntN(n); !seen[i] {
			seen[i] = true
			out = append(out, i)
		}
	}
	return out
}

func pick[T any](g *generator, from []T) T { return from[g.IntN(len(from))] }
