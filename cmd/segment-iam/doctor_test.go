package main

import (
	"bytes"
	"context"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// serveDoctor serves a workspace, and makes it the one that commands are about.
func serveDoctor(t *testing.T, ws *sim.Workspace, opts ...sim.Option) simtest.Server {
	t.Helper()
	s := simtest.Serve(t, ws, opts...)
	t.Setenv("BATON_TOKEN", s.Token())
	t.Setenv("BATON_BASE_URL", s.URL)
	return s
}

func TestDoctor_Golden(t *testing.T) {
	for name, ws := range map[string]*sim.Workspace{"demo": sim.Demo(), "hostile": sim.Hostile()} {
		s := serveDoctor(t, ws, sim.WithLimit(600))
		for _, format := range []string{formatTable, formatJSON} {
			s.ResetJournal()
			golden(t, filepath.Join("doctor", name+"."+format), mustRun(t, "doctor", "-o", format))
			for _, r := range s.Journal() {
				if r.Method != http.MethodGet {
					t.Errorf("%s: %s %s was sent", name, r.Method, r.Path)
				}
			}
		}
	}
}

// The JSON of a report, as programs may rely on it.
type (
	jsonReport struct {
		Checks          *[]jsonCheck
		Sync, Provision *jsonSafety
	}
	jsonCheck struct {
		Question                            *int
		Name, Assumed, Seen, Verdict, Means *string
	}
	jsonSafety struct {
		Safe *bool
		Why  *[]string
	}
)

func TestDoctor_JSONContract(t *testing.T) {
	for name, opts := range map[string][]sim.Option{"safe": nil, "unsafe": {sim.WithNormalizing(sim.NormalizeOmitsPermissions)}} {
		serveDoctor(t, sim.Demo(), opts...)
		r := decodeStrictly[jsonReport](t, name, []byte(runArgs(t, "doctor", "-o", "json").stdout))
		checkComplete(t, name, r.Checks, r.Sync, r.Provision, r.Sync.Safe, r.Sync.Why, r.Provision.Safe, r.Provision.Why)
		if safe := name == "safe"; *r.Sync.Safe != safe || *r.Provision.Safe != safe || (len(*r.Sync.Why) == 0) != safe {
			t.Errorf("%s: sync %v, provision %v", name, *r.Sync.Safe, *r.Provision.Safe)
		}
		var questions []int
		for _, c := range *r.Checks {
			checkComplete(t, name, c.Question, c.Name, c.Assumed, c.Seen, c.Verdict, c.Means)
			questions = append(questions, *c.Question)
			if !slices.Contains([]string{"as assumed", "differs", "not seen"}, *c.Verdict) {
				t.Errorf("%s: the verdict is %q", name, *c.Verdict)
			}
		}
		if want := []int{0, 0, 1, 6, 6, 7, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 25, 26, 27, 30, 31, 34, 35}; !slices.Equal(questions, want) {
			t.Errorf("%s: the questions are %v, want %v", name, questions, want)
		}
	}
}

func TestDoctor_ExitCodes(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	weak := sim.WithAnswers(func(a *sim.Answer) {
		if a.Operation == "getWorkspace" {
			a.Fail(http.StatusUnauthorized)
		}
	})
	unknown := sim.WithNormalizing(sim.NormalizeUnknownPermissionField)
	for name, tt := range map[string]struct {
		opts         []sim.Option
		args         []string
		code         int
		stdout, says string
	}{
		"safe":                      {nil, nil, 0, "Safe to sync.\nSafe to provision.\n80 requests, which changed nothing.\n", ""},
		"differs harmlessly":        {[]sim.Option{sim.WithPermissionsInLists()}, nil, 0, "permissions in the lists of users and groups: A sync takes them", ""},
		"not safe to provision":     {[]sim.Option{unknown}, nil, exitProvision, "Safe to sync.\nNOT safe to provision: fields and types of answers: ", "provisioning is not safe: see the report above"},
		"not safe to sync":          {[]sim.Option{sim.WithoutFeatures(sim.FeatureGroups), sim.WithGateStatus(http.StatusForbidden)}, nil, exitSync, "NOT safe to sync: the answer if the plan lacks a type: ", "syncing is not safe: see the report above"},
		"neither":                   {[]sim.Option{unknown, sim.WithNormalizing(sim.NormalizeOmitsPermissions)}, nil, exitSync, "NOT safe to provision: ", "syncing is not safe"},
		"not safe, in JSON":         {[]sim.Option{unknown}, []string{"-o", "json"}, exitProvision, `"safe": false`, "provisioning is not safe"},
		"a member's token":          {nil, []string{"--member-token", "none"}, 0, "81 requests", ""},
		"an unreadable workspace":   {[]sim.Option{weak}, nil, exitFailed, "", "the workspace cannot be read (401): check the token and the region"},
		"an argument":               {nil, []string{"x"}, exitUsage, "", "doctor takes no argument"},
		"a format of other answers": {nil, []string{"-o", "csv"}, exitUsage, "", "use one of table, json"},
		"an unknown region":         {nil, []string{"--region", "mars"}, exitUsage, "", "mars"},
		"a flag of other commands":  {nil, []string{"--live"}, exitUsage, "", "--live"},
	} {
		t.Run(name, func(t *testing.T) {
			serveDoctor(t, sim.Demo(), tt.opts...)
			r := runArgs(t, append([]string{"doctor"}, tt.args...)...)
			if r.code != tt.code || !strings.Contains(r.stdout, tt.stdout) || !strings.Contains(r.stderr, tt.says) || (tt.says == "") != (r.stderr == "") {
				t.Errorf("exit code %d, want %d\n%s\n%s", r.code, tt.code, r.stdout, r.stderr)
			}
			if tt.stdout == "" && r.stdout != "" {
				t.Errorf("stdout:\n%s", r.stdout)
			}
		})
	}
	t.Setenv("BATON_TOKEN", "")
	if r := runArgs(t, "doctor"); r.code != exitUsage || !strings.Contains(r.stderr, "doctor needs a token of the Segment Public API: set BATON_TOKEN") {
		t.Errorf("without a token: exit code %d\n%s", r.code, r.stderr)
	}
}

// A doctor that is stopped while it waits for an answer prints no report.
func TestDoctor_Stopped(t *testing.T) {
	for _, operation := range []string{"getWorkspace", "listUsers", "getUser"} {
		s := serveDoctor(t, sim.Demo())
		ctx, cancel := context.WithCancel(t.Context())
		// The answer comes when the program has gone.
		if err := s.Committed(operation, 1, func(ctx context.Context) {
			cancel()
			<-ctx.Done()
		}); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		code := run(ctx, []string{"doctor"}, &stdout, &stderr)
		if code != exitFailed || stdout.Len() > 0 || stderr.String() != "segment-iam: stopped\n" {
			t.Errorf("%s: exit code %d\n%s%s", operation, code, &stdout, &stderr)
		}
		cancel()
	}
}

// Nothing that a doctor prints identifies the workspace.
func TestDoctor_NothingIdentifies(t *testing.T) {
	ws := sim.Hostile()
	secrets := []string{ws.ID, ws.Name, "secret-", "example.com", "retired", "growth", "source-deleted", "spa_deleted"}
	for _, u := range ws.Users {
		secrets = append(secrets, u.ID, u.Email)
	}
	for _, g := range ws.Groups {
		secrets = append(secrets, g.ID)
	}
	for name, opts := range map[string][]sim.Option{
		"plain":         nil,
		"refused users": {sim.WithAnswers(func(a *sim.Answer) { failQuoting(a, "getUser", http.StatusForbidden) })},
		"refused":       {sim.WithAnswers(func(a *sim.Answer) { failQuoting(a, "getWorkspace", http.StatusForbidden) })},
	} {
		s := serveDoctor(t, ws, opts...)
		for _, format := range []string{formatTable, formatJSON} {
			r := runArgs(t, "doctor", "-o", format)
			for _, secret := range append(secrets, s.Token()) {
				if text := r.stdout + r.stderr; strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
					t.Errorf("%s: %q is in\n%s", name, secret, text)
				}
			}
		}
	}
}

// failQuoting refuses a request with a message that quotes its path.
func failQuoting(a *sim.Answer, operation string, status int) {
	if a.Operation != operation {
		return
	}
	a.Fail(status)
	a.Body["errors"] = []any{map[string]any{"type": a.Request.URL.Path, "message": "not for the token: " + a.Request.Header.Get("Authorization")}}
}
