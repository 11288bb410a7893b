package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// lonelyOwner is a workspace whose only owner is one through a group.
func lonelyOwner() *sim.Workspace {
	ws := provisioned()
	ws.Users[0].Permissions[0].RoleID = roleMinimal
	ws.Groups = append(ws.Groups, sim.Group{
		ID: "g-owners", Name: "Owners", Members: []string{"olga@example.com", invited},
		Permissions: []sim.Permission{{RoleID: roleOwner, Resources: []sim.Resource{everywhere()}}},
	})
	return ws
}

// A change that must not be made is refused with a code and a sentence that
// says what to do instead, and nothing is written. The SDK's runner now and
// then ends with 0 although it failed, so once proves nothing.
func TestChangesThatMustNotBe(t *testing.T) {
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
	}, give(typeUser, "u-ann", roleSource, at("SOURCE", "s1")))
	for name, c := range map[string]struct {
		ws *sim.Workspace
		// since is what has happened to the workspace since it was synced.
		since func(*sim.Workspace)
		args  []string
		code  codes.Code
		says  []string
	}{
		"last owner loses the role": {
			ws: with(), args: []string{"--revoke-grant", "role:owner:assigned:user:u-owner"},
			code: codes.FailedPrecondition, says: []string{"owner", "somebody else first"},
		},
		"last owner is removed": {
			ws: with(), args: deleteArgs(typeUser, "u-owner"),
			code: codes.FailedPrecondition, says: []string{"owner", "somebody else first"},
		},
		"last owner's membership is revoked": {
			ws: with(), args: []string{"--revoke-grant", "workspace:ws:member:user:u-owner"},
			code: codes.FailedPrecondition, says: []string{"owner", "somebody else first"},
		},
		"last owner leaves the group that makes one": {
			ws: lonelyOwner(), args: []string{"--revoke-grant", "group:g-owners:member:user:u-owner"},
			code: codes.FailedPrecondition, says: []string{"owner", "somebody else first"},
		},
		"last owner through a group is removed": {
			ws: lonelyOwner(), args: deleteArgs(typeUser, "u-owner"),
			code: codes.FailedPrecondition, says: []string{"owner", "somebody else first"},
		},
		"last owners' group loses the role": {
			ws: lonelyOwner(), args: []string{"--revoke-grant", "role:owner:assigned:group:g-owners"},
			code: codes.FailedPrecondition, says: []string{"owner", "somebody else first"},
		},
		"last owners' group is deleted": {
			ws: lonelyOwner(), args: deleteArgs(typeGroup, "g-owners"),
			code: codes.FailedPrecondition, says: []string{"owner", "somebody else first"},
		},
		"other owner has gone since": {
			ws: with(give(typeUser, "u-ann", roleOwner, everywhere())), since: remove("u-ann"),
			args: deleteArgs(typeUser, "u-owner"), code: codes.FailedPrecondition, says: []string{"owner"},
		},
		"group still gives it": {
			ws:   with(join(groupNewcomer, "holder@example.com")),
			args: []string{"--revoke-grant", "function:f2:fn:user:" + userHolder},
			code: codes.FailedPrecondition, says: []string{"Newcomers", groupNewcomer, "take the user out"},
		},
		"several groups still give it": {
			ws: with(), args: []string{"--revoke-grant", "role:minimal:assigned:user:u-ann"},
			code: codes.FailedPrecondition, says: []string{"Newcomers", "Holders", "Members"},
		},
		"last permission where nothing can take its place": {
			ws: withoutMinimal, args: []string{"--revoke-grant", "source:s1:src:user:u-ann"},
			code: codes.FailedPrecondition, says: []string{"Minimal Workspace Access", "remove the user"},
		},
		"last permission, which is the least": {
			ws: with(give(typeUser, "u-ann", roleMinimal, everywhere())), args: []string{"--revoke-grant", "role:minimal:assigned:user:u-ann"},
			code: codes.FailedPrecondition, says: []string{"remove the user"},
		},
		"grant of a role to a user who has gone": {
			ws: with(), since: remove(userNewcomer), args: grantArgs("source:s1:src", typeUser, userNewcomer),
			code: codes.NotFound, says: []string{userNewcomer, "sync again"},
		},
		"grant of a role to a group that has gone": {
			ws: with(), since: func(ws *sim.Workspace) { ws.Groups = ws.Groups[1:] }, args: grantArgs("source:s1:src", typeGroup, groupNewcomer),
			code: codes.NotFound, says: []string{groupNewcomer, "sync again"},
		},
		"grant of a role on a source that has gone": {
			ws: with(), since: func(ws *sim.Workspace) { ws.Sources = ws.Sources[1:] }, args: grantArgs("source:s1:src", typeUser, userNewcomer),
			code: codes.InvalidArgument, says: []string{"sync again"},
		},
		"membership for a user who has gone": {
			ws: with(), since: remove(userNewcomer), args: grantArgs("group:g-members:member", typeUser, userNewcomer),
			code: codes.NotFound, says: []string{userNewcomer, "sync again"},
		},
		"membership for an invite that has expired": {
			ws: with(), since: func(ws *sim.Workspace) { ws.Invites = nil }, args: grantArgs("group:g-members:member", typeInvite, invited),
			code: codes.FailedPrecondition, says: []string{invited, "sync again"},
		},
		"membership for an invite that was accepted": {
			ws: with(), since: func(ws *sim.Workspace) { ws.Accept(invited, "u-joined") }, args: grantArgs("group:g-members:member", typeInvite, invited),
			code: codes.FailedPrecondition, says: []string{invited, "grant it to the user"},
		},
		"membership in a group that has gone": {
			ws: with(), since: func(ws *sim.Workspace) { ws.Groups = ws.Groups[:2] }, args: grantArgs("group:g-members:member", typeUser, userNewcomer),
			code: codes.NotFound, says: []string{"g-members", "sync again"},
		},
		"grant that never was": {
			ws: with(), args: []string{"--revoke-grant", "source:s1:src:user:u-owner"}, code: codes.NotFound, says: []string{"not found"},
		},
		"source cannot be deleted": {
			ws: with(), args: deleteArgs(typeSource, "s1"), code: codes.Unimplemented, says: []string{typeSource},
		},
		"token may not write": {
			ws: with(), args: grantArgs("source:s1:src", typeUser, userNewcomer), code: codes.PermissionDenied, says: []string{"token's role", "Workspace Owner"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, c.ws, syncFile(t, serve(t, c.ws)))
			if c.since != nil {
				d.Update(c.since)
			}
			if c.code == codes.PermissionDenied {
				if err := d.Inject(sim.Fault{Operation: "addPermissionsToUser", Kind: sim.FaultStatus, Status: http.StatusForbidden}); err != nil {
					t.Fatal(err)
				}
			}
			for range 5 {
				s := d.change(t, c.code, nil, c.args...)
				if complaint := unclear(s.stderr, c.says); complaint != "" {
					t.Errorf("%s\n%s", complaint, s.stderr)
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// What is gone already need not be taken away: no error, and no write.
func TestRevokingWhatHasGone(t *testing.T) {
	t.Parallel()
	ws := provisioned()
	join("g-members", invited)(ws)
	synced := syncFile(t, serve(t, ws))
	for name, c := range map[string]struct {
		since func(*sim.Workspace)
		grant string
	}{
		"user":         {remove(userHolder), "source:s-gone:src:user:" + userHolder},
		"group":        {func(ws *sim.Workspace) { ws.Groups = ws.Groups[2:] }, "source:s-gone:src:group:" + groupHolder},
		"member":       {remove("u-ann"), "group:g-members:member:user:u-ann"},
		"its group":    {func(ws *sim.Workspace) { ws.Groups = ws.Groups[:2] }, "group:g-members:member:user:u-ann"},
		"invite":       {func(ws *sim.Workspace) { ws.Invites = nil; leave("g-members", invited)(ws) }, "group:g-members:member:invite:" + invited},
		"user himself": {remove(userHolder), "workspace:ws:member:user:" + userHolder},
		"the role alone": {
			take(typeUser, userHolder, roleSource, at("SOURCE", "s-gone")), "source:s-gone:src:user:" + userHolder,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, ws, synced)
			d.Update(c.since)
			d.change(t, codes.OK, nil, "--revoke-grant", c.grant)
		})
	}
}

// Who loses the last permission gets the least that Segment has, in one write.
// Who holds something directly and through a group loses what is direct; what
// is left is the group's.
func TestRevokeOfTheLastAndOfTheDirectOne(t *testing.T) {
	t.Parallel()
	ws := provisioned()
	give(typeUser, "u-ann", rolePII, at("SOURCE", "s1"))(ws)
	ws.Groups = append(ws.Groups, sim.Group{ID: "g-last", Name: "Last", Permissions: []sim.Permission{{RoleID: "fn", Resources: []sim.Resource{at("FUNCTION", "f1")}}}})
	d := newDesk(t, ws, syncFile(t, serve(t, ws)))
	const grant = "source:s1:pii:user:u-ann"
	d.change(t, codes.OK, func(ws *sim.Workspace) {
		take(typeUser, "u-ann", rolePII, at("SOURCE", "s1"))(ws)
		give(typeUser, "u-ann", roleMinimal, everywhere())(ws)
	}, "--revoke-grant", grant)
	s := d.change(t, codes.FailedPrecondition, nil, "--revoke-grant", grant)
	if complaint := unclear(s.stderr, []string{"Holders", groupHolder}); complaint != "" {
		t.Errorf("%s\n%s", complaint, s.stderr)
	}
	d.change(t, codes.OK, func(ws *sim.Workspace) {
		take(typeGroup, "g-last", "fn", at("FUNCTION", "f1"))(ws)
		give(typeGroup, "g-last", roleMinimal, everywhere())(ws)
	}, "--revoke-grant", "function:f1:fn:group:g-last")
	d.look(t)
}

// Of two owners one may go, whichever way.
func TestOneOfTwoOwnersMayGo(t *testing.T) {
	t.Parallel()
	ws := lonelyOwner()
	give(typeUser, userNewcomer, roleOwner, everywhere())(ws)
	synced := syncFile(t, serve(t, ws))
	for name, c := range map[string]struct {
		args []string
		edit func(*sim.Workspace)
	}{
		"role":   {[]string{"--revoke-grant", "role:owner:assigned:user:" + userNewcomer}, take(typeUser, userNewcomer, roleOwner, everywhere())},
		"member": {[]string{"--revoke-grant", "group:g-owners:member:user:u-owner"}, leave("g-owners", "olga@example.com")},
		"invite": {[]string{"--revoke-grant", "group:g-owners:member:invite:" + invited}, leave("g-owners", invited)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, ws, synced)
			d.change(t, codes.OK, c.edit, c.args...)
			d.change(t, codes.OK, nil, c.args...)
		})
	}
	// Ownership is taken first, which can be given back, and then the user.
	t.Run("user", func(t *testing.T) {
		t.Parallel()
		d := newDesk(t, ws, synced)
		want := d.Workspace()
		remove(userNewcomer)(want)
		args := deleteArgs(typeUser, userNewcomer)
		s := d.run(t, args...)
		d.check(t, s, codes.OK, stateOf(want), args)
		t.Logf("removing one of two owners:\n%s", s.text())
	})
}

// Whatever becomes of an answer, the workspace ends as it was asked to, the
// program says so, and nothing is sent twice that must not be.
func TestChangesUnderFaults(t *testing.T) {
	t.Parallel()
	base := provisioned()
	join("g-members", invited)(base)
	synced := syncFile(t, serve(t, base))
	source := at("SOURCE", "s1")
	changes := []struct {
		operation string
		args      []string
		edit      func(*sim.Workspace)
	}{
		{"addPermissionsToUser", grantArgs("source:s1:src", typeUser, userNewcomer), give(typeUser, userNewcomer, roleSource, source)},
		{"addPermissionsToUserGroup", grantArgs("source:s1:src", typeGroup, groupNewcomer), give(typeGroup, groupNewcomer, roleSource, source)},
		{"replacePermissionsForUser", []string{"--revoke-grant", "source:s-gone:src:user:" + userHolder}, take(typeUser, userHolder, roleSource, at("SOURCE", "s-gone"))},
		{
			"replacePermissionsForUserGroup",
			[]string{"--revoke-grant", "source:s-gone:src:group:" + groupHolder}, take(typeGroup, groupHolder, roleSource, at("SOURCE", "s-gone")),
		},
		{"addUsersToUserGroup", grantArgs("group:g-members:member", typeUser, userNewcomer), join("g-members", "Newcomer@example.com")},
		{"removeUsersFromUserGroup", []string{"--revoke-grant", "group:g-members:member:user:u-ann"}, leave("g-members", "ann@example.com")},
		{
			"createInvites", []string{"--create-account-login", "x", "--create-account-profile", `{"email":"new@example.com"}`},
			inviting("new@example.com", roleMinimal),
		},
		{"deleteInvites", deleteArgs(typeInvite, invited), func(ws *sim.Workspace) {
			ws.Invites = nil
			leave("g-members", invited)(ws)
		}},
		{"deleteUsers", deleteArgs(typeUser, "u-ann"), remove("u-ann")},
		{"deleteUserGroup", deleteArgs(typeGroup, groupHolder), func(ws *sim.Workspace) { ws.Groups = slices.Delete(ws.Groups, 1, 2) }},
	}
	faults := []struct {
		name  string
		fault sim.Fault
		// posts and others are how many requests of the operation there may be: what
		// was done already must not be done again by a POST.
		posts, others int
	}{
		{"dropped after it was done", sim.Fault{Kind: sim.FaultDrop}, 1, 2},
		{"500 after it was done", sim.Fault{Kind: sim.FaultLateStatus}, 1, 1},
		{"502 after it was done", sim.Fault{Kind: sim.FaultLateStatus, Status: http.StatusBadGateway}, 1, 2},
		{"429 before", sim.Fault{Kind: sim.FaultStatus, Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"1"}}}, 2, 2},
	}
	results := newTable("writes whose answer is lost", "operation", "fault", "requests of it", "requests")
	rows := newCrowd(t)
	for i, c := range changes {
		for j, f := range faults {
			rows.run(c.operation+"/"+f.name, func(t *testing.T) {
				d := newDesk(t, base, synced)
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
	rows.wait()
	results.log(t)
}

// An invite that Segment has not taken is an error, and is not sent again but
// by whoever asks for it again.
func TestInviteThatIsNotTaken(t *testing.T) {
	t.Parallel()
	ws := provisioned()
	synced := syncFile(t, serve(t, ws))
	for name, fault := range map[string]sim.Fault{
		"500":   {Kind: sim.FaultStatus},
		"503":   {Kind: sim.FaultStatus, Status: http.StatusServiceUnavailable},
		"reset": {Kind: sim.FaultReset},
		"HTML":  {Kind: sim.FaultHTML},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, ws, synced)
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
			d.change(t, codes.OK, inviting("new@example.com", roleMinimal), args...)
		})
	}
}
