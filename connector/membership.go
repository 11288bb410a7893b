package connector

import (
	"context"
	"errors"
	"fmt"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// Grant puts a user or a pending invite into the group.
func (g *groupSyncer) Grant(ctx context.Context, principal *v2.Resource, ent *v2.Entitlement) ([]*v2.Grant, annotations.Annotations, error) {
	t, err := targetOfEntitlement(ent, typeGroup)
	if err != nil {
		return nil, nil, err
	}
	who, err := principalID(principal, typeUser, typeInvite)
	if err != nil {
		return nil, nil, err
	}
	email, err := g.c.address(ctx, who)
	switch {
	case err != nil:
		return nil, nil, err
	case email == "" && who.GetResourceType() == typeInvite:
		return nil, nil, status.Errorf(codes.FailedPrecondition, "%s is not invited any more: if the person has joined, sync again and grant it to the user", who.GetResource())
	case email == "":
		return nil, nil, departure(who)
	}
	what := fmt.Sprintf("adding %s %s to group %s", who.GetResourceType(), who.GetResource(), t.id)
	added, err := ask(ctx, g.c, what, func(ctx context.Context) ([]string, error) {
		if mistakable := g.c.unmistakable(ctx, t.id, who, email); mistakable != nil {
			return nil, mistakable
		}
		if who.GetResourceType() == typeUser {
			if twin := g.c.alone(ctx, who.GetResource(), email); twin != nil {
				return nil, twin
			}
		}
		return again(ctx, func(ctx context.Context) ([]string, error) { return g.c.client.Groups.AddMembers(ctx, t.id, email) })
	})
	group := resourceID(typeGroup, t.id)
	switch {
	case departed(err, group):
		return nil, nil, departure(group)
	case errors.Is(err, segmentapi.ErrInvalid):
		return nil, nil, hint(err, "the address may not be a user's or an invite's any more: sync again")
	case err != nil:
		return nil, nil, err
	}
	if who.GetResourceType() == typeInvite {
		who = resourceID(typeInvite, email) // As the list of invites has it.
	}
	granted := membership(group, []*v2.ResourceId{who})
	if len(added) == 0 {
		return granted, annotations.New(&v2.GrantAlreadyExists{}), nil
	}
	return granted, nil, nil
}

// Revoke takes a user or a pending invite out of the group.
func (g *groupSyncer) Revoke(ctx context.Context, revoked *v2.Grant) (annotations.Annotations, error) {
	t, err := targetOfEntitlement(revoked.GetEntitlement(), typeGroup)
	if err != nil {
		return nil, err
	}
	who, err := principalID(revoked.GetPrincipal(), typeUser, typeInvite)
	if err != nil {
		return nil, err
	}
	email := who.GetResource()
	if who.GetResourceType() == typeUser {
		if email, err = g.c.address(ctx, who); err != nil {
			return nil, err
		} else if email == "" {
			return annotations.New(&v2.GrantAlreadyRevoked{}), nil
		}
	}
	what := fmt.Sprintf("removing %s %s from group %s", who.GetResourceType(), who.GetResource(), t.id)
	removed, err := ask(ctx, g.c, what, func(ctx context.Context) ([]string, error) {
		if mistakable := g.c.unmistakable(ctx, t.id, who, email); mistakable != nil {
			return nil, mistakable
		}
		return again(ctx, func(ctx context.Context) ([]string, error) { return g.c.client.Groups.RemoveMembers(ctx, t.id, email) })
	})
	if departed(err, resourceID(typeGroup, t.id)) || err == nil && len(removed) == 0 {
		return annotations.New(&v2.GrantAlreadyRevoked{}), nil
	}
	return nil, err
}

// unmistakable makes sure that a user's address is not that of another user in
// the group but for case, since Segment changes memberships by address.
func (c *Connector) unmistakable(ctx context.Context, groupID string, who *v2.ResourceId, email string) error {
	if who.GetResourceType() != typeUser {
		return nil
	}
	for member, err := range c.client.Groups.AllMembers(ctx, groupID) {
		if err != nil {
			return err
		}
		if foldEmail(member.Email) == foldEmail(email) && member.ID != who.GetResource() {
			return fmt.Errorf("user %s, who is in the group, has the same address but for case: %w", member.ID, segmentapi.ErrAmbiguous)
		}
	}
	return nil
}

// alone makes sure that no other user at all has a user's address but for case:
// nobody knows whom Segment would put into a group.
func (c *Connector) alone(ctx context.Context, id, email string) error {
	for user, err := range c.client.Users.All(ctx) {
		if err != nil {
			return err
		}
		if foldEmail(user.Email) == foldEmail(email) && user.ID != id {
			return fmt.Errorf("user %s has the same address but for case: %w", user.ID, segmentapi.ErrAmbiguous)
		}
	}
	return nil
}

// address looks up the e-mail by which Segment's groups know a user or an
// invite, or nothing for one who is not there.
func (c *Connector) address(ctx context.Context, who *v2.ResourceId) (string, error) {
	find := c.userEmail
	if who.GetResourceType() == typeInvite {
		find = c.invitedEmail
	}
	what := fmt.Sprintf("reading %s %s", who.GetResourceType(), who.GetResource())
	return ask(ctx, c, what, func(ctx context.Context) (string, error) { return find(ctx, who.GetResource()) })
}

func (c *Connector) userEmail(ctx context.Context, id string) (string, error) {
	user, err := c.client.Users.Get(ctx, id)
	switch {
	case departed(err, resourceID(typeUser, id)):
		return "", nil
	case err != nil:
		return "", err
	case foldEmail(user.Email) == "":
		return "", fmt.Errorf("the user has no e-mail, by which Segment's groups know their members: %w", segmentapi.ErrAmbiguous)
	}
	return user.Email, nil
}

// invitedEmail prefers the spelling that is asked for.
func (c *Connector) invitedEmail(ctx context.Context, id string) (string, error) {
	found := ""
	for email, err := range c.client.Invites.All(ctx) {
		switch {
		case err != nil, email == id:
			return email, err
		case foldEmail(email) == foldEmail(id):
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
	group, err := ask(ctx, g.c, fmt.Sprintf("creating group %q", r.GetDisplayName()), func(ctx context.Context) (*segmentapi.Group, error) {
		return g.c.patient.Groups.Create(ctx, r.GetDisplayName())
	})
	switch {
	case errors.Is(err, segmentapi.ErrConflict):
		return nil, nil, status.Errorf(codes.AlreadyExists, "%v: nobody could tell two groups of one name apart", err)
	case noGroups(err):
		return nil, nil, withoutGroups(err)
	case errors.Is(err, segmentapi.ErrInvalid):
		return nil, nil, hint(err, "choose another name")
	case err != nil:
		return nil, nil, err
	}
	created, err := groupResource(*group)
	return created, nil, err
}

// noGroups reports that a workspace has no user groups.
func noGroups(err error) bool {
	var e *segmentapi.Error
	return notInPlan(err) && errors.As(err, &e) && e.Operation == "listUserGroups"
}

// withoutGroups is the error of who needs groups in such a workspace.
func withoutGroups(err error) error {
	return status.Errorf(codes.FailedPrecondition, "%v: the workspace's plan may not include user groups, which come with Segment's Business plan", err)
}

// Delete deletes a group. Its members stay in the workspace.
func (g *groupSyncer) Delete(ctx context.Context, id, _ *v2.ResourceId) (annotations.Annotations, error) {
	return g.c.remove(ctx, id, typeGroup, g.c.patient.Groups.Delete)
}

// Delete removes a user from the workspace. The person's Segment account stays.
func (u *userSyncer) Delete(ctx context.Context, id, _ *v2.ResourceId) (annotations.Annotations, error) {
	return u.c.remove(ctx, id, typeUser, u.c.patient.Users.Remove)
}

// Delete withdraws an invite.
func (i *inviteSyncer) Delete(ctx context.Context, id, _ *v2.ResourceId) (annotations.Annotations, error) {
	return i.c.remove(ctx, id, typeInvite, i.c.patient.Invites.Delete)
}

// remove removes what may have gone already.
func (c *Connector) remove(ctx context.Context, id *v2.ResourceId, typeID string, remove func(context.Context, string) (bool, error)) (annotations.Annotations, error) {
	if id.GetResourceType() != typeID || id.GetResource() == "" {
		return nil, status.Errorf(codes.InvalidArgument, "%s %q is not the id of a %s", id.GetResourceType(), id.GetResource(), typeID)
	}
	what := fmt.Sprintf("removing %s %s", typeID, id.GetResource())
	removed, err := ask(ctx, c, what, func(ctx context.Context) (bool, error) { return remove(ctx, id.GetResource()) })
	if err != nil || removed {
		return nil, err
	}
	return annotations.New(&v2.ResourceDoesNotExist{}), nil
}

// Grant finds who is a member already. Nobody becomes one who has not been
// invited.
func (w *workspaceSyncer) Grant(ctx context.Context, principal *v2.Resource, ent *v2.Entitlement) ([]*v2.Grant, annotations.Annotations, error) {
	refusal := status.Error(codes.FailedPrecondition,
		"nobody can be made a member of the workspace without being asked: create an account, which sends an invite, instead")
	who := principal.GetId()
	if who.GetResourceType() != typeUser || who.GetResource() == "" {
		return nil, nil, refusal
	}
	t, err := w.target(ctx, ent)
	if err != nil {
		return nil, nil, err
	}
	_, err = ask(ctx, w.c, "reading user "+who.GetResource(), func(ctx context.Context) (*segmentapi.User, error) {
		return w.c.client.Users.Get(ctx, who.GetResource())
	})
	switch {
	case departed(err, who):
		return nil, nil, refusal
	case err != nil:
		return nil, nil, err
	}
	return []*v2.Grant{newGrant(typeWorkspace, t.id, slugMember, who)}, annotations.New(&v2.GrantAlreadyExists{}), nil
}

// target reads an entitlement of the workspace that the token belongs to: people
// may be in several, with one id.
func (w *workspaceSyncer) target(ctx context.Context, ent *v2.Entitlement) (target, error) {
	t, err := targetOfEntitlement(ent, typeWorkspace)
	if err != nil {
		return target{}, err
	}
	workspace, err := w.c.workspaceID(ctx, session{})
	if err == nil && workspace != t.id {
		err = status.Errorf(codes.FailedPrecondition, "the token is one of workspace %s, not of workspace %s: use the token that the file was synced with, or sync again",
			workspace, t.id)
	}
	return t, err
}

// Revoke removes a user from the workspace.
func (w *workspaceSyncer) Revoke(ctx context.Context, g *v2.Grant) (annotations.Annotations, error) {
	who, err := principalID(g.GetPrincipal(), typeUser)
	if err != nil {
		return nil, err
	}
	if _, err = w.target(ctx, g.GetEntitlement()); err != nil {
		return nil, err
	}
	annos, err := w.c.remove(ctx, who, typeUser, w.c.client.Users.Remove)
	if annos.Contains(&v2.ResourceDoesNotExist{}) {
		return annotations.New(&v2.GrantAlreadyRevoked{}), nil
	}
	return nil, err
}
