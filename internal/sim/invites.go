package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/mail"
	"slices"
)

func listInvites(c *call) (reply, *problem) {
	l := listing[Invite]{rows: c.state.Invites, untotaled: true}
	return page(c, "invites", l, func(i Invite) string { return i.Email })
}

type invitesInput struct {
	Invites []struct {
		Email       string             `json:"email"`
		Permissions []invitePermission `json:"permissions"`
	} `json:"invites"`
}

// An invitePermission has its labels on the permission, and resources are
// optional, unlike what users and groups take.
type invitePermission struct {
	RoleID    string      `json:"roleId"`
	Resources []Resource  `json:"resources"`
	Labels    []wireLabel `json:"labels"`
}

// createInvites invites all or nobody. That it is atomic, and the 409 for who
// is a member or invited already, are assumptions.
func createInvites(c *call) (reply, *problem) {
	var in invitesInput
	if p := c.decode(&in); p != nil {
		return reply{}, p
	}
	if len(in.Invites) == 0 {
		return reply{}, invalid("invites", "must contain at least 1 item")
	}
	invites := make([]Invite, 0, len(in.Invites))
	emails := make([]string, 0, len(in.Invites))
	seen := map[string]bool{}
	for i, one := range in.Invites {
		field := fmt.Sprintf("invites.%d", i)
		if a, err := mail.ParseAddress(one.Email); err != nil || a.Address != one.Email {
			return reply{}, invalid(field+".email", "must be a valid email")
		}
		email := foldEmail(one.Email)
		switch {
		case has(c.index().usersByEmail, email):
			return reply{}, conflict(fmt.Sprintf("%s is a member of the workspace", one.Email))
		case has(c.index().invites, email), seen[email]:
			return reply{}, conflict(fmt.Sprintf("%s has been invited", one.Email))
		}
		seen[email] = true
		asked := each(one.Permissions, c.ofInvite)
		if len(asked) > 0 {
			if p := c.checkPermissions(field+".permissions", asked, nil); p != nil {
				return reply{}, p
			}
		}
		invites = append(invites, Invite{Email: one.Email, Permissions: merge(nil, asked)})
		emails = append(emails, one.Email)
	}
	c.state.Invites = append(c.state.Invites, invites...)
	return reply{http.StatusCreated, map[string]any{"emails": emails}}, nil
}

// ofInvite gives an invited permission the form in which it will be the user's.
// That no resources mean the workspace is an assumption.
func (c *call) ofInvite(in invitePermission) Permission {
	labels := each(in.Labels, func(l wireLabel) Label { return Label(l) })
	resources := slices.Clone(in.Resources)
	if len(resources) == 0 {
		resources = []Resource{{ID: c.state.ID, Type: typeWorkspace}}
	}
	for i := range resources {
		resources[i].Labels = slices.Clone(labels)
	}
	return Permission{RoleID: in.RoleID, Resources: resources}
}

// deleteInvites works like deleteUsers, on the same assumptions.
// The audit trail's event "Group Memberships Deleted" shows that the
// memberships go too.
func deleteInvites(c *call) (reply, *problem) {
	emails, p := dotted(c.query, "emails")
	if p != nil {
		return reply{}, p
	}
	for _, email := range emails {
		i := slices.IndexFunc(c.state.Invites, func(i Invite) bool { return foldEmail(i.Email) == foldEmail(email) })
		if i < 0 {
			return reply{}, notFound("invite", email)
		}
		// An address may be invited although it is a user's by now: then the
		// memberships are the user's.
		if !has(c.index().usersByEmail, foldEmail(email)) {
			c.leaveGroups(email)
		}
		c.state.Invites = slices.Delete(c.state.Invites, i, i+1)
	}
	return success(), nil
}

// Accept makes a user of a pending invite, as when the person accepts it: with
// the permissions that it gives and in the groups that it is in. Segment is said
// to list an invite for a while after that; this does not. It reports whether
// there is such an invite.
func (w *Workspace) Accept(email, userID string) bool {
	i := slices.IndexFunc(w.Invites, func(i Invite) bool { return foldEmail(i.Email) == foldEmail(email) })
	if i < 0 {
		return false
	}
	invite := w.Invites[i]
	w.Invites = slices.Delete(w.Invites, i, i+1)
	w.Users = append(w.Users, User{ID: userID, Email: invite.Email, Permissions: invite.Permissions})
	return true
}

// decode reads the request's body. Unknown fields are ignored.
func (c *call) decode(v any) *problem {
	if err := json.Unmarshal(c.body, v); err != nil {
		return invalid("body", "must be a valid JSON object")
	}
	return nil
}
