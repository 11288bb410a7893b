package connector

import (
	"fmt"
	"strings"
	"unicode/utf8"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"google.golang.org/protobuf/proto"
)

// The ids of resource types and the slugs of entitlements are a contract: the
// history of access reviews hangs on them.
const (
	typeWorkspace = "workspace"
	typeUser      = "user"
	typeInvite    = "invite"
	typeGroup     = "group"
	typeRole      = "role"
	typeSource    = "source"
	typeWarehouse = "warehouse"
	typeFunction  = "function"
	typeSpace     = "space"
	typeLabel     = "label"

	slugMember   = "member"
	slugAssigned = "assigned"
)

// optional reports whether a type is a feature that a plan may lack.
func optional(typeID string) bool {
	switch typeID {
	case typeGroup, typeSpace, typeWarehouse, typeFunction, typeLabel:
		return true
	}
	return false
}

// They are functions because the SDK hands the messages on and may change
// them.

func workspaceType() *v2.ResourceType {
	return resourceType(typeWorkspace, "Workspace", v2.ResourceType_TRAIT_APP, &v2.SkipEntitlementsAndGrants{})
}

func userType() *v2.ResourceType {
	return resourceType(typeUser, "User", v2.ResourceType_TRAIT_USER)
}

// Invites go when they are accepted, which is no anomaly.
func inviteType() *v2.ResourceType {
	return resourceType(typeInvite, "Invite", v2.ResourceType_TRAIT_USER, &v2.SkipEntitlementsAndGrants{}, &v2.SkipSyncAnomalyDetection{})
}

func groupType() *v2.ResourceType {
	return resourceType(typeGroup, "Group", v2.ResourceType_TRAIT_GROUP)
}

func roleType() *v2.ResourceType {
	return resourceType(typeRole, "Role", v2.ResourceType_TRAIT_ROLE, &v2.SkipEntitlementsAndGrants{})
}

func sourceType() *v2.ResourceType {
	return resourceType(typeSource, "Source", v2.ResourceType_TRAIT_APP, &v2.SkipEntitlementsAndGrants{})
}

func warehouseType() *v2.ResourceType {
	return resourceType(typeWarehouse, "Warehouse", v2.ResourceType_TRAIT_APP, &v2.SkipEntitlementsAndGrants{})
}

func functionType() *v2.ResourceType {
	return resourceType(typeFunction, "Function", v2.ResourceType_TRAIT_APP, &v2.SkipEntitlementsAndGrants{})
}

func spaceType() *v2.ResourceType {
	return resourceType(typeSpace, "Space", v2.ResourceType_TRAIT_APP, &v2.SkipEntitlementsAndGrants{})
}

func labelType() *v2.ResourceType {
	return resourceType(typeLabel, "Label", v2.ResourceType_TRAIT_APP, &v2.SkipEntitlementsAndGrants{})
}

func resourceType(id, name string, trait v2.ResourceType_Trait, annos ...proto.Message) *v2.ResourceType {
	return v2.ResourceType_builder{
		Id:          id,
		DisplayName: name,
		Traits:      []v2.ResourceType_Trait{trait},
		Annotations: annotations.New(annos...),
	}.Build()
}

func resourceID(typeID, id string) *v2.ResourceId {
	return v2.ResourceId_builder{ResourceType: typeID, Resource: id}.Build()
}

// Limits of Baton's wire format, in bytes.
const (
	maxDisplayName = 1024
	maxDescription = 2048
)

// displayName is the first candidate that has something to show.
func displayName(candidates ...string) string {
	for _, name := range candidates {
		if name = clip(strings.TrimSpace(name), maxDisplayName); name != "" {
			return name
		}
	}
	return "(unnamed)"
}

// clip makes s valid UTF-8 of at most limit bytes, without cutting a character
// in two.
func clip(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// described wraps what can only fail for a row that Baton cannot hold.
func described(r *v2.Resource, err error) (*v2.Resource, error) {
	if err != nil {
		return nil, fmt.Errorf("describing a resource: %w", err)
	}
	return r, nil
}
