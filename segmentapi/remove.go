package segmentapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// ownerGroups are the groups that make a user an owner.
func (s *UserService) ownerGroups(ctx context.Context, owners *ownership, userID string) ([]string, error) {
	var through []string
	listed := false
	for group, err := range s.AllGroups(ctx, userID) {
		switch {
		case notInPlan(err) && !listed: // Who is in a group has groups in the plan.
			return nil, nil
		case err != nil:
			return nil, err
		}
		listed = true
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

// remove sends a removal and reads back that nothing is there any more. What
// is there is disowned before, and once more if time passes in between.
func remove[O, T any](
	ctx context.Context, owners *ownership, what call, sub subject, there *T,
	get func(context.Context, string) (*T, error), disown func(*T) error, send func(context.Context) (*O, *http.Response, error),
) (bool, error) {
	if err := disown(there); err != nil {
		return goneMeanwhile(ctx, err, sub)
	}
	c := owners.c
	if c.writer.dryRun {
		return true, nil
	}
	sent := false
	_, err := afresh(ctx, c, what, func() (bool, error) {
		now, readErr := get(ctx, sub.id)
		if gone(readErr) {
			return false, nil
		} else if readErr != nil {
			return false, readErr
		}
		if disownErr := disown(now); disownErr != nil || len(owners.undo) == 0 {
			return true, disownErr
		}
		return true, owners.prove(ctx) // What was taken before rests on an owner of that time.
	}, func(ctx context.Context) (*O, *http.Response, error) {
		sent = true
		return send(ctx)
	})
	if sent {
		err = c.verify(ctx, what, sub.String(), "removed", err, func(ctx context.Context) (string, error) {
			_, readErr := get(ctx, sub.id)
			if gone(readErr) {
				return "", nil
			}
			return sub.String(), readErr
		})
	}
	return sent && err == nil, owners.giveBack(ctx, sub, err)
}

// goneMeanwhile tells who cannot be disowned because somebody else was faster.
func goneMeanwhile(ctx context.Context, err error, sub subject) (bool, error) {
	if errors.Is(err, ErrNotFound) {
		if _, readErr := sub.read(ctx); gone(readErr) {
			return false, nil
		}
	}
	return false, err
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
	for _, groupID := range groups { // Segment takes out of a group by address.
		rows, readErr := o.c.Groups.present(ctx, groupID, []string{email})
		if readErr == nil {
			_, readErr = leavingUsers(groupID, rows)
		}
		if readErr != nil {
			return wrapFor(sub, readErr)
		}
	}
	if direct {
		held = slices.DeleteFunc(slices.Clone(held), not(o.isOwner))
		demotion := &editing{c: o.c, sub: sub, edit: Revoke(held...)}
		o.undo = append(o.undo, func(ctx context.Context) error {
			back := Difference{Added: held, Removed: demotion.sent.Added}
			_, undoErr := (&editing{c: o.c, sub: sub, edit: back.Apply}).run(ctx)
			return undoErr
		})
		_, err = demotion.run(ctx)
	}
	for _, groupID := range groups {
		if err != nil {
			break
		}
		o.undo = append(o.undo, func(ctx context.Context) error {
			_, undoErr := o.c.Groups.addMembers(ctx, groupID, []string{email})
			return undoErr
		})
		err = o.c.Groups.removeMembers(ctx, groupID, []string{email}, []member{{email: email}}, func() error { return nil })
	}
	if err == nil {
		proofCtx, cancel := afterwards(ctx)
		defer cancel()
		err = o.prove(proofCtx)
	}
	return o.giveBack(ctx, sub, err)
}

// giveBack undoes what disown has done to a subject that stays because of err.
func (o *ownership) giveBack(ctx context.Context, sub subject, err error) error {
	if err == nil || len(o.undo) == 0 {
		return err
	}
	ctx, cancel := afterwards(ctx)
	defer cancel()
	outcome := "its ownership was taken and given back"
	for _, back := range slices.Backward(o.undo) {
		if undoErr := back(ctx); undoErr != nil && !gone(undoErr) {
			outcome = "its ownership was taken"
			err = fmt.Errorf("it %w (%w), although it must: %w", ErrNotRestored, undoErr, err)
		}
	}
	o.undo = nil
	return fmt.Errorf("segment %s stays, %s: %w", sub, outcome, err)
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
	return FromSegment(err) && (errors.Is(err, ErrBadRequest) || errors.Is(err, ErrNotFound))
}
