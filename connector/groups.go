package connector

import (
	"context"
	"fmt"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/conductorone/baton-sdk/pkg/types/entitlement"
	"github.com/conductorone/baton-sdk/pkg/types/grant"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// groupSyncer serves user groups: who is in them, and what they hold.
type groupSyncer struct{ c *Connector }

var (
	_ connectorbuilder.StaticEntitlementSyncerV2     = (*groupSyncer)(nil)
	_ connectorbuilder.ResourceTargetedSyncerLimited = (*groupSyncer)(nil)
	_ connectorbuilder.ResourceProvisionerV2         = (*groupSyncer)(nil)
	_ connectorbuilder.ResourceManagerV2             = (*groupSyncer)(nil)
)

// The pages of a group's grants after its members, in this order. What it
// holds comes late, because a group that has gone by the time its members are
// asked for holds nothing.
const (
	phaseInvites = "invites"
	phaseHeld    = "held"
)

// ResourceType describes the type.
func (g *groupSyncer) ResourceType(context.Context) *v2.ResourceType { return groupType() }

// List returns one page of groups: one request. Plans below Business have no
// groups.
func (g *groupSyncer) List(ctx context.Context, _ *v2.ResourceId, opts rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
	return listing[segmentapi.Group]{
		what:   "listing groups",
		typeID: typeGroup,
		page: func(ctx context.Context, _ string, o segmentapi.ListOptions) (*segmentapi.Page[segmentapi.Group], error) {
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
func (g *groupSyncer) StaticEntitlements(ctx context.Context, opts rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
	return g.c.session(opts).static(ctx, typeGroup, groupMember(nil))
}

func groupMember(r *v2.Resource) *v2.Entitlement {
	return assignment(r, slugMember, "Member", "Belongs to the group and holds what the group holds.", userType(), inviteType())
}

// Get returns one group: one request.
func (g *groupSyncer) Get(ctx context.Context, id, _ *v2.ResourceId) (*v2.Resource, annotations.Annotations, error) {
	return get(ctx, g.c, id, g.c.patient.Groups.Get, groupResource)
}

// Entitlements makes the group's one detail request.
func (g *groupSyncer) Entitlements(ctx context.Context, r *v2.Resource, opts rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
	return g.c.entitlements(ctx, r.GetId(), opts, g.detail, typeGroup, func(context.Context, session) (*v2.Entitlement, error) {
		return groupMember(r), nil
	})
}

// Grants returns who is in the group and, on further pages, what it holds. A
// page makes at most one request, if the group was there all the time.
func (g *groupSyncer) Grants(ctx context.Context, r *v2.Resource, opts rs.SyncOpAttrs) ([]*v2.Grant, *rs.SyncOpResults, error) {
	token, err := parsePageToken(opts.PageToken.Token, phaseInvites, phaseHeld, phaseUnlisted)
	if err != nil {
		return nil, nil, err
	}
	s := g.c.session(opts)
	if err = s.report(ctx); err != nil {
		return nil, nil, err
	}
	if token.Phase == phaseInvites {
		return g.invites(ctx, s, r.GetId(), token)
	}
	sub, known, err := s.known(ctx, r.GetId())
	holds := token.Phase == phaseHeld || token.Phase == phaseUnlisted
	if err == nil && (sub.Vanished || holds && !known) {
		sub, err = g.c.subject(ctx, s, r.GetId(), g.detail)
	}
	switch {
	case err != nil || sub.Vanished:
		return nil, nil, err
	case holds:
		return s.held(ctx, r.GetId(), sub, token, nil, expandsTo(r.GetId()))
	}
	return g.members(ctx, s, r.GetId(), token)
}

// groupGone ends the grants of a group whose members are not to be found any more.
// What no list foretold of what it holds has entitlements by now, which need
// their resources.
func (s session) groupGone(ctx context.Context, id *v2.ResourceId, cause error) ([]*v2.Grant, *rs.SyncOpResults, error) {
	return nil, results(&pageToken{Phase: phaseUnlisted}), s.vanish(ctx, id, cause)
}

// members grants membership to one page of users. A user who was not listed
// has no row to grant to.
func (g *groupSyncer) members(ctx context.Context, s session, id *v2.ResourceId, token pageToken) ([]*v2.Grant, *rs.SyncOpResults, error) {
	what := fmt.Sprintf("listing the members of group %s", id.GetResource())
	page, err := ask(ctx, g.c, what, func(ctx context.Context) (*segmentapi.Page[segmentapi.User], error) {
		return g.c.client.Groups.ListMembers(ctx, id.GetResource(), segmentapi.ListOptions{Cursor: token.Cursor})
	})
	if vanished(err) {
		return s.groupGone(ctx, id, err)
	} else if err != nil {
		return nil, nil, lost(err, token)
	} else if err = s.answered(ctx, page.Next == ""); err != nil {
		return nil, nil, err
	}
	emails, ids := emailsOf(page.Items)
	users, read, err := s.listed(ctx, typeUser, ids)
	if err == nil && !read { // So that at least the group's own users are known.
		err = s.rememberEmails(ctx, typeUser, emails, ids)
	}
	if err != nil {
		return nil, nil, err
	}
	var members []*v2.ResourceId
	for _, user := range ids {
		if _, ok := users[user]; ok || !read {
			members = append(members, resourceID(typeUser, user))
		}
	}
	s.leftOut(ctx, whyUnlisted, "group "+id.GetResource(), len(ids)-len(members))
	if page.Next != "" {
		next, err := token.follow(what, page.Next)
		return membership(id, members), results(&next), err
	}
	// Nobody can be pending in a group of a workspace without invites.
	if invites, read, err := s.rows(ctx, typeInvite); err != nil {
		return nil, nil, err
	} else if read && invites == 0 {
		return membership(id, members), results(&pageToken{Phase: phaseHeld}), nil
	}
	return membership(id, members), results(&pageToken{Phase: phaseInvites}), nil
}

// invites grants membership to one page of pending invites. One of a person
// who is a user by now counts as that user: Segment lists an invite for a while
// after it was accepted.
func (g *groupSyncer) invites(ctx context.Context, s session, id *v2.ResourceId, token pageToken) ([]*v2.Grant, *rs.SyncOpResults, error) {
	what := fmt.Sprintf("listing the pending invites of group %s", id.GetResource())
	page, err := ask(ctx, g.c, what, func(ctx context.Context) (*segmentapi.Page[string], error) {
		return g.c.client.Groups.ListInvites(ctx, id.GetResource(), segmentapi.ListOptions{Cursor: token.Cursor})
	})
	if vanished(err) {
		return s.groupGone(ctx, id, err)
	} else if err != nil {
		return nil, nil, lost(err, token)
	} else if err = s.answered(ctx, page.Next == ""); err != nil {
		return nil, nil, err
	}
	users, err := s.byEmail(ctx, typeUser, page.Items)
	if err != nil {
		return nil, nil, err
	}
	invites, err := s.byEmail(ctx, typeInvite, page.Items)
	if err != nil {
		return nil, nil, err
	}
	_, read, err := s.rows(ctx, typeInvite)
	if err != nil {
		return nil, nil, err
	}
	var members []*v2.ResourceId
	for _, email := range page.Items {
		switch {
		case users[email] != "":
			members = append(members, resourceID(typeUser, users[email]))
		case invites[email] != "":
			members = append(members, resourceID(typeInvite, invites[email]))
		case !read:
			members = append(members, resourceID(typeInvite, email))
		}
	}
	s.leftOut(ctx, whyUninvited, "group "+id.GetResource(), len(page.Items)-len(members))
	if page.Next != "" {
		next, err := token.follow(what, page.Next)
		return membership(id, members), results(&next), err
	}
	return membership(id, members), results(&pageToken{Phase: phaseHeld}), nil
}

// membership grants membership to each member once.
func membership(group *v2.ResourceId, members []*v2.ResourceId) []*v2.Grant {
	var rows []*v2.Grant
	granted := map[[2]string]bool{}
	for _, member := range members {
		key := [2]string{member.GetResourceType(), member.GetResource()}
		if !granted[key] {
			granted[key] = true
			rows = append(rows, newGrant(typeGroup, group.GetResource(), slugMember, member))
		}
	}
	return rows
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
