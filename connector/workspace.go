package connector

import (
	"context"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// workspaceSyncer serves the one workspace that a token sees.
type workspaceSyncer struct{ c *Connector }

var _ connectorbuilder.StaticEntitlementSyncerV2 = (*workspaceSyncer)(nil)

// ResourceType describes the type.
func (w *workspaceSyncer) ResourceType(context.Context) *v2.ResourceType { return workspaceType() }

// List returns the workspace: one request.
func (w *workspaceSyncer) List(ctx context.Context, _ *v2.ResourceId, opts rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
	ws, err := w.c.readWorkspace(ctx, w.c.session(opts))
	if err != nil {
		return nil, nil, err
	}
	r, err := described(rs.NewAppResource(displayName(ws.Name, ws.Slug, ws.ID), workspaceType(), ws.ID, nil,
		rs.WithResourceProfile(map[string]any{"workspace_id": ws.ID, "slug": clip(ws.Slug, maxDisplayName)})))
	if err != nil {
		return nil, nil, err
	}
	return []*v2.Resource{r}, nil, nil
}

// StaticEntitlements returns membership, which every user has.
func (w *workspaceSyncer) StaticEntitlements(context.Context, rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
	return []*v2.Entitlement{assignment(nil, slugMember, "Member", "Belongs to the workspace.", userType())}, nil, nil
}

// Entitlements returns none beside the static one.
func (w *workspaceSyncer) Entitlements(context.Context, *v2.Resource, rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
	return nil, nil, nil
}

// Grants returns none: they come from the users.
func (w *workspaceSyncer) Grants(context.Context, *v2.Resource, rs.SyncOpAttrs) ([]*v2.Grant, *rs.SyncOpResults, error) {
	return nil, nil, nil
}

// readWorkspace asks for the workspace and keeps its id.
func (c *Connector) readWorkspace(ctx context.Context, s session) (*segmentapi.Workspace, error) {
	ws, err := ask(ctx, c, "reading the workspace", c.client.Workspace.Get)
	if err != nil {
		return nil, err
	}
	_, err = sessionSet(ctx, s, partWorkspace, map[string]string{typeWorkspace: ws.ID})
	return ws, err
}

// workspaceID is the workspace's id: from the session, else from the API.
func (c *Connector) workspaceID(ctx context.Context, s session) (string, error) {
	id, ok, err := sessionGet[string](ctx, s, partWorkspace, typeWorkspace)
	if ok || err != nil {
		return id, err
	}
	ws, err := c.readWorkspace(ctx, s)
	if err != nil {
		return "", err
	}
	return ws.ID, nil
}
