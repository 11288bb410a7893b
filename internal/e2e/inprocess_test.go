package e2e

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/conductorone/baton-sdk/pkg/connectorclient"
	sdksync "github.com/conductorone/baton-sdk/pkg/sync"
	"github.com/conductorone/baton-sdk/pkg/types"
	"github.com/conductorone/baton-sdk/pkg/types/sessions"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/baton-segment/baton-segment/connector"
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

// syncInProcess embeds the connector as a service of somebody else would, and
// syncs it over gRPC. A page size of 0 is the connector's own.
func syncInProcess(t testingT, s server, file string, pageSize int, opts ...sdksync.SyncOpt) {
	t.Helper()
	session := &lateSession{}
	embed(t, s, file, pageSize, session, append(opts, sdksync.WithSessionStore(session))...)
}

// embed syncs with a session store of the caller's choice.
func embed(t testingT, s server, file string, pageSize int, session sessions.SessionStore, opts ...sdksync.SyncOpt) {
	t.Helper()
	ctx := t.Context()
	if err := syncBuilt(ctx, t, build(ctx, t, s, pageSize, session), file, opts...); err != nil {
		t.Error(err)
	}
}

// build makes the connector as a service would. What ctx says of requests, such
// as a timeout, is for good.
func build(ctx context.Context, t testingT, s server, pageSize int, session sessions.SessionStore) types.ConnectorServer {
	t.Helper()
	segment, err := connector.New(ctx, connector.Options{Token: s.Token(), BaseURL: s.URL, PageSize: pageSize})
	if err != nil {
		t.Fatal(err)
	}
	built, err := connectorbuilder.NewConnector(ctx, segment, connectorbuilder.WithSessionStore(session))
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// syncBuilt syncs over gRPC and returns how that ended.
func syncBuilt(ctx context.Context, t testingT, built types.ConnectorServer, file string, opts ...sdksync.SyncOpt) error {
	t.Helper()
	conn, hangUp := dial(t, built)
	syncer, err := sdksync.NewSyncer(ctx, connectorclient.NewConnectorClient(ctx, conn),
		append(opts, sdksync.WithC1ZPath(file), sdksync.WithTmpDir(filepath.Dir(file)))...)
	if err != nil {
		t.Fatal(err)
	}
	ended := syncer.Sync(ctx)
	// A worker that fails leaves the others at work, and the SDK's session store
	// panics if it is used after Close.
	hangUp()
	if err := syncer.Close(context.WithoutCancel(ctx)); err != nil {
		t.Error(err)
	}
	return ended
}

// dial serves a connector over memory and returns a connection to it, and what
// ends it once nothing is being served any more.
func dial(t testingT, c types.ConnectorServer) (*grpc.ClientConn, func()) {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	v2.RegisterConnectorServiceServer(server, c)
	v2.RegisterResourceTypesServiceServer(server, c)
	v2.RegisterResourcesServiceServer(server, c)
	v2.RegisterResourceGetterServiceServer(server, c)
	v2.RegisterEntitlementsServiceServer(server, c)
	v2.RegisterGrantsServiceServer(server, c)
	v2.RegisterAssetServiceServer(server, c)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///connector",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
	)
	if err != nil {
		t.Fatal(err)
	}
	hangUp := sync.OnceFunc(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		server.GracefulStop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(hangUp)
	return conn, hangUp
}

// A lateSession hands the connector the session store that the syncer opens
// after the connector was made.
type lateSession struct {
	sessions.SessionStore
}

// SetSessionStore is called once, before the first call of the connector.
func (l *lateSession) SetSessionStore(_ context.Context, store sessions.SessionStore) {
	l.SessionStore = store
}
