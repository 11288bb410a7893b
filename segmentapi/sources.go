package segmentapi

import (
	"context"
	"fmt"
	"iter"
	"net/http"

	"github.com/segmentio/public-api-sdk-go/api"
)

// SourceService reads sources, without their secrets; see [Source].
type SourceService struct{ c *Client }

// List returns one page of sources: GET /sources (listSources).
func (s *SourceService) List(ctx context.Context, opts ListOptions) (*Page[Source], error) {
	return list(ctx, s.c, opts, lister[api.ListSources200Response, api.SourceV1, Source]{
		call: call{"listSources", http.MethodGet, "/sources"},
		run: func(ctx context.Context, p api.PaginationInput) (*api.ListSources200Response, *http.Response, error) {
			return s.c.raw.SourcesAPI.ListSources(ctx).Pagination(p).Execute()
		},
		read: func(o *api.ListSources200Response) ([]api.SourceV1, api.PaginationOutput) {
			d := o.GetData()
			return d.Sources, d.Pagination
		},
		convert: sourceOf,
		id:      func(r Source) string { return r.ID },
	})
}

// All streams every source.
func (s *SourceService) All(ctx context.Context) iter.Seq2[Source, error] {
	return all(ctx, "listSources", s.List)
}

// Get returns one source: GET /sources/{sourceId} (getSource). A source that is
// gone is [ErrNotFound].
func (s *SourceService) Get(ctx context.Context, id string) (*Source, error) {
	return get(ctx, s.c, id, getter[api.GetSource200Response, api.SourceV1, Source]{
		call: call{"getSource", http.MethodGet, "/sources/" + id},
		kind: "source",
		run: func(ctx context.Context) (*api.GetSource200Response, *http.Response, error) {
			return s.c.raw.SourcesAPI.GetSource(ctx, id).Execute()
		},
		read: func(o *api.GetSource200Response) *api.SourceV1 {
			d := o.GetData()
			return &d.Source
		},
		convert: sourceOf,
		about:   func(r Source) bool { return r.ID == id },
	})
}

// Find returns the source with this name or slug. The case of letters and white space
// around the text are ignored. If one source has exactly this name or slug, others do not
// matter.
//
// Names and slugs count alike: if the text is the slug of one source and the name of
// another, the error matches [ErrAmbiguous], as it does if several sources have the name.
// The error names their ids, for [SourceService.Get]. All sources are listed: one request
// for each 1000. Other errors match [ErrInvalidArgument] before any request, and [ErrNotFound] if
// the list was read to its end and no source has the name or slug.
func (s *SourceService) Find(ctx context.Context, nameOrSlug string) (*Source, error) {
	folded := foldName(nameOrSlug)
	if folded == "" {
		return nil, invalidArgument("the name or slug of the source is empty")
	}
	return find(s.All(ctx), finder[Source]{
		call: call{"listSources", http.MethodGet, "/sources"}, kind: "source", text: fmt.Sprintf("the name or slug %q", nameOrSlug),
		id:    func(s Source) string { return s.ID },
		exact: func(s Source) bool { return s.Name == nameOrSlug || s.Slug == nameOrSlug },
		alike: func(s Source) bool { return foldName(s.Name) == folded || foldName(s.Slug) == folded },
	})
}
