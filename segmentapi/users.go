package segmentapi

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"strings"

	"github.com/segmentio/public-api-sdk-go/api"
)

// UserService reads and changes the users of the workspace.
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

// All streams every user, without permissions; see [UserService.AllWithPermissions].
func (s *UserService) All(ctx context.Context) iter.Seq2[User, error] {
	return all(ctx, "listUsers", s.List)
}

// AllWithPermissions streams every user with permissions, in the order of the list. It
// costs one request for each 1000 users and one for each user whose row of the list has no
// permissions, up to 32 of them at a time and no faster than the rate limit allows. Up
// to 128 users are read ahead of the loop. When the loop ends, even by break, no request
// is under way any more.
//
// Users who have left since they were listed are left out: a user who is not found is
// requested once more, a second later. If more than one user in a hundred is left out, and
// not just a single one, the last error matches [ErrBadResponse]. A token that does not see
// permissions shows all users without any, although every workspace has an owner.
func (s *UserService) AllWithPermissions(ctx context.Context) iter.Seq2[User, error] {
	return withDetails(ctx, "listUsers", s.All, func(ctx context.Context, user *User) error {
		if len(user.Permissions) > 0 {
			return nil
		}
		return complete(ctx, user, func() (*User, error) { return s.Get(ctx, user.ID) })
	})
}

// Get returns one user with permissions: GET /users/{userId} (getUser). A user
// who has left is [ErrNotFound].
func (s *UserService) Get(ctx context.Context, id string) (*User, error) {
	user, _, err := s.read(ctx, id)
	return user, err
}

// read returns a user and the body of the answer.
func (s *UserService) read(ctx context.Context, id string) (*User, []byte, error) {
	return getBody(ctx, s.c, id, getter[api.GetUser200Response, api.UserV1, User]{
		call: call{"getUser", http.MethodGet, "/users/" + id},
		kind: "user",
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

// Find returns the user with this e-mail address, without permissions; [UserService.Get]
// has them. The address compares without regard to the case of A to Z, as everywhere in
// this package, and white space around it is ignored. If one user has exactly this address,
// others that differ from it in case do not matter.
//
// Segment cannot look up an address, so all users are listed: one request for each 1000.
// Errors match [ErrInvalidArgument] before any request, [ErrNotFound] if the list was read
// to its end and nobody has the address, and [ErrAmbiguous] if several users have it: the
// error names their ids. Pending invites are not users.
func (s *UserService) Find(ctx context.Context, email string) (*User, error) {
	email = trimEmail(email)
	if email == "" {
		return nil, invalidArgument("the e-mail address is empty")
	}
	return find(s.All(ctx), finder[User]{
		call: call{"listUsers", http.MethodGet, "/users"}, kind: "user", text: fmt.Sprintf("the e-mail address %q", email), id: userID,
		exact: func(u User) bool { return u.Email == email },
		alike: func(u User) bool { return FoldEmail(u.Email) == FoldEmail(email) },
	})
}

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

// Grant adds assignments to those that a user holds. Assignments that are already held
// are not written again; if all are, the Difference is empty.
//
// Segment documents that its POST adds permissions. Grant reads the result back: it
// restores assignments that the POST replaced, and revokes a role that Segment granted on
// more than was requested, such as without the labels.
//
// It costs 4 requests, one more if assignments have labels, and 1 to 1.5 s for the last
// read; see [WithSettleTime]. Errors match [ErrInvalidArgument] before any request,
// [ErrNotFound] for a user who has left, [ErrInvalid] for a role, scope or label that the
// workspace does not have, [ErrUnconfirmed], [ErrNotApplied], [ErrContested],
// [ErrNotRestored].
func (s *UserService) Grant(ctx context.Context, userID string, assignments ...Assignment) (Difference, error) {
	return s.c.grant(ctx, s.subject(userID), assignments)
}

// Revoke removes assignments from a user and keeps everything else, labels included.
// Assignments that are not held are ignored; if none is held, the Difference is
// empty.
//
// Segment can only replace all permissions of a user, and its API has no
// precondition such as an ETag. So the user is read once more right before the
// write. An edit that another program makes in that one round trip is overwritten;
// earlier and later edits are kept. It costs 5 requests, and 1 to 1.5 s for the last
// read.
//
// If permissions could not be written back as they were read, or the token does not see
// any, nothing is replaced: [ErrNotUnderstood].
//
// Segment requires at least one permission: [RoleMinimalWorkspaceAccess] takes the
// place of the last one, as the Difference shows. Errors match
// [ErrLastPermission] if that is not possible, [ErrLastOwner] if no other owner
// of the workspace can be found, and those of Grant.
func (s *UserService) Revoke(ctx context.Context, userID string, assignments ...Assignment) (Difference, error) {
	return s.c.revoke(ctx, s.subject(userID), assignments)
}

// Replace gives a user exactly these permissions, at least one. It computes the
// difference from its first read and applies that: changes that another program
// makes meanwhile are kept. Errors are those of Revoke.
func (s *UserService) Replace(ctx context.Context, userID string, permissions []Permission) (Difference, error) {
	return s.c.replace(ctx, s.subject(userID), permissions)
}

// Edit applies edit to the assignments of a user, with the errors of Revoke. It is
// for changes that Grant and Revoke cannot express, such as a role on any scope:
//
//	client.Users.Edit(ctx, id, segmentapi.RevokeFunc(func(a segmentapi.Assignment) bool {
//		return a.RoleName == segmentapi.RoleSourceAdmin
//	}))
func (s *UserService) Edit(ctx context.Context, userID string, edit Edit) (Difference, error) {
	return s.c.edit(ctx, s.subject(userID), edit)
}

// Remove removes a user from the workspace and its groups, and reports whether the
// user existed: DELETE /users (deleteUsers). The person's Segment account stays. It costs
// 4 requests, one more for each of the user's groups, and one more if the roles are not
// cached.
//
// An owner is removed only if another one is found; see [OwnerScanLimit]. A removal
// cannot be undone, but revoking ownership can, so that comes first: if the other owner
// has left meanwhile, or the removal fails, ownership is restored. If it is unknown
// whether a removal was carried out, the error says so. Errors match
// [ErrInvalidArgument] before any request, [ErrLastOwner], [ErrUnconfirmed],
// [ErrNotRestored].
func (s *UserService) Remove(ctx context.Context, userID string) (bool, error) {
	sub := s.subject(userID)
	ctx, end, err := s.c.lockSubject(ctx, sub)
	if err != nil {
		return false, err
	}
	defer end()
	owners := &ownership{c: s.c, remains: func(id, _ string) bool { return id != userID }}
	defer owners.release()
	op := call{"deleteUsers", http.MethodDelete, "/users"}
	var groups []Group
	var email string
	return removal[User, api.DeleteUsers200Response]{
		call: op, sub: sub, owners: owners, get: s.Get,
		takeOwnership: func(ctx context.Context, user *User) error {
			through, in, groupsErr := s.ownerGroups(ctx, owners, user)
			if groupsErr != nil {
				return groupsErr
			}
			groups, email = in, user.Email
			return owners.takeFrom(ctx, op, sub, Assignments(user.Permissions), user.Email, through)
		},
		held: func(user *User) []Permission { return user.Permissions },
		loses: func() string {
			if len(groups) == 0 {
				return ""
			}
			names := make([]string, len(groups))
			for i, g := range groups {
				names[i] = fmt.Sprintf("%q", g.Name)
			}
			return "; member of the groups " + strings.Join(names, ", ")
		},
		facts: func() []changedFact {
			facts := []changedFact{{allInvites, FoldEmail(email), false}}
			for _, g := range groups {
				facts = append(facts, memberFacts(g.ID, []string{email}, false)...)
			}
			return facts
		},
		send: func(ctx context.Context) (*api.DeleteUsers200Response, *http.Response, error) {
			return s.c.raw.IAMUsersAPI.DeleteUsers(ctx).UserIds([]string{userID}).Execute()
		},
	}.run(ctx)
}
