package segmentapi_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/segmentapitest"
)

// Print every user of the workspace.
func Example() {
	server := segmentapitest.Start(segmentapitest.WithWorkspace("sized:users=3"))
	defer server.Close()

	// Leave WithBaseURL out to reach Segment itself, with a token of your own.
	client, err := segmentapi.New(server.Token, segmentapi.WithBaseURL(server.URL))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	for user, err := range client.Users.All(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(user.Email)
	}
	// Output:
	// user-0@example.com
	// user-1@example.com
	// user-2@example.com
}

// Read a page at a time, for a program that shows pages or stores the cursor.
func ExampleUserService_List() {
	server := segmentapitest.Start(segmentapitest.WithWorkspace("sized:users=5"))
	defer server.Close()
	client := server.Client // Or what segmentapi.New returns.

	opts := segmentapi.ListOptions{Count: 2}
	for {
		page, err := client.Users.List(context.Background(), opts)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(len(page.Items), "of", page.Total)
		if page.Next == "" {
			break
		}
		opts.Cursor = page.Next
	}
	// Output:
	// 2 of 5
	// 2 of 5
	// 1 of 5
}

// Elif gets a role on everything that carries a label. If she already held it, nothing
// would be written, and the Difference would be empty.
func ExampleUserService_Grant() {
	server := segmentapitest.Start()
	defer server.Close()
	client := server.Client // Or what segmentapi.New returns.
	ctx := context.Background()

	elif, err := client.Users.Find(ctx, "elif.aydin@example.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	reader, err := client.Roles.Find(ctx, segmentapi.RoleSourceReadOnly)
	if err != nil {
		fmt.Println(err)
		return
	}
	change, err := client.Users.Grant(ctx, elif.ID, segmentapi.Assignment{
		RoleID: reader.ID,
		Scope:  segmentapi.OnLabels(segmentapi.Label{Key: "environment", Value: "prod"}),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(change)
	// Output: + Source Read-only on WORKSPACE hX5kzTqWvN2bRc8JmYpL4d with environment=prod
}

// Kwame gets exactly what a list says. The Difference is what had to be changed.
func ExampleUserService_Replace() {
	server := segmentapitest.Start()
	defer server.Close()
	client := server.Client // Or what segmentapi.New returns.
	ctx := context.Background()

	kwame, err := client.Users.Find(ctx, "kwame.asante@example.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	admin, err := client.Roles.Find(ctx, segmentapi.RoleSourceAdmin)
	if err != nil {
		fmt.Println(err)
		return
	}
	change, err := client.Users.Replace(ctx, kwame.ID, []segmentapi.Permission{{
		RoleID: admin.ID,
		Scopes: []segmentapi.Scope{segmentapi.OnSource("v4qZdw9SKTaMrWflbYkmRd"), segmentapi.OnSource("YdyIEKo8oFZMbqGH2ZjWl2")},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, a := range change.Added {
		fmt.Println("added on", a.Scope.ID)
	}
	for _, a := range change.Removed {
		fmt.Println("removed on", a.Scope.ID)
	}
	// Output:
	// added on YdyIEKo8oFZMbqGH2ZjWl2
	// removed on mI0lPQr7R4dvbnncc9g9UP
}

// Each change leaves a line in the log, and so does one that was not needed.
func ExampleWithLogger() {
	server := segmentapitest.Start()
	defer server.Close()

	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey { // The output of an example must not depend on the time.
			return slog.Attr{}
		}
		return a
	}}))
	client, err := segmentapi.New(server.Token, segmentapi.WithBaseURL(server.URL), segmentapi.WithLogger(logger))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()
	for range 2 {
		if _, err := client.Groups.AddMembers(context.Background(), "OndJOScDWjn9kpf01qM2Rep54Le", "mei.chen@example.com"); err != nil {
			fmt.Println(err)
			return
		}
	}
	// Output:
	// level=INFO msg=changed operation=addUsersToUserGroup subject="group OndJOScDWjn9kpf01qM2Rep54Le" change="+ mei.chen@example.com"
	// level=INFO msg="nothing to change" operation=addUsersToUserGroup subject="group OndJOScDWjn9kpf01qM2Rep54Le" why="already in it: mei.chen@example.com"
}

// Kwame holds Source Admin on two sources. One of them is revoked, the other
// stays. Repeating the call would change nothing, and the Difference would be empty.
func ExampleUserService_Revoke() {
	server := segmentapitest.Start()
	defer server.Close()
	client := server.Client // Or what segmentapi.New returns.
	ctx := context.Background()

	const kwame, staging = "xZUdDJLbx41F0fBkJbzhG4YHF1J", "mI0lPQr7R4dvbnncc9g9UP"
	admin, err := client.Roles.Find(ctx, segmentapi.RoleSourceAdmin)
	if err != nil {
		fmt.Println(err)
		return
	}
	onStaging := segmentapi.Assignment{RoleID: admin.ID, Scope: segmentapi.OnSource(staging)}
	change, err := client.Users.Revoke(ctx, kwame, onStaging)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(change)

	user, err := client.Users.Get(ctx, kwame)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("left:", segmentapi.Assignments(user.Permissions))
	// Output:
	// - Source Admin on SOURCE mI0lPQr7R4dvbnncc9g9UP
	// left: [Source Admin on SOURCE v4qZdw9SKTaMrWflbYkmRd]
}

// Revoke a role from a user on every scope. Segment requires at least one
// permission, so Minimal Workspace Access takes the place of the last one.
func ExampleUserService_Edit() {
	server := segmentapitest.Start()
	defer server.Close()
	client := server.Client // Or what segmentapi.New returns.

	ctx := context.Background()

	const id = "xZUdDJLbx41F0fBkJbzhG4YHF1J"
	change, err := client.Users.Edit(ctx, id, segmentapi.RevokeFunc(func(a segmentapi.Assignment) bool {
		return a.RoleName == segmentapi.RoleSourceAdmin
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, a := range change.Removed {
		fmt.Println("-", a)
	}
	for _, a := range change.Added {
		fmt.Println("+", a)
	}
	// Output:
	// - Source Admin on SOURCE mI0lPQr7R4dvbnncc9g9UP
	// - Source Admin on SOURCE v4qZdw9SKTaMrWflbYkmRd
	// + Minimal Workspace Access on WORKSPACE hX5kzTqWvN2bRc8JmYpL4d
}

// The last owner of a workspace cannot be removed.
func ExampleUserService_Remove() {
	server := segmentapitest.Start(segmentapitest.WithWorkspace("empty"))
	defer server.Close()
	client := server.Client // Or what segmentapi.New returns.
	ctx := context.Background()

	owner, err := client.Roles.Find(ctx, segmentapi.RoleWorkspaceOwner)
	if err != nil {
		fmt.Println(err)
		return
	}
	ada := server.AddUser(segmentapi.User{Email: "ada@example.com", Permissions: []segmentapi.Permission{{
		RoleID: owner.ID,
		Scopes: []segmentapi.Scope{segmentapi.OnWorkspace()},
	}}})

	removed, err := client.Users.Remove(ctx, ada.ID)
	fmt.Println(removed, errors.Is(err, segmentapi.ErrLastOwner))
	// Output: false true
}

// A dry run shows what a change would do.
func ExampleWithDryRun() {
	server := segmentapitest.Start()
	defer server.Close()

	client, err := segmentapi.New(server.Token, segmentapi.WithBaseURL(server.URL), segmentapi.WithDryRun())
	if err != nil {
		fmt.Println(err)
		return
	}
	added, err := client.Groups.AddMembers(context.Background(), "OndJOScDWjn9kpf01qM2Rep54Le", "wei.zhang@example.com", "mei.chen@example.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("would add", added)
	for _, request := range server.Requests() {
		fmt.Println(request.Method, request.Path)
	}
	// Output:
	// would add [mei.chen@example.com]
	// GET /groups/OndJOScDWjn9kpf01qM2Rep54Le/users
	// GET /groups/OndJOScDWjn9kpf01qM2Rep54Le/invites
}

// Members are named by address. Existing members are not added again.
func ExampleGroupService_AddMembers() {
	server := segmentapitest.Start()
	defer server.Close()
	client := server.Client // Or what segmentapi.New returns.

	const marketing = "OndJOScDWjn9kpf01qM2Rep54Le"
	added, err := client.Groups.AddMembers(context.Background(), marketing, "wei.zhang@example.com", "mei.chen@example.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("added", added)
	// Output: added [mei.chen@example.com]
}

// An invite with a role on one source. Without Permissions it is for Minimal
// Workspace Access.
func ExampleInviteService_Create() {
	server := segmentapitest.Start()
	defer server.Close()
	client := server.Client // Or what segmentapi.New returns.
	ctx := context.Background()

	reader, err := client.Roles.Find(ctx, segmentapi.RoleSourceReadOnly)
	if err != nil {
		fmt.Println(err)
		return
	}
	invite, err := client.Invites.Create(ctx, segmentapi.Invitation{
		Email: "new.colleague@example.com",
		Permissions: []segmentapi.Permission{{
			RoleID: reader.ID,
			Scopes: []segmentapi.Scope{segmentapi.OnSource("YdyIEKo8oFZMbqGH2ZjWl2")},
		}},
		Groups: []string{"lK8mPBLCfB35D61NaDhUT0SUKuO"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(invite.Email, invite.Sent)
	// Output: new.colleague@example.com true
}

// Match errors with sentinels, and read the details from the fields.
func ExampleError() {
	server := segmentapitest.Start()
	defer server.Close()
	client := server.Client // Or what segmentapi.New returns.

	_, err := client.Users.Get(context.Background(), "left-last-week")
	if errors.Is(err, segmentapi.ErrNotFound) {
		fmt.Println("no user has this id")
	}
	var failed *segmentapi.Error
	if errors.As(err, &failed) {
		fmt.Println(failed.Operation, failed.StatusCode, failed.Details)
	}
	// Output:
	// no user has this id
	// getUser 404 [user "left-last-week" not found]
}

// The client waits for the rate limit, for up to 65 seconds by default. If it would
// have to wait longer, the caller decides.
func ExampleRateLimitError() {
	server := segmentapitest.Start()
	defer server.Close()
	server.RateLimit("listUsers", 2*time.Minute)
	client := server.Client // Or what segmentapi.New returns.

	_, err := client.Users.List(context.Background(), segmentapi.ListOptions{})
	var limited *segmentapi.RateLimitError
	if errors.As(err, &limited) {
		fmt.Println("try again in", limited.Wait.Round(time.Second)) // At limited.Reset.
		return
	}
	fmt.Println(err)
	// Output: try again in 2m0s
}

// A handler of web requests does not wait for the limit, but a nightly job does. Both
// share the token and, through WithRetry, what is known of the limit.
func ExampleClient_WithRetry() {
	server := segmentapitest.Start()
	defer server.Close()
	server.RateLimit("getWorkspace", 100*time.Millisecond)
	patient := server.Client // Or what segmentapi.New returns.
	ctx := context.Background()

	hasty, err := patient.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = hasty.Workspace.Get(ctx)
	fmt.Println(errors.Is(err, segmentapi.ErrRateLimited))

	workspace, err := patient.Workspace.Get(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(workspace.Name)
	// Output:
	// true
	// Velo Northwind
}

// Print what happened to a user group in the last day. Segment does not document how soon
// an event appears, nor the order of events.
func ExampleAuditService_All() {
	server := segmentapitest.Start()
	defer server.Close()
	client := server.Client // Or what segmentapi.New returns.
	ctx := context.Background()

	group, err := client.Groups.Create(ctx, "Night shift")
	if err != nil {
		fmt.Println(err)
		return
	}
	var events []segmentapi.AuditEvent
	for event, err := range client.Audit.All(ctx, segmentapi.AuditOptions{
		Start:      time.Now().Add(-24 * time.Hour),
		ResourceID: group.ID,
	}) {
		if segmentapi.LacksFeature(err) {
			fmt.Println("the workspace is not on the Business plan")
			return
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		events = append(events, event)
	}
	slices.SortStableFunc(events, func(a, b segmentapi.AuditEvent) int { return a.Time.Compare(b.Time) })
	for _, event := range events {
		fmt.Println(event.Type, "by", event.Actor)
	}
	// Unordered output:
	// User Group Created by Public API token 'simulator'
	// Policy Created by Public API token 'simulator'
}
