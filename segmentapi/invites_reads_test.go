package segmentapi_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// An invite with a label that the workspace does not have is refused before it is sent,
// and so it is in a dry run.
func TestInvitesCreate_UnknownLabel(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]segmentapi.Option{"sent": nil, "dry run": {segmentapi.WithDryRun()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := sim.New(inviting())
			_, err := connect(t, srv, append(opts, unspacedWrites())...).Invites.Create(t.Context(), segmentapi.Invitation{
				Email: newcomer, Permissions: segmentapi.Permissions([]segmentapi.Assignment{assigned(admin, wholeWorkspace+" nobody=knows")}),
			})
			if !errors.Is(err, segmentapi.ErrInvalid) || !strings.Contains(err.Error(), "nobody=knows") {
				t.Error(err)
			}
			if got := simtest.Writes(srv.Journal()); len(got) != 0 {
				t.Errorf("writes %v", got)
			}
		})
	}
}

// The groups of an invite are read for the log alone. At most 50 groups are searched, and
// an invite is withdrawn even if groups cannot be read.
func TestInvitesDelete_GroupsAreReadForTheLogAlone(t *testing.T) {
	t.Parallel()
	ws := inviting()
	for i := range 60 {
		ws.Groups = append(ws.Groups, sim.Group{ID: fmt.Sprintf("g%d", i), Name: fmt.Sprintf("Group %d", i)})
	}
	joins(1, pending)(ws)
	for name, c := range map[string]struct {
		fault  *sim.Fault
		want   map[string]int
		logged string
	}{
		"62 groups": {
			nil, map[string]int{"listInvites": 2, "listUserGroups": 1, "listInvitesFromUserGroup": 50, "deleteInvites": 1},
			`member of the groups \"Other\"; not all groups were read`,
		},
		"no group can be listed": {
			&sim.Fault{Operation: "listUserGroups", Kind: sim.FaultStatus, Status: 403},
			map[string]int{"listInvites": 2, "listUserGroups": 1, "deleteInvites": 1},
			"which cannot be read; not all groups were read",
		},
		"one group cannot be read": {
			&sim.Fault{Operation: "listInvitesFromUserGroup", Ordinal: 3, Kind: sim.FaultStatus, Status: 403},
			map[string]int{"listInvites": 2, "listUserGroups": 1, "listInvitesFromUserGroup": 3, "deleteInvites": 1},
			`member of the groups \"Other\"; not all groups were read`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := sim.New(ws)
			if c.fault != nil {
				simtest.Inject(t, srv, *c.fault)
			}
			var log sharedLog
			there, err := connect(t, srv, unspacedWrites(), segmentapi.WithLogger(log.logger())).Invites.Delete(t.Context(), pending)
			if !there || err != nil || isInvited(srv.Workspace(), pending) {
				t.Errorf("%t, %v", there, err)
			}
			if diff := cmp.Diff(c.want, simtest.Count(srv.Journal())); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
			if !strings.Contains(log.String(), c.logged) {
				t.Errorf("log:\n%s", &log)
			}
		})
	}
}
