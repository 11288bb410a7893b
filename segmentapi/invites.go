package segmentapi

import (
	"context"
	"iter"
	"net/http"

	"github.com/segmentio/public-api-sdk-go/api"
)

// InviteService reads the pending invites of the workspace. An invite is an
// e-mail address: the API has no way to read what it will permit.
type InviteService struct{ c *Client }

// List returns one page of the e-mail addresses of pending invites, exactly as
// Segment wrote them: GET /invites (listInvites).
func (s *InviteService) List(ctx context.Context, opts ListOptions) (*Page[string], error) {
	return list(ctx, s.c, opts, lister[api.ListInvites200Response, string, string]{
		call: call{"listInvites", http.MethodGet, "/invites"},
		run: func(ctx context.Context, p api.PaginationInput) (*api.ListInvites200Response, *http.Response, error) {
			return s.c.raw.IAMUsersAPI.ListInvites(ctx).Pagination(p).Execute()
		},
		read: func(o *api.ListInvites200Response) ([]string, api.PaginationOutput) {
			d := o.GetData()
			return d.Invites, d.Pagination
		},
		convert: itself,
		id:      itself,
	})
}

// All streams the e-mail address of every pending invite.
func (s *InviteService) All(ctx context.Context) iter.Seq2[string, error] {
	return all(ctx, "listInvites", s.List)
}
