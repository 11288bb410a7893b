package connector

import (
	"context"
	"fmt"
	"maps"
	"slices"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/conductorone/baton-sdk/pkg/types/entitlement"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

type (
	listFunc[T any] func(context.Context, segmentapi.ListOptions) (*segmentapi.Page[T], error)
	getFunc[T any]  func(context.Context, string) (*T, error)
	// A resourceFunc makes the resource of a row, with the id of the workspace.
	resourceFunc[T any] func(workspace string, row T) (*v2.Resource, error)
)

// rowsOf says how to read the rows of a type, and what to show of each.
type rowsOf[T any] struct {
	// parts are the lists that make up the whole, if there are several.
	parts []string
	list  func(c *segmentapi.Client, part string) listFunc[T]
	// unknown reports that a workspace does not know a part, and so has no rows of
	// it. It may be nil.
	unknown  func(part string, err error) bool
	get      func(*segmentapi.Client) getFunc[T]
	describe func(T) description
}

// A description is what is shown of a row.
type description struct {
	id string
	// names are the candidates for the display name, before the id.
	names   []string
	text    string
	profile map[string]any
}

// syncer serves a type that differs from others in nothing but its rows.
func (r rowsOf[T]) syncer(c *Connector, k *kind) connectorbuilder.ResourceSyncerV2 {
	served := catalog[T]{typed: typed{c: c, kind: k}, rows: r}
	if k.grantable {
		return &grantableCatalog[T]{catalog: served, roleGrants: roleGrants{c: c}}
	}
	return &served
}

// typed is the part that all types have in common.
type typed struct {
	c    *Connector
	kind *kind
}

// ResourceType describes the type.
func (t typed) ResourceType(context.Context) *v2.ResourceType { return t.kind.described() }

// Entitlements returns none: the SDK asks for those of users and groups only.
func (typed) Entitlements(context.Context, *v2.Resource, rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
	return nil, nil, nil
}

// Grants returns none: they come from the users and groups.
func (typed) Grants(context.Context, *v2.Resource, rs.SyncOpAttrs) ([]*v2.Grant, *rs.SyncOpResults, error) {
	return nil, nil, nil
}

// StaticEntitlements returns those that every row of the type has: one, or one
// for each role that is meant for the type. A targeted sync does not ask for
// them, so it is noted that this one has.
func (t typed) StaticEntitlements(ctx context.Context, opts rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
	s, _, err := t.c.openSync(ctx, opts)
	if err != nil {
		return nil, nil, err
	}
	var rows []*v2.Entitlement
	switch {
	case t.kind.only != nil:
		rows = append(rows, t.kind.only.of(nil))
	case t.kind.on == "":
		return nil, nil, nil
	default:
		// The SDK asks about types that the sync leaves out as well.
		if begun, err := listBegun(ctx, s, t.kind.id); !begun || err != nil {
			return nil, nil, err
		}
		roles, err := t.c.roles(ctx, s)
		if err != nil {
			return nil, nil, err
		}
		for _, id := range slices.Sorted(maps.Keys(roles)) {
			if access.Applies(roles[id], t.kind.id) {
				rows = append(rows, roleOn(nil, access.Target{Type: t.kind.id, RoleID: id, RoleName: roles[id]}))
			}
		}
	}
	return rows, nil, s.Mark(ctx, syncstate.Static(t.kind.id), 1)
}

// listBegun reports whether the list of a type has been asked for. Without a
// session store that is taken for granted.
func listBegun(ctx context.Context, s syncstate.Sync, typeID string) (bool, error) {
	if ok, err := s.Usable(ctx); !ok || err != nil {
		return true, err
	}
	_, begun, err := s.Marked(ctx, syncstate.Begun(typeID))
	return begun, err
}

// catalog serves the rows of a type.
type catalog[T any] struct {
	typed
	rows rowsOf[T]
}

// grantableCatalog serves a type on whose rows roles can be granted.
type grantableCatalog[T any] struct {
	catalog[T]
	roleGrants
}

var (
	_ connectorbuilder.StaticEntitlementSyncerV2     = (*catalog[segmentapi.Warehouse])(nil)
	_ connectorbuilder.ResourceTargetedSyncerLimited = (*catalog[segmentapi.Warehouse])(nil)
	_ connectorbuilder.ResourceProvisionerV2         = (*grantableCatalog[segmentapi.Source])(nil)
)

// List returns one page of rows: one request.
func (c *catalog[T]) List(ctx context.Context, _ *v2.ResourceId, opts rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
	return listing[T]{
		kind:  c.kind,
		parts: c.rows.parts,
		page: func(ctx context.Context, part string, o segmentapi.ListOptions) (*segmentapi.Page[T], error) {
			return asking(c.c, whatLists(c.kind.id), c.rows.list(c.c.client, part))(ctx, o)
		},
		unknown:  c.rows.unknown,
		resource: c.resource,
	}.read(ctx, c.c, opts)
}

// Get returns one row.
func (c *catalog[T]) Get(ctx context.Context, id, _ *v2.ResourceId) (*v2.Resource, annotations.Annotations, error) {
	return get(ctx, c.c, id, c.rows.get(c.c.patient), c.resource)
}

func (c *catalog[T]) resource(workspace string, row T) (*v2.Resource, error) {
	return c.kind.resource(workspace, c.rows.describe(row))
}

// resource makes the row of an app or a role.
func (k *kind) resource(workspace string, d description) (*v2.Resource, error) {
	name := displayName(append(slices.Clone(d.names), d.id)...)
	profile := map[string]any{fieldWorkspace: workspace}
	maps.Copy(profile, d.profile)
	options := []rs.ResourceOption{rs.WithDescription(clip(d.text, maxDescription)), rs.WithResourceProfile(profile)}
	if k.trait == v2.ResourceType_TRAIT_ROLE {
		return checked(rs.NewRoleResource(name, k.message(), d.id, nil, options...))
	}
	return checked(rs.NewAppResource(name, k.message(), d.id, nil, options...))
}

// checked explains the error of a row that Baton cannot hold.
func checked(r *v2.Resource, err error) (*v2.Resource, error) {
	if err != nil {
		return nil, fmt.Errorf("describing a resource: %w", err)
	}
	return r, nil
}

// of returns the entitlement on a resource.
func (e *onlyEntitlement) of(r *v2.Resource) *v2.Entitlement {
	return assignment(r, e.slug, e.name, e.description, e.heldBy...)
}

// roleOn is a role held on less than the workspace.
func roleOn(r *v2.Resource, t access.Target) *v2.Entitlement {
	k := kindOf(t.Type)
	name := displayName(t.RoleName, t.RoleID)
	e := assignment(r, t.RoleID, name, clip(fmt.Sprintf("Holds %s on %s.", name, k.on), maxDescription), userType, groupType)
	if !k.grantable {
		e.SetAnnotations(annotations.New(&v2.EntitlementImmutable{}))
	}
	return e
}

// assignment is an entitlement that is either held or not.
func assignment(r *v2.Resource, slug, name, description string, heldBy ...resourceType) *v2.Entitlement {
	types := make([]*v2.ResourceType, len(heldBy))
	for i, t := range heldBy {
		types[i] = t.message()
	}
	return entitlement.NewAssignmentEntitlement(r, slug,
		entitlement.WithDisplayName(name), entitlement.WithDescription(description), entitlement.WithGrantableTo(types...))
}

// roles returns the names of all roles, by id. A sync asks for them once, even
// if it leaves out their type.
func (c *Connector) roles(ctx context.Context, s syncstate.Sync) (map[string]string, error) {
	_, read, err := s.Marked(ctx, syncstate.Ended(access.TypeRole))
	if err != nil {
		return nil, err
	}
	if read {
		return s.AllNames(ctx, access.TypeRole)
	}
	if err = s.BeginList(ctx, access.TypeRole); err != nil {
		return nil, err
	}
	rows, err := allRows(ctx, c, "listing roles", c.client.Roles.List, func(role segmentapi.Role) syncstate.Row {
		return syncstate.Row{ID: role.ID, Name: displayName(role.Name, role.ID)}
	})
	if err != nil {
		return nil, err
	}
	if err = s.AddRows(ctx, access.TypeRole, rows); err != nil {
		return nil, err
	}
	names := make(map[string]string, len(rows))
	for _, row := range rows {
		names[row.ID] = row.Name
	}
	return names, s.Mark(ctx, syncstate.Ended(access.TypeRole), len(names))
}

// whatLists names the request for the list of a type.
func whatLists(typeID string) string { return "listing " + typeID + "s" }

// asking returns a list whose errors are translated. See ask.
func asking[T any](c *Connector, what string, list listFunc[T]) listFunc[T] {
	return func(ctx context.Context, o segmentapi.ListOptions) (*segmentapi.Page[T], error) {
		return ask(ctx, c, what, func(ctx context.Context) (*segmentapi.Page[T], error) { return list(ctx, o) })
	}
}

// allRows asks for a list to its end. With an error come the rows before it.
func allRows[T any](ctx context.Context, c *Connector, what string, list listFunc[T], row func(T) syncstate.Row) ([]syncstate.Row, error) {
	return readRows(ctx, what, asking(c, what, list), row)
}

// readRows is allRows for a list that may be read from elsewhere. It leaves errors alone.
func readRows[T any](ctx context.Context, what string, list listFunc[T], row func(T) syncstate.Row) ([]syncstate.Row, error) {
	var rows []syncstate.Row
	var token pageToken
	for {
		page, err := list(ctx, segmentapi.ListOptions{Cursor: token.Cursor})
		if err != nil {
			return rows, err
		}
		for _, item := range page.Items {
			rows = append(rows, row(item))
		}
		if page.Next == "" {
			return rows, nil
		}
		if token, err = token.follow(what, page.Next, len(page.Items)); err != nil {
			return rows, err
		}
	}
}

// get reads one row. See missingRow for one that does not exist, or is of a type that
// the workspace's plan lacks.
func get[T any](
	ctx context.Context, c *Connector, id *v2.ResourceId, read getFunc[T], resource resourceFunc[T],
) (*v2.Resource, annotations.Annotations, error) {
	what := fmt.Sprintf("reading %s %s", id.GetResourceType(), id.GetResource())
	row, err := ask(ctx, c, what, func(ctx context.Context) (*T, error) { return read(ctx, id.GetResource()) })
	if notFound(err) || kindOf(id.GetResourceType()).optional && segmentapi.LacksFeature(err) {
		r, missing := c.missingRow(ctx, id, what)
		return r, nil, missing
	} else if err != nil {
		return nil, nil, err
	}
	c.logWithoutGrants(ctx, id)
	workspace, err := c.workspaceID(ctx, c.patient)
	if err != nil {
		return nil, nil, err
	}
	r, err := resource(workspace, *row)
	return r, nil, err
}

// findRow finds a row in a list, for a type whose rows Segment does not serve
// singly.
func findRow[T any](id string, rows []T, idOf func(T) string) (*T, error) {
	for _, row := range slices.Backward(rows) { // Of several the last is stored.
		if idOf(row) == id {
			return &row, nil
		}
	}
	return nil, segmentapi.ErrNotFound
}
