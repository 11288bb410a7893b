//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// doctorMade precedes the id in the line about the group that a doctor has made.
const doctorMade = "made group "

// By default, a doctor only reads. It counts its requests.
func TestIAMDoctor_Reads(t *testing.T) {
	t.Parallel()
	s := serve(t, sim.Demo())
	r := must(t, s.Env(), "segment-iam", "doctor")
	if r.stderr != "" || !strings.Contains(r.stdout, fmt.Sprintf("\n%d requests, which changed nothing.\n", len(s.Journal()))) {
		t.Errorf("%d requests\n%s%s", len(s.Journal()), r.stdout, r.stderr)
	}
	if writes := simtest.Writes(s.Journal()); len(writes) > 0 {
		t.Errorf("sent: %q", writes)
	}
}

// A doctor that tries writes leaves the workspace as it was.
func TestIAMDoctor_Writes(t *testing.T) {
	t.Parallel()
	s := serve(t, sim.Demo(), sim.WithRoleScopes())
	before := s.Workspace()
	r := must(t, s.Env(), "segment-iam", "doctor", "--try-writes", before.Slug, "--no-audit", "-o", "json")
	if diff := cmp.Diff(before, s.Workspace()); diff != "" {
		t.Errorf("workspace (-before +after):\n%s", diff)
	}
	id := checkOwnGroupOnly(t, s)
	want := regexp.MustCompile(`^making group "baton-segment doctor [^"]+", which gives nobody anything\nmade group ` + id + `\ndeleted group ` + id + `\n$`)
	if !want.MatchString(r.stderr) {
		t.Errorf("standard error:\n%s", r.stderr)
	}
	var report struct {
		Checks []struct {
			Question      int
			Seen, Verdict string
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatal(err)
	}
	var differ []int
	for _, c := range report.Checks {
		if c.Verdict == "differs" {
			differ = append(differ, c.Question)
		}
	}
	if !slices.Equal(differ, []int{21}) { // The simulator has no limit.
		t.Errorf("these questions differ: %v\n%s", differ, r.stdout)
	}
	for _, entry := range s.Journal() {
		if entry.Method != http.MethodGet {
			t.Logf("%d %s %s?%s", entry.Status, entry.Method, entry.Path, entry.Query)
		}
	}
	t.Logf("%d requests, %d of them writes", len(s.Journal()), len(simtest.Writes(s.Journal())))
}

// checkOwnGroupOnly checks that each write was to one group that the doctor has made, or to
// what does not exist. It returns the group's id.
func checkOwnGroupOnly(t *testing.T, s server) string {
	t.Helper()
	id := ""
	own := regexp.MustCompile(`^/groups?/([^/]+)(/permissions|/users)?$`)
	for _, r := range s.Journal() {
		switch path := own.FindStringSubmatch(r.Path); {
		case r.Method == http.MethodGet:
		case path == nil:
			absent := r.Method == http.MethodDelete && r.Status == http.StatusNotFound && (r.Path == "/users" || r.Path == "/invites")
			if made := r.Method == http.MethodPost && r.Path == "/groups" && id == ""; !absent && !made {
				t.Errorf("%s %s?%s was answered with %d", r.Method, r.Path, r.Query, r.Status)
			}
		case id == "":
			id = path[1]
		case path[1] != id:
			t.Errorf("%s %s was sent to another group than %s", r.Method, r.Path, id)
		}
	}
	if id == "" || slices.ContainsFunc(sim.Demo().Groups, func(g sim.Group) bool { return g.ID == id }) {
		t.Errorf("the group is %q", id)
	}
	return id
}

// If a doctor is interrupted during a write, it deletes everything that it has created, prints
// the report so far, and ends with the exit code for interruptions.
func TestIAMDoctor_Interrupted(t *testing.T) {
	t.Parallel()
	const invited = "new@example.org"
	pool := newSubtestPool(t)
	for _, m := range []moment{
		{operation: "createInvites", ordinal: 1}, // The last write, so begin with it.
		{operation: "createUserGroup", ordinal: 1},
		{operation: "replacePermissionsForUserGroup", ordinal: 1},
		{operation: "addUsersToUserGroup", ordinal: 2},
		{operation: "removeUsersFromUserGroup", ordinal: 1},
		{operation: "addPermissionsToUserGroup", ordinal: 1},
	} {
		for _, by := range iamStops() {
			if by.signal != syscall.SIGINT && m.operation != "addUsersToUserGroup" {
				continue // All signals have the same effect.
			}
			pool.run(fmt.Sprintf("%s/%s", m.operation, by.name), func(t *testing.T) {
				ws := sim.Demo()
				s := serve(t, ws)
				arrived, release := pauseAt(t, s, m.operation, m.ordinal)
				defer release()
				p := startProgram(t, "segment-iam", t.TempDir(), s.Env(), "", "doctor", "--no-audit",
					"--try-writes", ws.Slug, "--test-address", ws.Users[3].Email, "--invite", invited)
				p.await(t, arrived)
				p.signal(t, by)
				release()
				checkDoctorStopped(t, s, p)
				if asked, text := m.operation == "createInvites", p.text(); strings.Contains(text, "inviting "+invited) != asked || strings.Contains(text, "deleted the invite of "+invited) != asked {
					t.Errorf("the invite is named: want %t\n%s", asked, text)
				}
			})
		}
	}
	pool.wait()
}

// checkDoctorStopped waits for an interrupted doctor, and checks what it leaves and prints.
func checkDoctorStopped(t *testing.T, s server, p *process) {
	t.Helper()
	if code, signal := p.wait(t); signal != 0 || code != 3 {
		t.Errorf("exit code %d, signal %v", code, signal)
	}
	if diff := cmp.Diff(sim.Demo(), s.Workspace()); diff != "" {
		t.Errorf("workspace (-before +after):\n%s", diff)
	}
	text := p.text()
	for _, want := range []string{
		doctorMade, "interrupted: deleting group ", "deleted group ", "segment-iam: stopped\n",
		"not reached: the run was interrupted", " of them writes. Everything that they created is deleted.\n", "Safe to sync.\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not print %q:\n%s", want, text)
		}
	}
}

// A second interruption ends the doctor immediately. Before, it has printed what is then left
// behind.
func TestIAMDoctor_InterruptedTwice(t *testing.T) {
	t.Parallel()
	ws := sim.Demo()
	s := serve(t, ws)
	arrived, release := pauseAt(t, s, "removeUsersFromUserGroup", 1)
	defer release()
	deleting, releaseDeletion := pauseAt(t, s, "deleteUserGroup", 1)
	defer releaseDeletion()
	interrupt := interruption{name: "SIGINT", signal: syscall.SIGINT}
	p := startProgram(t, "segment-iam", t.TempDir(), s.Env(), "Another interruption leaves it behind", "doctor", "--no-audit", "--try-writes", ws.Slug)
	p.await(t, arrived)
	p.signal(t, interrupt)
	release()
	p.await(t, p.logged)
	p.await(t, deleting)
	code, signal := p.stop(t, interrupt)
	_, rest, _ := strings.Cut(p.text(), doctorMade)
	id, _, _ := strings.Cut(rest, "\n")
	if signal != syscall.SIGINT || id == "" || !strings.Contains(rest, "interrupted: deleting group "+id+". Another") {
		t.Errorf("exit code %d, signal %v\n%s", code, signal, p.text())
	}
}
