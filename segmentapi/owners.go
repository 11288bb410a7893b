package segmentapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// OwnerScanLimit is how many requests are spent at most to find another owner
// of the workspace, before an edit that takes ownership away. Groups that hold
// the role are looked at before single users.
const OwnerScanLimit = 2000

// workspaceOwner is the name of the role that a workspace must not be without.
// Segment is not known to guard the last one.
const workspaceOwner = "Workspace Owner"

// ownersLock is held by whatever may take ownership away, so that two owners
// are never removed on the strength of each other.
const ownersLock = "the owners of the workspace"

// A losing says what ownership an edit leaves: whether that which a user has
// through a group, or of their own where group is empty, still counts.
type losing func(userID, groupID string) bool

// A witness is an owner who was found: through a group, unless that is empty.
type witness struct{ userID, groupID string }

// ownership watches over one edit that may take the last owner away.
type ownership struct {
	c *Client
	// remains is what the edit leaves.
	remains losing
	role    *Role
	found   witness
	// undo is how to give back what disown has taken.
	undo   []func(context.Context) error
	unlock func()
}

// lock keeps all others who take ownership away waiting.
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

// owned reports whether what is held makes an owner. Without a role of that
// name nobody can tell who is one, which is an error.
func (o *ownership) owned(ctx context.Context, held []Assignment) (bool, error) {
	if !slices.ContainsFunc(held, workspaceWide) {
		return false, nil
	}
	if o.role == nil {
		role, err := o.c.Roles.Find(ctx, workspaceOwner)
		if err != nil {
			return false, fmt.Errorf("segmentapi: who owns the workspace cannot be told, which an edit of workspace-wide roles needs: %w", err)
		}
		o.role = role
	}
	return slices.ContainsFunc(held, o.isOwner), nil
}

func workspaceWide(a Assignment) bool {
	return a.Scope.Type == ScopeWorkspace && len(a.Scope.Labels) == 0
}

// isOwner tells the assignment that makes an owner, once the role is known.
func (o *ownership) isOwner(a Assignment) bool { return a.RoleID == o.role.ID && workspaceWide(a) }

// hasUsers reports whether a user is or a group has users: a group without any
// makes nobody an owner.
func (o *ownership) hasUsers(ctx context.Context, sub subject) (bool, error) {
	if sub.what != "group" {
		return true, nil
	}
	page, err := o.c.Groups.ListMembers(ctx, sub.id, ListOptions{Count: 1})
	return err == nil && len(page.Items) > 0, err
}

// prove finds an owner who remains: the one found before, else any.
func (o *ownership) prove(ctx context.Context) error {
	if err := o.lock(ctx); err != nil {
		return err
	}
	if o.found != (witness{}) {
		if ok, err := o.still(ctx); ok || err != nil {
			return err
		}
	}
	scan := &ownerScan{ownership: o}
	scan.left.Store(OwnerScanLimit)
	found, err := scan.run(ctx)
	if err != nil {
		return err
	}
	o.found = found
	return nil
}

// still reports whether the owner who was found is one now.
func (o *ownership) still(ctx context.Context) (bool, error) {
	sub := o.c.Users.subject(o.found.userID)
	if o.found.groupID != "" {
		sub = o.c.Groups.subject(o.found.groupID)
	}
	held, err := sub.read(ctx)
	if gone(err) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if owned, ownedErr := o.owned(ctx, held); !owned || ownedErr != nil || o.found.groupID == "" {
		return owned, ownedErr
	}
	for member, listErr := range o.c.Groups.AllMembers(ctx, o.found.groupID) {
		switch {
		case gone(listErr):
			return false, nil
		case listErr != nil:
			return false, listErr
		case member.ID == o.found.userID:
			return true, nil
		}
	}
	return false, nil
}

// ownerScan looks for any owner who remains.
type ownerScan struct {
	*ownership
	left atomic.Int64
}

var errScanned = errors.New("found")

// spend takes one request off what may be spent.
func (s *ownerScan) spend() error {
	if s.left.Add(-1) < 0 {
		return fmt.Errorf("segmentapi: %w after %d requests, the most that are spent on it: give the role to a group with another user in it, which is looked at first",
			ErrLastOwner, OwnerScanLimit)
	}
	return nil
}

func (s *ownerScan) run(ctx context.Context) (witness, error) {
	found, err := s.groups(ctx)
	if err == nil && found == (witness{}) {
		found, err = s.users(ctx)
	}
	if err == nil && found == (witness{}) {
		err = fmt.Errorf("segmentapi: %w: give the role %s to somebody else first", ErrLastOwner, s.role.Name)
	}
	return found, err
}

// groups looks for a group that makes its users owners.
func (s *ownerScan) groups(ctx context.Context) (witness, error) {
	for group, err := range scanned(ctx, s, s.c.Groups.List) {
		switch {
		case notInPlan(err):
			return witness{}, nil
		case err != nil:
			return witness{}, err
		}
		permissions := group.Permissions
		if permissions == nil {
			if err = s.spend(); err != nil {
				return witness{}, err
			}
			detail, err := s.c.Groups.Get(ctx, group.ID)
			if gone(err) {
				continue
			} else if err != nil {
				return witness{}, err
			}
			permissions = detail.Permissions
		}
		if owned, err := s.owned(ctx, Assignments(permissions)); err != nil {
			return witness{}, err
		} else if !owned {
			continue
		}
		members := scanned(ctx, s, func(ctx context.Context, opts ListOptions) (*Page[User], error) {
			return s.c.Groups.ListMembers(ctx, group.ID, opts)
		})
		for member, err := range members {
			if gone(err) {
				break
			} else if err != nil {
				return witness{}, err
			}
			if s.remains(member.ID, group.ID) {
				return witness{member.ID, group.ID}, nil
			}
		}
	}
	return witness{}, nil
}

// users looks for a user who is an owner, eight at a time.
func (s *ownerScan) users(ctx context.Context) (witness, error) {
	var once sync.Once
	var found witness
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
			detail, err := s.c.Users.Get(readCtx, user.ID)
			if gone(err) {
				return nil
			} else if err != nil {
				return err
			}
			if owned, err := s.owned(readCtx, Assignments(detail.Permissions)); !owned || err != nil {
				return err
			}
			once.Do(func() { found = witness{userID: user.ID} })
			return errScanned
		})
	}
	err := readers.Wait()
	switch {
	case found != (witness{}):
		return found, nil
	case err != nil:
		return witness{}, err
	case listErr != nil:
		return witness{}, listErr
	}
	return witness{}, ctx.Err()
}

// ownerGuard keeps an edit of permissions from taking the last owner away.
type ownerGuard struct {
	ownership
	sub subject
	// sent is what was sent that takes ownership away.
	sent Difference
	// before is what was sent before the last of it.
	before Difference
	// taking is set as long as the edit is known to take ownership away.
	taking bool
}

func newOwnerGuard(c *Client, sub subject) *ownerGuard {
	return &ownerGuard{sub: sub, ownership: ownership{c: c, remains: func(userID, groupID string) bool {
		if sub.what == "group" {
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
	owned, err := g.owned(ctx, next.Removed)
	if err != nil || !owned {
		return err
	}
	if users, usersErr := g.hasUsers(ctx, g.sub); !users || usersErr != nil {
		return usersErr
	}
	g.taking = true
	return wrapFor(g.sub, g.prove(ctx))
}

// send notes that a difference is on its way.
func (g *ownerGuard) send(next Difference) {
	if g != nil && g.taking {
		g.before, g.sent = g.sent, g.sent.then(next)
	}
}

// miss notes that the last difference sent has come to nothing, as far as can be
// seen: others may take the rest of it, but ownership must come back even if it
// is carried out late.
func (g *ownerGuard) miss(next Difference) {
	if g != nil && g.taking {
		g.sent = g.before.then(Difference{Removed: slices.DeleteFunc(slices.Clone(next.Removed), not(g.isOwner))})
	}
}

// confirm looks once more, after the write: others may have taken the owner
// away who was found before. If nobody is left, or nobody can tell, what was
// taken is given back.
func (g *ownerGuard) confirm(ctx context.Context) error {
	if g == nil || g.sent.Empty() {
		return nil
	}
	ctx, cancel := afterwards(ctx)
	defer cancel()
	err := g.prove(ctx)
	if err == nil {
		return nil
	}
	back := Difference{Added: g.sent.Removed, Removed: g.sent.Added}
	_, undoErr := (&editing{c: g.c, sub: g.sub, edit: back.Apply}).run(ctx)
	if undoErr != nil { // Ownership matters most.
		back = Difference{Added: slices.DeleteFunc(slices.Clone(g.sent.Removed), not(g.isOwner))}
		if _, ownErr := (&editing{c: g.c, sub: g.sub, edit: back.Apply}).run(ctx); ownErr == nil {
			return fmt.Errorf("segment %s was changed (%s), and only its ownership could be given back (%w): %w", g.sub, g.sent, undoErr, err)
		}
		return fmt.Errorf("segment %s was changed (%s) and %w (%w), although it must: %w", g.sub, g.sent, ErrNotRestored, undoErr, err)
	}
	return fmt.Errorf("segment %s was changed and changed back: %w", g.sub, err)
}

// afterwards is a context for what must be done although the caller has left.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithValue(context.WithoutCancel(ctx), patienceKey{}, 90*time.Second), 2*time.Minute)
}

type patienceKey struct{}

// patience is how long a call waits for the limit at least, whatever the policy
// of the client: a window and a half for what must not stop half-way.
func patience(ctx context.Context) time.Duration {
	d, _ := ctx.Value(patienceKey{}).(time.Duration)
	return d
}
