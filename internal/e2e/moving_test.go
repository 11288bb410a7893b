package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	sdksync "github.com/conductorone/baton-sdk/pkg/sync"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// A workspace does not stand still while it is read. What the file says must
// have been true of each row when it was read, and no row may stand on one that
// is not there.

// movingPage is small enough for several pages of people.
const movingPage = 10

func TestWorkspaceThatChangesWhileItIsRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		// The edit happens before this request, counted from 1.
		operation string
		ordinal   int
		edit      func(*sim.Workspace)
		// want is what the file holds, of the workspace before and after.
		want func(before, after *sim.Workspace) contents
	}{
		"a user goes between list and detail": {
			operation: "getUser", ordinal: 1, edit: removeUser,
			want: func(before, after *sim.Workspace) contents {
				c := expected(after, builtTypes())
				c.keep(before, typeUser+":"+before.Users[theUser].ID)
				return c
			},
		},
		"a group goes between list and detail": {
			operation: "getUserGroup", ordinal: 1, edit: removeGroup, want: withoutGroup,
		},
		"a group goes between detail and members": {
			operation: "listUsersFromUserGroup", ordinal: 1, edit: removeGroup, want: withoutGroup,
		},
		"a user is renamed and given another role between list and detail": {
			operation: "getUser", ordinal: 1,
			edit: func(ws *sim.Workspace) {
				u := &ws.Users[theUser]
				u.Name = "Renamed"
				u.Permissions = slices.Clone(ws.Users[0].Permissions)
			},
			want: func(before, after *sim.Workspace) contents {
				after.Users[theUser].Name = before.Users[theUser].Name
				return expected(after, builtTypes())
			},
		},
		// The first page has been read: one of its users comes again at the end,
		// and the one that moves up into it is out of reach.
		"a user moves from the first page to the last": {
			operation: "listUsers", ordinal: 3,
			edit: func(ws *sim.Workspace) {
				ws.Users = append(ws.Users[1:], ws.Users[0])
			},
			want: func(before, _ *sim.Workspace) contents {
				before.Users = slices.Delete(before.Users, movingPage, movingPage+1)
				return expected(before, builtTypes())
			},
		},
		// What two pages say of one user cannot both be true: what was read last
		// stands, and the user is there once.
		"a user moves from the first page to the last under another name": {
			operation: "listUsers", ordinal: 3,
			edit: func(ws *sim.Workspace) {
				ws.Users = append(ws.Users[1:], ws.Users[0])
				ws.Users[len(ws.Users)-1].Name = "Renamed"
			},
			want: func(before, _ *sim.Workspace) contents {
				before.Users = slices.Delete(before.Users, movingPage, movingPage+1)
				before.Users[0].Name = "Renamed"
				return expected(before, builtTypes())
			},
		},
		// The last of the first page comes again on the second, and the one that
		// moves up to the front is out of reach.
		"a user moves from the last page to the first": {
			operation: "listUsers", ordinal: 3,
			edit: func(ws *sim.Workspace) {
				last := len(ws.Users) - 1
				ws.Users = slices.Insert(ws.Users[:last:last], 0, ws.Users[last])
			},
			want: func(before, _ *sim.Workspace) contents {
				before.Users = before.Users[:len(before.Users)-1]
				return expected(before, builtTypes())
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, sim.Demo())
			if err := s.Before(c.operation, c.ordinal, c.edit); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "sync.c1z")
			syncInProcess(t, s, file, movingPage, sdksync.WithWorkerCount(1), sdksync.WithFailFastInvariants())
			compare(t, c.want(sim.Demo(), s.Workspace()), readFile(t, file).contents(t))
		})
	}
}

// The user and the group of the demo that the edits are about. Both hold
// something, and the user is in a group.
const (
	theUser  = 5
	theGroup = 1
)

func removeUser(ws *sim.Workspace) {
	email := ws.Users[theUser].Email
	ws.Users = slices.Delete(ws.Users, theUser, theUser+1)
	for i := range ws.Groups {
		g := &ws.Groups[i]
		g.Members = slices.DeleteFunc(g.Members, func(m string) bool { return m == email })
	}
}

func removeGroup(ws *sim.Workspace) { ws.Groups = slices.Delete(ws.Groups, theGroup, theGroup+1) }

// withoutGroup is a group that was listed and no more: nobody is in it, and it
// holds nothing.
func withoutGroup(before, after *sim.Workspace) contents {
	c := expected(after, builtTypes())
	c.keep(before, typeGroup+":"+before.Groups[theGroup].ID)
	return c
}

// keep adds a resource that was listed before it went, and its entitlements.
func (c *contents) keep(before *sim.Workspace, gone string) {
	was := expected(before, builtTypes())
	for _, r := range was.Resources {
		if r.Type+":"+r.ID == gone {
			c.Resources = append(c.Resources, r)
		}
	}
	for _, e := range was.Entitlements {
		if strings.HasPrefix(e.ID, gone+":") {
			c.Entitlements = append(c.Entitlements, e)
		}
	}
	c.sort()
}
