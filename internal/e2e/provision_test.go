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

// Ids of the workspace that the tests of changes are about.
const (
	roleOwner   = "owner"
	roleMinimal = "minimal"
	roleSource  = "src"
	// A workspace-wide role, and one that the workspace does not list any more.
	rolePII     = "pii"
	roleRetired = "retired"

	userNewcomer  = "u-newcomer"
	userHolder    = "u-holder"
	groupNewcomer = "g-newcomer"
	groupHolder   = "g-holder"
	invited       = "Invited@example.com"
)

// provisioned is a workspace with one of everything that a role can be held on.
// The newcomers, a user and a group, hold what no test is to touch: the same
// roles on less or on something else, restricted by labels above all. The
// holders hold what no list foretells, and what nobody understands.
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
		Invites:    []sim.Invite{{Email: invited, Permissions: []sim.Permission{{RoleID: roleMinimal, Resources: []sim.Resource{everywhere()}}}}},
	}
	elsewhere := []sim.Permission{
		{RoleID: roleMinimal, Resources: []sim.Resource{everywhere()}},
		{RoleID: roleSource, Resources: []sim.Resource{at("SOURCE", "s2"), everywhere(dev), everywhere(dev, growth)}},
		{RoleID: "fn", Resources: []sim.Resource{at("FUNCTION", "f2")}},
		{RoleID: "uni", Resources: []sim.Resource{everywhere(dev)}},
	}
	held := []sim.Permission{
		{RoleID: roleMinimal, Resources: []sim.Resource{everywhere()}},
		{RoleID: roleSource, Resources: []sim.Resource{
			everywhere(growth, sim.Label{Key: "env", Value: "prod", Description: "Live"}), everywhere(longLabels()...), everywhere(sim.Label{Key: "gone", Value: "gone"}), at("SOURCE", "s-gone"), at("DESTINATION", "d1"),
		}},
		{RoleID: roleSource, Resources: []sim.Resource{at("SOURCE", "s2"), at("SOURCE", "s2"), everywhere(growth)}},
		{RoleID: rolePII, Resources: []sim.Resource{at("SOURCE", "s1")}},
		{RoleID: roleRetired, RoleName: "Retired", Resources: []sim.Resource{everywhere(), at("SOURCE", "s1"), everywhere(prod)}},
		{RoleID: "fn", Resources: []sim.Resource{at("FUNCTION", "f-gone")}},
		{RoleID: "uni", Resources: []sim.Resource{at("SPACE", "gone"), at("SPACE", "spa_bare")}},
		{RoleID: "wh", Resources: []sim.Resource{at("WAREHOUSE", "w1"), at("WAREHOUSE", "w-gone")}},
	}
	const ann = "ann@example.com"
	ws.Users = []sim.User{
		{ID: "u-owner", Name: "Olga", Email: "olga@example.com", Permissions: []sim.Permission{{RoleID: roleOwner, Resources: []sim.Resource{everywhere()}}}},
		{ID: userNewcomer, Name: "Newcomer", Email: "Newcomer@example.com", Permissions: elsewhere},
		{ID: userHolder, Name: "Holder", Email: "holder@example.com", Permissions: held},
		{ID: "u-ann", Name: "Ann", Email: ann},
	}
	ws.Groups = []sim.Group{
		{ID: groupNewcomer, Name: "Newcomers", Members: []string{ann}, Permissions: elsewhere},
		{ID: groupHolder, Name: "Holders", Members: []string{ann}, Permissions: held},
		{ID: "g-members", Name: "Members", Members: []string{ann}, Permissions: elsewhere[:1]},
	}
	return sim.New(ws).Workspace() // Rows above share slices; a workspace must not.
}

// everywhere is the workspace, or what in it carries all the labels.
func everywhere(labels ...sim.Label) sim.Resource {
	return sim.Resource{ID: "ws", Type: "WORKSPACE", Labels: labels}
}

func at(kind, id string) sim.Resource { return sim.Resource{ID: id, Type: kind} }

// oddLabel has what an id must escape.
func oddLabel() sim.Label { return sim.Label{Key: "odd", Value: "100%=a,b:c"} }

// longLabels are a set whose id cannot name them.
func longLabels() []sim.Label {
	var labels []sim.Label
	for _, key := range []string{"long-a", "long-b", "long-c"} {
		labels = append(labels, sim.Label{Key: key, Value: strings.Repeat("x", 200)})
	}
	return labels
}

// give and take are the edits that a grant and a revocation are expected to
// make, in the simulator's terms. What is given is written as it is here.
func give(principal, id, roleID string, scope sim.Resource) func(*sim.Workspace) {
	return func(ws *sim.Workspace) {
		held := heldBy(ws, principal, id)
		*held = append(*held, sim.Permission{RoleID: roleID, Resources: []sim.Resource{scope}})
	}
}

func take(principal, id, roleID string, scope sim.Resource) func(*sim.Workspace) {
	return func(ws *sim.Workspace) {
		held := *heldBy(ws, principal, id)
		for i := range held {
			if held[i].RoleID == roleID {
				held[i].Resources = slices.DeleteFunc(held[i].Resources, func(r sim.Resource) bool {
					return r.Type == scope.Type && r.ID == scope.ID && labelSetID(r.Labels) == labelSetID(scope.Labels)
				})
			}
		}
	}
}

func heldBy(ws *sim.Workspace, principal, id string) *[]sim.Permission {
	if principal == typeGroup {
		return &ws.Groups[slices.IndexFunc(ws.Groups, func(g sim.Group) bool { return g.ID == id })].Permissions
	}
	return &ws.Users[slices.IndexFunc(ws.Users, func(u sim.User) bool { return u.ID == id })].Permissions
}

// join and leave are the edits of a membership.
func join(groupID, email string) func(*sim.Workspace) {
	return func(ws *sim.Workspace) {
		i := slices.IndexFunc(ws.Groups, func(g sim.Group) bool { return g.ID == groupID })
		ws.Groups[i].Members = append(ws.Groups[i].Members, email)
	}
}

func leave(groupID, email string) func(*sim.Workspace) {
	return func(ws *sim.Workspace) {
		i := slices.IndexFunc(ws.Groups, func(g sim.Group) bool { return g.ID == groupID })
		ws.Groups[i].Members = slices.DeleteFunc(ws.Groups[i].Members, func(m string) bool { return m == email })
	}
}

// remove is the edit that takes a user out of the workspace.
func remove(id string) func(*sim.Workspace) {
	return func(ws *sim.Workspace) {
		i := slices.IndexFunc(ws.Users, func(u sim.User) bool { return u.ID == id })
		for _, g := range ws.Groups {
			leave(g.ID, ws.Users[i].Email)(ws)
		}
		ws.Users = slices.Delete(ws.Users, i, i+1)
	}
}

// A state is a workspace in which what users and groups hold is a set: in what
// order it stands there and which resources share an entry says nothing about
// access, and neither does an entry without resources.
type state struct {
	Held map[string][]string
	Rest *sim.Workspace
}

// stateOf takes ws apart, which must not be used any more.
func stateOf(ws *sim.Workspace) state {
	s := state{Held: map[string][]string{}, Rest: ws}
	for i := range ws.Users {
		s.Held["user "+ws.Users[i].ID] = heldSet(ws.Users[i].Permissions)
		ws.Users[i].Permissions = nil
	}
	for i := range ws.Groups {
		s.Held["group "+ws.Groups[i].ID] = heldSet(ws.Groups[i].Permissions)
		ws.Groups[i].Permissions = nil
	}
	return s
}

// heldSet is what permissions give, each once. A space has one or two ids, with
// and without a prefix, and of both the first stands for it.
func heldSet(permissions []sim.Permission) []string {
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
			if _, there := set[key]; !there {
				set[key] = text(r.ID)
			}
		}
	}
	return slices.Sorted(maps.Values(set))
}

// A desk changes a workspace with the program, by a file that was synced
// before.
type desk struct {
	server
	dir string
}

// newDesk serves a workspace to a copy of the file.
func newDesk(t *testing.T, ws *sim.Workspace, synced string, opts ...sim.Option) desk {
	t.Helper()
	content, err := os.ReadFile(synced)
	if err != nil {
		t.Fatal(err)
	}
	d := desk{serve(t, ws, opts...), t.TempDir()}
	if err := os.WriteFile(d.file(), content, 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d desk) file() string { return filepath.Join(d.dir, "sync.c1z") }

// A step is one run of the program, and what it asked for.
type step struct {
	result
	requests []sim.Request
}

func (s step) writes() []sim.Request {
	return slices.DeleteFunc(slices.Clone(s.requests), func(r sim.Request) bool { return r.Method == http.MethodGet })
}

// text is the requests as a reader of a journal sees them, a line each.
func (s step) text() string {
	var lines strings.Builder
	for _, r := range s.requests {
		fmt.Fprintf(&lines, "%s %s %s %d\n", r.Operation, r.Method, r.Path, r.Status)
	}
	return lines.String()
}

// run runs the program. Faults and edits that are planned count from here.
func (d desk) run(t *testing.T, args ...string) step {
	t.Helper()
	d.ResetJournal()
	args = slices.Concat([]string{"-f", d.file()}, args)
	return step{result: runIn(t, d.dir, d.env(), filepath.Join(programs, "baton-segment"), args...), requests: d.Journal()}
}

// change runs the program and compares: it ends with the code, it leaves the
// workspace as the edit does, and it has written only if it had to. A nil edit
// is no change.
func (d desk) change(t *testing.T, code codes.Code, edit func(*sim.Workspace), args ...string) step {
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

func (d desk) check(t *testing.T, s step, code codes.Code, want state, args []string) {
	t.Helper()
	if s.code != int(code) {
		t.Errorf("%q: exit code %d, want %d\n%s", args, s.code, code, s.stderr)
	}
	if complaint := unclear(s.stderr, nil); code != codes.OK && complaint != "" {
		t.Errorf("%q: %s\n%s", args, complaint, s.stderr)
	}
	if diff := cmp.Diff(want, stateOf(d.Workspace()), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%q leaves the workspace (-want +got):\n%s%s", args, diff, s.text())
	}
}

// look syncs anew: the file holds what the workspace holds. It returns the ids
// of the grants that the baton CLI shows.
func (d desk) look(t *testing.T) []string {
	t.Helper()
	must(t, d.env(), "baton-segment", "-f", d.file(), "--log-level", "error")
	compare(t, expected(d.Workspace(), builtTypes()), readFile(t, d.file()).contents(t))
	return d.shown(t)
}

func (d desk) shown(t *testing.T) []string {
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
