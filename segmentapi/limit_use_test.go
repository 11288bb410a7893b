package segmentapi_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// A client that is alone on its token ends work that fits into one window within that
// window. Longer work leaves a tenth of each window but the first to others. If others
// use the token, all of them leave some, and hardly any request is refused.
func TestRateLimit_UsesTheWindow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reads, limit, clients int
		// atMost is the time that the reads of all clients may take.
		atMost time.Duration
	}{
		"500 reads of 600 a minute":                      {500, 600, 1, 6 * time.Second},
		"980 reads of 1000 a minute":                     {980, 1000, 1, 15 * time.Second},
		"1040 reads of 1000 a minute":                    {1040, 1000, 1, 62 * time.Second},
		"2700 reads of 1000 a minute":                    {2700, 1000, 1, 130 * time.Second},
		"three clients, 300 reads each, of 600 a minute": {300, 600, 3, 75 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(testWorkspace(), sim.WithLimit(c.limit))
				if err := srv.Inject(sim.Fault{Operation: "getUser", Kind: sim.FaultDelay, Delay: 100 * time.Millisecond}); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				var all sync.WaitGroup
				for range c.clients {
					client, err := segmentapi.New(srv.Token(), segmentapi.WithBaseURL("http://localhost"), segmentapi.WithHTTPClient(&http.Client{Transport: srv.RoundTripper()}))
					if err != nil {
						t.Fatal(err)
					}
					var begun atomic.Int64
					for range 16 {
						all.Go(func() {
							for begun.Add(1) <= int64(c.reads) {
								if _, err := client.Users.Get(t.Context(), "u"); err != nil {
									t.Error(err)
								}
							}
						})
					}
				}
				all.Wait()
				took := time.Since(start)
				t.Logf("%s: %s, %d refused", name, took.Round(100*time.Millisecond), refusals(srv))
				if took > c.atMost || refusals(srv) > c.clients-1 {
					t.Errorf("took %s, want %s at most; %d refused", took, c.atMost, refusals(srv))
				}
			})
		})
	}
}
