package segmentapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/public-api-sdk-go/api"
)

const testToken = "sgp_testtoken"

// serve answers every request with handler, in process so that time may be
// faked, and returns a client for it and the number of requests sent.
func serve(t *testing.T, handler http.HandlerFunc, opts ...Option) (*Client, *int) {
	t.Helper()
	var mu sync.Mutex // Callers may read the number when all have returned.
	sent := 0
	hc := &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		sent++
		mu.Unlock()
		if r.Body != nil {
			defer func() { _ = r.Body.Close() }()
		}
		w := httptest.NewRecorder()
		handler(w, r)
		resp := w.Result()
		resp.Request = r
		return resp, nil
	})}
	c, err := New(testToken, append([]Option{WithBaseURL("http://localhost"), WithHTTPClient(hc)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c, &sent
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const jsonType = "application/json"

func TestErrorsAreClassifiedByStatus(t *testing.T) {
	t.Parallel()
	const envelope = `{"errors":[{"type":"some-type","message":"Some message","field":"id"}]}`
	detail := []ErrorDetail{{Type: "some-type", Message: "Some message", Field: "id"}}
	for status, want := range map[int]error{
		400: ErrBadRequest, 401: ErrUnauthorized, 403: ErrForbidden, 404: ErrNotFound, 409: ErrConflict,
		413: nil, 422: ErrInvalid, 429: ErrRateLimited, 501: ErrServer, 500: ErrServer, 503: ErrServer,
	} {
		bodies := map[string]struct {
			contentType, body string
			details           []ErrorDetail
		}{
			"envelope":   {jsonType, envelope, detail},
			"vendor":     {"application/vnd.segment.v1+json", envelope, detail},
			"html":       {"text/html", "<html>" + envelope, nil},
			"empty":      {jsonType, "", nil},
			"bad json":   {jsonType, "{", nil},
			"wrong type": {jsonType, `{"errors":"no"}`, nil},
		}
		for name, b := range bodies {
			t.Run(fmt.Sprintf("%d %s", status, name), func(t *testing.T) {
				t.Parallel()
				c, _ := serve(t, answer(status, b.contentType, b.body), WithRetry(RetryPolicy{MaxAttempts: 1}))
				_, err := c.Users.List(t.Context(), ListOptions{})
				var e *Error
				if !errors.As(err, &e) {
					t.Fatalf("error %v is not an *Error", err)
				}
				if want != nil && !errors.Is(err, want) {
					t.Errorf("error %v does not match %v", err, want)
				}
				for _, other := range []error{ErrBadRequest, ErrUnauthorized, ErrForbidden, ErrNotFound, ErrConflict, ErrInvalid, ErrRateLimited, ErrServer, ErrBadResponse, ErrConnection} {
					if errors.Is(err, other) && !errors.Is(want, other) {
						t.Errorf("error %v also matches %v", err, other)
					}
				}
				if e.StatusCode != status || e.Operation != "listUsers" || e.Method != http.MethodGet || e.Path != "/users" || e.Attempts != 1 {
					t.Errorf("got %+v", e)
				}
				if diff := cmp.Diff(b.details, e.Details); diff != "" {
					t.Errorf("details (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestFromSegment(t *testing.T) {
	t.Parallel()
	const envelope = `{"errors":[{"type":"some-type","message":"Some message"}]}`
	for name, tt := range map[string]struct {
		status            int
		contentType, body string
		want              bool
	}{
		"refusal":                  {404, jsonType, envelope, true},
		"failure":                  {500, jsonType, envelope, true},
		"rate limit":               {429, jsonType, envelope, true},
		"proxy page":               {404, "text/html", "<html>Not found</html>", false},
		"empty":                    {404, jsonType, "", false},
		"rate limit of a gateway":  {429, jsonType, `{"message":"slow down"}`, false},
		"no entries":               {404, jsonType, `{"errors":[]}`, false},
		"entry without a type":     {404, jsonType, `{"errors":[{"message":"Some message"}]}`, false},
		"type under another case":  {404, jsonType, `{"errors":[{"Type":"some-type"}]}`, false},
		"answer that is no answer": {200, jsonType, envelope, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := serve(t, answer(tt.status, tt.contentType, tt.body), WithRetry(RetryPolicy{MaxAttempts: 1}))
			_, err := c.Users.List(t.Context(), ListOptions{})
			if err == nil || FromSegment(err) != tt.want {
				t.Errorf("FromSegment is %t for %v, want %t", FromSegment(err), err, tt.want)
			}
			if wrapped := fmt.Errorf("wrapped: %w", errors.Join(context.Canceled, err)); FromSegment(wrapped) != tt.want {
				t.Errorf("FromSegment is %t for %v, want %t", FromSegment(wrapped), wrapped, tt.want)
			}
		})
	}
	_, err := New("")
	for _, other := range []error{nil, context.Canceled, err, ErrNotFound, &RateLimitError{Wait: time.Second}} {
		if FromSegment(other) {
			t.Errorf("FromSegment is true for %v", other)
		}
	}
}

func TestAnswersThatCannotBeTrusted(t *testing.T) {
	t.Parallel()
	page := func(rest string) string {
		return `{"data":{"users":[{"id":"u1","name":"","email":"a@example.com"}]` + rest + `}}`
	}
	tests := map[string]struct {
		status            int
		contentType, body string
		says              string
	}{
		"redirect":           {302, jsonType, "", "redirect"},
		"permanent redirect": {308, jsonType, "", "redirect"},
		"empty":              {200, jsonType, "", "empty"},
		"no content":         {204, jsonType, "", "empty"},
		"null":               {200, jsonType, "null", "empty"},
		"no data":            {200, jsonType, "{}", "no rows"},
		"null data":          {200, jsonType, `{"data":null}`, "no rows"},
		"errors with 200":    {200, jsonType, `{"errors":[{"type":"x"}]}`, "no rows"},
		"html with 200":      {200, "text/html", "<html></html>", "not JSON"},
		"json as html":       {200, "text/html", page(`,"pagination":{"current":"MA=="}`), "not JSON"},
		"json as nothing":    {200, "", page(`,"pagination":{"current":"MA=="}`), "not JSON"},
		"json as itself":     {200, "json", page(`,"pagination":{"current":"MA=="}`), "not JSON"},
		"not json":           {200, jsonType, "{", "bad response"},
		"wrong type":         {200, jsonType, `{"data":{"users":[{"id":7}],"pagination":{"current":"MA=="}}}`, "bad response"},
		"no rows":            {200, jsonType, `{"data":{"pagination":{"current":"MA=="}}}`, "no rows"},
		"null rows":          {200, jsonType, `{"data":{"users":null,"pagination":{"current":"MA=="}}}`, "no rows"},
		"no pagination":      {200, jsonType, page(""), "no pagination"},
		"null pagination":    {200, jsonType, page(`,"pagination":null`), "no pagination"},
		"row without id":     {200, jsonType, `{"data":{"users":[{"id":"u1"},{"email":"x"}],"pagination":{"current":"MA=="}}}`, "row 2 has no id"},
		"cursor of the page": {200, jsonType, page(`,"pagination":{"current":"Mg==","next":"here"}`), "next cursor"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, sent := serve(t, answer(tt.status, tt.contentType, tt.body))
			_, err := c.Users.List(t.Context(), ListOptions{Cursor: "here"})
			if !errors.Is(err, ErrBadResponse) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want a bad response that says %q", err, tt.says)
			}
			if *sent != 1 {
				t.Errorf("sent %d requests, want 1", *sent)
			}
		})
	}
}

func TestEmptyPaginationIsPagination(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, answer(200, jsonType, `{"data":{"users":[],"pagination":{"current":""}}}`))
	page, err := c.Users.List(t.Context(), ListOptions{})
	if err != nil || len(page.Items) != 0 || page.Next != "" || page.Total != -1 {
		t.Errorf("got %+v, %v", page, err)
	}
}

// An anyRead is one operation that reads, with its result left out.
type anyRead struct {
	operation, path string
	run             func(context.Context, *Client) error
}

// reads is every operation that reads; those of one object ask for x1.
func reads() []anyRead {
	return []anyRead{
		{"getWorkspace", "/", func(ctx context.Context, c *Client) error {
			_, err := c.Workspace.Get(ctx)
			return err
		}},
		{"listUsers", "/users", readsPage(func(c *Client) pageFunc[User] { return c.Users.List })},
		{"getUser", "/users/x1", readsOne(func(c *Client) getFunc[User] { return c.Users.Get })},
		{"listInvites", "/invites", readsPage(func(c *Client) pageFunc[string] { return c.Invites.List })},
		{"listUserGroups", "/groups", readsPage(func(c *Client) pageFunc[Group] { return c.Groups.List })},
		{"getUserGroup", "/groups/x1", readsOne(func(c *Client) getFunc[Group] { return c.Groups.Get })},
		{"listUsersFromUserGroup", "/groups/g1/users", readsPage(func(c *Client) pageFunc[User] {
			return func(ctx context.Context, opts ListOptions) (*Page[User], error) {
				return c.Groups.ListMembers(ctx, "g1", opts)
			}
		})},
		{"listInvitesFromUserGroup", "/groups/g1/invites", readsPage(func(c *Client) pageFunc[string] {
			return func(ctx context.Context, opts ListOptions) (*Page[string], error) {
				return c.Groups.ListInvites(ctx, "g1", opts)
			}
		})},
		{"listRoles", "/roles", readsPage(func(c *Client) pageFunc[Role] { return c.Roles.List })},
		{"listSources", "/sources", readsPage(func(c *Client) pageFunc[Source] { return c.Sources.List })},
		{"getSource", "/sources/x1", readsOne(func(c *Client) getFunc[Source] { return c.Sources.Get })},
		{"listWarehouses", "/warehouses", readsPage(func(c *Client) pageFunc[Warehouse] { return c.Warehouses.List })},
		{"getWarehouse", "/warehouses/x1", readsOne(func(c *Client) getFunc[Warehouse] { return c.Warehouses.Get })},
		{"listFunctions", "/functions", readsPage(func(c *Client) pageFunc[Function] {
			return func(ctx context.Context, opts ListOptions) (*Page[Function], error) {
				return c.Functions.List(ctx, FunctionSource, opts)
			}
		})},
		{"getFunction", "/functions/x1", readsOne(func(c *Client) getFunc[Function] { return c.Functions.Get })},
		{"listSpaces", "/spaces", readsPage(func(c *Client) pageFunc[Space] { return c.Spaces.List })},
		{"getSpace", "/spaces/x1", readsOne(func(c *Client) getFunc[Space] { return c.Spaces.Get })},
		{"listLabels", "/labels", func(ctx context.Context, c *Client) error {
			_, err := c.Labels.List(ctx)
			return err
		}},
	}
}

type (
	pageFunc[T any] func(context.Context, ListOptions) (*Page[T], error)
	getFunc[T any]  func(context.Context, string) (*T, error)
)

func readsPage[T any](of func(*Client) pageFunc[T]) func(context.Context, *Client) error {
	return func(ctx context.Context, c *Client) error {
		_, err := of(c)(ctx, ListOptions{})
		return err
	}
}

func readsOne[T any](of func(*Client) getFunc[T]) func(context.Context, *Client) error {
	return func(ctx context.Context, c *Client) error {
		_, err := of(c)(ctx, "x1")
		return err
	}
}

// Every operation names itself in every error, and takes no answer for one
// about something that it does not have.
func TestEveryReadFailsByName(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status int
		body   string
		want   error
	}{
		"refused":      {403, `{"errors":[{"type":"forbidden"}]}`, ErrForbidden},
		"refused type": {400, `{"errors":[{"type":"bad-request","message":"Your plan does not include this"}]}`, ErrBadRequest},
		"empty":        {200, "", ErrBadResponse},
		"empty object": {200, "{}", ErrBadResponse},
		"null data":    {200, `{"data":null}`, ErrBadResponse},
		"no rows":      {200, `{"data":{"pagination":{"current":"MA=="}}}`, ErrBadResponse},
		"nothing but null": {200, `{"data":{"workspace":null,"user":null,"users":null,"invites":null,"emails":null,"userGroup":null,"userGroups":null,
			"roles":null,"source":null,"sources":null,"warehouse":null,"warehouses":null,"function":null,"functions":null,
			"space":null,"spaces":null,"labels":null,"pagination":{"current":"MA=="}}}`, ErrBadResponse},
		"rows without id": {200, `{"data":{"workspace":{},"user":{},"users":[{}],"invites":[""],"emails":[""],"userGroup":{},"userGroups":[{}],
			"roles":[{}],"source":{},"sources":[{}],"warehouse":{},"warehouses":[{}],"function":{},"functions":[{}],
			"space":{},"spaces":[{}],"labels":[{"key":"a","value":"b"},{"value":"b"}],"pagination":{"current":"MA=="}}}`, ErrBadResponse},
		"something else": {200, `{"data":{"user":{"id":"x2"},"userGroup":{"id":"x2"},"source":{"id":"x2"},"warehouse":{"id":"x2"},
			"function":{"id":"x2"},"space":{"id":"x2"}}}`, ErrBadResponse},
	}
	for name, tt := range tests {
		for _, read := range reads() {
			t.Run(name+" "+read.operation, func(t *testing.T) {
				t.Parallel()
				c, sent := serve(t, answer(tt.status, jsonType, tt.body))
				err := read.run(t.Context(), c)
				var e *Error
				if !errors.Is(err, tt.want) || !errors.As(err, &e) || *sent != 1 {
					t.Fatalf("got %v after %d requests, want %v", err, *sent, tt.want)
				}
				if e.Operation != read.operation || e.Method != http.MethodGet || e.Path != read.path || e.StatusCode != tt.status {
					t.Errorf("got %+v", e)
				}
			})
		}
	}
}

// The prefix of a space id comes and goes.
func TestSpaceIDForms(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		asked, answered string
		ok              bool
	}{
		{"spa_1", "spa_1", true}, {"spa_1", "1", true}, {"1", "spa_1", true}, {"1", "1", true},
		{"1", "2", false}, {"spa_1", "spa_2", false}, {"1", "dfn_1", false}, {"spa_", "", false},
	} {
		var path string
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			path = r.URL.Path
			answer(200, jsonType, `{"data":{"space":{"id":"`+tt.answered+`"}}}`)(w, r)
		})
		got, err := c.Spaces.Get(t.Context(), tt.asked)
		if path != "/spaces/"+tt.asked {
			t.Errorf("asked %s for %s", path, tt.asked)
		}
		switch {
		case tt.ok && (err != nil || got.ID != tt.answered):
			t.Errorf("asked for %s, answered %s: %v, %v", tt.asked, tt.answered, got, err)
		case !tt.ok && !errors.Is(err, ErrBadResponse):
			t.Errorf("asked for %s, answered %s: %v, %v", tt.asked, tt.answered, got, err)
		}
	}
}

// The official client's error holds the answer, which may hold secrets.
func TestAnswersAreInNoError(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, answer(200, jsonType, `{"data":{"sources":[{"id":"s1","writeKeys":["SECRET-key"],"enabled":"yes"}],"pagination":{"current":"MA=="}}}`))
	_, err := c.Sources.List(t.Context(), ListOptions{})
	if !errors.Is(err, ErrBadResponse) {
		t.Fatalf("got %v", err)
	}
	for link := err; link != nil; link = errors.Unwrap(link) {
		if text := fmt.Sprintf("%v %+v", link, link); strings.Contains(text, "SECRET-") {
			t.Errorf("an error says %s", text)
		}
		if holder, ok := link.(interface{ Body() []byte }); ok {
			t.Errorf("an error holds %d bytes of the answer", len(holder.Body()))
		}
	}
}

func TestTokenIsInNoError(t *testing.T) {
	t.Parallel()
	echo := fmt.Sprintf(`{"errors":[{"type":%q,"message":"token %s is bad","field":%q}]}`, testToken, testToken, testToken)
	tests := map[string]http.HandlerFunc{
		"envelope":  answer(401, jsonType, echo),
		"not json":  answer(200, jsonType, testToken),
		"html":      answer(200, "text/"+testToken, echo),
		"wrong row": answer(200, jsonType, `{"data":"`+testToken+`"}`),
	}
	for name, handler := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := serve(t, handler)
			_, err := c.Users.List(t.Context(), ListOptions{})
			if err == nil || strings.Contains(err.Error(), testToken) || strings.Contains(fmt.Sprintf("%+v", err), testToken) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// What net/http says of an answer that is no HTTP holds what the server sent,
// which may be what it was sent.
func TestTokenIsInNoBrokenConnection(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	hc := &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("malformed HTTP status code %q", r.Header.Get("Authorization"))
	})}
	c, err := New(testToken, WithBaseURL("http://localhost"), WithHTTPClient(hc), WithRetry(RetryPolicy{MaxAttempts: 1}),
		WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Users.List(t.Context(), ListOptions{})
	if !errors.Is(err, ErrConnection) || !strings.Contains(err.Error(), "malformed") {
		t.Fatalf("got %v", err)
	}
	for link := err; link != nil; link = errors.Unwrap(link) {
		if text := fmt.Sprintf("%v %+v", link, link); strings.Contains(text, testToken) {
			t.Errorf("an error says %s", text)
		}
	}
	if !strings.Contains(log.String(), "malformed") || strings.Contains(log.String(), testToken) {
		t.Errorf("the log says %s", &log)
	}
}

func TestRetriesByMethodAndStatus(t *testing.T) {
	t.Parallel()
	tests := []struct {
		status int
		again  map[string]bool
	}{
		{429, map[string]bool{"GET": true, "PUT": true, "DELETE": true, "POST": true}},
		{500, map[string]bool{"GET": true}},
		{502, map[string]bool{"GET": true, "PUT": true, "DELETE": true}},
		{503, map[string]bool{"GET": true, "PUT": true, "DELETE": true}},
		{504, map[string]bool{"GET": true, "PUT": true, "DELETE": true}},
		{0, map[string]bool{"GET": true, "PUT": true, "DELETE": true}}, // A broken connection.
		{400, nil}, {401, nil}, {403, nil}, {404, nil}, {409, nil}, {422, nil}, {501, nil},
	}
	for _, tt := range tests {
		for _, method := range []string{"GET", "PUT", "DELETE", "POST"} {
			t.Run(fmt.Sprintf("%d %s", tt.status, method), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					sent := 0
					hc := &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
						sent++
						if got := r.Header["Authorization"]; len(got) != 1 || got[0] != "Bearer "+testToken {
							t.Errorf("Authorization is %d values, want the token once", len(got))
						}
						body := ""
						if r.Body != nil {
							b, err := io.ReadAll(r.Body)
							if err != nil {
								t.Error(err)
							}
							body = string(b)
						}
						if method == "POST" || method == "PUT" {
							if body != "the body" {
								t.Errorf("attempt %d sent body %q", sent, body)
							}
						}
						if tt.status == 0 {
							return nil, io.ErrUnexpectedEOF
						}
						return &http.Response{StatusCode: tt.status, Header: http.Header{"Retry-After": {"1"}}, Body: http.NoBody, Request: r}, nil
					})}
					c, err := New(testToken, WithBaseURL("http://localhost"), WithHTTPClient(hc), WithRetry(RetryPolicy{MaxAttempts: 3, MaxWait: time.Minute}))
					if err != nil {
						t.Fatal(err)
					}
					var body io.Reader
					if method == "POST" || method == "PUT" {
						body = strings.NewReader("the body")
					}
					req, err := http.NewRequestWithContext(t.Context(), method, "http://localhost/x", body)
					if err != nil {
						t.Fatal(err)
					}
					resp, err := c.Raw().GetConfig().HTTPClient.Do(req)
					if err == nil {
						_ = resp.Body.Close()
					}
					want := 1
					if tt.again[method] {
						want = 3
					}
					if sent != want {
						t.Errorf("sent %d requests, want %d", sent, want)
					}
					if tt.status != 0 && (err != nil || resp.StatusCode != tt.status) {
						t.Errorf("the last answer did not come through: %v", err)
					}
				})
			})
		}
	}
}

// After failures each wait is twice the one before, up to a bound, and clients
// that failed together do not come back together.
func TestRetriesAreSpread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		firsts := map[time.Duration]bool{}
		for range 50 {
			var at []time.Time
			c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
				at = append(at, time.Now())
				answer(503, jsonType, "")(w, r)
			}, WithRetry(RetryPolicy{MaxAttempts: 12}))
			if _, err := c.Workspace.Get(t.Context()); !errors.Is(err, ErrServer) || len(at) != 12 {
				t.Fatalf("got %v after %d requests", err, len(at))
			}
			for i, first := range at[:11] {
				most := min(250*time.Millisecond<<i, 8*time.Second)
				if wait := at[i+1].Sub(first); wait < most/2 || wait > most {
					t.Errorf("wait %d is %s, want between %s and %s", i+1, wait, most/2, most)
				}
			}
			firsts[at[1].Sub(at[0])] = true
		}
		if len(firsts) < 25 {
			t.Errorf("%d different waits of 50", len(firsts))
		}
	})
}

func TestBrokenBodyIsRetriedAndReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		hc := &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			sent++
			body := io.MultiReader(strings.NewReader(`{"data":`), failingReader{})
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {jsonType}}, Body: io.NopCloser(body), Request: r}, nil
		})}
		c, err := New(testToken, WithBaseURL("http://localhost"), WithHTTPClient(hc), WithRetry(RetryPolicy{MaxAttempts: 3}))
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Users.List(t.Context(), ListOptions{})
		var e *Error
		if !errors.Is(err, ErrConnection) || !errors.Is(err, io.ErrUnexpectedEOF) || !errors.As(err, &e) || e.Attempts != 3 || sent != 3 {
			t.Errorf("got %v after %d requests", err, sent)
		}
	})
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// An answer that never ends is not read to its end, and not asked for again.
func TestAnswerTooLarge(t *testing.T) {
	t.Parallel()
	const most = 1 << 20
	for name, c := range map[string]struct{ announced, read int64 }{
		"ten gigabytes":        {10 << 30, 0},
		"of unknown length":    {-1, 2 * most},
		"announced as shorter": {100, 2 * most},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent := 0
			body := &endless{}
			hc := &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
				sent++
				header := http.Header{"Content-Type": {jsonType}}
				return &http.Response{StatusCode: http.StatusOK, Header: header, ContentLength: c.announced, Body: body, Request: r}, nil
			})}
			client, err := New(testToken, WithBaseURL("http://localhost"), WithHTTPClient(hc), WithMaxBody(most))
			if err != nil {
				t.Fatal(err)
			}
			if _, err = client.Users.List(t.Context(), ListOptions{}); !errors.Is(err, ErrBadResponse) || !errors.Is(err, errTooLarge) || sent != 1 {
				t.Errorf("got %v after %d requests", err, sent)
			}
			if body.read > c.read || !body.closed {
				t.Errorf("read %d bytes, closed %t", body.read, body.closed)
			}
		})
	}
}

type endless struct {
	read   int64
	closed bool
}

func (e *endless) Read(p []byte) (int, error) {
	e.read += int64(len(p))
	return len(p), nil
}

func (e *endless) Close() error {
	e.closed = true
	return nil
}

func TestCancelledCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		c, sent := serve(t, func(w http.ResponseWriter, r *http.Request) {
			cancel()
			answer(503, jsonType, "")(w, r)
		})
		_, err := c.Users.List(ctx, ListOptions{})
		if !errors.Is(err, context.Canceled) || errors.Is(err, ErrConnection) || *sent != 1 {
			t.Errorf("got %v after %d requests", err, *sent)
		}
	})
}

func TestClientTimeoutIsPerAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		hc := &http.Client{Timeout: 2 * time.Second, Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			sent++
			switch sent {
			case 1: // Longer than the timeout, but waited for, not worked on.
				return &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"30"}}, Body: http.NoBody, Request: r}, nil
			case 2: // An answer that never comes.
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			w := httptest.NewRecorder()
			answer(200, jsonType, `{"data":{"workspace":{"id":"w1"}}}`)(w, r)
			return w.Result(), nil
		})}
		c, err := New(testToken, WithBaseURL("http://localhost"), WithHTTPClient(hc))
		if err != nil {
			t.Fatal(err)
		}
		if w, err := c.Workspace.Get(t.Context()); err != nil || w.ID != "w1" || sent != 3 {
			t.Errorf("got %v, %v after %d requests", w, err, sent)
		}
	})
}

func TestRawCarriesTheTokenOnce(t *testing.T) {
	t.Parallel()
	var got http.Header
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		answer(200, jsonType, `{"data":{"workspace":{"id":"w1","slug":"s","name":"n"}}}`)(w, r)
	}, WithUserAgent("tests/1"))
	ctx := context.WithValue(t.Context(), api.ContextAccessToken, "another")
	out, resp, err := c.Raw().WorkspacesAPI.GetWorkspace(ctx).Execute()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if out.Data.Workspace.Id != "w1" {
		t.Errorf("got %+v", out.Data)
	}
	want := http.Header{"Accept": {jsonType}, "Authorization": {"Bearer " + testToken}, "User-Agent": {"tests/1"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

// Who tests code of their own makes one.
func TestRateLimitErrorOfSomebodyElse(t *testing.T) {
	t.Parallel()
	var err error = &RateLimitError{Wait: 1500 * time.Millisecond}
	if !errors.Is(err, ErrRateLimited) || errors.Is(err, ErrNotFound) || err.Error() != "rate limited: try again in 1.5s" {
		t.Error(err)
	}
}
