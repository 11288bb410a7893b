package segmentapi_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// A program is one of several programs that edit the same user, each with a token of its
// own, so that they share nothing.
type program struct {
	client *segmentapi.Client
	// wants and line are the change: that the user holds line, or does not.
	wants bool
	line  string
	err   error
	// looked is when the last read was answered.
	looked time.Time
}

// isAsWanted reports whether the user holds what the program wants.
func (p *program) isAsWanted(held []string) bool { return slices.Contains(held, p.line) == p.wants }

// connect makes the program's client, whose requests and answers take up to roundTrip
// together.
func (p *program) connect(t *testing.T, srv *sim.Server, token string, roundTrip time.Duration, random *rand.Rand) {
	t.Helper()
	var mu sync.Mutex // A rand.Rand is not safe for concurrent use.
	half := func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(random.Int64N(int64(roundTrip/2) + 1))
	}
	hc := &http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		pause(half())
		resp, err := srv.RoundTripper().RoundTrip(r)
		pause(half())
		if r.Method == http.MethodGet {
			p.looked = time.Now()
		}
		return resp, err
	})}
	c, err := segmentapi.New(token, segmentapi.WithHTTPClient(hc), unspacedWrites())
	if err != nil {
		t.Fatal(err)
	}
	p.client = c
}

func (p *program) run(ctx context.Context) {
	do := p.client.Users.Revoke
	if p.wants {
		do = p.client.Users.Grant
	}
	_, p.err = do(ctx, "u", fromLine(p.line))
}

// Three programs edit one user at about the same time. Segment has no precondition, so a
// replacement overwrites what was written since it was read. Each program finds that, and
// repairs or reports it, unless the overwriting was committed after its last look.
func TestEdits_InterleavedPrograms(t *testing.T) {
	t.Parallel()
	runs := 200
	if *segmentapi.Slow {
		runs = 600
	}
	for _, roundTrip := range []time.Duration{0, 50 * time.Millisecond, 200 * time.Millisecond} {
		t.Run(roundTrip.String(), func(t *testing.T) {
			t.Parallel()
			var reported, hidden, overwritten int
			for seed := range uint64(runs) {
				synctest.Test(t, func(t *testing.T) {
					r, h, o := interleave(t, rand.New(rand.NewPCG(seed, 1)), roundTrip)
					reported, hidden, overwritten = reported+r, hidden+h, overwritten+o
				})
			}
			t.Logf("%d runs of 3 programs: %d errors, %d losses hidden by the round trip, %d writes more than one each", runs, reported, hidden, overwritten)
			if overwritten == 0 && roundTrip > 0 {
				t.Error("no program was ever overwritten: the test proves nothing")
			}
		})
	}
}

// programTokens makes every token a new one.
var programTokens atomic.Int64

// interleave makes one run and returns the numbers of errors, of losses that no program
// could see, and of writes beyond one for each program.
func interleave(t *testing.T, random *rand.Rand, roundTrip time.Duration) (int, int, int) {
	t.Helper()
	var reported, hidden int
	tokens := []string{"", "", ""}
	for i := range tokens {
		tokens[i] = fmt.Sprintf("program-%d-%d", i, programTokens.Add(1))
	}
	srv := sim.New(testWorkspace(on(admin, "SOURCE a", "SOURCE b"), on(reader, "SOURCE a"), on(minimal, wholeWorkspace)), sim.WithToken(tokens[0]), sim.WithTokens(tokens[1:]...))
	var lastWrite atomic.Int64
	for _, operation := range []string{"addPermissionsToUser", "replacePermissionsForUser"} {
		if err := srv.Committed(operation, 0, func(context.Context) { lastWrite.Store(time.Now().UnixNano()) }); err != nil {
			t.Fatal(err)
		}
	}
	changes := []program{
		{line: admin + " SOURCE a"}, {line: admin + " SOURCE b"}, {line: reader + " SOURCE a"},
		{line: admin + " SOURCE c", wants: true}, {line: reader + " SOURCE c", wants: true}, {line: admin + " " + wholeWorkspace + " env=prod", wants: true},
	}
	random.Shuffle(len(changes), func(i, j int) { changes[i], changes[j] = changes[j], changes[i] })
	programs := changes[:3]
	var running sync.WaitGroup
	for i, token := range tokens {
		p := &programs[i]
		p.connect(t, srv, token, roundTrip, rand.New(rand.NewPCG(random.Uint64(), 1)))
		delay := time.Duration(random.Int64N(int64(2*roundTrip) + 1))
		running.Go(func() {
			pause(delay)
			p.run(t.Context())
		})
	}
	running.Wait()
	held := holds(srv.Workspace(), "u")
	for _, p := range programs {
		switch {
		case p.err != nil:
			reported++
		case p.isAsWanted(held):
		case lastWrite.Load() > p.looked.UnixNano():
			hidden++
		default:
			t.Errorf("silently lost: %s, wanted %t; the user holds %v", p.line, p.wants, held)
		}
	}
	writes := 0
	for _, r := range srv.Journal() {
		if r.Method != http.MethodGet {
			writes++
		}
	}
	return reported, hidden, writes - len(programs)
}
