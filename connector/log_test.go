package connector

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/conductorone/baton-sdk/pkg/types/sessions"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate/statetest"
	"github.com/baton-segment/baton-segment/internal/sim"
)

// A type that the plan lacks is in a warning when it is skipped and in the last
// warning. An unknown type of function is in none.
func TestReport_SkippedTypes(t *testing.T) {
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
			ctx, logs := withObservedLog(t)
			rows := f.listAllIn(ctx, t)
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

// Scopes that cannot be shown are reported once each, with a count, for any
// number of workers.
func TestReport_UnknownScopes(t *testing.T) {
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
			ctx, logs := withObservedLog(t)
			rows := f.listAll(t)
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
			for _, e := range logs.FilterMessageSnippet("resources: no grants").All() {
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

// A hookedStore is a store that runs a function during the next call of GetAll.
type hookedStore struct {
	*statetest.Memory
	onGetAll func()
}

// GetAll is the call by which the report reads its totals.
func (s *hookedStore) GetAll(ctx context.Context, token string, opts ...sessions.SessionStoreOption) (map[string][]byte, string, error) {
	if run := s.onGetAll; run != nil {
		s.onGetAll = nil
		run()
	}
	return s.Memory.GetAll(ctx, token, opts...)
}

// The report is made once: not again by another worker in the middle of it, and
// not by another process that resumes the sync.
func TestReport_Once(t *testing.T) {
	t.Parallel()
	ws := small()
	ws.Users[1].Permissions = []sim.Permission{{RoleID: "owner", Resources: []sim.Resource{{ID: "d", Type: "DESTINATION"}}}}
	f := newFixture(t, ws)
	store := &hookedStore{Memory: statetest.New()}
	f.session = store
	ctx, logs := withObservedLog(t)
	users := f.listAll(t)[typeUser]
	must(f.entitlements(ctx, rowWithID(t, users, "u2")))(t)
	store.onGetAll = func() { must(f.grants(ctx, users[1]))(t) }
	must(f.grants(ctx, users[0]))(t)
	again := newFixture(t, ws)
	again.session = store
	must(again.grants(ctx, users[2]))(t)
	if reported := logs.FilterMessageSnippet("resources: no grants").Len(); reported != 1 || store.onGetAll != nil {
		t.Errorf("reported %d times", reported)
	}
}

// Without a session store there are no totals, and each user or group has a
// warning of its own.
func TestReport_UnknownScopesWithoutAStore(t *testing.T) {
	t.Parallel()
	ws := small()
	ws.Users[1].Permissions = []sim.Permission{{RoleID: "owner", Resources: []sim.Resource{{ID: "d", Type: "DESTINATION"}, {ID: "e", Type: "DESTINATION"}}}}
	f := newFixture(t, ws)
	f.session = nil
	ctx, logs := withObservedLog(t)
	must(f.grants(ctx, must(userResource("", segmentapiUser("u2")))(t)))(t)
	warnings := logs.FilterMessageSnippet("resources: no grants").All()
	if len(warnings) != 1 || warnings[0].ContextMap()["scope"] != "DESTINATION" || warnings[0].ContextMap()["count"] != int64(2) {
		t.Errorf("warnings: %v", warnings)
	}
}

// Each change has one log line with the subject, the change and the workspace, and
// without secrets.
func TestAuditLog_OneLinePerChange(t *testing.T) {
	t.Parallel()
	for operation, want := range map[string][2]string{
		"addPermissionsToUser":           {"user u4", "+ Functions Admin on FUNCTION f1"},
		"addPermissionsToUserGroup":      {"group g2", "+ Source Admin on WORKSPACE wksp with env=prod"},
		"replacePermissionsForUser":      {"user u4", "- Source Admin on SOURCE src"},
		"replacePermissionsForUserGroup": {"group g2", "- Source Admin on SOURCE src"},
		"addUsersToUserGroup":            {"group g2", "+ di@example.com"},
		"removeUsersFromUserGroup":       {"group g2", "- cy@example.com"},
		"deleteUsers":                    {"user u4", "removed, and with it: Minimal Workspace Access on WORKSPACE wksp; Source Admin on SOURCE src"},
		"deleteInvites":                  {"invite new@example.com", `removed, and with it its roles, which cannot be read; member of the groups "Owners"`},
		"createInvites":                  {"invite eve@example.com", "+ Minimal Workspace Access on WORKSPACE wksp"},
		"createUserGroup":                {"group Newcomers", "created"},
		"deleteUserGroup":                {"group g2", "removed, and with it: Minimal Workspace Access on WORKSPACE wksp; Source Admin on SOURCE src"},
	} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, writableWithHoldings())
			ctx, logs := withObservedLog(t)
			if _, err := oneAttemptPerOperation()[operation](ctx, f); err != nil {
				t.Fatal(err)
			}
			ours := logs.FilterField(zap.String("operation", operation))
			lines := ours.Filter(func(e observer.LoggedEntry) bool { return e.Level >= zapcore.InfoLevel }).All()
			if requests := ours.Len() - len(lines); requests != 1 {
				t.Errorf("%d lines about requests", requests)
			}
			if len(lines) != 1 || lines[0].Level != zapcore.InfoLevel {
				t.Fatalf("lines: %v", lines)
			}
			fields := lines[0].ContextMap()
			if fields["subject"] != want[0] || fields["change"] != want[1] || fields["workspace_id"] != workspaceID {
				t.Errorf("%v, want %v", fields, want)
			}
			for _, e := range logs.All() {
				text := must(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()).EncodeEntry(e.Entry, e.Context))(t)
				if strings.Contains(text.String(), sim.DefaultToken) || strings.Contains(text.String(), "Bearer") {
					t.Errorf("the log holds the token: %s", text)
				}
			}
		})
	}
}
