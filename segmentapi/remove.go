package segmentapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/segmentio/public-api-sdk-go/api"
)

// Remove takes a user out of the workspace and its groups, and reports whether
// there was one: DELETE /users (deleteUsers). The person's Segment account
// stays. It costs 4 requests and one for each of the user's groups.
//
// An owner is removed only if another one is found; see [OwnerScanLimit]. A
// removal cannot be taken back, so ownership is taken away first, which can:
// should the other owner have gone meanwhile, it is given back and the user
// stays. Errors match [ErrInvalidArgument] before any request, [ErrLastOwner],
// [ErrNotApplied].
func (s *UserService) Remove(ctx context.Context, userID string) (bool, error) {
	sub := s.subject(userID)
	unlock, err := s.c.lock(ctx, sub)
	if err != nil {
		return false, err
	}
	defer unlock()
	user, err := s.Get(ctx, userID)
	if gone(err) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	owners := &ownership{c: s.c, remains: func(id, _ string) bool { return id != userID }}
	defer owners.release()
	groups, err := s.ownerGroups(ctx, owners, userID)
	if err == nil {
		err = owners.disown(ctx, sub, Assignments(user.Permissions), user.Email, groups)
	}
	if err != nil {
		return false, err
	}
	what := call{"deleteUsers", http.MethodDelete, "/users"}
	return remove(ctx, s.c, what, sub, s.Get, func(ctx context.Context) (*api.DeleteUsers200Response, *http.Response, error) {
		return s.c.raw.IAMUsersAPI.DeleteUsers(ctx).UserIds([]string{userID}).Execute()
	})
}

// ownerGroups are the groups that make a user an owner.
func (s *UserService) ownerGroups(ctx context.Context, owners *ownership, userID string) ([]string, error) {
	var through []string
	for group, err := range s.AllGroups(ctx, userID) {
		switch {
		case notInPlan(err):
			return nil, nil
		case err != nil:
			return nil, err
		}
		detail, err := s.c.Groups.Get(ctx, group.ID)
		if gone(err) {
			continue
		} else if err != nil {
			return nil, err
		}
		owned, err := owners.owned(ctx, Assignments(detail.Permissions))
		if err != nil {
			return nil, err
		}
		if owned {
			through = append(through, group.ID)
		}
	}
	return through, nil
}

// Delete deletes a group and reports whether there was one: DELETE
// /groups/{userGroupId} (deleteUserGroup). Its members stay in the workspace
// and lose what they held through it. It costs 3 requests.
//
// If the group makes its users owners, another owner must be found, with the
// errors and in the way of [UserService.Remove].
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
	if err = owners.disown(ctx, sub, Assignments(group.Permissions), "", nil); err != nil {
		return false, err
	}
	what := call{"deleteUserGroup", http.MethodDelete, "/groups/" + groupID}
	return remove(ctx, s.c, what, sub, s.Get, func(ctx context.Context) (*api.DeleteUserGroup200Response, *http.Response, error) {
		return s.c.raw.IAMGroupsAPI.DeleteUserGroup(ctx, groupID).Execute()
	})
}

// remove sends a removal and reads back that nothing is there any more.
func remove[O, T any](
	ctx context.Context, c *Client, what call, sub subject,
	get func(context.Context, string) (*T, error), send func(context.Context) (*O, *http.Response, error),
) (bool, error) {
	if c.writer.dryRun {
		return true, nil
	}
	_, _, err := execute(ctx, c, what, send)
	err = c.verify(ctx, what, sub.String(), "removed", err, func(ctx context.Context) (string, error) {
		_, readErr := get(ctx, sub.id)
		if gone(readErr) {
			return "", nil
		}
		return sub.String(), readErr
	})
	return err == nil, err
}

// disown takes the workspace from a user or a group that owns it by what it
// holds, and a user out of groups that give it. In the end another owner is
// left, or everything is as it was.
func (o *ownership) disown(ctx context.Context, sub subject, held []Assignment, email string, groups []string) error {
	direct, err := o.owned(ctx, held)
	if err != nil || !direct && len(groups) == 0 {
		return err
	}
	if users, usersErr := o.hasUsers(ctx, sub); !users || usersErr != nil {
		return usersErr
	}
	if err = o.prove(ctx); err != nil || o.c.writer.dryRun {
		return wrapFor(sub, err)
	}
	var undo []func(context.Context) error
	if direct {
		held = slices.DeleteFunc(slices.Clone(held), not(o.isOwner))
		demotion := &editing{c: o.c, sub: sub, edit: Revoke(held...)}
		undo = append(undo, func(ctx context.Context) error {
			back := Difference{Added: held, Removed: demotion.made.Added}
			_, undoErr := (&editing{c: o.c, sub: sub, edit: back.Apply}).run(ctx)
			return undoErr
		})
		_, err = demotion.run(ctx)
	}
	for _, groupID := range groups {
		if err != nil {
			break
		}
		undo = append(undo, func(ctx context.Context) error {
			_, undoErr := o.c.Groups.addMembers(ctx, groupID, []string{email})
			return undoErr
		})
		err = o.c.Groups.removeMembers(ctx, groupID, []string{email}, []member{{email: email}})
	}
	ctx, cancel := afterwards(ctx)
	defer cancel()
	if err == nil {
		err = o.prove(ctx)
	}
	if err == nil {
		return nil
	}
	for _, back := range slices.Backward(undo) {
		if undoErr := back(ctx); undoErr != nil {
			err = fmt.Errorf("it COULD NOT BE CHANGED BACK (%w), although it must: %w", undoErr, err)
		}
	}
	return fmt.Errorf("segment %s stays, its ownership was taken and given back: %w", sub, err)
}

// wrapFor names the subject in an error.
func wrapFor(sub subject, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("segment %s: %w", sub, err)
}

// notInPlan reports that Segment says that the workspace lacks a feature.
func notInPlan(err error) bool {
	var e *Error
	return errors.As(err, &e) && len(e.Details) > 0 && (errors.Is(err, ErrBadRequest) || errors.Is(err, ErrNotFound))
}
