package doctor

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// intercept lets f answer the requests of a method, with a function that sends them.
func intercept(o *Options, method string, f func(r *http.Request, send func() (*http.Response, error)) (*http.Response, error)) {
	base := o.Transport
	o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		send := func() (*http.Response, error) { return base.RoundTrip(r) }
		if r.Method != method {
			return send()
		}
		return f(r, send)
	})
}

var errLost = errors.New("the answer is lost")

// loseAnswer sends a request and loses the answer.
func loseAnswer(send func() (*http.Response, error)) (*http.Response, error) {
	resp, err := send()
	if err != nil {
		return nil, err
	}
	return nil, errors.Join(errLost, resp.Body.Close())
}

// sent returns how many requests of an operation are in the journal.
func sent(s *sim.Server, operation string) int { return simtest.Count(s.Journal())[operation] }

// The doctor does not touch changes that others make during its run.
func TestWrites_OthersAreKept(t *testing.T) {
	t.Parallel()
	invite := func(ws *sim.Workspace) { ws.Invites = append(ws.Invites, sim.Invite{Email: invited}) }
	leave := func(ws *sim.Workspace) { ws.Users = slices.Delete(ws.Users, 3, 4) }
	for name, tt := range map[string]struct {
		operation string
		edit      func(*sim.Workspace)
		// never is an operation that must not be sent.
		never string
	}{
		"somebody invites the address before the writes": {"createUserGroup", invite, "createInvites"},
		"somebody invites the address at the same time":  {"createInvites", invite, "none"},
		"the test address leaves":                        {"createUserGroup", leave, "addUsersToUserGroup"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				want := sim.Demo()
				tt.edit(want)
				s := sim.New(sim.Demo())
				simtest.Before(t, s, tt.operation, 1, tt.edit)
				var log []string
				o := trialOptions(s, &log)
				o.Writes.NoAudit = true
				if _, err := Run(t.Context(), o); err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(want, s.Workspace()); diff != "" {
					t.Errorf("workspace (-want +got):\n%s\n%q", diff, log)
				}
				if sent(s, tt.never) > 0 {
					t.Errorf("%s was sent", tt.never)
				}
			})
		})
	}
}

// If the lists that show the objects of others cannot be read, the doctor writes nothing.
func TestWrites_UnknownOthers(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"listUsers", "listInvites", "listUserGroups"} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := sim.New(sim.Demo(), sim.WithAnswers(func(a *sim.Answer) {
					if a.Operation == operation {
						a.Fail(http.StatusServiceUnavailable)
					}
				}))
				var log []string
				o := trialOptions(s, &log)
				if o.Writes.TestAddress = ""; operation == "listUserGroups" {
					o.Writes.Invite = ""
				} else {
					o.Writes.Invite = s.Workspace().Invites[0].Email
				}
				report, err := Run(t.Context(), o)
				if writes := simtest.Writes(s.Journal()); err == nil || len(writes) > 0 {
					t.Errorf("Run returns %v; sent: %q", err, writes)
				}
				if report == nil || find(t, report, attached).Verdict != NotSeen {
					t.Errorf("the report is %+v", report)
				}
			})
		})
	}
}

// If two doctors run at the same time, each uses only its own group.
func TestWrites_GroupNames(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log []string
		for range 2 { // At the same instant of fake time, but for the time that a run takes.
			s := sim.New(sim.Demo())
			simtest.Inject(t, s, refusing("createUserGroup", 0, http.StatusForbidden))
			if _, err := Run(t.Context(), trialOptions(s, &log)); err == nil {
				t.Error("the group was made")
			}
		}
		if len(log) != 2 || log[0] == log[1] || !strings.HasPrefix(log[0], `making group "`+GroupName+"2000-01-01 00:00 ") {
			t.Errorf("the log is %q", log)
		}
	})
}

// If a single read does not find the group, the other answers still count.
func TestWrites_GroupNotFoundOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := sim.New(sim.Demo())
		var log []string
		o := trialOptions(s, &log)
		o.Writes.NoAudit = true
		if _, err := Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		operations := simtest.Operations(s.Journal())
		reads := 0
		for _, operation := range operations[:slices.Index(operations, "deleteUserGroup")] {
			if operation == "getUserGroup" {
				reads++
			}
		}
		s = sim.New(sim.Demo())
		simtest.Inject(t, s, refusing("getUserGroup", reads, http.StatusNotFound))
		o = trialOptions(s, &log)
		report, err := Run(t.Context(), o)
		if err != nil || find(t, report, postedAgain).Verdict != AsAssumed {
			t.Errorf("Run returns %v", err)
		}
	})
}

// If the answer to making the group is lost, the group is found and deleted, however late it
// is listed, and no other.
func TestWrites_LostGroup(t *testing.T) {
	t.Parallel()
	for name, made := range map[string]bool{"made": true, "not made": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := sim.New(sim.Demo(), sim.WithLag(7*time.Second))
				want := sim.Demo()
				var log []string
				o := trialOptions(s, &log)
				intercept(&o, http.MethodPost, func(r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
					if !strings.HasSuffix(r.URL.Path, "/groups") {
						return send()
					}
					other := sim.Group{ID: "other", Name: GroupName + time.Now().UTC().Format("2006-01-02 15:04")}
					want.Groups = append(want.Groups, other)
					s.Update(func(ws *sim.Workspace) { ws.Groups = append(ws.Groups, other) })
					if made {
						return loseAnswer(send)
					}
					return nil, errLost
				})
				_, err := Run(t.Context(), o)
				if !errors.Is(err, errLost) || errors.Is(err, ErrLeftBehind) == made {
					t.Errorf("Run returns %v", err)
				}
				if !made && !strings.Contains(err.Error(), `group "`+GroupName) {
					t.Errorf("the group is not named: %v", err)
				}
				if diff := cmp.Diff(want, s.Workspace()); diff != "" {
					t.Errorf("workspace (-want +got):\n%s\n%q", diff, log)
				}
			})
		})
	}
}

// An invite is deleted unless its answer says that there is none.
func TestWrites_LostInvite(t *testing.T) {
	t.Parallel()
	for _, kind := range []sim.FaultKind{sim.FaultDrop, sim.FaultLateStatus, sim.FaultReset, sim.FaultStatus, sim.FaultHTML, sim.FaultEmpty} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				before := sim.Demo()
				s := sim.New(sim.Demo())
				simtest.Inject(t, s, sim.Fault{Operation: "createInvites", Kind: kind})
				var log []string
				o := trialOptions(s, &log)
				o.Writes.NoAudit = true
				_, err := Run(t.Context(), o)
				if (err != nil) != (kind == sim.FaultDrop || kind == sim.FaultReset) || errors.Is(err, ErrLeftBehind) {
					t.Errorf("Run returns %v", err)
				}
				if diff := cmp.Diff(before, s.Workspace()); diff != "" {
					t.Errorf("workspace (-before +after):\n%s\n%q", diff, log)
				}
			})
		})
	}
}

// A group or an invite that Segment does not find yet is deleted again.
func TestWrites_NotThereYet(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/groups/", "/invites"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				before := sim.Demo()
				s := sim.New(sim.Demo(), sim.WithLag(10*time.Second))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var log []string
				o := trialOptions(s, &log)
				o.Writes.TestAddress = ""
				intercept(&o, http.MethodPost, func(r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
					if strings.HasSuffix(r.URL.Path, strings.TrimSuffix(path, "/")) {
						cancel()
					}
					return send()
				})
				canceled := time.Time{}
				intercept(&o, http.MethodDelete, func(r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
					if ctx.Err() == nil || !strings.HasPrefix(r.URL.Path, path) {
						return send()
					}
					if canceled.IsZero() {
						canceled = time.Now()
					}
					if time.Since(canceled) < 8*time.Second {
						return answerWith(r, http.StatusNotFound), nil
					}
					return send()
				})
				if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) {
					t.Errorf("Run returns %v", err)
				}
				if diff := cmp.Diff(before, s.Workspace()); diff != "" {
					t.Errorf("workspace (-before +after):\n%s\n%q", diff, log)
				}
			})
		})
	}
}

func answerWith(r *http.Request, status int) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(`{"errors":[{"type":"x"}]}`)), Request: r}
}

// If somebody else deletes the group, answers about it do not count.
func TestWrites_GroupDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"replacePermissionsForUserGroup", "addPermissionsToUserGroup"} {
		synctest.Test(t, func(t *testing.T) {
			before := sim.Demo()
			s := sim.New(sim.Demo())
			simtest.Before(t, s, operation, 1, func(ws *sim.Workspace) {
				ws.Groups = slices.DeleteFunc(ws.Groups, func(g sim.Group) bool { return strings.HasPrefix(g.Name, GroupName) })
			})
			var log []string
			report, err := Run(t.Context(), trialOptions(s, &log))
			if !errors.Is(err, errDeletedMeanwhile) || errors.Is(err, ErrLeftBehind) {
				t.Errorf("%s: Run returns %v", operation, err)
			}
			for _, c := range writeChecks() {
				if got := find(t, report, c.Name); got.Verdict != NotSeen {
					t.Errorf("%s: %+v", operation, got)
				}
			}
			if got := unsafeFor(report); got != "" {
				t.Errorf("%s: not safe to %q", operation, got)
			}
			if diff := cmp.Diff(before, s.Workspace()); diff != "" {
				t.Errorf("%s: workspace (-before +after):\n%s", operation, diff)
			}
		})
	}
}

// Each thing that remains is an error that names it, also after an interruption.
func TestWrites_RemainsAreNamed(t *testing.T) {
	t.Parallel()
	const success = `{"data":{"status":"SUCCESS"}}`
	capitals := strings.ToUpper(sim.Demo().Users[3].Email)
	// An address in another case is somebody else's, who gets an invite.
	inviteInCapitals := func(s *sim.Server) {
		s.Update(func(ws *sim.Workspace) { ws.Invites = append(ws.Invites, sim.Invite{Email: capitals}) })
	}
	for name, tt := range map[string]struct {
		fault sim.Fault
		post  func(*sim.Server)
		names string
	}{
		"the invite":              {sim.Fault{Operation: "deleteInvites", Kind: sim.FaultStatus, Status: http.StatusInternalServerError}, nil, "the invite of " + invited},
		"the group":               {sim.Fault{Operation: "deleteUserGroup", Kind: sim.FaultStatus, Status: http.StatusForbidden}, nil, `group "` + GroupName},
		"an invite that stays":    {sim.Fault{Operation: "deleteInvites", Ordinal: 2, Kind: sim.FaultStatus, Status: http.StatusOK, Body: success}, nil, "the invite of " + invited},
		"a group that stays":      {sim.Fault{Operation: "deleteUserGroup", Kind: sim.FaultStatus, Status: http.StatusOK, Body: success}, nil, `group "` + GroupName},
		"an invite that was made": {sim.Fault{}, inviteInCapitals, "the invite of " + capitals},
	} {
		for _, interrupted := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := sim.New(sim.Demo())
					if tt.fault.Operation != "" {
						simtest.Inject(t, s, tt.fault)
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					var log []string
					o := trialOptions(s, &log)
					intercept(&o, http.MethodPost, func(r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
						if tt.post != nil && strings.HasSuffix(r.URL.Path, "/users") && sent(s, "addUsersToUserGroup") == 2 {
							tt.post(s)
						}
						if interrupted && strings.HasSuffix(r.URL.Path, "/invites") {
							cancel()
						}
						return send()
					})
					report, err := Run(ctx, o)
					if !errors.Is(err, ErrLeftBehind) || strings.Count(err.Error(), tt.names) != 1 || strings.Contains(err.Error(), "%!") {
						t.Errorf("Run returns %v, which does not name %q", err, tt.names)
					}
					if report == nil {
						t.Error("there is no report")
					}
				})
			})
		}
	}
}

func TestSwapCase(t *testing.T) {
	t.Parallel()
	for email, want := range map[string]string{
		"ann@example.com": "ANN@EXAMPLE.COM",
		"ANN@EXAMPLE.COM": "ann@example.com",
		"Ann@example.com": "ANN@EXAMPLE.COM",
		"straße@a.com":    "STRAßE@A.COM",
		"ıda@a.com":       "ıDA@A.COM",
	} {
		if got := swapCase(email); got != want {
			t.Errorf("swapCase(%q) is %q, want %q", email, got, want)
		}
	}
}
