package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// A matrixRow is one entitlement of the matrix of types and principals.
type matrixRow struct {
	name        string
	entitlement string
	cells       []matrixCell
}

// A matrixCell grants an entitlement to one principal and revokes it from one. It
// is the same principal if the grant succeeds.
type matrixCell struct {
	principal string
	// to is the id of the principal of the grant, granted the exit code and
	// afterGrant the edit that is expected.
	to         string
	granted    codes.Code
	afterGrant func(*sim.Workspace)
	// from, revoked and afterRevoke are the same of the revocation. from is empty
	// if no principal of the type can hold the entitlement.
	from        string
	revoked     codes.Code
	afterRevoke func(*sim.Workspace)
}

// grantableRow is a row of a role on a scope that newcomers can be granted.
func grantableRow(name, entitlementID, roleID string, scope sim.Resource) matrixRow {
	row := matrixRow{name: name, entitlement: entitlementID}
	for principal, id := range map[string]string{typeUser: userNewcomer, typeGroup: groupNewcomer} {
		row.cells = append(row.cells, matrixCell{
			principal: principal, to: id, afterGrant: grantRole(principal, id, roleID, scope), from: id, afterRevoke: revokeRole(principal, id, roleID, scope),
		})
	}
	return row.refusedFor(typeInvite, invited, codes.FailedPrecondition)
}

// heldOnlyRow is a row that the holders have and newcomers are refused with a code.
// With the code OK, the holders are granted it again.
func heldOnlyRow(name, entitlementID, roleID string, scope sim.Resource, refusal codes.Code) matrixRow {
	row := matrixRow{name: name, entitlement: entitlementID}
	for principal, ids := range map[string][2]string{typeUser: {userNewcomer, userHolder}, typeGroup: {groupNewcomer, groupHolder}} {
		cell := matrixCell{principal: principal, to: ids[0], granted: refusal, from: ids[1], afterRevoke: revokeRole(principal, ids[1], roleID, scope)}
		if refusal == codes.OK {
			cell.to = cell.from
		}
		row.cells = append(row.cells, cell)
	}
	return row.refusedFor(typeInvite, invited, codes.FailedPrecondition)
}

// immutableRow is a row that holders have and that can be neither granted nor
// revoked.
func immutableRow(name, entitlementID string) matrixRow {
	row := heldOnlyRow(name, entitlementID, "", sim.Resource{}, codes.Unimplemented)
	for i := range row.cells {
		row.cells[i].granted, row.cells[i].revoked, row.cells[i].afterRevoke = codes.Unimplemented, codes.Unimplemented, nil
	}
	return row
}

// refusedFor adds a principal of a type that cannot hold the entitlement.
func (r matrixRow) refusedFor(principal, id string, refusal codes.Code) matrixRow {
	r.cells = append(r.cells, matrixCell{principal: principal, to: id, granted: refusal})
	slices.SortFunc(r.cells, func(a, b matrixCell) int { return strings.Compare(b.principal, a.principal) })
	return r
}

func matrix() []matrixRow {
	prod, growth := sim.Label{Key: "env", Value: "prod"}, sim.Label{Key: "team", Value: "growth"}
	long := labelSetID(longLabels())
	member := matrixRow{name: "group", entitlement: "group:g-members:member"}
	for principal, who := range map[string][2]string{typeUser: {userNewcomer, "Newcomer@example.com"}, typeInvite: {invited, invited}} {
		member.cells = append(member.cells, matrixCell{
			principal: principal, to: who[0], afterGrant: addMember("g-members", who[1]), from: who[0], afterRevoke: removeMember("g-members", who[1]),
		})
	}
	joined := matrixRow{name: "workspace", entitlement: "workspace:ws:member", cells: []matrixCell{
		{principal: typeUser, to: userNewcomer, from: "u-ann", afterRevoke: removeUserByID("u-ann")},
	}}
	return []matrixRow{
		grantableRow("role", "role:pii:assigned", rolePII, onWorkspace()),
		grantableRow("role, held on less before", "role:src:assigned", roleSource, onWorkspace()),
		grantableRow("source", "source:s1:src", roleSource, onResource("SOURCE", "s1")),
		grantableRow("function", "function:f1:fn", "fn", onResource("FUNCTION", "f1")),
		grantableRow("space", "space:spa_prefixed:uni", "uni", onResource("SPACE", "spa_prefixed")),
		grantableRow("space without prefix", "space:bare:uni", "uni", onResource("SPACE", "bare")),
		heldOnlyRow("space, held with a prefix", "space:bare:uni", "uni", onResource("SPACE", "spa_bare"), codes.OK),
		grantableRow("label", "label:env=prod:src", roleSource, onWorkspace(prod)),
		grantableRow("label to escape", "label:odd=100%25%3Da%2Cb%3Ac:uni", "uni", onWorkspace(oddLabel())),
		grantableRow("label set", "label:env=prod,team=growth:src", roleSource, onWorkspace(growth, prod)),
		heldOnlyRow("label set, long", "label:"+long+":src", roleSource, onWorkspace(longLabels()...), codes.FailedPrecondition),
		heldOnlyRow("label, gone", "label:gone=gone:src", roleSource, onWorkspace(sim.Label{Key: "gone", Value: "gone"}), codes.InvalidArgument),
		grantableRow("role on an unfit type", "source:s1:pii", rolePII, onResource("SOURCE", "s1")),
		heldOnlyRow("role not listed", "role:retired:assigned", roleRetired, onWorkspace(), codes.InvalidArgument),
		heldOnlyRow("role not listed on a source", "source:s1:retired", roleRetired, onResource("SOURCE", "s1"), codes.InvalidArgument),
		heldOnlyRow("role not listed on a label", "label:env=prod:retired", roleRetired, onWorkspace(prod), codes.InvalidArgument),
		heldOnlyRow("source, gone", "source:s-gone:src", roleSource, onResource("SOURCE", "s-gone"), codes.InvalidArgument),
		heldOnlyRow("function, gone", "function:f-gone:fn", "fn", onResource("FUNCTION", "f-gone"), codes.InvalidArgument),
		heldOnlyRow("space, gone", "space:spa_gone:uni", "uni", onResource("SPACE", "gone"), codes.InvalidArgument),
		member.refusedFor(typeGroup, groupNewcomer, codes.InvalidArgument),
		joined.refusedFor(typeGroup, groupNewcomer, codes.FailedPrecondition).refusedFor(typeInvite, invited, codes.FailedPrecondition),
		immutableRow("warehouse", "warehouse:w1:wh"),
		immutableRow("warehouse, gone", "warehouse:w-gone:wh"),
	}
}

// For every resource type and principal type, the program grants, grants again,
// shows the grant, revokes, revokes again, and no longer shows the grant. The
// first grant and revocation change nothing else in the workspace, the second
// ones change nothing.
func TestGrantRevoke_EveryTypeAndPrincipal(t *testing.T) {
	t.Parallel()
	synced := sharedSync(t, provisioned())
	results := newTable("types and principals", "on", "to", "grant", "requests", "again", "revoke", "requests", "again")
	pool := newSubtestPool(t)
	for i, row := range matrix() {
		pool.run(row.name, func(t *testing.T) {
			for j, line := range checkRow(t, newDeployment(t, provisioned(), synced), row) {
				results.add(fmt.Sprintf("%02d %d", i, j), line...)
			}
		})
	}
	pool.wait()
	results.log(t)
}

// checkRow checks all cells of a row with one workspace, and returns the lines of
// the table.
func checkRow(t *testing.T, d deployment, row matrixRow) [][]string {
	t.Helper()
	lines := make([][]string, len(row.cells))
	changed := false
	for i, c := range row.cells {
		args := grantArgs(row.entitlement, c.principal, c.to)
		first := d.expectChange(t, c.granted, c.afterGrant, args...)
		repeated := d.expectChange(t, c.granted, nil, args...)
		verdict := "granted"
		if c.granted != codes.OK {
			verdict = c.granted.String()
		} else if c.afterGrant == nil {
			verdict = "was held"
		}
		lines[i] = []string{row.name, c.principal, verdict, fmt.Sprint(len(first.requests)), fmt.Sprint(len(repeated.requests)), "-", "-", "-"}
		changed = changed || c.afterGrant != nil
	}
	var shown []string
	if changed {
		shown = d.syncAndCompare(t)
	} else {
		shown = d.shownGrants(t)
	}
	changed = false
	for i, c := range row.cells {
		if c.from == "" {
			continue
		}
		grantID := row.entitlement + ":" + c.principal + ":" + c.from
		if !slices.Contains(shown, grantID) {
			t.Errorf("%s is not shown", grantID)
		}
		first := d.expectChange(t, c.revoked, c.afterRevoke, "--revoke-grant", grantID)
		repeated := d.expectChange(t, c.revoked, nil, "--revoke-grant", grantID)
		verdict := "revoked"
		if c.revoked != codes.OK {
			verdict = c.revoked.String()
		}
		lines[i] = append(lines[i][:5], verdict, fmt.Sprint(len(first.requests)), fmt.Sprint(len(repeated.requests)))
		changed = changed || c.afterRevoke != nil
	}
	if !changed {
		return lines
	}
	shown = d.syncAndCompare(t)
	for _, c := range row.cells {
		if grantID := row.entitlement + ":" + c.principal + ":" + c.from; slices.Contains(shown, grantID) {
			t.Errorf("%s is still shown", grantID)
		}
	}
	return lines
}

// A revocation on one source leaves the same role on another source and on a label
// as it is.
func TestRevoke_OneScopeOfRole(t *testing.T) {
	t.Parallel()
	ws := provisioned()
	prod := sim.Label{Key: "env", Value: "prod"}
	*permissionsOf(ws, typeUser, "u-ann") = []sim.Permission{
		{RoleID: roleMinimal, Resources: []sim.Resource{onWorkspace()}},
		{RoleID: roleSource, Resources: []sim.Resource{onResource("SOURCE", "s1"), onResource("SOURCE", "s2"), onWorkspace(prod)}},
	}
	d := newDeployment(t, ws, sharedSync(t, ws))
	before := *permissionsOf(d.Workspace(), typeUser, "u-ann")
	s := d.expectChange(t, codes.OK, revokeRole(typeUser, "u-ann", roleSource, onResource("SOURCE", "s1")), "--revoke-grant", "source:s1:src:user:u-ann")
	after := *permissionsOf(d.Workspace(), typeUser, "u-ann")
	t.Logf("revoking Source Admin on s1\n\nbefore:\n%s\n\nrequests:\n%s\nafter:\n%s",
		strings.Join(permissionSet(before), "\n"), s.text(), strings.Join(permissionSet(after), "\n"))
	wantRequests := `getWorkspace GET / 200
getUser GET /users/u-ann 200
getUser GET /users/u-ann 200
replacePermissionsForUser PUT /users/u-ann/permissions 200
getUser GET /users/u-ann 200
getUser GET /users/u-ann 200
`
	if diff := cmp.Diff(wantRequests, s.text()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	want := []string{
		`minimal "" on WORKSPACE ws []`,
		`src "" on SOURCE s2 []`,
		`src "" on WORKSPACE ws [{"env" "prod" ""}]`,
	}
	if diff := cmp.Diff(want, permissionSet(after)); diff != "" {
		t.Errorf("permissions after the revocation (-want +got):\n%s", diff)
	}
}

// No permission is lost where Segment's POST replaces the permissions, and no edit
// of someone else during a grant or a revocation.
func TestGrantRevoke_KeepOtherPermissions(t *testing.T) {
	t.Parallel()
	synced := sharedSync(t, provisioned())
	source := onResource("SOURCE", "s1")
	for name, c := range map[string]struct {
		opts []sim.Option
		// Someone else makes edits[1] before this request of the operation.
		operation string
		ordinal   int
		args      []string
		edits     []func(*sim.Workspace)
	}{
		"POST replaces everything": {
			opts: []sim.Option{sim.WithPost(sim.PostReplaces)},
			args: grantArgs("source:s1:src", typeUser, userNewcomer), edits: []func(*sim.Workspace){grantRole(typeUser, userNewcomer, roleSource, source)},
		},
		"POST replaces the role": {
			opts: []sim.Option{sim.WithPost(sim.PostReplacesRole)},
			args: grantArgs("source:s1:src", typeGroup, groupNewcomer), edits: []func(*sim.Workspace){grantRole(typeGroup, groupNewcomer, roleSource, source)},
		},
		"someone else grants before a grant": {
			operation: "addPermissionsToUser", ordinal: 1, args: grantArgs("source:s1:src", typeUser, userNewcomer),
			edits: []func(*sim.Workspace){grantRole(typeUser, userNewcomer, roleSource, source), grantRole(typeUser, userNewcomer, rolePII, onWorkspace())},
		},
		"someone else grants before a revocation": {
			operation: "getUser", ordinal: 2, args: []string{"--revoke-grant", "source:s-gone:src:user:" + userHolder},
			edits: []func(*sim.Workspace){revokeRole(typeUser, userHolder, roleSource, onResource("SOURCE", "s-gone")), grantRole(typeUser, userHolder, "fn", onResource("FUNCTION", "f1"))},
		},
		"someone else revokes before a revocation": {
			operation: "getUserGroup", ordinal: 2, args: []string{"--revoke-grant", "source:s-gone:src:group:" + groupHolder},
			edits: []func(*sim.Workspace){revokeRole(typeGroup, groupHolder, roleSource, onResource("SOURCE", "s-gone")), revokeRole(typeGroup, groupHolder, roleRetired, source)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDeployment(t, provisioned(), synced, c.opts...)
			if c.operation != "" {
				if err := d.Before(c.operation, c.ordinal, c.edits[1]); err != nil {
					t.Fatal(err)
				}
			}
			want := d.Workspace()
			for _, edit := range c.edits {
				edit(want)
			}
			d.check(t, d.run(t, c.args...), codes.OK, stateOf(want), c.args)
		})
	}
}
