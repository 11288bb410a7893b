package connector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate/statetest"
	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// writable is full, with somebody and a group who hold only what everybody may.
func writable() *sim.Workspace {
	ws := full()
	ws.Users[1].Permissions = []sim.Permission{role("member")}
	ws.Groups[1].Permissions = []sim.Permission{role("member")}
	ws.Labels = append(ws.Labels, sim.Label{Key: "team", Value: "a,b"})
	return ws
}

// provisioner is what the SDK calls for a type.
func (f *fixture) provisioner(ctx context.Context, typeID string) connectorbuilder.ResourceProvisionerV2Limited {
	for _, s := range f.ResourceSyncers(ctx) {
		if p, ok := s.(connectorbuilder.ResourceProvisionerV2Limited); ok && s.ResourceType(ctx).GetId() == typeID {
			return p
		}
	}
	panic("nothing can be granted on a " + typeID)
}

// entitled is an entitlement as bare as can be.
func entitled(id string) *v2.Entitlement { return v2.Entitlement_builder{Id: id}.Build() }

// who reads type:id.
func who(principal string) *v2.Resource {
	typeID, id, _ := strings.Cut(principal, ":")
	return stub(typeID, id)
}

func (f *fixture) grantTo(ctx context.Context, entitlementID, principal string) ([]*v2.Grant, annotations.Annotations, error) {
	typeID, _, _ := strings.Cut(entitlementID, ":")
	return f.provisioner(ctx, typeID).Grant(ctx, who(principal), entitled(entitlementID))
}

func (f *fixture) revokeFrom(ctx context.Context, entitlementID, principal string) (annotations.Annotations, error) {
	typeID, _, _ := strings.Cut(entitlementID, ":")
	return f.provisioner(ctx, typeID).Revoke(ctx, v2.Grant_builder{Entitlement: entitled(entitlementID), Principal: who(principal)}.Build())
}

// writes are the requests that could change something, and empties the journal.
func (f *fixture) writes() []string {
	var all []string
	for _, r := range f.sim.Journal() {
		if r.Method != http.MethodGet {
			all = append(all, r.Operation)
		}
	}
	f.sim.ResetJournal()
	return all
}

// state is who holds what, who is in what, and who is invited, as sets.
func (f *fixture) state() map[string][]string {
	ws := f.sim.Workspace()
	all := map[string][]string{}
	add := func(key string, rows []string) { all[key] = slices.Compact(slices.Sorted(slices.Values(rows))) }
	for _, u := range ws.Users {
		add("user:"+u.ID, holdings(u.Permissions))
	}
	for _, g := range ws.Groups {
		add("group:"+g.ID, holdings(g.Permissions))
		add("members of "+g.ID, g.Members)
	}
	var invites []string
	for _, i := range ws.Invites {
		invites = append(invites, i.Email)
	}
	add("invites", invites)
	return all
}

func holdings(permissions []sim.Permission) []string {
	var all []string
	for _, p := range permissions {
		for _, r := range p.Resources {
			var labels []string
			for _, l := range r.Labels {
				labels = append(labels, l.Key+"="+l.Value)
			}
			slices.Sort(labels)
			all = append(all, fmt.Sprintf("%s on %s %s %v", p.RoleID, r.Type, r.ID, slices.Compact(labels)))
		}
	}
	return all
}

// shown are the grants of one principal in a sync that begins now, by id.
func (f *fixture) shown(ctx context.Context, t *testing.T, principal string) map[string]*v2.Grant {
	t.Helper()
	f.session = statetest.New()
	rows := f.listIn(ctx, t)
	shown := map[string]*v2.Grant{}
	subjects := []*v2.Resource{who(principal)}
	if subjects[0].GetId().GetResourceType() != typeGroup {
		subjects = append(subjects, rows[typeGroup]...)
	}
	for _, r := range subjects {
		if r.GetId().GetResourceType() == typeInvite {
			continue
		}
		must(f.entitlements(ctx, r))(t)
		for _, g := range must(f.grants(ctx, r))(t) {
			if id := g.GetPrincipal().GetId(); id.GetResourceType()+":"+id.GetResource() == principal {
				shown[g.GetId()] = g
			}
		}
	}
	f.sim.ResetJournal()
	return shown
}

// granted is the only grant, whose annotations a successful Grant has.
func granted(t *testing.T, grants []*v2.Grant, annos annotations.Annotations, err error) (*v2.Grant, bool) {
	t.Helper()
	if err != nil || len(grants) != 1 {
		t.Fatalf("granted %v, %v", grants, err)
	}
	return grants[0], annos.Contains(&v2.GrantAlreadyExists{})
}

// What is granted is what a sync shows afterwards, to the letter, and what is
// revoked is gone; nothing else changes, and nothing is written twice.
func TestGrantAndRevoke(t *testing.T) {
	t.Parallel()
	anybody := []string{"user:u2", "group:g2"}
	for name, c := range map[string]struct {
		principals []string
		scope      string
	}{
		"role:src:assigned":                  {anybody, "src on WORKSPACE wksp []"},
		"source:src:src":                     {anybody, "src on SOURCE src []"},
		"function:f2:fn":                     {anybody, "fn on FUNCTION f2 []"},
		"space:spa_1:uni":                    {anybody, "uni on SPACE spa_1 []"},
		"space:2:uni":                        {anybody, "uni on SPACE 2 []"},
		"label:env=prod:uni":                 {anybody, "uni on WORKSPACE wksp [env=prod]"},
		"label:env=prod,team=a%2Cb:src":      {anybody, "src on WORKSPACE wksp [env=prod team=a,b]"},
		"source:src:fn":                      {anybody, "fn on SOURCE src []"}, // No table pairs them.
		"group:g2:member":                    {[]string{"user:u2"}, "bo@example.com"},
		"group:g2:member and a pending one":  {[]string{"invite:new@example.com"}, "new@example.com"},
		"group:g1:member and one of another": {[]string{"invite:newer@example.com", "user:u3"}, ""},
	} {
		entitlementID, _, _ := strings.Cut(name, " ")
		for _, principal := range c.principals {
			t.Run(entitlementID+" "+principal, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					ctx := t.Context()
					f := timeless(t, writable())
					before, rows := f.state(), f.shown(ctx, t, principal)

					grants, annos, err := f.grantTo(ctx, entitlementID, principal)
					grant, already := granted(t, grants, annos, err)
					if already || len(f.writes()) != 1 {
						t.Errorf("already granted: %v", already)
					}
					if c.scope != "" {
						want := maps.Clone(before)
						key := principal
						if strings.HasPrefix(entitlementID, typeGroup) {
							key = "members of g2"
						}
						want[key] = slices.Sorted(slices.Values(append(slices.Clone(want[key]), c.scope)))
						if diff := cmp.Diff(want, f.state()); diff != "" {
							t.Errorf("the workspace (-want +got):\n%s", diff)
						}
					}
					now := f.shown(ctx, t, principal)
					if row := now[grant.GetId()].GetEntitlement(); row != nil { // Its own row describes the resource.
						row.SetResource(v2.Resource_builder{Id: row.GetResource().GetId()}.Build())
					}
					if diff := cmp.Diff(now[grant.GetId()], grant, protocmp.Transform()); diff != "" {
						t.Errorf("the grant (-shown +returned):\n%s", diff)
					}
					if len(now) != len(rows)+1 {
						t.Errorf("%d grants became %d", len(rows), len(now))
					}

					grants, annos, err = f.grantTo(ctx, entitlementID, principal)
					again, already := granted(t, grants, annos, err)
					if diff := cmp.Diff(grant, again, protocmp.Transform()); diff != "" || !already {
						t.Errorf("granted again: already %v, %s", already, diff)
					}
					if writes := f.writes(); len(writes) > 0 {
						t.Errorf("granting again wrote %v", writes)
					}

					if annos, err := f.revokeFrom(ctx, entitlementID, principal); err != nil || len(annos) > 0 || len(f.writes()) != 1 {
						t.Errorf("revoked: %v, %v", annos, err)
					}
					if diff := cmp.Diff(before, f.state()); diff != "" {
						t.Errorf("the workspace is not as it was (-want +got):\n%s", diff)
					}
					if diff := cmp.Diff(rows, f.shown(ctx, t, principal), protocmp.Transform()); diff != "" {
						t.Errorf("the grants are not what they were (-want +got):\n%s", diff)
					}
					if annos, err := f.revokeFrom(ctx, entitlementID, principal); err != nil || !annos.Contains(&v2.GrantAlreadyRevoked{}) {
						t.Errorf("revoked again: %v, %v", annos, err)
					}
					if writes := f.writes(); len(writes) > 0 {
						t.Errorf("revoking again wrote %v", writes)
					}
				})
			})
		}
	}
}

// Whatever a sync shows can be revoked, with everything that it is shown for
// and nothing else: repeated roles, sets of labels in any order, both forms of
// a space, roles and resources that no list has.
func TestWhateverIsShownCanBeRevoked(t *testing.T) {
	t.Parallel()
	var principals []string
	for _, u := range sim.Hostile().Users {
		principals = append(principals, "user:"+u.ID)
	}
	for _, g := range sim.Hostile().Groups {
		principals = append(principals, "group:"+g.ID)
	}
	tried := 0
	for _, principal := range principals {
		synctest.Test(t, func(t *testing.T) {
			f := timeless(t, hostileWithSpare())
			ctx := t.Context()
			rows := f.shown(ctx, t, principal)
			for _, id := range slices.Sorted(maps.Keys(rows)) {
				entitlementID := rows[id].GetEntitlement().GetId()
				typeID, _, _ := strings.Cut(entitlementID, ":")
				if !slices.Contains(grantableTypes(), typeID) {
					continue
				}
				f.sim.Update(func(ws *sim.Workspace) { *ws = *hostileWithSpare() })
				before := f.state()
				tried++
				_, annos, err := f.grantTo(ctx, entitlementID, principal)
				if writes := f.writes(); err != nil || !annos.Contains(&v2.GrantAlreadyExists{}) || len(writes) > 0 {
					t.Errorf("%s: granting what is shown: %v, %v, wrote %v", id, annos, err, writes)
				}
				annos, err = f.revokeFrom(ctx, entitlementID, principal)
				if status.Code(err) == codes.FailedPrecondition && errors.Is(err, segmentapi.ErrLastPermission) {
					continue // Nothing less than Minimal Workspace Access can be held.
				}
				if err != nil || len(annos) > 0 {
					t.Errorf("%s: %v, %v", id, annos, err)
					continue
				}
				after := f.shown(ctx, t, principal)
				want := maps.Clone(rows)
				delete(want, id)
				minimal := "role:1aEWAcU0fArxScocwH9xxLgW7r3:assigned:" + principal
				if _, had := want[minimal]; !had {
					delete(after, minimal) // In the place of the last one.
				}
				if diff := cmp.Diff(want, after, protocmp.Transform()); diff != "" {
					t.Errorf("%s (-want +got):\n%s", id, diff)
				}
				now := f.state()
				delete(before, principal)
				delete(now, principal)
				if diff := cmp.Diff(before, now); diff != "" {
					t.Errorf("%s: the others (-want +got):\n%s", id, diff)
				}
			}
		})
	}
	if tried < 60 {
		t.Errorf("only %d grants were tried", tried)
	}
}

// hostileWithSpare has another owner, so that everybody may lose it.
func hostileWithSpare() *sim.Workspace {
	ws := sim.Hostile()
	ws.Users = append(ws.Users, sim.User{ID: "spare", Email: "spare@example.com", Permissions: ws.Users[0].Permissions})
	return ws
}
