package segmentapi_test

import (
	"context"
	"strings"
	"testing"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// A change that is not needed leaves one line in the log with the workspace, the
// operation, the object and the reason.
func TestChangeLog_NothingToChange(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do   func(context.Context, *segmentapi.Client) error
		want string
	}{
		"a user who is not there": {func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Users.Remove(ctx, "nobody")
			return err
		}, `operation=deleteUsers subject="user nobody" workspace_id=ws why="it does not exist"`},
		"a group that is not there": {func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Groups.Delete(ctx, "nothing")
			return err
		}, `operation=deleteUserGroup subject="group nothing" workspace_id=ws why="it does not exist"`},
		"a member who is there": {func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Groups.AddMembers(ctx, "g", "U@example.com")
			return err
		}, `operation=addUsersToUserGroup subject="group g" workspace_id=ws why="already in it: U@example.com"`},
		"a member who is not there": {func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Groups.RemoveMembers(ctx, "g", "owner@example.com")
			return err
		}, `operation=removeUsersFromUserGroup subject="group g" workspace_id=ws why="not in it: owner@example.com"`},
		"an invite of a user": {func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Invites.Create(ctx, segmentapi.Invitation{Email: "u@example.com", Permissions: onSourceA()})
			return err
		}, `operation=createInvites subject="invite u@example.com" workspace_id=ws why="user u has the address"`},
		"a replacement with what is held": {func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Users.Replace(ctx, "u", leastAccess())
			return err
		}, `operation=replacePermissionsForUser subject="user u" workspace_id=ws why="the permissions already match"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log sharedLog
			client := connect(t, sim.New(inviting()), unspacedWrites(), segmentapi.WithLogger(log.logger()))
			if _, err := client.Workspace.Get(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := c.do(t.Context(), client); err != nil {
				t.Fatal(err)
			}
			if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `level=INFO msg="nothing to change" `+c.want) {
				t.Errorf("log:\n%s", got)
			}
		})
	}
}
