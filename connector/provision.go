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
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// editable is the part of a type whose entitlements are roles that users and
// groups can be given and can lose.
type editable struct{ editor *Connector }

// editableTypes are those types. Segment grants nothing on a single warehouse.
func editableTypes() []string {
	return []string{typeRole, typeSource, typeFunction, typeSpace, typeLabel}
}

// Grant gives a user or a group the role that the entitlement stands for.
func (e editable) Grant(ctx context.Context, principal *v2.Resource, ent *v2.Entitlement) ([]*v2.Grant, annotations.Annotations, error) {
	c := e.editor
	t, err := targetOfEntitlement(ent, editableTypes()...)
	if err != nil {
		return nil, nil, err
	}
	who, err := principalID(principal, typeUser, typeGroup)
	if err != nil {
		return nil, nil, err
	}
	added, named, err := c.assignment(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	held := false
	change, err := c.edit(ctx, fmt.Sprintf("granting %s to", ent.GetId()), who, func(now []segmentapi.Assignment) []segmentapi.Assignment {
		if held = slices.ContainsFunc(now, t.shownBy); held || !named {
			return now
		}
		return append(now, added)
	})
	switch {
	case departed(err, who):
		return nil, nil, departure(who)
	case errors.Is(err, segmentapi.ErrInvalid):
		return nil, nil, hint(err, "Segment may not let this role be held on that, or one of them is gone: sync again and choose what is there")
	case err != nil:
		return nil, nil, err
	case !held && change.Empty():
		return nil, nil, status.Errorf(codes.FailedPrecondition,
			"%s stands for labels that are too long to be told from its id, so it can be revoked but not granted: grant the role in Segment", ent.GetId())
	}
	var opts []grant.GrantOption
	if who.GetResourceType() == typeGroup {
		opts = append(opts, expandsTo(who))
	}
	granted := []*v2.Grant{newGrant(t.typeID, t.id, t.slug, who, opts...)}
	if change.Empty() {
		return granted, annotations.New(&v2.GrantAlreadyExists{}), nil
	}
	return granted, nil, nil
}

// Revoke takes from a user or a group everything that the grant stands for in
// a sync, and nothing else.
func (e editable) Revoke(ctx context.Context, g *v2.Grant) (annotations.Annotations, error) {
	c := e.editor
	t, err := targetOfEntitlement(g.GetEntitlement(), editableTypes()...)
	if err == nil {
		err = t.check()
	}
	if err != nil {
		return nil, err
	}
	who, err := principalID(g.GetPrincipal(), typeUser, typeGroup)
	if err != nil {
		return nil, err
	}
	change, err := c.edit(ctx, fmt.Sprintf("revoking %s from", g.GetEntitlement().GetId()), who, segmentapi.RevokeFunc(t.shownBy))
	switch {
	case departed(err, who):
		return annotations.New(&v2.GrantAlreadyRevoked{}), nil
	case err != nil:
		return nil, err
	case !change.Empty():
		return nil, nil
	}
	if who.GetResourceType() == typeUser {
		if err = c.throughGroup(ctx, who, t); err != nil {
			return nil, err
		}
	}
	return annotations.New(&v2.GrantAlreadyRevoked{}), nil
}

// edit edits the permissions of a user or a group.
func (c *Connector) edit(ctx context.Context, what string, who *v2.ResourceId, edit segmentapi.Edit) (segmentapi.Difference, error) {
	do := c.client.Users.Edit
	if who.GetResourceType() == typeGroup {
		do = c.client.Groups.Edit
	}
	what = fmt.Sprintf("%s %s %s", what, who.GetResourceType(), who.GetResource())
	return ask(ctx, c, what, func(ctx context.Context) (segmentapi.Difference, error) {
		return again(ctx, func(ctx context.Context) (segmentapi.Difference, error) { return do(ctx, who.GetResource(), edit) })
	})
}

// again makes a change once more that Segment refuses because something is not
// there: who or what is changed may have gone since it was read, which reading
// it first will tell.
func again[T any](ctx context.Context, change func(context.Context) (T, error)) (T, error) {
	out, err := change(ctx)
	var e *segmentapi.Error
	if errors.As(err, &e) && fromSegment(e) && errors.Is(e, segmentapi.ErrNotFound) && e.Method != http.MethodGet {
		return change(ctx)
	}
	return out, err
}

// assignment is what a target is written as, or false for labels that its id
// does not tell.
func (c *Connector) assignment(ctx context.Context, t target) (segmentapi.Assignment, bool, error) {
	a := segmentapi.Assignment{RoleID: t.roleID, Scope: segmentapi.Scope{ID: t.id}}
	for _, row := range scopeTypes {
		if row.typeID == t.typeID {
			a.Scope.Type = row.scope
		}
	}
	if t.typeID == typeLabel {
		var ok bool
		if a.Scope.Labels, ok = parseLabelID(t.id); !ok {
			return a, false, t.check()
		}
	}
	var err error
	if a.Scope.Type == segmentapi.ScopeWorkspace {
		a.Scope.ID, err = c.workspaceID(ctx, session{})
	}
	return a, true, err
}

// check refuses what is the id of no set of labels, and so never shown.
func (t target) check() error {
	if t.typeID != typeLabel || strings.HasPrefix(t.id, labelSumPrefix) {
		return nil
	}
	if _, ok := parseLabelID(t.id); !ok {
		return status.Errorf(codes.InvalidArgument, "%q is not the id of a label or of a set of labels", t.id)
	}
	return nil
}

// shownBy reports whether an assignment is shown as a grant on this target.
func (t target) shownBy(a segmentapi.Assignment) bool {
	shown, ok := targetOf(segmentapi.Permission{RoleID: a.RoleID}, a.Scope)
	return ok && shown.typeID == t.typeID && shown.slug == t.slug && slices.Contains(forms(t.typeID, shown.id), t.id)
}

// throughGroup refuses to call something revoked that a user still has through
// a group.
func (c *Connector) throughGroup(ctx context.Context, user *v2.ResourceId, t target) error {
	what := fmt.Sprintf("reading the groups of user %s", user.GetResource())
	groups, err := ask(ctx, c, what, func(ctx context.Context) ([]string, error) {
		var names []string
		asked := map[string]bool{} // A list that changes while it is read has some twice.
		for group, err := range c.client.Users.AllGroups(ctx, user.GetResource()) {
			switch {
			case notInPlan(err): // No groups, or the user has gone by now.
				return names, nil
			case err != nil:
				return nil, err
			case asked[group.ID]:
				continue
			}
			asked[group.ID] = true
			detail, err := c.client.Groups.Get(ctx, group.ID)
			if err != nil && !departed(err, resourceID(typeGroup, group.ID)) {
				return nil, err
			}
			if err == nil && slices.ContainsFunc(segmentapi.Assignments(detail.Permissions), t.shownBy) {
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
		user.GetResource(), t, plural, strings.Join(groups, " and "))
}

// departed reports that Segment says, when asked for a user or a group, that it
// is not there. A write that ends so says less: what is not found may be a role
// or a resource that it names.
func departed(err error, who *v2.ResourceId) bool {
	var e *segmentapi.Error
	if !errors.As(err, &e) || !fromSegment(e) || !errors.Is(e, segmentapi.ErrNotFound) || e.Method != http.MethodGet {
		return false
	}
	path := fmt.Sprintf("/%ss/%s/", who.GetResourceType(), who.GetResource())
	return strings.HasPrefix(e.Path+"/", path)
}

// departure is the error of a grant to who is not there any more.
func departure(who *v2.ResourceId) error {
	return status.Errorf(codes.NotFound, "Segment has no %s %s any more: sync again", who.GetResourceType(), who.GetResource())
}
