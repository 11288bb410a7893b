package connector

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// get is what a targeted sync calls.
func (c *Connector) get(ctx context.Context, typeID, id string) (*v2.Resource, error) {
	for _, s := range c.ResourceSyncers(ctx) {
		if s.ResourceType(ctx).GetId() != typeID {
			continue
		}
		if targeted, ok := s.(connectorbuilder.ResourceTargetedSyncerLimited); ok {
			r, _, err := targeted.Get(ctx, resourceID(typeID, id), nil)
			return r, err
		}
	}
	return nil, errors.New("no such type")
}

func TestGetReturnsTheRowOfTheList(t *testing.T) {
	t.Parallel()
	for name, ws := range map[string]*sim.Workspace{"full": full(), "demo": sim.Demo(), "hostile": sim.Hostile()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, ws)
			for typeID, rows := range f.list(t) {
				f.requests()
				if len(rows) == 0 {
					t.Errorf("no %s", typeID)
				}
				// Of a label that is defined twice the last row is stored.
				last := map[string]*v2.Resource{}
				for _, r := range rows {
					last[r.GetId().GetResource()] = r
				}
				for id, want := range last {
					if diff := cmp.Diff(want, must(f.get(t.Context(), typeID, id))(t), protocmp.Transform()); diff != "" {
						t.Errorf("%s %s (-listed +got):\n%s", typeID, id, diff)
					}
				}
				want := map[string]int{gets()[typeID]: len(last)}
				if typeID == typeRole {
					want["listRoles"] = 1
				}
				if diff := cmp.Diff(want, f.requests()); diff != "" {
					t.Errorf("requests (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// A set of labels is in no list; its id says all.
func TestGetOfALabelSet(t *testing.T) {
	t.Parallel()
	f := newFixture(t, full())
	got := must(f.get(t.Context(), typeLabel, "env=prod,team=a%2Cb"))(t)
	want := map[string]any{"listed": false, "labels": []any{"env=prod", "team=a%2Cb"}}
	if diff := cmp.Diff(want, got.GetProfile().AsMap()); diff != "" || got.GetDisplayName() != "env=prod and team=a,b" {
		t.Errorf("%q, profile (-want +got):\n%s", got.GetDisplayName(), diff)
	}
	if requests := f.requests(); len(requests) != 0 {
		t.Errorf("requests: %v", requests)
	}
	// In another order it is the id of nothing, as is a single label that is not
	// defined.
	for _, id := range []string{"team=a,env=prod", "env=gone", "nonsense", access.LabelID([]segmentapi.Label{{Key: longest("")}})} {
		if r, err := f.get(t.Context(), typeLabel, id); status.Code(err) != codes.NotFound {
			t.Errorf("%s: %v, %v", id, r, err)
		}
	}
}

// What is not there is left out of a targeted sync; every refusal fails it.
func TestGetThatFails(t *testing.T) {
	t.Parallel()
	for typeID, operation := range gets() {
		for httpStatus, want := range map[int]codes.Code{
			http.StatusOK:                  codes.NotFound,
			http.StatusBadRequest:          codes.InvalidArgument,
			http.StatusUnauthorized:        codes.Unauthenticated,
			http.StatusForbidden:           codes.PermissionDenied,
			http.StatusInternalServerError: codes.Internal,
			http.StatusServiceUnavailable:  codes.Unavailable,
		} {
			synctest.Test(t, func(t *testing.T) {
				f := timeless(t, full())
				if httpStatus != http.StatusOK {
					f.inject(t, sim.Fault{Operation: operation, Kind: sim.FaultStatus, Status: httpStatus})
				}
				if httpStatus == http.StatusBadRequest && slices.Contains([]string{typeGroup, typeWarehouse, typeFunction, typeSpace, typeLabel}, typeID) {
					want = codes.NotFound // The plan lacks it.
				}
				r, err := f.get(t.Context(), typeID, "missing")
				if status.Code(err) != want || r != nil {
					t.Errorf("%s, status %d: %v, %v, want %s", typeID, httpStatus, r, err, want)
				}
			})
		}
	}
}

// In a targeted sync nobody else waits for the rate limit.
func TestGetWaitsForTheRateLimit(t *testing.T) {
	t.Parallel()
	ids := map[string]string{
		typeWorkspace: workspaceID, typeUser: "u1", typeInvite: "new@example.com", typeGroup: "g1", typeRole: "owner",
		typeSource: "src", typeWarehouse: "w1", typeFunction: "f1", typeSpace: "spa_1", typeLabel: "env=prod",
	}
	limit := sim.Fault{Ordinal: 1, Kind: sim.FaultStatus, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"40"}}}
	for typeID, operation := range gets() {
		synctest.Test(t, func(t *testing.T) {
			f := timeless(t, full())
			limit.Operation = operation
			f.inject(t, limit)
			began := time.Now()
			if _, err := f.get(t.Context(), typeID, ids[typeID]); err != nil {
				t.Errorf("%s: %v", typeID, err)
			}
			if waited := time.Since(began); waited < 40*time.Second || waited > 65*time.Second {
				t.Errorf("%s: waited %s", typeID, waited)
			}
		})
	}
	// The connector that New makes has this patience, too: it is still waiting
	// when its caller has enough.
	f := newFixture(t, full())
	limit.Operation = "getUser"
	f.inject(t, limit)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := f.get(ctx, typeUser, "u1"); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
}

// A targeted sync lists nothing, so the first permission on a space reads the
// ids of all, or a space would get two.
func TestTargetedSyncKnowsSpaces(t *testing.T) {
	t.Parallel()
	spaces := func(ids ...string) []sim.Permission {
		p := sim.Permission{RoleID: "uni"}
		for _, id := range ids {
			p.Resources = append(p.Resources, sim.Resource{ID: id, Type: "SPACE"})
		}
		return []sim.Permission{p}
	}
	ws := full()
	ws.Users[0].Permissions, ws.Users[1].Permissions = spaces("1", "spa_2"), spaces("2", "spa_other")
	for name, c := range map[string]struct {
		size  int
		fault sim.Fault
		want  []string
		code  codes.Code
	}{
		"listed": {want: []string{
			"space:spa_1:uni:user:u1", "space:2:uni:user:u1", "workspace:wksp:member:user:u1",
			"space:2:uni:user:u2", "space:spa_other:uni:user:u2", "workspace:wksp:member:user:u2",
		}},
		"not in the plan": {fault: sim.Fault{Kind: sim.FaultStatus, Status: 400}, want: []string{
			"space:spa_1:uni:user:u1", "space:spa_2:uni:user:u1", "workspace:wksp:member:user:u1",
			"space:spa_2:uni:user:u2", "space:spa_other:uni:user:u2", "workspace:wksp:member:user:u2",
		}},
		"refused":     {fault: sim.Fault{Kind: sim.FaultStatus, Status: 403}, code: codes.PermissionDenied},
		"of a proxy":  {fault: sim.Fault{Kind: sim.FaultHTML, Status: 404}, code: codes.FailedPrecondition},
		"second page": {size: 1, fault: sim.Fault{Ordinal: 2, Kind: sim.FaultStatus, Status: 404}, code: codes.FailedPrecondition},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := paged(t, ws, c.size)
			if c.fault.Kind != "" {
				c.fault.Operation = "listSpaces"
				f.inject(t, c.fault)
			}
			// Who holds nothing on spaces needs no list of them.
			must(f.grants(t.Context(), must(userResource(segmentapiUser("u3")))(t)))(t)
			if asked := f.requests()["listSpaces"]; asked != 0 {
				t.Errorf("spaces were listed for nothing")
			}
			var got []string
			for _, id := range []string{"u1", "u2"} {
				grants, err := f.grants(t.Context(), must(userResource(segmentapiUser(id)))(t))
				if status.Code(err) != c.code {
					t.Fatalf("%s: %v, want %s", id, err, c.code)
				}
				if err != nil {
					return
				}
				got = append(got, grantIDs(grants)...)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("grants (-want +got):\n%s", diff)
			}
			if asked := f.requests()["listSpaces"]; asked != 1 {
				t.Errorf("spaces were listed %d times", asked)
			}
		})
	}
}
