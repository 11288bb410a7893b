package e2e

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// Grants and revokes with a file of one workspace and the token of another are
// refused, and change nothing. A deletion names the workspace in which it found
// nothing.
func TestProvisioning_TokenOfAnotherWorkspace(t *testing.T) {
	t.Parallel()
	synced := sharedSync(t, provisioned())
	for name, c := range map[string]struct {
		args  []string
		code  codes.Code
		words []string
	}{
		"grant of a role":      {args: grantArgs("role:src:assigned", typeUser, userNewcomer), code: codes.FailedPrecondition},
		"grant on a source":    {args: grantArgs("source:s1:src", typeUser, userNewcomer), code: codes.FailedPrecondition},
		"grant of a group":     {args: grantArgs("group:g-members:member", typeUser, userNewcomer), code: codes.FailedPrecondition},
		"grant to an invite":   {args: grantArgs("group:g-members:member", typeInvite, invited), code: codes.FailedPrecondition},
		"revoke of a role":     {args: []string{"--revoke-grant", "role:minimal:assigned:user:u-ann"}, code: codes.FailedPrecondition},
		"revoke of membership": {args: []string{"--revoke-grant", "workspace:ws:member:user:u-ann"}, code: codes.FailedPrecondition},
		"deletion":             {args: deleteArgs(typeUser, "u-gone"), code: codes.OK, words: []string{"nothing to change: workspace other has no user u-gone"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ws := provisioned()
			ws.ID = "other"
			d := newDeployment(t, ws, synced)
			s := d.run(t, c.args...)
			d.check(t, s, c.code, stateOf(sim.New(ws).Workspace()), c.args)
			if c.code != codes.OK {
				c.words = []string{"the token belongs to workspace other, not to workspace ws"}
				if slices.ContainsFunc(s.requests, func(r sim.Request) bool { return r.Operation != "getWorkspace" }) {
					t.Errorf("it asked for more than the workspace:\n%s", s.text())
				}
			}
			for _, words := range c.words {
				if strings.Count(s.stderr, words) == 0 {
					t.Errorf("it does not print %q:\n%s", words, s.stderr)
				}
			}
		})
	}
}

// An interrupted sync is not resumed with the token of another workspace.
func TestSync_ResumedWithTheTokenOfAnotherWorkspace(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), syncName)
	args := []string{"-f", file, "--log-level", "info"}
	first := serve(t, sim.Demo())
	if err := first.Inject(sim.Fault{Operation: "getUser", Ordinal: 20, Kind: sim.FaultStatus, Status: http.StatusForbidden}); err != nil {
		t.Fatal(err)
	}
	if r := run(t, first.Env(), "baton-segment", args...); r.code != int(codes.PermissionDenied) {
		t.Fatalf("exit code %d\n%s", r.code, r.stderr)
	}
	ws := sim.Demo()
	ws.ID = "other"
	second := serve(t, ws)
	r := run(t, second.Env(), "baton-segment", args...)
	if says := "this file belongs to workspace " + first.Workspace().ID + ", the token to workspace other: use a new file"; r.code != int(codes.FailedPrecondition) || !strings.Contains(r.stderr, says) {
		t.Errorf("exit code %d, without %q:\n%s", r.code, says, r.stderr)
	}
	// The right token resumes it.
	first.ClearFaults()
	if r := run(t, first.Env(), "baton-segment", args...); r.code != 0 {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
}
