package connector

import (
	"context"
	"fmt"
	"strings"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/types/entitlement"
	"github.com/conductorone/baton-sdk/pkg/types/grant"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// Users and groups are Segment's subjects: both hold permissions, which only
// the request for a single one returns.

// phaseUnlisted is the page of grants on resources that no list returned.
const phaseUnlisted = "unlisted"

// A detail reads the permissions of one subject.
type detail func(ctx context.Context, id string) ([]segmentapi.Permission, error)

// remember keeps what subjects hold, by subjectKey.
func (s session) remember(ctx context.Context, subjects map[string]subject) error {
	unknown := map[string]int{}
	for key, sub := range subjects {
		_, kinds := targetsOf(sub.Permissions)
		for kind, n := range kinds {
			unknown[unknownKey(kind, key)] = n
		}
	}
	if err := s.noteUnknown(ctx, unknown); err != nil {
		return err
	}
	_, err := sessionSet(ctx, s, partSubject, subjects)
	return err
}

// rememberListed keeps the permissions in the rows of a list, which saves the
// detail requests. Segment is not known to send any. None at all may as well
// mean that the list does not say, and to ask is safer than to hide access.
func rememberListed[T any](ctx context.Context, s session, typeID string, rows []T, of func(T) (string, []segmentapi.Permission)) error {
	reading, err := s.reading(ctx, typeID)
	if err != nil {
		return err
	}
	known := map[string]subject{}
	for _, row := range rows {
		if id, permissions := of(row); len(permissions) > 0 {
			known[subjectKey(typeID, id)] = subject{Reading: reading, Permissions: permissions}
		}
	}
	return s.remember(ctx, known)
}

// subject returns what a user or group holds: from the session, else from the
// API. One that has gone meanwhile holds nothing; that it has gone is asked
// again each time, because the answer costs all its rows.
func (c *Connector) subject(ctx context.Context, s session, id *v2.ResourceId, read detail) (subject, error) {
	reading, err := s.reading(ctx, id.GetResourceType())
	if err != nil {
		return subject{}, err
	}
	key := subjectKey(id.GetResourceType(), id.GetResource())
	known, ok, err := sessionGet[subject](ctx, s, partSubject, key)
	ok = ok && known.Reading == reading
	if err != nil || (ok && !known.Vanished) {
		return known, err
	}
	permissions, err := ask(ctx, c, fmt.Sprintf("reading %s %s", id.GetResourceType(), id.GetResource()),
		func(ctx context.Context) ([]segmentapi.Permission, error) { return read(ctx, id.GetResource()) })
	found := subject{Reading: reading, Permissions: permissions}
	switch {
	case vanished(err):
		found.Vanished = true
	case err != nil:
		return subject{}, err
	}
	if rememberErr := s.remember(ctx, map[string]subject{key: found}); rememberErr != nil {
		return subject{}, rememberErr
	}
	switch {
	case found.Vanished:
		err = s.vanish(ctx, id, err)
	case ok: // It is back.
		_, err = sessionSet(ctx, s, partVanished, map[string]int64{key: -1})
	}
	return found, err
}

// vanish counts a subject that has gone since it was listed. A few are normal
// in a long sync. More than one in a hundred mean that something else is
// wrong; a single one does not, however small the workspace.
func (s session) vanish(ctx context.Context, id *v2.ResourceId, cause error) error {
	readings := map[string]int64{}
	for _, typeID := range []string{typeUser, typeGroup} {
		var err error
		if readings[typeID], err = s.reading(ctx, typeID); err != nil {
			return err
		}
	}
	key := subjectKey(id.GetResourceType(), id.GetResource())
	gone, err := sessionAll[int64](ctx, s, partVanished)
	if err != nil {
		return err
	}
	reading := readings[id.GetResourceType()]
	if since, counted := gone[key]; !counted || since != reading {
		s.leftOut(ctx, whyVanished, key, 1)
		if _, err = sessionSet(ctx, s, partVanished, map[string]int64{key: reading}); err != nil {
			return err
		}
		// Another worker may have added one as well.
		if gone, err = sessionAll[int64](ctx, s, partVanished); err != nil {
			return err
		}
	}
	missing := 0
	for other, since := range gone {
		typeID, _, _ := strings.Cut(other, "/")
		if since == readings[typeID] {
			missing++
		}
	}
	read, err := sessionGetMany[int](ctx, s, partRead, []string{typeUser, typeGroup})
	if err != nil {
		return err
	}
	listed := read[typeUser] + read[typeGroup]
	if listed > 0 && missing > 1 && missing*100 > listed {
		return status.Errorf(codes.FailedPrecondition,
			"%d of %d users and groups have gone since they were listed: too much would be missing, so start afresh, with a new file (the last: %v)",
			missing, listed, cause)
	}
	return nil
}

// entitlements makes the detail request of a subject and returns the rows that
// no list foretold.
func (c *Connector) entitlements(ctx context.Context, id *v2.ResourceId, opts rs.SyncOpAttrs, read detail) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
	s := c.session(opts)
	// Without a store the answer could not be kept until the grants are asked for.
	if ok, err := s.usable(ctx); !ok || err != nil {
		return nil, nil, err
	}
	sub, err := c.subject(ctx, s, id, read)
	if err != nil {
		return nil, nil, err
	}
	targets, _ := targetsOf(sub.Permissions)
	_, unlisted, err := s.split(ctx, targets)
	if err != nil {
		return nil, nil, err
	}
	var rows []*v2.Entitlement
	for _, t := range unlisted {
		r, err := t.resource()
		if err != nil {
			return nil, nil, err
		}
		rows = append(rows, t.entitlement(r))
	}
	return rows, nil, nil
}

// grants turns permissions into grants to a subject: those on listed
// resources, and those on resources that no list returned.
func (s session) grants(ctx context.Context, id *v2.ResourceId, sub subject, opts ...grant.GrantOption) ([]*v2.Grant, []*v2.Grant, error) {
	targets, _ := targetsOf(sub.Permissions)
	listed, unlisted, err := s.split(ctx, targets)
	if err != nil {
		return nil, nil, err
	}
	ordinary := make([]*v2.Grant, len(listed))
	for i, t := range listed {
		ordinary[i] = newGrant(t.typeID, t.id, t.slug, id, opts...)
	}
	inserted := make([]*v2.Grant, len(unlisted))
	for i, t := range unlisted {
		r, err := t.resource()
		if err != nil {
			return nil, nil, err
		}
		inserted[i] = grant.NewGrant(r, t.slug, id, opts...)
	}
	return ordinary, inserted, nil
}

// insertResources marks a page of grants whose resources are to be stored as
// well. It must hold no other grants: their rows would be overwritten.
func insertResources(next *pageToken) *rs.SyncOpResults {
	res := results(next)
	res.Annotations = annotations.New(&v2.InsertResourceGrants{})
	return res
}

// split separates targets whose resource no list returned.
func (s session) split(ctx context.Context, targets []target) ([]target, []target, error) {
	ids := map[string][]string{}
	for _, t := range targets {
		ids[t.typeID] = append(ids[t.typeID], t.id)
	}
	missing := map[string]map[string]bool{}
	for typeID, of := range ids {
		m, err := s.unlisted(ctx, typeID, of)
		if err != nil {
			return nil, nil, err
		}
		missing[typeID] = m
	}
	var listed, unlisted []target
	for _, t := range targets {
		if missing[t.typeID][t.id] {
			unlisted = append(unlisted, t)
		} else {
			listed = append(listed, t)
		}
	}
	return listed, unlisted, nil
}

// resource describes a target that no list returned.
func (t target) resource() (*v2.Resource, error) {
	profile := rs.WithResourceProfile(map[string]any{"listed": false})
	return described(rs.NewRoleResource(displayName(t.name, t.id), roleType(), t.id, nil, profile))
}

// entitlement describes what a target that no list returned is granted by.
func (t target) entitlement(r *v2.Resource) *v2.Entitlement {
	return roleAssigned(r)
}

// newGrant names the resource by its id alone: its own row says the rest.
func newGrant(typeID, id, slug string, principal *v2.ResourceId, opts ...grant.GrantOption) *v2.Grant {
	return grant.NewGrant(v2.Resource_builder{Id: resourceID(typeID, id)}.Build(), slug, principal, opts...)
}

// assignment is an entitlement that is either held or not.
func assignment(r *v2.Resource, slug, name, description string, to ...*v2.ResourceType) *v2.Entitlement {
	return entitlement.NewAssignmentEntitlement(r, slug,
		entitlement.WithDisplayName(name), entitlement.WithDescription(description), entitlement.WithGrantableTo(to...))
}
