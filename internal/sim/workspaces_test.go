package sim

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestNamed(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]*Workspace{
		"empty":                         Empty(),
		"demo":                          Demo(),
		"hostile":                       Hostile(),
		"sized:users=3,groups=2,seed=7": Sized(Size{Users: 3, Groups: 2, MembersPerGroup: 10, Seed: 7}),
	} {
		got, err := Named(name)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, name, want, got)
		if name != "hostile" {
			checkState(t, got)
		}
	}
	for _, name := range []string{"Demo", "", "sized"} {
		_, err := Named(name)
		if err == nil || !strings.Contains(err.Error(), "empty, demo, hostile and sized:") {
			t.Errorf("%q: error %v does not name what there is", name, err)
		}
	}
	if _, err := Named("sized:people=3"); err == nil || !strings.Contains(err.Error(), `"people"`) {
		t.Errorf("error %v does not name the key", err)
	}
}

// The demo has the access that the README and `make demo` show.
func TestDemo_HasAccessToShow(t *testing.T) {
	t.Parallel()
	w := Demo()
	if n := len(w.Users); n < 35 || n > 45 {
		t.Errorf("%d users, want about 40", n)
	}
	everyone := slices.Concat(
		mapSlice(w.Users, func(u User) []Permission { return u.Permissions }),
		mapSlice(w.Groups, func(g Group) []Permission { return g.Permissions }),
		mapSlice(w.Invites, func(i Invite) []Permission { return i.Permissions }),
	)
	c := &call{Server: New(w, WithRoleScopes()), version: &version{state: w}}
	types := map[string]bool{}
	for _, ps := range everyone {
		// All roles and resources are in the workspace, so all permissions can be written.
		if p := c.checkPermissions("permissions", ps, nil); p != nil {
			t.Errorf("%s: %+v", p.Message, ps)
		}
		for _, p := range ps {
			for _, r := range p.Resources {
				types[r.Type] = true
				if len(r.Labels) > 0 {
					types["label"] = true
				}
				if r.Type != p.Resources[0].Type {
					t.Errorf("types are mixed in %+v", p)
				}
			}
		}
	}
	equal(t, "types", map[string]bool{
		typeWorkspace: true, typeSource: true, typeFunction: true, typeSpace: true, "label": true,
	}, types)
	roleID := regexp.MustCompile(`^[0-9A-Za-z]{27}$`)
	for _, r := range w.Roles {
		if !roleID.MatchString(r.ID) || r.Description == "" {
			t.Errorf("role %+v", r)
		}
	}
	for _, u := range w.Users {
		if !strings.HasSuffix(u.Email, "@example.com") {
			t.Errorf("address of %s", u.Email)
		}
	}
	for name, has := range map[string]bool{
		"a user without a name": slices.ContainsFunc(w.Users, func(u User) bool { return u.Name == "" }),
		"a user with only a source role": slices.ContainsFunc(w.Users, func(u User) bool {
			return len(u.Permissions) == 1 && u.Permissions[0].Resources[0].Type == typeSource
		}),
		"an invite in a group": slices.ContainsFunc(w.Groups, func(g Group) bool {
			return slices.ContainsFunc(w.Invites, func(i Invite) bool { return slices.Contains(g.Members, i.Email) })
		}),
		"an empty group":           slices.ContainsFunc(w.Groups, func(g Group) bool { return len(g.Members) == 0 }),
		"a source without a name":  slices.ContainsFunc(w.Sources, func(s Source) bool { return s.Name == nil }),
		"an owner by the group":    slices.ContainsFunc(w.Groups, func(g Group) bool { return g.Permissions[0].RoleID == roleOwner }),
		"four invites":             len(w.Invites) == 4,
		"warehouse without a name": slices.ContainsFunc(w.Warehouses, func(h Warehouse) bool { return h.Settings["name"] == nil }),
	} {
		if !has {
			t.Errorf("there is not %s", name)
		}
	}
}

// A caller can change a workspace without an effect on the server.
func TestWorkspace_SharesNoMemory(t *testing.T) {
	t.Parallel()
	vandalize := func(w *Workspace) {
		w.Users[0].Permissions[0].Resources[0].ID = "x"
		w.Users[13].Permissions[1].Resources[0].Labels[0].Key = "x"
		w.Groups[0].Members[0] = "x"
		w.Groups[0].Permissions[1].Resources[0].Labels[0].Value = "x"
		w.Invites[0].Permissions[0].RoleID = "x"
		w.Roles[0].Name = "x"
		w.Labels[0].Key = "x"
		*w.Sources[0].Name = "x"
		w.Sources[0].WriteKeys[0] = "x"
		w.Sources[0].Settings["webhookSecret"] = "x"
		w.Sources[0].Labels[0].Key = "x"
		w.Warehouses[0].Settings["name"] = "x"
		*w.Functions[0].DisplayName = "x"
		w.Functions[0].Settings[0].Name = "x"
		w.Spaces[0].ID = "x"
	}
	mine := Demo()
	s := New(mine)
	vandalize(mine)
	equal(t, "state given", Demo(), s.Workspace())
	vandalize(s.Workspace())
	equal(t, "state taken", Demo(), s.Workspace())
	s.Update(func(w *Workspace) { w.Users[0].ID = "renamed" })
	newRawClient(t, s).want(t, 200, "GET", "/users/renamed", "")
	equal(t, "next demo", "Ada Lindqvist", Demo().Users[0].Name)
}

func TestIDs(t *testing.T) {
	t.Parallel()
	equal(t, "same parts", makeID("a", 1), makeID("a", 1))
	if makeID("a", 1) == makeID("a", 2) {
		t.Error("other parts give the same id")
	}
	for i := range 1000 {
		if id := makeID(i); len(id) != idLength {
			t.Errorf("%q has %d characters", id, len(id))
		}
	}
}
