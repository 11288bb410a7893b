package segmentapi

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/segmentio/public-api-sdk-go/api"
)

// minimalAccess is the role that takes the place of the last permission. (Its
// name in the API and in SCIM; Segment's documentation calls it Workspace
// Member.)
const minimalAccess = "Minimal Workspace Access"

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

func (c *Client) grant(ctx context.Context, sub subject, assignments []Assignment) (Difference, error) {
	if err := checkAssignments(assignments); err != nil {
		return Difference{}, err
	}
	return c.edit(ctx, sub, Grant(assignments...))
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
	return c.edit(ctx, sub, Revoke(assignments...))
}

func (c *Client) replace(ctx context.Context, sub subject, permissions []Permission) (Difference, error) {
	target := Assignments(permissions)
	if err := checkAssignments(target); err != nil {
		return Difference{}, err
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

// edit locks the subject, makes the edit and checks that no other program has
// overwritten it.
func (c *Client) edit(ctx context.Context, sub subject, edit Edit) (Difference, error) {
	if edit == nil {
		return Difference{}, invalidArgument("the edit is nil")
	}
	ctx, end, err := c.lockSubject(ctx, sub)
	if err != nil {
		return Difference{}, err
	}
	defer end()
	change, lag, err := c.editOnce(ctx, sub, edit)
	repeated := errors.Is(err, ErrContested) && ctx.Err() == nil
	if repeated {
		change, lag, err = c.repeatOverwritten(ctx, sub, edit)
	}
	switch {
	case err != nil || c.writer.dryRun:
		return change, err
	case change.Empty():
		c.logUnchanged(ctx, sub.put, sub.String(), "it holds what was asked for")
		return change, nil
	}
	if err = c.checkNotOverwritten(ctx, sub, edit, change, lag, repeated); err != nil {
		return Difference{}, err
	}
	return change, nil
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
// without an owner. It returns how long it took until a write showed.
func (c *Client) editOnce(ctx context.Context, sub subject, edit Edit) (Difference, time.Duration, error) {
	e := &permissionEdit{c: c, sub: sub, edit: edit, owners: newOwnerGuard(c, sub)}
	defer e.owners.release()
	change, err := e.run(ctx)
	if undone := e.owners.confirm(ctx); undone != nil {
		return Difference{}, 0, errors.Join(undone, err)
	}
	return change, e.lag, err
}

// checkNotOverwritten reads the subject once more, a second after a change. Another
// program that replaces the permissions at the same time may have computed them from
// an older read, and so have overwritten the change. It is then made once more, unless it
// was repeated before. If reads were behind by lag, that program may have read as late as
// that, and its write shows as late as that.
func (c *Client) checkNotOverwritten(ctx context.Context, sub subject, edit Edit, change Difference, lag time.Duration, repeated bool) error {
	if c.writer.settleTime == 0 {
		return nil
	}
	for ; ; repeated = true {
		// A random pause keeps several clients from writing at the same time again.
		if sleep(ctx, lag+time.Second+rand.N(500*time.Millisecond)) != nil { //nolint:gosec // Jitter needs no cryptography.
			return nil // The caller has left. The change was confirmed.
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
			c.changeLog(sub.put, sub.String()).WarnContext(ctx, "changed, but it cannot be read once more whether another program has overwritten the change",
				"change", change.String(), "error", err)
			return nil
		case repeated || len(missing.Added) < len(change.Added) || len(missing.Removed) < len(change.Removed):
			err = fmt.Errorf("segment %s: %w: %s: what is still to change: %s", sub, ErrContested, change, missing)
			c.audit(ctx, sub.put, sub.String(), change.String(), err)
			return err
		}
		if _, lag, err = c.repeatOverwritten(ctx, sub, edit); err != nil {
			return fmt.Errorf("segment %s: another program has overwritten the change (%s), and it could not be made once more: %w", sub, change, err)
		}
	}
}

// repeatOverwritten makes an edit once more that another program has overwritten.
func (c *Client) repeatOverwritten(ctx context.Context, sub subject, edit Edit) (Difference, time.Duration, error) {
	c.changeLog(sub.put, sub.String()).WarnContext(ctx, "another program has overwritten the change: making it once more")
	c.writer.memory.forget(sub.String()) // It has been read for long enough.
	return c.editOnce(ctx, sub, edit)
}

// permissionEdit is one edit of one subject, which is locked.
type permissionEdit struct {
	c    *Client
	sub  subject
	edit Edit
	// owners is nil if the caller makes sure that an owner is left.
	owners *ownerGuard
	// forced is written at least once, whatever is read: a read may be old.
	forced []Assignment
	// labelsKnown is set once the labels to write are known to exist.
	labelsKnown bool

	// first is what was held at first.
	first []Assignment
	// written is what has been written as asked so far, and sent what may have been
	// written instead of what was held.
	written, sent Difference
	// correction reverses what Segment did beyond what was asked.
	correction Difference
	// unwritable is what Segment turns into something else when it is written.
	unwritable []Assignment
	// postCheck is set while it is not known whether a POST has replaced what
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
	// lag is how long it took until a write showed, at most.
	lag time.Duration
}

// run reads the subject, decides what to write, writes it and reads until it shows,
// until the subject holds what it should.
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
			return e.written, e.uncorrected(err)
		}
		if e.c.writer.dryRun {
			return next, nil
		}
		switch {
		case next.Empty():
			held, err = e.repeatPost(ctx)
		case e.replaces(next):
			held, err = e.put(ctx, next)
		default:
			held, err = e.post(ctx, held, next)
		}
		if err != nil {
			return e.written, e.uncorrected(err)
		}
	}
}

// read reads the subject, and again if the answer is older than what this process has
// written.
func (e *permissionEdit) read(ctx context.Context) (holding, error) {
	return readRemembering(ctx, e.c, e.sub.String(), e.sub.read, func(held holding, name string) (bool, bool) {
		return slices.ContainsFunc(held.assignments, func(a Assignment) bool { return a.fact() == name }), !held.hidden
	})
}

// decide returns what has to be written where held is held.
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
	if !e.labelsKnown {
		e.labelsKnown = true
		err = wrapFor(e.sub, e.c.checkLabels(ctx, next.Added))
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
	case e.tries >= maxTries && !next.Empty():
		return fmt.Errorf("segment %s: %w, after %d tries: what is still to change: %s", e.sub, ErrNotApplied, maxTries, next)
	case ctx.Err() != nil:
		return fmt.Errorf("segment %s: %w: what is still to change: %s", e.sub, context.Cause(ctx), next)
	}
	return e.owners.check(ctx, next)
}

// wanted is what the subject is to hold in the place of held.
func (e *permissionEdit) wanted(ctx context.Context, held []Assignment) ([]Assignment, error) {
	wanted := union(nil, e.edit(cloned(held)))
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
			if !errors.Is(err, errNoRole) && !errors.Is(err, ErrAmbiguous) {
				return nil, wrapFor(e.sub, err) // It is not known whether there is such a role.
			}
			return nil, fmt.Errorf("segment %s: %w: %w", e.sub, ErrLastPermission, err)
		}
		e.minimal = &minimal
	}
	if (e.sent.Empty() || isIn(e.sent.Removed)(*e.minimal)) && len(held) == 1 && held[0].Same(*e.minimal) {
		return nil, fmt.Errorf("segment %s: %w: it is %s, the least that Segment has", e.sub, ErrLastPermission, e.minimal)
	}
	return []Assignment{*e.minimal}, nil
}

// minimalAssignment is what everybody may hold.
func (c *Client) minimalAssignment(ctx context.Context) (Assignment, error) {
	role, err := c.Roles.Find(ctx, minimalAccess)
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
// permission without them, and so give the role on everything.
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

// put replaces everything held and returns what is held afterwards. Between the last
// read and the write there is nothing but the round trip. planned is what was decided
// on from the read before.
func (e *permissionEdit) put(ctx context.Context, planned Difference) (holding, error) {
	var err error
	if e.waited, err = e.c.waitToWrite(ctx, e.sub.put, e.waited); err != nil {
		return holding{}, err
	}
	held, err := e.read(ctx)
	if err != nil {
		return holding{}, err
	}
	minimal := e.minimal
	next, err := e.decide(ctx, held)
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
		if e.refusals++; e.refusals > e.c.transport.retry.RetryMax && leastWait(ctx) == 0 {
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
	if e.tries < maxTries && e.tries <= e.c.transport.retry.RetryMax && mayRepeat && ctx.Err() == nil {
		return after, e.c.pauseBeforeRetry(ctx, e.tries)
	}
	e.c.audit(ctx, e.sub.put, e.sub.String(), next.String(), failed)
	return holding{}, failed
}

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
	var after holding
	first := true
	started := time.Now()
	shown, err := c.readUntil(finishing(ctx), func(ctx context.Context) (bool, error) {
		if !first {
			e.lag = max(e.lag, time.Since(started))
		}
		first = false
		var readErr error
		after, readErr = e.sub.read(ctx)
		extra, turned := w.beyond(after.assignments)
		return e.shows(after.assignments, w.next) || len(extra) > 0 && len(turned) > 0, readErr
	})
	open := Compare(after.assignments, w.next.Apply(after.assignments))
	if !shown { // What Segment gave before and was to be taken away may be what it stores again.
		w.held = without(w.held, e.correction.Removed)
	}
	extra, turned := w.beyond(after.assignments)
	switch {
	case err != nil:
		c.audit(ctx, what, subject, w.next.String(), errors.Join(failed, err))
		if failed != nil {
			return holding{}, failed
		}
		return holding{}, fmt.Errorf("segment %s was changed (%s), but cannot be read back: %w", subject, w.next, err)
	case !shown && failed != nil:
		return after, errNotShown
	case !shown && len(extra) == 0:
		c.writer.memory.noteChange(subject, w.next)
		kind := ErrUnconfirmed
		switch {
		case len(open.Added) < len(w.next.Added) || len(open.Removed) < len(w.next.Removed):
			kind = ErrNotApplied
		case !Compare(w.held, after.assignments).Empty(): // It is no old read: somebody else has written.
			kind = ErrContested
		}
		err = fmt.Errorf("segment %s: %w after %s: what does not show: %s", subject, kind, c.writer.settleTime, open)
		c.audit(ctx, what, subject, w.next.String(), err)
		return after, err
	}
	for i, a := range w.next.Added { // The caller may have known the role's id alone.
		if at := slices.IndexFunc(after.assignments, a.Same); at >= 0 {
			w.next.Added[i].RoleName = after.assignments[at].RoleName
		}
	}
	asked := Difference{Added: without(w.next.Added, e.correction.Added), Removed: without(w.next.Removed, e.correction.Removed)}
	e.written = e.written.then(Difference{Added: without(asked.Added, open.Added), Removed: without(asked.Removed, open.Removed)})
	c.writer.memory.noteChange(subject, Difference{Added: without(w.next.Added, open.Added), Removed: without(w.next.Removed, open.Removed)})
	if len(extra) > 0 {
		e.correction = e.correction.then(Difference{Removed: extra})
		if what == e.sub.put {
			e.unwritable = union(e.unwritable, turned)
		}
		c.audit(ctx, what, subject, w.next.String(), fmt.Errorf("segment %s: Segment did something else, which is now corrected: it gave %s", subject, Difference{Added: extra}))
		return after, nil
	}
	c.audit(ctx, what, subject, w.next.String(), nil)
	return after, nil
}

// shows reports whether a difference shows in what is held. Segment may add Minimal
// Workspace Access by itself.
func (e *permissionEdit) shows(held []Assignment, next Difference) bool {
	open := Compare(held, next.Apply(held))
	if len(next.Added)+len(next.Removed) > 1 {
		open.Removed = slices.DeleteFunc(open.Removed, isMinimal)
	}
	return open.Empty()
}

// beyond returns what Segment gave beyond the request, and what it turned into that. A
// new assignment counts if it is wider than one that was written and is not there now,
// or than one that was to be added. If something that was to be added is missing, all
// that is new of the same role counts. Everything else is another administrator's.
func (w writing) beyond(after []Assignment) (extra, turned []Assignment) {
	there, toAdd := isIn(after), isIn(w.next.Added)
	for _, x := range without(without(after, w.held), w.written) {
		if isMinimal(x) {
			continue
		}
		counts := false
		for _, a := range w.written {
			if a.RoleID == x.RoleID && (x.covers(a) && (toAdd(a) || !there(a)) || toAdd(a) && !there(a)) {
				counts = true
				if !there(a) {
					turned = union(turned, []Assignment{a})
				}
			}
		}
		if counts {
			extra = append(extra, x)
		}
	}
	return extra, turned
}

func isMinimal(a Assignment) bool { return a.RoleName == minimalAccess && workspaceWide(a) }

// checkWritable returns an error if Segment turned something that was to be written
// into something else, which was then taken away.
func (e *permissionEdit) checkWritable() error {
	if len(e.unwritable) == 0 {
		return nil
	}
	if lost := Compare(without(e.first, e.unwritable), e.first); !lost.Empty() {
		return fmt.Errorf("segment %s was changed beyond what was asked, which %w: Segment does not store what it stored before (still to change: %s)", e.sub, ErrNotRestored, lost)
	}
	return fmt.Errorf("segment %s: %w: Segment stores something else, which was taken away again: %s", e.sub, ErrNotApplied, Difference{Added: e.unwritable})
}

// uncorrected adds to an error what Segment did beyond the request and is not
// corrected.
func (e *permissionEdit) uncorrected(err error) error {
	if e.correction.Empty() {
		return err
	}
	return fmt.Errorf("segment %s was changed beyond what was asked, which %w (still to change, or to make sure of: %s): %w", e.sub, ErrNotRestored, e.correction, err)
}

// cloned shares nothing with held.
func cloned(held []Assignment) []Assignment {
	out := slices.Clone(held)
	for i := range out {
		out[i].Scope.Labels = slices.Clone(out[i].Scope.Labels)
	}
	return out
}

func not(f func(Assignment) bool) func(Assignment) bool {
	return func(a Assignment) bool { return !f(a) }
}

// giveBack reverses what was taken from a subject. It goes by what was written and not
// by a read, which may be old.
func (c *Client) giveBack(ctx context.Context, sub subject, taken Difference) error {
	back := Difference{Added: taken.Removed, Removed: taken.Added}
	e := &permissionEdit{c: c, sub: sub, edit: back.Apply, forced: back.Added, labelsKnown: true}
	_, err := e.run(ctx)
	return err
}
