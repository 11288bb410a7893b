package segmentapi

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A meeting is a reusable barrier: all callers pass it together.
type meeting struct {
	mu    sync.Mutex
	all   int
	here  int
	begun chan struct{}
}

func (m *meeting) attend(ctx context.Context) {
	m.mu.Lock()
	begun := m.begun
	if m.here++; m.here == m.all {
		close(begun)
		m.here, m.begun = 0, make(chan struct{})
	}
	m.mu.Unlock()
	select {
	case <-begun:
	case <-ctx.Done():
	}
}

// The default transport keeps its connections, compresses, and speaks HTTP/2 with
// servers that offer it.
func TestDefaultTransport(t *testing.T) {
	t.Parallel()
	const callers, rounds = 16, 20
	for protocol, most := range map[string]int32{"HTTP/1.1": callers, "HTTP/2.0": 1} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			together := &meeting{all: callers, begun: make(chan struct{})}
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("Accept-Encoding"); r.Proto != protocol || got != "gzip" {
					t.Errorf("a request by %s accepts the encoding %q", r.Proto, got)
				}
				body := `{"data":{"workspace":{"id":"w"}}}`
				if r.URL.Path == "/users" {
					together.attend(r.Context()) // So each caller needs a connection, or a stream, of its own.
					body = `{"data":{"users":[{"id":"u"}],"pagination":{"current":"MA=="}}}`
				}
				w.Header().Set("Content-Type", jsonType)
				w.Header().Set("Content-Encoding", "gzip")
				zip := gzip.NewWriter(w)
				_, err := io.WriteString(zip, body)
				if err = errors.Join(err, zip.Close()); err != nil {
					t.Error(err)
				}
			}))
			var opened atomic.Int32
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					opened.Add(1)
				}
			}
			server.EnableHTTP2 = protocol == "HTTP/2.0"
			server.StartTLS()
			defer server.Close()
			c, err := New(testToken, WithBaseURL(server.URL))
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseIdleConnections()
			trust(t, c, server)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			// Only a few are sent before the first answer, and they cannot meet.
			if w, err := c.Workspace.Get(ctx); err != nil || w.ID != "w" {
				t.Fatalf("got %v, %v", w, err)
			}
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for range rounds {
						page, err := c.Users.List(ctx, ListOptions{})
						if err != nil || len(page.Items) != 1 || page.Items[0].ID != "u" {
							t.Errorf("got %v, %v", page, err)
							return
						}
					}
				})
			}
			wg.Wait()
			if n := opened.Load(); n > most {
				t.Errorf("%d connections were opened, want %d", n, most)
			}
		})
	}
}

// trust adds the certificate of a test server to the client's own transport.
func trust(t *testing.T, c *Client, server *httptest.Server) {
	t.Helper()
	own, _ := c.transport.retry.HTTPClient.Transport.(*attempt)
	theirs, _ := server.Client().Transport.(*http.Transport)
	if transport, ok := own.base.(*http.Transport); ok {
		transport.TLSClientConfig.RootCAs = theirs.TLSClientConfig.RootCAs
		return
	}
	t.Fatalf("the client has a %T", own.base)
}

// The caller's client is used with all its settings, and is not changed.
func TestWithHTTPClient(t *testing.T) {
	t.Parallel()
	var got []*http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r)
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	defer server.Close()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	asked := errors.New("asked")
	hc := &http.Client{Transport: transport, Jar: jar, Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return asked }}
	c, err := New(testToken, WithBaseURL(server.URL), WithHTTPClient(hc))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err = c.Users.List(t.Context(), ListOptions{}); !errors.Is(err, ErrBadResponse) {
			t.Errorf("got %v", err)
		}
	}
	if len(got) != 2 {
		t.Fatalf("%d requests arrived, want 2", len(got))
	}
	if encoding := got[0].Header.Get("Accept-Encoding"); encoding != "" {
		t.Errorf("the transport compresses nothing, and yet %q is accepted", encoding)
	}
	if cookie, err := got[1].Cookie("session"); err != nil || cookie.Value != "1" {
		t.Errorf("the jar's cookie: %v, %v", cookie, err)
	}
	if hc.Transport != transport || hc.Jar != jar || hc.Timeout != time.Minute || !errors.Is(hc.CheckRedirect(nil, nil), asked) {
		t.Errorf("it was changed: %+v", hc)
	}
}
