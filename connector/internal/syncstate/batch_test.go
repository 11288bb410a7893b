package syncstate

import (
	"context"
	"fmt"
	"strings"
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
	return tracker.Open(rs.SyncOpAttrs{Session: store, SyncID: syncID}, strings.ToLower)
}

// A blockingStore is a store in which each call waits until the test sends its
// result to calls.
type blockingStore struct {
	*statetest.Memory
	calls chan error
	sets  atomic.Int32
}

func (g *blockingStore) SetMany(ctx context.Context, values map[string][]byte, opts ...sessions.SessionStoreOption) error {
	g.sets.Add(1)
	select {
	case err := <-g.calls:
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
		store := &blockingStore{Memory: statetest.New(), calls: make(chan error)}
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
			store.calls <- nil
			synctest.Wait()
			if got := done.Load(); got != want {
				t.Errorf("after %d calls %d callers return, want %d", i+1, got, want)
			}
		}
		all.Wait()
		if got := store.sets.Load(); got != 2 {
			t.Errorf("%d calls", got)
		}
	})
}

// If a call of the store fails, the other callers make one of their own: the context
// of its caller may have ended.
func TestKeepSubjects_CallOfAnotherFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &blockingStore{Memory: statetest.New(), calls: make(chan error)}
		s := open(new(Tracker), store, "sync")
		errs := make([]error, 4)
		var all sync.WaitGroup
		set := func(ctx context.Context, i int) {
			all.Go(func() { errs[i] = KeepSubjects(ctx, s, "user", map[string]int{fmt.Sprint(i): 1}) })
			synctest.Wait()
		}
		set(t.Context(), 0) // It is under way.
		second, cancelSecond := context.WithCancel(t.Context())
		set(second, 1) // It makes the next call, for the others as well.
		third, cancelThird := context.WithCancel(t.Context())
		set(third, 2)
		set(t.Context(), 3)
		cancelThird()
		synctest.Wait()
		store.calls <- nil
		synctest.Wait()
		cancelSecond()
		synctest.Wait()
		store.calls <- nil
		all.Wait()
		if errs[0] != nil || errs[1] == nil || errs[2] == nil || errs[3] != nil {
			t.Errorf("errors: %v", errs)
		}
		if _, ok, err := Subject[int](t.Context(), s, "user", "3"); !ok || err != nil {
			t.Errorf("the value of the last one is not there: %v", err)
		}
	})
}

// Two syncs that run at the same time use a store each.
func TestKeepSubjects_TwoSyncs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker := new(Tracker)
		stores := make([]*blockingStore, 3)
		var all sync.WaitGroup
		for i, syncID := range []string{"one", "two", "one"} {
			stores[i] = &blockingStore{Memory: statetest.New(), calls: make(chan error, 1)}
			stores[i].calls <- nil
			s := open(tracker, stores[i], syncID)
			if i == 0 {
				<-stores[0].calls // The others come while this is under way.
			}
			all.Go(func() {
				if err := KeepSubjects(t.Context(), s, "user", map[string]int{syncID: 1}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		stores[0].calls <- nil
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
func TestKeepSubjects_ContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &blockingStore{Memory: statetest.New(), calls: make(chan error)}
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
		second, cancelSecond := context.WithCancel(t.Context())
		set(second, 1) // It is to make the next call, for another as well.
		set(t.Context(), 2)
		cancelSecond()
		synctest.Wait()
		if !done[1].Load() {
			t.Error("a canceled caller waits for the call before")
		}
		store.calls <- nil
		synctest.Wait()
		store.calls <- nil
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

// If the store of one sync does not answer, other syncs go on.
func TestKeepSubjects_StoreHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker := new(Tracker)
		hanging := &blockingStore{Memory: statetest.New(), calls: make(chan error)}
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if err := KeepSubjects(ctx, open(tracker, hanging, "one"), "user", map[string]int{"a": 1}); err == nil {
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
		cancel()
		all.Wait()
	})
}

// A panickingStore loses its values and panics, once.
type panickingStore struct {
	blockingStore
	over atomic.Bool
}

func (p *panickingStore) SetMany(ctx context.Context, values map[string][]byte, opts ...sessions.SessionStoreOption) error {
	err := p.blockingStore.SetMany(ctx, values, opts...)
	if p.sets.Load() == 2 && !p.over.Swap(true) {
		clear(p.Values)
		panic("lost")
	}
	return err
}

// The SDK recovers from a panic. Other callers store their values themselves if they
// were in the call that panicked.
func TestKeepSubjects_StorePanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &panickingStore{blockingStore: blockingStore{Memory: statetest.New(), calls: make(chan error)}}
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
			store.calls <- nil
			synctest.Wait()
		}
		select {
		case store.calls <- nil:
		default:
			t.Error("no caller stores the values that were lost")
		}
		all.Wait()
		if _, ok, err := Subject[int](t.Context(), s, "user", "2"); !ok || err != nil {
			t.Errorf("the value of the last one is not there: %v", err)
		}
	})
}

// slowReads is a store whose reads each wait until the test lets them go on.
type slowReads struct {
	*statetest.Memory
	goOn  chan struct{}
	reads atomic.Int32
}

func (s *slowReads) GetMany(ctx context.Context, keys []string, opts ...sessions.SessionStoreOption) (map[string][]byte, []string, error) {
	s.reads.Add(1)
	<-s.goOn
	return s.Memory.GetMany(ctx, keys, opts...)
}

// While one read is under way, the keys of further workers are collected for the
// next. Each worker gets its own value, and none for a missing key.
func TestSubject_OneCallForSeveralWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &slowReads{Memory: statetest.New(), goOn: make(chan struct{})}
		s := open(new(Tracker), store, "sync")
		for i := range 4 {
			check(t, KeepSubjects(t.Context(), s, "user", map[string]int{fmt.Sprint(i): i}))
		}
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				value, ok, err := Subject[int](t.Context(), s, "user", fmt.Sprint(i))
				if err != nil || ok != (i < 4) || ok && value != i {
					t.Errorf("%d: %d, %v, %v", i, value, ok, err)
				}
			})
			synctest.Wait()
		}
		for range 2 {
			store.goOn <- struct{}{}
			synctest.Wait()
		}
		all.Wait()
		if got := store.reads.Load(); got != 2 {
			t.Errorf("%d calls", got)
		}
	})
}
