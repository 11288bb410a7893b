package segmentapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// An hour of clients that always have something to ask, on one token: hardly a
// request is refused, and hardly any of the time that the limit allows is
// wasted. Where an hour has many requests, it is shorter unless -slow.
func TestAnHourAtTheLimit(t *testing.T) {
	t.Parallel()
	const header = "limit\tclients\tcallers each\tlasted\trequests\tof the share\trefused\tidle"
	var mu sync.Mutex
	rows := make([]string, 9)
	t.Run("limits", func(t *testing.T) {
		for i, c := range []struct {
			limit, clients, callers int
			idle                    float64
		}{
			{60, 1, 1, 0.03},
			{60, 1, 4, 0.03},
			{60, 1, 64, 0.03},
			{60, 3, 4, 0.03},
			{600, 1, 4, 0.03},
			{600, 1, 64, 0.03},
			{600, 3, 16, 0.03},
			{6000, 1, 16, 0.03},
			{6000, 3, 64, 0.03},
		} {
			lasts := time.Hour
			if !*segmentapi.Slow {
				lasts = min(lasts, max(2*time.Minute, 60*time.Hour/time.Duration(c.limit)))
			}
			t.Run(fmt.Sprintf("%d a minute, %d clients with %d callers", c.limit, c.clients, c.callers), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					served, refused := atTheLimit(t, c.limit, c.clients, c.callers, lasts)
					share := 0.9 * float64(c.limit) * lasts.Minutes()
					idle := 1 - float64(served)/share
					mu.Lock()
					rows[i] = fmt.Sprintf("%d\t%d\t%d\t%s\t%d\t%.0f\t%d\t%.1f %%", c.limit, c.clients, c.callers, lasts, served, share, refused, 100*idle)
					mu.Unlock()
					if refused > 0 || idle > c.idle {
						t.Errorf("%d refused, %.1f %% idle", refused, 100*idle)
					}
				})
			})
		}
	})
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, err := fmt.Fprintln(w, header+"\t")
	for _, row := range rows {
		_, rowErr := fmt.Fprintln(w, row+"\t")
		err = errors.Join(err, rowErr)
	}
	if err = errors.Join(err, w.Flush()); err != nil {
		t.Fatal(err)
	}
	t.Logf("clients on one token:\n%s", &table)
}

// atTheLimit returns how many requests were served and refused in a time.
func atTheLimit(t *testing.T, limit, clients, callers int, lasts time.Duration) (int, int) {
	srv := sim.New(sim.Empty(), sim.WithLimit(limit))
	if err := srv.Inject(sim.Fault{Operation: "getWorkspace", Kind: sim.FaultDelay, Delay: 50 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(lasts)
	var all sync.WaitGroup
	for range clients {
		c, err := segmentapi.New(srv.Token(), segmentapi.WithSettleTime(0), segmentapi.WithHTTPClient(&http.Client{Transport: srv.RoundTripper()}),
			segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 100, MaxWait: time.Hour}))
		if err != nil {
			t.Fatal(err)
		}
		for range callers {
			all.Go(func() {
				for time.Now().Before(end) {
					if _, err := c.Workspace.Get(t.Context()); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	all.Wait()
	served, refused := 0, 0
	for _, r := range srv.Journal() {
		switch {
		case r.Time.After(end):
		case r.Status == http.StatusTooManyRequests:
			refused++
		default:
			served++
		}
	}
	return served, refused
}
