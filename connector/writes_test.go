package connector

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate"
	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// crowded is writable with what each kind of write needs.
func crowded() *sim.Workspace {
	ws := writable()
	onSource := sim.Permission{RoleID: "src", Resources: []sim.Resource{{ID: "src", Type: "SOURCE"}}}
	ws.Users = append(ws.Users, sim.User{ID: "u4", Name: "Di", Email: "di@example.com", Permissions: []sim.Permission{role("member"), onSource}})
	ws.Groups[1].Permissions = []sim.Permission{role("member"), onSource}
	return ws
}

// everyWrite is one attempt for each operation that changes something.
func everyWrite() map[string]attempt {
	return map[string]attempt{
		"addPermissionsToUser":           granting("function:f1:fn", "user:u4"),
		"addPermissionsToUserGroup":      granting("label:env=prod:src", "group:g2"),
		"replacePermissionsForUser":      revoking("source:src:src", "user:u4"),
		"replacePermissionsForUserGroup": revoking("source:src:src", "group:g2"),
		"addUsersToUserGroup":            granting("group:g2:member", "user:u4"),
		"removeUsersFromUserGroup":       revoking("group:g2:member", "user:u3"),
		"deleteUsers":                    revoking("workspace:wksp:member", "user:u4"),
		"deleteInvites":                  deleting("invite:new@example.com"),
		"createInvites":                  inviting("eve@example.com"),
		"createUserGroup":                creatingGroup("Newcomers"),
		"deleteUserGroup":                deleting("group:g2"),
	}
}

// No failure of a write passes for a success, and the code says who is to do
// something about it. The SDK tries Unavailable again and nothing else.
func TestWritesThatFail(t *testing.T) {
	t.Parallel()
	bare := func(status int) sim.Fault { return sim.Fault{Kind: sim.FaultHTML, Status: status} }
	segment := func(status int) sim.Fault { return sim.Fault{Kind: sim.FaultStatus, Status: status} }
	for _, c := range []struct {
		name  string
		fault sim.Fault
		want  codes.Code
		says  string
	}{
		{"400", segment(400), codes.InvalidArgument, ""},
		{"401", segment(401), codes.Unauthenticated, "region"},
		{"403", segment(403), codes.PermissionDenied, "token's role"},
		{"404", segment(404), codes.FailedPrecondition, "may be gone: sync again"},
		{"409", segment(409), codes.FailedPrecondition, ""},
		{"422", segment(422), codes.InvalidArgument, ""},
		{"429", segment(429), codes.Unavailable, "try again in"},
		{"500", segment(500), codes.Internal, "support"},
		{"503", segment(503), codes.Unavailable, ""},
		{"403 of a proxy", bare(403), codes.PermissionDenied, ""},
		{"404 of a proxy", bare(404), codes.FailedPrecondition, ""},
		{"200 of a proxy", bare(200), codes.Internal, "base URL"},
		{"redirect", sim.Fault{Kind: sim.FaultRedirect}, codes.Internal, ""},
		{"empty", sim.Fault{Kind: sim.FaultEmpty}, codes.Internal, ""},
		{"broken connection", sim.Fault{Kind: sim.FaultReset}, codes.Unavailable, "network"},
	} {
		for operation, do := range everyWrite() {
			t.Run(operation+" "+c.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := timeless(t, crowded())
					fault := c.fault
					fault.Operation = operation
					f.inject(t, fault)
					before := f.state()
					annos, err := do(t.Context(), f)
					want := c.want
					switch {
					case operation == "createUserGroup" && c.fault.Status == http.StatusConflict:
						want = codes.AlreadyExists
					case strings.Contains(operation, "Permissions") && c.fault.Kind == sim.FaultEmpty:
						want = codes.Aborted // It was read back and sent again, three times.
					}
					if status.Code(err) != want || !strings.Contains(status.Convert(err).Message(), c.says) || len(annos) > 0 {
						t.Errorf("%v, %v, want %s with %q", annos, err, want, c.says)
					}
					if diff := cmp.Diff(before, f.state()); diff != "" {
						t.Errorf("the workspace (-want +got):\n%s", diff)
					}
					var limits int
					for _, detail := range status.Convert(err).Details() {
						if limit, ok := detail.(*v2.RateLimitDescription); ok && limit.GetResetAt().AsTime().After(time.Now()) {
							limits++
						}
					}
					if (limits == 1) != (c.fault.Status == http.StatusTooManyRequests) {
						t.Errorf("%d details say when to come back", limits)
					}
				})
			})
		}
	}
}

// For a short time the client waits itself, for a longer one the SDK, but not
// where the SDK would not come back.
func TestWhoWaits(t *testing.T) {
	t.Parallel()
	all := everyWrite()
	all["deleteUsers directly"] = deleting("user:u4")
	for name, do := range all {
		operation, _, _ := strings.Cut(name, " ")
		for _, wait := range []time.Duration{5 * time.Second, 40 * time.Second, 70 * time.Second} {
			longest := 10 * time.Second
			switch name {
			case "deleteUsers directly", "deleteInvites", "createInvites", "createUserGroup", "deleteUserGroup":
				longest = 65 * time.Second
			}
			synctest.Test(t, func(t *testing.T) {
				f := timeless(t, crowded())
				f.inject(t, sim.Fault{
					Operation: operation, Ordinal: 1, Kind: sim.FaultStatus, Status: http.StatusTooManyRequests,
					Header: http.Header{"Retry-After": {fmt.Sprint(wait.Seconds())}},
				})
				want := codes.OK
				if wait > longest {
					want = codes.Unavailable
				}
				start := time.Now()
				_, err := do(t.Context(), f)
				if took := time.Since(start); status.Code(err) != want || want == codes.OK && took < wait || want != codes.OK && took > time.Second {
					t.Errorf("%s, told to wait %s: %v after %s", name, wait, err, took)
				}
			})
		}
	}
}

// What was done although the answer says otherwise, or was lost, is a success,
// and not done twice.
func TestWritesWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	for _, fault := range []sim.Fault{{Kind: sim.FaultDrop}, {Kind: sim.FaultLateStatus}, {Kind: sim.FaultLateStatus, Status: 503}, {Kind: sim.FaultTruncate}} {
		for operation, do := range everyWrite() {
			t.Run(operation+" "+string(fault.Kind), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f, undisturbed := timeless(t, crowded()), timeless(t, crowded())
					f.inject(t, sim.Fault{Operation: operation, Ordinal: 1, Kind: fault.Kind, Status: fault.Status})
					annos, err := do(t.Context(), f)
					if _, wanted := do(t.Context(), undisturbed); err != nil || wanted != nil || len(annos) > 0 {
						t.Errorf("%v, %v; undisturbed %v", annos, err, wanted)
					}
					if diff := cmp.Diff(undisturbed.state(), f.state()); diff != "" {
						t.Errorf("the workspace (-want +got):\n%s", diff)
					}
					if sent := f.writes(); len(sent) > 1 && !strings.HasPrefix(operation, "delete") && !strings.HasPrefix(operation, "re") {
						t.Errorf("it was sent as %v", sent)
					}
				})
			})
		}
	}
}

// "Already revoked" is never said because a request has failed.
func TestAlreadyRevokedIsCertain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do    attempt
		fault sim.Fault
		want  codes.Code
	}{
		"the user cannot be read":     {revoking("source:src:src", "user:u2"), sim.Fault{Operation: "getUser", Status: 403}, codes.PermissionDenied},
		"a proxy knows no user":       {revoking("source:src:src", "user:u2"), sim.Fault{Operation: "getUser", Kind: sim.FaultHTML, Status: 404}, codes.FailedPrecondition},
		"a proxy knows no group":      {revoking("source:src:src", "group:g1"), sim.Fault{Operation: "getUserGroup", Kind: sim.FaultHTML, Status: 404}, codes.FailedPrecondition},
		"a proxy knows no members":    {revoking("group:g2:member", "user:u3"), sim.Fault{Operation: "listUsersFromUserGroup", Kind: sim.FaultHTML, Status: 404}, codes.FailedPrecondition},
		"the groups cannot be listed": {revoking("source:src:src", "user:u2"), sim.Fault{Operation: "listUserGroupsFromUser", Status: 500}, codes.Internal},
		"the groups are refused":      {revoking("source:src:src", "user:u2"), sim.Fault{Operation: "listUserGroupsFromUser", Status: 403}, codes.PermissionDenied},
		"a group cannot be read":      {revoking("source:src:src", "user:u2"), sim.Fault{Operation: "getUserGroup", Status: 500}, codes.Internal},
		"a proxy knows no such group": {revoking("source:src:src", "user:u2"), sim.Fault{Operation: "getUserGroup", Kind: sim.FaultHTML, Status: 404}, codes.FailedPrecondition},
		"nobody knows who owns":       {revoking("role:owner:assigned", "user:u1"), sim.Fault{Operation: "listRoles", Status: 404}, codes.FailedPrecondition},
		"invites cannot be listed":    {deleting("invite:gone@example.com"), sim.Fault{Operation: "listInvites", Status: 404}, codes.FailedPrecondition},
		"a proxy knows no user to remove": {
			deleting("user:u2"), sim.Fault{Operation: "getUser", Kind: sim.FaultHTML, Status: 404}, codes.FailedPrecondition,
		},
		"a proxy knows no group to delete": {
			deleting("group:g2"), sim.Fault{Operation: "getUserGroup", Kind: sim.FaultHTML, Status: 404}, codes.FailedPrecondition,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := timeless(t, writable())
				if c.fault.Kind == "" {
					c.fault.Kind = sim.FaultStatus
				}
				f.inject(t, c.fault)
				before := f.state()
				annos, err := c.do(t.Context(), f)
				if status.Code(err) != c.want || len(annos) > 0 {
					t.Errorf("%v, %v, want %s", annos, err, c.want)
				}
				if diff := cmp.Diff(before, f.state()); diff != "" {
					t.Errorf("the workspace (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// What is done already is a success that writes nothing.
func TestDoneAlready(t *testing.T) {
	t.Parallel()
	exists, revoked, gone := &v2.GrantAlreadyExists{}, &v2.GrantAlreadyRevoked{}, &v2.ResourceDoesNotExist{}
	for name, c := range map[string]struct {
		edit func(*sim.Workspace)
		opts []sim.Option
		do   attempt
		says proto.Message
	}{
		"held by a user":                    {do: granting("role:owner:assigned", "user:u1"), says: exists},
		"held by a group":                   {do: granting("role:owner:assigned", "group:g1"), says: exists},
		"held on one label":                 {do: granting("label:env=prod:owner", "user:u3"), says: exists},
		"a member":                          {do: granting("group:g1:member", "user:u1"), says: exists},
		"a pending member":                  {do: granting("group:g1:member", "invite:new@example.com"), says: exists},
		"a pending member in other case":    {do: granting("group:g1:member", "invite:NEW@example.com"), says: exists},
		"a user who is gone":                {do: revoking("source:src:src", "user:gone"), says: revoked},
		"a group that is gone":              {do: revoking("source:src:src", "group:gone"), says: revoked},
		"a group's own, never held":         {do: revoking("source:src:src", "group:g2"), says: revoked},
		"a role that is unknown":            {do: revoking("source:src:nonsense", "user:u3"), says: revoked},
		"an unrestricted one for a label":   {do: revoking("label:env=prod:owner", "user:u1"), says: revoked},
		"no member":                         {do: revoking("group:g2:member", "user:u1"), says: revoked},
		"no pending member":                 {do: revoking("group:g2:member", "invite:new@example.com"), says: revoked},
		"a member who is gone":              {do: revoking("group:g2:member", "user:gone"), says: revoked},
		"an invite that is gone":            {do: revoking("group:g2:member", "invite:gone@example.com"), says: revoked},
		"the members of what is gone":       {do: revoking("group:gone:member", "user:u1"), says: revoked},
		"a membership of who is gone":       {do: revoking("workspace:wksp:member", "user:gone"), says: revoked},
		"on a plan without groups":          {opts: []sim.Option{sim.WithoutFeatures(sim.FeatureGroups)}, do: revoking("source:src:src", "user:u1"), says: revoked},
		"on a plan without groups, and 404": {opts: []sim.Option{sim.WithoutFeatures(sim.FeatureGroups), sim.WithGateStatus(404)}, do: revoking("source:src:src", "user:u1"), says: revoked},
		"no user":                           {do: deleting("user:gone"), says: gone},
		"no invite":                         {do: deleting("invite:gone@example.com"), says: gone},
		"no group":                          {do: deleting("group:gone"), says: gone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, writable(), c.opts...)
			before := f.state()
			annos, err := c.do(t.Context(), f)
			if err != nil || len(annos) != 1 || !annos.Contains(c.says) {
				t.Errorf("%v, %v", annos, err)
			}
			if writes := f.writes(); len(writes) > 0 {
				t.Errorf("it wrote %v", writes)
			}
			if diff := cmp.Diff(before, f.state()); diff != "" {
				t.Errorf("the workspace (-want +got):\n%s", diff)
			}
		})
	}
}

// Each change leaves one line in the log that says what has changed, and no
// secret.
func TestAuditLine(t *testing.T) {
	t.Parallel()
	for operation, want := range map[string][2]string{
		"addPermissionsToUser":           {"user u4", "+ Functions Admin on FUNCTION f1"},
		"addPermissionsToUserGroup":      {"group g2", "+ Source Admin on WORKSPACE wksp with env=prod"},
		"replacePermissionsForUser":      {"user u4", "- Source Admin on SOURCE src"},
		"replacePermissionsForUserGroup": {"group g2", "- Source Admin on SOURCE src"},
		"addUsersToUserGroup":            {"group g2", "+ di@example.com"},
		"removeUsersFromUserGroup":       {"group g2", "- cy@example.com"},
		"deleteUsers":                    {"user u4", "removed"},
		"deleteInvites":                  {"invite new@example.com", "removed"},
		"createInvites":                  {"invite eve@example.com", "+ Minimal Workspace Access on WORKSPACE wksp"},
		"createUserGroup":                {"group Newcomers", "created"},
		"deleteUserGroup":                {"group g2", "removed"},
	} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, crowded())
			ctx, logs := logged(t)
			if _, err := everyWrite()[operation](ctx, f); err != nil {
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
			if fields["subject"] != want[0] || fields["change"] != want[1] {
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

// A warehouse can be shown and not granted, which the SDK says.
func TestWarehousesCannotBeGranted(t *testing.T) {
	t.Parallel()
	f := newFixture(t, writable())
	server := must(connectorbuilder.NewConnector(t.Context(), f.Connector))(t)
	e := v2.Entitlement_builder{Id: "warehouse:w1:wh", Resource: stub(typeWarehouse, "w1")}.Build()
	_, granted := server.Grant(t.Context(), v2.GrantManagerServiceGrantRequest_builder{Entitlement: e, Principal: who("user:u2")}.Build())
	_, revoked := server.Revoke(t.Context(), v2.GrantManagerServiceRevokeRequest_builder{
		Grant: v2.Grant_builder{Entitlement: e, Principal: who("user:u2")}.Build(),
	}.Build())
	for _, err := range []error{granted, revoked} {
		if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "warehouse") {
			t.Errorf("%v", err)
		}
	}
	// Nor by another type's door.
	_, _, err := syncerOf[*grantableCatalog[segmentapi.Source]](f, typeSource).Grant(t.Context(), who("user:u2"), entitled("warehouse:w1:wh"))
	if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "warehouse:w1:wh") {
		t.Errorf("%v", err)
	}
	if requests := f.requests(); len(requests) > 0 {
		t.Errorf("requests: %v", requests)
	}
}

// What the SDK derives from the syncers.
func TestCapabilities(t *testing.T) {
	t.Parallel()
	server := must(connectorbuilder.NewConnector(t.Context(), &Connector{}))(t)
	metadata := must(server.GetMetadata(t.Context(), &v2.ConnectorServiceGetMetadataRequest{}))(t).GetMetadata()
	got := map[string]string{}
	for _, row := range metadata.GetCapabilities().GetResourceTypeCapabilities() {
		var names []string
		for _, capability := range row.GetCapabilities() {
			names = append(names, strings.TrimPrefix(capability.String(), "CAPABILITY_"))
		}
		slices.Sort(names)
		got[row.GetResourceType().GetId()] = strings.Join(names, " ")
	}
	want := map[string]string{
		typeWorkspace: "PROVISION SYNC TARGETED_SYNC",
		typeUser:      "RESOURCE_DELETE SYNC TARGETED_SYNC",
		typeInvite:    "ACCOUNT_PROVISIONING RESOURCE_DELETE SYNC TARGETED_SYNC",
		typeGroup:     "PROVISION RESOURCE_CREATE RESOURCE_DELETE SYNC TARGETED_SYNC",
		typeRole:      "PROVISION SYNC TARGETED_SYNC",
		typeSource:    "PROVISION SYNC TARGETED_SYNC",
		typeFunction:  "PROVISION SYNC TARGETED_SYNC",
		typeSpace:     "PROVISION SYNC TARGETED_SYNC",
		typeLabel:     "PROVISION SYNC TARGETED_SYNC",
		typeWarehouse: "SYNC TARGETED_SYNC",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("capabilities (-want +got):\n%s", diff)
	}
	credentials := metadata.GetCapabilities().GetCredentialDetails().GetCapabilityAccountProvisioning()
	if o := credentials.GetSupportedCredentialOptions(); len(o) != 1 || o[0] != v2.CapabilityDetailCredentialOption_CAPABILITY_DETAIL_CREDENTIAL_OPTION_NO_PASSWORD {
		t.Errorf("credentials: %v", o)
	}
}

// revokeThrough revokes as the SDK does, with its retries.
func revokeThrough(ctx context.Context, t *testing.T, f *fixture, entitlementID, principal string) (annotations.Annotations, error) {
	t.Helper()
	server := must(connectorbuilder.NewConnector(ctx, f.Connector))(t)
	on := must(parseEntitlementID(entitlementID))(t)
	e := v2.Entitlement_builder{Id: entitlementID, Resource: stub(on.typeID, on.id)}.Build()
	res, err := server.Revoke(ctx, v2.GrantManagerServiceRevokeRequest_builder{
		Grant: v2.Grant_builder{Entitlement: e, Principal: who(principal)}.Build(),
	}.Build())
	return res.GetAnnotations(), err
}

// twoOwners has u1 and u3, who own the workspace directly.
func twoOwners() *sim.Workspace {
	ws := writable()
	ws.Groups = nil
	ws.Users = slices.Delete(ws.Users, 1, 2)
	for i := range ws.Users {
		ws.Users[i].Permissions = []sim.Permission{role("owner"), role("member")}
	}
	return ws
}

func demoteOther(ws *sim.Workspace) { ws.Users[1].Permissions = []sim.Permission{role("member")} }

func (f *fixture) owned() bool {
	for _, held := range f.state() {
		if slices.Contains(held, "owner on WORKSPACE wksp []") {
			return true
		}
	}
	return false
}

// A removal that Segment refuses leaves everything as it was.
func TestRemovalThatIsRefused(t *testing.T) {
	t.Parallel()
	for resource, operation := range map[string]string{"user:u1": "deleteUsers", "user:u2": "deleteUsers", "group:g1": "deleteUserGroup"} {
		for _, code := range []int{403, 422, 429, 500, 503} {
			t.Run(resource+" "+http.StatusText(code), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := timeless(t, writable())
					f.inject(t, sim.Fault{Operation: operation, Kind: sim.FaultStatus, Status: code, Header: http.Header{"Retry-After": {"30"}}})
					before := f.state()
					_, err := deleting(resource)(t.Context(), f)
					if diff := cmp.Diff(before, f.state()); err == nil || diff != "" {
						t.Errorf("%v\nthe workspace (-want +got):\n%s", err, diff)
					}
				})
			})
		}
	}
}

// The removal is put off by the rate limit, and the other owner goes while
// the SDK waits. When it comes back somebody must look again.
func TestRemovalThatIsPutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := timeless(t, twoOwners())
		f.inject(t, sim.Fault{Operation: "deleteUsers", Ordinal: 1, Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"30"}}})
		if err := f.sim.Before("deleteUsers", 1, demoteOther); err != nil {
			t.Fatal(err)
		}
		_, err := revokeThrough(t.Context(), t, f, "workspace:wksp:member", "user:u1")
		if !f.owned() {
			t.Errorf("nobody owns the workspace: %v, wrote %v", err, f.writes())
		}
	})
}

// What was taken and could not be given back is not tried again, and does
// not pass for a success.
func TestOwnershipThatIsNotGivenBack(t *testing.T) {
	t.Parallel()
	for entitlementID, first := range map[string]int{"role:owner:assigned": 5, "workspace:wksp:member": 6} {
		t.Run(entitlementID, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := timeless(t, twoOwners())
				for i := range 6 { // From the proof after the write until the end of the undoing.
					f.inject(t, sim.Fault{Operation: "getUser", Ordinal: first + i, Kind: sim.FaultStatus, Status: 503})
				}
				if err := f.sim.Before("getUser", first, demoteOther); err != nil {
					t.Fatal(err)
				}
				annos, err := revokeThrough(t.Context(), t, f, entitlementID, "user:u1")
				if !f.owned() && (err == nil || status.Code(err) == codes.Unavailable) {
					t.Errorf("nobody owns the workspace: %v, %v, wrote %v", annos, err, f.writes())
				}
			})
		})
	}
}

// Nobody else waits for CreateAccount, whichever request is held back.
func TestCreateAccountWaits(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"getWorkspace", "listRoles", "listUserGroups", "listUsers", "listInvites", "getUserGroup", "createInvites", "addUsersToUserGroup"} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := timeless(t, writable())
				f.inject(t, sim.Fault{Operation: operation, Ordinal: 1, Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"40"}}})
				if _, err := f.create(t.Context(), account(map[string]any{"email": "eve@example.com", "role": "src", "groups": "g2"})); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Gone between the read and the write: revoked already.
func TestGoneMeanwhile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		operation string
		do        attempt
		edit      func(*sim.Workspace)
	}{
		"user":              {"replacePermissionsForUser", revoking("source:src:src", "user:u4"), func(ws *sim.Workspace) { ws.Users = ws.Users[:3] }},
		"group":             {"replacePermissionsForUserGroup", revoking("source:src:src", "group:g2"), func(ws *sim.Workspace) { ws.Groups = ws.Groups[:1] }},
		"group of a member": {"removeUsersFromUserGroup", revoking("group:g2:member", "user:u3"), func(ws *sim.Workspace) { ws.Groups = ws.Groups[:1] }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := timeless(t, crowded())
				if err := f.sim.Before(c.operation, 1, c.edit); err != nil {
					t.Fatal(err)
				}
				if annos, err := c.do(t.Context(), f); err != nil || !annos.Contains(&v2.GrantAlreadyRevoked{}) {
					t.Errorf("%v, %v", annos, err)
				}
			})
		})
	}
}

// Who leaves does not wait for an answer that somebody else has asked for.
func TestLeavingWhileTheWorkspaceIsRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := timeless(t, writable())
		f.inject(t, sim.Fault{Operation: "getWorkspace", Ordinal: 1, Kind: sim.FaultDelay, Delay: time.Minute})
		first := make(chan error, 1)
		go func() {
			_, err := f.workspaceID(t.Context(), syncstate.Sync{})
			first <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if _, _, err := f.grantTo(ctx, "role:src:assigned", "user:u2"); status.Code(err) != codes.DeadlineExceeded || time.Since(start) != time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

// Where Segment refuses something it has answered, and the outage is over.
func TestRefusalsEndAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := timeless(t, crowded())
		for i, want := range []codes.Code{codes.Unavailable, codes.PermissionDenied, codes.Unavailable, codes.Unavailable, codes.Unavailable, codes.Internal} {
			f.sim.ClearFaults()
			fault := sim.Fault{Operation: "addPermissionsToUser", Kind: sim.FaultStatus, Status: 503}
			if want == codes.PermissionDenied {
				fault.Status = 403
			}
			f.inject(t, fault)
			if _, _, err := f.grantTo(t.Context(), "function:f1:fn", "user:u4"); status.Code(err) != want {
				t.Errorf("%d: %v, want %s", i, err, want)
			}
			<-time.After(longestOutage * 4 / 10) // A pause as long as an outage ends it, too.
		}
	})
}
