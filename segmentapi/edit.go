package segmentapi

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/public-api-sdk-go/api"
)

func (c *Client) grant(ctx context.Context, sub subject, assignments []Assignment) (Difference, error) {
	if err := checkAssignments(assignments); err != nil {
		return Difference{}, err
	}
	assignments, err := c.inWorkspace(ctx, assignments)
	if err != nil {
		return Difference{}, wrapFor(sub, err)
	}
	return c.editOr(ctx, sub, Grant(assignments...), "already held: "+namesOf(assignments))
}

func (c *Client) revoke(ctx context.Context, sub subject, assignments []Assignment) (Difference, error) {
	if len(assignments) == 0 {
		return Difference{}, invalidArgument("no assignments: name at least one")
	}
	for _, a := range assignments {
		if err := a.checkIDs(); err != nil {
			return Difference{}, err
		}
	}
	assignments, err := c.inWorkspace(ctx, assignments)
	if err != nil {
		return Difference{}, wrapFor(sub, err)
	}
	return c.editOr(ctx, sub, Revoke(assignments...), "not held: "+namesOf(assignments))
}

func (c *Client) replace(ctx context.Context, sub subject, permissions []Permission) (Difference, error) {
	target := Assignments(permissions)
	if err := checkAssignments(target); err != nil {
		return Difference{}, err
	}
	target, err := c.inWorkspace(ctx, target)
	if err != nil {
		return Difference{}, wrapFor(sub, err)
	}
	var change *Difference
	return c.edit(ctx, sub, func(held []Assignment) []Assignment {
		if change == nil {
			first := Compare(held, target)
			change = &first
		}
		return change.Apply(held)
	})
}

func namesOf(assignments []Assignment) string {
	names := make([]string, len(assignments))
	for i, a := range assignments {
		names[i] = a.String()
	}
	return strings.Join(names, "; ")
}

func (c *Client) edit(ctx context.Context, sub subject, edit Edit) (Difference, error) {
	return c.editOr(ctx, sub, edit, "the permissions already match")
}

// editOr locks the subject, makes the edit and checks that no other program has
// overwritten it. If there is nothing to change, it logs why.
func (c *Client) editOr(ctx context.Context, sub subject, edit Edit, why string) (Difference, error) {
	if edit == nil {
		return Difference{}, invalidArgument("the edit is nil")
	}
	ctx, end, err := c.lockSubject(ctx, sub)
	if err != nil {
		return Difference{}, err
	}
	defer end()
	made, err := c.editOnce(ctx, sub, edit, nil)
	repeated := made.overwritten && ctx.Err() == nil
	if repeated {
		made, err = c.repeatOverwritten(ctx, sub, edit, made)
	}
	switch {
	case err != nil:
		return made.change, err
	case made.change.Empty():
		c.logUnchanged(ctx, sub.put, sub.String(), why)
		return made.change, nil
	case c.writer.dryRun:
		what := sub.put
		if len(made.change.Removed) == 0 {
			what = sub.post
		}
		c.planned(ctx, what, sub.String(), c.withRoleNames(ctx, made.change).String())
		return made.change, nil
	}
	if err = c.checkNotOverwritten(ctx, sub, edit, made, repeated); err != nil {
		return Difference{}, err
	}
	return made.change, nil
}

// withRoleNames returns a change with the names of the roles that it adds, for the log of
// a dry run: no answer to a write has them. If a role cannot be read, its id stays.
func (c *Client) withRoleNames(ctx context.Context, change Difference) Difference {
	change.Added = slices.Clone(change.Added)
	for i, a := range change.Added {
		if a.RoleName != "" {
			continue
		}
		if role, err := c.Roles.Get(ctx, a.RoleID); err == nil {
			change.Added[i].RoleName = role.Name
		}
	}
	return change
}

// A madeEdit is what became of an edit.
type madeEdit struct {
	change Difference
	// lag is how long it took until the change showed.
	lag time.Duration
	// overwritten is set if another program has overwritten the edit before it showed, so
	// that nothing of it is left.
	overwritten bool
	// addedBySegment is not to be edited if the edit is repeated.
	addedBySegment []Assignment
}

// lockSubject locks a user or a group, and returns a context for the edit; see
// finishing.
func (c *Client) lockSubject(ctx context.Context, sub subject) (context.Context, func(), error) {
	if err := checkID(sub.kind, sub.id); err != nil {
		return nil, nil, err
	}
	return c.begin(ctx, sub.String())
}

// editOnce makes an edit, and gives back what it took if the workspace would be left
// without an owner.
func (c *Client) editOnce(ctx context.Context, sub subject, edit Edit, addedBySegment []Assignment) (madeEdit, error) {
	e := &permissionEdit{c: c, sub: sub, edit: edit, owners: newOwnerGuard(c, sub), addedBySegment: addedBySegment}
	defer e.owners.release()
	change, err := e.run(ctx)
	if undone := e.owners.confirm(ctx); undone != nil {
		return madeEdit{}, errors.Join(undone, err)
	}
	return madeEdit{
		change: change, lag: e.lag, addedBySegment: e.addedBySegment,
		overwritten: e.overwritten && !errors.Is(err, ErrNotRestored),
	}, err
}

// checkNotOverwritten reads the subject once more, a second after a change. Another
// program that replaces the permissions at the same time may have computed them from
// an older read, and so have overwritten the change. It is then repeated, unless it was
// repeated before. If reads lag, the pause includes the lag: the other program may have
// read late, and its write may show late.
func (c *Client) checkNotOverwritten(ctx context.Context, sub subject, edit Edit, made madeEdit, repeated bool) error {
	if c.writer.settleTime == 0 {
		return nil
	}
	for ; !made.change.Empty(); repeated = true {
		change := made.change
		if len(change.Removed) > 0 { // Ignore what took the place of a last permission.
			change.Added = without(change.Added, matching(change.Added, isMinimal))
		}
		// A random pause keeps several clients from writing at the same time again.
		pause := made.lag + time.Second + rand.N(500*time.Millisecond) //nolint:gosec // Jitter needs no cryptography.
		if err := sleep(ctx, pause); err != nil {
			return nil //nolint:nilerr // The caller has left. The change was confirmed.
		}
		var missing Difference
		shown, err := c.readUntil(ctx, func(ctx context.Context) (bool, error) {
			held, readErr := sub.read(ctx)
			missing = Compare(held.assignments, change.Apply(held.assignments))
			return missing.Empty() || held.hidden, readErr
		})
		switch {
		case shown || gone(err):
			return nil
		case err != nil:
			c.changeLog(sub.put, sub.String()).WarnContext(ctx, "changed, but could not check whether another program has overwritten the change",
				"change", change.String(), "error", err)
			return nil
		case repeated || len(missing.Added) < len(change.Added) || len(missing.Removed) < len(change.Removed):
			err = fmt.Errorf("segment %s: %w: %s: still to change: %s", sub, ErrContested, change, missing)
			c.audit(ctx, sub.put, sub.String(), change.String(), err)
			return err
		}
		if made, err = c.repeatOverwritten(ctx, sub, edit, made); err != nil {
			return fmt.Errorf("segment %s: another program has overwritten the change (%s), and it could not be repeated: %w", sub, change, err)
		}
	}
	return nil
}

// repeatOverwritten repeats an edit that another program has overwritten.
func (c *Client) repeatOverwritten(ctx context.Context, sub subject, edit Edit, made madeEdit) (madeEdit, error) {
	c.changeLog(sub.put, sub.String()).WarnContext(ctx, "another program has overwritten the change: repeating it")
	c.writer.memory.forget(sub.String()) // It has been read for long enough.
	return c.editOnce(ctx, sub, edit, made.addedBySegment)
}

// permissionEdit is one edit of one subject, which is locked.
type permissionEdit struct {
	c    *Client
	sub  subject
	edit Edit
	// owners is nil if the caller makes sure that an owner is left.
	owners *ownerGuard
	// forced holds assignments that are given back. They are written at least once, even if a
	// read shows them, because that read may be old.
	forced []Assignment

	// first is what was held at first.
	first []Assignment
	// written is what the writes so far have changed as requested, and sent what the PUTs so
	// far may have changed.
	written, sent Difference
	// labeled are assignments whose labels are known to exist.
	labeled []Assignment
	// correction reverses what Segment did beyond what was asked.
	correction Difference
	// addedBySegment is Minimal Workspace Access if Segment has added it to what was written
	// without it.
	addedBySegment []Assignment
	// unwritable are assignments that lose labels when they are written.
	unwritable []Assignment
	// postCheck is set while it is unknown whether a POST has replaced what
	// correction gives back.
	postCheck *postCheck
	// minimal takes the place of the last permission, once it is needed.
	minimal *Assignment
	// tries is how often a write was sent or had to be decided on anew.
	tries int
	// refusals is how often the rate limit has refused a write.
	refusals int
	// waited is how long the writes have waited for the rate limit.
	waited time.Duration
	// lag is the longest time that it took until a write showed.
	lag time.Duration
	// overwritten is set if another program has overwritten the last write.
	overwritten bool
}

// run reads the subject, decides what to write, writes it and reads until it shows. It
// repeats this until the subject holds what it should.
func (e *permissionEdit) run(ctx context.Context) (Difference, error) {
	held, err := e.read(ctx)
	if err != nil {
		return Difference{}, err
	}
	e.first = held.assignments
	correcting := false
	for {
		if !e.correction.Empty() && !correcting { // Correct it even if the caller has left.
			correcting = true
			e.tries, e.waited = 0, 0
			var done context.CancelFunc
			ctx, done = restoring(ctx)
			defer done()
		}
		next, err := e.decide(ctx, held)
		if err == nil && next.Empty() && e.postCheck == nil {
			return e.written, e.checkWritable()
		}
		if err == nil {
			err = e.mayTry(ctx, next)
		}
		if err != nil {
			return e.written, e.uncorrected(ctx, err)
		}
		if e.c.writer.dryRun {
			return next, nil
		}
		switch {
		case next.Empty():
			held, err = e.repeatPost(ctx, held)
		case e.replaces(next):
			held, err = e.put(ctx, next)
		default:
			held, err = e.post(ctx, held, next)
		}
		if err != nil {
			return e.written, e.uncorrected(ctx, err)
		}
	}
}

// read reads the subject, and again if the answer is older than what this process has
// written. Giving back does not depend on what is read.
func (e *permissionEdit) read(ctx context.Context) (holding, error) {
	if e.forced != nil {
		return e.sub.read(ctx)
	}
	return readRemembering(ctx, e.c, e.sub.String(), e.sub.read, func(held holding, name string) (bool, bool) {
		return hasFact(held.assignments, name), !held.hidden
	})
}

// decide returns what must be written if the subject holds held.
func (e *permissionEdit) decide(ctx context.Context, held holding) (Difference, error) {
	wanted, err := e.wanted(ctx, held.assignments)
	if err != nil {
		return Difference{}, err
	}
	next := Compare(held.assignments, wanted)
	next.Added = union(next.Added, e.forced)
	if next.Empty() && !held.hidden {
		return next, nil
	}
	if next.Empty() || e.replaces(next) {
		if err = held.replaceable(); err != nil {
			return next, wrapFor(e.sub, err)
		}
	}
	if unchecked := without(without(next.Added, e.labeled), e.forced); len(unchecked) > 0 {
		err = wrapFor(e.sub, e.c.checkLabels(ctx, unchecked))
		e.labeled = union(e.labeled, unchecked)
	}
	return next, err
}

// replaces reports whether a difference is written by replacing everything held.
func (e *permissionEdit) replaces(next Difference) bool {
	return len(next.Removed) > 0 || !e.correction.Empty() || e.c.writer.postReplaces.Load()
}

// mayTry returns an error if a difference must not be written.
func (e *permissionEdit) mayTry(ctx context.Context, next Difference) error {
	switch {
	case e.tries >= maxTries && e.sent.Empty() && e.written.Empty():
		return fmt.Errorf("segment %s: %w %d times before anything was written: still to change: %s", e.sub, ErrContested, maxTries, next)
	case e.tries >= maxTries && !next.Empty():
		return fmt.Errorf("segment %s: %w after %d tries: still to change: %s", e.sub, ErrNotApplied, maxTries, next)
	case ctx.Err() != nil:
		return fmt.Errorf("segment %s: %w: still to change: %s", e.sub, context.Cause(ctx), next)
	}
	return e.owners.check(ctx, next)
}

// wanted returns what the subject is to hold instead of held.
func (e *permissionEdit) wanted(ctx context.Context, held []Assignment) ([]Assignment, error) {
	// Minimal Workspace Access that Segment has added is kept and not edited.
	e.addedBySegment = union(e.addedBySegment, matching(without(held, e.first), isMinimal))
	added := matching(held, isIn(e.addedBySegment))
	edited := e.edit(cloned(without(held, added)))
	more, err := e.c.inWorkspace(ctx, without(edited, held)) // Assignments that are held stay as they were read.
	if err != nil {
		return nil, wrapFor(e.sub, err)
	}
	wanted := union(union(matching(edited, isIn(held)), more), added)
	for _, a := range Compare(held, wanted).Added {
		if err := a.check(); err != nil {
			return nil, err
		}
	}
	wanted = without(e.correction.Apply(wanted), e.unwritable)
	if len(wanted) > 0 || len(held) == 0 {
		return wanted, nil
	}
	if e.minimal == nil {
		minimal, err := e.c.minimalAssignment(ctx)
		if err != nil {
			if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrAmbiguous) {
				return nil, wrapFor(e.sub, err) // The role may exist.
			}
			return nil, fmt.Errorf("segment %s: %w: %w", e.sub, ErrLastPermission, err)
		}
		e.minimal = &minimal
	}
	if (e.sent.Empty() || isIn(e.sent.Removed)(*e.minimal)) && len(e.unwritable) == 0 && len(held) == 1 && held[0].Same(*e.minimal) {
		return nil, fmt.Errorf("segment %s: %w: it is %s, the least that Segment offers", e.sub, ErrLastPermission, e.minimal)
	}
	return []Assignment{*e.minimal}, nil
}

// minimalAssignment returns Minimal Workspace Access, which anyone may hold.
func (c *Client) minimalAssignment(ctx context.Context) (Assignment, error) {
	role, err := c.Roles.Find(ctx, RoleMinimalWorkspaceAccess)
	if err != nil {
		return Assignment{}, err
	}
	ws, err := c.Workspace.Get(ctx)
	if err != nil {
		return Assignment{}, err
	}
	return Assignment{RoleID: role.ID, RoleName: role.Name, Scope: Scope{Type: ScopeWorkspace, ID: ws.ID}}, nil
}

// checkLabels refuses labels that the workspace does not have. Segment might store the
// permission without them, and so grant the role on everything.
func (c *Client) checkLabels(ctx context.Context, added []Assignment) error {
	var known []Label
	for _, a := range added {
		if len(a.Scope.Labels) == 0 {
			continue
		}
		if known == nil {
			var err error
			if known, err = c.Labels.List(ctx); err != nil {
				return err
			}
		}
		for _, l := range a.Scope.Labels {
			if !slices.ContainsFunc(known, func(k Label) bool { return k.Key == l.Key && k.Value == l.Value }) {
				return fmt.Errorf("%w: the workspace has no label %s=%s: create it first", ErrInvalid, l.Key, l.Value)
			}
		}
	}
	return nil
}

// put replaces everything held and returns what is held afterwards. Only the round trip
// is between the last read and the write. planned is what was decided on from the read
// before.
func (e *permissionEdit) put(ctx context.Context, planned Difference) (holding, error) {
	var err error
	if e.waited, err = e.c.waitToWrite(ctx, e.sub.put, e.waited); err != nil {
		return holding{}, err
	}
	minimal := e.minimal
	held, next, err := e.readForPut(ctx)
	switch {
	case err != nil:
		return holding{}, err
	case next.Empty():
		return held, nil
	case e.minimal != minimal, len(without(next.Removed, planned.Removed)) > 0:
		e.tries++
		return held, nil // More is to be removed than was planned: check that first.
	}
	wanted := union(next.Apply(held.assignments), e.forced)
	answer, _, failed := execute(atOnce(finishing(ctx)), e.c, e.sub.put, func(ctx context.Context) (*[]api.AccessPermissionV1, *http.Response, error) {
		return e.sub.replace(ctx, inputOf(Permissions(wanted)))
	})
	if errors.Is(failed, ErrRateLimited) {
		if usesUpTry(failed) {
			e.refusals++
		}
		if e.refusals >= e.c.transport.maxAttempts && leastWait(ctx) == 0 {
			return holding{}, failed
		}
		return held, nil // The next try waits, or reports that it would take too long.
	}
	e.tries++
	if failed == nil || outcomeUnknown(failed) {
		e.owners.noteSent(next)
		e.sent = e.sent.then(next)
	}
	after, err := e.confirm(ctx, e.sub.put, writing{held: held.assignments, written: wanted, next: next, answer: answer}, failed)
	switch {
	case err == nil:
		e.forced = nil
		return after, nil
	case !errors.Is(err, errNotShown):
		return holding{}, err
	}
	if Compare(held.assignments, after.assignments).Empty() {
		e.owners.noteNotDone(next)
	}
	mayRepeat := mayRepeat(failed) || !e.correction.Empty() // A correction must be tried.
	if e.tries < maxTries && e.tries < e.c.transport.maxAttempts && mayRepeat && ctx.Err() == nil {
		return after, e.c.pauseBeforeRetry(ctx, e.tries)
	}
	e.c.audit(ctx, e.sub.put, e.sub.String(), next.String(), failed)
	return holding{}, failed
}

// readForPut reads the subject right before a PUT. If this read shows nothing to change
// although the one before did, one of them is stale. It then reads until there is something
// to change, or until only the read before can have been the stale one.
func (e *permissionEdit) readForPut(ctx context.Context) (holding, Difference, error) {
	var held holding
	var next Difference
	_, err := e.c.readUntil(ctx, func(ctx context.Context) (bool, error) {
		var readErr error
		if held, readErr = e.read(ctx); readErr != nil {
			return false, readErr
		}
		next, readErr = e.decide(ctx, held)
		return !next.Empty(), readErr
	})
	return held, next, err
}

// checkWritable returns an error if assignments lost their labels when they were written,
// and were removed for that reason.
func (e *permissionEdit) checkWritable() error {
	if len(e.unwritable) == 0 {
		return nil
	}
	if lost := Compare(without(e.first, e.unwritable), e.first); !lost.Empty() {
		return fmt.Errorf("segment %s was changed beyond the request, which %w: Segment no longer stores what was held before (still to change: %s)", e.sub, ErrNotRestored, lost)
	}
	return fmt.Errorf("segment %s: %w: Segment granted more than requested, which was revoked: %s", e.sub, ErrNotApplied, Difference{Added: e.unwritable})
}

// uncorrected adds to an error the changes beyond the request that are not corrected.
func (e *permissionEdit) uncorrected(ctx context.Context, err error) error {
	open := e.correction
	open.Added = union(open.Added, Compare(without(e.first, e.unwritable), e.first).Added)
	if open.Empty() {
		return err
	}
	err = fmt.Errorf("segment %s was changed beyond the request, which %w (still to change or to check: %s): %w", e.sub, ErrNotRestored, open, err)
	e.c.audit(ctx, e.sub.put, e.sub.String(), open.String(), err)
	e.c.writer.memory.noteUnknown(e.sub.String())
	return err
}

// cloned returns a deep copy of held.
func cloned(held []Assignment) []Assignment {
	out := slices.Clone(held)
	for i := range out {
		out[i].Scope.Labels = slices.Clone(out[i].Scope.Labels)
	}
	return out
}

// giveBack reverses what was taken from a subject. It goes by what was written and not
// by a read, which may be old.
func (c *Client) giveBack(ctx context.Context, sub subject, taken Difference) error {
	back := Difference{Added: taken.Removed, Removed: taken.Added}
	_, err := (&permissionEdit{c: c, sub: sub, edit: back.Apply, forced: back.Added}).run(ctx)
	return err
}
