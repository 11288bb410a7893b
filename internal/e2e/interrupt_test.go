//go:build unix

package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// An interrupted sync ends with exit code 0 only if the file is complete. No
// process keeps running. Only SIGKILL leaves anything but the file behind. The
// next run into the same file writes the rows of an undisturbed run.
func TestSync_InterruptedResumes(t *testing.T) {
	t.Parallel()
	ws := sim.Demo()
	want := expected(ws, builtTypes())
	pool := newSubtestPool(t)
	for i, at := range []struct {
		name string
		moment
	}{
		{"at the start", moment{log: "runner: claiming worker"}},
		{"in Validate", moment{operation: "getWorkspace", ordinal: 1}},
		{"in the second page", moment{operation: "listUsers", ordinal: 3}}, // The first is that of Validate.
		{"during the entitlements", moment{operation: "getUser", ordinal: 20}},
		{"during the grants", moment{operation: "listUsersFromUserGroup", ordinal: 2}},
		{"near the end", moment{operation: "listInvitesFromUserGroup", ordinal: cost(ws, builtTypes(), smallPage)["listInvitesFromUserGroup"]}},
		{"when all is read", moment{log: syncComplete}},
	} {
		for j, by := range interruptions() {
			if !isLeftOut(i, j) {
				pool.run(at.name+"/"+by.name, func(t *testing.T) { checkInterruption(t, ws, at.moment, by, want) })
			}
		}
	}
	pool.wait()
}

func checkInterruption(t *testing.T, ws *sim.Workspace, m moment, by interruption, want contents) {
	t.Helper()
	s := serve(t, ws)
	dir := t.TempDir()
	file := filepath.Join(dir, syncName)
	p, resume := startUntil(t, s, dir, m, smallPageArgs(file)...)
	code, killed := p.stop(t, by)
	resume()
	remains := entries(t, dir)
	byLog := m.log != ""
	switch {
	case by.signal == syscall.SIGKILL && (!byLog || code != 0): // With code 0 the signal came too late.
		if killed != syscall.SIGKILL {
			t.Errorf("exit code %d, terminated by %v", code, killed)
		}
		// A killed process cannot remove its temporary folder, and baton-sdk
		// writes the file only at the end of a run.
		if !byLog && !slices.Equal(remains, []string{"baton-segment-"}) {
			t.Errorf("left behind: %q", remains)
		}
	case code == 0 && !byLog:
		t.Errorf("exit code 0 without a complete file\n%s", p.text())
	case code == 0:
		compare(t, want, readFile(t, file).contents(t))
	}
	if by.signal != syscall.SIGKILL && len(remains) > 0 && !slices.Equal(remains, []string{syncName}) {
		t.Errorf("left behind: %q\n%s", remains, p.text())
	}
	compare(t, want, syncAgain(t, s, file))
	// The second run may have replaced a file that the first one was writing.
	after := entries(t, dir)
	for _, name := range slices.DeleteFunc(remains, isSyncFile) {
		if i := slices.Index(after, name); i >= 0 {
			after = slices.Delete(after, i, i+1)
		}
	}
	if !slices.Equal(after, []string{syncName}) {
		t.Errorf("left behind by the second run: %q", after)
	}
}

// A run that is stopped before it starts leaves no file and does not end with
// exit code 0, although the SDK returns no error for it.
func TestSync_StoppedBeforeStart(t *testing.T) {
	t.Parallel()
	s := serve(t, sim.Demo())
	for _, by := range interruptions() {
		t.Run(by.name, func(t *testing.T) {
			t.Parallel()
			for range 4 { // The SDK's runner selects one of two ready channels at random.
				checkStopBeforeStart(t, s, by)
			}
		})
	}
}

func checkStopBeforeStart(t *testing.T, s server, by interruption) {
	t.Helper()
	dir := t.TempDir()
	// The program blocks while it reads its settings from a named pipe.
	settings := filepath.Join(dir, "settings.yaml")
	makePipe(t, settings)
	p := start(t, dir, append(s.Env(), "BATON_CONFIG_PATH="+settings), "", smallPageArgs(filepath.Join(dir, syncName))...)
	pipe := openPipe(t, settings)
	// A child that the program starts nevertheless reads the settings as well. On
	// a pipe it would wait for a writer forever.
	const text = "log-level: error\n"
	if err := errors.Join(os.Remove(settings), os.WriteFile(settings, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	p.signal(t, by)
	if by.signal == syscall.SIGKILL {
		<-p.ended // A write to a pipe without a reader fails.
	} else if _, err := pipe.WriteString(text); err != nil {
		t.Error(err)
	}
	if err := pipe.Close(); err != nil {
		t.Error(err)
	}
	if code, _ := p.wait(t); code == 0 {
		t.Errorf("exit code 0\n%s", p.text())
	}
	want := []string{"settings.yaml"}
	if by.signal == syscall.SIGKILL {
		want = []string{"baton-segment-", "settings.yaml"}
	}
	if remains := entries(t, dir); !slices.Equal(remains, want) {
		t.Errorf("left behind: %q", remains)
	}
}
