package sim

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
)

// RoundTripper returns a transport that calls the server without a network. The server
// answers requests to any host. The transport starts no goroutine, so that it works on
// the fake time of testing/synctest.
func (s *Server) RoundTripper() http.RoundTripper { return roundTripper{s} }

type roundTripper struct{ server *Server }

// RoundTrip implements http.RoundTripper.
func (t roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close() //nolint:errcheck // The body has been read; an error of closing it has no effect.
	}
	ctx := r.Context()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	a, err := t.server.answer(r)
	if err != nil {
		return nil, err
	}
	if a.breakAt == breakBeforeAnswer {
		return nil, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}
	body := a.reader(ctx)
	if a.breakAt == breakInBody {
		body = io.MultiReader(body, failingReader{})
	}
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", a.status, http.StatusText(a.status)),
		StatusCode:    a.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        a.header.Clone(),
		Body:          io.NopCloser(body),
		ContentLength: a.length(),
		Request:       r,
	}, nil
}

// A failingReader fails as net/http does at the end of a body that is shorter than its
// Content-Length.
type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
