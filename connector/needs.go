package connector

import (
	"slices"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
)

// The requests that several types send, for the table of resource types. Segment's tokens
// have a role and no scopes, so what a type needs is known by its requests alone.

// roleRequests look up roles, grant them and revoke them.
func roleRequests() []string {
	return []string{
		"GET /roles",
		"GET /users/{userId}", "POST /users/{userId}/permissions", "PUT /users/{userId}/permissions",
		"GET /groups/{userGroupId}", "POST /groups/{userGroupId}/permissions", "PUT /groups/{userGroupId}/permissions",
		// A role that a user does not hold may come from a group.
		"GET /users/{userId}/groups",
	}
}

// removalRequests remove a user. An owner is demoted first and leaves groups of owners,
// which is undone if the removal fails.
func removalRequests() []string {
	return []string{
		"GET /users/{userId}", "GET /users/{userId}/groups", "DELETE /users", "PUT /users/{userId}/permissions",
		"GET /groups", "GET /groups/{userGroupId}", "GET /groups/{userGroupId}/users", "GET /groups/{userGroupId}/invites",
		"DELETE /group/{userGroupId}/users", "POST /groups/{userGroupId}/users", "GET /roles",
	}
}

// described returns the type with what it needs from Segment, as the capabilities of the
// connector show it.
func (k *kind) described() *v2.ResourceType {
	needs := append([]string{"GET /"}, k.requests...) // Every call asks which workspace it is.
	slices.Sort(needs)
	permissions := make([]*v2.CapabilityPermission, len(needs))
	for i, request := range needs {
		permissions[i] = v2.CapabilityPermission_builder{Permission: request}.Build()
	}
	t := k.message()
	annos := annotations.Annotations(t.GetAnnotations())
	annos.Append(v2.CapabilityPermissions_builder{Permissions: permissions}.Build())
	t.SetAnnotations(annos)
	return t
}
