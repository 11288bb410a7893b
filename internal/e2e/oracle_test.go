package e2e

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"

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
	typeSource    = "source"
	typeFunction  = "function"
	typeSpace     = "space"
	typeWarehouse = "warehouse"
	typeLabel     = "label"
)

// builtTypes are the resource types of a full sync. One that is filtered has
// fewer: a row is there only if the types that it stands on are.
func builtTypes() []string {
	return []string{
		typeFunction, typeGroup, typeInvite, typeLabel, typeRole,
		typeSource, typeSpace, typeUser, typeWarehouse, typeWorkspace,
	}
}

// contents is what a sync file says, sorted.
type contents struct {
	Resources    []resource
	Entitlements []entitlement
	Grants       []grant
}

type resource struct {
	Type, ID, Name string
	Profile        map[string]any
	// The rest is of users and invites.
	Email, Login, Status string
}

// What Baton says of a person's status: of the row, with details, and of its
// user trait.
const (
	statusJoined  = `RESOURCE_STATUS_ENABLED "" STATUS_ENABLED`
	statusPending = `RESOURCE_STATUS_UNSPECIFIED "invitation pending" STATUS_UNSPECIFIED`
)

type entitlement struct {
	ID, Resource, Slug, Name string
	// Immutable ones can be held and not given.
	Immutable bool
}

// A grant is direct, derived from groups, or both: Sources are the group
// entitlements it was derived from, and its own entitlement if it is also held
// directly while derived.
type grant struct {
	ID, Entitlement, Principal string
	// Expands is the entitlement whose users receive this grant, too.
	Expands string
	Sources []string
	// Immutable grants cannot be revoked where they appear.
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

// newOracle is asked about a sync of ws that reads resources of some types.
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

// expected is what a sync of ws contains that reads resources of some types.
func expected(ws *sim.Workspace, types []string) contents {
	o := newOracle(ws, types)
	o.list()
	o.foretell()
	o.hold()
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

// list adds what the lists return.
func (o *oracle) list() {
	ws := o.ws
	o.add(resource{
		Type: typeWorkspace, ID: ws.ID, Name: named(ws.Name, ws.Slug, ws.ID),
		Profile: map[string]any{"workspace_id": ws.ID, "slug": clipped(ws.Slug)},
	})
	for _, u := range ws.Users {
		email := shown(u.Email)
		first, last, _ := strings.Cut(shown(u.Name), " ")
		o.add(resource{
			Type: typeUser, ID: u.ID, Name: named(u.Name, u.Email, u.ID),
			Profile: map[string]any{"user_id": u.ID, "email": email, "first_name": first, "last_name": strings.TrimSpace(last)},
			Email:   address(email), Login: email, Status: statusJoined,
		})
	}
	for _, i := range ws.Invites {
		email := shown(i.Email)
		o.add(resource{
			Type: typeInvite, ID: i.Email, Name: email,
			Profile: map[string]any{"email": email},
			Email:   address(email), Login: email, Status: statusPending,
		})
	}
	for _, g := range ws.Groups {
		o.add(resource{Type: typeGroup, ID: g.ID, Name: named(g.Name, g.ID), Profile: map[string]any{"group_id": g.ID}})
	}
	for _, r := range ws.Roles {
		o.add(resource{Type: typeRole, ID: r.ID, Name: named(r.Name, r.ID)})
	}
	for _, s := range ws.Sources {
		o.add(resource{
			Type: typeSource, ID: s.ID, Name: named(text(s.Name), s.Slug, s.ID),
			Profile: map[string]any{
				"source_id": s.ID, "slug": clipped(s.Slug), "type": clipped(s.Metadata.Name), "enabled": s.Enabled, "labels": anys(labelIDs(s.Labels)),
			},
		})
	}
	for _, w := range ws.Warehouses {
		name, _ := w.Settings["name"].(string) // What is not text is no name.
		o.add(resource{
			Type: typeWarehouse, ID: w.ID, Name: named(name, w.Metadata.Name, w.ID),
			Profile: map[string]any{"warehouse_id": w.ID, "type": clipped(w.Metadata.Name), "enabled": w.Enabled},
		})
	}
	for _, f := range ws.Functions {
		o.add(resource{
			Type: typeFunction, ID: f.ID, Name: named(text(f.DisplayName), f.ID),
			Profile: map[string]any{"function_id": f.ID, "type": f.ResourceType},
		})
	}
	for _, s := range ws.Spaces {
		o.add(resource{
			Type: typeSpace, ID: s.ID, Name: named(s.Name, s.Slug, s.ID),
			Profile: map[string]any{"space_id": s.ID, "slug": clipped(s.Slug)},
		})
	}
	for _, l := range ws.Labels {
		set := []sim.Label{l}
		o.add(resource{
			Type: typeLabel, ID: labelSetID(set), Name: named(labelSetText(set)),
			Profile: map[string]any{"labels": anys(labelIDs(set))},
		})
	}
}

// add adds a resource if its type is read and it is not there yet.
func (o *oracle) add(r resource) {
	key := r.Type + ":" + r.ID
	if _, there := o.resources[key]; !there && o.types[r.Type] {
		o.resources[key] = r
	}
}

// foretell adds the entitlements that follow from the lists alone.
func (o *oracle) foretell() {
	for _, r := range slices.Collect(maps.Values(o.resources)) {
		switch r.Type {
		case typeWorkspace, typeGroup:
			o.entitle(target{on: r.Type, id: r.ID, slug: "member"})
		case typeRole:
			o.entitle(target{on: r.Type, id: r.ID, slug: "assigned"})
		}
		for _, role := range o.ws.Roles {
			if slices.Contains(scopesOf(role.Name), r.Type) {
				o.entitle(target{on: r.Type, id: r.ID, slug: role.ID, role: role.Name})
			}
		}
	}
}

// scopesOf are the types that a role can be held on beside the workspace, by
// the first word of its name.
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
	case "unify", "engage", "persona", "personas":
		if !strings.Contains(name, "identity") {
			return []string{typeSpace, typeLabel}
		}
	}
	return nil
}

// A target is what one resource of a permission is an entitlement to. The name
// of the role and the labels are those of the permission.
type target struct {
	on, id, slug string
	role         string
	labels       []sim.Label
}

func (t target) entitlement() string { return t.on + ":" + t.id + ":" + t.slug }

// hold adds who is in the workspace and in groups, what they hold, and the
// rows that this needs and no list foretold.
func (o *oracle) hold() {
	for _, u := range o.ws.Users {
		principal := typeUser + ":" + u.ID
		o.grant(target{on: typeWorkspace, id: o.ws.ID, slug: "member"}, principal)
		for _, t := range o.targets(u.Permissions) {
			o.grant(t, principal)
		}
	}
	for _, g := range o.ws.Groups {
		for _, member := range o.members(g) {
			o.grant(target{on: typeGroup, id: g.ID, slug: "member"}, member)
		}
		for _, t := range o.targets(g.Permissions) {
			o.grantGroup(t, g.ID)
		}
	}
}

// targets are what permissions are entitlements to.
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

// target is what one resource of a permission is an entitlement to, or of what
// kind it is if it cannot be shown.
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

// spaceID is the id under which a space is shown: Segment writes it with and
// without a prefix.
func (o *oracle) spaceID(id string) string {
	bare := strings.TrimPrefix(id, "spa_")
	for _, form := range []string{id, bare, "spa_" + bare} {
		if slices.ContainsFunc(o.ws.Spaces, func(s sim.Space) bool { return s.ID == form }) {
			return form
		}
	}
	return "spa_" + bare
}

// entitle adds an entitlement, unless it is there.
func (o *oracle) entitle(t target) {
	e := entitlement{ID: t.entitlement(), Resource: t.on + ":" + t.id, Slug: t.slug, Immutable: t.on == typeWarehouse}
	switch t.slug {
	case "member":
		e.Name = "Member"
	case "assigned":
		e.Name = "Assigned"
	default:
		e.Name = named(t.role, t.slug)
	}
	if _, there := o.entitlements[e.ID]; !there {
		o.entitlements[e.ID] = e
	}
}

// grant adds a grant to who was listed. What it is on need not have been.
func (o *oracle) grant(t target, principal string) {
	if _, listed := o.resources[principal]; !listed || !o.types[t.on] {
		return
	}
	o.addUnlisted(t)
	o.entitle(t)
	id := t.entitlement() + ":" + principal
	o.grants[id] = grant{ID: id, Entitlement: t.entitlement(), Principal: principal, Immutable: t.on == typeWarehouse}
}

// addUnlisted adds the resource of a grant if no list returned it.
func (o *oracle) addUnlisted(t target) {
	r := resource{Type: t.on, ID: t.id, Name: named(t.id), Profile: map[string]any{"listed": false}}
	switch t.on {
	case typeRole:
		r.Name = named(t.role, t.id)
	case typeLabel:
		r.Name = named(labelSetText(t.labels))
		r.Profile["labels"] = anys(labelIDs(t.labels))
	}
	o.add(r)
}

func (o *oracle) grantGroup(t target, groupID string) {
	principal := typeGroup + ":" + groupID
	o.grant(t, principal)
	id := t.entitlement() + ":" + principal
	// Where no users are read there is nobody to expand to.
	if g, ok := o.grants[id]; ok && o.types[typeUser] {
		g.Expands = principal + ":member"
		o.grants[id] = g
	}
}

// expand lets users hold what their groups hold.
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

// members are the principals in a group. An invited e-mail that already is a
// user's counts as that user; spelled the same is better than spelled alike.
func (o *oracle) members(g sim.Group) []string {
	var principals []string
	for _, u := range groupUsers(o.ws, g) {
		principals = append(principals, typeUser+":"+u.ID)
	}
	for _, email := range groupInvites(o.ws, g) {
		principals = append(principals, o.invited(email))
	}
	return principals
}

// invited is who an e-mail in a group's list of pending invites means.
func (o *oracle) invited(email string) string {
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

// groupUsers are the rows of a group's list of users.
func groupUsers(ws *sim.Workspace, g sim.Group) []sim.User {
	var users []sim.User
	for _, email := range g.Members {
		if i := slices.IndexFunc(ws.Users, func(u sim.User) bool { return strings.EqualFold(u.Email, email) }); i >= 0 {
			users = append(users, ws.Users[i])
		}
	}
	return users
}

// groupInvites are the rows of a group's list of pending invites.
func groupInvites(ws *sim.Workspace, g sim.Group) []string {
	var emails []string
	for _, email := range g.Members {
		if slices.ContainsFunc(ws.Invites, func(i sim.Invite) bool { return strings.EqualFold(i.Email, email) }) {
			emails = append(emails, email)
		}
	}
	return emails
}

// unshown counts what users and groups hold and no row can say, by kind.
func unshown(ws *sim.Workspace) map[string]int {
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

// labelIDs are the ids of single labels, sorted by key and value, each once.
func labelIDs(labels []sim.Label) []string {
	escaped := func(s string) string {
		for _, c := range []string{"%", "=", ",", ":"} {
			s = strings.ReplaceAll(s, c, "%"+strings.ToUpper(hex.EncodeToString([]byte(c))))
		}
		return s
	}
	var ids []string
	for _, l := range labelSet(labels) {
		ids = append(ids, escaped(l.Key)+"="+escaped(l.Value))
	}
	return ids
}

// labelSetID is the id of a set of labels. Baton does not take ids of any
// length.
func labelSetID(labels []sim.Label) string {
	id := strings.Join(labelIDs(labels), ",")
	if len(id) > 512 {
		return "sha256-" + hex.EncodeToString(sum256(id))
	}
	return id
}

func sum256(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

func labelSetText(labels []sim.Label) string {
	var texts []string
	for _, l := range labelSet(labels) {
		texts = append(texts, l.Key+"="+l.Value)
	}
	return strings.Join(texts, " and ")
}

func labelSet(labels []sim.Label) []sim.Label {
	set := map[sim.Label]bool{}
	for _, l := range labels {
		set[sim.Label{Key: l.Key, Value: l.Value}] = true
	}
	return slices.SortedFunc(maps.Keys(set), func(a, b sim.Label) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.Value, b.Value))
	})
}

// named is the first candidate that shows something.
func named(candidates ...string) string {
	for _, c := range candidates {
		if name := shown(c); name != "" {
			return name
		}
	}
	return ""
}

// shown is text as a name shows it.
func shown(s string) string { return clipped(strings.TrimSpace(s)) }

// clipped is the beginning of a text: 1024 bytes at most, no character cut.
func clipped(s string) string {
	for len(s) > 1024 {
		_, last := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-last]
	}
	return s
}

// address is an e-mail address, or nothing if Baton does not take it for one.
func address(email string) string {
	if (v2.UserTrait_Email_builder{Address: email}).Build().Validate() != nil {
		return ""
	}
	return email
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// anys puts strings into the form in which a profile is read back.
func anys(in []string) []any {
	out := make([]any, len(in))
	for i, s := range in {
		out[i] = s
	}
	return out
}

// cost is the number of requests of each operation that a sync of ws makes
// which reads resources of some types, with pages of the given size: no more,
// no fewer.
func cost(ws *sim.Workspace, types []string, pageSize int) map[string]int {
	pages := func(rows int) int { return max(1, (rows+pageSize-1)/pageSize) }
	read := func(typeID string) bool { return slices.Contains(types, typeID) }
	requests := map[string]int{"getWorkspace": 1, "listUsers": 1, "listRoles": 1} // To validate.
	// Roles are asked for once, also if it is only for what they are held on.
	if slices.ContainsFunc([]string{typeRole, typeSource, typeWarehouse, typeFunction, typeSpace, typeLabel}, read) {
		requests["listRoles"] += pages(len(ws.Roles))
	}
	if read(typeWorkspace) || read(typeUser) && len(ws.Users) > 0 {
		requests["getWorkspace"]++
	}
	if read(typeUser) {
		requests["listUsers"] += pages(len(ws.Users))
		requests["getUser"] = len(ws.Users)
	}
	if read(typeInvite) {
		requests["listInvites"] = pages(len(ws.Invites))
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

// save takes off what permissions in lists save: the details of who has any.
func save(requests map[string]int, ws *sim.Workspace) {
	requests["getUser"] -= count(ws.Users, func(u sim.User) bool { return len(u.Permissions) > 0 })
	requests["getUserGroup"] -= count(ws.Groups, func(g sim.Group) bool { return len(g.Permissions) > 0 })
	// Below zero where a type is left out.
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
