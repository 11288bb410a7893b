package simtest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A recorder keeps what a helper would do to its test. Unlike Fatal of a real
// test, its Fatal returns.
type recorder struct {
	cleanups      []func()
	errors, fatal []any
}

func (r *recorder) Helper()           {}
func (r *recorder) Cleanup(f func())  { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Error(args ...any) { r.errors = append(r.errors, args...) }
func (r *recorder) Fatal(args ...any) { r.fatal = append(r.fatal, args...) }

// get sends a GET with the token of s and returns the status.
func get(t *testing.T, client *http.Client, s *sim.Server, url string) (int, error) {
	t.Helper()
	r := simtest.Must(http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil))(t)
	r.Header.Set("Authorization", "Bearer "+s.Token())
	resp, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}

func TestServe_EndsWithTheTest(t *testing.T) {
	t.Parallel()
	test := &recorder{}
	s := simtest.Serve(test, sim.Demo(), sim.WithToken("mine"))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if status, err := get(t, client, s.Server, s.URL+"/users"); status != http.StatusOK || err != nil {
		t.Errorf("status %d, %v", status, err)
	}
	if diff := cmp.Diff([]string{"BATON_TOKEN=mine", "BATON_BASE_URL=" + s.URL}, s.Env()); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
	for _, cleanup := range test.cleanups {
		cleanup()
	}
	if status, err := get(t, client, s.Server, s.URL+"/users"); err == nil {
		t.Errorf("status %d after the end of the test", status)
	}
}

func TestCheckedClient_ReportsBreaches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, path string
		fault      *sim.Fault
		opts       []sim.Option
		breaches   int
	}{
		{"good request", "/users", nil, nil, 0},
		{"bad request", "/users?limit=1", nil, nil, 1},
		{"response that a fault has altered", "/users", &sim.Fault{Operation: "listUsers", Kind: sim.FaultNull}, nil, 0},
		{"response that a normalization has altered", "/users/" + sim.Demo().Users[0].ID, nil, []sim.Option{sim.WithNormalizing(sim.NormalizeNullLabels)}, 0},
		{"bad request that meets a normalization", "/users/" + sim.Demo().Users[0].ID + "?limit=1", nil, []sim.Option{sim.WithNormalizing(sim.NormalizeNullLabels)}, 1},
		{"bad request that meets a fault", "/users?limit=1", &sim.Fault{Operation: "listUsers", Kind: sim.FaultNull}, nil, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			test := &recorder{}
			s := sim.New(sim.Demo(), c.opts...)
			if c.fault != nil {
				simtest.Inject(t, s, *c.fault)
			}
			if _, err := get(t, simtest.CheckedClient(test, s), s, "http://localhost"+c.path); err != nil {
				t.Error(err)
			}
			if len(test.errors) != c.breaches || len(test.fatal) > 0 {
				t.Errorf("got %v and %v, want %d breaches", test.errors, test.fatal, c.breaches)
			}
		})
	}
}

func TestPlans_RefuseUnknownOperations(t *testing.T) {
	t.Parallel()
	test := &recorder{}
	s := sim.New(sim.Empty())
	simtest.Inject(test, s, sim.Fault{Operation: "nothing", Kind: sim.FaultReset})
	simtest.Before(test, s, "nothing", 1, func(*sim.Workspace) {})
	simtest.After(test, s, "nothing", 1, func(*sim.Workspace) {})
	simtest.Committed(test, s, "nothing", 1, func(context.Context) {})
	if len(test.fatal) != 4 {
		t.Errorf("got %v, want four errors", test.fatal)
	}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	s := sim.New(sim.Empty())
	var events []string
	simtest.Before(t, s, "listRoles", 2, func(*sim.Workspace) { events = append(events, "before") })
	simtest.After(t, s, "listRoles", 2, func(*sim.Workspace) { events = append(events, "after") })
	simtest.Committed(t, s, "listRoles", 2, func(context.Context) { events = append(events, "committed") })
	for _, path := range []string{"/roles", "/users", "/roles"} {
		if _, err := get(t, simtest.Client(s), s, "http://localhost"+path); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(events, []string{"before", "after", "committed"}) {
		t.Errorf("events %v", events)
	}
	journal := append(s.Journal(), sim.Request{Operation: "createLabel", Method: http.MethodPost})
	if got := simtest.Operations(journal); !slices.Equal(got, []string{"listRoles", "listUsers", "listRoles", "createLabel"}) {
		t.Errorf("operations %v", got)
	}
	if got := simtest.Writes(journal); !slices.Equal(got, []string{"createLabel"}) {
		t.Errorf("writes %v", got)
	}
	if diff := cmp.Diff(map[string]int{"listRoles": 2, "listUsers": 1, "createLabel": 1}, simtest.Count(journal)); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestMust(t *testing.T) {
	t.Parallel()
	test, err := &recorder{}, errors.New("no value")
	if got := simtest.Must(7, nil)(test); got != 7 || len(test.fatal) > 0 {
		t.Errorf("got %d, %v", got, test.fatal)
	}
	simtest.Must(0, err)(test)
	if len(test.fatal) != 1 || test.fatal[0] != any(err) {
		t.Errorf("got %v, want %v", test.fatal, err)
	}
}
