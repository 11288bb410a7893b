package access_test

import (
	"cmp"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// A counter knows how many requests were under way at the same time.
type counter struct {
	base http.RoundTripper

	mu        sync.Mutex
	now, most int
}

// RoundTrip implements http.RoundTripper. An answer takes a second.
func (c *counter) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	c.now++
	c.most = max(c.most, c.now)
	c.mu.Unlock()
	<-time.After(time.Second)
	c.mu.Lock()
	c.now--
	c.mu.Unlock()
	return c.base.RoundTrip(r)
}

func client(t *testing.T, s *sim.Server, transport http.RoundTripper) *segmentapi.Client {
	t.Helper()
	c, err := segmentapi.New(s.Token(), segmentapi.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Read never has more requests under way than it has workers, and its result does not
// depend on their number.
func TestRead_Workers(t *testing.T) {
	t.Parallel()
	ws := sim.Sized(sim.Size{Users: 450, Groups: 5, Sources: 20, Invites: 3, MembersPerGroup: 5})
	var want *access.Snapshot
	for _, workers := range []int{1, 2, 32, 0} {
		synctest.Test(t, func(t *testing.T) {
			s := sim.New(ws)
			transport := &counter{base: s.RoundTripper()}
			var last access.Progress
			got, err := access.Read(t.Context(), client(t, s, transport), access.ReadOptions{
				Workers: workers, Progress: func(p access.Progress) { last = p },
			})
			if err != nil {
				t.Fatal(err)
			}
			if wanted := (access.Progress{Read: 455, All: 455}); last != wanted {
				t.Errorf("%d workers: the last progress is %+v", workers, last)
			}
			if most := cmp.Or(workers, access.DefaultWorkers); transport.most != most {
				t.Errorf("%d workers: %d requests at the same time, want %d", workers, transport.most, most)
			}
			if want == nil {
				want = got
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("%d workers (-1 worker):\n%s", workers, diff)
			}
		})
	}
}

// Someone who leaves while Read goes on is not in the workspace any more.
func TestRead_UserLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ws := sim.Sized(sim.Size{Users: 20})
		s := sim.New(ws)
		left := ws.Users[19]
		simtest.Before(t, s, "getUser", 1, func(ws *sim.Workspace) { ws.Users = ws.Users[:19] })
		got, err := access.Read(t.Context(), client(t, s, s.RoundTripper()), access.ReadOptions{Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.People) != 19 || len(got.Find(left.ID, access.TypeUser)) > 0 {
			t.Errorf("%d people; %s among them: %v", len(got.People), left.ID, got.Find(left.ID, access.TypeUser))
		}
	})
}

// Answers that so many have gone cannot be right.
func TestRead_TooManyGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := sim.New(sim.Sized(sim.Size{Users: 300}))
		simtest.Inject(t, s, sim.Fault{Operation: "getUser", Kind: sim.FaultStatus, Status: http.StatusNotFound})
		_, err := access.Read(t.Context(), client(t, s, s.RoundTripper()), access.ReadOptions{})
		if !errors.Is(err, access.ErrTooManyGone) || !errors.Is(err, segmentapi.ErrNotFound) {
			t.Errorf("Read returns %v", err)
		}
		// It does not ask for all of them first.
		if n := simtest.Count(s.Journal())["getUser"]; n > 200 {
			t.Errorf("%d requests for users", n)
		}
	})
}
