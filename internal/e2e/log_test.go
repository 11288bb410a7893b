//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// A logLine is a line of the log for machines.
type logLine struct {
	Level, Msg string
	// The last line of a sync has these.
	File         string
	SyncType     string `json:"sync_type"`
	Resources    map[string]int
	Entitlements int
	Grants       int
	Skipped      []string
}

// logLines decodes the log. It returns text that is not a log line unchanged.
func logLines(stderr string) ([]logLine, string) {
	var lines []logLine
	other := ""
	for text := range strings.Lines(stderr) {
		var l logLine
		if json.Unmarshal([]byte(text), &l) != nil {
			other += text
			continue
		}
		lines = append(lines, l)
	}
	return lines, other
}

// maxLines is how many lines a healthy sync of a small workspace may print.
const maxLines = 6

// A healthy sync prints a few lines, none of them above info. The last one summarizes the
// file.
func TestLog_HealthySync(t *testing.T) {
	t.Parallel()
	s := serve(t, sim.Demo())
	dir := t.TempDir()
	r := runIn(t, dir, s.Env(), program(t, "baton-segment"), "-f", syncName)
	lines, other := logLines(r.stderr)
	if r.code != 0 || r.stdout != "" || other != "" || len(lines) > maxLines || len(lines) < 2 {
		t.Fatalf("exit code %d, %d lines\n%s%s", r.code, len(lines), r.stdout, r.stderr)
	}
	checkLevels(t, r.stderr)
	checkLastLine(t, lines, dir, syncName)
}

// checkLevels checks that no line is above info.
func checkLevels(t *testing.T, stderr string) {
	t.Helper()
	lines, _ := logLines(stderr)
	for _, l := range lines {
		if l.Level != "info" {
			t.Errorf("a line of the level %s: %s\n%s", l.Level, l.Msg, stderr)
		}
	}
}

// checkLastLine checks that the last line has the counts of the file, and what was skipped.
func checkLastLine(t *testing.T, lines []logLine, dir, file string, skipped ...string) {
	t.Helper()
	all := readFile(t, filepath.Join(dir, file))
	want := logLine{
		Level: "info", File: file, SyncType: "full", Resources: map[string]int{},
		Entitlements: len(all.entitlements), Grants: len(all.grants), Skipped: append([]string{}, skipped...),
	}
	for _, r := range all.resources {
		want.Resources[r.GetId().GetResourceType()]++
	}
	got := lines[len(lines)-1]
	text := fmt.Sprintf("wrote %s: %d users, %d groups, ", file, want.Resources[typeUser], want.Resources[typeGroup])
	end := fmt.Sprintf(", %d grants", want.Grants)
	if len(skipped) > 0 {
		end += fmt.Sprintf(", %d types skipped (%s)", len(skipped), strings.Join(skipped, ", "))
	}
	if !strings.HasPrefix(got.Msg, text) || !strings.HasSuffix(got.Msg, end) {
		t.Errorf("the last line is %q, want %q, ... %q", got.Msg, text, end)
	}
	got.Msg = ""
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the fields of the last line (-want +got):\n%s", diff)
	}
}

// If a sync waits for the rate limit, it prints one line for all workers, and nothing above
// info.
func TestLog_RateLimitedSync(t *testing.T) {
	t.Parallel()
	s := serve(t, sim.Demo())
	simtest.Inject(t, s.Server.Server, sim.Fault{
		Operation: "getUser", Ordinal: 2, Kind: sim.FaultStatus, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"11"}},
	})
	dir := t.TempDir()
	r := runIn(t, dir, s.Env(), program(t, "baton-segment"), "-f", syncName)
	lines, _ := logLines(r.stderr)
	waits := count(lines, func(l logLine) bool { return l.Msg == "waiting for the rate limit" })
	if r.code != 0 || waits != 1 || strings.Contains(r.stderr, retrying) {
		t.Errorf("exit code %d, %d lines about waiting\n%s", r.code, waits, r.stderr)
	}
	checkLevels(t, r.stderr)
	checkLastLine(t, lines, dir, syncName)
}

// A sync that fails prints its error, and no summary of the unfinished file. If Segment's
// failures delay a sync, it prints warnings.
func TestLog_UnhealthySync(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault sim.Fault
		code  codes.Code
		level string
	}{
		"refused": {sim.Fault{Operation: "getUser", Ordinal: 20, Kind: sim.FaultStatus, Status: http.StatusForbidden}, codes.PermissionDenied, "error"},
		// The library tries three times, the SDK after that.
		"delayed": {sim.Fault{Operation: "listUserGroups", Kind: sim.FaultStatus, Status: http.StatusServiceUnavailable}, codes.OK, "warn"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deployment{serve(t, sim.Demo()), t.TempDir()}
			simtest.Inject(t, d.Server.Server, c.fault)
			p := start(t, d.dir, d.Env(), retrying, "-f", d.file())
			if c.code == codes.OK {
				p.await(t, p.logged)
				d.ClearFaults()
			}
			code, _ := p.wait(t)
			lines, other := logLines(p.text())
			if code != int(c.code) || (code == 0) != (other == "") || code != 0 && !strings.Contains(other, "403 Forbidden") {
				t.Errorf("exit code %d, printed %q", code, other)
			}
			if !slices.ContainsFunc(lines, func(l logLine) bool { return l.Level == c.level }) {
				t.Errorf("no line of the level %s\n%s", c.level, p.text())
			}
			if wrote := strings.Contains(p.text(), `"msg":"wrote `); wrote != (code == 0) {
				t.Errorf("a line about the file: %v\n%s", wrote, p.text())
			}
		})
	}
}

// After an interrupted and resumed sync, the last line has the counts of the whole file, and
// the types that the first run skipped. This also holds for a sync of single resources, and
// for the other file format.
func TestLog_LastLine(t *testing.T) {
	t.Parallel()
	gates := sim.WithoutFeatures(sim.FeatureSpaces, sim.FeatureLabels)
	t.Run("resumed", func(t *testing.T) {
		t.Parallel()
		s, dir := serve(t, sim.Demo(), gates), t.TempDir()
		p, resume := startUntil(t, s, dir, moment{operation: "listUsersFromUserGroup", ordinal: 4}, "-f", syncName, "--workers", "1")
		if code, _ := p.stop(t, interruption{signal: syscall.SIGTERM}); code == 0 || strings.Contains(p.text(), "wrote") {
			t.Fatalf("exit code %d\n%s", code, p.text())
		}
		resume()
		r := runIn(t, dir, s.Env(), program(t, "baton-segment"), "-f", syncName)
		if r.code != 0 || strings.Contains(r.stderr, "skipped: ") {
			t.Fatalf("exit code %d, or a list was read again\n%s", r.code, r.stderr)
		}
		lines, _ := logLines(r.stderr)
		checkLastLine(t, lines, dir, syncName, typeLabel, typeSpace)
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		s, dir := serve(t, sim.Demo(), gates), t.TempDir()
		r := runIn(t, dir, s.Env(), program(t, "baton-segment"), "-f", syncName, "--storage-engine", "sqlite", "--c1z-temp-dir", dir)
		lines, _ := logLines(r.stderr)
		checkLastLine(t, lines, dir, syncName, typeLabel, typeSpace)
	})
	t.Run("a part", func(t *testing.T) {
		t.Parallel()
		s, dir := serve(t, provisioned()), t.TempDir()
		r := runIn(t, dir, s.Env(), program(t, "baton-segment"), "-f", syncName, "--sync-resources", "bid:r:source/s1")
		lines, _ := logLines(r.stderr)
		last := lines[len(lines)-1]
		if last.Msg != "wrote sync.c1z with a part of the workspace: 1 source, 0 grants" || last.SyncType != "partial" {
			t.Errorf("the last line is %+v\n%s", last, r.stderr)
		}
	})
	t.Run("only warnings", func(t *testing.T) {
		t.Parallel()
		s := serve(t, sim.Demo())
		if r := must(t, s.Env(), "baton-segment", "--log-level", "warn"); r.stdout+r.stderr != "" {
			t.Errorf("printed: %s%s", r.stdout, r.stderr)
		}
	})
}

// The last line of a change reports what was changed, or that nothing needed to change.
func TestLog_Change(t *testing.T) {
	t.Parallel()
	d := newDeployment(t, provisioned(), sharedSync(t, provisioned()))
	args := grantArgs("source:s1:src", typeUser, userNewcomer)
	for _, want := range []string{"changed", "nothing to change: the user already holds it"} {
		r := d.run(t, args...)
		lines, other := logLines(r.stderr)
		if r.code != 0 || other != "" || len(lines) != 1 || lines[0].Msg != want {
			t.Errorf("exit code %d, want the line %q\n%s", r.code, want, r.stderr)
		}
	}
}

// A dry run of a change checks it, logs what it would do, and changes nothing. A service
// refuses it.
func TestDryRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"grant":          {grantArgs("source:s1:src", typeUser, userNewcomer), 0, "would change"},
		"held":           {grantArgs("source:s2:src", typeUser, userNewcomer), 0, "nothing to change: the user already holds it"},
		"invitation":     {[]string{"--create-account-login", "new@example.com", "--create-account-profile", `{"email": "new@example.com"}`}, 0, "would change"},
		"removal":        {[]string{"--delete-resource", userNewcomer, "--delete-resource-type", "user"}, 0, "would change"},
		"no entitlement": {grantArgs("source:none:src", typeUser, userNewcomer), 5, ""},
		"service":        {[]string{"--client-id", "a@127.0.0.1:1/spc", "--client-secret", "secret"}, 3, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDeployment(t, provisioned(), sharedSync(t, provisioned()))
			before := stateOf(d.Workspace())
			r := d.run(t, append(c.args, "--dry-run")...)
			lines, _ := logLines(r.stderr)
			if r.code != c.code || c.want != "" && (len(lines) == 0 || !slices.ContainsFunc(lines, func(l logLine) bool { return l.Msg == c.want })) {
				t.Errorf("exit code %d, want %d and the line %q\n%s", r.code, c.code, c.want, r.stderr)
			}
			if diff := cmp.Diff(before, stateOf(d.Workspace())); diff != "" || len(simtest.Writes(d.Journal())) > 0 {
				t.Errorf("it changed the workspace: %q\n%s", simtest.Writes(d.Journal()), diff)
			}
		})
	}
}
