package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	sdksync "github.com/conductorone/baton-sdk/pkg/sync"
	"github.com/google/go-cmp/cmp"
	"github.com/grpc-ecosystem/go-grpc-middleware/logging/zap/ctxzap"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// What an answer that is no rows means for the sync.
const (
	// The file lacks what the list is of, and says so.
	skipped = "skipped"
	// The workspace does not know what the list is of, and so lacks nothing.
	unknown = "unknown"
	// A user or a group has gone since it was listed: its row has no grants.
	gone = "vanished"

	failsInvalidArgument    = "fails InvalidArgument"
	failsUnauthenticated    = "fails Unauthenticated"
	failsPermissionDenied   = "fails PermissionDenied"
	failsFailedPrecondition = "fails FailedPrecondition"
	failsInternal           = "fails Internal"
)

// A gatedList is a list that the plan of a workspace, a refusal or a proxy may
// stand before.
type gatedList struct {
	operation string
	// kind is which of the lists of functions it is.
	kind string
	// ordinal is which request of the operation is meant: those of Validate come
	// first.
	ordinal int
	// The rest is of lists that a plan may lack: what the log calls them, and how
	// the workspace looks without.
	lacks string
	drop  func(*sim.Workspace)
}

func (l gatedList) name() string {
	name := strings.TrimSpace(l.operation + " " + l.kind)
	if l.ordinal == 1 && slices.Contains([]string{"getWorkspace", "listUsers", "listRoles"}, l.operation) {
		name += " (Validate)"
	}
	return name
}

func (l gatedList) fault(f sim.Fault) sim.Fault {
	f.Operation, f.Ordinal = l.operation, l.ordinal
	if l.kind != "" {
		f.Query = "resourceType=" + l.kind
	}
	return f
}

const insertTransformation = "INSERT_TRANSFORMATION"

func functionKinds() []string {
	return []string{"DESTINATION", "INSERT_DESTINATION", "INSERT_SOURCE", insertTransformation, "SOURCE"}
}

// gatedLists are all lists of a sync, and what is read before it.
func gatedLists() []gatedList {
	lists := []gatedList{
		{operation: "getWorkspace", ordinal: 1}, {operation: "listUsers", ordinal: 1}, {operation: "listRoles", ordinal: 1},
		{operation: "getWorkspace", ordinal: 2}, {operation: "listUsers", ordinal: 2}, {operation: "listRoles", ordinal: 2},
		{operation: "listInvites", ordinal: 1}, {operation: "listSources", ordinal: 1},
		{operation: "listUserGroups", ordinal: 1, lacks: typeGroup, drop: func(ws *sim.Workspace) { ws.Groups = nil }},
		{operation: "listWarehouses", ordinal: 1, lacks: typeWarehouse, drop: func(ws *sim.Workspace) { ws.Warehouses = nil }},
		{operation: "listSpaces", ordinal: 1, lacks: typeSpace, drop: func(ws *sim.Workspace) { ws.Spaces = nil }},
		{operation: "listLabels", ordinal: 1, lacks: typeLabel, drop: func(ws *sim.Workspace) { ws.Labels = nil }},
	}
	for _, kind := range functionKinds() {
		lists = append(lists, gatedList{
			operation: "listFunctions", kind: kind, ordinal: 1, lacks: "function of the type " + kind,
			drop: func(ws *sim.Workspace) {
				ws.Functions = slices.DeleteFunc(ws.Functions, func(f sim.Function) bool { return f.ResourceType == kind })
			},
		})
	}
	return lists
}

// A gatedAnswer is what comes instead of rows, and what it means by the design:
// on a list that every workspace has, and on one that a plan may lack.
type gatedAnswer struct {
	name               string
	fault              sim.Fault
	required, optional string
	// transformation is what it means on the list of a function type that older
	// workspaces do not know, if not the same.
	transformation string
	// says is what the message of a failure tells people to check.
	says []string
}

func gatedAnswers() []gatedAnswer {
	envelope := func(code int) sim.Fault { return sim.Fault{Kind: sim.FaultStatus, Status: code} }
	bare := func(code int) sim.Fault {
		return sim.Fault{Kind: sim.FaultStatus, Status: code, Body: `{"message":"no such thing here"}`}
	}
	page := func(code int) sim.Fault { return sim.Fault{Kind: sim.FaultHTML, Status: code} }
	access, address := []string{"token", "token's role", "region"}, []string{"base URL", "region"}
	return []gatedAnswer{
		{name: "400", fault: envelope(400), required: failsInvalidArgument, optional: skipped, transformation: unknown},
		{name: "401", fault: envelope(401), required: failsUnauthenticated, optional: failsUnauthenticated, says: access},
		{name: "403", fault: envelope(403), required: failsPermissionDenied, optional: failsPermissionDenied, says: access},
		{name: "404", fault: envelope(404), required: failsFailedPrecondition, optional: skipped, says: address},
		{name: "422", fault: envelope(422), required: failsInvalidArgument, optional: failsInvalidArgument, transformation: unknown},
		{name: "500", fault: envelope(500), required: failsInternal, optional: failsInternal, says: []string{"try again later"}},
		{name: "400 HTML", fault: page(400), required: failsInvalidArgument, optional: failsInvalidArgument},
		{name: "403 HTML", fault: page(403), required: failsPermissionDenied, optional: failsPermissionDenied, says: access},
		{name: "404 HTML", fault: page(404), required: failsFailedPrecondition, optional: failsFailedPrecondition, says: address},
		{name: "400 JSON", fault: bare(400), required: failsInvalidArgument, optional: failsInvalidArgument},
		{name: "404 JSON", fault: bare(404), required: failsFailedPrecondition, optional: failsFailedPrecondition, says: address},
		{name: "200 HTML", fault: page(200), required: failsInternal, optional: failsInternal, says: address},
	}
}

// gatedWorkspace has two of everything, so that each list has a second page,
// and somebody holds something on one thing of each type.
func gatedWorkspace() *sim.Workspace {
	ws := &sim.Workspace{
		ID: "ws", Slug: "ws", Name: "Workspace",
		Roles: []sim.Role{
			{ID: "owner", Name: "Workspace Owner"}, {ID: "src", Name: "Source Admin"}, {ID: "fn", Name: "Functions Admin"},
			{ID: "uni", Name: "Unify and Engage Admin"}, {ID: "wh", Name: "Warehouse Destination Admin"},
		},
		Labels:     []sim.Label{{Key: "env", Value: "prod"}, {Key: "env", Value: "dev"}},
		Sources:    []sim.Source{{ID: "s1", Slug: "one"}, {ID: "s2", Slug: "two"}},
		Warehouses: []sim.Warehouse{{ID: "w1"}, {ID: "w2"}},
		Spaces:     []sim.Space{{ID: "spa_1", Name: "One"}, {ID: "spa_2", Name: "Two"}},
		Invites:    []sim.Invite{{Email: "new@example.com"}, {Email: "newer@example.com"}},
		Users:      []sim.User{{ID: "u1", Email: "ann@example.com"}, {ID: "u2", Email: "bob@example.com"}, {ID: "u3", Email: "cy@example.com"}},
	}
	hold := func(roleID, kind, id string, labels ...sim.Label) sim.Permission {
		return sim.Permission{RoleID: roleID, Resources: []sim.Resource{{ID: id, Type: kind, Labels: labels}}}
	}
	ws.Users[0].Permissions = []sim.Permission{
		hold("owner", "WORKSPACE", "ws"), hold("src", "SOURCE", "s1"), hold("src", "WORKSPACE", "ws", ws.Labels[0]),
		hold("uni", "SPACE", "spa_1"), hold("wh", "WAREHOUSE", "w1"),
	}
	ws.Users[1].Permissions = []sim.Permission{hold("owner", "WORKSPACE", "ws")}
	for _, kind := range functionKinds() {
		for _, id := range []string{"-1", "-2"} {
			ws.Functions = append(ws.Functions, sim.Function{ID: strings.ToLower(kind) + id, ResourceType: kind})
		}
		ws.Users[2].Permissions = append(ws.Users[2].Permissions, hold("fn", "FUNCTION", strings.ToLower(kind)+"-1"))
	}
	ws.Groups = []sim.Group{
		{ID: "g1", Name: "One", Members: []string{"ann@example.com", "new@example.com"}, Permissions: []sim.Permission{hold("src", "SOURCE", "s2")}},
		{ID: "g2", Name: "Two", Members: []string{"bob@example.com", "cy@example.com"}, Permissions: []sim.Permission{hold("uni", "SPACE", "spa_2")}},
	}
	return ws
}

// An outcome is how a sync ended.
type outcome struct {
	err error
	// warnings are those of the connector.
	warnings []observer.LoggedEntry
	contents contents
	requests map[string]int
}

// syncGated syncs and keeps what a reader of the log sees.
func syncGated(t *testing.T, s server, pageSize int) outcome {
	t.Helper()
	return syncInto(t.Context(), t, s, filepath.Join(t.TempDir(), "sync.c1z"), pageSize)
}

// syncInto does so with a context and a file of the caller's choice.
func syncInto(ctx context.Context, t testingT, s server, file string, pageSize int, opts ...sdksync.SyncOpt) outcome {
	t.Helper()
	core, logs := observer.New(zap.WarnLevel)
	ctx = ctxzap.ToContext(ctx, zap.New(core))
	o := outcome{requests: map[string]int{}}
	opts = append([]sdksync.SyncOpt{sdksync.WithWorkerCount(1), sdksync.WithFailFastInvariants()}, opts...)
	o.err = embed(ctx, t, s, pageSize).Sync(ctx, file, opts...)
	if o.err == nil {
		o.contents = readFile(t, file).contents(t)
	}
	for _, w := range logs.All() {
		if _, ours := w.ContextMap()["grpc.method"]; ours && !strings.HasPrefix(w.Message, "finished unary call") {
			o.warnings = append(o.warnings, w)
		}
	}
	for _, r := range s.Journal() {
		o.requests[r.Operation]++
	}
	return o
}

// verdict is the outcome in a word or two.
func (o outcome) verdict() string {
	switch {
	case o.err != nil:
		return "fails " + status.Code(o.err).String()
	case len(o.skipped()) > 0:
		return skipped
	case len(o.warnings) > 0:
		return gone
	}
	return unknown
}

// message is the connector's part of an error.
func (o outcome) message() string {
	said := strings.Split(o.err.Error(), "desc = ")
	return strings.TrimPrefix(said[len(said)-1], "error: listing resources failed: ")
}

// skipped is what warnings say the file lacks, each as often as they say it.
func (o outcome) skipped() []string {
	var lacks []string
	for _, w := range o.warnings {
		fields := w.ContextMap()
		if what, ok := fields["resource_type"].(string); ok {
			lacks = append(lacks, what)
		}
		if all, ok := fields["resource_types"].([]any); ok {
			lacks = append(lacks, "in all: "+fmt.Sprint(all...))
		}
	}
	return lacks
}

// What an answer on any list means, row by row: a feature that the workspace's
// plan lacks is left out and named; a refusal, or what is not from Segment, must
// not read as "nobody has access".
func TestGatesByTheTable(t *testing.T) {
	t.Parallel()
	results := newTable("what an answer means", "list", "answer", "the sync", "and says")
	rows := newCrowd(t)
	for i, list := range gatedLists() {
		for j, answer := range gatedAnswers() {
			rows.run(list.name()+"/"+answer.name, func(t *testing.T) {
				o := syncGated(t, gated(t, list, answer), 0)
				note := strings.Join(o.skipped(), "; ")
				if o.err != nil {
					note = o.message()
				}
				results.add(fmt.Sprintf("%02d %02d", i, j), list.name(), answer.name, o.verdict(), note)
				checkGate(t, list, answer, o)
			})
		}
	}
	rows.wait()
	results.log(t)
}

// gated serves a workspace where a list has an answer.
func gated(t *testing.T, list gatedList, answer gatedAnswer) server {
	t.Helper()
	s := serve(t, gatedWorkspace())
	fault := list.fault(answer.fault)
	for range 3 { // As often as the client tries.
		if err := s.Inject(fault); err != nil {
			t.Fatal(err)
		}
		fault.Ordinal++
		if answer.fault.Status != 500 {
			break
		}
	}
	return s
}

func checkGate(t *testing.T, list gatedList, answer gatedAnswer, o outcome) {
	t.Helper()
	want := answer.required
	if list.lacks != "" {
		want = answer.optional
	}
	if list.kind == insertTransformation && answer.transformation != "" {
		want = answer.transformation
	}
	if got := o.verdict(); got != want {
		t.Fatalf("the sync %s, want %s: %v", got, want, o.err)
	}
	if o.err != nil {
		says := append([]string{list.operation}, answer.says...)
		if list.lacks != "" {
			says = append(says, "--sync-resource-types")
		}
		for _, word := range says {
			if !strings.Contains(o.err.Error(), word) {
				t.Errorf("%q does not say %q", o.err, word)
			}
		}
		return
	}
	ws := gatedWorkspace()
	list.drop(ws)
	compare(t, expected(ws, builtTypes()), o.contents)
	compareRequests(t, cost(ws, builtTypes(), 1000), o.requests)
	var lacks []string
	if want == skipped {
		lacks = []string{list.lacks, "in all: " + list.lacks}
	}
	if diff := cmp.Diff(lacks, o.skipped()); diff != "" || len(o.warnings) != len(lacks) {
		t.Errorf("what the warnings say is not in the file (-want +got):\n%s%v", diff, o.warnings)
	}
}

// What has gone below a user or a group since it was listed has no grants, and
// is counted. One is no reason to fail.
func TestGatesBelowUsersAndGroups(t *testing.T) {
	t.Parallel()
	// What is left of a group: its row, and members that were read before.
	left := func(members ...string) func(*sim.Workspace) {
		return func(ws *sim.Workspace) { ws.Groups[0] = sim.Group{ID: "g1", Name: "One", Members: members} }
	}
	noGroup := func(ws *sim.Workspace) { ws.Groups = ws.Groups[1:] }
	noUser := func(ws *sim.Workspace) { ws.Users = ws.Users[1:] }
	results := newTable("what an answer means", "list", "answer", "the sync", "and says")
	for _, row := range []struct {
		operation string
		groups    int
		// goes is what happens right before the first request.
		goes func(*sim.Workspace)
		// The file is as if the workspace had been left so; a user's row remains.
		left func(*sim.Workspace)
		want string
	}{
		{operation: "getUser", groups: 1, goes: noUser, left: noUser, want: gone},
		{operation: "getUserGroup", groups: 1, goes: noGroup, left: left(), want: gone},
		{operation: "listUsersFromUserGroup", groups: 1, goes: noGroup, left: left(), want: gone},
		{operation: "listInvitesFromUserGroup", groups: 1, goes: noGroup, left: left("ann@example.com"), want: gone},
		{operation: "getUser", groups: 2, goes: func(ws *sim.Workspace) { ws.Users = ws.Users[2:] }, want: failsFailedPrecondition},
		{operation: "getUserGroup", groups: 2, goes: func(ws *sim.Workspace) { ws.Groups = nil }, want: failsFailedPrecondition},
	} {
		before, after := gatedWorkspace(), gatedWorkspace()
		before.Groups, after.Groups = before.Groups[:row.groups], after.Groups[:row.groups]
		s := serve(t, before)
		if err := s.Before(row.operation, 1, row.goes); err != nil {
			t.Fatal(err)
		}
		o := syncGated(t, s, 0)
		name, note := "one has gone", fmt.Sprint(o.warnings)
		if o.err != nil {
			name, note = "two have gone", o.message()
		} else if len(o.warnings) == 1 {
			note = fmt.Sprint(o.warnings[0].Message, " ", o.warnings[0].ContextMap())
		}
		results.add(fmt.Sprint(len(results.lines)), row.operation, "404, "+name, o.verdict(), note)
		if o.verdict() != row.want {
			t.Errorf("%s, %s: the sync %s, want %s: %v", row.operation, name, o.verdict(), row.want, o.err)
		}
		if row.want != gone {
			continue
		}
		row.left(after)
		want := expected(after, builtTypes())
		want.Resources = expected(before, builtTypes()).Resources
		compare(t, want, o.contents)
		if len(o.warnings) != 1 || !strings.Contains(note, "count:1") {
			t.Errorf("%s: not one warning that counts one: %s", row.operation, note)
		}
	}
	results.log(t)
}

// A list that begins well and then says that the plan lacks it is cut short,
// not skipped.
func TestGatesOnTheSecondPage(t *testing.T) {
	t.Parallel()
	for _, list := range gatedLists() {
		if list.lacks == "" || list.operation == "listLabels" { // Labels have no pages.
			continue
		}
		list.ordinal = 2
		for _, answer := range gatedAnswers() {
			if answer.optional != skipped && (answer.transformation == "" || list.kind != insertTransformation) {
				continue
			}
			t.Run(list.name()+"/"+answer.name, func(t *testing.T) {
				t.Parallel()
				o := syncGated(t, gated(t, list, answer), 1)
				if o.verdict() != answer.required || len(o.skipped()) != 0 {
					t.Errorf("the sync %s, and skips %v: %v", o.verdict(), o.skipped(), o.err)
				}
			})
		}
	}
}

// A workspace that lacks one feature, or all, is read all the same.
func TestGatesOfTheProgram(t *testing.T) {
	t.Parallel()
	type gate struct {
		features []sim.Feature
		status   int
		lacks    []string
		drop     func(*sim.Workspace)
	}
	none := func(*sim.Workspace) {}
	gates := []gate{
		{[]sim.Feature{sim.FeatureGroups}, 400, []string{typeGroup}, func(ws *sim.Workspace) { ws.Groups = nil }},
		{[]sim.Feature{sim.FeatureSpaces}, 400, []string{typeSpace}, func(ws *sim.Workspace) { ws.Spaces = nil }},
		{[]sim.Feature{sim.FeatureWarehouses}, 400, []string{typeWarehouse}, func(ws *sim.Workspace) { ws.Warehouses = nil }},
		{[]sim.Feature{sim.FeatureFunctions}, 400, []string{typeFunction}, func(ws *sim.Workspace) { ws.Functions = nil }},
		{[]sim.Feature{sim.FeatureLabels}, 400, []string{typeLabel}, func(ws *sim.Workspace) { ws.Labels = nil }},
		{[]sim.Feature{sim.FeatureInsertTransformations}, 422, nil, none},
		{sim.Features(), 404, []string{typeFunction, typeGroup, typeLabel, typeSpace, typeWarehouse}, func(ws *sim.Workspace) {
			ws.Groups, ws.Spaces, ws.Warehouses, ws.Functions, ws.Labels = nil, nil, nil, nil, nil
		}},
	}
	if len(gates) != len(sim.Features())+1 {
		t.Errorf("%d features, and %d gates", len(sim.Features()), len(gates))
	}
	for _, g := range gates {
		t.Run(fmt.Sprint(g.features), func(t *testing.T) {
			t.Parallel()
			ws := gatedWorkspace()
			s := serve(t, ws, sim.WithoutFeatures(g.features...), sim.WithGateStatus(g.status))
			dir := t.TempDir()
			r := runIn(t, dir, s.env(), filepath.Join(programs, "baton-segment"))
			if r.code != 0 {
				t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
			}
			if slices.Contains(g.features, sim.FeatureInsertTransformations) {
				ws.Functions = slices.DeleteFunc(ws.Functions, func(f sim.Function) bool { return f.ResourceType == insertTransformation })
			}
			g.drop(ws)
			compare(t, expected(ws, builtTypes()), readFile(t, filepath.Join(dir, "sync.c1z")).contents(t))
			var each, all []string
			for line := range strings.Lines(r.stderr) {
				var entry struct {
					Level string   `json:"level"`
					Type  string   `json:"resource_type"`
					Types []string `json:"resource_types"`
					Why   string   `json:"reason"`
				}
				if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Level != "warn" {
					continue // Not every line is JSON: the storage engine prints some of its own.
				}
				if entry.Type != "" && strings.Contains(entry.Why, "Your plan does not include") {
					each = append(each, entry.Type)
				}
				all = append(all, entry.Types...)
			}
			slices.Sort(each)
			if diff := cmp.Diff(g.lacks, each); diff != "" {
				t.Errorf("warnings (-want +got):\n%s\n%s", diff, r.stderr)
			}
			if diff := cmp.Diff(g.lacks, all); diff != "" {
				t.Errorf("the last warning (-want +got):\n%s\n%s", diff, r.stderr)
			}
		})
	}
}
