package connector

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/conductorone/baton-sdk/pkg/types/sessions"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// counting is a store that counts the calls it gets. Those that ask for
// something that is not there go on to another process in a sync.
type counting struct {
	*memory
	calls  sync.Mutex
	gets   int
	sets   int
	missed []string
}

func (c *counting) GetMany(ctx context.Context, keys []string, opts ...sessions.SessionStoreOption) (map[string][]byte, []string, error) {
	found, rest, err := c.memory.GetMany(ctx, keys, opts...)
	c.calls.Lock()
	defer c.calls.Unlock()
	c.gets++
	for _, key := range keys {
		if _, ok := found[key]; !ok {
			full, keyErr := c.key(ctx, key, opts)
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
	return c.memory.SetMany(ctx, values, opts...)
}

// Each call of the store is paid once for each user.
func TestFewCallsOfTheStore(t *testing.T) {
	t.Parallel()
	f := newFixture(t, sim.Sized(sim.Size{Users: 200, Sources: 20, Functions: 5, Spaces: 5, Labels: 12, Warehouses: 1}))
	store := &counting{memory: &memory{values: map[string][]byte{}}}
	f.session, f.sole = store, true
	users := f.list(t)[typeUser]
	store.gets, store.sets, store.missed = 0, 0, nil
	rows := 0
	for _, r := range users {
		rows += len(must(f.entitlements(t.Context(), r))(t))
	}
	if perUser := float64(store.gets) / float64(len(users)); perUser > 3 || store.sets != len(users) {
		t.Errorf("entitlements of %d users take %.1f calls that get for each, and %d that set", len(users), perUser, store.sets)
	}
	for _, r := range users {
		must(f.grants(t.Context(), r))(t)
	}
	if perUser := float64(store.gets) / float64(len(users)); perUser > 8 || store.sets != len(users)+1 { // One is for the report.
		t.Errorf("with grants, %d users take %.1f calls that get for each, and %d that set", len(users), perUser, store.sets)
	}
	// What no list has is asked for: some of the permissions are on things that
	// have been deleted.
	if len(store.missed) > len(users)/5 {
		t.Errorf("%d times something was asked for that is not there: %q", len(store.missed), slices.Compact(slices.Sorted(slices.Values(store.missed))))
	}
	if rows == 0 {
		t.Error("no user has anything that no list foretold, so this shows nothing")
	}
}

// gated is a store whose calls wait for a turn.
type gated struct {
	*memory
	turns chan error
	sets  atomic.Int32
}

func (g *gated) SetMany(ctx context.Context, values map[string][]byte, opts ...sessions.SessionStoreOption) error {
	g.sets.Add(1)
	select {
	case err := <-g.turns:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	return g.memory.SetMany(ctx, values, opts...)
}

// While one call is under way, the others gather for the next, and nobody goes
// on before what it stored is there.
func TestMergedCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &gated{memory: &memory{values: map[string][]byte{}}, turns: make(chan error)}
		s := session{store: store, syncID: "sync", merger: &merger{}}
		var done atomic.Int32
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				key := fmt.Sprintf("user/%d", i)
				if err := s.merger.set(t.Context(), s, map[string]subject{key: {Reading: int64(i)}}); err != nil {
					t.Error(err)
				}
				if _, ok, err := sessionGet[subject](t.Context(), s, partSubject, key); !ok || err != nil {
					t.Errorf("%s is not there: %v", key, err)
				}
				done.Add(1)
			})
		}
		for i, want := range []int32{1, 8} {
			synctest.Wait()
			store.turns <- nil
			synctest.Wait()
			if got := done.Load(); got != want {
				t.Errorf("after %d calls %d go on, not %d", i+1, got, want)
			}
		}
		all.Wait()
		if got := store.sets.Load(); got != 2 {
			t.Errorf("%d calls", got)
		}
	})
}

// A call that fails may have failed for the one who made it: the others make
// their own.
func TestMergedCallThatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &gated{memory: &memory{values: map[string][]byte{}}, turns: make(chan error)}
		s := session{store: store, syncID: "sync", merger: &merger{}}
		errs := make([]error, 4)
		var all sync.WaitGroup
		set := func(ctx context.Context, i int) {
			all.Go(func() { errs[i] = s.merger.set(ctx, s, map[string]subject{fmt.Sprint(i): {Reading: 1}}) })
			synctest.Wait()
		}
		set(t.Context(), 0) // It is under way.
		hasty, leave := context.WithCancel(t.Context())
		set(hasty, 1) // It makes the next call, for the others as well.
		gone, leaveToo := context.WithCancel(t.Context())
		set(gone, 2)
		set(t.Context(), 3)
		leaveToo()
		synctest.Wait()
		store.turns <- nil
		synctest.Wait()
		leave()
		synctest.Wait()
		store.turns <- nil
		all.Wait()
		if errs[0] != nil || errs[1] == nil || errs[2] == nil || errs[3] != nil {
			t.Errorf("errors: %v", errs)
		}
		if _, ok, err := sessionGet[subject](t.Context(), s, partSubject, "3"); !ok || err != nil {
			t.Errorf("what the last one stored is not there: %v", err)
		}
	})
}

// Two syncs at a time have a store each.
func TestMergedCallsOfTwoSyncs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &merger{}
		stores := make([]*gated, 3)
		var all sync.WaitGroup
		for i, syncID := range []string{"one", "two", "one"} {
			stores[i] = &gated{memory: &memory{values: map[string][]byte{}}, turns: make(chan error, 1)}
			stores[i].turns <- nil
			s := session{store: stores[i], syncID: syncID}
			if i == 0 {
				<-stores[0].turns // The others come while this is under way.
			}
			all.Go(func() {
				if err := m.set(t.Context(), s, map[string]subject{syncID: {Reading: 1}}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		stores[0].turns <- nil
		all.Wait()
		for i, want := range []string{"one", "two", "one"} {
			if len(stores[i].values) != 1 || stores[i].values[partSubject+want] == nil {
				t.Errorf("store %d has %d values", i, len(stores[i].values))
			}
		}
	})
}

// Who leaves does not wait for the call before, nor do the others for who left.
func TestMergedCallOfOneWhoLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &gated{memory: &memory{values: map[string][]byte{}}, turns: make(chan error)}
		s := session{store: store, syncID: "sync", merger: &merger{}}
		errs, done := make([]error, 3), make([]atomic.Bool, 3)
		var all sync.WaitGroup
		set := func(ctx context.Context, i int) {
			all.Go(func() {
				errs[i] = s.merger.set(ctx, s, map[string]subject{fmt.Sprint(i): {Reading: 1}})
				done[i].Store(true)
			})
			synctest.Wait()
		}
		set(t.Context(), 0) // It is under way.
		hasty, leave := context.WithCancel(t.Context())
		set(hasty, 1) // It is to make the next call, for another as well.
		set(t.Context(), 2)
		leave()
		synctest.Wait()
		if !done[1].Load() {
			t.Error("who leaves waits for the call before")
		}
		store.turns <- nil
		synctest.Wait()
		store.turns <- nil
		all.Wait()
		if errs[0] != nil || status.Code(errs[1]) != codes.Canceled || errs[2] != nil {
			t.Errorf("errors: %v", errs)
		}
		for _, key := range []string{"0", "2"} {
			if _, ok, err := sessionGet[subject](t.Context(), s, partSubject, key); !ok || err != nil {
				t.Errorf("what %s stored is not there: %v", key, err)
			}
		}
	})
}

// A store that does not answer one sync holds up no other.
func TestMergedCallThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &merger{}
		hangs := &gated{memory: &memory{values: map[string][]byte{}}, turns: make(chan error)}
		ctx, give := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if err := m.set(ctx, session{store: hangs, syncID: "one"}, map[string]subject{"a": {}}); err == nil {
				t.Error("a store that hangs has stored something")
			}
		})
		synctest.Wait()
		var done atomic.Bool
		all.Go(func() {
			if err := m.set(t.Context(), session{store: &memory{values: map[string][]byte{}}, syncID: "two"}, map[string]subject{"a": {}}); err != nil {
				t.Error(err)
			}
			done.Store(true)
		})
		synctest.Wait()
		if !done.Load() {
			t.Error("the second sync waits for the store of the first")
		}
		give()
		all.Wait()
	})
}

// panics is a store that fails in the worst way, once.
type panics struct {
	gated
	over atomic.Bool
}

func (p *panics) SetMany(ctx context.Context, values map[string][]byte, opts ...sessions.SessionStoreOption) error {
	err := p.gated.SetMany(ctx, values, opts...)
	if p.sets.Load() == 2 && !p.over.Swap(true) {
		clear(p.values)
		panic("lost")
	}
	return err
}

// The SDK survives a panic. What it took with it is stored by its owner.
func TestMergedCallThatPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &panics{gated: gated{memory: &memory{values: map[string][]byte{}}, turns: make(chan error)}}
		s := session{store: store, syncID: "sync", merger: &merger{}}
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				defer func() {
					if r := recover(); r != nil && i != 1 {
						t.Errorf("%d: %v", i, r)
					}
				}()
				if err := s.merger.set(t.Context(), s, map[string]subject{fmt.Sprint(i): {Reading: 1}}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		for range 2 {
			store.turns <- nil
			synctest.Wait()
		}
		select {
		case store.turns <- nil:
		default:
			t.Error("nobody stores what was lost")
		}
		all.Wait()
		if _, ok, err := sessionGet[subject](t.Context(), s, partSubject, "2"); !ok || err != nil {
			t.Errorf("what the last one stored is not there: %v", err)
		}
	})
}

// Where something went wrong, or another sync begins, what a user holds is not
// asked for a second time.
func TestWhatIsStoredIsNotAskedForAgain(t *testing.T) {
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
			f.Connector = &Connector{client: f.client, patient: f.patient, sole: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, small())
			f.sole = true
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
