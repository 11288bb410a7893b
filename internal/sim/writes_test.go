package sim

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The table has every refusal. None of them changes anything. A status that is not
// documented is an assumption, as the code states.
func TestRefusals(t *testing.T) {
	t.Parallel()
	ws := sampleWorkspace()
	user, group := "/users/sgJDWk3K21k6LE3tLU9nRK", "/groups/full"
	permission := func(role, kind, id, labels string) string {
		return fmt.Sprintf(`{"permissions":[{"roleId":%q,"resources":[{"id":%q,"type":%q,"labels":%s}]}]}`, role, id, kind, labels)
	}
	type refusal struct {
		status               int
		method, target, body string
	}
	refusals := []refusal{
		{404, "GET", "/users/none", ""},
		{404, "GET", "/users/none/groups", ""},
		{404, "GET", "/groups/none", ""},
		{404, "GET", "/groups/none/users", ""},
		{404, "GET", "/groups/none/invites", ""},
		{404, "GET", "/sources/none", ""},
		{404, "GET", "/warehouses/none", ""},
		{404, "GET", "/functions/none", ""},
		{404, "GET", "/spaces/none", ""},

		{422, "DELETE", "/users", ""},
		{422, "DELETE", "/users?userIds=sgJDWk3K21k6LE3tLU9nRK", ""},
		{422, "DELETE", "/users?userIds.x=sgJDWk3K21k6LE3tLU9nRK", ""},
		{422, "DELETE", "/users?userIds.0=", ""},
		{404, "DELETE", "/users?userIds.0=none", ""},
		{422, "DELETE", "/invites", ""},
		{404, "DELETE", "/invites?emails.0=none%40example.com", ""},
		{404, "DELETE", "/invites?emails.0=papi%40example.com", ""},

		{422, "POST", "/invites", ``},
		{422, "POST", "/invites", `[]`},
		{422, "POST", "/invites", `{"invites":[]}`},
		{422, "POST", "/invites", `{"invites":[{"email":"not an address"}]}`},
		{422, "POST", "/invites", `{"invites":[{"email":"Name <a@example.com>"}]}`},
		{422, "POST", "/invites", `{"invites":[{"email":"a@example.com","permissions":[{"roleId":"none"}]}]}`},
		{409, "POST", "/invites", `{"invites":[{"email":"a@example.com"},{"email":"Papi@Example.com"}]}`},
		{409, "POST", "/invites", `{"invites":[{"email":"a@example.com"},{"email":"FOO@example.com"}]}`},
		{409, "POST", "/invites", `{"invites":[{"email":"a@example.com"},{"email":"A@example.com"}]}`},

		{422, "POST", "/groups", `{"name":""}`},
		{422, "POST", "/groups", `not JSON`},
		{422, "PATCH", group, `{}`},
		{404, "PATCH", "/groups/none", `{"name":"x"}`},
		{404, "DELETE", "/groups/none", ""},
		{422, "POST", group + "/users", `{"emails":[]}`},
		{422, "POST", group + "/users", `{}`},
		{422, "POST", group + "/users", `{"emails":["papi@example.com","none@example.com"]}`},
		{404, "POST", "/groups/none/users", `{"emails":["papi@example.com"]}`},
		{422, "PUT", "/group/full/users", `{"emails":null}`},
		{422, "PUT", "/group/full/users", `{"emails":["none@example.com"]}`},
		{404, "PUT", "/group/none/users", `{"emails":[]}`},
		{422, "DELETE", "/group/full/users", ""},
		{404, "DELETE", "/group/full/users?emails.0=papi%40example.com", ""},
		{404, "DELETE", "/group/none/users?emails.0=papi%40example.com", ""},

		{409, "POST", "/labels", `{"label":{"key":"environment","value":"prod"}}`},
		{422, "POST", "/labels", `{"label":{"key":"1st","value":"prod"}}`},
		{422, "POST", "/labels", `{"label":{"key":"environment","value":""}}`},
		{422, "DELETE", "/labels/environment/prod", ""},
		{404, "DELETE", "/labels/environment/none", ""},
	}
	for _, subject := range []string{user, group} {
		for _, method := range []string{http.MethodPost, http.MethodPut} {
			for _, body := range []string{
				`{}`,
				`{"permissions":null}`,
				`{"permissions":[]}`,
				`{"permissions":[{"roleId":"` + roleOwner + `","resources":[]}]}`,
				permission("none", typeWorkspace, ws.ID, `[]`),
				permission(roleOwner, typeWorkspace, "none", `[]`),
				permission(roleOwner, typeSource, ws.ID, `[]`),
				permission(roleOwner, typeWarehouse, ws.Sources[0].ID, `[]`),
				permission(roleOwner, typeFunction, "none", `[]`),
				permission(roleOwner, typeSpace, "spa_none", `[]`),
				permission(roleOwner, "TRACKING_PLAN", "none", `[]`),
				permission(roleSourceAdmin, typeWorkspace, ws.ID, `[{"key":"environment","value":"none"}]`),
				permission(roleSourceAdmin, typeSource, ws.Sources[0].ID, `[{"key":"environment","value":"prod"}]`),
			} {
				refusals = append(refusals, refusal{422, method, subject + "/permissions", body})
			}
			kind, _, _ := strings.Cut(subject[1:], "/")
			refusals = append(refusals, refusal{404, method, "/" + kind + "/none/permissions", permission(roleOwner, typeWorkspace, ws.ID, `[]`)})
		}
	}
	for _, r := range refusals {
		s := New(ws)
		newRawClient(t, s).want(t, r.status, r.method, r.target, r.body)
		if diff := cmp.Diff(ws, s.Workspace()); diff != "" {
			t.Errorf("%s %s %s was refused and changed the state:\n%s", r.method, r.target, r.body, diff)
		}
	}
}

func TestRoutesThatDoNotExist(t *testing.T) {
	t.Parallel()
	w := newRawClient(t, New(Demo()))
	for _, r := range [][2]string{
		{"GET", "/nothing"}, {"GET", "//users"}, {"GET", "/users/"}, {"GET", "/users/../roles"},
		{"POST", "/users"}, {"PATCH", "/users"}, {"PUT", "/"}, {"HEAD", "/users"}, {"GET", "/v1/users"},
	} {
		w.want(t, http.StatusNotFound, r[0], r[1], "")
	}
	w.want(t, http.StatusOK, http.MethodGet, "", "")
}

func TestTokenIsRequired(t *testing.T) {
	t.Parallel()
	s := New(Demo(), WithToken("right"))
	w := newRawClient(t, s)
	for _, token := range []string{"", "wrong", "right "} {
		for _, target := range []string{"/", "/users", "/nothing"} {
			a := w.sendAs(t, token, http.MethodGet, target, "")
			if a.Status != http.StatusUnauthorized || a.Errors[0].Type == "" {
				t.Errorf("%s with token %q: %d %s", target, token, a.Status, a.Raw)
			}
		}
		w.sendAs(t, token, http.MethodDelete, "/users?userIds.0="+Demo().Users[0].ID, "")
	}
	equal(t, "state", Demo(), s.Workspace())
}

func TestTokens(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 3 {
		s := New(Empty())
		if seen[s.Token()] || !strings.Contains(s.Token(), DefaultToken) {
			t.Errorf("token is %q after %v", s.Token(), seen)
		}
		seen[s.Token()] = true
		w := newRawClient(t, s)
		w.want(t, http.StatusOK, http.MethodGet, "/users", "")
		equal(t, "status with another server's token", http.StatusUnauthorized, w.sendAs(t, DefaultToken, http.MethodGet, "/users", "").Status)
	}
	s := New(Empty(), WithToken("one"), WithTokens("two", "three"))
	equal(t, "token", "one", s.Token())
	w := newRawClient(t, s)
	for token, want := range map[string]int{"one": 200, "two": 200, "three": 200, "four": 401, "": 401} {
		equal(t, "status with "+token, want, w.sendAs(t, token, http.MethodGet, "/users", "").Status)
	}
}

func TestPathIDsAreUnescaped(t *testing.T) {
	t.Parallel()
	ws := sampleWorkspace()
	ws.Users[0].ID = "a/b c?d#é%"
	w := newRawClient(t, New(ws))
	a := w.want(t, http.StatusOK, http.MethodGet, "/users/"+url.PathEscape(ws.Users[0].ID), "")
	user, isObject := a.Data["user"].(map[string]any)
	if !isObject || user["id"] != ws.Users[0].ID {
		t.Errorf("got %s", a.Raw)
	}
}

func TestAddingPermissionsMerges(t *testing.T) {
	t.Parallel()
	ws := Demo()
	s := New(ws)
	w := newRawClient(t, s)
	// Nadia is Source Admin on environment:dev.
	i := slices.IndexFunc(ws.Users, func(u User) bool { return u.Name == "Nadia Rahman" })
	path := "/users/" + ws.Users[i].ID + "/permissions"
	source := Resource{ID: ws.Sources[0].ID, Type: typeSource}
	body := toJSON(t, permissionsInput{[]Permission{
		{RoleID: roleSourceAdmin, Resources: []Resource{source, {ID: ws.ID, Type: typeWorkspace}, source}},
		{RoleID: rolePIIAccess, Resources: []Resource{{ID: ws.ID, Type: typeWorkspace}}},
	}})
	want := []Permission{
		ws.Users[i].Permissions[0],
		{RoleID: roleSourceAdmin, Resources: []Resource{
			ws.Users[i].Permissions[1].Resources[0], source, {ID: ws.ID, Type: typeWorkspace},
		}},
		{RoleID: rolePIIAccess, Resources: []Resource{{ID: ws.ID, Type: typeWorkspace}}},
	}
	for range 2 {
		w.want(t, http.StatusOK, http.MethodPost, path, body)
		equal(t, "permissions", want, s.Workspace().Users[i].Permissions)
	}
}

// A permission that was read can be written back, even if no list has its role or its
// resource.
func TestHeldPermissionsCanBeWrittenBack(t *testing.T) {
	t.Parallel()
	ws := sampleWorkspace()
	ws.Users[0].Permissions = []Permission{{RoleID: "retired", Resources: []Resource{
		{ID: "deleted", Type: typeSource},
		{ID: "unheard-of", Type: "TRACKING_PLAN"},
		{ID: ws.ID, Type: typeWorkspace, Labels: []Label{{Key: "a", Value: "b"}, {Key: "c", Value: "d"}}},
	}}}
	s := New(ws)
	held := permissionsInput{clonePermissions(ws.Users[0].Permissions)}
	held.Permissions[0].Resources = held.Permissions[0].Resources[1:]
	newRawClient(t, s).want(t, http.StatusOK, http.MethodPut, "/users/"+ws.Users[0].ID+"/permissions", toJSON(t, held))
	equal(t, "permissions", held.Permissions, s.Workspace().Users[0].Permissions)
}

func TestDeletionsStopAtTheFirstUnknown(t *testing.T) {
	t.Parallel()
	ws := Demo()
	s := New(ws)
	w := newRawClient(t, s)
	first, last := ws.Users[3], ws.Users[5]
	// Indices are numbers: .2 comes before .10.
	w.want(t, http.StatusNotFound, http.MethodDelete, "/users?userIds.10="+last.ID+"&userIds.9=none&userIds.2="+first.ID, "")
	after := s.Workspace()
	byID := func(id string) func(User) bool { return func(u User) bool { return u.ID == id } }
	if slices.ContainsFunc(after.Users, byID(first.ID)) || !slices.ContainsFunc(after.Users, byID(last.ID)) {
		t.Error("not exactly the users before the unknown one are gone")
	}
	if slices.Contains(after.Groups[0].Members, first.Email) {
		t.Error("a removed user is still a member of a group")
	}
}

func TestNewGroupsHaveMinimalAccess(t *testing.T) {
	t.Parallel()
	s := New(Demo())
	w := newRawClient(t, s)
	ids := map[any]bool{}
	for range 3 {
		a := w.want(t, http.StatusOK, http.MethodPost, "/groups", `{"name":"Marketing"}`)
		group, isObject := a.Data["userGroup"].(map[string]any)
		if !isObject || group["permissions"] != nil || ids[group["id"]] {
			t.Fatalf("got %s", a.Raw)
		}
		ids[group["id"]] = true
	}
	groups := s.Workspace().Groups
	last := groups[len(groups)-1]
	equal(t, "permissions", []Permission{{RoleID: roleMinimal, Resources: []Resource{{ID: Demo().ID, Type: typeWorkspace}}}}, last.Permissions)
	// A second server over the state of the first one creates no existing id.
	again := New(s.Workspace())
	newRawClient(t, again).want(t, http.StatusOK, http.MethodPost, "/groups", `{"name":"Marketing"}`)
	checkState(t, again.Workspace())
}

func TestMembersAreKnownByTheWorkspacesSpelling(t *testing.T) {
	t.Parallel()
	ws := sampleWorkspace()
	s := New(ws)
	w := newRawClient(t, s)
	w.want(t, http.StatusOK, http.MethodPost, "/groups/full/users", `{"emails":["PAPI@example.com","papi@example.com","SLOTH@example.com"]}`)
	equal(t, "members", []string{"sloth@example.com", "foo@example.com", "papi@example.com"}, s.Workspace().Groups[1].Members)
	w.want(t, http.StatusOK, http.MethodDelete, "/group/full/users?emails.0=Sloth%40Example.com", "")
	w.want(t, http.StatusOK, http.MethodDelete, "/invites?emails.0=Foo%40Example.com", "")
	equal(t, "members", []string{"papi@example.com"}, s.Workspace().Groups[1].Members)
}

// In an invite labels are on the permission, but in a user they are on resources.
func TestInvitedPermissions(t *testing.T) {
	t.Parallel()
	ws := sampleWorkspace()
	s := New(ws)
	prod := []Label{{Key: "environment", Value: "prod"}}
	newRawClient(t, s).want(t, http.StatusCreated, http.MethodPost, "/invites", `{"invites":[{"email":"a@example.com","permissions":[
		{"roleId":"`+roleSourceAdmin+`","labels":[{"key":"environment","value":"prod"}]},
		{"roleId":"`+roleSourceReadOnly+`","resources":[{"id":"`+ws.Sources[0].ID+`","type":"SOURCE"}]}]}]}`)
	equal(t, "invite", Invite{Email: "a@example.com", Permissions: []Permission{
		{RoleID: roleSourceAdmin, Resources: []Resource{{ID: ws.ID, Type: typeWorkspace, Labels: prod}}},
		{RoleID: roleSourceReadOnly, Resources: []Resource{{ID: ws.Sources[0].ID, Type: typeSource}}},
	}}, s.Workspace().Invites[1])
}

// checkState reports states that no sequence of requests may lead to.
func checkState(t testingT, w *Workspace) {
	t.Helper()
	ids := map[string]bool{}
	known := map[string]bool{}
	unique := func(seen map[string]bool, what, key string) {
		if key == "" || seen[key] {
			t.Errorf("%s %q is empty or not unique", what, key)
		}
		seen[key] = true
	}
	checkPermissions := func(what string, ps []Permission) {
		roles := map[string]bool{}
		for _, p := range ps {
			unique(roles, what+": role", p.RoleID)
			scopes := map[string]bool{}
			for _, r := range p.Resources {
				unique(scopes, what+": scope", scopeKey(p.RoleID, r))
			}
			if len(p.Resources) == 0 {
				t.Errorf("%s: role %s on nothing", what, p.RoleID)
			}
		}
	}
	for _, u := range w.Users {
		unique(ids, "user", u.ID)
		unique(known, "e-mail", foldEmail(u.Email))
		checkPermissions(u.Email, u.Permissions)
	}
	for _, i := range w.Invites {
		unique(known, "e-mail", foldEmail(i.Email))
		checkPermissions(i.Email, i.Permissions)
	}
	for _, g := range w.Groups {
		unique(ids, "group", g.ID)
		checkPermissions(g.Name, g.Permissions)
		members := map[string]bool{}
		for _, m := range g.Members {
			unique(members, g.Name+": member", foldEmail(m))
			if !known[foldEmail(m)] {
				t.Errorf("group %s has the member %q, who is neither a user nor invited", g.Name, m)
			}
		}
	}
	labels := map[string]bool{}
	for _, l := range w.Labels {
		unique(labels, "label", l.Key+"="+l.Value)
	}
}

func scopeKey(role string, r Resource) string {
	labels := mapSlice(r.Labels, func(l Label) string { return l.Key + "=" + l.Value })
	slices.Sort(labels)
	return strings.Join(append([]string{role, r.Type, r.ID}, labels...), " ")
}

func scopeKeys(ps []Permission) map[string]bool {
	keys := map[string]bool{}
	for _, p := range ps {
		for _, r := range p.Resources {
			keys[scopeKey(p.RoleID, r)] = true
		}
	}
	return keys
}

// A writer draws requests, most of which are valid.
type writer struct {
	rawClient
	t *rapid.T
}

func (w writer) write() {
	before := w.server.Workspace()
	r := w.t
	email := rapid.Custom(func(r *rapid.T) string {
		pool := []string{"new@example.com", "other@example.com", "nobody@example.com"}
		for _, u := range before.Users[:min(4, len(before.Users))] {
			pool = append(pool, u.Email, strings.ToUpper(u.Email))
		}
		for _, i := range before.Invites {
			pool = append(pool, i.Email)
		}
		return rapid.SampledFrom(pool).Draw(r, "email")
	})
	emails := func() []string { return rapid.SliceOfN(email, 0, 3).Draw(r, "emails") }
	group := func() string {
		return rapid.SampledFrom(append(mapSlice(before.Groups, func(g Group) string { return g.ID }), "none")).Draw(r, "group")
	}
	user := func() string {
		return rapid.SampledFrom(append(mapSlice(before.Users, func(u User) string { return u.ID }), "none")).Draw(r, "user")
	}
	query := func(name string, values ...string) string {
		q := url.Values{}
		for i, v := range values {
			q.Set(fmt.Sprintf("%s.%d", name, i), v)
		}
		return "?" + q.Encode()
	}
	permissions := func() []Permission {
		resource := rapid.Custom(func(r *rapid.T) Resource {
			return rapid.SampledFrom([]Resource{
				{ID: before.ID, Type: typeWorkspace},
				{ID: before.ID, Type: typeWorkspace, Labels: before.Labels[:1]},
				{ID: before.ID, Type: typeWorkspace, Labels: before.Labels[:2]},
				{ID: before.Sources[0].ID, Type: typeSource},
				{ID: before.Sources[1].ID, Type: typeSource},
				{ID: before.Spaces[0].ID, Type: typeSpace},
			}).Draw(r, "resource")
		})
		return rapid.SliceOfN(rapid.Custom(func(r *rapid.T) Permission {
			return Permission{
				RoleID:    rapid.SampledFrom([]string{roleSourceAdmin, roleMinimal, roleEngageAdmin}).Draw(r, "role"),
				Resources: rapid.SliceOfN(resource, 1, 4).Draw(r, "resources"),
			}
		}), 0, 4).Draw(r, "permissions")
	}
	edit := func(method, path, id string, held []Permission) {
		asked := permissions()
		a := w.send(r, method, path+id+"/permissions", toJSON(r, permissionsInput{asked}))
		if a.Status != http.StatusOK {
			return
		}
		want := scopeKeys(asked)
		if method == http.MethodPost {
			for k := range scopeKeys(held) {
				want[k] = true
			}
		}
		equal(r, method+" "+path+id, want, scopeKeys(permissionsOf(w.server.Workspace(), id)))
	}
	switch rapid.IntRange(0, 9).Draw(r, "operation") {
	case 0:
		w.send(r, http.MethodDelete, "/users"+query("userIds", user()), "")
	case 1:
		invites := []map[string]string{}
		for _, e := range emails() {
			invites = append(invites, map[string]string{"email": e})
		}
		w.send(r, http.MethodPost, "/invites", toJSON(r, map[string]any{"invites": invites}))
	case 2:
		w.send(r, http.MethodDelete, "/invites"+query("emails", emails()...), "")
	case 3:
		w.send(r, http.MethodPost, "/groups", `{"name":"G"}`)
	case 4:
		w.send(r, http.MethodDelete, "/groups/"+group(), "")
	case 5:
		w.send(r, http.MethodPost, "/groups/"+group()+"/users", toJSON(r, emailsInput{emails()}))
	case 6:
		w.send(r, http.MethodPut, "/group/"+group()+"/users", toJSON(r, emailsInput{emails()}))
	case 7:
		w.send(r, http.MethodDelete, "/group/"+group()+"/users"+query("emails", emails()...), "")
	case 8:
		id := user()
		edit(rapid.SampledFrom([]string{http.MethodPost, http.MethodPut}).Draw(r, "method"), "/users/", id, permissionsOf(before, id))
	case 9:
		id := group()
		edit(rapid.SampledFrom([]string{http.MethodPost, http.MethodPut}).Draw(r, "method"), "/groups/", id, permissionsOf(before, id))
	}
}

func permissionsOf(w *Workspace, id string) []Permission {
	for _, u := range w.Users {
		if u.ID == id {
			return u.Permissions
		}
	}
	for _, g := range w.Groups {
		if g.ID == id {
			return g.Permissions
		}
	}
	return nil
}

// After any sequence of writes the state is valid, and reads return that state.
func TestWrites_AnySequenceLeavesAValidState(t *testing.T) {
	t.Parallel()
	start := Demo()
	start.Users = start.Users[:6]
	start.Groups = start.Groups[6:]
	for i := range start.Groups {
		start.Groups[i].Members = []string{start.Users[i].Email, start.Invites[0].Email}
	}
	contract := validator(t)
	rapid.Check(t, func(r *rapid.T) {
		s := New(start)
		w := writer{rawClient{s, contract}, r}
		for range rapid.IntRange(1, 15).Draw(r, "writes") {
			w.write()
			checkState(r, s.Workspace())
		}
		state := s.Workspace()
		for _, g := range state.Groups {
			var members []any
			for _, row := range w.readAll(r, "/groups/"+g.ID+"/users", "users", 1, "pagination.%s") {
				user, isObject := row.(map[string]any)
				if !isObject {
					r.Fatalf("user is %v", row)
				}
				members = append(members, user["email"])
			}
			members = append(members, w.readAll(r, "/groups/"+g.ID+"/invites", "emails", 2, "pagination.%s")...)
			if len(members) != len(g.Members) {
				r.Errorf("group %s shows %v, has %v", g.ID, members, g.Members)
			}
			for _, m := range g.Members {
				if !slices.Contains(members, any(m)) {
					r.Errorf("group %s does not show %s", g.ID, m)
				}
			}
		}
		for _, u := range state.Users {
			shown := len(w.readAll(r, "/users/"+u.ID+"/groups", "groups", 1, "pagination.%s"))
			has := 0
			for _, g := range state.Groups {
				if slices.Contains(g.Members, u.Email) {
					has++
				}
			}
			equal(r, u.Email+": groups", has, shown)
		}
	})
}
