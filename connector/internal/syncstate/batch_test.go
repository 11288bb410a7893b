package syncstate

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/conductorone/baton-sdk/pkg/types/sessions"
	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate/statetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(tracker *Tracker, store sessions.SessionStore, syncID string) Sync {
	return tracker.Open(rs.SyncOpAttrs{Session: store, SyncID: syncID})
}

// gated is a store whose calls each wait until the test lets them go on.
type gated struct {
	*statetest.Memory
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
	return g.Memory.SetMany(ctx, values, opts...)
}

// While one call is under way, further values are collected for the next. No
// caller returns before its values are stored.
func TestKeepSubjects_OneCallForSeveralWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &gated{Memory: statetest.New(), turns: make(chan error)}
		s := open(new(Tracker), store, "sync")
		var done atomic.Int32
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				key := fmt.Sprint(i)
				if err := KeepSubjects(t.Context(), s, "user", map[string]int{key: i}); err != nil {
					t.Error(err)
				}
				if _, ok, err := Subject[int](t.Context(), s, "user", key); !ok || err != nil {
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

// A call may fail because of the one who made it, so the others make their own.
func TestKeepSubjects_CallOfAnotherFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &gated{Memory: statetest.New(), turns: make(chan error)}
		s := open(new(Tracker), store, "sync")
		errs := make([]error, 4)
		var all sync.WaitGroup
		set := func(ctx context.Context, i int) {
			all.Go(func() { errs[i] = KeepSubjects(ctx, s, "user", map[string]int{fmt.Sprint(i): 1}) })
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
		if _, ok, err := Subject[int](t.Context(), s, "user", "3"); !ok || err != nil {
			t.Errorf("the value of the last one is not there: %v", err)
		}
	})
}

// Two syncs at a time have a store each.
func TestKeepSubjects_TwoSyncs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker := new(Tracker)
		stores := make([]*gated, 3)
		var all sync.WaitGroup
		for i, syncID := range []string{"one", "two", "one"} {
			stores[i] = &gated{Memory: statetest.New(), turns: make(chan error, 1)}
			stores[i].turns <- nil
			s := open(tracker, stores[i], syncID)
			if i == 0 {
				<-stores[0].turns // The others come while this is under way.
			}
			all.Go(func() {
				if err := KeepSubjects(t.Context(), s, "user", map[string]int{syncID: 1}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		stores[0].turns <- nil
		all.Wait()
		for i, want := range []string{"one", "two", "one"} {
			if len(stores[i].Values) != 1 || stores[i].Values["rows/user/subject/"+want] == nil {
				t.Errorf("store %d has %d values", i, len(stores[i].Values))
			}
		}
	})
}

// A caller whose context ends does not wait for the call before, and the others do
// not wait for that caller.
func TestKeepSubjects_CallerLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &gated{Memory: statetest.New(), turns: make(chan error)}
		s := open(new(Tracker), store, "sync")
		errs, done := make([]error, 3), make([]atomic.Bool, 3)
		var all sync.WaitGroup
		set := func(ctx context.Context, i int) {
			all.Go(func() {
				errs[i] = KeepSubjects(ctx, s, "user", map[string]int{fmt.Sprint(i): 1})
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
			t.Error("a caller that leaves waits for the call before")
		}
		store.turns <- nil
		synctest.Wait()
		store.turns <- nil
		all.Wait()
		if errs[0] != nil || status.Code(errs[1]) != codes.Canceled || errs[2] != nil {
			t.Errorf("errors: %v", errs)
		}
		for _, key := range []string{"0", "2"} {
			if _, ok, err := Subject[int](t.Context(), s, "user", key); !ok || err != nil {
				t.Errorf("the value of %s is not there: %v", key, err)
			}
		}
	})
}

// A store that does not answer one sync holds up no other.
func TestKeepSubjects_StoreHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker := new(Tracker)
		hangs := &gated{Memory: statetest.New(), turns: make(chan error)}
		ctx, give := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if err := KeepSubjects(ctx, open(tracker, hangs, "one"), "user", map[string]int{"a": 1}); err == nil {
				t.Error("a store that hangs has stored something")
			}
		})
		synctest.Wait()
		var done atomic.Bool
		all.Go(func() {
			if err := KeepSubjects(t.Context(), open(tracker, statetest.New(), "two"), "user", map[string]int{"a": 1}); err != nil {
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

// panics is a store that loses everything and panics, once.
type panics struct {
	gated
	over atomic.Bool
}

func (p *panics) SetMany(ctx context.Context, values map[string][]byte, opts ...sessions.SessionStoreOption) error {
	err := p.gated.SetMany(ctx, values, opts...)
	if p.sets.Load() == 2 && !p.over.Swap(true) {
		clear(p.Values)
		panic("lost")
	}
	return err
}

// The SDK recovers from a panic. Values of other callers in the same call are
// stored by those.
func TestKeepSubjects_StorePanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &panics{gated: gated{Memory: statetest.New(), turns: make(chan error)}}
		s := open(new(Tracker), store, "sync")
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				defer func() {
					if r := recover(); r != nil && i != 1 {
						t.Errorf("%d: %v", i, r)
					}
				}()
				if err := KeepSubjects(t.Context(), s, "user", map[string]int{fmt.Sprint(i): 1}); err != nil {
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
			t.Error("nobody stores the values that were lost")
		}
		all.Wait()
		if _, ok, err := Subject[int](t.Context(), s, "user", "2"); !ok || err != nil {
			t.Errorf("the value of the last one is not there: %v", err)
		}
	})
}
