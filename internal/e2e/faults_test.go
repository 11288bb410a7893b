package e2e

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/uhttp"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// The tests in this file inject one fault into the answers of an operation. Either
// the result is complete and right, or there is an error that says what to do.

// The outcomes of a fault, besides those in gates_test.go.
const (
	// complete means that no row is missing and none is invented.
	complete = "complete"
	// reworded means complete, with one of two names for a row that a list contains
	// twice. Segment has sent both.
	reworded = "complete, in either wording"
	// retriedLonger means that the SDK retries for longer than this test may take:
	// in a sync for ten minutes or more, for a change three times. The tests of the
	// connector cover such outages on fake time, for every operation.
	retriedLonger = "retried for longer than the test"

	// wrong means success with other rows, which no fault may cause.
	wrong = "wrong"

	failsUnavailable = "fails Unavailable"
)

// A shape is the form of an operation's answer.
type shape int

const (
	// ofPages is a list that is cut into pages.
	ofPages shape = iota
	// ofRows is a list without pages.
	ofRows
	// ofOne is a single resource.
	ofOne
)

// A faultyRead is an operation that reads, and a call that makes the connector
// send it.
type faultyRead struct {
	operation, query string
	shape            shape
	// ordinal is the first request after those of Validate.
	ordinal int
	// rewords edits the workspace as a contradiction about the first row, or about
	// all rows, does. It is nil where the file does not show the difference.
	rewords func(ws *sim.Workspace, all bool)
	// call makes the connector send the operation and returns the outcome.
	call func(ctx context.Context, t *testing.T, s server, r faultyRead, always bool) (string, error)
	// noSDKRetry is set where only the client retries.
	noSDKRetry bool
	// of tells apart reads of one operation.
	of string
}

func (r faultyRead) name() string {
	return strings.Join(strings.Fields(r.operation+" "+r.query+" "+r.of), " ")
}

// faultyReads returns all operations with which the connector reads.
func faultyReads() []faultyRead {
	const contradiction = "Contradiction"
	reads := []faultyRead{
		{operation: "getWorkspace", shape: ofOne, ordinal: 2},
		{operation: "listUsers", ordinal: 2, rewords: func(ws *sim.Workspace, all bool) {
			for i := range some(ws.Users, all) {
				ws.Users[i].Name = contradiction
			}
		}},
		{operation: "getUser", shape: ofOne},
		{operation: "listRoles", ordinal: 2, rewords: func(ws *sim.Workspace, all bool) {
			for i := range some(ws.Roles, all) {
				ws.Roles[i].Name = contradiction
			}
		}},
		// An address is an id, so a contradicting one is another invite.
		{operation: "listInvites", rewords: func(ws *sim.Workspace, all bool) {
			for _, invite := range some(ws.Invites, all) {
				ws.Invites = append(ws.Invites, sim.Invite{Email: strings.ToUpper(invite.Email)})
			}
		}},
		{operation: "listUserGroups", rewords: func(ws *sim.Workspace, all bool) {
			for i := range some(ws.Groups, all) {
				ws.Groups[i].Name = contradiction
			}
		}},
		{operation: "getUserGroup", shape: ofOne},
		{operation: "listUsersFromUserGroup"},
		{operation: "listInvitesFromUserGroup"},
		{operation: "listSources", rewords: func(ws *sim.Workspace, all bool) {
			for i := range some(ws.Sources, all) {
				ws.Sources[i].Name = new(string)
				*ws.Sources[i].Name = contradiction
			}
		}},
		// The name is in the settings, which are not contradicted.
		{operation: "listWarehouses"},
		{operation: "listSpaces", rewords: func(ws *sim.Workspace, all bool) {
			for i := range some(ws.Spaces, all) {
				ws.Spaces[i].Name = contradiction
			}
		}},
		{operation: "listLabels", shape: ofRows},
		{operation: "listFunctions", query: "resourceType=SOURCE", rewords: func(ws *sim.Workspace, all bool) {
			for i := range ws.Functions {
				if ws.Functions[i].ResourceType == "SOURCE" {
					ws.Functions[i].DisplayName = new(string)
					*ws.Functions[i].DisplayName = contradiction
					if !all {
						return
					}
				}
			}
		}},
	}
	for i := range reads {
		reads[i].ordinal, reads[i].call = max(reads[i].ordinal, 1), inSync
	}
	for _, single := range [][2]string{
		{"getSource", typeSource + ":s1"}, {"getWarehouse", typeWarehouse + ":w1"}, {"getSpace", typeSpace + ":spa_1"}, {"getFunction", typeFunction + ":source-1"},
	} {
		reads = append(reads, faultyRead{operation: single[0], shape: ofOne, ordinal: 1, call: inGet(single[1]), noSDKRetry: true})
	}
	return append(reads,
		faultyRead{operation: "listUserGroupsFromUser", ordinal: 1, call: inRevoke},
		faultyRead{operation: "listUserGroupsFromUser", ordinal: 1, call: inTargetedSync, of: "targeted"})
}

// messageOf returns words of the message of a failure. The groups of a user are read in
// one call, which cannot be continued within the list, so an expired cursor has another
// message there.
func (r faultyRead) messageOf(f faultRow) []string {
	if r.operation == "listUserGroupsFromUser" && f.fault.Kind == sim.FaultExpiredCursor {
		return []string{"pagination.cursor"}
	}
	return f.words
}

// some returns all rows, or only the first.
func some[T any](rows []T, all bool) []T {
	if all {
		return rows
	}
	return rows[:1]
}

// faultyWorkspace has several pages of each list, and rows whose names can be
// contradicted.
func faultyWorkspace() *sim.Workspace {
	ws := gatedWorkspace()
	ws.Functions = slices.DeleteFunc(ws.Functions, func(f sim.Function) bool { return f.ResourceType != "SOURCE" })
	ws.Groups[0].Members = []string{"ann@example.com", "bob@example.com", "new@example.com", "newer@example.com"}
	for i := range ws.Sources {
		ws.Sources[i].Name = &ws.Sources[i].Slug
	}
	for i := range ws.Functions {
		ws.Functions[i].DisplayName = &ws.Functions[i].ID
	}
	return sim.New(ws).Workspace()
}

// inSync syncs the whole workspace, with one row in a page.
func inSync(ctx context.Context, t *testing.T, s server, r faultyRead, always bool) (string, error) {
	t.Helper()
	o := syncInto(ctx, t, s, filepath.Join(t.TempDir(), "sync.c1z"), 1)
	if o.err != nil {
		return "", o.err
	}
	return r.check(t, o.contents, always), nil
}

// check compares the rows of a file with the oracle.
func (r faultyRead) check(t *testing.T, got contents, always bool) string {
	t.Helper()
	want, other := expected(faultyWorkspace(), builtTypes()), faultyWorkspace()
	if r.rewords != nil {
		r.rewords(other, always)
		if cmp.Equal(expected(other, builtTypes()), got, cmpopts.EquateEmpty()) {
			return reworded
		}
	}
	if compare(t, want, got); t.Failed() {
		return wrong
	}
	return complete
}

// inGet reads one resource, as a targeted sync does.
func inGet(ref string) func(context.Context, *testing.T, server, faultyRead, bool) (string, error) {
	return func(ctx context.Context, t *testing.T, s server, _ faultyRead, _ bool) (string, error) {
		t.Helper()
		typeID, id, _ := strings.Cut(ref, ":")
		answer, err := newRunner(ctx, t, s, 1).Client().GetResource(ctx, v2.ResourceGetterServiceGetResourceRequest_builder{
			ResourceId: v2.ResourceId_builder{ResourceType: typeID, Resource: id}.Build(),
		}.Build())
		if err != nil {
			return "", err
		}
		want := slices.DeleteFunc(expected(faultyWorkspace(), []string{typeID}).Resources, func(row resource) bool { return row.ID != id })
		if diff := cmp.Diff(want, []resource{resourceRow(t, answer.GetResource())}); diff != "" {
			t.Errorf("the row (-want +got):\n%s", diff)
			return wrong, nil
		}
		return complete, nil
	}
}

// inTargetedSync syncs one user, who is in a group, with one row in a page.
func inTargetedSync(ctx context.Context, t *testing.T, s server, _ faultyRead, _ bool) (string, error) {
	t.Helper()
	const user = typeUser + ":u2"
	o := syncInto(ctx, t, s, filepath.Join(t.TempDir(), syncName), 1, targets(user))
	if o.err != nil {
		return "", o.err
	}
	if diff := cmp.Diff(grantsAskedOf(faultyWorkspace(), []string{user}), o.contents.Grants, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
		return wrong, nil
	}
	return complete, nil
}

// inRevoke revokes from a user a role that a group gives. It must be refused, and
// must not be reported as revoked.
func inRevoke(ctx context.Context, t *testing.T, s server, _ faultyRead, _ bool) (string, error) {
	t.Helper()
	g := v2.Grant_builder{
		Id: "source:s2:src:user:u2",
		Entitlement: v2.Entitlement_builder{
			Id: "source:s2:src", Slug: "src",
			Resource: v2.Resource_builder{Id: v2.ResourceId_builder{ResourceType: typeSource, Resource: "s2"}.Build()}.Build(),
		}.Build(),
		Principal: v2.Resource_builder{Id: v2.ResourceId_builder{ResourceType: typeUser, Resource: "u2"}.Build()}.Build(),
	}.Build()
	_, err := newRunner(ctx, t, s, 1).Client().Revoke(ctx, v2.GrantManagerServiceRevokeRequest_builder{Grant: g}.Build())
	if err == nil {
		t.Error("a role that a group gives is reported as revoked")
		return wrong, nil
	} else if status.Code(err) == codes.FailedPrecondition && strings.Contains(err.Error(), `through the group "One" (g1): `) {
		return complete, nil
	}
	return "", err
}

// A faultRow has the outcomes of a fault by the design: when it occurs once, and
// when it always occurs.
type faultRow struct {
	name         string
	fault        sim.Fault
	once, always string
	// unpaged is the outcome where answers have no pages, if it differs.
	unpaged string
	// noSDKRetry is the outcome of always where only the client retries, if it
	// differs.
	noSDKRetry string
	// words are in the message of a failure and tell people what to do.
	words []string
	// together is the message of always if all answers together are wrong, and no single one.
	together string
	// slow limits a fault that takes long to one list and one detail.
	slow bool
}

// appliesTo reports whether the fault is tested on an operation.
func (f faultRow) appliesTo(r faultyRead, always bool) bool {
	return !f.slow || !always && slices.Contains([]string{"listUsers", "getUser"}, r.operation)
}

// want returns the outcome of the fault on an operation.
func (f faultRow) want(r faultyRead, always bool) string {
	want := f.once
	if always {
		want = f.always
	}
	switch {
	case f.unpaged != "" && r.shape != ofPages:
		want = f.unpaged
	case always && r.noSDKRetry && f.noSDKRetry != "":
		want = f.noSDKRetry
	case want == reworded && r.rewords == nil:
		want = complete
	}
	return want
}

func faultRows() []faultRow {
	address, network := []string{"check the base URL", "the region", "proxies"}, []string{"check the network"}
	tooLarge := []string{"too large", "check the base URL"}
	row := func(kind sim.FaultKind, once, always string) faultRow {
		return faultRow{name: string(kind), fault: sim.Fault{Kind: kind}, once: once, always: always}
	}
	with := func(f faultRow, change func(*faultRow)) faultRow {
		change(&f)
		return f
	}
	bad := func(kind sim.FaultKind) faultRow {
		return with(row(kind, failsInternal, failsInternal), func(f *faultRow) { f.words = address })
	}
	later := []string{"try again later"}
	broken := func(kind sim.FaultKind) faultRow {
		return with(row(kind, complete, retriedLonger), func(f *faultRow) { f.noSDKRetry, f.words = failsUnavailable, network })
	}
	failing := func(kind sim.FaultKind) faultRow {
		return with(row(kind, complete, failsInternal), func(f *faultRow) { f.words = later })
	}
	paged := func(f faultRow) faultRow {
		f.unpaged = complete
		return f
	}
	return []faultRow{
		failing(sim.FaultStatus),
		failing(sim.FaultLateStatus),
		with(broken(sim.FaultHTML), func(f *faultRow) { f.words = later }),
		// Nothing may be left out because a request was wrong.
		with(row(sim.FaultStatus, failsInvalidArgument, failsInvalidArgument), func(f *faultRow) {
			f.name, f.fault.Status = "status 400, wrong request", http.StatusBadRequest
			f.fault.Body = `{"errors":[{"type":"input-validation","message":"\"pagination.cursor\" is not allowed","field":"pagination.cursor"}]}`
			f.words = []string{"pagination.cursor"}
		}),
		// A 404 of a proxy does not prove that the resource is gone.
		with(row(sim.FaultHTML, failsFailedPrecondition, failsFailedPrecondition), func(f *faultRow) {
			f.name, f.fault.Status, f.words = "html 404", http.StatusNotFound, []string{"check the base URL", "the region"}
		}),
		// A rate limit is no outage: the SDK waits until it is over.
		with(row(sim.FaultStatus, complete, retriedLonger), func(f *faultRow) {
			f.name, f.fault.Status, f.fault.Header = "status 429", http.StatusTooManyRequests, http.Header{"Retry-After": {"1"}}
			f.noSDKRetry, f.words = failsUnavailable, []string{"try again in"}
		}),
		bad(sim.FaultEmpty),
		bad(sim.FaultNull),
		bad(sim.FaultEmptyObject),
		bad(sim.FaultRedirect),
		bad(sim.FaultContentType),
		bad(sim.FaultMalformed),
		// With a Content-Length, the answer need not be read.
		with(bad(sim.FaultEndless), func(f *faultRow) {
			f.words, f.fault.Header = tooLarge, tooLongHeader()
		}),
		with(bad(sim.FaultEndless), func(f *faultRow) {
			f.name, f.words, f.slow = "endless, unannounced", tooLarge, true
		}),
		broken(sim.FaultReset),
		broken(sim.FaultDrop),
		broken(sim.FaultTruncate),
		broken(sim.FaultSlow),
		row(sim.FaultDelay, complete, complete),
		row(sim.FaultLateDelay, complete, complete),
		paged(bad(sim.FaultNoPagination)),
		// One page is sent twice, and then the list continues.
		paged(with(row(sim.FaultRepeatCursor, complete, failsInternal), func(f *faultRow) { f.words = address })),
		paged(with(row(sim.FaultShrinkCursor, complete, failsInternal), func(f *faultRow) { f.words = address })),
		// The first request has no cursor.
		paged(with(row(sim.FaultExpiredCursor, complete, failsInvalidArgument), func(f *faultRow) { f.words = []string{"start again"} })),
		// After one empty page the list continues with a cursor that Segment did not make.
		paged(with(row(sim.FaultEmptyPages, failsInvalidArgument, failsInternal), func(f *faultRow) { f.together = "after 100 pages" })),
		row(sim.FaultRepeatRow, complete, complete),
		row(sim.FaultContradict, reworded, reworded),
	}
}

// tooLongHeader announces an answer that is too long to be read.
func tooLongHeader() http.Header { return http.Header{"Content-Length": {"1000000000000"}} }

// faultOn returns the fault to inject on an operation.
func (f faultRow) faultOn(r faultyRead, always bool) sim.Fault {
	fault := f.fault
	fault.Operation, fault.Query, fault.Ordinal = r.operation, r.query, r.ordinal
	if always {
		fault.Ordinal = 0
	}
	return fault
}

// frequency names how often a fault occurs.
func frequency(always bool) string {
	if always {
		return "always"
	}
	return "once"
}

// checkFaultKinds fails the test if the tables miss a kind of fault or an
// operation that reads.
func checkFaultKinds(t *testing.T) {
	t.Helper()
	for _, o := range sim.Operations() {
		if o.Name == "listAuditEvents" { // The connector does not read the audit trail.
			continue
		}
		if o.Method == http.MethodGet && !slices.ContainsFunc(faultyReads(), func(r faultyRead) bool { return r.operation == o.Name }) {
			t.Errorf("no row is about faults on %s", o.Name)
		}
	}
	for _, kind := range sim.FaultKinds() {
		if kind == sim.FaultNewCursors { // It takes a million pages, which the tests of segmentapi read.
			continue
		}
		if !slices.ContainsFunc(faultRows(), func(f faultRow) bool { return f.fault.Kind == kind }) {
			t.Errorf("no row is about the fault %q", kind)
		}
	}
}

// withShortTimeout limits the time of each request if the fault is a slow answer.
func withShortTimeout(ctx context.Context, f faultRow) context.Context {
	if f.fault.Kind == sim.FaultSlow {
		return context.WithValue(ctx, uhttp.ContextHTTPTimeoutKey, 300*time.Millisecond)
	}
	return ctx
}

func TestRead_EveryFault(t *testing.T) {
	t.Parallel()
	checkFaultKinds(t)
	results := newTable("outcomes of faults", "operation", "fault", "how often", "outcome", "message")
	outcomes := &counter{}
	pool := newSubtestPool(t)
	for i, read := range faultyReads() {
		for j, row := range faultRows() {
			for k, always := range []bool{false, true} {
				if isLeftOut(i, j+k) || !row.appliesTo(read, always) {
					continue
				}
				want := row.want(read, always)
				name := fmt.Sprintf("%s/%s/%s", read.name(), row.name, frequency(always))
				record := func(outcome, message string) {
					outcomes.add(outcome)
					results.add(fmt.Sprintf("%02d %02d %t", i, j, always), read.name(), row.name, frequency(always), outcome, message)
				}
				if want == retriedLonger {
					record(retriedLonger, "")
					continue
				}
				pool.run(name, func(t *testing.T) {
					s := serve(t, faultyWorkspace())
					simtest.Inject(t, s.Server.Server, row.faultOn(read, always))
					got, err := read.call(withShortTimeout(t.Context(), row), t, s, read, always)
					message := ""
					if err != nil {
						got, message = "fails "+status.Code(err).String(), shortened(err.Error())
						words := append([]string{"segment " + read.operation}, read.messageOf(row)...)
						if always && row.together != "" {
							words = []string{row.together}
						}
						checkMessage(t, err.Error(), words)
					}
					record(got, message)
					if got != want && (want != reworded || got != complete) {
						t.Errorf("outcome %s, want %s: %v", got, want, err)
					}
					if !slices.ContainsFunc(s.Journal(), func(r sim.Request) bool { return r.Fault == row.fault.Kind }) {
						t.Error("the fault did not occur")
					}
				})
			}
		}
	}
	pool.wait()
	results.log(t)
	t.Logf("outcomes: %v", outcomes)
}

// shortened returns a message without the SDK's prefix.
func shortened(message string) string {
	return message[max(strings.Index(message, "segment "), 0):]
}

// checkMessage fails the test unless the message is one line that contains all the
// words and not the token.
func checkMessage(t *testing.T, message string, words []string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(message, word) {
			t.Errorf("%q does not contain %q", message, word)
		}
	}
	if strings.ContainsAny(message, "\n") || strings.Contains(message, token) {
		t.Errorf("%q is not one line, or contains the token", message)
	}
}

// reason returns the first line besides the log of a failed run. Further lines may
// only be about the workers that the failure has cancelled.
func reason(t *testing.T, stderr string) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(stderr) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "{") {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		t.Fatalf("there is no reason:\n%s", stderr)
	}
	for _, line := range lines[1:] {
		if !strings.Contains(line, "context canceled") {
			t.Errorf("there is more than the reason: %s", line)
		}
	}
	return lines[0]
}

// The program ends with exit code 0 only if the file is complete.
func TestProgram_EveryFault(t *testing.T) {
	t.Parallel()
	results := newTable("outcomes of faults in the program", "operation", "fault", "exit code", "message")
	outcomes := &counter{}
	pool := newSubtestPool(t)
	for i, read := range faultyReads() {
		if !slices.Contains([]string{"getUser", "listUsers", "listUserGroups", "listUsersFromUserGroup", "listRoles", "listInvites"}, read.operation) {
			continue
		}
		for j, row := range faultRows() {
			if isLeftOut(i, j) || !row.appliesTo(read, false) {
				continue
			}
			pool.run(read.operation+"/"+row.name, func(t *testing.T) {
				s := serve(t, faultyWorkspace())
				simtest.Inject(t, s.Server.Server, row.faultOn(read, false))
				dir := t.TempDir()
				args := []string{"-f", filepath.Join(dir, "sync.c1z"), "--page-size", "1", "--log-level", "error"}
				if row.fault.Kind == sim.FaultSlow {
					args = append(args, "--http-timeout-seconds", "1")
				}
				r := runIn(t, dir, s.Env(), program(t, "baton-segment"), args...)
				got := "fails " + codes.Code(r.code).String()
				if r.code == 0 {
					got = read.check(t, readFile(t, args[1]).contents(t), false)
				}
				message := ""
				if r.code != 0 {
					message = reason(t, r.stderr)
					checkMessage(t, message, append([]string{"segment " + read.operation}, row.words...))
				}
				outcomes.add(got)
				results.add(fmt.Sprintf("%02d %02d", i, j), read.operation, row.name, fmt.Sprint(r.code), shortened(message))
				if want := row.want(read, false); got != want && (want != reworded || got != complete) {
					t.Errorf("outcome %s, want %s\n%s", got, want, r.stderr)
				}
			})
		}
	}
	pool.wait()
	results.log(t)
	t.Logf("outcomes: %v", outcomes)
}
