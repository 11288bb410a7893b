package connector

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/conductorone/baton-sdk/pkg/types/sessions"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate/statetest"
	"github.com/baton-segment/baton-segment/internal/sim"
)

// counting is a store that counts the calls it gets. Those that ask for
// something that is not there go on to another process in a sync.
type counting struct {
	*statetest.Memory
	calls  sync.Mutex
	gets   int
	sets   int
	missed []string
}

func (c *counting) GetMany(ctx context.Context, keys []string, opts ...sessions.SessionStoreOption) (map[string][]byte, []string, error) {
	found, rest, err := c.Memory.GetMany(ctx, keys, opts...)
	c.calls.Lock()
	defer c.calls.Unlock()
	c.gets++
	for _, key := range keys {
		if _, ok := found[key]; !ok {
			full, keyErr := c.Key(ctx, key, opts)
			c.missed = append(c.missed, full)
			err = errors.Join(err, keyErr)
		}
	}
	return found, rest, err
}

func (c *counting) SetMany(ctx context.Context, values map[string][]byte, opts ...sessions.SessionStoreOption) error {
	c.calls.Lock()
	c.sets++
	c.calls.Unlock()
	return c.Memory.SetMany(ctx, values, opts...)
}

// Calls of the store go to the process that has it, and a sync makes some for each
// user. The bounds are for one worker: several share calls.
func TestStoreCalls(t *testing.T) {
	t.Parallel()
	f := newFixture(t, sim.Sized(sim.Size{Users: 200, Sources: 20, Functions: 5, Spaces: 5, Labels: 12, Warehouses: 1}))
	store := &counting{Memory: statetest.New()}
	f.session = store
	users := f.list(t)[typeUser]
	store.gets, store.sets, store.missed = 0, 0, nil
	rows := 0
	for _, r := range users {
		rows += len(must(f.entitlements(t.Context(), r))(t))
	}
	if perUser := float64(store.gets) / float64(len(users)); perUser > 1.7 || store.sets > len(users)+20 {
		t.Errorf("entitlements of %d users take %.2f calls that get for each, and %d that set", len(users), perUser, store.sets)
	}
	for _, r := range users {
		must(f.grants(t.Context(), r))(t)
	}
	if perUser := float64(store.gets) / float64(len(users)); perUser > 2.8 || store.sets > len(users)+20 {
		t.Errorf("with grants, %d users take %.2f calls that get for each, and %d that set", len(users), perUser, store.sets)
	}
	// A missing key costs most. Each user is missing once, and some hold roles on
	// things that have been deleted.
	if len(store.missed) > len(users)*6/5 {
		t.Errorf("%d times a missing key was asked for: %q", len(store.missed), slices.Compact(slices.Sorted(slices.Values(store.missed))))
	}
	if rows == 0 {
		t.Error("no user has an entitlement that no list foretold, so this shows nothing")
	}
}

// A detail that is in the store is not asked for a second time: not when a sync is
// resumed, after another detail failed, or in another process.
func TestEntitlements_StoredDetailIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]func(*testing.T, *fixture){
		"a sync begins": func(t *testing.T, f *fixture) {
			t.Helper()
			must(f.Validate(t.Context()))(t)
		},
		"another failed": func(t *testing.T, f *fixture) {
			t.Helper()
			f.inject(t, sim.Fault{Operation: "getUser", Kind: sim.FaultStatus, Status: http.StatusForbidden})
			if _, err := f.entitlements(t.Context(), stub(typeUser, "u2")); err == nil {
				t.Error("the fault made no error")
			}
			f.sim.ClearFaults()
		},
		"another process": func(t *testing.T, f *fixture) {
			t.Helper()
			f.Connector = &Connector{client: f.client, patient: f.patient}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, small())
			user := find(t, f.list(t)[typeUser], "u1")
			must(f.entitlements(t.Context(), user))(t)
			before(t, f)
			f.requests()
			must(f.entitlements(t.Context(), user))(t)
			must(f.grants(t.Context(), user))(t)
			if n := f.requests()["getUser"]; n != 0 {
				t.Errorf("%d requests for what is stored", n)
			}
		})
	}
}

// The SDK's transport keeps two idle connections to a host, however many
// workers there are.
func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	const workers, rounds = 8, 20
	s := sim.New(small())
	var opened atomic.Int32
	var together sync.WaitGroup
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		together.Done()
		together.Wait() // All of them are under way at the same time.
		s.ServeHTTP(w, r)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	c := must(New(t.Context(), Options{Token: s.Token(), BaseURL: server.URL}))(t)
	together.Add(1)
	must(c.client.Users.Get(t.Context(), "u1"))(t) // What Segment allows is known now.
	for range rounds {
		together.Add(workers)
		var round sync.WaitGroup
		for range workers {
			round.Go(func() {
				if _, err := c.client.Users.Get(t.Context(), "u1"); err != nil {
					t.Error(err)
				}
			})
		}
		round.Wait()
	}
	// A request may find the connection of the one before still being read.
	if n := opened.Load(); n > 2*workers {
		t.Errorf("%d workers open %d connections for %d requests", workers, n, workers*rounds)
	}
}
