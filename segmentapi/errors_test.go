package segmentapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

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

// The official client's error holds the answer, which may hold secrets.
func TestError_ContainsNoAnswer(t *testing.T) {
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

func TestError_ContainsNoToken(t *testing.T) {
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

// The error of net/http for an answer that is not HTTP quotes the server, which may
// echo the request.
func TestError_ContainsNoTokenAfterABrokenConnection(t *testing.T) {
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

// Callers make one in tests of their own code.
func TestRateLimitError_MadeByCallers(t *testing.T) {
	t.Parallel()
	var err error = &RateLimitError{Wait: 1500 * time.Millisecond}
	if !errors.Is(err, ErrRateLimited) || errors.Is(err, ErrNotFound) || err.Error() != "rate limited: try again in 1.5s" {
		t.Error(err)
	}
}
