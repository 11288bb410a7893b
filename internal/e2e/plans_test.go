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
)

// Whatever goes wrong together, and whoever comes or goes meanwhile: the file
// is complete and right, or there is an error. And there is an end.
func TestAnyFaultsEndInACompleteFileOrAnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	verdicts := &tally{}
	cases := 0
	rapid.Check(t, func(t *rapid.T) {
		ws := gatedWorkspace()
		edit := rapid.SampledFrom(plannedEdits()).Draw(t, "edit")
		if edit.of == nil && rapid.Bool().Draw(t, "a drawn workspace") {
			ws = drawWorkspace(t)
		}
		plan := rapid.SliceOfN(rapid.Custom(drawFault), 1, 6).Draw(t, "faults")
		pageSize := rapid.SampledFrom([]int{1, 2, 1000}).Draw(t, "page size")
		workers := rapid.SampledFrom([]int{1, 4}).Draw(t, "workers")

		s := serve(t, ws)
		before := s.Workspace()
		after := before
		if edit.of != nil {
			after = sim.New(before).Workspace()
			edit.of(after)
			if err := s.Before(drawOperation(t, "moment of the edit"), rapid.IntRange(1, 4).Draw(t, "ordinal of the edit"), edit.of); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Inject(plan...); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		// Above what an answer takes on a busy machine.
		ctx = context.WithValue(ctx, uhttp.ContextHTTPTimeoutKey, 2*time.Second)
		cases++
		o := syncInto(ctx, t, s, filepath.Join(dir, fmt.Sprintf("%d.c1z", cases)), pageSize, sdksync.WithWorkerCount(workers))
		if ctx.Err() != nil {
			t.Fatalf("there is no end: %v", o.err)
		}
		if o.err != nil {
			verdicts.add("fails " + status.Code(o.err).String())
			checkFailure(t, plan, o.err)
			return
		}
		verdicts.add(complete)
		was, is := expected(before, builtTypes()), expected(after, builtTypes())
		between(t, was, is, inFirstWords(plan, o.contents, was, is))
	})
	t.Logf("%d cases: %v", cases, verdicts)
}

// checkFailure wants an error that is about one of the faults.
func checkFailure(t *rapid.T, plan []sim.Fault, err error) {
	t.Helper()
	ends := []codes.Code{codes.Internal, codes.InvalidArgument, codes.Unauthenticated, codes.PermissionDenied, codes.FailedPrecondition}
	if !slices.Contains(ends, status.Code(err)) {
		t.Errorf("nothing in the plan ends as %s: %v", status.Code(err), err)
	}
	about := func(f sim.Fault) bool { return strings.Contains(err.Error(), "segment "+f.Operation) }
	// A cursor that leads back is told from several answers.
	if !slices.ContainsFunc(plan, about) && !strings.Contains(err.Error(), "came twice") {
		t.Errorf("it is about none of the faults: %v", err)
	}
	if strings.Contains(err.Error(), token) {
		t.Errorf("the message has the token: %v", err)
	}
}

// between wants the rows of two states of a workspace: all that both have, and
// none that neither has.
func between(t *rapid.T, before, after, got contents) {
	t.Helper()
	was, is, there := before.set(), after.set(), got.set()
	for row := range was {
		if is[row] && !there[row] {
			t.Errorf("missing: %s", row)
		}
	}
	for row := range there {
		if !was[row] && !is[row] {
			t.Errorf("too much: %s", row)
		}
	}
	if n := len(got.Resources) + len(got.Entitlements) + len(got.Grants); n != len(there) {
		t.Errorf("%d rows, of which %d are different", n, len(there))
	}
}

// set is every row, in words.
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

// inFirstWords takes back what a contradiction says of rows that are listed: either
// wording is Segment's.
func inFirstWords(plan []sim.Fault, got contents, worlds ...contents) contents {
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

// drawFault draws one that says nothing true: a 400 or 404 of Segment's own may
// mean that a plan lacks something, or that somebody has gone. What a
// contradiction makes of roles and invites has tests of its own.
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
		f.Header = announced()
	case sim.FaultDelay:
		f.Delay = 10 * time.Millisecond
	case sim.FaultContradict:
		f.Operation = rapid.SampledFrom([]string{"listUsers", "listUserGroups", "listUsersFromUserGroup", "listSources", "listSpaces", "listLabels"}).Draw(t, "operation")
	default: // They have but one form.
	}
	return f
}

// A plannedEdit is one of another administrator.
type plannedEdit struct {
	name string
	of   func(*sim.Workspace)
}

func (e plannedEdit) String() string { return e.name }

// plannedEdits are about the last of a list: what moves up when others go is
// out of reach for every reader of pages.
func plannedEdits() []plannedEdit {
	none := plannedEdit{name: "none"}
	return []plannedEdit{
		none, none, none,
		{"a user goes", func(ws *sim.Workspace) {
			last := len(ws.Users) - 1
			email := ws.Users[last].Email
			ws.Users = ws.Users[:last]
			for i := range ws.Groups {
				ws.Groups[i].Members = slices.DeleteFunc(ws.Groups[i].Members, func(m string) bool { return m == email })
			}
		}},
		{"a user comes", func(ws *sim.Workspace) {
			const email = "dee@example.com"
			ws.Users = append(ws.Users, sim.User{ID: "u9", Email: email, Permissions: []sim.Permission{{
				RoleID: "src", Resources: []sim.Resource{at("SOURCE", "s1"), at("SOURCE", "gone")},
			}}})
			ws.Groups[0].Members = append(ws.Groups[0].Members, email)
		}},
		{"a group goes", func(ws *sim.Workspace) { ws.Groups = ws.Groups[:len(ws.Groups)-1] }},
		{"a group comes", func(ws *sim.Workspace) {
			ws.Groups = append(ws.Groups, sim.Group{ID: "g9", Name: "Nine", Members: []string{"ann@example.com", "new@example.com"}, Permissions: []sim.Permission{{
				RoleID: "uni", Resources: []sim.Resource{at("SPACE", "spa_1"), at("SPACE", "spa_gone")},
			}}})
		}},
	}
}
