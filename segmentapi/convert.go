package segmentapi

import (
	"slices"

	"github.com/segmentio/public-api-sdk-go/api"
)

// The generated types end here: they change with every release upstream.

func workspaceOf(w api.WorkspaceV1) Workspace {
	return Workspace{ID: w.Id, Slug: w.Slug, Name: w.Name}
}

func userOf(u api.UserV1) User {
	return User{ID: u.Id, Name: u.Name, Email: u.Email, Permissions: permissionsOf(u.Permissions)}
}

func memberOf(u api.MinimalUserV1) User {
	return User{ID: u.Id, Name: u.Name, Email: u.Email}
}

func groupOf(g api.UserGroupV1) Group {
	return Group{ID: g.Id, Name: g.Name, MemberCount: int(g.MemberCount), Permissions: permissionsOf(g.Permissions)}
}

func roleOf(r api.RoleV1) Role {
	return Role{ID: r.Id, Name: r.Name, Description: r.Description}
}

// permissionsOf keeps nil, which means that the answer did not say.
func permissionsOf(in []api.PermissionV1) []Permission {
	if in == nil {
		return nil
	}
	out := make([]Permission, len(in))
	for i, p := range in {
		out[i] = Permission{RoleID: p.RoleId, RoleName: p.RoleName, Scopes: make([]Scope, len(p.Resources))}
		for j, r := range p.Resources {
			// The read model allows labels in both places. Those on the permission
			// restrict all of its resources; a write can only put them there.
			labels := addLabels(addLabels(nil, r.Labels), p.Labels)
			out[i].Scopes[j] = Scope{Type: ScopeType(r.Type), ID: r.Id, Labels: labels}
		}
	}
	return out
}

// addLabels leaves out what is there already: labels are a set.
func addLabels(out []Label, in []api.AllowedLabelBeta) []Label {
	for _, l := range in {
		label := Label{Key: l.Key, Value: l.Value}
		if l.Description != nil {
			label.Description = *l.Description
		}
		same := func(o Label) bool { return o.Key == label.Key && o.Value == label.Value }
		if !slices.ContainsFunc(out, same) {
			out = append(out, label)
		}
	}
	return out
}
