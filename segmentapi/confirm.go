package segmentapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/public-api-sdk-go/api"
)

// A writing is one write of permissions: what was held before, what was written, the
// difference, and the permissions in the answer.
type writing struct {
	held, written []Assignment
	next          Difference
	answer        *[]api.AccessPermissionV1
}

// errNotShown means that a write whose outcome is unknown does not show.
var errNotShown = errors.New("the write does not show")

// confirm reads the subject until it shows a write that ended with failed, and notes
// what Segment did beyond it.
func (e *permissionEdit) confirm(ctx context.Context, what call, w writing, failed error) (holding, error) {
	c, subject := e.c, e.sub.String()
	if failed != nil && !outcomeUnknown(failed) {
		return holding{}, failed
	}
	w.held = without(w.held, e.correction.Removed) // Segment may store again what was to be removed.
	wider, narrower := w.wider(w.answered())
	addsMinimal := slices.ContainsFunc(without(w.answered(), w.written), isMinimal)
	var after holding
	facts := factsOf(subject, w.next)
	// A read may show the write and still be older, if the same was held before. Then it
	// contradicts something else that this process has written.
	otherFacts := func(name string) (bool, bool) {
		isChanged := slices.ContainsFunc(facts, func(f changedFact) bool { return f.name == name })
		return hasFact(after.assignments, name), !after.hidden && !isChanged
	}
	// before is the part of wider that another administrator granted.
	var before []Assignment
	began, reads := time.Now(), 0
	shown, err := c.readBack(ctx, failed, facts, func(ctx context.Context) (bool, error) {
		if reads++; reads > 1 {
			e.lag = max(e.lag, time.Since(began))
		}
		var readErr error
		after, readErr = e.sub.read(ctx)
		done := shows(after.assignments, w.next, addsMinimal)
		if !done && len(narrower) == 0 { // An assignment that shows without the write was there before it.
			there := isIn(after.assignments)
			before = union(before, matching(wider, func(x Assignment) bool {
				return there(x) && !slices.ContainsFunc(w.next.Added, func(a Assignment) bool { return x.covers(a) && there(a) })
			}))
		}
		return done && !c.writer.memory.contradicts(subject, otherFacts) || len(narrower) > 0 && len(without(wider, after.assignments)) == 0, readErr
	}, c.readUntil)
	if err == nil && !shown && shows(after.assignments, w.next, addsMinimal) { // Another program has changed what this process had written.
		c.writer.memory.forgetContradicted(subject, began, otherFacts)
		shown = true
	}
	wider = without(wider, before)
	notShown := Compare(after.assignments, w.next.Apply(after.assignments))
	if asked := (Difference{Added: without(w.next.Added, e.correction.Added), Removed: w.next.Removed}); err == nil && failed == nil && !shown && shows(after.assignments, asked, true) {
		// Another administrator has revoked what was given back, or Segment adds Minimal
		// Workspace Access without answering so. Do not repeat the POST.
		e.correction.Added = without(e.correction.Added, notShown.Added)
		e.postCheck = nil
		shown = true
	}
	switch {
	case err != nil:
		c.audit(ctx, what, subject, w.next.String(), errors.Join(failed, err))
		if failed != nil {
			return holding{}, failed
		}
		return holding{}, fmt.Errorf("segment %s was changed (%s), but cannot be read back: %w", subject, w.next, err)
	case !shown && len(wider) == 0 && failed != nil:
		return after, errNotShown
	case !shown && len(wider) == 0:
		err = fmt.Errorf("segment %s: %w after %s: not shown: %s", subject, e.whyNotShown(w, after, notShown), c.writer.settleTime, notShown)
		c.audit(ctx, what, subject, w.next.String(), err)
		return after, err
	}
	for i, a := range w.next.Added { // The caller may have known the role's id alone.
		if at := slices.IndexFunc(after.assignments, a.Same); at >= 0 {
			w.next.Added[i].RoleName = after.assignments[at].RoleName
		}
	}
	e.addedBySegment = union(e.addedBySegment, matching(without(without(after.assignments, w.written), without(w.held, w.next.Removed)), isMinimal))
	done := Difference{Added: without(w.next.Added, notShown.Added), Removed: without(w.next.Removed, notShown.Removed)}
	// Minimal Workspace Access that Segment has added is remembered too: an older read lacks it.
	c.writer.memory.note(factsOf(subject, Difference{Added: union(done.Added, matching(after.assignments, isIn(e.addedBySegment))), Removed: done.Removed}))
	e.written = e.written.then(Difference{Added: without(done.Added, e.correction.Added), Removed: without(done.Removed, e.correction.Removed)})
	if len(wider) == 0 {
		c.audit(ctx, what, subject, w.next.String(), nil)
		return after, nil
	}
	e.correction = e.correction.then(Difference{Removed: wider})
	if what == e.sub.put {
		e.unwritable = union(e.unwritable, narrower)
	}
	c.audit(ctx, what, subject, w.next.String(), fmt.Errorf("segment %s: Segment granted more than requested, which is to be corrected: %s", subject, Difference{Added: wider}))
	return after, nil
}

// whyNotShown returns the kind of error for a write that was accepted but does not show.
func (e *permissionEdit) whyNotShown(w writing, after holding, notShown Difference) error {
	subject := e.sub.String()
	switch {
	case len(notShown.Added) < len(w.next.Added) || len(notShown.Removed) < len(w.next.Removed):
		e.c.writer.memory.forget(subject)
		return ErrNotApplied
	case !Compare(w.held, after.assignments).Empty(): // Another program has written since.
		e.overwritten = true
		e.c.writer.memory.forget(subject)
		return ErrContested
	}
	e.c.writer.memory.note(factsOf(subject, w.next))
	return ErrUnconfirmed
}

// shows reports whether a difference shows in what is held. If Segment adds Minimal Workspace
// Access by itself, that may still be held although it was to be removed with other assignments.
func shows(held []Assignment, next Difference, addsMinimal bool) bool {
	open := Compare(held, next.Apply(held))
	if addsMinimal && len(next.Added)+len(next.Removed) > 1 {
		open.Removed = slices.DeleteFunc(open.Removed, isMinimal)
	}
	return open.Empty()
}

// wider returns the assignments that Segment granted beyond the request, and the written
// ones that are missing instead. It goes by the answer to the write alone: a read may be
// stale, or show grants of another administrator. Segment granted a new assignment if it
// covers one that was to be added, or is a written one that has lost labels.
func (w writing) wider(answered []Assignment) ([]Assignment, []Assignment) {
	var wider, narrower []Assignment
	there, toAdd := isIn(answered), isIn(w.next.Added)
	held := without(w.held, w.next.Removed) // If the answer has what was to be removed, it was stored anew.
	for _, x := range without(without(answered, held), w.written) {
		counts := false
		for _, a := range w.written {
			if toAdd(a) && x.covers(a) || !there(a) && x.RoleID == a.RoleID && x.hasFewerLabels(a) {
				counts = true
				if !there(a) {
					narrower = union(narrower, []Assignment{a})
				}
			}
		}
		if counts && !isMinimal(x) {
			wider = append(wider, x)
		}
	}
	return wider, narrower
}

func isMinimal(a Assignment) bool {
	return a.RoleName == RoleMinimalWorkspaceAccess && workspaceWide(a)
}
