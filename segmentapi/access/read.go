package access

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/internal/details"
)

// ErrNoOwner is returned by [Read] if nobody is a Workspace Owner. A workspace always
// has an owner, so the token does not see permissions.
var ErrNoOwner = errors.New("this token does not see permissions: nobody is a Workspace Owner, and a workspace always has an owner")

// ErrTooManyGone is returned by [Read] if more than one in a hundred users and groups
// were not found after they were listed.
var ErrTooManyGone = errors.New("too many users and groups were not found after they were listed")

// DefaultWorkers is the default of [ReadOptions]. That many are needed to use 6000
// requests a minute of 320 ms each.
const DefaultWorkers = details.Workers

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

// Read reads a workspace: all lists, each user, and each group with its members. It costs
// one request for each user, two or three for each group, and one for each page of a
// list. The client keeps to the rate limit and waits as its policy allows.
//
// Users and groups that have gone since they were listed are left out. Lists of groups,
// functions, spaces, warehouses and labels may be missing in the workspace's plan:
// Skipped names these. Any other failure ends the reading, because answers
// from the rest would be wrong.
func Read(ctx context.Context, c *segmentapi.Client, opts ReadOptions) (*Snapshot, error) {
	if opts.Workers == 0 {
		opts.Workers = DefaultWorkers
	}
	if opts.Workers < 0 {
		return nil, fmt.Errorf("access: %w: the number of workers is negative", segmentapi.ErrInvalidArgument)
	}
	r := reading{c: c, opts: opts, began: time.Now(), members: map[string]*members{}, gone: map[Ref]bool{}}
	r.more.L = &r.mu
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
	tasks     []task // Lists that are not yet begun.
	workspace segmentapi.Workspace
	users     []*segmentapi.User
	// more is signaled when next may have something to return.
	more                            sync.Cond
	allUsers, allGroups, allInvites bool // Set when the lists have ended.
	begunUsers, begunGroups         int  // How many next has returned.
	invites                         []string
	groups                          []segmentapi.Group
	members                         map[string]*members // By the id of the group.
	roles                           []segmentapi.Role
	resources                       []Resource
	labels                          []segmentapi.Label
	skipped                         []string
	gone                            map[Ref]bool
	// lastGone is the answer about the last of gone.
	lastGone error
	done     int
}

// A task is one list, group or user to read.
type task = func(context.Context) error

// members are the members of a group as lists have them.
type members struct {
	users   []segmentapi.User
	pending []string
}

// readAll reads all lists at the same time, and each user and group as soon as it is
// listed.
func (r *reading) readAll(ctx context.Context) error {
	r.tasks = r.lists()
	g, ctx := errgroup.WithContext(ctx)
	for range r.opts.Workers {
		g.Go(func() error {
			for run := r.next(); run != nil; run = r.next() {
				if err := run(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return r.checkGone()
}

// next returns what to do next: read a list, a group, or a user. Groups come before
// users, because one takes several requests in a row, and reading should not end with
// waiting for these. If nothing is listed yet, next waits. It returns nil when all lists
// have ended and there is no more to begin.
func (r *reading) next() task {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		switch {
		case len(r.tasks) > 0:
			first := r.tasks[0]
			r.tasks = r.tasks[1:]
			return first
		// A group needs no request for invites if there are none.
		case r.begunGroups < len(r.groups) && r.allInvites:
			group, in := &r.groups[r.begunGroups], &members{}
			r.begunGroups++
			r.members[group.ID] = in
			return func(ctx context.Context) error {
				return r.finished(Ref{TypeGroup, group.ID}, r.readGroup(ctx, group, in))
			}
		case r.begunUsers < len(r.users):
			user := r.users[r.begunUsers]
			r.begunUsers++
			return func(ctx context.Context) error {
				return r.finished(Ref{TypeUser, user.ID}, r.readUser(ctx, user))
			}
		case r.allUsers && r.allGroups && r.allInvites:
			return nil
		}
		r.more.Wait()
	}
}

// listed records what a list has, or that it has ended, for next.
func (r *reading) listed(record func()) {
	r.mu.Lock()
	record()
	r.mu.Unlock()
	r.more.Broadcast()
}

// lists returns the tasks that read a list. Those that others wait for come first.
func (r *reading) lists() []task {
	lists := []task{
		r.listUsers,
		func(ctx context.Context) error {
			invites, err := collect(r.c.Invites.All(ctx))
			r.listed(func() { r.invites, r.allInvites = invites, true })
			return err
		},
		func(ctx context.Context) error {
			groups, err := collect(r.c.Groups.All(ctx))
			r.listed(func() { r.groups, r.allGroups = groups, true })
			return r.orSkip(TypeGroup, err)
		},
		func(ctx context.Context) error {
			ws, err := r.c.Workspace.Get(ctx)
			if err == nil {
				r.workspace = *ws
			}
			return err
		},
		func(ctx context.Context) error {
			roles, err := collect(r.c.Roles.All(ctx))
			r.roles = roles
			return err
		},
		func(ctx context.Context) error {
			labels, err := r.c.Labels.List(ctx)
			r.labels = labels
			return r.orSkip(TypeLabel, err)
		},
		func(ctx context.Context) error {
			return r.addResources(collect(mapped(r.c.Sources.All(ctx), func(s segmentapi.Source) Resource {
				return Resource{Type: TypeSource, ID: s.ID, Name: s.Name, Slug: s.Slug, Labels: s.Labels}
			})))
		},
		func(ctx context.Context) error {
			return r.orSkip(TypeWarehouse, r.addResources(collect(mapped(r.c.Warehouses.All(ctx), func(w segmentapi.Warehouse) Resource {
				return Resource{Type: TypeWarehouse, ID: w.ID, Name: cmp.Or(w.Name, w.Kind)}
			}))))
		},
		func(ctx context.Context) error {
			return r.orSkip(TypeSpace, r.addResources(collect(mapped(r.c.Spaces.All(ctx), func(s segmentapi.Space) Resource {
				return Resource{Type: TypeSpace, ID: s.ID, Name: s.Name, Slug: s.Slug}
			}))))
		},
	}
	for _, kind := range segmentapi.FunctionTypes() {
		lists = append(lists, func(ctx context.Context) error { return r.listFunctions(ctx, kind) })
	}
	return lists
}

func (r *reading) listUsers(ctx context.Context) error {
	defer r.listed(func() { r.allUsers = true })
	for user, err := range r.c.Users.All(ctx) {
		if err != nil {
			return err
		}
		r.listed(func() { r.users = append(r.users, &user) })
	}
	return nil
}

// listFunctions reads the functions of one type, which the workspace may not know.
func (r *reading) listFunctions(ctx context.Context, kind segmentapi.FunctionType) error {
	rows, err := collect(mapped(r.c.Functions.All(ctx, kind), func(f segmentapi.Function) Resource {
		return Resource{Type: TypeFunction, ID: f.ID, Name: f.Name}
	}))
	if segmentapi.UnknownFunctionType(kind, err) {
		return nil
	}
	return r.orSkip(TypeFunction, r.addResources(rows, err))
}

func (r *reading) addResources(rows []Resource, err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resources = append(r.resources, rows...)
	return err
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

// readUser reads what a user holds, unless the list has shown it.
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

// TooManyGone reports whether more listed users and groups are gone than is normal. A few
// are normal in a long run, and a single one is in a small workspace. More than one in a
// hundred mean that something else is wrong.
func TooManyGone(gone, listed int) bool { return details.TooManyGone(gone, listed) }

// isNotFound reports whether Segment itself does not find something. An answer that is not
// Segment's own proves nothing.
func isNotFound(err error) bool {
	return errors.Is(err, segmentapi.ErrNotFound) && segmentapi.FromSegment(err)
}

// withRecheck asks once more, a second later, for what was not found.
func withRecheck[T any](ctx context.Context, ask func() (T, error)) (T, error) {
	return details.Recheck(ctx, isNotFound, ask)
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

func mapped[T, U any](rows iter.Seq2[T, error], of func(T) U) iter.Seq2[U, error] {
	return func(yield func(U, error) bool) {
		for row, err := range rows {
			if !yield(of(row), err) {
				return
			}
		}
	}
}
