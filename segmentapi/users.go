package segmentapi

import (
	"context"
	"iter"
	"net/http"

	"github.com/segmentio/public-api-sdk-go/api"
)

// UserService reads the people of the workspace.
type UserService struct{ c *Client }

// List returns one page of users: GET /users (listUsers). Segment leaves their
// permissions out; see [User].
func (s *UserService) List(ctx context.Context, opts ListOptions) (*Page[User], error) {
	return list(ctx, s.c, opts, lister[api.ListUsers200Response, api.UserV1, User]{
		call: call{"listUsers", http.MethodGet, "/users"},
		run: func(ctx context.Context, p api.PaginationInput) (*api.ListUsers200Response, *http.Response, error) {
			return s.c.raw.IAMUsersAPI.ListUsers(ctx).Pagination(p).Execute()
		},
		read: func(o *api.ListUsers200Response) ([]api.UserV1, api.PaginationOutput) {
			d := o.GetData()
			return d.Users, d.Pagination
		},
		convert: userOf,
		id:      userID,
	})
}

// All streams every user, without permissions.
func (s *UserService) All(ctx context.Context) iter.Seq2[User, error] {
	return all(ctx, "listUsers", s.List)
}

// Get returns one user with permissions: GET /users/{userId} (getUser). A user
// who has left is [ErrNotFound].
func (s *UserService) Get(ctx context.Context, id string) (*User, error) {
	return get(ctx, s.c, id, getter[api.GetUser200Response, api.UserV1, User]{
		call: call{"getUser", http.MethodGet, "/users/" + id},
		what: "user",
		run: func(ctx context.Context) (*api.GetUser200Response, *http.Response, error) {
			return s.c.raw.IAMUsersAPI.GetUser(ctx, id).Execute()
		},
		read: func(o *api.GetUser200Response) *api.UserV1 {
			d := o.GetData()
			return &d.User
		},
		convert: userDetailOf,
		about:   func(u User) bool { return u.ID == id },
	})
}

func userID(u User) string { return u.ID }

// ListGroups returns one page of the groups that a user is in, without their
// permissions: GET /users/{userId}/groups (listUserGroupsFromUser).
func (s *UserService) ListGroups(ctx context.Context, userID string, opts ListOptions) (*Page[Group], error) {
	if err := checkID("user", userID); err != nil {
		return nil, err
	}
	return list(ctx, s.c, opts, lister[api.ListUserGroupsFromUser200Response, api.MinimalUserGroupV1, Group]{
		call: call{"listUserGroupsFromUser", http.MethodGet, "/users/" + userID + "/groups"},
		run: func(ctx context.Context, p api.PaginationInput) (*api.ListUserGroupsFromUser200Response, *http.Response, error) {
			return s.c.raw.IAMUsersAPI.ListUserGroupsFromUser(ctx, userID).Pagination(p).Execute()
		},
		read: func(o *api.ListUserGroupsFromUser200Response) ([]api.MinimalUserGroupV1, api.PaginationOutput) {
			d := o.GetData()
			return d.Groups, d.Pagination
		},
		convert: func(g api.MinimalUserGroupV1) Group { return Group{ID: g.Id, Name: g.Name} },
		id:      func(g Group) string { return g.ID },
	})
}

// AllGroups streams the groups that a user is in, without their permissions.
func (s *UserService) AllGroups(ctx context.Context, userID string) iter.Seq2[Group, error] {
	return all(ctx, "listUserGroupsFromUser", func(ctx context.Context, opts ListOptions) (*Page[Group], error) {
		return s.ListGroups(ctx, userID, opts)
	})
}
