package segmentapi_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// A member of a group is removed from the workspace, or the invite is withdrawn. Then the
// person is invited anew and added. A replica that still shows the first membership is no
// reason not to write.
func TestAddMembers_AgainAfterTheMemberWasRemoved(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(*testing.T, *segmentapi.Client){
		"a user": func(t *testing.T, c *segmentapi.Client) {
			t.Helper()
			if _, err := c.Users.Remove(t.Context(), "v"); err != nil {
				t.Fatal(err)
			}
		},
		"an invite": func(t *testing.T, c *segmentapi.Client) {
			t.Helper()
			if _, err := c.Invites.Delete(t.Context(), "w@example.com"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			email := map[string]string{"a user": "v@example.com", "an invite": "w@example.com"}[name]
			for phase := range 3 { // Which replica answers the first read.
				synctest.Test(t, func(t *testing.T) {
					ws := testWorkspace(on(minimal, wholeWorkspace))
					ws.Users = append(ws.Users, sim.User{ID: "v", Email: "v@example.com", Permissions: []sim.Permission{on(minimal, wholeWorkspace)}})
					ws.Invites = []sim.Invite{{Email: "w@example.com"}}
					ws.Groups[0].Members = []string{email}
					srv := sim.New(ws, sim.WithReplicas(2, 5*time.Second))
					c := connect(t, srv, settling(), unspacedWrites())
					for range phase {
						if _, err := c.Groups.AddMembers(t.Context(), "g", email); err != nil {
							t.Fatal(err)
						}
					}
					remove(t, c)
					if _, err := c.Invites.Create(t.Context(), segmentapi.Invitation{Email: email, Groups: []string{"g"}}); err != nil {
						t.Fatal(err)
					}
					if got := srv.Workspace().Groups[0].Members; !slices.Contains(got, email) {
						t.Errorf("phase %d: members %v", phase, got)
					}
				})
			}
		})
	}
}

// The invite of a member is withdrawn right after the person was added to a group, while a
// replica need not show the membership yet. A replica that shows it later is no reason to report
// that the person is in the group.
func TestAddMembers_AfterTheInviteWasWithdrawn(t *testing.T) {
	t.Parallel()
	read := func(t *testing.T, c *segmentapi.Client, times int) {
		t.Helper()
		for range times {
			for _, err := range c.Groups.AllInvites(t.Context(), "g") {
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for phase := range 4 { // Which replica answers the reads before the withdrawal and after it.
		t.Run(strconv.Itoa(phase), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ws := testWorkspace(on(minimal, wholeWorkspace))
				ws.Invites = []sim.Invite{{Email: "w@example.com"}}
				c := connect(t, sim.New(ws, sim.WithReplicas(2, 5*time.Second)), settling(), unspacedWrites())
				if _, err := c.Groups.AddMembers(t.Context(), "g", "w@example.com"); err != nil {
					t.Fatal(err)
				}
				<-time.After(3 * time.Second)
				read(t, c, phase/2)
				if _, err := c.Invites.Delete(t.Context(), "w@example.com"); err != nil {
					t.Fatal(err)
				}
				<-time.After(3 * time.Second)
				read(t, c, phase%2)
				if added, err := c.Groups.AddMembers(t.Context(), "g", "w@example.com"); err == nil {
					t.Errorf("no error, and added: %v", added)
				}
			})
		})
	}
}

// A write fails and is not carried out. A replica that still shows the state before the last
// write of this process seems to confirm it, but proves nothing.
func TestWrites_OldReadDoesNotConfirmAFailedWrite(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sim.Fault{
		"answer lost": {Kind: sim.FaultReset},
		"422":         {Kind: sim.FaultStatus, Status: http.StatusUnprocessableEntity},
		"404":         {Kind: sim.FaultStatus, Status: http.StatusNotFound},
	} {
		for phase := range 2 { // Which replica answers the first read.
			t.Run(fmt.Sprintf("%s/%d", name, phase), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { failedWrites(t, fault, phase) })
			})
		}
	}
}

// failedWrites reverses earlier writes with writes that fail.
func failedWrites(t *testing.T, fault sim.Fault, phase int) {
	t.Helper()
	srv := sim.New(testWorkspace(on(minimal, wholeWorkspace)), sim.WithReplicas(2, 5*time.Second))
	c := connect(t, srv, settling(), unspacedWrites())
	removal, replacement := fault, fault
	removal.Operation, removal.Ordinal = "removeUsersFromUserGroup", 2
	replacement.Operation, replacement.Ordinal = "replacePermissionsForUserGroup", 1
	if err := srv.Inject(removal, replacement); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Groups.RemoveMembers(t.Context(), "g", "u@example.com"); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Minute)
	if _, err := c.Groups.AddMembers(t.Context(), "g", "u@example.com"); err != nil {
		t.Fatal(err)
	}
	for range phase {
		for _, err := range c.Groups.AllMembers(t.Context(), "g") {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err := c.Groups.RemoveMembers(t.Context(), "g", "u@example.com")
	if got := srv.Workspace().Groups[0].Members; err == nil && len(got) > 0 {
		t.Errorf("taken out without an error, and there: %v", got)
	}
	if _, err = c.Groups.Grant(t.Context(), "g", assigned(admin, "SOURCE a")); err != nil {
		t.Fatal(err)
	}
	for range phase {
		if _, err = c.Groups.Get(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
	}
	_, err = c.Groups.Revoke(t.Context(), "g", assigned(admin, "SOURCE a"))
	if got := holds(srv.Workspace(), "g"); err == nil && slices.Contains(got, admin+" SOURCE a") {
		t.Errorf("revoked without an error, and held: %v", got)
	}
}

// A write is refused, or its answer is lost. The next read may be older than an earlier write of
// this process. Such a read decides nothing.
func TestWrites_OldReadAfterAFailedWrite(t *testing.T) {
	t.Parallel()
	const name = "Growth"
	for what, fault := range map[string]sim.Fault{
		"rate limited": {Kind: sim.FaultStatus, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"3"}}},
		"refused":      {Kind: sim.FaultStatus, Status: http.StatusUnprocessableEntity},
		"answer lost":  {Kind: sim.FaultReset},
	} {
		for phase := range 4 { // Which replica answers the reads of the users and of the groups.
			t.Run(fmt.Sprintf("%s/%d", what, phase), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					ws := testWorkspace(on(minimal, wholeWorkspace))
					ws.Users = append(ws.Users, sim.User{ID: "v", Email: "v@example.com", Permissions: []sim.Permission{on(minimal, wholeWorkspace)}})
					ws.Groups = append(ws.Groups, sim.Group{ID: "growth", Name: name, Permissions: []sim.Permission{on(minimal, wholeWorkspace)}})
					srv := sim.New(ws, sim.WithReplicas(2, 20*time.Second))
					c := connect(t, srv, segmentapi.WithSettleTime(30*time.Second), unspacedWrites())
					for _, operation := range []string{"createInvites", "createUserGroup"} {
						first := fault
						first.Operation, first.Ordinal = operation, 1
						if err := srv.Inject(first); err != nil {
							t.Fatal(err)
						}
					}
					if _, err := c.Users.Remove(t.Context(), "v"); err != nil {
						t.Fatal(err)
					}
					for range phase % 2 {
						if _, err := c.Users.List(t.Context(), segmentapi.ListOptions{}); err != nil {
							t.Fatal(err)
						}
					}
					invite, err := c.Invites.Create(t.Context(), segmentapi.Invitation{Email: "v@example.com", Permissions: onSourceA()})
					if sent := len(srv.Workspace().Invites) > 0; sent == (err != nil) || sent != (invite != nil && invite.Sent) {
						t.Errorf("invited: %t, and the answer is %+v, %v", sent, invite, err)
					}
					if _, err = c.Groups.Delete(t.Context(), "growth"); err != nil {
						t.Fatal(err)
					}
					for range phase / 2 {
						if _, err = c.Groups.List(t.Context(), segmentapi.ListOptions{}); err != nil {
							t.Fatal(err)
						}
					}
					group, err := c.Groups.Create(t.Context(), name)
					created := slices.ContainsFunc(srv.Workspace().Groups, func(g sim.Group) bool { return g.Name == name })
					if created == (err != nil) || created != (group != nil) || what == "rate limited" && !created {
						t.Errorf("created: %t, and the answer is %+v, %v", created, group, err)
					}
				})
			})
		}
	}
}
