package segmentapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// Each change leaves one line in the log, and so does one that is not needed.
func TestChangeLog(t *testing.T) {
	t.Parallel()
	forUserAndGroup(t, []sim.Permission{on(minimal, wholeWorkspace)}, func(t *testing.T, srv *sim.Server, e editor) {
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
		c := connect(t, srv, unspacedWrites(), segmentapi.WithLogger(logger))
		e = editors(c)[map[string]string{"u": "user", "g": "group"}[e.id]]
		for range 2 {
			if _, err := e.grant(t.Context(), e.id, assigned(admin, "SOURCE a")); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if _, err := e.revoke(t.Context(), e.id, assigned(admin, "SOURCE a")); err != nil {
				t.Fatal(err)
			}
		}
		line := func(format, operation string) string {
			return fmt.Sprintf("level=INFO "+format+"\n", operation, subjectName(e))
		}
		want := line("msg=changed operation=%s subject=%q change=\"+ Source Admin on SOURCE a\"", e.post) +
			line("msg=\"nothing to change\" operation=%s subject=%q why=\"already held: role-admin on SOURCE a\"", e.put) +
			line("msg=changed operation=%s subject=%q change=\"- Source Admin on SOURCE a\"", e.put) +
			line("msg=\"nothing to change\" operation=%s subject=%q why=\"not held: role-admin on SOURCE a\"", e.put)
		if diff := cmp.Diff(want, log.String()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

// The line is there as well if the outcome of a change is not known.
func TestChangeLog_UnknownOutcome(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]error{"who has left": context.Canceled, "who cannot read back": segmentapi.ErrConnection} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, write := range []string{"addPermissionsToUser", "replacePermissionsForUser"} {
				var log bytes.Buffer
				srv := sim.New(testWorkspace(on(admin, "SOURCE a"), on(minimal, wholeWorkspace)))
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				c, err := segmentapi.New(srv.Token(), segmentapi.WithSettleTime(0), unspacedWrites(), segmentapi.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
					segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 1}),
					segmentapi.WithHTTPClient(&http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
						written := len(simtest.Writes(srv.Journal())) > 0
						resp, err := srv.RoundTripper().RoundTrip(r)
						if r.Method != http.MethodGet && errors.Is(cause, context.Canceled) {
							leave()
							return nil, ctx.Err()
						}
						if written {
							return nil, errors.New("unplugged")
						}
						return resp, err
					})}))
				if err != nil {
					t.Fatal(err)
				}
				if write == "addPermissionsToUser" {
					_, err = c.Users.Grant(ctx, "u", assigned(admin, "SOURCE b"))
				} else {
					_, err = c.Users.Revoke(ctx, "u", assigned(admin, "SOURCE a"))
				}
				if !errors.Is(err, cause) {
					t.Errorf("%s: %v", write, err)
				}
				if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN") || !strings.Contains(got, "operation="+write) ||
					!strings.Contains(got, `subject="user u"`) || !strings.Contains(got, "Source Admin on SOURCE") && !strings.Contains(got, admin+" on SOURCE") {
					t.Errorf("log:\n%s", got)
				}
			}
		})
	}
}

func subjectName(e editor) string {
	return map[string]string{"u": "user u", "g": "group g"}[e.id]
}

// Each change leaves one line in the log, and so does one that is not needed.
func TestChangeLog_InvitesAndGroups(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	srv := sim.New(inviting())
	c := connect(t, srv, unspacedWrites(), segmentapi.WithLogger(logger))
	ctx := t.Context()
	for range 2 {
		if _, err := c.Invites.Create(ctx, segmentapi.Invitation{Email: newcomer, Permissions: onSourceA()}); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		if _, err := c.Invites.Delete(ctx, newcomer); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Groups.Create(ctx, "New"); err != nil {
		t.Error(err)
	}
	if _, err := c.Groups.Create(ctx, "New"); !errors.Is(err, segmentapi.ErrConflict) {
		t.Error(err)
	}
	for range 2 {
		if _, err := c.Groups.Rename(ctx, "h", "Renamed"); err != nil {
			t.Error(err)
		}
	}
	want := `level=INFO msg=changed operation=createInvites subject="invite new@example.com" change="+ role-admin on SOURCE a"
level=INFO msg=changed operation=deleteInvites subject="invite new@example.com" change="removed, and with it its roles, which cannot be read"
level=INFO msg="nothing to change" operation=deleteInvites subject="invite new@example.com" why="no invite to this address is pending"
level=INFO msg=changed operation=createUserGroup subject="group New" change=created
level=INFO msg=changed operation=updateUserGroup subject="group h" change="renamed from Other to Renamed"
level=INFO msg="nothing to change" operation=updateUserGroup subject="group h" why="already named Renamed"
`
	if diff := cmp.Diff(want, log.String()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

// A deletion that was carried out is in the log, even if the group could not be read
// before the DELETE was to be sent again.
func TestChangeLog_DeleteThatCannotBeReadBack(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]sim.Fault{
		"403": {Kind: sim.FaultStatus, Status: 403},
		"429": {Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"90"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(testWorkspace(on(minimal, wholeWorkspace)))
				f.Operation, f.Ordinal = "getUserGroup", 2
				simtest.Inject(t, srv, sim.Fault{Operation: "deleteUserGroup", Ordinal: 1, Kind: sim.FaultLateStatus, Status: 503}, f)
				var log bytes.Buffer
				if _, err := connect(t, srv, segmentapi.WithLogger(slog.New(slog.NewTextHandler(&log, nil)))).Groups.Delete(t.Context(), "g"); err == nil {
					t.Error("no error, although it is not known whether the group is gone")
				}
				if len(srv.Workspace().Groups) != 0 {
					t.Fatal("not done")
				}
				if !strings.Contains(log.String(), "change=") {
					t.Errorf("deleted, but no line: %q", log.String())
				}
			})
		})
	}
}

// Members who were removed are in the log, even if removing the others fails.
func TestChangeLog_SomeMembersRemoved(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]sim.Fault{
		"403": {Kind: sim.FaultStatus, Status: 403},
		"429": {Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"90"}}},
		"500": {Kind: sim.FaultStatus, Status: 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(ownerWorkspace(func(ws *sim.Workspace) {
					makeOwner(ws, "w")
					ws.Groups = append(ws.Groups, sim.Group{ID: "group", Name: "group", Members: []string{"u@example.com", "v@example.com"}, Permissions: []sim.Permission{on(minimal, wholeWorkspace)}})
				}))
				f.Operation, f.Ordinal = "removeUsersFromUserGroup", 2
				simtest.Inject(t, srv, f)
				var log bytes.Buffer
				logger := slog.New(slog.NewTextHandler(&log, nil))
				if _, err := connect(t, srv, segmentapi.WithLogger(logger)).Groups.RemoveMembers(t.Context(), "group", "u@example.com", "v@example.com"); err == nil {
					t.Error("no error")
				}
				if got := srv.Workspace().Groups[1].Members; len(got) != 1 {
					t.Fatal(got)
				}
				if !strings.Contains(log.String(), "change=") {
					t.Errorf("one was removed, but no line: %q", log.String())
				}
			})
		})
	}
}
