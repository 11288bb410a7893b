package connector

import (
	"context"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// workspaceSyncer serves the one workspace that a token sees.
type workspaceSyncer struct{ typed }

func newWorkspaceSyncer(c *Connector, k *kind) connectorbuilder.ResourceSyncerV2 {
	return &workspaceSyncer{typed{c: c, kind: k}}
}

var (
	_ connectorbuilder.StaticEntitlementSyncerV2     = (*workspaceSyncer)(nil)
	_ connectorbuilder.ResourceTargetedSyncerLimited = (*workspaceSyncer)(nil)
	_ connectorbuilder.ResourceProvisionerV2         = (*workspaceSyncer)(nil)
)

// List returns the workspace: one request.
func (w *workspaceSyncer) List(ctx context.Context, _ *v2.ResourceId, opts rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
	ws, err := w.c.readWorkspace(ctx, w.c.tracker.Open(opts))
	if err != nil {
		return nil, nil, err
	}
	r, err := w.resource(*ws)
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
		return findRow(id, []segmentapi.Workspace{*ws}, func(ws segmentapi.Workspace) string { return ws.ID })
	}, w.resource)
}

// Grant confirms that a user is a member already. It refuses everyone else: people
// become members by accepting an invite.
func (w *workspaceSyncer) Grant(ctx context.Context, principal *v2.Resource, ent *v2.Entitlement) ([]*v2.Grant, annotations.Annotations, error) {
	refusal := status.Error(codes.FailedPrecondition,
		"nobody can be made a member of the workspace without being asked: create an account, which sends an invite, instead")
	holder := principal.GetId()
	if holder.GetResourceType() != typeUser || holder.GetResource() == "" {
		return nil, nil, refusal
	}
	workspace, err := w.check(ctx, ent)
	if err != nil {
		return nil, nil, err
	}
	_, err = ask(ctx, w.c, "reading user "+holder.GetResource(), func(ctx context.Context) (*segmentapi.User, error) {
		return w.c.client.Users.Get(ctx, holder.GetResource())
	})
	switch {
	case reportedGone(err, holder):
		return nil, nil, refusal
	case err != nil:
		return nil, nil, err
	}
	return []*v2.Grant{newGrant(typeWorkspace, workspace, slugMember, holder)}, annotations.New(&v2.GrantAlreadyExists{}), nil
}

// check refuses an entitlement of another workspace than the token's, and returns
// its id: people may be in several workspaces, with one id.
func (w *workspaceSyncer) check(ctx context.Context, ent *v2.Entitlement) (string, error) {
	e, err := readEntitlement(ent, typeWorkspace)
	if err != nil {
		return "", err
	}
	workspace, err := w.c.workspaceID(ctx, syncstate.Sync{})
	if err == nil && workspace != e.id {
		err = status.Errorf(codes.FailedPrecondition, "the token is one of workspace %s, not of workspace %s: use the token that the file was synced with, or sync again",
			workspace, e.id)
	}
	return workspace, err
}

// Revoke removes a user from the workspace.
func (w *workspaceSyncer) Revoke(ctx context.Context, g *v2.Grant) (annotations.Annotations, error) {
	holder, err := principalID(g.GetPrincipal(), typeUser)
	if err != nil {
		return nil, err
	}
	if _, err = w.check(ctx, g.GetEntitlement()); err != nil {
		return nil, err
	}
	annos, err := w.c.remove(ctx, holder, typeUser, w.c.client.Users.Remove)
	if annos.Contains(&v2.ResourceDoesNotExist{}) {
		return annotations.New(&v2.GrantAlreadyRevoked{}), nil
	}
	return nil, err
}

func (w *workspaceSyncer) resource(ws segmentapi.Workspace) (*v2.Resource, error) {
	return w.kind.resource(description{id: ws.ID, names: []string{ws.Name, ws.Slug}, profile: map[string]any{
		"workspace_id": ws.ID, "slug": clip(ws.Slug, maxDisplayName),
	}})
}

// readWorkspace asks for the workspace and keeps its id.
func (c *Connector) readWorkspace(ctx context.Context, s syncstate.Sync) (*segmentapi.Workspace, error) {
	ws, err := ask(ctx, c, "reading the workspace", c.client.Workspace.Get)
	if err != nil {
		return nil, err
	}
	c.workspace.id.Store(&ws.ID)
	return ws, s.SetWorkspace(ctx, ws.ID)
}

// workspaceID is the workspace's id: from the session, else from the API, once.
// A token belongs to one workspace for good.
func (c *Connector) workspaceID(ctx context.Context, s syncstate.Sync) (string, error) {
	if known := c.workspace.id.Load(); known != nil {
		return *known, nil
	}
	// Not kept in memory: an interrupted sync may have read another workspace, with
	// another token.
	id, ok, err := s.Workspace(ctx)
	if ok || err != nil {
		return id, err
	}
	// One caller asks for all. The request goes on if that caller leaves.
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
