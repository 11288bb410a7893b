package segmentapi_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// A dry run logs each change that the method would make, in the words in which the change
// itself is logged, and writes nothing. If there is nothing to change, it logs that.
func TestDryRun_Log(t *testing.T) {
	t.Parallel()
	changes := map[string]struct {
		do   func(context.Context, *segmentapi.Client) error
		want []string
	}{
		"grant to a user": {func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Users.Grant(ctx, "u", assigned(admin, "SOURCE a"))
			return err
		}, []string{`would change addPermissionsToUser "user u" "+ Source Admin on SOURCE a"`}},
		"grant of what is held": {func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Users.Grant(ctx, "u", assigned(reader, "SOURCE b"))
			return err
		}, []string{`nothing to change replacePermissionsForUser "user u"`}},
		"revocation from a group": {func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Groups.Revoke(ctx, "g", assigned(reader, "SOURCE b"))
			return err
		}, []string{`would change replacePermissionsForUserGroup "group g" "+ Minimal Workspace Access on WORKSPACE ws; - Source Read-only on SOURCE b"`}},
		"new group": {func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Groups.Create(ctx, "New")
			return err
		}, []string{`would change createUserGroup "group New" created`}},
		"new name of a group": {func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Groups.Rename(ctx, "g", "New")
			return err
		}, []string{`would change updateUserGroup "group g" "renamed from Group to New"`}},
		"new member": {func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Groups.AddMembers(ctx, "g", "v@example.com")
			return err
		}, []string{`would change addUsersToUserGroup "group g" "+ v@example.com"`}},
		"member already": {func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Groups.AddMembers(ctx, "g", "u@example.com")
			return err
		}, []string{`nothing to change addUsersToUserGroup "group g"`}},
		"member out": {func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Groups.RemoveMembers(ctx, "g", "v@example.com", "u@example.com")
			return err
		}, []string{`would change removeUsersFromUserGroup "group g" "- u@example.com"`}},
		"invite into a group": {func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Invites.Create(ctx, segmentapi.Invitation{Email: "new@example.com", Groups: []string{"g"}})
			return err
		}, []string{
			`would change createInvites "invite new@example.com" "+ Minimal Workspace Access on WORKSPACE ws"`,
			`would change addUsersToUserGroup "group g" "+ new@example.com"`,
		}},
		"invite withdrawn": {func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Invites.Delete(ctx, "pending@example.com")
			return err
		}, []string{`would change deleteInvites "invite pending@example.com" removed`}},
		"user removed": {func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Users.Remove(ctx, "u")
			return err
		}, []string{`would change deleteUsers "user u" "removed, and with it: Source Read-only on SOURCE b"`}},
		"group deleted": {func(ctx context.Context, c *segmentapi.Client) error {
			_, err := c.Groups.Delete(ctx, "g")
			return err
		}, []string{`would change deleteUserGroup "group g" "removed, and with it: Source Read-only on SOURCE b"`}},
	}
	for name, c := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ws := testWorkspace(on(reader, "SOURCE b"))
			ws.Users = append(ws.Users, sim.User{ID: "v", Email: "v@example.com"})
			ws.Invites = []sim.Invite{{Email: "pending@example.com"}}
			srv := sim.New(ws)
			var log sharedLog
			client := connect(t, srv, unspacedWrites(), segmentapi.WithDryRun(), segmentapi.WithLogger(log.logger()))
			if err := c.do(t.Context(), client); err != nil {
				t.Fatal(err)
			}
			if writes := simtest.Writes(srv.Journal()); len(writes) > 0 {
				t.Errorf("writes: %q", writes)
			}
			if diff := cmp.Diff(c.want, changeLines(log.String())); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
		})
	}
}

// changeLines returns the message, operation, subject and change of each line.
func changeLines(log string) []string {
	var lines []string
	for line := range strings.Lines(log) {
		var parts []string
		for _, field := range []string{"msg=", "operation=", "subject=", "change="} {
			_, value, found := strings.Cut(line, field)
			if !found {
				continue
			}
			if quoted, isQuoted := strings.CutPrefix(value, `"`); isQuoted {
				value, _, _ = strings.Cut(quoted, `"`)
				if field != "msg=" {
					value = `"` + value + `"`
				}
			} else {
				value, _, _ = strings.Cut(strings.TrimSpace(value), " ")
			}
			parts = append(parts, value)
		}
		lines = append(lines, strings.Join(parts, " "))
	}
	return lines
}
