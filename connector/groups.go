package connector

import (
	"context"
	"fmt"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/conductorone/baton-sdk/pkg/types/entitlement"
	"github.com/conductorone/baton-sdk/pkg/types/grant"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// groupSyncer serves user groups: who is in them, and what they hold.
type groupSyncer struct{ c *Connector }

var _ connectorbuilder.StaticEntitlementSyncerV2 = (*groupSyncer)(nil)

// The pages of a group's grants after the first, in this order.
const (
	phaseMembers = "members"
	phaseInvites = "invites"
)

// ResourceType describes the type.
func (g *groupSyncer) ResourceType(context.Context) *v2.ResourceType { return groupType() }

// List returns one page of groups: one request. Plans below Business have no
// groups.
func (g *groupSyncer) List(ctx context.Context, _ *v2.ResourceId, opts rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
	return listing[segmentapi.Group]{
		what:     "listing groups",
		typeID:   typeGroup,
		optional: true,
		page: func(ctx context.Context, o segmentapi.ListOptions) (*segmentapi.Page[segmentapi.Group], error) {
			return g.c.client.Groups.List(ctx, o)
		},
		resource: groupResource,
		remember: func(ctx context.Context, s session, groups []segmentapi.Group) error {
			return rememberListed(ctx, s, typeGroup, groups, func(group segmentapi.Group) (string, []segmentapi.Permission) {
				return group.ID, group.Permissions
			})
		},
	}.read(ctx, g.c, opts)
}

// StaticEntitlements returns membership.
func (g *groupSyncer) StaticEntitlements(context.Context, rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
	return []*v2.Entitlement{assignment(nil, slugMember, "Member", "Belongs to the group and holds what the group holds.", userType())}, nil, nil
}

// Entitlements makes the group's one detail request.
func (g *groupSyncer) Entitlements(ctx context.Context, r *v2.Resource, opts rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
	return g.c.entitlements(ctx, r.GetId(), opts, g.detail)
}

// Grants returns what the group holds and, on further pages, who is in it. A
// page makes at most one request.
func (g *groupSyncer) Grants(ctx context.Context, r *v2.Resource, opts rs.SyncOpAttrs) ([]*v2.Grant, *rs.SyncOpResults, error) {
	token, err := parsePageToken(opts.PageToken.Token)
	if err != nil {
		return nil, nil, err
	}
	s := g.c.session(opts)
	if err = s.reportUnknown(ctx); err != nil {
		return nil, nil, err
	}
	switch token.Phase {
	case phaseMembers:
		return g.members(ctx, s, r.GetId(), token)
	case phaseInvites:
		return g.invites(ctx, s, r.GetId(), token)
	}
	sub, err := g.c.subject(ctx, s, r.GetId(), g.detail)
	if err != nil || sub.Vanished {
		return nil, nil, err
	}
	ordinary, inserted, err := s.grants(ctx, r.GetId(), sub, expandsTo(r.GetId()))
	if err != nil {
		return nil, nil, err
	}
	members := &pageToken{Phase: phaseMembers}
	switch {
	case token.Phase == phaseUnlisted:
		return inserted, insertResources(members), nil
	case len(inserted) > 0:
		return ordinary, results(&pageToken{Phase: phaseUnlisted}), nil
	}
	return ordinary, results(members), nil
}

// members grants membership to one page of users.
func (g *groupSyncer) members(ctx context.Context, s session, id *v2.ResourceId, token pageToken) ([]*v2.Grant, *rs.SyncOpResults, error) {
	what := fmt.Sprintf("listing the members of group %s", id.GetResource())
	page, err := ask(ctx, g.c, what, func(ctx context.Context) (*segmentapi.Page[segmentapi.User], error) {
		return g.c.client.Groups.ListMembers(ctx, id.GetResource(), segmentapi.ListOptions{Cursor: token.Cursor})
	})
	if vanished(err) {
		return nil, nil, s.vanish(ctx, id, err)
	} else if err != nil {
		return nil, nil, err
	}
	ids := make([]string, len(page.Items))
	for i, user := range page.Items {
		ids[i] = user.ID
	}
	rows, err := s.membership(ctx, id, ids)
	if err != nil {
		return nil, nil, err
	}
	if page.Next == "" {
		return rows, results(&pageToken{Phase: phaseInvites}), nil
	}
	next, err := token.follow(what, page.Next)
	if err != nil {
		return nil, nil, err
	}
	return rows, results(&next), nil
}

// invites grants membership to those on one page of pending invites who are
// users by now: Segment lists an invite for a while after it was accepted.
func (g *groupSyncer) invites(ctx context.Context, s session, id *v2.ResourceId, token pageToken) ([]*v2.Grant, *rs.SyncOpResults, error) {
	what := fmt.Sprintf("listing the pending invites of group %s", id.GetResource())
	page, err := ask(ctx, g.c, what, func(ctx context.Context) (*segmentapi.Page[string], error) {
		return g.c.client.Groups.ListInvites(ctx, id.GetResource(), segmentapi.ListOptions{Cursor: token.Cursor})
	})
	if vanished(err) {
		return nil, nil, s.vanish(ctx, id, err)
	} else if err != nil {
		return nil, nil, err
	}
	keys := make([]string, len(page.Items))
	for i, email := range page.Items {
		keys[i] = emailKey(email)
	}
	users, err := sessionGetMany[string](ctx, s, partEmail, keys)
	if err != nil {
		return nil, nil, err
	}
	var ids []string
	pending := 0
	for _, key := range keys {
		if user, ok := users[key]; ok {
			ids = append(ids, user)
		} else {
			pending++
		}
	}
	s.leftOut(ctx, whyPending, "group "+id.GetResource(), pending)
	rows, err := s.membership(ctx, id, ids)
	if err != nil {
		return nil, nil, err
	}
	if page.Next == "" {
		return rows, nil, nil
	}
	next, err := token.follow(what, page.Next)
	if err != nil {
		return nil, nil, err
	}
	return rows, results(&next), nil
}

// membership grants membership to each user once. A user who was not listed
// has no row to grant to.
func (s session) membership(ctx context.Context, id *v2.ResourceId, users []string) ([]*v2.Grant, error) {
	missing, err := s.unlisted(ctx, typeUser, users)
	if err != nil {
		return nil, err
	}
	s.leftOut(ctx, whyUnlisted, "group "+id.GetResource(), len(missing))
	var rows []*v2.Grant
	granted := map[string]bool{}
	for _, user := range users {
		if missing[user] || granted[user] {
			continue
		}
		granted[user] = true
		rows = append(rows, newGrant(typeGroup, id.GetResource(), slugMember, resourceID(typeUser, user)))
	}
	return rows, nil
}

// expandsTo lets a grant to the group reach the users in it.
func expandsTo(group *v2.ResourceId) grant.GrantOption {
	return grant.WithAnnotation(v2.GrantExpandable_builder{
		EntitlementIds:  []string{entitlement.NewEntitlementID(v2.Resource_builder{Id: group}.Build(), slugMember)},
		Shallow:         true,
		ResourceTypeIds: []string{typeUser},
	}.Build())
}

func (g *groupSyncer) detail(ctx context.Context, id string) ([]segmentapi.Permission, error) {
	group, err := g.c.client.Groups.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return group.Permissions, nil
}

func groupResource(g segmentapi.Group) (*v2.Resource, error) {
	return described(rs.NewGroupResource(displayName(g.Name, g.ID), groupType(), g.ID, nil,
		rs.WithResourceProfile(map[string]any{"group_id": g.ID})))
}
