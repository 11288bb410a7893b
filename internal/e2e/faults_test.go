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
)

// Whatever goes wrong with an answer, what was asked for is there in full or
// there is an error that says what to do. Never less, and never something else.

// What a fault comes to, beside the ways to fail that gates have.
const (
	// complete means that nothing is missing and nothing was made up.
	complete = "complete"
	// reworded is complete in one of two wordings: a list that says two things of
	// a row says both in Segment's name.
	reworded = "complete, in either wording"
	// outlasted means that the SDK would try again for longer than this test takes:
	// in a sync for ten minutes or more, with a change three times. The connector's
	// own tests see outages of every operation to their end, on fake time.
	outlasted = "outlasted"

	// wrong is success with other rows, which no fault may come to.
	wrong = "wrong"

	failsUnavailable = "fails Unavailable"
)

// A shape is what an operation answers with.
type shape int

const (
	// ofPages is a list that is cut into pages.
	ofPages shape = iota
	// ofRows is the list that has none.
	ofRows
	// ofOne is about one thing.
	ofOne
)

// A faultyRead is an operation that the connector reads, and a way to have it
// read.
type faultyRead struct {
	operation, query string
	shape            shape
	// ordinal is the first request after those of Validate.
	ordinal int
	// rewords is what a contradiction about one row, or about each, makes of the
	// workspace where that shows.
	rewords func(ws *sim.Workspace, all bool)
	// ask does what needs the operation and returns what it came to.
	ask func(ctx context.Context, t *testing.T, s server, r faultyRead, always bool) (string, error)
	// alone is set where nobody but the client tries again.
	alone bool
}

func (r faultyRead) name() string { return strings.TrimSpace(r.operation + " " + r.query) }

// faultyReads are all operations that the connector reads.
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
		// An address is an id, so in other words it is another invite's.
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
		// Its name is in the settings, which are not contradicted.
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
		reads[i].ordinal, reads[i].ask = max(reads[i].ordinal, 1), inSync
	}
	for _, single := range [][2]string{
		{"getSource", typeSource + ":s1"}, {"getWarehouse", typeWarehouse + ":w1"}, {"getSpace", typeSpace + ":spa_1"}, {"getFunction", typeFunction + ":source-1"},
	} {
		reads = append(reads, faultyRead{operation: single[0], shape: ofOne, ordinal: 1, ask: inGet(single[1]), alone: true})
	}
	return append(reads, faultyRead{operation: "listUserGroupsFromUser", ordinal: 1, ask: inRevoke})
}

// advice is what a failure says. Nobody keeps a revocation's place in a list.
func (r faultyRead) advice(f faultRow) []string {
	if r.operation == "listUserGroupsFromUser" && f.fault.Kind == sim.FaultExpiredCursor {
		return []string{"pagination.cursor"}
	}
	return f.says
}

// some is all rows or the first.
func some[T any](rows []T, all bool) []T {
	if all {
		return rows
	}
	return rows[:1]
}

// faultyWorkspace has several pages of everything, and rows whose names can be
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

// inSync reads the whole workspace, a row at a time.
func inSync(ctx context.Context, t *testing.T, s server, r faultyRead, always bool) (string, error) {
	t.Helper()
	o := syncInto(ctx, t, s, filepath.Join(t.TempDir(), "sync.c1z"), 1)
	if o.err != nil {
		return "", o.err
	}
	return r.check(t, o.contents, always), nil
}

// check compares a file with the oracle.
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

// inGet reads one row, as a targeted sync does.
func inGet(ref string) func(context.Context, *testing.T, server, faultyRead, bool) (string, error) {
	return func(ctx context.Context, t *testing.T, s server, _ faultyRead, _ bool) (string, error) {
		t.Helper()
		typeID, id, _ := strings.Cut(ref, ":")
		answer, err := embed(ctx, t, s, 1).Client().GetResource(ctx, v2.ResourceGetterServiceGetResourceRequest_builder{
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

// inRevoke takes from a user what a group gives. What must not go wrong is that
// it is called revoked.
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
	_, err := embed(ctx, t, s, 1).Client().Revoke(ctx, v2.GrantManagerServiceRevokeRequest_builder{Grant: g}.Build())
	if err == nil {
		t.Error("what a group gives is called revoked")
		return wrong, nil
	} else if status.Code(err) == codes.FailedPrecondition && strings.Contains(err.Error(), `through the group "One" (g1): `) {
		return complete, nil
	}
	return "", err
}

// A faultRow says what a fault means by the design, if it strikes once and if
// it always does. Only lists of several pages may mean something else.
type faultRow struct {
	name         string
	fault        sim.Fault
	once, always string
	// other is what it means where answers have no pages, if not the same.
	other string
	// alone is what it means, always, where nobody but the client tries again.
	alone string
	// says is what the message of a failure tells people to do.
	says []string
	// few is set if it takes so long that a list and a detail must do.
	few bool
}

// on reports whether the fault is tried on an operation.
func (f faultRow) on(r faultyRead, always bool) bool {
	return !f.few || !always && slices.Contains([]string{"listUsers", "getUser"}, r.operation)
}

// want is what a fault means to an operation.
func (f faultRow) want(r faultyRead, always bool) string {
	want := f.once
	if always {
		want = f.always
	}
	switch {
	case f.other != "" && r.shape != ofPages:
		want = f.other
	case always && r.alone && f.alone != "":
		want = f.alone
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
		return with(row(kind, failsInternal, failsInternal), func(f *faultRow) { f.says = address })
	}
	later := []string{"try again later"}
	broken := func(kind sim.FaultKind) faultRow {
		return with(row(kind, complete, outlasted), func(f *faultRow) { f.alone, f.says = failsUnavailable, network })
	}
	failing := func(kind sim.FaultKind) faultRow {
		return with(row(kind, complete, failsInternal), func(f *faultRow) { f.says = later })
	}
	paged := func(f faultRow) faultRow {
		f.other = complete
		return f
	}
	return []faultRow{
		failing(sim.FaultStatus),
		failing(sim.FaultLateStatus),
		with(broken(sim.FaultHTML), func(f *faultRow) { f.says = later }),
		// What a proxy does not find may be there.
		with(row(sim.FaultHTML, failsFailedPrecondition, failsFailedPrecondition), func(f *faultRow) {
			f.name, f.fault.Status, f.says = "html 404", http.StatusNotFound, []string{"check the base URL", "the region"}
		}),
		// A limit is no outage: the SDK waits for it as long as it takes.
		with(row(sim.FaultStatus, complete, outlasted), func(f *faultRow) {
			f.name, f.fault.Status, f.fault.Header = "status 429", http.StatusTooManyRequests, http.Header{"Retry-After": {"1"}}
			f.alone, f.says = failsUnavailable, []string{"try again in"}
		}),
		bad(sim.FaultEmpty),
		bad(sim.FaultNull),
		bad(sim.FaultEmptyObject),
		bad(sim.FaultRedirect),
		bad(sim.FaultContentType),
		bad(sim.FaultMalformed),
		// A length that is announced saves reading it.
		with(bad(sim.FaultEndless), func(f *faultRow) {
			f.says, f.fault.Header = tooLarge, announced()
		}),
		with(bad(sim.FaultEndless), func(f *faultRow) {
			f.name, f.says, f.few = "endless, unannounced", tooLarge, true
		}),
		broken(sim.FaultReset),
		broken(sim.FaultDrop),
		broken(sim.FaultTruncate),
		broken(sim.FaultSlow),
		row(sim.FaultDelay, complete, complete),
		paged(bad(sim.FaultNoPagination)),
		// One page comes again, and then the list goes on.
		paged(with(row(sim.FaultRepeatCursor, complete, failsInternal), func(f *faultRow) { f.says = address })),
		paged(with(row(sim.FaultShrinkCursor, complete, failsInternal), func(f *faultRow) { f.says = address })),
		// The first request has no cursor.
		paged(with(row(sim.FaultExpiredCursor, complete, failsInvalidArgument), func(f *faultRow) { f.says = []string{"start afresh"} })),
		row(sim.FaultRepeatRow, complete, complete),
		row(sim.FaultContradict, reworded, reworded),
	}
}

// announced is the header of an answer that is too long to be read.
func announced() http.Header { return http.Header{"Content-Length": {"1000000000000"}} }

// meets is the fault of a row on an operation.
func (f faultRow) meets(r faultyRead, always bool) sim.Fault {
	fault := f.fault
	fault.Operation, fault.Query, fault.Ordinal = r.operation, r.query, r.ordinal
	if always {
		fault.Ordinal = 0
	}
	return fault
}

// oftenness is how often a fault strikes.
func oftenness(always bool) string {
	if always {
		return "always"
	}
	return "once"
}

// checkFaultKinds wants a row for every kind of fault, and for every operation
// that reads, or nobody has thought about it.
func checkFaultKinds(t *testing.T) {
	t.Helper()
	for _, o := range sim.Operations() {
		if o.Method == http.MethodGet && !slices.ContainsFunc(faultyReads(), func(r faultyRead) bool { return r.operation == o.Name }) {
			t.Errorf("nothing says what a fault on %s means", o.Name)
		}
	}
	for _, kind := range sim.FaultKinds() {
		if !slices.ContainsFunc(faultRows(), func(f faultRow) bool { return f.fault.Kind == kind }) {
			t.Errorf("nothing says what the fault %q means", kind)
		}
	}
}

// impatient is a context whose requests do not wait for what is too slow.
func impatient(ctx context.Context, f faultRow) context.Context {
	if f.fault.Kind == sim.FaultSlow {
		return context.WithValue(ctx, uhttp.ContextHTTPTimeoutKey, 300*time.Millisecond)
	}
	return ctx
}

func TestEveryFaultOnEveryRead(t *testing.T) {
	t.Parallel()
	checkFaultKinds(t)
	results := newTable("what a fault comes to", "operation", "fault", "how often", "verdict", "and says")
	verdicts := &tally{}
	rows := newCrowd(t)
	for i, read := range faultyReads() {
		for j, row := range faultRows() {
			for _, always := range []bool{false, true} {
				if !row.on(read, always) {
					continue
				}
				want := row.want(read, always)
				name := fmt.Sprintf("%s/%s/%s", read.name(), row.name, oftenness(always))
				note := func(verdict, says string) {
					verdicts.add(verdict)
					results.add(fmt.Sprintf("%02d %02d %t", i, j, always), read.name(), row.name, oftenness(always), verdict, says)
				}
				if want == outlasted {
					note(outlasted, "")
					continue
				}
				rows.run(name, func(t *testing.T) {
					s := serve(t, faultyWorkspace())
					if err := s.Inject(row.meets(read, always)); err != nil {
						t.Fatal(err)
					}
					got, err := read.ask(impatient(t.Context(), row), t, s, read, always)
					says := ""
					if err != nil {
						got, says = "fails "+status.Code(err).String(), shortened(err.Error())
						checkMessage(t, err.Error(), append([]string{"segment " + read.operation}, read.advice(row)...))
					}
					note(got, says)
					if got != want && (want != reworded || got != complete) {
						t.Errorf("it %s, want %s: %v", got, want, err)
					}
					if !slices.ContainsFunc(s.Journal(), func(r sim.Request) bool { return r.Fault == row.fault.Kind }) {
						t.Error("the fault never struck")
					}
				})
			}
		}
	}
	rows.wait()
	results.log(t)
	t.Logf("verdicts: %v", verdicts)
}

// shortened is a message without what the SDK puts before it.
func shortened(message string) string {
	return message[max(strings.Index(message, "segment "), 0):]
}

// checkMessage wants a message of one line that has all the words and keeps the
// token.
func checkMessage(t *testing.T, message string, words []string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(message, word) {
			t.Errorf("%q does not say %q", message, word)
		}
	}
	if strings.ContainsAny(message, "\n") || strings.Contains(message, token) {
		t.Errorf("%q is not one line, or has the token", message)
	}
}

// reason is the first line beside the log of a run that failed. What follows
// are the workers that it stopped.
func reason(t *testing.T, stderr string) string {
	t.Helper()
	var said []string
	for line := range strings.Lines(stderr) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "{") {
			said = append(said, line)
		}
	}
	if len(said) == 0 {
		t.Fatalf("it does not say why:\n%s", stderr)
	}
	for _, line := range said[1:] {
		if !strings.Contains(line, "context canceled") {
			t.Errorf("it says more than why: %s", line)
		}
	}
	return said[0]
}

// The program itself ends with 0 only if the file is complete.
func TestFaultsOnTheProgram(t *testing.T) {
	t.Parallel()
	results := newTable("what a fault comes to in the program", "operation", "fault", "exit code", "and says")
	verdicts := &tally{}
	rows := newCrowd(t)
	for i, read := range faultyReads() {
		if !slices.Contains([]string{"getUser", "listUsers", "listUserGroups", "listUsersFromUserGroup", "listRoles", "listInvites"}, read.operation) {
			continue
		}
		for j, row := range faultRows() {
			if !row.on(read, false) {
				continue
			}
			rows.run(read.operation+"/"+row.name, func(t *testing.T) {
				s := serve(t, faultyWorkspace())
				if err := s.Inject(row.meets(read, false)); err != nil {
					t.Fatal(err)
				}
				dir := t.TempDir()
				args := []string{"-f", filepath.Join(dir, "sync.c1z"), "--page-size", "1", "--log-level", "error"}
				if row.fault.Kind == sim.FaultSlow {
					args = append(args, "--http-timeout-seconds", "1")
				}
				r := runIn(t, dir, s.env(), filepath.Join(programs, "baton-segment"), args...)
				got := "fails " + codes.Code(r.code).String()
				if r.code == 0 {
					got = read.check(t, readFile(t, args[1]).contents(t), false)
				}
				says := ""
				if r.code != 0 {
					says = reason(t, r.stderr)
					checkMessage(t, says, append([]string{"segment " + read.operation}, row.says...))
				}
				verdicts.add(got)
				results.add(fmt.Sprintf("%02d %02d", i, j), read.operation, row.name, fmt.Sprint(r.code), shortened(says))
				if want := row.want(read, false); got != want && (want != reworded || got != complete) {
					t.Errorf("it %s, want %s\n%s", got, want, r.stderr)
				}
			})
		}
	}
	rows.wait()
	results.log(t)
	t.Logf("verdicts: %v", verdicts)
}
