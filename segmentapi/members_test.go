package segmentapi_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// Users and pending invites in a group are found in whatever case, and are removed
// once.
func TestMembers_UsersAndInvites(t *testing.T) {
	t.Parallel()
	ws := testWorkspace(on(minimal, wholeWorkspace))
	ws.Invites = []sim.Invite{{Email: "Pending@example.com"}, {Email: "other@example.com"}}
	ws.Users[1].Email = "U@Example.com"
	ws.Groups[0].Members = []string{"U@Example.com", "Pending@example.com"}
	srv := sim.New(ws)
	c := connect(t, srv, unspacedWrites())
	ctx := t.Context()
	// Members are not added again; an address that is given twice is added once.
	added, err := c.Groups.AddMembers(ctx, "g", "u@example.com", "pending@example.com")
	if err != nil || len(added) != 0 || len(simtest.Writes(srv.Journal())) != 0 {
		t.Errorf("%v, %v, wrote %v", added, err, simtest.Writes(srv.Journal()))
	}
	added, err = c.Groups.AddMembers(ctx, "g", "u@example.com", "other@example.com", "OTHER@example.com", "owner@example.com")
	if diff := cmp.Diff([]string{"other@example.com", "owner@example.com"}, added); err != nil || diff != "" || len(simtest.Writes(srv.Journal())) != 1 {
		t.Errorf("%v, wrote %v, added (-want +got):\n%s", err, simtest.Writes(srv.Journal()), diff)
	}
	if diff := cmp.Diff([]string{"U@Example.com", "Pending@example.com", "other@example.com", "owner@example.com"}, srv.Workspace().Groups[0].Members); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	srv.ResetJournal()
	removed, err := c.Groups.RemoveMembers(ctx, "g", "PENDING@example.com", "u@example.com", "gone@example.com")
	if diff := cmp.Diff([]string{"U@Example.com", "Pending@example.com"}, removed); err != nil || diff != "" || len(simtest.Writes(srv.Journal())) != 2 {
		t.Errorf("%v, wrote %v, removed (-want +got):\n%s", err, simtest.Writes(srv.Journal()), diff)
	}
	if diff := cmp.Diff([]string{"other@example.com", "owner@example.com"}, srv.Workspace().Groups[0].Members); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
	srv.ResetJournal()
	if removed, err = c.Groups.RemoveMembers(ctx, "g", "pending@example.com", "u@example.com"); err != nil || len(removed) != 0 || len(simtest.Writes(srv.Journal())) != 0 {
		t.Errorf("again: %v, %v, wrote %v", removed, err, simtest.Writes(srv.Journal()))
	}
}

// Segment removes by address: if the addresses of two users in a group differ only in
// case, neither is removed. (The simulator lists one of them.)
func TestRemoveMembers_AddressesDifferOnlyInCase(t *testing.T) {
	t.Parallel()
	srv := sim.New(testWorkspace(on(minimal, wholeWorkspace)))
	c, err := segmentapi.New(srv.Token(), segmentapi.WithSettleTime(0), unspacedWrites(), segmentapi.WithHTTPClient(&http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodGet && r.URL.Path == "/groups/g/users" {
			return &http.Response{
				StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
				Body: io.NopCloser(strings.NewReader(`{"data":{"users":[{"id":"u","name":"","email":"u@example.com"},
					{"id":"owner","name":"","email":"owner@example.com"},{"id":"twin","name":"","email":"U@example.com"}],
					"pagination":{"current":"MA==","totalEntries":3}}}`)),
			}, nil
		}
		return srv.RoundTripper().RoundTrip(r)
	})}))
	if err != nil {
		t.Fatal(err)
	}
	for _, emails := range [][]string{{"u@example.com"}, {"owner@example.com", "U@EXAMPLE.com"}} {
		removed, err := c.Groups.RemoveMembers(t.Context(), "g", emails...)
		if !errors.Is(err, segmentapi.ErrAmbiguous) || len(removed) != 0 || !strings.Contains(err.Error(), "twin") {
			t.Errorf("%v: %v, %v", emails, removed, err)
		}
	}
	if got := simtest.Writes(srv.Journal()); len(got) != 0 {
		t.Errorf("writes %v", got)
	}
}

// A member who is added again before the removal can be read back is not removed again: a
// read that does not show the removal may be old.
func TestRemoveMembers_MemberComesBack(t *testing.T) {
	t.Parallel()
	srv := sim.New(testWorkspace(on(minimal, wholeWorkspace)))
	simtest.Before(t, srv, "listUsersFromUserGroup", 2, func(ws *sim.Workspace) { ws.Groups[0].Members = []string{"u@example.com"} })
	removed, err := connect(t, srv, unspacedWrites()).Groups.RemoveMembers(t.Context(), "g", "u@example.com")
	if !errors.Is(err, segmentapi.ErrUnconfirmed) || len(removed) != 0 {
		t.Errorf("%v, %v", removed, err)
	}
	if got := simtest.Writes(srv.Journal()); len(got) != 1 {
		t.Errorf("writes %v", got)
	}
}

// Only missing addresses are sent.
func TestAddMembers_RequestBody(t *testing.T) {
	t.Parallel()
	srv := sim.New(testWorkspace(on(minimal, wholeWorkspace)))
	var sent []string
	c, err := segmentapi.New(srv.Token(), segmentapi.WithSettleTime(0), unspacedWrites(), segmentapi.WithHTTPClient(&http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodPost {
			body, readErr := io.ReadAll(r.Body)
			if readErr != nil {
				return nil, readErr
			}
			sent = append(sent, strings.TrimSpace(string(body)))
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		return srv.RoundTripper().RoundTrip(r)
	})}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Groups.AddMembers(t.Context(), "g", "u@example.com", "owner@example.com", "OWNER@example.com"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{`{"emails":["owner@example.com"]}`}, sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

// Another administrator has taken one of two out of the group just before.
func TestRemoveMembers_OneRemovedByOthers(t *testing.T) {
	t.Parallel()
	ws := testWorkspace(on(minimal, wholeWorkspace))
	ws.Groups[0].Members = []string{"u@example.com", "owner@example.com"}
	srv := sim.New(ws)
	if err := srv.Before("removeUsersFromUserGroup", 1, func(ws *sim.Workspace) { ws.Groups[0].Members = []string{"owner@example.com"} }); err != nil {
		t.Fatal(err)
	}
	got, err := connect(t, srv, unspacedWrites()).Groups.RemoveMembers(t.Context(), "g", "u@example.com", "owner@example.com")
	if err != nil {
		t.Error(got, err)
	}
	if left := srv.Workspace().Groups[0].Members; len(left) != 0 {
		t.Errorf("left %v", left)
	}
}
