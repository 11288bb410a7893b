package connector

import (
	"context"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/conductorone/baton-sdk/pkg/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// NewServer makes the server through which the SDK calls a connector, as
// [connectorbuilder.NewConnector] does. In a targeted sync its server also refuses
// resources that do not exist, which the SDK would leave out of a finished file.
func NewServer(ctx context.Context, builder connectorbuilder.ConnectorBuilderV2, opts ...connectorbuilder.Opt) (types.ConnectorServer, error) {
	built, err := connectorbuilder.NewConnector(ctx, builder, opts...)
	if err != nil {
		return nil, err
	}
	return server{built}, nil
}

type server struct{ types.ConnectorServer }

// GetResource implements types.ConnectorServer. Only a targeted sync asks for a
// resource with the id of a sync. The SDK does not pass that id to the connector.
func (s server) GetResource(ctx context.Context, in *v2.ResourceGetterServiceGetResourceRequest) (*v2.ResourceGetterServiceGetResourceResponse, error) {
	if in.GetActiveSyncId() == "" {
		return s.ConnectorServer.GetResource(ctx, in)
	}
	out, err := s.ConnectorServer.GetResource(context.WithValue(ctx, targetedSyncKey{}, in.GetActiveSyncId()), in)
	if status.Code(err) == codes.Unimplemented {
		return nil, errNoType(in.GetResourceId())
	}
	return out, err
}

// Close closes the connector, if it can be closed.
func (s server) Close(ctx context.Context) error {
	if c, ok := s.ConnectorServer.(interface{ Close(context.Context) error }); ok {
		return c.Close(ctx)
	}
	return nil
}

type targetedSyncKey struct{}

// targetedSync returns the id of the targeted sync that a call is part of, or nothing.
func targetedSync(ctx context.Context) string {
	id, _ := ctx.Value(targetedSyncKey{}).(string)
	return id
}
