package connector

import (
	"context"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"

	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// The ids of resource types and the slugs of entitlements are a contract: the
// history of access reviews hangs on them. Package access has the ids of the types
// that roles are held on.
const (
	typeWorkspace = "workspace"
	typeUser      = "user"
	typeInvite    = "invite"
	typeGroup     = "group"

	slugMember   = "member"
	slugAssigned = "assigned"
)

// A resourceType is what Baton is told about a type.
type resourceType struct {
	id, name string
	trait    v2.ResourceType_Trait
	// perRow makes the SDK ask for the entitlements and grants of each row.
	// Grants on other types come from the users and groups.
	perRow bool
	// transient means that rows disappear in the ordinary course of things.
	transient bool
}

// The types of principals.
var (
	userType   = resourceType{id: typeUser, name: "User", trait: v2.ResourceType_TRAIT_USER, perRow: true}
	inviteType = resourceType{id: typeInvite, name: "Invite", trait: v2.ResourceType_TRAIT_USER, transient: true}
	groupType  = resourceType{id: typeGroup, name: "Group", trait: v2.ResourceType_TRAIT_GROUP, perRow: true}
)

// message returns the type as the SDK takes it: a new message each time, because
// the SDK may change it.
func (t resourceType) message() *v2.ResourceType {
	var annos annotations.Annotations
	if !t.perRow {
		annos.Append(&v2.SkipEntitlementsAndGrants{})
	}
	if t.transient {
		annos.Append(&v2.SkipSyncAnomalyDetection{})
	}
	return v2.ResourceType_builder{Id: t.id, DisplayName: t.name, Traits: []v2.ResourceType_Trait{t.trait}, Annotations: annos}.Build()
}

// A kind is everything that differs between resource types.
type kind struct {
	resourceType
	// optional types are features that a workspace's plan may lack.
	optional bool
	// only is the one entitlement that each row has, if it is not the roles.
	only *onlyEntitlement
	// on names a row in the description of a role that is held on it, and is empty
	// if roles are not held on the type.
	on string
	// grantable is set if the roles on a row can be granted and revoked.
	grantable bool
	// requests are all that the type sends to Segment, as its documentation writes
	// them: in a sync without the other types, in a targeted sync, and to make changes.
	requests []string
	syncer   func(*Connector, *kind) connectorbuilder.ResourceSyncerV2
}

// An onlyEntitlement is an entitlement that every row of a type has.
type onlyEntitlement struct {
	slug, name, description string
	heldBy                  []resourceType
}

// kinds is the table of resource types, in the order in which they are listed. To
// add a type that roles are held on, add a row here and in the tables of package
// access.
//
// Functions in the table must not refer to the table: Go refuses to initialize a
// variable that depends on itself.
var kinds = []*kind{
	{
		resourceType: resourceType{id: typeWorkspace, name: "Workspace", trait: v2.ResourceType_TRAIT_APP},
		only:         &onlyEntitlement{slugMember, "Member", "Belongs to the workspace.", []resourceType{userType}},
		requests:     removalRequests(),
		syncer:       newWorkspaceSyncer,
	},
	{resourceType: userType, requests: append(removalRequests(), "GET /users", "GET /spaces"), syncer: newUserSyncer},
	{
		resourceType: inviteType,
		requests: []string{
			"GET /invites", "GET /users", "POST /invites", "DELETE /invites",
			"GET /roles", "GET /groups", "GET /groups/{userGroupId}", "GET /groups/{userGroupId}/users", "GET /groups/{userGroupId}/invites",
			"POST /groups/{userGroupId}/users",
		},
		syncer: newInviteSyncer,
	},
	{
		resourceType: groupType, optional: true,
		only: &onlyEntitlement{slugMember, "Member", "Belongs to the group and holds what the group holds.", []resourceType{userType, inviteType}},
		requests: []string{
			"GET /groups", "GET /groups/{userGroupId}", "GET /groups/{userGroupId}/users", "GET /groups/{userGroupId}/invites",
			"POST /groups", "DELETE /groups/{userGroupId}", "PUT /groups/{userGroupId}/permissions",
			"POST /groups/{userGroupId}/users", "DELETE /group/{userGroupId}/users",
			"GET /users", "GET /users/{userId}", "GET /invites", "GET /roles",
		},
		syncer: newGroupSyncer,
	},
	{
		resourceType: resourceType{id: access.TypeRole, name: "Role", trait: v2.ResourceType_TRAIT_ROLE},
		only:         &onlyEntitlement{slugAssigned, "Assigned", "Holds the role on the whole workspace.", []resourceType{userType, groupType}},
		grantable:    true,
		requests:     append(roleRequests(), "GET /users", "GET /groups", "GET /groups/{userGroupId}/users"), // Another owner is looked for.
		syncer: rowsOf[segmentapi.Role]{
			list: func(c *segmentapi.Client, _ string) listFunc[segmentapi.Role] { return c.Roles.List },
			get:  func(c *segmentapi.Client) getFunc[segmentapi.Role] { return c.Roles.Get },
			describe: func(r segmentapi.Role) description {
				return description{id: r.ID, names: []string{r.Name}, text: r.Description}
			},
		}.syncer,
	},
	{
		resourceType: resourceType{id: access.TypeSource, name: "Source", trait: v2.ResourceType_TRAIT_APP},
		on:           "this source", grantable: true,
		requests: append(roleRequests(), "GET /sources", "GET /sources/{sourceId}"),
		syncer: rowsOf[segmentapi.Source]{
			list: func(c *segmentapi.Client, _ string) listFunc[segmentapi.Source] { return c.Sources.List },
			get:  func(c *segmentapi.Client) getFunc[segmentapi.Source] { return c.Sources.Get },
			// The labels decide who reaches the source by a role that is held on labels.
			describe: func(s segmentapi.Source) description {
				return description{id: s.ID, names: []string{s.Name, s.Slug}, profile: map[string]any{
					"source_id": s.ID, "slug": clip(s.Slug, maxDisplayName), "type": clip(s.Kind, maxDisplayName),
					"enabled": s.Enabled, "labels": labelProfile(s.Labels),
				}}
			},
		}.syncer,
	},
	{
		// Segment documents that warehouse roles are for all warehouses. Its schema
		// allows them on single ones, so they are shown but cannot be granted.
		resourceType: resourceType{id: access.TypeWarehouse, name: "Warehouse", trait: v2.ResourceType_TRAIT_APP}, optional: true,
		on:       "this warehouse",
		requests: []string{"GET /roles", "GET /warehouses", "GET /warehouses/{warehouseId}"},
		syncer: rowsOf[segmentapi.Warehouse]{
			list: func(c *segmentapi.Client, _ string) listFunc[segmentapi.Warehouse] { return c.Warehouses.List },
			get:  func(c *segmentapi.Client) getFunc[segmentapi.Warehouse] { return c.Warehouses.Get },
			describe: func(w segmentapi.Warehouse) description {
				return description{id: w.ID, names: []string{w.Name, w.Kind}, profile: map[string]any{
					"warehouse_id": w.ID, "type": clip(w.Kind, maxDisplayName), "enabled": w.Enabled,
				}}
			},
		}.syncer,
	},
	{
		resourceType: resourceType{id: access.TypeFunction, name: "Function", trait: v2.ResourceType_TRAIT_APP}, optional: true,
		on: "this function", grantable: true,
		requests: append(roleRequests(), "GET /functions", "GET /functions/{functionId}"),
		syncer: rowsOf[segmentapi.Function]{
			parts: functionTypes(),
			list: func(c *segmentapi.Client, part string) listFunc[segmentapi.Function] {
				return func(ctx context.Context, opts segmentapi.ListOptions) (*segmentapi.Page[segmentapi.Function], error) {
					return c.Functions.List(ctx, segmentapi.FunctionType(part), opts)
				}
			},
			unknown: func(part string, err error) bool {
				return segmentapi.UnknownFunctionType(segmentapi.FunctionType(part), err)
			},
			get: func(c *segmentapi.Client) getFunc[segmentapi.Function] { return c.Functions.Get },
			describe: func(f segmentapi.Function) description {
				return description{id: f.ID, names: []string{f.Name}, text: f.Description, profile: map[string]any{
					"function_id": f.ID, "type": clip(string(f.Type), maxDisplayName),
				}}
			},
		}.syncer,
	},
	{
		resourceType: resourceType{id: access.TypeSpace, name: "Space", trait: v2.ResourceType_TRAIT_APP}, optional: true,
		on: "this space", grantable: true,
		requests: append(roleRequests(), "GET /spaces", "GET /spaces/{spaceId}"),
		syncer: rowsOf[segmentapi.Space]{
			list: func(c *segmentapi.Client, _ string) listFunc[segmentapi.Space] { return c.Spaces.List },
			get:  func(c *segmentapi.Client) getFunc[segmentapi.Space] { return c.Spaces.Get },
			describe: func(s segmentapi.Space) description {
				return description{id: s.ID, names: []string{s.Name, s.Slug}, profile: map[string]any{
					"space_id": s.ID, "slug": clip(s.Slug, maxDisplayName),
				}}
			},
		}.syncer,
	},
	{
		resourceType: resourceType{id: access.TypeLabel, name: "Label", trait: v2.ResourceType_TRAIT_APP}, optional: true,
		on: "every source or space that carries these labels", grantable: true,
		requests: append(roleRequests(), "GET /labels"),
		syncer: rowsOf[labelSet]{
			list:     func(c *segmentapi.Client, _ string) listFunc[labelSet] { return listLabels(c) },
			get:      getLabels,
			describe: describeLabels,
		}.syncer,
	},
}

// kindOf returns the kind with this id, or nil.
func kindOf(typeID string) *kind {
	for _, k := range kinds {
		if k.id == typeID {
			return k
		}
	}
	return nil
}

// kindIDs returns the ids of the kinds that match.
func kindIDs(match func(*kind) bool) []string {
	var ids []string
	for _, k := range kinds {
		if match(k) {
			ids = append(ids, k.id)
		}
	}
	return ids
}

// scopedTypes are the types whose entitlements are roles.
func scopedTypes() []string { return kindIDs(func(k *kind) bool { return k.on != "" }) }

// grantableTypes are the types on which roles can be granted.
func grantableTypes() []string { return kindIDs(func(k *kind) bool { return k.grantable }) }

func functionTypes() []string {
	var types []string
	for _, t := range segmentapi.FunctionTypes() {
		types = append(types, string(t))
	}
	return types
}
