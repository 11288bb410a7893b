package connector

import (
	"context"
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

// transient are the faults after which the SDK tries again, for ever if the
// connector let it.
func transient() map[string]sim.Fault {
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

// requestTimeout is shorter than the SDK's, which three attempts make longer
// than the longest outage.
const requestTimeout = 20 * time.Second

// An outage that lasts ends the sync after ten minutes, and not before; one of
// five minutes costs nothing but the time.
func TestOutagesOfEveryKind(t *testing.T) {
	t.Parallel()
	for name, fault := range transient() {
		for operation, read := range map[string]func(context.Context, types.ConnectorServer) (int, error){
			"listUsers": listUsers,
			"getUser":   userGrants,
		} {
			planned := fault
			planned.Operation = operation
			t.Run(name+"/"+operation, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					took, _, err := outlive(t, planned, 0, read)
					// The last wait and the last attempts come on top.
					if took < longestOutage || took > longestOutage+time.Minute+3*requestTimeout+time.Minute/4 {
						t.Errorf("it took %s", took)
					}
					if status.Code(err) != codes.Internal || !strings.Contains(err.Error(), "segment "+operation) ||
						!strings.Contains(err.Error(), "Segment keeps failing, for 1") || !strings.Contains(err.Error(), "giving up") {
						t.Errorf("%v", err)
					}
				})
				synctest.Test(t, func(t *testing.T) {
					took, rows, err := outlive(t, planned, longestOutage/2, read)
					if err != nil || rows == 0 || took < longestOutage/2 || took > longestOutage {
						t.Errorf("%d rows after %s: %v", rows, took, err)
					}
				})
			})
		}
	}
}

// outlive reads as the SDK's syncer does, until there are rows or an error that
// it does not try again after. The fault goes after a while, or never.
func outlive(t *testing.T, fault sim.Fault, lasts time.Duration, read func(context.Context, types.ConnectorServer) (int, error)) (time.Duration, int, error) {
	t.Helper()
	f := timeless(t, small())
	web := &http.Client{Transport: f.sim.RoundTripper(), Timeout: requestTimeout}
	f.client = must(segmentapi.New(f.sim.Token(), segmentapi.WithHTTPClient(web), segmentapi.WithRetry(syncRetry)))(t)
	built := must(connectorbuilder.NewConnector(t.Context(), f.Connector, connectorbuilder.WithSessionStore(f.session)))(t)
	f.inject(t, fault)
	if lasts > 0 {
		time.AfterFunc(lasts, f.sim.ClearFaults)
	}
	// As in pkg/sync.
	retryer := retry.NewRetryer(t.Context(), retry.RetryConfig{InitialDelay: time.Second})
	began := time.Now()
	for {
		rows, err := read(t.Context(), built)
		if err == nil || !retryer.ShouldWaitAndRetry(t.Context(), err) {
			return time.Since(began), rows, err
		}
	}
}

func listUsers(ctx context.Context, c types.ConnectorServer) (int, error) {
	r, err := c.ListResources(ctx, v2.ResourcesServiceListResourcesRequest_builder{ResourceTypeId: typeUser}.Build())
	return len(r.GetList()), err
}

func userGrants(ctx context.Context, c types.ConnectorServer) (int, error) {
	r, err := c.ListGrants(ctx, v2.GrantsServiceListGrantsRequest_builder{
		Resource: v2.Resource_builder{Id: resourceID(typeUser, "u1")}.Build(),
	}.Build())
	return len(r.GetList()), err
}
