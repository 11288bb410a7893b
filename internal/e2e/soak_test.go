package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"testing"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	sdksync "github.com/conductorone/baton-sdk/pkg/sync"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/baton-segment/baton-segment/connector/inprocess"
	"github.com/baton-segment/baton-segment/internal/sim"
)

var soak = flag.Duration("soak", 0, "duration of the soak test; without it, the test makes a few rounds")

const (
	// warmUp is the number of rounds in which caches and pools may grow.
	warmUp = 3
	// idle is the number of goroutines that idle connections may have. Each
	// connection has four, for both ends.
	idle = 40
)

// One connector syncs and provisions repeatedly while Segment fails at random. Each
// sync is right or an error, each change is made, and the process does not grow.
// The test is not parallel, because it measures the whole process.
func TestSoak(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	ws := gatedWorkspace()
	s := serve(t, ws)
	w := &soakRun{
		random: rand.New(rand.NewPCG(seed, 0)),
		server: s,
		runner: newRunner(t.Context(), t, s, 2),
		start:  stateOf(s.Workspace()),
	}
	var first, last usage
	begun := time.Now()
	for w.rounds < warmUp+2 || time.Since(begun) < *soak {
		// The cleanup of the subtest closes the files of the round.
		if !t.Run(fmt.Sprint(w.rounds+1), w.round) {
			return
		}
		if last = measure(t); w.rounds == warmUp {
			first = last
		}
	}
	t.Logf("%d rounds in %s, %d faults; %d syncs complete, %d ended with an error; %d changes, %d requests\nafter round %d: %s\nin the end:    %s",
		w.rounds, time.Since(begun).Round(time.Second), w.faults, w.complete, w.failed, w.changes, w.requests, warmUp, first, last)
	if last.goroutines > first.goroutines+idle || last.heap > first.heap*3/2+16<<20 || last.rss > first.rss*3/2+64<<20 {
		var stacks bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&stacks, 1); err != nil {
			t.Error(err)
		}
		t.Errorf("the process grows\n%s", &stacks)
	}
}

// A soakRun is the connector of a soak test, its workspace and its counts.
type soakRun struct {
	server
	random *rand.Rand
	runner *inprocess.Runner
	start  state

	rounds, faults, complete, failed, changes, requests int
}

func (w *soakRun) round(t *testing.T) {
	w.rounds++
	w.plan(t, 4, []string{
		"getWorkspace", "listUsers", "getUser", "listRoles", "listInvites", "listUserGroups", "getUserGroup", "listUsersFromUserGroup",
		"listInvitesFromUserGroup", "listSources", "listWarehouses", "listFunctions", "listSpaces", "listLabels",
	}, []sim.Fault{
		{Kind: sim.FaultStatus}, {Kind: sim.FaultStatus, Status: http.StatusServiceUnavailable}, {Kind: sim.FaultStatus, Status: http.StatusForbidden},
		{Kind: sim.FaultStatus, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"1"}}},
		{Kind: sim.FaultHTML}, {Kind: sim.FaultEmpty}, {Kind: sim.FaultReset}, {Kind: sim.FaultDrop}, {Kind: sim.FaultTruncate},
		{Kind: sim.FaultMalformed}, {Kind: sim.FaultNoPagination}, {Kind: sim.FaultRepeatCursor}, {Kind: sim.FaultRepeatRow},
	})
	w.sync(t)
	w.resetRound()

	// A write whose answer is lost must be neither repeated nor reported as failed.
	w.plan(t, 2, []string{"addPermissionsToUser", "replacePermissionsForUser", "createInvites", "deleteInvites"}, []sim.Fault{
		{Kind: sim.FaultDrop}, {Kind: sim.FaultLateStatus},
		{Kind: sim.FaultStatus, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"1"}}},
	})
	w.write(t)
	w.resetRound()
	if diff := cmp.Diff(w.start, stateOf(w.Workspace()), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("round %d leaves the workspace (-want +got):\n%s", w.rounds, diff)
	}
}

// plan injects some faults.
func (w *soakRun) plan(t *testing.T, most int, operations []string, faults []sim.Fault) {
	t.Helper()
	for range w.random.IntN(most + 1) {
		f := faults[w.random.IntN(len(faults))]
		f.Operation, f.Ordinal = operations[w.random.IntN(len(operations))], 1+w.random.IntN(2)
		if err := w.Inject(f); err != nil {
			t.Fatal(err)
		}
	}
}

// resetRound counts the requests and clears the faults and the journal.
func (w *soakRun) resetRound() {
	for _, r := range w.Journal() {
		w.requests++
		if r.Fault != "" {
			w.faults++
		}
	}
	w.ClearFaults()
	w.ResetJournal()
}

func (w *soakRun) sync(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	file := filepath.Join(t.TempDir(), "sync.c1z")
	if err := w.runner.Sync(ctx, file, sdksync.WithFailFastInvariants(), sdksync.WithWorkerCount(4)); err != nil {
		if ctx.Err() != nil {
			t.Fatalf("round %d hangs: %v", w.rounds, err)
		}
		w.failed++
		return
	}
	w.complete++
	compare(t, expected(w.Workspace(), builtTypes()), readFile(t, file).contents(t))
}

// write grants and revokes a role, and sends and deletes an invite.
func (w *soakRun) write(t *testing.T) {
	t.Helper()
	ctx, connector := t.Context(), w.runner.Client()
	user := v2.Resource_builder{Id: v2.ResourceId_builder{ResourceType: typeUser, Resource: fmt.Sprintf("u%d", 1+w.random.IntN(3))}.Build()}.Build()
	source := v2.Resource_builder{Id: v2.ResourceId_builder{ResourceType: typeSource, Resource: "s2"}.Build()}.Build()
	on := v2.Entitlement_builder{Id: "source:s2:src", Resource: source}.Build()
	profile, err := structpb.NewStruct(map[string]any{"email": "soaked@example.com", "role": "src"})
	if err != nil {
		t.Fatal(err)
	}
	invite := v2.ResourceId_builder{ResourceType: typeInvite, Resource: "soaked@example.com"}.Build()
	for name, change := range map[string][2]func() error{
		"a role": {
			func() error {
				_, err := connector.Grant(ctx, v2.GrantManagerServiceGrantRequest_builder{Principal: user, Entitlement: on}.Build())
				return err
			},
			func() error {
				g := v2.Grant_builder{Id: "of the soak test", Principal: user, Entitlement: on}.Build()
				_, err := connector.Revoke(ctx, v2.GrantManagerServiceRevokeRequest_builder{Grant: g}.Build())
				return err
			},
		},
		"an invite": {
			func() error {
				info := v2.AccountInfo_builder{Profile: profile}.Build()
				_, err := connector.CreateAccount(ctx, v2.CreateAccountRequest_builder{AccountInfo: info, ResourceTypeId: typeInvite}.Build())
				return err
			},
			func() error {
				_, err := connector.DeleteResource(ctx, v2.DeleteResourceRequest_builder{ResourceId: invite}.Build())
				return err
			},
		},
	} {
		for _, step := range change {
			before := w.Workspace()
			if err := step(); err != nil {
				t.Fatalf("round %d, %s: %v", w.rounds, name, err)
			}
			if cmp.Equal(before, w.Workspace(), cmpopts.EquateEmpty()) {
				t.Fatalf("round %d, %s: nothing has changed", w.rounds, name)
			}
			w.changes++
		}
	}
}

// A usage is the memory of a process, in bytes, and its number of goroutines.
type usage struct {
	heap, rss  uint64
	goroutines int
}

func (u usage) String() string {
	return fmt.Sprintf("RSS %d MiB, heap %.1f MiB, %d goroutines", u.rss>>20, float64(u.heap)/(1<<20), u.goroutines)
}

var residentPages = regexp.MustCompile(`^\d+ (\d+) `)

// measure returns the usage of this process. The RSS is known only on Linux.
func measure(t *testing.T) usage {
	t.Helper()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections() //nolint:errcheck // It is one.
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := usage{heap: m.HeapAlloc, goroutines: runtime.NumGoroutine()}
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return u
	}
	pages := residentPages.FindSubmatch(bytes.TrimSpace(statm))
	if pages == nil {
		t.Fatalf("%q has no number of resident pages", statm)
	}
	n, err := strconv.ParseUint(string(pages[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	u.rss = n * uint64(os.Getpagesize())
	return u
}
