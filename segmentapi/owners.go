package segmentapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// OwnerScanLimit is how many requests may be spent on finding another owner of
// the workspace before an edit that revokes ownership. Groups that hold the role
// are searched before single users.
const OwnerScanLimit = 2000

// ownersLock is held by every change that may revoke ownership. Otherwise two removals
// at the same time could each rely on the owner that the other one removes.
const ownersLock = "the owners of the workspace"

// An otherOwner is an owner who remains: through a group, unless that is empty.
type otherOwner struct{ userID, groupID string }

// ownership keeps one change from removing the last owner of the workspace. Segment is
// not known to prevent that.
type ownership struct {
	c *Client
	// remains reports whether a user is still an owner after the change, through a
	// group or directly (where groupID is empty), if the user is one before it.
	remains func(userID, groupID string) bool
	role    *Role
	found   otherOwner
	// undo gives back what takeOwnership has taken.
	undo   []func(context.Context) error
	unlock func()
}

// lock makes all other changes that revoke ownership wait.
func (o *ownership) lock(ctx context.Context) error {
	if o.unlock != nil {
		return nil
	}
	unlock, err := o.c.writer.locks.acquire(ctx, ownersLock)
	o.unlock = unlock
	return err
}

func (o *ownership) release() {
	if o != nil && o.unlock != nil {
		o.unlock()
	}
}

// makeOwner reports whether assignments make their holder an owner. If no role has the
// name, owners cannot be recognized, which is an error.
func (o *ownership) makeOwner(ctx context.Context, held []Assignment) (bool, error) {
	if !slices.ContainsFunc(held, workspaceWide) {
		return false, nil
	}
	if o.role == nil {
		role, err := o.c.Roles.Find(ctx, RoleWorkspaceOwner)
		if err != nil {
			return false, fmt.Errorf("segmentapi: an edit of workspace-wide roles needs to know who owns the workspace: %w", err)
		}
		o.role = role
	}
	return slices.ContainsFunc(held, o.isOwner), nil
}

func workspaceWide(a Assignment) bool {
	return a.Scope.Type == ScopeWorkspace && len(a.Scope.Labels) == 0
}

// isOwner reports whether an assignment makes an owner, once the role is known.
func (o *ownership) isOwner(a Assignment) bool { return a.RoleID == o.role.ID && workspaceWide(a) }

// isOwnerAfter is makeOwner for what a read shows. If this process has taken ownership
// from the subject within the last minute, the read may be older than that.
func (o *ownership) isOwnerAfter(ctx context.Context, sub subject, held []Assignment) (bool, error) {
	owner, err := o.makeOwner(ctx, held)
	if !owner || err != nil {
		return false, err
	}
	return !slices.ContainsFunc(held, func(a Assignment) bool {
		return o.isOwner(a) && o.c.writer.memory.hasLost(sub.String(), a.fact())
	}), nil
}

// hasUsers reports whether the subject is a user, or a group with users: a group without
// users makes nobody an owner. A member whom this process has added within the last minute
// counts, because the list may be stale.
func (o *ownership) hasUsers(ctx context.Context, sub subject) (bool, error) {
	if sub.kind != "group" || o.c.writer.memory.hasAny(membersOf(sub.id)) {
		return true, nil
	}
	page, err := o.c.Groups.ListMembers(ctx, sub.id, ListOptions{Count: 1})
	return err == nil && len(page.Items) > 0, err
}

// findOther finds an owner who remains: the one found before, else any.
func (o *ownership) findOther(ctx context.Context) error {
	if err := o.lock(ctx); err != nil {
		return err
	}
	if o.found != (otherOwner{}) {
		if ok, err := o.remainsOwner(ctx); ok || err != nil {
			return err
		}
	}
	var searchErr error
	found, err := o.c.readUntil(ctx, func(ctx context.Context) (bool, error) {
		search := &ownerSearch{ownership: o}
		search.left.Store(OwnerScanLimit)
		if o.found, searchErr = search.run(ctx); searchErr != nil && !errors.Is(searchErr, ErrLastOwner) {
			return false, searchErr
		}
		return searchErr == nil || !o.c.writer.memory.anyHas(o.isOwnerFact), nil
	})
	if err != nil || !found {
		return cmp.Or(err, searchErr)
	}
	return searchErr
}

// isOwnerFact reports whether a fact of the memory is that a user or group became an owner. A
// read may not show that yet.
func (o *ownership) isOwnerFact(name string) bool {
	parts := strings.Split(name, "\n")
	return len(parts) == 4 && parts[0] == o.role.ID && parts[1] == string(ScopeWorkspace) && parts[3] == ""
}

// findOtherAfter is findOther after a write. It leaves time for giving back what was
// taken, even if the caller has left.
func (o *ownership) findOtherAfter(ctx context.Context) error {
	most := time.Minute
	if ctx.Err() != nil {
		most = stopGrace / 3
	}
	ctx, cancel := restoring(ctx)
	defer cancel()
	ctx, cancelSearch := context.WithTimeout(ctx, most)
	defer cancelSearch()
	return o.findOther(ctx)
}

// remainsOwner reports whether the owner who was found is still one.
func (o *ownership) remainsOwner(ctx context.Context) (bool, error) {
	if o.found.groupID == "" {
		return o.ownsDirectly(ctx, o.found.userID)
	}
	group := o.c.Groups.subject(o.found.groupID)
	held, err := group.read(ctx)
	if gone(err) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if owner, ownerErr := o.isOwnerAfter(ctx, group, held.assignments); !owner || ownerErr != nil {
		return false, ownerErr
	}
	for member, listErr := range o.c.Groups.AllMembers(ctx, o.found.groupID) {
		switch {
		case gone(listErr):
			return false, nil
		case listErr != nil:
			return false, listErr
		case member.ID == o.found.userID:
			return o.isThere(ctx, o.found.groupID, member)
		}
	}
	return false, nil
}

// ownsDirectly reports whether a user holds the role.
func (o *ownership) ownsDirectly(ctx context.Context, userID string) (bool, error) {
	user := o.c.Users.subject(userID)
	if o.c.writer.memory.hasLost(user.String(), exists) {
		return false, nil
	}
	held, err := user.read(ctx)
	if gone(err) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return o.isOwnerAfter(ctx, user, held.assignments)
}

// isThere reports whether a member of a group is a user of the workspace, by the user's
// own detail: a list may be old, or name a user who is gone.
func (o *ownership) isThere(ctx context.Context, groupID string, member User) (bool, error) {
	if o.c.writer.memory.hasLost(membersOf(groupID), FoldEmail(member.Email)) || o.c.writer.memory.hasLost(o.c.Users.subject(member.ID).String(), exists) {
		return false, nil
	}
	_, err := o.c.Users.Get(ctx, member.ID)
	if gone(err) {
		return false, nil
	}
	return err == nil, err
}

// read reads what another user or group holds, and again if the answer is older than
// what this process has written.
func (o *ownership) read(ctx context.Context, sub subject) (holding, error) {
	return (&permissionEdit{c: o.c, sub: sub}).read(ctx)
}

// ownerSearch looks for any owner who remains.
type ownerSearch struct {
	*ownership
	left atomic.Int64
}

var errOwnerFound = errors.New("found")

// spend takes one request off the budget.
func (s *ownerSearch) spend() error {
	if s.left.Add(-1) < 0 {
		return fmt.Errorf("segmentapi: %w after %d requests, the limit of the search: grant the role to a group with another user in it, because groups are searched first",
			ErrLastOwner, OwnerScanLimit)
	}
	return nil
}

func (s *ownerSearch) run(ctx context.Context) (otherOwner, error) {
	found, err := s.searchGroups(ctx)
	if err == nil && found == (otherOwner{}) {
		found, err = s.searchUsers(ctx)
	}
	if err == nil && found == (otherOwner{}) {
		err = fmt.Errorf("segmentapi: %w: grant the role %s to another user first", ErrLastOwner, s.role.Name)
	}
	return found, err
}

// searchGroups looks for a group that makes its users owners.
func (s *ownerSearch) searchGroups(ctx context.Context) (otherOwner, error) {
	for group, err := range scanned(ctx, s, s.c.Groups.List) {
		switch {
		case notInPlan(err):
			return otherOwner{}, nil
		case err != nil:
			return otherOwner{}, err
		}
		owner, err := s.groupOwns(ctx, group)
		if err != nil {
			return otherOwner{}, err
		} else if !owner {
			continue
		}
		if found, err := s.searchMembers(ctx, group.ID); err != nil || found != (otherOwner{}) {
			return found, err
		}
	}
	return otherOwner{}, nil
}

// groupOwns reports whether a listed group makes its users owners.
func (s *ownerSearch) groupOwns(ctx context.Context, group Group) (bool, error) {
	sub := s.c.Groups.subject(group.ID)
	if s.c.writer.memory.hasLost(sub.String(), exists) {
		return false, nil
	}
	held := Assignments(group.Permissions)
	if group.Permissions == nil {
		if err := s.spend(); err != nil {
			return false, err
		}
		detail, err := sub.read(ctx)
		if gone(err) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		held = detail.assignments
	}
	return s.isOwnerAfter(ctx, sub, held)
}

// searchMembers looks for a user in a group whose users are owners.
func (s *ownerSearch) searchMembers(ctx context.Context, groupID string) (otherOwner, error) {
	members := scanned(ctx, s, func(ctx context.Context, opts ListOptions) (*Page[User], error) {
		return s.c.Groups.ListMembers(ctx, groupID, opts)
	})
	for member, err := range members {
		switch {
		case gone(err):
			return otherOwner{}, nil
		case err != nil:
			return otherOwner{}, err
		case !s.remains(member.ID, groupID):
			continue
		}
		if err = s.spend(); err != nil {
			return otherOwner{}, err
		}
		if there, err := s.isThere(ctx, groupID, member); err != nil {
			return otherOwner{}, err
		} else if there {
			return otherOwner{member.ID, groupID}, nil
		}
	}
	return otherOwner{}, nil
}

// searchUsers looks for a user who holds the role, eight at a time.
func (s *ownerSearch) searchUsers(ctx context.Context) (otherOwner, error) {
	var once sync.Once
	var found otherOwner
	readers, readCtx := errgroup.WithContext(ctx)
	readers.SetLimit(8)
	var listErr error
	for user, err := range scanned(ctx, s, s.c.Users.List) {
		if err != nil {
			listErr = err
		}
		if err != nil || readCtx.Err() != nil {
			break
		}
		if !s.remains(user.ID, "") {
			continue
		}
		readers.Go(func() error {
			if err := s.spend(); err != nil {
				return err
			}
			if owner, err := s.ownsDirectly(readCtx, user.ID); !owner || err != nil {
				return err
			}
			once.Do(func() { found = otherOwner{userID: user.ID} })
			return errOwnerFound
		})
	}
	err := readers.Wait()
	switch {
	case found != (otherOwner{}):
		return found, nil
	case err != nil:
		return otherOwner{}, err
	case listErr != nil:
		return otherOwner{}, listErr
	}
	return otherOwner{}, ctx.Err()
}

// ownerGuard keeps an edit of permissions from removing the last owner.
type ownerGuard struct {
	ownership
	sub subject
	// sent is what was sent that revokes ownership.
	sent Difference
	// before is what was sent before the last write.
	before Difference
	// taking is set once the edit is known to revoke ownership.
	taking bool
}

func newOwnerGuard(c *Client, sub subject) *ownerGuard {
	return &ownerGuard{sub: sub, ownership: ownership{c: c, remains: func(userID, groupID string) bool {
		if sub.kind == "group" {
			return groupID != sub.id
		}
		return groupID != "" || userID != sub.id
	}}}
}

func (g *ownerGuard) release() {
	if g != nil {
		g.ownership.release()
	}
}

// check refuses a difference that could leave the workspace without an owner.
func (g *ownerGuard) check(ctx context.Context, next Difference) error {
	if g == nil {
		return nil
	}
	owner, err := g.makeOwner(ctx, next.Removed)
	if err != nil || !owner {
		return err
	}
	if users, usersErr := g.hasUsers(ctx, g.sub); !users || usersErr != nil {
		return usersErr
	}
	g.taking = true
	return wrapFor(g.sub, g.findOther(ctx))
}

// noteSent notes that a difference may be written from now on.
func (g *ownerGuard) noteSent(next Difference) {
	if g != nil && g.taking {
		g.before, g.sent = g.sent, g.sent.then(next)
	}
}

// noteNotDone notes that the last difference sent does not show. Others may revoke the
// rest of it, but ownership must be given back even if the write is carried out late.
func (g *ownerGuard) noteNotDone(next Difference) {
	if g != nil && g.taking {
		g.sent = g.before.then(Difference{Removed: matching(next.Removed, g.isOwner)})
	}
}

// confirm looks for the other owner once more after the write: another administrator may
// have revoked the ownership of the one found before. If no owner is found, or the search
// fails, it gives back what was taken.
func (g *ownerGuard) confirm(ctx context.Context) error {
	if g == nil || g.sent.Empty() {
		return nil
	}
	err := g.findOtherAfter(ctx)
	if err == nil {
		return nil
	}
	restoreCtx, cancel := restoring(ctx)
	defer cancel()
	var partly partlyGivenBackError
	undoErr := g.giveBackPermissions(restoreCtx, g.sub, g.sent)
	switch {
	case errors.As(undoErr, &partly):
		return fmt.Errorf("segment %s was changed (%s), but only its ownership could be restored (%w): %w", g.sub, g.sent, partly.error, err)
	case undoErr != nil:
		return fmt.Errorf("segment %s was changed (%s) and %w (%w), but must be: %w", g.sub, g.sent, ErrNotRestored, undoErr, err)
	}
	return fmt.Errorf("segment %s was changed and changed back: %w", g.sub, err)
}

// A partlyGivenBackError is why only ownership could be restored.
type partlyGivenBackError struct{ error }

// Unwrap returns the cause.
func (e partlyGivenBackError) Unwrap() error { return e.error }

// giveBackPermissions gives back what was taken, or at least the ownership in it.
func (o *ownership) giveBackPermissions(ctx context.Context, sub subject, taken Difference) error {
	err := o.c.giveBack(ctx, sub, taken)
	if err == nil || gone(err) {
		return err
	}
	owner := Difference{Removed: matching(taken.Removed, o.isOwner)}
	if ownErr := o.c.giveBack(ctx, sub, owner); ownErr == nil {
		return partlyGivenBackError{err}
	}
	return err
}
