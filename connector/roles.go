package connector

import (
	"context"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// roleSyncer serves Segment's built-in roles, held on the whole workspace.
type roleSyncer struct {
	passive
	editable
}

var (
	_ connectorbuilder.StaticEntitlementSyncerV2     = (*roleSyncer)(nil)
	_ connectorbuilder.ResourceTargetedSyncerLimited = (*roleSyncer)(nil)
	_ connectorbuilder.ResourceProvisionerV2         = (*roleSyncer)(nil)
)

// ResourceType describes the type.
func (r *roleSyncer) ResourceType(context.Context) *v2.ResourceType { return roleType() }

// List returns one page of roles: one request.
func (r *roleSyncer) List(ctx context.Context, _ *v2.ResourceId, opts rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
	return listing[segmentapi.Role]{
		what:   "listing roles",
		typeID: typeRole,
		page: func(ctx context.Context, _ string, o segmentapi.ListOptions) (*segmentapi.Page[segmentapi.Role], error) {
			return r.c.client.Roles.List(ctx, o)
		},
		resource: roleResource,
	}.read(ctx, r.c, opts)
}

// StaticEntitlements returns the one entitlement that each role has.
func (r *roleSyncer) StaticEntitlements(ctx context.Context, opts rs.SyncOpAttrs) ([]*v2.Entitlement, *rs.SyncOpResults, error) {
	return r.c.session(opts).static(ctx, typeRole, roleAssigned(nil))
}

// Get returns one role. Segment serves no single role, so the first one reads
// the list of all, for some minutes.
func (r *roleSyncer) Get(ctx context.Context, id, _ *v2.ResourceId) (*v2.Resource, annotations.Annotations, error) {
	return get(ctx, r.c, id, r.c.patient.Roles.Get, roleResource)
}

func roleAssigned(r *v2.Resource) *v2.Entitlement {
	return assignment(r, slugAssigned, "Assigned", "Holds the role on the whole workspace.", userType(), groupType())
}

func roleResource(r segmentapi.Role) (*v2.Resource, error) {
	return described(rs.NewRoleResource(displayName(r.Name, r.ID), roleType(), r.ID, nil,
		rs.WithDescription(clip(r.Description, maxDescription))))
}
