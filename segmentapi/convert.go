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

// userDetailOf reads a detail, which says by leaving permissions out that there
// are none.
func userDetailOf(u api.UserV1) User {
	user := userOf(u)
	user.Permissions = append([]Permission{}, user.Permissions...)
	return user
}

// groupDetailOf is for groups what userDetailOf is for users.
func groupDetailOf(g api.UserGroupV1) Group {
	group := groupOf(g)
	group.Permissions = append([]Permission{}, group.Permissions...)
	return group
}

func roleOf(r api.RoleV1) Role {
	return Role{ID: r.Id, Name: r.Name, Description: r.Description}
}

func sourceOf(s api.SourceV1) Source {
	return Source{ID: s.Id, Slug: s.Slug, Name: s.GetName(), Enabled: s.Enabled, Kind: s.Metadata.Name, Labels: labelsOf(s.Labels)}
}

func warehouseOf(w api.WarehouseV1) Warehouse {
	// Anything may stand in the settings; what is not text leaves name empty.
	name, _ := w.Settings["name"].(string)
	return Warehouse{ID: w.Id, Name: name, Enabled: w.Enabled, Kind: w.Metadata.Name}
}

// A generatedFunction is what rows of the list and the detail have in common.
type generatedFunction interface {
	GetId() string
	GetDisplayName() string
	GetDescription() string
	GetResourceType() string
}

func functionOf(f generatedFunction) Function {
	return Function{ID: f.GetId(), Name: f.GetDisplayName(), Description: f.GetDescription(), Type: FunctionType(f.GetResourceType())}
}

func spaceOf(s api.Space) Space {
	return Space{ID: s.Id, Slug: s.Slug, Name: s.Name}
}

func labelOf(l api.LabelV1) Label {
	return Label{Key: l.Key, Value: l.Value, Description: l.GetDescription()}
}

func labelsOf(in []api.LabelV1) []Label {
	var out []Label
	for _, l := range in {
		out = append(out, labelOf(l))
	}
	return out
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

// accessOf reads the permissions in the answer to a write.
func accessOf(in []api.AccessPermissionV1) []Permission {
	var out []Permission
	for _, p := range in {
		out = append(out, permissionsOf([]api.PermissionV1{{RoleName: p.RoleName, RoleId: p.RoleId, Resources: p.Resources}})...)
	}
	return out
}

// addLabels leaves out what is there already: labels are a set.
func addLabels(out []Label, in []api.AllowedLabelBeta) []Label {
	for _, l := range in {
		label := labelOf(api.LabelV1(l))
		same := func(o Label) bool { return o.Key == label.Key && o.Value == label.Value }
		if !slices.ContainsFunc(out, same) {
			out = append(out, label)
		}
	}
	return out
}

// inputOf is the form of permissions that a write takes for users and groups.
// The list is never nil: the official client would send null.
func inputOf(in []Permission) []api.PermissionInputV1 {
	out := make([]api.PermissionInputV1, len(in))
	for i, p := range in {
		out[i] = api.PermissionInputV1{RoleId: p.RoleID, Resources: make([]api.PermissionResourceV1, len(p.Scopes))}
		for j, s := range p.Scopes {
			out[i].Resources[j] = api.PermissionResourceV1{Id: s.ID, Type: string(s.Type), Labels: labelInputOf(s.Labels)}
		}
	}
	return out
}

// labelInputOf keeps everything in a label, its description too.
func labelInputOf(in []Label) []api.AllowedLabelBeta {
	var out []api.AllowedLabelBeta
	for _, l := range in {
		label := api.AllowedLabelBeta{Key: l.Key, Value: l.Value}
		if l.Description != "" {
			label.Description = &l.Description
		}
		out = append(out, label)
	}
	return out
}

// inviteInputOf is the form of permissions that an invite takes: the labels are
// on the permission. Each has one set of them, as [Permissions] makes it.
func inviteInputOf(in []Permission) []api.InvitePermissionV1 {
	out := make([]api.InvitePermissionV1, len(in))
	for i, p := range in {
		out[i] = api.InvitePermissionV1{RoleId: p.RoleID}
		for _, s := range p.Scopes {
			out[i].Resources = append(out[i].Resources, api.ResourceV1{Id: s.ID, Type: string(s.Type)})
			out[i].Labels = labelInputOf(s.Labels)
		}
	}
	return out
}
