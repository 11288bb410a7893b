package segmentapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
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

// company has more rows of everything than the smallest pages hold.
func company() *sim.Workspace {
	ws := sim.Demo()
	g := &ws.Groups[0]
	g.Members = nil
	for i := range 9 {
		g.Members = append(g.Members, ws.Users[i].Email)
		email := fmt.Sprintf("new%d@example.com", i)
		ws.Invites = append(ws.Invites, sim.Invite{Email: email})
		g.Members = append(g.Members, email)
	}
	return ws
}

func TestEveryRowOnEveryPageSize(t *testing.T) {
	t.Parallel()
	ws := company()
	var users, members []segmentapi.User
	byEmail := map[string]segmentapi.User{}
	for _, u := range ws.Users {
		user := segmentapi.User{ID: u.ID, Name: u.Name, Email: u.Email}
		users = append(users, user)
		byEmail[u.Email] = user
	}
	var groups []segmentapi.Group
	for _, g := range ws.Groups {
		groups = append(groups, segmentapi.Group{ID: g.ID, Name: g.Name})
	}
	var invites []string
	for _, m := range ws.Groups[0].Members {
		if u, ok := byEmail[m]; ok {
			members = append(members, u)
		} else {
			invites = append(invites, m)
		}
	}
	var roles []segmentapi.Role
	for _, r := range ws.Roles {
		roles = append(roles, segmentapi.Role{ID: r.ID, Name: r.Name, Description: r.Description})
	}
	var emails []string
	for _, i := range ws.Invites {
		emails = append(emails, i.Email)
	}
	now := time.Now()
	pages := func(rows, size int) int { return max(1, (rows+size-1)/size) }

	for _, next := range []sim.NextForm{sim.NextAbsent, sim.NextNull, sim.NextEmpty} {
		for _, size := range []int{1, 2, 7, 1000} {
			t.Run(fmt.Sprintf("next %d size %d", next, size), func(t *testing.T) {
				t.Parallel()
				srv := sim.New(ws, sim.WithNext(next), sim.WithAuditEvents(simEvents(now)...))
				c := connect(t, srv, segmentapi.WithPageSize(size))
				ctx := t.Context()
				gotGroups := collect(t, c.Groups.All(ctx))
				for i := range gotGroups {
					gotGroups[i].MemberCount = 0 // What it counts is not documented.
				}
				group := ws.Groups[0].ID
				want := map[string]int{
					"listUsers": pages(len(users), size), "listUserGroups": pages(len(groups), size), "listRoles": pages(len(roles), size),
					"listUsersFromUserGroup": pages(len(members), size), "listInvitesFromUserGroup": pages(len(invites), size),
					"listInvites": pages(len(emails), size), "listSources": pages(len(ws.Sources), size), "listWarehouses": pages(len(ws.Warehouses), size),
					"listSpaces": pages(len(ws.Spaces), size), "listLabels": 1, "listAuditEvents": pages(9, size),
				}
				var gotFunctions []segmentapi.Function
				for _, kind := range segmentapi.FunctionTypes() {
					rows := collect(t, c.Functions.All(ctx, kind))
					want["listFunctions"] += pages(len(rows), size)
					gotFunctions = append(gotFunctions, rows...)
				}
				gotLabels, err := c.Labels.List(ctx)
				if err != nil {
					t.Error(err)
				}
				for what, diff := range map[string]string{
					"users":   cmp.Diff(users, collect(t, c.Users.All(ctx))),
					"groups":  cmp.Diff(groups, gotGroups),
					"roles":   cmp.Diff(roles, collect(t, c.Roles.All(ctx))),
					"members": cmp.Diff(members, collect(t, c.Groups.AllMembers(ctx, group))),
					"pending": cmp.Diff(invites, collect(t, c.Groups.AllInvites(ctx, group))),

					"invites":    cmp.Diff(emails, collect(t, c.Invites.All(ctx))),
					"sources":    cmp.Diff(sources(ws), collect(t, c.Sources.All(ctx))),
					"warehouses": cmp.Diff(warehouses(ws), collect(t, c.Warehouses.All(ctx))),
					"functions":  cmp.Diff(functions(ws, segmentapi.FunctionTypes()...), gotFunctions),
					"spaces":     cmp.Diff(spaces(ws), collect(t, c.Spaces.All(ctx))),
					"labels":     cmp.Diff(labels(ws.Labels), gotLabels),
					"events":     cmp.Diff(events(now), collect(t, c.Audit.All(ctx, segmentapi.AuditOptions{}))),
				} {
					if diff != "" {
						t.Errorf("%s (-want +got):\n%s", what, diff)
					}
				}
				if diff := cmp.Diff(want, simtest.Count(srv.Journal())); diff != "" {
					t.Errorf("requests (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// simEvents returns events of the nine hours before, the oldest first.
func simEvents(now time.Time) []sim.AuditEvent {
	var out []sim.AuditEvent
	for i := range 9 {
		e := sim.AuditEvent{
			ID: fmt.Sprintf("event-%d", i), Time: now.Add(time.Duration(i-9) * time.Hour).Truncate(time.Millisecond), Type: "Policy Created", Actor: "owner",
			ResourceID: "u", ResourceType: "USER", ResourceName: "U",
		}
		if i%2 == 0 {
			e.ActorEmail, e.ResourceType = "owner@example.com", "POLICY"
		}
		out = append(out, e)
	}
	return out
}

// events returns the same as the library returns it, the newest first.
func events(now time.Time) []segmentapi.AuditEvent {
	var out []segmentapi.AuditEvent
	for _, e := range simEvents(now) {
		e.Time = e.Time.UTC()
		out = append(out, segmentapi.AuditEvent(e))
	}
	slices.Reverse(out)
	return out
}

func labels(in []sim.Label) []segmentapi.Label {
	var out []segmentapi.Label
	for _, l := range in {
		out = append(out, segmentapi.Label(l))
	}
	return out
}

func sources(ws *sim.Workspace) []segmentapi.Source {
	var out []segmentapi.Source
	for _, s := range ws.Sources {
		source := segmentapi.Source{ID: s.ID, Slug: s.Slug, Enabled: s.Enabled, Kind: s.Metadata.Name, Labels: labels(s.Labels)}
		if s.Name != nil {
			source.Name = *s.Name
		}
		out = append(out, source)
	}
	return out
}

func warehouses(ws *sim.Workspace) []segmentapi.Warehouse {
	var out []segmentapi.Warehouse
	for _, w := range ws.Warehouses {
		warehouse := segmentapi.Warehouse{ID: w.ID, Enabled: w.Enabled, Kind: w.Metadata.Name}
		if name, ok := w.Settings["name"].(string); ok {
			warehouse.Name = name
			if unquoted, err := strconv.Unquote(name); err == nil && strings.HasPrefix(name, `"`) {
				warehouse.Name = unquoted
			}
		}
		out = append(out, warehouse)
	}
	return out
}

// functions returns those of the given types, type by type.
func functions(ws *sim.Workspace, types ...segmentapi.FunctionType) []segmentapi.Function {
	var out []segmentapi.Function
	for _, kind := range types {
		for _, f := range ws.Functions {
			if f.ResourceType != string(kind) {
				continue
			}
			function := segmentapi.Function{ID: f.ID, Description: f.Description, Type: kind}
			if f.DisplayName != nil {
				function.Name = *f.DisplayName
				// Segment appends the workspace's name for these types.
				if kind == "DESTINATION" || kind == "INSERT_DESTINATION" || kind == "INSERT_SOURCE" {
					function.Name += " (" + ws.Name + ")"
				}
			}
			out = append(out, function)
		}
	}
	return out
}

func spaces(ws *sim.Workspace) []segmentapi.Space {
	var out []segmentapi.Space
	for _, s := range ws.Spaces {
		out = append(out, segmentapi.Space{ID: s.ID, Slug: s.Slug, Name: s.Name})
	}
	return out
}

func collect[T any](t *testing.T, seq func(func(T, error) bool)) []T {
	t.Helper()
	var out []T
	for item, err := range seq {
		if err != nil {
			t.Error(err)
			break
		}
		out = append(out, item)
	}
	return out
}

func TestListIsOneRequest(t *testing.T) {
	t.Parallel()
	srv := sim.New(sim.Demo())
	c := connect(t, srv)
	page, err := c.Users.List(t.Context(), segmentapi.ListOptions{Count: 3})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Items) != 3 || page.Next == "" || page.Total != len(srv.Workspace().Users) {
		t.Errorf("got %d items, next %q, total %d", len(page.Items), page.Next, page.Total)
	}
	next, err := c.Users.List(t.Context(), segmentapi.ListOptions{Count: 3, Cursor: page.Next})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := next.Items[0].ID, srv.Workspace().Users[3].ID; got != want {
		t.Errorf("second page starts with %s, want %s", got, want)
	}
	if n := len(srv.Journal()); n != 2 {
		t.Errorf("sent %d requests, want 2", n)
	}
}

func TestAllStopsWhenAsked(t *testing.T) {
	t.Parallel()
	srv := sim.New(sim.Demo())
	c := connect(t, srv, segmentapi.WithPageSize(2))
	for _, err := range c.Users.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if n := len(srv.Journal()); n != 1 {
		t.Errorf("sent %d requests, want 1", n)
	}
}

func TestAllStopsAtTheFirstError(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]sim.Fault{
		"status":        {Operation: "listUsers", Ordinal: 2, Kind: sim.FaultStatus, Status: 401},
		"no pagination": {Operation: "listUsers", Ordinal: 2, Kind: sim.FaultNoPagination},
		"repeat cursor": {Operation: "listUsers", Ordinal: 2, Kind: sim.FaultRepeatCursor},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := sim.New(sim.Demo())
			if err := srv.Inject(fault); err != nil {
				t.Fatal(err)
			}
			c := connect(t, srv, segmentapi.WithPageSize(2))
			rows, failures := 0, 0
			for _, err := range c.Users.All(t.Context()) {
				if err != nil {
					failures++
				} else {
					rows++
				}
			}
			if rows != 2 || failures != 1 || len(srv.Journal()) != 2 {
				t.Errorf("got %d rows, %d errors, %d requests; want 2, 1, 2", rows, failures, len(srv.Journal()))
			}
		})
	}
}

func TestAllRefusesRepeatedCursors(t *testing.T) {
	t.Parallel()
	// Two pages that name each other: no single page shows it.
	sent := 0
	hc := &http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		sent++
		next := "b"
		if r.URL.Query().Get("pagination[cursor]") == "b" {
			next = "c"
		}
		if r.URL.Query().Get("pagination[cursor]") == "c" {
			next = "b"
		}
		return jsonResponse(r, `{"data":{"roles":[{"id":"r"}],"pagination":{"current":"x","next":"`+next+`"}}}`), nil
	})}
	c, err := segmentapi.New("token", segmentapi.WithBaseURL("http://localhost"), segmentapi.WithHTTPClient(hc))
	if err != nil {
		t.Fatal(err)
	}
	var last error
	for _, err := range c.Roles.All(t.Context()) {
		last = err
	}
	if !errors.Is(last, segmentapi.ErrBadResponse) || sent != 3 {
		t.Errorf("got %v after %d requests", last, sent)
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	ws := sim.Demo()
	srv := sim.New(ws)
	c := connect(t, srv)
	ctx := t.Context()

	w, err := c.Workspace.Get(ctx)
	if diff := cmp.Diff(&segmentapi.Workspace{ID: ws.ID, Slug: ws.Slug, Name: ws.Name}, w); err != nil || diff != "" {
		t.Errorf("workspace %v (-want +got):\n%s", err, diff)
	}
	for _, u := range ws.Users {
		got, userErr := c.Users.Get(ctx, u.ID)
		want := &segmentapi.User{ID: u.ID, Name: u.Name, Email: u.Email, Permissions: permissions(ws, u.Permissions)}
		if diff := cmp.Diff(want, got); userErr != nil || diff != "" {
			t.Errorf("user %v (-want +got):\n%s", userErr, diff)
		}
	}
	for _, g := range ws.Groups {
		got, groupErr := c.Groups.Get(ctx, g.ID)
		if groupErr != nil {
			t.Fatal(groupErr)
		}
		if diff := cmp.Diff(permissions(ws, g.Permissions), got.Permissions); diff != "" || got.Name != g.Name {
			t.Errorf("group %q (-want +got):\n%s", got.Name, diff)
		}
	}
	getEach(t, "user", nil, c.Users.Get, nil)
	getEach(t, "group", nil, c.Groups.Get, nil)
	getEach(t, "source", sources(ws), c.Sources.Get, func(s segmentapi.Source) string { return s.ID })
	getEach(t, "warehouse", warehouses(ws), c.Warehouses.Get, func(w segmentapi.Warehouse) string { return w.ID })
	getEach(t, "function", functions(ws, segmentapi.FunctionTypes()...), c.Functions.Get, func(f segmentapi.Function) string { return f.ID })
	getEach(t, "space", spaces(ws), c.Spaces.Get, func(s segmentapi.Space) string { return s.ID })
}

// getEach gets every row of a list by its id, and one that does not exist.
func getEach[T any](t *testing.T, what string, rows []T, get func(context.Context, string) (*T, error), id func(T) string) {
	t.Helper()
	for _, want := range rows {
		got, err := get(t.Context(), id(want))
		if diff := cmp.Diff(&want, got); err != nil || diff != "" {
			t.Errorf("%s %v (-want +got):\n%s", what, err, diff)
		}
	}
	if _, err := get(t.Context(), "nobody"); !errors.Is(err, segmentapi.ErrNotFound) {
		t.Errorf("unknown %s: %v", what, err)
	}
}

func permissions(ws *sim.Workspace, in []sim.Permission) []segmentapi.Permission {
	out := []segmentapi.Permission{}
	for _, p := range in {
		got := segmentapi.Permission{RoleID: p.RoleID, Scopes: []segmentapi.Scope{}}
		for _, r := range ws.Roles {
			if r.ID == p.RoleID {
				got.RoleName = r.Name
			}
		}
		for _, r := range p.Resources {
			scope := segmentapi.Scope{Type: segmentapi.ScopeType(r.Type), ID: r.ID}
			for _, l := range r.Labels {
				scope.Labels = append(scope.Labels, segmentapi.Label{Key: l.Key, Value: l.Value, Description: l.Description})
			}
			got.Scopes = append(got.Scopes, scope)
		}
		out = append(out, got)
	}
	return out
}

func TestPermissionsInListsAreKept(t *testing.T) {
	t.Parallel()
	ws := sim.Demo()
	c := connect(t, sim.New(ws, sim.WithPermissionsInLists()))
	for i, u := range collect(t, c.Users.All(t.Context())) {
		if diff := cmp.Diff(permissions(ws, ws.Users[i].Permissions), u.Permissions); diff != "" {
			t.Errorf("%s (-want +got):\n%s", u.Email, diff)
		}
	}
	for i, g := range collect(t, c.Groups.All(t.Context())) {
		if diff := cmp.Diff(permissions(ws, ws.Groups[i].Permissions), g.Permissions); diff != "" {
			t.Errorf("%s (-want +got):\n%s", g.Name, diff)
		}
	}
}

// An unknown type is sent: the server decides whether it exists.
func TestUnknownFunctionType(t *testing.T) {
	t.Parallel()
	srv := sim.New(sim.Demo())
	c, err := segmentapi.New(srv.Token(), segmentapi.WithSettleTime(0), segmentapi.WithBaseURL("http://localhost"), segmentapi.WithHTTPClient(&http.Client{Transport: srv.RoundTripper()}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Functions.List(t.Context(), "PLANET", segmentapi.ListOptions{})
	if journal := srv.Journal(); !errors.Is(err, segmentapi.ErrInvalid) || len(journal) != 1 || !strings.Contains(journal[0].Query, "resourceType=PLANET") {
		t.Errorf("got %v after %d requests", err, len(journal))
	}
}

func TestRoleCache(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ws := sim.Demo()
		srv := sim.New(ws)
		c := connect(t, srv, segmentapi.WithRoleCache(128, time.Minute))
		ctx := t.Context()
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				want := ws.Roles[i%len(ws.Roles)]
				got, err := c.Roles.Get(ctx, want.ID)
				if err != nil || got.Name != want.Name {
					t.Errorf("got %v, %v", got, err)
				}
			})
		}
		wg.Wait()
		if n := len(srv.Journal()); n != 1 {
			t.Errorf("64 lookups at once sent %d requests, want 1", n)
		}
		for range 2 {
			if _, err := c.Roles.Get(ctx, "no-such-role"); !errors.Is(err, segmentapi.ErrNotFound) {
				t.Errorf("unknown role: %v", err)
			}
		}
		if n := len(srv.Journal()); n != 2 {
			t.Errorf("an unknown role sent %d requests, want 1", n-1)
		}
		<-time.After(time.Minute) // On fake time.
		if _, err := c.Roles.Get(ctx, ws.Roles[0].ID); err != nil {
			t.Error(err)
		}
		if n := len(srv.Journal()); n != 3 {
			t.Errorf("an expired role sent %d requests, want 1", n-2)
		}
	})
}

// Looking up a cached role allocates nothing, and callers may change their copy.
func TestRolesGet_CachedRoleDoesNotAllocate(t *testing.T) {
	ws := sim.Demo()
	c := connect(t, sim.New(ws))
	want := ws.Roles[0]
	lookUp := func() {
		role, err := c.Roles.Get(t.Context(), want.ID)
		if err != nil {
			t.Fatal(err)
		}
		if role.ID != want.ID || role.Name != want.Name {
			t.Errorf("got the role %s, %q", role.ID, role.Name)
		}
		*role = segmentapi.Role{ID: "changed"}
	}
	lookUp()
	// Coverage counters make the method too large to be inlined.
	if n := testing.AllocsPerRun(100, lookUp); n > 0 && testing.CoverMode() == "" {
		t.Errorf("a lookup allocates %v times", n)
	}
}

func TestRoleCacheSmallerThanTheRoles(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]int{0: 4, 1: 4} {
		ws := sim.Demo()
		srv := sim.New(ws)
		c := connect(t, srv, segmentapi.WithRoleCache(size, time.Minute))
		for range 2 {
			for _, r := range ws.Roles[:2] {
				got, err := c.Roles.Get(t.Context(), r.ID)
				if err != nil || got.Name != r.Name {
					t.Errorf("size %d: got %v, %v", size, got, err)
				}
			}
		}
		if n := len(srv.Journal()); n != want {
			t.Errorf("size %d: sent %d requests, want %d", size, n, want)
		}
	}
}

func TestRoleCache_SharedByWithRetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ws := sim.Demo()
		srv := sim.New(ws)
		patient := connect(t, srv)
		hasty, err := patient.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 1, MaxWait: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		refuse := sim.Fault{Operation: "listRoles", Ordinal: 1, Kind: sim.FaultStatus, Status: http.StatusTooManyRequests}
		if err = srv.Inject(refuse); err != nil {
			t.Fatal(err)
		}
		got := make(chan error, 1)
		go func() {
			_, roleErr := patient.Roles.Get(t.Context(), ws.Roles[0].ID)
			got <- roleErr
		}()
		synctest.Wait()
		// A lookup is under way, but it takes longer than this client may.
		start := time.Now()
		if _, err = hasty.Roles.Get(t.Context(), ws.Roles[0].ID); !errors.Is(err, segmentapi.ErrRateLimited) || time.Since(start) != 0 {
			t.Errorf("the hasty client got %v after %s", err, time.Since(start))
		}
		if err = <-got; err != nil {
			t.Errorf("the patient client got %v", err)
		}
		role, err := hasty.Roles.Get(t.Context(), ws.Roles[1].ID)
		if err != nil || role.Name != ws.Roles[1].Name {
			t.Errorf("got %v, %v", role, err)
		}
		if n := len(srv.Journal()); n != 2 {
			t.Errorf("sent %d requests, want the one that was refused and one more", n)
		}
	})
}

// A caller that gives up must not cancel the lookup of others.
func TestRolesGet_FirstCallerGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ws := sim.Demo()
		srv := sim.New(ws)
		if err := srv.Inject(sim.Fault{Operation: "listRoles", Ordinal: 1, Kind: sim.FaultDelay, Delay: time.Minute}); err != nil {
			t.Fatal(err)
		}
		c := connect(t, srv)
		first, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() {
			_, err := c.Roles.Get(first, ws.Roles[0].ID)
			left <- err
		}()
		synctest.Wait()
		got := make(chan error, 1)
		go func() {
			_, err := c.Roles.Get(t.Context(), ws.Roles[1].ID)
			got <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("the first caller got %v", err)
		}
		if err := <-got; err != nil {
			t.Errorf("the second caller got %v", err)
		}
	})
}
