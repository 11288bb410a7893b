package segmentapitest_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/segmentapitest"
)

// The tests here are those that the package comment shows.

// offboard is code that somebody wants to test: it removes the user with an
// address.
func offboard(ctx context.Context, client *segmentapi.Client, email string) error {
	user, err := client.Users.Find(ctx, email)
	if err != nil {
		return err
	}
	_, err = client.Users.Remove(ctx, user.ID)
	return err
}

func TestOffboard(t *testing.T) {
	server := segmentapitest.NewServer(t)
	ada := server.AddUser(segmentapi.User{Name: "Ada", Email: "ada@example.com"})

	if err := offboard(t.Context(), server.Client, ada.Email); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Client.Users.Get(t.Context(), ada.ID); !errors.Is(err, segmentapi.ErrNotFound) {
		t.Errorf("she is still there: %v", err)
	}
}

func TestOffboardIsRefused(t *testing.T) {
	server := segmentapitest.NewServer(t)
	ada := server.AddUser(segmentapi.User{Name: "Ada", Email: "ada@example.com"})

	server.Fail("deleteUsers", http.StatusForbidden)
	err := offboard(t.Context(), server.Client, ada.Email)
	if !errors.Is(err, segmentapi.ErrForbidden) {
		t.Errorf("error is %v", err)
	}
}
