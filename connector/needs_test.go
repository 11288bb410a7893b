package connector

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/annotations"
	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/contract"
	"github.com/baton-segment/baton-segment/internal/sim"
)

// reading lists a type alone, in a sync without the others, and reads what its rows have.
func reading(typeID string) attempt {
	return func(ctx context.Context, f *fixture) (annotations.Annotations, error) {
		rows, err := f.listType(ctx, typeID)
		if err != nil {
			return nil, err
		}
		k := kindOf(typeID)
		if _, _, err = (typed{c: f.Connector, kind: k}).StaticEntitlements(ctx, f.opts()); err != nil {
			return nil, err
		}
		for _, r := range rows {
			if !k.perRow {
				continue
			}
			if _, err = f.entitlements(ctx, r); err != nil {
				return nil, err
			}
			if _, err = f.grants(ctx, r); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
}

// readingOne reads one row in a targeted sync.
func readingOne(resource string) attempt {
	return func(ctx context.Context, f *fixture) (annotations.Annotations, error) {
		id := principalOf(resource).GetId()
		r, err := f.get(ctx, id.GetResourceType(), id.GetResource())
		if err != nil || !kindOf(id.GetResourceType()).perRow {
			return nil, err
		}
		if _, err = f.entitlements(ctx, r); err != nil {
			return nil, err
		}
		_, err = f.grants(ctx, r)
		return nil, err
	}
}

func invitingWith(profile map[string]any) attempt {
	return func(ctx context.Context, f *fixture) (annotations.Annotations, error) {
		_, err := f.createAccount(ctx, accountInfo(profile))
		return nil, err
	}
}

// changing grants an entitlement to a user and a group, revokes it, and revokes it again.
func changing(entitlementID string) []attempt {
	var all []attempt
	for _, principal := range []string{"user:u2", "group:g2"} {
		all = append(all, func(ctx context.Context, f *fixture) (annotations.Annotations, error) {
			for _, do := range []attempt{
				granting(entitlementID, principal), revoking(entitlementID, principal), revoking(entitlementID, principal),
				// The last permission gives way to another.
				granting(entitlementID, principal), revoking("role:member:assigned", principal), revoking(entitlementID, principal),
			} {
				if annos, err := do(ctx, f); err != nil {
					return annos, err
				}
			}
			return nil, nil
		})
	}
	return all
}

// refused makes an attempt fail at one operation, after which it undoes what it has done.
func refused(operation string, do attempt) attempt {
	return func(ctx context.Context, f *fixture) (annotations.Annotations, error) {
		if err := f.sim.Inject(sim.Fault{Operation: operation, Kind: sim.FaultStatus, Status: 403}); err != nil {
			return nil, err
		}
		if _, err := do(ctx, f); err == nil {
			return nil, errors.New("it was not refused")
		}
		return nil, nil
	}
}

// The capabilities name exactly the requests that a sync of each type alone, a targeted
// sync and all changes send.
func TestNeeds(t *testing.T) {
	t.Parallel()
	validator := must(contract.New())(t)
	requests := map[string]string{}
	for _, o := range validator.Operations() {
		requests[o.ID] = o.Method + " " + o.Path
	}
	for typeID, attempts := range map[string][]attempt{
		typeWorkspace: {
			readingOne("workspace:wksp"), granting("workspace:wksp:member", "user:u3"),
			revoking("workspace:wksp:member", "user:u1"), revoking("workspace:wksp:member", "user:u2"),
			refused("deleteUsers", revoking("workspace:wksp:member", "user:u2")),
		},
		typeUser: {readingOne("user:u5"), deleting("user:u1"), deleting("user:u2"), refused("deleteUsers", deleting("user:u2"))},
		typeInvite: {
			readingOne("invite:new@example.com"), deleting("invite:new@example.com"), inviting("some@example.com"), inviting("new@example.com"), inviting("bo@example.com"),
			invitingWith(map[string]any{"email": "other@example.com", "role": "Source Admin", "groups": []any{"Owners"}}),
		},
		typeGroup: append([]attempt(nil),
			readingOne("group:g1"), creatingGroup("Another"), deleting("group:g1"), deleting("group:g2"),
			granting("group:g2:member", "user:u2"), granting("group:g2:member", "invite:new@example.com"),
			revoking("group:g1:member", "user:u2"), revoking("group:g1:member", "invite:new@example.com")),
		typeRole: append(changing("role:src:assigned"),
			readingOne("role:src"), revoking("role:owner:assigned", "user:u1"), revoking("role:owner:assigned", "group:g1")),
		typeSource:    append(changing("source:src:src"), readingOne("source:src")),
		typeWarehouse: {readingOne("warehouse:w1")},
		typeFunction:  append(changing("function:f2:fn"), readingOne("function:f2")),
		typeSpace:     append(changing("space:spa_1:uni"), readingOne("space:spa_1")),
		typeLabel:     append(changing("label:env=prod:uni"), readingOne("label:env=prod")),
	} {
		t.Run(typeID, func(t *testing.T) {
			t.Parallel()
			sent := map[string]bool{}
			for _, do := range append(attempts, reading(typeID)) {
				synctest.Test(t, func(t *testing.T) {
					ws := writable()
					ws.Groups[0].Permissions = append(ws.Groups[0].Permissions, role("member"))
					ws.Users = append(ws.Users, sim.User{ID: "u5", Email: "eve@example.com", Permissions: []sim.Permission{
						{RoleID: "uni", Resources: []sim.Resource{{ID: "spa_1", Type: "SPACE"}}},
					}})
					f := newInMemoryFixture(t, ws)
					if _, err := do(t.Context(), f); err != nil {
						t.Error(err)
					}
					for operation := range f.requestCounts() {
						sent[requests[operation]] = true
					}
				})
			}
			var named []string
			annos := annotations.Annotations(kindOf(typeID).described().GetAnnotations())
			var needs v2.CapabilityPermissions
			if _, err := annos.Pick(&needs); err != nil {
				t.Fatal(err)
			}
			for _, p := range needs.GetPermissions() {
				named = append(named, p.GetPermission())
			}
			if diff := cmp.Diff(slices.Sorted(maps.Keys(sent)), slices.Sorted(slices.Values(named))); diff != "" {
				t.Errorf("requests (-sent +named):\n%s", diff)
			}
		})
	}
}
