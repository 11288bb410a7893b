package segmentapi

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/public-api-sdk-go/api"
)

// Generated types are used in this file and at the call sites only: they change
// with every release upstream.

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

// userDetailOf converts the answer of Get. If it has no permissions, the user holds
// none.
func userDetailOf(u api.UserV1) User {
	user := userOf(u)
	user.Permissions = append([]Permission{}, user.Permissions...)
	return user
}

// groupDetailOf does for groups what userDetailOf does for users.
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
	return Warehouse{ID: w.Id, Name: settingsName(w.Settings["name"]), Enabled: w.Enabled, Kind: w.Metadata.Name}
}

// settingsName returns the name in the settings of a warehouse. A setting may have any
// type: a name that is not a string is left empty. Many workspaces have names that were
// encoded as JSON a second time, such as "\"Snowflake Instance\"", among plain ones.
func settingsName(setting any) string {
	name, _ := setting.(string)
	var decoded string
	if strings.HasPrefix(name, `"`) && json.Unmarshal([]byte(name), &decoded) == nil {
		return decoded
	}
	return name
}

// A generatedFunction is a row of the list or the answer of Get.
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

func auditEventOf(e api.AuditEventV1) AuditEvent {
	return AuditEvent{
		ID: e.Id, Time: isoTime(e.Timestamp), Type: e.Type, Actor: e.Actor, ActorEmail: e.GetActorEmail(),
		ResourceID: e.ResourceId, ResourceType: e.ResourceType, ResourceName: e.ResourceName,
	}
}

// isoTime reads a time in ISO 8601 format, in UTC if it has no offset. Any other text is the
// zero time.
func isoTime(text string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

func labelsOf(in []api.LabelV1) []Label {
	var out []Label
	for _, l := range in {
		out = append(out, labelOf(l))
	}
	return out
}

// permissionsOf keeps nil, which means that the answer had no permissions field.
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

// accessOf converts the permissions in the answer to a write.
func accessOf(in []api.AccessPermissionV1) []Permission {
	var out []Permission
	for _, p := range in {
		out = append(out, permissionsOf([]api.PermissionV1{{RoleName: p.RoleName, RoleId: p.RoleId, Resources: p.Resources}})...)
	}
	return out
}

// addLabels appends the labels that out does not have: labels are a set.
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

// inputOf converts permissions for a write to a user or a group. The list is never
// nil: the official client would send null.
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

// labelInputOf keeps the whole label, including its description.
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

// inviteInputOf converts permissions for an invite, which has the labels on the
// permission. Each permission has one set of labels, as [Permissions] returns it.
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
