package doctor

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// onOwnGroup changes the detail of the group of the doctor.
func onOwnGroup(edit func(map[string]any)) sim.Option {
	return onMember("getUserGroup", "userGroup", func(group map[string]any) {
		if strings.HasPrefix(fmt.Sprint(group["name"]), GroupName) {
			edit(group)
		}
	})
}

// The doctor tries no role on the group while the test address may be a member.
func TestWrites_MemberStays(t *testing.T) {
	t.Parallel()
	refusedRemoval := sim.WithAnswers(func(a *sim.Answer) {
		if a.Operation == "removeUsersFromUserGroup" {
			a.Fail(http.StatusForbidden)
		}
	})
	shows := func(emails ...any) sim.Option {
		return onData("listUsersFromUserGroup", func(data map[string]any) {
			users := []any{}
			for i, email := range emails {
				users = append(users, map[string]any{"id": fmt.Sprint(i), "email": email, "name": ""})
			}
			data["users"] = users
		})
	}
	for name, opts := range map[string][]sim.Option{
		"the removal is refused":                      {sim.WithAnswers(func(a *sim.Answer) { failOwn(a, "removeUsersFromUserGroup", http.StatusForbidden) })},
		"the removal is refused, and none are shown":  {refusedRemoval, shows()},
		"the member is never shown":                   {shows()},
		"the member is always shown":                  {shows("a@example.com")},
		"the removal is refused, and shown once only": {refusedRemoval, shownOnce()},
		"nothing is shown after the removal":          {failingAfterRemoval("listUsersFromUserGroup")},
		"no invites are shown after the removal":      {failingAfterRemoval("listInvitesFromUserGroup")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				before := sim.Demo()
				s := sim.New(sim.Demo(), opts...)
				var log []string
				report, err := Run(t.Context(), trialOptions(s, &log))
				if !errors.Is(err, errStillMember) {
					t.Errorf("Run returns %v", err)
				}
				n := sent(s, "replacePermissionsForUserGroup") + sent(s, "addPermissionsToUserGroup")
				if n != 1 { // Minimal Workspace Access.
					t.Errorf("%d times, permissions were written", n)
				}
				if c := find(t, report, postedAgain); c.Verdict != NotSeen || !strings.HasPrefix(c.Seen, "not reached") {
					t.Errorf("not reached: %+v", c)
				}
				if diff := cmp.Diff(before, s.Workspace()); diff != "" {
					t.Errorf("workspace (-before +after):\n%s", diff)
				}
			})
		})
	}
}

func failOwn(a *sim.Answer, operation string, status int) {
	if a.Operation == operation {
		a.Fail(status)
	}
}

// failingAfterRemoval makes an operation fail once members have been removed.
func failingAfterRemoval(operation string) sim.Option {
	removed := false
	return sim.WithAnswers(func(a *sim.Answer) {
		removed = removed || a.Operation == "removeUsersFromUserGroup"
		if removed && a.Operation == operation {
			a.Fail(http.StatusServiceUnavailable)
		}
	})
}

// shownOnce shows members in the first list of each group only.
func shownOnce() sim.Option {
	seen := map[string]int{}
	return sim.WithAnswers(func(a *sim.Answer) {
		if a.Operation != "listUsersFromUserGroup" || len(rowsOf(a.Data()["users"])) == 0 {
			return
		}
		if seen[a.Request.URL.Path]++; seen[a.Request.URL.Path] > 1 {
			a.Data()["users"] = []any{}
		}
	})
}

// Before it adds a member, the doctor verifies that the group gives only Minimal Workspace
// Access.
func TestWrites_NoMember(t *testing.T) {
	t.Parallel()
	more := map[string]any{"roleId": "role", "roleName": "Source Admin", "resources": []any{map[string]any{"id": "ws", "type": "WORKSPACE", "labels": []any{}}}}
	for name, opt := range map[string]sim.Option{
		"it gives more":         onOwnGroup(func(group map[string]any) { group["permissions"] = append(rowsOf(group["permissions"]), more) }),
		"it gives another role": onOwnGroup(func(group map[string]any) { group["permissions"] = []any{more} }),
		"it shows nothing":      onOwnGroup(func(group map[string]any) { group["permissions"] = []any{} }),
		"it cannot be read":     failing("getUserGroup", http.StatusBadGateway),
		"Minimal is refused":    failing("replacePermissionsForUserGroup", http.StatusUnprocessableEntity),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := sim.New(sim.Demo(), opt)
				var log []string
				o := trialOptions(s, &log)
				o.Writes.NoAudit = true
				report, err := Run(t.Context(), o)
				if err != nil && !errors.Is(err, ErrLeftBehind) {
					t.Fatal(err)
				}
				if n := sent(s, "addUsersToUserGroup"); n > 0 {
					t.Errorf("%d members were added", n)
				}
				if c := find(t, report, memberAgain); c.Verdict != NotSeen || !strings.HasPrefix(c.Seen, "not tried: ") {
					t.Errorf("%+v", c)
				}
			})
		})
	}
}

// The test address is first written as Segment lists it, whatever its case on the command
// line, and only once in another case.
func TestWrites_MemberAsListed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := sim.New(sim.Demo())
		var log, bodies []string
		o := trialOptions(s, &log)
		o.Writes.TestAddress = strings.ToUpper(o.Writes.TestAddress)
		intercept(&o, http.MethodPost, func(r *http.Request, send func() (*http.Response, error)) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/users") {
				bodies = append(bodies, bodyOf(t, r))
			}
			return send()
		})
		if _, err := Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		listed := s.Workspace().Users[3].Email
		want := []string{listed, listed, strings.ToUpper(listed)}
		for i := range want {
			want[i] = `{"emails":["` + want[i] + `"]}`
		}
		if diff := cmp.Diff(want, bodies); diff != "" {
			t.Errorf("bodies (-want +got):\n%s", diff)
		}
	})
}

func bodyOf(t *testing.T, r *http.Request) string {
	t.Helper()
	body := simtest.Must(r.GetBody())(t)
	return string(simtest.Must(io.ReadAll(body))(t))
}

// The test address may be a pending invite, which stays one.
func TestWrites_PendingMember(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		before := sim.Demo()
		s := sim.New(sim.Demo())
		var log []string
		o := trialOptions(s, &log)
		o.Writes.TestAddress = before.Invites[0].Email
		report, err := Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{memberAgain, memberInCase, postedAgain} {
			if c := find(t, report, name); c.Verdict != AsAssumed {
				t.Errorf("%+v", c)
			}
		}
		if diff := cmp.Diff(before, s.Workspace()); diff != "" {
			t.Errorf("workspace (-before +after):\n%s", diff)
		}
	})
}
