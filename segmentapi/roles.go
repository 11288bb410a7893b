package segmentapi

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/segmentio/public-api-sdk-go/api"
	"golang.org/x/sync/singleflight"
)

// RoleService reads the built-in roles.
type RoleService struct {
	c     *Client
	cache *roleCache
	// lookups are not shared with other clients, which may wait longer or give up
	// sooner.
	lookups singleflight.Group
}

// List returns one page of roles: GET /roles (listRoles).
func (s *RoleService) List(ctx context.Context, opts ListOptions) (*Page[Role], error) {
	return list(ctx, s.c, opts, lister[api.ListRoles200Response, api.RoleV1, Role]{
		call: call{"listRoles", http.MethodGet, "/roles"},
		run: func(ctx context.Context, p api.PaginationInput) (*api.ListRoles200Response, *http.Response, error) {
			return s.c.raw.IAMRolesAPI.ListRoles(ctx).Pagination(p).Execute()
		},
		read: func(o *api.ListRoles200Response) ([]api.RoleV1, api.PaginationOutput) {
			d := o.GetData()
			return d.Roles, d.Pagination
		},
		convert: roleOf,
		id:      func(r Role) string { return r.ID },
	})
}

// All streams every role.
func (s *RoleService) All(ctx context.Context) iter.Seq2[Role, error] {
	return all(ctx, "listRoles", s.List)
}

// Get returns one role by id, from the cache if possible. The API has no operation
// for a single role, so a miss lists all of them (listRoles), once for all callers
// that miss at the same time. An id that no role has is cached as well; the error
// matches [ErrNotFound].
func (s *RoleService) Get(ctx context.Context, id string) (*Role, error) {
	// Small enough to be inlined, so that the copy can stay on the caller's stack.
	role, err := s.lookUp(ctx, id)
	if err != nil {
		return nil, err
	}
	return &role, nil
}

func (s *RoleService) lookUp(ctx context.Context, id string) (Role, error) {
	if err := checkID("role", id); err != nil {
		return Role{}, err
	}
	for {
		if e, ok := s.cache.get(id, time.Now()); ok {
			return found(id, e)
		}
		lookup := s.lookups.DoChan("", func() (any, error) {
			if _, ok := s.cache.get(id, time.Now()); ok {
				return loaded(nil), nil // Another lookup ended after the check above.
			}
			return s.load(ctx)
		})
		select {
		case <-ctx.Done():
			return Role{}, &Error{Operation: "listRoles", Method: http.MethodGet, Path: "/roles", cause: ctx.Err()}
		case res := <-lookup:
			if res.Err != nil {
				// The caller that made the request may have given up; this one has not.
				if ctx.Err() == nil && (errors.Is(res.Err, context.Canceled) || errors.Is(res.Err, context.DeadlineExceeded)) {
					continue
				}
				return Role{}, res.Err
			}
			roles, ok := res.Val.(loaded)
			if !ok {
				return Role{}, fmt.Errorf("segment listRoles: the lookup returned a %T", res.Val)
			}
			if roles == nil {
				continue
			}
			role, known := roles[id]
			s.cache.put(id, role, known, time.Now())
			return found(id, roleEntry{role: role, known: known})
		}
	}
}

// Find returns the role with this name, in any case, from the cache if possible;
// see [RoleService.Get] for requests and errors. Segment has renamed roles, so use
// names only for input that people write. If two roles have the name, the error
// matches [ErrAmbiguous].
func (s *RoleService) Find(ctx context.Context, name string) (*Role, error) {
	key := byName + foldName(name)
	if key == byName {
		return nil, invalidArgument("the role name is empty")
	}
	if e, ok := s.cache.get(key, time.Now()); ok {
		return &e.role, nil
	}
	named := map[string][]Role{}
	for r, err := range s.All(ctx) {
		if err != nil {
			return nil, err
		}
		named[byName+foldName(r.Name)] = append(named[byName+foldName(r.Name)], r)
	}
	for other, roles := range named {
		if len(roles) == 1 {
			s.cache.put(other, roles[0], true, time.Now())
		}
	}
	switch roles := named[key]; len(roles) {
	case 0:
		return nil, &Error{Operation: "listRoles", Method: http.MethodGet, Path: "/roles", kind: ErrNotFound, cause: fmt.Errorf("%w the name %q", errNoRole, name)}
	case 1:
		return &roles[0], nil
	default:
		return nil, fmt.Errorf("segment role %q: %w: %s and %s have this name", name, ErrAmbiguous, roles[0].ID, roles[1].ID)
	}
}

// errNoRole is the cause of ErrNotFound if the list of roles could be read and no
// role in it has the name.
var errNoRole = errors.New("no role has")

// byName is the prefix of the cache's keys for names. No id has a line break.
const byName = "name\n"

// loaded is every role by id, or nil for a lookup that found its role in the
// cache.
type loaded map[string]Role

// load lists every role into the cache.
func (s *RoleService) load(ctx context.Context) (loaded, error) {
	roles := loaded{}
	for r, err := range s.All(ctx) {
		if err != nil {
			return nil, err
		}
		roles[r.ID] = r
		s.cache.put(r.ID, r, true, time.Now())
	}
	return roles, nil
}

func found(id string, e roleEntry) (Role, error) {
	if !e.known {
		return Role{}, &Error{Operation: "listRoles", Method: http.MethodGet, Path: "/roles", kind: ErrNotFound, cause: errors.New("no role has the id " + id)}
	}
	return e.role, nil
}
