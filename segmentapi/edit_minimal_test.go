package segmentapi_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

func TestLastPermission(t *testing.T) {
	t.Parallel()
	each(t, []sim.Permission{on(admin, "SOURCE a")}, func(t *testing.T, srv *sim.Server, e editor) {
		ctx := t.Context()
		change, err := e.revoke(ctx, e.id, assigned(admin, "SOURCE a"))
		if err != nil || change.String() != "+ Minimal Workspace Access on WORKSPACE ws; - Source Admin on SOURCE a" {
			t.Errorf("%v, %v", change, err)
		}
		checkHolds(t, srv, e.id, minimal+" "+everything)
		srv.ResetJournal()
		if _, err = e.revoke(ctx, e.id, assigned(minimal, everything)); !errors.Is(err, segmentapi.ErrLastPermission) {
			t.Error(err)
		}
		checkHolds(t, srv, e.id, minimal+" "+everything)
		if got := writes(srv); len(got) != 0 {
			t.Errorf("writes %v", got)
		}
	})
}

// What becomes the last permission while it is being edited.
func TestLastPermissionMeanwhile(t *testing.T) {
	t.Parallel()
	each(t, []sim.Permission{on(admin, "SOURCE a", "SOURCE b")}, func(t *testing.T, srv *sim.Server, e editor) {
		before(t, srv, e.get, 2, e.id, func(held *[]sim.Permission) { *held = []sim.Permission{on(admin, "SOURCE a")} })
		if _, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a")); err != nil {
			t.Fatal(err)
		}
		checkHolds(t, srv, e.id, minimal+" "+everything)
		order := names(srv)
		if i := slices.Index(order, e.put); order[i-1] != e.get {
			t.Errorf("the write came after %s", order[i-1])
		}
	})
}

func TestLastPermissionWithoutMinimalAccess(t *testing.T) {
	t.Parallel()
	each(t, []sim.Permission{on(admin, "SOURCE a")}, func(t *testing.T, srv *sim.Server, e editor) {
		srv.Update(func(ws *sim.Workspace) { ws.Roles = slices.Delete(ws.Roles, 1, 2) })
		_, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a"))
		if !errors.Is(err, segmentapi.ErrLastPermission) || !strings.Contains(err.Error(), "Minimal Workspace Access") {
			t.Error(err)
		}
		checkHolds(t, srv, e.id, admin+" SOURCE a")
		if got := writes(srv); len(got) != 0 {
			t.Errorf("writes %v", got)
		}
	})
}

// The write that puts Minimal Workspace Access in the place of everything
// was carried out, its answer was lost.
func TestLastPermissionWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	each(t, []sim.Permission{on(admin, "SOURCE a")}, func(t *testing.T, srv *sim.Server, e editor) {
		injects(t, srv, sim.Fault{Operation: e.put, Ordinal: 1, Kind: sim.FaultDrop})
		change, err := e.edit(t.Context(), e.id, segmentapi.RevokeFunc(func(segmentapi.Assignment) bool { return true }))
		if err != nil || change.String() != "+ Minimal Workspace Access on WORKSPACE ws; - Source Admin on SOURCE a" {
			t.Errorf("%v, %v", change, err)
		}
		checkHolds(t, srv, e.id, minimal+" "+everything)
	})
}

// What the limit has refused was not sent: Minimal Workspace Access, which is
// to go, does not stand in its own place.
func TestRefusedPutIsNotSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(editable(on(minimal, everything), on(admin, "SOURCE a")))
		injects(t, srv, sim.Fault{Operation: "replacePermissionsForUser", Ordinal: 1, Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"10"}}})
		meanwhile(srv, func(ws *sim.Workspace) {
			edited(ws, "u", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, everything)} })
		})
		d, err := connect(t, srv).Users.Revoke(t.Context(), "u", assigned(minimal, everything))
		t.Log(d, err, holds(srv.Workspace(), "u"))
		if !errors.Is(err, segmentapi.ErrLastPermission) {
			t.Errorf("it is still held, but: %v, %v", d, err)
		}
	})
}

// The same where what was sent has come to nothing.
func TestFailedPutIsNotMinimal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(editable(on(minimal, everything), on(admin, "SOURCE a")))
		injects(t, srv, sim.Fault{Operation: "replacePermissionsForUser", Ordinal: 1, Kind: sim.FaultStatus, Status: 503})
		edits(t, srv, "getUser", 3, func(ws *sim.Workspace) {
			edited(ws, "u", func([]sim.Permission) []sim.Permission { return []sim.Permission{on(minimal, everything)} })
		})
		d, err := connect(t, srv).Users.Revoke(t.Context(), "u", assigned(minimal, everything))
		if !errors.Is(err, segmentapi.ErrLastPermission) {
			t.Errorf("it is still held (%v), but: %v, %v", holds(srv.Workspace(), "u"), d, err)
		}
	})
}
