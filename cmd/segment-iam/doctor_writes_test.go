package main

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// tryWrites runs a doctor that tries writes, and that is interrupted at the first request of an
// operation, if there is one.
func tryWrites(t *testing.T, s simtest.Server, stopAt string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s.ResetJournal()
	if stopAt != "" {
		simtest.Before(t, s.Server, stopAt, 1, func(*sim.Workspace) { cancel() })
	}
	var stdout, stderr bytes.Buffer
	code := run(ctx, append([]string{"doctor", "--token", s.Token(), "--base-url", s.URL, "--try-writes", s.Workspace().Slug, "--no-audit"}, args...), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// If the writes fail or are interrupted, the report keeps all earlier results. The exit code is
// that of the failure, regardless of the results.
func TestDoctor_WritesFail(t *testing.T) {
	t.Parallel()
	const interrupted, failed = "not reached: the run was interrupted", "not reached: the trial of writes failed before"
	unknown := sim.WithNormalizing(sim.NormalizeUnknownPermissionField)
	const removeMember, remove = "removeUsersFromUserGroup", "deleteUserGroup"
	reset := sim.Fault{Operation: removeMember, Kind: sim.FaultReset}
	for name, tt := range map[string]struct {
		opts   []sim.Option
		fault  sim.Fault
		stopAt string
		args   []string
		// seen is why checks were not reached, and makes whether the group is made.
		seen  string
		makes bool
		says  string
	}{
		"interrupted as the group is made": {stopAt: "createUserGroup", seen: interrupted, makes: true, says: "segment-iam: stopped\n"},
		"interrupted":                      {stopAt: removeMember, seen: interrupted, makes: true, says: "segment-iam: stopped\n"},
		"interrupted, and not safe":        {opts: []sim.Option{unknown}, stopAt: removeMember, seen: interrupted, makes: true, says: "segment-iam: stopped\n"},
		"interrupted, and left behind": {fault: sim.Fault{Operation: remove, Kind: sim.FaultStatus, Status: http.StatusForbidden}, stopAt: removeMember, seen: interrupted, makes: true,
			says: "segment-iam: stopped: left behind in the workspace: group \"baton-segment doctor "},
		"no answer":               {fault: reset, seen: failed, makes: true, says: "segment-iam: Delete "},
		"no answer, and not safe": {opts: []sim.Option{unknown}, fault: reset, seen: failed, makes: true, says: "segment-iam: Delete "},
		"refused groups":          {fault: sim.Fault{Operation: "createUserGroup", Kind: sim.FaultStatus, Status: http.StatusForbidden}, seen: failed, says: "making the group was answered with 403"},
		"another address":         {args: []string{"--test-address", "nobody@example.org"}, seen: failed, says: "nobody@example.org is neither a user nor invited"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // Changes are a second apart.
			s := simtest.Serve(t, sim.Demo(), tt.opts...)
			before := s.Workspace()
			if tt.fault.Operation != "" {
				simtest.Inject(t, s.Server, tt.fault)
			}
			r := tryWrites(t, s, tt.stopAt, append(tt.args, "-o", "json")...)
			if r.code != exitFailed || !strings.Contains(r.stderr, tt.says) || strings.Contains(r.stderr, "made group") != tt.makes {
				t.Errorf("exit code %d\n%s", r.code, r.stderr)
			}
			report := decodeStrictly[jsonReport](t, name, []byte(r.stdout))
			verdicts, reasons := map[int]string{}, map[string]int{}
			for _, c := range *report.Checks {
				reasons[*c.Seen]++
				verdicts[*c.Question] = *c.Verdict
			}
			// 32 and 29 are the last that are tried, and 35 is learned by reading.
			if verdicts[29] != "not seen" || verdicts[32] != "not seen" || verdicts[35] != "as assumed" || reasons[tt.seen] < 10 {
				t.Errorf("the verdicts are %v; seen: %v", verdicts, reasons)
			}
			if tt.fault.Operation != remove {
				if diff := cmp.Diff(before, s.Workspace()); diff != "" {
					t.Errorf("workspace (-before +after):\n%s", diff)
				}
			}
		})
	}
}

func TestDoctor_WritesFailTable(t *testing.T) {
	t.Parallel()
	s := simtest.Serve(t, sim.Demo())
	r := tryWrites(t, s, "removeUsersFromUserGroup")
	if r.code != exitFailed || !strings.Contains(r.stdout, "Safe to sync.\nSafe to provision.\n") || !strings.Contains(r.stdout, " of them writes. Everything that they created is deleted.\n") {
		t.Errorf("exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
	}
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	for i, want := range []string{"making group \"baton-segment doctor ", "made group ", "interrupted: deleting group ", "deleted group ", "segment-iam: stopped"} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d is not %q:\n%s", i, want, r.stderr)
		}
	}
	simtest.Inject(t, s.Server, sim.Fault{Operation: "deleteUserGroup", Kind: sim.FaultStatus, Status: http.StatusForbidden})
	if r = tryWrites(t, s, "createUserGroup"); r.code != exitFailed || !strings.Contains(r.stdout, "NOT everything that they created is deleted: see the error.\n") {
		t.Errorf("exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
	}
	// The next run writes nothing, because of the group.
	if r = tryWrites(t, s, ""); r.code != exitFailed || !strings.Contains(r.stdout, "requests, which changed nothing.\n") || !strings.Contains(r.stderr, "of an earlier run: delete it in Segment") {
		t.Errorf("exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
	}
}

func TestDoctor_WritesUsage(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		code int
		says string
	}{
		"an empty slug":            {[]string{"--try-writes", ""}, exitUsage, "--try-writes needs the slug of the workspace"},
		"an address alone":         {[]string{"--test-address", "a@example.com"}, exitUsage, "need --try-writes"},
		"an invite alone":          {[]string{"--invite", "a@example.com"}, exitUsage, "need --try-writes"},
		"another slug":             {[]string{"--try-writes", "another"}, exitFailed, `the token is of another workspace: its slug is "`},
		"an invite of a name":      {[]string{"--try-writes", sim.Demo().Slug, "--invite", "Ann <ann@example.org>"}, exitFailed, "is not an e-mail address"},
		"an invite with a newline": {[]string{"--try-writes", sim.Demo().Slug, "--invite", "a\n@example.org"}, exitFailed, "is not an e-mail address"},
	} {
		s := serveDoctor(t, sim.Demo())
		r := runArgs(t, append([]string{"doctor"}, tt.args...)...)
		if r.code != tt.code || !strings.Contains(r.stderr, tt.says) || (r.stdout == "") != (tt.code == exitUsage) {
			t.Errorf("%s: exit code %d\n%s\n%s", name, r.code, r.stdout, r.stderr)
		}
		if writes := simtest.Writes(s.Journal()); len(writes) > 0 {
			t.Errorf("%s: sent: %q", name, writes)
		}
	}
}
