package connector

import (
	"slices"
	"strings"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// parseEntitlementID takes the id of an entitlement apart, which is
// type:resource:slug. The type has no colon and the slug has none; a resource
// may have some.
func parseEntitlementID(id string) (target, error) {
	typeID, rest, _ := strings.Cut(id, ":")
	at := strings.LastIndex(rest, ":")
	if at < 0 {
		return target{}, status.Errorf(codes.InvalidArgument, "%q is not the id of an entitlement, which is type:resource:slug", id)
	}
	t := target{typeID: typeID, id: rest[:at], slug: rest[at+1:]}
	t.roleID = t.slug
	slug := map[string]string{typeWorkspace: slugMember, typeGroup: slugMember, typeRole: slugAssigned}[typeID]
	switch {
	case t.id == "" || t.slug == "":
		return target{}, status.Errorf(codes.InvalidArgument, "the entitlement %q lacks its resource or its slug", id)
	case slug != "" && slug != t.slug:
		return target{}, status.Errorf(codes.InvalidArgument, "the entitlement %q does not exist: a %s has the entitlement %q only", id, typeID, slug)
	case slug == "" && !slices.Contains(scopedTypes(), typeID):
		return target{}, status.Errorf(codes.InvalidArgument, "the entitlement %q is on a resource of type %q, which has none", id, typeID)
	}
	if typeID == typeRole {
		t.roleID = t.id
	}
	return t, nil
}

// String is the id of the entitlement.
func (t target) String() string { return t.typeID + ":" + t.id + ":" + t.slug }

// scopedTypes are the types whose entitlements are roles.
func scopedTypes() []string {
	var types []string
	for _, row := range scopeTypes {
		if row.typeID != typeRole {
			types = append(types, row.typeID)
		}
	}
	return types
}

// targetOfEntitlement reads an entitlement of one of types that a caller passes.
// Nothing counts but its id, and the id of its resource, which the SDK goes by:
// what else stands there may be missing or of another day.
func targetOfEntitlement(e *v2.Entitlement, types ...string) (target, error) {
	t, err := parseEntitlementID(e.GetId())
	if err != nil {
		return target{}, err
	}
	if !slices.Contains(types, t.typeID) {
		return target{}, status.Errorf(codes.InvalidArgument, "the entitlement %q is none of a %s", e.GetId(), strings.Join(types, " or a "))
	}
	if id := e.GetResource().GetId(); id != nil && (id.GetResourceType() != t.typeID || id.GetResource() != t.id) {
		return target{}, status.Errorf(codes.InvalidArgument, "the entitlement %q comes with the resource %s %q, which it is not on",
			e.GetId(), id.GetResourceType(), id.GetResource())
	}
	return t, nil
}

// principalID reads who is to get or lose something.
func principalID(principal *v2.Resource, types ...string) (*v2.ResourceId, error) {
	id := principal.GetId()
	switch {
	case id.GetResource() == "":
		return nil, status.Error(codes.InvalidArgument, "the principal has no id")
	case slices.Contains(types, id.GetResourceType()):
		return id, nil
	case id.GetResourceType() == typeInvite:
		return nil, status.Errorf(codes.FailedPrecondition,
			"%s is invited and cannot get or lose roles: Segment does not show what an invite gives; put the invite into a group, or delete it and invite anew with another role",
			id.GetResource())
	}
	return nil, status.Errorf(codes.InvalidArgument, "%s %q cannot be the principal: use a %s",
		id.GetResourceType(), id.GetResource(), strings.Join(types, " or "))
}
