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
	code, advice, ok := ofKind(err)
	var e *segmentapi.Error
	if !errors.As(err, &e) {
		e = &segmentapi.Error{}
	}
	if !ok {
		code, advice = ofStatus(err, e)
	}
	if code != codes.Unavailable && e.StatusCode < http.StatusInternalServerError && segmentapi.FromSegment(err) {
		c.outage.end() // A refusal is an answer.
	}
	if code == codes.Unavailable {
		if lasted := c.outage.failed(started, time.Now()); lasted >= longestOutage {
			code, advice = codes.Internal, fmt.Sprintf("Segment keeps failing: there was no success in %s", lasted.Round(time.Second))
		}
	}
	// Joined errors, as the SDK's transport makes them, have a line each.
	message := fmt.Sprintf("%s: %s", what, strings.ReplaceAll(err.Error(), "\n", ": "))
	if advice != "" {
		message += ": " + advice
	}
	return status.New(code, clip(message, maxDescription))
}

// ofKind returns the code and the advice for an error that the library has a
// kind for, or false for one that is known by its HTTP status.
func ofKind(err error) (codes.Code, string, bool) {
	switch {
	case errors.Is(err, segmentapi.ErrNotRestored):
		// Aborted, because a second try would find nothing to put right.
		return codes.Aborted, "before you try again, check in Segment what it names, and that the workspace has an owner", true
	case errors.Is(err, segmentapi.ErrNotUnderstood):
		return codes.FailedPrecondition, "use a token that sees permissions, or make the change in Segment: this version cannot write back everything that it read", true
	case errors.Is(err, segmentapi.ErrContested):
		return codes.Aborted, "another program changes it at the same time: check it in Segment, then try again", true
	case errors.Is(err, segmentapi.ErrUnconfirmed):
		// Aborted, because the SDK would repeat what is Unavailable without an end.
		return codes.Aborted, "it may become visible later: try again later, which changes nothing if the change is visible by then", true
	case errors.Is(err, segmentapi.ErrLastOwner):
		return codes.FailedPrecondition, "nobody can manage a workspace without an owner", true
	case errors.Is(err, segmentapi.ErrLastPermission):
		return codes.FailedPrecondition, "remove the user from the workspace, or delete the group, instead", true
	case errors.Is(err, segmentapi.ErrAmbiguous):
		return codes.FailedPrecondition, "make the change in Segment", true
	case errors.Is(err, segmentapi.ErrNotApplied):
		// Aborted, because the SDK would repeat what is Unavailable.
		return codes.Aborted, "another program may be changing it at the same time: check it in Segment, then try again", true
	case untrusted(err):
		return codes.FailedPrecondition, "check the base URL, proxies on the way, and which certificates this machine trusts", true
	case errors.Is(err, segmentapi.ErrConnection):
		return codes.Unavailable, "check the network and, if set, the base URL", true
	case errors.Is(err, segmentapi.ErrBadResponse):
		return codes.Internal, "such an answer does not come from Segment itself: check the base URL, the region and proxies on the way", true
	case errors.Is(err, segmentapi.ErrInvalidArgument):
		return codes.InvalidArgument, "", true
	case errors.Is(err, context.Canceled):
		return codes.Canceled, "", true
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded, "", true
	}
	return codes.Internal, "", false
}

// ofStatus returns the code and the advice for an answer with an error status.
func ofStatus(err error, e *segmentapi.Error) (codes.Code, string) {
	answered, reading := e.StatusCode != 0, e.Method == http.MethodGet
	switch {
	case errors.Is(err, segmentapi.ErrUnauthorized):
		return codes.Unauthenticated, checkAccess
	case errors.Is(err, segmentapi.ErrForbidden):
		return codes.PermissionDenied, checkAccess
	case e.StatusCode == http.StatusNotFound && !reading:
		return codes.FailedPrecondition, "what was to be changed, or something that the change names, may be gone: sync again"
	case e.StatusCode == http.StatusNotFound:
		// Not NotFound: the sync would finish without the rows.
		return codes.FailedPrecondition, "check the base URL and the region"
	case errors.Is(err, segmentapi.ErrNotFound):
		return codes.FailedPrecondition, ""
	case errors.Is(err, segmentapi.ErrInvalid) && e.Method == http.MethodPost:
		return codes.InvalidArgument, "" // The caller knows better what to do.
	case errors.Is(err, segmentapi.ErrBadRequest), errors.Is(err, segmentapi.ErrInvalid):
		if answered && !reading {
			return codes.InvalidArgument, refusedAdvice
		}
		return codes.InvalidArgument, ""
	case e.StatusCode == http.StatusInternalServerError, e.StatusCode == http.StatusNotImplemented:
		return codes.Internal, "Segment keeps failing: try again later, then ask Segment's support"
	case errors.Is(err, segmentapi.ErrServer), e.StatusCode == http.StatusRequestTimeout:
		return codes.Unavailable, "Segment, or something on the way to it, fails: try again later"
	case answered && !reading:
		return codes.FailedPrecondition, refusedAdvice
	case answered:
		return codes.FailedPrecondition, ""
	}
	return codes.Internal, ""
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
	return hint(err, "the list cannot be continued from here: start again with a new file")
}
