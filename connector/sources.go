package connector

import (
	"context"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// sourceSyncer serves the sources of the workspace, and the roles on each.
type sourceSyncer struct {
	scoped
	editable
}

var (
	_ connectorbuilder.StaticEntitlementSyncerV2     = (*sourceSyncer)(nil)
	_ connectorbuilder.ResourceTargetedSyncerLimited = (*sourceSyncer)(nil)
	_ connectorbuilder.ResourceProvisionerV2         = (*sourceSyncer)(nil)
)

// ResourceType describes the type.
func (s *sourceSyncer) ResourceType(context.Context) *v2.ResourceType { return sourceType() }

// List returns one page of sources: one request.
func (s *sourceSyncer) List(ctx context.Context, _ *v2.ResourceId, opts rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
	return listing[segmentapi.Source]{
		what:   "listing sources",
		typeID: typeSource,
		page: func(ctx context.Context, _ string, o segmentapi.ListOptions) (*segmentapi.Page[segmentapi.Source], error) {
			return s.c.client.Sources.List(ctx, o)
		},
		resource: sourceResource,
	}.read(ctx, s.c, opts)
}

// Get returns one source: one request.
func (s *sourceSyncer) Get(ctx context.Context, id, _ *v2.ResourceId) (*v2.Resource, annotations.Annotations, error) {
	return get(ctx, s.c, id, s.c.patient.Sources.Get, sourceResource)
}

// sourceResource shows the labels, too: they decide whom a role that is held
// on labels lets in.
func sourceResource(s segmentapi.Source) (*v2.Resource, error) {
	return described(rs.NewAppResource(displayName(s.Name, s.Slug, s.ID), sourceType(), s.ID, nil,
		rs.WithResourceProfile(map[string]any{
			"source_id": s.ID,
			"slug":      clip(s.Slug, maxDisplayName),
			"type":      clip(s.Kind, maxDisplayName),
			"enabled":   s.Enabled,
			"labels":    labelProfile(s.Labels),
		})))
}
