package connector

import (
	"context"
	"slices"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// spaceSyncer serves Unify spaces, and the roles on each.
type spaceSyncer struct {
	scoped
	editable
}

var (
	_ connectorbuilder.StaticEntitlementSyncerV2     = (*spaceSyncer)(nil)
	_ connectorbuilder.ResourceTargetedSyncerLimited = (*spaceSyncer)(nil)
	_ connectorbuilder.ResourceProvisionerV2         = (*spaceSyncer)(nil)
)

// ResourceType describes the type.
func (s *spaceSyncer) ResourceType(context.Context) *v2.ResourceType { return spaceType() }

// List returns one page of spaces: one request.
func (s *spaceSyncer) List(ctx context.Context, _ *v2.ResourceId, opts rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
	return listing[segmentapi.Space]{
		what:   "listing spaces",
		typeID: typeSpace,
		page: func(ctx context.Context, _ string, o segmentapi.ListOptions) (*segmentapi.Page[segmentapi.Space], error) {
			return s.c.client.Spaces.List(ctx, o)
		},
		resource: spaceResource,
	}.read(ctx, s.c, opts)
}

// Get returns one space: one request.
func (s *spaceSyncer) Get(ctx context.Context, id, _ *v2.ResourceId) (*v2.Resource, annotations.Annotations, error) {
	return get(ctx, s.c, id, s.c.patient.Spaces.Get, spaceResource)
}

// learnSpaces reads the spaces once in a targeted sync, which lists nothing, if
// permissions name any: with or without the prefix, a space must have the id
// that a full sync gives it.
func (c *Connector) learnSpaces(ctx context.Context, s session, permissions []segmentapi.Permission) error {
	names := func(p segmentapi.Permission) bool {
		return slices.ContainsFunc(p.Scopes, func(s segmentapi.Scope) bool { return s.Type == segmentapi.ScopeSpace })
	}
	if !slices.ContainsFunc(permissions, names) {
		return nil
	}
	for _, typeID := range []string{typeUser, typeGroup, typeSpace} {
		if _, read, err := s.rows(ctx, typeID); read || err != nil {
			return err
		}
	}
	if _, known, err := s.fact(ctx, typeSpace, factForms); known || err != nil {
		return err
	}
	if ok, err := s.usable(ctx); !ok || err != nil {
		return err
	}
	spaces, err := namesOf(ctx, c, "listing spaces", c.client.Spaces.List, func(space segmentapi.Space) (string, string) {
		return space.ID, displayName(space.Name, space.Slug, space.ID)
	})
	if err != nil && (len(spaces) > 0 || !notInPlan(err)) {
		return err
	}
	if err = s.list(ctx, typeSpace, spaces); err != nil {
		return err
	}
	return s.note(ctx, typeSpace, factForms, 1)
}

func spaceResource(s segmentapi.Space) (*v2.Resource, error) {
	return described(rs.NewAppResource(displayName(s.Name, s.Slug, s.ID), spaceType(), s.ID, nil,
		rs.WithResourceProfile(map[string]any{"space_id": s.ID, "slug": clip(s.Slug, maxDisplayName)})))
}
