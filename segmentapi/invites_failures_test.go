package segmentapi_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
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

// Each case is refused, by Segment or before anything is sent.
func TestInvitesCreate_Refused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in    segmentapi.Invitation
		start func(*sim.Workspace)
		want  error
		posts int
		dry   error
	}{
		"a group that is gone": {
			in:   segmentapi.Invitation{Email: newcomer, Permissions: onSourceA(), Groups: []string{"g", "gone"}},
			want: segmentapi.ErrNotFound, dry: segmentapi.ErrNotFound,
		},
		"a group that is gone, for a pending invite": {
			in:   segmentapi.Invitation{Email: pending, Groups: []string{"h", "gone"}},
			want: segmentapi.ErrNotFound, dry: segmentapi.ErrNotFound,
		},
		"a role that is none": {
			in:   segmentapi.Invitation{Email: newcomer, Permissions: []segmentapi.Permission{{RoleID: "role-none", Scopes: onSourceA()[0].Scopes}}, Groups: []string{"g"}},
			want: segmentapi.ErrInvalid, posts: 1,
		},
		"no least role": {
			in:    segmentapi.Invitation{Email: newcomer, Groups: []string{"g"}},
			start: func(ws *sim.Workspace) { ws.Roles = slices.Delete(ws.Roles, 1, 2) },
			want:  segmentapi.ErrNotFound, dry: segmentapi.ErrNotFound,
		},
		"two least roles": {
			in: segmentapi.Invitation{Email: newcomer},
			start: func(ws *sim.Workspace) {
				ws.Roles = append(ws.Roles, sim.Role{ID: "role-other", Name: ws.Roles[1].Name})
			},
			want: segmentapi.ErrAmbiguous, dry: segmentapi.ErrAmbiguous,
		},
		"two pending, in other spellings": {
			in:    segmentapi.Invitation{Email: "pending@EXAMPLE.com", Permissions: onSourceA(), Groups: []string{"g"}},
			start: invites(strings.ToUpper(pending)),
			want:  segmentapi.ErrAmbiguous, dry: segmentapi.ErrAmbiguous,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ws := inviting()
			if c.start != nil {
				c.start(ws)
			}
			srv := sim.New(ws)
			if _, err := connect(t, srv, unspacedWrites()).Invites.Create(t.Context(), c.in); !errors.Is(err, c.want) {
				t.Error(err)
			}
			expectWorkspace(t, srv, ws, nil)
			if got := simtest.Writes(srv.Journal()); len(got) != c.posts {
				t.Errorf("writes %v, want %d", got, c.posts)
			}
			srv.ResetJournal()
			if _, err := connect(t, srv, segmentapi.WithDryRun()).Invites.Create(t.Context(), c.in); !errors.Is(err, c.dry) {
				t.Errorf("dry run: %v", err)
			}
			if got := simtest.Writes(srv.Journal()); len(got) != 0 {
				t.Errorf("writes in a dry run: %v", got)
			}
		})
	}
}

// However the write fails, at most one invite is sent, and the caller learns whether.
func TestInvitesCreate_FailedWrites(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault sim.Fault
		want  error // nil: it was sent.
	}{
		"dropped after":        {sim.Fault{Kind: sim.FaultDrop}, nil},
		"500 after":            {sim.Fault{Kind: sim.FaultLateStatus, Status: 500}, nil},
		"502 after":            {sim.Fault{Kind: sim.FaultLateStatus, Status: 502}, nil},
		"503 after":            {sim.Fault{Kind: sim.FaultLateStatus, Status: 503}, nil},
		"504 after":            {sim.Fault{Kind: sim.FaultLateStatus, Status: 504}, nil},
		"408 after":            {sim.Fault{Kind: sim.FaultLateStatus, Status: 408}, nil},
		"text after":           {sim.Fault{Kind: sim.FaultContentType}, nil},
		"reset before":         {sim.Fault{Kind: sim.FaultReset}, segmentapi.ErrConnection},
		"500 before":           {sim.Fault{Kind: sim.FaultStatus, Status: 500}, segmentapi.ErrServer},
		"503 before":           {sim.Fault{Kind: sim.FaultStatus, Status: 503}, segmentapi.ErrServer},
		"502 page before":      {sim.Fault{Kind: sim.FaultHTML}, segmentapi.ErrServer},
		"201 before, empty":    {sim.Fault{Kind: sim.FaultEmpty, Status: 201}, segmentapi.ErrBadResponse},
		"201 before, no page":  {sim.Fault{Kind: sim.FaultHTML, Status: 201}, segmentapi.ErrBadResponse},
		"201 before, nothing":  {sim.Fault{Kind: sim.FaultEmptyObject, Status: 201}, segmentapi.ErrUnconfirmed},
		"201 before, the same": {sim.Fault{Kind: sim.FaultStatus, Status: 201, Body: `{"data":{"emails":["new@example.com"]}}`}, segmentapi.ErrUnconfirmed},
		"redirect":             {sim.Fault{Kind: sim.FaultRedirect}, segmentapi.ErrBadResponse},
		"400":                  {sim.Fault{Kind: sim.FaultStatus, Status: 400}, segmentapi.ErrBadRequest},
		"401":                  {sim.Fault{Kind: sim.FaultStatus, Status: 401}, segmentapi.ErrUnauthorized},
		"403":                  {sim.Fault{Kind: sim.FaultStatus, Status: 403}, segmentapi.ErrForbidden},
		"404":                  {sim.Fault{Kind: sim.FaultStatus, Status: 404}, segmentapi.ErrNotFound},
		"409":                  {sim.Fault{Kind: sim.FaultStatus, Status: 409}, segmentapi.ErrConflict},
		"422":                  {sim.Fault{Kind: sim.FaultStatus, Status: 422}, segmentapi.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ws := inviting()
			srv := sim.New(ws)
			c.fault.Operation = "createInvites"
			simtest.Inject(t, srv, c.fault)
			client := connect(t, srv, unspacedWrites())
			in := segmentapi.Invitation{Email: newcomer, Permissions: onSourceA(), Groups: []string{"h"}}
			invite, err := client.Invites.Create(t.Context(), in)
			if got := simtest.Count(srv.Journal())["createInvites"]; got != 1 {
				t.Errorf("%d invites were sent", got)
			}
			if c.want != nil {
				if !errors.Is(err, c.want) || invite != nil {
					t.Errorf("%+v, %v", invite, err)
				}
				expectWorkspace(t, srv, ws, nil)
				return
			}
			if diff := cmp.Diff(&segmentapi.Invite{Email: newcomer, Sent: true}, invite); err != nil || diff != "" {
				t.Errorf("%v, invite (-want +got):\n%s", err, diff)
			}
			expectWorkspace(t, srv, ws, inTurn(invites(newcomer, on(admin, "SOURCE a")), joins(1, newcomer)))
			// Asked again, there is nothing to send.
			if invite, err = client.Invites.Create(t.Context(), in); err != nil || invite.Sent {
				t.Errorf("again: %+v, %v", invite, err)
			}
			if diff := cmp.Diff([]string{"createInvites", "addUsersToUserGroup"}, simtest.Writes(srv.Journal())); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
		})
	}
}

// An answer that is interrupted on the network, to an invite that is accepted at once,
// and an answer that never arrives.
func TestInvitesCreate_OverHTTP(t *testing.T) {
	t.Parallel()
	srv := sim.New(inviting())
	simtest.Inject(t, srv, sim.Fault{Operation: "createInvites", Ordinal: 1, Kind: sim.FaultTruncate}, sim.Fault{Operation: "createInvites", Ordinal: 2, Kind: sim.FaultReset})
	simtest.Before(t, srv, "listInvites", 2, accepts(newcomer, "n"))
	web := simtest.Listen(t, srv)
	c, err := segmentapi.New(srv.Token(), segmentapi.WithSettleTime(0), segmentapi.WithBaseURL(web.URL), unspacedWrites())
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	invite, err := c.Invites.Create(t.Context(), segmentapi.Invitation{Email: newcomer, Permissions: onSourceA()})
	if diff := cmp.Diff(&segmentapi.Invite{Email: newcomer, Sent: true, User: &segmentapi.User{ID: "n", Email: newcomer}}, invite); err != nil || diff != "" {
		t.Errorf("%v, invite (-want +got):\n%s", err, diff)
	}
	if _, err = c.Invites.Create(t.Context(), segmentapi.Invitation{Email: "other@example.com"}); !errors.Is(err, segmentapi.ErrConnection) {
		t.Error(err)
	}
	if got := simtest.Count(srv.Journal())["createInvites"]; got != 2 {
		t.Errorf("%d invites were sent, want 2", got)
	}
}

// After a refusal for the limit one invite is sent; if the wait exceeds MaxWait, none
// is.
func TestInvitesCreate_RateLimited(t *testing.T) {
	t.Parallel()
	for name, maxWait := range map[string]time.Duration{"in time": time.Minute + 5*time.Second, "too late": 10 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ws := inviting()
				srv := sim.New(ws)
				simtest.Inject(t, srv, sim.Fault{Operation: "createInvites", Ordinal: 1, Kind: sim.FaultStatus, Status: 429})
				c := connect(t, srv, segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 3, MaxWait: maxWait}))
				start := time.Now()
				invite, err := c.Invites.Create(t.Context(), segmentapi.Invitation{Email: newcomer, Permissions: onSourceA()})
				took := time.Since(start)
				if maxWait < time.Minute {
					var limited *segmentapi.RateLimitError
					if !errors.As(err, &limited) || took != 0 || simtest.Count(srv.Journal())["createInvites"] != 1 {
						t.Errorf("%v after %s, requests %v", err, took, simtest.Operations(srv.Journal()))
					}
					expectWorkspace(t, srv, ws, nil)
					return
				}
				if err != nil || !invite.Sent || took < time.Minute-time.Second || took > time.Minute+2*time.Second {
					t.Errorf("%+v, %v, after %s", invite, err, took)
				}
				// The lists are read once more after the wait.
				expectOrder(t, srv, "listInvites", "listUsers", "createInvites", "listInvites", "listUsers", "createInvites", "listInvites", "listUsers")
				expectWorkspace(t, srv, ws, invites(newcomer, on(admin, "SOURCE a")))
			})
		})
	}
}

// If adding to the groups fails, the error names them, and the same call completes
// them.
func TestInvitesCreate_CompletesTheGroups(t *testing.T) {
	t.Parallel()
	ws := inviting()
	ws.Groups = append(ws.Groups, sim.Group{ID: "last", Name: "Last"})
	srv := sim.New(ws)
	simtest.Inject(t, srv, sim.Fault{Operation: "addUsersToUserGroup", Ordinal: 2, Kind: sim.FaultStatus, Status: 500})
	c := connect(t, srv, unspacedWrites())
	in := segmentapi.Invitation{Email: newcomer, Permissions: onSourceA(), Groups: []string{"g", "h", "last"}}
	invite, err := c.Invites.Create(t.Context(), in)
	if invite != nil || !errors.Is(err, segmentapi.ErrServer) || !strings.Contains(err.Error(), newcomer+" was sent") || !strings.Contains(err.Error(), "groups h, last:") {
		t.Errorf("%+v, %v", invite, err)
	}
	expectWorkspace(t, srv, ws, inTurn(invites(newcomer, on(admin, "SOURCE a")), joins(0, newcomer)))
	if invite, err = c.Invites.Create(t.Context(), in); err != nil || invite.Sent || invite.User != nil {
		t.Errorf("again: %+v, %v", invite, err)
	}
	expectWorkspace(t, srv, ws, inTurn(invites(newcomer, on(admin, "SOURCE a")), joins(0, newcomer), joins(1, newcomer), joins(2, newcomer)))
	if got := simtest.Count(srv.Journal())["createInvites"]; got != 1 {
		t.Errorf("%d invites were sent", got)
	}
}

// If the outcome of an invite is unknown, the error and the log report that, and the
// next call finds out.
func TestInvitesCreate_UnknownOutcome(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]error{"who has left": context.Canceled, "who cannot read back": segmentapi.ErrConnection} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			srv := sim.New(inviting())
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			unplugged := false
			c, err := segmentapi.New(srv.Token(), segmentapi.WithSettleTime(0), unspacedWrites(), segmentapi.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
				segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 1}),
				segmentapi.WithHTTPClient(&http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
					if unplugged {
						return nil, errors.New("unplugged")
					}
					resp, err := srv.RoundTripper().RoundTrip(r)
					if r.Method == http.MethodGet {
						return resp, err
					}
					if errors.Is(cause, context.Canceled) {
						leave()
						return nil, ctx.Err()
					}
					unplugged = true
					return resp, err
				})}))
			if err != nil {
				t.Fatal(err)
			}
			in := segmentapi.Invitation{Email: newcomer, Permissions: onSourceA()}
			want, level := cause, "level=WARN"
			if errors.Is(cause, context.Canceled) { // A write that has begun is read back.
				want, level = nil, "level=INFO"
			}
			if invite, err := c.Invites.Create(ctx, in); (invite != nil) != (want == nil) || !errors.Is(err, want) {
				t.Errorf("%+v, %v", invite, err)
			}
			if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, level) ||
				!strings.Contains(got, "operation=createInvites") || !strings.Contains(got, `subject="invite new@example.com"`) {
				t.Errorf("log:\n%s", got)
			}
			unplugged = false
			if invite, err := c.Invites.Create(t.Context(), in); err != nil || invite.Sent || invite.Email != newcomer {
				t.Errorf("afterwards: %+v, %v", invite, err)
			}
			if got := simtest.Count(srv.Journal())["createInvites"]; got != 1 {
				t.Errorf("%d invites were sent", got)
			}
		})
	}
}
