//go:build unix

package e2e

import (
	"bytes"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// requestsSince counts the requests by operation, without the first ones.
func requestsSince(s server, first int) map[string]int {
	counts := map[string]int{}
	for _, r := range s.Journal()[first:] {
		counts[r.Operation]++
	}
	return counts
}

// The second run repeats the requests that the first one made after its last
// checkpoint. A stopped run saves one. A failed run keeps its rows and the
// checkpoint that it had: baton-sdk v0.26.0 saves one between the phases of a
// sync (types, resources, entitlements, grants), at most every ten seconds. A
// killed run leaves nothing.
//
// The rows are those of an undisturbed run, with one exception. If the second
// run repeats the entitlements after the first has read grants, it offers every
// role on the sets of labels that only grants contain. An undisturbed run offers
// only the roles that are held there.
func TestSync_ResumeRequests(t *testing.T) {
	t.Parallel()
	ws := sim.Demo()
	whole := cost(ws, builtTypes(), smallPage)
	validate := map[string]int{"getWorkspace": 1, "listUsers": 1, "listRoles": 1}
	grants := map[string]int{"listUsersFromUserGroup": whole["listUsersFromUserGroup"], "listInvitesFromUserGroup": whole["listInvitesFromUserGroup"]}
	forbidden := func(operation string, ordinal int) sim.Fault {
		return sim.Fault{Operation: operation, Ordinal: ordinal, Kind: sim.FaultStatus, Status: http.StatusForbidden}
	}
	for name, c := range map[string]resumeCase{
		"refused during the entitlements": {
			faults:   []sim.Fault{forbidden("getUser", 20)},
			requests: func(map[string]int) map[string]int { return whole },
		},
		"refused during the grants": {
			faults:   []sim.Fault{forbidden("listUsersFromUserGroup", 4)},
			requests: func(map[string]int) map[string]int { return whole }, restarts: true,
		},
		"refused during the grants, after entitlements of more than ten seconds": {
			faults: []sim.Fault{
				{Operation: "getUser", Ordinal: 20, Kind: sim.FaultDelay, Delay: 10500 * time.Millisecond},
				forbidden("listUsersFromUserGroup", 4),
			},
			requests: func(map[string]int) map[string]int { return addCounts(validate, grants) },
		},
		"stopped during the entitlements": {
			by: interruption{signal: syscall.SIGTERM}, moment: moment{operation: "getUser", ordinal: 20},
			requests: func(first map[string]int) map[string]int {
				return addCounts(validate, remainingCounts(whole, first), map[string]int{"getUser": 1})
			},
		},
		"stopped during the grants": {
			by: interruption{signal: syscall.SIGINT}, moment: moment{operation: "listUsersFromUserGroup", ordinal: 4},
			requests: func(first map[string]int) map[string]int {
				return addCounts(validate, remainingCounts(whole, first), map[string]int{"listUsersFromUserGroup": 1})
			},
		},
		"killed": {
			by: interruption{signal: syscall.SIGKILL}, moment: moment{operation: "listUsersFromUserGroup", ordinal: 4},
			requests: func(map[string]int) map[string]int { return whole },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, want := serve(t, ws), expected(ws, builtTypes())
			dir := t.TempDir()
			file := filepath.Join(dir, syncName)
			c.run(t, s, dir, smallPageArgs(file, "--workers", "1"))
			first, n := requestsSince(s, 0), len(s.Journal())
			got := syncAgain(t, s, file, "--workers", "1")
			if c.restarts {
				got.Entitlements = slices.DeleteFunc(got.Entitlements, ofLabelSets)
				want.Entitlements = slices.DeleteFunc(want.Entitlements, ofLabelSets)
			}
			compare(t, want, got)
			compareRequests(t, c.requests(first), requestsSince(s, n))
		})
	}
}

// A resumeCase is an incomplete sync and the requests of the one after it.
type resumeCase struct {
	// Faults end the first sync, or else a signal at the moment.
	faults []sim.Fault
	by     interruption
	moment moment
	// requests returns those of the second sync, given those of the first.
	requests func(first map[string]int) map[string]int
	// restarts is set if the second sync starts anew although the file has grants.
	restarts bool
}

// run runs the first sync, which must fail.
func (c resumeCase) run(t *testing.T, s server, dir string, args []string) {
	t.Helper()
	if c.faults == nil {
		p, resume := startUntil(t, s, dir, c.moment, args...)
		if code, _ := p.stop(t, c.by); code == 0 {
			t.Fatalf("exit code 0\n%s", p.text())
		}
		resume()
		return
	}
	simtest.Inject(t, s.Server.Server, c.faults...)
	p := start(t, dir, s.Env(), "", append(args, "--log-level", "error")...)
	if code, _ := p.wait(t); code != int(codes.PermissionDenied) {
		t.Fatalf("exit code %d\n%s", code, p.text())
	}
	if remains := entries(t, dir); !slices.Equal(remains, []string{syncName}) {
		t.Errorf("left behind: %q", remains)
	}
	s.ClearFaults()
}

// ofLabelSets reports whether the entitlement is on several labels at once.
func ofLabelSets(e entitlement) bool {
	return strings.HasPrefix(e.Resource, typeLabel+":") && strings.Contains(e.Resource, ",")
}

func addCounts(counts ...map[string]int) map[string]int {
	all := map[string]int{}
	for _, c := range counts {
		for operation, n := range c {
			all[operation] += n
		}
	}
	return all
}

// remainingCounts subtracts the requests of the first run from those of a whole
// one.
func remainingCounts(whole, first map[string]int) map[string]int {
	all := maps.Clone(whole)
	for operation, n := range first {
		all[operation] -= n
	}
	maps.DeleteFunc(all, func(_ string, n int) bool { return n == 0 })
	return all
}

// A run replaces the file of an earlier sync when it ends. If it was interrupted,
// the new file contains the rows read so far, and the readers of baton-sdk show
// them without a warning. The earlier file remains if the run ends in Validate
// or is killed. So use a file only after exit code 0, and copy the last complete
// one to keep it.
func TestSync_InterruptedReplacesEarlierFile(t *testing.T) {
	t.Parallel()
	ws := sim.Demo()
	whole := expected(ws, builtTypes())
	earlier, err := os.ReadFile(sharedSync(t, ws))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		by        interruption
		operation string
		remains   bool
	}{
		"killed":              {by: interruption{signal: syscall.SIGKILL}, operation: "getUser", remains: true},
		"stopped in Validate": {by: interruption{signal: syscall.SIGTERM}, operation: "getWorkspace", remains: true},
		"stopped":             {by: interruption{signal: syscall.SIGTERM}, operation: "getUser"},
		"refused in Validate": {operation: "getWorkspace", remains: true},
		"refused":             {operation: "getUser"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, ws)
			dir := t.TempDir()
			file := filepath.Join(dir, syncName)
			if err := os.WriteFile(file, earlier, 0o600); err != nil {
				t.Fatal(err)
			}
			var p *process
			code := 0
			if c.by.signal != 0 {
				var resume func()
				p, resume = startUntil(t, s, dir, moment{operation: c.operation, ordinal: 1}, smallPageArgs(file)...)
				code, _ = p.stop(t, c.by)
				resume()
			} else {
				simtest.Inject(t, s.Server.Server, sim.Fault{Operation: c.operation, Kind: sim.FaultStatus, Status: http.StatusForbidden})
				p = start(t, dir, s.Env(), "", smallPageArgs(file, "--log-level", "error")...)
				code, _ = p.wait(t)
				s.ClearFaults()
			}
			if code == 0 {
				t.Errorf("exit code 0\n%s", p.text())
			}
			now, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if remains := bytes.Equal(now, earlier); remains != c.remains {
				t.Errorf("the earlier file remains: %t, want %t", remains, c.remains)
			}
			if !c.remains {
				shown := must(t, nil, "baton", "grants", "-f", file, "-o", "json").stdout
				if got := readFile(t, file).contents(t); len(got.Resources) == 0 || len(got.Grants) != 0 || strings.Contains(shown, "principal") {
					t.Errorf("%d resources and %d grants; baton grants prints:\n%s", len(got.Resources), len(got.Grants), shown)
				}
			}
			compare(t, whole, syncAgain(t, s, file))
		})
	}
}

// A run that resumes keeps the rows of the interrupted one, no matter how many
// requests it repeats: those of a user who has been removed since, and of a
// permission that has been revoked since. The run after it starts anew, as does
// a run without the file.
func TestSync_ResumeKeepsDeletedRows(t *testing.T) {
	t.Parallel()
	s := serve(t, sim.Demo())
	dir := t.TempDir()
	file := filepath.Join(dir, syncName)
	simtest.Inject(t, s.Server.Server, sim.Fault{Operation: "listUsersFromUserGroup", Ordinal: 4, Kind: sim.FaultStatus, Status: http.StatusForbidden})
	r := runIn(t, dir, s.Env(), program(t, "baton-segment"), smallPageArgs(file, "--workers", "1", "--log-level", "error")...)
	if r.code != int(codes.PermissionDenied) {
		t.Fatalf("exit code %d\n%s", r.code, r.stderr)
	}
	first := readFile(t, file).contents(t)
	s.ClearFaults()
	s.Update(removeEditedUser)
	s.Update(func(ws *sim.Workspace) { ws.Users[0].Permissions = nil })
	want := expected(s.Workspace(), builtTypes())

	got := syncAgain(t, s, file)
	of := func(all []grant, principal string) int {
		return count(all, func(g grant) bool { return g.Principal == typeUser+":"+principal })
	}
	gone, demoted := sim.Demo().Users[editedUser].ID, sim.Demo().Users[0].ID
	if len(got.Resources) != len(want.Resources)+1 || of(got.Grants, gone) < of(first.Grants, gone) || of(got.Grants, demoted) <= of(want.Grants, demoted) {
		t.Errorf("a resumed run no longer keeps deleted rows: correct the guide and this comment")
	}
	compare(t, want, syncAgain(t, s, file))
}
