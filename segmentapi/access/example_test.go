package access_test

import (
	"context"
	"fmt"

	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
	"github.com/baton-segment/baton-segment/segmentapi/segmentapitest"
)

// The owners of a workspace.
func Example() {
	server := segmentapitest.Start() // Stands in for Segment.
	defer server.Close()
	if err := printOwners(context.Background(), server.Client); err != nil {
		fmt.Println(err)
	}
	// Output:
	// ada.lindqvist@example.com
	// bruno.castellano@example.com
}

func printOwners(ctx context.Context, client *segmentapi.Client) error {
	snapshot, err := access.Read(ctx, client, access.ReadOptions{})
	if err != nil {
		return err
	}
	for _, path := range snapshot.Owners() {
		fmt.Println(path.Person.Email)
	}
	return nil
}

// The people who reach a source, and the roles through which they do.
func ExampleSnapshot_Who() {
	server := segmentapitest.Start() // Stands in for Segment.
	defer server.Close()
	snapshot, err := access.Read(context.Background(), server.Client, access.ReadOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, match := range snapshot.Find("order-service-dev", access.TypeSource) {
		for _, path := range snapshot.Who(match.Thing) {
			fmt.Println(path.Person.Name, "is", path.Role.Name, "on", path.HeldOn.Type, path.HeldOn.Name)
		}
	}
	// Output:
	// Ada Lindqvist is Workspace Owner on workspace Velo Northwind
	// Bruno Castellano is Workspace Owner on workspace Velo Northwind
	// Hana Novakova is Source Read-only on workspace Velo Northwind
	// Ivan Petrov is Source Read-only on workspace Velo Northwind
	// Kwame Asante is Source Admin on source order-service-dev
	// Nadia Rahman is Source Admin on label environment=dev
	// Rosa Jimenez is Source Read-only on workspace Velo Northwind
}

// The access that people gained between two readings.
func ExampleDiff() {
	server := segmentapitest.Start()
	defer server.Close()
	ctx := context.Background()
	before, err := access.Read(ctx, server.Client, access.ReadOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	group := before.Find("Security Auditors", access.TypeGroup)[0]
	if _, err = server.Client.Groups.AddMembers(ctx, group.ID, "jonas.weber@example.com"); err != nil {
		fmt.Println(err)
		return
	}
	after, err := access.Read(ctx, server.Client, access.ReadOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, path := range access.Diff(before, after).Gained {
		fmt.Println(path.Person.Name, "gained", path.Role.Name, "on", path.HeldOn.Name)
	}
	// Output:
	// Jonas Weber gained Member on Security Auditors
	// Jonas Weber gained Source Read-only on Velo Northwind
	// Jonas Weber gained Tracking Plan Read-only on Velo Northwind
	// Jonas Weber gained Warehouse Destination Read-only on Velo Northwind
}
