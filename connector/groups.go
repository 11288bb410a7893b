package connector

import (
	"context"
	"errors"
	"fmt"
	"strings"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/conductorone/baton-sdk/pkg/types/entitlement"
	"github.com/conductorone/baton-sdk/pkg/types/grant"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// groupSyncer serves user groups: their members, and what they hold.
type groupSyncer struct{ typed }

func newGroupSyncer(c *Connector, k *kind) connectorbuilder.ResourceSyncerV2 {
	return &groupSyncer{typed{c: c, kind: k}}
}

var (
	_ connectorbuilder.StaticEntitlementSyncerV2     = (*groupSyncer)(nil)
	_ connectorbuilder.ResourceTargetedSyncerLimited = (*groupSyncer)(nil)
	_ connectorbuilder.ResourceProvisionerV2         = (*groupSyncer)(nil)
	_ connectorbuilder.ResourceManagerV2             = (*groupSyncer)(nil)
)

// The pages of a group's grants after its members, in this order. The roles that it
// holds come last, because a group that has gone by the time its members are asked
// for must be granted nothing.
const (
	phaseInvites = "invites"
	phaseHeld    = "held"
)

// List returns one page of groups: one request. Plans below Business have no
// groups.
func (g *groupSyncer) List(ctx context.Context, _ *v2.ResourceId, opts rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
	return listing[segmentapi.Group]{
		kind: g.kind,
		page: func(ctx context.Context, _ string, o segmentapi.ListOptions) (*segmentapi.Page[segmentapi.Group], error) {
			return asking(g.c, whatLists(typeGroup), g.c.client.Groups.List)(ctx, o)
		},
		resource: groupResource,
		keep: func(ctx context.Context, s syncstate.Sync, groups []segmentapi.Group) error {
			return keepListed(ctx, g.c, s, g.kind, groups, func(group segmentapi.Group) (string, []segmentapi.Permission) {
				return group.ID, group.Permissions
			})
		},
	}.read(ctx, g.c, opts)
}

// Get returns one group: one request.
func (g *groupSyncer) Get(ctx context.Context, id, _ *v2.ResourceId) (*v2.Resource, annotations.Annotations, error) {
	return get(ctx, g.c, id, g.c.patient.Groups.Get, groupResource)
}

// Entitlements makes the group's one detail request.
func (g *groupSyncer) Entitlements(ctx context.Context, r *v2.Resource, opts rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
	return g.c.entitlements(ctx, r.GetId(), opts, subjectReader{
		detail:     g.c.groupDetail,
		memberOf:   typeGroup,
		membership: func(string) *v2.Entitlement { return g.kind.only.of(r) },
	})
}

// Grants returns the members of the group and, on further pages, the roles that it
// holds. A page makes at most one request, and a second one if Segment answers that
// it does not find the group.
func (g *groupSyncer) Grants(ctx context.Context, r *v2.Resource, opts rs.SyncOpAttrs) ([]*v2.Grant, *rs.SyncOpResults, error) {
	token, err := parsePageToken(opts.PageToken.Token, phaseInvites, phaseHeld, phaseUnlisted)
	if err != nil {
		return nil, nil, err
	}
	s, workspace, err := g.c.openSync(ctx, opts)
	if err != nil {
		return nil, nil, err
	}
	if err = report(ctx, s); err != nil {
		return nil, nil, err
	}
	switch token.Phase {
	case phaseInvites:
		return g.invites(ctx, s, r.GetId(), token)
	case phaseHeld, phaseUnlisted:
		sub, subErr := g.c.subject(ctx, s, r.GetId(), g.c.groupDetail)
		if subErr != nil || sub.gone() && token.Phase == phaseHeld {
			return nil, nil, subErr
		}
		return g.c.subjectGrants(ctx, s, r.GetId(), workspace, sub, nil, token)
	}
	sub, _, err := knownSubject(ctx, s, r.GetId())
	switch {
	case err != nil:
		return nil, nil, err
	case sub.gone() && len(sub.Permissions) == 0:
		return nil, nil, countGone(ctx, s, r.GetId(), sub)
	case sub.gone():
		return nil, results(&pageToken{Phase: phaseUnlisted}), countGone(ctx, s, r.GetId(), sub)
	}
	return g.members(ctx, s, r.GetId(), token)
}

// groupGone ends the grants of a group that has gone since its entitlements were
// read. The entitlements on resources that no list returned are in the file by
// now, and need their resources.
func groupGone(ctx context.Context, s syncstate.Sync, id *v2.ResourceId, missing error) ([]*v2.Grant, *rs.SyncOpResults, error) {
	known, _, err := knownSubject(ctx, s, id)
	if err != nil {
		return nil, nil, err
	}
	_, err = vanish(ctx, s, id, known, missing)
	return nil, results(&pageToken{Phase: phaseUnlisted}), err
}

// members grants membership to one page of users. It leaves out a user who was not
// listed, because there is no row to grant to.
func (g *groupSyncer) members(ctx context.Context, s syncstate.Sync, id *v2.ResourceId, token pageToken) ([]*v2.Grant, *rs.SyncOpResults, error) {
	what := fmt.Sprintf("listing the members of group %s", id.GetResource())
	page, missing, err := askTwice(ctx, g.c, what, func(ctx context.Context) (*segmentapi.Page[segmentapi.User], error) {
		return g.c.client.Groups.ListMembers(ctx, id.GetResource(), segmentapi.ListOptions{Cursor: token.Cursor})
	})
	if err != nil {
		return nil, nil, explainCursor(err, token)
	} else if missing != nil {
		return groupGone(ctx, s, id, missing)
	}
	g.c.progress.answered(ctx, s.ID(), typeGroup, page.Next == "")
	ids, rows := make([]string, len(page.Items)), make([]syncstate.Row, len(page.Items))
	for i, user := range page.Items {
		ids[i], rows[i] = user.ID, syncstate.Row{ID: user.ID, Email: user.Email}
	}
	users, err := s.Names(ctx, typeUser, ids)
	if err != nil {
		return nil, nil, err
	}
	marks, err := s.Marks(ctx, syncstate.Ended(typeUser), syncstate.Ended(typeInvite))
	if err != nil {
		return nil, nil, err
	}
	_, usersRead := marks[syncstate.Ended(typeUser)]
	if !usersRead { // At least the group's own users are known then.
		if err = s.AddEmails(ctx, typeUser, rows); err != nil {
			return nil, nil, err
		}
	}
	var members []*v2.ResourceId
	for _, user := range ids {
		if _, ok := users[user]; ok || !usersRead {
			members = append(members, resourceID(typeUser, user))
		}
	}
	logLeftOut(ctx, s, whyUnlisted, "group "+id.GetResource(), len(ids)-len(members))
	if page.Next != "" {
		next, err := token.follow(what, page.Next, len(page.Items))
		return membership(id, members), results(&next), err
	}
	// Nobody can be pending in a group of a workspace without invites.
	if invites, read := marks[syncstate.Ended(typeInvite)]; read && invites == 0 {
		return membership(id, members), results(&pageToken{Phase: phaseHeld}), nil
	}
	return membership(id, members), results(&pageToken{Phase: phaseInvites}), nil
}

// invites grants membership to one page of pending invites. If the person has
// become a user, the grant goes to the user: Segment lists an invite for a while
// after it was accepted.
func (g *groupSyncer) invites(ctx context.Context, s syncstate.Sync, id *v2.ResourceId, token pageToken) ([]*v2.Grant, *rs.SyncOpResults, error) {
	what := fmt.Sprintf("listing the pending invites of group %s", id.GetResource())
	page, missing, err := askTwice(ctx, g.c, what, func(ctx context.Context) (*segmentapi.Page[string], error) {
		return g.c.client.Groups.ListInvites(ctx, id.GetResource(), segmentapi.ListOptions{Cursor: token.Cursor})
	})
	if err != nil {
		return nil, nil, explainCursor(err, token)
	} else if missing != nil {
		return groupGone(ctx, s, id, missing)
	}
	g.c.progress.answered(ctx, s.ID(), typeGroup, page.Next == "")
	users, err := s.IDsByEmail(ctx, typeUser, page.Items)
	if err != nil {
		return nil, nil, err
	}
	invites, err := s.IDsByEmail(ctx, typeInvite, page.Items)
	if err != nil {
		return nil, nil, err
	}
	_, invitesRead, err := s.Marked(ctx, syncstate.Ended(typeInvite))
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
		case !invitesRead:
			members = append(members, resourceID(typeInvite, email))
		}
	}
	logLeftOut(ctx, s, whyUninvited, "group "+id.GetResource(), len(page.Items)-len(members))
	if page.Next != "" {
		next, err := token.follow(what, page.Next, len(page.Items))
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

func (c *Connector) groupDetail(ctx context.Context, id string) ([]segmentapi.Permission, error) {
	group, err := c.client.Groups.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return group.Permissions, nil
}

// Grant puts a user or a pending invite into the group.
func (g *groupSyncer) Grant(ctx context.Context, principal *v2.Resource, ent *v2.Entitlement) ([]*v2.Grant, annotations.Annotations, error) {
	e, err := readEntitlement(ent, typeGroup)
	if err != nil {
		return nil, nil, err
	}
	holder, err := principalID(principal, typeUser, typeInvite)
	if err != nil {
		return nil, nil, err
	}
	ctx, _, err = g.c.beginChange(ctx, g.c.client, principal, ent.GetResource())
	if err != nil {
		return nil, nil, err
	}
	email, err := g.c.address(ctx, holder)
	switch {
	case err != nil:
		return nil, nil, err
	case email == "" && holder.GetResourceType() == typeInvite:
		return nil, nil, status.Errorf(codes.FailedPrecondition, "%s is no longer invited: if the person has joined, sync again and grant it to the user", holder.GetResource())
	case email == "":
		return nil, nil, errNoLonger(holder)
	}
	what := fmt.Sprintf("adding %s %s to group %s", holder.GetResourceType(), holder.GetResource(), e.id)
	added, err := ask(ctx, g.c, what, func(ctx context.Context) ([]string, error) {
		if ambiguous := g.c.checkUniqueInGroup(ctx, e.id, holder, email); ambiguous != nil {
			return nil, ambiguous
		}
		if holder.GetResourceType() == typeUser {
			if ambiguous := g.c.checkUniqueInWorkspace(ctx, holder.GetResource(), email); ambiguous != nil {
				return nil, ambiguous
			}
		}
		return retryNotFound(ctx, func(ctx context.Context) ([]string, error) { return g.c.client.Groups.AddMembers(ctx, e.id, email) })
	})
	group := resourceID(typeGroup, e.id)
	switch {
	case reportedGone(err, group):
		return nil, nil, errNoLonger(group)
	case errors.Is(err, segmentapi.ErrInvalid):
		return nil, nil, hint(err, "the address may no longer belong to a user or an invite: sync again")
	case err != nil:
		return nil, nil, err
	}
	if holder.GetResourceType() == typeInvite {
		holder = resourceID(typeInvite, email) // As the list of invites has it.
	}
	granted := membership(group, []*v2.ResourceId{holder})
	if len(added) == 0 {
		logUnchanged(ctx, "grant", holder, fmt.Sprintf("the %s is already in the group", holder.GetResourceType()), zap.Stringer("entitlement", e))
		return granted, annotations.New(&v2.GrantAlreadyExists{}), nil
	}
	return granted, nil, nil
}

// Revoke takes a user or a pending invite out of the group.
func (g *groupSyncer) Revoke(ctx context.Context, revoked *v2.Grant) (annotations.Annotations, error) {
	e, err := readEntitlement(revoked.GetEntitlement(), typeGroup)
	if err != nil {
		return nil, err
	}
	holder, err := principalID(revoked.GetPrincipal(), typeUser, typeInvite)
	if err != nil {
		return nil, err
	}
	ctx, workspace, err := g.c.beginChange(ctx, g.c.client, revoked.GetPrincipal(), revoked.GetEntitlement().GetResource())
	if err != nil {
		return nil, err
	}
	email := holder.GetResource()
	if holder.GetResourceType() == typeUser {
		if email, err = g.c.address(ctx, holder); err != nil {
			return nil, err
		} else if email == "" {
			logUnchanged(ctx, "revoke", holder, noSuch(workspace, holder), zap.Stringer("entitlement", e))
			return annotations.New(&v2.GrantAlreadyRevoked{}), nil
		}
	}
	what := fmt.Sprintf("removing %s %s from group %s", holder.GetResourceType(), holder.GetResource(), e.id)
	removed, err := ask(ctx, g.c, what, func(ctx context.Context) ([]string, error) {
		if ambiguous := g.c.checkUniqueInGroup(ctx, e.id, holder, email); ambiguous != nil {
			return nil, ambiguous
		}
		return retryNotFound(ctx, func(ctx context.Context) ([]string, error) { return g.c.client.Groups.RemoveMembers(ctx, e.id, email) })
	})
	why := fmt.Sprintf("the %s is not in the group", holder.GetResourceType())
	switch group := resourceID(typeGroup, e.id); {
	case reportedGone(err, group):
		why = noSuch(workspace, group)
	case err != nil || len(removed) > 0:
		return nil, err
	}
	logUnchanged(ctx, "revoke", holder, why, zap.Stringer("entitlement", e))
	return annotations.New(&v2.GrantAlreadyRevoked{}), nil
}

// checkUniqueInGroup refuses a user whose address differs only in case from that
// of another user in the group, since Segment changes memberships by address.
func (c *Connector) checkUniqueInGroup(ctx context.Context, groupID string, holder *v2.ResourceId, email string) error {
	if holder.GetResourceType() != typeUser {
		return nil
	}
	for member, err := range c.client.Groups.AllMembers(ctx, groupID) {
		if err != nil {
			return err
		}
		if segmentapi.FoldEmail(member.Email) == segmentapi.FoldEmail(email) && member.ID != holder.GetResource() {
			return fmt.Errorf("user %s, who is in the group, has the same address but for case: %w", member.ID, segmentapi.ErrAmbiguous)
		}
	}
	return nil
}

// checkUniqueInWorkspace refuses a user whose address differs only in case from
// that of another user: it is not known which of them Segment would put into a
// group.
func (c *Connector) checkUniqueInWorkspace(ctx context.Context, id, email string) error {
	for user, err := range c.client.Users.All(ctx) {
		if err != nil {
			return err
		}
		if segmentapi.FoldEmail(user.Email) == segmentapi.FoldEmail(email) && user.ID != id {
			return fmt.Errorf("user %s has the same address but for case: %w", user.ID, segmentapi.ErrAmbiguous)
		}
	}
	return nil
}

// address returns the e-mail by which Segment's groups know a user or an invite,
// or nothing if there is no such user or invite.
func (c *Connector) address(ctx context.Context, holder *v2.ResourceId) (string, error) {
	find := c.userEmail
	if holder.GetResourceType() == typeInvite {
		find = c.invitedEmail
	}
	what := fmt.Sprintf("reading %s %s", holder.GetResourceType(), holder.GetResource())
	return ask(ctx, c, what, func(ctx context.Context) (string, error) { return find(ctx, holder.GetResource()) })
}

func (c *Connector) userEmail(ctx context.Context, id string) (string, error) {
	user, err := c.client.Users.Get(ctx, id)
	switch {
	case reportedGone(err, resourceID(typeUser, id)):
		return "", nil
	case err != nil:
		return "", err
	case strings.TrimSpace(user.Email) == "":
		return "", fmt.Errorf("the user has no e-mail, by which Segment's groups know their members: %w", segmentapi.ErrAmbiguous)
	}
	return user.Email, nil
}

// invitedEmail returns the address of an invite as Segment writes it, preferring
// the spelling that is asked for.
func (c *Connector) invitedEmail(ctx context.Context, id string) (string, error) {
	found := ""
	for email, err := range c.client.Invites.All(ctx) {
		switch {
		case err != nil, email == id:
			return email, err
		case segmentapi.FoldEmail(email) == segmentapi.FoldEmail(id):
			found = email
		}
	}
	return found, nil
}

// Create makes a group with the display name of r.
func (g *groupSyncer) Create(ctx context.Context, r *v2.Resource) (*v2.Resource, annotations.Annotations, error) {
	if r.GetDisplayName() == "" {
		return nil, nil, status.Error(codes.InvalidArgument, "a group needs a display name, which becomes its name in Segment")
	}
	ctx, workspace, err := g.c.beginChange(ctx, g.c.patient, r)
	if err != nil {
		return nil, nil, err
	}
	group, err := ask(ctx, g.c, fmt.Sprintf("creating group %q", r.GetDisplayName()), func(ctx context.Context) (*segmentapi.Group, error) {
		return g.c.patient.Groups.Create(ctx, r.GetDisplayName())
	})
	switch {
	case errors.Is(err, segmentapi.ErrConflict):
		return nil, nil, status.Errorf(codes.AlreadyExists, "%v: two groups with the same name could not be told apart", err)
	case noGroups(err):
		return nil, nil, withoutGroups(err)
	case errors.Is(err, segmentapi.ErrInvalid):
		return nil, nil, hint(err, "choose another name")
	case err != nil:
		return nil, nil, err
	}
	created, err := groupResource(workspace, *group)
	return created, nil, err
}

// noGroups reports that a workspace has no user groups.
func noGroups(err error) bool {
	var e *segmentapi.Error
	return segmentapi.LacksFeature(err) && errors.As(err, &e) && e.Operation == "listUserGroups"
}

// withoutGroups is the error of an operation that needs groups in such a
// workspace.
func withoutGroups(err error) error {
	return status.Errorf(codes.FailedPrecondition, "%v: the workspace's plan may not include user groups, which come with Segment's Business plan", err)
}

// Delete deletes a group. Its members stay in the workspace.
func (g *groupSyncer) Delete(ctx context.Context, id, _ *v2.ResourceId) (annotations.Annotations, error) {
	return g.c.deleteByID(ctx, id, typeGroup, g.c.patient.Groups.Delete)
}

func groupResource(workspace string, g segmentapi.Group) (*v2.Resource, error) {
	return checked(rs.NewGroupResource(displayName(g.Name, g.ID), groupType.message(), g.ID, nil,
		rs.WithResourceProfile(map[string]any{"group_id": g.ID, fieldWorkspace: workspace})))
}
