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

// Find returns the role with this name, such as [RoleSourceAdmin], from the cache if
// possible; see [RoleService.Get] for requests. The case of letters and white space around
// the name are ignored. Unlike users, groups and sources, a role that has exactly this name
// does not win over another: edits go by the names of roles.
//
// Segment has renamed roles, so store ids, not names. Errors match [ErrInvalidArgument]
// before any request, [ErrNotFound] if the list was read to its end and no role has the
// name, and [ErrAmbiguous] if several have it: the error names their ids.
func (s *RoleService) Find(ctx context.Context, name string) (*Role, error) {
	key := byName + foldName(name)
	if key == byName {
		return nil, invalidArgument("the role name is empty")
	}
	if e, ok := s.cache.get(key, time.Now()); ok {
		return &e.role, nil
	}
	f := finder[Role]{
		call: call{"listRoles", http.MethodGet, "/roles"}, kind: "role", text: fmt.Sprintf("the name %q", name),
		id:    func(r Role) string { return r.ID },
		alike: func(r Role) bool { return byName+foldName(r.Name) == key },
	}
	named := map[string][]Role{}
	for r, err := range s.All(ctx) {
		if err != nil {
			return nil, withoutNotFound(err)
		}
		f.see(r)
		named[byName+foldName(r.Name)] = append(named[byName+foldName(r.Name)], r)
	}
	for other, roles := range named {
		if len(roles) == 1 {
			s.cache.put(other, roles[0], true, time.Now())
		}
	}
	return f.result()
}

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
