package connector

import (
	"context"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"go.uber.org/zap"
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
	ws, err := w.c.askWorkspace(ctx, w.c.client)
	if err != nil {
		return nil, nil, err
	}
	if _, _, err = w.c.openSync(ctx, opts); err != nil {
		return nil, nil, err
	}
	r, err := w.resource(ws.ID, *ws)
	if err != nil {
		return nil, nil, err
	}
	return []*v2.Resource{r}, nil, nil
}

// Get returns the workspace, if it is the one that the token sees: one request.
func (w *workspaceSyncer) Get(ctx context.Context, id, _ *v2.ResourceId) (*v2.Resource, annotations.Annotations, error) {
	return get(ctx, w.c, id, func(ctx context.Context, id string) (*segmentapi.Workspace, error) {
		ws, err := w.c.readWorkspace(ctx, w.c.patient)
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
		"a user cannot be added to the workspace directly: create an account instead, which sends an invite")
	holder := principal.GetId()
	if holder.GetResourceType() != typeUser || holder.GetResource() == "" {
		return nil, nil, refusal
	}
	e, err := readEntitlement(ent, typeWorkspace)
	if err != nil {
		return nil, nil, err
	}
	ctx, workspace, err := w.c.beginChange(ctx, w.c.client, principal, stub(typeWorkspace, e.id))
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
	logUnchanged(ctx, "grant", holder, "the user is a member already", zap.Stringer("entitlement", e))
	return []*v2.Grant{newGrant(typeWorkspace, workspace, slugMember, holder)}, annotations.New(&v2.GrantAlreadyExists{}), nil
}

// Revoke removes a user from the workspace.
func (w *workspaceSyncer) Revoke(ctx context.Context, g *v2.Grant) (annotations.Annotations, error) {
	holder, err := principalID(g.GetPrincipal(), typeUser)
	if err != nil {
		return nil, err
	}
	e, err := readEntitlement(g.GetEntitlement(), typeWorkspace)
	if err != nil {
		return nil, err
	}
	if err = checkRemovable(holder, typeUser); err != nil {
		return nil, err
	}
	ctx, workspace, err := w.c.beginChange(ctx, w.c.client, g.GetPrincipal(), stub(typeWorkspace, e.id))
	if err != nil {
		return nil, err
	}
	removed, err := w.c.remove(ctx, "revoke", workspace, holder, w.c.client.Users.Remove)
	if err != nil || removed {
		return nil, err
	}
	return annotations.New(&v2.GrantAlreadyRevoked{}), nil
}

func (w *workspaceSyncer) resource(_ string, ws segmentapi.Workspace) (*v2.Resource, error) {
	return w.kind.resource(ws.ID, description{id: ws.ID, names: []string{ws.Name, ws.Slug}, profile: map[string]any{
		"slug":      clip(ws.Slug, maxDisplayName),
		"connector": "baton-segment",
		"schema":    profileSchema,
	}})
}

const (
	// fieldWorkspace is the field of each row's profile, and of log lines, that has the
	// id of the workspace. Nothing else in a row says it: ids of roles are the same in
	// all workspaces, and those of users may be.
	fieldWorkspace = "workspace_id"
	// profileSchema is the version of what profiles say. The row of the workspace has
	// it, so that readers of a file can recognize files of this connector.
	profileSchema = 1
)

// readWorkspace asks for the workspace and keeps its id.
func (c *Connector) readWorkspace(ctx context.Context, client *segmentapi.Client) (*segmentapi.Workspace, error) {
	ws, err := client.Workspace.Get(ctx)
	if err != nil {
		return nil, err
	}
	c.workspace.id.Store(&ws.ID)
	return ws, nil
}

// askWorkspace is readWorkspace with errors as the SDK takes them.
func (c *Connector) askWorkspace(ctx context.Context, client *segmentapi.Client) (*segmentapi.Workspace, error) {
	return ask(ctx, c, "reading the workspace", func(ctx context.Context) (*segmentapi.Workspace, error) {
		return c.readWorkspace(ctx, client)
	})
}

// workspaceID returns the id of the workspace that the token belongs to. A process
// asks for it once at most, because a token belongs to one workspace for good.
func (c *Connector) workspaceID(ctx context.Context, client *segmentapi.Client) (string, error) {
	if known := c.workspace.id.Load(); known != nil {
		return *known, nil
	}
	// One caller asks for all that wait as long as it does. The request goes on if
	// that caller leaves.
	waits := "briefly"
	if client == c.patient {
		waits = "patiently"
	}
	answer := c.workspace.asking.DoChan(waits, func() (any, error) {
		if known := c.workspace.id.Load(); known != nil {
			return *known, nil
		}
		ws, err := c.askWorkspace(context.WithoutCancel(ctx), client)
		if err != nil {
			return "", err
		}
		return ws.ID, nil
	})
	select {
	case a := <-answer:
		id, _ := a.Val.(string)
		return id, a.Err
	case <-ctx.Done():
		return "", status.FromContextError(ctx.Err()).Err()
	}
}

// openSync begins a call of a sync: it returns the state of the sync and the id of
// the workspace. It refuses to resume a sync that began with the token of another
// workspace.
func (c *Connector) openSync(ctx context.Context, opts rs.SyncOpAttrs) (syncstate.Sync, string, error) {
	s := c.tracker.Open(opts, segmentapi.FoldEmail)
	id, err := c.workspaceID(ctx, c.client)
	if err != nil {
		return s, "", err
	}
	began, err := s.KeepWorkspace(ctx, id)
	if err == nil && began != id {
		err = status.Errorf(codes.FailedPrecondition, "this file belongs to workspace %s, the token to workspace %s: use a new file", began, id)
	}
	return s, id, err
}

// beginChange begins a change: it returns the id of the workspace, and a context
// whose log lines name it. It refuses resources of another workspace. Resources that
// do not say which workspace they are of are not checked.
func (c *Connector) beginChange(ctx context.Context, client *segmentapi.Client, handed ...*v2.Resource) (context.Context, string, error) {
	id, err := c.workspaceID(ctx, client)
	if err != nil {
		return ctx, "", err
	}
	for _, r := range handed {
		if of := workspaceOf(r); of != "" && of != id {
			return ctx, "", status.Errorf(codes.FailedPrecondition,
				"the token belongs to workspace %s, not to workspace %s: use the token that the file was synced with, or sync into a new file", id, of)
		}
	}
	return withWorkspace(ctx, id), id, nil
}

// workspaceOf returns the id of the workspace that a row is of, or nothing if the
// row does not say.
func workspaceOf(r *v2.Resource) string {
	if r.GetId().GetResourceType() == typeWorkspace {
		return r.GetId().GetResource()
	}
	id, _ := rs.GetProfileStringValue(rs.GetProfile(r), fieldWorkspace)
	return id
}
