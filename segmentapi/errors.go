package segmentapi

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Sentinels for [errors.Is]. An [*Error] matches by its HTTP status, never by its
// text. The sentinels after ErrServer are for failures that no status describes.
var (
	// ErrBadRequest matches status 400.
	ErrBadRequest = errors.New("bad request")
	// ErrUnauthorized matches status 401: no token, a wrong token, a token of
	// another region, or one whose role does not allow the operation.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrForbidden matches status 403.
	ErrForbidden = errors.New("forbidden")
	// ErrNotFound matches status 404, and a search that has read a list to its end without
	// finding anything. The error of a search has the StatusCode 0, and is not [FromSegment].
	ErrNotFound = errors.New("not found")
	// ErrConflict matches status 409.
	ErrConflict = errors.New("conflict")
	// ErrInvalid matches status 422: Segment understood the request and
	// refuses a value in it.
	ErrInvalid = errors.New("invalid value")
	// ErrRateLimited matches status 429 and every [*RateLimitError].
	ErrRateLimited = errors.New("rate limited")
	// ErrServer matches every status from 500.
	ErrServer = errors.New("server error")

	// ErrInvalidArgument is returned before any request when an argument or
	// option cannot be used.
	ErrInvalidArgument = errors.New("invalid argument")
	// ErrBadResponse means that an answer cannot be trusted: a redirect, an
	// empty or undecodable body, a page without pagination, a cursor that
	// repeats, a row without an id.
	ErrBadResponse = errors.New("bad response")
	// ErrConnection means that no answer arrived.
	ErrConnection = errors.New("no answer")

	// ErrAmbiguous means that several objects have the same name or address, so it is
	// unclear which of them is meant.
	ErrAmbiguous = errors.New("ambiguous")
	// ErrLastOwner means that an edit could leave the workspace without an owner: no
	// other holder of the role Workspace Owner was found. Nothing was changed, or
	// the change was undone.
	ErrLastOwner = errors.New("no other Workspace Owner found")
	// ErrNotRestored means that a change went beyond the request, or must not stay,
	// and could not be undone. The error names what to check. Trying again does
	// not help.
	ErrNotRestored = errors.New("COULD NOT BE CHANGED BACK")
	// ErrLastPermission means that an edit would leave a user or a group without any
	// permission, and that Minimal Workspace Access cannot take its place. Nothing
	// was changed.
	ErrLastPermission = errors.New("the last permission cannot be revoked")
	// ErrNotApplied means that Segment accepted a change, but shows only a part of it or
	// something else when it is read back. The error lists what is still to change.
	ErrNotApplied = errors.New("not applied as requested")
	// ErrUnconfirmed means that Segment accepted a change, but that no read has shown it
	// within the time of [WithSettleTime]. It may still show later. Repeat the call to
	// find out.
	ErrUnconfirmed = errors.New("accepted, but not visible")
	// ErrContested means that another program has overwritten a change twice, or a part
	// of it once, by replacing all permissions at the same time. The error lists what is
	// still to change.
	ErrContested = errors.New("overwritten by another program")
	// ErrNotUnderstood means that the permissions of a user or a group cannot be
	// replaced without losing something: they have a field that this package cannot
	// send back, or a role on no resource, or the token does not see them.
	// Nothing was changed.
	ErrNotUnderstood = errors.New("cannot be replaced without loss")
)

// An Error is a failed operation. Use [errors.Is] with the sentinels of this
// package, or [errors.As] to read the fields. It never contains the token.
type Error struct {
	// Operation is the API operation, such as "listUsers".
	Operation string
	// Method and Path are those of the request, without the query. They are empty if the
	// official client refused to make one ([Do]).
	Method, Path string
	// StatusCode is the HTTP status, 0 when no answer arrived.
	StatusCode int
	// Details is Segment's error envelope. It is empty if the answer had none, as
	// with a proxy's error page; see [FromSegment].
	Details []ErrorDetail
	// Attempts is how many requests were sent.
	Attempts int

	kind  error
	cause error
}

// FromSegment reports whether err is an error that Segment itself sent: an
// [*Error] with Segment's error envelope in its Details. An answer without the
// envelope comes from something in between, such as a proxy, and is no evidence
// about the workspace: a 404 of that kind does not mean that a user is gone.
func FromSegment(err error) bool {
	var e *Error
	return errors.As(err, &e) && len(e.Details) > 0
}

// LacksFeature reports whether err says that the workspace's plan does not include what
// was asked for, such as user groups: status 404, or status 400 without a hint that the
// request itself was wrong. Only Segment's own answers count. Segment does not
// document how it answers in this case.
func LacksFeature(err error) bool {
	var e *Error
	if !errors.As(err, &e) || len(e.Details) == 0 {
		return false
	}
	wrongRequest := slices.ContainsFunc(e.Details, func(d ErrorDetail) bool { return d.Field != "" || d.Type == "input-validation" })
	return e.StatusCode == http.StatusNotFound || e.StatusCode == http.StatusBadRequest && !wrongRequest
}

// An ErrorDetail is one entry of Segment's error envelope.
type ErrorDetail struct {
	Type    string
	Message string
	// Field names the refused input, if Segment reports it.
	Field string
}

// maxText bounds the text of an error, in bytes: servers write parts of it, and
// gRPC carries no status of many kilobytes. Details have the full text.
const maxText = 1024

// Error names the operation, the request and the answer, on one line of no more
// than 1100 bytes.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "segment %s", e.Operation)
	if e.Method != "" {
		fmt.Fprintf(&b, " (%s %s)", e.Method, e.Path)
	}
	b.WriteString(": ")
	switch {
	case e.StatusCode != 0 && e.kind == nil:
		fmt.Fprintf(&b, "%d %s", e.StatusCode, http.StatusText(e.StatusCode))
	case e.kind != nil && e.cause != nil:
		fmt.Fprintf(&b, "%v: %v", e.kind, e.cause)
	case e.kind != nil:
		b.WriteString(e.kind.Error())
	default:
		fmt.Fprintf(&b, "%v", e.cause)
	}
	for _, d := range e.Details {
		if b.Len() > maxText {
			break
		}
		fmt.Fprintf(&b, "; %s", d)
	}
	text := line(b.String())
	if e.Attempts > 1 {
		text += fmt.Sprintf(" (after %d attempts)", e.Attempts)
	}
	return text
}

// line turns a server's text into one readable line of at most maxText bytes.
func line(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if len(text) <= maxText {
		return text
	}
	const more = " [...]"
	end := maxText - len(more)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + more
}

// String is the detail on one line of no more than 1024 bytes.
func (d ErrorDetail) String() string {
	s := d.Message
	if s == "" {
		s = d.Type
	}
	if d.Field != "" {
		s += " (field " + d.Field + ")"
	}
	return line(s)
}

// Unwrap returns the underlying failure, such as a context's error.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is the sentinel for e's status or kind.
func (e *Error) Is(target error) bool {
	if e.kind != nil {
		return target == e.kind
	}
	switch e.StatusCode {
	case http.StatusBadRequest:
		return target == ErrBadRequest
	case http.StatusUnauthorized:
		return target == ErrUnauthorized
	case http.StatusForbidden:
		return target == ErrForbidden
	case http.StatusNotFound:
		return target == ErrNotFound
	case http.StatusConflict:
		return target == ErrConflict
	case http.StatusUnprocessableEntity:
		return target == ErrInvalid
	case http.StatusTooManyRequests:
		return target == ErrRateLimited
	}
	return e.StatusCode >= http.StatusInternalServerError && target == ErrServer
}

// A RateLimitError means that the token has used up its share of the rate limit, or that
// too many requests are under way at a time, and that waiting would exceed the client's
// [RetryPolicy]. The request that failed changed nothing; an error that wraps this one
// names earlier changes.
type RateLimitError struct {
	// Wait is how long to wait, counted from when the error was made.
	Wait time.Duration
	// Reset is the instant at which this client sends again.
	Reset time.Time

	err *Error
	// tooManyAtOnce is set if Segment refused the request because too many were under way.
	tooManyAtOnce bool
}

// Error names the operation and the time to wait.
func (e *RateLimitError) Error() string {
	wait := "try again in " + e.Wait.Round(time.Millisecond).String()
	if e.err == nil {
		return ErrRateLimited.Error() + ": " + wait
	}
	return fmt.Sprintf("%v: %s", e.err, wait)
}

// Unwrap returns the [*Error] behind it.
func (e *RateLimitError) Unwrap() error {
	if e.err == nil { // Made outside this package, as in a test.
		return nil
	}
	return e.err
}

// Is makes a RateLimitError match [ErrRateLimited], whether Segment refused the
// request or the client held it back.
func (e *RateLimitError) Is(target error) bool { return target == ErrRateLimited }

// usesUpTry reports whether an attempt that ended with err counts for the
// [RetryPolicy]. A refusal because too many requests were under way does not.
func usesUpTry(err error) bool {
	var limited *RateLimitError
	return !errors.As(err, &limited) || !limited.tooManyAtOnce
}

func invalidArgument(format string, args ...any) error {
	return fmt.Errorf("segmentapi: %w: %s", ErrInvalidArgument, fmt.Sprintf(format, args...))
}
