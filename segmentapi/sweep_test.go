package segmentapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// everyWriteWorkspace is the workspace that everyWrite needs.
func everyWriteWorkspace() *sim.Workspace {
	ws := settlingWorkspace()
	ws.Users = append(ws.Users, sim.User{ID: "x", Email: "x@example.com", Permissions: []sim.Permission{on(minimal, wholeWorkspace)}})
	return ws
}

// The caller's context ends at each request of each change, and reads are behind. The call
// returns within 25 s, success means that the change was made, and no owner is lost.
func TestWrites_ContextEndsAtEachRequest(t *testing.T) {
	t.Parallel()
	for name, op := range everyWrite {
		for _, lag := range []time.Duration{0, 8 * time.Second, 40 * time.Second} {
			t.Run(fmt.Sprintf("%s/%s", name, lag), func(t *testing.T) {
				t.Parallel()
				var longest time.Duration
				request := 1
				for ended := false; !ended; request++ {
					synctest.Test(t, func(t *testing.T) {
						srv := sim.New(everyWriteWorkspace(), sim.WithLag(lag))
						took, err := stopAt(t, request, srv, true, op.do)
						if ended = took < 0; ended {
							return
						}
						longest = max(longest, took)
						if took > 25500*time.Millisecond {
							t.Errorf("request %d: it took %s: %v", request, took, err)
						}
						after := srv.Workspace()
						if err == nil && !op.done(after) {
							t.Errorf("request %d: success, although the change was not made", request)
						}
						least := 3
						if name == "revoke ownership" || name == "remove an owner" {
							least = 2
						}
						if got := owners(after); errors.Is(err, segmentapi.ErrNotRestored) || len(got) < least {
							t.Errorf("request %d: owners %v: %v", request, got, err)
						}
						if got := holds(after, "u"); name == "remove an owner" && got != nil && !slices.Contains(got, heldOwner) {
							t.Errorf("request %d: u was demoted and not removed: %v", request, err)
						}
					})
				}
				t.Logf("%d requests: the call returned %s later at most", request-2, longest)
			})
		}
	}
}

// The caller's context ends at each request of each change, and from then on no request
// is answered. The call returns within 25 s, and success means that the change was made.
func TestWrites_NoAnswerAfterTheContextHasEnded(t *testing.T) {
	t.Parallel()
	for name, op := range everyWrite {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for request, ended := 1, false; !ended; request++ {
				synctest.Test(t, func(t *testing.T) {
					srv := sim.New(everyWriteWorkspace())
					took, err := stopAt(t, request, srv, false, op.do)
					ended = took < 0
					if took > 25500*time.Millisecond || err == nil && !op.done(srv.Workspace()) {
						t.Errorf("request %d: it took %s: %v", request, took, err)
					}
				})
			}
		})
	}
}

// stopAt ends the caller's context at a request of a change. A request takes 100 ms, and
// is not answered from then on unless answers is set. stopAt returns how long the call went
// on after that, or -1 if there was no such request.
func stopAt(
	t *testing.T, request int, srv *sim.Server, answers bool, do func(context.Context, *segmentapi.Client) error,
) (time.Duration, error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var mu sync.Mutex // Owners are searched for by several requests at once.
	var stopped time.Time
	requests := 0
	c := connectThrough(t, srv, func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		if requests++; requests == request {
			stopped = time.Now()
			stop()
		}
		silent := !answers && requests >= request
		mu.Unlock()
		if silent {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		<-time.After(100 * time.Millisecond)
		return srv.RoundTripper().RoundTrip(r)
	})
	err := do(ctx, c)
	if requests < request {
		return -1, err
	}
	return time.Since(stopped), err
}

// The other owner is demoted before each request of each removal of ownership, while the
// first write of each kind fails or not. An owner is left, unless the demotion comes after
// the last look at the other owner.
func TestLastOwner_DemotedBeforeEachRequest(t *testing.T) {
	t.Parallel()
	for how, take := range ownershipRemovals {
		for fault, settle := range map[sim.FaultKind]time.Duration{"": segmentapi.DefaultSettleTime, sim.FaultStatus: segmentapi.DefaultSettleTime, sim.FaultLateStatus: 0} {
			t.Run(fmt.Sprintf("%s/fault %s", how, fault), func(t *testing.T) {
				t.Parallel()
				request, late := 1, 0
				for ended := false; !ended; request++ {
					synctest.Test(t, func(t *testing.T) {
						srv := sim.New(ownersUAndV(strings.Contains(how, "group")))
						failFirstWrites(t, srv, fault)
						requests, before, err := demoteVAt(t, request, srv, settle, take)
						if ended = requests < request; ended || len(owners(srv.Workspace())) > 0 {
							return
						}
						// A removal that is being sent cannot be undone, and v is not read after
						// the last request.
						final := before == "DELETE /users" || before == "DELETE /groups/group" || request == requests && before != "GET /users/v"
						if late++; !final {
							t.Errorf("demoted before request %d, %s: no owner is left: %v\n%v", request, before, err, simtest.Operations(srv.Journal()))
						}
					})
				}
				t.Logf("%d requests: no owner is left after %d demotions, which came too late to be seen", request-2, late)
			})
		}
	}
}

// failFirstWrites makes the first write of each kind fail, if there is a fault.
func failFirstWrites(t *testing.T, srv *sim.Server, fault sim.FaultKind) {
	t.Helper()
	for _, o := range sim.Operations() {
		if o.Method != http.MethodGet && fault != "" {
			simtest.Inject(t, srv, sim.Fault{Operation: o.Name, Ordinal: 1, Kind: fault, Status: 503})
		}
	}
}

// demoteVAt takes ownership away, and demotes v before a request. It returns how many
// requests there were, and the one before which v was demoted.
func demoteVAt(
	t *testing.T, request int, srv *sim.Server, settle time.Duration, take func(context.Context, *segmentapi.Client) error,
) (int, string, error) {
	t.Helper()
	var mu sync.Mutex // As in stopAt.
	requests, before := 0, ""
	c := connectThrough(t, srv, func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		if requests++; requests == request {
			before = r.Method + " " + r.URL.Path
			srv.Update(demoteV)
		}
		return srv.RoundTripper().RoundTrip(r)
	}, segmentapi.WithSettleTime(settle))
	err := take(t.Context(), c)
	return requests, before, err
}
