package segmentapi_test

import (
	"context"
	"fmt"

	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/segmentapitest"
)

// holders lists the holders of a role, with its scope and, if they hold it through a
// group, the group.
func holders(ctx context.Context, client *segmentapi.Client, roleName string) ([]string, error) {
	role, err := client.Roles.Find(ctx, roleName)
	if err != nil {
		return nil, err
	}
	var found []string
	for user, err := range client.Users.AllWithPermissions(ctx) {
		if err != nil {
			return nil, err
		}
		for _, a := range segmentapi.Assignments(user.Permissions) {
			if a.RoleID == role.ID {
				found = append(found, fmt.Sprintf("%s: %v", user.Email, a))
			}
		}
	}
	for group, err := range client.Groups.AllWithPermissions(ctx) {
		if err != nil {
			return nil, err
		}
		for _, a := range segmentapi.Assignments(group.Permissions) {
			if a.RoleID != role.ID {
				continue
			}
			for member, err := range client.Groups.AllMembers(ctx, group.ID) {
				if err != nil {
					return nil, err
				}
				found = append(found, fmt.Sprintf("%s: %v, through %s", member.Email, a, group.Name))
			}
		}
	}
	return found, nil
}

// Find the holders of a role: the owners of the workspace, and those who may change
// functions.
func Example_whoHasARole() {
	server := segmentapitest.Start()
	defer server.Close()
	client := server.Client // Or what segmentapi.New returns.

	for _, role := range []string{segmentapi.RoleWorkspaceOwner, segmentapi.RoleFunctionsAdmin} {
		found, err := holders(context.Background(), client, role)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, line := range found {
			fmt.Println(line)
		}
	}
	// Output:
	// ada.lindqvist@example.com: Workspace Owner on WORKSPACE hX5kzTqWvN2bRc8JmYpL4d
	// bruno.castellano@example.com: Workspace Owner on WORKSPACE hX5kzTqWvN2bRc8JmYpL4d
	// grace.mbeki@example.com: Functions Admin on WORKSPACE hX5kzTqWvN2bRc8JmYpL4d
	// grace.mbeki@example.com: Functions Admin on FUNCTION dfn_6914af6a9afd4af402607d9c, through Function Owners
	// tomasz.zielinski@example.com: Functions Admin on FUNCTION dfn_6914af6a9afd4af402607d9c, through Function Owners
	// grace.mbeki@example.com: Functions Admin on FUNCTION dfn_71b2c04de8a94f5533019aa2, through Function Owners
	// tomasz.zielinski@example.com: Functions Admin on FUNCTION dfn_71b2c04de8a94f5533019aa2, through Function Owners
}
