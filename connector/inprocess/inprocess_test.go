package inprocess_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/conductorone/baton-sdk/pkg/dotc1z"
	sdksync "github.com/conductorone/baton-sdk/pkg/sync"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/conductorone/baton-sdk/pkg/types/sessions"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/connector"
	"github.com/baton-segment/baton-segment/connector/inprocess"
	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/segmentapitest"
)

const (
	membership = "group:web:member"
	// ownerRole is the id of the role Workspace Owner in the workspaces of the simulator.
	ownerRole = "1WDUuRLxv84rrfCNUwvkrRtkxnS"
)

func resourceID(typeID, resource string) *v2.ResourceId {
	return v2.ResourceId_builder{ResourceType: typeID, Resource: resource}.Build()
}

func newConnector(t *testing.T, s *segmentapitest.Server) *connector.Connector {
	t.Helper()
	c, err := connector.New(t.Context(), connector.Options{Token: s.Token, BaseURL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newRunner(t *testing.T, c connectorbuilder.ConnectorBuilderV2, opts ...inprocess.Option) *inprocess.Runner {
	t.Helper()
	r, err := inprocess.New(t.Context(), c, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return r
}

// newSyncedRunner returns a small workspace, a runner, and a file that it has synced.
func newSyncedRunner(t *testing.T, opts ...inprocess.Option) (*segmentapitest.Server, *inprocess.Runner, string) {
	t.Helper()
	s := segmentapitest.NewServer(t, segmentapitest.WithWorkspace("empty"))
	// Ada may be removed: another user owns the workspace.
	s.AddUser(segmentapi.User{ID: "olga", Name: "Olga", Email: "olga@example.com", Permissions: []segmentapi.Permission{{
		RoleID: ownerRole, Scopes: []segmentapi.Scope{{Type: segmentapi.ScopeWorkspace, ID: s.WorkspaceID()}},
	}}})
	s.AddUser(segmentapi.User{ID: "ada", Name: "Ada", Email: "ada@example.com"})
	s.AddGroup(segmentapi.Group{ID: "web", Name: "Web"})
	r := newRunner(t, newConnector(t, s), opts...)
	file := filepath.Join(t.TempDir(), "sync.c1z")
	if err := r.Sync(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	return s, r, file
}

// users returns the ids of the users in a file.
func users(t *testing.T, file string) []string {
	t.Helper()
	store, err := dotc1z.NewStore(t.Context(), file, dotc1z.WithReadOnly(true))
	if err != nil {
		t.Fatal(err)
	}
	list, err := store.ListResources(t.Context(), &v2.ResourcesServiceListResourcesRequest{ResourceTypeId: "user"})
	if err = errors.Join(err, store.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, u := range list.GetList() {
		ids = append(ids, u.GetId().GetResource())
	}
	return ids
}

// writes counts the requests that can change something.
func writes(s *segmentapitest.Server) int {
	n := 0
	for _, r := range s.Requests() {
		if r.Method != http.MethodGet {
			n++
		}
	}
	return n
}

// Each change reports whether it changed something, and writes only if it did.
func TestRunner_Changes(t *testing.T) {
	t.Parallel()
	s, r, file := newSyncedRunner(t, inprocess.WithProvisioning())
	ctx, ada := t.Context(), resourceID("user", "ada")
	for _, step := range []struct {
		name    string
		change  func() (bool, error)
		changed bool
	}{
		{"grant", func() (bool, error) { return r.Grant(ctx, file, membership, ada) }, true},
		{"grant again", func() (bool, error) { return r.Grant(ctx, file, membership, ada) }, false},
		{"revoke a grant that the file lacks", func() (bool, error) { return r.Revoke(ctx, file, membership, ada) }, true},
		{"revoke again", func() (bool, error) { return r.Revoke(ctx, file, membership, ada) }, false},
		{"delete", func() (bool, error) { return r.Delete(ctx, ada) }, true},
		{"delete again", func() (bool, error) { return r.Delete(ctx, ada) }, false},
	} {
		if step.changed { // A connector waits for a second after each write.
			r = newRunner(t, newConnector(t, s), inprocess.WithProvisioning())
		}
		before := writes(s)
		changed, err := step.change()
		if err != nil || changed != step.changed {
			t.Errorf("%s: %t, %v", step.name, changed, err)
		}
		if wrote := writes(s) > before; wrote != step.changed {
			t.Errorf("%s: a change was asked for: %t", step.name, wrote)
		}
	}
}

// An invite is sent once, and can be withdrawn.
func TestCreateAccount(t *testing.T) {
	t.Parallel()
	s, r, _ := newSyncedRunner(t, inprocess.WithProvisioning())
	ctx := t.Context()
	profile := map[string]any{"email": "new@example.com", "groups": []any{"Web"}}
	first, err := r.CreateAccount(ctx, profile)
	if err != nil || first.GetSuccess().GetResource().GetId().GetResource() != "new@example.com" {
		t.Errorf("an invite: %v, %v", first, err)
	}
	second, err := r.CreateAccount(ctx, profile)
	if err != nil || second.GetActionRequired() == nil {
		t.Errorf("another: %v, %v", second, err)
	}
	r = newRunner(t, newConnector(t, s), inprocess.WithProvisioning()) // Its first write does not wait.
	if changed, err := r.Delete(ctx, resourceID("invite", "new@example.com")); err != nil || !changed {
		t.Errorf("withdrawn: %t, %v", changed, err)
	}
}

// Without WithProvisioning a change is refused before the file is opened or the
// connector is called.
func TestRunner_WithoutProvisioning(t *testing.T) {
	t.Parallel()
	s, r, file := newSyncedRunner(t)
	ctx, ada := t.Context(), resourceID("user", "ada")
	asked := len(s.Requests())
	for name, change := range map[string]func() error{
		"grant":          func() error { _, err := r.Grant(ctx, file, membership, ada); return err },
		"grant, no file": func() error { _, err := r.Grant(ctx, "no such file", membership, ada); return err },
		"revoke":         func() error { _, err := r.Revoke(ctx, file, membership, ada); return err },
		"create":         func() error { _, err := r.CreateAccount(ctx, map[string]any{"email": "new@example.com"}); return err },
		"delete":         func() error { _, err := r.Delete(ctx, ada); return err },
		"by the client": func() error {
			_, err := r.Client().DeleteResource(ctx, v2.DeleteResourceRequest_builder{ResourceId: ada}.Build())
			return err
		},
		"credentials": func() error {
			_, err := r.Client().RotateCredential(ctx, &v2.RotateCredentialRequest{})
			return err
		},
		"actions": func() error {
			_, err := r.Client().InvokeAction(ctx, &v2.InvokeActionRequest{})
			return err
		},
	} {
		if err := change(); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "WithProvisioning") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := len(s.Requests()); n != asked {
		t.Errorf("%d requests are made", n-asked)
	}
	if _, err := r.Client().GetResource(ctx, v2.ResourceGetterServiceGetResourceRequest_builder{ResourceId: ada}.Build()); err != nil {
		t.Errorf("reading one row: %v", err)
	}
}

// Each error has its code. Failed calls leave no temporary files, which TestMain
// checks.
func TestRunner_Errors(t *testing.T) {
	t.Parallel()
	s, r, file := newSyncedRunner(t, inprocess.WithProvisioning())
	ctx, ada := t.Context(), resourceID("user", "ada")
	s.Fail("addUsersToUserGroup", http.StatusForbidden)
	for name, c := range map[string]struct {
		change func() error
		code   codes.Code
		says   string
	}{
		"a refusal":                {func() error { _, err := r.Grant(ctx, file, membership, ada); return err }, codes.PermissionDenied, ""},
		"an entitlement of nobody": {func() error { _, err := r.Grant(ctx, file, "group:no:member", ada); return err }, codes.NotFound, "group:no:member"},
		"nobody":                   {func() error { _, err := r.Revoke(ctx, file, membership, resourceID("user", "eve")); return err }, codes.NotFound, "eve"},
		"no file":                  {func() error { _, err := r.Grant(ctx, file+".no", membership, ada); return err }, codes.Unknown, file + ".no"},
		"a profile of no use":      {func() error { _, err := r.CreateAccount(ctx, map[string]any{"email": 1i}); return err }, codes.InvalidArgument, "profile"},
		"what cannot be deleted":   {func() error { _, err := r.Delete(ctx, resourceID("role", "x")); return err }, codes.Unimplemented, ""},
	} {
		if err := c.change(); status.Code(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.Fail("listRoles", http.StatusUnauthorized)
	if err := r.Sync(ctx, filepath.Join(t.TempDir(), "sync.c1z")); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a sync that is refused: %v", err)
	}
	if err := r.Sync(ctx, filepath.Join(t.TempDir(), "no folder", "sync.c1z")); err == nil {
		t.Error("a sync into no folder succeeds")
	}
}

// A change that waits for the rate limit ends with its context.
func TestGrant_ContextEndsDuringRateLimit(t *testing.T) {
	t.Parallel()
	ws := sim.Empty()
	ws.Users = []sim.User{{ID: "ada", Email: "ada@example.com", Permissions: []sim.Permission{
		{RoleID: ownerRole, Resources: []sim.Resource{{ID: ws.ID, Type: "WORKSPACE"}}},
	}}}
	ws.Groups = []sim.Group{{ID: "web", Name: "Web"}}
	s := simtest.Serve(t, ws)
	r := newRunner(t, newConnector(t, &segmentapitest.Server{URL: s.URL, Token: s.Token()}), inprocess.WithProvisioning())
	file := filepath.Join(t.TempDir(), "sync.c1z")
	if err := r.Sync(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	simtest.Before(t, s.Server, "addUsersToUserGroup", 0, func(*sim.Workspace) { cancel() })
	simtest.Inject(t, s.Server, sim.Fault{
		Operation: "addUsersToUserGroup", Kind: sim.FaultStatus, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"3600"}},
	})
	if changed, err := r.Grant(ctx, file, membership, resourceID("user", "ada")); changed || !errors.Is(err, context.Canceled) {
		t.Errorf("the grant ends with %t, %v", changed, err)
	}
}

// A panickingConnector panics in the method that at names.
type panickingConnector struct {
	*connector.Connector
	at string
}

func (s panickingConnector) ResourceSyncers(ctx context.Context) []connectorbuilder.ResourceSyncerV2 {
	if s.at == "ResourceSyncers" {
		panic(s.at)
	}
	all := s.Connector.ResourceSyncers(ctx)
	for i, syncer := range all {
		if syncer.ResourceType(ctx).GetId() == "user" {
			all[i] = panickingUsers{syncer, s.at}
		}
	}
	return all
}

type panickingUsers struct {
	connectorbuilder.ResourceSyncerV2
	at string
}

func (s panickingUsers) List(ctx context.Context, parent *v2.ResourceId, opts rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
	if s.at == "List" {
		panic(s.at)
	}
	return s.ResourceSyncerV2.List(ctx, parent, opts)
}

func (s panickingUsers) Delete(context.Context, *v2.ResourceId, *v2.ResourceId) (annotations.Annotations, error) {
	panic("Delete")
}

// A panic of the connector is an Internal error, in a change and in a sync.
func TestRunner_ConnectorPanics(t *testing.T) {
	t.Parallel()
	s := segmentapitest.NewServer(t)
	if _, err := inprocess.New(t.Context(), panickingConnector{newConnector(t, s), "ResourceSyncers"}); status.Code(err) != codes.Internal {
		t.Errorf("while it is set up: %v", err)
	}
	r := newRunner(t, panickingConnector{newConnector(t, s), "List"}, inprocess.WithProvisioning())
	if _, err := r.Delete(t.Context(), resourceID("user", "x")); status.Code(err) != codes.Internal {
		t.Errorf("in a change: %v", err)
	}
	file := filepath.Join(t.TempDir(), "sync.c1z")
	for range 2 {
		if err := r.Sync(t.Context(), file); status.Code(err) != codes.Internal {
			t.Errorf("in a sync: %v", err)
		}
	}
}

// Two runners sync and change their workspaces at the same time, each from several
// goroutines. The syncs of one runner run one at a time.
func TestSync_TwoRunners(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	for _, userID := range []string{"ada", "bob"} {
		s := segmentapitest.NewServer(t, segmentapitest.WithWorkspace("sized:users=20,groups=2"))
		s.AddUser(segmentapi.User{ID: userID, Email: userID + "@example.com"})
		s.AddGroup(segmentapi.Group{ID: "web", Name: "Web"})
		var running runningSyncs
		r := newRunner(t, newConnector(t, s), inprocess.WithProvisioning(), inprocess.WithSessionStore(running.wrap))
		dir := t.TempDir()
		first := filepath.Join(dir, "first.c1z")
		if err := r.Sync(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a.c1z", "b.c1z", "c.c1z"} {
			all.Go(func() {
				file := filepath.Join(dir, name)
				if err := r.Sync(t.Context(), file, sdksync.WithFailFastInvariants()); err != nil {
					t.Errorf("%s: %v", userID, err)
					return
				}
				if got := users(t, file); len(got) != 21 || !slices.Contains(got, userID) {
					t.Errorf("%s: %d users, want 21 and %s: %q", name, len(got), userID, got)
				}
			})
			all.Go(func() {
				if _, err := r.Grant(t.Context(), first, membership, resourceID("user", userID)); err != nil {
					t.Errorf("%s: %v", userID, err)
				}
			})
		}
		defer func() {
			if n := running.most.Load(); n != 1 {
				t.Errorf("%s: %d syncs of one runner at a time", userID, n)
			}
		}()
	}
	all.Wait()
}

// runningSyncs counts the syncs that have a session store at the same time. The SDK
// clears the store at the end of a sync.
type runningSyncs struct{ now, most atomic.Int32 }

func (r *runningSyncs) wrap(store sessions.SessionStore) sessions.SessionStore {
	r.most.Store(max(r.most.Load(), r.now.Add(1)))
	return countedStore{store, r}
}

type countedStore struct {
	sessions.SessionStore
	of *runningSyncs
}

func (c countedStore) Clear(ctx context.Context, opts ...sessions.SessionStoreOption) error {
	c.of.now.Add(-1)
	return c.SessionStore.Clear(ctx, opts...)
}

// A sync and Close wait for the sync before, but no longer than their contexts.
// After Close every call fails.
func TestSync_OneAtATime(t *testing.T) {
	t.Parallel()
	s := segmentapitest.NewServer(t, segmentapitest.WithWorkspace("empty"))
	reached, release := make(chan struct{}), make(chan struct{})
	hold := sync.OnceFunc(func() { close(reached); <-release })
	r, err := inprocess.New(t.Context(), newConnector(t, s), inprocess.WithSessionStore(func(store sessions.SessionStore) sessions.SessionStore {
		hold()
		return store
	}))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	first := make(chan error, 1)
	go func() { first <- r.Sync(t.Context(), filepath.Join(dir, "first.c1z")) }()
	<-reached
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Sync(canceled, filepath.Join(dir, "second.c1z")); !errors.Is(err, context.Canceled) {
		t.Errorf("a sync beside another: %v", err)
	}
	if err := r.Close(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("closing beside a sync: %v", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if err := r.Sync(t.Context(), filepath.Join(dir, "third.c1z")); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a sync after Close: %v", err)
	}
	if _, err := r.Client().Validate(t.Context(), &v2.ConnectorServiceValidateRequest{}); err == nil {
		t.Error("a call after Close succeeds")
	}
}
