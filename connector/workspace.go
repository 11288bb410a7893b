package connector

import (
	"context"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// workspaceSyncer serves the one workspace that a token sees.
type workspaceSyncer struct{ passive }

var (
	_ connectorbuilder.StaticEntitlementSyncerV2     = (*workspaceSyncer)(nil)
	_ connectorbuilder.ResourceTargetedSyncerLimited = (*workspaceSyncer)(nil)
	_ connectorbuilder.ResourceProvisionerV2         = (*workspaceSyncer)(nil)
)

// ResourceType describes the type.
func (w *workspaceSyncer) ResourceType(context.Context) *v2.ResourceType { return workspaceType() }

// List returns the workspace: one request.
func (w *workspaceSyncer) List(ctx context.Context, _ *v2.ResourceId, opts rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
	ws, err := w.c.readWorkspace(ctx, w.c.session(opts))
	if err != nil {
		return nil, nil, err
	}
	r, err := workspaceResource(*ws)
	if err != nil {
		return nil, nil, err
	}
	return []*v2.Resource{r}, nil, nil
}

// Get returns the workspace, if it is the one that the token sees: one request.
func (w *workspaceSyncer) Get(ctx context.Context, id, _ *v2.ResourceId) (*v2.Resource, annotations.Annotations, error) {
	return get(ctx, w.c, id, func(ctx context.Context, id string) (*segmentapi.Workspace, error) {
		ws, err := w.c.patient.Workspace.Get(ctx)
		if err != nil {
			return nil, err
		}
		return one(id, []segmentapi.Workspace{*ws}, func(ws segmentapi.Workspace) string { return ws.ID })
	}, workspaceResource)
}

// StaticEntitlements returns membership, which every user has.
func (w *workspaceSyncer) StaticEntitlements(ctx context.Context, opts rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
	return w.c.session(opts).static(ctx, typeWorkspace, workspaceMember(nil))
}

func workspaceMember(r *v2.Resource) *v2.Entitlement {
	return assignment(r, slugMember, "Member", "Belongs to the workspace.", userType())
}

func workspaceResource(ws segmentapi.Workspace) (*v2.Resource, error) {
	return described(rs.NewAppResource(displayName(ws.Name, ws.Slug, ws.ID), workspaceType(), ws.ID, nil,
		rs.WithResourceProfile(map[string]any{"workspace_id": ws.ID, "slug": clip(ws.Slug, maxDisplayName)})))
}

// readWorkspace asks for the workspace and keeps its id.
func (c *Connector) readWorkspace(ctx context.Context, s session) (*segmentapi.Workspace, error) {
	ws, err := ask(ctx, c, "reading the workspace", c.client.Workspace.Get)
	if err != nil {
		return nil, err
	}
	c.workspace.id.Store(&ws.ID)
	_, err = sessionSet(ctx, s, partWorkspace, map[string]string{typeWorkspace: ws.ID})
	return ws, err
}

// workspaceID is the workspace's id: from the session, else from the API, once.
// A token belongs to one workspace for good.
func (c *Connector) workspaceID(ctx context.Context, s session) (string, error) {
	if known := c.workspace.id.Load(); known != nil {
		return *known, nil
	}
	// Not kept: a sync that was broken off may have read another workspace, with
	// the token of before.
	id, ok, err := sessionGet[string](ctx, s, partWorkspace, typeWorkspace)
	if ok || err != nil {
		return id, err
	}
	// One asks for all, and outlives whoever leaves.
	answer := c.workspace.asking.DoChan(typeWorkspace, func() (any, error) {
		if known := c.workspace.id.Load(); known != nil {
			return *known, nil
		}
		ws, readErr := c.readWorkspace(context.WithoutCancel(ctx), s)
		if readErr != nil {
			return "", readErr
		}
		return ws.ID, nil
	})
	select {
	case a := <-answer:
		id, _ = a.Val.(string)
		return id, a.Err
	case <-ctx.Done():
		return "", status.FromContextError(ctx.Err()).Err()
	}
}
