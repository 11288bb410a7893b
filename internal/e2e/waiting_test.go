//go:build unix

package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/baton-segment/baton-segment/connector"
	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// A waitState is something that a run waits for.
type waitState struct {
	// args make a change. Without them the run is a sync.
	args []string
	// faults keep the run in the state.
	faults []sim.Fault
	// The state is reached when this many answers of an operation are held back, or
	// else when a line contains a string, or else when the child reads its settings.
	hold     string
	held     int32
	log      string
	lines    int // If not 0, that many lines must contain it.
	starting bool
	// complete is set if a sync may be complete all the same.
	complete bool
}

// maxStopLines is how many lines a run may print after a signal.
const maxStopLines = 5

// waitStates returns everything that a run can wait for.
func waitStates() map[string]waitState {
	answer := func(operation string, status int, header http.Header) []sim.Fault {
		return []sim.Fault{{Operation: operation, Kind: sim.FaultStatus, Status: status, Header: header}}
	}
	limited := func(operation, seconds string) []sim.Fault {
		return answer(operation, http.StatusTooManyRequests, http.Header{"Retry-After": {seconds}})
	}
	member := grantArgs("group:group-nobody:member", typeUser, "user-empty-name")
	invite := []string{"--create-account-login", "x", "--create-account-profile", `{"email":"x@example.com"}`}
	return map[string]waitState{
		"start of the child":          {starting: true},
		"answer in Validate":          {hold: "getWorkspace", held: 1},
		"answer with a list":          {hold: "listUserGroups", held: 1},
		"answers with details":        {hold: "getUser", held: connector.Workers},
		"rate limit, in the library":  {faults: limited("getUser", "8"), log: `"status":429`},
		"rate limit, in the SDK":      {faults: limited("getUser", "60"), log: retrying, lines: connector.Workers},
		"after 503, in the library":   {faults: answer("getUser", http.StatusServiceUnavailable, nil), log: `"status":503`},
		"after 503, in the SDK":       {faults: answer("getUser", http.StatusServiceUnavailable, nil), log: retrying, lines: connector.Workers},
		"after 503 of a list":         {faults: answer("listUserGroups", http.StatusServiceUnavailable, nil), log: retrying},
		"after 404 of a detail":       {faults: answer("getUser", http.StatusNotFound, nil), log: `"status":404`},
		"broken network":              {faults: []sim.Fault{{Operation: "getUser", Kind: sim.FaultReset}}, log: retrying, lines: connector.Workers},
		"end of the sync":             {log: syncComplete, complete: true},
		"grant, limit in the SDK":     {args: member, faults: limited("addUsersToUserGroup", "60"), log: retrying},
		"grant, limit in the library": {args: member, faults: limited("addUsersToUserGroup", "8"), log: `"status":429`},
		"invite, limit":               {args: invite, faults: limited("createInvites", "60"), log: `"status":429`},
	}
}

// A run that is asked to stop ends with exit code 1 or by the signal, whatever it waits
// for, and prints a few lines. No process and no temporary file is left, and a file can be
// resumed.
func TestStop_WhateverTheRunWaitsFor(t *testing.T) {
	t.Parallel()
	synced := sharedSync(t, sim.Hostile())
	results := newTable("What a stopped run does", "waits for", "signal", "ends with", "lines after the signal")
	pool := newSubtestPool(t)
	states := waitStates()
	for i, name := range slices.Sorted(maps.Keys(states)) {
		for j, by := range stops() {
			if isLeftOut(i, j) || by.signal == syscall.SIGTERM && by.group {
				continue
			}
			pool.run(name+"/"+by.name, func(t *testing.T) { checkStop(t, name, states[name], by, synced, results) })
		}
	}
	pool.wait()
	results.log(t)
}

func checkStop(t *testing.T, name string, st waitState, by interruption, synced string, results *table) {
	t.Helper()
	d := newDeployment(t, sim.Hostile(), synced)
	args := append(slices.Clone(st.args), "-f", d.file())
	if st.args == nil {
		d = deployment{serve(t, sim.Demo()), t.TempDir()}
		args = smallPageArgs(d.file())
	}
	p, release := startState(t, d, st, args)
	before := p.linesLogged()
	code, terminatedBy := p.stop(t, by)
	release()
	after := p.linesLogged() - before
	ended := fmt.Sprint("exit code ", code)
	if terminatedBy != 0 {
		ended = terminatedBy.String()
	}
	results.add(name+by.name, name, by.name, ended, fmt.Sprint(after))
	if ok := code == 1 || terminatedBy == by.signal || code == 0 && st.complete; !ok || after > maxStopLines {
		t.Errorf("%s, %d lines\n%s", ended, after, p.text())
	}
	if remains := entries(t, d.dir); len(remains) > 0 && !slices.Equal(remains, []string{syncName}) {
		t.Errorf("left behind: %q", remains)
	}
	if st.args == nil && by.signal == syscall.SIGTERM {
		d.ClearFaults()
		compare(t, expected(d.Workspace(), builtTypes()), syncAgain(t, d.server, d.file()))
	}
}

// startState starts a run and returns when it waits. The function ends the wait.
func startState(t *testing.T, d deployment, st waitState, args []string) (*process, func()) {
	t.Helper()
	simtest.Inject(t, d.Server.Server, st.faults...)
	switch {
	case st.starting:
		return startChild(t, d, args), func() {}
	case st.hold != "":
		var held atomic.Int32
		arrived, released := make(chan struct{}), make(chan struct{})
		simtest.Committed(t, d.Server.Server, st.hold, 0, func(ctx context.Context) {
			if held.Add(1) == st.held {
				close(arrived)
			}
			select {
			case <-released:
			case <-ctx.Done():
			}
		})
		p := start(t, d.dir, d.Env(), "", args...)
		p.await(t, arrived)
		return p, func() { close(released) }
	}
	level := "info"
	if strings.Contains(st.log, "status") || st.log == retrying || st.log == syncComplete { // Some are logged at that level only.
		level = "debug"
	}
	p := start(t, d.dir, d.Env(), "", append(args, "--log-level", level)...)
	p.await(t, p.sight(st.log, max(st.lines, 1)))
	return p, func() {}
}

// startChild starts a run and returns when its child reads its settings, from a pipe
// that nothing is written to.
func startChild(t *testing.T, d deployment, args []string) *process {
	t.Helper()
	settings := filepath.Join(t.TempDir(), "settings.yaml")
	makePipe(t, settings)
	p := start(t, d.dir, append(d.Env(), "BATON_CONFIG_PATH="+settings), "", args...)
	ofParent := openPipe(t, settings)
	if err := os.Remove(settings); err != nil {
		t.Fatal(err)
	}
	makePipe(t, settings)
	if err := ofParent.Close(); err != nil { // It reads an empty file.
		t.Fatal(err)
	}
	ofChild := openPipe(t, settings)
	// If the parent ends before it can kill the child, the child reads its settings, and ends
	// because its parent has.
	go func() {
		<-p.ended
		_ = ofChild.Close() // Nothing was written to it.
	}()
	return p
}

func makePipe(t *testing.T, name string) {
	t.Helper()
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
}

// openPipe returns when another process reads from the pipe.
func openPipe(t *testing.T, name string) *os.File {
	t.Helper()
	pipe, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return pipe
}

// linesLogged counts the lines printed so far, but those of the level debug.
func (p *process) linesLogged() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return count(p.lines, func(line string) bool { return !strings.Contains(line, `"level":"debug"`) })
}
