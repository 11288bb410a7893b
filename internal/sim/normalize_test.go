package sim

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// shownPermissions returns the permissions of an answer in one line: an entry for each,
// with its fields that are not the usual ones.
func shownPermissions(t *testing.T, w rawClient, a response) string {
	t.Helper()
	holder := a.Data
	for _, key := range []string{"user", "userGroup"} {
		if inner, isObject := a.Data[key].(map[string]any); isObject {
			holder = inner
		}
	}
	all, there := holder["permissions"]
	if !there {
		return "none"
	}
	var entries []string
	for _, p := range objects(t, all) {
		names := map[any]string{roleSourceAdmin: "admin", roleSourceReadOnly: "reader", roleMinimal: "minimal"}
		entry := names[p["roleId"]] + unusual(p, "roleId", "roleName", "resources")
		for _, r := range objects(t, p["resources"]) {
			id := strings.ReplaceAll(toJSON(t, r["id"]), w.server.Workspace().ID, "all")
			entry += " " + strings.Trim(id, `"`) + unusual(r, "id", "type", "labels")
			if r["labels"] == nil {
				entry += "=null"
				continue
			}
			for _, l := range objects(t, r["labels"]) {
				entry += "/" + strings.Trim(toJSON(t, l["value"]), `"`) + unusual(l, "key", "value")
			}
		}
		entries = append(entries, entry)
	}
	return strings.Join(entries, ", ")
}

// unusual returns the names of fields that are not among the usual ones.
func unusual(object map[string]any, usual ...string) string {
	var names []string
	for name := range object {
		if !slices.Contains(usual, name) {
			names = append(names, "+"+name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, "")
}

func objects(t *testing.T, list any) []map[string]any {
	t.Helper()
	rows, isList := list.([]any)
	if !isList {
		t.Fatalf("%v is not a list", list)
	}
	return mapSlice(rows, func(row any) map[string]any {
		object, isObject := row.(map[string]any)
		if !isObject {
			t.Fatalf("%v is not an object", row)
		}
		return object
	})
}

// normalized returns a workspace with one user and one group, both of the id x. Each
// holds the role on two sources and on two labels. The user is in a group that reads
// source c.
func normalized() *Workspace {
	labels := []Label{{Key: "env", Value: "prod"}, {Key: "team", Value: "web"}}
	ws := Empty()
	labeled := scope(typeWorkspace, ws.ID)
	labeled.Labels = labels
	held := []Permission{on(roleSourceAdmin, scope(typeSource, "a"), scope(typeSource, "b"), labeled)}
	ws = oneOfEach(held...)
	ws.Labels = labels
	ws.Sources = []Source{{ID: "a"}, {ID: "b"}, {ID: "c"}}
	ws.Groups = append(ws.Groups, Group{ID: "y", Members: []string{"X@example.com"}, Permissions: []Permission{on(roleSourceReadOnly, scope(typeSource, "c"))}})
	return ws.clone()
}

// Each normalization has its effect on the state and on answers, for users and groups.
func TestWithNormalizing(t *testing.T) {
	t.Parallel()
	const (
		held     = "admin a b all/prod/web"
		posted   = held + ", reader all/prod"
		replaced = "reader all/prod"
	)
	for form, want := range map[Normalization]struct {
		// get is the detail at first, then the answers of POST and PUT follow, each with
		// the detail after it.
		get, post, getPosted, put, getPut string
		// group is the detail of the group at first, if it is not that of the user.
		group string
	}{
		"":                              {get: held, post: posted, getPosted: posted, put: replaced, getPut: replaced},
		NormalizePostDropsLabels:        {get: held, post: held + ", reader all", getPosted: held + ", reader all", put: replaced, getPut: replaced},
		NormalizePostAddsWorkspace:      {get: held, post: posted + " all", getPosted: posted + " all", put: replaced, getPut: replaced},
		NormalizePutDropsLabels:         {get: held, post: posted, getPosted: posted, put: "reader all", getPut: "reader all"},
		NormalizeAddsMinimal:            {get: held, post: posted + ", minimal all", getPosted: posted + ", minimal all", put: replaced + ", minimal all", getPut: replaced + ", minimal all"},
		NormalizeMergesRoles:            {get: held, post: posted, getPosted: posted, put: replaced, getPut: replaced},
		NormalizeSplitsResources:        {get: "admin a, admin b, admin all/prod/web", post: "admin a, admin b, admin all/prod/web, reader all/prod", getPosted: "admin a, admin b, admin all/prod/web, reader all/prod", put: replaced, getPut: replaced},
		NormalizeReverses:               {get: "admin all/web/prod b a", post: "reader all/prod, admin all/web/prod b a", getPosted: "reader all/prod, admin all/web/prod b a", put: replaced, getPut: replaced},
		NormalizeNullLabels:             {get: "admin a=null b=null all/prod/web", post: "admin a=null b=null all/prod/web, reader all/prod", getPosted: "admin a=null b=null all/prod/web, reader all/prod", put: replaced, getPut: replaced},
		NormalizeUnknownPermissionField: {get: "admin+expiresAt a b all/prod/web", post: "admin+expiresAt a b all/prod/web, reader all/prod", getPosted: "admin+expiresAt a b all/prod/web, reader all/prod", put: replaced, getPut: replaced},
		NormalizeUnknownResourceField:   {get: "admin a+condition b+condition all+condition/prod/web", post: "admin a+condition b+condition all+condition/prod/web, reader all/prod", getPosted: "admin a+condition b+condition all+condition/prod/web, reader all/prod", put: replaced, getPut: replaced},
		NormalizeUnknownLabelField:      {get: "admin a b all/prod+source/web+source", post: "admin a b all/prod+source/web+source, reader all/prod", getPosted: "admin a b all/prod+source/web+source, reader all/prod", put: replaced, getPut: replaced},
		NormalizeKnownFields: {
			get:       "admin+policyId+subjectId+subjectType a b all/prod+description/web+description",
			post:      "admin a b all/prod+description/web+description, reader all/prod+description",
			getPosted: "admin+policyId+subjectId+subjectType a b all/prod+description/web+description, reader+policyId+subjectId+subjectType all/prod+description",
			put:       "reader all/prod+description",
			getPut:    "reader+policyId+subjectId+subjectType all/prod+description",
		},
		NormalizeOmitsPermissions:      {get: "none", post: posted, getPosted: "none", put: replaced, getPut: "none"},
		NormalizeShowsGroupPermissions: {get: held + ", reader c", group: held, post: posted, getPosted: posted + ", reader c", put: replaced, getPut: replaced + ", reader c"},
	} {
		for _, kind := range []string{"users", "groups"} {
			for _, late := range []bool{false, true} {
				t.Run(strings.Join([]string{string(form), kind, map[bool]string{false: "at first", true: "set later"}[late]}, "/"), func(t *testing.T) {
					t.Parallel()
					var forms []Normalization
					if form != "" {
						forms = append(forms, form)
					}
					s := New(normalized(), WithNormalizing(forms...))
					if late {
						s = New(normalized())
						s.SetNormalizing(forms...)
					}
					w := newRawClient(t, s)
					show := func(method, path string) string {
						t.Helper()
						body := ""
						if method != http.MethodGet {
							body = `{"permissions":[{"roleId":"` + roleSourceReadOnly + `","expiresAt":"x","extra":{"x":1},"resources":[{"id":"` + s.Workspace().ID +
								`","type":"WORKSPACE","condition":"x","extra":{"x":1},"labelExtra":{"x":1},"labels":[{"key":"env","value":"prod"}]}]}]}`
						}
						shown := shownPermissions(t, w, w.want(t, http.StatusOK, method, path, body))
						if method == http.MethodPost {
							// The documented answer of POST has these fields.
							shown = strings.ReplaceAll(shown, "+policyId+subjectId+subjectType", "")
						}
						return shown
					}
					row := want
					if kind == "groups" && row.group != "" {
						row.get, row.getPosted, row.getPut = row.group, row.post, row.put
					}
					path := "/" + kind + "/x"
					equal(t, "detail", row.get, show(http.MethodGet, path))
					equal(t, "answer of POST", row.post, show(http.MethodPost, path+"/permissions"))
					equal(t, "detail after POST", row.getPosted, show(http.MethodGet, path))
					equal(t, "answer of PUT", row.put, show(http.MethodPut, path+"/permissions"))
					equal(t, "detail after PUT", row.getPut, show(http.MethodGet, path))
				})
			}
		}
	}
}

func TestSetNormalizing_WithoutAnyRemovesUnknownFields(t *testing.T) {
	t.Parallel()
	s := New(normalized(), WithNormalizing(Normalizations()...))
	if equalStates := toJSON(t, normalized()) == toJSON(t, s.Workspace()); equalStates {
		t.Error("there are no unknown fields")
	}
	s.SetNormalizing()
	equal(t, "state", normalized(), s.Workspace())
}

// Odd permissions are served as the state has them.
func TestOddPermissionsAreServed(t *testing.T) {
	t.Parallel()
	ws := normalized()
	ws.Users[0].Permissions = []Permission{
		on(roleSourceAdmin, scope(typeSource, "a")),
		{RoleID: roleSourceReadOnly, Resources: []Resource{}},
		on(roleSourceAdmin, scope(typeSource, "b")),
	}
	for form, want := range map[Normalization]string{
		NormalizeReverses:        "admin b, reader, admin a",
		NormalizeMergesRoles:     "admin a b, reader",
		NormalizeSplitsResources: "admin a, reader, admin b",
	} {
		s := New(ws, WithNormalizing(form))
		w := newRawClient(t, s)
		equal(t, string(form), want, shownPermissions(t, w, w.want(t, http.StatusOK, http.MethodGet, "/users/x", "")))
	}
	s := New(ws)
	s.Update(func(w *Workspace) { w.Users[0].Permissions[1].Extra = map[string]any{"custom": 1.0} })
	w := newRawClient(t, s)
	a := w.want(t, http.StatusOK, http.MethodGet, "/users/x", "")
	equal(t, "with a field of its own", "admin a, reader+custom, admin b", shownPermissions(t, w, a))
	s.SetNormalizing(NormalizeMergesRoles)
	a = w.want(t, http.StatusOK, http.MethodGet, "/users/x", "")
	equal(t, "merged", "admin a b, reader+custom", shownPermissions(t, w, a))
	// A copy of the state must not share the field.
	s.Workspace().Users[0].Permissions[1].Extra["custom"] = 2.0
	equal(t, "field", any(1.0), s.Workspace().Users[0].Permissions[1].Extra["custom"])
}

func TestKnownFields_KeepTheDescriptionOfALabel(t *testing.T) {
	t.Parallel()
	ws := normalized()
	ws.Users[0].Permissions[0].Resources[2].Labels[0].Description = "given"
	w := newRawClient(t, New(ws, WithNormalizing(NormalizeKnownFields)))
	a := w.want(t, http.StatusOK, http.MethodGet, "/users/x", "")
	if !strings.Contains(string(a.Raw), `"description":"given"`) || strings.Count(string(a.Raw), `"description"`) != 2 {
		t.Errorf("got %s", a.Raw)
	}
}

// A permission of an invite has no fields that no document knows.
func TestInvites_ExtraFieldsAreNotStored(t *testing.T) {
	t.Parallel()
	w := newRawClient(t, New(normalized()))
	w.want(t, http.StatusCreated, http.MethodPost, "/invites", `{"invites":[{"email":"new@example.com","permissions":[{"roleId":"`+roleSourceAdmin+
		`","extra":{"x":1},"resources":[{"id":"a","type":"SOURCE","extra":{"x":1},"labelExtra":{"x":1}}]}]}]}`)
	equal(t, "invite", []Permission{on(roleSourceAdmin, scope(typeSource, "a"))}, w.server.Workspace().Invites[0].Permissions)
}

func TestParseNormalizations(t *testing.T) {
	t.Parallel()
	got, err := ParseNormalizations("reverses, null-labels")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "two", []Normalization{NormalizeReverses, NormalizeNullLabels}, got)
	if got, err := ParseNormalizations(""); err != nil || got != nil {
		t.Errorf("none: %v, %v", got, err)
	}
	for _, bad := range []string{"reverse", "reverses,", " "} {
		if _, err := ParseNormalizations(bad); err == nil || !strings.Contains(err.Error(), "post-drops-labels") {
			t.Errorf("%q: error is %v", bad, err)
		}
	}
}

func TestChangeID_PermissionsFollow(t *testing.T) {
	t.Parallel()
	for name, ws := range map[string]*Workspace{"demo": Demo(), "hostile": Hostile()} {
		old := ws.ID
		// Only the type says that this is not the workspace.
		ws.Users[0].Permissions = append(ws.Users[0].Permissions, on(roleSourceAdmin, scope(typeSource, "other")))
		want := strings.ReplaceAll(toJSON(t, ws), `"id":"`+old+`"`, `"id":"new-id"`)
		if strings.Count(want, "new-id") < 3 {
			t.Errorf("%s has no permissions on the workspace", name)
		}
		same := &ws.Users[0].Permissions[len(ws.Users[0].Permissions)-1].Resources[0].ID
		*same = old
		ws.ChangeID("new-id")
		equal(t, name+": source of the same id", old, *same)
		*same = "other"
		equal(t, name, want, toJSON(t, ws))
	}
}

// Each array and object of a query can have each of the forms that official clients send.
func TestQueries_BothForms(t *testing.T) {
	t.Parallel()
	for _, form := range []string{".0", "[0]", "%5B0%5D"} {
		second := strings.ReplaceAll(form, "0", "1")
		for _, path := range []string{"/users?userIds", "/invites?emails", "/group/g/users?emails"} {
			ws := Empty()
			ws.Users = []User{{ID: "a", Email: "a@example.com"}, {ID: "b", Email: "b@example.com"}, {ID: "c", Email: "c@example.com"}}
			ws.Invites = []Invite{{Email: "a"}, {Email: "b"}, {Email: "c"}}
			ws.Groups = []Group{{ID: "g", Members: []string{"a", "b", "c"}}}
			s := New(ws)
			_, name, _ := strings.Cut(path, "?")
			newRawClient(t, s).want(t, http.StatusOK, http.MethodDelete, path+form+"=a&"+name+second+"=b", "")
			left := s.Workspace()
			if rows := min(len(left.Users), len(left.Invites), len(left.Groups[0].Members)); rows != 1 {
				t.Errorf("%s with %s: %+v", path, form, left)
			}
		}
		w := newRawClient(t, New(Demo()))
		for _, bad := range []string{"userIds[0=a", "userIds[]=a", "userIds[x]=a", "userIds[0]=a&userIds.0=b", "userIds.0].=a"} {
			w.want(t, http.StatusUnprocessableEntity, http.MethodDelete, "/users?"+bad, "")
		}
	}
	ws := Demo()
	s := New(ws)
	w := newRawClient(t, s)
	for _, form := range []string{"pagination.count=1", "pagination[count]=1", "pagination%5Bcount%5D=1"} {
		for target, key := range pagedLists(ws) {
			separator := "?"
			if strings.Contains(target, "?") {
				separator = "&"
			}
			a := w.want(t, http.StatusOK, http.MethodGet, target+separator+form, "")
			if rows, isList := a.Data[key].([]any); !isList || len(rows) != 1 {
				t.Errorf("%s with %s: %s", target, form, a.Raw)
			}
		}
	}
}
