package segmentapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// ownershipWrites are the removals of ownership with the operations that take it from u
// or from the group and give it back.
var ownershipWrites = map[string]struct{ take, giveBack string }{
	"revoke from u":       {"replacePermissionsForUser", "addPermissionsToUser"},
	"replace of u":        {"replacePermissionsForUser", "addPermissionsToUser"},
	"remove u":            {"replacePermissionsForUser", "addPermissionsToUser"},
	"revoke from group":   {"replacePermissionsForUserGroup", "addPermissionsToUserGroup"},
	"delete group":        {"replacePermissionsForUserGroup", "addPermissionsToUserGroup"},
	"take u out of group": {"removeUsersFromUserGroup", "addUsersToUserGroup"},
}

// The other owner is demoted during the write, and the first request that gives ownership
// back fails with a 503. It is sent again.
func TestLastOwner_GivingBackIsTriedAgain(t *testing.T) {
	t.Parallel()
	for how, w := range ownershipWrites {
		for _, kind := range []sim.FaultKind{sim.FaultStatus, sim.FaultLateStatus} {
			t.Run(how+"/"+string(kind), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					ws := ownersUAndV(strings.Contains(how, "group"))
					srv := sim.New(ws)
					simtest.Before(t, srv, w.take, 1, demoteV)
					given := w.giveBack
					if how == "replace of u" { // It takes the new permission away again.
						given = "replacePermissionsForUser"
					}
					ordinal := map[bool]int{true: 2, false: 1}[given == w.take]
					simtest.Inject(t, srv, sim.Fault{Operation: given, Ordinal: ordinal, Kind: kind, Status: 503})
					err := ownershipRemovals[how](t.Context(), connect(t, srv, settling(), unspacedWrites()))
					if !errors.Is(err, segmentapi.ErrLastOwner) || errors.Is(err, segmentapi.ErrNotRestored) || strings.Contains(err.Error(), "only its ownership") {
						t.Error(err)
					}
					if got := owners(srv.Workspace()); !slices.Equal(got, []string{"u"}) {
						t.Errorf("owners %v", got)
					}
					checkHolds(t, srv, "u", holds(ws, "u")...)
					if got := simtest.Count(srv.Journal())[given]; got < ordinal {
						t.Errorf("%s was sent %d times", given, got)
					}
				})
			})
		}
	}
}

// After the write the search for another owner gets no answer for minutes. It is given up
// early enough to give ownership back, even if the caller's context has ended.
func TestLastOwner_SearchWithoutAnAnswerLeavesTimeToGiveBack(t *testing.T) {
	t.Parallel()
	for how, w := range ownershipWrites {
		for _, stops := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/context ends %t", how, stops), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					srv := sim.New(ownersUAndV(strings.Contains(how, "group")))
					ctx, stop := context.WithCancel(t.Context())
					defer stop()
					if stops {
						simtest.Committed(t, srv, w.take, 1, func(context.Context) { stop() })
					}
					var demoted atomic.Bool
					c := connectThrough(t, srv, func(r *http.Request) (*http.Response, error) {
						if r.URL.Path == "/users/v" && len(simtest.Writes(srv.Journal())) > 0 {
							if demoted.CompareAndSwap(false, true) {
								srv.Update(demoteV)
							}
							select {
							case <-time.After(3 * time.Minute):
							case <-r.Context().Done():
								return nil, r.Context().Err()
							}
						}
						return srv.RoundTripper().RoundTrip(r)
					})
					err := ownershipRemovals[how](ctx, c)
					if err == nil || errors.Is(err, segmentapi.ErrNotRestored) || !demoted.Load() {
						t.Errorf("demoted %t: %v", demoted.Load(), err)
					}
					if got := owners(srv.Workspace()); !slices.Equal(got, []string{"u"}) {
						t.Errorf("owners %v", got)
					}
				})
			})
		}
	}
}

// Another program overwrites a demotion, and Segment refuses to give the ownership back.
// The demotion is not made once more, and the error is ErrNotRestored.
func TestLastOwner_NotRestoredIsNotRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(ownersUAndV(false))
		simtest.After(t, srv, "replacePermissionsForUser", 1, func(ws *sim.Workspace) {
			setPermissions(ws, "u", on(owner, wholeWorkspace), on(reader, "SOURCE b"))
			demoteV(ws)
		})
		simtest.Inject(t, srv, sim.Fault{Operation: "addPermissionsToUser", Kind: sim.FaultStatus, Status: 403})
		_, err := connect(t, srv, settling(), unspacedWrites()).Users.Revoke(t.Context(), "u", assigned(owner, wholeWorkspace))
		if !errors.Is(err, segmentapi.ErrNotRestored) || !errors.Is(err, segmentapi.ErrLastOwner) {
			t.Error(err)
		}
		// The second POST is to give back the ownership alone.
		if diff := cmp.Diff([]string{"replacePermissionsForUser", "addPermissionsToUser", "addPermissionsToUser"}, simtest.Writes(srv.Journal())); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
		checkHolds(t, srv, "u", heldOwner, reader+" SOURCE b")
	})
}

// Segment refuses to take a member out of a group. Nobody is put back, and the error does
// not claim it, although the other owner has been demoted.
func TestRemoveMembers_RefusedRemovalIsNotUndone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(ownersUAndV(true))
		simtest.Inject(t, srv, sim.Fault{Operation: "removeUsersFromUserGroup", Ordinal: 1, Kind: sim.FaultStatus, Status: 403})
		simtest.Before(t, srv, "removeUsersFromUserGroup", 1, demoteV)
		err := ownershipRemovals["take u out of group"](t.Context(), connect(t, srv, settling(), unspacedWrites()))
		if !errors.Is(err, segmentapi.ErrForbidden) || strings.Contains(err.Error(), "put back") {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"removeUsersFromUserGroup"}, simtest.Writes(srv.Journal())); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
		if got := owners(srv.Workspace()); !slices.Equal(got, []string{"u"}) {
			t.Errorf("owners %v", got)
		}
	})
}
