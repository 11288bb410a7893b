package connector

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/retry"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// Each error of a list has the code of the table in the design. OK means that
// the type is skipped.
func TestList_Errors(t *testing.T) {
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
		for typeID, operation := range listOperations() {
			whole := typeID == typeWorkspace || typeID == typeLabel
			if whole && (c.fault.Kind == sim.FaultNoPagination || c.fault.Kind == sim.FaultRepeatCursor) {
				continue // The list has no pages.
			}
			t.Run(operation+" "+c.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					f := newInMemoryFixture(t, full())
					fault := c.fault
					fault.Operation = operation
					f.inject(t, fault)
					optional := slices.Contains(optionalTypes(), typeID)
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

// A type is skipped only for Segment's own answer to its first page. A later
// answer, or one of a proxy, would truncate the list.
func TestList_ErrorsThatAreNoPlanGate(t *testing.T) {
	t.Parallel()
	for _, typeID := range []string{typeGroup, typeWarehouse, typeSpace, typeFunction} {
		operation := listOperations()[typeID]
		for want, fault := range map[codes.Code]sim.Fault{
			codes.InvalidArgument:    {Kind: sim.FaultStatus, Status: http.StatusBadRequest},
			codes.FailedPrecondition: {Kind: sim.FaultStatus, Status: http.StatusNotFound},
		} {
			ws := full()
			ws.Functions = append(ws.Functions, sim.Function{ID: "f3", ResourceType: "INSERT_TRANSFORMATION"})
			f := newPagedFixture(t, ws, 1)
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

// The error of a rate limit has the time at which the client's own limiter
// opens, so that the SDK waits that long.
func TestList_RateLimitDetail(t *testing.T) {
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
	if f.requestCounts()["listUsers"] != 1 {
		t.Error("the client waited itself")
	}
}

// The client waits for short limits and the SDK for longer ones. Together they
// wait as long as Segment says.
func TestList_RateLimitWait(t *testing.T) {
	t.Parallel()
	for _, seconds := range []int{1, 9, 11, 30, 59} {
		t.Run(fmt.Sprint(seconds), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := newInMemoryFixture(t, small())
				f.inject(t, sim.Fault{
					Operation: "listUsers", Ordinal: 1, Kind: sim.FaultStatus, Status: http.StatusTooManyRequests,
					Header: http.Header{"Retry-After": {fmt.Sprint(seconds)}},
				})
				start := time.Now()
				sdk := retry.NewRetryer(t.Context(), retry.RetryConfig{}) // As in a sync.
				_, err := f.listType(t.Context(), typeUser)
				for err != nil && sdk.ShouldWaitAndRetry(t.Context(), err) {
					_, err = f.listType(t.Context(), typeUser)
				}
				if took := time.Since(start); err != nil || took != time.Duration(seconds)*time.Second || f.requestCounts()["listUsers"] != 2 {
					t.Errorf("%v after %s and %d requests", err, took, f.requestCounts()["listUsers"])
				}
			})
		})
	}
}

// An edit that was undone because no owner was left is FailedPrecondition, even
// if it met the rate limit: it must not be tried again.
func TestTranslate_LastOwnerAfterARateLimit(t *testing.T) {
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

// Each error of a write has a code that the SDK does not repeat: a change that Segment has
// accepted, or that another program undoes, must not be made in a loop.
func TestEdit_ErrorCodes(t *testing.T) {
	t.Parallel()
	c := newFixture(t, full())
	for kind, want := range map[error]codes.Code{
		segmentapi.ErrUnconfirmed:    codes.Aborted,
		segmentapi.ErrContested:      codes.Aborted,
		segmentapi.ErrNotApplied:     codes.Aborted,
		segmentapi.ErrNotRestored:    codes.Aborted,
		segmentapi.ErrNotUnderstood:  codes.FailedPrecondition,
		segmentapi.ErrLastOwner:      codes.FailedPrecondition,
		segmentapi.ErrLastPermission: codes.FailedPrecondition,
	} {
		err := fmt.Errorf("segment user u: %w", kind)
		got := c.translate("granting", err, time.Now())
		if got.Code() != want || !strings.HasPrefix(got.Message(), "granting: "+err.Error()+": ") {
			t.Errorf("%v: %v %q", kind, got.Code(), got.Message())
		}
		if code := got.Code(); code == codes.Unavailable || code == codes.DeadlineExceeded {
			t.Errorf("%v is repeated by the SDK", kind)
		}
	}
}
