package segmentapi

import (
	"context"
	"fmt"
	"net/http"

	"github.com/segmentio/public-api-sdk-go/api"
)

// A subject is a user or a group whose permissions are edited.
type subject struct {
	kind, id string
	read     func(context.Context) (holding, error)
	post     call
	put      call
	// add and replace return the permissions in the answer.
	add     func(context.Context, []api.PermissionInputV1) (*[]api.AccessPermissionV1, *http.Response, error)
	replace func(context.Context, []api.PermissionInputV1) (*[]api.AccessPermissionV1, *http.Response, error)
}

func (s subject) String() string { return s.kind + " " + s.id }

// A holding is what a subject holds, as one read shows it.
type holding struct {
	assignments []Assignment
	// hidden is set if the answer had no permissions at all.
	hidden bool
	// irreplaceable says why a replacement would lose something, if it would.
	irreplaceable error
}

// replaceable returns an error if the subject's permissions must not be replaced.
func (h holding) replaceable() error {
	if h.hidden {
		return fmt.Errorf("%w: the answer has no permissions, so this token does not see them", ErrNotUnderstood)
	}
	return h.irreplaceable
}

func holdingOf(permissions []Permission, body []byte) holding {
	shown, err := checkPermissionFields(body)
	return holding{assignments: Assignments(permissions), hidden: !shown, irreplaceable: err}
}

func (s *UserService) subject(id string) subject {
	path := "/users/" + id + "/permissions"
	return subject{
		kind: "user", id: id,
		read: func(ctx context.Context) (holding, error) {
			user, body, err := s.read(ctx, id)
			if err != nil {
				return holding{}, err
			}
			return holdingOf(user.Permissions, body), nil
		},
		post: call{"addPermissionsToUser", http.MethodPost, path},
		put:  call{"replacePermissionsForUser", http.MethodPut, path},
		add: func(ctx context.Context, in []api.PermissionInputV1) (*[]api.AccessPermissionV1, *http.Response, error) {
			out, resp, err := s.c.raw.IAMUsersAPI.AddPermissionsToUser(ctx, id).
				AddPermissionsToUserV1Input(api.AddPermissionsToUserV1Input{Permissions: in}).Execute()
			data := out.GetData()
			return answered(out, data.GetPermissions()), resp, err
		},
		replace: func(ctx context.Context, in []api.PermissionInputV1) (*[]api.AccessPermissionV1, *http.Response, error) {
			out, resp, err := s.c.raw.IAMUsersAPI.ReplacePermissionsForUser(ctx, id).
				ReplacePermissionsForUserV1Input(api.ReplacePermissionsForUserV1Input{Permissions: in}).Execute()
			data := out.GetData()
			return answered(out, data.GetPermissions()), resp, err
		},
	}
}

func (s *GroupService) subject(id string) subject {
	path := "/groups/" + id + "/permissions"
	return subject{
		kind: "group", id: id,
		read: func(ctx context.Context) (holding, error) {
			group, body, err := s.read(ctx, id)
			if err != nil {
				return holding{}, err
			}
			return holdingOf(group.Permissions, body), nil
		},
		post: call{"addPermissionsToUserGroup", http.MethodPost, path},
		put:  call{"replacePermissionsForUserGroup", http.MethodPut, path},
		add: func(ctx context.Context, in []api.PermissionInputV1) (*[]api.AccessPermissionV1, *http.Response, error) {
			out, resp, err := s.c.raw.IAMGroupsAPI.AddPermissionsToUserGroup(ctx, id).
				AddPermissionsToUserGroupV1Input(api.AddPermissionsToUserGroupV1Input{Permissions: in}).Execute()
			data := out.GetData()
			return answered(out, data.GetPermissions()), resp, err
		},
		replace: func(ctx context.Context, in []api.PermissionInputV1) (*[]api.AccessPermissionV1, *http.Response, error) {
			out, resp, err := s.c.raw.IAMGroupsAPI.ReplacePermissionsForUserGroup(ctx, id).
				ReplacePermissionsForUserGroupV1Input(api.ReplacePermissionsForUserGroupV1Input{Permissions: in}).Execute()
			data := out.GetData()
			return answered(out, data.GetPermissions()), resp, err
		},
	}
}

// answered returns the permissions of an answer, or nil if the answer was empty.
func answered[T any](out *T, permissions []api.AccessPermissionV1) *[]api.AccessPermissionV1 {
	if out == nil {
		return nil
	}
	return &permissions
}
