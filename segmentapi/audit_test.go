package segmentapi_test

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// The options become these queries, and the pages of a list have the same one, with the
// cursor.
func TestAudit_Requests(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Second)
	zone := time.FixedZone("", 2*60*60)
	utc := func(d time.Duration) string { return now.Add(d).Format("2006-01-02T15:04:05") }
	for name, c := range map[string]struct {
		opts segmentapi.AuditOptions
		want string
	}{
		"none":  {segmentapi.AuditOptions{}, "pagination[count]=1000"},
		"count": {segmentapi.AuditOptions{ListOptions: segmentapi.ListOptions{Count: 7}}, "pagination[count]=7"},
		"start": {segmentapi.AuditOptions{Start: now.Add(-time.Hour).In(zone)}, "pagination[count]=1000&startTime=" + utc(-time.Hour) + ".000Z"},
		"end":   {segmentapi.AuditOptions{End: now.Add(time.Hour).In(zone)}, "endTime=" + utc(time.Hour) + ".000Z&pagination[count]=1000"},
		"between milliseconds": {
			segmentapi.AuditOptions{Start: now.Add(-time.Hour + 1), End: now.Add(-time.Hour + 2)},
			"endTime=" + utc(-time.Hour) + ".001Z&pagination[count]=1000&startTime=" + utc(-time.Hour) + ".000Z",
		},
		"resource": {segmentapi.AuditOptions{ResourceID: "a b&c", ResourceType: "USER"}, "pagination[count]=1000&resourceId=a b&c&resourceType=USER"},
		"90 days":  {segmentapi.AuditOptions{Start: now.AddDate(0, 0, -90)}, "pagination[count]=1000&startTime=" + utc(-90*24*time.Hour) + ".000Z"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := sim.New(testWorkspace())
			client := connect(t, srv)
			if _, err := client.Audit.List(t.Context(), c.opts); err != nil {
				t.Fatal(err)
			}
			collect(t, client.Audit.All(t.Context(), c.opts))
			journal := srv.Journal()
			if len(journal) != 2 {
				t.Fatalf("%d requests", len(journal))
			}
			for _, r := range journal {
				query, err := url.QueryUnescape(r.Query)
				if err != nil || r.Operation != "listAuditEvents" || query != c.want {
					t.Errorf("%s %s, want %s: %v", r.Operation, query, c.want, err)
				}
			}
		})
	}
}

func TestAudit_AllPages(t *testing.T) {
	t.Parallel()
	now := time.Now()
	srv := sim.New(testWorkspace(), sim.WithAuditEvents(simEvents(now)...))
	c := connect(t, srv)
	opts := segmentapi.AuditOptions{Start: now.Add(-8 * time.Hour), ResourceType: "POLICY", ListOptions: segmentapi.ListOptions{Count: 1}}
	want := slices.DeleteFunc(events(now), func(e segmentapi.AuditEvent) bool {
		return e.ResourceType != "POLICY" || !e.Time.After(now.Add(-8*time.Hour))
	})
	all := c.Audit.All(t.Context(), opts)
	for range 2 { // The sequence can be read again.
		if diff := cmp.Diff(want, collect(t, all)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	}
	requests := srv.Journal()
	for i, r := range requests {
		if cursor := strings.Contains(r.Query, "cursor"); !strings.Contains(r.Query, "resourceType=POLICY&startTime=") || cursor != (i%len(want) > 0) {
			t.Errorf("request %d: %s", i, r.Query)
		}
	}
	if len(requests) != 2*len(want) {
		t.Errorf("%d requests for %d events, read twice", len(requests), len(want))
	}
	first, err := c.Audit.List(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	opts.Cursor = first.Next
	if diff := cmp.Diff(want[1:], collect(t, c.Audit.All(t.Context(), opts))); diff != "" {
		t.Errorf("from a cursor (-want +got):\n%s", diff)
	}
}

// Without a pagination, a page is the last one if it has fewer rows than were requested.
// Otherwise it may be cut short.
func TestAudit_PaginationIsOptional(t *testing.T) {
	t.Parallel()
	now := time.Now()
	srv := sim.New(testWorkspace(), sim.WithAuditEvents(simEvents(now)...), sim.WithAuditWithoutPagination())
	for size, fails := range map[int]bool{1: true, 2: false, 4: false, 9: true, 10: false} {
		c := connect(t, srv, segmentapi.WithPageSize(size))
		got, failure := []segmentapi.AuditEvent(nil), error(nil)
		for e, err := range c.Audit.All(t.Context(), segmentapi.AuditOptions{}) {
			if err != nil {
				failure = err
				break
			}
			got = append(got, e)
		}
		switch {
		case fails && (!errors.Is(failure, segmentapi.ErrBadResponse) || !strings.Contains(failure.Error(), "no pagination")):
			t.Errorf("size %d: %v", size, failure)
		case !fails && (failure != nil || !cmp.Equal(events(now), got)):
			t.Errorf("size %d: %d events, %v", size, len(got), failure)
		}
	}
}

func TestAudit_Timestamps(t *testing.T) {
	t.Parallel()
	at := time.Date(2025, 1, 14, 15, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2025-01-14T15:04:05.000Z":      at,
		"2025-01-14T15:04:05.250Z":      at.Add(250 * time.Millisecond),
		"2025-01-14T15:04:05Z":          at,
		"2025-01-14T17:04:05+02:00":     at,
		"2025-01-14T17:04:05.000+0200":  at,
		"2025-01-14T15:04:05":           at,
		"2025-01-14T15:04:05.123456789": at.Add(123456789),
		"":                              {},
		"2025-01-14":                    {},
		"1736867045":                    {},
		"Tue, 14 Jan 2025 15:04:05 GMT": {},
	} {
		hc := &http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
			return jsonResponse(r, `{"data":{"events":[{"id":"e","timestamp":"`+text+`","type":"New in 2027","actor":"a","resourceId":"","resourceType":"PLANET","resourceName":"","more":1}]}}`), nil
		})}
		c, err := segmentapi.New("token", segmentapi.WithBaseURL("http://localhost"), segmentapi.WithHTTPClient(hc))
		if err != nil {
			t.Fatal(err)
		}
		page, err := c.Audit.List(t.Context(), segmentapi.AuditOptions{})
		if want.IsZero() {
			if !errors.Is(err, segmentapi.ErrBadResponse) || !strings.Contains(err.Error(), "row 1") {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		event := segmentapi.AuditEvent{ID: "e", Time: want, Type: "New in 2027", Actor: "a", ResourceType: "PLANET"}
		if diff := cmp.Diff(&segmentapi.Page[segmentapi.AuditEvent]{Items: []segmentapi.AuditEvent{event}, Total: -1}, page); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", text, err, diff)
		}
		if page.Items[0].Time.Location() != time.UTC {
			t.Errorf("%q: %s is not in UTC", text, page.Items[0].Time)
		}
	}
}

// A change is found by its time, its type and its resource, with each answer that Segment
// may give to what it does not document.
func TestAudit_EventsOfAChange(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		opts     []sim.Option
		delay    time.Duration
		resource string
	}{
		"at once":      {nil, 0, "USER u"},
		"delayed":      {[]sim.Option{sim.WithAuditDelay(3 * time.Minute)}, 3 * time.Minute, "USER u"},
		"policies":     {[]sim.Option{sim.WithAuditPolicyIDs()}, 0, "POLICY"},
		"oldest first": {[]sim.Option{sim.WithAuditOldestFirst()}, 0, "USER u"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(testWorkspace(on(admin, "SOURCE a"), on(reader, "SOURCE a")), c.opts...)
				client := connect(t, srv, unspacedWrites())
				start := time.Now()
				if _, err := client.Users.Grant(t.Context(), "u", assigned(minimal, wholeWorkspace)); err != nil {
					t.Fatal(err)
				}
				if _, err := client.Users.Revoke(t.Context(), "u", assigned(admin, "SOURCE a")); err != nil {
					t.Fatal(err)
				}
				opts := segmentapi.AuditOptions{Start: start.Add(-time.Second)}
				if c.delay > 0 {
					if early := collect(t, client.Audit.All(t.Context(), opts)); len(early) > 0 {
						t.Errorf("early: %v", early)
					}
					<-time.After(c.delay) // On fake time.
				}
				var got []string
				for _, e := range collect(t, client.Audit.All(t.Context(), opts)) {
					if e.Time.Before(start) || e.Time.After(time.Now()) || !strings.HasPrefix(e.ResourceType+" "+e.ResourceID, c.resource) {
						t.Errorf("event %+v", e)
					}
					got = append(got, e.Type)
				}
				slices.Sort(got)
				want := []string{"Policy Created", "Policy Deleted", "Policy Deleted", "Policy Deleted"}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A workspace that is not on the Business plan is told apart from an empty trail and from
// a weak token.
func TestAudit_NotInThePlan(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]bool{400: true, 404: true} {
		c := connect(t, sim.New(testWorkspace(), sim.WithoutFeatures(sim.FeatureAuditTrail), sim.WithGateStatus(status)))
		if _, err := c.Audit.List(t.Context(), segmentapi.AuditOptions{}); segmentapi.LacksFeature(err) != want {
			t.Errorf("status %d: %v", status, err)
		}
	}
	srv := sim.New(testWorkspace())
	simtest.Inject(t, srv, sim.Fault{Operation: "listAuditEvents", Kind: sim.FaultStatus, Status: 401})
	if _, err := connect(t, srv).Audit.List(t.Context(), segmentapi.AuditOptions{}); segmentapi.LacksFeature(err) || !errors.Is(err, segmentapi.ErrUnauthorized) {
		t.Errorf("weak token: %v", err)
	}
}
