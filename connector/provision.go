package connector

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/types/grant"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// roleGrants is the part of a type whose entitlements are roles that can be
// granted to users and groups, and revoked.
type roleGrants struct{ c *Connector }

// Grant gives a user or a group the role that the entitlement stands for.
func (r roleGrants) Grant(ctx context.Context, principal *v2.Resource, ent *v2.Entitlement) ([]*v2.Grant, annotations.Annotations, error) {
	c := r.c
	e, err := readEntitlement(ent, grantableTypes()...)
	if err != nil {
		return nil, nil, err
	}
	t := e.target()
	holder, err := principalID(principal, typeUser, typeGroup)
	if err != nil {
		return nil, nil, err
	}
	ctx, workspace, err := c.beginChange(ctx, c.client, principal, ent.GetResource())
	if err != nil {
		return nil, nil, err
	}
	added, named, err := assignmentOf(workspace, t)
	if err != nil {
		return nil, nil, err
	}
	held := false
	change, err := c.edit(ctx, fmt.Sprintf("granting %s to", ent.GetId()), holder, func(now []segmentapi.Assignment) []segmentapi.Assignment {
		if held = slices.ContainsFunc(now, shownBy(t)); held || !named {
			return now
		}
		return append(now, added)
	})
	switch {
	case reportedGone(err, holder):
		return nil, nil, errNoLonger(holder)
	case errors.Is(err, segmentapi.ErrInvalid):
		return nil, nil, hint(err, "Segment may not allow this role there, or one of the two no longer exists: sync again and use ids from the new file")
	case err != nil:
		return nil, nil, err
	case !held && change.Empty():
		return nil, nil, status.Errorf(codes.FailedPrecondition,
			"%s stands for labels that are too long to be told from its id, so it can be revoked but not granted: grant the role in Segment", ent.GetId())
	}
	var opts []grant.GrantOption
	if holder.GetResourceType() == typeGroup {
		opts = append(opts, expandsTo(holder))
	}
	granted := []*v2.Grant{newGrant(e.typeID, e.id, e.slug, holder, opts...)}
	if change.Empty() {
		logUnchanged(ctx, "grant", holder, fmt.Sprintf("the %s already holds it", holder.GetResourceType()), zap.Stringer("entitlement", e))
		return granted, annotations.New(&v2.GrantAlreadyExists{}), nil
	}
	return granted, nil, nil
}

// Revoke takes from a user or a group every assignment that a sync shows as this
// grant, and nothing else.
func (r roleGrants) Revoke(ctx context.Context, g *v2.Grant) (annotations.Annotations, error) {
	c := r.c
	e, err := readEntitlement(g.GetEntitlement(), grantableTypes()...)
	t := e.target()
	if err == nil {
		err = checkTarget(t)
	}
	if err != nil {
		return nil, err
	}
	holder, err := principalID(g.GetPrincipal(), typeUser, typeGroup)
	if err != nil {
		return nil, err
	}
	ctx, workspace, err := c.beginChange(ctx, c.client, g.GetPrincipal(), g.GetEntitlement().GetResource())
	if err != nil {
		return nil, err
	}
	change, err := c.edit(ctx, fmt.Sprintf("revoking %s from", g.GetEntitlement().GetId()), holder, segmentapi.RevokeFunc(shownBy(t)))
	switch {
	case reportedGone(err, holder):
		logUnchanged(ctx, "revoke", holder, noSuch(workspace, holder), zap.Stringer("entitlement", e))
		return annotations.New(&v2.GrantAlreadyRevoked{}), nil
	case err != nil:
		return nil, err
	case !change.Empty():
		return nil, nil
	}
	if holder.GetResourceType() == typeUser {
		if err = c.checkNotThroughGroup(ctx, holder, t); err != nil {
			return nil, err
		}
	}
	logUnchanged(ctx, "revoke", holder, fmt.Sprintf("the %s does not hold it", holder.GetResourceType()), zap.Stringer("entitlement", e))
	return annotations.New(&v2.GrantAlreadyRevoked{}), nil
}

// edit edits the permissions of a user or a group.
func (c *Connector) edit(ctx context.Context, what string, holder *v2.ResourceId, edit segmentapi.Edit) (segmentapi.Difference, error) {
	do := c.client.Users.Edit
	if holder.GetResourceType() == typeGroup {
		do = c.client.Groups.Edit
	}
	what = fmt.Sprintf("%s %s %s", what, holder.GetResourceType(), holder.GetResource())
	return ask(ctx, c, what, func(ctx context.Context) (segmentapi.Difference, error) {
		return retryNotFound(ctx, func(ctx context.Context) (segmentapi.Difference, error) { return do(ctx, holder.GetResource(), edit) })
	})
}

// retryNotFound makes a change once more if Segment does not find something that
// it names: the user or group may have gone since it was read, and the second try
// reads it first.
func retryNotFound[T any](ctx context.Context, change func(context.Context) (T, error)) (T, error) {
	out, err := change(ctx)
	var e *segmentapi.Error
	if errors.As(err, &e) && segmentapi.FromSegment(e) && errors.Is(e, segmentapi.ErrNotFound) && e.Method != http.MethodGet {
		return change(ctx)
	}
	return out, err
}

// assignmentOf returns the assignment that gives a role on a target, or false if
// the target's labels are not known from its id.
func assignmentOf(workspace string, t access.Target) (segmentapi.Assignment, bool, error) {
	scope, _ := access.ScopeOf(t.Type)
	a := segmentapi.Assignment{RoleID: t.RoleID, Scope: segmentapi.Scope{Type: scope, ID: t.ID}}
	if t.Type == access.TypeLabel {
		var ok bool
		if a.Scope.Labels, ok = access.ParseLabelID(t.ID); !ok {
			return a, false, checkTarget(t)
		}
	}
	if scope == segmentapi.ScopeWorkspace {
		a.Scope.ID = workspace
	}
	return a, true, nil
}

// checkTarget refuses the id of a set of labels that no sync can show.
func checkTarget(t access.Target) error {
	if t.Type != access.TypeLabel || access.IsLabelSum(t.ID) {
		return nil
	}
	if _, ok := access.ParseLabelID(t.ID); !ok {
		return status.Errorf(codes.InvalidArgument, "%q is not the id of a label or of a set of labels", t.ID)
	}
	return nil
}

// shownBy returns a function that reports whether an assignment is shown as a
// grant on this target.
func shownBy(t access.Target) func(segmentapi.Assignment) bool {
	return func(a segmentapi.Assignment) bool {
		shown, ok := access.TargetOf(segmentapi.Permission{RoleID: a.RoleID}, a.Scope)
		return ok && shown.Type == t.Type && shown.RoleID == t.RoleID && slices.Contains(access.IDForms(t.Type, shown.ID), t.ID)
	}
}

// checkNotThroughGroup refuses to call a role revoked that a user still holds
// through a group.
func (c *Connector) checkNotThroughGroup(ctx context.Context, user *v2.ResourceId, t access.Target) error {
	what := fmt.Sprintf("reading the groups of user %s", user.GetResource())
	groups, err := ask(ctx, c, what, func(ctx context.Context) ([]string, error) {
		var names []string
		asked := map[string]bool{} // A list that changes while it is read has some twice.
		for group, err := range c.client.Users.AllGroups(ctx, user.GetResource()) {
			switch {
			case segmentapi.LacksFeature(err): // No groups, or the user has gone by now.
				return names, nil
			case err != nil:
				return nil, err
			case asked[group.ID]:
				continue
			}
			asked[group.ID] = true
			detail, err := c.client.Groups.Get(ctx, group.ID)
			if err != nil && !reportedGone(err, resourceID(typeGroup, group.ID)) {
				return nil, err
			}
			if err == nil && slices.ContainsFunc(segmentapi.Assignments(detail.Permissions), shownBy(t)) {
				names = append(names, fmt.Sprintf("%q (%s)", displayName(detail.Name, detail.ID), detail.ID))
			}
		}
		return names, nil
	})
	if len(groups) == 0 || err != nil {
		return err
	}
	plural := ""
	if len(groups) > 1 {
		plural = "s"
	}
	return status.Errorf(codes.FailedPrecondition, "user %s holds %s not directly but through the group%s %s: take the user out of the group%[3]s, or revoke it from the group%[3]s",
		user.GetResource(), entitlementID{t.Type, t.ID, slugOf(t)}, plural, strings.Join(groups, " and "))
}

// reportedGone reports that Segment says, when asked for a user or a group, that it
// is not there. A write that ends so says less: what is not found may be a role
// or a resource that it names.
func reportedGone(err error, holder *v2.ResourceId) bool {
	var e *segmentapi.Error
	if !errors.As(err, &e) || !segmentapi.FromSegment(e) || !errors.Is(e, segmentapi.ErrNotFound) || e.Method != http.MethodGet {
		return false
	}
	path := fmt.Sprintf("/%ss/%s/", holder.GetResourceType(), holder.GetResource())
	return strings.HasPrefix(e.Path+"/", path)
}

// errNoLonger is the error of a grant to a user, an invite or a group that has
// gone.
func errNoLonger(holder *v2.ResourceId) error {
	return status.Errorf(codes.NotFound, "Segment no longer has %s %s: sync again", holder.GetResourceType(), holder.GetResource())
}

// deleteByID deletes a user, an invite or a group. One that has gone already is a
// success with ResourceDoesNotExist. The workspace cannot be compared, because a caller
// passes nothing but the id.
func (c *Connector) deleteByID(ctx context.Context, id *v2.ResourceId, typeID string, remove removeFunc) (annotations.Annotations, error) {
	if err := checkRemovable(id, typeID); err != nil {
		return nil, err
	}
	ctx, workspace, err := c.beginChange(ctx, c.patient)
	if err != nil {
		return nil, err
	}
	removed, err := c.remove(ctx, "delete", workspace, id, remove)
	if err != nil || removed {
		return nil, err
	}
	return annotations.New(&v2.ResourceDoesNotExist{}), nil
}

// A removeFunc removes a user, an invite or a group, and reports whether there was
// one.
type removeFunc func(ctx context.Context, id string) (bool, error)

// remove removes a user, an invite or a group, and reports whether there was one.
func (c *Connector) remove(ctx context.Context, operation, workspace string, id *v2.ResourceId, remove removeFunc) (bool, error) {
	what := fmt.Sprintf("removing %s %s", id.GetResourceType(), id.GetResource())
	removed, err := ask(ctx, c, what, func(ctx context.Context) (bool, error) { return remove(ctx, id.GetResource()) })
	if err == nil && !removed {
		logUnchanged(ctx, operation, id, noSuch(workspace, id))
	}
	return removed, err
}

// checkRemovable refuses an id that is not one of the type. An unknown id counts as
// removed already, so a mistake would go unnoticed.
func checkRemovable(id *v2.ResourceId, typeID string) error {
	given := id.GetResource()
	switch {
	case id.GetResourceType() != typeID || given == "":
		return status.Errorf(codes.InvalidArgument, "%s %q is not the id of a %s", id.GetResourceType(), given, typeID)
	case strings.HasPrefix(given, "bid:r:"):
		return status.Errorf(codes.InvalidArgument, "%q is not a Segment id: use the part after the last slash", given)
	case typeID == typeInvite && !strings.Contains(given, "@"):
		return status.Errorf(codes.InvalidArgument, "%q is not the id of an invite, which is the e-mail: to remove a user, use the id with the resource type user", given)
	case typeID == typeUser && strings.Contains(given, "@"):
		return status.Errorf(codes.InvalidArgument,
			"%q is an e-mail and not the id of a user: to remove a user, use the id of the user's row; to withdraw an invite, use the e-mail with the resource type invite", given)
	case typeID == typeGroup && strings.Contains(given, "@"):
		return status.Errorf(codes.InvalidArgument, "%q is an e-mail and not the id of a group: use the id of the group's row", given)
	}
	return nil
}
