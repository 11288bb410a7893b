package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	sdksync "github.com/conductorone/baton-sdk/pkg/sync"

	"github.com/baton-segment/baton-segment/connector"
	"github.com/baton-segment/baton-segment/connector/inprocess"
	"github.com/baton-segment/baton-segment/internal/sim"
)

// The SDK's own invariants, as errors: no grant, entitlement or principal may
// stand on a row that is not there. The program only warns of them.
func TestSyncPassesTheInvariants(t *testing.T) {
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

// A sync whose context ends saves how far it came; the next one goes on from
// there, and its rows are those of an undisturbed one.
func TestCancelledInProcess(t *testing.T) {
	t.Parallel()
	ws := sim.Demo()
	for _, workers := range []int{1, connector.Workers} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) {
			t.Parallel()
			var opts []sdksync.SyncOpt // Without any, as in the program.
			if workers != connector.Workers {
				opts = append(opts, sdksync.WithWorkerCount(workers))
			}
			s := serve(t, ws)
			file := filepath.Join(t.TempDir(), "sync.c1z")
			r := embed(t.Context(), t, s, movingPage)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			half := len(ws.Users) / 2
			if err := s.Before("getUser", half, func(*sim.Workspace) { cancel() }); err != nil {
				t.Fatal(err)
			}
			if err := r.Sync(ctx, file, opts...); !errors.Is(err, context.Canceled) {
				t.Fatalf("the sync ends with %v", err)
			}
			n := len(s.Journal())
			syncWith(t, r, file, append(opts, sdksync.WithFailFastInvariants())...)
			compare(t, expected(ws, builtTypes()), readFile(t, file).contents(t))
			again := 0
			for _, r := range s.Journal()[n:] {
				if r.Operation == "getUser" {
					again++
				}
			}
			// The others' requests that are under way may still be answered.
			if again < len(ws.Users)-half-(workers-1) || again >= len(ws.Users) {
				t.Errorf("the second sync asks for %d of %d users, after one that was cancelled at the %dth", again, len(ws.Users), half)
			}
		})
	}
}

// syncInProcess embeds the connector as a service of somebody else would, and
// syncs it. A page size of 0 is the connector's own.
func syncInProcess(t testingT, s server, file string, pageSize int, opts ...sdksync.SyncOpt) {
	t.Helper()
	syncWith(t, embed(t.Context(), t, s, pageSize), file, opts...)
}

func syncWith(t testingT, r *inprocess.Runner, file string, opts ...sdksync.SyncOpt) {
	t.Helper()
	if err := r.Sync(t.Context(), file, opts...); err != nil {
		t.Error(err)
	}
}

// embed makes the connector as a service would, and closes it in the end. What
// ctx says of requests, such as a timeout, is for good.
func embed(ctx context.Context, t testingT, s server, pageSize int, opts ...inprocess.Option) *inprocess.Runner {
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
