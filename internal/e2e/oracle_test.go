package e2e

import (
	"cmp"
	"slices"
	"strings"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// The oracle says what a sync of a simulated workspace must contain and what
// it must cost. It reads the simulator's state and follows the data model of
// the product; it shares no code with the connector, and must not.

// Resource types, as customers' review history knows them.
const (
	typeWorkspace = "workspace"
	typeUser      = "user"
	typeInvite    = "invite"
	typeGroup     = "group"
	typeRole      = "role"
)

// builtTypes are the resource types that the connector has so far. A row is
// expected only if the types it stands on are among them.
func builtTypes() []string { return []string{typeGroup, typeRole, typeUser, typeWorkspace} }

// contents is what a sync file says, sorted.
type contents struct {
	Resources    []resource
	Entitlements []entitlement
	Grants       []grant
}

type resource struct {
	Type, ID, Name string
	// The rest is of users alone.
	Email, Login string
	Enabled      bool
	Profile      map[string]string
}

type entitlement struct {
	ID, Resource, Slug string
}

// A grant is direct, derived from groups, or both: Sources are the group
// entitlements it was derived from, and its own entitlement if it is also held
// directly while derived.
type grant struct {
	ID, Entitlement, Principal string
	// Expands is the entitlement whose users receive this grant, too.
	Expands string
	Sources []string
	// Derived grants cannot be revoked where they appear.
	Immutable bool
}

func (c *contents) sort() {
	slices.SortFunc(c.Resources, func(a, b resource) int {
		return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.ID, b.ID))
	})
	slices.SortFunc(c.Entitlements, func(a, b entitlement) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(c.Grants, func(a, b grant) int { return strings.Compare(a.ID, b.ID) })
}

// An oracle holds one workspace and the rows found so far, by id.
type oracle struct {
	ws     *sim.Workspace
	built  map[string]bool
	users  map[string]sim.User // by lower-cased e-mail
	grants map[string]grant
}

func newOracle(ws *sim.Workspace, built []string) *oracle {
	o := &oracle{ws: ws, built: map[string]bool{}, users: map[string]sim.User{}, grants: map[string]grant{}}
	for _, name := range built {
		o.built[name] = true
	}
	for _, u := range ws.Users {
		o.users[strings.ToLower(u.Email)] = u
	}
	return o
}

// expected is what a full sync of ws contains.
func expected(ws *sim.Workspace, built []string) contents {
	o := newOracle(ws, built)
	c := contents{Resources: o.resources(), Entitlements: o.entitlements()}
	for _, u := range ws.Users {
		o.grant("workspace:"+ws.ID+":member", typeUser, u.ID)
		for _, role := range o.placed(u.Permissions) {
			o.grant("role:"+role+":assigned", typeUser, u.ID)
		}
	}
	for _, g := range ws.Groups {
		users, invites := o.members(g)
		for _, u := range users {
			o.grant("group:"+g.ID+":member", typeUser, u.ID)
		}
		for _, email := range invites {
			o.grant("group:"+g.ID+":member", typeInvite, email)
		}
		for _, role := range o.placed(g.Permissions) {
			o.grantGroup("role:"+role+":assigned", g.ID)
		}
	}
	// Derived last: whether a grant is also held directly is known only now.
	for _, g := range ws.Groups {
		users, _ := o.members(g)
		for _, role := range o.placed(g.Permissions) {
			for _, u := range users {
				o.derive("role:"+role+":assigned", g.ID, u.ID)
			}
		}
	}
	for _, g := range o.grants {
		slices.Sort(g.Sources)
		c.Grants = append(c.Grants, g)
	}
	c.sort()
	return c
}

func (o *oracle) resources() []resource {
	rows := []resource{{Type: typeWorkspace, ID: o.ws.ID, Name: o.ws.Name}}
	for _, u := range o.ws.Users {
		first, last, _ := strings.Cut(u.Name, " ")
		rows = append(rows, resource{
			Type: typeUser, ID: u.ID, Name: cmp.Or(u.Name, u.Email),
			Email: u.Email, Login: u.Email, Enabled: true,
			Profile: map[string]string{"user_id": u.ID, "email": u.Email, "first_name": first, "last_name": last},
		})
	}
	for _, g := range o.ws.Groups {
		rows = append(rows, resource{Type: typeGroup, ID: g.ID, Name: cmp.Or(g.Name, g.ID)})
	}
	for _, r := range o.ws.Roles {
		rows = append(rows, resource{Type: typeRole, ID: r.ID, Name: cmp.Or(r.Name, r.ID)})
	}
	return slices.DeleteFunc(rows, func(r resource) bool { return !o.built[r.Type] })
}

func (o *oracle) entitlements() []entitlement {
	slugs := map[string]string{typeWorkspace: "member", typeGroup: "member", typeRole: "assigned"}
	var rows []entitlement
	for _, r := range o.resources() {
		if slug := slugs[r.Type]; slug != "" {
			object := r.Type + ":" + r.ID
			rows = append(rows, entitlement{ID: object + ":" + slug, Resource: object, Slug: slug})
		}
	}
	return rows
}

// members splits the members of a group. An invited e-mail that already is a
// user's counts as that user.
func (o *oracle) members(g sim.Group) ([]sim.User, []string) {
	var users []sim.User
	var invites []string
	for _, email := range g.Members {
		if u, ok := o.users[strings.ToLower(email)]; ok {
			users = append(users, u)
		} else {
			invites = append(invites, email)
		}
	}
	return users, invites
}

// placed returns the roles that permissions give on the whole workspace:
// without labels, for with labels a role is held on less.
func (o *oracle) placed(permissions []sim.Permission) []string {
	var roles []string
	for _, p := range permissions {
		for _, r := range p.Resources {
			if r.Type == "WORKSPACE" && len(r.Labels) == 0 {
				roles = append(roles, p.RoleID)
			}
		}
	}
	return roles
}

// unplaced counts the resources of permissions, of users and of groups, for
// which no resource type is built yet, by kind.
func unplaced(ws *sim.Workspace) map[string]int {
	kinds := map[string]int{}
	count := func(permissions []sim.Permission) {
		for _, p := range permissions {
			for _, r := range p.Resources {
				switch {
				case len(r.Labels) > 0:
					kinds[r.Type+" with labels"]++
				case r.Type != "WORKSPACE":
					kinds[r.Type]++
				}
			}
		}
	}
	for _, u := range ws.Users {
		count(u.Permissions)
	}
	for _, g := range ws.Groups {
		count(g.Permissions)
	}
	return kinds
}

func (o *oracle) grant(entitlementID, principalType, principalID string) {
	on, _, _ := strings.Cut(entitlementID, ":")
	if !o.built[on] || !o.built[principalType] {
		return
	}
	principal := principalType + ":" + principalID
	id := entitlementID + ":" + principal
	o.grants[id] = grant{ID: id, Entitlement: entitlementID, Principal: principal}
}

func (o *oracle) grantGroup(entitlementID, groupID string) {
	o.grant(entitlementID, typeGroup, groupID)
	id := entitlementID + ":group:" + groupID
	if g, ok := o.grants[id]; ok {
		g.Expands = "group:" + groupID + ":member"
		o.grants[id] = g
	}
}

func (o *oracle) derive(entitlementID, groupID, userID string) {
	id := entitlementID + ":user:" + userID
	g, held := o.grants[id]
	switch {
	case !held:
		o.grant(entitlementID, typeUser, userID)
		g = o.grants[id]
		g.Immutable = true
	case len(g.Sources) == 0:
		g.Sources = []string{entitlementID}
	}
	if source := "group:" + groupID + ":member"; !slices.Contains(g.Sources, source) {
		g.Sources = append(g.Sources, source)
	}
	o.grants[id] = g
}

// cost is the number of requests of each operation that a full sync of ws
// makes with pages of the given size: no more, no fewer.
func cost(ws *sim.Workspace, built []string, pageSize int) map[string]int {
	pages := func(rows int) int { return max(1, (rows+pageSize-1)/pageSize) }
	requests := map[string]int{
		"getWorkspace":   2, // one of them validates
		"listUsers":      1 + pages(len(ws.Users)),
		"listRoles":      1 + pages(len(ws.Roles)),
		"listUserGroups": pages(len(ws.Groups)),
	}
	if n := len(ws.Users); n > 0 {
		requests["getUser"] = n
	}
	o := newOracle(ws, built)
	for _, g := range ws.Groups {
		users, invites := o.members(g)
		requests["getUserGroup"]++
		requests["listUsersFromUserGroup"] += pages(len(users))
		requests["listInvitesFromUserGroup"] += pages(len(invites))
	}
	return requests
}
