package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	sdksync "github.com/conductorone/baton-sdk/pkg/sync"
	"pgregory.net/rapid"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// For any workspace, page size and number of workers, the file has exactly the
// rows of the oracle, passes the SDK's invariants, and the sync makes exactly the
// requests of the formula. It fails if it sees no owner.
func TestAnyWorkspaceSyncsExactly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cases, ownerless := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		ws := drawWorkspace(t)
		t.Logf("the workspace:\n%s", describe(ws))
		pageSize := rapid.SampledFrom([]int{1000, 1, 2, 3}).Draw(t, "page size")
		workers := rapid.SampledFrom([]int{1, 4}).Draw(t, "workers")
		next := rapid.SampledFrom([]sim.NextForm{sim.NextAbsent, sim.NextNull, sim.NextEmpty}).Draw(t, "next")
		generous := rapid.Bool().Draw(t, "permissions in lists")
		types := builtTypes()
		if filtered := rapid.SampledFrom([]bool{false, false, false, true}).Draw(t, "filtered"); filtered {
			if some := drawSome(t, "types", builtTypes()); len(some) > 0 {
				types = some
			}
		}

		requests := cost(ws, types, pageSize)
		opts := []sim.Option{sim.WithNext(next)}
		if generous {
			opts = append(opts, sim.WithPermissionsInLists())
			subtractDetailRequests(requests, ws)
		}
		s := serve(t, ws, opts...)
		cases++
		file := filepath.Join(dir, fmt.Sprintf("%d.c1z", cases))
		syncOpts := []sdksync.SyncOpt{sdksync.WithWorkerCount(workers), sdksync.WithFailFastInvariants(), sdksync.WithSyncResourceTypes(types)}
		if seesNoOwner(ws, types) {
			ownerless++
			checkNoOwner(t, newRunner(t.Context(), t, s, pageSize).Sync(t.Context(), file, syncOpts...))
			return
		}
		syncInProcess(t, s, file, pageSize, syncOpts...)
		compare(t, expected(ws, types), readFile(t, file).contents(t))
		compareRequests(t, requests, s.requests(t))
	})
	t.Logf("%d workspaces, of which %d show no owner", cases, ownerless)
}

// checkNoOwner fails the test unless the error says that no owner is seen.
func checkNoOwner(t testingT, err error) {
	t.Helper()
	if o := (outcome{err: err}); err == nil || o.verdict() != failsFailedPrecondition || !strings.Contains(err.Error(), noOwnerMessage) {
		t.Errorf("a sync that sees no owner ends with %v", err)
	}
}

// drawWorkspace draws all rows that a sync reads. It draws from few names, so that
// about half of the references are to listed rows, and so that a failure shrinks
// to few and simple rows.
func drawWorkspace(t *rapid.T) *sim.Workspace {
	ws := &sim.Workspace{ID: "ws", Slug: "slug", Name: drawName(t, "name of the workspace")}
	// The roles of a workspace have ids of one family.
	family := rapid.SampledFrom(roleFamilies()).Draw(t, "family of role ids")
	ws.Roles = drawSome(t, "roles", drawnRoles(family))
	ws.Labels = drawSome(t, "labels", drawnLabels())
	for _, id := range drawSome(t, "sources", sourceIDs()) {
		name := drawName(t, "name of "+id)
		ws.Sources = append(ws.Sources, sim.Source{
			ID: id, Name: &name, Slug: drawName(t, "slug of "+id), Enabled: true,
			Labels: drawLabels(t, "labels of "+id, 0),
		})
	}
	for _, id := range drawSome(t, "warehouses", []string{"w1", "w2"}) {
		ws.Warehouses = append(ws.Warehouses, sim.Warehouse{
			ID: id, Settings: map[string]any{"name": drawWarehouseName(t, "name of "+id)}, Metadata: sim.Metadata{Name: drawName(t, "type of "+id)},
		})
	}
	for _, f := range drawSome(t, "functions", drawnFunctions()) {
		if rapid.Bool().Draw(t, "named: "+f.ID) {
			name := drawName(t, "name of "+f.ID)
			f.DisplayName = &name
		}
		ws.Functions = append(ws.Functions, f)
	}
	for _, id := range drawSome(t, "spaces", spaceIDs()) {
		ws.Spaces = append(ws.Spaces, sim.Space{ID: id, Name: drawName(t, "name of "+id)})
	}
	for i, email := range drawSome(t, "users", drawnEmails()) {
		id := fmt.Sprintf("u%d", i)
		ws.Users = append(ws.Users, sim.User{ID: id, Email: email, Name: drawName(t, "name of "+id), Permissions: drawPermissions(t, id)})
	}
	for _, email := range drawSome(t, "invites", drawnEmails()) {
		if email != "" {
			ws.Invites = append(ws.Invites, sim.Invite{Email: email})
		}
	}
	for _, id := range drawSome(t, "groups", []string{"g1", "g2"}) {
		ws.Groups = append(ws.Groups, sim.Group{
			ID: id, Name: rapid.OneOf(rapid.Just(formulaName), rapid.SampledFrom(drawnNames())).Draw(t, "name of "+id),
			Members:     rapid.SliceOfN(rapid.SampledFrom(drawnEmails()), 0, 4).Draw(t, "members of "+id),
			Permissions: drawPermissions(t, id),
		})
	}
	// A workspace has an owner. One in a few does not show it.
	if len(ws.Users) > 0 && rapid.SampledFrom([]bool{true, true, true, false}).Draw(t, "shows an owner") {
		owner := sim.Permission{RoleID: drawnRoles(family)[0].ID, RoleName: ownerName, Resources: []sim.Resource{{ID: "ws", Type: "WORKSPACE"}}}
		u := rapid.IntRange(0, len(ws.Users)-1).Draw(t, "owner")
		ws.Users[u].Permissions = append(ws.Users[u].Permissions, owner)
	}
	return ws
}

// drawSome draws distinct rows, in any order.
func drawSome[T any](t *rapid.T, what string, rows []T) []T {
	var some []T
	for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, len(rows)-1), 0, len(rows), rapid.ID[int]).Draw(t, what) {
		some = append(some, rows[i])
	}
	return some
}

// idOf returns an id of a length that Segment's ids have, which begins with a name.
func idOf(name string, length int) string { return name + strings.Repeat("0", length-len(name)) }

// roleFamilies are the two beginnings of the ids of roles in real workspaces. The ids
// themselves are invented.
func roleFamilies() []string { return []string{"1Mc8", "1WDU"} }

func drawnRoles(family string) []sim.Role {
	id := func(name string) string { return idOf(family+name, 27) }
	return []sim.Role{
		{ID: id("Owner"), Name: "Workspace Owner"},
		{ID: id("Minimal"), Name: "Minimal Workspace Access"},
		{ID: id("Source"), Name: "Source Admin"},
		{ID: id("Sources"), Name: " sources, read-only"},
		{ID: id("Function"), Name: "Functions Admin"},
		{ID: id("Warehouse"), Name: "Warehouse Destination Admin"},
		{ID: id("Unify"), Name: "Unify Read-only"},
		{ID: id("Identity"), Name: "Unify Identity Admin"},
		{ID: id("Entities"), Name: "Entities Read-only"},
		{ID: id("Plans"), Name: "Plans of Sources and Spaces"},
		{ID: "short", Name: "PII Access"},
		{ID: id("Privacy"), Name: "End User Privacy Admin"},
		{ID: id("Nameless")},
	}
}

func sourceIDs() []string {
	return []string{idOf("s1", 10), idOf("s2", 20), idOf("s3", 21), idOf("s4", 22), idOf("s5", 27)}
}

func drawnFunctions() []sim.Function {
	return []sim.Function{
		{ID: idOf("sfnc_1", 15), ResourceType: "SOURCE"},
		{ID: idOf("dfn_1", 28), ResourceType: "DESTINATION"},
		{ID: idOf("ifns_1", 28), ResourceType: "INSERT_SOURCE"},
		{ID: "f2", ResourceType: "INSERT_TRANSFORMATION"},
	}
}

func drawnLabels() []sim.Label {
	return []sim.Label{
		{Key: "env", Value: "prod"},
		{Key: "env", Value: "dev"},
		{Key: "a%=", Value: "b,c:d"},
		// A duplicate that differs in the description.
		{Key: "env", Value: "prod", Description: "again"},
		// A label whose id is too long for Baton.
		{Key: "long", Value: strings.Repeat("x", 600)},
	}
}

// drawnEmails has each address in at most two spellings, so that a match is
// unambiguous.
func drawnEmails() []string {
	return []string{"ann@x.test", "Ann@x.test", "BOB@x.test", "bob@x.test", "nobody", ""}
}

// spaceIDs has one id in both forms.
func spaceIDs() []string { return []string{"spa_1", "1", "2", "spa_3"} }

func drawnNames() []string {
	return []string{"Name", "", "   ", " padded\t", "日本 Name", "a" + strings.Repeat("é", 600)}
}

// formulaName is the name of a group in a real workspace.
const formulaName = `=cmd|' /C notepad'!'A1'`

func drawName(t *rapid.T, what string) string {
	return rapid.SampledFrom(drawnNames()).Draw(t, what)
}

// drawWarehouseName draws a name, in about half of the cases encoded as JSON as in real
// workspaces, or one that only looks so.
func drawWarehouseName(t *rapid.T, what string) string {
	name := drawName(t, what)
	switch rapid.IntRange(0, 4).Draw(t, "form of "+what) {
	case 0, 1:
		return name
	case 2:
		return `"` + name
	}
	encoded, err := json.Marshal(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

func drawLabels(t *rapid.T, what string, least int) []sim.Label {
	return rapid.SliceOfN(rapid.SampledFrom(drawnLabels()), least, 3).Draw(t, what)
}

// drawPermissions draws up to three permissions, or thirteen, which is the most that
// anybody in a real workspace has.
func drawPermissions(t *rapid.T, of string) []sim.Permission {
	// Of both families, since a permission may have a role that no list has. The last
	// role has neither id nor name.
	var roles []sim.Role
	for _, family := range roleFamilies() {
		roles = append(roles, drawnRoles(family)...)
	}
	roles = append(roles, sim.Role{})
	var permissions []sim.Permission
	for i := range rapid.SampledFrom([]int{0, 1, 2, 3, 13}).Draw(t, "permissions of "+of) {
		what := fmt.Sprintf("permission %d of %s", i, of)
		role := rapid.SampledFrom(roles).Draw(t, "role of "+what)
		p := sim.Permission{RoleID: role.ID, RoleName: role.Name}
		if rapid.Bool().Draw(t, "usual: "+what) {
			p.Resources = drawUsual(t, "resources of "+what)
		} else {
			for range rapid.IntRange(0, 3).Draw(t, "resources of "+what) {
				p.Resources = append(p.Resources, drawResource(t, "resource of "+what))
			}
		}
		permissions = append(permissions, p)
	}
	return permissions
}

// drawUsual draws resources as entries in real workspaces have them: of one type, each
// once, and with up to two labels.
func drawUsual(t *rapid.T, what string) []sim.Resource {
	prod, dev, team := drawnLabels()[0], drawnLabels()[1], sim.Label{Key: "team", Value: "growth"}
	on := func(kind string, ids ...string) []sim.Resource {
		var resources []sim.Resource
		for _, id := range ids {
			resources = append(resources, sim.Resource{Type: kind, ID: id})
		}
		return resources
	}
	labeled := func(labels ...sim.Label) []sim.Resource {
		return []sim.Resource{{Type: "WORKSPACE", ID: "ws", Labels: labels}}
	}
	return rapid.SampledFrom([][]sim.Resource{
		on("WORKSPACE", "ws"),
		labeled(prod),
		labeled(prod, team),
		append(labeled(prod, team), labeled(team, dev)...),
		on("SOURCE", sourceIDs()...),
		on("FUNCTION", drawnFunctions()[0].ID, drawnFunctions()[1].ID),
		on("SPACE", "spa_1", "spa_2", "spa_3"),
	}).Draw(t, what)
}

func drawResource(t *rapid.T, what string) sim.Resource {
	sources, functions := sourceIDs(), drawnFunctions()
	kinds := []struct {
		kind    string
		ids     []string
		labeled bool
	}{
		{kind: "WORKSPACE", ids: []string{"ws", "other", ""}},
		{kind: "WORKSPACE", ids: []string{"ws", ""}, labeled: true},
		{kind: "SOURCE", ids: append(sources[:2:2], "")},
		{kind: "SOURCE", ids: sources[:1], labeled: true},
		{kind: "WAREHOUSE", ids: []string{"w1", "w2"}},
		{kind: "FUNCTION", ids: []string{functions[0].ID, functions[3].ID}},
		{kind: "SPACE", ids: append(spaceIDs(), "spa_2", "3", "")},
		{kind: "DESTINATION", ids: []string{"d1"}},
	}
	kind := kinds[rapid.IntRange(0, len(kinds)-1).Draw(t, "kind of "+what)]
	r := sim.Resource{Type: kind.kind, ID: rapid.SampledFrom(kind.ids).Draw(t, "id of "+what)}
	if kind.labeled {
		r.Labels = drawLabels(t, "labels of "+what, 1)
	}
	return r
}

// describe formats a workspace in a few lines.
func describe(ws *sim.Workspace) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "  "+format+"\n", args...) }
	line("workspace %s %s", ws.ID, quoted(ws.Name))
	for _, r := range ws.Roles {
		line("role %s %s", r.ID, quoted(r.Name))
	}
	for _, l := range ws.Labels {
		line("label %s", labelsText([]sim.Label{l}))
	}
	for _, s := range ws.Sources {
		line("source %s %s slug %s labels %s", s.ID, quoted(*s.Name), quoted(s.Slug), labelsText(s.Labels))
	}
	for _, w := range ws.Warehouses {
		line("warehouse %s %s type %s", w.ID, quoted(fmt.Sprint(w.Settings["name"])), quoted(w.Metadata.Name))
	}
	for _, f := range ws.Functions {
		line("function %s %s %s", f.ID, f.ResourceType, quoted(text(f.DisplayName)))
	}
	for _, s := range ws.Spaces {
		line("space %s %s", s.ID, quoted(s.Name))
	}
	for _, i := range ws.Invites {
		line("invite %s", i.Email)
	}
	permissions := func(ps []sim.Permission) {
		for _, p := range ps {
			line("  %s", permissionText(p))
		}
	}
	for _, u := range ws.Users {
		line("user %s %s %s", u.ID, quoted(u.Email), quoted(u.Name))
		permissions(u.Permissions)
	}
	for _, g := range ws.Groups {
		line("group %s %s of %q", g.ID, quoted(g.Name), g.Members)
		permissions(g.Permissions)
	}
	return b.String()
}

func permissionText(p sim.Permission) string {
	var on []string
	for _, r := range p.Resources {
		on = append(on, strings.TrimSpace(r.Type+" "+quoted(r.ID)+" "+labelsText(r.Labels)))
	}
	return fmt.Sprintf("%s on %s", quoted(p.RoleID), strings.Join(on, ", "))
}

func labelsText(labels []sim.Label) string {
	var texts []string
	for _, l := range labels {
		texts = append(texts, shorten(l.Key+"="+l.Value))
	}
	return strings.Join(texts, " & ")
}

func quoted(s string) string { return fmt.Sprintf("%q", shorten(s)) }

// shorten keeps the beginning of a string and its length.
func shorten(s string) string {
	if len(s) > 20 {
		return fmt.Sprintf("%.12s… (%d bytes)", s, len(s))
	}
	return s
}
