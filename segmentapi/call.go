package segmentapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/public-api-sdk-go/api"
)

// A call names one operation for errors and logs.
type call struct {
	operation string
	method    string
	path      string
}

// execute runs one operation of the official client. It converts every failure to
// an *Error or a *RateLimitError. On success the result is not nil.
func execute[T any](ctx context.Context, c *Client, op call, do func(context.Context) (*T, *http.Response, error)) (*T, *http.Response, error) {
	st := &callState{operation: op.operation, ready: isAtOnce(ctx)}
	out, resp, err := do(context.WithValue(ctx, callKey{}, st))
	op = st.sent(op)
	fail := &Error{Operation: op.operation, Method: op.method, Path: op.path, Attempts: st.attempts}
	if resp == nil {
		var limited *RateLimitError
		if errors.As(err, &limited) {
			fail.kind = ErrRateLimited
			return nil, nil, &RateLimitError{Wait: limited.Wait, Reset: limited.Reset, err: fail}
		}
		fail.kind, fail.cause = ErrConnection, c.transport.redact(err)
		var sent *url.Error
		switch {
		case errors.Is(err, errTooLarge):
			fail.kind = ErrBadResponse
		case !errors.As(err, &sent): // The official client refuses to make the request.
			fail.kind = ErrInvalidArgument
		}
		if cause := ctx.Err(); cause != nil {
			fail.kind, fail.cause = nil, cause
		}
		return nil, nil, fail
	}
	fail.StatusCode = resp.StatusCode
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		fail.kind, fail.cause = ErrBadResponse, fmt.Errorf("status %d is a redirect, which is not followed: check the base URL and the region", resp.StatusCode)
		return nil, nil, fail
	case resp.StatusCode >= 300:
		fail.Details = c.transport.details(resp.Body)
		if resp.StatusCode == http.StatusTooManyRequests {
			opens := c.transport.opens(op.method)
			return nil, nil, &RateLimitError{Wait: max(time.Until(opens), 0), Reset: opens, err: fail, tooManyAtOnce: st.tooManyAtOnce}
		}
		return nil, nil, fail
	case !api.JsonCheck.MatchString(resp.Header.Get("Content-Type")) && (err != nil || out != nil): // The official client would read XML.
		fail.kind, fail.cause = ErrBadResponse, fmt.Errorf("the answer is not JSON (content type %q)", c.transport.hide(resp.Header.Get("Content-Type")))
		return nil, nil, fail
	case err != nil:
		// Only the text: an error of the official client holds the whole answer, with
		// write keys, settings and code.
		fail.kind, fail.cause = ErrBadResponse, errors.New(c.transport.hide(err.Error()))
		return nil, nil, fail
	case out == nil:
		fail.kind, fail.cause = ErrBadResponse, errEmptyAnswer
		return nil, nil, fail
	}
	return out, resp, nil
}

var errEmptyAnswer = errors.New("the answer is empty")

// decoded decodes a successful answer of run here, as the official client does. The
// official client would copy the body first, which costs a list as much memory as
// all of its rows.
func decoded[T any](run func(context.Context) (*T, *http.Response, error)) func(context.Context) (*T, *http.Response, error) {
	return func(ctx context.Context) (*T, *http.Response, error) {
		st := stateOf(ctx)
		st.decodes = true
		out, resp, err := run(ctx)
		if err != nil || len(st.body) == 0 {
			return out, resp, err
		}
		resp.Body = io.NopCloser(bytes.NewReader(st.body))
		err = json.Unmarshal(st.body, &out)
		return out, resp, err
	}
}

// bad is the error for an answer that was decoded but cannot be used.
func (o call) bad(format string, args ...any) error {
	return &Error{
		Operation: o.operation, Method: o.method, Path: o.path, StatusCode: http.StatusOK,
		kind: ErrBadResponse, cause: fmt.Errorf(format, args...),
	}
}

// conflict is the error for a request that Segment would accept although its
// result is unwanted. It is not sent.
func conflict(op call, format string, args ...any) error {
	return &Error{Operation: op.operation, Method: op.method, Path: op.path, kind: ErrConflict, cause: fmt.Errorf(format, args...)}
}

// A lister runs and reads one list operation of the official client: O is its
// answer, R a row as generated, T a row as returned.
type lister[O, R, T any] struct {
	call
	run func(context.Context, api.PaginationInput) (*O, *http.Response, error)
	// read returns nil rows if the answer has no list of rows.
	read    func(*O) ([]R, api.PaginationOutput)
	convert func(R) T
	// id may be nil if rows need none.
	id func(T) string
	// optionalPagination is set if the answer may have no pagination.
	optionalPagination bool
}

// list runs one list operation and checks that its answer is a whole page: a
// truncated list must never look like a complete one.
func list[O, R, T any](ctx context.Context, c *Client, opts ListOptions, l lister[O, R, T]) (*Page[T], error) {
	in, err := c.pagination(opts)
	if err != nil {
		return nil, err
	}
	out, resp, err := l.request(ctx, c, in)
	if in.Count > smallPageSize && refusesCount(err) {
		c.useSmallPages(ctx, err)
		in.Count = smallPageSize
		out, resp, err = l.request(ctx, c, in)
	}
	if err != nil {
		return nil, err
	}
	rows, p := l.read(out)
	if rows == nil {
		return nil, l.bad("the answer has no rows, not even an empty list")
	}
	last := l.optionalPagination && len(rows) < int(in.Count)
	if p.Current == "" && !p.Next.IsSet() && p.TotalEntries == nil && !last && !hasPagination(resp.Body) {
		return nil, l.bad("the answer has no pagination: it may be cut short")
	}
	page := &Page[T]{Items: make([]T, len(rows)), Total: -1}
	for i, r := range rows {
		page.Items[i] = l.convert(r)
		if l.id != nil && l.id(page.Items[i]) == "" {
			return nil, l.bad("row %d has no id", i+1)
		}
	}
	// Ignore totals outside 0..MaxInt32: they are not row counts.
	if n := p.TotalEntries; n != nil && *n >= 0 && *n <= math.MaxInt32 {
		page.Total = int(*n)
	}
	if next := p.Next.Get(); next != nil {
		page.Next = *next
	}
	if page.Next != "" && page.Next == opts.Cursor {
		return nil, l.bad("the next cursor is the one just used")
	}
	return page, nil
}

func (l *lister[O, R, T]) request(ctx context.Context, c *Client, in api.PaginationInput) (*O, *http.Response, error) {
	return execute(ctx, c, l.call, decoded(func(ctx context.Context) (*O, *http.Response, error) {
		stateOf(ctx).list = true
		out, resp, err := l.run(ctx, in)
		l.call = stateOf(ctx).sent(l.call)
		return out, resp, err
	}))
}

// refusesCount reports whether Segment refused a request because of the number of rows
// that it asked for. Some lists may report that in the message only.
func refusesCount(err error) bool {
	var e *Error
	return (errors.Is(err, ErrBadRequest) || errors.Is(err, ErrInvalid)) && errors.As(err, &e) &&
		slices.ContainsFunc(e.Details, func(d ErrorDetail) bool { return strings.Contains(d.Field+" "+d.Message, "pagination.count") })
}

// useSmallPages makes all lists of the client ask for smallPageSize rows at most.
func (c *Client) useSmallPages(ctx context.Context, refusal error) {
	if c.smallPages.CompareAndSwap(false, true) {
		c.writer.logger.WarnContext(ctx, fmt.Sprintf("Segment refuses the page size: lists ask for %d rows from now on", smallPageSize), "error", refusal)
	}
}

// A getter runs and reads one operation that returns a single object: O is its
// answer, R the object as generated, T as returned.
type getter[O, R, T any] struct {
	call
	// kind is the object's name in errors, such as "user".
	kind string
	run  func(context.Context) (*O, *http.Response, error)
	// read may return nil when the answer has no object.
	read    func(*O) *R
	convert func(R) T
	// about reports whether this is the requested object.
	about func(T) bool
}

// get requests the object with this id and checks that the answer is about it.
func get[O, R, T any](ctx context.Context, c *Client, id string, g getter[O, R, T]) (*T, error) {
	object, _, err := getBody(ctx, c, id, g)
	return object, err
}

// getBody is get, and also returns the body of the answer.
func getBody[O, R, T any](ctx context.Context, c *Client, id string, g getter[O, R, T]) (*T, []byte, error) {
	if err := checkID(g.kind, id); err != nil {
		return nil, nil, err
	}
	var body []byte
	run := decoded(g.run)
	out, _, err := execute(ctx, c, g.call, func(ctx context.Context) (*O, *http.Response, error) {
		answer, resp, err := run(ctx)
		body = stateOf(ctx).body
		return answer, resp, err
	})
	if err != nil {
		return nil, nil, err
	}
	if row := g.read(out); row != nil {
		if object := g.convert(*row); g.about(object) {
			return &object, body, nil
		}
	}
	return nil, nil, g.bad("the answer is not about this %s", g.kind)
}

// hasPagination reports whether an answer has a pagination object. An empty one
// and none decode alike.
func hasPagination(body io.Reader) bool {
	var answer struct {
		Data struct {
			Pagination *struct{} `json:"pagination"`
		} `json:"data"`
	}
	return json.NewDecoder(body).Decode(&answer) == nil && answer.Data.Pagination != nil
}

func (c *Client) pagination(opts ListOptions) (api.PaginationInput, error) {
	count := opts.Count
	if count == 0 {
		count = c.pageSize
	}
	if count < 1 || count > MaxPageSize {
		return api.PaginationInput{}, invalidArgument("count %d is not between 1 and %d", count, MaxPageSize)
	}
	if c.smallPages.Load() {
		count = min(count, smallPageSize)
	}
	in := api.PaginationInput{Count: int32(count)}
	if opts.Cursor != "" {
		in.Cursor = &opts.Cursor
	}
	return in, nil
}

// checkID refuses ids that would lead to another path. (Documented length: 1 to
// 255.)
func checkID(kind, id string) error {
	switch {
	case id == "":
		return invalidArgument("the %s id is empty", kind)
	case id == "." || id == "..":
		return invalidArgument("%q is not a %s id", id, kind)
	case len(id) > 255:
		return invalidArgument("the %s id has %d bytes, more than 255", kind, len(id))
	}
	return nil
}
