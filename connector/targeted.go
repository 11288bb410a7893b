package connector

import (
	"context"
	"sync"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/grpc-ecosystem/go-grpc-middleware/logging/zap/ctxzap"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// A targeted sync reads single rows and lists nothing. For each row the SDK asks for
// its entitlements and grants, and then for the resources of these grants. It does not
// expand the grants of groups to their users, so the calls for a user return what a
// full sync has of the user: the memberships, what the groups hold, and what the user
// holds through them.

// isTargeted reports whether a sync is targeted: by the time that it asks for single
// users or groups, any other sync has listed users or asked for static entitlements.
// Without a session store that is not known.
func isTargeted(ctx context.Context, s syncstate.Sync) (bool, error) {
	marks, err := s.Marks(ctx, syncstate.Ended(typeUser), syncstate.Static(typeWorkspace))
	if len(marks) > 0 || err != nil {
		return false, err
	}
	return s.Usable(ctx)
}

// groupsInTargetedSync returns the ids of the groups that a user is in. In other syncs
// it asks for nothing, because the groups list their members.
func (c *Connector) groupsInTargetedSync(ctx context.Context, s syncstate.Sync, userID string) ([]string, error) {
	if targeted, err := isTargeted(ctx, s); !targeted || err != nil {
		return nil, err
	}
	list := func(ctx context.Context, opts segmentapi.ListOptions) (*segmentapi.Page[segmentapi.Group], error) {
		return c.client.Users.ListGroups(ctx, userID, opts)
	}
	read := func() ([]syncstate.Row, error) {
		return allRows(ctx, c, "listing the groups of user "+userID, list, func(g segmentapi.Group) syncstate.Row { return syncstate.Row{ID: g.ID} })
	}
	groups, err := read()
	if notFound(err) { // The user was found a moment ago, so it may be a replica that lags.
		if err = waitForRecheck(ctx); err != nil {
			return nil, err
		}
		groups, err = read()
	}
	if len(groups) == 0 && segmentapi.LacksFeature(err) {
		logSkipped(ctx, typeGroup, err.Error())
		return nil, s.Skip(ctx, typeGroup, typeGroup)
	}
	ids := make([]string, len(groups))
	for i, g := range groups {
		ids[i] = g.ID
	}
	return ids, err
}

// A holder is a user or a group with what it holds itself.
type holder struct {
	id       *v2.ResourceId
	holdings []holding
}

// holders returns a subject and, in a targeted sync of a user, the groups through which
// the user holds more.
func (c *Connector) holders(ctx context.Context, s syncstate.Sync, id *v2.ResourceId, sub subject) ([]holder, error) {
	own, err := locate(ctx, s, sub.Permissions)
	if err != nil {
		return nil, err
	}
	all := []holder{{id, own}}
	for _, groupID := range sub.Groups {
		group := resourceID(typeGroup, groupID)
		known, err := c.groupOfUsers(ctx, s, group)
		if err != nil {
			return nil, err
		}
		if known.gone() {
			continue
		}
		holdings, err := locate(ctx, s, known.Permissions)
		if err != nil {
			return nil, err
		}
		all = append(all, holder{group, holdings})
	}
	return all, nil
}

// groupOfUsers returns what a group holds. Users of one group may be read at the same
// time: one call reads the group for all that wait, and goes on if its caller leaves.
func (c *Connector) groupOfUsers(ctx context.Context, s syncstate.Sync, group *v2.ResourceId) (subject, error) {
	answer := c.groups.DoChan(s.ID()+"/"+group.GetResource(), func() (any, error) {
		return c.subject(context.WithoutCancel(ctx), s, group, c.groupDetail)
	})
	select {
	case a := <-answer:
		known, _ := a.Val.(subject)
		return known, a.Err
	case <-ctx.Done():
		return subject{}, status.FromContextError(ctx.Err()).Err()
	}
}

// subjectGrants returns one page of the grants of a user or group.
func (c *Connector) subjectGrants(
	ctx context.Context, s syncstate.Sync, id *v2.ResourceId, workspace string, sub subject, memberships []*v2.Grant, token pageToken,
) ([]*v2.Grant, *rs.SyncOpResults, error) {
	holders, err := c.holders(ctx, s, id, sub)
	if err != nil {
		return nil, nil, err
	}
	for _, group := range holders[1:] {
		memberships = append(memberships, newGrant(typeGroup, group.id.GetResource(), slugMember, id))
	}
	grants := subjectGrants{id: id, workspace: workspace, held: heldGrants(holders), memberships: memberships}
	if targeted, err := isTargeted(ctx, s); err != nil {
		return nil, nil, err
	} else if targeted {
		c.references.add(s.ID(), grants)
	}
	return grants.page(token)
}

// heldGrants returns the grants to the first holder, to the groups after it, and those
// that the first holder has through the groups.
func heldGrants(holders []holder) []heldGrant {
	first, groups := holders[0], holders[1:]
	all := make([]heldGrant, len(first.holdings))
	index := make(map[entitlementID]int, len(all)) // Of the first holder's grants.
	for i, h := range first.holdings {
		all[i] = heldGrant{holding: h, to: first.id}
		if len(groups) > 0 {
			index[h.entitlementID()] = i
		}
	}
	for _, group := range groups {
		member := entitlementID{typeGroup, group.id.GetResource(), slugMember}.String()
		for _, h := range group.holdings {
			i, held := index[h.entitlementID()]
			if !held {
				i = len(all)
				index[h.entitlementID()] = i
				all = append(all, heldGrant{holding: h, to: first.id})
			} else if len(all[i].sources) == 0 { // The first holder has it itself.
				all[i].sources = []string{h.entitlementID().String()}
			}
			all[i].sources = append(all[i].sources, member)
			all = append(all, heldGrant{holding: h, to: group.id})
		}
	}
	return all
}

// references holds the resources that the grants of a targeted sync refer to, so that Get
// can tell them from mistyped targets. The SDK asks for each of them that it does not
// have. They are in memory, because the SDK passes no
// session store to the call: if another process serves it, one that does not exist
// fails the sync as a target does. The zero value is ready.
type references struct {
	mu     sync.Mutex
	syncID string
	// held has what a role is held on, and other resources without a value.
	held map[[2]string]*holding
}

func (r *references) add(syncID string, grants subjectGrants) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held == nil || r.syncID != syncID {
		r.syncID, r.held = syncID, map[[2]string]*holding{}
	}
	for _, g := range grants.memberships {
		id := g.GetEntitlement().GetResource().GetId()
		r.held[[2]string{id.GetResourceType(), id.GetResource()}] = nil
	}
	for _, g := range grants.held {
		r.held[[2]string{g.Type, g.ID}] = &g.holding
	}
}

// find reports whether a resource is a reference, and what is held of it.
func (r *references) find(syncID string, id *v2.ResourceId) (*holding, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, found := r.held[[2]string{id.GetResourceType(), id.GetResource()}]
	return h, found && r.syncID == syncID
}

// missingRow answers for a row that does not exist. Outside a sync that is NotFound. In
// a targeted sync, the SDK would finish without the row then: a file in which somebody
// whose id is mistyped has no access. So a missing target is an error. A missing
// resource that a role is held on gets the row that a full sync gives it.
func (c *Connector) missingRow(ctx context.Context, id *v2.ResourceId, what string) (*v2.Resource, error) {
	syncID := targetedSync(ctx)
	held, reference := c.references.find(syncID, id)
	if syncID == "" || reference && held == nil {
		return nil, status.Errorf(codes.NotFound, "%s: Segment does not have it", what)
	}
	workspace, err := c.workspaceID(ctx, c.patient)
	switch {
	case err != nil:
		return nil, err
	case reference:
		return held.unlistedResource(workspace)
	}
	return nil, status.Errorf(codes.FailedPrecondition, "%s: correct its id, or leave it out", noSuch(workspace, id))
}

// logWithoutGrants warns that a target has no grants of its own, although people may
// have access to it.
func (c *Connector) logWithoutGrants(ctx context.Context, id *v2.ResourceId) {
	syncID := targetedSync(ctx)
	if _, reference := c.references.find(syncID, id); reference || syncID == "" || kindOf(id.GetResourceType()).perRow {
		return
	}
	ctxzap.Extract(ctx).Warn("in the file without grants: grants are synced with users and groups",
		zap.String("resource_type", id.GetResourceType()), zap.String("resource", id.GetResource()))
}

// errNoType refuses a target of a type that the connector does not have.
func errNoType(id *v2.ResourceId) error {
	return status.Errorf(codes.FailedPrecondition, "%s does not exist: there is no resource type %q", id.GetResource(), id.GetResourceType())
}
