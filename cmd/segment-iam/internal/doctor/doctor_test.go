package doctor

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// weakToken is a second token of a workspace. The simulator answers it as the first one,
// unless an option says otherwise.
const weakToken = marker + "-weak-token"

// ports make the base URL of each run another one: clients of one token and base URL share
// what they know of the rate limit.
var ports atomic.Int64

// options returns those of a run against a simulator in process, whose requests are sent
// once.
func options(s *sim.Server) Options {
	base := fmt.Sprintf("http://localhost:%d", ports.Add(1))
	return Options{
		NewClient: func(token string, transport http.RoundTripper) (*segmentapi.Client, error) {
			return segmentapi.New(token, segmentapi.WithHTTPClient(&http.Client{Transport: transport}), segmentapi.WithBaseURL(base),
				segmentapi.WithPageSize(segmentapi.MaxPageSize), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 1}))
		},
		Transport: s.RoundTripper(), Token: s.Token(),
	}
}

func TestRun_EachAnswer(t *testing.T) {
	t.Parallel()
	for name, tt := range answers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := tt.server(t, sim.Demo())
			o := options(s)
			o.MemberToken = tt.member
			report, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			c := find(t, report, tt.check)
			if c.Verdict != tt.verdict || !strings.Contains(c.Seen, tt.seen) {
				t.Errorf("%s, seen %q; want %s, %q", c.Verdict, c.Seen, tt.verdict, tt.seen)
			}
			if got := unsafeFor(report); got != tt.unsafe {
				t.Errorf("not safe to %q, want %q: %q %q", got, tt.unsafe, report.Sync.Why, report.Provision.Why)
			}
			if got := len(s.Journal()); got != report.Requests {
				t.Errorf("%d requests were sent, and %d reported", got, report.Requests)
			}
			for _, r := range s.Journal() {
				if r.Method != http.MethodGet {
					t.Errorf("%s %s was sent", r.Method, r.Path)
				}
			}
		})
	}
}

// A check that cannot differ is only about how something is, not about whether it is as
// assumed.
func TestChecks_CanDiffer(t *testing.T) {
	t.Parallel()
	report, err := Run(t.Context(), options(sim.New(sim.Demo())))
	if err != nil {
		t.Fatal(err)
	}
	informative := []string{memberCount, repeatedRoles, repeatedRows, dangling, acceptedInvites}
	for _, c := range report.Checks {
		verdicts := map[Verdict]int{}
		for _, tt := range answers() {
			if tt.check == c.Name {
				verdicts[tt.verdict]++
			}
		}
		if differs := verdicts[Differs] > 0; differs == slices.Contains(informative, c.Name) || verdicts[AsAssumed] == 0 {
			t.Errorf("question %d, %s: the table has %v", c.Question, c.Name, verdicts)
		}
		if c.Assumed == "" || c.Seen == "" || c.Means == "" {
			t.Errorf("question %d, %s: incomplete: %+v", c.Question, c.Name, c)
		}
		if slices.Contains(informative, c.Name) != strings.HasPrefix(c.Means, "Nothing") && c.Name != dangling && c.Name != counts {
			t.Errorf("question %d, %s: means %q", c.Question, c.Name, c.Means)
		}
	}
}

func find(t *testing.T, report *Report, name string) Check {
	t.Helper()
	i := slices.IndexFunc(report.Checks, func(c Check) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("the report has no check %q", name)
	}
	return report.Checks[i]
}

// unsafeFor names what a report calls unsafe.
func unsafeFor(report *Report) string {
	var names []string
	for name, s := range map[string]Safety{"sync": report.Sync, "provision": report.Provision} {
		if !s.Safe {
			names = append(names, name)
		}
		if s.Safe != (len(s.Why) == 0) {
			names = append(names, "contradiction")
		}
	}
	slices.Sort(names)
	slices.Reverse(names)
	return strings.Join(names, ", ")
}
