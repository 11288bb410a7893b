package segmentapi_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// Segment adds Minimal Workspace Access to a replacement without it. That is no fault,
// and nothing is written to take it away.
func TestReplace_SegmentAddsMinimalAccess(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"user", "group"} {
		synctest.Test(t, func(t *testing.T) {
			srv := sim.New(testWorkspace(on(admin, "SOURCE a"), on(minimal, wholeWorkspace)), sim.WithNormalizing(sim.NormalizeAddsMinimal))
			e := editors(connect(t, srv, settling(), unspacedWrites()))[what]
			change, err := e.replace(t.Context(), e.id, segmentapi.Permissions([]segmentapi.Assignment{assigned(reader, "SOURCE b")}))
			if err != nil || !strings.Contains(change.String(), "+ Source Read-only on SOURCE b") {
				t.Errorf("%s: %s, %v", what, change, err)
			}
			if diff := cmp.Diff([]string{e.put}, simtest.Writes(srv.Journal())); diff != "" {
				t.Errorf("%s: writes (-want +got):\n%s", what, diff)
			}
			checkHolds(t, srv, e.id, heldMinimal, reader+" SOURCE b")
		})
	}
}

// If the token does not see permissions, a grant cannot be confirmed. It is sent once,
// and not at all in a dry run.
func TestGrant_PermissionsAreHidden(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"user", "group"} {
		synctest.Test(t, func(t *testing.T) {
			srv := sim.New(testWorkspace(on(minimal, wholeWorkspace)), sim.WithNormalizing(sim.NormalizeOmitsPermissions))
			e := editors(connect(t, srv, settling(), unspacedWrites(), segmentapi.WithDryRun()))[what]
			if change, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE a")); err != nil || len(change.Added) != 1 {
				t.Errorf("%s: dry run: %s, %v", what, change, err)
			}
			checkHolds(t, srv, e.id, heldMinimal)
			e = editors(connect(t, srv, settling(), unspacedWrites()))[what]
			if change, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE a")); !errors.Is(err, segmentapi.ErrUnconfirmed) {
				t.Errorf("%s: %s, %v", what, change, err)
			}
			if diff := cmp.Diff([]string{e.post}, simtest.Writes(srv.Journal())); diff != "" {
				t.Errorf("%s: writes (-want +got):\n%s", what, diff)
			}
			checkHolds(t, srv, e.id, heldMinimal, admin+" SOURCE a")
		})
	}
}
