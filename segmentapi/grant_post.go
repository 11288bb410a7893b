package segmentapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/segmentio/public-api-sdk-go/api"
)

// Segment documents that POST adds permissions. But its audit trail also has an event for
// a policy that is updated, so a POST might replace the permissions of the same role, or
// all of them. This file gives back what a POST has replaced, and finds out whether POST
// replaces.

// A postCheck is a POST after which something was missing: Segment has replaced it, or
// another administrator has revoked it at the same moment.
type postCheck struct{ added, missing []Assignment }

// post adds and returns what is held afterwards.
func (e *permissionEdit) post(ctx context.Context, held holding, next Difference) (holding, error) {
	now := held
	answer, failed := e.sendPost(ctx, next.Added, func(ctx context.Context) (bool, error) {
		var err error
		now, err = e.read(ctx)
		return Compare(held.assignments, now.assignments).Empty(), err
	})
	e.tries++
	switch {
	case notSent(failed), errors.Is(failed, ErrRateLimited):
		return holding{}, failed
	case failed == nil && answer == nil: // Something has changed during the wait: decide anew.
		return now, nil
	}
	w := writing{held: held.assignments, written: next.Added, next: next, answer: answer}
	after, err := e.confirm(ctx, e.sub.post, w, failed)
	switch {
	case errors.Is(err, errNotShown) && e.forced != nil && e.tries < maxTries: // What was taken must be given back.
		return after, e.c.pauseBeforeRetry(ctx, e.tries)
	case errors.Is(err, errNotShown):
		e.c.audit(ctx, e.sub.post, e.sub.String(), next.String(), failed)
		return holding{}, failed
	}
	missing := e.c.writer.missingAfterPost(held.assignments, next.Added, after.assignments, w.answered())
	if errors.Is(err, ErrNotApplied) && len(missing) > 0 { // Give it back even if the rest of the change fails.
		restoreCtx, cancel := restoring(ctx)
		defer cancel()
		if undoErr := e.c.giveBack(restoreCtx, e.sub, Difference{Removed: missing}); undoErr != nil {
			err = fmt.Errorf("segment %s has lost %s, which %w (%w): %w", e.sub, Difference{Removed: missing}, ErrNotRestored, undoErr, err)
		}
	}
	if err != nil {
		return holding{}, err
	}
	e.forced = nil
	if len(missing) > 0 {
		e.correction = e.correction.then(Difference{Added: missing})
		e.postCheck = &postCheck{added: next.Added, missing: missing}
	}
	return after, nil
}

func (e *permissionEdit) sendPost(ctx context.Context, added []Assignment, check func(context.Context) (bool, error)) (*[]api.AccessPermissionV1, error) {
	return sendWithRecheck(ctx, e.c, e.sub.post, rechecker{check: check}, func(ctx context.Context) (*[]api.AccessPermissionV1, *http.Response, error) {
		return e.sub.add(ctx, inputOf(Permissions(added)))
	})
}

// answered returns the assignments in the answer. Segment does not document whether these
// are all that is held or only those that were written.
func (w writing) answered() []Assignment {
	if w.answer == nil {
		return nil
	}
	return Assignments(accessOf(*w.answer))
}

// missingAfterPost returns the part of held that a POST may have replaced instead of adding
// to it: all assignments of the same role, or all assignments. Another administrator has
// revoked anything else that is missing. If the answer still shows an assignment, it was
// revoked after the POST.
func (s *shared) missingAfterPost(held, added, after, answer []Assignment) []Assignment {
	sameRole := func(a Assignment) bool {
		return slices.ContainsFunc(added, func(b Assignment) bool { return b.RoleID == a.RoleID })
	}
	there := isIn(slices.Concat(after, answer))
	missing, kept := map[bool][]Assignment{}, map[bool]bool{}
	for _, a := range without(held, added) {
		switch {
		case !there(a):
			missing[sameRole(a)] = append(missing[sameRole(a)], a)
		case !isMinimal(a): // Segment may have added that one anew.
			kept[sameRole(a)] = true
		}
	}
	if kept[true] {
		s.postMerges.Store(true)
	}
	switch {
	case s.postMerges.Load():
		return nil
	case kept[false]:
		return missing[true]
	}
	return slices.Concat(missing[true], missing[false])
}

// repeatPost sends the POST once more, now that the missing assignments are given back. If
// they are missing again afterwards, POST replaces. The others had been revoked by another
// administrator, and are revoked again.
func (e *permissionEdit) repeatPost(ctx context.Context, held holding) (holding, error) {
	check := e.postCheck
	e.postCheck = nil
	answer, failed := e.sendPost(ctx, check.added, nil)
	e.c.audit(ctx, e.sub.post, e.sub.String(), Difference{Added: check.added}.String()+" (once more, to find out whether Segment replaces what is held)", failed)
	var after holding
	replaced := false
	var err error
	switch {
	case failed != nil && !outcomeUnknown(failed): // It has replaced nothing.
	case failed == nil && len(without(check.missing, writing{answer: answer}.answered())) == 0: // It merges.
		after, err = e.sub.read(ctx)
	default: // A loss may show late, and an earlier read may be older than what was given back.
		if err = sleep(ctx, e.c.writer.settleTime); err == nil {
			after, err = e.sub.read(ctx)
			replaced = err == nil && len(without(check.missing, after.assignments)) > 0
		}
	}
	switch {
	case err != nil:
		return holding{}, err
	case replaced:
		e.c.writer.postReplaces.Store(true)
		lost := without(without(held.assignments, check.added), after.assignments)
		revoked := slices.DeleteFunc(without(check.missing, lost), isMinimal)
		e.correction = Difference{Added: union(without(e.correction.Added, revoked), lost), Removed: union(e.correction.Removed, revoked)}
		e.tries = 0
	case failed != nil && outcomeUnknown(failed) && e.tries < maxTries:
		e.tries++
		e.postCheck = check
	case failed != nil:
		e.correction = Difference{} // It is complete.
		return holding{}, fmt.Errorf("segment %s: %w during the grant of %s: either Segment or another program removed %s, which was restored: %w",
			e.sub, ErrContested, Difference{Added: check.added}, Difference{Added: check.missing}, failed)
	default:
		e.c.writer.postMerges.Store(true)
		e.correction = Difference{Removed: check.missing}
	}
	return after, nil
}
