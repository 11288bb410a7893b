package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	sdksync "github.com/conductorone/baton-sdk/pkg/sync"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// smallPage is a page size that gives the users of the demo several pages.
const smallPage = 10

// A workspace may change while it is read. Each row of the file was true when it
// was read, and no row refers to one that is missing.
func TestInProcess_WorkspaceChanges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		// The edit is made before this request, counted from 1.
		operation string
		ordinal   int
		edit      func(*sim.Workspace)
		// want returns the rows of the file, given the workspace before and after.
		want func(before, after *sim.Workspace) contents
	}{
		"a user is deleted between list and detail": {
			operation: "getUser", ordinal: 1, edit: removeEditedUser,
			want: func(before, after *sim.Workspace) contents {
				c := expected(after, builtTypes())
				c.keepListed(before, typeUser+":"+before.Users[editedUser].ID)
				return c
			},
		},
		"a group is deleted between list and detail": {
			operation: "getUserGroup", ordinal: 1, edit: removeEditedGroup, want: withoutGroup,
		},
		"a group is deleted between detail and members": {
			operation: "listUsersFromUserGroup", ordinal: 1, edit: removeEditedGroup, want: withoutGroup,
		},
		"a user is renamed and given another role between list and detail": {
			operation: "getUser", ordinal: 1,
			edit: func(ws *sim.Workspace) {
				u := &ws.Users[editedUser]
				u.Name = "Renamed"
				u.Permissions = slices.Clone(ws.Users[0].Permissions)
			},
			want: func(before, after *sim.Workspace) contents {
				after.Users[editedUser].Name = before.Users[editedUser].Name
				return expected(after, builtTypes())
			},
		},
		// The first page has been read: one of its users is listed again at the end,
		// and the user that moves up into the first page is not read.
		"a user moves from the first page to the last": {
			operation: "listUsers", ordinal: 3,
			edit: func(ws *sim.Workspace) {
				ws.Users = append(ws.Users[1:], ws.Users[0])
			},
			want: func(before, _ *sim.Workspace) contents {
				before.Users = slices.Delete(before.Users, smallPage, smallPage+1)
				return expected(before, builtTypes())
			},
		},
		// Two pages contain the user under two names: the file has the user once,
		// under the name that was read last.
		"a user moves from the first page to the last under another name": {
			operation: "listUsers", ordinal: 3,
			edit: func(ws *sim.Workspace) {
				ws.Users = append(ws.Users[1:], ws.Users[0])
				ws.Users[len(ws.Users)-1].Name = "Renamed"
			},
			want: func(before, _ *sim.Workspace) contents {
				before.Users = slices.Delete(before.Users, smallPage, smallPage+1)
				before.Users[0].Name = "Renamed"
				return expected(before, builtTypes())
			},
		},
		// The last user of the first page is listed again on the second, and the user
		// that moves to the front is not read.
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
			syncInProcess(t, s, file, smallPage, sdksync.WithWorkerCount(1), sdksync.WithFailFastInvariants())
			compare(t, c.want(sim.Demo(), s.Workspace()), readFile(t, file).contents(t))
		})
	}
}

// The indexes of the user and the group of the demo that are edited. Both hold
// roles, and the user is in a group.
const (
	editedUser  = 5
	editedGroup = 1
)

func removeEditedUser(ws *sim.Workspace) {
	email := ws.Users[editedUser].Email
	ws.Users = slices.Delete(ws.Users, editedUser, editedUser+1)
	for i := range ws.Groups {
		g := &ws.Groups[i]
		g.Members = slices.DeleteFunc(g.Members, func(m string) bool { return m == email })
	}
}

func removeEditedGroup(ws *sim.Workspace) {
	ws.Groups = slices.Delete(ws.Groups, editedGroup, editedGroup+1)
}

// withoutGroup returns rows in which the edited group has neither members nor
// roles, since it was deleted after it was listed.
func withoutGroup(before, after *sim.Workspace) contents {
	c := expected(after, builtTypes())
	c.keepListed(before, typeGroup+":"+before.Groups[editedGroup].ID)
	return c
}

// keepListed adds a resource that was deleted after it was listed, and its
// entitlements.
func (c *contents) keepListed(before *sim.Workspace, deleted string) {
	was := expected(before, builtTypes())
	for _, r := range was.Resources {
		if r.Type+":"+r.ID == deleted {
			c.Resources = append(c.Resources, r)
		}
	}
	for _, e := range was.Entitlements {
		if strings.HasPrefix(e.ID, deleted+":") {
			c.Entitlements = append(c.Entitlements, e)
		}
	}
	c.sort()
}
