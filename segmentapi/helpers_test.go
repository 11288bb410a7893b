package segmentapi_test

import (
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// The workspace of these tests. Its roles are named by short ids.
const (
	workspaceID = "ws"
	owner       = "role-owner"
	minimal     = "role-minimal"
	admin       = "role-admin"
	reader      = "role-reader"
)

// on is a permission: a role on resources such as "SOURCE a" or, with labels,
// "WORKSPACE ws env=prod".
func on(role string, resources ...string) sim.Permission {
	p := sim.Permission{RoleID: role}
	for _, text := range resources {
		words := strings.Fields(text)
		r := sim.Resource{Type: words[0], ID: words[1]}
		for _, label := range words[2:] {
			key, value, _ := strings.Cut(label, "=")
			r.Labels = append(r.Labels, sim.Label{Key: key, Value: value})
		}
		p.Resources = append(p.Resources, r)
	}
	return p
}

// assigned is the library's form of a permission on one resource.
func assigned(role, resource string) segmentapi.Assignment {
	r := on(role, resource).Resources[0]
	return segmentapi.Assignment{RoleID: role, Scope: segmentapi.Scope{Type: segmentapi.ScopeType(r.Type), ID: r.ID, Labels: labels(r.Labels)}}
}

const wholeWorkspace = "WORKSPACE " + workspaceID

// testWorkspace has one owner, and a user "u" and a group "g" that hold the same.
func testWorkspace(held ...sim.Permission) *sim.Workspace {
	ws := sim.Empty()
	ws.ID = workspaceID
	ws.Roles = []sim.Role{{ID: owner, Name: "Workspace Owner"}, {ID: minimal, Name: "Minimal Workspace Access"}, {ID: admin, Name: "Source Admin"}, {ID: reader, Name: "Source Read-only"}}
	ws.Labels = []sim.Label{{Key: "env", Value: "prod"}, {Key: "env", Value: "dev"}, {Key: "team", Value: "growth"}}
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		ws.Sources = append(ws.Sources, sim.Source{ID: id, Slug: id})
	}
	ws.Spaces = []sim.Space{{ID: "bare"}}
	ws.Users = []sim.User{
		{ID: "owner", Email: "owner@example.com", Permissions: []sim.Permission{on(owner, wholeWorkspace)}},
		{ID: "u", Email: "u@example.com", Permissions: held},
	}
	ws.Groups = []sim.Group{{ID: "g", Name: "Group", Members: []string{"u@example.com"}, Permissions: held}}
	return ws
}

// holds returns the assignments of a user or a group as a sorted list: the order and
// the grouping of permissions do not matter.
func holds(ws *sim.Workspace, id string) []string {
	set := map[string]bool{}
	add := func(permissions []sim.Permission) {
		for _, p := range permissions {
			for _, r := range p.Resources {
				var labels []string
				for _, l := range r.Labels {
					labels = append(labels, l.Key+"="+l.Value)
				}
				slices.Sort(labels)
				set[strings.Join(slices.Concat([]string{p.RoleID, r.Type, r.ID}, slices.Compact(labels)), " ")] = true
			}
		}
	}
	for _, u := range ws.Users {
		if u.ID == id {
			add(u.Permissions)
		}
	}
	for _, g := range ws.Groups {
		if g.ID == id {
			add(g.Permissions)
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// pause waits for d, on the fake time of testing/synctest. A wait of zero needs no timer:
// with the race detector, such a timer may crash Go 1.26 there.
func pause(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}

func checkHolds(t interface {
	Helper()
	Errorf(string, ...any)
}, srv *sim.Server, id string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), holds(srv.Workspace(), id)); diff != "" {
		t.Errorf("%s holds (-want +got):\n%s", id, diff)
	}
}

func expectOrder(t *testing.T, srv *sim.Server, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, simtest.Operations(srv.Journal())); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// unspacedWrites turns the spacing of writes off.
func unspacedWrites() segmentapi.Option {
	return segmentapi.WithLimits(segmentapi.Limits{WritesPerMinute: 1_000_000})
}

// connect returns a client of a simulator in the same process. Requests and answers
// must keep to the contract, except for answers that a fault has changed. The client
// does not wait for reads that are behind a write, unless an option says so.
func connect(t *testing.T, srv *sim.Server, opts ...segmentapi.Option) *segmentapi.Client {
	t.Helper()
	all := []segmentapi.Option{segmentapi.WithBaseURL("http://localhost"), segmentapi.WithHTTPClient(simtest.CheckedClient(t, srv)), segmentapi.WithSettleTime(0)}
	c, err := segmentapi.New(srv.Token(), append(all, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// changeBefore plans what another administrator does to the permissions of a user or
// a group, right before the given request of the operation.
func changeBefore(t *testing.T, srv *sim.Server, operation string, ordinal int, id string, edit func(*[]sim.Permission)) {
	t.Helper()
	err := srv.Before(operation, ordinal, func(ws *sim.Workspace) {
		for i := range ws.Users {
			if ws.Users[i].ID == id {
				edit(&ws.Users[i].Permissions)
			}
		}
		for i := range ws.Groups {
			if ws.Groups[i].ID == id {
				edit(&ws.Groups[i].Permissions)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func adds(p sim.Permission) func(*[]sim.Permission) {
	return func(held *[]sim.Permission) { *held = append(*held, p) }
}

func editPermissions(ws *sim.Workspace, id string, edit func([]sim.Permission) []sim.Permission) {
	for i := range ws.Users {
		if ws.Users[i].ID == id {
			ws.Users[i].Permissions = edit(ws.Users[i].Permissions)
		}
	}
	for i := range ws.Groups {
		if ws.Groups[i].ID == id {
			ws.Groups[i].Permissions = edit(ws.Groups[i].Permissions)
		}
	}
}

// updateSoon makes an edit by another administrator 100 ms from now.
func updateSoon(srv *sim.Server, edit func(*sim.Workspace)) {
	go func() {
		<-time.After(100 * time.Millisecond)
		srv.Update(edit)
	}()
}

type transportFunc func(*http.Request) (*http.Response, error)

func (f transportFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func jsonResponse(r *http.Request, body string) *http.Response {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}
}

// sharedLog is a log that several goroutines may write to.
type sharedLog struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (l *sharedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns what was logged.
func (l *sharedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *sharedLog) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
