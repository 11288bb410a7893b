package e2e

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// A sync adapts to a limit on requests at a time and to a smaller greatest page, reads
// everything, and says so once in the log.
func TestProgram_AdaptsToLimits(t *testing.T) {
	t.Parallel()
	const users = 450
	ws := simtest.Must(sim.Named("sized:users=450,groups=3,seed=7"))(t)
	s := serve(t, ws, sim.WithConcurrency(8), sim.WithMaxCount(200))
	simtest.Inject(t, s.Server.Server, sim.Fault{Operation: "getUser", Kind: sim.FaultDelay, Delay: 20 * time.Millisecond})
	r := must(t, s.Env(), "baton-segment", "-f", filepath.Join(t.TempDir(), "sync.c1z"))
	read, refused, requests := map[string]bool{}, 0, 0
	for _, e := range s.Journal() {
		switch {
		case e.Status == http.StatusTooManyRequests:
			refused++
		case e.Operation == "getUser":
			read[e.Path] = true
			requests++
		}
	}
	t.Logf("%d refusals beside %d details", refused, requests)
	if len(read) != users || requests != users {
		t.Errorf("%d requests for the details of %d users, want %d", requests, len(read), users)
	}
	for _, line := range []string{"Segment limits how many requests may be under way at a time", "lists ask for 200 rows from now on"} {
		if n := strings.Count(r.stdout+r.stderr, line); n != 1 {
			t.Errorf("the log has %d lines with %q:\n%s", n, line, r.stderr)
		}
	}
}
