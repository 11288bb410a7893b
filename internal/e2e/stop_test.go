//go:build unix

package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// stopping is the beginning of the line that the program prints when it waits for a
// change.
const stopping = "stopping when this has ended: "

// stops are the signals that ask a program to stop.
func stops() []interruption {
	return slices.DeleteFunc(interruptions(), func(by interruption) bool { return by.signal == syscall.SIGKILL })
}

// A program that is asked to stop while a change is under way ends the change first,
// and is then terminated by the signal. It has nothing to complain about.
func TestStop_ChangeUnderWayEnds(t *testing.T) {
	t.Parallel()
	ws := provisioned()
	synced := sharedSync(t, ws)
	pool := newSubtestPool(t)
	for name, c := range map[string]struct {
		operation string
		args      []string
		edit      func(*sim.Workspace)
	}{
		"grant a role": {
			"addPermissionsToUser", grantArgs("role:"+rolePII+":assigned", typeUser, userNewcomer),
			grantRole(typeUser, userNewcomer, rolePII, onWorkspace()),
		},
		"revoke a role": {
			"replacePermissionsForUser", []string{"--revoke-grant", "source:s1:" + rolePII + ":user:" + userHolder},
			revokeRole(typeUser, userHolder, rolePII, onResource("SOURCE", "s1")),
		},
		"add a member": {
			"addUsersToUserGroup", grantArgs("group:g-members:member", typeUser, userNewcomer),
			addMember("g-members", "Newcomer@example.com"),
		},
		"delete a user": {
			"deleteUsers", deleteArgs(typeUser, "u-ann"),
			removeUserByID("u-ann"),
		},
		"invite": {
			"createInvites", []string{"--create-account-login", "x@example.com", "--create-account-profile", `{"email":"x@example.com"}`},
			func(ws *sim.Workspace) {
				ws.Invites = append(ws.Invites, sim.Invite{Email: "x@example.com", Permissions: []sim.Permission{{RoleID: roleMinimal, Resources: []sim.Resource{onWorkspace()}}}})
			},
		},
	} {
		for _, by := range stops() {
			pool.run(name+"/"+by.name, func(t *testing.T) {
				d := newDeployment(t, ws, synced)
				want := d.Workspace()
				c.edit(want)
				p, release := startChange(t, d, c.operation, c.args)
				p.signal(t, by)
				p.await(t, p.logged)
				release()
				if code, terminatedBy := p.wait(t); terminatedBy != by.signal {
					t.Errorf("exit code %d, terminated by %v", code, terminatedBy)
				}
				if diff := cmp.Diff(stateOf(want), stateOf(d.Workspace())); diff != "" {
					t.Errorf("workspace (-want +got):\n%s", diff)
				}
				checkStopped(t, p)
			})
		}
	}
	pool.wait()
}

// startChange starts a program and returns when Segment has carried out a request
// whose answer is not sent before the function is called.
func startChange(t *testing.T, d deployment, operation string, args []string) (*process, func()) {
	t.Helper()
	committed, release := simtest.HoldAnswer(t, d.Server.Server, operation)
	p := start(t, d.dir, d.Env(), stopping, append(args, "-f", d.file(), "--log-level", "info")...)
	p.await(t, committed)
	return p, release
}

// checkStopped checks what a stopped program printed and left behind.
func checkStopped(t *testing.T, p *process) {
	t.Helper()
	if text := p.text(); strings.Count(text, stopping) != 1 || strings.Contains(text, "anceled") {
		t.Errorf("printed:\n%s", text)
	}
	if remains := entries(t, p.dir); !slices.Equal(remains, []string{syncName}) {
		t.Errorf("left behind: %q", remains)
	}
}

// A removal of an owner that is stopped after its first step either ends or gives
// back what the first step took.
func TestStop_OwnerIsRemovedOrStaysOwner(t *testing.T) {
	t.Parallel()
	ws := provisioned()
	ws.Users = append(ws.Users, sim.User{
		ID: "u-second", Name: "Second", Email: "second@example.com",
		Permissions: []sim.Permission{{RoleID: roleOwner, Resources: []sim.Resource{onWorkspace()}}},
	})
	synced := sharedSync(t, ws)
	pool := newSubtestPool(t)
	for _, by := range stops() {
		pool.run(by.name, func(t *testing.T) {
			d := newDeployment(t, ws, synced)
			before, removed := stateOf(d.Workspace()), d.Workspace()
			removeUserByID("u-second")(removed)
			p, release := startChange(t, d, "replacePermissionsForUser", deleteArgs(typeUser, "u-second"))
			if cmp.Equal(before, stateOf(d.Workspace())) {
				t.Fatal("the first step has not changed anything")
			}
			p.signal(t, by)
			p.await(t, p.logged)
			release()
			if code, terminatedBy := p.wait(t); code == 0 {
				t.Errorf("exit code %d, terminated by %v", code, terminatedBy)
			}
			after := stateOf(d.Workspace())
			if !cmp.Equal(stateOf(removed), after) {
				if diff := cmp.Diff(before, after); diff != "" {
					t.Errorf("neither removed nor as before (-want +got):\n%s\n%s", diff, p.text())
				}
			}
			if remains := entries(t, p.dir); !slices.Equal(remains, []string{syncName}) {
				t.Errorf("left behind: %q", remains)
			}
		})
	}
	pool.wait()
}

// A run leaves nothing in the temporary folder, however it ends.
func TestProgram_NoTemporaryFiles(t *testing.T) {
	t.Parallel()
	ws := provisioned()
	synced := sharedSync(t, ws)
	refused := sim.Fault{Operation: "addPermissionsToUser", Kind: sim.FaultStatus, Status: http.StatusForbidden}
	pii := grantArgs("role:"+rolePII+":assigned", typeUser, userNewcomer)
	for name, c := range map[string]struct {
		args   []string
		faults []sim.Fault
		fails  bool
	}{
		"sync":                   {},
		"sync, fails":            {faults: []sim.Fault{{Operation: "listRoles", Kind: sim.FaultStatus, Status: http.StatusForbidden}}, fails: true},
		"grant":                  {args: pii},
		"grant, refused":         {args: pii, faults: []sim.Fault{refused}, fails: true},
		"grant, no entitlement":  {args: grantArgs("role:none:assigned", typeUser, userNewcomer), fails: true},
		"grant, no principal":    {args: grantArgs("role:"+rolePII+":assigned", typeUser, "none"), fails: true},
		"revoke":                 {args: []string{"--revoke-grant", "source:s1:" + rolePII + ":user:" + userHolder}},
		"revoke, no grant":       {args: []string{"--revoke-grant", "source:s1:none:user:none"}, fails: true},
		"delete, refused":        {args: deleteArgs(typeUser, "u-owner"), fails: true},
		"unknown flag":           {args: []string{"--no-such-flag"}, fails: true},
		"no temporary directory": {args: append([]string{"--c1z-temp-dir", "/does/not/exist"}, pii...), fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDeployment(t, ws, synced)
			if err := d.Inject(c.faults...); err != nil {
				t.Fatal(err)
			}
			r := d.run(t, append(c.args, "--log-level", "error")...)
			if fails := r.code != 0; fails != c.fails {
				t.Errorf("exit code %d\n%s", r.code, r.stderr)
			}
			if remains := entries(t, d.dir); !slices.Equal(remains, []string{syncName}) {
				t.Errorf("left behind: %q", remains)
			}
		})
	}
}

// A parent whose child has crashed ends, and leaves nothing in the temporary folder.
func TestProgram_ChildCrashed(t *testing.T) {
	t.Parallel()
	ws := provisioned()
	s := serve(t, ws)
	dir := t.TempDir()
	p, resume := startUntil(t, s, dir, moment{operation: "getUser", ordinal: 1}, "-f", filepath.Join(dir, syncName))
	if err := syscall.Kill(childOf(t, p.cmd.Process.Pid), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if code, _ := p.wait(t); code == 0 {
		t.Errorf("exit code 0\n%s", p.text())
	}
	resume()
	if remains := entries(t, dir); slices.ContainsFunc(remains, func(name string) bool { return !isSyncFile(name) }) {
		t.Errorf("left behind: %q", remains)
	}
}

// childOf returns the process id of the only child of a process.
func childOf(t *testing.T, parent int) int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ps", "-A", "-o", "pid=,ppid=").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		ids := strings.Fields(line)
		if len(ids) == 2 && ids[1] == strconv.Itoa(parent) {
			child, convErr := strconv.Atoi(ids[0])
			if convErr != nil {
				t.Fatal(convErr)
			}
			return child
		}
	}
	t.Fatalf("process %d has no child", parent)
	return 0
}

// The files of a sync are in the folder that the user has chosen, and only while it
// runs.
func TestSync_TemporaryFolder(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]*interruption{"ends": nil, "stopped": {signal: syscall.SIGTERM}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, provisioned())
			dir, chosen := t.TempDir(), t.TempDir()
			p, resume := startUntil(t, s, dir, moment{operation: "getUser", ordinal: 1}, "-f", filepath.Join(dir, syncName), "--c1z-temp-dir", chosen)
			if remains := entries(t, chosen); !slices.Equal(remains, []string{"c1z-pebble"}) {
				t.Errorf("in the chosen folder: %q", remains)
			}
			if by != nil {
				p.signal(t, *by)
			} else {
				resume()
			}
			if code, _ := p.wait(t); (code == 0) != (by == nil) {
				t.Errorf("exit code %d\n%s", code, p.text())
			}
			resume()
			if remains := entries(t, chosen); len(remains) > 0 {
				t.Errorf("left in the chosen folder: %q", remains)
			}
			if _, err := os.Stat(filepath.Join(dir, syncName)); err != nil {
				t.Error(err)
			}
			if remains := entries(t, dir); !slices.Equal(remains, []string{syncName}) {
				t.Errorf("left behind: %q", remains)
			}
		})
	}
}
