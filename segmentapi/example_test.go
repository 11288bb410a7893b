package segmentapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// ownersOf lists everyone who holds Workspace Owner directly.
func ownersOf(ctx context.Context, client *segmentapi.Client) ([]string, error) {
	var emails []string
	for listed, err := range client.Users.All(ctx) {
		if err != nil {
			return nil, err
		}
		user, err := client.Users.Get(ctx, listed.ID) // Lists carry no permissions.
		if err != nil {
			return nil, err
		}
		for _, p := range user.Permissions {
			if p.RoleName == "Workspace Owner" {
				emails = append(emails, user.Email)
			}
		}
	}
	return emails, nil
}

func Example() {
	demo := sim.New(sim.Demo())
	server := httptest.NewServer(demo)
	defer server.Close()

	// Leave WithBaseURL out to reach Segment itself.
	client, err := segmentapi.New(demo.Token(), segmentapi.WithBaseURL(server.URL))
	if err != nil {
		fmt.Println(err)
		return
	}
	emails, err := ownersOf(context.Background(), client)
	fmt.Println(emails, err)
	// Output: [ada.lindqvist@example.com bruno.castellano@example.com] <nil>
}

func ExampleError() {
	demo := sim.New(sim.Demo())
	server := httptest.NewServer(demo)
	defer server.Close()

	client, err := segmentapi.New(demo.Token(), segmentapi.WithBaseURL(server.URL))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Users.Get(context.Background(), "left-last-week")
	fmt.Println(errors.Is(err, segmentapi.ErrNotFound))
	// Output: true
}

// Kwame holds Source Admin on two sources. One of them is taken away.
func ExampleUserService_Revoke() {
	demo := sim.New(sim.Demo())
	server := httptest.NewServer(demo)
	defer server.Close()

	client, err := segmentapi.New(demo.Token(), segmentapi.WithBaseURL(server.URL))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	admin, err := client.Roles.Find(ctx, "Source Admin")
	if err != nil {
		fmt.Println(err)
		return
	}
	change, err := client.Users.Revoke(ctx, "xZUdDJLbx41F0fBkJbzhG4YHF1J", segmentapi.Assignment{
		RoleID: admin.ID,
		Scope:  segmentapi.Scope{Type: segmentapi.ScopeSource, ID: "mI0lPQr7R4dvbnncc9g9UP"},
	})
	fmt.Println(change, err)
	// Output: - Source Admin on SOURCE mI0lPQr7R4dvbnncc9g9UP <nil>
}
