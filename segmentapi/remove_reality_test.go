package segmentapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// A removal fails with a 503 and does not show. Before it is sent again, the other owner
// is demoted. The removal is not sent again, and the ownership is given back.
func TestRemoveDelete_OtherOwnerDemotedBeforeTheRetry(t *testing.T) {
	t.Parallel()
	for how, operation := range map[string]string{"remove u": "deleteUsers", "delete group": "deleteUserGroup", "take u out of group": "removeUsersFromUserGroup"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(ownersUAndV(how != "remove u"))
				simtest.Inject(t, srv, sim.Fault{Operation: operation, Ordinal: 1, Kind: sim.FaultStatus, Status: 503})
				simtest.Before(t, srv, operation, 1, func(*sim.Workspace) {
					time.AfterFunc(5*time.Second, func() { srv.Update(demoteV) })
				})
				if err := ownershipRemovals[how](t.Context(), connect(t, srv, settling(), unspacedWrites())); !errors.Is(err, segmentapi.ErrLastOwner) || errors.Is(err, segmentapi.ErrNotRestored) {
					t.Error(err)
				}
				if got := simtest.Count(srv.Journal())[operation]; got != 1 {
					t.Errorf("%s was sent %d times", operation, got)
				}
				if got := owners(srv.Workspace()); !slices.Equal(got, []string{"u"}) {
					t.Errorf("owners %v", got)
				}
			})
		})
	}
}

// The removal of an owner is accepted, but cannot be confirmed. Nothing is given back, and
// the error says so. It does not say that the user stays.
func TestUsersRemove_AcceptedButNotConfirmed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		// beforeDelete changes the simulator right before the DELETE.
		beforeDelete func(*testing.T, *sim.Server)
		want         error
	}{
		"the user cannot be read": {func(t *testing.T, srv *sim.Server) {
			t.Helper()
			simtest.Inject(t, srv, sim.Fault{Operation: "getUser", Kind: sim.FaultStatus, Status: 403})
		}, segmentapi.ErrForbidden},
		"reads are behind": {func(_ *testing.T, srv *sim.Server) { srv.SetLag(time.Hour) }, segmentapi.ErrUnconfirmed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(ownersUAndV(false))
				client := connectThrough(t, srv, func(r *http.Request) (*http.Response, error) {
					if r.Method == http.MethodDelete {
						c.beforeDelete(t, srv)
					}
					return srv.RoundTripper().RoundTrip(r)
				})
				removed, err := client.Users.Remove(t.Context(), "u")
				if removed || !errors.Is(err, c.want) || !strings.Contains(err.Error(), "its ownership was revoked and not restored") || strings.Contains(err.Error(), "was not removed") {
					t.Errorf("%t, %v", removed, err)
				}
				if diff := cmp.Diff([]string{"replacePermissionsForUser", "deleteUsers"}, simtest.Writes(srv.Journal())); diff != "" {
					t.Errorf("writes (-want +got):\n%s", diff)
				}
				if got := holds(srv.Workspace(), "u"); got != nil {
					t.Errorf("u is there and holds %v", got)
				}
			})
		})
	}
}

// Another administrator takes u out of a group that makes owners, right before the
// removal of u, which Segment refuses. u is not put back into the group.
func TestUsersRemove_MembershipTakenByOthersIsNotGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) {
			makeOwner(ws, "v")
			addGroup(ws, "group", "u@example.com", "v@example.com")
		}))
		simtest.Before(t, srv, "listUsersFromUserGroup", 1, func(ws *sim.Workspace) {
			ws.Groups[len(ws.Groups)-1].Members = []string{"v@example.com"}
		})
		simtest.Inject(t, srv, sim.Fault{Operation: "deleteUsers", Ordinal: 1, Kind: sim.FaultStatus, Status: 403})
		if _, err := connect(t, srv, settling(), unspacedWrites()).Users.Remove(t.Context(), "u"); !errors.Is(err, segmentapi.ErrForbidden) {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"deleteUsers"}, simtest.Writes(srv.Journal())); diff != "" {
			t.Errorf("writes (-want +got):\n%s", diff)
		}
		if got := owners(srv.Workspace()); !slices.Equal(got, []string{"v"}) {
			t.Errorf("owners %v", got)
		}
	})
}

// The caller's context ends when the demotion, which is the first step of a removal, has
// been carried out. The removal does not begin, and the ownership is given back.
func TestUsersRemove_ContextEndsAfterTheDemotion(t *testing.T) {
	t.Parallel()
	for _, lag := range []time.Duration{0, 3 * time.Second} {
		t.Run(lag.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(ownersUAndV(false), sim.WithLag(lag))
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				simtest.Committed(t, srv, "replacePermissionsForUser", 1, func(context.Context) { stop() })
				start := time.Now()
				removed, err := connect(t, srv, settling(), unspacedWrites()).Users.Remove(ctx, "u")
				if removed || !errors.Is(err, context.Canceled) || errors.Is(err, segmentapi.ErrNotRestored) {
					t.Errorf("%t, %v", removed, err)
				}
				if took := time.Since(start); took > 25*time.Second {
					t.Errorf("it took %s", took)
				}
				if got := simtest.Writes(srv.Journal()); slices.Contains(got, "deleteUsers") {
					t.Errorf("writes %v", got)
				}
				checkHolds(t, srv, "u", heldMinimal, heldOwner)
			})
		})
	}
}

// A dry run of a removal answers as the removal would, and writes nothing.
func TestDryRun_RemovalsGiveTheSameAnswers(t *testing.T) {
	t.Parallel()
	onlyOwner := func(ws *sim.Workspace) { setPermissions(ws, "u", on(owner, wholeWorkspace)) }
	for name, c := range map[string]struct {
		does   []sim.Normalization
		change func(*sim.Workspace)
		want   error
	}{
		"an owner":             {change: onlyOwner},
		"a field not known":    {does: []sim.Normalization{sim.NormalizeUnknownPermissionField}, change: onlyOwner, want: segmentapi.ErrNotUnderstood},
		"permissions hidden":   {does: []sim.Normalization{sim.NormalizeOmitsPermissions}, change: onlyOwner},
		"the last owner":       {change: func(ws *sim.Workspace) { onlyOwner(ws); demoteV(ws) }, want: segmentapi.ErrLastOwner},
		"no role for the last": {change: func(ws *sim.Workspace) { onlyOwner(ws); ws.Roles = slices.Delete(ws.Roles, 1, 2) }, want: segmentapi.ErrLastPermission},
		"not there":            {change: func(ws *sim.Workspace) { ws.Users = slices.Delete(ws.Users, 1, 2) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				answers := map[bool]string{}
				for _, dry := range []bool{true, false} {
					srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) { makeOwner(ws, "v"); c.change(ws) }), sim.WithNormalizing(c.does...))
					opts := []segmentapi.Option{settling(), unspacedWrites()}
					if dry {
						opts = append(opts, segmentapi.WithDryRun())
					}
					removed, err := connect(t, srv, opts...).Users.Remove(t.Context(), "u")
					if !errors.Is(err, c.want) {
						t.Errorf("dry run %t: %v", dry, err)
					}
					answers[dry] = fmt.Sprintf("%t, %v", removed, err)
					if got := simtest.Writes(srv.Journal()); dry && len(got) > 0 {
						t.Errorf("a dry run wrote %v", got)
					}
				}
				if answers[true] != answers[false] {
					t.Errorf("dry run: %s\nremoval: %s", answers[true], answers[false])
				}
			})
		})
	}
}
