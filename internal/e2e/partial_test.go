package e2e

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/conductorone/baton-sdk/pkg/session"
	sdksync "github.com/conductorone/baton-sdk/pkg/sync"
	"github.com/conductorone/baton-sdk/pkg/types/sessions"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/baton-segment/baton-segment/connector/inprocess"
	"github.com/baton-segment/baton-segment/internal/sim"
)

// A sync of one type has the rows of a full sync that refer to no other type, and
// makes only the requests that it needs.
func TestSync_FilteredTypes(t *testing.T) {
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

// A sync of single resources has the rows that a full sync has of them, although
// it lists nothing. It also has the resources that they hold roles on. Of a user it has
// the groups, what these hold, and what the user holds through them.
func TestSync_TargetedResources(t *testing.T) {
	t.Parallel()
	ws := sim.Hostile()
	full := readFile(t, sharedSync(t, ws))
	targets := map[string][]string{"everything": targetable(ws)}
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
				found := map[string]bool{}
				for _, r := range got.resources {
					found[ref(r)] = true
				}
				for _, r := range refs {
					if !found[r] {
						t.Errorf("%s is missing", r)
					}
				}
				if diff := cmp.Diff(grantsAskedOf(ws, refs), got.contents(t).Grants, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("grants (-want +got):\n%s", diff)
				}
				checkReferences(t, got)
			})
		}
	}
}

// checkReferences fails the test unless each grant is on an entitlement and a resource
// that are in the file. A targeted sync asks for no static entitlements.
func checkReferences(t testingT, got rows) {
	t.Helper()
	there := map[string]bool{}
	for _, r := range got.resources {
		there[ref(r)] = true
	}
	for _, e := range got.entitlements {
		there[e.GetId()] = true
	}
	for _, g := range got.grants {
		if e := g.GetEntitlement(); !there[e.GetId()] || !there[ref(e.GetResource())] {
			t.Errorf("%s is on an entitlement or a resource that is missing", g.GetId())
		}
	}
}

// targetable returns the resources of ws that a list returns and that can be given
// on a command line, where commas and quotes have a meaning.
func targetable(ws *sim.Workspace) []string {
	var refs []string
	for _, r := range expected(ws, builtTypes()).Resources {
		if r.Profile["listed"] == nil && !strings.ContainsAny(r.ID, `,"`) {
			refs = append(refs, r.Type+":"+r.ID)
		}
	}
	return refs
}

// compareRows fails the test unless every resource and entitlement equals that of a
// full sync.
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

// grantsAskedOf returns the grants of a targeted sync: of a user all that a full sync
// has, and what the user's groups hold; of a group its members and what it holds.
func grantsAskedOf(ws *sim.Workspace, refs []string) []grant {
	all := expected(ws, builtTypes()).Grants
	groups := map[string]bool{}
	for _, g := range all {
		if group, isMember := memberOf(g); isMember && slices.Contains(refs, g.Principal) {
			groups[group] = true
		}
	}
	var held []grant
	for _, g := range all {
		group, isMember := memberOf(g)
		if slices.Contains(refs, g.Principal) || groups[g.Principal] || isMember && slices.Contains(refs, group) {
			held = append(held, g)
		}
	}
	return held
}

// memberOf returns the group that a grant makes its principal a member of.
func memberOf(g grant) (string, bool) {
	group, isMember := strings.CutSuffix(g.Entitlement, ":member")
	return group, isMember && strings.HasPrefix(group, typeGroup+":")
}

// directGrants leaves out the grants that come from groups only.
func directGrants(grants []grant) []grant {
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
// next, but the file has all direct grants. The connector cannot know which
// resources the lists returned. So it adds no rows for unlisted resources, except
// sets of labels, which no list returns, it keeps the space id of the
// permission, and it shows invites that were accepted and are still listed.
func TestInProcess_WithoutSessionStore(t *testing.T) {
	t.Parallel()
	for name, ws := range workspaces() {
		for _, workers := range []int{1, 8} {
			t.Run(fmt.Sprintf("%s/workers=%d", name, workers), func(t *testing.T) {
				t.Parallel()
				file := filepath.Join(t.TempDir(), "sync.c1z")
				noStore := inprocess.WithSessionStore(func(sessions.SessionStore) sessions.SessionStore { return &session.NoOpSessionStore{} })
				syncWith(t, newRunner(t.Context(), t, serve(t, ws), 0, noStore), file, sdksync.WithWorkerCount(workers))
				got, want := readFile(t, file).contents(t), expected(ws, builtTypes())
				listed := slices.DeleteFunc(slices.Clone(want.Resources), func(r resource) bool {
					return r.Profile["listed"] == false && (r.Type != typeLabel || !strings.Contains(r.ID, ","))
				})
				accepted := func(r resource) bool { return r.Type == typeInvite && isUsersEmail(ws, r.ID) }
				compare(t, contents{Resources: listed}, contents{Resources: slices.DeleteFunc(got.Resources, accepted)})
				for _, e := range got.Entitlements {
					if !slices.Contains(want.Entitlements, e) {
						t.Errorf("unexpected entitlement: %+v", e)
					}
				}
				found := map[string]bool{}
				for _, g := range got.Grants {
					found[withoutSpacePrefix(g.ID)] = true
				}
				for _, g := range directGrants(want.Grants) {
					if !found[withoutSpacePrefix(g.ID)] {
						t.Errorf("grant %s is missing", g.ID)
					}
				}
			})
		}
	}
}

// withoutSpacePrefix removes the optional prefix from the space id in a grant id.
func withoutSpacePrefix(grantID string) string {
	return strings.Replace(grantID, typeSpace+":spa_", typeSpace+":", 1)
}
