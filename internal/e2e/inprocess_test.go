package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	sdksync "github.com/conductorone/baton-sdk/pkg/sync"

	"github.com/baton-segment/baton-segment/connector"
	"github.com/baton-segment/baton-segment/connector/inprocess"
	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// A sync passes the invariants of the SDK: no grant or entitlement refers to a row
// that is missing. The program only logs a warning if it does.
func TestInProcess_PassesInvariants(t *testing.T) {
	t.Parallel()
	for name, ws := range workspaces() {
		for _, workers := range []int{1, 8} {
			t.Run(fmt.Sprintf("%s/workers=%d", name, workers), func(t *testing.T) {
				t.Parallel()
				s := serve(t, ws)
				file := filepath.Join(t.TempDir(), "sync.c1z")
				syncInProcess(t, s, file, 0, sdksync.WithWorkerCount(workers), sdksync.WithFailFastInvariants())
				compare(t, expected(ws, builtTypes()), readFile(t, file).contents(t))
				compareRequests(t, cost(ws, builtTypes(), 1000), s.requests(t))
			})
		}
	}
}

// A sync whose context is cancelled saves its progress. The next sync continues
// from there, and its rows are those of an undisturbed one.
func TestInProcess_CancelledResumes(t *testing.T) {
	t.Parallel()
	ws := sim.Demo()
	for _, workers := range []int{1, connector.Workers} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			t.Parallel()
			var opts []sdksync.SyncOpt // None for the default, as in the program.
			if workers != connector.Workers {
				opts = append(opts, sdksync.WithWorkerCount(workers))
			}
			s := serve(t, ws)
			file := filepath.Join(t.TempDir(), "sync.c1z")
			r := newRunner(t.Context(), t, s, smallPage)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			// Late enough for some users to be done: as many as there are workers are under way.
			last := max(len(ws.Users)/2, workers+4)
			if err := s.Before("getUser", last, func(*sim.Workspace) { cancel() }); err != nil {
				t.Fatal(err)
			}
			if err := r.Sync(ctx, file, opts...); !errors.Is(err, context.Canceled) {
				t.Fatalf("the sync ends with %v", err)
			}
			n := len(s.Journal())
			syncWith(t, r, file, append(opts, sdksync.WithFailFastInvariants())...)
			compare(t, expected(ws, builtTypes()), readFile(t, file).contents(t))
			repeated := 0
			for _, r := range s.Journal()[n:] {
				if r.Operation == "getUser" {
					repeated++
				}
			}
			// Requests of the other workers that were sent may still be answered.
			if repeated < len(ws.Users)-last-(workers-1) || repeated >= len(ws.Users) {
				t.Errorf("the second sync reads %d of %d users, after the first was cancelled at user %d", repeated, len(ws.Users), last)
			}
		})
	}
}

// syncInProcess syncs with the connector as a program that embeds it does. A page
// size of 0 is the connector's default.
func syncInProcess(t testingT, s server, file string, pageSize int, opts ...sdksync.SyncOpt) {
	t.Helper()
	syncWith(t, newRunner(t.Context(), t, s, pageSize), file, opts...)
}

func syncWith(t testingT, r *inprocess.Runner, file string, opts ...sdksync.SyncOpt) {
	t.Helper()
	if err := r.Sync(t.Context(), file, opts...); err != nil {
		t.Error(err)
	}
}

// newRunner makes a connector and a runner as a program that embeds them does, and
// closes the runner when the test ends. Values of ctx, such as the timeout of a
// request, hold as long as the runner.
func newRunner(ctx context.Context, t testingT, s server, pageSize int, opts ...inprocess.Option) *inprocess.Runner {
	t.Helper()
	segment, err := connector.New(ctx, connector.Options{Token: s.Token(), BaseURL: s.URL, PageSize: pageSize})
	if err != nil {
		t.Fatal(err)
	}
	r, err := inprocess.New(ctx, segment, append(opts, inprocess.WithProvisioning())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	return r
}

// After a sync, the connections that the connector leaves open are few and idle.
// The SDK's HTTP client closes them after 30 idle seconds. It has no way to close
// them earlier, so the connector has no Close method.
func TestInProcess_LeavesIdleConnections(t *testing.T) {
	t.Parallel()
	const workers = 8
	s := server{simtest.Server{Server: sim.New(sim.Demo(), sim.WithToken(token))}}
	listener := httptest.NewUnstartedServer(s)
	var mu sync.Mutex
	open := map[net.Conn]http.ConnState{}
	changed := make(chan struct{}, 1)
	listener.Config.ConnState = func(c net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		open[c] = state
		if state == http.StateClosed {
			delete(open, c)
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	listener.Start()
	t.Cleanup(listener.Close)
	s.URL = listener.URL
	syncInProcess(t, s, filepath.Join(t.TempDir(), "sync.c1z"), smallPage, sdksync.WithWorkerCount(workers))
	timeout := time.After(20 * time.Second)
	for {
		mu.Lock()
		busy := count(slices.Collect(maps.Values(open)), func(state http.ConnState) bool { return state == http.StateActive })
		total := len(open)
		mu.Unlock()
		// The limit is what net/http keeps for one host, in each transport in use.
		if busy == 0 && total <= workers*http.DefaultMaxIdleConnsPerHost {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("%d connections are open, %d of them busy", total, busy)
		}
	}
}
