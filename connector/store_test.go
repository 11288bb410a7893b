package connector

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"

	sdksession "github.com/conductorone/baton-sdk/pkg/session"
	"github.com/conductorone/baton-sdk/pkg/types/sessions"
	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate/statetest"
	"github.com/baton-segment/baton-segment/internal/sim"
)

// A countingStore counts its calls. In a sync, calls for a missing key go on to
// another process.
type countingStore struct {
	*statetest.Memory
	mu     sync.Mutex
	gets   int
	sets   int
	missed []string
}

func (c *countingStore) GetMany(ctx context.Context, keys []string, opts ...sessions.SessionStoreOption) (map[string][]byte, []string, error) {
	found, rest, err := c.Memory.GetMany(ctx, keys, opts...)
	c.mu.Lock()
	defer c.mu.Unlock()
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

func (c *countingStore) SetMany(ctx context.Context, values map[string][]byte, opts ...sessions.SessionStoreOption) error {
	c.mu.Lock()
	c.sets++
	c.mu.Unlock()
	return c.Memory.SetMany(ctx, values, opts...)
}

// Calls of the store go to the process that has it, so their number for each
// user is bounded. The bounds are for one worker: several share calls.
func TestSync_StoreCalls(t *testing.T) {
	t.Parallel()
	f := newFixture(t, sim.Sized(sim.Size{Users: 200, Sources: 20, Functions: 5, Spaces: 5, Labels: 12, Warehouses: 1}))
	store := &countingStore{Memory: statetest.New()}
	f.session = store
	users := f.listAll(t)[typeUser]
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
	// A missing key costs most. Each user is missing once, and so are the deleted
	// resources that some hold roles on.
	if len(store.missed) > len(users)*6/5 {
		t.Errorf("%d times a missing key was asked for: %q", len(store.missed), slices.Compact(slices.Sorted(slices.Values(store.missed))))
	}
	if rows == 0 {
		t.Error("no user has an entitlement that no list foretold, so this shows nothing")
	}
}

// Without a session store details are read twice, and all grants are there.
func TestSync_WithoutASessionStore(t *testing.T) {
	t.Parallel()
	for name, without := range map[string]func(*fixture){
		"nil":      func(f *fixture) { f.session = nil },
		"disabled": func(f *fixture) { f.session = &sdksession.NoOpSessionStore{} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, small())
			without(f)
			rows := f.listAll(t)
			f.requestCounts()
			user := rowWithID(t, rows[typeUser], "u1")
			if extra := must(f.entitlements(t.Context(), user))(t); len(extra) != 0 {
				t.Errorf("entitlements: %v", extra)
			}
			want := []string{"role:owner:assigned:user:u1", "role:member:assigned:user:u1", "workspace:wksp:member:user:u1"}
			if diff := cmp.Diff(want, grantIDs(must(f.grants(t.Context(), user))(t))); diff != "" {
				t.Errorf("grants (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(map[string]int{"getUser": 2}, f.requestCounts()); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

// A separatePrefixStore keeps prefixes apart from keys, as a service that
// several processes share may do.
type separatePrefixStore struct{ *statetest.Memory }

func (separatePrefixStore) split(opts []sessions.SessionStoreOption) []sessions.SessionStoreOption {
	return append(opts, func(_ context.Context, bag *sessions.SessionStoreBag) error {
		bag.Prefix += "\x00"
		return nil
	})
}

func (a separatePrefixStore) Get(ctx context.Context, key string, opts ...sessions.SessionStoreOption) ([]byte, bool, error) {
	return a.Memory.Get(ctx, key, a.split(opts)...)
}

func (a separatePrefixStore) GetMany(ctx context.Context, keys []string, opts ...sessions.SessionStoreOption) (map[string][]byte, []string, error) {
	return a.Memory.GetMany(ctx, keys, a.split(opts)...)
}

func (a separatePrefixStore) SetMany(ctx context.Context, values map[string][]byte, opts ...sessions.SessionStoreOption) error {
	return a.Memory.SetMany(ctx, values, a.split(opts)...)
}

func (a separatePrefixStore) Delete(ctx context.Context, key string, opts ...sessions.SessionStoreOption) error {
	return a.Memory.Delete(ctx, key, a.split(opts)...)
}

func (a separatePrefixStore) Clear(ctx context.Context, opts ...sessions.SessionStoreOption) error {
	return a.Memory.Clear(ctx, a.split(opts)...)
}

func (a separatePrefixStore) GetAll(ctx context.Context, token string, opts ...sessions.SessionStoreOption) (map[string][]byte, string, error) {
	return a.Memory.GetAll(ctx, token, a.split(opts)...)
}

// The rows do not depend on whether a store joins prefix and key. The SDK's own
// stores do; its interface does not require it.
func TestSync_StoreWithSeparatePrefixes(t *testing.T) {
	t.Parallel()
	rows := func(f *fixture) []string {
		listed := f.listAll(t)
		static := must(f.staticEntitlements(t))(t)
		var ids []string
		for _, typeID := range slices.Sorted(maps.Keys(static)) {
			ids = append(ids, static[typeID]...)
		}
		for _, r := range slices.Concat(listed[typeUser], listed[typeGroup]) {
			for _, e := range must(f.entitlements(t.Context(), r))(t) {
				ids = append(ids, e.GetId())
			}
			ids = append(ids, grantIDs(must(f.grants(t.Context(), r))(t))...)
		}
		return ids
	}
	together, split := newFixture(t, full()), newFixture(t, full())
	split.session = separatePrefixStore{statetest.New()}
	if diff := cmp.Diff(rows(together), rows(split)); diff != "" {
		t.Errorf("rows (-together +separate):\n%s", diff)
	}
}
