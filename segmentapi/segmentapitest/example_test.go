package segmentapitest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/segmentapitest"
)

func ExampleStart() {
	server := segmentapitest.Start(segmentapitest.WithWorkspace("empty"))
	defer server.Close()
	ada := server.AddUser(segmentapi.User{Name: "Ada", Email: "ada@example.com"})
	ctx := context.Background()

	user, err := server.Client.Users.Get(ctx, ada.ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(user.Name)

	server.Fail("getUser", http.StatusForbidden)
	_, err = server.Client.Users.Get(ctx, ada.ID)
	fmt.Println(errors.Is(err, segmentapi.ErrForbidden))

	for _, r := range server.Requests() {
		fmt.Println(r.Operation, r.Status)
	}
	// Output:
	// Ada
	// true
	// getUser 200
	// getUser 403
}
