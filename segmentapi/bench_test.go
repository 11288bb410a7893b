package segmentapi_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/segmentio/public-api-sdk-go/api"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// recorded answers each request as the simulator did the first time, so that
// what is measured is the client.
type recorded struct {
	srv     *sim.Server
	answers map[string][]byte
}

func newRecorded(ws *sim.Workspace) *recorded {
	return &recorded{srv: sim.New(ws), answers: map[string][]byte{}}
}

// RoundTrip implements http.RoundTripper.
func (r *recorded) RoundTrip(req *http.Request) (*http.Response, error) {
	key := req.URL.RequestURI()
	body, ok := r.answers[key]
	if !ok {
		resp, err := r.srv.RoundTripper().RoundTrip(req)
		if err != nil {
			return nil, err
		}
		if body, err = io.ReadAll(resp.Body); err != nil {
			return nil, err
		}
		r.answers[key] = body
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(body)), Body: io.NopCloser(bytes.NewReader(body)), Request: req,
	}, nil
}

const benchUsers = 10_000

// The cost of the library on top of the official client, which is called as its
// documentation shows, in a loop over the pages.
func BenchmarkListUsers(b *testing.B) {
	answers := newRecorded(sim.Sized(sim.Size{Users: benchUsers, Seed: 1}))
	hc := &http.Client{Transport: answers}
	perUser := func(b *testing.B, list func(context.Context) (int, error)) {
		b.Helper()
		b.ReportAllocs()
		for b.Loop() {
			if n, err := list(b.Context()); err != nil || n != benchUsers {
				b.Fatalf("%d users, %v", n, err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchUsers, "ns/user")
	}
	b.Run("client=official", func(b *testing.B) {
		raw := api.NewAPIClient(&api.Configuration{HTTPClient: hc, DefaultHeader: map[string]string{}, Servers: api.ServerConfigurations{{URL: "https://api.segmentapis.com"}}})
		perUser(b, func(ctx context.Context) (int, error) {
			ctx = context.WithValue(ctx, api.ContextAccessToken, answers.srv.Token())
			users := 0
			for page := (api.PaginationInput{Count: 1000}); ; {
				out, resp, err := raw.IAMUsersAPI.ListUsers(ctx).Pagination(page).Execute()
				if err != nil {
					return users, err
				}
				if err = resp.Body.Close(); err != nil {
					return users, err
				}
				users += len(out.Data.Users)
				next := out.Data.Pagination.Next.Get()
				if next == nil || *next == "" {
					return users, nil
				}
				page.Cursor = next
			}
		})
	})
	b.Run("client=segmentapi", func(b *testing.B) {
		c, err := segmentapi.New(answers.srv.Token(), segmentapi.WithHTTPClient(hc))
		if err != nil {
			b.Fatal(err)
		}
		perUser(b, func(ctx context.Context) (int, error) {
			users := 0
			for _, err := range c.Users.All(ctx) {
				if err != nil {
					return users, err
				}
				users++
			}
			return users, nil
		})
	})
}

// Looking up a role that is known, alone and by many at a time, and one that is
// not, which asks for the list.
func BenchmarkRole(b *testing.B) {
	answers := newRecorded(sim.Demo())
	hc := &http.Client{Transport: answers}
	id := sim.Demo().Roles[3].ID
	b.Run("cache=cold", func(b *testing.B) {
		b.ReportAllocs()
		c, err := segmentapi.New(answers.srv.Token(), segmentapi.WithHTTPClient(hc), segmentapi.WithRoleCache(0, 0))
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err = c.Roles.Get(b.Context(), id); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, goroutines := range []int{1, 4, 16, 64} {
		b.Run(fmt.Sprintf("cache=hot/goroutines=%d", goroutines), func(b *testing.B) {
			b.ReportAllocs()
			c, err := segmentapi.New(answers.srv.Token(), segmentapi.WithHTTPClient(hc), segmentapi.WithRoleCache(128, time.Hour))
			if err != nil {
				b.Fatal(err)
			}
			if _, err = c.Roles.Get(b.Context(), id); err != nil {
				b.Fatal(err)
			}
			b.SetParallelism(goroutines) // Times the processors, so this many at least.
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				ctx := context.Background()
				for pb.Next() {
					if _, err := c.Roles.Get(ctx, id); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// The algebra of permissions, by how many assignments there are.
func BenchmarkPermissions(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		var held []segmentapi.Assignment
		for i := range n {
			scope := segmentapi.Scope{Type: segmentapi.ScopeSource, ID: fmt.Sprintf("source-%d", i)}
			if i%4 == 0 {
				scope = segmentapi.Scope{Type: segmentapi.ScopeWorkspace, ID: "ws", Labels: []segmentapi.Label{{Key: "team", Value: fmt.Sprint(i)}, {Key: "env", Value: "prod"}}}
			}
			held = append(held, segmentapi.Assignment{RoleID: fmt.Sprintf("role-%d", i%7), Scope: scope})
		}
		permissions := segmentapi.Permissions(held)
		gone := held[n/2]
		for name, run := range map[string]func(){
			"apart":    func() { segmentapi.Assignments(permissions) },
			"together": func() { segmentapi.Permissions(held) },
			"compare":  func() { segmentapi.Compare(held, held[1:]) },
			"revoke":   func() { segmentapi.Revoke(gone)(held) },
		} {
			b.Run(fmt.Sprintf("op=%s/n=%d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					run()
				}
			})
		}
	}
}
