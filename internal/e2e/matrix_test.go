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

// A matrixCell is what comes of granting an entitlement to one principal and
// of revoking it from one, who is the same if the grant succeeds.
type matrixCell struct {
	principal string
	// to is who is granted it; granted is the exit code, and give the change.
	to      string
	granted codes.Code
	give    func(*sim.Workspace)
	// from is who it is revoked from, if anybody can hold it.
	from    string
	revoked codes.Code
	take    func(*sim.Workspace)
}

// onRole is a row of a role on a scope that newcomers can be granted.
func onRole(name, entitlementID, roleID string, scope sim.Resource) matrixRow {
	row := matrixRow{name: name, entitlement: entitlementID}
	for principal, id := range map[string]string{typeUser: userNewcomer, typeGroup: groupNewcomer} {
		row.cells = append(row.cells, matrixCell{
			principal: principal, to: id, give: give(principal, id, roleID, scope), from: id, take: take(principal, id, roleID, scope),
		})
	}
	return row.refusing(typeInvite, invited, codes.FailedPrecondition)
}

// heldOnly is a row that newcomers are refused with a code. The holders have
// it: to grant it to them once more is not refused.
func heldOnly(name, entitlementID, roleID string, scope sim.Resource, refusal codes.Code) matrixRow {
	row := matrixRow{name: name, entitlement: entitlementID}
	for principal, ids := range map[string][2]string{typeUser: {userNewcomer, userHolder}, typeGroup: {groupNewcomer, groupHolder}} {
		cell := matrixCell{principal: principal, to: ids[0], granted: refusal, from: ids[1], take: take(principal, ids[1], roleID, scope)}
		if refusal == codes.OK {
			cell.to = cell.from
		}
		row.cells = append(row.cells, cell)
	}
	return row.refusing(typeInvite, invited, codes.FailedPrecondition)
}

// immutable is a row that holders have and nobody can be granted or lose.
func immutable(name, entitlementID string) matrixRow {
	row := heldOnly(name, entitlementID, "", sim.Resource{}, codes.Unimplemented)
	for i := range row.cells {
		row.cells[i].granted, row.cells[i].revoked, row.cells[i].take = codes.Unimplemented, codes.Unimplemented, nil
	}
	return row
}

// refusing adds a principal that a type cannot have.
func (r matrixRow) refusing(principal, id string, refusal codes.Code) matrixRow {
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
			principal: principal, to: who[0], give: join("g-members", who[1]), from: who[0], take: leave("g-members", who[1]),
		})
	}
	joined := matrixRow{name: "workspace", entitlement: "workspace:ws:member", cells: []matrixCell{
		{principal: typeUser, to: userNewcomer, from: "u-ann", take: remove("u-ann")},
	}}
	return []matrixRow{
		onRole("role", "role:pii:assigned", rolePII, everywhere()),
		onRole("role, held on less before", "role:src:assigned", roleSource, everywhere()),
		onRole("source", "source:s1:src", roleSource, at("SOURCE", "s1")),
		onRole("function", "function:f1:fn", "fn", at("FUNCTION", "f1")),
		onRole("space", "space:spa_prefixed:uni", "uni", at("SPACE", "spa_prefixed")),
		onRole("space without prefix", "space:bare:uni", "uni", at("SPACE", "bare")),
		heldOnly("space, held with a prefix", "space:bare:uni", "uni", at("SPACE", "spa_bare"), codes.OK),
		onRole("label", "label:env=prod:src", roleSource, everywhere(prod)),
		onRole("label to escape", "label:odd=100%25%3Da%2Cb%3Ac:uni", "uni", everywhere(oddLabel())),
		onRole("label set", "label:env=prod,team=growth:src", roleSource, everywhere(growth, prod)),
		heldOnly("label set, long", "label:"+long+":src", roleSource, everywhere(longLabels()...), codes.FailedPrecondition),
		heldOnly("label, gone", "label:gone=gone:src", roleSource, everywhere(sim.Label{Key: "gone", Value: "gone"}), codes.InvalidArgument),
		onRole("role on an unfit type", "source:s1:pii", rolePII, at("SOURCE", "s1")),
		heldOnly("role not listed", "role:retired:assigned", roleRetired, everywhere(), codes.InvalidArgument),
		heldOnly("role not listed on a source", "source:s1:retired", roleRetired, at("SOURCE", "s1"), codes.InvalidArgument),
		heldOnly("role not listed on a label", "label:env=prod:retired", roleRetired, everywhere(prod), codes.InvalidArgument),
		heldOnly("source, gone", "source:s-gone:src", roleSource, at("SOURCE", "s-gone"), codes.InvalidArgument),
		heldOnly("function, gone", "function:f-gone:fn", "fn", at("FUNCTION", "f-gone"), codes.InvalidArgument),
		heldOnly("space, gone", "space:spa_gone:uni", "uni", at("SPACE", "gone"), codes.InvalidArgument),
		member.refusing(typeGroup, groupNewcomer, codes.InvalidArgument),
		joined.refusing(typeGroup, groupNewcomer, codes.FailedPrecondition).refusing(typeInvite, invited, codes.FailedPrecondition),
		immutable("warehouse", "warehouse:w1:wh"),
		immutable("warehouse, gone", "warehouse:w-gone:wh"),
	}
}

// For every type and every principal: grant, grant again, see it, revoke,
// revoke again, see it gone, with the program as a process. Each changes the
// workspace by exactly that much, or, the second time, not at all.
func TestMatrixOfTypesAndPrincipals(t *testing.T) {
	t.Parallel()
	synced := syncFile(t, serve(t, provisioned()))
	results := newTable("types and principals", "on", "to", "grant", "requests", "again", "revoke", "requests", "again")
	rows := newCrowd(t)
	for i, row := range matrix() {
		rows.run(row.name, func(t *testing.T) {
			for j, line := range checkRow(t, newDesk(t, provisioned(), synced), row) {
				results.add(fmt.Sprintf("%02d %d", i, j), line...)
			}
		})
	}
	rows.wait()
	results.log(t)
}

// checkRow goes through a row, all principals side by side, and returns its
// lines of the table.
func checkRow(t *testing.T, d desk, row matrixRow) [][]string {
	t.Helper()
	lines := make([][]string, len(row.cells))
	changed := false
	for i, c := range row.cells {
		args := grantArgs(row.entitlement, c.principal, c.to)
		first := d.change(t, c.granted, c.give, args...)
		again := d.change(t, c.granted, nil, args...)
		verdict := "granted"
		if c.granted != codes.OK {
			verdict = c.granted.String()
		} else if c.give == nil {
			verdict = "was held"
		}
		lines[i] = []string{row.name, c.principal, verdict, fmt.Sprint(len(first.requests)), fmt.Sprint(len(again.requests)), "-", "-", "-"}
		changed = changed || c.give != nil
	}
	var seen []string
	if changed {
		seen = d.look(t)
	} else {
		seen = d.shown(t)
	}
	changed = false
	for i, c := range row.cells {
		if c.from == "" {
			continue
		}
		grantID := row.entitlement + ":" + c.principal + ":" + c.from
		if !slices.Contains(seen, grantID) {
			t.Errorf("%s is not shown", grantID)
		}
		first := d.change(t, c.revoked, c.take, "--revoke-grant", grantID)
		again := d.change(t, c.revoked, nil, "--revoke-grant", grantID)
		verdict := "revoked"
		if c.revoked != codes.OK {
			verdict = c.revoked.String()
		}
		lines[i] = append(lines[i][:5], verdict, fmt.Sprint(len(first.requests)), fmt.Sprint(len(again.requests)))
		changed = changed || c.take != nil
	}
	if !changed {
		return lines
	}
	seen = d.look(t)
	for _, c := range row.cells {
		if grantID := row.entitlement + ":" + c.principal + ":" + c.from; slices.Contains(seen, grantID) {
			t.Errorf("%s is still shown", grantID)
		}
	}
	return lines
}

// One revocation among scopes of the same role: on another source and under a
// label it stays as it was.
func TestRevokeTakesOneScopeOfARole(t *testing.T) {
	t.Parallel()
	ws := provisioned()
	prod := sim.Label{Key: "env", Value: "prod"}
	*heldBy(ws, typeUser, "u-ann") = []sim.Permission{
		{RoleID: roleMinimal, Resources: []sim.Resource{everywhere()}},
		{RoleID: roleSource, Resources: []sim.Resource{at("SOURCE", "s1"), at("SOURCE", "s2"), everywhere(prod)}},
	}
	d := newDesk(t, ws, syncFile(t, serve(t, ws)))
	before := *heldBy(d.Workspace(), typeUser, "u-ann")
	s := d.change(t, codes.OK, take(typeUser, "u-ann", roleSource, at("SOURCE", "s1")), "--revoke-grant", "source:s1:src:user:u-ann")
	after := *heldBy(d.Workspace(), typeUser, "u-ann")
	t.Logf("revoking Source Admin on s1\n\nbefore:\n%s\n\nrequests:\n%s\nafter:\n%s",
		strings.Join(heldSet(before), "\n"), s.text(), strings.Join(heldSet(after), "\n"))
	wantRequests := `getUser GET /users/u-ann 200
getUser GET /users/u-ann 200
replacePermissionsForUser PUT /users/u-ann/permissions 200
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
	if diff := cmp.Diff(want, heldSet(after)); diff != "" {
		t.Errorf("what is held afterwards (-want +got):\n%s", diff)
	}
}

// Nothing is lost where Segment's POST replaces what is held, and nothing of what
// somebody else changes in the middle of it.
func TestNothingElseIsLost(t *testing.T) {
	t.Parallel()
	synced := syncFile(t, serve(t, provisioned()))
	source := at("SOURCE", "s1")
	for name, c := range map[string]struct {
		opts []sim.Option
		// somebody else edits before this request of the operation.
		operation string
		ordinal   int
		args      []string
		edits     []func(*sim.Workspace)
	}{
		"POST replaces everything": {
			opts: []sim.Option{sim.WithPost(sim.PostReplaces)},
			args: grantArgs("source:s1:src", typeUser, userNewcomer), edits: []func(*sim.Workspace){give(typeUser, userNewcomer, roleSource, source)},
		},
		"POST replaces the role": {
			opts: []sim.Option{sim.WithPost(sim.PostReplacesRole)},
			args: grantArgs("source:s1:src", typeGroup, groupNewcomer), edits: []func(*sim.Workspace){give(typeGroup, groupNewcomer, roleSource, source)},
		},
		"somebody else gives before a grant": {
			operation: "addPermissionsToUser", ordinal: 1, args: grantArgs("source:s1:src", typeUser, userNewcomer),
			edits: []func(*sim.Workspace){give(typeUser, userNewcomer, roleSource, source), give(typeUser, userNewcomer, rolePII, everywhere())},
		},
		"somebody else gives before a revocation": {
			operation: "getUser", ordinal: 2, args: []string{"--revoke-grant", "source:s-gone:src:user:" + userHolder},
			edits: []func(*sim.Workspace){take(typeUser, userHolder, roleSource, at("SOURCE", "s-gone")), give(typeUser, userHolder, "fn", at("FUNCTION", "f1"))},
		},
		"somebody else takes before a revocation": {
			operation: "getUserGroup", ordinal: 2, args: []string{"--revoke-grant", "source:s-gone:src:group:" + groupHolder},
			edits: []func(*sim.Workspace){take(typeGroup, groupHolder, roleSource, at("SOURCE", "s-gone")), take(typeGroup, groupHolder, rolePII, source)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, provisioned(), synced, c.opts...)
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
