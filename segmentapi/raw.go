package segmentapi

import (
	"cmp"
	"context"
	"iter"
	"net/http"

	"github.com/segmentio/public-api-sdk-go/api"
)

// Raw returns the official generated client, for operations that this package
// does not cover. Its requests carry the token and are retried and paced like all
// others; its errors are those of the official client. [Do] and [DoAll] run its requests
// with the errors of this package. Do not change its configuration.
func (c *Client) Raw() *api.APIClient { return c.raw }

// A rawRequest is a request of the official client with the answer A, a pointer.
type rawRequest[A any] interface {
	Execute() (A, *http.Response, error)
}

// A rawAnswer is an answer of the official client with the data D.
type rawAnswer[D any] interface {
	HasData() bool
	GetData() D
}

// A rawListRequest is a request for one page of a list. Its own type is Q.
type rawListRequest[Q, A any] interface {
	rawRequest[A]
	Pagination(api.PaginationInput) Q
}

// rawPage is a pointer to D, the data of one page of a list.
type rawPage[D any] interface {
	*D
	GetPagination() api.PaginationOutput
}

// Do runs an operation of the official client and returns the data of its answer. It is for
// operations that this package does not cover. newRequest makes the request with [Client.Raw]
// of c and the context passed to it. All type arguments are inferred.
// (Package api is github.com/segmentio/public-api-sdk-go/api.)
//
//	out, err := segmentapi.Do(ctx, client, "getSource", func(ctx context.Context) api.ApiGetSourceRequest {
//		return client.Raw().SourcesAPI.GetSource(ctx, id)
//	})
//
// The request is authorized, retried and paced like all others. Its errors are those of the
// methods of this package: an [*Error], which names the given operation, or a
// [*RateLimitError]. If the official client refuses to make the request, as when an argument
// is missing, the error matches [ErrInvalidArgument]; if the answer has no data,
// [ErrBadResponse]. Do does not read back what an operation has written.
func Do[Q rawRequest[A], A rawAnswer[D], D any](ctx context.Context, c *Client, operation string, newRequest func(context.Context) Q) (*D, error) {
	op := call{operation: operation}
	out, _, err := execute(ctx, c, op, decoded(func(ctx context.Context) (*A, *http.Response, error) {
		stateOf(ctx).list = true // It may be one.
		out, resp, err := newRequest(ctx).Execute()
		op = stateOf(ctx).sent(op)
		return &out, resp, err
	}))
	if err != nil {
		return nil, err
	}
	if !(*out).HasData() {
		return nil, op.bad("the answer has no data")
	}
	data := (*out).GetData()
	return &data, nil
}

// DoAll streams every row of a list of the official client. newRequest makes the request as
// for [Do], without its pagination. If the request has no other arguments, newRequest can be
// the method of the official client itself. rows is the method that returns the rows of a page:
//
//	for plan, err := range segmentapi.DoAll(ctx, client, "listTrackingPlans",
//		client.Raw().TrackingPlansAPI.ListTrackingPlans, (*api.ListTrackingPlansV1Output).GetTrackingPlans) {
//
// It is as strict as the lists of this package: an answer without rows or without
// pagination is [ErrBadResponse], as are a cursor that repeats and a list that might never
// end ([MaxPages], [MaxEmptyPages]). [WithPageSize] sets the size of the pages. If Segment
// refuses more than 200 rows, DoAll asks again for 200, as [ListOptions] says. Other errors
// are those of Do. The loop ends after an error.
func DoAll[Q rawListRequest[Q, A], A rawAnswer[D], D any, P rawPage[D], R any](
	ctx context.Context, c *Client, operation string, newRequest func(context.Context) Q, rows func(P) []R,
) iter.Seq2[R, error] {
	l := lister[A, R, R]{
		call: call{operation: operation},
		run: func(ctx context.Context, p api.PaginationInput) (*A, *http.Response, error) {
			out, resp, err := newRequest(ctx).Pagination(p).Execute()
			return &out, resp, err
		},
		read: func(out *A) ([]R, api.PaginationOutput) {
			data := (*out).GetData()
			return rows(&data), P(&data).GetPagination()
		},
		convert: func(r R) R { return r },
	}
	return all(ctx, operation, func(ctx context.Context, opts ListOptions) (*Page[R], error) { return list(ctx, c, opts, l) })
}

// sent returns op with the method and the path that were sent, if it has none.
func (st *callState) sent(op call) call {
	op.method, op.path = cmp.Or(op.method, st.method), cmp.Or(op.path, st.path)
	return op
}
