package segmentapi

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/segmentio/public-api-sdk-go/api"
)

// AuditTrailAge is how far the audit trail reaches back: 90 days. (Segment's documentation
// of its Audit Trail.)
const AuditTrailAge = 90 * 24 * time.Hour

// auditClockError is how far the clocks of the caller and of Segment may differ. It
// also covers 90 days that were counted by the calendar, across a change to daylight
// saving time.
const auditClockError = 24 * time.Hour

// AuditService reads the audit trail: which changes were made in the workspace, and by whom.
// The trail is a feature of the Business plan. In other workspaces Segment answers with an
// error; see [LacksFeature].
type AuditService struct{ c *Client }

// An AuditEvent is one change in the audit trail. Segment documents no list of values for
// its fields: the official client (API 57.3.0) documents some types of events, such as
// "Policy Created" or "User Group Deleted", with the operations that may leave them. An
// event contains neither what was changed nor the permissions before and after.
type AuditEvent struct {
	ID string
	// Time is in UTC.
	Time time.Time
	Type string
	// Actor is the user or the API token that made the change.
	Actor string
	// ActorEmail is empty if Segment sends none.
	ActorEmail string
	// ResourceID is the id of the resource that was affected. Segment does not document
	// whether an event about a policy has the id of the policy, or of the user or group
	// that holds it.
	ResourceID   string
	ResourceType string
	ResourceName string
}

// AuditOptions select events. Empty fields do not restrict them.
type AuditOptions struct {
	// Start and End select the events after Start and before End, in any time zone, to the
	// millisecond. Segment does not document whether an event at exactly that time is
	// selected. Without an End, the list ends at the time of its first page.
	//
	// Events older than [AuditTrailAge] are gone, so Start and End must not be more than a
	// day older: such a list would look complete. Start must not be more than a day in the
	// future.
	Start, End time.Time
	// ResourceID and ResourceType select the events that affect a resource, or resources of
	// a type, as the fields of [AuditEvent].
	ResourceID   string
	ResourceType string
	ListOptions
}

// List returns one page of events: GET /audit-events (listAuditEvents). Neither their order
// nor the delay after which an event appears is documented. Sort events by Time, and do not
// conclude from a missing event that no change was made.
//
// For the next page, set Cursor and leave the rest of the options as it is. The answer may
// have no pagination. A page with fewer rows than requested is then the last one, and any
// other is [ErrBadResponse], as is an event without an id or a time. Other errors match
// [ErrInvalidArgument], before any request, and those of [AuditService].
func (s *AuditService) List(ctx context.Context, opts AuditOptions) (*Page[AuditEvent], error) {
	if err := opts.check(time.Now()); err != nil {
		return nil, err
	}
	op := call{"listAuditEvents", http.MethodGet, "/audit-events"}
	page, err := list(ctx, s.c, opts.ListOptions, lister[api.ListAuditEvents200Response, api.AuditEventV1, AuditEvent]{
		call: op,
		run: func(ctx context.Context, p api.PaginationInput) (*api.ListAuditEvents200Response, *http.Response, error) {
			return opts.filter(s.c.raw.AuditTrailAPI.ListAuditEvents(ctx)).Pagination(p).Execute()
		},
		read: func(o *api.ListAuditEvents200Response) ([]api.AuditEventV1, api.PaginationOutput) {
			d := o.GetData()
			return d.Events, d.GetPagination()
		},
		convert:            auditEventOf,
		id:                 func(e AuditEvent) string { return e.ID },
		optionalPagination: true,
	})
	if err != nil {
		return nil, err
	}
	for i, e := range page.Items {
		if e.Time.IsZero() {
			return nil, op.bad("row %d has no time in ISO 8601 format", i+1)
		}
	}
	return page, nil
}

// All streams the events of all pages, from Cursor if it is set. See [AuditService.List].
func (s *AuditService) All(ctx context.Context, opts AuditOptions) iter.Seq2[AuditEvent, error] {
	return all(ctx, "listAuditEvents", func(ctx context.Context, page ListOptions) (*Page[AuditEvent], error) {
		at := opts
		if page.Cursor != "" {
			at.Cursor = page.Cursor
		}
		return s.List(ctx, at)
	})
}

// check refuses times that cannot select all events that the caller asks for.
func (o AuditOptions) check(now time.Time) error {
	oldest := now.Add(-AuditTrailAge - auditClockError)
	switch {
	case !o.Start.IsZero() && o.Start.Before(oldest):
		return invalidArgument("the start %s is more than 90 days ago: older events are gone", auditTime(o.Start))
	case !o.End.IsZero() && o.End.Before(oldest):
		return invalidArgument("the end %s is more than 90 days ago: older events are gone", auditTime(o.End))
	case o.Start.After(now.Add(auditClockError)):
		return invalidArgument("the start %s is in the future", auditTime(o.Start))
	case !o.End.IsZero() && !o.Start.Before(o.End):
		return invalidArgument("the end %s is not after the start %s", auditTime(o.End), auditTime(o.Start))
	}
	return nil
}

// filter adds the options to a request, without the pagination. An end between two
// milliseconds becomes the later one, so that no event before it is lost.
func (o AuditOptions) filter(r api.ApiListAuditEventsRequest) api.ApiListAuditEventsRequest {
	if !o.Start.IsZero() {
		r = r.StartTime(auditTime(o.Start))
	}
	if !o.End.IsZero() {
		r = r.EndTime(auditTime(o.End.Add(time.Millisecond - 1)))
	}
	if o.ResourceID != "" {
		r = r.ResourceId(o.ResourceID)
	}
	if o.ResourceType != "" {
		r = r.ResourceType(o.ResourceType)
	}
	return r
}

// auditTime writes a time as Segment writes those of events: in UTC, with milliseconds.
func auditTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }
