package connector

import (
	"slices"
	"strings"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// An entitlementID is the id of an entitlement: type:resource:slug. The type has
// no colon and the slug has none; a resource may have some.
type entitlementID struct{ typeID, id, slug string }

// String joins the parts.
func (e entitlementID) String() string { return e.typeID + ":" + e.id + ":" + e.slug }

// target is what an entitlement to a role is on.
func (e entitlementID) target() access.Target {
	t := access.Target{Type: e.typeID, ID: e.id, RoleID: e.slug}
	if e.typeID == access.TypeRole {
		t.RoleID = e.id
	}
	return t
}

// parseEntitlementID splits the id of an entitlement and refuses one that no
// resource can have.
func parseEntitlementID(s string) (entitlementID, error) {
	typeID, rest, _ := strings.Cut(s, ":")
	at := strings.LastIndex(rest, ":")
	if at < 0 {
		return entitlementID{}, status.Errorf(codes.InvalidArgument, "%q is not the id of an entitlement, which is type:resource:slug", s)
	}
	e := entitlementID{typeID: typeID, id: rest[:at], slug: rest[at+1:]}
	k := kindOf(typeID)
	switch {
	case e.id == "" || e.slug == "":
		return entitlementID{}, status.Errorf(codes.InvalidArgument, "the entitlement %q lacks its resource or its slug", s)
	case k == nil || k.only == nil && k.on == "":
		return entitlementID{}, status.Errorf(codes.InvalidArgument, "the entitlement %q is on a resource of type %q, which has no entitlements", s, typeID)
	case k.only != nil && k.only.slug != e.slug:
		return entitlementID{}, status.Errorf(codes.InvalidArgument, "the entitlement %q does not exist: a %s has the entitlement %q only", s, typeID, k.only.slug)
	}
	return e, nil
}

// readEntitlement reads an entitlement of one of types that a caller passes. It
// uses only its id, and the id of its resource, which the SDK goes by: all else
// may be missing or outdated.
func readEntitlement(e *v2.Entitlement, types ...string) (entitlementID, error) {
	parsed, err := parseEntitlementID(e.GetId())
	if err != nil {
		return entitlementID{}, err
	}
	if !slices.Contains(types, parsed.typeID) {
		return entitlementID{}, status.Errorf(codes.InvalidArgument, "the entitlement %q does not belong to a %s", e.GetId(), strings.Join(types, " or a "))
	}
	if id := e.GetResource().GetId(); id != nil && (id.GetResourceType() != parsed.typeID || id.GetResource() != parsed.id) {
		return entitlementID{}, status.Errorf(codes.InvalidArgument, "the entitlement %q is not on the resource %s %q that it comes with",
			e.GetId(), id.GetResourceType(), id.GetResource())
	}
	return parsed, nil
}

// principalID returns the id of the principal that is to get or lose something.
func principalID(principal *v2.Resource, types ...string) (*v2.ResourceId, error) {
	id := principal.GetId()
	switch {
	case id.GetResource() == "":
		return nil, status.Error(codes.InvalidArgument, "the principal has no id")
	case slices.Contains(types, id.GetResourceType()):
		return id, nil
	case id.GetResourceType() == typeInvite:
		return nil, status.Errorf(codes.FailedPrecondition,
			"%s is invited and cannot get or lose roles: Segment does not show what an invite gives; add the invite to a group, or delete it and send one with another role",
			id.GetResource())
	}
	return nil, status.Errorf(codes.InvalidArgument, "%s %q cannot be the principal: use a %s",
		id.GetResourceType(), id.GetResource(), strings.Join(types, " or "))
}
