package segmentapi_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// Each case fails the first write in one way, before or after it is carried out. The
// result is right in all of them.
func TestGrantRevoke_FailedWrites(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a", "SOURCE b"), on(minimal, wholeWorkspace)}
	for name, c := range map[string]struct {
		fault sim.Fault
		// Whether the failed POST or PUT ends well.
		posted, replaced bool
		writes           int // Of a PUT.
	}{
		"dropped after":       {sim.Fault{Kind: sim.FaultDrop}, true, true, 1},
		"500 after":           {sim.Fault{Kind: sim.FaultLateStatus, Status: 500}, true, true, 1},
		"503 after":           {sim.Fault{Kind: sim.FaultLateStatus, Status: 503}, true, true, 1},
		"409 after":           {sim.Fault{Kind: sim.FaultLateStatus, Status: 409}, true, true, 1},
		"408 after":           {sim.Fault{Kind: sim.FaultLateStatus, Status: 408}, true, true, 1},
		"empty answer after":  {sim.Fault{Kind: sim.FaultContentType}, true, true, 1},
		"reset before":        {sim.Fault{Kind: sim.FaultReset}, false, true, 2},
		"503 before":          {sim.Fault{Kind: sim.FaultStatus, Status: 503}, false, true, 2},
		"502 page before":     {sim.Fault{Kind: sim.FaultHTML}, false, true, 2},
		"500 before":          {sim.Fault{Kind: sim.FaultStatus, Status: 500}, false, false, 1},
		"200 before, empty":   {sim.Fault{Kind: sim.FaultEmpty}, false, true, 2},
		"200 before, no JSON": {sim.Fault{Kind: sim.FaultHTML, Status: 200}, false, false, 1},
		"422":                 {sim.Fault{Kind: sim.FaultStatus, Status: 422}, false, false, 1},
		"401":                 {sim.Fault{Kind: sim.FaultStatus, Status: 401}, false, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forUserAndGroup(t, held, func(t *testing.T, srv *sim.Server, e editor) {
				inject := func(operation string) {
					fault := c.fault // A copy: user and group run in parallel.
					fault.Operation, fault.Ordinal = operation, 1
					if err := srv.Inject(fault); err != nil {
						t.Fatal(err)
					}
				}
				want := []string{admin + " SOURCE a", admin + " SOURCE b", minimal + " " + wholeWorkspace}
				inject(e.post)
				change, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE c"))
				if (err == nil) != c.posted || change.Empty() == c.posted {
					t.Errorf("grant: %v, %v", change, err)
				}
				if c.posted {
					want = append(want, admin+" SOURCE c")
				}
				checkHolds(t, srv, e.id, want...)

				srv.ResetJournal()
				inject(e.put)
				change, err = e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a"))
				if (err == nil) != c.replaced || change.Empty() == c.replaced {
					t.Errorf("revoke: %v, %v", change, err)
				}
				if c.replaced {
					want = slices.Delete(want, 0, 1)
				}
				checkHolds(t, srv, e.id, want...)
				if got := simtest.Writes(srv.Journal()); len(got) != c.writes {
					t.Errorf("writes %v, want %d", got, c.writes)
				}
			})
		})
	}
}

// If every PUT fails, the last failure is returned, and waits for the limit add up.
func TestRevoke_PutKeepsFailing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  sim.Fault
		want   error
		writes int
		least  time.Duration
	}{
		"503": {sim.Fault{Kind: sim.FaultStatus, Status: 503}, segmentapi.ErrServer, 3, 375 * time.Millisecond},
		"429": {sim.Fault{Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"7"}}}, segmentapi.ErrRateLimited, 3, 14 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(testWorkspace(on(admin, "SOURCE a"), on(minimal, wholeWorkspace)))
				c.fault.Operation = "replacePermissionsForUser"
				if err := srv.Inject(c.fault); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				client := connect(t, srv, unspacedWrites(), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 5, MaxWait: 20 * time.Second}))
				_, err := client.Users.Revoke(t.Context(), "u", assigned(admin, "SOURCE a"))
				if !errors.Is(err, c.want) {
					t.Error(err)
				}
				if took := time.Since(start); took < c.least || took > 20*time.Second {
					t.Errorf("it took %s", took)
				}
				if got := simtest.Writes(srv.Journal()); len(got) != c.writes {
					t.Errorf("writes %v, want %d", got, c.writes)
				}
				checkHolds(t, srv, "u", admin+" SOURCE a", minimal+" "+wholeWorkspace)
			})
		})
	}
}

// If the limit opens later than MaxWait, the error names the wait, and nothing has
// changed.
func TestGrantRevoke_LimitBeyondMaxWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(testWorkspace(on(admin, "SOURCE a"), on(minimal, wholeWorkspace)))
		for _, operation := range []string{"replacePermissionsForUser", "addPermissionsToUser"} {
			if err := srv.Inject(sim.Fault{Operation: operation, Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"30"}}}); err != nil {
				t.Fatal(err)
			}
		}
		c := connect(t, srv, segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 3, MaxWait: 10 * time.Second}))
		var limited *segmentapi.RateLimitError
		_, err := c.Users.Revoke(t.Context(), "u", assigned(admin, "SOURCE a"))
		if !errors.As(err, &limited) || limited.Wait < 28*time.Second || limited.Wait > 30*time.Second || !strings.Contains(err.Error(), "replacePermissionsForUser") {
			t.Errorf("%v", err)
		}
		<-time.After(time.Minute)
		if _, err = c.Users.Grant(t.Context(), "u", assigned(admin, "SOURCE b")); !errors.As(err, &limited) {
			t.Errorf("%v", err)
		}
		checkHolds(t, srv, "u", admin+" SOURCE a", minimal+" "+wholeWorkspace)
	})
}

// A PUT that the limit refuses is sent as often as the policy allows.
func TestRevoke_MaxAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(testWorkspace(on(minimal, wholeWorkspace), on(admin, "SOURCE a")))
		simtest.Inject(t, srv, sim.Fault{Operation: "replacePermissionsForUser", Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"0"}}})
		c := connect(t, srv, segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 3, MaxWait: 65 * time.Second}))
		_, err := c.Users.Revoke(t.Context(), "u", assigned(admin, "SOURCE a"))
		if n := simtest.Count(srv.Journal())["replacePermissionsForUser"]; n > 3 {
			t.Errorf("sent %d times: %v", n, err)
		}
	})
}

// A client that may not wait for the limit still retries.
func TestRevokeRemove_WithoutMaxWait(t *testing.T) {
	t.Parallel()
	srv := sim.New(testWorkspace(on(admin, "SOURCE a"), on(minimal, wholeWorkspace)))
	simtest.Inject(t, srv, sim.Fault{Operation: "replacePermissionsForUser", Ordinal: 1, Kind: sim.FaultStatus, Status: 503},
		sim.Fault{Operation: "deleteUsers", Ordinal: 1, Kind: sim.FaultStatus, Status: 503})
	c := connect(t, srv, unspacedWrites(), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 3}))
	if _, err := c.Users.Revoke(t.Context(), "u", assigned(admin, "SOURCE a")); err != nil {
		t.Error(err)
	}
	if _, err := c.Users.Remove(t.Context(), "u"); err != nil {
		t.Error(err)
	}
}
