package sim

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

func getWorkspace(c *call) (reply, *problem) {
	w := c.state
	return ok(map[string]any{"workspace": map[string]string{"id": w.ID, "slug": w.Slug, "name": w.Name}}), nil
}

func listUsers(c *call) (reply, *problem) {
	return page(c, "users", listing[User]{rows: c.state.Users}, func(u User) wireUser {
		w := minimalUser(u)
		if c.permissionsInList {
			w.Permissions = c.permissions(subject{subjectUser, u.ID}, u.Permissions)
		}
		return w
	})
}

func getUser(c *call) (reply, *problem) {
	u, p := c.user()
	if p != nil {
		return reply{}, p
	}
	w := minimalUser(*u)
	w.Permissions = c.userPermissions(u)
	return ok(map[string]any{"user": w}), nil
}

func listUserGroupsFromUser(c *call) (reply, *problem) {
	u, p := c.user()
	if p != nil {
		return reply{}, p
	}
	return page(c, "groups", listing[int]{rows: c.index().groupsOfUser(u)}, func(i int) wireMinimalGroup {
		return wireMinimalGroup{c.state.Groups[i].ID, c.state.Groups[i].Name}
	})
}

func addPermissionsToUser(c *call) (reply, *problem) {
	u, p := c.user()
	if p != nil {
		return reply{}, p
	}
	return c.addPermissions(subject{subjectUser, u.ID}, &u.Permissions)
}

func replacePermissionsForUser(c *call) (reply, *problem) {
	u, p := c.user()
	if p != nil {
		return reply{}, p
	}
	return c.replacePermissions(subject{subjectUser, u.ID}, &u.Permissions)
}

// deleteUsers removes the users in order and stops at the first unknown id. Two things
// are assumptions: that it is not atomic, and the 404. It does not protect the last
// owner. It removes the memberships as well: Segment's SCIM documentation of re-added
// users implies that.
func deleteUsers(c *call) (reply, *problem) {
	ids, p := list(c.query, "userIds")
	if p != nil {
		return reply{}, p
	}
	for _, id := range ids {
		i := slices.IndexFunc(c.state.Users, func(u User) bool { return u.ID == id })
		if i < 0 {
			return reply{}, notFound("user", id)
		}
		if c.leaveGroups(c.state.Users[i].Email) {
			c.record(auditMembershipsDeleted, auditedUser(&c.state.Users[i]))
		}
		c.state.Users = slices.Delete(c.state.Users, i, i+1)
	}
	return success(), nil
}

// user returns the user that the path names.
func (c *call) user() (*User, *problem) {
	id := c.arg("id")
	i, there := c.index().users[id]
	if !there {
		return nil, notFound("user", id)
	}
	return &c.state.Users[i], nil
}

func minimalUser(u User) wireUser {
	return wireUser{ID: u.ID, Name: u.Name, Email: u.Email}
}

// leaveGroups removes an e-mail address from all groups, and reports whether it was in one.
func (c *call) leaveGroups(email string) bool {
	left := false
	for i := range c.state.Groups {
		g := &c.state.Groups[i]
		if at := memberIndex(g, email); at >= 0 {
			g.Members = slices.Delete(g.Members, at, at+1)
			left = true
		}
	}
	return left
}

func memberIndex(g *Group, email string) int {
	return slices.IndexFunc(g.Members, func(m string) bool { return foldEmail(m) == foldEmail(email) })
}

// list reads an array from a query in the forms of the official clients: name.0=a of most
// of them, name[0]=a of the one for TypeScript.
func list(q url.Values, name string) ([]string, *problem) {
	byIndex := map[int]string{}
	var order []int
	for key := range q {
		at, found := strings.CutPrefix(key, name+".")
		if !found {
			if at, found = strings.CutPrefix(key, name+"["); !found {
				continue
			}
			at, found = strings.CutSuffix(at, "]")
		}
		i, err := strconv.Atoi(at)
		if !found || err != nil || i < 0 || q.Get(key) == "" {
			return nil, invalid(key, "must be an indexed, non-empty string")
		}
		if has(byIndex, i) {
			return nil, invalid(key, "is there twice")
		}
		order = append(order, i)
		byIndex[i] = q.Get(key)
	}
	if len(order) == 0 {
		return nil, invalid(name, "is required")
	}
	slices.Sort(order)
	return mapSlice(order, func(i int) string { return byIndex[i] }), nil
}
