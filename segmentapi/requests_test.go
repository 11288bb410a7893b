package segmentapi_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// requestsWorkspace has a user u in one group, a user v in none, and an invite in two
// groups.
func requestsWorkspace() *sim.Workspace {
	ws := testWorkspace(on(admin, "SOURCE a"), on(minimal, wholeWorkspace))
	ws.Users = append(ws.Users, sim.User{ID: "v", Email: "v@example.com", Permissions: []sim.Permission{on(minimal, wholeWorkspace)}})
	ws.Invites = []sim.Invite{{Email: pending}}
	for _, id := range []string{"h", "i"} {
		ws.Groups = append(ws.Groups, sim.Group{ID: id, Name: id, Members: []string{pending}, Permissions: []sim.Permission{on(minimal, wholeWorkspace)}})
	}
	return ws
}

// ordinaryWrites are the changes that are made most often, with their requests by a client
// that has no roles in its cache.
var ordinaryWrites = []struct {
	name string
	do   func(context.Context, *segmentapi.Client) error
	want string
	// most is how long the change takes at most: an edit reads once more after 1 to 1.5 s,
	// and writes are a second apart.
	most time.Duration
}{
	{"grant to a user", func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Users.Grant(ctx, "u", assigned(admin, "SOURCE b"))
		return err
	}, "getUser addPermissionsToUser getUser getUser", 1500 * time.Millisecond},
	{"grant to a group", func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Groups.Grant(ctx, "g", assigned(admin, "SOURCE b"))
		return err
	}, "getUserGroup addPermissionsToUserGroup getUserGroup getUserGroup", 1500 * time.Millisecond},
	{"grant with a label", func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Users.Grant(ctx, "u", assigned(admin, wholeWorkspace+" env=prod"))
		return err
	}, "getUser listLabels addPermissionsToUser getUser getUser", 1500 * time.Millisecond},
	{"grant of what is held", func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Users.Grant(ctx, "u", assigned(admin, "SOURCE a"))
		return err
	}, "getUser", 0},
	{"revocation from a user", func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Users.Revoke(ctx, "u", assigned(admin, "SOURCE a"))
		return err
	}, "getUser getUser replacePermissionsForUser getUser getUser", 1500 * time.Millisecond},
	{"revocation from a group", func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Groups.Revoke(ctx, "g", assigned(admin, "SOURCE a"))
		return err
	}, "getUserGroup getUserGroup replacePermissionsForUserGroup getUserGroup getUserGroup", 1500 * time.Millisecond},
	{"revocation of what is not held", func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Users.Revoke(ctx, "u", assigned(admin, "SOURCE b"))
		return err
	}, "getUser", 0},
	{"member added", func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Groups.AddMembers(ctx, "g", "v@example.com")
		return err
	}, "listUsersFromUserGroup listInvitesFromUserGroup addUsersToUserGroup listUsersFromUserGroup", 0},
	{"member removed", func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Groups.RemoveMembers(ctx, "g", "u@example.com")
		return err
	}, "listUsersFromUserGroup listInvitesFromUserGroup getUserGroup listRoles removeUsersFromUserGroup listUsersFromUserGroup listInvitesFromUserGroup", 0},
	{"user removed", func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Users.Remove(ctx, "u")
		return err
	}, "getUser listUserGroupsFromUser getUserGroup listRoles deleteUsers getUser", 0},
	{"invite sent", func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Invites.Create(ctx, segmentapi.Invitation{Email: newcomer, Permissions: onSourceA()})
		return err
	}, "listInvites listUsers createInvites listInvites listUsers", 0},
	{"invite sent without permissions", func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Invites.Create(ctx, segmentapi.Invitation{Email: newcomer})
		return err
	}, "listInvites listUsers listRoles getWorkspace createInvites listInvites listUsers", 0},
	{"invite sent, in a group", func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Invites.Create(ctx, segmentapi.Invitation{Email: newcomer, Permissions: onSourceA(), Groups: []string{"h"}})
		return err
	}, "listInvites listUsers getUserGroup createInvites listInvites listUsers listUsersFromUserGroup listInvitesFromUserGroup addUsersToUserGroup listUsersFromUserGroup listInvitesFromUserGroup", time.Second},
	{"invite withdrawn", func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Invites.Delete(ctx, pending)
		return err
	}, "listInvites listUserGroups listInvitesFromUserGroup listInvitesFromUserGroup listInvitesFromUserGroup deleteInvites listInvites", 0},
	{"group created", func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Groups.Create(ctx, "New")
		return err
	}, "listUserGroups createUserGroup getUserGroup", 0},
	{"group renamed", func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Groups.Rename(ctx, "g", "New")
		return err
	}, "listUserGroups getUserGroup updateUserGroup getUserGroup", 0},
	{"group deleted", func(ctx context.Context, c *segmentapi.Client) error {
		_, err := c.Groups.Delete(ctx, "g")
		return err
	}, "getUserGroup listRoles deleteUserGroup getUserGroup", 0},
}

// An ordinary change makes exactly these requests, with the default settle time and limits,
// where reads show each write at once.
func TestWrites_ExactRequests(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 1, 2, ' ', 0)
	for _, c := range ordinaryWrites {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(requestsWorkspace())
				client := connect(t, srv, settling())
				start := time.Now()
				if err := c.do(t.Context(), client); err != nil {
					t.Fatal(err)
				}
				took, got := time.Since(start), simtest.Operations(srv.Journal())
				if diff := cmp.Diff(strings.Fields(c.want), got); diff != "" {
					t.Errorf("requests (-want +got):\n%s", diff)
				}
				if took > c.most || c.most > 0 && took < time.Second {
					t.Errorf("it took %s, want at most %s", took, c.most)
				}
				if _, err := fmt.Fprintf(w, "%s\t%d\t%s\n", c.name, len(got), strings.Join(got, " ")); err != nil {
					t.Error(err)
				}
			})
		})
	}
	if err := w.Flush(); err != nil {
		t.Error(err)
	}
	t.Logf("requests of each change:\n%s", &table)
}
