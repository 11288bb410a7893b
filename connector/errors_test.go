package connector

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/retry"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/conductorone/baton-sdk/pkg/types/sessions"
	"github.com/google/go-cmp/cmp"
	"github.com/grpc-ecosystem/go-grpc-middleware/logging/zap/ctxzap"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate/statetest"
	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

func TestNewRefusesBadOptions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options Options
		says    string
	}{
		"no token":    {Options{}, "token"},
		"two tokens":  {Options{Token: "sgp_a sgp_b"}, "token"},
		"region":      {Options{Token: "sgp_secret", Region: "mars"}, "mars"},
		"plain http":  {Options{Token: "sgp_secret", BaseURL: "http://segment.example"}, "https"},
		"credentials": {Options{Token: "sgp_secret", BaseURL: "https://u:sgp_secret@segment.example"}, "credentials"},
		"page size":   {Options{Token: "sgp_secret", PageSize: 1001}, "1000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := New(t.Context(), c.options)
			if err == nil || got != nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "sgp_") {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	if _, err := New(t.Context(), Options{Token: "sgp_from_a_file\n", Region: string(segmentapi.RegionEU)}); err != nil {
		t.Errorf("a token with a line break: %v", err)
	}
}

func TestValidateMakesThreeRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small())
	if _, err := f.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range f.sim.Journal() {
		got = append(got, r.Operation+"?"+r.Query)
	}
	want := []string{"getWorkspace?", "listUsers?pagination[count]=1", "listRoles?pagination[count]=1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestValidateSaysWhatToCheck(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"getWorkspace", "listUsers", "listRoles"} {
		for httpStatus, want := range map[int]codes.Code{
			http.StatusUnauthorized: codes.Unauthenticated,
			http.StatusForbidden:    codes.PermissionDenied,
			http.StatusNotFound:     codes.FailedPrecondition,
		} {
			t.Run(operation+" "+http.StatusText(httpStatus), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, small())
				f.inject(t, sim.Fault{Operation: operation, Kind: sim.FaultStatus, Status: httpStatus})
				_, err := f.Validate(t.Context())
				if status.Code(err) != want {
					t.Errorf("code %s, want %s: %v", status.Code(err), want, err)
				}
				says := []string{operation, "region"}
				if want != codes.FailedPrecondition {
					says = append(says, "token", "role")
				}
				for _, word := range says {
					if !strings.Contains(err.Error(), word) {
						t.Errorf("%q does not say %q", err, word)
					}
				}
			})
		}
	}
}

// The table of what an answer on a top-level list means. The zero code is a
// type that is skipped.
func TestAnswersOnLists(t *testing.T) {
	t.Parallel()
	bare := func(status int) sim.Fault { return sim.Fault{Kind: sim.FaultHTML, Status: status} }
	segment := func(status int) sim.Fault { return sim.Fault{Kind: sim.FaultStatus, Status: status} }
	for _, c := range []struct {
		name     string
		fault    sim.Fault
		required codes.Code
		optional codes.Code
	}{
		{"400", segment(400), codes.InvalidArgument, codes.OK},
		{"401", segment(401), codes.Unauthenticated, codes.Unauthenticated},
		{"403", segment(403), codes.PermissionDenied, codes.PermissionDenied},
		{"404", segment(404), codes.FailedPrecondition, codes.OK},
		{"409", segment(409), codes.FailedPrecondition, codes.FailedPrecondition},
		{"422", segment(422), codes.InvalidArgument, codes.InvalidArgument},
		{"429", segment(429), codes.Unavailable, codes.Unavailable},
		{"500", segment(500), codes.Internal, codes.Internal},
		{"501", segment(501), codes.Internal, codes.Internal},
		{"503", segment(503), codes.Unavailable, codes.Unavailable},
		{"400 of a proxy", bare(400), codes.InvalidArgument, codes.InvalidArgument},
		{"403 of a proxy", bare(403), codes.PermissionDenied, codes.PermissionDenied},
		{"404 of a proxy", bare(404), codes.FailedPrecondition, codes.FailedPrecondition},
		{"502 of a proxy", bare(502), codes.Unavailable, codes.Unavailable},
		{"200 of a proxy", bare(200), codes.Internal, codes.Internal},
		{"redirect", sim.Fault{Kind: sim.FaultRedirect}, codes.Internal, codes.Internal},
		{"empty", sim.Fault{Kind: sim.FaultEmpty}, codes.Internal, codes.Internal},
		{"no pagination", sim.Fault{Kind: sim.FaultNoPagination}, codes.Internal, codes.Internal},
		{"repeated cursor", sim.Fault{Kind: sim.FaultRepeatCursor}, codes.Internal, codes.Internal},
		{"broken connection", sim.Fault{Kind: sim.FaultReset}, codes.Unavailable, codes.Unavailable},
	} {
		for typeID, operation := range lists() {
			whole := typeID == typeWorkspace || typeID == typeLabel
			if whole && (c.fault.Kind == sim.FaultNoPagination || c.fault.Kind == sim.FaultRepeatCursor) {
				continue // It has no pages.
			}
			t.Run(operation+" "+c.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := timeless(t, full())
					fault := c.fault
					fault.Operation = operation
					f.inject(t, fault)
					optional := slices.Contains([]string{typeGroup, typeWarehouse, typeFunction, typeSpace, typeLabel}, typeID)
					want := c.required
					if optional {
						want = c.optional
					}
					rows, err := f.listType(t.Context(), typeID)
					if got := status.Code(err); got != want || len(rows) != 0 {
						t.Fatalf("code %s, want %s, with %d rows: %v", got, want, len(rows), err)
					}
					if err == nil {
						return
					}
					if !strings.Contains(err.Error(), operation) || strings.Contains(err.Error(), "\n") {
						t.Errorf("%q does not name the operation, on one line", err)
					}
					advised := strings.Contains(err.Error(), "--sync-resource-types")
					if advisable := optional && want != codes.Unavailable; advised != advisable {
						t.Errorf("%q says how to leave the type out: %v", err, advised)
					}
				})
			})
		}
	}
}

func (f *fixture) listType(ctx context.Context, typeID string) ([]*v2.Resource, error) {
	for _, s := range f.ResourceSyncers(ctx) {
		if s.ResourceType(ctx).GetId() == typeID {
			return pages(f, func(o rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) { return s.List(ctx, nil, o) })
		}
	}
	return nil, nil
}

// What a plan lacks is named in a warning as soon as it is known, and in the
// last one. A type of function that the workspace does not know is not lacking.
func TestWhatIsSkippedIsNamedTwice(t *testing.T) {
	t.Parallel()
	functions := func(httpStatus int, kinds ...string) []sim.Fault {
		var faults []sim.Fault
		for _, kind := range kinds {
			faults = append(faults, sim.Fault{Operation: "listFunctions", Query: "resourceType=" + kind, Kind: sim.FaultStatus, Status: httpStatus})
		}
		return faults
	}
	for name, c := range map[string]struct {
		faults []sim.Fault
		want   []string
	}{
		"nothing":      {},
		"one":          {[]sim.Fault{{Operation: "listSpaces", Kind: sim.FaultStatus, Status: 404}}, []string{"space", "[space]"}},
		"two":          {[]sim.Fault{{Operation: "listSpaces", Kind: sim.FaultStatus, Status: 400}, {Operation: "listLabels", Kind: sim.FaultStatus, Status: 404}}, []string{"space", "label", "[label space]"}},
		"all of them":  {functions(404, ""), []string{"function", "[function]"}},
		"some of them": {functions(404, "DESTINATION", "INSERT_SOURCE"), []string{"function of the type DESTINATION, INSERT_SOURCE", "[function of the type DESTINATION, INSERT_SOURCE]"}},
		"the last":     {functions(404, "SOURCE"), []string{"function of the type SOURCE", "[function of the type SOURCE]"}},
		"unknown":      {functions(400, "INSERT_TRANSFORMATION"), nil},
		"invalid":      {functions(422, "INSERT_TRANSFORMATION"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, full())
			for _, fault := range c.faults {
				f.inject(t, fault)
			}
			ctx, logs := logged(t)
			rows := f.listIn(ctx, t)
			for _, r := range slices.Concat(rows[typeUser], rows[typeGroup]) {
				must(f.entitlements(ctx, r))(t)
				must(f.grants(ctx, r))(t)
			}
			var got []string
			for _, e := range logs.FilterLevelExact(zapcore.WarnLevel).All() {
				fields := e.ContextMap()
				for _, key := range []string{"resource_type", "resource_types"} {
					if fields[key] != nil {
						got = append(got, fmt.Sprint(fields[key]))
					}
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// A plan that lacks something says so on the first page, and Segment itself
// does. Later, or from somewhere else, it would cut the list short.
func TestWhatIsNoPlanGate(t *testing.T) {
	t.Parallel()
	for _, typeID := range []string{typeGroup, typeWarehouse, typeSpace, typeFunction} {
		operation := lists()[typeID]
		for want, fault := range map[codes.Code]sim.Fault{
			codes.InvalidArgument:    {Kind: sim.FaultStatus, Status: http.StatusBadRequest},
			codes.FailedPrecondition: {Kind: sim.FaultStatus, Status: http.StatusNotFound},
		} {
			ws := full()
			ws.Functions = append(ws.Functions, sim.Function{ID: "f3", ResourceType: "INSERT_TRANSFORMATION"})
			f := paged(t, ws, 1)
			fault.Operation, fault.Ordinal = operation, 2
			if typeID == typeFunction {
				fault.Query = "resourceType=INSERT_TRANSFORMATION"
			}
			f.inject(t, fault)
			if rows, err := f.listType(t.Context(), typeID); status.Code(err) != want {
				t.Errorf("%s, page 2: %v, %v, want %s", operation, rows, err, want)
			}
		}
	}
	f := newFixture(t, full())
	f.inject(t, sim.Fault{Operation: "listFunctions", Query: "resourceType=INSERT_TRANSFORMATION", Kind: sim.FaultHTML, Status: http.StatusBadRequest})
	if rows, err := f.listType(t.Context(), typeFunction); status.Code(err) != codes.InvalidArgument {
		t.Errorf("400 of a proxy: %v, %v", rows, err)
	}
}

// The SDK must wait until the client's own limiter opens, and no longer.
func TestRateLimitTellsTheSDKWhenToComeBack(t *testing.T) {
	t.Parallel()
	f := newFixture(t, small())
	f.inject(t, sim.Fault{Operation: "listUsers", Kind: sim.FaultStatus, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"40"}}})
	before := time.Now()
	_, err := f.listType(t.Context(), typeUser)
	st := status.Convert(err)
	if st.Code() != codes.Unavailable || len(st.Details()) != 1 {
		t.Fatalf("got %v with details %v", err, st.Details())
	}
	limit, ok := st.Details()[0].(*v2.RateLimitDescription)
	if !ok || limit.GetStatus() != v2.RateLimitDescription_STATUS_OVERLIMIT || limit.GetRemaining() != 0 {
		t.Fatalf("detail %v", st.Details()[0])
	}
	if wait := limit.GetResetAt().AsTime().Sub(before); wait < 39*time.Second || wait > 45*time.Second {
		t.Errorf("reset is in %s", wait)
	}
	if f.requests()["listUsers"] != 1 {
		t.Error("the client waited itself")
	}
}

// Whoever waits, the client for little and the SDK for more: together they wait
// for as long as Segment says.
func TestWaitsDoNotAddUp(t *testing.T) {
	t.Parallel()
	for _, seconds := range []int{1, 9, 11, 30, 59} {
		t.Run(fmt.Sprint(seconds), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := timeless(t, small())
				f.inject(t, sim.Fault{
					Operation: "listUsers", Ordinal: 1, Kind: sim.FaultStatus, Status: http.StatusTooManyRequests,
					Header: http.Header{"Retry-After": {fmt.Sprint(seconds)}},
				})
				start := time.Now()
				sdk := retry.NewRetryer(t.Context(), retry.RetryConfig{}) // That of a sync.
				_, err := f.listType(t.Context(), typeUser)
				for err != nil && sdk.ShouldWaitAndRetry(t.Context(), err) {
					_, err = f.listType(t.Context(), typeUser)
				}
				if took := time.Since(start); err != nil || took != time.Duration(seconds)*time.Second || f.requests()["listUsers"] != 2 {
					t.Errorf("%v after %s and %d requests", err, took, f.requests()["listUsers"])
				}
			})
		})
	}
}

// A certificate that is not trusted now will not be in ten minutes. Whoever is at
// the other end, no version older than TLS 1.2 is offered.
func TestCertificateThatIsNotTrusted(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Min(hello.SupportedVersions) < tls.VersionTLS12 {
			t.Errorf("it offers the versions %#x", hello.SupportedVersions)
		}
		return nil, nil //nolint:nilnil // Go on as before.
	}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	c, err := New(t.Context(), Options{Token: "token", BaseURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Validate(t.Context()); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "certificate") {
		t.Error(err)
	}
}

// crowd is a workspace of users who hold one role each, and of empty groups.
func crowd(users, groups int) *sim.Workspace {
	ws := small()
	ws.Groups, ws.Users = nil, nil
	for i := range users {
		id := fmt.Sprintf("u%03d", i)
		ws.Users = append(ws.Users, sim.User{ID: id, Name: id, Email: id + "@example.com", Permissions: []sim.Permission{role("member")}})
	}
	for i := range groups {
		ws.Groups = append(ws.Groups, sim.Group{ID: fmt.Sprintf("g%03d", i), Permissions: []sim.Permission{role("member")}})
	}
	return ws
}

// People leave while a sync runs. A few get no grants; more than one in a
// hundred users and groups are an error.
func TestUsersAndGroupsThatVanish(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		users, groups         int
		goneUsers, goneGroups int
		want                  codes.Code
	}{
		{users: 5, goneUsers: 1, want: codes.OK},
		{users: 5, goneUsers: 2, want: codes.FailedPrecondition},
		{users: 1, groups: 2, goneGroups: 1, want: codes.OK},
		{users: 1, groups: 2, goneGroups: 2, want: codes.FailedPrecondition},
		{users: 300, goneUsers: 3, want: codes.OK},
		{users: 300, goneUsers: 4, want: codes.FailedPrecondition},
		{users: 150, groups: 150, goneUsers: 2, goneGroups: 1, want: codes.OK},
		{users: 150, groups: 150, goneUsers: 2, goneGroups: 2, want: codes.FailedPrecondition},
	} {
		for _, storeless := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				f := timeless(t, crowd(c.users, c.groups))
				if storeless {
					f.session = nil
				}
				rows := f.list(t)
				f.requests()
				f.sim.Update(func(ws *sim.Workspace) { ws.Users, ws.Groups = ws.Users[c.goneUsers:], ws.Groups[c.goneGroups:] })
				var err error
				for _, r := range slices.Concat(rows[typeUser][:c.goneUsers], rows[typeGroup][:c.goneGroups]) {
					if _, err = f.entitlements(t.Context(), r); err != nil {
						break
					}
					if grants := must(f.grants(t.Context(), r))(t); len(grants) != 0 {
						t.Errorf("one that has gone has grants: %v", grants)
					}
				}
				if status.Code(err) != c.want {
					t.Errorf("%+v, without a store %t: %v", c, storeless, err)
				}
				// Each is asked about twice for the entitlements, and without a store twice
				// more for the grants, unless it was the last of too many.
				want := 2 * (c.goneUsers + c.goneGroups)
				if storeless {
					want *= 2
					if c.want != codes.OK {
						want -= 2
					}
				}
				if got := f.requests(); got["getUser"]+got["getUserGroup"] != want {
					t.Errorf("%+v, without a store %t: requests %v, want %d", c, storeless, got, want)
				}
			})
		}
	}
}

// Below a subject only 404 means that it has gone, and only if Segment says so.
func TestDetailRequestsThatFail(t *testing.T) {
	t.Parallel()
	for fault, want := range map[*sim.Fault]codes.Code{
		{Kind: sim.FaultStatus, Status: http.StatusBadRequest}:          codes.InvalidArgument,
		{Kind: sim.FaultStatus, Status: http.StatusUnauthorized}:        codes.Unauthenticated,
		{Kind: sim.FaultStatus, Status: http.StatusForbidden}:           codes.PermissionDenied,
		{Kind: sim.FaultStatus, Status: http.StatusInternalServerError}: codes.Internal,
		{Kind: sim.FaultHTML, Status: http.StatusNotFound}:              codes.FailedPrecondition,
	} {
		t.Run(http.StatusText(fault.Status), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := timeless(t, small())
				rows := f.list(t)
				for _, operation := range []string{"getUser", "listUsersFromUserGroup"} {
					fault.Operation = operation
					f.inject(t, *fault)
				}
				user, group := rows[typeUser][0], rows[typeGroup][0]
				_, err := f.entitlements(t.Context(), user)
				if status.Code(err) != want || !strings.Contains(err.Error(), "user u1") {
					t.Errorf("user: %v, want %s", err, want)
				}
				if _, err := f.grants(t.Context(), group); status.Code(err) != want || !strings.Contains(err.Error(), "group g1") {
					t.Errorf("group: %v, want %s", err, want)
				}
			})
		})
	}
}

// A sync that is taken up goes on from the cursor that was refused, so whoever
// reads the message has to start afresh.
func TestRefusedCursor(t *testing.T) {
	t.Parallel()
	for operation, read := range map[string]func(*fixture) error{
		"listUsers": func(f *fixture) error { return readList(f, syncerOf[*userSyncer](f, typeUser).List) },
		"listSpaces": func(f *fixture) error {
			return readList(f, syncerOf[*grantableCatalog[segmentapi.Space]](f, typeSpace).List)
		},
		"listUsersFromUserGroup": func(f *fixture) error {
			_, err := f.grants(t.Context(), must(groupResource(segmentapiGroup("g1")))(t))
			return err
		},
	} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			f := paged(t, full(), 1)
			f.inject(t, sim.Fault{Operation: operation, Kind: sim.FaultExpiredCursor})
			err := read(f)
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), operation) || !strings.Contains(err.Error(), "start afresh, with a new file") {
				t.Errorf("%v", err)
			}
		})
	}
}

// readList reads a list as far as it goes.
func readList(f *fixture, list func(context.Context, *v2.ResourceId, rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error)) error {
	_, err := pages(f, func(o rs.SyncOpAttrs) ([]*v2.Resource, *rs.SyncOpResults, error) {
		return list(context.Background(), nil, o)
	})
	return err
}

// logged returns a context whose log is kept, at debug level.
func logged(t *testing.T) (context.Context, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.DebugLevel)
	return ctxzap.ToContext(t.Context(), zap.New(core)), logs
}

func TestScopesThatAreNotShownAreReportedOnce(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]sim.Option{"plain": nil, "generous": {sim.WithPermissionsInLists()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ws := small()
			odd := sim.Permission{RoleID: "owner", Resources: []sim.Resource{{ID: "d", Type: "DESTINATION"}, {Type: "SOURCE"}}}
			ws.Groups[0].Permissions = append(ws.Groups[0].Permissions, odd)
			ws.Users[2].Permissions = append(ws.Users[2].Permissions, odd)
			ws.Users[1].Permissions = []sim.Permission{{RoleID: "owner"}, {Resources: odd.Resources[:1]}}
			f := newFixture(t, ws, opts...)
			ctx, logs := logged(t)
			rows := f.list(t)
			subjects := slices.Concat(rows[typeUser], rows[typeGroup])
			for _, r := range subjects {
				must(f.entitlements(ctx, r))(t)
			}
			var workers sync.WaitGroup
			for _, r := range slices.Concat(subjects, subjects, subjects) {
				workers.Go(func() {
					if _, err := f.grants(ctx, r); err != nil {
						t.Error(err)
					}
				})
			}
			workers.Wait()
			got := map[string][]int64{}
			for _, e := range logs.FilterMessageSnippet("not shown: no grants").All() {
				fields := e.ContextMap()
				kind, _ := fields["scope"].(string)
				count, _ := fields["count"].(int64)
				got[kind] = append(got[kind], count)
			}
			if diff := cmp.Diff(map[string][]int64{"DESTINATION": {2}, "DESTINATION without a role": {1}, "SOURCE without an id": {2}, "nothing": {1}}, got); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// An intruder is a store where something happens while a value is read.
type intruder struct {
	*statetest.Memory
	meanwhile func()
}

// GetAll is what the report asks for its totals.
func (i *intruder) GetAll(ctx context.Context, token string, opts ...sessions.SessionStoreOption) (map[string][]byte, string, error) {
	if meanwhile := i.meanwhile; meanwhile != nil {
		i.meanwhile = nil
		meanwhile()
	}
	return i.Memory.GetAll(ctx, token, opts...)
}

// Neither another worker in the middle of the report nor another process that
// takes up the sync says it again.
func TestReportIsMadeOnce(t *testing.T) {
	t.Parallel()
	ws := small()
	ws.Users[1].Permissions = []sim.Permission{{RoleID: "owner", Resources: []sim.Resource{{ID: "d", Type: "DESTINATION"}}}}
	f := newFixture(t, ws)
	store := &intruder{Memory: statetest.New()}
	f.session = store
	ctx, logs := logged(t)
	users := f.list(t)[typeUser]
	must(f.entitlements(ctx, find(t, users, "u2")))(t)
	store.meanwhile = func() { must(f.grants(ctx, users[1]))(t) }
	must(f.grants(ctx, users[0]))(t)
	again := newFixture(t, ws)
	again.session = store
	must(again.grants(ctx, users[2]))(t)
	if said := logs.FilterMessageSnippet("not shown: no grants").Len(); said != 1 || store.meanwhile != nil {
		t.Errorf("it was said %d times", said)
	}
}

// Without a session store there is no total; it must be said all the same.
func TestScopesThatAreNotShownWithoutAStore(t *testing.T) {
	t.Parallel()
	ws := small()
	ws.Users[1].Permissions = []sim.Permission{{RoleID: "owner", Resources: []sim.Resource{{ID: "d", Type: "DESTINATION"}, {ID: "e", Type: "DESTINATION"}}}}
	f := newFixture(t, ws)
	f.session = nil
	ctx, logs := logged(t)
	must(f.grants(ctx, must(userResource(segmentapiUser("u2")))(t)))(t)
	warnings := logs.FilterMessageSnippet("not shown: no grants").All()
	if len(warnings) != 1 || warnings[0].ContextMap()["scope"] != "DESTINATION" || warnings[0].ContextMap()["count"] != int64(2) {
		t.Errorf("warnings: %v", warnings)
	}
}

// The token reaches no error and no log, not even at debug level with the
// SDK's switch for bodies on.
func TestTokenStaysOutOfLogsAndErrors(t *testing.T) {
	t.Setenv("BATON_DEBUG_PRINT_RESPONSE_BODY", "1")
	for _, fault := range []sim.Fault{
		{},
		{Kind: sim.FaultStatus, Status: 401, Body: `{"errors":[{"type":"unauthorized","message":"` + sim.DefaultToken + ` is not valid"}]}`},
		{Kind: sim.FaultStatus, Status: 500}, {Kind: sim.FaultReset}, {Kind: sim.FaultHTML}, {Kind: sim.FaultRedirect},
	} {
		f := newFixture(t, small())
		ctx, logs := logged(t)
		if fault.Kind != "" {
			fault.Operation = "getWorkspace"
			f.inject(t, fault)
		}
		_, err := f.Validate(ctx)
		if err != nil && strings.Contains(err.Error(), sim.DefaultToken) {
			t.Errorf("the error holds the token: %v", err)
		}
		if logs.Len() == 0 {
			t.Error("nothing was logged, so this shows nothing")
		}
		for _, e := range logs.All() {
			text, encodeErr := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()).EncodeEntry(e.Entry, e.Context)
			if encodeErr != nil {
				t.Fatal(encodeErr)
			}
			for _, secret := range []string{sim.DefaultToken, "Bearer", "Small", "Ada"} {
				if strings.Contains(text.String(), secret) {
					t.Errorf("the log holds %q: %s", secret, text)
				}
			}
		}
	}
}

// What is no HTTP would be logged by the SDK's client as it came, and may be
// what was sent.
func TestTokenStaysOutOfTheLogOfBrokenAnswers(t *testing.T) {
	t.Parallel()
	var listening net.ListenConfig
	l := must(listening.Listen(t.Context(), "tcp", "127.0.0.1:0"))(t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r, err := http.ReadRequest(bufio.NewReader(conn))
			if err == nil {
				_, err = fmt.Fprintf(conn, "HTTP/1.1 %s\r\n\r\n", strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
			}
			if err = errors.Join(err, conn.Close()); err != nil {
				t.Error(err)
			}
		}
	}()
	ctx, logs := logged(t)
	c := must(New(ctx, Options{Token: sim.DefaultToken, BaseURL: "http://" + l.Addr().String()}))(t)
	_, err := c.Validate(ctx)
	if status.Code(err) != codes.Unavailable || strings.Contains(err.Error(), sim.DefaultToken) {
		t.Error(err)
	}
	if logs.FilterMessage("request failed").Len() == 0 {
		t.Error("what fails is not logged, so this shows nothing")
	}
	for _, e := range logs.All() {
		if text := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(text, sim.DefaultToken) {
			t.Errorf("the log says %s", text)
		}
	}
	if err = l.Close(); err != nil {
		t.Error(err)
	}
	<-ended
}

// An edit that was given back for want of an owner is not tried again, although
// it met the rate limit on the way.
func TestLastOwnerBehindTheRateLimit(t *testing.T) {
	t.Parallel()
	f := newFixture(t, writable())
	f.inject(t, sim.Fault{Operation: "getWorkspace", Kind: sim.FaultStatus, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"70"}}})
	_, limited := f.client.Workspace.Get(t.Context())
	if !errors.Is(limited, segmentapi.ErrRateLimited) {
		t.Fatal(limited)
	}
	for want, err := range map[codes.Code]error{
		codes.Unavailable:        fmt.Errorf("wrapped: %w", limited),
		codes.FailedPrecondition: errors.Join(fmt.Errorf("given back: %w", segmentapi.ErrLastOwner), limited),
	} {
		if got := f.translate("revoking", err, time.Now()); got.Code() != want {
			t.Errorf("%v: %s, want %s", err, got.Code(), want)
		}
	}
}
