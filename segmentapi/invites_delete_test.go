package segmentapi_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

func TestInvitesDelete(t *testing.T) {
	t.Parallel()
	gone := func(emails ...string) func(*sim.Workspace) {
		return func(ws *sim.Workspace) {
			ws.Invites = slices.DeleteFunc(ws.Invites, func(i sim.Invite) bool { return slices.Contains(emails, i.Email) })
		}
	}
	for name, c := range map[string]struct {
		start   func(*sim.Workspace)
		email   string
		there   bool
		err     error
		changed func(*sim.Workspace)
	}{
		"as it is written": {email: pending, there: true, changed: gone(pending)},
		"in other case":    {email: " PENDING@example.com", there: true, changed: gone(pending)},
		"with memberships": {start: inTurn(joins(0, pending), joins(1, pending)), email: pending, there: true, changed: inTurn(gone(pending), func(ws *sim.Workspace) {
			ws.Groups[0].Members, ws.Groups[1].Members = []string{"u@example.com"}, []string{}
		})},
		"not there":                {email: newcomer},
		"a user":                   {email: "u@example.com"},
		"one who has joined since": {start: invites("U@example.com"), email: "u@example.com", there: true, changed: gone("U@example.com")},
		"one of two spellings": {start: func(ws *sim.Workspace) {
			ws.Invites = slices.Insert(ws.Invites, 0, sim.Invite{Email: "PENDING@example.com"})
		}, email: "PENDING@example.com", there: true, changed: gone("PENDING@example.com")},
		"neither of two spellings":       {start: invites("PENDING@example.com"), email: "pending@example.com", err: segmentapi.ErrAmbiguous},
		"with what a query has to quote": {start: invites("a+b&c=d%20@example.com"), email: "A+b&c=d%20@example.com", there: true, changed: gone("a+b&c=d%20@example.com")},
	} {
		for _, dryRun := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", dry run"}[dryRun], func(t *testing.T) {
				t.Parallel()
				ws := inviting()
				if c.start != nil {
					c.start(ws)
				}
				srv := sim.New(ws)
				opts, changed, requests := []segmentapi.Option{unspacedWrites()}, c.changed, []string{"listInvites"}
				switch {
				case dryRun:
					opts, changed = append(opts, segmentapi.WithDryRun()), nil
				case c.there:
					requests = []string{"listInvites", "listUserGroups", "listInvitesFromUserGroup", "listInvitesFromUserGroup", "deleteInvites", "listInvites"}
				}
				there, err := connect(t, srv, opts...).Invites.Delete(t.Context(), c.email)
				if there != c.there || !errors.Is(err, c.err) {
					t.Errorf("%t, %v", there, err)
				}
				expectOrder(t, srv, requests...)
				expectWorkspace(t, srv, ws, changed)
			})
		}
	}
}

// Segment may remove the other one of two spellings. That is not success.
func TestInvitesDelete_WrongSpelling(t *testing.T) {
	t.Parallel()
	ws := inviting()
	invites("PENDING@example.com")(ws)
	if there, err := connect(t, sim.New(ws), unspacedWrites()).Invites.Delete(t.Context(), "PENDING@example.com"); there || !errors.Is(err, segmentapi.ErrUnconfirmed) {
		t.Error(there, err)
	}
}

func TestInvitesDelete_FailedWrites(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault sim.Fault
		want  error
		sent  int
	}{
		"dropped after":         {sim.Fault{Kind: sim.FaultDrop}, nil, 1},
		"503 after":             {sim.Fault{Kind: sim.FaultLateStatus, Status: 503}, nil, 1},
		"500 after":             {sim.Fault{Kind: sim.FaultLateStatus, Status: 500}, nil, 1},
		"404 after":             {sim.Fault{Kind: sim.FaultLateStatus, Status: 404}, nil, 1},
		"422 after":             {sim.Fault{Kind: sim.FaultLateStatus, Status: 422}, nil, 1},
		"text after":            {sim.Fault{Kind: sim.FaultContentType}, nil, 1},
		"reset before":          {sim.Fault{Kind: sim.FaultReset}, nil, 2},
		"503 before":            {sim.Fault{Kind: sim.FaultStatus, Status: 503}, nil, 2},
		"429 before":            {sim.Fault{Kind: sim.FaultStatus, Status: 429}, nil, 2},
		"500 before":            {sim.Fault{Kind: sim.FaultStatus, Status: 500}, segmentapi.ErrServer, 1},
		"404 although it is":    {sim.Fault{Kind: sim.FaultStatus, Status: 404}, segmentapi.ErrNotFound, 1},
		"422 although it is":    {sim.Fault{Kind: sim.FaultStatus, Status: 422}, segmentapi.ErrInvalid, 1},
		"403":                   {sim.Fault{Kind: sim.FaultStatus, Status: 403}, segmentapi.ErrForbidden, 1},
		"success that was none": {sim.Fault{Kind: sim.FaultStatus, Status: 200, Body: `{"data":{"status":"SUCCESS"}}`}, segmentapi.ErrUnconfirmed, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ws := inviting()
				srv := sim.New(ws)
				c.fault.Operation, c.fault.Ordinal = "deleteInvites", 1
				simtest.Inject(t, srv, c.fault)
				there, err := connect(t, srv).Invites.Delete(t.Context(), strings.ToLower(pending))
				if there != (c.want == nil) || !errors.Is(err, c.want) {
					t.Errorf("%t, %v", there, err)
				}
				if got := simtest.Count(srv.Journal())["deleteInvites"]; got != c.sent {
					t.Errorf("%d requests, want %d", got, c.sent)
				}
				if isInvited(srv.Workspace(), pending) != (c.want != nil) {
					t.Errorf("invites %v", srv.Workspace().Invites)
				}
			})
		})
	}
}
