package e2e

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// accountsWorkspace has groups that a profile can name, well or not.
func accountsWorkspace() *sim.Workspace {
	ws := provisioned()
	for id, name := range map[string]string{"g-twin-1": "Twins", "g-twin-2": "twins", "g-comma": "Sales, EMEA"} {
		ws.Groups = append(ws.Groups, sim.Group{ID: id, Name: name})
	}
	slices.SortFunc(ws.Groups, func(a, b sim.Group) int { return strings.Compare(a.ID, b.ID) })
	return ws
}

// inviting is the edit of an invite that gives a role on the workspace.
func inviting(email, roleID string, groups ...string) func(*sim.Workspace) {
	return func(ws *sim.Workspace) {
		ws.Invites = append(ws.Invites, sim.Invite{Email: email, Permissions: []sim.Permission{{RoleID: roleID, Resources: []sim.Resource{everywhere()}}}})
		for _, id := range groups {
			join(id, email)(ws)
		}
	}
}

// Who is asked for is invited once, with what the profile says, and nobody who
// is a member or invited already. What cannot be understood is refused before
// anything is sent.
func TestAccountsAreInvitedOnce(t *testing.T) {
	t.Parallel()
	synced := syncFile(t, serve(t, accountsWorkspace()))
	profile := func(text string) []string {
		return []string{"--create-account-login", "login", "--create-account-profile", text}
	}
	for name, c := range map[string]struct {
		args []string
		code codes.Code
		edit func(*sim.Workspace)
		says []string
	}{
		"login and profile": {args: profile(`{"email":"new@example.com"}`), edit: inviting("new@example.com", roleMinimal)},
		"login that is an address": {
			args: []string{"--create-account-login", "new@example.com"}, edit: inviting("new@example.com", roleMinimal),
		},
		"e-mail and profile": {
			args: []string{"--create-account-email", "new@example.com", "--create-account-profile", `{"role":"Source Admin"}`},
			edit: inviting("new@example.com", roleSource),
		},
		"login and e-mail": {
			args: []string{"--create-account-login", "login", "--create-account-email", "new@example.com"}, edit: inviting("new@example.com", roleMinimal),
		},
		// The SDK takes it for a sync.
		"e-mail alone": {args: []string{"--create-account-email", "new@example.com"}},
		"as an invite": {
			args: append(profile(`{"email":"new@example.com"}`), "--create-account-resource-type", typeInvite), edit: inviting("new@example.com", roleMinimal),
		},
		"characters to escape": {args: profile(`{"email":"o'new+x&y=1@example.com"}`), edit: inviting("o'new+x&y=1@example.com", roleMinimal)},
		"role by id":           {args: profile(`{"email":"new@example.com","role":"pii"}`), edit: inviting("new@example.com", rolePII)},
		"role in another case": {args: profile(`{"email":"new@example.com","role":"pii access"}`), edit: inviting("new@example.com", rolePII)},
		"groups by name and id": {
			args: profile(`{"email":"new@example.com","groups":["Members","g-twin-2","Sales, EMEA"]}`),
			edit: inviting("new@example.com", roleMinimal, "g-members", "g-twin-2", "g-comma"),
		},
		"groups in one text": {
			args: profile(`{"email":"new@example.com","groups":"members, Newcomers"}`), edit: inviting("new@example.com", roleMinimal, "g-members", groupNewcomer),
		},
		"invited before":                    {args: profile(`{"email":"Invited@example.com"}`)},
		"invited before, in another case":   {args: profile(`{"email":"INVITED@example.com"}`)},
		"invited before, now with a group":  {args: profile(`{"email":"invited@example.com","groups":["Members"]}`), edit: join("g-members", invited)},
		"a member":                          {args: profile(`{"email":"Newcomer@example.com"}`)},
		"a member, in another case":         {args: profile(`{"email":"NEWCOMER@EXAMPLE.COM"}`)},
		"a member is not put into a group":  {args: profile(`{"email":"holder@example.com","groups":["Members"]}`)},
		"no address":                        {args: profile(`{"email":"new at example.com"}`), code: codes.InvalidArgument, says: []string{"email"}},
		"address with a name":               {args: profile(`{"email":"New <new@example.com>"}`), code: codes.InvalidArgument, says: []string{"e-mail"}},
		"no e-mail":                         {args: profile(`{"role":"pii"}`), code: codes.InvalidArgument, says: []string{"email"}},
		"e-mail that is no text":            {args: profile(`{"email":7}`), code: codes.InvalidArgument, says: []string{"email", "text"}},
		"unknown role":                      {args: profile(`{"email":"new@example.com","role":"Source Amin"}`), code: codes.InvalidArgument, says: []string{"Source Amin", "Source Admin"}},
		"role that is no text":              {args: profile(`{"email":"new@example.com","role":["pii"]}`), code: codes.InvalidArgument, says: []string{"role", "text"}},
		"unknown group":                     {args: profile(`{"email":"new@example.com","groups":["Members","Nobody"]}`), code: codes.InvalidArgument, says: []string{"Nobody"}},
		"group of which there are two":      {args: profile(`{"email":"new@example.com","groups":["Twins"]}`), code: codes.InvalidArgument, says: []string{"Twins", "g-twin-1", "g-twin-2"}},
		"type that is not made by inviting": {args: append(profile(`{"email":"new@example.com"}`), "--create-account-resource-type", typeUser), code: codes.Unimplemented},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, accountsWorkspace(), synced)
			want := d.Workspace()
			if c.edit != nil {
				c.edit(want)
			}
			// Once more changes nothing.
			for range 2 {
				s := d.run(t, c.args...)
				d.check(t, s, c.code, stateOf(sim.New(want).Workspace()), c.args)
				if complaint := unclear(s.stderr, c.says); c.code != codes.OK && complaint != "" {
					t.Errorf("%s\n%s", complaint, s.stderr)
				}
				if writes := s.writes(); len(writes) > 0 && c.edit == nil {
					t.Errorf("wrote although there was nothing to do:\n%s", s.text())
				}
				c.edit = nil
			}
		})
	}
}

// Who accepts at once is a user, and the invite that is gone is not sent again.
func TestAccountThatIsAcceptedAtOnce(t *testing.T) {
	t.Parallel()
	ws := provisioned()
	d := newDesk(t, ws, syncFile(t, serve(t, ws)))
	if err := d.Before("listInvites", 2, func(ws *sim.Workspace) { ws.Accept("new@example.com", "u-new") }); err != nil {
		t.Fatal(err)
	}
	accepted := func(ws *sim.Workspace) {
		inviting("new@example.com", roleSource)(ws)
		ws.Accept("new@example.com", "u-new")
		join("g-members", "new@example.com")(ws)
	}
	args := []string{"--create-account-login", "new", "--create-account-profile", `{"email":"new@example.com","role":"src","groups":["g-members"]}`}
	want := d.Workspace()
	accepted(want)
	s := d.run(t, args...)
	d.check(t, s, codes.OK, stateOf(want), args)
	if n := len(s.writes()); n != 2 { // The invite, and the group.
		t.Errorf("%d writes:\n%s", n, s.text())
	}
	d.change(t, codes.OK, nil, args...)
}

// An account is made, shows up, is withdrawn, and is gone; users and groups go
// the same way. To remove what is not there any more is no error.
func TestAccountsAndGroupsAreRemoved(t *testing.T) {
	t.Parallel()
	ws := provisioned()
	d := newDesk(t, ws, syncFile(t, serve(t, ws)))
	const email = "Someone.New@example.com"
	args := []string{"--create-account-login", email, "--create-account-profile", `{"email":"` + email + `"}`}
	d.change(t, codes.OK, inviting(email, roleMinimal), args...)
	d.change(t, codes.OK, nil, args...)
	d.look(t) // The grant needs the invite in the file.
	d.change(t, codes.OK, join("g-members", email), grantArgs("group:g-members:member", typeInvite, email)...)
	if seen := d.look(t); !slices.Contains(seen, "group:g-members:member:invite:"+email) {
		t.Errorf("the invite is not shown in its group: %v", seen)
	}
	for _, c := range []struct {
		typeID, id string
		edit       func(*sim.Workspace)
	}{
		{typeInvite, email, func(ws *sim.Workspace) {
			ws.Invites = slices.DeleteFunc(ws.Invites, func(i sim.Invite) bool { return i.Email == email })
			leave("g-members", email)(ws)
		}},
		{typeUser, "u-ann", remove("u-ann")},
		{typeGroup, groupHolder, func(ws *sim.Workspace) {
			ws.Groups = slices.DeleteFunc(ws.Groups, func(g sim.Group) bool { return g.ID == groupHolder })
		}},
	} {
		first := d.change(t, codes.OK, c.edit, deleteArgs(c.typeID, c.id)...)
		again := d.change(t, codes.OK, nil, deleteArgs(c.typeID, c.id)...)
		t.Logf("deleting %s %s: %d requests, then %d", c.typeID, c.id, len(first.requests), len(again.requests))
	}
	d.look(t)
}
