package connector

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/conductorone/baton-sdk/pkg/retry"
	"github.com/conductorone/baton-sdk/pkg/types"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// An outage begins with the first failure, and ends with a success or a pause as
// long as the longest outage.
func TestOutage_Failed(t *testing.T) {
	t.Parallel()
	start := time.Date(2025, 1, 14, 9, 0, 0, 0, time.UTC)
	var o outage
	for _, step := range []struct {
		after time.Duration
		took  time.Duration
		ok    bool
		want  time.Duration
	}{
		{after: 0, want: 0},
		{after: 4 * time.Minute, want: 4 * time.Minute},
		{after: 9 * time.Minute, want: 9 * time.Minute},
		{after: 11 * time.Minute, want: 11 * time.Minute},
		{after: 12 * time.Minute, ok: true},
		{after: 13 * time.Minute, want: 0},
		// No request was made for an hour, so the failures before do not count.
		{after: 73 * time.Minute, want: 0},
		{after: 74 * time.Minute, want: time.Minute},
		// Each request takes longer to fail than an outage may last.
		{after: 90 * time.Minute, took: 15 * time.Minute, want: 17 * time.Minute},
	} {
		if step.ok {
			o.end()
		} else if got := o.failed(start.Add(step.after-step.took), start.Add(step.after)); got != step.want {
			t.Errorf("after %s: %s, want %s", step.after, got, step.want)
		}
	}
}

// After a long outage the code is Internal, because the SDK tries again for ever
// after Unavailable.
func TestTranslate_LongOutage(t *testing.T) {
	t.Parallel()
	down := &segmentapi.Error{Operation: "listUsers", StatusCode: http.StatusServiceUnavailable}
	for began, want := range map[time.Duration]codes.Code{time.Minute: codes.Unavailable, 11 * time.Minute: codes.Internal} {
		c := &Connector{}
		c.outage.began, c.outage.last = time.Now().Add(-began), time.Now()
		if got := c.translate("listing users", down, time.Now()); got.Code() != want {
			t.Errorf("after %s: %v, want %s", began, got, want)
		}
	}
}

// transientFaults are those after which the SDK tries again, for ever if the
// connector let it.
func transientFaults() map[string]sim.Fault {
	return map[string]sim.Fault{
		"502 of a gateway": {Kind: sim.FaultHTML},
		"502":              {Kind: sim.FaultStatus, Status: http.StatusBadGateway},
		"503":              {Kind: sim.FaultStatus, Status: http.StatusServiceUnavailable},
		"504":              {Kind: sim.FaultLateStatus, Status: http.StatusGatewayTimeout},
		"408":              {Kind: sim.FaultStatus, Status: http.StatusRequestTimeout},
		"reset":            {Kind: sim.FaultReset},
		"drop":             {Kind: sim.FaultDrop},
		"truncate":         {Kind: sim.FaultTruncate},
		"slow":             {Kind: sim.FaultSlow},
	}
}

// requestTimeout is shorter than the SDK's: three attempts of that take longer
// than the longest outage.
const requestTimeout = 20 * time.Second

// A lasting outage ends the sync after ten minutes, not before. One of five
// minutes only delays it.
func TestOutage_EveryRead(t *testing.T) {
	t.Parallel()
	for name, fault := range transientFaults() {
		for operation, read := range readsOfASync() {
			planned := fault
			planned.Operation = operation
			t.Run(name+"/"+operation, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					took, _, err := readDuringOutage(t, planned, 0, read)
					// The last wait and the last attempts are added to it.
					if took < longestOutage || took > longestOutage+time.Minute+3*requestTimeout+time.Minute/4 {
						t.Errorf("it took %s", took)
					}
					if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "segment "+operation) ||
						!strings.Contains(err.Error(), "Segment keeps failing: there was no success in 1") {
						t.Errorf("%v", err)
					}
				})
				synctest.Test(t, func(t *testing.T) {
					took, rows, err := readDuringOutage(t, planned, longestOutage/2, read)
					if err != nil || rows == 0 || took < longestOutage/2 || took > longestOutage {
						t.Errorf("%d rows after %s: %v", rows, took, err)
					}
				})
			})
		}
	}
}

// readDuringOutage reads while a fault lasts. Zero means that it never ends.
func readDuringOutage(t *testing.T, fault sim.Fault, lasts time.Duration, read func(context.Context, types.ConnectorServer) (int, error)) (time.Duration, int, error) {
	t.Helper()
	f, built := newOutageFixture(t, fault)
	if lasts > 0 {
		time.AfterFunc(lasts, f.sim.ClearFaults)
	}
	return readWithRetries(t, built, read)
}

// readWithRetries reads with the retries of the SDK's syncer, until there are
// rows or an error that is not retried.
func readWithRetries(t *testing.T, built types.ConnectorServer, read func(context.Context, types.ConnectorServer) (int, error)) (time.Duration, int, error) {
	t.Helper()
	// As in pkg/sync of the SDK.
	retryer := retry.NewRetryer(t.Context(), retry.RetryConfig{InitialDelay: time.Second})
	began := time.Now()
	for {
		rows, err := read(t.Context(), built)
		// A loop without an end takes no real time, so it must be stopped here.
		if err == nil || time.Since(began) > 2*longestOutage || !retryer.ShouldWaitAndRetry(t.Context(), err) {
			return time.Since(began), rows, err
		}
	}
}

// newOutageFixture returns a connector whose requests meet the fault, and have a
// timeout.
func newOutageFixture(t *testing.T, fault sim.Fault) (*fixture, types.ConnectorServer) {
	t.Helper()
	f := newInMemoryFixture(t, full())
	web := &http.Client{Transport: f.sim.RoundTripper(), Timeout: requestTimeout}
	f.client = must(segmentapi.New(f.sim.Token(), segmentapi.WithHTTPClient(web), segmentapi.WithRetry(syncRetry)))(t)
	built := must(connectorbuilder.NewConnector(t.Context(), f.Connector, connectorbuilder.WithSessionStore(f.session)))(t)
	f.inject(t, fault)
	return f, built
}

// readsOfASync has, for each operation of a sync, the call of the SDK that makes
// it first.
func readsOfASync() map[string]func(context.Context, types.ConnectorServer) (int, error) {
	reads := map[string]func(context.Context, types.ConnectorServer) (int, error){
		"getUser": readGrants(typeUser, "u1", ""),
		"getUserGroup": func(ctx context.Context, c types.ConnectorServer) (int, error) {
			r, err := c.ListEntitlements(ctx, v2.EntitlementsServiceListEntitlementsRequest_builder{Resource: stub(typeGroup, "g1")}.Build())
			return 1 + len(r.GetList()), err // The group has no entitlements of its own, so one is added.
		},
		"listUsersFromUserGroup":   readGrants(typeGroup, "g1", ""),
		"listInvitesFromUserGroup": readGrants(typeGroup, "g1", `{"phase":"invites"}`),
	}
	for typeID, operation := range listOperations() {
		reads[operation] = func(ctx context.Context, c types.ConnectorServer) (int, error) {
			rows, token := 0, ""
			for {
				r, err := c.ListResources(ctx, v2.ResourcesServiceListResourcesRequest_builder{ResourceTypeId: typeID, PageToken: token}.Build())
				if rows += len(r.GetList()); err != nil || r.GetNextPageToken() == "" {
					return rows, err
				}
				token = r.GetNextPageToken() // The first type of function has no rows.
			}
		}
	}
	return reads
}

// readGrants reads one page of the grants of a user or group.
func readGrants(typeID, id, token string) func(context.Context, types.ConnectorServer) (int, error) {
	return func(ctx context.Context, c types.ConnectorServer) (int, error) {
		r, err := c.ListGrants(ctx, v2.GrantsServiceListGrantsRequest_builder{Resource: stub(typeID, id), PageToken: token}.Build())
		return len(r.GetList()), err
	}
}

// A change ends during an outage: the SDK tries it three times at most, even if
// the reads before it succeed.
func TestOutage_Revoke(t *testing.T) {
	t.Parallel()
	given := v2.Grant_builder{
		Entitlement: v2.Entitlement_builder{Id: "role:owner:assigned", Resource: stub(typeRole, "owner")}.Build(),
		Principal:   stub(typeUser, "u2"), // u2 holds it through a group, so groups are read.
	}.Build()
	for name, fault := range transientFaults() {
		fault.Operation = "listUserGroupsFromUser"
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f, built := newOutageFixture(t, fault)
				began := time.Now()
				_, err := built.Revoke(t.Context(), v2.GrantManagerServiceRevokeRequest_builder{Grant: given}.Build())
				if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "segment "+fault.Operation) || time.Since(began) > longestOutage {
					t.Errorf("after %s and %v: %v", time.Since(began), f.requestCounts(), err)
				}
			})
		})
	}
}

// One success of any operation ends an outage.
func TestOutage_EndedBySuccess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, built := newOutageFixture(t, sim.Fault{Operation: "listUsers", Kind: sim.FaultStatus, Status: http.StatusServiceUnavailable})
		reads := readsOfASync()
		for i, step := range []struct {
			operation string
			want      codes.Code
		}{
			{"listUsers", codes.Unavailable},
			{"listRoles", codes.OK},
			{"listUsers", codes.Unavailable},
			{"listUsers", codes.Unavailable},
			{"listUsers", codes.Unavailable},
			{"listUsers", codes.Internal},
		} {
			if _, err := reads[step.operation](t.Context(), built); status.Code(err) != step.want {
				t.Errorf("%d: %v, want %s after %v", i, err, step.want, f.requestCounts())
			}
			<-time.After(longestOutage * 4 / 10) // Shorter than the pause that ends an outage.
		}
	})
}

// A refusal ends an outage, because Segment has answered.
func TestOutage_EndedByRefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newInMemoryFixture(t, writableWithHoldings())
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
			<-time.After(longestOutage * 4 / 10) // Shorter than the pause that ends an outage.
		}
	})
}

// A rate limit is no outage, however long it lasts, and no request is made
// before it opens.
func TestOutage_LongRateLimit(t *testing.T) {
	t.Parallel()
	const lasts = longestOutage * 3 / 2
	for _, seconds := range []int{1, 8, 30, 60} {
		t.Run(fmt.Sprint(seconds), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				wait := time.Duration(seconds) * time.Second
				f, built := newOutageFixture(t, sim.Fault{
					Operation: "listUsers", Kind: sim.FaultStatus, Status: http.StatusTooManyRequests,
					Header: http.Header{"Retry-After": {fmt.Sprint(seconds)}},
				})
				time.AfterFunc(lasts, f.sim.ClearFaults)
				took, rows, err := readWithRetries(t, built, readsOfASync()["listUsers"])
				if err != nil || rows == 0 || took < lasts || took > lasts+wait {
					t.Errorf("%d rows after %s: %v", rows, took, err)
				}
				if n := f.requestCounts()["listUsers"]; n > int(took/wait)+1 {
					t.Errorf("%d requests in %s", n, took)
				}
			})
		})
	}
}
