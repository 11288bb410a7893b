package connector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/conductorone/baton-sdk/pkg/types/sessions"
	"github.com/grpc-ecosystem/go-grpc-middleware/logging/zap/ctxzap"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate"
	"github.com/baton-segment/baton-segment/connector/internal/syncstate/statetest"
	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

const (
	typeRole      = access.TypeRole
	typeSource    = access.TypeSource
	typeWarehouse = access.TypeWarehouse
	typeFunction  = access.TypeFunction
	typeSpace     = access.TypeSpace
	typeLabel     = access.TypeLabel
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A fixture is a connector and a simulated workspace, in one sync.
type fixture struct {
	*Connector
	sim     *sim.Server
	session sessions.SessionStore
}

// newFixture returns a connector that New makes, against a workspace that is
// served over HTTP.
func newFixture(t *testing.T, ws *sim.Workspace, opts ...sim.Option) *fixture {
	t.Helper()
	return newPagedFixture(t, ws, 0, opts...)
}

// newPagedFixture is newFixture with a page size. Zero means the default.
func newPagedFixture(t *testing.T, ws *sim.Workspace, pageSize int, opts ...sim.Option) *fixture {
	t.Helper()
	s := simtest.Serve(t, ws, opts...)
	c, err := New(t.Context(), Options{Token: s.Token(), BaseURL: s.URL, PageSize: pageSize})
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{Connector: c, sim: s.Server, session: statetest.New()}
}

// newInMemoryFixture returns a connector whose requests reach the workspace
// without a network, as the fake time of synctest requires.
func newInMemoryFixture(t *testing.T, ws *sim.Workspace, opts ...sim.Option) *fixture {
	t.Helper()
	s := sim.New(ws, opts...)
	client := must(segmentapi.New(s.Token(), segmentapi.WithHTTPClient(simtest.Client(s)), segmentapi.WithRetry(syncRetry)))(t)
	patient := must(client.WithRetry(patientRetry))(t)
	return &fixture{Connector: &Connector{client: client, patient: patient}, sim: s, session: statetest.New()}
}

// newUnpacedFixture returns a connector without a network that sends each
// request once and waits for no write limit, for fuzzing in real time.
func newUnpacedFixture(t testing.TB, ws *sim.Workspace) *fixture {
	t.Helper()
	s := sim.New(ws)
	client, err := segmentapi.New(s.Token(), segmentapi.WithBaseURL("http://localhost"), segmentapi.WithHTTPClient(simtest.Client(s)),
		segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 1}), segmentapi.WithLimits(segmentapi.Limits{WritesPerMinute: 1e9}))
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{Connector: &Connector{client: client, patient: client}, sim: s, session: statetest.New()}
}

// inAnotherProcess returns the connector of another process in the same sync: it
// shares the session store and no memory.
func (f *fixture) inAnotherProcess() *fixture {
	return &fixture{Connector: &Connector{client: f.client, patient: f.patient}, sim: f.sim, session: f.session}
}

// validate makes the workspace known, as the SDK does before each sync, and forgets
// the requests for that.
func (f *fixture) validate(t *testing.T) {
	t.Helper()
	must(f.Validate(t.Context()))(t)
	f.sim.ResetJournal()
}

// opts are those of every call in the sync.
func (f *fixture) opts() rs.SyncOpAttrs { return rs.SyncOpAttrs{Session: f.session, SyncID: "sync"} }

// listOperations has the operation that lists each type.
func listOperations() map[string]string {
	return map[string]string{
		typeWorkspace: "getWorkspace", typeUser: "listUsers", typeInvite: "listInvites", typeGroup: "listUserGroups",
		typeRole: "listRoles", typeSource: "listSources", typeWarehouse: "listWarehouses", typeFunction: "listFunctions",
		typeSpace: "listSpaces", typeLabel: "listLabels",
	}
}

// getOperations has the operation that reads one row of each type.
func getOperations() map[string]string {
	all := listOperations()
	maps.Copy(all, map[string]string{
		typeUser: "getUser", typeGroup: "getUserGroup", typeSource: "getSource", typeWarehouse: "getWarehouse",
		typeFunction: "getFunction", typeSpace: "getSpace",
	})
	return all
}

// optionalTypes are the types that a workspace's plan may lack.
func optionalTypes() []string {
	return []string{typeGroup, typeWarehouse, typeFunction, typeSpace, typeLabel}
}

// requestCounts counts the requests since the last call, by operation.
func (f *fixture) requestCounts() map[string]int {
	counts := simtest.Count(f.sim.Journal())
	f.sim.ResetJournal()
	return counts
}

// writes returns the operations of the requests since the last call that can
// change something.
func (f *fixture) writes() []string {
	all := simtest.Writes(f.sim.Journal())
	f.sim.ResetJournal()
	return all
}

// inject makes requests fail or wait as the fault says.
func (f *fixture) inject(t *testing.T, fault sim.Fault) {
	t.Helper()
	simtest.Inject(t, f.sim, fault)
}

// listAll lists all types and reads their static entitlements, as the first
// phases of a sync do.
func (f *fixture) listAll(t *testing.T) map[string][]*v2.Resource {
	t.Helper()
	return f.listAllIn(t.Context(), t)
}

// listAllIn is listAll with a context. It records that there is an owner: a sync reads
// the entitlements of everybody before it asks for grants, but many tests do not.
func (f *fixture) listAllIn(ctx context.Context, t *testing.T) map[string][]*v2.Resource {
	t.Helper()
	rows := f.listEvery(ctx, t)
	f.keepOwner(ctx, t)
	return rows
}

// keepOwner records that a user owns the workspace.
func (f *fixture) keepOwner(ctx context.Context, t *testing.T) {
	t.Helper()
	s := f.tracker.Open(f.opts(), segmentapi.FoldEmail)
	if err := s.Mark(ctx, syncstate.OwnerSeen(typeUser), 1); err != nil {
		t.Fatal(err)
	}
}

// listEvery lists all types and reads their static entitlements.
func (f *fixture) listEvery(ctx context.Context, t *testing.T) map[string][]*v2.Resource {
	t.Helper()
	rows := map[string][]*v2.Resource{}
	for _, syncer := range f.ResourceSyncers(ctx) {
		rows[syncer.ResourceType(ctx).GetId()] = must(allPages(f, func(o rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
			return syncer.List(ctx, nil, o)
		}))(t)
	}
	must(f.staticEntitlements(t))(t)
	return rows
}

// listType lists one type.
func (f *fixture) listType(ctx context.Context, typeID string) ([]*v2.Resource, error) {
	for _, s := range f.ResourceSyncers(ctx) {
		if s.ResourceType(ctx).GetId() == typeID {
			return allPages(f, func(o rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) { return s.List(ctx, nil, o) })
		}
	}
	return nil, nil
}

// staticEntitlements reads the static entitlements of all types, a line of text
// for each.
func (f *fixture) staticEntitlements(t *testing.T) (map[string][]string, error) {
	t.Helper()
	all := map[string][]string{}
	for _, s := range f.ResourceSyncers(t.Context()) {
		typeID := s.ResourceType(t.Context()).GetId()
		static, ok := s.(connectorbuilder.StaticEntitlementSyncerV2)
		if !ok {
			continue
		}
		rows, err := allPages(f, func(o rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
			return static.StaticEntitlements(t.Context(), o)
		})
		if err != nil {
			return nil, err
		}
		for _, e := range rows {
			row := fmt.Sprintf("%s %q to", e.GetSlug(), e.GetDisplayName())
			for _, to := range e.GetGrantableTo() {
				row += " " + to.GetId()
			}
			if immutable(e) {
				row += ", immutable"
			}
			if e.GetDescription() == "" || e.GetResource() != nil || e.GetPurpose() != v2.Entitlement_PURPOSE_VALUE_ASSIGNMENT {
				t.Errorf("%s: %v", typeID, e)
			}
			all[typeID] = append(all[typeID], row)
		}
	}
	return all, nil
}

// entitlements reads all pages of the entitlements of a user or group.
func (f *fixture) entitlements(ctx context.Context, r *v2.Resource) ([]*v2.Entitlement, error) {
	return allPages(f, func(o rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
		return f.syncer(r).Entitlements(ctx, r, o)
	})
}

// grants reads all pages of the grants of a user or group.
func (f *fixture) grants(ctx context.Context, r *v2.Resource) ([]*v2.Grant, error) {
	return allPages(f, func(o rs.SyncOpAttrs) ([]*v2.Grant, *rs.SyncOpResults, error) {
		return f.syncer(r).Grants(ctx, r, o)
	})
}

// readEntitlements reads the entitlements of each row in turn.
func (f *fixture) readEntitlements(ctx context.Context, t *testing.T, rows []*v2.Resource) {
	t.Helper()
	for _, r := range rows {
		must(f.entitlements(ctx, r))(t)
	}
}

// readEntitlementsAndGrants reads the entitlements of all rows, then the grants,
// as a sync does.
func (f *fixture) readEntitlementsAndGrants(ctx context.Context, t *testing.T, rows []*v2.Resource) {
	t.Helper()
	f.readEntitlements(ctx, t, rows)
	for _, r := range rows {
		must(f.grants(ctx, r))(t)
	}
}

// usersAndGroups are the rows whose entitlements and grants a sync reads.
func usersAndGroups(rows map[string][]*v2.Resource) []*v2.Resource {
	return slices.Concat(rows[typeUser], rows[typeGroup])
}

// get reads one row as a targeted sync does.
func (c *Connector) get(ctx context.Context, typeID, id string) (*v2.Resource, error) {
	for _, s := range c.ResourceSyncers(ctx) {
		if s.ResourceType(ctx).GetId() != typeID {
			continue
		}
		if targeted, ok := s.(connectorbuilder.ResourceTargetedSyncerLimited); ok {
			r, _, err := targeted.Get(ctx, resourceID(typeID, id), nil)
			return r, err
		}
	}
	return nil, errors.New("no such type")
}

// syncerOf returns the syncer of a type.
func syncerOf[S connectorbuilder.ResourceSyncerV2](f *fixture, typeID string) S {
	k := kindOf(typeID)
	return k.syncer(f.Connector, k).(S) //nolint:errcheck // A wrong type is a mistake in the test.
}

// A syncer is the part of a syncer that users and groups have in common.
type syncer interface {
	Entitlements(context.Context, *v2.Resource, rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error)
	Grants(context.Context, *v2.Resource, rs.SyncOpAttrs) ([]*v2.Grant, *rs.SyncOpResults, error)
}

func (f *fixture) syncer(r *v2.Resource) syncer {
	if r.GetId().GetResourceType() == typeGroup {
		return syncerOf[*groupSyncer](f, typeGroup)
	}
	return syncerOf[*userSyncer](f, typeUser)
}

// allPages follows the page tokens of a call to the end.
func allPages[T any](f *fixture, call func(rs.SyncOpAttrs) ([]T, *rs.SyncOpResults, error)) ([]T, error) {
	var all []T
	opts := rs.SyncOpAttrs{Session: f.session, SyncID: "sync"}
	for {
		rows, res, err := call(opts)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
		if res == nil || res.NextPageToken == "" {
			return all, nil
		}
		opts.PageToken.Token = res.NextPageToken
	}
}

// must is [simtest.Must].
func must[T any](v T, err error) func(simtest.TB) T { return simtest.Must(v, err) }

// rowWithID returns the row with an id. Without one the test fails.
func rowWithID(t *testing.T, rows []*v2.Resource, id string) *v2.Resource {
	t.Helper()
	for _, r := range rows {
		if r.GetId().GetResource() == id {
			return r
		}
	}
	t.Fatalf("no row %s", id)
	return nil
}

func grantIDs(grants []*v2.Grant) []string {
	ids := make([]string, len(grants))
	for i, g := range grants {
		ids[i] = g.GetId()
	}
	return ids
}

// immutable reports whether an entitlement or a grant cannot be changed.
func immutable(row interface{ GetAnnotations() []*anypb.Any }) bool {
	annos := annotations.Annotations(row.GetAnnotations())
	return annos.ContainsAny(&v2.EntitlementImmutable{}, &v2.GrantImmutable{})
}

// withObservedLog returns a context whose log is kept, at debug level.
func withObservedLog(t *testing.T) (context.Context, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.DebugLevel)
	return ctxzap.ToContext(t.Context(), zap.New(core)), logs
}

func segmentapiUser(id string) segmentapi.User { return segmentapi.User{ID: id} }

func segmentapiGroup(id string) segmentapi.Group { return segmentapi.Group{ID: id} }
