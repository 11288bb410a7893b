package segmentapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// latency is how long the simulator takes for the detail of a user.
const latency = 100 * time.Millisecond

// slow makes each detail of a user take latency.
func slow(t *testing.T, srv *sim.Server) {
	t.Helper()
	if err := srv.Inject(sim.Fault{Operation: "getUser", Kind: sim.FaultDelay, Delay: latency}); err != nil {
		t.Fatal(err)
	}
}

// A gauge counts the requests that are under way.
type gauge struct {
	base http.RoundTripper
	// jitter is how long a request may take to arrive.
	jitter time.Duration

	mu   sync.Mutex
	now  int
	most int
}

// RoundTrip implements http.RoundTripper.
func (g *gauge) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	g.now++
	g.most = max(g.most, g.now)
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		g.now--
		g.mu.Unlock()
	}()
	pause(rand.N(g.jitter + 1))
	return g.base.RoundTrip(r)
}

// forget returns how many requests were under way at most since the last call.
func (g *gauge) forget() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	most := g.most
	g.most = g.now
	return most
}

// getMany requests the detail of a user many times, from 32 callers.
func getMany(t *testing.T, c *segmentapi.Client, requests int) {
	t.Helper()
	left := atomic.Int64{}
	left.Store(int64(requests))
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := c.Users.Get(t.Context(), "u"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

func refusals(srv *sim.Server) int {
	n := 0
	for _, r := range srv.Journal() {
		if r.Status == http.StatusTooManyRequests {
			n++
		}
	}
	return n
}

func TestConcurrencyLimit_IsFoundAndKept(t *testing.T) {
	t.Parallel()
	limits := []int{1, 3, 4, 8, 12, 16, 31}
	for i := range 2 * len(limits) {
		limit, jitter := limits[i/2], time.Duration(i%2)*latency/20
		t.Run(fmt.Sprintf("%d jitter %s", limit, jitter), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(testWorkspace(), sim.WithConcurrency(limit))
				slow(t, srv)
				log := &sharedLog{}
				g := &gauge{base: srv.RoundTripper(), jitter: jitter}
				c := connect(t, srv, segmentapi.WithHTTPClient(&http.Client{Transport: g}), segmentapi.WithLogger(log.logger()),
					segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 3, MaxWait: time.Minute}))
				requests := 60 * limit
				start := time.Now()
				getMany(t, c, requests)
				took, refused := time.Since(start), refusals(srv)
				g.forget()
				getMany(t, c, requests)
				most := g.forget()
				best := time.Duration((requests+limit-1)/limit) * (latency + jitter/2)
				t.Logf("limit %2d jitter %s: %4d requests, %2d refused (%d in as many more), %6.2f s, best %6.2f s, at most %d under way afterwards",
					limit, jitter, requests, refused, refusals(srv)-refused, took.Seconds(), best.Seconds(), most)
				if took > best*5/4+8*time.Second {
					t.Errorf("took %s, at best %s", took, best)
				}
				if most < min(32, limit)-1 || most > limit+1 {
					t.Errorf("%d under way at most, want %d", most, limit)
				}
				if refused > 64 {
					t.Errorf("%d were refused", refused)
				}
				text, logged := log.String(), 0
				if _, value, found := strings.Cut(text, "under way at a time\" limit="); found {
					logged, _ = strconv.Atoi(strings.TrimSpace(value))
				}
				if logged < limit-1 || logged > limit+1 {
					t.Errorf("the log is not one line with the limit:\n%s", text)
				}
			})
		})
	}
}

// tooMany is the answer to a request beside too many others.
func tooMany(headers map[string]string, body string) *http.Response {
	r := &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body))}
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	return r
}

// A refusal that says that requests remain uses up no try, and the wait is never that for
// the next window.
func TestConcurrencyLimit_RefusalsAreNoTries(t *testing.T) {
	t.Parallel()
	const body = `{"errors":[{"type":"RequestError","message":"Too many requests","data":{"remainingPoints":%d,"msBeforeNext":57647,"consumedPoints":21}}]}`
	reset := map[string]string{"X-RateLimit-Reset": "Sat, 01 Jan 2000 00:00:59 +0000"} // The fake time begins a minute before.
	with := func(name, value string) map[string]string {
		return map[string]string{"X-RateLimit-Reset": reset["X-RateLimit-Reset"], name: value}
	}
	for name, refusal := range map[string]struct {
		headers map[string]string
		body    string
		took    time.Duration
	}{
		"the body says so":    {reset, fmt.Sprintf(body, 579), 3750 * time.Millisecond},
		"a header says so":    {with("X-RateLimit-Remaining", "579"), "", 3750 * time.Millisecond},
		"with Retry-After":    {with("Retry-After", "1.647"), fmt.Sprintf(body, 1), 8 * time.Second},
		"with Retry-After: 0": {with("Retry-After", "0"), fmt.Sprintf(body, 1), 3750 * time.Millisecond},
	} {
		for kind, change := range map[string]func(context.Context, *segmentapi.Client) error{
			"read": func(ctx context.Context, c *segmentapi.Client) error {
				_, err := c.Users.Get(ctx, "u")
				return err
			},
			"grant": func(ctx context.Context, c *segmentapi.Client) error {
				_, err := c.Users.Grant(ctx, "u", assigned(admin, "SOURCE a"))
				return err
			},
			"revoke": func(ctx context.Context, c *segmentapi.Client) error {
				_, err := c.Users.Revoke(ctx, "u", assigned(reader, "SOURCE a"))
				return err
			},
			"add a member": func(ctx context.Context, c *segmentapi.Client) error {
				_, err := c.Groups.AddMembers(ctx, "g", "owner@example.com")
				return err
			},
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					srv := sim.New(testWorkspace(on(reader, "SOURCE a", "SOURCE b")))
					refused := 0
					c := connect(t, srv, unspacedWrites(), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 2, MaxWait: 10 * time.Second}),
						segmentapi.WithHTTPClient(&http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
							if refused < 4 && (kind == "read" || r.Method != http.MethodGet) {
								refused++
								return tooMany(refusal.headers, refusal.body), nil
							}
							return srv.RoundTripper().RoundTrip(r)
						})}))
					start := time.Now()
					if err := change(t.Context(), c); err != nil || refused != 4 || time.Since(start) != refusal.took {
						t.Errorf("%v after %d refusals and %s, want 4 and %s", err, refused, time.Since(start), refusal.took)
					}
				})
			})
		}
	}
}

func TestConcurrencyLimit_EndlessRefusalsEndWithMaxWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(testWorkspace())
		c := connect(t, srv, segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 3, MaxWait: 10 * time.Second}),
			segmentapi.WithHTTPClient(&http.Client{Transport: transportFunc(func(*http.Request) (*http.Response, error) {
				return tooMany(map[string]string{"X-RateLimit-Remaining": "7"}, ""), nil
			})}))
		start := time.Now()
		_, err := c.Users.Get(t.Context(), "u")
		var limited *segmentapi.RateLimitError
		var e *segmentapi.Error
		if !errors.As(err, &limited) || !errors.As(err, &e) || e.StatusCode != http.StatusTooManyRequests || e.Attempts != 6 {
			t.Fatalf("got %v", err)
		}
		// 0.25 + 0.5 + 1 + 2 + 4 s, and 8 more would be too long.
		if took := time.Since(start); took != 7750*time.Millisecond || !limited.Reset.Equal(start.Add(15750*time.Millisecond)) {
			t.Errorf("ended after %s, opens at %s", took, limited.Reset.Sub(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err = c.Users.Get(ctx, "u"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// Where one request is taken at a time, many callers wait for each other. That is not the
// wait that a policy bounds.
func TestConcurrencyLimit_QueueIsNoRefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(testWorkspace(), sim.WithConcurrency(1))
		if err := srv.Inject(sim.Fault{Operation: "getUser", Kind: sim.FaultDelay, Delay: 500 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		c := connect(t, srv, segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 3, MaxWait: 10 * time.Second}))
		getMany(t, c, 200)
		if n := refusals(srv); n > 64 {
			t.Errorf("%d were refused", n)
		}
	})
}
