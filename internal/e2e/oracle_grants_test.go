package e2e

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// A target is the entitlement that one resource of a permission stands for. The
// role name and the labels are those of the permission.
type target struct {
	on, id, slug string
	role         string
	labels       []sim.Label
}

func (t target) entitlement() string { return t.on + ":" + t.id + ":" + t.slug }

// addGrants adds the members of the workspace and of groups, the roles that users
// and groups hold, and the rows that these grants need and no list returned.
func (o *oracle) addGrants() {
	for _, u := range o.ws.Users {
		principal := typeUser + ":" + u.ID
		o.addGrant(target{on: typeWorkspace, id: o.ws.ID, slug: "member"}, principal)
		for _, t := range o.targets(u.Permissions) {
			o.addGrant(t, principal)
		}
	}
	for _, g := range o.ws.Groups {
		for _, member := range o.members(g) {
			o.addGrant(target{on: typeGroup, id: g.ID, slug: "member"}, member)
		}
		for _, t := range o.targets(g.Permissions) {
			o.addGroupGrant(t, g.ID)
		}
	}
}

// targets returns the targets of all resources of the permissions.
func (o *oracle) targets(permissions []sim.Permission) []target {
	var targets []target
	for _, p := range permissions {
		for _, r := range p.Resources {
			if t, _, ok := o.target(p, r); ok {
				targets = append(targets, t)
			}
		}
	}
	return targets
}

// target returns the target of one resource of a permission. If no row can
// represent the resource, it returns the kind under which the log counts it.
func (o *oracle) target(p sim.Permission, r sim.Resource) (target, string, bool) {
	t := target{id: r.ID, slug: p.RoleID, role: cmp.Or(o.roleNames[p.RoleID], p.RoleName)}
	kind := cmp.Or(r.Type, "a scope without a type")
	switch {
	case p.RoleID == "":
		return t, kind + " without a role", false
	case r.Type == "WORKSPACE" && len(r.Labels) > 0:
		t.on, t.id, t.labels = typeLabel, labelSetID(r.Labels), r.Labels
	case r.Type == "WORKSPACE":
		t.on, t.id, t.slug = typeRole, p.RoleID, "assigned"
	case r.ID == "":
		return t, kind + " without an id", false
	case r.Type == "SOURCE":
		t.on = typeSource
	case r.Type == "FUNCTION":
		t.on = typeFunction
	case r.Type == "WAREHOUSE":
		t.on = typeWarehouse
	case r.Type == "SPACE":
		t.on, t.id = typeSpace, o.spaceID(r.ID)
	default:
		return t, kind, false
	}
	return t, "", true
}

// spaceID returns the id of a space in the file. Segment writes space ids with
// and without a prefix.
func (o *oracle) spaceID(id string) string {
	bare := strings.TrimPrefix(id, "spa_")
	for _, form := range []string{id, bare, "spa_" + bare} {
		if slices.ContainsFunc(o.ws.Spaces, func(s sim.Space) bool { return s.ID == form }) {
			return form
		}
	}
	return "spa_" + bare
}

// addEntitlement adds an entitlement, unless it is there already.
func (o *oracle) addEntitlement(t target) {
	e := entitlement{ID: t.entitlement(), Resource: t.on + ":" + t.id, Slug: t.slug, Immutable: t.on == typeWarehouse}
	switch t.slug {
	case "member":
		e.Name = "Member"
	case "assigned":
		e.Name = "Assigned"
	default:
		e.Name = firstNonBlank(t.role, t.slug)
	}
	if _, there := o.entitlements[e.ID]; !there {
		o.entitlements[e.ID] = e
	}
}

// addGrant adds a grant if its principal is listed. The resource need not be.
func (o *oracle) addGrant(t target, principal string) {
	if _, listed := o.resources[principal]; !listed || !o.types[t.on] {
		return
	}
	o.addUnlisted(t)
	o.addEntitlement(t)
	id := t.entitlement() + ":" + principal
	o.grants[id] = grant{ID: id, Entitlement: t.entitlement(), Principal: principal, Immutable: t.on == typeWarehouse}
}

// addUnlisted adds the resource of a grant, unless a list returned it.
func (o *oracle) addUnlisted(t target) {
	r := resource{Type: t.on, ID: t.id, Name: firstNonBlank(t.id), Profile: map[string]any{"listed": false}}
	switch t.on {
	case typeRole:
		r.Name = firstNonBlank(t.role, t.id)
	case typeLabel:
		r.Name = firstNonBlank(labelSetText(t.labels))
		r.Profile["labels"] = toAny(labelIDs(t.labels))
	}
	o.add(r)
}

// addGroupGrant adds a grant to a group, which expands to the group's users.
func (o *oracle) addGroupGrant(t target, groupID string) {
	principal := typeGroup + ":" + groupID
	o.addGrant(t, principal)
	id := t.entitlement() + ":" + principal
	// Without users in the file there is nothing to expand to.
	if g, ok := o.grants[id]; ok && o.types[typeUser] {
		g.Expands = principal + ":member"
		o.grants[id] = g
	}
}

// expand derives the grants of users from those of their groups.
func (o *oracle) expand() {
	direct := slices.Collect(maps.Values(o.grants))
	for _, held := range direct {
		if held.Expands == "" {
			continue
		}
		for _, member := range direct {
			if member.Entitlement == held.Expands && strings.HasPrefix(member.Principal, typeUser+":") {
				o.derive(held, member)
			}
		}
	}
}

func (o *oracle) derive(held, member grant) {
	id := held.Entitlement + ":" + member.Principal
	g, there := o.grants[id]
	switch {
	case !there:
		g = grant{ID: id, Entitlement: held.Entitlement, Principal: member.Principal, Immutable: true}
	case len(g.Sources) == 0:
		g.Sources = []string{held.Entitlement}
	}
	g.Sources = append(g.Sources, member.Entitlement)
	o.grants[id] = g
}

// members returns the principals in a group. An invited e-mail that is already a
// user's counts as that user.
func (o *oracle) members(g sim.Group) []string {
	var principals []string
	for _, u := range groupUsers(o.ws, g) {
		principals = append(principals, typeUser+":"+u.ID)
	}
	for _, email := range groupInvites(o.ws, g) {
		principals = append(principals, o.inviteePrincipal(email))
	}
	return principals
}

// inviteePrincipal returns the principal of an e-mail in a group's list of
// pending invites. Users come before invites, and the exact spelling before
// another case.
func (o *oracle) inviteePrincipal(email string) string {
	var same, alike []string
	note := func(theirs, principal string) {
		switch {
		case theirs == email:
			same = append(same, principal)
		case strings.EqualFold(theirs, email):
			alike = append(alike, principal)
		}
	}
	for _, u := range o.ws.Users {
		note(u.Email, typeUser+":"+u.ID)
	}
	people := slices.Concat(same, alike)
	same, alike = nil, nil
	for _, i := range o.ws.Invites {
		note(i.Email, typeInvite+":"+i.Email)
	}
	return slices.Concat(people, same, alike)[0]
}

// groupUsers returns the rows of a group's list of users.
func groupUsers(ws *sim.Workspace, g sim.Group) []sim.User {
	var users []sim.User
	for _, email := range g.Members {
		if i := slices.IndexFunc(ws.Users, func(u sim.User) bool { return strings.EqualFold(u.Email, email) }); i >= 0 {
			users = append(users, ws.Users[i])
		}
	}
	return users
}

// groupInvites returns the rows of a group's list of pending invites.
func groupInvites(ws *sim.Workspace, g sim.Group) []string {
	var emails []string
	for _, email := range g.Members {
		if slices.ContainsFunc(ws.Invites, func(i sim.Invite) bool { return strings.EqualFold(i.Email, email) }) {
			emails = append(emails, email)
		}
	}
	return emails
}

// countUnsupported counts, by kind, the resources of permissions that no row can
// represent.
func countUnsupported(ws *sim.Workspace) map[string]int {
	kinds := map[string]int{}
	add := func(permissions []sim.Permission) {
		for _, p := range permissions {
			if len(p.Resources) == 0 {
				kinds["nothing"]++
			}
			for _, r := range p.Resources {
				if _, kind, ok := (&oracle{ws: ws}).target(p, r); !ok {
					kinds[kind]++
				}
			}
		}
	}
	for _, u := range ws.Users {
		add(u.Permissions)
	}
	for _, g := range ws.Groups {
		add(g.Permissions)
	}
	return kinds
}
