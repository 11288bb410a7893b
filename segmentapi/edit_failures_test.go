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
	"github.com/baton-segment/baton-segment/segmentapi"
)

// Whatever becomes of the answer, the end is right.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	held := []sim.Permission{on(admin, "SOURCE a", "SOURCE b"), on(minimal, everything)}
	for name, c := range map[string]struct {
		fault sim.Fault
		// What a write comes to that failed this way.
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
		"200 before, empty":   {sim.Fault{Kind: sim.FaultEmpty}, true, true, 2},
		"200 before, no JSON": {sim.Fault{Kind: sim.FaultHTML, Status: 200}, false, false, 1},
		"422":                 {sim.Fault{Kind: sim.FaultStatus, Status: 422}, false, false, 1},
		"401":                 {sim.Fault{Kind: sim.FaultStatus, Status: 401}, false, false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			each(t, held, func(t *testing.T, srv *sim.Server, e editor) {
				inject := func(operation string) {
					fault := c.fault // A copy: user and group are side by side.
					fault.Operation, fault.Ordinal = operation, 1
					if err := srv.Inject(fault); err != nil {
						t.Fatal(err)
					}
				}
				want := []string{admin + " SOURCE a", admin + " SOURCE b", minimal + " " + everything}
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
				if got := writes(srv); len(got) != c.writes {
					t.Errorf("writes %v, want %d", got, c.writes)
				}
			})
		})
	}
}

// What fails again and again is given up with the last failure, and waits for
// the limit add up.
func TestReplacementThatKeepsFailing(t *testing.T) {
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
				srv := sim.New(editable(on(admin, "SOURCE a"), on(minimal, everything)))
				c.fault.Operation = "replacePermissionsForUser"
				if err := srv.Inject(c.fault); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				client := connect(t, srv, fast(), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 5, MaxWait: 20 * time.Second}))
				_, err := client.Users.Revoke(t.Context(), "u", assigned(admin, "SOURCE a"))
				if !errors.Is(err, c.want) {
					t.Error(err)
				}
				if took := time.Since(start); took < c.least || took > 20*time.Second {
					t.Errorf("it took %s", took)
				}
				if got := writes(srv); len(got) != c.writes {
					t.Errorf("writes %v, want %d", got, c.writes)
				}
				checkHolds(t, srv, "u", admin+" SOURCE a", minimal+" "+everything)
			})
		})
	}
}

// Who may not wait long is told for how long, and nothing has changed.
func TestLimitBeyondPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(editable(on(admin, "SOURCE a"), on(minimal, everything)))
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
		checkHolds(t, srv, "u", admin+" SOURCE a", minimal+" "+everything)
	})
}

// A replacement that the limit refuses is sent as often as the policy says.
func TestPutKeepsToMaxAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(editable(on(minimal, everything), on(admin, "SOURCE a")))
		injects(t, srv, sim.Fault{Operation: "replacePermissionsForUser", Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"0"}}})
		c := connect(t, srv, segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 3, MaxWait: 65 * time.Second}))
		_, err := c.Users.Revoke(t.Context(), "u", assigned(admin, "SOURCE a"))
		if n := operations(srv)["replacePermissionsForUser"]; n > 3 {
			t.Errorf("sent %d times: %v", n, err)
		}
	})
}

// Who may not wait at all may still send again.
func TestNoPatience(t *testing.T) {
	t.Parallel()
	srv := sim.New(editable(on(admin, "SOURCE a"), on(minimal, everything)))
	injects(t, srv, sim.Fault{Operation: "replacePermissionsForUser", Ordinal: 1, Kind: sim.FaultStatus, Status: 503},
		sim.Fault{Operation: "deleteUsers", Ordinal: 1, Kind: sim.FaultStatus, Status: 503})
	c := connect(t, srv, fast(), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 3}))
	if _, err := c.Users.Revoke(t.Context(), "u", assigned(admin, "SOURCE a")); err != nil {
		t.Error(err)
	}
	if _, err := c.Users.Remove(t.Context(), "u"); err != nil {
		t.Error(err)
	}
}
