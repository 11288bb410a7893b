package main

import (
	"context"
	"errors"
	"fmt"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/conductorone/baton-sdk/pkg/types"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/conductorone/baton-sdk/pkg/types/sessions"
	"github.com/grpc-ecosystem/go-grpc-middleware/logging/zap/ctxzap"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/cmd/baton-segment/internal/writing"
	"github.com/baton-segment/baton-segment/connector"
)

// A changeServer reports each change to the parent process while it is in progress, including
// the SDK's retries. It also reports the end of each sync.
type changeServer struct {
	types.ConnectorServer
	reporter writing.Reporter
	store    sessions.SessionStore
}

// Cleanup implements types.ConnectorServer. The SDK calls it at the end of each sync.
func (s changeServer) Cleanup(ctx context.Context, in *v2.ConnectorServiceCleanupRequest) (*v2.ConnectorServiceCleanupResponse, error) {
	synced := writing.Synced{ID: in.GetActiveSyncId()}
	var err error
	if s.store != nil {
		store := connectorbuilder.WithSyncId(s.store, synced.ID)
		synced.Skipped, err = connector.Skipped(ctx, rs.SyncOpAttrs{Session: store, SyncID: synced.ID})
	}
	if err == nil {
		err = s.reporter.Synced(ctx, synced)
	}
	if err != nil { // The sync is complete all the same.
		ctxzap.Extract(ctx).Warn("the log cannot summarize the file", zap.Error(err))
	}
	return s.ConnectorServer.Cleanup(ctx, in)
}

// Grant implements types.ConnectorServer.
func (s changeServer) Grant(ctx context.Context, in *v2.GrantManagerServiceGrantRequest) (*v2.GrantManagerServiceGrantResponse, error) {
	what := fmt.Sprintf("granting %s to %s", in.GetEntitlement().GetId(), name(in.GetPrincipal().GetId()))
	return change(ctx, s.reporter, what, in, s.ConnectorServer.Grant)
}

// Revoke implements types.ConnectorServer.
func (s changeServer) Revoke(ctx context.Context, in *v2.GrantManagerServiceRevokeRequest) (*v2.GrantManagerServiceRevokeResponse, error) {
	what := fmt.Sprintf("revoking %s from %s", in.GetGrant().GetEntitlement().GetId(), name(in.GetGrant().GetPrincipal().GetId()))
	return change(ctx, s.reporter, what, in, s.ConnectorServer.Revoke)
}

// CreateAccount implements types.ConnectorServer.
func (s changeServer) CreateAccount(ctx context.Context, in *v2.CreateAccountRequest) (*v2.CreateAccountResponse, error) {
	return change(ctx, s.reporter, "creating an account", in, s.ConnectorServer.CreateAccount)
}

// CreateResource implements types.ConnectorServer.
func (s changeServer) CreateResource(ctx context.Context, in *v2.CreateResourceRequest) (*v2.CreateResourceResponse, error) {
	what := "creating a " + in.GetResource().GetId().GetResourceType()
	return change(ctx, s.reporter, what, in, s.ConnectorServer.CreateResource)
}

// DeleteResource implements types.ConnectorServer.
func (s changeServer) DeleteResource(ctx context.Context, in *v2.DeleteResourceRequest) (*v2.DeleteResourceResponse, error) {
	return change(ctx, s.reporter, "deleting "+name(in.GetResourceId()), in, s.ConnectorServer.DeleteResource)
}

// DeleteResourceV2 implements types.ConnectorServer.
func (s changeServer) DeleteResourceV2(ctx context.Context, in *v2.DeleteResourceV2Request) (*v2.DeleteResourceV2Response, error) {
	return change(ctx, s.reporter, "deleting "+name(in.GetResourceId()), in, s.ConnectorServer.DeleteResourceV2)
}

func name(id *v2.ResourceId) string { return id.GetResourceType() + " " + id.GetResource() }

// change makes a change when the parent lets it begin. If the run is to stop, an
// error that another try might have avoided becomes Canceled, which is what a
// stopped run exits with.
func change[In, Out any](ctx context.Context, reporter writing.Reporter, what string, in In, do func(context.Context, In) (Out, error)) (Out, error) {
	var none Out
	ctx, end, err := reporter.Begin(ctx, what)
	if errors.Is(err, writing.ErrUnreachable) {
		ctxzap.Extract(ctx).Warn("if the run is stopped now, it does not wait for the change", zap.String("change", what), zap.Error(err))
	} else if err != nil {
		return none, status.Error(codes.Canceled, writing.ErrStopping.Error())
	}
	defer end()
	out, err := do(ctx, in)
	if err == nil || !errors.Is(context.Cause(ctx), writing.ErrStopping) {
		return out, err
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return none, status.Errorf(codes.Canceled, "stopping: no new try is made: %v", err)
	default:
		return out, err
	}
}
