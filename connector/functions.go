package connector

import (
	"context"
	"errors"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// functionSyncer serves functions of every kind, and the roles on each.
type functionSyncer struct {
	scoped
	editable
}

var (
	_ connectorbuilder.StaticEntitlementSyncerV2     = (*functionSyncer)(nil)
	_ connectorbuilder.ResourceTargetedSyncerLimited = (*functionSyncer)(nil)
	_ connectorbuilder.ResourceProvisionerV2         = (*functionSyncer)(nil)
)

// ResourceType describes the type.
func (f *functionSyncer) ResourceType(context.Context) *v2.ResourceType { return functionType() }

// List returns one page of functions: one request. Each kind of function has a
// list of its own.
func (f *functionSyncer) List(ctx context.Context, _ *v2.ResourceId, opts rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
	var kinds []string
	for _, kind := range segmentapi.FunctionTypes() {
		kinds = append(kinds, string(kind))
	}
	return listing[segmentapi.Function]{
		what:   "listing functions",
		typeID: typeFunction,
		kinds:  kinds,
		page: func(ctx context.Context, kind string, o segmentapi.ListOptions) (*segmentapi.Page[segmentapi.Function], error) {
			return f.c.client.Functions.List(ctx, segmentapi.FunctionType(kind), o)
		},
		unknown:  unknownFunctionType,
		resource: functionResource,
	}.read(ctx, f.c, opts)
}

// unknownFunctionType reports that a workspace does not know a type of
// function, the only one that is younger than the others.
func unknownFunctionType(kind string, err error) bool {
	return segmentapi.FunctionType(kind) == segmentapi.FunctionInsertTransformation && fromSegment(err) &&
		(errors.Is(err, segmentapi.ErrBadRequest) || errors.Is(err, segmentapi.ErrInvalid))
}

// Get returns one function: one request.
func (f *functionSyncer) Get(ctx context.Context, id, _ *v2.ResourceId) (*v2.Resource, annotations.Annotations, error) {
	return get(ctx, f.c, id, f.c.patient.Functions.Get, functionResource)
}

func functionResource(f segmentapi.Function) (*v2.Resource, error) {
	return described(rs.NewAppResource(displayName(f.Name, f.ID), functionType(), f.ID, nil,
		rs.WithDescription(clip(f.Description, maxDescription)),
		rs.WithResourceProfile(map[string]any{"function_id": f.ID, "type": clip(string(f.Type), maxDisplayName)})))
}
