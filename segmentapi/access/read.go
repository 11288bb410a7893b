package access

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// ErrNoOwner is returned by [Read] if nobody is a Workspace Owner. A workspace always
// has an owner, so the token does not see permissions.
var ErrNoOwner = errors.New("this token does not see permissions: nobody is a Workspace Owner, and a workspace always has an owner")

// ErrTooManyGone is returned by [Read] if more than one in a hundred users and groups
// were not found any more after they had been listed.
var ErrTooManyGone = errors.New("too many users and groups have gone since they were listed")

// DefaultWorkers is the default of [ReadOptions]. That many are needed to use 6000
// requests a minute of 320 ms each.
const DefaultWorkers = 32

// ReadOptions configure [Read]. The zero value is ready to use.
type ReadOptions struct {
	// Workers is how many requests may be under way at a time, at least 1. Zero means
	// [DefaultWorkers].
	Workers int
	// Progress is called after each user and group that has been read, from one
	// goroutine at a time. It may be nil.
	Progress func(Progress)
}

// Progress is how far [Read] has come.
type Progress struct {
	// Read is how many users and groups have been read, All how many have been listed.
	Read, All int
}

// recheckAfter is how long to wait before asking again for what was not found: reads may
// lag behind writes.
const recheckAfter = time.Second

// Read reads a workspace: all lists, each user, and each group with its members. It costs
// one request for each user, two or three for each group, and one for each page of a
// list. The client keeps to the rate limit and waits as its policy allows.
//
// Users and groups that have gone since they were listed are left out. Lists of groups,
// functions, spaces, warehouses and labels may be missing in the workspace's plan:
// Skipped names these. Everything else that fails ends the reading, because an answer
// from the rest would be wrong.
func Read(ctx context.Context, c *segmentapi.Client, opts ReadOptions) (*Snapshot, error) {
	if opts.Workers == 0 {
		opts.Workers = DefaultWorkers
	}
	if opts.Workers < 0 {
		return nil, fmt.Errorf("access: %w: the number of workers is negative", segmentapi.ErrInvalidArgument)
	}
	r := reading{c: c, opts: opts, began: time.Now(), members: map[string]*members{}, gone: map[Ref]bool{}}
	r.userListed.L = &r.mu
	if err := r.readAll(ctx); err != nil {
		return nil, err
	}
	s := r.snapshot()
	if len(r.users) > 0 && len(r.gone) == 0 && !s.hasOwner() {
		return nil, ErrNoOwner
	}
	return s, nil
}

// A reading is the state of one call of Read.
type reading struct {
	c     *segmentapi.Client
	opts  ReadOptions
	began time.Time

	mu        sync.Mutex
	workspace segmentapi.Workspace
	users     []*segmentapi.User
	// userListed is signaled when users has another one, or its list has ended.
	userListed          sync.Cond
	allUsers, allGroups bool // Set when the lists have ended.
	invites             []string
	groups              []segmentapi.Group
	members             map[string]*members // By the id of the group.
	roles               []segmentapi.Role
	resources           []Resource
	labels              []segmentapi.Label
	skipped             []string
	gone                map[Ref]bool
	// lastGone is the answer about the last of gone.
	lastGone error
	done     int
}

// members are the members of a group as lists have them.
type members struct {
	users   []segmentapi.User
	pending []string
}

// readAll reads all lists at the same time, and each user as soon as its list has it.
// Groups follow, since a group needs no request for invites if there are none.
func (r *reading) readAll(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.opts.Workers)
	var beforeGroups sync.WaitGroup
	beforeGroups.Add(2)
	g.Go(func() error {
		defer beforeGroups.Done()
		return into(&r.invites, r.c.Invites.All(ctx))
	})
	g.Go(func() error {
		defer beforeGroups.Done()
		groups, err := collect(r.c.Groups.All(ctx))
		r.mu.Lock()
		r.groups, r.allGroups = groups, true
		r.mu.Unlock()
		return r.orSkip(TypeGroup, err)
	})
	g.Go(func() error { return r.listUsers(ctx) })
	r.readOtherLists(ctx, g)
	for i := 0; ; i++ {
		user := r.listedUser(i)
		if user == nil {
			break
		}
		g.Go(func() error { return r.finished(Ref{TypeUser, user.ID}, r.readUser(ctx, user)) })
	}
	beforeGroups.Wait()
	for i := range r.groups {
		in := &members{}
		r.members[r.groups[i].ID] = in
		g.Go(func() error {
			return r.finished(Ref{TypeGroup, r.groups[i].ID}, r.readGroup(ctx, &r.groups[i], in))
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return r.checkGone()
}

// listUsers reads the list of users for listedUser.
func (r *reading) listUsers(ctx context.Context) error {
	defer func() {
		r.mu.Lock()
		r.allUsers = true
		r.mu.Unlock()
		r.userListed.Signal()
	}()
	for user, err := range r.c.Users.All(ctx) {
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.users = append(r.users, &user)
		r.mu.Unlock()
		r.userListed.Signal()
	}
	return nil
}

// listedUser waits until the list of users has user i, counted from 0. It returns nil if the
// list ends before.
func (r *reading) listedUser(i int) *segmentapi.User {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i >= len(r.users) && !r.allUsers {
		r.userListed.Wait()
	}
	if i >= len(r.users) {
		return nil
	}
	return r.users[i]
}

// readOtherLists reads the lists that nothing waits for.
func (r *reading) readOtherLists(ctx context.Context, g *errgroup.Group) {
	g.Go(func() error {
		ws, err := r.c.Workspace.Get(ctx)
		if err == nil {
			r.workspace = *ws
		}
		return err
	})
	g.Go(func() error { return into(&r.roles, r.c.Roles.All(ctx)) })
	g.Go(func() error {
		labels, err := r.c.Labels.List(ctx)
		r.labels = labels
		return r.orSkip(TypeLabel, err)
	})
	for typeID, list := range map[string]iter.Seq2[Resource, error]{
		TypeSource: mapped(r.c.Sources.All(ctx), func(s segmentapi.Source) Resource {
			return Resource{Type: TypeSource, ID: s.ID, Name: s.Name, Slug: s.Slug, Labels: s.Labels}
		}),
		TypeWarehouse: mapped(r.c.Warehouses.All(ctx), func(w segmentapi.Warehouse) Resource {
			return Resource{Type: TypeWarehouse, ID: w.ID, Name: firstOf(w.Name, w.Kind)}
		}),
		TypeSpace: mapped(r.c.Spaces.All(ctx), func(s segmentapi.Space) Resource {
			return Resource{Type: TypeSpace, ID: s.ID, Name: s.Name, Slug: s.Slug}
		}),
	} {
		g.Go(func() error {
			rows, err := collect(list)
			return r.addResources(typeID, rows, err)
		})
	}
	for _, kind := range segmentapi.FunctionTypes() {
		g.Go(func() error {
			rows, err := collect(mapped(r.c.Functions.All(ctx, kind), func(f segmentapi.Function) Resource {
				return Resource{Type: TypeFunction, ID: f.ID, Name: f.Name}
			}))
			if segmentapi.UnknownFunctionType(kind, err) {
				return nil
			}
			return r.addResources(TypeFunction, rows, err)
		})
	}
}

func (r *reading) addResources(typeID string, rows []Resource, err error) error {
	r.mu.Lock()
	r.resources = append(r.resources, rows...)
	r.mu.Unlock()
	if typeID == TypeSource {
		return err
	}
	return r.orSkip(typeID, err)
}

// orSkip records a type as skipped if err says that the plan lacks it. It returns any
// other error.
func (r *reading) orSkip(typeID string, err error) error {
	if !segmentapi.LacksFeature(err) {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.skipped, typeID) {
		r.skipped = append(r.skipped, typeID)
	}
	return nil
}

// readUser reads what a user holds, unless the list has said so.
func (r *reading) readUser(ctx context.Context, user *segmentapi.User) error {
	if len(user.Permissions) > 0 {
		return nil
	}
	read, err := withRecheck(ctx, func() (*segmentapi.User, error) { return r.c.Users.Get(ctx, user.ID) })
	if err == nil {
		user.Permissions = read.Permissions
	}
	return err
}

func (r *reading) readGroup(ctx context.Context, group *segmentapi.Group, in *members) error {
	var err error
	if in.users, err = withRecheck(ctx, func() ([]segmentapi.User, error) { return collect(r.c.Groups.AllMembers(ctx, group.ID)) }); err != nil {
		return err
	}
	if len(r.invites) > 0 { // Nobody can be pending in a group of a workspace without invites.
		if in.pending, err = withRecheck(ctx, func() ([]string, error) { return collect(r.c.Groups.AllInvites(ctx, group.ID)) }); err != nil {
			return err
		}
	}
	if len(group.Permissions) > 0 {
		return nil
	}
	read, err := withRecheck(ctx, func() (*segmentapi.Group, error) { return r.c.Groups.Get(ctx, group.ID) })
	if err == nil {
		group.Permissions = read.Permissions
	}
	return err
}

// finished counts a user or group that was read, or that has gone since it was listed.
func (r *reading) finished(ref Ref, err error) error {
	if err != nil && !isNotFound(err) {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.gone[ref], r.lastGone = true, err
	}
	r.done++
	if r.opts.Progress != nil {
		r.opts.Progress(Progress{Read: r.done, All: len(r.users) + len(r.groups)})
	}
	return r.checkGone()
}

// checkGone returns an error if more have gone than is normal, once it is known of how many.
func (r *reading) checkGone() error {
	if !r.allUsers || !r.allGroups {
		return nil
	}
	if gone, all := len(r.gone), len(r.users)+len(r.groups); TooManyGone(gone, all) {
		return fmt.Errorf("%w: %d of %d (the last: %w)", ErrTooManyGone, gone, all, r.lastGone)
	}
	return nil
}

// TooManyGone reports whether more users and groups have gone since they were listed than
// is normal: a few are in a long run, and a single one is in a small workspace. More than
// one in a hundred mean that something else is wrong.
func TooManyGone(gone, listed int) bool { return listed > 0 && gone > 1 && gone*100 > listed }

// isNotFound reports whether Segment itself does not find something. An answer that is not
// Segment's own proves nothing.
func isNotFound(err error) bool {
	return errors.Is(err, segmentapi.ErrNotFound) && segmentapi.FromSegment(err)
}

// withRecheck asks once more, a second later, for what was not found.
func withRecheck[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	answer, err := ask()
	if !isNotFound(err) {
		return answer, err
	}
	timer := time.NewTimer(recheckAfter)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ask()
	case <-ctx.Done():
		return answer, ctx.Err()
	}
}

// collect returns the rows of a list, which may be none.
func collect[T any](rows iter.Seq2[T, error]) ([]T, error) {
	all := []T{}
	for row, err := range rows {
		if err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, nil
}

// into stores the rows of a list.
func into[T any](all *[]T, rows iter.Seq2[T, error]) error {
	list, err := collect(rows)
	*all = list
	return err
}

func mapped[T, U any](rows iter.Seq2[T, error], of func(T) U) iter.Seq2[U, error] {
	return func(yield func(U, error) bool) {
		for row, err := range rows {
			if !yield(of(row), err) {
				return
			}
		}
	}
}
