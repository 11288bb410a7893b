package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// ownerThroughGroup returns a workspace whose only owner holds the role through a
// group.
func ownerThroughGroup() *sim.Workspace {
	ws := provisioned()
	ws.Users[0].Permissions[0].RoleID = roleMinimal
	ws.Groups = append(ws.Groups, sim.Group{
		ID: "g-owners", Name: "Owners", Members: []string{"olga@example.com", invited},
		Permissions: []sim.Permission{{RoleID: roleOwner, Resources: []sim.Resource{onWorkspace()}}},
	})
	return ws
}

// A change that must not be made is refused with an exit code and a sentence on
// what to do instead, and nothing is written. Each case is run several times,
// because the SDK's runner ends some failed runs with exit code 0.
func TestProvision_Refusals(t *testing.T) {
	t.Parallel()
	with := func(edits ...func(*sim.Workspace)) *sim.Workspace {
		ws := provisioned()
		for _, edit := range edits {
			edit(ws)
		}
		return ws
	}
	withoutMinimal := with(func(ws *sim.Workspace) {
		ws.Roles = slices.DeleteFunc(ws.Roles, func(r sim.Role) bool { return r.ID == roleMinimal })
	}, grantRole(typeUser, "u-ann", roleSource, onResource("SOURCE", "s1")))
	for name, c := range map[string]struct {
		ws *sim.Workspace
		// since is an edit made after the sync.
		since func(*sim.Workspace)
		args  []string
		code  codes.Code
		words []string
	}{
		"last owner loses the role": {
			ws: with(), args: []string{"--revoke-grant", "role:owner:assigned:user:u-owner"},
			code: codes.FailedPrecondition, words: []string{"owner", "another user first"},
		},
		"last owner is removed": {
			ws: with(), args: deleteArgs(typeUser, "u-owner"),
			code: codes.FailedPrecondition, words: []string{"owner", "another user first"},
		},
		"last owner's membership is revoked": {
			ws: with(), args: []string{"--revoke-grant", "workspace:ws:member:user:u-owner"},
			code: codes.FailedPrecondition, words: []string{"owner", "another user first"},
		},
		"last owner leaves the group that makes one": {
			ws: ownerThroughGroup(), args: []string{"--revoke-grant", "group:g-owners:member:user:u-owner"},
			code: codes.FailedPrecondition, words: []string{"owner", "another user first"},
		},
		"last owner through a group is removed": {
			ws: ownerThroughGroup(), args: deleteArgs(typeUser, "u-owner"),
			code: codes.FailedPrecondition, words: []string{"owner", "another user first"},
		},
		"last owners' group loses the role": {
			ws: ownerThroughGroup(), args: []string{"--revoke-grant", "role:owner:assigned:group:g-owners"},
			code: codes.FailedPrecondition, words: []string{"owner", "another user first"},
		},
		"last owners' group is deleted": {
			ws: ownerThroughGroup(), args: deleteArgs(typeGroup, "g-owners"),
			code: codes.FailedPrecondition, words: []string{"owner", "another user first"},
		},
		"other owner was removed since": {
			ws: with(grantRole(typeUser, "u-ann", roleOwner, onWorkspace())), since: removeUserByID("u-ann"),
			args: deleteArgs(typeUser, "u-owner"), code: codes.FailedPrecondition, words: []string{"owner"},
		},
		"group still gives the role": {
			ws:   with(addMember(groupNewcomer, "holder@example.com")),
			args: []string{"--revoke-grant", "function:f2:fn:user:" + userHolder},
			code: codes.FailedPrecondition, words: []string{"Newcomers", groupNewcomer, "take the user out"},
		},
		"several groups still give the role": {
			ws: with(), args: []string{"--revoke-grant", "role:minimal:assigned:user:u-ann"},
			code: codes.FailedPrecondition, words: []string{"Newcomers", "Holders", "Members"},
		},
		"last permission in a workspace without the minimal role": {
			ws: withoutMinimal, args: []string{"--revoke-grant", "source:s1:src:user:u-ann"},
			code: codes.FailedPrecondition, words: []string{"Minimal Workspace Access", "remove the user"},
		},
		"last permission, which is the minimal role": {
			ws: with(grantRole(typeUser, "u-ann", roleMinimal, onWorkspace())), args: []string{"--revoke-grant", "role:minimal:assigned:user:u-ann"},
			code: codes.FailedPrecondition, words: []string{"remove the user"},
		},
		"grant of a role to a deleted user": {
			ws: with(), since: removeUserByID(userNewcomer), args: grantArgs("source:s1:src", typeUser, userNewcomer),
			code: codes.NotFound, words: []string{userNewcomer, "sync again"},
		},
		"grant of a role to a deleted group": {
			ws: with(), since: func(ws *sim.Workspace) { ws.Groups = ws.Groups[1:] }, args: grantArgs("source:s1:src", typeGroup, groupNewcomer),
			code: codes.NotFound, words: []string{groupNewcomer, "sync again"},
		},
		"grant of a role on a deleted source": {
			ws: with(), since: func(ws *sim.Workspace) { ws.Sources = ws.Sources[1:] }, args: grantArgs("source:s1:src", typeUser, userNewcomer),
			code: codes.InvalidArgument, words: []string{"sync again"},
		},
		"membership for a deleted user": {
			ws: with(), since: removeUserByID(userNewcomer), args: grantArgs("group:g-members:member", typeUser, userNewcomer),
			code: codes.NotFound, words: []string{userNewcomer, "sync again"},
		},
		"membership for an invite that has expired": {
			ws: with(), since: func(ws *sim.Workspace) { ws.Invites = nil }, args: grantArgs("group:g-members:member", typeInvite, invited),
			code: codes.FailedPrecondition, words: []string{invited, "sync again"},
		},
		"membership for an invite that was accepted": {
			ws: with(), since: func(ws *sim.Workspace) { ws.Accept(invited, "u-joined") }, args: grantArgs("group:g-members:member", typeInvite, invited),
			code: codes.FailedPrecondition, words: []string{invited, "grant it to the user"},
		},
		"membership in a deleted group": {
			ws: with(), since: func(ws *sim.Workspace) { ws.Groups = ws.Groups[:2] }, args: grantArgs("group:g-members:member", typeUser, userNewcomer),
			code: codes.NotFound, words: []string{"g-members", "sync again"},
		},
		"revocation of a grant that never existed": {
			ws: with(), args: []string{"--revoke-grant", "source:s1:src:user:u-owner"}, code: codes.NotFound, words: []string{"not found"},
		},
		"source cannot be deleted": {
			ws: with(), args: deleteArgs(typeSource, "s1"), code: codes.Unimplemented, words: []string{typeSource},
		},
		"token may not write": {
			ws: with(), args: grantArgs("source:s1:src", typeUser, userNewcomer), code: codes.PermissionDenied, words: []string{"token's role", "Workspace Owner"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDeployment(t, c.ws, sharedSync(t, c.ws))
			if c.since != nil {
				d.Update(c.since)
			}
			if c.code == codes.PermissionDenied {
				if err := d.Inject(sim.Fault{Operation: "addPermissionsToUser", Kind: sim.FaultStatus, Status: http.StatusForbidden}); err != nil {
					t.Fatal(err)
				}
			}
			for range 5 {
				s := d.expectChange(t, c.code, nil, c.args...)
				if problem := unclear(s.stderr, c.words); problem != "" {
					t.Errorf("%s\n%s", problem, s.stderr)
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// Revoking a grant that does not exist any more succeeds without a write.
func TestRevoke_AlreadyGone(t *testing.T) {
	t.Parallel()
	ws := provisioned()
	addMember("g-members", invited)(ws)
	synced := sharedSync(t, ws)
	for name, c := range map[string]struct {
		since func(*sim.Workspace)
		grant string
	}{
		"user":                        {removeUserByID(userHolder), "source:s-gone:src:user:" + userHolder},
		"group":                       {func(ws *sim.Workspace) { ws.Groups = ws.Groups[2:] }, "source:s-gone:src:group:" + groupHolder},
		"member":                      {removeUserByID("u-ann"), "group:g-members:member:user:u-ann"},
		"its group":                   {func(ws *sim.Workspace) { ws.Groups = ws.Groups[:2] }, "group:g-members:member:user:u-ann"},
		"invite":                      {func(ws *sim.Workspace) { ws.Invites = nil; removeMember("g-members", invited)(ws) }, "group:g-members:member:invite:" + invited},
		"membership of the workspace": {removeUserByID(userHolder), "workspace:ws:member:user:" + userHolder},
		"permission": {
			revokeRole(typeUser, userHolder, roleSource, onResource("SOURCE", "s-gone")), "source:s-gone:src:user:" + userHolder,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDeployment(t, ws, synced)
			d.Update(c.since)
			d.expectChange(t, codes.OK, nil, "--revoke-grant", c.grant)
		})
	}
}

// A user whose last permission is revoked gets the minimal role in the same write.
// If a user holds a role directly and through a group, the direct one is revoked,
// and a second revocation is refused and names the group.
func TestRevoke_LastAndDirectPermission(t *testing.T) {
	t.Parallel()
	ws := provisioned()
	grantRole(typeUser, "u-ann", rolePII, onResource("SOURCE", "s1"))(ws)
	ws.Groups = append(ws.Groups, sim.Group{ID: "g-last", Name: "Last", Permissions: []sim.Permission{{RoleID: "fn", Resources: []sim.Resource{onResource("FUNCTION", "f1")}}}})
	d := newDeployment(t, ws, sharedSync(t, ws))
	const grant = "source:s1:pii:user:u-ann"
	d.expectChange(t, codes.OK, func(ws *sim.Workspace) {
		revokeRole(typeUser, "u-ann", rolePII, onResource("SOURCE", "s1"))(ws)
		grantRole(typeUser, "u-ann", roleMinimal, onWorkspace())(ws)
	}, "--revoke-grant", grant)
	s := d.expectChange(t, codes.FailedPrecondition, nil, "--revoke-grant", grant)
	if problem := unclear(s.stderr, []string{"Holders", groupHolder}); problem != "" {
		t.Errorf("%s\n%s", problem, s.stderr)
	}
	d.expectChange(t, codes.OK, func(ws *sim.Workspace) {
		revokeRole(typeGroup, "g-last", "fn", onResource("FUNCTION", "f1"))(ws)
		grantRole(typeGroup, "g-last", roleMinimal, onWorkspace())(ws)
	}, "--revoke-grant", "function:f1:fn:group:g-last")
	d.syncAndCompare(t)
}

// One of two owners can be removed: by role, membership, invite, or as a user.
func TestRevoke_OneOfTwoOwners(t *testing.T) {
	t.Parallel()
	ws := ownerThroughGroup()
	grantRole(typeUser, userNewcomer, roleOwner, onWorkspace())(ws)
	synced := sharedSync(t, ws)
	for name, c := range map[string]struct {
		args []string
		edit func(*sim.Workspace)
	}{
		"role":   {[]string{"--revoke-grant", "role:owner:assigned:user:" + userNewcomer}, revokeRole(typeUser, userNewcomer, roleOwner, onWorkspace())},
		"member": {[]string{"--revoke-grant", "group:g-owners:member:user:u-owner"}, removeMember("g-owners", "olga@example.com")},
		"invite": {[]string{"--revoke-grant", "group:g-owners:member:invite:" + invited}, removeMember("g-owners", invited)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDeployment(t, ws, synced)
			d.expectChange(t, codes.OK, c.edit, c.args...)
			d.expectChange(t, codes.OK, nil, c.args...)
		})
	}
	// The role is revoked first, because only that can be undone, and then the user is
	// removed.
	t.Run("user", func(t *testing.T) {
		t.Parallel()
		d := newDeployment(t, ws, synced)
		want := d.Workspace()
		removeUserByID(userNewcomer)(want)
		args := deleteArgs(typeUser, userNewcomer)
		s := d.run(t, args...)
		d.check(t, s, codes.OK, stateOf(want), args)
		t.Logf("removing one of two owners:\n%s", s.text())
	})
}

// If the answer to a write is lost or the write is refused once, the change is
// still made, the program ends with exit code 0, and a POST whose effect may have
// happened is not sent twice.
func TestProvision_LostAnswers(t *testing.T) {
	t.Parallel()
	base := provisioned()
	addMember("g-members", invited)(base)
	synced := sharedSync(t, base)
	source := onResource("SOURCE", "s1")
	changes := []struct {
		operation string
		args      []string
		edit      func(*sim.Workspace)
	}{
		{"addPermissionsToUser", grantArgs("source:s1:src", typeUser, userNewcomer), grantRole(typeUser, userNewcomer, roleSource, source)},
		{"addPermissionsToUserGroup", grantArgs("source:s1:src", typeGroup, groupNewcomer), grantRole(typeGroup, groupNewcomer, roleSource, source)},
		{"replacePermissionsForUser", []string{"--revoke-grant", "source:s-gone:src:user:" + userHolder}, revokeRole(typeUser, userHolder, roleSource, onResource("SOURCE", "s-gone"))},
		{
			"replacePermissionsForUserGroup",
			[]string{"--revoke-grant", "source:s-gone:src:group:" + groupHolder}, revokeRole(typeGroup, groupHolder, roleSource, onResource("SOURCE", "s-gone")),
		},
		{"addUsersToUserGroup", grantArgs("group:g-members:member", typeUser, userNewcomer), addMember("g-members", "Newcomer@example.com")},
		{"removeUsersFromUserGroup", []string{"--revoke-grant", "group:g-members:member:user:u-ann"}, removeMember("g-members", "ann@example.com")},
		{
			"createInvites", []string{"--create-account-login", "x", "--create-account-profile", `{"email":"new@example.com"}`},
			sendInvite("new@example.com", roleMinimal),
		},
		{"deleteInvites", deleteArgs(typeInvite, invited), func(ws *sim.Workspace) {
			ws.Invites = nil
			removeMember("g-members", invited)(ws)
		}},
		{"deleteUsers", deleteArgs(typeUser, "u-ann"), removeUserByID("u-ann")},
		{"deleteUserGroup", deleteArgs(typeGroup, groupHolder), func(ws *sim.Workspace) { ws.Groups = slices.Delete(ws.Groups, 1, 2) }},
	}
	faults := []struct {
		name  string
		fault sim.Fault
		// posts and others limit the requests of the operation by method. A POST that
		// took effect must not be repeated.
		posts, others int
	}{
		{"dropped after the effect", sim.Fault{Kind: sim.FaultDrop}, 1, 2},
		{"500 after the effect", sim.Fault{Kind: sim.FaultLateStatus}, 1, 1},
		{"502 after the effect", sim.Fault{Kind: sim.FaultLateStatus, Status: http.StatusBadGateway}, 1, 2},
		{"429 before", sim.Fault{Kind: sim.FaultStatus, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"1"}}}, 2, 2},
	}
	results := newTable("writes whose answer is lost", "operation", "fault", "requests of it", "requests")
	pool := newSubtestPool(t)
	for i, c := range changes {
		for j, f := range faults {
			pool.run(c.operation+"/"+f.name, func(t *testing.T) {
				d := newDeployment(t, base, synced)
				fault := f.fault
				fault.Operation, fault.Ordinal = c.operation, 1
				if err := d.Inject(fault); err != nil {
					t.Fatal(err)
				}
				want := d.Workspace()
				c.edit(want)
				s := d.run(t, c.args...)
				d.check(t, s, codes.OK, stateOf(want), c.args)
				posts, others := 0, 0
				for _, w := range s.writes() {
					switch {
					case w.Operation != c.operation:
						t.Errorf("another write: %s", w.Operation)
					case w.Method == http.MethodPost:
						posts++
					default:
						others++
					}
				}
				if posts > f.posts || others > f.others || posts+others == 0 {
					t.Errorf("sent %d times:\n%s", posts+others, s.text())
				}
				results.add(fmt.Sprintf("%02d %d", i, j), c.operation, f.name, fmt.Sprint(posts+others), fmt.Sprint(len(s.requests)))
			})
		}
	}
	pool.wait()
	results.log(t)
}

// An invite that Segment refuses is an error. The program does not repeat it; the
// next run sends it.
func TestCreateAccount_InviteRefused(t *testing.T) {
	t.Parallel()
	ws := provisioned()
	synced := sharedSync(t, ws)
	for name, fault := range map[string]sim.Fault{
		"500":   {Kind: sim.FaultStatus},
		"503":   {Kind: sim.FaultStatus, Status: http.StatusServiceUnavailable},
		"reset": {Kind: sim.FaultReset},
		"HTML":  {Kind: sim.FaultHTML},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDeployment(t, ws, synced)
			fault.Operation, fault.Ordinal = "createInvites", 1
			if err := d.Inject(fault); err != nil {
				t.Fatal(err)
			}
			args := []string{"--create-account-login", "x", "--create-account-profile", `{"email":"new@example.com"}`}
			want := d.Workspace()
			s := d.run(t, args...)
			code := codes.Unavailable
			if name == "500" {
				code = codes.Internal
			}
			d.check(t, s, code, stateOf(want), args)
			if n := len(s.writes()); n != 1 {
				t.Errorf("sent %d times:\n%s", n, s.text())
			}
			d.ClearFaults()
			d.expectChange(t, codes.OK, sendInvite("new@example.com", roleMinimal), args...)
		})
	}
}
