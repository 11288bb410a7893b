package segmentapi_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

func TestRevoke_LastPermission(t *testing.T) {
	t.Parallel()
	forUserAndGroup(t, []sim.Permission{on(admin, "SOURCE a")}, func(t *testing.T, srv *sim.Server, e editor) {
		ctx := t.Context()
		change, err := e.revoke(ctx, e.id, assigned(admin, "SOURCE a"))
		if err != nil || change.String() != "+ Minimal Workspace Access on WORKSPACE ws; - Source Admin on SOURCE a" {
			t.Errorf("%v, %v", change, err)
		}
		checkHolds(t, srv, e.id, minimal+" "+wholeWorkspace)
		srv.ResetJournal()
		if _, err = e.revoke(ctx, e.id, assigned(minimal, wholeWorkspace)); !errors.Is(err, segmentapi.ErrLastPermission) {
			t.Error(err)
		}
		checkHolds(t, srv, e.id, minimal+" "+wholeWorkspace)
		if got := simtest.Writes(srv.Journal()); len(got) != 0 {
			t.Errorf("writes %v", got)
		}
	})
}

// A permission becomes the last one while it is being revoked.
func TestRevoke_BecomesTheLastPermission(t *testing.T) {
	t.Parallel()
	forUserAndGroup(t, []sim.Permission{on(admin, "SOURCE a", "SOURCE b")}, func(t *testing.T, srv *sim.Server, e editor) {
		changeBefore(t, srv, e.get, 2, e.id, func(held *[]sim.Permission) { *held = []sim.Permission{on(admin, "SOURCE a")} })
		if _, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a")); err != nil {
			t.Fatal(err)
		}
		checkHolds(t, srv, e.id, minimal+" "+wholeWorkspace)
		order := simtest.Operations(srv.Journal())
		if i := slices.Index(order, e.put); order[i-1] != e.get {
			t.Errorf("the write came after %s", order[i-1])
		}
	})
}

func TestRevoke_LastPermissionWithoutMinimalAccess(t *testing.T) {
	t.Parallel()
	forUserAndGroup(t, []sim.Permission{on(admin, "SOURCE a")}, func(t *testing.T, srv *sim.Server, e editor) {
		srv.Update(func(ws *sim.Workspace) { ws.Roles = slices.Delete(ws.Roles, 1, 2) })
		_, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a"))
		if !errors.Is(err, segmentapi.ErrLastPermission) || !strings.Contains(err.Error(), "Minimal Workspace Access") {
			t.Error(err)
		}
		checkHolds(t, srv, e.id, admin+" SOURCE a")
		if got := simtest.Writes(srv.Journal()); len(got) != 0 {
			t.Errorf("writes %v", got)
		}
	})
}

// The PUT with Minimal Workspace Access was carried out, but its answer did not
// arrive.
func TestEdit_LastPermissionWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	forUserAndGroup(t, []sim.Permission{on(admin, "SOURCE a")}, func(t *testing.T, srv *sim.Server, e editor) {
		simtest.Inject(t, srv, sim.Fault{Operation: e.put, Ordinal: 1, Kind: sim.FaultDrop})
		change, err := e.edit(t.Context(), e.id, segmentapi.RevokeFunc(func(segmentapi.Assignment) bool { return true }))
		if err != nil || change.String() != "+ Minimal Workspace Access on WORKSPACE ws; - Source Admin on SOURCE a" {
			t.Errorf("%v, %v", change, err)
		}
		checkHolds(t, srv, e.id, minimal+" "+wholeWorkspace)
	})
}

// A PUT that the limit refused was not carried out: Minimal Workspace Access, which is
// to be revoked, does not take its own place.
func TestRevoke_MinimalAccessAfterARefusedPut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(testWorkspace(on(minimal, wholeWorkspace), on(admin, "SOURCE a")))
		simtest.Inject(t, srv, sim.Fault{Operation: "replacePermissionsForUser", Ordinal: 1, Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"10"}}})
		updateSoon(srv, func(ws *sim.Workspace) {
			editPermissions(ws, "u", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, wholeWorkspace)} })
		})
		d, err := connect(t, srv).Users.Revoke(t.Context(), "u", assigned(minimal, wholeWorkspace))
		t.Log(d, err, holds(srv.Workspace(), "u"))
		if !errors.Is(err, segmentapi.ErrLastPermission) {
			t.Errorf("it is still held, but: %v, %v", d, err)
		}
	})
}

// The same if the PUT failed and was not carried out.
func TestRevoke_MinimalAccessAfterAFailedPut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(testWorkspace(on(minimal, wholeWorkspace), on(admin, "SOURCE a")))
		simtest.Inject(t, srv, sim.Fault{Operation: "replacePermissionsForUser", Ordinal: 1, Kind: sim.FaultStatus, Status: 503})
		simtest.Before(t, srv, "getUser", 3, func(ws *sim.Workspace) {
			editPermissions(ws, "u", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, wholeWorkspace)} })
		})
		d, err := connect(t, srv).Users.Revoke(t.Context(), "u", assigned(minimal, wholeWorkspace))
		if !errors.Is(err, segmentapi.ErrLastPermission) {
			t.Errorf("it is still held (%v), but: %v, %v", holds(srv.Workspace(), "u"), d, err)
		}
	})
}
