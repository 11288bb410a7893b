package segmentapi_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

const (
	newcomer = "new@example.com"
	pending  = "Pending@example.com"
)

// inviting is a workspace with an invite and a second group, which is empty.
func inviting() *sim.Workspace {
	ws := testWorkspace(on(minimal, wholeWorkspace))
	ws.Invites = []sim.Invite{{Email: pending, Permissions: []sim.Permission{on(reader, "SOURCE a")}}}
	ws.Groups = append(ws.Groups, sim.Group{ID: "h", Name: "Other", Members: []string{}, Permissions: []sim.Permission{on(minimal, wholeWorkspace)}})
	return ws
}

// onSourceA is the permission of the invitations in these tests.
func onSourceA() []segmentapi.Permission {
	return segmentapi.Permissions([]segmentapi.Assignment{assigned(admin, "SOURCE a")})
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

func TestInvitesCreate(t *testing.T) {
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
					simtest.Before(t, srv, c.operation, c.ordinal, c.meanwhile)
				}
				opts, want, requests, changed := []segmentapi.Option{unspacedWrites()}, c.want, c.requests, c.changed
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

// An address on the last of many pages is found.
func TestInvitesCreate_ReadsEveryPage(t *testing.T) {
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

// In the request an invite has its labels on the permission: there is one for each role
// and set of labels, and its resources have no labels.
func TestInvitesCreate_RequestBody(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		permissions []segmentapi.Permission
		body        string
		stored      []string
	}{
		"roles and labels": {
			[]segmentapi.Permission{
				{RoleID: admin, Scopes: []segmentapi.Scope{
					assigned(admin, "SOURCE a").Scope, assigned(admin, wholeWorkspace+" env=prod").Scope, assigned(admin, "SOURCE b").Scope,
				}},
				{RoleID: reader, Scopes: []segmentapi.Scope{assigned(reader, wholeWorkspace).Scope}},
				{RoleID: admin, Scopes: []segmentapi.Scope{
					assigned(admin, wholeWorkspace+" team=growth env=prod").Scope, assigned(admin, "SOURCE a").Scope,
				}},
			},
			`{"invites":[{"email":"new@example.com","permissions":[
				{"roleId":"role-admin","resources":[{"id":"a","type":"SOURCE"},{"id":"b","type":"SOURCE"}]},
				{"roleId":"role-admin","resources":[{"id":"ws","type":"WORKSPACE"}],"labels":[{"key":"env","value":"prod"}]},
				{"roleId":"role-reader","resources":[{"id":"ws","type":"WORKSPACE"}]},
				{"roleId":"role-admin","resources":[{"id":"ws","type":"WORKSPACE"}],"labels":[{"key":"team","value":"growth"},{"key":"env","value":"prod"}]}
			]}]}`,
			[]string{
				admin + " SOURCE a", admin + " SOURCE b", admin + " " + wholeWorkspace + " env=prod",
				admin + " " + wholeWorkspace + " env=prod team=growth", reader + " " + wholeWorkspace,
			},
		},
		"none": {
			nil,
			`{"invites":[{"email":"new@example.com","permissions":[{"roleId":"role-minimal","resources":[{"id":"ws","type":"WORKSPACE"}]}]}]}`,
			[]string{minimal + " " + wholeWorkspace},
		},
		"an empty list": {
			[]segmentapi.Permission{},
			`{"invites":[{"email":"new@example.com","permissions":[{"roleId":"role-minimal","resources":[{"id":"ws","type":"WORKSPACE"}]}]}]}`,
			[]string{minimal + " " + wholeWorkspace},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := sim.New(inviting())
			var sent []string
			client, err := segmentapi.New(srv.Token(), segmentapi.WithSettleTime(0), segmentapi.WithHTTPClient(&http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
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

func TestInvitesCreate_InvalidArgument(t *testing.T) {
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
	if got := simtest.Operations(srv.Journal()); len(got) != 0 {
		t.Errorf("requests %v", got)
	}
}

// Another administrator invites the person between our read and our write: then Sent
// is false, and a person who is a user by then is not changed.
func TestInvitesCreate_InvitedByOthersMeanwhile(t *testing.T) {
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
			simtest.Before(t, srv, "createInvites", 1, c.theirs)
			var log bytes.Buffer
			client := connect(t, srv, unspacedWrites(), segmentapi.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
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
				t.Errorf("an invite by someone else is logged as a change:\n%s", log.String())
			}
		})
	}
}

// Many callers that invite the same person send one invite.
func TestInvitesCreate_ManyAtOnce(t *testing.T) {
	t.Parallel()
	ws := inviting()
	srv := sim.New(ws)
	c := connect(t, srv, unspacedWrites())
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
	if len(sent) != 1 || simtest.Count(srv.Journal())["createInvites"] != 1 || len(srv.Workspace().Invites) != 2 || !isInvited(srv.Workspace(), sent[0]) {
		t.Errorf("sent %v, writes %v", sent, simtest.Writes(srv.Journal()))
	}
}

// An invite is not withdrawn while it is being sent, so neither call mistakes the
// other for its own failure.
func TestInvites_DeleteWaitsForCreate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(testWorkspace(on(minimal, wholeWorkspace)))
		// The invite is looked for late.
		if err := srv.Inject(sim.Fault{Operation: "listInvites", Ordinal: 2, Kind: sim.FaultDelay, Delay: time.Hour}); err != nil {
			t.Fatal(err)
		}
		c := connect(t, srv, unspacedWrites())
		sent := make(chan error, 1)
		go func() {
			_, err := c.Invites.Create(t.Context(), segmentapi.Invitation{Email: "new@example.com"})
			sent <- err
		}()
		synctest.Wait()
		removed, err := c.Invites.Delete(t.Context(), "NEW@example.com")
		if !removed || err != nil {
			t.Error(removed, err)
		}
		if err := <-sent; err != nil {
			t.Error(err)
		}
		if got := srv.Workspace().Invites; len(got) != 0 {
			t.Errorf("invites %v", got)
		}
	})
}
