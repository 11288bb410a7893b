package e2e

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// The oracle computes the rows that a sync of a simulated workspace must contain
// and the requests that it must make. It reads the simulator's state and follows
// the data model of the product. It repeats rules of the connector on purpose:
// with shared code, a mistake in a rule would be in both and go unnoticed.

// The ids of resource types. The review history of customers depends on them.
const (
	typeWorkspace = "workspace"
	typeUser      = "user"
	typeInvite    = "invite"
	typeGroup     = "group"
	typeRole      = "role"
	typeSource    = "source"
	typeFunction  = "function"
	typeSpace     = "space"
	typeWarehouse = "warehouse"
	typeLabel     = "label"
)

// builtTypes are the resource types of a full sync. A filtered sync has fewer,
// and only the rows whose types are all read.
func builtTypes() []string {
	return []string{
		typeFunction, typeGroup, typeInvite, typeLabel, typeRole,
		typeSource, typeSpace, typeUser, typeWarehouse, typeWorkspace,
	}
}

// contents are the rows of a sync file, sorted.
type contents struct {
	Resources    []resource
	Entitlements []entitlement
	Grants       []grant
}

type resource struct {
	Type, ID, Name string
	Profile        map[string]any
	// The rest is set for users and invites.
	Email, Login, Status string
}

// The status of a user or an invite: that of the row, its details, and that of
// the user trait.
const (
	statusJoined  = `RESOURCE_STATUS_ENABLED "" STATUS_ENABLED`
	statusPending = `RESOURCE_STATUS_PENDING "invitation pending" STATUS_PENDING`
)

type entitlement struct {
	ID, Resource, Slug, Name string
	// Immutable entitlements can be held but not granted.
	Immutable bool
}

// A grant is direct, derived from groups, or both. Sources are the group
// entitlements that it is derived from. They include its own entitlement if it
// is direct as well.
type grant struct {
	ID, Entitlement, Principal string
	// Expands is the entitlement whose users also receive this grant.
	Expands string
	Sources []string
	// Immutable grants cannot be revoked from this principal.
	Immutable bool
}

func (c *contents) sort() {
	slices.SortFunc(c.Resources, func(a, b resource) int {
		return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.ID, b.ID))
	})
	slices.SortFunc(c.Entitlements, func(a, b entitlement) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(c.Grants, func(a, b grant) int { return strings.Compare(a.ID, b.ID) })
}

// An oracle holds one workspace and the rows found so far: resources by type
// and id, entitlements and grants by id.
type oracle struct {
	ws           *sim.Workspace
	types        map[string]bool
	resources    map[string]resource
	entitlements map[string]entitlement
	grants       map[string]grant
	roleNames    map[string]string
}

// newOracle returns an oracle for a sync of ws that reads resources of some
// types.
func newOracle(ws *sim.Workspace, types []string) *oracle {
	o := &oracle{
		ws:           ws,
		types:        map[string]bool{},
		resources:    map[string]resource{},
		entitlements: map[string]entitlement{},
		grants:       map[string]grant{},
		roleNames:    map[string]string{},
	}
	for _, name := range types {
		o.types[name] = true
	}
	for _, r := range ws.Roles {
		o.roleNames[r.ID] = r.Name
	}
	return o
}

// expected returns the rows of a sync of ws that reads resources of some types.
func expected(ws *sim.Workspace, types []string) contents {
	o := newOracle(ws, types)
	o.list()
	o.addStaticEntitlements()
	o.addGrants()
	o.expand()
	c := contents{
		Resources:    slices.Collect(maps.Values(o.resources)),
		Entitlements: slices.Collect(maps.Values(o.entitlements)),
	}
	for _, g := range o.grants {
		slices.Sort(g.Sources)
		c.Grants = append(c.Grants, g)
	}
	c.sort()
	return c
}

// list adds the resources that the lists return.
func (o *oracle) list() {
	ws := o.ws
	o.add(resource{
		Type: typeWorkspace, ID: ws.ID, Name: firstNonBlank(ws.Name, ws.Slug, ws.ID),
		Profile: map[string]any{"slug": clipped(ws.Slug), "connector": "baton-segment", "schema": 1.0},
	})
	for _, u := range ws.Users {
		email := displayText(u.Email)
		first, last, _ := strings.Cut(displayText(u.Name), " ")
		o.add(resource{
			Type: typeUser, ID: u.ID, Name: firstNonBlank(u.Name, u.Email, u.ID),
			Profile: map[string]any{"user_id": u.ID, "email": email, "first_name": first, "last_name": strings.TrimSpace(last)},
			Email:   validEmail(email), Login: email, Status: statusJoined,
		})
	}
	for _, i := range ws.Invites {
		if isUsersEmail(ws, i.Email) {
			continue // The person is in the file as the user.
		}
		email := displayText(i.Email)
		o.add(resource{
			Type: typeInvite, ID: i.Email, Name: email,
			Profile: map[string]any{"email": email},
			Email:   validEmail(email), Login: email, Status: statusPending,
		})
	}
	for _, g := range ws.Groups {
		o.add(resource{Type: typeGroup, ID: g.ID, Name: firstNonBlank(g.Name, g.ID), Profile: map[string]any{"group_id": g.ID}})
	}
	for _, r := range ws.Roles {
		o.add(resource{Type: typeRole, ID: r.ID, Name: firstNonBlank(r.Name, r.ID)})
	}
	for _, s := range ws.Sources {
		o.add(resource{
			Type: typeSource, ID: s.ID, Name: firstNonBlank(text(s.Name), s.Slug, s.ID),
			Profile: map[string]any{
				"source_id": s.ID, "slug": clipped(s.Slug), "type": clipped(s.Metadata.Name), "enabled": s.Enabled, "labels": toAny(labelIDs(s.Labels)),
			},
		})
	}
	for _, w := range ws.Warehouses {
		o.add(resource{
			Type: typeWarehouse, ID: w.ID, Name: firstNonBlank(warehouseName(w.Settings["name"]), w.Metadata.Name, w.ID),
			Profile: map[string]any{"warehouse_id": w.ID, "type": clipped(w.Metadata.Name), "enabled": w.Enabled},
		})
	}
	for _, f := range ws.Functions {
		o.add(resource{
			Type: typeFunction, ID: f.ID, Name: firstNonBlank(servedName(ws, f), f.ID),
			Profile: map[string]any{"function_id": f.ID, "type": f.ResourceType},
		})
	}
	for _, s := range ws.Spaces {
		o.add(resource{
			Type: typeSpace, ID: s.ID, Name: firstNonBlank(s.Name, s.Slug, s.ID),
			Profile: map[string]any{"space_id": s.ID, "slug": clipped(s.Slug)},
		})
	}
	for _, l := range ws.Labels {
		set := []sim.Label{l}
		o.add(resource{
			Type: typeLabel, ID: labelSetID(set), Name: firstNonBlank(labelSetText(set)),
			Profile: map[string]any{"labels": toAny(labelIDs(set))},
		})
	}
}

// add adds a resource if its type is read, unless it is there already.
func (o *oracle) add(r resource) {
	if r.Profile == nil {
		r.Profile = map[string]any{}
	}
	r.Profile["workspace_id"] = o.ws.ID
	key := r.Type + ":" + r.ID
	if _, there := o.resources[key]; !there && o.types[r.Type] {
		o.resources[key] = r
	}
}

// addStaticEntitlements adds the entitlements that follow from the lists alone.
func (o *oracle) addStaticEntitlements() {
	for _, r := range slices.Collect(maps.Values(o.resources)) {
		switch r.Type {
		case typeWorkspace, typeGroup:
			o.addEntitlement(target{on: r.Type, id: r.ID, slug: "member"})
		case typeRole:
			o.addEntitlement(target{on: r.Type, id: r.ID, slug: "assigned"})
		}
		for _, role := range o.ws.Roles {
			if slices.Contains(scopesOf(role.Name), r.Type) {
				o.addEntitlement(target{on: r.Type, id: r.ID, slug: role.ID, role: role.Name})
			}
		}
	}
}

// scopesOf returns the types that a role can be held on besides the workspace.
// They follow from the first word of its name.
func scopesOf(roleName string) []string {
	name := strings.ToLower(roleName)
	words := strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) })
	if len(words) == 0 {
		return nil
	}
	switch words[0] {
	case "source", "sources":
		return []string{typeSource, typeLabel}
	case "function", "functions":
		return []string{typeFunction}
	case "warehouse", "warehouses":
		return []string{typeWarehouse}
	case "entity", "entities":
		return []string{typeSpace}
	case "unify", "engage", "persona", "personas":
		if !strings.Contains(name, "identity") {
			return []string{typeSpace, typeLabel}
		}
	}
	return nil
}

// cost returns the exact number of requests, by operation, of a sync of ws that
// reads resources of some types with pages of the given size.
func cost(ws *sim.Workspace, types []string, pageSize int) map[string]int {
	pages := func(rows int) int { return max(1, (rows+pageSize-1)/pageSize) }
	read := func(typeID string) bool { return slices.Contains(types, typeID) }
	requests := map[string]int{"getWorkspace": 1, "listUsers": 1, "listRoles": 1} // Validate.
	// Roles are listed once, even if only the types that they are held on are read.
	if slices.ContainsFunc([]string{typeRole, typeSource, typeWarehouse, typeFunction, typeSpace, typeLabel}, read) {
		requests["listRoles"] += pages(len(ws.Roles))
	}
	if read(typeWorkspace) {
		requests["getWorkspace"]++
	}
	if read(typeUser) {
		requests["listUsers"] += pages(len(ws.Users))
		requests["getUser"] = len(ws.Users)
	}
	if read(typeInvite) {
		requests["listInvites"] = pages(len(ws.Invites))
		// The users are read to know which invites have been accepted. One list of them
		// serves both types.
		if len(ws.Invites) > 0 && !read(typeUser) {
			requests["listUsers"] += pages(len(ws.Users))
		}
	}
	if read(typeSource) {
		requests["listSources"] = pages(len(ws.Sources))
	}
	if read(typeWarehouse) {
		requests["listWarehouses"] = pages(len(ws.Warehouses))
	}
	if read(typeFunction) {
		for _, kind := range []string{"DESTINATION", "INSERT_DESTINATION", "INSERT_SOURCE", "INSERT_TRANSFORMATION", "SOURCE"} {
			requests["listFunctions"] += pages(count(ws.Functions, func(f sim.Function) bool { return f.ResourceType == kind }))
		}
	}
	if read(typeSpace) {
		requests["listSpaces"] = pages(len(ws.Spaces))
	}
	if read(typeLabel) {
		requests["listLabels"] = 1
	}
	if read(typeGroup) {
		requests["listUserGroups"] = pages(len(ws.Groups))
		requests["getUserGroup"] = len(ws.Groups)
		for _, g := range ws.Groups {
			requests["listUsersFromUserGroup"] += pages(len(groupUsers(ws, g)))
			if len(ws.Invites) > 0 || !read(typeInvite) {
				requests["listInvitesFromUserGroup"] += pages(len(groupInvites(ws, g)))
			}
		}
	}
	maps.DeleteFunc(requests, func(_ string, n int) bool { return n == 0 })
	return requests
}

// subtractDetailRequests subtracts the requests that permissions in lists make
// unnecessary: the details of users and groups that have permissions.
func subtractDetailRequests(requests map[string]int, ws *sim.Workspace) {
	requests["getUser"] -= count(ws.Users, func(u sim.User) bool { return len(u.Permissions) > 0 })
	requests["getUserGroup"] -= count(ws.Groups, func(g sim.Group) bool { return len(g.Permissions) > 0 })
	// The difference is negative where a type is left out.
	maps.DeleteFunc(requests, func(_ string, n int) bool { return n <= 0 })
}

func count[T any](rows []T, is func(T) bool) int {
	n := 0
	for _, row := range rows {
		if is(row) {
			n++
		}
	}
	return n
}
