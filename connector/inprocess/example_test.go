package inprocess_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/dotc1z"

	"github.com/baton-segment/baton-segment/connector"
	"github.com/baton-segment/baton-segment/connector/inprocess"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/segmentapitest"
)

func Example() {
	server := segmentapitest.Start(segmentapitest.WithWorkspace("empty")) // In the place of Segment.
	defer server.Close()
	owner := segmentapi.Permission{
		RoleID: "1WDUuRLxv84rrfCNUwvkrRtkxnS", // Workspace Owner, which every workspace has.
		Scopes: []segmentapi.Scope{{Type: segmentapi.ScopeWorkspace, ID: server.WorkspaceID()}},
	}
	server.AddUser(segmentapi.User{ID: "ada", Name: "Ada", Email: "ada@example.com", Permissions: []segmentapi.Permission{owner}})
	server.AddGroup(segmentapi.Group{ID: "data", Name: "Data Platform"}, "ada@example.com")
	server.AddGroup(segmentapi.Group{ID: "web", Name: "Web"})

	ctx := context.Background()
	options := connector.Options{Token: server.Token, BaseURL: server.URL}
	segment, err := connector.New(ctx, options)
	must(err)
	runner, err := inprocess.New(ctx, segment, inprocess.WithProvisioning())
	must(err)
	defer func() { must(runner.Close(ctx)) }()

	dir, err := os.MkdirTemp("", "review-")
	must(err)
	defer func() { must(os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "segment.c1z")
	err = runner.Sync(ctx, file)
	must(err)

	store, err := dotc1z.NewStore(ctx, file, dotc1z.WithReadOnly(true))
	must(err)
	defer func() { must(store.Close(ctx)) }()
	grants, err := store.ListGrants(ctx, &v2.GrantsServiceListGrantsRequest{}) // So few are on one page.
	must(err)
	for _, g := range grants.GetList() {
		fmt.Println(g.GetPrincipal().GetId().GetResource(), "holds", g.GetEntitlement().GetId())
	}

	ada := v2.ResourceId_builder{ResourceType: "user", Resource: "ada"}.Build()
	changed, err := runner.Grant(ctx, file, "group:web:member", ada)
	fmt.Println("granted:", changed, err)
	changed, err = runner.Grant(ctx, file, "group:web:member", ada)
	fmt.Println("granted again:", changed, err)
	changed, err = runner.Revoke(ctx, file, "group:web:member", ada)
	fmt.Println("revoked:", changed, err)
	// Output:
	// ada holds group:data:member
	// ada holds role:1WDUuRLxv84rrfCNUwvkrRtkxnS:assigned
	// ada holds workspace:9aQ1Lj62S4bomZKLF4DPqW:member
	// granted: true <nil>
	// granted again: false <nil>
	// revoked: true <nil>
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
