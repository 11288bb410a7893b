package inprocess

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/conductorone/baton-sdk/pkg/session"
	sdksync "github.com/conductorone/baton-sdk/pkg/sync"
	"github.com/conductorone/baton-sdk/pkg/types"
	"github.com/conductorone/baton-sdk/pkg/types/sessions"
	"github.com/grpc-ecosystem/go-grpc-middleware/logging/zap/ctxzap"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/connector"
)

// A Runner runs one connector. Make it with [New].
type Runner struct {
	builder connectorbuilder.ConnectorBuilderV2
	set     settings
	// direct serves the calls that are not part of a sync.
	direct *connection
	// syncing holds a value while a sync runs, and for good after Close.
	syncing chan struct{}
	closed  chan struct{}
}

// An Option configures a [Runner].
type Option func(*settings)

type settings struct {
	provisioning bool
	session      func(sessions.SessionStore) sessions.SessionStore
}

// WithProvisioning allows changes. Without it every call that makes one is
// refused with FailedPrecondition, and the connector is not asked.
func WithProvisioning() Option {
	return func(s *settings) { s.provisioning = true }
}

// WithSessionStore puts a store of the service's own between the connector and
// what it remembers during a sync, or in its place. wrap is called once a sync
// with the store that the SDK keeps in the file and clears in the end.
func WithSessionStore(wrap func(sessions.SessionStore) sessions.SessionStore) Option {
	return func(s *settings) { s.session = wrap }
}

// New makes a runner. It asks the connector for its resource types and does no
// I/O. Close the runner when it is no longer needed.
func New(ctx context.Context, builder connectorbuilder.ConnectorBuilderV2, opts ...Option) (*Runner, error) {
	r := &Runner{builder: builder, syncing: make(chan struct{}, 1), closed: make(chan struct{})}
	for _, opt := range opts {
		opt(&r.set)
	}
	server, err := r.build(ctx, &session.NoOpSessionStore{})
	if err != nil {
		return nil, err
	}
	if r.direct, err = connect(ctx, server, r.set.provisioning); err != nil {
		return nil, err
	}
	return r, nil
}

// build asks the connector for its resource types. It recovers from a panic
// itself, because no interceptor does around this call.
func (r *Runner) build(ctx context.Context, store sessions.SessionStore) (server types.ConnectorServer, err error) { //nolint:nonamedreturns // The deferred function sets the error.
	defer func() {
		if p := recover(); p != nil {
			ctxzap.Extract(ctx).Error("the connector panicked", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			err = status.Error(codes.Internal, "the connector panicked during setup")
		}
	}()
	return connector.NewServer(ctx, r.builder, connectorbuilder.WithSessionStore(store))
}

// Sync reads everything into the file, with as many workers as the program has.
// A file that a sync left incomplete is completed; one that is complete is
// replaced in the end. The options are the SDK's; those that name the file and
// the session store are the runner's.
func (r *Runner) Sync(ctx context.Context, file string, opts ...sdksync.SyncOpt) error {
	select {
	case r.syncing <- struct{}{}:
		defer func() { <-r.syncing }()
	case <-r.closed:
		return errClosed()
	case <-ctx.Done():
		return fmt.Errorf("waiting for another sync: %w", ctx.Err())
	}
	store := &deferredStore{SessionStore: &session.NoOpSessionStore{}, wrap: r.set.session}
	server, err := r.build(ctx, store)
	if err != nil {
		return err
	}
	// A sync has a connection of its own. If the sync fails, calls under way must end
	// before its store is closed, and must not use the store of the next sync.
	conn, err := connect(ctx, server, false)
	if err != nil {
		return err
	}
	all := append([]sdksync.SyncOpt{sdksync.WithWorkerCount(connector.Workers)}, opts...)
	syncer, err := sdksync.NewSyncer(ctx, conn.client, append(all, sdksync.WithC1ZPath(file), sdksync.WithSessionStore(store))...)
	if err != nil {
		return errors.Join(err, conn.close())
	}
	err = syncer.Sync(ctx)
	// The SDK's session store panics if it is used after Close.
	return withContextError(ctx, errors.Join(err, conn.close(), syncer.Close(context.WithoutCancel(ctx))))
}

// withContextError adds the error of a context that has ended, so that errors.Is
// finds it: gRPC passes on only a code.
func withContextError(ctx context.Context, err error) error {
	if cause := ctx.Err(); err != nil && cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// Client calls the connector directly, for what the runner has no method for:
// reading a single resource, changes without a file. It can do no more than the
// runner may.
func (r *Runner) Client() types.ConnectorClient { return r.direct.client }

// Close waits for the sync under way, ends the other calls, and closes the
// connector if it can be closed. An error of the context means that nothing is
// closed yet.
func (r *Runner) Close(ctx context.Context) error {
	select {
	case r.syncing <- struct{}{}:
		close(r.closed)
	case <-r.closed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the sync under way: %w", ctx.Err())
	}
	err := r.direct.close()
	if c, ok := r.direct.server.(interface{ Close(context.Context) error }); ok {
		err = errors.Join(err, c.Close(ctx))
	}
	return err
}

func errClosed() error {
	return status.Error(codes.FailedPrecondition, "the runner is closed")
}

// A deferredStore is made before the connector, and passes its calls on to the
// store that the syncer opens later.
type deferredStore struct {
	sessions.SessionStore
	wrap func(sessions.SessionStore) sessions.SessionStore
}

// SetSessionStore is called once, before the first call of the connector.
func (d *deferredStore) SetSessionStore(_ context.Context, store sessions.SessionStore) {
	if d.wrap != nil {
		store = d.wrap(store)
	}
	d.SessionStore = store
}

var _ sessions.SetSessionStore = (*deferredStore)(nil)
