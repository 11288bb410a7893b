package segmentapi

import (
	"context"
	"errors"
	"fmt"
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
	what, id string
	get      func(context.Context) ([]Permission, error)
	post     call
	put      call
	// add and replace return the permissions in the answer.
	add     func(context.Context, []api.PermissionInputV1) ([]api.AccessPermissionV1, *http.Response, error)
	replace func(context.Context, []api.PermissionInputV1) ([]api.AccessPermissionV1, *http.Response, error)
}

func (s subject) String() string { return s.what + " " + s.id }

func (s subject) read(ctx context.Context) ([]Assignment, error) {
	permissions, err := s.get(ctx)
	return Assignments(permissions), err
}

func (s *UserService) subject(id string) subject {
	path := "/users/" + id + "/permissions"
	return subject{
		what: "user", id: id,
		get: func(ctx context.Context) ([]Permission, error) {
			user, err := s.Get(ctx, id)
			if err != nil {
				return nil, err
			}
			return user.Permissions, nil
		},
		post: call{"addPermissionsToUser", http.MethodPost, path},
		put:  call{"replacePermissionsForUser", http.MethodPut, path},
		add: func(ctx context.Context, in []api.PermissionInputV1) ([]api.AccessPermissionV1, *http.Response, error) {
			out, resp, err := s.c.raw.IAMUsersAPI.AddPermissionsToUser(ctx, id).
				AddPermissionsToUserV1Input(api.AddPermissionsToUserV1Input{Permissions: in}).Execute()
			data := out.GetData()
			return data.GetPermissions(), resp, err
		},
		replace: func(ctx context.Context, in []api.PermissionInputV1) ([]api.AccessPermissionV1, *http.Response, error) {
			out, resp, err := s.c.raw.IAMUsersAPI.ReplacePermissionsForUser(ctx, id).
				ReplacePermissionsForUserV1Input(api.ReplacePermissionsForUserV1Input{Permissions: in}).Execute()
			data := out.GetData()
			return data.GetPermissions(), resp, err
		},
	}
}

func (s *GroupService) subject(id string) subject {
	path := "/groups/" + id + "/permissions"
	return subject{
		what: "group", id: id,
		get: func(ctx context.Context) ([]Permission, error) {
			group, err := s.Get(ctx, id)
			if err != nil {
				return nil, err
			}
			return group.Permissions, nil
		},
		post: call{"addPermissionsToUserGroup", http.MethodPost, path},
		put:  call{"replacePermissionsForUserGroup", http.MethodPut, path},
		add: func(ctx context.Context, in []api.PermissionInputV1) ([]api.AccessPermissionV1, *http.Response, error) {
			out, resp, err := s.c.raw.IAMGroupsAPI.AddPermissionsToUserGroup(ctx, id).
				AddPermissionsToUserGroupV1Input(api.AddPermissionsToUserGroupV1Input{Permissions: in}).Execute()
			data := out.GetData()
			return data.GetPermissions(), resp, err
		},
		replace: func(ctx context.Context, in []api.PermissionInputV1) ([]api.AccessPermissionV1, *http.Response, error) {
			out, resp, err := s.c.raw.IAMGroupsAPI.ReplacePermissionsForUserGroup(ctx, id).
				ReplacePermissionsForUserGroupV1Input(api.ReplacePermissionsForUserGroupV1Input{Permissions: in}).Execute()
			data := out.GetData()
			return data.GetPermissions(), resp, err
		},
	}
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

// lock keeps other edits of a subject waiting.
func (c *Client) lock(ctx context.Context, sub subject) (func(), error) {
	if err := checkID(sub.what, sub.id); err != nil {
		return nil, err
	}
	return c.writer.locks.acquire(ctx, sub.String())
}

func (c *Client) edit(ctx context.Context, sub subject, edit Edit) (Difference, error) {
	if edit == nil {
		return Difference{}, invalidArgument("the edit is nil")
	}
	unlock, err := c.lock(ctx, sub)
	if err != nil {
		return Difference{}, err
	}
	defer unlock()
	e := &editing{c: c, sub: sub, edit: edit, owners: newOwnerGuard(c, sub)}
	defer e.owners.release()
	change, err := e.run(ctx)
	if undone := e.owners.confirm(ctx); undone != nil {
		return Difference{}, errors.Join(undone, err)
	}
	return change, err
}

// editing is one edit of one subject, which is locked.
type editing struct {
	c    *Client
	sub  subject
	edit Edit
	// owners is nil if taking ownership away is somebody else's care.
	owners *ownerGuard
	// repair is what Segment did beyond what was asked, turned round.
	repair Difference
	// doubt is set as long as it is not certain who took what repair gives back.
	doubt *doubt
	// made is what has been written so far.
	made Difference
	// sent is what has been sent so far in the place of what was held.
	sent Difference
	// minimal is what takes the place of the last permission, once it is needed.
	minimal *Assignment
	// tries is how often a write was sent or had to be thought over.
	tries int
	// refusals is how often the limit has refused a write.
	refusals int
	// waited is how long the writes have waited for the rate limit.
	waited time.Duration
}

// run reads, writes and reads back until the subject holds what it should.
func (e *editing) run(ctx context.Context) (Difference, error) {
	held, err := e.sub.read(ctx)
	if err != nil {
		return Difference{}, err
	}
	for {
		next, err := e.next(ctx, held)
		if err == nil && next.Empty() && e.doubt == nil {
			return e.made, nil
		}
		if err == nil && e.tries == maxTries && !next.Empty() {
			err = fmt.Errorf("segment %s: %w, after %d tries: what is still to change: %s", e.sub, ErrNotApplied, maxTries, next)
		}
		if err == nil {
			err = e.owners.check(ctx, next)
		}
		if err != nil {
			return e.made, e.unrepaired(err)
		}
		if e.c.writer.dryRun {
			return next, nil
		}
		switch {
		case next.Empty():
			held, err = e.dispel(ctx)
		case len(next.Removed) == 0 && e.repair.Empty() && !e.c.writer.replaces.Load():
			held, err = e.post(ctx, held, next)
			if e.doubt != nil { // What was taken must be given back, also if the caller leaves.
				var done context.CancelFunc
				ctx, done = e.insist(ctx)
				defer done()
			}
		default:
			held, err = e.put(ctx, next)
		}
		if err != nil {
			return e.made, e.unrepaired(err)
		}
	}
}

// insist begins anew, with time of its own, what must not stop half-way.
func (e *editing) insist(ctx context.Context) (context.Context, context.CancelFunc) {
	e.tries, e.waited = 0, 0
	return afterwards(ctx)
}

// unrepaired says what Segment did beyond what was asked and is not undone.
func (e *editing) unrepaired(err error) error {
	if e.repair.Empty() {
		return err
	}
	return fmt.Errorf("segment %s was changed beyond what was asked, which %w (still to change, or to make sure of: %s): %w", e.sub, ErrNotRestored, e.repair, err)
}

// next is what has to be written where held is held.
func (e *editing) next(ctx context.Context, held []Assignment) (Difference, error) {
	wanted, err := e.wanted(ctx, held)
	return Compare(held, wanted), err
}

// wanted is what the subject is to hold in the place of held.
func (e *editing) wanted(ctx context.Context, held []Assignment) ([]Assignment, error) {
	wanted := union(nil, e.edit(cloned(held)))
	for _, a := range Compare(held, wanted).Added {
		if err := a.check(); err != nil {
			return nil, err
		}
	}
	wanted = e.repair.Apply(wanted)
	if len(wanted) > 0 || len(held) == 0 {
		return wanted, nil
	}
	if e.minimal == nil {
		minimal, err := e.c.minimalAssignment(ctx)
		if err != nil {
			if !errors.Is(err, errNoRole) && !errors.Is(err, ErrAmbiguous) {
				return nil, wrapFor(e.sub, err) // Whether there is such a role cannot be told now.
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

// post adds and returns what is held afterwards.
func (e *editing) post(ctx context.Context, held []Assignment, next Difference) ([]Assignment, error) {
	e.tries++
	after, err := e.settle(ctx, e.sub.post, next, e.add(ctx, next), false)
	if err != nil && ctx.Err() != nil { // Whether it took something must be known, whoever has left.
		var done context.CancelFunc
		ctx, done = e.insist(ctx)
		defer done()
		var readErr error
		if after, readErr = e.sub.read(ctx); readErr != nil {
			return nil, errors.Join(err, readErr)
		}
		if len(e.c.writer.lost(held, next.Added, after)) == 0 {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	if lost := e.c.writer.lost(held, next.Added, after); len(lost) > 0 {
		e.repair = Difference{Added: lost}
		e.doubt = &doubt{added: next.Added, lost: lost}
	}
	return after, nil
}

func (e *editing) add(ctx context.Context, next Difference) error {
	_, _, err := execute(ctx, e.c, e.sub.post, func(ctx context.Context) (*[]api.AccessPermissionV1, *http.Response, error) {
		held, resp, addErr := e.sub.add(ctx, inputOf(Permissions(next.Added)))
		return &held, resp, addErr
	})
	return err
}

// A doubt is whether Segment has replaced lost by added, or somebody else has
// taken lost at the very moment at which added was added.
type doubt struct{ added, lost []Assignment }

// dispel adds once more what is there, now that what was lost is back. If
// Segment replaces, that is lost again; if it merges, it was not Segment's
// doing, and what somebody else took is taken again.
func (e *editing) dispel(ctx context.Context) ([]Assignment, error) {
	d := e.doubt
	e.doubt = nil
	again := Difference{Added: d.added}
	failed := e.add(ctx, again)
	after, err := e.settle(ctx, e.sub.post, again, failed, false)
	if err != nil { // What was lost stays given back.
		after, err = e.sub.read(ctx)
	}
	switch {
	case err != nil:
		return nil, err
	case len(without(d.lost, after)) > 0:
		e.c.writer.replaces.Store(true)
		e.tries = 0
	case failed == nil:
		e.c.writer.merges.Store(true)
		e.repair = Difference{Removed: d.lost}
	}
	return after, nil
}

// put replaces everything held and returns what is held afterwards. Between
// the last read and the write there is nothing but the round trip. planned is
// what was to be written by the state before.
func (e *editing) put(ctx context.Context, planned Difference) ([]Assignment, error) {
	ready, waited, err := e.c.turn(ctx, e.sub.put, e.waited)
	e.waited = waited
	if err != nil {
		return nil, err
	}
	held, err := e.sub.read(ctx)
	if err != nil {
		return nil, err
	}
	minimal := e.minimal
	wanted, err := e.wanted(ctx, held)
	if err != nil {
		return nil, err
	}
	next := Compare(held, wanted)
	switch {
	case next.Empty():
		return held, nil
	case e.minimal != minimal, len(without(next.Removed, planned.Removed)) > 0:
		e.tries++
		return held, nil // What has come up since must be thought over first.
	}
	out, _, err := execute(ready, e.c, e.sub.put, func(ctx context.Context) (*[]api.AccessPermissionV1, *http.Response, error) {
		held, resp, replaceErr := e.sub.replace(ctx, inputOf(Permissions(wanted)))
		return &held, resp, replaceErr
	})
	if errors.Is(err, ErrRateLimited) {
		if e.refusals++; e.refusals > e.c.transport.retry.RetryMax && patience(ctx) == 0 {
			return nil, err
		}
		return held, nil // The next turn waits, or says that it would take too long.
	}
	if err == nil || unclear(err) || ctx.Err() != nil {
		e.owners.send(next)
		e.sent = e.sent.then(next)
	}
	e.tries++
	failed := err
	after, err := e.settle(ctx, e.sub.put, next, failed, e.tries < maxTries)
	if err != nil {
		return nil, err
	}
	if failed != nil && Compare(held, after).Empty() {
		e.owners.miss(next)
	}
	if out != nil && len(*out) > 0 {
		// What both the answer and the read back say is not another program's doing.
		answer, found := Compare(wanted, Assignments(accessOf(*out))), Compare(wanted, after)
		e.repair = e.repair.then(Difference{
			Added:   slices.DeleteFunc(found.Removed, not(isIn(answer.Removed))),
			Removed: slices.DeleteFunc(found.Added, not(isIn(answer.Added))),
		})
	}
	return after, nil
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

// settle reads back what a write did that ended with err. An error that leaves
// it open is none if the subject holds what it should, or if another try is
// worth while.
func (e *editing) settle(ctx context.Context, what call, next Difference, err error, again bool) ([]Assignment, error) {
	if err != nil && !unclear(err) {
		if ctx.Err() != nil { // Nobody knows what has become of it.
			e.c.audit(ctx, what, e.sub.String(), next.String(), err)
		}
		return nil, err
	}
	after, readErr := e.sub.read(ctx)
	if readErr != nil {
		e.c.audit(ctx, what, e.sub.String(), next.String(), errors.Join(err, readErr))
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("segment %s was changed (%s), but cannot be read back: %w", e.sub, next, readErr)
	}
	if err != nil {
		open, openErr := e.next(ctx, after)
		switch {
		case openErr != nil:
			return nil, errors.Join(err, openErr)
		case open.Empty(): // It was carried out after all.
		case again && (passing(err) || !e.repair.Empty()):
			return after, sleep(ctx, backoff(250*time.Millisecond, 8*time.Second, e.tries, nil))
		default:
			return nil, err
		}
	}
	for i, a := range next.Added { // Whoever asked may have known the id only.
		if at := slices.IndexFunc(after, a.Same); at >= 0 {
			next.Added[i].RoleName = after[at].RoleName
		}
	}
	if e.repair.Empty() {
		e.made = e.made.then(next)
	}
	e.c.audit(ctx, what, e.sub.String(), next.String(), nil)
	return after, nil
}

// lost is what of held a POST may have replaced that should only have added:
// all that was held of the same role, or all that was held. What is missing
// otherwise somebody else has taken.
func (s *shared) lost(held, added, after []Assignment) []Assignment {
	sameRole := func(a Assignment) bool {
		return slices.ContainsFunc(added, func(b Assignment) bool { return b.RoleID == a.RoleID })
	}
	there := isIn(after)
	missing, kept := map[bool][]Assignment{}, map[bool]bool{}
	for _, a := range without(held, added) {
		if there(a) {
			kept[sameRole(a)] = true
		} else {
			missing[sameRole(a)] = append(missing[sameRole(a)], a)
		}
	}
	if kept[true] {
		s.merges.Store(true)
	}
	switch {
	case s.merges.Load():
		return nil
	case kept[false]:
		return missing[true]
	}
	return slices.Concat(missing[true], missing[false])
}
