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
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// The outcomes of a list whose answer has no rows.
const (
	// skipped means that the file lacks the type, and a warning names it.
	skipped = "skipped"
	// unknown means that the workspace does not have the type, so nothing is missing.
	unknown = "unknown"
	// gone means that a user or a group was deleted after it was listed: its row
	// has no grants.
	gone = "vanished"

	failsInvalidArgument    = "fails InvalidArgument"
	failsUnauthenticated    = "fails Unauthenticated"
	failsPermissionDenied   = "fails PermissionDenied"
	failsFailedPrecondition = "fails FailedPrecondition"
	failsInternal           = "fails Internal"
)

// A gatedList is a list that may be answered without rows: by the plan of the
// workspace, a refusal or a proxy.
type gatedList struct {
	operation string
	// kind is the function type of a list of functions.
	kind string
	// ordinal is the request of the operation that is meant, counted from 1. Those
	// of Validate come first.
	ordinal int
	// lacks and drop are set for lists that a plan may lack: the name in the log,
	// and the edit that removes the rows from the workspace.
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

// gatedLists returns all lists of a sync, and the requests of Validate.
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

// A gatedAnswer is an answer without rows, and its outcomes by the design: on a
// list that every workspace has, and on one that a plan may lack.
type gatedAnswer struct {
	name               string
	fault              sim.Fault
	required, optional string
	// transformation is the outcome on the list of a function type that older
	// workspaces do not have, if it differs.
	transformation string
	// always is set for an answer to all requests of the list: the client may have
	// another try, which changes nothing.
	always bool
	// words are in the message of a failure and tell people what to check.
	words []string
}

func gatedAnswers() []gatedAnswer {
	envelope := func(code int) sim.Fault { return sim.Fault{Kind: sim.FaultStatus, Status: code} }
	bare := func(code int) sim.Fault {
		return sim.Fault{Kind: sim.FaultStatus, Status: code, Body: `{"message":"no such thing here"}`}
	}
	// errors is an envelope with one error. The message of a plan that lacks groups is
	// a real one, and so is all of the error about the count.
	errors := func(code int, entry string) sim.Fault {
		return sim.Fault{Kind: sim.FaultStatus, Status: code, Body: `{"errors":[` + entry + `]}`}
	}
	const (
		plan         = `{"type":"bad-request","message":"Your plan does not include User Groups. Contact sales to upgrade to business tier."}`
		wrongCount   = `{"type":"input-validation","message":"\"pagination.count\" must be less than or equal to 200","field":"pagination.count"}`
		wrongField   = `{"type":"bad-request","message":"\"sort\" is not allowed","field":"sort"}`
		wrongRequest = `{"type":"input-validation","message":"The request is not valid."}`
	)
	page := func(code int) sim.Fault { return sim.Fault{Kind: sim.FaultHTML, Status: code} }
	access, address := []string{"token", "token's role", "region"}, []string{"base URL", "region"}
	return []gatedAnswer{
		{name: "400", fault: envelope(400), required: failsInvalidArgument, optional: skipped, transformation: unknown},
		{name: "400 plan", fault: errors(400, plan), required: failsInvalidArgument, optional: skipped, transformation: unknown},
		{
			name: "400 count, always", fault: errors(400, wrongCount), always: true,
			required: failsInvalidArgument, optional: failsInvalidArgument, transformation: unknown,
		},
		{name: "400 field", fault: errors(400, wrongField), required: failsInvalidArgument, optional: failsInvalidArgument, transformation: unknown},
		{name: "400 input-validation", fault: errors(400, wrongRequest), required: failsInvalidArgument, optional: failsInvalidArgument, transformation: unknown},
		{
			name: "400 plan and field", fault: errors(400, plan+","+wrongField),
			required: failsInvalidArgument, optional: failsInvalidArgument, transformation: unknown,
		},
		{name: "404 plan", fault: errors(404, plan), required: failsFailedPrecondition, optional: skipped, words: address},
		{name: "422 field", fault: errors(422, wrongField), required: failsInvalidArgument, optional: failsInvalidArgument, transformation: unknown},
		{name: "401", fault: envelope(401), required: failsUnauthenticated, optional: failsUnauthenticated, words: access},
		{name: "403", fault: envelope(403), required: failsPermissionDenied, optional: failsPermissionDenied, words: access},
		{name: "404", fault: envelope(404), required: failsFailedPrecondition, optional: skipped, words: address},
		{name: "422", fault: envelope(422), required: failsInvalidArgument, optional: failsInvalidArgument, transformation: unknown},
		{name: "500", fault: envelope(500), required: failsInternal, optional: failsInternal, words: []string{"try again later"}},
		{name: "400 HTML", fault: page(400), required: failsInvalidArgument, optional: failsInvalidArgument},
		{name: "403 HTML", fault: page(403), required: failsPermissionDenied, optional: failsPermissionDenied, words: access},
		{name: "404 HTML", fault: page(404), required: failsFailedPrecondition, optional: failsFailedPrecondition, words: address},
		{name: "400 JSON", fault: bare(400), required: failsInvalidArgument, optional: failsInvalidArgument},
		{name: "404 JSON", fault: bare(404), required: failsFailedPrecondition, optional: failsFailedPrecondition, words: address},
		{name: "200 HTML", fault: page(200), required: failsInternal, optional: failsInternal, words: address},
	}
}

// gatedWorkspace has at least two rows of each type, so that each list has a
// second page, and a role on one resource of each type.
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
	permission := func(roleID, kind, id string, labels ...sim.Label) sim.Permission {
		return sim.Permission{RoleID: roleID, Resources: []sim.Resource{{ID: id, Type: kind, Labels: labels}}}
	}
	ws.Users[0].Permissions = []sim.Permission{
		permission("owner", "WORKSPACE", "ws"), permission("src", "SOURCE", "s1"), permission("src", "WORKSPACE", "ws", ws.Labels[0]),
		permission("uni", "SPACE", "spa_1"), permission("wh", "WAREHOUSE", "w1"),
	}
	ws.Users[1].Permissions = []sim.Permission{permission("owner", "WORKSPACE", "ws")}
	for _, kind := range functionKinds() {
		for _, id := range []string{"-1", "-2"} {
			ws.Functions = append(ws.Functions, sim.Function{ID: strings.ToLower(kind) + id, ResourceType: kind})
		}
		ws.Users[2].Permissions = append(ws.Users[2].Permissions, permission("fn", "FUNCTION", strings.ToLower(kind)+"-1"))
	}
	ws.Groups = []sim.Group{
		{ID: "g1", Name: "One", Members: []string{"ann@example.com", "new@example.com"}, Permissions: []sim.Permission{permission("src", "SOURCE", "s2")}},
		{ID: "g2", Name: "Two", Members: []string{"bob@example.com", "cy@example.com"}, Permissions: []sim.Permission{permission("uni", "SPACE", "spa_2")}},
	}
	return ws
}

// An outcome is the result of a sync.
type outcome struct {
	err error
	// warnings are the connector's, without the SDK's.
	warnings []observer.LoggedEntry
	contents contents
	requests map[string]int
}

// syncGated syncs into a new file and collects the warnings.
func syncGated(t *testing.T, s server, pageSize int) outcome {
	t.Helper()
	return syncInto(t.Context(), t, s, filepath.Join(t.TempDir(), "sync.c1z"), pageSize)
}

// syncInto is syncGated with a context and a file of the caller's choice.
func syncInto(ctx context.Context, t testingT, s server, file string, pageSize int, opts ...sdksync.SyncOpt) outcome {
	t.Helper()
	core, logs := observer.New(zap.WarnLevel)
	ctx = ctxzap.ToContext(ctx, zap.New(core))
	o := outcome{requests: map[string]int{}}
	opts = append([]sdksync.SyncOpt{sdksync.WithWorkerCount(1), sdksync.WithFailFastInvariants()}, opts...)
	o.err = newRunner(ctx, t, s, pageSize).Sync(ctx, file, opts...)
	if o.err == nil {
		o.contents = readFile(t, file).contents(t)
	}
	for _, w := range logs.All() {
		_, ours := w.ContextMap()["grpc.method"]
		smaller := strings.HasPrefix(w.Message, "Segment refuses the page size") // No row is missing for it.
		if ours && !smaller && !strings.HasPrefix(w.Message, "finished unary call") {
			o.warnings = append(o.warnings, w)
		}
	}
	for _, r := range s.Journal() {
		o.requests[r.Operation]++
	}
	return o
}

// verdict names the outcome.
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

// message returns the connector's part of the error.
func (o outcome) message() string {
	first, _, _ := strings.Cut(o.err.Error(), "\n") // The others are workers that it has cancelled.
	parts := strings.Split(first, "desc = ")
	return strings.TrimPrefix(parts[len(parts)-1], "error: listing resources failed: ")
}

// skipped lists the types that the warnings report as missing, in order.
func (o outcome) skipped() []string {
	var lacks []string
	for _, w := range o.warnings {
		fields := w.ContextMap()
		if typeID, ok := fields["resource_type"].(string); ok {
			lacks = append(lacks, typeID)
		}
		if all, ok := fields["resource_types"].([]any); ok {
			lacks = append(lacks, "in all: "+fmt.Sprint(all...))
		}
	}
	return lacks
}

// A sync skips a list that the workspace's plan lacks, and a warning names it. A
// refusal, or an answer that is not from Segment, is an error: an empty file would
// read as "no one has access".
func TestSync_AnswersWithoutRows(t *testing.T) {
	t.Parallel()
	results := newTable("outcomes of answers", "list", "answer", "outcome", "message")
	pool := newSubtestPool(t)
	for i, list := range gatedLists() {
		for j, answer := range gatedAnswers() {
			if isLeftOut(i, j) {
				continue
			}
			pool.run(list.name()+"/"+answer.name, func(t *testing.T) {
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
	pool.wait()
	results.log(t)
}

// gated serves a workspace that gives the answer on the list.
func gated(t *testing.T, list gatedList, answer gatedAnswer) server {
	t.Helper()
	s := serve(t, gatedWorkspace())
	fault := list.fault(answer.fault)
	if answer.always {
		fault.Ordinal = 0
	}
	for range 3 { // The client tries three times.
		simtest.Inject(t, s.Server.Server, fault)
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
		t.Fatalf("outcome %s, want %s: %v", got, want, o.err)
	}
	if o.err != nil {
		words := append([]string{list.operation}, answer.words...)
		if list.lacks != "" {
			words = append(words, "--sync-resource-types")
		}
		for _, word := range words {
			if !strings.Contains(o.err.Error(), word) {
				t.Errorf("%q does not contain %q", o.err, word)
			}
		}
		return
	}
	ws := gatedWorkspace()
	list.drop(ws)
	compare(t, expected(ws, builtTypes()), o.contents)
	if !answer.always {
		compareRequests(t, cost(ws, builtTypes(), 1000), o.requests)
	}
	var lacks []string
	if want == skipped {
		lacks = []string{list.lacks, "in all: " + list.lacks}
	}
	if diff := cmp.Diff(lacks, o.skipped()); diff != "" || len(o.warnings) != len(lacks) {
		t.Errorf("types that the warnings report as missing (-want +got):\n%s%v", diff, o.warnings)
	}
}

// A user or a group that was deleted after it was listed has no grants and is
// counted in a warning. One does not fail the sync, two do.
func TestInProcess_DeletedAfterListing(t *testing.T) {
	t.Parallel()
	// A deleted group keeps its row, and the members that were read before.
	remains := func(members ...string) func(*sim.Workspace) {
		return func(ws *sim.Workspace) { ws.Groups[0] = sim.Group{ID: "g1", Name: "One", Members: members} }
	}
	noGroup := func(ws *sim.Workspace) { ws.Groups = ws.Groups[1:] }
	noUser := func(ws *sim.Workspace) { ws.Users = ws.Users[1:] }
	results := newTable("outcomes of answers", "list", "answer", "outcome", "message")
	for _, row := range []struct {
		operation string
		groups    int
		// edit is made right before the first request.
		edit func(*sim.Workspace)
		// after edits the workspace into one with the rows of the file. The rows of
		// deleted users and groups stay in it.
		after func(*sim.Workspace)
		want  string
	}{
		{operation: "getUser", groups: 1, edit: noUser, after: noUser, want: gone},
		{operation: "getUserGroup", groups: 1, edit: noGroup, after: remains(), want: gone},
		{operation: "listUsersFromUserGroup", groups: 1, edit: noGroup, after: remains(), want: gone},
		{operation: "listInvitesFromUserGroup", groups: 1, edit: noGroup, after: remains("ann@example.com"), want: gone},
		{operation: "getUser", groups: 2, edit: func(ws *sim.Workspace) { ws.Users = ws.Users[2:] }, want: failsFailedPrecondition},
		{operation: "getUserGroup", groups: 2, edit: func(ws *sim.Workspace) { ws.Groups = nil }, want: failsFailedPrecondition},
	} {
		before, after := gatedWorkspace(), gatedWorkspace()
		before.Groups, after.Groups = before.Groups[:row.groups], after.Groups[:row.groups]
		s := serve(t, before)
		if err := s.Before(row.operation, 1, row.edit); err != nil {
			t.Fatal(err)
		}
		o := syncGated(t, s, 0)
		name, note := "one deleted", fmt.Sprint(o.warnings)
		if o.err != nil {
			name, note = "two deleted", o.message()
		} else if len(o.warnings) == 1 {
			note = fmt.Sprint(o.warnings[0].Message, " ", o.warnings[0].ContextMap())
		}
		results.add(fmt.Sprint(len(results.lines)), row.operation, "404, "+name, o.verdict(), note)
		if o.verdict() != row.want {
			t.Errorf("%s, %s: outcome %s, want %s: %v", row.operation, name, o.verdict(), row.want, o.err)
		}
		if row.want != gone {
			continue
		}
		row.after(after)
		want := expected(after, builtTypes())
		want.Resources = expected(before, builtTypes()).Resources
		compare(t, want, o.contents)
		if len(o.warnings) != 1 || !strings.Contains(note, "count:1") {
			t.Errorf("%s: not one warning that counts one: %s", row.operation, note)
		}
	}
	results.log(t)
}

// A list whose first page has rows cannot be skipped: if its second page is
// answered as if the plan lacked it, the list would be incomplete.
func TestSync_AnswersWithoutRowsOnSecondPage(t *testing.T) {
	t.Parallel()
	for _, list := range gatedLists() {
		if list.lacks == "" || list.operation == "listLabels" { // Labels have no pages.
			continue
		}
		list.ordinal = 2
		for _, answer := range gatedAnswers() {
			if answer.always || answer.optional != skipped && (answer.transformation == "" || list.kind != insertTransformation) {
				continue
			}
			t.Run(list.name()+"/"+answer.name, func(t *testing.T) {
				t.Parallel()
				o := syncGated(t, gated(t, list, answer), 1)
				if o.verdict() != answer.required || len(o.skipped()) != 0 {
					t.Errorf("outcome %s, skipped %v: %v", o.verdict(), o.skipped(), o.err)
				}
			})
		}
	}
}

// The program syncs a workspace that lacks one feature, or all of them.
func TestProgram_MissingFeatures(t *testing.T) {
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
		{[]sim.Feature{sim.FeatureAuditTrail}, 400, nil, none},
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
			r := runIn(t, dir, s.Env(), program(t, "baton-segment"))
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
					continue // The storage engine also prints lines that are not JSON.
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
				t.Errorf("last warning (-want +got):\n%s\n%s", diff, r.stderr)
			}
		})
	}
}
