package sim

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// auditStart is the time at which the servers of these tests begin.
var auditStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// An auditClient reads the audit trail of a server whose clock stands still.
type auditClient struct {
	rawClient
	now *time.Time
}

func newAuditClient(t *testing.T, opts ...Option) auditClient {
	t.Helper()
	now := auditStart
	ws := oneOfEach(on(roleMinimal, scope(typeWorkspace, Empty().ID)))
	ws.Users[0].Name = "Xenia"
	ws.Groups[0].Members = []string{"x@example.com"}
	ws.Invites = []Invite{{Email: "new@example.com"}}
	s := New(ws, append(opts, WithClock(func() time.Time { return now }))...)
	return auditClient{newRawClient(t, s), &now}
}

// events returns the fields of all events that a query selects.
func (a auditClient) events(t *testing.T, query string, fields ...string) []string {
	t.Helper()
	rows, isList := a.want(t, http.StatusOK, http.MethodGet, "/audit-events?"+query, "").Data["events"].([]any)
	if !isList {
		t.Fatal("no events")
	}
	got := []string{}
	for _, row := range rows {
		var values []string
		for _, f := range fields {
			values = append(values, fmt.Sprint(row.(map[string]any)[f])) //nolint:errcheck // The contract has been checked.
		}
		got = append(got, strings.Join(values, " "))
	}
	return got
}

// Each write leaves the events that the official client documents for its operation, and
// a refused write leaves none.
func TestAuditEvents_OfEachWrite(t *testing.T) {
	t.Parallel()
	minimal := `{"permissions":[{"roleId":"` + roleMinimal + `","resources":[{"id":"` + Empty().ID + `","type":"WORKSPACE"}]}]}`
	admin := strings.ReplaceAll(minimal, roleMinimal, roleSourceAdmin)
	for name, c := range map[string]struct {
		method, target, body string
		want                 []string
	}{
		"user, new role":       {"POST", "/users/x/permissions", admin, []string{"Policy Created USER x Xenia"}},
		"user, held role":      {"POST", "/users/x/permissions", minimal, []string{"User Policy Updated USER x Xenia"}},
		"user, replacement":    {"PUT", "/users/x/permissions", admin, []string{"Policy Deleted USER x Xenia"}},
		"user, removal":        {"DELETE", "/users?userIds.0=x", "", []string{"Group Memberships Deleted USER x Xenia"}},
		"invite":               {"POST", "/invites", `{"invites":[{"email":"b@example.com","permissions":[{"roleId":"` + roleMinimal + `"}]}]}`, []string{"Policy Created INVITE b@example.com b@example.com", "Non-Segment User Invited to Workspace INVITE b@example.com b@example.com"}},
		"invite, deletion":     {"DELETE", "/invites?emails.0=new@example.com", "", []string{"Invite Deleted INVITE new@example.com new@example.com"}},
		"group, name":          {"PATCH", "/groups/x", `{"name":"y"}`, []string{"User Group Updated USER_GROUP x y"}},
		"group, deletion":      {"DELETE", "/groups/x", "", []string{"User Group Deleted USER_GROUP x x"}},
		"group, new role":      {"POST", "/groups/x/permissions", admin, []string{"Policy Created USER_GROUP x x"}},
		"group, held role":     {"POST", "/groups/x/permissions", minimal, []string{"User Group Policy Updated USER_GROUP x x"}},
		"group, replacement":   {"PUT", "/groups/x/permissions", admin, []string{"Policy Deleted USER_GROUP x x"}},
		"members, invite":      {"POST", "/groups/x/users", `{"emails":["new@example.com"]}`, []string{"Subjects Added to Group USER_GROUP x x"}},
		"members, no change":   {"POST", "/groups/x/users", `{"emails":["x@example.com"]}`, []string{}},
		"members, replacement": {"PUT", "/group/x/users", `{"emails":["new@example.com"]}`, []string{"Group Memberships Deleted USER_GROUP x x", "Subjects Added to Group USER_GROUP x x"}},
		"members, removal":     {"DELETE", "/group/x/users?emails.0=x@example.com", "", []string{"User Removed From User Group USER_GROUP x x", "Group Memberships Deleted USER_GROUP x x"}},
		"label":                {"POST", "/labels", `{"label":{"key":"k","value":"v"}}`, []string{"Label Created LABEL k:v k:v"}},
		"label, deletion":      {"DELETE", "/labels/environment/dev", "", []string{"Label Deleted LABEL environment:dev environment:dev"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAuditClient(t)
			before := a.server.Workspace()
			if a.send(t, c.method, c.target, c.body).Status >= 300 {
				t.Fatal("refused")
			}
			equal(t, "events", c.want, a.events(t, "", "type", "resourceType", "resourceId", "resourceName"))
			for _, field := range a.events(t, "", "timestamp", "actor", "actorEmail") {
				equal(t, "event", "2026-03-01T12:00:00.000Z "+auditActor+" <nil>", field)
			}
			refused := newAuditClient(t)
			refused.sendAs(t, "wrong", c.method, c.target, c.body)
			equal(t, "state after a refusal", before, refused.server.Workspace())
			equal(t, "events after a refusal", []string{}, refused.events(t, "", "type"))
		})
	}
}

func TestAuditEvents_OfNewGroupAndItsUsers(t *testing.T) {
	t.Parallel()
	a := newAuditClient(t)
	a.server.Update(func(w *Workspace) { w.Groups[0].Members = nil })
	equal(t, "events of another administrator", []string{}, a.events(t, "", "type"))
	a.want(t, http.StatusOK, http.MethodPost, "/groups/x/users", `{"emails":["x@example.com","new@example.com"]}`)
	a.want(t, http.StatusOK, http.MethodPost, "/groups", `{"name":"y"}`)
	equal(t, "events", []string{"Policy Created y", "User Group Created y", "User Added To User Group x", "Subjects Added to Group x"}, a.events(t, "", "type", "resourceName"))
	a.want(t, http.StatusOK, http.MethodDelete, "/invites?emails.0=new@example.com", "")
	equal(t, "events", []string{"Group Memberships Deleted", "Invite Deleted"}, a.events(t, "resourceType=INVITE", "type"))
}

// past returns an event of so long ago.
func past(id string, ago time.Duration) AuditEvent {
	return AuditEvent{ID: id, Time: auditStart.Add(-ago), Type: "T", Actor: "A", ResourceID: id, ResourceType: "R" + id[:1]}
}

func TestAuditEvents_Filters(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	a := newAuditClient(t, WithAuditEvents(past("b1", 91*day), past("a1", 90*day), past("a2", 2*day), past("b2", day), past("b3", -day)))
	day1, day2 := url.QueryEscape("2026-02-28T14:00:00+02:00"), "2026-02-27T12:00:00Z"
	for query, want := range map[string][]string{
		"":                                       {"b2", "a2", "a1"},
		"resourceId=a2":                          {"a2"},
		"resourceId=b1":                          {},
		"resourceType=Ra":                        {"a2", "a1"},
		"resourceType=Ra&resourceId=b2":          {},
		"startTime=" + day2:                      {"b2"},
		"startTime=2026-02-27T11:59:59.999Z":     {"b2", "a2"},
		"endTime=" + day1:                        {"a2", "a1"},
		"startTime=" + day2 + "&endTime=" + day1: {},
		"endTime=2030-01-01T00:00:00Z":           {"b2", "a2", "a1"},
	} {
		equal(t, query, want, a.events(t, query, "id"))
	}
	for _, query := range []string{"startTime=2026-02-27T12:00:00", "endTime=1767225600", "startTime="} {
		refusal := a.want(t, http.StatusUnprocessableEntity, http.MethodGet, "/audit-events?"+query, "")
		name, _, _ := strings.Cut(query, "=")
		equal(t, query, name, refusal.Errors[0].Field)
	}
}

// The pages of a list keep the end that it had at its first page, and a new list has the
// events that came later.
func TestAuditEvents_PagesKeepTheirEnd(t *testing.T) {
	t.Parallel()
	a := newAuditClient(t, WithAuditEvents(past("a1", 3*time.Hour), past("a2", 2*time.Hour), past("a3", time.Hour)))
	page := func(cursor string) ([]string, string) {
		t.Helper()
		query := "pagination[count]=1"
		if cursor != "" {
			query += "&pagination[cursor]=" + url.QueryEscape(cursor)
		}
		info, isObject := a.want(t, http.StatusOK, http.MethodGet, "/audit-events?"+query, "").Data["pagination"].(map[string]any)
		if !isObject {
			t.Fatal("no pagination")
		}
		next, _ := info["next"].(string)
		return a.events(t, query, "id"), next
	}
	var got []string
	rows, next := page("")
	got = append(got, rows...)
	*a.now = a.now.Add(time.Second)
	a.want(t, http.StatusCreated, http.MethodPost, "/labels", `{"label":{"key":"k","value":"v"}}`)
	for next != "" {
		rows, next = page(next)
		got = append(got, rows...)
	}
	equal(t, "events", []string{"a3", "a2", "a1"}, got)
	equal(t, "later", 4, len(a.events(t, "", "id")))
	for _, cursor := range []string{"MA==", "x", "MCB4", "eCAyMDI2LTAzLTAxVDEyOjAwOjAwWg=="} {
		a.want(t, http.StatusUnprocessableEntity, http.MethodGet, "/audit-events?pagination[cursor]="+url.QueryEscape(cursor), "")
	}
}

// Each option gives the other answer to a question that Segment does not document.
func TestAuditEvents_Options(t *testing.T) {
	t.Parallel()
	label := func(a auditClient, key string) {
		t.Helper()
		a.want(t, http.StatusCreated, http.MethodPost, "/labels", `{"label":{"key":"`+key+`","value":"v"}}`)
	}
	t.Run("delay", func(t *testing.T) {
		t.Parallel()
		a := newAuditClient(t, WithAuditDelay(time.Minute))
		label(a, "k")
		*a.now = a.now.Add(time.Minute - 1)
		equal(t, "too early", []string{}, a.events(t, "", "type"))
		*a.now = a.now.Add(1)
		equal(t, "after the delay", []string{"2026-03-01T12:00:00.000Z"}, a.events(t, "", "timestamp"))
	})
	t.Run("oldest first", func(t *testing.T) {
		t.Parallel()
		a := newAuditClient(t, WithAuditOldestFirst(), WithAuditEvents(past("a1", time.Hour)))
		label(a, "k")
		label(a, "l")
		equal(t, "events", []string{"a1", "k:v", "l:v"}, a.events(t, "", "resourceId"))
	})
	t.Run("policy ids", func(t *testing.T) {
		t.Parallel()
		a := newAuditClient(t, WithAuditPolicyIDs())
		added := a.want(t, http.StatusOK, http.MethodPost, "/users/x/permissions", a.body(roleSourceAdmin))
		got := a.events(t, "", "type", "resourceType", "resourceName", "resourceId")
		id := policyID("x", roleSourceAdmin, 0)
		equal(t, "events", []string{"Policy Created POLICY Source Admin " + id}, got)
		if !strings.Contains(string(added.Raw), `"policyId":"`+id+`"`) {
			t.Errorf("the answer of the write has no policy %s: %s", id, added.Raw)
		}
	})
	t.Run("last page without pagination", func(t *testing.T) {
		t.Parallel()
		a := newAuditClient(t, WithAuditWithoutPagination(), WithAuditEvents(past("a1", time.Hour), past("a2", time.Hour)))
		for query, want := range map[string]bool{"": false, "pagination[count]=2": false, "pagination[count]=1": true} {
			_, got := a.want(t, http.StatusOK, http.MethodGet, "/audit-events?"+query, "").Data["pagination"]
			equal(t, query, want, got)
		}
	})
}
