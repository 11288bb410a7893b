package sim

import (
	"fmt"
	"slices"
)

// minimalAccess is the role that Segment gives to principals without another one. The
// audit trail suggests that new groups get it.
const minimalAccess = "Minimal Workspace Access"

func listUserGroups(c *call) (reply, *problem) {
	return page(c, "userGroups", listing[Group]{rows: c.state.Groups}, func(g Group) wireGroup {
		w := minimalGroup(&g)
		if c.permissionsInList {
			w.Permissions = c.permissions(subject{subjectGroup, g.ID}, g.Permissions)
		}
		return w
	})
}

func getUserGroup(c *call) (reply, *problem) {
	g, p := c.group()
	if p != nil {
		return reply{}, p
	}
	w := minimalGroup(g)
	if !c.normalizes(NormalizeOmitsPermissions) {
		w.Permissions = c.permissions(subject{subjectGroup, g.ID}, g.Permissions)
	}
	return ok(map[string]any{"userGroup": w}), nil
}

type groupInput struct {
	Name string `json:"name"`
}

func (c *call) groupName() (string, *problem) {
	var in groupInput
	if p := c.decode(&in); p != nil {
		return "", p
	}
	if in.Name == "" {
		return "", invalid("name", "is required")
	}
	return in.Name, nil
}

// createUserGroup allows the name of an existing group: exports of real workspaces
// have such groups.
func createUserGroup(c *call) (reply, *problem) {
	name, p := c.groupName()
	if p != nil {
		return reply{}, p
	}
	g := Group{ID: c.newID(), Name: name}
	for _, r := range c.state.Roles {
		if r.Name == minimalAccess {
			g.Permissions = []Permission{{RoleID: r.ID, Resources: []Resource{{ID: c.state.ID, Type: typeWorkspace}}}}
			break
		}
	}
	c.state.Groups = append(c.state.Groups, g)
	c.record(auditGroupCreated, auditedGroup(&g))
	for _, role := range roleIDs(g.Permissions) {
		c.recordPolicy(auditPolicyCreated, auditedGroup(&g), role)
	}
	return groupReply(&g), nil
}

func updateUserGroup(c *call) (reply, *problem) {
	g, p := c.group()
	if p != nil {
		return reply{}, p
	}
	name, p := c.groupName()
	if p != nil {
		return reply{}, p
	}
	g.Name = name
	c.record(auditGroupUpdated, auditedGroup(g))
	return groupReply(g), nil
}

// deleteUserGroup does not delete the members.
func deleteUserGroup(c *call) (reply, *problem) {
	g, p := c.group()
	if p != nil {
		return reply{}, p
	}
	id := g.ID
	c.record(auditGroupDeleted, auditedGroup(g))
	i := slices.IndexFunc(c.state.Groups, func(g Group) bool { return g.ID == id })
	c.state.Groups = slices.Delete(c.state.Groups, i, i+1)
	return success(), nil
}

func listUsersFromUserGroup(c *call) (reply, *problem) {
	members, p := c.members()
	if p != nil {
		return reply{}, p
	}
	return page(c, "users", listing[int]{rows: members.users}, func(i int) wireUser { return minimalUser(c.state.Users[i]) })
}

// listInvitesFromUserGroup returns addresses in the group's own spelling.
func listInvitesFromUserGroup(c *call) (reply, *problem) {
	members, p := c.members()
	if p != nil {
		return reply{}, p
	}
	return page(c, "emails", listing[string]{rows: members.pending}, func(email string) string { return email })
}

type emailsInput struct {
	Emails []string `json:"emails"`
}

// addUsersToUserGroup ignores addresses that are members already: an assumption.
func addUsersToUserGroup(c *call) (reply, *problem) {
	g, members, p := c.groupAndMembers()
	if p != nil {
		return reply{}, p
	}
	if len(members) == 0 {
		return reply{}, invalid("emails", "must contain at least 1 item")
	}
	before := slices.Clone(g.Members)
	for _, m := range members {
		if memberIndex(g, m) < 0 {
			g.Members = append(g.Members, m)
		}
	}
	c.recordMembers(g, before)
	return groupReply(g), nil
}

// replaceUsersInUserGroup replaces users and pending invites alike. An empty
// list clears the group: Segment's own Terraform provider relies on it.
func replaceUsersInUserGroup(c *call) (reply, *problem) {
	g, members, p := c.groupAndMembers()
	if p != nil {
		return reply{}, p
	}
	before := g.Members
	g.Members = members
	c.recordMembers(g, before)
	return groupReply(g), nil
}

// removeUsersFromUserGroup works like deleteUsers. That it answers 404 for an address
// that is not in the group is an assumption.
func removeUsersFromUserGroup(c *call) (reply, *problem) {
	g, p := c.group()
	if p != nil {
		return reply{}, p
	}
	emails, p := list(c.query, "emails")
	if p != nil {
		return reply{}, p
	}
	for _, email := range emails {
		i := memberIndex(g, email)
		if i < 0 {
			return reply{}, notFound("member", email)
		}
		g.Members = slices.Delete(g.Members, i, i+1)
		c.record(auditMembershipsDeleted, auditedGroup(g))
		if has(c.index().usersByEmail, foldEmail(email)) {
			c.record(auditUserRemoved, auditedGroup(g))
		}
	}
	return success(), nil
}

func addPermissionsToUserGroup(c *call) (reply, *problem) {
	g, p := c.group()
	if p != nil {
		return reply{}, p
	}
	return c.addPermissions(subject{subjectGroup, g.ID}, &g.Permissions)
}

func replacePermissionsForUserGroup(c *call) (reply, *problem) {
	g, p := c.group()
	if p != nil {
		return reply{}, p
	}
	return c.replacePermissions(subject{subjectGroup, g.ID}, &g.Permissions)
}

// group returns the group that the path names.
func (c *call) group() (*Group, *problem) {
	i, p := c.groupIndex()
	if p != nil {
		return nil, p
	}
	return &c.state.Groups[i], nil
}

// members returns the members of the group that the path names.
func (c *call) members() (membership, *problem) {
	i, p := c.groupIndex()
	if p != nil {
		return membership{}, p
	}
	return c.index().members[i], nil
}

func (c *call) groupIndex() (int, *problem) {
	id := c.arg("id")
	i, there := c.index().groups[id]
	if !there {
		return 0, notFound("user group", id)
	}
	return i, nil
}

// groupAndMembers reads a body of e-mail addresses. It returns each once, in the
// spelling of the workspace. It refuses an address that is neither a user's nor
// invited with 422, which is an assumption.
func (c *call) groupAndMembers() (*Group, []string, *problem) {
	g, p := c.group()
	if p != nil {
		return nil, nil, p
	}
	var in emailsInput
	if p := c.decode(&in); p != nil {
		return nil, nil, p
	}
	if in.Emails == nil {
		return nil, nil, invalid("emails", "is required")
	}
	seen := map[string]bool{}
	members := make([]string, 0, len(in.Emails))
	for i, email := range in.Emails {
		folded := foldEmail(email)
		if u, there := c.index().usersByEmail[folded]; there {
			email = c.state.Users[u].Email
		} else if v, there := c.index().invites[folded]; there {
			email = c.state.Invites[v].Email
		} else {
			return nil, nil, invalid(fmt.Sprintf("emails.%d", i), "is neither a user's nor a pending invite's")
		}
		if !seen[folded] {
			seen[folded] = true
			members = append(members, email)
		}
	}
	return g, members, nil
}

// minimalGroup counts pending invites as members; whether Segment does is not
// documented.
func minimalGroup(g *Group) wireGroup {
	return wireGroup{ID: g.ID, Name: g.Name, MemberCount: len(g.Members)}
}

// groupReply is the answer of writes. It has no permissions.
func groupReply(g *Group) reply {
	return ok(map[string]any{"userGroup": minimalGroup(g)})
}
