package connector

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// longestOutage is how long Segment may fail without one success in between.
// The SDK would try again for ever.
const longestOutage = 10 * time.Minute

const checkAccess = "check the token, that the token's role allows this (a Workspace Owner's does), and the region: a token works in one region only"

const refusedAdvice = "Segment refuses the change: sync again to see what is there, then try again or make it in Segment"

// ask runs one operation and translates its error. Every request of the connector
// passes here. The parameter what names the operation in words.
func ask[T any](ctx context.Context, c *Connector, what string, do func(context.Context) (T, error)) (T, error) {
	started := time.Now()
	out, err := do(ctx)
	if err == nil {
		c.outage.end()
		return out, nil
	}
	var zero T
	return zero, &apiError{what: what, err: err, status: c.translate(what, err, started)}
}

// An apiError keeps the library's error for the code around it and shows the
// SDK a gRPC status: the syncer goes by the code.
type apiError struct {
	what   string
	err    error
	status *status.Status
}

// Error is the status's message.
func (e *apiError) Error() string { return e.status.Message() }

// Unwrap returns the library's error.
func (e *apiError) Unwrap() error { return e.err }

// GRPCStatus is what the SDK makes of it.
func (e *apiError) GRPCStatus() *status.Status { return e.status }

// hint adds advice to an error, unless the SDK will try again by itself.
func hint(err error, advice string) error {
	var e *apiError
	if !errors.As(err, &e) || e.status.Code() == codes.Unavailable {
		return err
	}
	p := e.status.Proto()
	p.Message += "; " + advice
	return &apiError{what: e.what, err: e.err, status: status.FromProto(p)}
}

// translate decides what the syncer does: it tries again after Unavailable,
// takes NotFound for a warning, and ends the sync on everything else.
func (c *Connector) translate(what string, err error, started time.Time) *status.Status {
	var limited *segmentapi.RateLimitError
	if errors.As(err, &limited) && !errors.Is(err, segmentapi.ErrLastOwner) && !errors.Is(err, segmentapi.ErrNotRestored) {
		return rateLimited(what, limited)
	}
	code, advice := codes.Internal, ""
	httpStatus := 0
	var e *segmentapi.Error
	if errors.As(err, &e) {
		httpStatus = e.StatusCode
	}
	switch {
	case errors.Is(err, segmentapi.ErrNotRestored):
		// Aborted, because a second try would find nothing to put right.
		code, advice = codes.Aborted, "look at it in Segment, and whether the workspace has an owner, before anything is tried again"
	case errors.Is(err, segmentapi.ErrLastOwner):
		code, advice = codes.FailedPrecondition, "a workspace without an owner can be managed by nobody"
	case errors.Is(err, segmentapi.ErrLastPermission):
		code, advice = codes.FailedPrecondition, "remove the user from the workspace, or delete the group, instead"
	case errors.Is(err, segmentapi.ErrAmbiguous):
		code, advice = codes.FailedPrecondition, "make the change in Segment"
	case errors.Is(err, segmentapi.ErrNotApplied):
		// Aborted, because the SDK would repeat what is Unavailable.
		code, advice = codes.Aborted, "somebody else may be changing the same: look at it in Segment, then try again"
	case untrusted(err):
		code, advice = codes.FailedPrecondition, "check the base URL, proxies on the way, and which certificates this machine trusts"
	case errors.Is(err, segmentapi.ErrConnection):
		code, advice = codes.Unavailable, "check the network and, if it was set, the base URL"
	case errors.Is(err, segmentapi.ErrBadResponse):
		code, advice = codes.Internal, "such an answer does not come from Segment itself: check the base URL, the region and proxies on the way"
	case errors.Is(err, segmentapi.ErrInvalidArgument):
		code = codes.InvalidArgument
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	case errors.Is(err, segmentapi.ErrUnauthorized):
		code, advice = codes.Unauthenticated, checkAccess
	case errors.Is(err, segmentapi.ErrForbidden):
		code, advice = codes.PermissionDenied, checkAccess
	case errors.Is(err, segmentapi.ErrNotFound) && httpStatus != 0 && e.Method != http.MethodGet:
		code, advice = codes.FailedPrecondition, "what was to be changed, or something that the change names, may be gone: sync again"
	case errors.Is(err, segmentapi.ErrNotFound):
		// Not NotFound: the sync would finish without the rows.
		code = codes.FailedPrecondition
		if httpStatus != 0 {
			advice = "check the base URL and the region"
		}
	case errors.Is(err, segmentapi.ErrBadRequest), errors.Is(err, segmentapi.ErrInvalid):
		code = codes.InvalidArgument
		if httpStatus != 0 && e.Method != http.MethodGet && (e.Method != http.MethodPost || errors.Is(err, segmentapi.ErrBadRequest)) {
			advice = refusedAdvice // What is posted and invalid has a hint.
		}
	case httpStatus == http.StatusInternalServerError, httpStatus == http.StatusNotImplemented:
		code, advice = codes.Internal, "Segment keeps failing: try again later, then ask Segment's support"
	case errors.Is(err, segmentapi.ErrServer), httpStatus == http.StatusRequestTimeout:
		code, advice = codes.Unavailable, "Segment, or something on the way to it, fails: try again later"
	case httpStatus != 0:
		code = codes.FailedPrecondition
		if e.Method != http.MethodGet {
			advice = refusedAdvice
		}
	}
	if code != codes.Unavailable && httpStatus < http.StatusInternalServerError && fromSegment(err) {
		c.outage.end() // A refusal is an answer.
	}
	if code == codes.Unavailable {
		if lasted := c.outage.failed(started, time.Now()); lasted >= longestOutage {
			code, advice = codes.Internal, fmt.Sprintf("Segment keeps failing, for %s without a success in between: giving up", lasted.Round(time.Second))
		}
	}
	// Joined errors, as the SDK's transport makes them, have a line each.
	message := fmt.Sprintf("%s: %s", what, strings.ReplaceAll(err.Error(), "\n", ": "))
	if advice != "" {
		message += ": " + advice
	}
	return status.New(code, clip(message, maxDescription))
}

// untrusted reports that the server's certificate could not be verified, which
// does not change on another try.
func untrusted(err error) bool {
	var failed *tls.CertificateVerificationError
	return errors.As(err, &failed)
}

// An outage is an unbroken series of failures.
type outage struct {
	mu          sync.Mutex
	began, last time.Time
}

// failed returns how long the series has lasted, including a request that was
// sent at started and has failed now: a request may take minutes to fail. A new
// series begins after a pause as long as the longest outage, because nothing was
// asked meanwhile.
func (o *outage) failed(started, now time.Time) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.began.IsZero() || started.Sub(o.last) >= longestOutage {
		o.began = started
	}
	o.last = now
	return now.Sub(o.began)
}

func (o *outage) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.began = time.Time{}
}

// rateLimited tells the SDK to wait for exactly as long as the client would.
// Not ResourceExhausted: that ends a sync.
func rateLimited(what string, err *segmentapi.RateLimitError) *status.Status {
	st := status.New(codes.Unavailable, clip(fmt.Sprintf("%s: %v", what, err), maxDescription))
	detailed, detailErr := st.WithDetails(v2.RateLimitDescription_builder{
		Status:  v2.RateLimitDescription_STATUS_OVERLIMIT,
		ResetAt: timestamppb.New(err.Reset),
	}.Build())
	if detailErr != nil { // Only for the code OK.
		return st
	}
	return detailed
}

// explainCursor adds advice to the error of a page if Segment refuses the page's
// cursor: the next run would ask for the same page.
func explainCursor(err error, token pageToken) error {
	refused := errors.Is(err, segmentapi.ErrBadRequest) || errors.Is(err, segmentapi.ErrInvalid) || errors.Is(err, segmentapi.ErrNotFound)
	if token.Cursor == "" || !refused {
		return err
	}
	return hint(err, "the list cannot be continued from here: start afresh, with a new file")
}

// notInPlan reports that Segment itself says that the workspace lacks a
// feature. A refusal does not count, or it would read as "nobody has access".
func notInPlan(err error) bool {
	return fromSegment(err) && (errors.Is(err, segmentapi.ErrBadRequest) || errors.Is(err, segmentapi.ErrNotFound))
}

// fromSegment reports that an error answer has Segment's envelope. An answer
// without it comes from something else on the way, such as a proxy.
func fromSegment(err error) bool {
	var e *segmentapi.Error
	return errors.As(err, &e) && len(e.Details) > 0
}
