package connector

import (
	"context"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// warehouseSyncer serves warehouse destinations. Segment's documents say that
// roles on single ones cannot be granted; its schema allows them, so they are
// shown where they are held.
type warehouseSyncer struct{ scoped }

var (
	_ connectorbuilder.StaticEntitlementSyncerV2     = (*warehouseSyncer)(nil)
	_ connectorbuilder.ResourceTargetedSyncerLimited = (*warehouseSyncer)(nil)
)

// ResourceType describes the type.
func (w *warehouseSyncer) ResourceType(context.Context) *v2.ResourceType { return warehouseType() }

// List returns one page of warehouses: one request.
func (w *warehouseSyncer) List(ctx context.Context, _ *v2.ResourceId, opts rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
	return listing[segmentapi.Warehouse]{
		what:   "listing warehouses",
		typeID: typeWarehouse,
		page: func(ctx context.Context, _ string, o segmentapi.ListOptions) (*segmentapi.Page[segmentapi.Warehouse], error) {
			return w.c.client.Warehouses.List(ctx, o)
		},
		resource: warehouseResource,
	}.read(ctx, w.c, opts)
}

// Get returns one warehouse: one request.
func (w *warehouseSyncer) Get(ctx context.Context, id, _ *v2.ResourceId) (*v2.Resource, annotations.Annotations, error) {
	return get(ctx, w.c, id, w.c.patient.Warehouses.Get, warehouseResource)
}

func warehouseResource(w segmentapi.Warehouse) (*v2.Resource, error) {
	return described(rs.NewAppResource(displayName(w.Name, w.Kind, w.ID), warehouseType(), w.ID, nil,
		rs.WithResourceProfile(map[string]any{
			"warehouse_id": w.ID,
			"type":         clip(w.Kind, maxDisplayName),
			"enabled":      w.Enabled,
		})))
}
