package segmentapi_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/segmentapitest"
)

// The case of the address does not matter.
func ExampleUserService_Find() {
	server := segmentapitest.Start()
	defer server.Close()
	client := server.Client // Or what segmentapi.New returns.
	ctx := context.Background()

	user, err := client.Users.Find(ctx, "Kwame.Asante@example.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(user.ID, user.Name)

	_, err = client.Users.Find(ctx, "kwame@example.com")
	fmt.Println(errors.Is(err, segmentapi.ErrNotFound))
	// Output:
	// xZUdDJLbx41F0fBkJbzhG4YHF1J Kwame Asante
	// true
}

// Add a user to a group, by e-mail and by the name of the group.
func ExampleGroupService_Find() {
	server := segmentapitest.Start()
	defer server.Close()
	client := server.Client // Or what segmentapi.New returns.
	ctx := context.Background()

	group, err := client.Groups.Find(ctx, "marketing")
	if err != nil {
		fmt.Println(err)
		return
	}
	added, err := client.Groups.AddMembers(ctx, group.ID, "mei.chen@example.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(added, "added to", group.Name)
	// Output: [mei.chen@example.com] added to Marketing
}

// Find sources by slug or by name.
func ExampleSourceService_Find() {
	server := segmentapitest.Start()
	defer server.Close()
	client := server.Client // Or what segmentapi.New returns.
	ctx := context.Background()

	for _, text := range []string{"web-shop", "Order service", "shop"} {
		source, err := client.Sources.Find(ctx, text)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(source.ID, source.Name)
	}
	// Output:
	// YdyIEKo8oFZMbqGH2ZjWl2 Web Shop
	// AGDUPfrHVTIRbxndGh2nEI Order Service
	// segment listSources (GET /sources): not found: no source has the name or slug "shop"
}

// Print who holds a role directly, and on what.
func ExampleUserService_AllWithPermissions() {
	server := segmentapitest.Start()
	defer server.Close()
	client := server.Client // Or what segmentapi.New returns.

	for user, err := range client.Users.AllWithPermissions(context.Background()) {
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, a := range segmentapi.Assignments(user.Permissions) {
			if a.RoleName == segmentapi.RoleSourceAdmin {
				fmt.Printf("%s: %v\n", user.Email, a)
			}
		}
	}
	// Output:
	// farid.haddad@example.com: Source Admin on SOURCE wuHty81qfJCfpk8Ax2HYsx
	// farid.haddad@example.com: Source Admin on SOURCE xZvEFun8glWoFkz1lBXSgQ
	// nadia.rahman@example.com: Source Admin on WORKSPACE hX5kzTqWvN2bRc8JmYpL4d with environment=dev
	// kwame.asante@example.com: Source Admin on SOURCE mI0lPQr7R4dvbnncc9g9UP
	// kwame.asante@example.com: Source Admin on SOURCE v4qZdw9SKTaMrWflbYkmRd
}
