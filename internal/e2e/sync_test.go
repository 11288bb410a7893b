package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// workspaces are what the simulator offers by name.
func workspaces() map[string]*sim.Workspace {
	return map[string]*sim.Workspace{"demo": sim.Demo(), "empty": sim.Empty()}
}

// compare tells what a sync of ws is missing and what it has too much.
func compare(t *testing.T, ws *sim.Workspace, got contents) {
	t.Helper()
	want := expected(ws, builtTypes())
	for _, part := range []struct{ diff, name string }{
		{cmp.Diff(want.Resources, got.Resources, cmpopts.EquateEmpty()), "resources"},
		{cmp.Diff(want.Entitlements, got.Entitlements, cmpopts.EquateEmpty()), "entitlements"},
		{cmp.Diff(want.Grants, got.Grants, cmpopts.EquateEmpty()), "grants"},
	} {
		if part.diff != "" {
			t.Errorf("%s (-want +got):\n%s", part.name, part.diff)
		}
	}
}

func TestSyncHoldsWhatTheWorkspaceHolds(t *testing.T) {
	t.Parallel()
	for name, ws := range workspaces() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := syncFile(t, serve(t, ws))
			compare(t, ws, readFile(t, file).contents(t))
			compare(t, ws, readWithBaton(t, file).contents(t))
		})
	}
}

// The oracle says that the rows are right; the golden file shows them, so that
// whoever changes one sees it.
func TestDemoGolden(t *testing.T) {
	t.Parallel()
	golden(t, "testdata/demo.txt", readFile(t, syncFile(t, serve(t, sim.Demo()))).text(t))
}

// What is held on something that is not read yet shows up nowhere in the file,
// so the log says how much it is: one warning for each kind in the whole run.
func TestWhatIsNotReadYetIsCounted(t *testing.T) {
	t.Parallel()
	ws := sim.Demo()
	for _, workers := range []string{"1", "4"} {
		t.Run("workers="+workers, func(t *testing.T) {
			t.Parallel()
			s := serve(t, ws)
			log := must(t, s.env(), "baton-segment", "--workers", workers).stderr
			got := map[string]int{}
			for line := range strings.Lines(log) {
				var entry struct {
					Level string `json:"level"`
					Scope string `json:"scope"`
					Count int    `json:"count"`
				}
				if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Scope == "" {
					continue // Not every line is JSON: the storage engine prints some of its own.
				}
				if entry.Level != "warn" || got[entry.Scope] != 0 {
					t.Errorf("not one warning for %s:\n%s", entry.Scope, line)
				}
				got[entry.Scope] = entry.Count
			}
			if diff := cmp.Diff(unplaced(ws), got); diff != "" {
				t.Errorf("permissions that yield no grant, by kind (-want +got):\n%s\n%s", diff, log)
			}
		})
	}
}

func TestSyncMakesExactlyTheRequestsOfTheFormula(t *testing.T) {
	t.Parallel()
	for name, ws := range workspaces() {
		for _, workers := range []string{"1", "4"} {
			t.Run(name+"/workers="+workers, func(t *testing.T) {
				t.Parallel()
				s := serve(t, ws)
				syncFile(t, s, "--workers", workers)
				if diff := cmp.Diff(cost(ws, builtTypes(), 1000), s.requests(t)); diff != "" {
					t.Errorf("requests by operation (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// However the API cuts lists into pages and however it ends them, the same
// rows arrive.
func TestPagesDoNotMatter(t *testing.T) {
	t.Parallel()
	forms := map[string]sim.NextForm{"absent": sim.NextAbsent, "null": sim.NextNull, "empty": sim.NextEmpty}
	for form, next := range forms {
		for _, size := range []int{1, 2, 7, 1000} {
			t.Run(fmt.Sprintf("next=%s/size=%d", form, size), func(t *testing.T) {
				t.Parallel()
				ws := sim.Demo()
				s := serve(t, ws, sim.WithNext(next))
				file := syncFile(t, s, "--page-size", fmt.Sprint(size))
				compare(t, ws, readFile(t, file).contents(t))
				if diff := cmp.Diff(cost(ws, builtTypes(), size), s.requests(t)); diff != "" {
					t.Errorf("requests by operation (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// A list that carries permissions saves the detail calls and nothing else.
func TestPermissionsInListsSaveTheDetailCalls(t *testing.T) {
	t.Parallel()
	ws := sim.Demo()
	s := serve(t, ws, sim.WithPermissionsInLists())
	compare(t, ws, readFile(t, syncFile(t, s)).contents(t))
	want := cost(ws, builtTypes(), 1000)
	delete(want, "getUser")
	delete(want, "getUserGroup")
	if diff := cmp.Diff(want, s.requests(t)); diff != "" {
		t.Errorf("requests by operation (-want +got):\n%s", diff)
	}
}
