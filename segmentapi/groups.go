package segmentapi

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"net/http"
	"strings"

	"github.com/segmentio/public-api-sdk-go/api"
)

// GroupService reads and changes user groups. Workspaces without a Business
// plan have none and answer with an error.
type GroupService struct{ c *Client }

// List returns one page of groups: GET /groups (listUserGroups). Permissions
// may be missing; see [Group].
func (s *GroupService) List(ctx context.Context, opts ListOptions) (*Page[Group], error) {
	return list(ctx, s.c, opts, lister[api.ListUserGroups200Response, api.UserGroupV1, Group]{
		call: call{"listUserGroups", http.MethodGet, "/groups"},
		run: func(ctx context.Context, p api.PaginationInput) (*api.ListUserGroups200Response, *http.Response, error) {
			return s.c.raw.IAMGroupsAPI.ListUserGroups(ctx).Pagination(p).Execute()
		},
		read: func(o *api.ListUserGroups200Response) ([]api.UserGroupV1, api.PaginationOutput) {
			d := o.GetData()
			return d.UserGroups, d.Pagination
		},
		convert: groupOf,
		id:      func(g Group) string { return g.ID },
	})
}

// All streams every group.
func (s *GroupService) All(ctx context.Context) iter.Seq2[Group, error] {
	return all(ctx, "listUserGroups", s.List)
}

// Get returns one group with permissions: GET /groups/{userGroupId}
// (getUserGroup). A group that is gone is [ErrNotFound].
func (s *GroupService) Get(ctx context.Context, id string) (*Group, error) {
	return get(ctx, s.c, id, getter[api.GetUserGroup200Response, api.UserGroupV1, Group]{
		call: call{"getUserGroup", http.MethodGet, "/groups/" + id},
		kind: "group",
		run: func(ctx context.Context) (*api.GetUserGroup200Response, *http.Response, error) {
			return s.c.raw.IAMGroupsAPI.GetUserGroup(ctx, id).Execute()
		},
		read: func(o *api.GetUserGroup200Response) *api.UserGroupV1 {
			d := o.GetData()
			return &d.UserGroup
		},
		convert: groupDetailOf,
		about:   func(g Group) bool { return g.ID == id },
	})
}

// Create creates a group: POST /groups (createUserGroup). Segment may give it a
// first permission, so it is read back. Segment allows two groups of the same name,
// which people could not tell apart: if a group has the name, in any case, the
// error matches [ErrConflict]. It costs 3 requests with up to 1000 groups.
//
// Other errors match [ErrInvalidArgument] before any request. In a dry run the
// group has no ID.
func (s *GroupService) Create(ctx context.Context, name string) (*Group, error) {
	op := call{"createUserGroup", http.MethodPost, "/groups"}
	unlock, before, err := s.lockName(ctx, name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err = before.checkFree(op, name, ""); err != nil {
		return nil, err
	}
	if s.c.writer.dryRun {
		return &Group{Name: name}, nil
	}
	out, err := afresh(ctx, s.c, op, func() (bool, error) {
		now, listErr := s.readAll(ctx)
		return true, cmp.Or(listErr, now.checkFree(op, name, ""))
	}, func(ctx context.Context) (*api.CreateUserGroup200Response, *http.Response, error) {
		return s.c.raw.IAMGroupsAPI.CreateUserGroup(ctx).CreateUserGroupV1Input(api.CreateUserGroupV1Input{Name: name}).Execute()
	})
	if refused(err) { // If there is a group of that name now, someone else created it.
		return nil, err
	}
	var made *Group
	err = s.c.verify(ctx, op, "group "+name, "created", err, func(ctx context.Context) (string, error) {
		data := out.GetData()
		id := data.UserGroup.Id
		if id == "" { // No answer arrived: find the group by its name.
			after, listErr := s.readAll(ctx)
			created := after.named(name, "")
			if created == nil || after.named(name, created.ID) != nil {
				return name, listErr
			}
			id = created.ID
		}
		var getErr error
		made, getErr = s.Get(ctx, id)
		return "", getErr
	})
	return made, err
}

// Rename changes the name of a group: PATCH /groups/{userGroupId}
// (updateUserGroup). Errors are those of Create, and [ErrNotFound] for a group
// that is gone. It costs 4 requests with up to 1000 groups, and fewer if the group
// already has the name.
func (s *GroupService) Rename(ctx context.Context, groupID, name string) (*Group, error) {
	op := call{"updateUserGroup", http.MethodPatch, "/groups/" + groupID}
	unlock, err := s.c.lock(ctx, s.subject(groupID))
	if err != nil {
		return nil, err
	}
	defer unlock()
	unlockName, before, err := s.lockName(ctx, name)
	if err != nil {
		return nil, err
	}
	defer unlockName()
	group, err := s.Get(ctx, groupID)
	if err != nil || group.Name == name {
		return group, err
	}
	if err = before.checkFree(op, name, groupID); err != nil {
		return nil, err
	}
	if s.c.writer.dryRun {
		group.Name = name
		return group, nil
	}
	_, err = afresh(ctx, s.c, op, func() (bool, error) {
		now, listErr := s.readAll(ctx)
		return true, cmp.Or(listErr, now.checkFree(op, name, groupID))
	}, func(ctx context.Context) (*api.UpdateUserGroup200Response, *http.Response, error) {
		return s.c.raw.IAMGroupsAPI.UpdateUserGroup(ctx, groupID).UpdateUserGroupV1Input(api.UpdateUserGroupV1Input{Name: name}).Execute()
	})
	err = s.c.verify(ctx, op, "group "+groupID, "renamed from "+group.Name+" to "+name, err, func(ctx context.Context) (string, error) {
		var getErr error
		if group, getErr = s.Get(ctx, groupID); getErr != nil {
			return "", getErr
		}
		if group.Name != name {
			return group.Name, nil
		}
		return "", nil
	})
	if err != nil {
		return nil, err
	}
	return group, nil
}

// Delete deletes a group and reports whether there was one: DELETE
// /groups/{userGroupId} (deleteUserGroup). Its members stay in the workspace
// and lose what they held through it. It costs 3 requests.
//
// If the group makes its users owners of the workspace, another owner must be
// found first, as in [UserService.Remove] and with its errors.
func (s *GroupService) Delete(ctx context.Context, groupID string) (bool, error) {
	sub := s.subject(groupID)
	unlock, err := s.c.lock(ctx, sub)
	if err != nil {
		return false, err
	}
	defer unlock()
	group, err := s.Get(ctx, groupID)
	if gone(err) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	owners := &ownership{c: s.c, remains: func(_, id string) bool { return id != groupID }}
	defer owners.release()
	op := call{"deleteUserGroup", http.MethodDelete, "/groups/" + groupID}
	return remove(ctx, owners, op, sub, group, s.Get, func(group *Group) error {
		return owners.disown(ctx, sub, Assignments(group.Permissions), "", nil)
	}, func(ctx context.Context) (*api.DeleteUserGroup200Response, *http.Response, error) {
		return s.c.raw.IAMGroupsAPI.DeleteUserGroup(ctx, groupID).Execute()
	})
}

// Grant does for a group what [UserService.Grant] does for a user.
func (s *GroupService) Grant(ctx context.Context, groupID string, assignments ...Assignment) (Difference, error) {
	return s.c.grant(ctx, s.subject(groupID), assignments)
}

// Revoke does for a group what [UserService.Revoke] does for a user.
func (s *GroupService) Revoke(ctx context.Context, groupID string, assignments ...Assignment) (Difference, error) {
	return s.c.revoke(ctx, s.subject(groupID), assignments)
}

// Replace does for a group what [UserService.Replace] does for a user.
func (s *GroupService) Replace(ctx context.Context, groupID string, permissions []Permission) (Difference, error) {
	return s.c.replace(ctx, s.subject(groupID), permissions)
}

// Edit does for a group what [UserService.Edit] does for a user.
func (s *GroupService) Edit(ctx context.Context, groupID string, edit Edit) (Difference, error) {
	return s.c.edit(ctx, s.subject(groupID), edit)
}

// lockName locks a group name within the process, and lists all groups.
func (s *GroupService) lockName(ctx context.Context, name string) (func(), groups, error) {
	if strings.TrimSpace(name) != name || name == "" || hasControl(name) {
		return nil, nil, invalidArgument("the group name %q is empty, begins or ends with a space or has control characters", name)
	}
	unlock, err := s.c.writer.locks.acquire(ctx, "the group name "+fold(name))
	if err != nil {
		return nil, nil, err
	}
	before, err := s.readAll(ctx)
	if err != nil {
		unlock()
		return nil, nil, err
	}
	return unlock, before, nil
}

type groups []Group

func (s *GroupService) readAll(ctx context.Context) (groups, error) {
	var rows groups
	for group, err := range s.All(ctx) {
		if err != nil {
			return nil, err
		}
		rows = append(rows, group)
	}
	return rows, nil
}

// checkFree returns a conflict if a group other than except has the name.
func (g groups) checkFree(op call, name, except string) error {
	if taken := g.named(name, except); taken != nil {
		return conflict(op, "the group %s has the name %q", taken.ID, taken.Name)
	}
	return nil
}

// named returns a group with this name, in any case, other than except, or nil.
func (g groups) named(name, except string) *Group {
	for _, group := range g {
		if fold(group.Name) == fold(name) && group.ID != except {
			return &group
		}
	}
	return nil
}

// ListMembers returns one page of the users in a group, without permissions:
// GET /groups/{userGroupId}/users (listUsersFromUserGroup). Pending invites in
// the group are listed by [GroupService.ListInvites].
func (s *GroupService) ListMembers(ctx context.Context, groupID string, opts ListOptions) (*Page[User], error) {
	if err := checkID("group", groupID); err != nil {
		return nil, err
	}
	return list(ctx, s.c, opts, lister[api.ListUsersFromUserGroup200Response, api.MinimalUserV1, User]{
		call: call{"listUsersFromUserGroup", http.MethodGet, "/groups/" + groupID + "/users"},
		run: func(ctx context.Context, p api.PaginationInput) (*api.ListUsersFromUserGroup200Response, *http.Response, error) {
			return s.c.raw.IAMGroupsAPI.ListUsersFromUserGroup(ctx, groupID).Pagination(p).Execute()
		},
		read: func(o *api.ListUsersFromUserGroup200Response) ([]api.MinimalUserV1, api.PaginationOutput) {
			d := o.GetData()
			return d.Users, d.Pagination
		},
		convert: memberOf,
		id:      userID,
	})
}

// AllMembers streams the users in a group.
func (s *GroupService) AllMembers(ctx context.Context, groupID string) iter.Seq2[User, error] {
	return all(ctx, "listUsersFromUserGroup", func(ctx context.Context, opts ListOptions) (*Page[User], error) {
		return s.ListMembers(ctx, groupID, opts)
	})
}

// ListInvites returns one page of the e-mail addresses of pending invites in a
// group: GET /groups/{userGroupId}/invites (listInvitesFromUserGroup).
func (s *GroupService) ListInvites(ctx context.Context, groupID string, opts ListOptions) (*Page[string], error) {
	if err := checkID("group", groupID); err != nil {
		return nil, err
	}
	return list(ctx, s.c, opts, lister[api.ListInvitesFromUserGroup200Response, string, string]{
		call: call{"listInvitesFromUserGroup", http.MethodGet, "/groups/" + groupID + "/invites"},
		run: func(ctx context.Context, p api.PaginationInput) (*api.ListInvitesFromUserGroup200Response, *http.Response, error) {
			return s.c.raw.IAMGroupsAPI.ListInvitesFromUserGroup(ctx, groupID).Pagination(p).Execute()
		},
		read: func(o *api.ListInvitesFromUserGroup200Response) ([]string, api.PaginationOutput) {
			d := o.GetData()
			return d.Emails, d.Pagination
		},
		convert: itself,
		id:      itself,
	})
}

// AllInvites streams the e-mail addresses of pending invites in a group.
func (s *GroupService) AllInvites(ctx context.Context, groupID string) iter.Seq2[string, error] {
	return all(ctx, "listInvitesFromUserGroup", func(ctx context.Context, opts ListOptions) (*Page[string], error) {
		return s.ListInvites(ctx, groupID, opts)
	})
}

// AddMembers puts users and pending invites into a group, by their e-mails, and
// returns the addresses that were not in it: POST /groups/{userGroupId}/users
// (addUsersToUserGroup). If all are in it, nothing is written. The lists of members
// are read before and after, so it costs at least 4 requests, and more in a large
// group.
//
// Addresses compare without regard to case; write them as Segment does. Errors
// match [ErrInvalidArgument] before any request, [ErrNotFound] for a group that
// is gone, [ErrInvalid] for an address that is neither a user's nor invited,
// [ErrNotApplied].
func (s *GroupService) AddMembers(ctx context.Context, groupID string, emails ...string) ([]string, error) {
	unlock, err := s.lockMembers(ctx, groupID, emails)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return s.addMembers(ctx, groupID, emails)
}

// RemoveMembers takes users and pending invites out of a group, by their e-mails,
// and returns the addresses that were in it: DELETE /group/{userGroupId}/users
// (removeUsersFromUserGroup), one request for each. If none is in it, nothing is
// written. They stay in the workspace.
//
// If the group makes its users owners of the workspace, another owner must be
// found first; see [OwnerScanLimit]. Errors match [ErrLastOwner], [ErrAmbiguous]
// if the addresses of two users in the group differ only in case, and those of
// AddMembers.
func (s *GroupService) RemoveMembers(ctx context.Context, groupID string, emails ...string) ([]string, error) {
	unlock, err := s.lockMembers(ctx, groupID, emails)
	if err != nil {
		return nil, err
	}
	defer unlock()
	rows, err := s.present(ctx, groupID, emails)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	leaving, err := leavingUsers(groupID, rows)
	if err != nil {
		return nil, err
	}
	owners := &ownership{c: s.c, remains: func(userID, group string) bool { return group != groupID || !leaving[userID] }}
	defer owners.release()
	taking := false
	check := func() error {
		if len(leaving) == 0 {
			return nil
		}
		group, checkErr := s.Get(ctx, groupID)
		if checkErr != nil {
			return checkErr
		}
		owned, checkErr := owners.owned(ctx, Assignments(group.Permissions))
		if checkErr == nil && owned {
			taking = true
			checkErr = owners.prove(ctx)
		}
		return wrapFor(s.subject(groupID), checkErr)
	}
	if err = check(); err != nil {
		return nil, err
	}
	removed := addresses(rows)
	if s.c.writer.dryRun {
		return removed, nil
	}
	err = s.removeMembers(ctx, groupID, emails, rows, check)
	if taking {
		err = errors.Join(err, s.confirm(ctx, owners, groupID, removed))
	}
	if err != nil {
		return nil, err
	}
	return removed, nil
}

func itself(s string) string { return s }
