package segmentapi

import (
	"context"
	"iter"
	"net/http"

	"github.com/segmentio/public-api-sdk-go/api"
)

// GroupService reads user groups. Workspaces without a Business plan have none
// and answer with an error.
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
		what: "group",
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

func itself(s string) string { return s }
