package segmentapitest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/segmentapitest"
)

func ExampleNewServer() {
	// In a test, this is its own *testing.T.
	t := &exampleT{}
	defer t.end()

	server := segmentapitest.NewServer(t)
	ada := server.AddUser(segmentapi.User{Name: "Ada", Email: "ada@example.com"})

	user, err := server.Client.Users.Get(t.Context(), ada.ID)
	fmt.Println(user.Name, err)

	server.Fail("getUser", http.StatusForbidden)
	_, err = server.Client.Users.Get(t.Context(), ada.ID)
	fmt.Println(errors.Is(err, segmentapi.ErrForbidden))

	for _, r := range server.Requests() {
		fmt.Println(r.Operation, r.Status)
	}
	// Output:
	// Ada <nil>
	// true
	// getUser 200
	// getUser 403
}

// An exampleT is as much of a testing.T as an example needs.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (t *exampleT) Helper()                  {}
func (t *exampleT) Cleanup(f func())         { t.cleanups = append(t.cleanups, f) }
func (t *exampleT) Context() context.Context { return context.Background() }

func (t *exampleT) end() {
	for _, f := range t.cleanups {
		f()
	}
}
