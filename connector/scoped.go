package connector

import (
	"context"
	"fmt"
	"maps"
	"slices"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// passive is the part of a type whose rows are asked nothing: grants on them
// come from the users and groups.
type passive struct{ c *Connector }

// Entitlements returns none.
func (passive) Entitlements(context.Context, *v2.Resource, rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
	return nil, nil, nil
}

// Grants returns none.
func (passive) Grants(context.Context, *v2.Resource, rs.SyncOpAttrs) ([]*v2.Grant, *rs.SyncOpResults, error) {
	return nil, nil, nil
}

// scoped is the part of a type that roles are held on.
type scoped struct {
	passive
	typeID string
}

func newScoped(c *Connector, typeID string) scoped {
	return scoped{passive: passive{c: c}, typeID: typeID}
}

// StaticEntitlements returns one entitlement for each role that is meant for
// the type.
func (s scoped) StaticEntitlements(ctx context.Context, opts rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
	known := s.c.session(opts)
	// The SDK asks about types that the sync leaves out as well.
	if begun, err := known.begun(ctx, s.typeID); !begun || err != nil {
		return nil, nil, err
	}
	roles, err := s.c.roles(ctx, known)
	if err != nil {
		return nil, nil, err
	}
	var rows []*v2.Entitlement
	for _, id := range slices.Sorted(maps.Keys(roles)) {
		if pairs(roles[id], s.typeID) {
			rows = append(rows, roleOn(nil, target{typeID: s.typeID, slug: id, roleID: id, roleName: roles[id]}))
		}
	}
	return known.static(ctx, s.typeID, rows...)
}

// static returns the entitlements that all rows of a type have. Nobody asks
// for them in a targeted sync, so it notes that somebody did.
func (s session) static(ctx context.Context, typeID string, rows ...*v2.Entitlement) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
	return rows, nil, s.note(ctx, typeID, factStatic, 1)
}

// begun reports whether the list of a type has been asked for, which without a
// session store it takes for granted.
func (s session) begun(ctx context.Context, typeID string) (bool, error) {
	if ok, err := s.usable(ctx); !ok || err != nil {
		return true, err
	}
	reading, err := s.reading(ctx, typeID)
	return reading != 0, err
}

// hasStatic reports whether all rows of a type have their entitlements. Without
// a session store it takes that for granted, as in a full sync.
func (s session) hasStatic(ctx context.Context, typeID string) (bool, error) {
	known, err := s.learn(ctx, keyOf(typeID, factStatic))
	return known == nil || known[keyOf(typeID, factStatic)] != nil, err
}

// roleOn is a role held on less than the workspace.
func roleOn(r *v2.Resource, t target) *v2.Entitlement {
	name := displayName(t.roleName, t.roleID)
	on := map[string]string{
		typeSource:    "this source",
		typeFunction:  "this function",
		typeSpace:     "this space",
		typeWarehouse: "this warehouse",
		typeLabel:     "every source or space that carries these labels",
	}[t.typeID]
	e := assignment(r, t.slug, name, clip(fmt.Sprintf("Holds %s on %s.", name, on), maxDescription), userType(), groupType())
	if t.typeID == typeWarehouse {
		// Segment documents warehouse roles for the workspace only.
		e.SetAnnotations(annotations.New(&v2.EntitlementImmutable{}))
	}
	return e
}

// roles returns the names of all roles, by id. Reading them is the same as
// listing their type: a sync asks once, also one that leaves the type out.
func (c *Connector) roles(ctx context.Context, s session) (map[string]string, error) {
	_, read, err := s.rows(ctx, typeRole)
	if err != nil {
		return nil, err
	}
	if read {
		return s.roleNames(ctx)
	}
	if err = s.begin(ctx, typeRole); err != nil {
		return nil, err
	}
	roles, err := namesOf(ctx, c, "listing roles", c.client.Roles.List, func(role segmentapi.Role) (string, string) {
		return role.ID, displayName(role.Name, role.ID)
	})
	if err != nil {
		return nil, err
	}
	if err = s.list(ctx, typeRole, roles); err != nil {
		return nil, err
	}
	return roles, s.finish(ctx, typeRole, len(roles))
}

// roleNames are the rows of the list of roles.
func (s session) roleNames(ctx context.Context) (map[string]string, error) {
	reading, err := s.reading(ctx, typeRole)
	if err != nil {
		return nil, err
	}
	rows, err := sessionAll[listedRow](ctx, s, partRole)
	names := map[string]string{}
	for id, row := range rows {
		if row.Reading == reading {
			names[id] = row.Name
		}
	}
	return names, err
}

// namesOf reads a list to its end, for its ids and names. With an error comes
// what was read before it.
func namesOf[T any](
	ctx context.Context, c *Connector, what string,
	list func(context.Context, segmentapi.ListOptions) (*segmentapi.Page[T], error), of func(T) (string, string),
) (map[string]string, error) {
	found := map[string]string{}
	var token pageToken
	for {
		page, err := ask(ctx, c, what, func(ctx context.Context) (*segmentapi.Page[T], error) {
			return list(ctx, segmentapi.ListOptions{Cursor: token.Cursor})
		})
		if err != nil {
			return found, err
		}
		for _, row := range page.Items {
			id, name := of(row)
			found[id] = name
		}
		if page.Next == "" {
			return found, nil
		}
		if token, err = token.follow(what, page.Next); err != nil {
			return found, err
		}
	}
}

// get reads one row for a targeted sync. The SDK leaves out what is not found,
// and so is what the workspace's plan lacks.
func get[T any](
	ctx context.Context, c *Connector, id *v2.ResourceId,
	read func(context.Context, string) (*T, error), resource func(T) (*v2.Resource, error),
) (*v2.Resource, annotations.Annotations, error) {
	what := fmt.Sprintf("reading %s %s", id.GetResourceType(), id.GetResource())
	row, err := ask(ctx, c, what, func(ctx context.Context) (*T, error) { return read(ctx, id.GetResource()) })
	if vanished(err) || optional(id.GetResourceType()) && notInPlan(err) {
		return nil, nil, status.Errorf(codes.NotFound, "%s: Segment does not have it", what)
	} else if err != nil {
		return nil, nil, err
	}
	r, err := resource(*row)
	return r, nil, err
}

// one finds a row in the answer of a type that Segment does not serve singly.
func one[T any](id string, rows []T, idOf func(T) string) (*T, error) {
	for _, row := range slices.Backward(rows) { // Of several the last is stored.
		if idOf(row) == id {
			return &row, nil
		}
	}
	return nil, segmentapi.ErrNotFound
}
