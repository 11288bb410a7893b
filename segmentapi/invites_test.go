package segmentapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

const (
	newcomer = "new@example.com"
	pending  = "Pending@example.com"
)

// inviting is a workspace with an invite, and with a second group, where nobody
// is in.
func inviting() *sim.Workspace {
	ws := editable(on(minimal, everything))
	ws.Invites = []sim.Invite{{Email: pending, Permissions: []sim.Permission{on(reader, "SOURCE a")}}}
	ws.Groups = append(ws.Groups, sim.Group{ID: "h", Name: "Other", Members: []string{}, Permissions: []sim.Permission{on(minimal, everything)}})
	return ws
}

// onSourceA is what invitations of these tests give.
func onSourceA() []segmentapi.Permission {
	return segmentapi.Permissions([]segmentapi.Assignment{assigned(admin, "SOURCE a")})
}

// edits plans an edit by another administrator.
func edits(t *testing.T, srv *sim.Server, operation string, ordinal int, edit func(*sim.Workspace)) {
	t.Helper()
	if err := srv.Before(operation, ordinal, edit); err != nil {
		t.Fatal(err)
	}
}

func injects(t *testing.T, srv *sim.Server, faults ...sim.Fault) {
	t.Helper()
	if err := srv.Inject(faults...); err != nil {
		t.Fatal(err)
	}
}

// expectWorkspace compares the state with start after an edit.
func expectWorkspace(t *testing.T, srv *sim.Server, start *sim.Workspace, edit func(*sim.Workspace)) {
	t.Helper()
	want := sim.New(start)
	if edit != nil {
		want.Update(edit)
	}
	if diff := cmp.Diff(want.Workspace(), srv.Workspace()); diff != "" {
		t.Errorf("workspace (-want +got):\n%s", diff)
	}
}

func accepts(email, id string) func(*sim.Workspace) {
	return func(ws *sim.Workspace) { ws.Accept(email, id) }
}

func isInvited(ws *sim.Workspace, email string) bool {
	return slices.ContainsFunc(ws.Invites, func(i sim.Invite) bool { return i.Email == email })
}

func invites(email string, permissions ...sim.Permission) func(*sim.Workspace) {
	return func(ws *sim.Workspace) {
		ws.Invites = append(ws.Invites, sim.Invite{Email: email, Permissions: permissions})
	}
}

func joins(group int, email string) func(*sim.Workspace) {
	return func(ws *sim.Workspace) { ws.Groups[group].Members = append(ws.Groups[group].Members, email) }
}

func inTurn(edits ...func(*sim.Workspace)) func(*sim.Workspace) {
	return func(ws *sim.Workspace) {
		for _, edit := range edits {
			edit(ws)
		}
	}
}

func TestInvite(t *testing.T) {
	t.Parallel()
	look := []string{"listInvites", "listUsers"}
	send := []string{"createInvites", "listInvites", "listUsers"}
	join := []string{"listUsersFromUserGroup", "listInvitesFromUserGroup", "addUsersToUserGroup", "listUsersFromUserGroup", "listInvitesFromUserGroup"}
	u := &segmentapi.User{ID: "u", Email: "u@example.com"}
	for name, c := range map[string]struct {
		start     func(*sim.Workspace)
		operation string // Before the request of this operation
		ordinal   int
		meanwhile func(*sim.Workspace)
		email     string
		groups    []string
		want, dry segmentapi.Invite
		requests  []string
		planned   []string // The requests of a dry run.
		changed   func(*sim.Workspace)
	}{
		"new": {
			email: newcomer,
			want:  segmentapi.Invite{Email: newcomer, Sent: true}, dry: segmentapi.Invite{Email: newcomer, Sent: true},
			requests: slices.Concat(look, send), planned: look,
			changed: invites(newcomer, on(admin, "SOURCE a")),
		},
		"spaces around it": {
			email: "\t" + newcomer + " ",
			want:  segmentapi.Invite{Email: newcomer, Sent: true}, dry: segmentapi.Invite{Email: newcomer, Sent: true},
			requests: slices.Concat(look, send), planned: look,
			changed: invites(newcomer, on(admin, "SOURCE a")),
		},
		"new, with groups": {
			email: "New@Example.com", groups: []string{"g", "h"},
			want: segmentapi.Invite{Email: "New@Example.com", Sent: true}, dry: segmentapi.Invite{Email: "New@Example.com", Sent: true},
			requests: slices.Concat(look, []string{"getUserGroup", "getUserGroup"}, send, join, join),
			planned:  slices.Concat(look, []string{"getUserGroup", "getUserGroup"}),
			changed:  inTurn(invites("New@Example.com", on(admin, "SOURCE a")), joins(0, "New@Example.com"), joins(1, "New@Example.com")),
		},
		"accepted at once": {
			operation: "listInvites", ordinal: 2, meanwhile: accepts(newcomer, "n"),
			email: newcomer, groups: []string{"g"},
			want: segmentapi.Invite{Email: newcomer, Sent: true, User: &segmentapi.User{ID: "n", Email: newcomer}},
			dry:  segmentapi.Invite{Email: newcomer, Sent: true},
			requests: slices.Concat(look, []string{"getUserGroup"}, send,
				[]string{"listUsersFromUserGroup", "listInvitesFromUserGroup", "addUsersToUserGroup", "listUsersFromUserGroup"}),
			planned: slices.Concat(look, []string{"getUserGroup"}),
			changed: inTurn(invites(newcomer, on(admin, "SOURCE a")), accepts(newcomer, "n"), joins(0, newcomer)),
		},
		"accepted between the lists": {
			operation: "listUsers", ordinal: 2, meanwhile: accepts(newcomer, "n"),
			email: newcomer,
			want:  segmentapi.Invite{Email: newcomer, Sent: true, User: &segmentapi.User{ID: "n", Email: newcomer}},
			dry:   segmentapi.Invite{Email: newcomer, Sent: true}, requests: slices.Concat(look, send), planned: look,
			changed: inTurn(invites(newcomer, on(admin, "SOURCE a")), accepts(newcomer, "n")),
		},
		"accepted, but still listed": {
			operation: "listUsers", ordinal: 2, meanwhile: inTurn(accepts(newcomer, "n"), invites(newcomer, on(admin, "SOURCE a"))),
			email: newcomer,
			want:  segmentapi.Invite{Email: newcomer, Sent: true, User: &segmentapi.User{ID: "n", Email: newcomer}},
			dry:   segmentapi.Invite{Email: newcomer, Sent: true}, requests: slices.Concat(look, send), planned: look,
			changed: inTurn(invites(newcomer, on(admin, "SOURCE a")), accepts(newcomer, "n"), invites(newcomer, on(admin, "SOURCE a"))),
		},
		"pending": {
			email: pending,
			want:  segmentapi.Invite{Email: pending}, dry: segmentapi.Invite{Email: pending},
			requests: look, planned: look,
		},
		"pending in other case, to be in a group": {
			email: "PENDING@example.COM", groups: []string{"h"},
			want: segmentapi.Invite{Email: pending}, dry: segmentapi.Invite{Email: pending},
			requests: slices.Concat(look, []string{"getUserGroup"}, join), planned: slices.Concat(look, []string{"getUserGroup"}),
			changed: joins(1, pending),
		},
		"pending and in the group": {
			start: joins(0, pending), email: pending, groups: []string{"g"},
			want: segmentapi.Invite{Email: pending}, dry: segmentapi.Invite{Email: pending},
			requests: slices.Concat(look, []string{"getUserGroup"}, join[:2]), planned: slices.Concat(look, []string{"getUserGroup"}),
		},
		"pending in two spellings": {
			start: invites(strings.ToUpper(pending)), email: strings.ToUpper(pending),
			want: segmentapi.Invite{Email: strings.ToUpper(pending)}, dry: segmentapi.Invite{Email: strings.ToUpper(pending)},
			requests: look, planned: look,
		},
		"a user": {
			email: "u@example.com", groups: []string{"h"},
			want: segmentapi.Invite{Email: "u@example.com", User: u}, dry: segmentapi.Invite{Email: "u@example.com", User: u},
			requests: look, planned: look,
		},
		"a user in other case": {
			email: "U@EXAMPLE.com", groups: []string{"h", "gone"},
			want: segmentapi.Invite{Email: "u@example.com", User: u}, dry: segmentapi.Invite{Email: "u@example.com", User: u},
			requests: look, planned: look,
		},
		"a user who is still listed as invited, in two spellings": {
			start: inTurn(invites("U@example.com"), invites("U@EXAMPLE.com")), email: "u@example.com", groups: []string{"h"},
			want: segmentapi.Invite{Email: "u@example.com", User: u}, dry: segmentapi.Invite{Email: "u@example.com", User: u},
			requests: look, planned: look,
		},
		"one of two users": {
			start: func(ws *sim.Workspace) {
				ws.Users = slices.Insert(ws.Users, 0, sim.User{ID: "U", Email: "U@example.com"})
			},
			email: "u@example.com",
			want:  segmentapi.Invite{Email: "u@example.com", User: u}, dry: segmentapi.Invite{Email: "u@example.com", User: u},
			requests: look, planned: look,
		},
		"a user while being looked for": {
			operation: "listUsers", ordinal: 1, meanwhile: accepts(pending, "p"), email: pending, groups: []string{"h"},
			want:     segmentapi.Invite{Email: pending, User: &segmentapi.User{ID: "p", Email: pending}},
			dry:      segmentapi.Invite{Email: pending, User: &segmentapi.User{ID: "p", Email: pending}},
			requests: look, planned: look, changed: accepts(pending, "p"),
		},
	} {
		for _, dryRun := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", dry run"}[dryRun], func(t *testing.T) {
				t.Parallel()
				ws := inviting()
				if c.start != nil {
					c.start(ws)
				}
				srv := sim.New(ws)
				if c.meanwhile != nil {
					edits(t, srv, c.operation, c.ordinal, c.meanwhile)
				}
				opts, want, requests, changed := []segmentapi.Option{fast()}, c.want, c.requests, c.changed
				if dryRun {
					opts, want, requests, changed = append(opts, segmentapi.WithDryRun()), c.dry, c.planned, nil
					if c.ordinal == 1 {
						changed = c.meanwhile
					}
				}
				invite, err := connect(t, srv, opts...).Invites.Create(t.Context(), segmentapi.Invitation{Email: c.email, Permissions: onSourceA(), Groups: c.groups})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(&want, invite); diff != "" {
					t.Errorf("invite (-want +got):\n%s", diff)
				}
				expectOrder(t, srv, requests...)
				expectWorkspace(t, srv, ws, changed)
			})
		}
	}
}

// An address that is on the last of many pages is found there.
func TestInviteLooksAtEveryPage(t *testing.T) {
	t.Parallel()
	srv := sim.New(company())
	start := srv.Workspace()
	c := connect(t, srv, segmentapi.WithPageSize(2))
	user, last := start.Users[len(start.Users)-1], start.Invites[len(start.Invites)-1]
	invite, err := c.Invites.Create(t.Context(), segmentapi.Invitation{Email: strings.ToUpper(user.Email)})
	if err != nil || invite.Sent || invite.User == nil || invite.User.ID != user.ID {
		t.Errorf("%+v, %v", invite, err)
	}
	if invite, err = c.Invites.Create(t.Context(), segmentapi.Invitation{Email: strings.ToUpper(last.Email)}); err != nil || invite.Sent || invite.Email != last.Email {
		t.Errorf("%+v, %v", invite, err)
	}
	if removed, err := c.Invites.Delete(t.Context(), strings.ToUpper(last.Email)); !removed || err != nil {
		t.Error(removed, err)
	}
	expectWorkspace(t, srv, start, func(ws *sim.Workspace) {
		ws.Invites = ws.Invites[:len(ws.Invites)-1]
		ws.Groups[0].Members = slices.DeleteFunc(ws.Groups[0].Members, func(m string) bool { return m == last.Email })
	})
}

// On the wire an invite has its labels on the permission, so that there is one
// for each role and set of labels, and resources have none.
func TestInviteOnTheWire(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		permissions []segmentapi.Permission
		body        string
		stored      []string
	}{
		"roles and labels": {
			[]segmentapi.Permission{
				{RoleID: admin, Scopes: []segmentapi.Scope{
					assigned(admin, "SOURCE a").Scope, assigned(admin, everything+" env=prod").Scope, assigned(admin, "SOURCE b").Scope,
				}},
				{RoleID: reader, Scopes: []segmentapi.Scope{assigned(reader, everything).Scope}},
				{RoleID: admin, Scopes: []segmentapi.Scope{
					assigned(admin, everything+" team=growth env=prod").Scope, assigned(admin, "SOURCE a").Scope,
				}},
			},
			`{"invites":[{"email":"new@example.com","permissions":[
				{"roleId":"role-admin","resources":[{"id":"a","type":"SOURCE"},{"id":"b","type":"SOURCE"}]},
				{"roleId":"role-admin","resources":[{"id":"ws","type":"WORKSPACE"}],"labels":[{"key":"env","value":"prod"}]},
				{"roleId":"role-reader","resources":[{"id":"ws","type":"WORKSPACE"}]},
				{"roleId":"role-admin","resources":[{"id":"ws","type":"WORKSPACE"}],"labels":[{"key":"team","value":"growth"},{"key":"env","value":"prod"}]}
			]}]}`,
			[]string{
				admin + " SOURCE a", admin + " SOURCE b", admin + " " + everything + " env=prod",
				admin + " " + everything + " env=prod team=growth", reader + " " + everything,
			},
		},
		"none": {
			nil,
			`{"invites":[{"email":"new@example.com","permissions":[{"roleId":"role-minimal","resources":[{"id":"ws","type":"WORKSPACE"}]}]}]}`,
			[]string{minimal + " " + everything},
		},
		"an empty list": {
			[]segmentapi.Permission{},
			`{"invites":[{"email":"new@example.com","permissions":[{"roleId":"role-minimal","resources":[{"id":"ws","type":"WORKSPACE"}]}]}]}`,
			[]string{minimal + " " + everything},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := sim.New(inviting())
			var sent []string
			client, err := segmentapi.New(srv.Token(), segmentapi.WithHTTPClient(&http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodPost {
					body, readErr := io.ReadAll(r.Body)
					if readErr != nil {
						return nil, readErr
					}
					sent = append(sent, string(body))
					r.Body = io.NopCloser(bytes.NewReader(body))
				}
				return srv.RoundTripper().RoundTrip(r)
			})}))
			if err != nil {
				t.Fatal(err)
			}
			if _, err = client.Invites.Create(t.Context(), segmentapi.Invitation{Email: newcomer, Permissions: c.permissions}); err != nil {
				t.Fatal(err)
			}
			if len(sent) != 1 {
				t.Fatalf("sent %v", sent)
			}
			if diff := cmp.Diff(decoded(t, c.body), decoded(t, sent[0])); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			srv.Update(accepts(newcomer, "n"))
			checkHolds(t, srv, "n", c.stored...)
		})
	}
}

func decoded(t *testing.T, body string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestInviteIsCheckedBeforeAnyRequest(t *testing.T) {
	t.Parallel()
	srv := sim.New(inviting())
	for _, opts := range [][]segmentapi.Option{nil, {segmentapi.WithDryRun()}} {
		c := connect(t, srv, opts...)
		good := onSourceA()
		for name, in := range map[string]segmentapi.Invitation{
			"nothing":                 {},
			"blank address":           {Email: " \t", Permissions: good},
			"no address":              {Email: "somebody", Permissions: good},
			"no host":                 {Email: "somebody@", Permissions: good},
			"nobody":                  {Email: "@example.com", Permissions: good},
			"a name too":              {Email: "New <new@example.com>", Permissions: good},
			"brackets":                {Email: "<new@example.com>", Permissions: good},
			"two addresses":           {Email: "new@example.com, u@example.com", Permissions: good},
			"a space inside":          {Email: "new person@example.com", Permissions: good},
			"a line break inside":     {Email: "new@example.com\r\nBcc: u@example.com", Permissions: good},
			"a comment":               {Email: "new@example.com (New)", Permissions: good},
			"no role":                 {Email: newcomer, Permissions: []segmentapi.Permission{{Scopes: good[0].Scopes}}},
			"no scope":                {Email: newcomer, Permissions: []segmentapi.Permission{{RoleID: admin}}},
			"scope without id":        {Email: newcomer, Permissions: []segmentapi.Permission{{RoleID: admin, Scopes: []segmentapi.Scope{{Type: "SOURCE"}}}}},
			"labels on a source":      {Email: newcomer, Permissions: segmentapi.Permissions([]segmentapi.Assignment{assigned(admin, "SOURCE a env=prod")})},
			"one of two":              {Email: newcomer, Permissions: append(good, segmentapi.Permission{Scopes: good[0].Scopes})},
			"group without id":        {Email: newcomer, Permissions: good, Groups: []string{"g", ""}},
			"group id that is a path": {Email: newcomer, Permissions: good, Groups: []string{".."}},
		} {
			if _, err := c.Invites.Create(t.Context(), in); !errors.Is(err, segmentapi.ErrInvalidArgument) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, email := range []string{"", " \n"} {
			if removed, err := c.Invites.Delete(t.Context(), email); removed || !errors.Is(err, segmentapi.ErrInvalidArgument) {
				t.Errorf("delete %q: %t, %v", email, removed, err)
			}
		}
	}
	if got := names(srv); len(got) != 0 {
		t.Errorf("requests %v", got)
	}
}

// What Segment refuses, and what can be known before, sends nothing.
func TestInviteThatIsRefused(t *testing.T) {
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
		"a group that is gone, for who is pending": {
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
		"two pending, neither of which is meant": {
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
			if _, err := connect(t, srv, fast()).Invites.Create(t.Context(), c.in); !errors.Is(err, c.want) {
				t.Error(err)
			}
			expectWorkspace(t, srv, ws, nil)
			if got := writes(srv); len(got) != c.posts {
				t.Errorf("writes %v, want %d", got, c.posts)
			}
			srv.ResetJournal()
			if _, err := connect(t, srv, segmentapi.WithDryRun()).Invites.Create(t.Context(), c.in); !errors.Is(err, c.dry) {
				t.Errorf("dry run: %v", err)
			}
			if got := writes(srv); len(got) != 0 {
				t.Errorf("writes in a dry run: %v", got)
			}
		})
	}
}

// Whatever becomes of the answer: one invite is sent at most, and the caller
// learns whether.
func TestInviteWhoseAnswerIsLost(t *testing.T) {
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
		"201 before, nothing":  {sim.Fault{Kind: sim.FaultEmptyObject, Status: 201}, segmentapi.ErrNotApplied},
		"201 before, the same": {sim.Fault{Kind: sim.FaultStatus, Status: 201, Body: `{"data":{"emails":["new@example.com"]}}`}, segmentapi.ErrNotApplied},
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
			injects(t, srv, c.fault)
			client := connect(t, srv, fast())
			in := segmentapi.Invitation{Email: newcomer, Permissions: onSourceA(), Groups: []string{"h"}}
			invite, err := client.Invites.Create(t.Context(), in)
			if got := operations(srv)["createInvites"]; got != 1 {
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
			if diff := cmp.Diff([]string{"createInvites", "addUsersToUserGroup"}, writes(srv)); diff != "" {
				t.Errorf("writes (-want +got):\n%s", diff)
			}
		})
	}
}

// An answer that breaks off on the network, to an invite that is accepted at
// once, and one that never comes.
func TestInviteOverHTTP(t *testing.T) {
	t.Parallel()
	srv := sim.New(inviting())
	injects(t, srv, sim.Fault{Operation: "createInvites", Ordinal: 1, Kind: sim.FaultTruncate}, sim.Fault{Operation: "createInvites", Ordinal: 2, Kind: sim.FaultReset})
	edits(t, srv, "listInvites", 2, accepts(newcomer, "n"))
	web := httptest.NewServer(srv)
	defer web.Close()
	c, err := segmentapi.New(srv.Token(), segmentapi.WithBaseURL(web.URL), fast())
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
	if got := operations(srv)["createInvites"]; got != 2 {
		t.Errorf("%d invites were sent, want 2", got)
	}
}

// A refusal for the limit is waited for, and then one invite is sent; beyond
// the patience of the client none is.
func TestInviteAtTheLimit(t *testing.T) {
	t.Parallel()
	for name, patience := range map[string]time.Duration{"in time": time.Minute + 5*time.Second, "too late": 10 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ws := inviting()
				srv := sim.New(ws)
				injects(t, srv, sim.Fault{Operation: "createInvites", Ordinal: 1, Kind: sim.FaultStatus, Status: 429})
				c := connect(t, srv, segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 3, MaxWait: patience}))
				start := time.Now()
				invite, err := c.Invites.Create(t.Context(), segmentapi.Invitation{Email: newcomer, Permissions: onSourceA()})
				took := time.Since(start)
				if patience < time.Minute {
					var limited *segmentapi.RateLimitError
					if !errors.As(err, &limited) || took != 0 || operations(srv)["createInvites"] != 1 {
						t.Errorf("%v after %s, requests %v", err, took, names(srv))
					}
					expectWorkspace(t, srv, ws, nil)
					return
				}
				if err != nil || !invite.Sent || took < time.Minute-time.Second || took > time.Minute+2*time.Second {
					t.Errorf("%+v, %v, after %s", invite, err, took)
				}
				// What was read before the wait is read once more.
				expectOrder(t, srv, "listInvites", "listUsers", "createInvites", "listInvites", "listUsers", "createInvites", "listInvites", "listUsers")
				expectWorkspace(t, srv, ws, invites(newcomer, on(admin, "SOURCE a")))
			})
		})
	}
}

// Somebody else comes first, between our look and our invite: then ours is not
// the one that was sent, and who is a user by then is left alone.
func TestInviteBySomebodyElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		theirs, changed func(*sim.Workspace)
		want            segmentapi.Invite
	}{
		"invited": {
			theirs: invites("NEW@example.com"), changed: joins(0, "NEW@example.com"),
			want: segmentapi.Invite{Email: "NEW@example.com"},
		},
		"joined": {
			theirs: inTurn(invites(newcomer), accepts(newcomer, "n")),
			want:   segmentapi.Invite{Email: newcomer, User: &segmentapi.User{ID: "n", Email: newcomer}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ws := inviting()
			srv := sim.New(ws)
			edits(t, srv, "createInvites", 1, c.theirs)
			var log bytes.Buffer
			client := connect(t, srv, fast(), segmentapi.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			invite, err := client.Invites.Create(t.Context(), segmentapi.Invitation{Email: newcomer, Permissions: onSourceA(), Groups: []string{"g"}})
			if diff := cmp.Diff(&c.want, invite); err != nil || diff != "" {
				t.Errorf("%v, invite (-want +got):\n%s", err, diff)
			}
			changed := c.theirs
			if c.changed != nil {
				changed = inTurn(c.theirs, c.changed)
			}
			expectWorkspace(t, srv, ws, changed)
			if strings.Contains(log.String(), "createInvites") {
				t.Errorf("what somebody else did is logged as a change:\n%s", log.String())
			}
		})
	}
}

// What breaks off in the groups is said, and completed by the same call.
func TestInviteWhoseGroupsBreakOff(t *testing.T) {
	t.Parallel()
	ws := inviting()
	ws.Groups = append(ws.Groups, sim.Group{ID: "last", Name: "Last"})
	srv := sim.New(ws)
	injects(t, srv, sim.Fault{Operation: "addUsersToUserGroup", Ordinal: 2, Kind: sim.FaultStatus, Status: 500})
	c := connect(t, srv, fast())
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
	if got := operations(srv)["createInvites"]; got != 1 {
		t.Errorf("%d invites were sent", got)
	}
}

// Many who want the same invite send one.
func TestOneInviteForMany(t *testing.T) {
	t.Parallel()
	ws := inviting()
	srv := sim.New(ws)
	c := connect(t, srv, fast())
	patient, err := c.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 1, MaxWait: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var sent []string
	var calls sync.WaitGroup
	for i := range 20 {
		email := []string{newcomer, "NEW@example.com"}[i%2]
		client := []*segmentapi.Client{c, patient}[i/10]
		calls.Go(func() {
			invite, createErr := client.Invites.Create(t.Context(), segmentapi.Invitation{Email: email, Permissions: onSourceA()})
			if createErr != nil {
				t.Error(createErr)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if invite.Sent {
				sent = append(sent, invite.Email)
			}
		})
	}
	calls.Wait()
	if len(sent) != 1 || operations(srv)["createInvites"] != 1 || len(srv.Workspace().Invites) != 2 || !isInvited(srv.Workspace(), sent[0]) {
		t.Errorf("sent %v, writes %v", sent, writes(srv))
	}
}

func TestInviteDelete(t *testing.T) {
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
				opts, changed, requests := []segmentapi.Option{fast()}, c.changed, []string{"listInvites"}
				switch {
				case dryRun:
					opts, changed = append(opts, segmentapi.WithDryRun()), nil
				case c.there:
					requests = []string{"listInvites", "deleteInvites", "listInvites"}
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

// Of two spellings Segment may take the wrong one away. That is not success.
func TestInviteDeleteOfTheWrongOne(t *testing.T) {
	t.Parallel()
	ws := inviting()
	invites("PENDING@example.com")(ws)
	if there, err := connect(t, sim.New(ws), fast()).Invites.Delete(t.Context(), "PENDING@example.com"); there || !errors.Is(err, segmentapi.ErrNotApplied) {
		t.Error(there, err)
	}
}

func TestInviteDeleteWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault sim.Fault
		want  error
		sent  int
	}{
		"dropped after":         {sim.Fault{Kind: sim.FaultDrop}, nil, 2}, // And then 404.
		"503 after":             {sim.Fault{Kind: sim.FaultLateStatus, Status: 503}, nil, 2},
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
		"success that was none": {sim.Fault{Kind: sim.FaultStatus, Status: 200, Body: `{"data":{"status":"SUCCESS"}}`}, segmentapi.ErrNotApplied, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ws := inviting()
				srv := sim.New(ws)
				c.fault.Operation, c.fault.Ordinal = "deleteInvites", 1
				injects(t, srv, c.fault)
				there, err := connect(t, srv).Invites.Delete(t.Context(), strings.ToLower(pending))
				if there != (c.want == nil) || !errors.Is(err, c.want) {
					t.Errorf("%t, %v", there, err)
				}
				if got := operations(srv)["deleteInvites"]; got != c.sent {
					t.Errorf("%d requests, want %d", got, c.sent)
				}
				if isInvited(srv.Workspace(), pending) != (c.want != nil) {
					t.Errorf("invites %v", srv.Workspace().Invites)
				}
			})
		})
	}
}

// If nobody knows what has become of an invite, the error and the log say so,
// and the next call finds out.
func TestInviteThatNobodyKnowsOf(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]error{"who has left": context.Canceled, "who cannot read back": segmentapi.ErrConnection} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			srv := sim.New(inviting())
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			unplugged := false
			c, err := segmentapi.New(srv.Token(), fast(), segmentapi.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
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
			if invite, err := c.Invites.Create(ctx, in); invite != nil || !errors.Is(err, cause) {
				t.Errorf("%+v, %v", invite, err)
			}
			if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "level=WARN") ||
				!strings.Contains(got, "operation=createInvites") || !strings.Contains(got, `subject="invite new@example.com"`) {
				t.Errorf("log:\n%s", got)
			}
			unplugged = false
			if invite, err := c.Invites.Create(t.Context(), in); err != nil || invite.Sent || invite.Email != newcomer {
				t.Errorf("afterwards: %+v, %v", invite, err)
			}
			if got := operations(srv)["createInvites"]; got != 1 {
				t.Errorf("%d invites were sent", got)
			}
		})
	}
}

// Each change leaves one line in the log, and what changes nothing leaves none.
func TestAuditOfInvitesAndGroups(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	srv := sim.New(inviting())
	c := connect(t, srv, fast(), segmentapi.WithLogger(logger))
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
level=INFO msg=changed operation=deleteInvites subject="invite new@example.com" change=removed
level=INFO msg=changed operation=createUserGroup subject="group New" change=created
level=INFO msg=changed operation=updateUserGroup subject="group h" change="renamed from Other to Renamed"
`
	if diff := cmp.Diff(want, log.String()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}
