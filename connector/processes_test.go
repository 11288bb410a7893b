package connector

import (
	"context"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/conductorone/baton-sdk/pkg/types/sessions"
	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate/statetest"
	"github.com/baton-segment/baton-segment/internal/sim"
)

// another is the fixture in another process, with the same session store.
func (f *fixture) another() *fixture {
	return &fixture{Connector: &Connector{client: f.client, patient: f.patient}, sim: f.sim, session: f.session}
}

func (f *fixture) opts() rs.SyncOpAttrs { return rs.SyncOpAttrs{Session: f.session, SyncID: "sync"} }

// Who runs the connector may give up on a call and make it again, in another
// process, while the first still waits for Segment. Whichever comes last, the
// rows are those of the list.
func TestListThatIsOvertaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := timeless(t, small())
		f.inject(t, sim.Fault{Operation: "listUsers", Ordinal: 1, Kind: sim.FaultDelay, Delay: time.Minute})
		late := make(chan error, 1)
		first, opts := syncerOf[*userSyncer](f, typeUser), f.opts()
		go func() {
			_, _, err := first.List(t.Context(), nil, opts)
			late <- err
		}()
		<-time.After(time.Second) // It waits for Segment.
		other := f.another()
		rows := other.list(t)
		if err := <-late; err != nil {
			t.Fatal(err)
		}
		want := []string{"group:g1:member:user:u1", "group:g1:member:user:u2", "group:g1:member:invite:new@example.com", "role:owner:assigned:group:g1"}
		if diff := cmp.Diff(want, grantIDs(must(other.grants(t.Context(), find(t, rows[typeGroup], "g1")))(t))); diff != "" {
			t.Errorf("grants (-want +got):\n%s", diff)
		}
	})
}

// The same of the roles, where a sync leaves their type out.
func TestRolesThatAreOvertaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := timeless(t, full())
		static := func(f *fixture, typeID string) ([]*v2.Entitlement, error) {
			return pages(f, func(o rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
				return typed{c: f.Connector, kind: kindOf(typeID)}.StaticEntitlements(t.Context(), o)
			})
		}
		for _, typeID := range []string{typeSource, typeSpace} {
			if err := f.tracker.Open(f.opts()).AddRows(t.Context(), typeID, nil); err != nil {
				t.Fatal(err)
			}
		}
		f.inject(t, sim.Fault{Operation: "listRoles", Ordinal: 1, Kind: sim.FaultDelay, Delay: time.Minute})
		late := make(chan error, 1)
		first := f.another()
		go func() {
			_, err := static(first, typeSource)
			late <- err
		}()
		<-time.After(time.Second) // It waits for Segment.
		must(static(f, typeSource))(t)
		if err := <-late; err != nil {
			t.Fatal(err)
		}
		if rows := must(static(f, typeSpace))(t); len(rows) != 1 {
			t.Errorf("spaces have the entitlements %v, want one", rows)
		}
	})
}

// What a sync was broken off with may be of another workspace. That must not
// reach the next sync of the process.
func TestWorkspaceOfAnotherSync(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small())
	before := f.another()
	before.session = statetest.New()
	s := before.tracker.Open(before.opts())
	if err := s.SetWorkspace(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	if id := must(f.workspaceID(t.Context(), s))(t); id != "other" {
		t.Errorf("the sync that is taken up has the workspace %s", id)
	}
	user := find(t, f.list(t)[typeUser], "u2")
	want := []string{"workspace:" + workspaceID + ":member:user:u2"}
	if diff := cmp.Diff(want, grantIDs(must(f.grants(t.Context(), user))(t))); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
}

// apart is a store that keeps prefixes apart from keys, as the service may that
// several processes share.
type apart struct{ *statetest.Memory }

func (apart) split(opts []sessions.SessionStoreOption) []sessions.SessionStoreOption {
	return append(opts, func(_ context.Context, bag *sessions.SessionStoreBag) error {
		bag.Prefix += "\x00"
		return nil
	})
}

func (a apart) Get(ctx context.Context, key string, opts ...sessions.SessionStoreOption) ([]byte, bool, error) {
	return a.Memory.Get(ctx, key, a.split(opts)...)
}

func (a apart) GetMany(ctx context.Context, keys []string, opts ...sessions.SessionStoreOption) (map[string][]byte, []string, error) {
	return a.Memory.GetMany(ctx, keys, a.split(opts)...)
}

func (a apart) SetMany(ctx context.Context, values map[string][]byte, opts ...sessions.SessionStoreOption) error {
	return a.Memory.SetMany(ctx, values, a.split(opts)...)
}

func (a apart) Delete(ctx context.Context, key string, opts ...sessions.SessionStoreOption) error {
	return a.Memory.Delete(ctx, key, a.split(opts)...)
}

func (a apart) Clear(ctx context.Context, opts ...sessions.SessionStoreOption) error {
	return a.Memory.Clear(ctx, a.split(opts)...)
}

func (a apart) GetAll(ctx context.Context, token string, opts ...sessions.SessionStoreOption) (map[string][]byte, string, error) {
	return a.Memory.GetAll(ctx, token, a.split(opts)...)
}

// A prefix and a key are put together by the SDK's own stores, which says
// nothing of others.
func TestStoreThatKeepsPrefixesApart(t *testing.T) {
	t.Parallel()
	rows := func(f *fixture) []string {
		listed := f.list(t)
		static := must(f.static(t))(t)
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
	split.session = apart{statetest.New()}
	if diff := cmp.Diff(rows(together), rows(split)); diff != "" {
		t.Errorf("rows (-together +apart):\n%s", diff)
	}
}

// A sync that was broken off may be taken up by another process, which this one
// is not told. What it asked for before is in the file, and has to be granted.
func TestSyncThatIsTakenUpElsewhere(t *testing.T) {
	t.Parallel()
	ws := small()
	ws.Users[1].Permissions = []sim.Permission{{RoleID: "owner", Resources: []sim.Resource{{ID: "gone", Type: "SOURCE"}}}}
	f := newFixture(t, ws)
	user := find(t, f.list(t)[typeUser], "u2")
	must(f.entitlements(t.Context(), user))(t)
	must(f.another().Validate(t.Context()))(t)
	f.sim.Update(func(ws *sim.Workspace) { ws.Users[1].Permissions = nil })
	must(f.entitlements(t.Context(), user))(t)
	want := []string{"workspace:" + workspaceID + ":member:user:u2", "source:gone:owner:user:u2"}
	if diff := cmp.Diff(want, grantIDs(must(f.grants(t.Context(), user))(t))); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
}
