package segmentapi_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// A serverKind is what the servers of one model test are drawn from.
type serverKind struct {
	lags        []time.Duration
	replicas    []int
	replicaLags []time.Duration
	// normalizations change only the form of answers, or add Minimal Workspace Access.
	normalizations []sim.Normalization
	// harmful normalizations store something else than was written.
	harmful []sim.Normalization
	forms   []sim.PostForm
	faults  []sim.Fault
	// settleTimes are for servers whose answers are never old.
	settleTimes []time.Duration
}

var (
	allForms   = []sim.PostForm{sim.PostMerges, sim.PostReplaces, sim.PostReplacesRole}
	allLags    = []time.Duration{0, 100 * time.Millisecond, time.Second, 2500 * time.Millisecond, 8 * time.Second}
	allHarmful = []sim.Normalization{sim.NormalizePostDropsLabels, sim.NormalizePostAddsWorkspace, sim.NormalizePutDropsLabels}
	allForm    = []sim.Normalization{
		sim.NormalizeAddsMinimal, sim.NormalizeMergesRoles, sim.NormalizeSplitsResources,
		sim.NormalizeReverses, sim.NormalizeNullLabels, sim.NormalizeKnownFields,
	}
	allFaults = []sim.Fault{
		{Kind: sim.FaultDrop}, {Kind: sim.FaultReset}, {Kind: sim.FaultTruncate}, {Kind: sim.FaultHTML},
		{Kind: sim.FaultLateStatus, Status: 500}, {Kind: sim.FaultLateStatus, Status: 503}, {Kind: sim.FaultLateDelay, Delay: 4 * time.Second},
		{Kind: sim.FaultStatus, Status: 500}, {Kind: sim.FaultStatus, Status: 503}, {Kind: sim.FaultStatus, Status: 422},
		{Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"3"}}},
		{Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"90"}}},
	}
	noLag = []time.Duration{0, segmentapi.DefaultSettleTime}
)

// serverKinds are the kinds of servers that the model tests run on. The last one can be
// everything at once that is neither harmful nor against the documentation, as a POST
// that replaces is.
var serverKinds = map[string]serverKind{
	"lag":          {lags: allLags[1:]},
	"lag too long": {lags: []time.Duration{15 * time.Second}, faults: allFaults},
	"replicas":     {replicas: []int{2, 3}, replicaLags: []time.Duration{time.Second, 5 * time.Second}},
	"form":         {normalizations: allForm, settleTimes: noLag},
	"harmful":      {normalizations: allForm, harmful: allHarmful},
	"merges":       {faults: allFaults, settleTimes: noLag},
	"replaces":     {forms: allForms[1:2], faults: allFaults, settleTimes: noLag},
	"replacesrole": {forms: allForms[2:], faults: allFaults, settleTimes: noLag},
	"everything": {
		lags: allLags, replicas: []int{1, 1, 2, 3}, replicaLags: []time.Duration{time.Second, 5 * time.Second},
		normalizations: allForm, faults: allFaults, settleTimes: noLag,
	},
}

// A modelServer is a simulator, its clients, and what a model must know of it.
type modelServer struct {
	*sim.Server
	form       sim.PostForm
	normalizes []sim.Normalization
	faults     []sim.Fault
	// lag is how old an answer can be.
	lag, settleTime time.Duration
	// clients are two of one process, which share what they know, and one of another.
	clients []modelClient
}

type modelClient struct {
	*segmentapi.Client
	process string
}

func (k serverKind) draw(t *rapid.T, ws *sim.Workspace) *modelServer {
	s := &modelServer{form: drawFrom(t, "form", k.forms), settleTime: segmentapi.DefaultSettleTime, faults: k.faults}
	s.normalizes = slices.Concat(drawSome(t, "normalizations", k.normalizations), drawSome(t, "harmful", k.harmful))
	lag, n, replicaLag := drawFrom(t, "lag", k.lags), drawFrom(t, "replicas", k.replicas), drawFrom(t, "replica lag", k.replicaLags)
	s.lag = lag + time.Duration(max(0, n-1))*replicaLag
	if s.isTooOld() { // Nor can it be known that a POST has replaced something.
		s.form = sim.PostMerges
	}
	if s.lag == 0 && len(k.settleTimes) > 0 {
		s.settleTime = drawFrom(t, "settle time", k.settleTimes)
	}
	token := fmt.Sprintf("model-%d", programTokens.Add(1))
	s.Server = sim.New(ws, sim.WithToken(token), sim.WithTokens(token+"-other"), sim.WithPost(s.form),
		sim.WithNormalizing(s.normalizes...), sim.WithLag(lag), sim.WithReplicas(n, replicaLag))
	for _, process := range []string{token, token, token + "-other"} {
		c, err := segmentapi.New(process, segmentapi.WithHTTPClient(&http.Client{Transport: s.RoundTripper()}), segmentapi.WithSettleTime(s.settleTime), unspacedWrites())
		if err != nil {
			t.Fatal(err)
		}
		s.clients = append(s.clients, modelClient{c, process})
	}
	return s
}

func (s *modelServer) does(n ...sim.Normalization) bool {
	return slices.ContainsFunc(n, func(n sim.Normalization) bool { return slices.Contains(s.normalizes, n) })
}

func (s *modelServer) isHarmful() bool { return s.does(allHarmful...) }

// isTooOld reports that a write need not show within the settle time.
func (s *modelServer) isTooOld() bool { return s.lag > s.settleTime }

// requests returns how many requests of an operation there were.
func (s *modelServer) requests(operation string) int {
	n := 0
	for _, r := range s.Journal() {
		if r.Operation == operation {
			n++
		}
	}
	return n
}

// drawFaults plans faults of the first requests of some operations, and reports whether
// there are any.
func (s *modelServer) drawFaults(t *rapid.T, operations ...string) bool {
	planned := false
	for _, operation := range operations {
		before := s.requests(operation)
		for ordinal := range 3 {
			if len(s.faults) == 0 || rapid.IntRange(0, 2).Draw(t, "fails") != 2 {
				continue
			}
			fault := rapid.SampledFrom(s.faults).Draw(t, "fault")
			fault.Operation, fault.Ordinal = operation, before+ordinal+1
			if err := s.Inject(fault); err != nil {
				t.Fatal(err)
			}
			planned = true
		}
	}
	return planned
}

// drawFrom draws one of values, or the zero value if there are none.
func drawFrom[T any](t *rapid.T, label string, values []T) T {
	if len(values) == 0 {
		var zero T
		return zero
	}
	return rapid.SampledFrom(values).Draw(t, label)
}

func drawSome[T any](t *rapid.T, label string, values []T) []T {
	var some []T
	for _, v := range values {
		if rapid.Bool().Draw(t, label) {
			some = append(some, v)
		}
	}
	return some
}

// onServerKinds runs a model test on fake time for each kind of server. run reports what
// kind of step it made, for the log.
func onServerKinds(t *testing.T, run func(*rapid.T, serverKind, func(string))) {
	t.Helper()
	var mu sync.Mutex
	steps := map[string]map[string]int{}
	t.Cleanup(func() {
		for _, name := range slices.Sorted(maps.Keys(steps)) {
			t.Logf("%d steps on %q: %v", steps[name]["steps"], name, steps[name])
		}
	})
	for name, kind := range serverKinds {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			count := map[string]int{}
			synctest.Test(t, func(t *testing.T) {
				// A bubble of fake time has no deadline that it could be asked for.
				rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) {
					run(t, kind, func(what string) { count[what]++ })
				})
			})
			mu.Lock()
			defer mu.Unlock()
			steps[name] = count
		})
	}
}
