// Reader reads all resources and grants of a sync file with the SDK and prints how many
// there are: the least that a program takes which answers from a file.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/dotc1z"
	"github.com/conductorone/baton-sdk/pkg/dotc1z/c1zstore"
)

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, file string) error {
	store, err := dotc1z.NewStore(ctx, file, dotc1z.WithReadOnly(true))
	if err != nil {
		return err
	}
	resources, err := readResources(ctx, store)
	if err == nil {
		var grants int
		grants, err = readGrants(ctx, store)
		fmt.Println(resources, grants)
	}
	return errors.Join(err, store.Close(ctx))
}

func readResources(ctx context.Context, store c1zstore.Store) (int, error) {
	types, err := store.ListResourceTypes(ctx, &v2.ResourceTypesServiceListResourceTypesRequest{}) // They are on one page.
	n := 0
	for _, t := range types.GetList() {
		for token := ""; err == nil; {
			var page *v2.ResourcesServiceListResourcesResponse
			page, err = store.ListResources(ctx, v2.ResourcesServiceListResourcesRequest_builder{ResourceTypeId: t.GetId(), PageToken: token}.Build())
			n += len(page.GetList())
			if token = page.GetNextPageToken(); token == "" {
				break
			}
		}
	}
	return n, err
}

func readGrants(ctx context.Context, store c1zstore.Store) (int, error) {
	n := 0
	for token := ""; ; {
		page, err := store.ListGrants(ctx, v2.GrantsServiceListGrantsRequest_builder{PageToken: token}.Build())
		n += len(page.GetList())
		if token = page.GetNextPageToken(); token == "" || err != nil {
			return n, err
		}
	}
}
