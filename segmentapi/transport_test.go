package segmentapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/public-api-sdk-go/api"
)

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

// After failures each wait is twice the one before, up to a bound, and has jitter, so
// that clients that failed together do not come back together.
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

// An endless answer is not read to its end, and not requested again.
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
			case 1: // A wait longer than the timeout, but not during the request.
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
