package segmentapi

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
)

const testToken = "sgp_testtoken"

// servers counts the servers, so that each has an address of its own: clients of one
// address and token share their locks.
var servers atomic.Int32

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
	c, err := New(testToken, append([]Option{WithBaseURL(fmt.Sprintf("http://localhost:%d", 1+servers.Add(1)%65535)), WithHTTPClient(hc), WithSettleTime(0)}, opts...)...)
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
