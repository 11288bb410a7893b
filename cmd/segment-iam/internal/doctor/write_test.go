package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"regexp"
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

const invited = "new@example.org"

// trialOptions returns the options of a run that may write everything that a run can.
func trialOptions(s *sim.Server, log *[]string) Options {
	o := options(s)
	base := fmt.Sprintf("http://localhost:%d", ports.Add(1))
	ws := s.Workspace()
	o.Writes = &Writes{
		Slug: ws.Slug, TestAddress: ws.Users[3].Email, Invite: invited,
		NewClient: func(transport http.RoundTripper) (*segmentapi.Client, error) {
			return segmentapi.New(s.Token(), segmentapi.WithHTTPClient(&http.Client{Transport: transport}), segmentapi.WithBaseURL(base))
		},
		Log: func(format string, args ...any) { *log = append(*log, fmt.Sprintf(format, args...)) },
	}
	return o
}

// allowed are the writes that a run may send: to its own group, and to what does not exist.
var allowed = regexp.MustCompile(`^(POST /groups|(POST|PUT) /groups/[^/]+/permissions|DELETE /groups/[^/]+|POST /groups/[^/]+/users|DELETE /groups?/[^/]+/users|DELETE /users|(POST|DELETE) /invites)$`)

func checkWrites(t *testing.T, s *sim.Server, existing *sim.Workspace) {
	t.Helper()
	for _, r := range s.Journal() {
		if r.Method == http.MethodGet {
			continue
		}
		if !allowed.MatchString(r.Method + " " + r.Path) {
			t.Errorf("%s %s was sent", r.Method, r.Path)
		}
		for _, g := range existing.Groups {
			if strings.Contains(r.Path, g.ID) {
				t.Errorf("%s %s was sent to a group that is not the doctor's", r.Method, r.Path)
			}
		}
	}
}

// A run that writes leaves the workspace as it was.
func TestWrites_LeaveNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		before := sim.Demo()
		s := sim.New(sim.Demo(), sim.WithAuditDelay(2*time.Minute))
		var log []string
		report, err := Run(t.Context(), trialOptions(s, &log))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, s.Workspace()); diff != "" {
			t.Errorf("workspace (-before +after):\n%s", diff)
		}
		checkWrites(t, s, before)
		var questions []int
		for _, c := range report.Checks {
			questions = append(questions, c.Question)
			t.Logf("%d %s: %s (%s)", c.Question, c.Name, c.Seen, c.Verdict)
		}
		for _, q := range []int{2, 3, 4, 8, 9, 10, 11, 12, 15, 16, 17, 23, 25, 28, 29, 32} {
			if !slices.Contains(questions, q) {
				t.Errorf("there is no check of question %d", q)
			}
		}
		if c := find(t, report, auditDelay); !strings.Contains(c.Seen, "after 2m") {
			t.Errorf("events are there after: %q", c.Seen)
		}
		t.Logf("%d requests, %d of them writes", report.Requests, len(simtest.Writes(s.Journal())))
		if len(log) != 6 {
			t.Errorf("the log is %q", log)
		}
	})
}

// A run that is interrupted at any of its writes, before Segment has carried it out or
// after, deletes what it made as well.
func TestWrites_InterruptedLeaveNothing(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]bool{"before": false, "after": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := 1
			for checkInterrupted(t, n, after) {
				n++
			}
			if n < 20 {
				t.Errorf("only %d writes", n)
			}
		})
	}
}

// checkInterrupted interrupts a run at a write. It returns false if there are fewer.
func checkInterrupted(t *testing.T, n int, after bool) bool {
	t.Helper()
	sent := 0
	synctest.Test(t, func(t *testing.T) {
		before := sim.Demo()
		s := sim.New(sim.Demo())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var log []string
		o := trialOptions(s, &log)
		o.Writes.NoAudit = true
		base := o.Transport
		o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodGet {
				return base.RoundTrip(r)
			}
			if sent++; sent != n {
				return base.RoundTrip(r)
			}
			if after {
				resp, err := base.RoundTrip(r)
				if err != nil {
					return nil, err
				}
				_ = resp.Body.Close()
			}
			cancel()
			return nil, context.Canceled
		})
		_, err := Run(ctx, o)
		// Nobody knows whether a group that was not answered is made after all.
		unknown := n == 1 && !after && errors.Is(err, ErrLeftBehind)
		if sent >= n && err != nil && !errors.Is(err, context.Canceled) && !unknown {
			t.Errorf("interrupted at write %d: %v", n, err)
		}
		if diff := cmp.Diff(before, s.Workspace()); diff != "" {
			t.Errorf("interrupted at write %d (-before +after):\n%s\n%q", n, diff, log)
		}
		checkWrites(t, s, before)
	})
	return sent >= n
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A group that could not be deleted is named, with how to delete it.
func TestWrites_LeftBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := sim.New(sim.Demo())
		simtest.Inject(t, s, sim.Fault{Operation: "deleteUserGroup", Kind: sim.FaultStatus, Status: http.StatusInternalServerError})
		var log []string
		_, err := Run(t.Context(), trialOptions(s, &log))
		id := ""
		for _, g := range s.Workspace().Groups {
			if strings.HasPrefix(g.Name, GroupName) {
				id = g.ID
			}
		}
		if !errors.Is(err, ErrLeftBehind) || id == "" || !strings.Contains(err.Error(), id) {
			t.Errorf("group %q is left behind: %v", id, err)
		}
		// The next run refuses to begin, and names it as well.
		_, err = Run(t.Context(), trialOptions(s, &log))
		if !errors.Is(err, ErrLeftBehind) || !strings.Contains(err.Error(), id) {
			t.Errorf("the next run returns %v", err)
		}
	})
}

// The report identifies nothing after writes as well, whole or not. Only the log and the error
// name what was made.
func TestWrites_NothingIdentifies(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault sim.Fault
		check string
		want  Verdict
	}{
		"whole":       {check: postedAgain, want: AsAssumed},
		"no answer":   {sim.Fault{Operation: "addUsersToUserGroup", Kind: sim.FaultReset}, memberAgain, NotSeen},
		"left behind": {sim.Fault{Operation: "deleteUserGroup", Kind: sim.FaultStatus, Status: http.StatusForbidden}, auditDelay, NotSeen},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ws := sim.Demo()
				markAll(reflect.ValueOf(ws).Elem())
				s := sim.New(ws, sim.WithToken(marker+"-token"), sim.WithAuditPolicyIDs())
				if tt.fault.Operation != "" {
					simtest.Inject(t, s, tt.fault)
				}
				var log []string
				o := trialOptions(s, &log)
				o.Load = true
				report, err := Run(t.Context(), o)
				if (err != nil) != (tt.fault.Operation != "") {
					t.Fatal(err)
				}
				encoded, err := json.Marshal(report)
				if err != nil {
					t.Fatal(err)
				}
				for _, secret := range []string{marker, GroupName, "example", "invalid", "localhost"} {
					if strings.Contains(string(encoded), secret) {
						t.Errorf("the report contains %q:\n%s", secret, encoded)
					}
				}
				if c := find(t, report, tt.check); c.Verdict != tt.want {
					t.Errorf("not as far as it was to be: %+v", c)
				}
			})
		})
	}
}

// An interruption while the audit trail is awaited ends that, and nothing has failed.
func TestWrites_InterruptedAudit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		before := sim.Demo()
		s := sim.New(sim.Demo(), sim.WithAuditDelay(time.Hour))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		simtest.Before(t, s, "listAuditEvents", 3, func(*sim.Workspace) { cancel() })
		var log []string
		report, err := Run(ctx, trialOptions(s, &log))
		if err != nil {
			t.Fatal(err)
		}
		if c := find(t, report, auditDelay); c.Verdict != NotSeen || c.Seen != interrupted {
			t.Errorf("%+v", c)
		}
		if c := find(t, report, postedAgain); c.Verdict != AsAssumed {
			t.Errorf("%+v", c)
		}
		if diff := cmp.Diff(before, s.Workspace()); diff != "" {
			t.Errorf("workspace (-before +after):\n%s", diff)
		}
	})
}

// Nothing is written unless the workspace and the addresses are the right ones.
func TestWrites_Refused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		edit func(*sim.Workspace, *Writes)
		want error
	}{
		"another slug":              {func(_ *sim.Workspace, o *Writes) { o.Slug += "x" }, ErrOtherWorkspace},
		"a slug in another case":    {func(_ *sim.Workspace, o *Writes) { o.Slug = strings.ToUpper(o.Slug) }, ErrOtherWorkspace},
		"an invite of a user":       {func(ws *sim.Workspace, o *Writes) { o.Invite = strings.ToUpper(ws.Users[0].Email) }, ErrAddress},
		"an invite that is pending": {func(ws *sim.Workspace, o *Writes) { o.Invite = ws.Invites[0].Email }, ErrAddress},
		"an invite with a name":     {func(_ *sim.Workspace, o *Writes) { o.Invite = "New <" + invited + ">" }, ErrAddress},
		"an unknown test address":   {func(_ *sim.Workspace, o *Writes) { o.TestAddress = invited }, ErrAddress},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := sim.New(sim.Demo())
				var log []string
				o := trialOptions(s, &log)
				tt.edit(s.Workspace(), o.Writes)
				if _, err := Run(t.Context(), o); !errors.Is(err, tt.want) {
					t.Errorf("Run returns %v, want %v", err, tt.want)
				}
				if writes := simtest.Writes(s.Journal()); len(writes) > 0 || len(log) > 0 {
					t.Errorf("sent: %q; log: %q", writes, log)
				}
			})
		})
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	const prefix = "/proxy/groups"
	g := &guard{prefix: prefix, group: "groups-own", user: "nobody", address: "nobody@example.invalid", member: "test@example.org", invite: "new@example.org"}
	for request, want := range map[string]bool{
		"GET /users/ann":                      true,
		"POST /groups":                        false, // There is one already.
		"PUT /groups/groups-own/permissions":  true,
		"POST /groups/groups-own/permissions": true,
		"PUT /groups/other/permissions":       false,
		"PUT /groups/groups-own/users {\"emails\":[\"test@example.org\"]}":                      false,
		"POST /groups/groups-own/users {\"emails\":[\"test@example.org\"]}":                     true,
		"POST /groups/groups-own/users {\"emails\":[\"TEST@EXAMPLE.ORG\"]}":                     true,
		"POST /groups/groups-own/users {\"emails\":[\"test@example.org\",\"ann@example.org\"]}": false,
		"POST /groups/groups-own/users {\"emails\":[]}":                                         false,
		"POST /groups/groups-own/users {}":                                                      false,
		"POST /groups/groups-own/users":                                                         false,
		"POST /groups/other/users {\"emails\":[\"test@example.org\"]}":                          false,
		"DELETE /groups/groups-own":                                                             true,
		"DELETE /groups/other":                                                                  false,
		"DELETE /groups/":                                                                       false,
		"DELETE /group/groups-own/users?emails.0=test@example.org":                              true,
		"DELETE /groups/groups-own/users?emails.0=nobody@example.invalid":                       true,
		"DELETE /group/groups-own/users?emails.0=ann@example.org":                               false,
		"DELETE /group/groups-own/users?emails.0=test@example.org&emails.0=ann@example.org":     false,
		"DELETE /group/groups-own/users":                                                        false,
		"DELETE /group/other/users?emails.0=test@example.org":                                   false,
		"DELETE /users?userIds.0=nobody":                                                        true,
		"DELETE /users?userIds.0=ann":                                                           false,
		"DELETE /users?userIds.0=nobody&userIds.1=ann":                                          false,
		"DELETE /users":                                                 false,
		"POST /users/ann/permissions":                                   false,
		"PUT /users/ann/permissions":                                    false,
		"DELETE /invites?emails.0=nobody@example.invalid":               true,
		"DELETE /invites?emails.0=ann@example.org":                      false,
		"DELETE /invites?emails.0=new@example.org":                      false, // It was not sent yet.
		"POST /invites {\"invites\":[{\"email\":\"new@example.org\"}]}": true,
		"POST /invites {\"invites\":[{\"email\":\"ann@example.org\"}]}": false,
		"PATCH /groups/groups-own":                                      false,
		"POST /labels":                                                  false,
	} {
		if got := g.allows(guardedRequest(t, prefix, request)); got != want {
			t.Errorf("%s: allowed %t, want %t", request, got, want)
		}
	}
	g.invited = true
	if !g.allows(guardedRequest(t, prefix, "DELETE /invites?emails.0=new@example.org")) {
		t.Error("an invite that was sent cannot be deleted")
	}
	// Without addresses, and before there is a group.
	g = &guard{user: "nobody", address: "nobody@example.invalid"}
	for request, want := range map[string]bool{
		"POST /groups": true,
		"POST /invites {\"invites\":[{\"email\":\"\"}]}": false,
		"DELETE /invites?emails.0=":                      false,
		"DELETE /groups/":                                false,
		"PUT /groups//permissions":                       false,
		"POST /groups//users {\"emails\":[\"\"]}":        false,
	} {
		if got := g.allows(guardedRequest(t, "", request)); got != want {
			t.Errorf("%s: allowed %t, want %t", request, got, want)
		}
	}
}

func guardedRequest(t *testing.T, prefix, request string) *http.Request {
	t.Helper()
	parts := strings.SplitN(request, " ", 3)
	var body io.Reader = http.NoBody
	if len(parts) == 3 {
		body = strings.NewReader(parts[2])
	}
	req, err := http.NewRequestWithContext(t.Context(), parts[0], "https://api.example.com"+prefix+parts[1], body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}
