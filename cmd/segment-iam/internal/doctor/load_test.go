package doctor

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

func TestLoad_EachAnswer(t *testing.T) {
	t.Parallel()
	fails := sim.WithAnswers(func() func(*sim.Answer) {
		var n atomic.Int64
		return func(a *sim.Answer) {
			if a.Operation == "getWorkspace" && n.Add(1) > 5 {
				a.Fail(http.StatusServiceUnavailable)
			}
		}
	}())
	for name, tt := range map[string]struct {
		opts    []sim.Option
		verdict Verdict
		seen    string
		unsafe  string
	}{
		"no limit":               {nil, AsAssumed, "of 15, 0 were answered with 429", ""},
		"a large window":         {[]sim.Option{sim.WithLimit(6000)}, AsAssumed, "of 64, 0 were answered with 429", ""},
		"a limit of concurrency": {[]sim.Option{sim.WithLimit(6000), sim.WithConcurrency(4)}, Differs, "were answered with 429 and 0 failed", ""},
		"failures":               {[]sim.Option{fails}, Differs, "0 were answered with 429 and", "sync"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := sim.New(sim.Demo(), tt.opts...)
				// Answers take a while, so that requests are under way at the same time.
				simtest.Inject(t, s, sim.Fault{Operation: "getWorkspace", Kind: sim.FaultDelay, Delay: 100 * time.Millisecond})
				o := options(s)
				o.Load = true
				report, err := Run(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				c := find(t, report, atOnce)
				if got := unsafeFor(report); c.Verdict != tt.verdict || !strings.Contains(c.Seen, tt.seen) || got != tt.unsafe {
					t.Errorf("%s, not safe to %q; want %s, %q: %+v", c.Verdict, got, tt.verdict, tt.unsafe, c)
				}
			})
		})
	}
}

// A burst is not sent if others would have to wait for it.
func TestLoad_LittleIsLeft(t *testing.T) {
	t.Parallel()
	w := &workspace{observer: newObserver(http.DefaultTransport)}
	w.limits = []limit{{"/users", 95, 5}}
	c := w.tryLoad(t.Context(), Options{})
	if c.Verdict != NotSeen || w.requests > 0 {
		t.Errorf("%+v, %d requests", c, w.requests)
	}
}
