package e2e

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// accountsWorkspace has groups whose names in a profile are ambiguous or contain
// a comma.
func accountsWorkspace() *sim.Workspace {
	ws := provisioned()
	for id, name := range map[string]string{"g-twin-1": "Twins", "g-twin-2": "twins", "g-comma": "Sales, EMEA"} {
		ws.Groups = append(ws.Groups, sim.Group{ID: id, Name: name})
	}
	slices.SortFunc(ws.Groups, func(a, b sim.Group) int { return strings.Compare(a.ID, b.ID) })
	return ws
}

// sendInvite returns the edit of an invite with a role on the workspace.
func sendInvite(email, roleID string, groups ...string) func(*sim.Workspace) {
	return func(ws *sim.Workspace) {
		ws.Invites = append(ws.Invites, sim.Invite{Email: email, Permissions: []sim.Permission{{RoleID: roleID, Resources: []sim.Resource{onWorkspace()}}}})
		for _, id := range groups {
			addMember(id, email)(ws)
		}
	}
}

// An account is invited once, with the role and the groups of the profile, unless
// its e-mail is a member's or an invite's already. A profile that is not
// understood is refused before any request changes the workspace.
func TestCreateAccount(t *testing.T) {
	t.Parallel()
	synced := sharedSync(t, accountsWorkspace())
	profile := func(text string) []string {
		return []string{"--create-account-login", "login", "--create-account-profile", text}
	}
	for name, c := range map[string]struct {
		args  []string
		code  codes.Code
		edit  func(*sim.Workspace)
		words []string
	}{
		"login and profile": {args: profile(`{"email":"new@example.com"}`), edit: sendInvite("new@example.com", roleMinimal)},
		"login that is an address": {
			args: []string{"--create-account-login", "new@example.com"}, code: codes.InvalidArgument, words: []string{"email"},
		},
		"profile that is no JSON":        {args: profile(`not json`), code: codes.InvalidArgument, words: []string{"email", "JSON"}},
		"profile without the last brace": {args: profile(`{"email":"new@example.com"`), code: codes.InvalidArgument, words: []string{"email", "JSON"}},
		"e-mail, and a profile that is no JSON": {
			args: append(profile(`{"role":"PII Access"`), "--create-account-email", "new@example.com"), code: codes.InvalidArgument, words: []string{"JSON"},
		},
		"unknown key": {args: profile(`{"email":"new@example.com","rolle":"pii"}`), code: codes.InvalidArgument, words: []string{"rolle", "role"}},
		"login of another": {
			args: []string{"--create-account-login", "newcomer@example.com", "--create-account-profile", `{"email":"new@example.com"}`},
			code: codes.InvalidArgument, words: []string{"newcomer@example.com", "new@example.com"},
		},
		"e-mail and profile": {
			args: []string{"--create-account-email", "new@example.com", "--create-account-profile", `{"role":"Source Admin"}`},
			edit: sendInvite("new@example.com", roleSource),
		},
		"login and e-mail": {
			args: []string{"--create-account-login", "login", "--create-account-email", "new@example.com"}, edit: sendInvite("new@example.com", roleMinimal),
		},
		// The SDK runs a sync.
		"e-mail alone": {args: []string{"--create-account-email", "new@example.com"}},
		"as an invite": {
			args: append(profile(`{"email":"new@example.com"}`), "--create-account-resource-type", typeInvite), edit: sendInvite("new@example.com", roleMinimal),
		},
		"characters to escape": {args: profile(`{"email":"o'new+x&y=1@example.com"}`), edit: sendInvite("o'new+x&y=1@example.com", roleMinimal)},
		"role by id":           {args: profile(`{"email":"new@example.com","role":"pii"}`), edit: sendInvite("new@example.com", rolePII)},
		"role in another case": {args: profile(`{"email":"new@example.com","role":"pii access"}`), edit: sendInvite("new@example.com", rolePII)},
		"groups by name and id": {
			args: profile(`{"email":"new@example.com","groups":["Members","g-twin-2","Sales, EMEA"]}`),
			edit: sendInvite("new@example.com", roleMinimal, "g-members", "g-twin-2", "g-comma"),
		},
		"groups in one string": {
			args: profile(`{"email":"new@example.com","groups":"members, Newcomers"}`), edit: sendInvite("new@example.com", roleMinimal, "g-members", groupNewcomer),
		},
		"invited before":                    {args: profile(`{"email":"Invited@example.com"}`)},
		"invited before, in another case":   {args: profile(`{"email":"INVITED@example.com"}`)},
		"invited before, now with a group":  {args: profile(`{"email":"invited@example.com","groups":["Members"]}`), edit: addMember("g-members", invited)},
		"a member":                          {args: profile(`{"email":"Newcomer@example.com"}`)},
		"a member, in another case":         {args: profile(`{"email":"NEWCOMER@EXAMPLE.COM"}`)},
		"a member is not put into a group":  {args: profile(`{"email":"holder@example.com","groups":["Members"]}`)},
		"no address":                        {args: profile(`{"email":"new at example.com"}`), code: codes.InvalidArgument, words: []string{"email"}},
		"address with a name":               {args: profile(`{"email":"New <new@example.com>"}`), code: codes.InvalidArgument, words: []string{"e-mail"}},
		"no e-mail":                         {args: profile(`{"role":"pii"}`), code: codes.InvalidArgument, words: []string{"email"}},
		"e-mail that is no string":          {args: profile(`{"email":7}`), code: codes.InvalidArgument, words: []string{"email", "string"}},
		"unknown role":                      {args: profile(`{"email":"new@example.com","role":"Source Amin"}`), code: codes.InvalidArgument, words: []string{"Source Amin", "Source Admin"}},
		"role that is no string":            {args: profile(`{"email":"new@example.com","role":["pii"]}`), code: codes.InvalidArgument, words: []string{"role", "string"}},
		"unknown group":                     {args: profile(`{"email":"new@example.com","groups":["Members","Nobody"]}`), code: codes.InvalidArgument, words: []string{"Nobody"}},
		"group of which there are two":      {args: profile(`{"email":"new@example.com","groups":["Twins"]}`), code: codes.InvalidArgument, words: []string{"Twins", "g-twin-1", "g-twin-2"}},
		"type that is not made by inviting": {args: append(profile(`{"email":"new@example.com"}`), "--create-account-resource-type", typeUser), code: codes.Unimplemented},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDeployment(t, accountsWorkspace(), synced)
			want := d.Workspace()
			if c.edit != nil {
				c.edit(want)
			}
			// The second run changes nothing.
			for range 2 {
				s := d.run(t, c.args...)
				d.check(t, s, c.code, stateOf(sim.New(want).Workspace()), c.args)
				if problem := unclear(s.stderr, c.words); c.code != codes.OK && problem != "" {
					t.Errorf("%s\n%s", problem, s.stderr)
				}
				if writes := s.writes(); len(writes) > 0 && c.edit == nil {
					t.Errorf("wrote although nothing was to change:\n%s", s.text())
				}
				c.edit = nil
			}
		})
	}
}

// If an invite is accepted before it is read back, its user is the account, and
// no second invite is sent.
func TestCreateAccount_AcceptedImmediately(t *testing.T) {
	t.Parallel()
	ws := provisioned()
	d := newDeployment(t, ws, sharedSync(t, ws))
	if err := d.Before("listInvites", 2, func(ws *sim.Workspace) { ws.Accept("new@example.com", "u-new") }); err != nil {
		t.Fatal(err)
	}
	accepted := func(ws *sim.Workspace) {
		sendInvite("new@example.com", roleSource)(ws)
		ws.Accept("new@example.com", "u-new")
		addMember("g-members", "new@example.com")(ws)
	}
	args := []string{"--create-account-login", "new", "--create-account-profile", `{"email":"new@example.com","role":"src","groups":["g-members"]}`}
	want := d.Workspace()
	accepted(want)
	s := d.run(t, args...)
	d.check(t, s, codes.OK, stateOf(want), args)
	if n := len(s.writes()); n != 2 { // The invite, and the group.
		t.Errorf("%d writes:\n%s", n, s.text())
	}
	d.expectChange(t, codes.OK, nil, args...)
}

// Invites, users and groups are deleted. Deleting one that does not exist any more
// succeeds and changes nothing.
func TestDelete(t *testing.T) {
	t.Parallel()
	ws := provisioned()
	d := newDeployment(t, ws, sharedSync(t, ws))
	const email = "Someone.New@example.com"
	args := []string{"--create-account-login", email, "--create-account-profile", `{"email":"` + email + `"}`}
	d.expectChange(t, codes.OK, sendInvite(email, roleMinimal), args...)
	d.expectChange(t, codes.OK, nil, args...)
	d.syncAndCompare(t) // A grant needs the invite in the file.
	d.expectChange(t, codes.OK, addMember("g-members", email), grantArgs("group:g-members:member", typeInvite, email)...)
	if ids := d.syncAndCompare(t); !slices.Contains(ids, "group:g-members:member:invite:"+email) {
		t.Errorf("the invite is not shown in its group: %v", ids)
	}
	for _, c := range []struct {
		typeID, id string
		edit       func(*sim.Workspace)
	}{
		{typeInvite, email, func(ws *sim.Workspace) {
			ws.Invites = slices.DeleteFunc(ws.Invites, func(i sim.Invite) bool { return i.Email == email })
			removeMember("g-members", email)(ws)
		}},
		{typeUser, "u-ann", removeUserByID("u-ann")},
		{typeGroup, groupHolder, func(ws *sim.Workspace) {
			ws.Groups = slices.DeleteFunc(ws.Groups, func(g sim.Group) bool { return g.ID == groupHolder })
		}},
	} {
		first := d.expectChange(t, codes.OK, c.edit, deleteArgs(c.typeID, c.id)...)
		again := d.expectChange(t, codes.OK, nil, deleteArgs(c.typeID, c.id)...)
		t.Logf("deleting %s %s: %d requests, then %d", c.typeID, c.id, len(first.requests), len(again.requests))
	}
	d.syncAndCompare(t)
}
