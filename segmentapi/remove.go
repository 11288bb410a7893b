package segmentapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// A removal removes a user from the workspace, or deletes a group. It cannot be undone,
// but revoking ownership can, so that comes first.
type removal[T, O any] struct {
	call
	sub    subject
	owners *ownership
	get    func(context.Context, string) (*T, error)
	// takeOwnership takes ownership from what is to be removed, if it has any.
	takeOwnership func(context.Context, *T) error
	held          func(*T) []Permission
	// loses names what is lost with it besides its roles, for the log. It is called after
	// takeOwnership.
	loses func() string
	// facts are what else the removal makes true.
	facts func() []changedFact
	send  func(context.Context) (*O, *http.Response, error)
}

// run reports whether there was something to remove.
func (r removal[T, O]) run(ctx context.Context) (bool, error) {
	c, subject := r.owners.c, r.sub.String()
	there, err := r.read(ctx)
	if gone(err) {
		c.logUnchanged(ctx, r.call, subject, "it does not exist")
		return false, nil
	} else if err != nil {
		return false, err
	}
	if err = r.takeOwnership(ctx, there); err != nil {
		return r.goneMeanwhile(ctx, err)
	}
	if c.writer.dryRun {
		return c.planned(ctx, r.call, subject, "removed"+losesRoles(r.held(there))), nil
	}
	err = c.carryOut(ctx, change{
		call: r.call, subject: subject, what: "removed" + losesRoles(r.held(there)) + r.loses(), repeatable: true,
		send: func(ctx context.Context, again bool) error {
			return sendUnless(ctx, c, r.call, rechecker{check: r.recheck, always: again}, r.send)
		},
		notYet: func(ctx context.Context) (string, error) {
			if _, readErr := r.get(ctx, r.sub.id); !gone(readErr) {
				return subject, readErr
			}
			return "", nil
		},
		facts: func() []changedFact { return append(r.facts(), changedFact{subject, exists, false}) },
	})
	switch {
	case errors.Is(err, errUnwanted):
		return false, nil
	case accepted(err) && len(r.owners.undo) > 0:
		return false, fmt.Errorf("segment %s: its ownership was revoked and not restored: %w", r.sub, err)
	case accepted(err):
		return false, err
	case err != nil:
		if err = r.owners.giveBack(ctx, r.sub, err); err != nil {
			return r.goneMeanwhile(ctx, err)
		}
	}
	return true, nil
}

// read reads what is to be removed, and again if the answer is older than what this
// process has written.
func (r removal[T, O]) read(ctx context.Context) (*T, error) {
	return readRemembering(ctx, r.owners.c, r.sub.String(), func(ctx context.Context) (*T, error) {
		return r.get(ctx, r.sub.id)
	}, func(there *T, name string) (bool, bool) {
		return hasFact(Assignments(r.held(there)), name), true
	})
}

// recheck reports whether there is still something to remove, after a wait. If ownership
// was taken before the wait, that relied on another owner at that time.
func (r removal[T, O]) recheck(ctx context.Context) (bool, error) {
	now, err := r.read(ctx)
	if gone(err) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if err = r.takeOwnership(ctx, now); err == nil && len(r.owners.undo) > 0 {
		err = r.owners.findOther(ctx)
	}
	return true, err
}

// goneMeanwhile ignores a 404 if the subject has been removed meanwhile.
func (r removal[T, O]) goneMeanwhile(ctx context.Context, err error) (bool, error) {
	if errors.Is(err, ErrNotFound) {
		if _, readErr := r.sub.read(finishing(ctx)); gone(readErr) {
			return false, nil
		}
	}
	return false, err
}

// ownerGroups returns the groups that make a user an owner, and all groups that the user is
// in. They include groups to which this process has added the user within the last minute,
// because the list may be stale.
func (s *UserService) ownerGroups(ctx context.Context, owners *ownership, user *User) ([]string, []Group, error) {
	var through []string
	var in []Group
	for group, err := range s.AllGroups(ctx, user.ID) {
		switch {
		case notInPlan(err) && len(in) == 0: // A user who is in a group has groups in the plan.
			return nil, nil, nil
		case err != nil:
			return nil, nil, err
		}
		in = append(in, group)
	}
	for _, id := range s.c.Groups.rememberedWith(user.Email) {
		if !slices.ContainsFunc(in, func(g Group) bool { return g.ID == id }) {
			in = append(in, Group{ID: id, Name: id})
		}
	}
	for _, group := range in {
		detail, err := owners.read(ctx, s.c.Groups.subject(group.ID))
		if gone(err) {
			continue
		} else if err != nil {
			return nil, nil, err
		}
		owner, err := owners.makeOwner(ctx, detail.assignments)
		if err != nil {
			return nil, nil, err
		}
		if owner {
			through = append(through, group.ID)
		}
	}
	return through, in, nil
}

// takeFrom revokes the ownership of a user or a group, and removes a user from the groups
// that give it. In the end another owner is left, or everything is as it was. what is the
// operation of which this is the first step.
func (o *ownership) takeFrom(ctx context.Context, what call, sub subject, held []Assignment, email string, groups []string) error {
	direct, err := o.makeOwner(ctx, held)
	if err != nil || !direct && len(groups) == 0 {
		return err
	}
	if users, usersErr := o.hasUsers(ctx, sub); !users || usersErr != nil {
		return usersErr
	}
	if err = o.findOther(ctx); err != nil {
		return wrapFor(sub, err)
	}
	rowsIn := map[string][]member{}
	for _, groupID := range groups { // Segment removes members by address.
		rows, readErr := o.c.Groups.membersWith(ctx, groupID, []string{email})
		if readErr == nil {
			_, readErr = leavingUsers(groupID, rows)
		}
		if readErr != nil {
			return wrapFor(sub, readErr)
		}
		rowsIn[groupID] = rows
	}
	groups = slices.DeleteFunc(slices.Clone(groups), func(id string) bool { return len(rowsIn[id]) == 0 })
	if !o.c.writer.dryRun {
		o.c.announce(ctx, what, sub.String(), takingSteps(direct, groups))
	}
	if direct {
		demotion := &permissionEdit{c: o.c, sub: sub, edit: Revoke(matching(held, o.isOwner)...)}
		_, err = demotion.run(ctx)
		if !demotion.sent.Empty() {
			o.undo = append(o.undo, func(ctx context.Context) error { return o.giveBackPermissions(ctx, sub, demotion.sent) })
		}
	}
	for _, groupID := range groups {
		if err != nil || o.c.writer.dryRun {
			break
		}
		var taken []string
		taken, err = o.c.Groups.takeOut(ctx, groupID, []string{email}, rowsIn[groupID], nil)
		if len(taken) > 0 {
			o.undo = append(o.undo, func(ctx context.Context) error { return o.c.Groups.add(ctx, groupID, taken, true) })
		}
	}
	if err == nil && !o.c.writer.dryRun {
		err = o.findOtherAfter(ctx)
	}
	if err == nil {
		return nil
	}
	return o.giveBack(ctx, sub, err)
}

func takingSteps(direct bool, groups []string) string {
	var steps []string
	if direct {
		steps = append(steps, "revoke the role "+RoleWorkspaceOwner)
	}
	if len(groups) > 0 {
		steps = append(steps, "remove it from the groups "+strings.Join(groups, ", "))
	}
	return strings.Join(append(steps, "remove it"), "; ")
}

// giveBack undoes takeFrom after the error err. It returns no error if the
// subject turns out to have been removed.
func (o *ownership) giveBack(ctx context.Context, sub subject, err error) error {
	if len(o.undo) == 0 {
		return err
	}
	ctx, cancel := restoring(ctx)
	defer cancel()
	removed := "was not removed"
	if outcomeUnknown(err) {
		removed = "may or may not have been removed"
	}
	outcome := "its ownership was revoked and restored"
	for _, undo := range slices.Backward(o.undo) {
		undoErr := undo(ctx)
		var partly partlyGivenBackError
		switch {
		case undoErr == nil:
			continue
		case errors.As(undoErr, &partly):
			err = fmt.Errorf("only its ownership could be restored (%w): %w", partly.error, err)
			continue
		}
		if gone(undoErr) {
			if _, readErr := sub.read(ctx); gone(readErr) {
				o.c.writer.memory.note([]changedFact{{sub.String(), exists, false}})
				return nil
			}
		}
		outcome = "its ownership was revoked"
		err = fmt.Errorf("it %w (%w), but must be: %w", ErrNotRestored, undoErr, err)
	}
	o.undo = nil
	return fmt.Errorf("segment %s %s; %s: %w", sub, removed, outcome, err)
}

// wrapFor names the subject in an error.
func wrapFor(sub subject, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("segment %s: %w", sub, err)
}

// notInPlan reports whether Segment says that the workspace lacks a feature.
func notInPlan(err error) bool {
	return FromSegment(err) && (errors.Is(err, ErrBadRequest) || errors.Is(err, ErrNotFound))
}

// losesRoles names the roles that go with a user or a group.
func losesRoles(permissions []Permission) string {
	var roles []string
	for _, a := range Assignments(permissions) {
		roles = append(roles, a.String())
	}
	if len(roles) == 0 {
		return ""
	}
	return ", and with it: " + strings.Join(roles, "; ")
}
