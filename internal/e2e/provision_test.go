package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	batonv1 "github.com/conductorone/baton-sdk/pb/baton/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// Ids in the provisioned workspace.
const (
	roleOwner   = "owner"
	roleMinimal = "minimal"
	roleSource  = "src"
	// A workspace-wide role, and one that the workspace no longer lists.
	rolePII     = "pii"
	roleRetired = "retired"

	userNewcomer  = "u-newcomer"
	userHolder    = "u-holder"
	groupNewcomer = "g-newcomer"
	groupHolder   = "g-holder"
	invited       = "Invited@example.com"
)

// provisioned returns a workspace with a resource of every type that a role can be
// held on. The newcomers, a user and a group, hold the same roles on other
// resources or on labels, and no test may change these permissions. The holders
// have permissions on resources that no list returns, or of unknown types.
func provisioned() *sim.Workspace {
	prod, dev, growth := sim.Label{Key: "env", Value: "prod"}, sim.Label{Key: "env", Value: "dev"}, sim.Label{Key: "team", Value: "growth"}
	ws := &sim.Workspace{
		ID: "ws", Slug: "ws", Name: "Workspace",
		Roles: []sim.Role{
			{ID: roleOwner, Name: "Workspace Owner"}, {ID: roleMinimal, Name: "Minimal Workspace Access"},
			{ID: roleSource, Name: "Source Admin"}, {ID: "fn", Name: "Functions Admin"}, {ID: "uni", Name: "Unify and Engage Admin"},
			{ID: "wh", Name: "Warehouse Destination Admin"}, {ID: rolePII, Name: "PII Access"},
		},
		Labels:     append([]sim.Label{prod, dev, growth, oddLabel()}, longLabels()...),
		Sources:    []sim.Source{{ID: "s1", Slug: "one", WriteKeys: []string{secretMark + "one"}}, {ID: "s2", Slug: "two"}},
		Warehouses: []sim.Warehouse{{ID: "w1"}},
		Functions:  []sim.Function{{ID: "f1", ResourceType: "DESTINATION"}, {ID: "f2", ResourceType: "SOURCE"}},
		Spaces:     []sim.Space{{ID: "spa_prefixed", Name: "Prefixed"}, {ID: "bare", Name: "Bare"}},
		Invites:    []sim.Invite{{Email: invited, Permissions: []sim.Permission{{RoleID: roleMinimal, Resources: []sim.Resource{onWorkspace()}}}}},
	}
	elsewhere := []sim.Permission{
		{RoleID: roleMinimal, Resources: []sim.Resource{onWorkspace()}},
		{RoleID: roleSource, Resources: []sim.Resource{onResource("SOURCE", "s2"), onWorkspace(dev), onWorkspace(dev, growth)}},
		{RoleID: "fn", Resources: []sim.Resource{onResource("FUNCTION", "f2")}},
		{RoleID: "uni", Resources: []sim.Resource{onWorkspace(dev)}},
	}
	held := []sim.Permission{
		{RoleID: roleMinimal, Resources: []sim.Resource{onWorkspace()}},
		{RoleID: roleSource, Resources: []sim.Resource{
			onWorkspace(growth, sim.Label{Key: "env", Value: "prod", Description: "Live"}), onWorkspace(longLabels()...), onWorkspace(sim.Label{Key: "gone", Value: "gone"}), onResource("SOURCE", "s-gone"), onResource("DESTINATION", "d1"),
		}},
		{RoleID: roleSource, Resources: []sim.Resource{onResource("SOURCE", "s2"), onResource("SOURCE", "s2"), onWorkspace(growth)}},
		{RoleID: rolePII, Resources: []sim.Resource{onResource("SOURCE", "s1")}},
		{RoleID: roleRetired, RoleName: "Retired", Resources: []sim.Resource{onWorkspace(), onResource("SOURCE", "s1"), onWorkspace(prod)}},
		{RoleID: "fn", Resources: []sim.Resource{onResource("FUNCTION", "f-gone")}},
		{RoleID: "uni", Resources: []sim.Resource{onResource("SPACE", "gone"), onResource("SPACE", "spa_bare")}},
		{RoleID: "wh", Resources: []sim.Resource{onResource("WAREHOUSE", "w1"), onResource("WAREHOUSE", "w-gone")}},
	}
	const ann = "ann@example.com"
	ws.Users = []sim.User{
		{ID: "u-owner", Name: "Olga", Email: "olga@example.com", Permissions: []sim.Permission{{RoleID: roleOwner, Resources: []sim.Resource{onWorkspace()}}}},
		{ID: userNewcomer, Name: "Newcomer", Email: "Newcomer@example.com", Permissions: elsewhere},
		{ID: userHolder, Name: "Holder", Email: "holder@example.com", Permissions: held},
		{ID: "u-ann", Name: "Ann", Email: ann},
	}
	ws.Groups = []sim.Group{
		{ID: groupNewcomer, Name: "Newcomers", Members: []string{ann}, Permissions: elsewhere},
		{ID: groupHolder, Name: "Holders", Members: []string{ann}, Permissions: held},
		{ID: "g-members", Name: "Members", Members: []string{ann}, Permissions: elsewhere[:1]},
	}
	return sim.New(ws).Workspace() // The copy does not share slices between rows.
}

// onWorkspace is the workspace, or the resources in it that carry all the labels.
func onWorkspace(labels ...sim.Label) sim.Resource {
	return sim.Resource{ID: "ws", Type: "WORKSPACE", Labels: labels}
}

func onResource(kind, id string) sim.Resource { return sim.Resource{ID: id, Type: kind} }

// oddLabel has the characters that an id must escape.
func oddLabel() sim.Label { return sim.Label{Key: "odd", Value: "100%=a,b:c"} }

// longLabels are a set whose id is a hash, because the names are too long.
func longLabels() []sim.Label {
	var labels []sim.Label
	for _, key := range []string{"long-a", "long-b", "long-c"} {
		labels = append(labels, sim.Label{Key: key, Value: strings.Repeat("x", 200)})
	}
	return labels
}

// grantRole and revokeRole return the edits that a grant and a revocation are
// expected to make.
func grantRole(principal, id, roleID string, scope sim.Resource) func(*sim.Workspace) {
	return func(ws *sim.Workspace) {
		held := permissionsOf(ws, principal, id)
		*held = append(*held, sim.Permission{RoleID: roleID, Resources: []sim.Resource{scope}})
	}
}

func revokeRole(principal, id, roleID string, scope sim.Resource) func(*sim.Workspace) {
	return func(ws *sim.Workspace) {
		held := *permissionsOf(ws, principal, id)
		for i := range held {
			if held[i].RoleID == roleID {
				held[i].Resources = slices.DeleteFunc(held[i].Resources, func(r sim.Resource) bool {
					return r.Type == scope.Type && r.ID == scope.ID && labelSetID(r.Labels) == labelSetID(scope.Labels)
				})
			}
		}
	}
}

func permissionsOf(ws *sim.Workspace, principal, id string) *[]sim.Permission {
	if principal == typeGroup {
		return &ws.Groups[slices.IndexFunc(ws.Groups, func(g sim.Group) bool { return g.ID == id })].Permissions
	}
	return &ws.Users[slices.IndexFunc(ws.Users, func(u sim.User) bool { return u.ID == id })].Permissions
}

// addMember and removeMember return the edits of a membership.
func addMember(groupID, email string) func(*sim.Workspace) {
	return func(ws *sim.Workspace) {
		i := slices.IndexFunc(ws.Groups, func(g sim.Group) bool { return g.ID == groupID })
		ws.Groups[i].Members = append(ws.Groups[i].Members, email)
	}
}

func removeMember(groupID, email string) func(*sim.Workspace) {
	return func(ws *sim.Workspace) {
		i := slices.IndexFunc(ws.Groups, func(g sim.Group) bool { return g.ID == groupID })
		ws.Groups[i].Members = slices.DeleteFunc(ws.Groups[i].Members, func(m string) bool { return m == email })
	}
}

// removeUserByID returns the edit that removes a user from the workspace.
func removeUserByID(id string) func(*sim.Workspace) {
	return func(ws *sim.Workspace) {
		i := slices.IndexFunc(ws.Users, func(u sim.User) bool { return u.ID == id })
		for _, g := range ws.Groups {
			removeMember(g.ID, ws.Users[i].Email)(ws)
		}
		ws.Users = slices.Delete(ws.Users, i, i+1)
	}
}

// A state is a workspace whose permissions are sets. Their order, the resources
// that share an entry, and entries without resources make no difference to access.
type state struct {
	Held map[string][]string
	Rest *sim.Workspace
}

// stateOf returns the state of ws. It modifies ws, which must not be used again.
func stateOf(ws *sim.Workspace) state {
	s := state{Held: map[string][]string{}, Rest: ws}
	for i := range ws.Users {
		s.Held["user "+ws.Users[i].ID] = permissionSet(ws.Users[i].Permissions)
		ws.Users[i].Permissions = nil
	}
	for i := range ws.Groups {
		s.Held["group "+ws.Groups[i].ID] = permissionSet(ws.Groups[i].Permissions)
		ws.Groups[i].Permissions = nil
	}
	return s
}

// permissionSet formats permissions, without duplicates. A space may occur with and
// without the prefix of its id; the first form stands for both.
func permissionSet(permissions []sim.Permission) []string {
	set := map[string]string{}
	for _, p := range permissions {
		for _, r := range p.Resources {
			labels := slices.Clone(r.Labels)
			slices.SortFunc(labels, func(a, b sim.Label) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
			labels = slices.Compact(labels)
			text := func(id string) string {
				return fmt.Sprintf("%s %q on %s %s %q", p.RoleID, p.RoleName, r.Type, id, labels)
			}
			key := text(r.ID)
			if r.Type == "SPACE" {
				key = text(strings.TrimPrefix(r.ID, "spa_"))
			}
			if _, found := set[key]; !found {
				set[key] = text(r.ID)
			}
		}
	}
	return slices.Sorted(maps.Values(set))
}

// A deployment runs the program on a workspace, with a file from an earlier sync.
type deployment struct {
	server
	dir string
}

// newDeployment serves a workspace and copies the file.
func newDeployment(t *testing.T, ws *sim.Workspace, synced string, opts ...sim.Option) deployment {
	t.Helper()
	content, err := os.ReadFile(synced)
	if err != nil {
		t.Fatal(err)
	}
	d := deployment{serve(t, ws, opts...), t.TempDir()}
	if err := os.WriteFile(d.file(), content, 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d deployment) file() string { return filepath.Join(d.dir, "sync.c1z") }

// A programRun is one run of the program and the requests that it made.
type programRun struct {
	result
	requests []sim.Request
}

func (s programRun) writes() []sim.Request {
	return slices.DeleteFunc(slices.Clone(s.requests), func(r sim.Request) bool { return r.Method == http.MethodGet })
}

// text formats the requests, one in a line.
func (s programRun) text() string {
	var lines strings.Builder
	for _, r := range s.requests {
		fmt.Fprintf(&lines, "%s %s %s %d\n", r.Operation, r.Method, r.Path, r.Status)
	}
	return lines.String()
}

// run runs the program. Planned faults and edits count the requests of this run.
func (d deployment) run(t *testing.T, args ...string) programRun {
	t.Helper()
	d.ResetJournal()
	args = slices.Concat([]string{"-f", d.file()}, args)
	return programRun{result: runIn(t, d.dir, d.Env(), program(t, "baton-segment"), args...), requests: d.Journal()}
}

// expectChange runs the program and compares the exit code, the workspace, which
// must be as after the edit, and the number of writes: one, or none if the edit is
// nil.
func (d deployment) expectChange(t *testing.T, code codes.Code, edit func(*sim.Workspace), args ...string) programRun {
	t.Helper()
	want, changes := d.Workspace(), 0
	if edit != nil {
		edit(want)
		changes = 1
	}
	s := d.run(t, args...)
	d.check(t, s, code, stateOf(want), args)
	written := 0
	for _, w := range s.writes() {
		switch {
		case w.Status < http.StatusMultipleChoices:
			written++
		case code == codes.OK:
			t.Errorf("%q made a request that was refused:\n%s", args, s.text())
		}
	}
	if written != changes {
		t.Errorf("%q wrote %d times, want %d:\n%s", args, written, changes, s.text())
	}
	return s
}

func (d deployment) check(t *testing.T, s programRun, code codes.Code, want state, args []string) {
	t.Helper()
	if s.code != int(code) {
		t.Errorf("%q: exit code %d, want %d\n%s", args, s.code, code, s.stderr)
	}
	if problem := unclear(s.stderr, nil); code != codes.OK && problem != "" {
		t.Errorf("%q: %s\n%s", args, problem, s.stderr)
	}
	if diff := cmp.Diff(want, stateOf(d.Workspace()), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%q leaves the workspace (-want +got):\n%s%s", args, diff, s.text())
	}
}

// syncAndCompare syncs again and compares the file with the workspace. It returns
// the ids of the grants that the baton CLI prints.
func (d deployment) syncAndCompare(t *testing.T) []string {
	t.Helper()
	must(t, d.Env(), "baton-segment", "-f", d.file(), "--log-level", "error")
	compare(t, expected(d.Workspace(), builtTypes()), readFile(t, d.file()).contents(t))
	return d.shownGrants(t)
}

func (d deployment) shownGrants(t *testing.T) []string {
	t.Helper()
	var grants batonv1.GrantListOutput
	if err := protojson.Unmarshal([]byte(must(t, nil, "baton", "grants", "-f", d.file(), "-o", "json").stdout), &grants); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, g := range grants.GetGrants() {
		ids = append(ids, g.GetGrant().GetId())
	}
	return ids
}

func grantArgs(entitlementID, principal, id string) []string {
	return []string{"--grant-entitlement", entitlementID, "--grant-principal", id, "--grant-principal-type", principal}
}

func deleteArgs(typeID, id string) []string {
	return []string{"--delete-resource", id, "--delete-resource-type", typeID}
}
