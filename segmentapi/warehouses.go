package segmentapi

import (
	"context"
	"iter"
	"net/http"

	"github.com/segmentio/public-api-sdk-go/api"
)

// WarehouseService reads warehouses, without their settings; see [Warehouse].
type WarehouseService struct{ c *Client }

// List returns one page of warehouses: GET /warehouses (listWarehouses).
func (s *WarehouseService) List(ctx context.Context, opts ListOptions) (*Page[Warehouse], error) {
	return list(ctx, s.c, opts, lister[api.ListWarehouses200Response, api.WarehouseV1, Warehouse]{
		call: call{"listWarehouses", http.MethodGet, "/warehouses"},
		run: func(ctx context.Context, p api.PaginationInput) (*api.ListWarehouses200Response, *http.Response, error) {
			return s.c.raw.WarehousesAPI.ListWarehouses(ctx).Pagination(p).Execute()
		},
		read: func(o *api.ListWarehouses200Response) ([]api.WarehouseV1, api.PaginationOutput) {
			d := o.GetData()
			return d.Warehouses, d.Pagination
		},
		convert: warehouseOf,
		id:      func(w Warehouse) string { return w.ID },
	})
}

// All streams every warehouse.
func (s *WarehouseService) All(ctx context.Context) iter.Seq2[Warehouse, error] {
	return all(ctx, "listWarehouses", s.List)
}

// Get returns one warehouse: GET /warehouses/{warehouseId} (getWarehouse). A
// warehouse that is gone is [ErrNotFound].
func (s *WarehouseService) Get(ctx context.Context, id string) (*Warehouse, error) {
	return get(ctx, s.c, id, getter[api.GetWarehouse200Response, api.WarehouseV1, Warehouse]{
		call: call{"getWarehouse", http.MethodGet, "/warehouses/" + id},
		kind: "warehouse",
		run: func(ctx context.Context) (*api.GetWarehouse200Response, *http.Response, error) {
			return s.c.raw.WarehousesAPI.GetWarehouse(ctx, id).Execute()
		},
		read: func(o *api.GetWarehouse200Response) *api.WarehouseV1 {
			d := o.GetData()
			return &d.Warehouse
		},
		convert: warehouseOf,
		about:   func(w Warehouse) bool { return w.ID == id },
	})
}
