package inprocess

import (
	"context"
	"net"
	"sync"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/connectorclient"
	"github.com/conductorone/baton-sdk/pkg/types"
	"github.com/conductorone/baton-sdk/pkg/ugrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

// A connection is a client of the connector, and the server in memory that it
// calls.
type connection struct {
	server types.ConnectorServer
	client types.ConnectorClient
	// close ends the connection. It returns once no call is being served any more.
	close func() error
}

// connect starts the server and connects to it. Calls pass the interceptors that
// they pass in the program: requests are validated, a panic becomes an error, and
// the connector logs to the logger of ctx.
func connect(ctx context.Context, c types.ConnectorServer, provisioning bool) (*connection, error) {
	listener := bufconn.Listen(1 << 20)
	conn, err := grpc.NewClient("passthrough:///connector",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
	)
	if err != nil {
		return nil, err
	}
	server := grpc.NewServer(
		grpc.ChainUnaryInterceptor(ugrpc.UnaryServerInterceptor(ctx)...),
		grpc.ChainStreamInterceptor(ugrpc.StreamServerInterceptors(ctx)...),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
			method, _ := grpc.MethodFromServerStream(stream)
			if provisioning {
				return status.Error(codes.Unimplemented, method+" is not served")
			}
			return errNotAllowed()
		}),
	)
	v2.RegisterConnectorServiceServer(server, c)
	v2.RegisterResourceTypesServiceServer(server, c)
	v2.RegisterResourcesServiceServer(server, c)
	v2.RegisterResourceGetterServiceServer(server, c)
	v2.RegisterEntitlementsServiceServer(server, c)
	v2.RegisterGrantsServiceServer(server, c)
	v2.RegisterAssetServiceServer(server, c)
	v2.RegisterEventServiceServer(server, c)
	if provisioning {
		v2.RegisterGrantManagerServiceServer(server, c)
		v2.RegisterResourceManagerServiceServer(server, c)
		v2.RegisterResourceDeleterServiceServer(server, c)
		v2.RegisterAccountManagerServiceServer(server, c)
		v2.RegisterCredentialManagerServiceServer(server, c)
		v2.RegisterActionServiceServer(server, c)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	return &connection{
		server: c,
		client: connectorclient.NewConnectorClient(ctx, conn),
		close: sync.OnceValue(func() error {
			err := conn.Close()
			server.GracefulStop()
			if serveErr := <-served; err == nil {
				err = serveErr
			}
			return err
		}),
	}, nil
}

func errNotAllowed() error {
	return status.Error(codes.FailedPrecondition, "provisioning is not enabled: the runner was made without WithProvisioning")
}
