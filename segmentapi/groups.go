package segmentapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"

	"github.com/segmentio/public-api-sdk-go/api"
)

// GroupService reads and changes user groups. Workspaces that are not on the
// Business plan have none: Segment answers with an error.
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

// AllWithPermissions does for groups what [UserService.AllWithPermissions] does for users.
func (s *GroupService) AllWithPermissions(ctx context.Context) iter.Seq2[Group, error] {
	return withDetails(ctx, "listUserGroups", s.All, func(ctx context.Context, group *Group) error {
		if len(group.Permissions) > 0 {
			return nil
		}
		return complete(ctx, group, func() (*Group, error) { return s.Get(ctx, group.ID) })
	})
}

// Get returns one group with permissions: GET /groups/{userGroupId}
// (getUserGroup). A group that is gone is [ErrNotFound].
func (s *GroupService) Get(ctx context.Context, id string) (*Group, error) {
	group, _, err := s.read(ctx, id)
	return group, err
}

// Find returns the group with this name, without permissions; [GroupService.Get] has them.
// The case of letters and white space around the name are ignored, as in
// [GroupService.Create]. If one group has exactly this name, others do not matter.
//
// All groups are listed: one request for each 1000. Errors match [ErrInvalidArgument]
// before any request, [ErrNotFound] if the list was read to its end and no group has the
// name, and [ErrAmbiguous] if several have it, which Segment allows: the error names their
// ids. In a workspace without user groups the error is that of the list; see
// [LacksFeature].
func (s *GroupService) Find(ctx context.Context, name string) (*Group, error) {
	if foldName(name) == "" {
		return nil, invalidArgument("the group name is empty")
	}
	return find(s.All(ctx), finder[Group]{
		call: call{"listUserGroups", http.MethodGet, "/groups"}, kind: "group", text: fmt.Sprintf("the name %q", name),
		id:    func(g Group) string { return g.ID },
		exact: func(g Group) bool { return g.Name == name },
		alike: func(g Group) bool { return foldName(g.Name) == foldName(name) },
	})
}

// read returns a group and the body of the answer.
func (s *GroupService) read(ctx context.Context, id string) (*Group, []byte, error) {
	return getBody(ctx, s.c, id, getter[api.GetUserGroup200Response, api.UserGroupV1, Group]{
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
// which people could not tell apart: if a group already has the name, ignoring
// case, the error matches [ErrConflict]. It costs 3 requests with up to 1000 groups.
//
// Other errors match [ErrInvalidArgument] before any request. In a dry run the
// group has no ID.
func (s *GroupService) Create(ctx context.Context, name string) (*Group, error) {
	op := call{"createUserGroup", http.MethodPost, "/groups"}
	ctx, end, before, err := s.lockName(ctx, name)
	if err != nil {
		return nil, err
	}
	defer end()
	if err = before.checkFree(op, name, ""); err != nil {
		return nil, err
	}
	if s.c.planned(ctx, op, "group "+name, "created") {
		return &Group{Name: name}, nil
	}
	var out *api.CreateUserGroup200Response
	var made *Group
	err = s.c.carryOut(ctx, change{
		call: op, subject: "group " + name, what: "created", mustBeOurs: true,
		send: func(ctx context.Context, again bool) error {
			var sendErr error
			out, sendErr = sendWithRecheck(ctx, s.c, op, rechecker{always: again, check: func(ctx context.Context) (bool, error) {
				now, listErr := s.readAll(ctx)
				return true, cmp.Or(listErr, now.checkFree(op, name, ""))
			}}, func(ctx context.Context) (*api.CreateUserGroup200Response, *http.Response, error) {
				return s.c.raw.IAMGroupsAPI.CreateUserGroup(ctx).CreateUserGroupV1Input(api.CreateUserGroupV1Input{Name: name}).Execute()
			})
			return sendErr
		},
		notYet: func(ctx context.Context) (string, error) {
			var readErr error
			made, readErr = s.readCreated(ctx, name, out)
			if made == nil {
				return name, readErr
			}
			return "", readErr
		},
		facts: func() []changedFact {
			data := out.GetData()
			if data.UserGroup.Id == "" {
				return nil
			}
			return []changedFact{{allGroups, data.UserGroup.Id, true}, {s.subject(data.UserGroup.Id).String(), exists, true}}
		},
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// readCreated reads the group that was created, or returns nil if it does not show yet.
// If no answer has arrived, it finds the group by its name.
func (s *GroupService) readCreated(ctx context.Context, name string, out *api.CreateUserGroup200Response) (*Group, error) {
	data := out.GetData()
	id := data.UserGroup.Id
	if id == "" {
		now, err := s.readAllOnce(ctx)
		// A group that this process has deleted is in a list that is too old.
		now = slices.DeleteFunc(now, func(g Group) bool { return s.c.writer.memory.hasLost(allGroups, g.ID) })
		created := now.named(name, "")
		if created == nil || now.named(name, created.ID) != nil {
			return nil, err
		}
		id = created.ID
	}
	group, err := s.Get(ctx, id)
	if gone(err) {
		return nil, nil
	}
	return group, err
}

// Rename changes the name of a group: PATCH /groups/{userGroupId}
// (updateUserGroup). Errors are those of Create, and [ErrNotFound] for a group
// that is gone. It costs 4 requests with up to 1000 groups, and fewer if the group
// already has the name.
func (s *GroupService) Rename(ctx context.Context, groupID, name string) (*Group, error) {
	op := call{"updateUserGroup", http.MethodPatch, "/groups/" + groupID}
	sub := s.subject(groupID)
	ctx, end, err := s.c.lockSubject(ctx, sub)
	if err != nil {
		return nil, err
	}
	defer end()
	ctx, endName, before, err := s.lockName(ctx, name)
	if err != nil {
		return nil, err
	}
	defer endName()
	names := "the name of group " + groupID
	group, err := readRemembering(ctx, s.c, names, func(ctx context.Context) (*Group, error) {
		return s.Get(ctx, groupID)
	}, func(group *Group, name string) (bool, bool) { return group.Name == name, true })
	if err == nil && group.Name == name {
		s.c.logUnchanged(ctx, op, sub.String(), "already named "+name)
	}
	if err != nil || group.Name == name {
		return group, err
	}
	if err = before.checkFree(op, name, groupID); err != nil {
		return nil, err
	}
	old := group.Name
	renamed := "renamed from " + old + " to " + name
	if s.c.planned(ctx, op, sub.String(), renamed) {
		group.Name = name
		return group, nil
	}
	err = s.c.carryOut(ctx, change{
		call: op, subject: sub.String(), what: renamed, repeatable: true,
		send: func(ctx context.Context, again bool) error {
			return sendUnless(ctx, s.c, op, rechecker{always: again, check: func(ctx context.Context) (bool, error) {
				now, listErr := s.readAll(ctx)
				return true, cmp.Or(listErr, now.checkFree(op, name, groupID))
			}}, func(ctx context.Context) (*api.UpdateUserGroup200Response, *http.Response, error) {
				return s.c.raw.IAMGroupsAPI.UpdateUserGroup(ctx, groupID).UpdateUserGroupV1Input(api.UpdateUserGroupV1Input{Name: name}).Execute()
			})
		},
		notYet: func(ctx context.Context) (string, error) {
			var readErr error
			if group, readErr = s.Get(ctx, groupID); readErr != nil {
				return "", readErr
			}
			if group.Name != name {
				return group.Name, nil
			}
			return "", nil
		},
		facts: func() []changedFact { return []changedFact{{names, old, false}, {names, name, true}} },
	})
	if err != nil {
		return nil, err
	}
	return group, nil
}

// Delete deletes a group and reports whether it existed: DELETE
// /groups/{userGroupId} (deleteUserGroup). Its members stay in the workspace
// and lose what they held through it. It costs 3 requests, and one more if the roles are
// not cached.
//
// If the group makes its users owners of the workspace, another owner must be
// found first, as in [UserService.Remove] and with its errors.
func (s *GroupService) Delete(ctx context.Context, groupID string) (bool, error) {
	sub := s.subject(groupID)
	ctx, end, err := s.c.lockSubject(ctx, sub)
	if err != nil {
		return false, err
	}
	defer end()
	owners := &ownership{c: s.c, remains: func(_, id string) bool { return id != groupID }}
	defer owners.release()
	op := call{"deleteUserGroup", http.MethodDelete, "/groups/" + groupID}
	return removal[Group, api.DeleteUserGroup200Response]{
		call: op, sub: sub, owners: owners, get: s.Get,
		takeOwnership: func(ctx context.Context, group *Group) error {
			return owners.takeFrom(ctx, op, sub, Assignments(group.Permissions), "", nil)
		},
		held:  func(group *Group) []Permission { return group.Permissions },
		loses: func() string { return "" },
		facts: func() []changedFact { return []changedFact{{allGroups, groupID, false}} },
		send: func(ctx context.Context) (*api.DeleteUserGroup200Response, *http.Response, error) {
			return s.c.raw.IAMGroupsAPI.DeleteUserGroup(ctx, groupID).Execute()
		},
	}.run(ctx)
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

// lockName locks a group name within the process, lists all groups and returns a context
// for the change; see finishing.
func (s *GroupService) lockName(ctx context.Context, name string) (context.Context, func(), groups, error) {
	if strings.TrimSpace(name) != name || name == "" || hasControl(name) {
		return nil, nil, nil, invalidArgument("the group name %q is empty, begins or ends with a space or has control characters", name)
	}
	ctx, end, err := s.c.begin(ctx, "the group name "+foldName(name))
	if err != nil {
		return nil, nil, nil, err
	}
	before, err := s.readAll(ctx)
	if err != nil {
		end()
		return nil, nil, nil, err
	}
	return ctx, end, before, nil
}

// allGroups is the name under which the memory of own writes has the list of groups, by
// their ids.
const allGroups = "the groups"

type groups []Group

// readAll lists all groups, and again if the answer is older than what this process has
// written.
func (s *GroupService) readAll(ctx context.Context) (groups, error) {
	return readRemembering(ctx, s.c, allGroups, s.readAllOnce, func(rows groups, id string) (bool, bool) {
		return slices.ContainsFunc(rows, func(g Group) bool { return g.ID == id }), true
	})
}

func (s *GroupService) readAllOnce(ctx context.Context) (groups, error) {
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
		return conflict(op, "group %s already has the name %q", taken.ID, taken.Name)
	}
	return nil
}

// named returns a group other than except with this name, ignoring case, or nil.
func (g groups) named(name, except string) *Group {
	for _, group := range g {
		if foldName(group.Name) == foldName(name) && group.ID != except {
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

// AddMembers adds users and pending invites to a group, by their e-mails, and
// returns the addresses that were not in it: POST /groups/{userGroupId}/users
// (addUsersToUserGroup). If all are already in it, nothing is written. The lists of
// members are read before and after, so it costs at least 4 requests, and more in a
// large group.
//
// Addresses compare without regard to the case of A to Z; write them as Segment does.
// Errors match [ErrInvalidArgument] before any request, [ErrNotFound] for a group that is
// gone, [ErrInvalid] for an address that is neither a user's nor invited,
// [ErrUnconfirmed].
func (s *GroupService) AddMembers(ctx context.Context, groupID string, emails ...string) ([]string, error) {
	emails, err := checkMembers(groupID, emails)
	if err != nil {
		return nil, err
	}
	ctx, end, err := s.c.begin(ctx, "group "+groupID)
	if err != nil {
		return nil, err
	}
	defer end()
	return s.addMembers(ctx, groupID, emails)
}

// RemoveMembers removes users and pending invites from a group, by their e-mails,
// and returns the addresses that were in it: DELETE /group/{userGroupId}/users
// (removeUsersFromUserGroup), one request for each. If none is in it, nothing is
// written. They stay in the workspace.
//
// If the group makes its users owners of the workspace, another owner must be
// found first; see [OwnerScanLimit]. Errors match [ErrLastOwner], [ErrAmbiguous]
// if the addresses of two users in the group differ only in case, and those of
// AddMembers.
func (s *GroupService) RemoveMembers(ctx context.Context, groupID string, emails ...string) ([]string, error) {
	emails, err := checkMembers(groupID, emails)
	if err != nil {
		return nil, err
	}
	ctx, end, err := s.c.begin(ctx, "group "+groupID)
	if err != nil {
		return nil, err
	}
	defer end()
	rows, err := s.membersWith(ctx, groupID, emails)
	if err == nil && len(rows) == 0 {
		s.c.logUnchanged(ctx, removeMembersCall(groupID), "group "+groupID, "not in it: "+strings.Join(emails, ", "))
	}
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
	check := func(ctx context.Context) error {
		if len(leaving) == 0 {
			return nil
		}
		sub := s.subject(groupID)
		held, checkErr := owners.read(ctx, sub)
		if checkErr != nil {
			return checkErr
		}
		owner, checkErr := owners.makeOwner(ctx, held.assignments)
		if checkErr == nil && owner {
			taking = true
			checkErr = owners.findOther(ctx)
		}
		return wrapFor(sub, checkErr)
	}
	if err = check(ctx); err != nil {
		return nil, err
	}
	removed := addresses(rows)
	if s.c.planned(ctx, removeMembersCall(groupID), "group "+groupID, "- "+strings.Join(removed, ", ")) {
		return removed, nil
	}
	sent, err := s.takeOut(ctx, groupID, emails, rows, check)
	if taking && len(sent) > 0 {
		err = errors.Join(err, s.keepOwner(ctx, owners, groupID, sent))
	}
	if err != nil {
		return nil, err
	}
	return removed, nil
}

func itself(s string) string { return s }
