package e2e

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	sdksync "github.com/conductorone/baton-sdk/pkg/sync"
	"github.com/conductorone/baton-sdk/pkg/uhttp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// With any faults, and with rows that are added or deleted during the sync, the
// sync ends, and with either a complete and right file or an error.
func TestAnyFaultsEndInACompleteFileOrAnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	outcomes := &counter{}
	cases := 0
	rapid.Check(t, func(t *rapid.T) {
		ws := gatedWorkspace()
		edit := rapid.SampledFrom(plannedEdits()).Draw(t, "edit")
		if edit.apply == nil && rapid.Bool().Draw(t, "a drawn workspace") {
			ws = drawWorkspace(t)
		}
		plan := rapid.SliceOfN(rapid.Custom(drawFault), 1, 6).Draw(t, "faults")
		pageSize := rapid.SampledFrom([]int{1, 2, 1000}).Draw(t, "page size")
		workers := rapid.SampledFrom([]int{1, 4}).Draw(t, "workers")

		s := serve(t, ws)
		before := s.Workspace()
		after := before
		if edit.apply != nil {
			after = sim.New(before).Workspace()
			edit.apply(after)
			if err := s.Before(drawOperation(t, "moment of the edit"), rapid.IntRange(1, 4).Draw(t, "ordinal of the edit"), edit.apply); err != nil {
				t.Fatal(err)
			}
		}
		simtest.Inject(t, s.Server.Server, plan...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		// Longer than an answer takes on a busy machine.
		ctx = context.WithValue(ctx, uhttp.ContextHTTPTimeoutKey, 2*time.Second)
		cases++
		o := syncInto(ctx, t, s, filepath.Join(dir, fmt.Sprintf("%d.c1z", cases)), pageSize, sdksync.WithWorkerCount(workers))
		if ctx.Err() != nil {
			t.Fatalf("the sync does not end: %v", o.err)
		}
		if o.err != nil {
			outcomes.add("fails " + status.Code(o.err).String())
			if strings.Contains(o.err.Error(), noOwnerMessage) {
				checkOwnerMissing(t, before, after)
				return
			}
			checkFailure(t, plan, o.err)
			return
		}
		outcomes.add(complete)
		was, is := expected(before, builtTypes()), expected(after, builtTypes())
		checkBetween(t, was, is, undoContradictions(plan, o.contents, was, is))
	})
	t.Logf("%d cases: %v", cases, outcomes)
}

// checkOwnerMissing fails the test if the workspace shows an owner, before and after
// the edit that was made during the sync.
func checkOwnerMissing(t *rapid.T, before, after *sim.Workspace) {
	t.Helper()
	if !seesNoOwner(before, builtTypes()) && !seesNoOwner(after, builtTypes()) {
		t.Errorf("the sync sees no owner")
	}
}

// checkFailure fails the test unless the error is about one of the faults.
func checkFailure(t *rapid.T, plan []sim.Fault, err error) {
	t.Helper()
	possible := []codes.Code{codes.Internal, codes.InvalidArgument, codes.Unauthenticated, codes.PermissionDenied, codes.FailedPrecondition}
	if !slices.Contains(possible, status.Code(err)) {
		t.Errorf("no fault causes %s: %v", status.Code(err), err)
	}
	about := func(f sim.Fault) bool { return strings.Contains(err.Error(), "segment "+f.Operation) }
	// A cursor that repeats is noticed only after several answers.
	if !slices.ContainsFunc(plan, about) && !strings.Contains(err.Error(), "came twice") {
		t.Errorf("the error is about none of the faults: %v", err)
	}
	if strings.Contains(err.Error(), token) {
		t.Errorf("the message contains the token: %v", err)
	}
}

// checkBetween compares rows with two states of a workspace: rows that are in both
// must be there, and rows that are in neither must not.
func checkBetween(t *rapid.T, before, after, got contents) {
	t.Helper()
	was, is, found := before.set(), after.set(), got.set()
	for row := range was {
		if is[row] && !found[row] {
			t.Errorf("missing: %s", row)
		}
	}
	for row := range found {
		if !was[row] && !is[row] {
			t.Errorf("unexpected: %s", row)
		}
	}
	if n := len(got.Resources) + len(got.Entitlements) + len(got.Grants); n != len(found) {
		t.Errorf("%d rows, of which %d are distinct", n, len(found))
	}
}

// set returns all rows, formatted.
func (c contents) set() map[string]bool {
	rows := map[string]bool{}
	for _, r := range c.Resources {
		rows[fmt.Sprintf("resource %+v", r)] = true
	}
	for _, e := range c.Entitlements {
		rows[fmt.Sprintf("entitlement %+v", e)] = true
	}
	for _, g := range c.Grants {
		rows[fmt.Sprintf("grant %+v", g)] = true
	}
	return rows
}

// undoContradictions gives rows that a fault has contradicted their name in the
// workspace. Segment has sent both names, so either may be in the file.
func undoContradictions(plan []sim.Fault, got contents, worlds ...contents) contents {
	lists := map[string]string{"listUsers": typeUser, "listUserGroups": typeGroup, "listSources": typeSource, "listSpaces": typeSpace}
	contradicted := map[string]bool{}
	for _, f := range plan {
		if f.Kind == sim.FaultContradict {
			contradicted[lists[f.Operation]] = true
		}
	}
	for i, r := range got.Resources {
		if r.Name != "Contradiction" || !contradicted[r.Type] {
			continue
		}
		for _, world := range worlds {
			for _, first := range world.Resources {
				if first.Type == r.Type && first.ID == r.ID {
					got.Resources[i] = first
				}
			}
		}
	}
	return got
}

func drawOperation(t *rapid.T, what string) string {
	return rapid.SampledFrom([]string{
		"listUsers", "getUser", "listUserGroups", "getUserGroup", "listUsersFromUserGroup", "listInvitesFromUserGroup", "listInvites", "listRoles",
		"getWorkspace", "listSources", "listSpaces", "listWarehouses", "listFunctions", "listLabels",
	}).Draw(t, what)
}

// drawFault draws a fault that gives no true information. It leaves out Segment's
// own 400 and 404, which may mean that a plan lacks a feature or that a user was
// deleted, and contradictions about roles and invites, which have other tests.
func drawFault(t *rapid.T) sim.Fault {
	f := sim.Fault{
		Operation: drawOperation(t, "operation"),
		Ordinal:   rapid.IntRange(1, 4).Draw(t, "ordinal"),
		Kind:      rapid.SampledFrom(sim.FaultKinds()).Draw(t, "kind"),
	}
	switch f.Kind {
	case sim.FaultStatus, sim.FaultLateStatus:
		f.Status = rapid.SampledFrom([]int{503, 500, 502, 504, 408, 429, 401, 403, 409}).Draw(t, "status")
		if f.Status == http.StatusTooManyRequests {
			f.Header = http.Header{"Retry-After": {"1"}}
		}
	case sim.FaultHTML:
		f.Status = rapid.SampledFrom([]int{502, 503, 200, 404, 403}).Draw(t, "status")
	case sim.FaultEndless:
		f.Header = tooLongHeader()
	case sim.FaultDelay, sim.FaultLateDelay:
		f.Delay = 10 * time.Millisecond
	case sim.FaultContradict:
		f.Operation = rapid.SampledFrom([]string{"listUsers", "listUserGroups", "listUsersFromUserGroup", "listSources", "listSpaces", "listLabels"}).Draw(t, "operation")
	default: // The others have no parameters.
	}
	return f
}

// A plannedEdit is an edit by another administrator.
type plannedEdit struct {
	name  string
	apply func(*sim.Workspace)
}

func (e plannedEdit) String() string { return e.name }

// plannedEdits change the last row of a list. If an earlier row is deleted, the
// rows after it move up, and no client that reads pages can see all of them.
func plannedEdits() []plannedEdit {
	none := plannedEdit{name: "none"}
	return []plannedEdit{
		none, none, none,
		{"a user is deleted", func(ws *sim.Workspace) {
			last := len(ws.Users) - 1
			email := ws.Users[last].Email
			ws.Users = ws.Users[:last]
			for i := range ws.Groups {
				ws.Groups[i].Members = slices.DeleteFunc(ws.Groups[i].Members, func(m string) bool { return m == email })
			}
		}},
		{"a user is added", func(ws *sim.Workspace) {
			const email = "dee@example.com"
			ws.Users = append(ws.Users, sim.User{ID: "u9", Email: email, Permissions: []sim.Permission{{
				RoleID: "src", Resources: []sim.Resource{onResource("SOURCE", "s1"), onResource("SOURCE", "gone")},
			}}})
			ws.Groups[0].Members = append(ws.Groups[0].Members, email)
		}},
		{"a group is deleted", func(ws *sim.Workspace) { ws.Groups = ws.Groups[:len(ws.Groups)-1] }},
		{"a group is added", func(ws *sim.Workspace) {
			ws.Groups = append(ws.Groups, sim.Group{ID: "g9", Name: "Nine", Members: []string{"ann@example.com", "new@example.com"}, Permissions: []sim.Permission{{
				RoleID: "uni", Resources: []sim.Resource{onResource("SPACE", "spa_1"), onResource("SPACE", "spa_gone")},
			}}})
		}},
	}
}
