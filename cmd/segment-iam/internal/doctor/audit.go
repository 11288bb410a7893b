package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/baton-segment/baton-segment/segmentapi"
)

const (
	// auditWithin is how long to wait for events of what the trial did.
	auditWithin = 10 * time.Minute
	// auditInterval is the time between two readings of the audit trail.
	auditInterval = 15 * time.Second

	groupDeleted = "User Group Deleted"

	auditDelay     = "audit trail: delay of events"
	auditOrder     = "audit trail: order of events"
	auditTypes     = "audit trail: events that the writes left"
	auditResources = "audit trail: the resource of events about policies"
)

// readAudit waits until the audit trail has the deletion of the group, and says what events
// look like.
func (t *trial) readAudit(ctx context.Context, begun time.Time) {
	t.Log("waiting for the audit trail, up to %s; an interruption ends the wait", auditWithin)
	deleted := time.Now()
	events, err := t.auditEvents(ctx, begun)
	for err == nil && !t.hasDeletion(events) && time.Since(deleted) < auditWithin {
		pause(ctx, auditInterval)
		events, err = t.auditEvents(ctx, begun)
	}
	if ctx.Err() != nil {
		return // The writes have been tried, and an interruption ends the wait only.
	}
	delay := time.Since(deleted).Round(time.Second)
	seen := fmt.Sprintf("the deletion of the group was there after %s", delay)
	switch {
	case err != nil:
		seen = failureText(err)
	case !t.hasDeletion(events):
		seen = fmt.Sprintf("the deletion of the group was not there after %s", delay)
	}
	t.add(auditDelay, seen, len(events), true)
	t.add(auditOrder, orderOf(events), max(0, len(events)-1), orderOf(events) == newestFirst)
	types, ids := map[string]int{}, map[string]int{}
	for _, e := range events {
		policy := strings.Contains(e.Type, "Policy")
		own := e.ResourceID == t.group
		if own || policy {
			types[eventType(e.Type)]++
		}
		switch {
		case policy && own:
			ids["the group's"]++
		case policy:
			ids["another's"]++
		}
	}
	t.add(auditTypes, sorted(types), len(types), true)
	t.add(auditResources, sorted(ids), len(ids), true)
}

func (t *trial) auditEvents(ctx context.Context, begun time.Time) ([]segmentapi.AuditEvent, error) {
	var events []segmentapi.AuditEvent
	for e, err := range t.client.Audit.All(ctx, segmentapi.AuditOptions{Start: begun.Add(-time.Minute)}) {
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
	return events, nil
}

func (t *trial) hasDeletion(events []segmentapi.AuditEvent) bool {
	return slices.ContainsFunc(events, func(e segmentapi.AuditEvent) bool {
		return e.ResourceID == t.group && e.Type == groupDeleted
	})
}

const (
	newestFirst = "newest first"
	oldestFirst = "oldest first"
)

func orderOf(events []segmentapi.AuditEvent) string {
	compare := func(a, b segmentapi.AuditEvent) int { return a.Time.Compare(b.Time) }
	switch {
	case len(events) < 2:
		return "too few events"
	case slices.IsSortedFunc(events, func(a, b segmentapi.AuditEvent) int { return compare(b, a) }):
		return newestFirst
	case slices.IsSortedFunc(events, compare):
		return oldestFirst
	}
	return "neither newest nor oldest first"
}

// eventWords are the words of the types of events that Segment documents.
var eventWords = strings.Fields("Policy User Group Memberships Invite Label Subjects Non-Segment Workspace Created Deleted Updated Added Removed Invited to To from From") //nolint:gochecknoglobals // Constant.

// eventType returns a type of events, unless it could be anything else.
func eventType(typeName string) string {
	for _, word := range strings.Fields(typeName) {
		if !slices.Contains(eventWords, word) {
			return "another type"
		}
	}
	return typeName
}
