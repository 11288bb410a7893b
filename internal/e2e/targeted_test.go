package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	sdksync "github.com/conductorone/baton-sdk/pkg/sync"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc/codes"
	"pgregory.net/rapid"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// targets returns the option for a targeted sync of some resources.
func targets(refs ...string) sdksync.SyncOpt {
	var resources []*v2.Resource
	for _, r := range refs {
		typeID, id, _ := strings.Cut(r, ":")
		resources = append(resources, v2.Resource_builder{Id: v2.ResourceId_builder{ResourceType: typeID, Resource: id}.Build()}.Build())
	}
	return sdksync.WithTargetedSyncResources(resources)
}

// A targeted sync of a person in two groups shows what a full sync shows of the
// person, with the same sources.
func TestSync_TargetedPerson(t *testing.T) {
	t.Parallel()
	ws := gatedWorkspace()
	// Ann has a role on one source herself and through a group, and another through
	// two groups. One group holds a role on a source that is gone.
	ws.Groups[1].Members = append(ws.Groups[1].Members, "ann@example.com")
	ws.Groups[0].Permissions = append(ws.Groups[0].Permissions,
		sim.Permission{RoleID: "src", Resources: []sim.Resource{onResource("SOURCE", "s1"), onResource("SOURCE", "gone"), onWorkspace(ws.Labels...)}})
	ws.Groups[1].Permissions = append(ws.Groups[1].Permissions, sim.Permission{RoleID: "src", Resources: []sim.Resource{onResource("SOURCE", "s2")}})
	const person = "user:u1"
	s := serve(t, ws)
	file := syncFile(t, s, "--sync-resources", "bid:r:user/u1", "--workers", "1")
	requests := simtest.Count(s.Journal())
	full := syncFile(t, serve(t, ws))
	got, whole := readWithBaton(t, file), readWithBaton(t, full)
	compareRows(t, whole, got)
	checkReferences(t, got)
	ofPerson := func(rows rows) []string {
		var lines []string
		for _, g := range rows.contents(t).Grants {
			if g.Principal == person {
				lines = append(lines, fmt.Sprintf("%s sources=%v immutable=%t", g.Entitlement, g.Sources, g.Immutable))
			}
		}
		return lines
	}
	if diff := cmp.Diff(ofPerson(whole), ofPerson(got)); diff != "" {
		t.Errorf("what the person has (-full +targeted):\n%s", diff)
	}
	if diff := cmp.Diff(grantsAskedOf(ws, []string{person}), got.contents(t).Grants); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
	// Each group is read for its row and for what it holds, each other row once.
	want := map[string]int{
		"getWorkspace": 2, "listUsers": 1, "listRoles": 2, "getUser": 2, "listUserGroupsFromUser": 1, "getUserGroup": 4,
		"listSpaces": 1, "getSource": 3, "getSpace": 2, "getWarehouse": 1, "listLabels": 1,
	}
	compareRequests(t, want, requests)
	t.Logf("what the person has, in the full file:\n%s\nin the targeted file:\n%s", strings.Join(ofPerson(whole), "\n"), strings.Join(ofPerson(got), "\n"))
}

// A target that does not exist fails the sync, and leaves no finished sync. So does one
// of several: the answer would be incomplete.
func TestProgram_MissingTarget(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bids []string
		opts []sim.Option
		says string
	}{
		"user":              {bids: []string{"bid:r:user/nobody"}, says: "workspace ws has no user nobody"},
		"group":             {bids: []string{"bid:r:group/none"}, says: "workspace ws has no group none"},
		"invite":            {bids: []string{"bid:r:invite/nobody@example.com"}, says: "workspace ws has no invite nobody@example.com"},
		"role":              {bids: []string{"bid:r:role/none"}, says: "workspace ws has no role none"},
		"label":             {bids: []string{"bid:r:label/no=no"}, says: "workspace ws has no label no=no"},
		"workspace":         {bids: []string{"bid:r:workspace/another"}, says: "workspace ws has no workspace another"},
		"one of two":        {bids: []string{"bid:r:user/u1", "bid:r:user/nobody"}, says: "workspace ws has no user nobody"},
		"type":              {bids: []string{"bid:r:usr/u1"}, says: `there is no resource type "usr"`},
		"not in the plan":   {bids: []string{"bid:r:group/g1"}, opts: []sim.Option{sim.WithoutFeatures(sim.FeatureGroups)}, says: "workspace ws has no group g1"},
		"e-mail for the id": {bids: []string{"bid:r:user/ann@example.com"}, says: "workspace ws has no user ann@example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, gatedWorkspace(), c.opts...)
			dir := t.TempDir()
			file := filepath.Join(dir, syncName)
			r := runIn(t, dir, s.Env(), program(t, "baton-segment"), "-f", file, "--log-level", "error", "--sync-resources", strings.Join(c.bids, ","))
			if r.code != int(codes.FailedPrecondition) || !strings.Contains(reason(t, r.stderr), c.says) {
				t.Errorf("exit code %d, without %q\n%s", r.code, c.says, r.stderr)
			}
			if n := finishedSyncs(t, file); n != 0 {
				t.Errorf("%d finished syncs in the file", n)
			}
		})
	}
}

// A direct call for a row that does not exist is NotFound: no file comes of it.
func TestInProcess_MissingRowOutsideASync(t *testing.T) {
	t.Parallel()
	r := newRunner(t.Context(), t, serve(t, gatedWorkspace()), 0)
	for ref, want := range map[string]codes.Code{"user:nobody": codes.NotFound, "usr:nobody": codes.Unimplemented} {
		typeID, id, _ := strings.Cut(ref, ":")
		_, err := r.Client().GetResource(t.Context(), v2.ResourceGetterServiceGetResourceRequest_builder{
			ResourceId: v2.ResourceId_builder{ResourceType: typeID, Resource: id}.Build(),
		}.Build())
		if got := (outcome{err: err}).verdict(); got != "fails "+want.String() {
			t.Errorf("%s: %s, want %s: %v", ref, got, want, err)
		}
	}
}

// A warning names what a targeted sync cannot show: who has access to a target, and the
// groups of a person if the plan lacks groups.
func TestInProcess_TargetedWarnings(t *testing.T) {
	t.Parallel()
	without := func(f sim.Feature) sim.Option { return sim.WithoutFeatures(f) }
	for name, c := range map[string]struct {
		targets []string
		opts    []sim.Option
		want    []string
	}{
		"a user":       {targets: []string{"user:u1"}},
		"a group":      {targets: []string{"group:g1"}},
		"a source":     {targets: []string{"source:s1"}, want: []string{"in the file without grants source s1"}},
		"an invite":    {targets: []string{"invite:new@example.com"}, want: []string{"in the file without grants invite new@example.com"}},
		"both":         {targets: []string{"user:u1", "source:s2"}, want: []string{"in the file without grants source s2"}},
		"without plan": {targets: []string{"user:u1"}, opts: []sim.Option{without(sim.FeatureGroups)}, want: []string{"skipped group", "not in the file, because the workspace's plan or a feature is missing [group]"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := syncInto(t.Context(), t, serve(t, gatedWorkspace(), c.opts...), filepath.Join(t.TempDir(), syncName), 0, targets(c.targets...))
			if o.err != nil {
				t.Fatal(o.err)
			}
			var got []string
			for _, w := range o.warnings {
				fields := w.ContextMap()
				text, _, _ := strings.Cut(w.Message, ":")
				for _, key := range []string{"resource_type", "resource_types", "resource"} {
					if value, ok := fields[key]; ok {
						text += fmt.Sprint(" ", value)
					}
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

// For any workspace, a targeted sync of some users and groups has the grants that the
// oracle has of them.
func TestAnyTargetedSyncShowsWhatAFullSyncDoes(t *testing.T) {
	t.Parallel()
	dir, cases := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		ws := drawWorkspace(t)
		// Of two users whose addresses differ only in case, it is not known which of them
		// Segment takes for the member of a group.
		seen := map[string]bool{}
		ws.Users = slices.DeleteFunc(ws.Users, func(u sim.User) bool {
			email := strings.ToLower(u.Email)
			defer func() { seen[email] = true }()
			return seen[email]
		})
		if len(ws.Users) == 0 {
			return
		}
		t.Logf("the workspace:\n%s", describe(ws))
		var refs []string
		for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, len(ws.Users)-1), 1, len(ws.Users), rapid.ID[int]).Draw(t, "targets") {
			refs = append(refs, typeUser+":"+ws.Users[i].ID)
		}
		workers := rapid.SampledFrom([]int{1, 4}).Draw(t, "workers")
		cases++
		file := filepath.Join(dir, fmt.Sprintf("%d.c1z", cases))
		syncInProcess(t, serve(t, ws), file, rapid.SampledFrom([]int{1, 1000}).Draw(t, "page size"), sdksync.WithWorkerCount(workers), targets(refs...))
		got := readFile(t, file)
		checkReferences(t, got)
		want := grantsAskedOf(ws, refs)
		if diff := cmp.Diff(want, got.contents(t).Grants, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("grants (-want +got):\n%s", diff)
		}
	})
	t.Logf("%d workspaces", cases)
}
