package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// workspaces returns the named workspaces of the simulator.
func workspaces() map[string]*sim.Workspace {
	return map[string]*sim.Workspace{"demo": sim.Demo(), "empty": sim.Empty(), "hostile": sim.Hostile()}
}

// compare reports the rows that a sync lacks and those that it should not have.
func compare(t testingT, want, got contents) {
	t.Helper()
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

func compareRequests(t testingT, want, got map[string]int) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests by operation (-want +got):\n%s", diff)
	}
}

// The file has exactly the rows of the oracle, read with the SDK and with baton.
func TestSync(t *testing.T) {
	t.Parallel()
	for name, ws := range workspaces() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := sharedSync(t, ws)
			want := expected(ws, builtTypes())
			compare(t, want, readFile(t, file).contents(t))
			compare(t, want, readWithBaton(t, file).contents(t))
			// The table for people looks up the rows that each grant refers to.
			shown := must(t, nil, "baton", "grants", "-f", file).stdout
			if strings.Contains(shown, "MISSING") {
				t.Errorf("baton grants does not find rows that grants refer to:\n%s", shown)
			}
		})
	}
}

// The golden files make a change of a row visible in a review. The oracle says
// whether it is right.
func TestGolden(t *testing.T) {
	t.Parallel()
	for name, ws := range map[string]*sim.Workspace{"demo": sim.Demo(), "hostile": sim.Hostile()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden(t, filepath.Join("testdata", name+".txt"), readFile(t, sharedSync(t, ws)).text(t))
		})
	}
}

// The log counts the permissions that no row can represent, with one warning for
// each kind in the whole run.
func TestSync_CountsUnsupportedPermissions(t *testing.T) {
	t.Parallel()
	ws := sim.Hostile()
	for _, workers := range []string{"1", "8"} {
		t.Run("workers="+workers, func(t *testing.T) {
			t.Parallel()
			s := serve(t, ws)
			log := must(t, s.Env(), "baton-segment", "--workers", workers).stderr
			got := map[string]int{}
			for line := range strings.Lines(log) {
				var entry struct {
					Level string  `json:"level"`
					Scope *string `json:"scope"`
					Count int     `json:"count"`
				}
				if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Scope == nil {
					continue // The storage engine also prints lines that are not JSON.
				}
				if entry.Level != "warn" || got[*entry.Scope] != 0 {
					t.Errorf("not one warning for %q:\n%s", *entry.Scope, line)
				}
				got[*entry.Scope] = entry.Count
			}
			if diff := cmp.Diff(countUnsupported(ws), got); diff != "" {
				t.Errorf("permissions that yield no grant, by kind (-want +got):\n%s", diff)
			}
		})
	}
}

// The rows do not depend on the page size or on how the API ends a list.
func TestSync_PageSizesAndEnds(t *testing.T) {
	t.Parallel()
	forms := map[string]sim.NextForm{"absent": sim.NextAbsent, "null": sim.NextNull, "empty": sim.NextEmpty}
	for form, next := range forms {
		for _, size := range []int{1, 2, 7, 1000} {
			t.Run(fmt.Sprintf("next=%s/size=%d", form, size), func(t *testing.T) {
				t.Parallel()
				ws := sim.Demo()
				s := serve(t, ws, sim.WithNext(next))
				file := syncFile(t, s, "--page-size", fmt.Sprint(size))
				compare(t, expected(ws, builtTypes()), readFile(t, file).contents(t))
				compareRequests(t, cost(ws, builtTypes(), size), s.requests(t))
			})
		}
	}
}

// If lists contain permissions, the sync makes the same requests without those for
// details.
func TestSync_PermissionsInLists(t *testing.T) {
	t.Parallel()
	for name, ws := range workspaces() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, ws, sim.WithPermissionsInLists())
			compare(t, expected(ws, builtTypes()), readFile(t, syncFile(t, s)).contents(t))
			want := cost(ws, builtTypes(), 1000)
			subtractDetailRequests(want, ws)
			compareRequests(t, want, s.requests(t))
		})
	}
}

// A sync makes exactly the requests of the formula in the documentation, at three
// sizes.
func TestSyncMakesExactlyTheRequestsOfTheFormula(t *testing.T) {
	t.Parallel()
	type run struct {
		users, pageSize int
		want, got       map[string]int
	}
	runs := []*run{
		{users: 30, pageSize: 1000}, {users: 30, pageSize: 7},
		{users: 200, pageSize: 1000}, {users: 200, pageSize: 25},
		{users: 1100, pageSize: 1000},
	}
	t.Run("sizes", func(t *testing.T) {
		for _, r := range runs {
			t.Run(fmt.Sprintf("users=%d/page=%d", r.users, r.pageSize), func(t *testing.T) {
				t.Parallel()
				ws := sim.Sized(sim.Size{
					Users: r.users, Groups: r.users / 10, Sources: r.users / 5, Warehouses: r.users / 30,
					Functions: r.users / 10, Spaces: r.users / 30, Invites: r.users / 10, Labels: 30, MembersPerGroup: 60, Seed: 1,
				})
				s := serve(t, ws)
				file := syncFile(t, s, "--page-size", fmt.Sprint(r.pageSize), "--workers", "4")
				r.want, r.got = cost(ws, builtTypes(), r.pageSize), s.requests(t)
				compareRequests(t, r.want, r.got)
				compare(t, expected(ws, builtTypes()), readFile(t, file).contents(t))
			})
		}
	})
	var table strings.Builder
	line := func(name string, cell func(*run) string) {
		fmt.Fprintf(&table, "%24s", name)
		for _, r := range runs {
			fmt.Fprintf(&table, "%14s", cell(r))
		}
		table.WriteByte('\n')
	}
	line("users", func(r *run) string { return fmt.Sprint(r.users) })
	line("page size", func(r *run) string { return fmt.Sprint(r.pageSize) })
	for _, operation := range slices.Sorted(maps.Keys(runs[0].want)) {
		line(operation, func(r *run) string { return fmt.Sprintf("%d = %d", r.want[operation], r.got[operation]) })
	}
	sum := func(counts map[string]int) int {
		total := 0
		for _, n := range counts {
			total += n
		}
		return total
	}
	line("in all", func(r *run) string { return fmt.Sprintf("%d = %d", sum(r.want), sum(r.got)) })
	t.Logf("requests, by the formula = in the journal:\n%s", &table)
}
