package segmentapi_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// longLists has more users and groups than the smaller pages hold.
func longLists() *sim.Workspace {
	ws := testWorkspace()
	for i := range 450 {
		ws.Users = append(ws.Users, sim.User{ID: fmt.Sprintf("user-%d", i), Email: fmt.Sprintf("user-%d@example.com", i)})
		ws.Groups = append(ws.Groups, sim.Group{ID: fmt.Sprintf("group-%d", i), Name: fmt.Sprintf("Group %d", i)})
	}
	return ws
}

// counts returns the queries of all requests for a list.
func counts(srv *sim.Server, operation string) []string {
	var got []string
	for _, r := range srv.Journal() {
		if r.Operation == operation {
			count, _, _ := strings.Cut(strings.TrimPrefix(r.Query, "pagination[count]="), "&")
			got = append(got, fmt.Sprintf("%s %d", count, r.Status))
		}
	}
	return got
}

func TestCount_FallsBackTo200(t *testing.T) {
	t.Parallel()
	srv := sim.New(longLists(), sim.WithMaxCount(200))
	log := &sharedLog{}
	c := connect(t, srv, segmentapi.WithLogger(log.logger()))
	// A client with another policy has the same memory.
	patient, err := c.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 2})
	if err != nil {
		t.Fatal(err)
	}
	if users := collect(t, c.Users.All(t.Context())); len(users) != 452 {
		t.Errorf("%d users", len(users))
	}
	if diff := cmp.Diff([]string{"1000 400", "200 200", "200 200", "200 200"}, counts(srv, "listUsers")); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if groups := collect(t, patient.Groups.All(t.Context())); len(groups) != 451 {
		t.Errorf("%d groups", len(groups))
	}
	if diff := cmp.Diff([]string{"200 200", "200 200", "200 200"}, counts(srv, "listUserGroups")); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	// Fewer rows can be asked for as before.
	if page, err := c.Roles.List(t.Context(), segmentapi.ListOptions{Count: 2}); err != nil || len(page.Items) != 2 {
		t.Errorf("got %+v, %v", page, err)
	}
	if n := strings.Count(log.String(), "200 rows"); n != 1 {
		t.Errorf("%d lines in the log:\n%s", n, log.String())
	}
}

// Lists that are refused at the same time go on together, and so does one in its middle.
func TestCount_FallsBackAtAnyTime(t *testing.T) {
	t.Parallel()
	srv := sim.New(longLists(), sim.WithMaxCount(200))
	log := &sharedLog{}
	c := connect(t, srv, segmentapi.WithLogger(log.logger()))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if users := collect(t, c.Users.All(t.Context())); len(users) != 452 {
				t.Errorf("%d users", len(users))
			}
		})
	}
	all.Wait()
	if n := strings.Count(log.String(), "200 rows"); n != 1 {
		t.Errorf("%d lines in the log:\n%s", n, log.String())
	}

	srv = sim.New(longLists())
	fault := sim.Fault{Operation: "listUsers", Query: "count]=400&", Kind: sim.FaultStatus, Status: http.StatusUnprocessableEntity,
		Body: `{"errors":[{"type":"input-validation","message":"\"pagination.count\" is too large"}]}`}
	if err := srv.Inject(fault); err != nil {
		t.Fatal(err)
	}
	c = connect(t, srv, segmentapi.WithPageSize(400))
	if users := collect(t, c.Users.All(t.Context())); len(users) != 452 {
		t.Errorf("%d users", len(users))
	}
	if diff := cmp.Diff([]string{"400 200", "400 422", "200 200"}, counts(srv, "listUsers")); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// Any other refusal is the caller's, after one request.
func TestCount_OtherRefusalsAreNotRepeated(t *testing.T) {
	t.Parallel()
	refusal := func(status int, body string) sim.Fault {
		return sim.Fault{Operation: "listUsers", Kind: sim.FaultStatus, Status: status, Body: `{"errors":[` + body + `]}`}
	}
	const count = `{"type":"input-validation","message":"\"pagination.count\" must be less","field":"pagination.count"}`
	for name, c := range map[string]struct {
		fault sim.Fault
		size  int
		want  error
	}{
		"200 is refused as well":     {refusal(400, count), 1000, segmentapi.ErrBadRequest},
		"no more than 200 was asked": {refusal(400, count), 200, segmentapi.ErrBadRequest},
		"another field":              {refusal(422, `{"type":"input-validation","message":"\"pagination.cursor\" is wrong","field":"pagination.cursor"}`), 1000, segmentapi.ErrInvalid},
		"another status":             {refusal(403, count), 1000, segmentapi.ErrForbidden},
		"no envelope":                {sim.Fault{Operation: "listUsers", Kind: sim.FaultHTML, Status: 400}, 1000, segmentapi.ErrBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := sim.New(longLists())
			if err := srv.Inject(c.fault); err != nil {
				t.Fatal(err)
			}
			_, err := connect(t, srv, segmentapi.WithPageSize(c.size)).Users.List(t.Context(), segmentapi.ListOptions{})
			want := 1
			if name == "200 is refused as well" {
				want = 2
			}
			if sent := len(srv.Journal()); !errors.Is(err, c.want) || sent != want {
				t.Errorf("got %v after %d requests", err, sent)
			}
		})
	}
}
