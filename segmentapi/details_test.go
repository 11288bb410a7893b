package segmentapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// A slowServer answers after a time that depends on the request, and knows how many
// requests were under way at the same time.
type slowServer struct {
	base    http.RoundTripper
	latency func(path string) time.Duration

	mu        sync.Mutex
	now, most int
}

// RoundTrip implements http.RoundTripper.
func (s *slowServer) RoundTrip(r *http.Request) (*http.Response, error) {
	s.count(1)
	defer s.count(-1)
	select {
	case <-time.After(s.latency(r.URL.Path)):
		return s.base.RoundTrip(r)
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

func (s *slowServer) count(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now += n
	s.most = max(s.most, s.now)
}

func (s *slowServer) underWay() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func steadily(string) time.Duration { return 100 * time.Millisecond }

// slowly returns a client of a server whose answers take a while.
func slowly(t *testing.T, srv *sim.Server, latency func(string) time.Duration, opts ...segmentapi.Option) (*segmentapi.Client, *slowServer) {
	t.Helper()
	slow := &slowServer{base: srv.RoundTripper(), latency: latency}
	c, err := segmentapi.New(srv.Token(), append([]segmentapi.Option{segmentapi.WithHTTPClient(&http.Client{Transport: slow})}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c, slow
}

// All users come, in the order of the list, with the permissions that Get returns, however
// long each answer takes. The details are read in parallel.
func TestAllWithPermissions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ws := sim.Sized(sim.Size{Users: 1000, Groups: 40, MembersPerGroup: 2, Sources: 20})
		srv := sim.New(ws)
		c, slow := slowly(t, srv, func(path string) time.Duration {
			return time.Duration(60+len(path)*7919%80) * time.Millisecond // 60 to 140 ms.
		}, segmentapi.WithPageSize(300))
		begun := time.Now()
		users := collect(t, c.Users.AllWithPermissions(t.Context()))
		took := time.Since(begun)
		groups := collect(t, c.Groups.AllWithPermissions(t.Context()))
		want := map[string]int{"listUsers": 4, "getUser": 1000, "listUserGroups": 1, "getUserGroup": 40}
		if diff := cmp.Diff(want, simtest.Count(srv.Journal())); diff != "" {
			t.Errorf("requests (-want +got):\n%s", diff)
		}
		if slow.most > 33 || slow.most < 32 {
			t.Errorf("%d requests at the same time", slow.most)
		}
		if most := 1004 * 140 * time.Millisecond / 32 * 11 / 10; took > most {
			t.Errorf("it took %s, want %s at most", took, most)
		}
		plain := connect(t, sim.New(ws))
		for i, u := range ws.Users {
			detail, err := plain.Users.Get(t.Context(), u.ID)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(*detail, users[i]); diff != "" {
				t.Fatalf("user %d (-want +got):\n%s", i, diff)
			}
		}
		for i, g := range ws.Groups {
			detail, err := plain.Groups.Get(t.Context(), g.ID)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(*detail, groups[i]); diff != "" {
				t.Fatalf("group %d (-want +got):\n%s", i, diff)
			}
		}
		if len(users) != 1000 || len(groups) != 40 {
			t.Errorf("%d users, %d groups", len(users), len(groups))
		}
	})
}

// A slow answer does not keep the others waiting.
func TestAllWithPermissions_OneSlowAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ws := sim.Sized(sim.Size{Users: 400})
		c, _ := slowly(t, sim.New(ws), func(path string) time.Duration {
			if path == "/users/"+ws.Users[0].ID {
				return 400 * time.Millisecond
			}
			return 100 * time.Millisecond
		})
		begun := time.Now()
		collect(t, c.Users.AllWithPermissions(t.Context()))
		if took := time.Since(begun); took > 1500*time.Millisecond {
			t.Errorf("it took %s", took)
		}
	})
}

// Users whose row of the list has permissions are not asked for.
func TestAllWithPermissions_ListHasThem(t *testing.T) {
	t.Parallel()
	ws := testWorkspace(on(admin, "SOURCE a"))
	ws.Users = append(ws.Users, sim.User{ID: "none", Email: "none@example.com"})
	srv := sim.New(ws, sim.WithPermissionsInLists())
	c := connect(t, srv)
	got := collect(t, c.Users.AllWithPermissions(t.Context()))
	if len(got) != 3 || len(got[1].Permissions) != 1 || len(got[2].Permissions) != 0 {
		t.Errorf("%+v", got)
	}
	if groups := collect(t, c.Groups.AllWithPermissions(t.Context())); len(groups) != 1 || len(groups[0].Permissions) != 1 {
		t.Errorf("%+v", groups)
	}
	// An empty list is no evidence that there are none.
	if diff := cmp.Diff(map[string]int{"listUsers": 1, "getUser": 1, "listUserGroups": 1}, simtest.Count(srv.Journal())); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// After a break nothing is under way, and nothing is sent any more.
func TestAllWithPermissions_Break(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(sim.Sized(sim.Size{Users: 1000}))
		c, slow := slowly(t, srv, steadily)
		taken := 0
		for _, err := range c.Users.AllWithPermissions(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if taken++; taken == 3 {
				<-time.After(time.Minute) // A slow loop: what is read ahead is bounded.
				if n := simtest.Count(srv.Journal())["getUser"]; n > 3+128+1 {
					t.Errorf("%d details were read ahead", n)
				}
				break
			}
		}
		if slow.underWay() != 0 {
			t.Errorf("%d requests are under way", slow.underWay())
		}
		sent := len(srv.Journal())
		<-time.After(time.Minute)
		if more := len(srv.Journal()) - sent; more != 0 {
			t.Errorf("%d requests after the loop", more)
		}
	})
}

// Whenever the context ends, the last thing that the loop sees is an error: what came
// before must not look like all users.
func TestAllWithPermissions_ContextEnds(t *testing.T) {
	t.Parallel()
	for _, slowLoop := range []bool{false, true} {
		for _, after := range []int{0, 1, 31, 32, 33, 140, 200, 399} {
			t.Run(fmt.Sprintf("%t after %d", slowLoop, after), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					srv := sim.New(sim.Sized(sim.Size{Users: 400}))
					c, slow := slowly(t, srv, steadily, segmentapi.WithPageSize(50))
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if after == 0 {
						cancel()
					}
					taken := 0
					var last error
					for _, err := range c.Users.AllWithPermissions(ctx) {
						if last = err; err != nil {
							continue
						}
						if slowLoop {
							<-time.After(time.Second) // All that may be read ahead is.
						}
						if taken++; taken == after {
							cancel()
						}
					}
					if taken < 400 && !errors.Is(last, context.Canceled) {
						t.Errorf("%d users, then %v", taken, last)
					}
					if slow.underWay() != 0 {
						t.Errorf("%d requests are under way", slow.underWay())
					}
				})
			})
		}
	}
}

// A user who has left is left out, and one whom Segment does not find once is not.
func TestAllWithPermissions_UserLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ws := sim.Sized(sim.Size{Users: 20})
		srv := sim.New(ws)
		left, late := ws.Users[7], ws.Users[8]
		simtest.Before(t, srv, "getUser", 1, func(ws *sim.Workspace) { ws.Users = slices.Delete(ws.Users, 7, 9) })
		c, _ := slowly(t, srv, func(path string) time.Duration {
			if path == "/users/"+late.ID {
				return 10 * time.Millisecond
			}
			return 20 * time.Millisecond
		})
		go func() {
			<-time.After(500 * time.Millisecond)
			srv.Update(func(ws *sim.Workspace) { ws.Users = append(ws.Users, late) })
		}()
		got := collect(t, c.Users.AllWithPermissions(t.Context()))
		if len(got) != 19 || got[7].ID != late.ID || len(got[7].Permissions) != len(late.Permissions) ||
			slices.ContainsFunc(got, func(u segmentapi.User) bool { return u.ID == left.ID }) {
			t.Errorf("%d users: %+v", len(got), got)
		}
		if n := simtest.Count(srv.Journal())["getUser"]; n != 22 {
			t.Errorf("%d requests for details, want 22", n)
		}
	})
}

// A list that cannot be complete ends with an error, which is not that a user is gone.
func TestAllWithPermissions_Errors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  sim.Fault
		want   error
		before int // How many users come before.
	}{
		"too many gone":            {sim.Fault{Operation: "getUser", Kind: sim.FaultStatus, Status: 404}, segmentapi.ErrBadResponse, 0},
		"a 404 of a proxy":         {sim.Fault{Operation: "getUser", Ordinal: 5, Kind: sim.FaultHTML, Status: 404}, segmentapi.ErrNotFound, -1},
		"a refusal":                {sim.Fault{Operation: "getUser", Kind: sim.FaultStatus, Status: 403}, segmentapi.ErrForbidden, 0},
		"a page that fails":        {sim.Fault{Operation: "listUsers", Ordinal: 3, Kind: sim.FaultStatus, Status: 403}, segmentapi.ErrForbidden, 100},
		"a page that is not there": {sim.Fault{Operation: "listUsers", Ordinal: 3, Kind: sim.FaultStatus, Status: 404}, segmentapi.ErrNotFound, 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				srv := sim.New(sim.Sized(sim.Size{Users: 300}))
				simtest.Inject(t, srv, c.fault)
				client, slow := slowly(t, srv, steadily, segmentapi.WithPageSize(50))
				taken, failures := 0, 0
				var last error
				for _, err := range client.Users.AllWithPermissions(t.Context()) {
					if last = err; err != nil {
						failures++
						continue
					}
					taken++
				}
				if !errors.Is(last, c.want) || failures != 1 || c.before >= 0 && taken != c.before {
					t.Errorf("%d users, then %d errors, the last %v", taken, failures, last)
				}
				if name == "too many gone" && (errors.Is(last, segmentapi.ErrNotFound) || !strings.Contains(last.Error(), "300 of 300 were not found")) {
					t.Error(last)
				}
				if slow.underWay() != 0 {
					t.Errorf("%d requests are under way", slow.underWay())
				}
			})
		})
	}
}

// A workspace without groups is not one with no groups.
func TestAllWithPermissions_NotInThePlan(t *testing.T) {
	t.Parallel()
	srv := sim.New(sim.Demo(), sim.WithoutFeatures(sim.FeatureGroups), sim.WithGateStatus(404))
	var last error
	for _, err := range connect(t, srv).Groups.AllWithPermissions(t.Context()) {
		last = err
	}
	if !segmentapi.LacksFeature(last) {
		t.Error(last)
	}
}

// The details keep to the rate limit, and wait for it.
func TestAllWithPermissions_RateLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := sim.New(sim.Sized(sim.Size{Users: 1500}), sim.WithLimit(1000))
		c, _ := slowly(t, srv, steadily)
		if users := collect(t, c.Users.AllWithPermissions(t.Context())); len(users) != 1500 {
			t.Errorf("%d users", len(users))
		}
	})
}
