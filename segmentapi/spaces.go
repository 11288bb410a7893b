package segmentapi

import (
	"context"
	"iter"
	"net/http"
	"strings"

	"github.com/segmentio/public-api-sdk-go/api"
)

// SpaceService reads Unify spaces, through endpoints that Segment calls alpha.
// Workspaces without the feature answer with an error.
type SpaceService struct{ c *Client }

// List returns one page of spaces: GET /spaces (listSpaces).
func (s *SpaceService) List(ctx context.Context, opts ListOptions) (*Page[Space], error) {
	return list(ctx, s.c, opts, lister[api.ListSpaces200Response, api.Space, Space]{
		call: call{"listSpaces", http.MethodGet, "/spaces"},
		run: func(ctx context.Context, p api.PaginationInput) (*api.ListSpaces200Response, *http.Response, error) {
			return s.c.raw.SpacesAPI.ListSpaces(ctx).Pagination(p).Execute()
		},
		read: func(o *api.ListSpaces200Response) ([]api.Space, api.PaginationOutput) {
			d := o.GetData()
			return d.Spaces, d.Pagination
		},
		convert: spaceOf,
		id:      func(r Space) string { return r.ID },
	})
}

// All streams every space.
func (s *SpaceService) All(ctx context.Context) iter.Seq2[Space, error] {
	return all(ctx, "listSpaces", s.List)
}

// Get returns one space: GET /spaces/{spaceId} (getSpace). The id is sent as it
// is given, with or without "spa_"; the answer may have the other form. A space
// that is gone is [ErrNotFound].
func (s *SpaceService) Get(ctx context.Context, id string) (*Space, error) {
	return get(ctx, s.c, id, getter[api.GetSpace200Response, api.Space, Space]{
		call: call{"getSpace", http.MethodGet, "/spaces/" + id},
		kind: "space",
		run: func(ctx context.Context) (*api.GetSpace200Response, *http.Response, error) {
			return s.c.raw.SpacesAPI.GetSpace(ctx, id).Execute()
		},
		read: func(o *api.GetSpace200Response) *api.Space {
			d := o.GetData()
			return d.Space.Get()
		},
		convert: spaceOf,
		about:   func(r Space) bool { return r.ID != "" && bareSpaceID(r.ID) == bareSpaceID(id) },
	})
}

func bareSpaceID(id string) string { return strings.TrimPrefix(id, "spa_") }
