package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/mail"
	"slices"
)

func listInvites(c *call) (reply, *problem) {
	l := listing[Invite]{rows: c.state.Invites, withoutTotal: true}
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

// createInvites invites all addresses or none. Two things are assumptions: that it is
// atomic, and that it answers 409 for members and for pending invites.
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
	for i, invited := range in.Invites {
		field := fmt.Sprintf("invites.%d", i)
		if a, err := mail.ParseAddress(invited.Email); err != nil || a.Address != invited.Email {
			return reply{}, invalid(field+".email", "must be a valid email")
		}
		email := foldEmail(invited.Email)
		switch {
		case has(c.index().usersByEmail, email):
			return reply{}, conflict(fmt.Sprintf("%s is a member of the workspace", invited.Email))
		case has(c.index().invites, email), seen[email]:
			return reply{}, conflict(fmt.Sprintf("%s has been invited", invited.Email))
		}
		seen[email] = true
		asked := mapSlice(invited.Permissions, c.ofInvite)
		if len(asked) > 0 {
			if p := c.checkPermissions(field+".permissions", asked, nil); p != nil {
				return reply{}, p
			}
		}
		invites = append(invites, Invite{Email: invited.Email, Permissions: merge(nil, asked)})
		emails = append(emails, invited.Email)
	}
	c.state.Invites = append(c.state.Invites, invites...)
	for _, i := range invites {
		c.record(auditInvited, auditedInvite(i.Email))
		for _, role := range roleIDs(i.Permissions) {
			c.recordPolicy(auditPolicyCreated, auditedInvite(i.Email), role)
		}
	}
	return reply{http.StatusCreated, map[string]any{"emails": emails}}, nil
}

// ofInvite converts a permission of an invite to the one that the user will have. That
// a permission without resources is on the workspace is an assumption.
func (c *call) ofInvite(in invitePermission) Permission {
	labels := mapSlice(in.Labels, func(l wireLabel) Label { return Label(l) })
	resources := slices.Clone(in.Resources)
	removeExtra(resources)
	if len(resources) == 0 {
		resources = []Resource{{ID: c.state.ID, Type: typeWorkspace}}
	}
	for i := range resources {
		resources[i].Labels = slices.Clone(labels)
	}
	return Permission{RoleID: in.RoleID, Resources: resources}
}

// deleteInvites works like deleteUsers, with the same assumptions. It deletes the
// memberships as well: the audit trail has the event "Group Memberships Deleted".
func deleteInvites(c *call) (reply, *problem) {
	emails, p := list(c.query, "emails")
	if p != nil {
		return reply{}, p
	}
	for _, email := range emails {
		i := slices.IndexFunc(c.state.Invites, func(i Invite) bool { return foldEmail(i.Email) == foldEmail(email) })
		if i < 0 {
			return reply{}, notFound("invite", email)
		}
		on := auditedInvite(c.state.Invites[i].Email)
		c.record(auditInviteDeleted, on)
		// If the address has become a user's, the memberships are the user's.
		if !has(c.index().usersByEmail, foldEmail(email)) && c.leaveGroups(email) {
			c.record(auditMembershipsDeleted, on)
		}
		c.state.Invites = slices.Delete(c.state.Invites, i, i+1)
	}
	return success(), nil
}

// Accept turns a pending invite into a user with the permissions and the groups of the
// invite, as if the person accepted it, and removes the invite. It reports whether there
// is such an invite.
func (w *Workspace) Accept(email, userID string) bool {
	i, there := w.accept(email, userID)
	if there {
		w.Invites = slices.Delete(w.Invites, i, i+1)
	}
	return there
}

// AcceptStillListed is Accept without the removal: another connector reports that
// Segment lists an invite for a while after it was accepted.
func (w *Workspace) AcceptStillListed(email, userID string) bool {
	_, there := w.accept(email, userID)
	return there
}

// accept adds the user and returns the index of the invite.
func (w *Workspace) accept(email, userID string) (int, bool) {
	i := slices.IndexFunc(w.Invites, func(i Invite) bool { return foldEmail(i.Email) == foldEmail(email) })
	if i < 0 {
		return 0, false
	}
	w.Users = append(w.Users, User{ID: userID, Email: w.Invites[i].Email, Permissions: w.Invites[i].Permissions})
	return i, true
}

// decode reads the request's body. Unknown fields are ignored.
func (c *call) decode(v any) *problem {
	if err := json.Unmarshal(c.body, v); err != nil {
		return invalid("body", "must be a valid JSON object")
	}
	return nil
}
