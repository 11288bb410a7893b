package sim

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// readEverything calls every read operation for every row, compares each answer with
// the contract, and returns the number of answers.
func readEverything(t testingT, w rawClient, ws *Workspace) int {
	t.Helper()
	answers := 0
	detail := func(path, id string) {
		t.Helper()
		// A path cannot have an empty id.
		if id != "" {
			w.want(t, http.StatusOK, http.MethodGet, fmt.Sprintf(path, url.PathEscape(id)), "")
			answers++
		}
	}
	list := func(target, key string, want int) {
		t.Helper()
		rows := w.readAll(t, target, key, 7, "pagination.%s")
		if want >= 0 && len(rows) != want {
			t.Errorf("%s: %d rows, want %d", target, len(rows), want)
		}
		answers++
	}
	list("/users", "users", len(ws.Users))
	list("/groups", "userGroups", len(ws.Groups))
	list("/invites", "invites", len(ws.Invites))
	list("/roles", "roles", len(ws.Roles))
	list("/sources", "sources", len(ws.Sources))
	list("/warehouses", "warehouses", len(ws.Warehouses))
	list("/spaces", "spaces", len(ws.Spaces))
	for _, kind := range functionTypes() {
		list("/functions?resourceType="+kind, "functions", -1)
	}
	w.want(t, http.StatusOK, http.MethodGet, "/", "")
	w.want(t, http.StatusOK, http.MethodGet, "/labels", "")
	for _, u := range ws.Users {
		detail("/users/%s", u.ID)
		detail("/users/%s/groups", u.ID)
	}
	for _, g := range ws.Groups {
		detail("/groups/%s", g.ID)
		detail("/groups/%s/users", g.ID)
		detail("/groups/%s/invites", g.ID)
	}
	for _, s := range ws.Sources {
		detail("/sources/%s", s.ID)
	}
	for _, h := range ws.Warehouses {
		detail("/warehouses/%s", h.ID)
	}
	for _, f := range ws.Functions {
		detail("/functions/%s", f.ID)
	}
	for _, s := range ws.Spaces {
		detail("/spaces/%s", s.ID)
	}
	return answers
}

func TestEveryRowConforms(t *testing.T) {
	t.Parallel()
	sized := Sized(Size{
		Users: 40, Groups: 10, Sources: 10, Warehouses: 3, Functions: 10, Spaces: 3, Invites: 5, Labels: 6, MembersPerGroup: 8,
	})
	for name, ws := range map[string]*Workspace{"empty": Empty(), "demo": Demo(), "hostile": Hostile(), "sized": sized} {
		for options, opts := range map[string][]Option{
			"default":    nil,
			"null, full": {WithNext(NextNull), WithPermissionsInLists()},
		} {
			t.Run(name+"/"+options, func(t *testing.T) {
				t.Parallel()
				s := New(ws, opts...)
				answers := readEverything(t, newRawClient(t, s), ws)
				t.Logf("%d rows and lists read with %d requests", answers, len(s.Journal()))
				equal(t, "state after reading", ws, s.Workspace())
			})
		}
	}
}

// drawWorkspace draws any possible state, with any string in any field, rows that refer
// to nothing and repeated ids.
func drawWorkspace(r *rapid.T) *Workspace {
	text := rapid.OneOf(rapid.SampledFrom([]string{"", blank, unicodeName, "x", "\x00", "a%2Fb?&=", "\xff"}), rapid.String())
	id := rapid.StringMatching(`[a-zA-Z0-9_ %é]{1,20}`)
	label := rapid.Custom(func(r *rapid.T) Label {
		return Label{text.Draw(r, "key"), text.Draw(r, "value"), text.Draw(r, "description")}
	})
	labels := rapid.SliceOfN(label, 0, 3)
	kind := rapid.OneOf(rapid.SampledFrom([]string{typeWorkspace, typeSource, typeWarehouse, typeFunction, typeSpace, typeUnknown}), text)
	resource := rapid.Custom(func(r *rapid.T) Resource {
		return Resource{ID: text.Draw(r, "id"), Type: kind.Draw(r, "type"), Labels: labels.Draw(r, "labels")}
	})
	permission := rapid.Custom(func(r *rapid.T) Permission {
		return Permission{RoleID: text.Draw(r, "role"), RoleName: text.Draw(r, "role name"), Resources: rapid.SliceOfN(resource, 0, 3).Draw(r, "resources")}
	})
	permissions := rapid.SliceOfN(permission, 0, 3)
	name := rapid.Custom(func(r *rapid.T) *string { return rapid.Ptr(text, true).Draw(r, "name") })
	setting := rapid.OneOf(
		rapid.Just[any](nil), rapid.Just[any](1.5), rapid.Just[any]([]any{true, "x"}), rapid.Just[any](map[string]any{"name": "x"}),
		rapid.Custom(func(r *rapid.T) any { return text.Draw(r, "setting") }),
	)
	settings := rapid.MapOfN(rapid.SampledFrom([]string{"name", "password", ""}), setting, 0, 3)
	metadata := rapid.Custom(func(r *rapid.T) Metadata {
		return Metadata{text.Draw(r, "id"), text.Draw(r, "slug"), text.Draw(r, "name")}
	})
	w := &Workspace{
		ID: text.Draw(r, "workspace"), Slug: text.Draw(r, "slug"), Name: text.Draw(r, "workspace name"),
		Users: rapid.SliceOfN(rapid.Custom(func(r *rapid.T) User {
			return User{id.Draw(r, "id"), text.Draw(r, "name"), text.Draw(r, "email"), permissions.Draw(r, "permissions")}
		}), 0, 3).Draw(r, "users"),
		Groups: rapid.SliceOfN(rapid.Custom(func(r *rapid.T) Group {
			return Group{id.Draw(r, "id"), text.Draw(r, "name"), rapid.SliceOfN(text, 0, 3).Draw(r, "members"), permissions.Draw(r, "permissions")}
		}), 0, 3).Draw(r, "groups"),
		Roles: rapid.SliceOfN(rapid.Custom(func(r *rapid.T) Role {
			return Role{text.Draw(r, "id"), text.Draw(r, "name"), text.Draw(r, "description")}
		}), 0, 3).Draw(r, "roles"),
		Labels: labels.Draw(r, "labels"),
		Sources: rapid.SliceOfN(rapid.Custom(func(r *rapid.T) Source {
			return Source{
				id.Draw(r, "id"), text.Draw(r, "slug"), name.Draw(r, "name"), rapid.Bool().Draw(r, "enabled"),
				rapid.SliceOfN(text, 0, 2).Draw(r, "write keys"), metadata.Draw(r, "metadata"), settings.Draw(r, "settings"), labels.Draw(r, "labels"),
			}
		}), 0, 2).Draw(r, "sources"),
		Warehouses: rapid.SliceOfN(rapid.Custom(func(r *rapid.T) Warehouse {
			return Warehouse{id.Draw(r, "id"), rapid.Bool().Draw(r, "enabled"), metadata.Draw(r, "metadata"), settings.Draw(r, "settings")}
		}), 0, 2).Draw(r, "warehouses"),
		Functions: rapid.SliceOfN(rapid.Custom(func(r *rapid.T) Function {
			kind := rapid.OneOf(rapid.SampledFrom(functionTypes()), text).Draw(r, "kind")
			return Function{
				id.Draw(r, "id"), name.Draw(r, "name"), text.Draw(r, "description"), kind, text.Draw(r, "code"),
				rapid.SliceOfN(rapid.Custom(func(r *rapid.T) FunctionSetting {
					return FunctionSetting{Name: text.Draw(r, "name"), Type: text.Draw(r, "type")}
				}), 0, 2).Draw(r, "settings"),
			}
		}), 0, 3).Draw(r, "functions"),
		Spaces: rapid.SliceOfN(rapid.Custom(func(r *rapid.T) Space {
			return Space{id.Draw(r, "id"), text.Draw(r, "slug"), text.Draw(r, "name")}
		}), 0, 2).Draw(r, "spaces"),
	}
	for _, email := range rapid.SliceOfN(text, 0, 3).Draw(r, "invites") {
		w.Invites = append(w.Invites, Invite{email, permissions.Draw(r, "permissions")})
	}
	return w
}

func TestAnyStateConforms(t *testing.T) {
	t.Parallel()
	v := validator(t)
	rapid.Check(t, func(r *rapid.T) {
		ws := drawWorkspace(r)
		opts := rapid.SampledFrom([][]Option{nil, {WithPermissionsInLists()}}).Draw(r, "options")
		readEverything(r, rawClient{New(ws, opts...), v}, ws)
	})
}

// Other packages test odd states only with Hostile, so it must have all of them.
func TestHostile_HasEveryOddity(t *testing.T) {
	t.Parallel()
	w := Hostile()
	equal(t, "the next call", w, Hostile())
	if len(w.Users) > 30 {
		t.Errorf("%d users, want it small", len(w.Users))
	}
	long := longName()
	equal(t, "characters of a long name", 2000, utf8.RuneCountInString(long))

	names := map[string][]string{
		"user":      mapSlice(w.Users, func(u User) string { return u.Name }),
		"group":     mapSlice(w.Groups, func(g Group) string { return g.Name }),
		"role":      mapSlice(w.Roles, func(r Role) string { return r.Name }),
		"role text": mapSlice(w.Roles, func(r Role) string { return r.Description }),
		"space":     mapSlice(w.Spaces, func(s Space) string { return s.Name }),
		"source": mapSlice(w.Sources, func(s Source) string {
			if s.Name == nil {
				return "null"
			}
			return *s.Name
		}),
		"warehouse": mapSlice(w.Warehouses, func(h Warehouse) string { return fmt.Sprint(h.Settings["name"]) }),
		"function": mapSlice(w.Functions, func(f Function) string {
			if f.DisplayName == nil {
				return "null"
			}
			return *f.DisplayName
		}),
	}
	for what, have := range names {
		for _, name := range []string{"", blank, unicodeName, long} {
			if !slices.Contains(have, name) {
				t.Errorf("no %s is named %.20q", what, name)
			}
		}
	}

	user := func(id string) []Permission {
		t.Helper()
		i := slices.IndexFunc(w.Users, func(u User) bool { return u.ID == id })
		if i < 0 {
			t.Fatalf("no user %s", id)
		}
		return w.Users[i].Permissions
	}
	principals := slices.Concat(
		mapSlice(w.Users, func(u User) []Permission { return u.Permissions }),
		mapSlice(w.Groups, func(g Group) []Permission { return g.Permissions }),
	)
	// holders counts the principals with a matching scope.
	holders := func(matches func(Permission, Resource) bool) int {
		n := 0
		for _, ps := range principals {
			if slices.ContainsFunc(ps, func(p Permission) bool {
				return slices.ContainsFunc(p.Resources, func(r Resource) bool { return matches(p, r) })
			}) {
				n++
			}
		}
		return n
	}
	some := func(matches func(Permission, Resource) bool) bool { return holders(matches) > 0 }
	several := func(matches func(Permission, Resource) bool) bool { return holders(matches) > 1 }
	c := &call{version: &version{state: w}}
	defined := func(l Label) bool {
		return slices.ContainsFunc(w.Labels, func(k Label) bool { return k.Key == l.Key && k.Value == l.Value })
	}
	unlisted := func(p Permission) bool { return !has(c.index().roles, p.RoleID) && p.RoleID != "" }
	deleted := func(kind string) func(Permission, Resource) bool {
		return func(_ Permission, r Resource) bool { return r.Type == kind && r.ID != "" && !c.exists(r) }
	}
	onType := func(role, kind string) func(Permission, Resource) bool {
		return func(p Permission, r Resource) bool { return p.RoleID == role && r.Type == kind }
	}
	entry := func(matches func(Permission) bool) bool {
		return slices.ContainsFunc(principals, func(ps []Permission) bool { return slices.ContainsFunc(ps, matches) })
	}
	bare := func(p Permission) bool {
		return slices.ContainsFunc(p.Resources, func(r Resource) bool { return r.Type == typeWorkspace && len(r.Labels) == 0 })
	}
	folded := func(emails []string) int {
		seen := map[string]bool{}
		for _, email := range emails {
			seen[foldEmail(email)] = true
		}
		return len(seen)
	}
	userEmails := mapSlice(w.Users, func(u User) string { return u.Email })
	inviteEmails := mapSlice(w.Invites, func(i Invite) string { return i.Email })
	inAnotherCase := func(email string, among []string) bool {
		return !slices.Contains(among, email) && slices.ContainsFunc(among, func(a string) bool { return strings.EqualFold(a, email) })
	}
	member := func(g Group) func(string) bool {
		return func(email string) bool { return slices.Contains(g.Members, email) }
	}
	spaceForms := func(ids ...string) bool {
		held := map[string]bool{}
		for _, p := range user("user-spaces") {
			for _, r := range p.Resources {
				held[r.ID] = r.Type == typeSpace
			}
		}
		return !slices.ContainsFunc(ids, func(id string) bool { return !held[id] })
	}
	space := func(id string) bool { return slices.ContainsFunc(w.Spaces, func(s Space) bool { return s.ID == id }) }

	for what, there := range map[string]bool{
		"source with nothing but an id": slices.ContainsFunc(w.Sources, func(s Source) bool { return s.Name == nil && s.Slug == "" }),
		"source with an empty name":     slices.Contains(names["source"], ""),
		"function with a null name":     slices.Contains(names["function"], "null"),
		"warehouse without a name": slices.ContainsFunc(w.Warehouses, func(h Warehouse) bool {
			_, named := h.Settings["name"]
			return !named && h.Settings != nil
		}),
		"warehouse with another thing for a name": slices.ContainsFunc(w.Warehouses, func(h Warehouse) bool {
			_, isString := h.Settings["name"].(string)
			return !isString && h.Settings["name"] != nil
		}),
		"every type of function": !slices.ContainsFunc(functionTypes(), func(kind string) bool { return len(c.index().functionsOf[kind]) == 0 }),

		"warehouse whose name is JSON":    slices.Contains(names["warehouse"], `"Quoted \"Warehouse\" \u00e9"`),
		"warehouse whose name looks so":   slices.Contains(names["warehouse"], `"Open`),
		"group whose name is a formula":   slices.Contains(names["group"], formulaName),
		"role ids of two families":        has(c.index().roles, roleOtherFamilyMade) && has(c.index().roles, roleOwner),
		"thirteen roles":                  slices.ContainsFunc(principals, func(ps []Permission) bool { return len(ps) == 13 }),
		"three spaces in an entry":        entry(func(p Permission) bool { return len(p.Resources) == 3 && p.Resources[2].Type == typeSpace }),
		"Entities role on a space":        some(onType(roleOtherFamilyMade, typeSpace)),
		"accepted invite in another case": inAnotherCase("Thirteen-Roles@EXAMPLE.com", userEmails) && slices.Contains(inviteEmails, "Thirteen-Roles@EXAMPLE.com"),

		"label with an underscore":           slices.ContainsFunc(w.Labels, func(l Label) bool { return strings.Contains(l.Key, "_") }),
		"label to escape":                    slices.ContainsFunc(w.Labels, func(l Label) bool { return strings.ContainsAny(l.Value, "%") && strings.ContainsAny(l.Value, "=,:") }),
		"label that is defined twice":        slices.ContainsFunc(w.Labels, func(l Label) bool { return l.Key == "team" && l.Description == "First" }) && slices.ContainsFunc(w.Labels, func(l Label) bool { return l.Key == "team" && l.Description == "Second" }),
		"set of two labels":                  some(func(_ Permission, r Resource) bool { return len(r.Labels) == 2 }),
		"set of three labels":                some(func(_ Permission, r Resource) bool { return len(r.Labels) == 3 }),
		"set in two orders":                  some(func(_ Permission, r Resource) bool { return len(r.Labels) == 2 && r.Labels[0].Key == "team" }) && some(func(_ Permission, r Resource) bool { return len(r.Labels) == 2 && r.Labels[1].Key == "team" }),
		"label twice in a set":               some(func(_ Permission, r Resource) bool { return len(r.Labels) == 2 && r.Labels[0] == r.Labels[1] }),
		"label that is not defined":          some(func(_ Permission, r Resource) bool { return len(r.Labels) == 1 && !defined(r.Labels[0]) }),
		"label to escape in a permission":    some(func(_ Permission, r Resource) bool { return len(r.Labels) == 1 && r.Labels[0] == oddLabel() }),
		"labels on a source in a permission": some(func(_ Permission, r Resource) bool { return len(r.Labels) > 0 && r.Type == typeSource }),

		"deleted source of several":    several(deleted(typeSource)),
		"deleted function of several":  several(deleted(typeFunction)),
		"deleted space of several":     several(deleted(typeSpace)),
		"deleted warehouse of several": several(deleted(typeWarehouse)),
		"another workspace":            some(deleted(typeWorkspace)),
		"unknown type of several":      several(func(_ Permission, r Resource) bool { return r.Type == typeUnknown }),
		"no type":                      some(func(_ Permission, r Resource) bool { return r.Type == "" }),
		"listed warehouse":             some(func(_ Permission, r Resource) bool { return r.Type == typeWarehouse && c.exists(r) }),
		"unlisted role of several": several(func(p Permission, r Resource) bool {
			return unlisted(p) && r.Type == typeWorkspace && len(r.Labels) == 0
		}),
		"unlisted role on a source":         some(func(p Permission, r Resource) bool { return unlisted(p) && r.Type == typeSource && c.exists(r) }),
		"unlisted role on a label":          some(func(p Permission, r Resource) bool { return unlisted(p) && len(r.Labels) > 0 }),
		"unlisted role on a deleted source": some(func(p Permission, r Resource) bool { return unlisted(p) && r.Type == typeSource && !c.exists(r) }),
		"unlisted role without a name":      entry(func(p Permission) bool { return unlisted(p) && p.RoleName == "" }),
		"Source Admin on a function":        some(onType(roleSourceAdmin, typeFunction)),
		"Tracking Plan Admin on a source":   some(onType(roleTrackingAdmin, typeSource)),
		"Workspace Owner on a space":        some(onType(roleOwner, typeSpace)),
		"Identity Admin on a space":         some(onType(roleIdentityAdmin, typeSpace)),
		"plural role":                       some(onType("role-sources-plural", typeSource)) && some(onType("role-functions-plural", typeFunction)),
		"Personas":                          some(onType("role-personas", typeSpace)) && some(onType("role-personas-identity", typeWorkspace)),
		"role in two entries":               slices.ContainsFunc(principals, func(ps []Permission) bool { return len(ps) > 1 && ps[0].RoleID == ps[1].RoleID }),
		"resource twice in an entry": entry(func(p Permission) bool {
			return len(p.Resources) > 1 && sameResource(p.Resources[0], p.Resources[1]) && len(p.Resources[0].Labels) == 0
		}),
		"workspace and source in one": entry(func(p Permission) bool {
			return bare(p) && slices.ContainsFunc(p.Resources, func(r Resource) bool { return r.Type == typeSource })
		}),
		"workspace with and without labels": entry(func(p Permission) bool {
			return bare(p) && slices.ContainsFunc(p.Resources, func(r Resource) bool { return len(r.Labels) > 0 })
		}),
		"entry without resources":           entry(func(p Permission) bool { return len(p.Resources) == 0 }),
		"entry without a role":              entry(func(p Permission) bool { return p.RoleID == "" }),
		"resource without an id":            some(func(_ Permission, r Resource) bool { return r.ID == "" && r.Type == typeSource }),
		"nil permissions":                   user("user-nil-permissions") == nil,
		"empty permissions":                 user("user-empty-permissions") != nil && len(user("user-empty-permissions")) == 0,
		"space listed bare, held otherwise": space("bare0listed") && spaceForms("spa_bare0listed"),
		"space listed otherwise, held bare": space("spa_prefix0listed") && spaceForms("prefix0listed"),
		"both forms in one user":            spaceForms("bare0listed", "spa_bare0listed"),
		"both forms of a deleted space":     !space("deleted") && !space("spa_deleted") && spaceForms("deleted", "spa_deleted"),
		"groups of one name":                len(slices.DeleteFunc(slices.Clone(names["group"]), func(n string) bool { return n != "Same Name" })) == 2,
		"group of nobody":                   slices.ContainsFunc(w.Groups, func(g Group) bool { return len(g.Members) == 0 }),
		"group of invites only": slices.ContainsFunc(w.Groups, func(g Group) bool {
			return len(g.Members) > 1 && !slices.ContainsFunc(g.Members, func(m string) bool { return !slices.Contains(inviteEmails, m) })
		}),
		"member in another case": slices.ContainsFunc(w.Groups, func(g Group) bool {
			return slices.ContainsFunc(g.Members, func(m string) bool { return inAnotherCase(m, userEmails) })
		}),
		"member in two cases":              slices.ContainsFunc(w.Groups, func(g Group) bool { return folded(g.Members) < len(g.Members) }),
		"invite in a group":                slices.ContainsFunc(w.Groups, func(g Group) bool { return slices.ContainsFunc(inviteEmails, member(g)) }),
		"invite in no group":               slices.ContainsFunc(inviteEmails, func(e string) bool { return len(c.index().groupsOf[foldEmail(e)]) == 0 }),
		"invite of a user in another case": slices.ContainsFunc(inviteEmails, func(e string) bool { return inAnotherCase(e, userEmails) }),
		"invite of a user":                 slices.ContainsFunc(inviteEmails, func(e string) bool { return slices.Contains(userEmails, e) }),
		"invites that differ in case":      folded(inviteEmails) < len(inviteEmails),
		"invite with a plus and quotes": slices.ContainsFunc(inviteEmails, func(e string) bool {
			return strings.Contains(e, "+") && strings.Contains(e, `"`) && strings.Contains(e, "'")
		}),
		"users whose addresses differ in case": folded(userEmails) < len(userEmails),
		"user without an address":              slices.ContainsFunc(userEmails, func(e string) bool { return !strings.Contains(e, "@") }),
	} {
		if !there {
			t.Errorf("there is not: %s", what)
		}
	}
}

// secrets returns the values that are secret in a real workspace.
func secrets(w *Workspace) []string {
	var out []string
	var values func(v any)
	values = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, value := range v {
				if _, isString := value.(string); isString && k == "name" {
					continue
				}
				values(value)
			}
		case []any:
			for _, value := range v {
				values(value)
			}
		case string:
			out = append(out, v)
		}
	}
	for _, s := range w.Sources {
		out = append(out, s.WriteKeys...)
		values(s.Settings)
	}
	for _, h := range w.Warehouses {
		values(h.Settings)
	}
	for _, f := range w.Functions {
		out = append(out, f.Code)
		for _, s := range f.Settings {
			out = append(out, s.Description)
		}
	}
	return out
}

func TestHostile_SecretsAreMarked(t *testing.T) {
	t.Parallel()
	all := secrets(Hostile())
	if len(all) < 40 {
		t.Errorf("%d secrets", len(all))
	}
	for _, s := range all {
		if strings.Count(s, "SECRET-") != 1 {
			t.Errorf("%q is not marked", s)
		}
	}
	for _, what := range []string{
		"write-key", "source-setting", "nested-source", "warehouse-password", "connection-string", "nested-warehouse", "warehouse-name", "function-code", "function-setting",
	} {
		if !slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, what) }) {
			t.Errorf("there is no secret %s", what)
		}
	}
}

// Members and pending members of a group are matched by e-mail address alone.
func TestHostile_MembersOfGroups(t *testing.T) {
	t.Parallel()
	ws := Hostile()
	ws.Groups = append(ws.Groups, Group{ID: "group-stale", Members: []string{"nobody@example.com", "owner@example.com"}})
	w := newRawClient(t, New(ws))
	for id, want := range map[string]struct {
		count          float64
		users, pending []any
	}{
		"group-nobody":       {0, []any{}, []any{}},
		"group-invites-only": {2, []any{}, []any{`o'brien+"test"&x=1@example.com`, "double@example.com"}},
		// The address is that of a user and of an invite, in three spellings.
		"group-cased": {1, []any{"user-cased"}, []any{"CASED@example.com"}},
		"group-twice": {2, []any{"user-repeats", "user-repeats"}, []any{}},
		// No list has an address that is neither a user's nor an invite's.
		"group-stale": {2, []any{"user-owner"}, []any{"owner@example.com"}},
	} {
		field := func(rows []any, name string) []any {
			return mapSlice(rows, func(row any) any {
				m, isObject := row.(map[string]any)
				if !isObject {
					t.Fatalf("%s: row %v", id, row)
				}
				return m[name]
			})
		}
		users := w.readAll(t, "/groups/"+id+"/users", "users", 1, "pagination.%s")
		equal(t, id+": users", want.users, field(users, "id"), cmpopts.EquateEmpty())
		equal(t, id+": pending", want.pending, w.readAll(t, "/groups/"+id+"/invites", "emails", 1, "pagination.%s"), cmpopts.EquateEmpty())
		a := w.want(t, http.StatusOK, http.MethodGet, "/groups/"+id, "")
		equal(t, id+": count", []any{want.count}, field([]any{a.Data["userGroup"]}, "memberCount"))
	}
	// A user who is in a group twice has one group.
	rows := w.readAll(t, "/users/user-repeats/groups", "groups", 1, "pagination.%s")
	equal(t, "groups", []any{map[string]any{"id": "group-twice", "name": "Twice"}}, rows)
}

// roleNames returns the role names in the permissions of an answer, by role id.
func roleNames(t *testing.T, permissions any) map[any]any {
	t.Helper()
	names := map[any]any{}
	list, isList := permissions.([]any)
	if !isList {
		t.Fatalf("permissions are %v", permissions)
	}
	for _, entry := range list {
		p, isObject := entry.(map[string]any)
		if !isObject {
			t.Fatalf("permission is %v", entry)
		}
		names[p["roleId"]] = p["roleName"]
	}
	return names
}

func TestRoleNamesOfUnlistedRoles(t *testing.T) {
	t.Parallel()
	ws := sampleWorkspace()
	everywhere := scope(typeWorkspace, ws.ID)
	ws.Users[0].Permissions = []Permission{
		{RoleID: "retired", RoleName: "Retired", Resources: []Resource{everywhere, scope(typeSource, "deleted")}},
		{RoleID: roleOwner, RoleName: "Not Its Name", Resources: []Resource{everywhere}},
	}
	s := New(ws)
	w := newRawClient(t, s)
	path := "/users/" + ws.Users[0].ID
	want := map[any]any{"retired": "Retired", roleOwner: "Workspace Owner"}
	user, isObject := w.want(t, http.StatusOK, http.MethodGet, path, "").Data["user"].(map[string]any)
	if !isObject {
		t.Fatal("no user")
	}
	equal(t, "read", want, roleNames(t, user["permissions"]))
	// Requests have no role names: the permissions that are held keep theirs.
	for _, method := range []string{http.MethodPost, http.MethodPut} {
		body := toJSON(t, permissionsInput{[]Permission{
			{RoleID: "retired", RoleName: "Forged", Resources: []Resource{everywhere}},
			{RoleID: roleOwner, RoleName: "Forged", Resources: []Resource{everywhere}},
		}})
		a := w.want(t, http.StatusOK, method, path+"/permissions", body)
		equal(t, method, want, roleNames(t, a.Data["permissions"]))
	}
	equal(t, "state", []Permission{
		{RoleID: "retired", RoleName: "Retired", Resources: []Resource{everywhere}},
		{RoleID: roleOwner, RoleName: "Not Its Name", Resources: []Resource{everywhere}},
	}, s.Workspace().Users[0].Permissions)
}

// All permissions that a principal holds can be written back, except malformed ones.
func TestHostile_PermissionsCanBeWrittenBack(t *testing.T) {
	t.Parallel()
	ws := Hostile()
	s := New(ws)
	w := newRawClient(t, s)
	for _, u := range ws.Users {
		if len(u.Permissions) == 0 || u.ID == "user-malformed" {
			continue
		}
		w.want(t, http.StatusOK, http.MethodPut, "/users/"+u.ID+"/permissions", toJSON(t, permissionsInput{u.Permissions}))
	}
	w.want(t, http.StatusUnprocessableEntity, http.MethodPut, "/users/user-malformed/permissions", toJSON(t, permissionsInput{ws.Users[22].Permissions}))
	for i, u := range s.Workspace().Users {
		want := scopeKeys(ws.Users[i].Permissions)
		if diff := cmp.Diff(want, scopeKeys(u.Permissions)); diff != "" {
			t.Errorf("%s (-before +after):\n%s", u.ID, diff)
		}
	}
}
