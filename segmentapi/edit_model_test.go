package segmentapi_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// A model is what a user and a group hold: a set of strings such as "role-admin
// WORKSPACE ws env=prod".
type model map[string]map[string]bool

func (m model) lines(id string) []string { return slices.Sorted(maps.Keys(m[id])) }

// addMinimal is the only other rule: the last assignment is never removed.
func (m model) addMinimal(id string) {
	if len(m[id]) == 0 {
		m[id][minimal+" "+wholeWorkspace] = true
	}
}

// modelResources are what roles are held on in the model test.
var modelResources = []string{
	"SOURCE a", "SOURCE b", "SOURCE c", "SPACE bare", wholeWorkspace, wholeWorkspace + " env=prod", wholeWorkspace + " env=dev",
	wholeWorkspace + " env=prod team=growth", wholeWorkspace + " team=growth",
}

func drawLine(t *rapid.T) string {
	role := rapid.SampledFrom([]string{admin, reader, minimal}).Draw(t, "role")
	return role + " " + rapid.SampledFrom(modelResources).Draw(t, "on")
}

func fromLine(line string) segmentapi.Assignment {
	role, resource, _ := strings.Cut(line, " ")
	return assigned(role, resource)
}

// addLine and dropLine are another administrator's edits of the workspace.
func addLine(held []sim.Permission, line string) []sim.Permission {
	role, resource, _ := strings.Cut(line, " ")
	return append(slices.Clone(held), on(role, resource)) // A role may be there twice.
}

func dropLine(held []sim.Permission, line string) []sim.Permission {
	var left []sim.Permission
	for _, p := range held {
		kept := sim.Permission{RoleID: p.RoleID}
		for _, r := range p.Resources {
			ws := &sim.Workspace{Users: []sim.User{{ID: "x", Permissions: []sim.Permission{{RoleID: p.RoleID, Resources: []sim.Resource{r}}}}}}
			if holds(ws, "x")[0] != line {
				kept.Resources = append(kept.Resources, r)
			}
		}
		if len(kept.Resources) > 0 {
			left = append(left, kept)
		}
	}
	return left
}

// Two programs grant and revoke, and an administrator edits the workspace by hand,
// between and during their edits. The workspace always agrees with the model.
func TestEditsKeepToTheModel(t *testing.T) {
	t.Parallel()
	var steps atomic.Int64
	rapid.Check(t, func(t *rapid.T) {
		start := rapid.SliceOfN(rapid.Custom(drawLine), 0, 6).Draw(t, "start")
		var held []sim.Permission
		for _, line := range start {
			held = addLine(held, line)
		}
		srv := sim.New(testWorkspace(held...))
		programs := make([]*segmentapi.Client, 2)
		for i := range programs {
			var err error
			programs[i], err = segmentapi.New(srv.Token(), segmentapi.WithSettleTime(0), segmentapi.WithHTTPClient(&http.Client{Transport: srv.RoundTripper()}), unspacedWrites())
			if err != nil {
				t.Fatal(err)
			}
		}
		m := model{"u": {}, "g": {}}
		for id := range m {
			for _, line := range holds(srv.Workspace(), id) {
				m[id][line] = true
			}
		}
		// handmade edits the model and returns the same edit of the workspace, for an
		// administrator to make later.
		handmade := func(t *rapid.T, id string, other string) (func(*sim.Workspace), string) {
			line := drawLine(t)
			if line == other { // Whose edit comes last is for TestGrantRevoke_ConcurrentEditsAreKept.
				return nil, ""
			}
			if rapid.Bool().Draw(t, "takes") {
				if !m[id][line] || len(m[id]) < 4 {
					return nil, ""
				}
				delete(m[id], line)
				return func(ws *sim.Workspace) {
					editPermissions(ws, id, func(held []sim.Permission) []sim.Permission { return dropLine(held, line) })
				}, "takes " + line
			}
			if m[id][line] {
				return nil, ""
			}
			m[id][line] = true
			return func(ws *sim.Workspace) {
				editPermissions(ws, id, func(held []sim.Permission) []sim.Permission { return addLine(held, line) })
			}, "gives " + line
		}
		act := func(t *rapid.T, revoke bool) {
			steps.Add(1)
			e := editors(rapid.SampledFrom(programs).Draw(t, "program"))[rapid.SampledFrom([]string{"user", "group"}).Draw(t, "whom")]
			line := drawLine(t)
			srv.ResetJournal()
			was := maps.Clone(m[e.id])
			// The moment of the administrator's edit: before any read, and so before a PUT
			// is computed, before a POST, or before the write is read back.
			var edit func(*sim.Workspace)
			var what string
			if last := revoke && len(was) == 1 && was[line]; !last { // Otherwise the moment decides what takes its place.
				edit, what = handmade(t, e.id, line)
			}
			if edit != nil {
				moment := rapid.SampledFrom([]string{e.get + " 1", e.get + " 2", e.get + " 3", e.post + " 1"}).Draw(t, "moment")
				operation, ordinal, _ := strings.Cut(moment, " ")
				done := false
				if err := srv.Before(operation, int(ordinal[0]-'0'), func(ws *sim.Workspace) {
					if !done {
						done = true
						edit(ws)
					}
				}); err != nil {
					t.Fatal(err)
				}
				defer func() {
					if !done { // No such request: it comes now.
						done = true
						srv.Update(edit)
						if diff := cmp.Diff(m.lines(e.id), holds(srv.Workspace(), e.id)); diff != "" {
							t.Fatalf("after the hand that %s (-want +got):\n%s", what, diff)
						}
					}
				}()
				t.Logf("hand: %s at %s", what, moment)
			}
			var err error
			var change segmentapi.Difference
			if revoke {
				delete(m[e.id], line)
				change, err = e.revoke(t.Context(), e.id, fromLine(line))
				if errors.Is(err, segmentapi.ErrLastPermission) && was[minimal+" "+wholeWorkspace] {
					m[e.id][line] = true
					err = nil
				}
				if was[line] {
					m.addMinimal(e.id)
				}
			} else {
				m[e.id][line] = true
				change, err = e.grant(t.Context(), e.id, fromLine(line))
			}
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if edit == nil {
				if diff := cmp.Diff(m.lines(e.id), holds(srv.Workspace(), e.id)); diff != "" {
					t.Fatalf("after %s (%s) %s holds (-want +got):\n%s", line, change, e.id, diff)
				}
				if was[line] != revoke && len(simtest.Writes(srv.Journal())) != 0 {
					t.Fatalf("%s needed no write, there were %v", line, simtest.Writes(srv.Journal()))
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"grant":  func(t *rapid.T) { act(t, false) },
			"revoke": func(t *rapid.T) { act(t, true) },
			"hand": func(t *rapid.T) {
				steps.Add(1)
				id := rapid.SampledFrom([]string{"u", "g"}).Draw(t, "whose")
				if edit, what := handmade(t, id, ""); edit != nil {
					t.Log("hand:", what)
					srv.Update(edit)
				}
			},
			"": func(t *rapid.T) {
				for id := range m {
					if diff := cmp.Diff(m.lines(id), holds(srv.Workspace(), id), equateEmpty); diff != "" {
						t.Fatalf("%s holds (-want +got):\n%s", id, diff)
					}
				}
			},
		})
	})
	t.Logf("%d steps", steps.Load())
}

var equateEmpty = cmp.Transformer("set", func(lines []string) string { return strings.Join(lines, "\n") })

// One program, and a Segment that fails at random in every way: an edit is done or,
// with an error, not done, and nothing else changes.
func TestEditsUnderFaults(t *testing.T) {
	t.Parallel()
	faults := []sim.Fault{
		{Kind: sim.FaultDrop}, {Kind: sim.FaultReset}, {Kind: sim.FaultTruncate}, {Kind: sim.FaultHTML},
		{Kind: sim.FaultLateStatus, Status: 500}, {Kind: sim.FaultLateStatus, Status: 503},
		{Kind: sim.FaultStatus, Status: 500}, {Kind: sim.FaultStatus, Status: 503}, {Kind: sim.FaultStatus, Status: 422},
		{Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"3"}}},
		{Kind: sim.FaultStatus, Status: 429, Header: http.Header{"Retry-After": {"90"}}},
	}
	for name, form := range map[string]sim.PostForm{"merges": sim.PostMerges, "replaces": sim.PostReplaces, "replacesrole": sim.PostReplacesRole} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { checkUnderFaults(t, form, faults) })
		})
	}
}

func checkUnderFaults(t *testing.T, form sim.PostForm, faults []sim.Fault) {
	steps, failed, damaged := 0, 0, 0
	// A bubble of fake time has no deadline that it could be asked for.
	rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) {
		var held []sim.Permission
		for _, line := range rapid.SliceOfN(rapid.Custom(drawLine), 0, 6).Draw(t, "start") {
			held = addLine(held, line)
		}
		srv := sim.New(testWorkspace(held...), sim.WithPost(form))
		c, err := segmentapi.New(srv.Token(), segmentapi.WithSettleTime(0), segmentapi.WithHTTPClient(&http.Client{Transport: srv.RoundTripper()}), unspacedWrites())
		if err != nil {
			t.Fatal(err)
		}
		m := model{"u": {}, "g": {}}
		for id := range m {
			for _, line := range holds(srv.Workspace(), id) {
				m[id][line] = true
			}
		}
		act := func(t *rapid.T, edit func(context.Context, string, ...segmentapi.Assignment) (segmentapi.Difference, error), e editor, revoke bool) {
			steps++
			srv.ClearFaults()
			srv.ResetJournal()
			for _, operation := range []string{e.post, e.put} {
				for ordinal := range 3 {
					if !rapid.Bool().Draw(t, "fails") {
						continue
					}
					fault := rapid.SampledFrom(faults).Draw(t, "fault")
					fault.Operation, fault.Ordinal = operation, ordinal+1
					if err := srv.Inject(fault); err != nil {
						t.Fatal(err)
					}
				}
			}
			line := drawLine(t)
			undone := m.lines(e.id)
			had := m[e.id][line]
			m[e.id][line] = true
			if revoke {
				delete(m[e.id], line)
				if had {
					m.addMinimal(e.id)
				}
			}
			change, err := edit(t.Context(), e.id, fromLine(line))
			got := holds(srv.Workspace(), e.id)
			if err != nil {
				failed++
			}
			if errors.Is(err, segmentapi.ErrRateLimited) {
				<-time.After(90 * time.Second)
			}
			if err != nil && slices.Equal(got, undone) {
				m[e.id] = map[string]bool{}
				for _, line := range undone {
					m[e.id][line] = true
				}
			} else if diff := cmp.Diff(m.lines(e.id), got, equateEmpty); diff != "" && (err == nil || form == sim.PostMerges || !strings.Contains(err.Error(), "COULD NOT BE CHANGED BACK")) {
				t.Fatalf("after %s (%s; %v) and %v %s holds (-want +got):\n%s", line, change, err, simtest.Operations(srv.Journal()), e.id, diff)
			} else if diff != "" {
				damaged++
				m[e.id] = map[string]bool{}
				for _, line := range got {
					m[e.id][line] = true
				}
			}
		}
		whom := rapid.SampledFrom([]string{"user", "group"})
		t.Repeat(map[string]func(*rapid.T){
			"grant": func(t *rapid.T) {
				e := editors(c)[whom.Draw(t, "whom")]
				act(t, e.grant, e, false)
			},
			"revoke": func(t *rapid.T) {
				e := editors(c)[whom.Draw(t, "whom")]
				act(t, e.revoke, e, true)
			},
		})
	})
	t.Logf("%d steps, %d with an error, %d damaged", steps, failed, damaged)
}
