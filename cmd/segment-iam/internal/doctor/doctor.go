// Package doctor tries on a real workspace what baton-segment assumes of Segment, and says
// what follows if it is otherwise.
//
// A report can be shared: it consists of counts, statuses, forms of ids and headers, and
// names that Segment itself has given. It has no name, e-mail, id, label or slug of the
// workspace.
package doctor

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// A Verdict is the result of a [Check].
type Verdict string

// The verdicts. NotSeen is for what the workspace has nothing to show of.
const (
	AsAssumed Verdict = "as assumed"
	Differs   Verdict = "differs"
	NotSeen   Verdict = "not seen"
)

// A Check is one assumption, and what the workspace shows of it.
type Check struct {
	// Question is the number of the open question in the project's facts about Segment's
	// API. It is 0 for fields that nobody has foreseen.
	Question int     `json:"question"`
	Name     string  `json:"name"`
	Assumed  string  `json:"assumed"`
	Seen     string  `json:"seen"`
	Verdict  Verdict `json:"verdict"`
	// Means says what follows for the user.
	Means string `json:"means"`

	// sync and provision are set if a difference makes these unsafe.
	sync, provision bool
}

// Safety says whether something is safe, and if not, why.
type Safety struct {
	Safe bool     `json:"safe"`
	Why  []string `json:"why"`
}

// A Report is the result of all checks.
type Report struct {
	Checks    []Check `json:"checks"`
	Sync      Safety  `json:"sync"`
	Provision Safety  `json:"provision"`
	// Requests is how many requests were sent, and Writes how many of these were no reads.
	Requests int `json:"-"`
	Writes   int `json:"-"`
}

// Options say what a run is to do.
type Options struct {
	// NewClient returns a client with a token, whose requests go through a transport.
	NewClient func(token string, transport http.RoundTripper) (*segmentapi.Client, error)
	// Transport sends the requests.
	Transport http.RoundTripper
	Token     string
	// MemberToken is a token of somebody with Minimal Workspace Access, or empty.
	MemberToken string
	// Load says whether to send many requests at the same time.
	Load bool
	// Writes are what to try by writing, or nil to only read.
	Writes *Writes
}

// Run reads the workspace and checks each assumption that reading can check. It reads the
// lists, and at most [MaxUsers] users and [MaxGroups] groups. A request that fails is a
// finding; Run itself fails only if the workspace cannot be read at all, or if ctx is done.
//
// If the workspace has been read and what comes after that fails, Run returns both the
// report and the error. Checks that were not reached are not seen, with the reason.
func Run(ctx context.Context, o Options) (*Report, error) {
	observed := newObserver(o.Transport)
	client, err := o.NewClient(o.Token, observed)
	if err != nil {
		return nil, err
	}
	w := &workspace{observer: observed, client: client, failed: map[string]error{}}
	if err = w.read(ctx); err != nil {
		return nil, err
	}
	if err = w.readWithOtherTokens(ctx, o); err != nil {
		return nil, err
	}
	report := &Report{}
	for _, check := range checks() {
		report.Checks = append(report.Checks, check(w))
	}
	if o.Load {
		report.Checks = append(report.Checks, w.tryLoad(ctx, o))
		err = ctx.Err()
	}
	if o.Writes != nil {
		var tried []Check
		tried, err = w.tryWrites(ctx, *o.Writes, observed)
		report.Checks = append(report.Checks, tried...)
	}
	report.Requests, report.Writes = observed.requests, observed.writes
	slices.SortStableFunc(report.Checks, func(a, b Check) int { return a.Question - b.Question })
	report.Sync = safety(report.Checks, func(c Check) bool { return c.sync })
	report.Provision = safety(report.Checks, func(c Check) bool { return c.provision })
	return report, err
}

func safety(checks []Check, matters func(Check) bool) Safety {
	s := Safety{Safe: true, Why: []string{}}
	for _, c := range checks {
		if c.Verdict == Differs && matters(c) {
			s.Safe = false
			s.Why = append(s.Why, strings.TrimSuffix(c.Name, ".")+": "+c.Means)
		}
	}
	return s
}
