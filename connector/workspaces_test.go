package connector

import (
	"fmt"
	"slices"

	"github.com/baton-segment/baton-segment/internal/sim"
)

const workspaceID = "wksp"

// role is a permission on the whole workspace.
func role(id string) sim.Permission {
	return sim.Permission{RoleID: id, Resources: []sim.Resource{{ID: workspaceID, Type: "WORKSPACE"}}}
}

// small is a small workspace with owners, members, invites and groups.
func small() *sim.Workspace {
	web := "Web"
	return &sim.Workspace{
		ID: workspaceID, Slug: "small", Name: "Small",
		Roles: []sim.Role{{ID: "owner", Name: "Workspace Owner", Description: "All of it."}, {ID: "member", Name: "Minimal Workspace Access"}},
		Users: []sim.User{
			{ID: "u1", Name: "Ada Lovelace King", Email: "Ada@Example.com", Permissions: []sim.Permission{role("owner"), role("owner"), role("member")}},
			{ID: "u2", Name: "", Email: "bo@example.com"},
			{ID: "u3", Name: "Cy", Email: "cy@example.com", Permissions: []sim.Permission{{RoleID: "owner", Resources: []sim.Resource{
				{ID: "src", Type: "SOURCE"},
				{ID: workspaceID, Type: "WORKSPACE", Labels: []sim.Label{{Key: "env", Value: "prod"}}},
				{ID: workspaceID, Type: "WORKSPACE"},
			}}}},
		},
		Invites: []sim.Invite{{Email: "new@example.com"}},
		Sources: []sim.Source{{ID: "src", Slug: "web", Name: &web}},
		Labels:  []sim.Label{{Key: "env", Value: "prod"}},
		Groups: []sim.Group{
			{ID: "g1", Name: "Owners", Members: []string{"Ada@Example.com", "bo@example.com", "new@example.com"}, Permissions: []sim.Permission{role("owner")}},
			{ID: "g2", Name: "", Members: []string{"cy@example.com"}},
		},
	}
}

// full is small with roles and resources of every type.
func full() *sim.Workspace {
	ws := small()
	ws.Roles = append(ws.Roles, sim.Role{ID: "src", Name: "Source Admin"}, sim.Role{ID: "fn", Name: "Functions Admin"},
		sim.Role{ID: "uni", Name: "Unify and Engage Admin"}, sim.Role{ID: "wh", Name: "Warehouse Destination Admin"})
	ws.Warehouses = []sim.Warehouse{{ID: "w1", Settings: map[string]any{"name": "Lake"}}, {ID: "w2"}}
	ws.Functions = []sim.Function{{ID: "f1", ResourceType: "SOURCE"}, {ID: "f2", ResourceType: "INSERT_TRANSFORMATION"}}
	ws.Spaces = []sim.Space{{ID: "spa_1", Name: "One"}, {ID: "2", Name: "Two"}}
	ws.Invites = append(ws.Invites, sim.Invite{Email: "newer@example.com"})
	return ws
}

// writable is full, with a user and a group who hold Minimal Workspace Access
// alone, so that any other role can be granted to them and revoked.
func writable() *sim.Workspace {
	ws := full()
	ws.Users[1].Permissions = []sim.Permission{role("member")}
	ws.Groups[1].Permissions = []sim.Permission{role("member")}
	ws.Roles = append(ws.Roles, sim.Role{ID: "ent", Name: "Entities Admin"})
	ws.Labels = append(ws.Labels, sim.Label{Key: "team", Value: "a,b"})
	return ws
}

// writableWithHoldings is writable with a user and a group who hold a role on a
// source, which can be revoked from them.
func writableWithHoldings() *sim.Workspace {
	ws := writable()
	onSource := sim.Permission{RoleID: "src", Resources: []sim.Resource{{ID: "src", Type: "SOURCE"}}}
	ws.Users = append(ws.Users, sim.User{ID: "u4", Name: "Di", Email: "di@example.com", Permissions: []sim.Permission{role("member"), onSource}})
	ws.Groups[1].Permissions = []sim.Permission{role("member"), onSource}
	return ws
}

// usersAndEmptyGroups is a workspace of users and groups that each hold one
// role. The groups have no members.
func usersAndEmptyGroups(users, groups int) *sim.Workspace {
	ws := small()
	ws.Groups, ws.Users = nil, nil
	for i := range users {
		id := fmt.Sprintf("u%03d", i)
		ws.Users = append(ws.Users, sim.User{ID: id, Name: id, Email: id + "@example.com", Permissions: []sim.Permission{role("member")}})
	}
	for i := range groups {
		ws.Groups = append(ws.Groups, sim.Group{ID: fmt.Sprintf("g%03d", i), Permissions: []sim.Permission{role("member")}})
	}
	return ws
}

// hostileWithSpare has another owner, so that ownership can be revoked from each
// of the others.
func hostileWithSpare() *sim.Workspace {
	ws := sim.Hostile()
	ws.Users = append(ws.Users, sim.User{ID: "spare", Email: "spare@example.com", Permissions: ws.Users[0].Permissions})
	return ws
}

// twoOwners is a workspace of two users, u1 and u3, who own it directly.
func twoOwners() *sim.Workspace {
	ws := writable()
	ws.Groups = nil
	ws.Users = slices.Delete(ws.Users, 1, 2)
	for i := range ws.Users {
		ws.Users[i].Permissions = []sim.Permission{role("owner"), role("member")}
	}
	return ws
}

// demoteSecondUser takes ownership from u3 of twoOwners.
func demoteSecondUser(ws *sim.Workspace) { ws.Users[1].Permissions = []sim.Permission{role("member")} }
