package segmentapi

import (
	"context"
	"errors"
	"iter"
	"net/http"

	"github.com/segmentio/public-api-sdk-go/api"
)

// FunctionService reads functions, without their code; see [Function].
// Workspaces without the feature answer with an error.
type FunctionService struct{ c *Client }

// List returns one page of the functions of one type: GET
// /functions?resourceType=t (listFunctions). There is no list of all types; see
// [FunctionTypes].
func (s *FunctionService) List(ctx context.Context, t FunctionType, opts ListOptions) (*Page[Function], error) {
	if t == "" {
		return nil, invalidArgument("the function type is empty")
	}
	return list(ctx, s.c, opts, lister[api.ListFunctions200Response, api.ListFunctionItemV1, Function]{
		call: call{"listFunctions", http.MethodGet, "/functions"},
		run: func(ctx context.Context, p api.PaginationInput) (*api.ListFunctions200Response, *http.Response, error) {
			return s.c.raw.FunctionsAPI.ListFunctions(ctx).ResourceType(string(t)).Pagination(p).Execute()
		},
		read: func(o *api.ListFunctions200Response) ([]api.ListFunctionItemV1, api.PaginationOutput) {
			d := o.GetData()
			return d.Functions, d.Pagination
		},
		convert: func(f api.ListFunctionItemV1) Function { return functionOf(&f) },
		id:      func(f Function) string { return f.ID },
	})
}

// All streams the functions of one type.
func (s *FunctionService) All(ctx context.Context, t FunctionType) iter.Seq2[Function, error] {
	return all(ctx, "listFunctions", func(ctx context.Context, opts ListOptions) (*Page[Function], error) {
		return s.List(ctx, t, opts)
	})
}

// Get returns one function of any type: GET /functions/{functionId}
// (getFunction). A function that is gone is [ErrNotFound].
func (s *FunctionService) Get(ctx context.Context, id string) (*Function, error) {
	return get(ctx, s.c, id, getter[api.GetFunction200Response, api.FunctionV1, Function]{
		call: call{"getFunction", http.MethodGet, "/functions/" + id},
		kind: "function",
		run: func(ctx context.Context) (*api.GetFunction200Response, *http.Response, error) {
			return s.c.raw.FunctionsAPI.GetFunction(ctx, id).Execute()
		},
		read: func(o *api.GetFunction200Response) *api.FunctionV1 {
			d := o.GetData()
			return d.Function.Get()
		},
		convert: func(f api.FunctionV1) Function { return functionOf(&f) },
		about:   func(f Function) bool { return f.ID == id },
	})
}

// UnknownFunctionType reports whether err, returned by listing the functions of a type,
// says that the workspace does not know the type. Only
// [FunctionInsertTransformation], which is newer than the others, may be unknown.
func UnknownFunctionType(t FunctionType, err error) bool {
	return t == FunctionInsertTransformation && FromSegment(err) && (errors.Is(err, ErrBadRequest) || errors.Is(err, ErrInvalid))
}
