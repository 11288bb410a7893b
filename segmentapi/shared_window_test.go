package segmentapi_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// Segment counts the sender's address as well, so two clients with different tokens may
// share a window. Neither starves the other, and hardly any request is refused.
func TestSharedWindow_IsSharedFairly(t *testing.T) {
	t.Parallel()
	const minutes = 6
	for name, c := range map[string]struct {
		// behind is how much later the second client begins, and more how many callers it
		// has beside the 16 of the first.
		behind  time.Duration
		more    int
		latency time.Duration
		limit   int
	}{
		"together":            {0, 0, 100 * time.Millisecond, 600},
		"half a window apart": {30 * time.Second, 0, 100 * time.Millisecond, 600},
		"a second apart":      {time.Second, 0, 100 * time.Millisecond, 600},
		"slow answers":        {7 * time.Second, 0, 900 * time.Millisecond, 600},
		"twice as many":       {11 * time.Second, 16, 300 * time.Millisecond, 600},
		"a small limit":       {5 * time.Second, 0, 200 * time.Millisecond, 60},
		"a large limit":       {5 * time.Second, 0, 200 * time.Millisecond, 6000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(testWorkspace(), sim.WithTokens("second"), sim.WithLimit(c.limit))
				if err := srv.Inject(sim.Fault{Operation: "getUser", Kind: sim.FaultDelay, Delay: c.latency}); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), minutes*time.Minute+c.behind)
				defer cancel()
				var answered [2]atomic.Int64
				var all sync.WaitGroup
				for i, token := range []string{srv.Token(), "second"} {
					client, err := segmentapi.New(token, segmentapi.WithBaseURL("http://localhost"), segmentapi.WithHTTPClient(&http.Client{Transport: srv.RoundTripper()}),
						segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 5, MaxWait: 5 * time.Minute}))
					if err != nil {
						t.Fatal(err)
					}
					for range 16 + i*c.more {
						all.Go(func() {
							<-time.After(time.Duration(i) * c.behind)
							for ctx.Err() == nil {
								if _, err := client.Users.Get(ctx, "u"); err == nil && time.Since(start) > c.behind {
									answered[i].Add(1)
								} else if err != nil && !errors.Is(err, context.DeadlineExceeded) {
									t.Error(err)
								}
							}
						})
					}
				}
				all.Wait()
				first, second := answered[0].Load(), answered[1].Load()
				share := float64(min(first, second)) / float64(first+second)
				t.Logf("%s: %d and %d requests (the smaller share %.0f %%), %d refused, %.0f %% of the limit", name,
					first, second, 100*share, refusals(srv), 100*float64(first+second)/float64(c.limit*minutes))
				if share < 0.35*32/float64(32+c.more) || refusals(srv) > 2*minutes {
					t.Errorf("%d and %d requests, %d refused", first, second, refusals(srv))
				}
				if first+second < int64(c.limit*minutes)*7/10 {
					t.Errorf("only %d of %d requests were sent", first+second, c.limit*minutes)
				}
			})
		})
	}
}
