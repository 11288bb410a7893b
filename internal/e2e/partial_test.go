package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/session"
	sdksync "github.com/conductorone/baton-sdk/pkg/sync"
	"github.com/conductorone/baton-sdk/pkg/types/sessions"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/baton-segment/baton-segment/connector/inprocess"
	"github.com/baton-segment/baton-segment/internal/sim"
)

// A sync of one type alone holds what a full one says of it, but for what
// stands on other types, and asks for nothing that it does not need.
func TestFilteredSync(t *testing.T) {
	t.Parallel()
	ws := sim.Hostile()
	for _, typeID := range builtTypes() {
		for _, workers := range []string{"1", "8"} {
			t.Run(typeID+"/workers="+workers, func(t *testing.T) {
				t.Parallel()
				s := serve(t, ws)
				file := syncFile(t, s, "--sync-resource-types", typeID, "--workers", workers)
				types := []string{typeID}
				compare(t, expected(ws, types), readFile(t, file).contents(t))
				compareRequests(t, cost(ws, types, 1000), s.requests(t))
			})
		}
	}
}

// A sync of single resources says of each what a full one does, though it lists
// nothing. It reads what they are granted on as well, where that still exists.
func TestTargetedSync(t *testing.T) {
	t.Parallel()
	ws := sim.Hostile()
	full := readFile(t, syncFile(t, serve(t, ws)))
	targets := map[string][]string{"everything": everything(ws)}
	for _, one := range []string{
		"workspace:hostile-workspace",
		"role:role-personas",
		"source:source-long-name",
		"warehouse:warehouse-object-for-a-name",
		"function:transformation",
		"space:bare0listed",
		"label:odd=100%25%3Da%2Cb%3Ac",
		"invite:DOUBLE@example.com",
		"user:user-label-odd",
		"user:user-spaces",
		"user:user-warehouse",
		"group:group-cased",
		"group:group-invites-only",
		"group:group-shares",
	} {
		targets[one] = []string{one}
	}
	for name, refs := range targets {
		for _, workers := range []string{"1", "8"} {
			t.Run(name+"/workers="+workers, func(t *testing.T) {
				t.Parallel()
				var bids []string
				for _, r := range refs {
					bids = append(bids, "bid:r:"+strings.Replace(r, ":", "/", 1))
				}
				got := readFile(t, syncFile(t, serve(t, ws), "--sync-resources", strings.Join(bids, ","), "--workers", workers))
				compareRows(t, full, got)
				there := map[string]bool{}
				for _, r := range got.resources {
					there[ref(r)] = true
				}
				for _, r := range refs {
					if !there[r] {
						t.Errorf("%s is not there", r)
					}
				}
				if diff := cmp.Diff(heldAt(ws, refs), got.contents(t).Grants, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("grants (-want +got):\n%s", diff)
				}
				// Nobody is asked for static entitlements in such a sync.
				for _, g := range got.grants {
					if !slices.ContainsFunc(got.entitlements, func(e *v2.Entitlement) bool { return e.GetId() == g.GetEntitlement().GetId() }) {
						t.Errorf("%s is on an entitlement that is not there", g.GetId())
					}
				}
			})
		}
	}
}

// everything is each resource of ws that a list returns and that can be named
// on a command line, which knows commas and quotes as its own.
func everything(ws *sim.Workspace) []string {
	var refs []string
	for _, r := range expected(ws, builtTypes()).Resources {
		if r.Profile["listed"] == nil && !strings.ContainsAny(r.ID, `,"`) {
			refs = append(refs, r.Type+":"+r.ID)
		}
	}
	return refs
}

// compareRows wants every resource and entitlement to be what a full sync has.
func compareRows(t *testing.T, full, got rows) {
	t.Helper()
	resources := map[string]any{}
	for _, r := range full.resources {
		resources[ref(r)] = r
	}
	for _, r := range got.resources {
		if diff := cmp.Diff(resources[ref(r)], any(r), protocmp.Transform()); diff != "" {
			t.Errorf("resource %s (-full +got):\n%s", ref(r), diff)
		}
	}
	entitlements := map[string]any{}
	for _, e := range full.entitlements {
		entitlements[e.GetId()] = e
	}
	for _, e := range got.entitlements {
		if diff := cmp.Diff(entitlements[e.GetId()], any(e), protocmp.Transform()); diff != "" {
			t.Errorf("entitlement %s (-full +got):\n%s", e.GetId(), diff)
		}
	}
}

// heldAt are the grants that users and groups are asked for: what they hold
// themselves, and who is in the groups.
func heldAt(ws *sim.Workspace, refs []string) []grant {
	var held []grant
	for _, g := range direct(expected(ws, builtTypes()).Grants) {
		asked := g.Principal
		if group, isMember := strings.CutSuffix(g.Entitlement, ":member"); isMember && strings.HasPrefix(group, typeGroup+":") {
			asked = group
		}
		if slices.Contains(refs, asked) {
			held = append(held, g)
		}
	}
	return held
}

// direct leaves out what comes from groups alone.
func direct(grants []grant) []grant {
	var kept []grant
	for _, g := range grants {
		if len(g.Sources) == 0 || slices.Contains(g.Sources, g.Entitlement) {
			g.Sources = nil
			kept = append(kept, g)
		}
	}
	return kept
}

// Without a session store the connector remembers nothing from one call to the
// next. What is held directly is there all the same. What it cannot know is
// what the lists had: so it describes nothing that they did not have, but for
// sets of labels, which no list has, and names a space as the permission does.
func TestSyncWithoutSessionStore(t *testing.T) {
	t.Parallel()
	for name, ws := range workspaces() {
		for _, workers := range []int{1, 8} {
			t.Run(fmt.Sprintf("%s/workers=%d", name, workers), func(t *testing.T) {
				t.Parallel()
				file := filepath.Join(t.TempDir(), "sync.c1z")
				forgetful := inprocess.WithSessionStore(func(sessions.SessionStore) sessions.SessionStore { return &session.NoOpSessionStore{} })
				syncWith(t, embed(t.Context(), t, serve(t, ws), 0, forgetful), file, sdksync.WithWorkerCount(workers))
				got, want := readFile(t, file).contents(t), expected(ws, builtTypes())
				listed := slices.DeleteFunc(slices.Clone(want.Resources), func(r resource) bool {
					return r.Profile["listed"] == false && (r.Type != typeLabel || !strings.Contains(r.ID, ","))
				})
				compare(t, contents{Resources: listed}, contents{Resources: got.Resources})
				for _, e := range got.Entitlements {
					if !slices.Contains(want.Entitlements, e) {
						t.Errorf("there is an entitlement too much: %+v", e)
					}
				}
				there := map[string]bool{}
				for _, g := range got.Grants {
					there[bareSpace(g.ID)] = true
				}
				for _, g := range direct(want.Grants) {
					if !there[bareSpace(g.ID)] {
						t.Errorf("there is no grant %s", g.ID)
					}
				}
			})
		}
	}
}

// bareSpace is the id of a grant in the one form of two that Segment has.
func bareSpace(grantID string) string {
	return strings.Replace(grantID, typeSpace+":spa_", typeSpace+":", 1)
}
