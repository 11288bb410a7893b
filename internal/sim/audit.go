package sim

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strings"
	"time"
)

// An AuditEvent is an entry of the audit trail. ActorEmail is empty if the actor is a
// token.
type AuditEvent struct {
	ID           string
	Time         time.Time
	Type         string
	Actor        string
	ActorEmail   string
	ResourceID   string
	ResourceType string
	ResourceName string
}

// The types of events that the official client documents for the operations of a Server.
// It says that an operation "may generate" them. When it does is an assumption.
const (
	auditPolicyCreated      = "Policy Created"
	auditPolicyDeleted      = "Policy Deleted"
	auditUserPolicyUpdated  = "User Policy Updated"
	auditGroupPolicyUpdated = "User Group Policy Updated"
	auditGroupCreated       = "User Group Created"
	auditGroupUpdated       = "User Group Updated"
	auditGroupDeleted       = "User Group Deleted"
	auditSubjectsAdded      = "Subjects Added to Group"
	auditUserAdded          = "User Added To User Group"
	auditUserRemoved        = "User Removed From User Group"
	auditMembershipsDeleted = "Group Memberships Deleted"
	auditInviteDeleted      = "Invite Deleted"
	// Of its two events for invitations, Segment documents this one for people who have
	// no Segment account. The simulator does not know other accounts.
	auditInvited      = "Non-Segment User Invited to Workspace"
	auditLabelCreated = "Label Created"
	auditLabelDeleted = "Label Deleted"
)

// The types of resources in events. The spelling is an assumption: the types are
// documented as strings, without values.
const (
	auditUser   = "USER"
	auditGroup  = "USER_GROUP"
	auditPolicy = "POLICY"
	auditInvite = "INVITE"
	auditLabel  = "LABEL"
)

// auditActor is the actor of all changes over the API. Segment writes the name of the
// token this way for changes over SCIM.
const auditActor = "Public API token 'simulator'"

// auditAge is how far the audit trail reaches back.
const auditAge = 90 * 24 * time.Hour

// An auditTrail has the events of a workspace in the order in which they were recorded,
// and how they are shown.
type auditTrail struct {
	events            []AuditEvent
	delay             time.Duration
	policyIDs         bool
	oldestFirst       bool
	withoutPagination bool
}

// WithAuditEvents adds events from before the server was made, in the order in which they
// happened.
func WithAuditEvents(events ...AuditEvent) Option {
	return func(s *Server) { s.audit.events = append(s.audit.events, events...) }
}

// WithAuditDelay makes events appear d after they happened, by the server's clock. Zero,
// the default, is no delay. Segment documents neither.
func WithAuditDelay(d time.Duration) Option {
	return func(s *Server) { s.audit.delay = max(0, d) }
}

// WithAuditPolicyIDs makes the policy the resource of events about policies. The default
// is the user, group or invite that has the policy. Segment documents neither.
func WithAuditPolicyIDs() Option {
	return func(s *Server) { s.audit.policyIDs = true }
}

// WithAuditOldestFirst makes the oldest event the first one of the list. The default is
// the newest. Segment documents neither; the default end of the list suggests the newest.
func WithAuditOldestFirst() Option {
	return func(s *Server) { s.audit.oldestFirst = true }
}

// WithAuditWithoutPagination leaves the pagination out of the last page of events, which
// the official client allows.
func WithAuditWithoutPagination() Option {
	return func(s *Server) { s.audit.withoutPagination = true }
}

// An audited is the resource that an event affects.
type audited struct{ kind, id, name string }

func auditedUser(u *User) audited        { return audited{auditUser, u.ID, cmp.Or(u.Name, u.Email)} }
func auditedGroup(g *Group) audited      { return audited{auditGroup, g.ID, g.Name} }
func auditedInvite(email string) audited { return audited{auditInvite, email, email} }

func auditedLabel(l Label) audited {
	id := l.Key + ":" + l.Value
	return audited{auditLabel, id, id}
}

// record adds an event to the audit trail, with the precision of its timestamp. Changes by Update and by planned edits leave
// none.
func (c *call) record(event string, on audited) {
	now := c.clock().Truncate(time.Millisecond)
	c.audit.events = append(c.audit.events, AuditEvent{
		ID: makeID("audit", len(c.audit.events), now), Time: now, Type: event, Actor: auditActor,
		ResourceID: on.id, ResourceType: on.kind, ResourceName: on.name,
	})
}

// recordPolicy records an event about the policy that gives a role.
func (c *call) recordPolicy(event string, on audited, role string) {
	if c.audit.policyIDs {
		on = audited{auditPolicy, policyID(on.id, role, 0), c.roleName(role)}
	}
	c.record(event, on)
}

// recordAddedPolicies records a new policy for each role that was not held before, and an
// update for each other one.
func (c *call) recordAddedPolicies(of subject, before, asked []Permission) {
	on, updated := c.auditedSubject(of), auditUserPolicyUpdated
	if of.kind == subjectGroup {
		updated = auditGroupPolicyUpdated
	}
	held := roleIDs(before)
	for _, role := range roleIDs(asked) {
		event := auditPolicyCreated
		if slices.Contains(held, role) {
			event = updated
		}
		c.recordPolicy(event, on, role)
	}
}

// recordReplacedPolicies records that each policy was deleted: the only event that Segment
// documents for a replacement.
func (c *call) recordReplacedPolicies(of subject, before []Permission) {
	on := c.auditedSubject(of)
	for _, role := range roleIDs(before) {
		c.recordPolicy(auditPolicyDeleted, on, role)
	}
}

// recordMembers records who came to a group and who left. Only users, not invites, have
// events of their own.
func (c *call) recordMembers(g *Group, before []string) {
	on := auditedGroup(g)
	came, left := without(g.Members, before), without(before, g.Members)
	if len(came) > 0 {
		c.record(auditSubjectsAdded, on)
	}
	for _, email := range came {
		if has(c.index().usersByEmail, foldEmail(email)) {
			c.record(auditUserAdded, on)
		}
	}
	if len(left) > 0 {
		c.record(auditMembershipsDeleted, on)
	}
}

// without returns the addresses that are not in the other list.
func without(emails, other []string) []string {
	return slices.DeleteFunc(slices.Clone(emails), func(email string) bool {
		return slices.ContainsFunc(other, func(o string) bool { return foldEmail(o) == foldEmail(email) })
	})
}

// auditedSubject returns the user or the group that holds permissions.
func (c *call) auditedSubject(of subject) audited {
	if of.kind == subjectGroup {
		return auditedGroup(&c.state.Groups[c.index().groups[of.id]])
	}
	return auditedUser(&c.state.Users[c.index().users[of.id]])
}

// roleIDs returns each role once.
func roleIDs(ps []Permission) []string {
	var ids []string
	for _, p := range ps {
		if !slices.Contains(ids, p.RoleID) {
			ids = append(ids, p.RoleID)
		}
	}
	return ids
}

// roleName returns the name of a role, or its id if the workspace does not list it.
func (c *call) roleName(id string) string {
	if at, there := c.index().roles[id]; there {
		return c.state.Roles[at].Name
	}
	return id
}

type wireAuditEvent struct {
	ID           string `json:"id"`
	Timestamp    string `json:"timestamp"`
	Type         string `json:"type"`
	Actor        string `json:"actor"`
	ActorEmail   string `json:"actorEmail,omitempty"`
	ResourceID   string `json:"resourceId"`
	ResourceType string `json:"resourceType"`
	ResourceName string `json:"resourceName"`
}

func wireAudit(e AuditEvent) wireAuditEvent {
	return wireAuditEvent{
		e.ID, e.Time.UTC().Format("2006-01-02T15:04:05.000Z07:00"), e.Type, e.Actor, e.ActorEmail, e.ResourceID, e.ResourceType, e.ResourceName,
	}
}

// listAuditEvents keeps the end of the list in the cursor, so that later events do not
// move the pages. Segment documents that its cursors have an end.
func listAuditEvents(c *call) (reply, *problem) {
	now := c.clock()
	// Events of this moment are in the list as well.
	suffix := " " + now.Add(1).UTC().Format(time.RFC3339Nano)
	if cursor, there := pageParameter(c.query, "cursor"); there {
		decoded, err := base64.StdEncoding.DecodeString(cursor)
		at := strings.IndexByte(string(decoded), ' ')
		if err != nil || at < 0 {
			return reply{}, unknownCursor()
		}
		suffix = string(decoded[at:])
	}
	end, err := time.Parse(time.RFC3339Nano, suffix[1:])
	if err != nil {
		return reply{}, unknownCursor()
	}
	var start time.Time
	p := c.timeParameter("startTime", &start)
	if p == nil {
		p = c.timeParameter("endTime", &end)
	}
	if p != nil {
		return reply{}, p
	}
	rows := c.auditEvents(now, func(e AuditEvent) bool { return e.Time.After(start) && e.Time.Before(end) })
	l := listing[AuditEvent]{
		rows: rows, numbering: numbering{suffix: suffix}, withoutTotal: true, lastWithoutPagination: c.audit.withoutPagination,
	}
	return page(c, "events", l, wireAudit)
}

// timeParameter replaces bound by a time in the query, if there is one. That Segment
// refuses other forms of time with 422 is an assumption.
func (c *call) timeParameter(name string, bound *time.Time) *problem {
	if !c.query.Has(name) {
		return nil
	}
	t, err := time.Parse(time.RFC3339, c.query.Get(name))
	if err != nil {
		return invalid(name, "must be a date in ISO 8601 format")
	}
	*bound = t
	return nil
}

// auditEvents returns the events that show, ordered. Events of the same time are in the
// order in which they were recorded.
func (c *call) auditEvents(now time.Time, selected func(AuditEvent) bool) []AuditEvent {
	matches := func(name, value string) bool { return !c.query.Has(name) || c.query.Get(name) == value }
	var rows []AuditEvent
	for _, e := range c.audit.events {
		shows := !e.Time.Add(c.audit.delay).After(now) && !e.Time.Before(now.Add(-auditAge))
		if shows && selected(e) && matches("resourceId", e.ResourceID) && matches("resourceType", e.ResourceType) {
			rows = append(rows, e)
		}
	}
	slices.SortStableFunc(rows, func(a, b AuditEvent) int { return a.Time.Compare(b.Time) })
	if !c.audit.oldestFirst {
		slices.Reverse(rows)
	}
	return rows
}
