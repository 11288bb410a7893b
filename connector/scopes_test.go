package connector

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// Which roles can be held on what, for every role that Segment is known to
// have, in all spellings that its documents, API and history use.
func TestPairs(t *testing.T) {
	t.Parallel()
	const source, space = "source label", "space label"
	for name, want := range map[string]string{
		"Workspace Owner":          "",
		"Workspace Member":         "",
		"Minimal Workspace Access": "",
		"Source Admin":             source,
		"Source Read-only":         source,
		"Function Admin":           "function",
		"Functions Admin":          "function",
		"Function Read-only":       "function",
		"Functions Read-only":      "function",

		"Warehouse Destination Admin":     "warehouse",
		"Warehouse Admin":                 "warehouse",
		"Warehouse Destination Read-only": "warehouse",

		"Unify and Engage Admin":       space,
		"Personas Admin":               space,
		"Unify and Engage Read-only":   space,
		"Unify Read-only, Engage User": space,

		"Identity Admin":                    "",
		"Personas Identity Admin":           "",
		"Unify Identity Admin":              "",
		"Tracking Plan Admin":               "",
		"Tracking Plan Read-only":           "",
		"End User Privacy Admin":            "",
		"Entities Admin":                    "",
		"Entities Read-only":                "",
		"PII Access":                        "",
		"Observability Admin":               "",
		"Observability Read-only":           "",
		"Source Curator (retired)":          source,
		"Sources Auditor":                   source,
		"  SOURCES, read-only":              source,
		"Warehouses Auditor":                "warehouse",
		"Persona Auditor":                   space,
		"Engage User":                       space,
		"engage: identity resolution":       "",
		"Source Identity Admin":             source,
		"Sourcery Admin":                    "",
		"Sourcess Admin":                    "",
		"Admin of Sources":                  "",
		"":                                  "",
		" \t":                               "",
		"123":                               "",
		"2nd Source Admin":                  "",
		"Función de Source":                 "",
		strings.Repeat("Source ", 400):      source,
		"Source2 Admin":                     source,
		"Source-Admin":                      source,
		"Unify":                             space,
		"Functional Admin":                  "",
		"Warehousing Destination Read-only": "",
	} {
		var got []string
		for _, typeID := range []string{typeWorkspace, typeUser, typeInvite, typeGroup, typeSource, typeWarehouse, typeFunction, typeSpace, typeLabel} {
			if pairs(name, typeID) {
				got = append(got, typeID)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q can be held on %q, want %q", name, got, want)
		}
		if !pairs(name, typeRole) {
			t.Errorf("%q cannot be held on the workspace", name)
		}
	}
}

// Where each scope of a permission goes, as the id of an entitlement. What
// cannot be shown goes to the log by its kind.
func TestTargets(t *testing.T) {
	t.Parallel()
	env := []segmentapi.Label{{Key: "env", Value: "prod"}}
	two := []segmentapi.Label{{Key: "region", Value: "eu"}, {Key: "env", Value: "prod", Description: "Production"}}
	on := func(kind segmentapi.ScopeType, id string, labels ...segmentapi.Label) segmentapi.Scope {
		return segmentapi.Scope{Type: kind, ID: id, Labels: labels}
	}
	for name, c := range map[string]struct {
		role   string
		scopes []segmentapi.Scope
		want   string
		log    map[string]int
	}{
		"workspace":               {"r", []segmentapi.Scope{on("WORKSPACE", "ws")}, "role:r:assigned", nil},
		"workspace without an id": {"r", []segmentapi.Scope{on("WORKSPACE", "")}, "role:r:assigned", nil},
		"another workspace":       {"r", []segmentapi.Scope{on("WORKSPACE", "other")}, "role:r:assigned", nil},
		"label":                   {"r", []segmentapi.Scope{on("WORKSPACE", "ws", env...)}, "label:env=prod:r", nil},
		"labels":                  {"r", []segmentapi.Scope{on("WORKSPACE", "ws", two...)}, "label:env=prod,region=eu:r", nil},
		"label without an id":     {"r", []segmentapi.Scope{on("WORKSPACE", "", env...)}, "label:env=prod:r", nil},
		"source":                  {"r", []segmentapi.Scope{on("SOURCE", "s")}, "source:s:r", nil},
		"source with a label":     {"r", []segmentapi.Scope{on("SOURCE", "s", env...)}, "source:s:r", nil},
		"function":                {"r", []segmentapi.Scope{on("FUNCTION", "f")}, "function:f:r", nil},
		"warehouse":               {"r", []segmentapi.Scope{on("WAREHOUSE", "w")}, "warehouse:w:r", nil},
		"space":                   {"r", []segmentapi.Scope{on("SPACE", "spa_1")}, "space:spa_1:r", nil},
		"without an id":           {"r", []segmentapi.Scope{on("SOURCE", ""), on("SPACE", ""), on("SOURCE", "")}, "", map[string]int{"SOURCE without an id": 2, "SPACE without an id": 1}},
		"without a role":          {"", []segmentapi.Scope{on("SOURCE", "s"), on("WORKSPACE", "ws"), on("WORKSPACE", "ws", env...)}, "", map[string]int{"SOURCE without a role": 1, "WORKSPACE without a role": 2}},
		"without a scope":         {"r", nil, "", map[string]int{"nothing": 1}},
		"unknown":                 {"r", []segmentapi.Scope{on("DESTINATION", "d"), on("", "d"), on("source", "s")}, "", map[string]int{"DESTINATION": 1, "a scope without a type": 1, "source": 1}},
		"several": {
			"r", []segmentapi.Scope{on("SOURCE", "s"), on("WORKSPACE", "ws"), on("SOURCE", "s"), on("WORKSPACE", "ws", env...), on("SOURCE", "s2")},
			"source:s:r role:r:assigned source:s:r label:env=prod:r source:s2:r", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			targets, unknown := targetsOf([]segmentapi.Permission{{RoleID: c.role, RoleName: "Role", Scopes: c.scopes}})
			var got []string
			for _, target := range targets {
				got = append(got, target.typeID+":"+target.id+":"+target.slug)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("grants on %q, want %q", got, c.want)
			}
			if c.log == nil {
				c.log = map[string]int{}
			}
			if diff := cmp.Diff(c.log, unknown); diff != "" {
				t.Errorf("what the log counts (-want +got):\n%s", diff)
			}
		})
	}
}

// What the lists say of a permission's targets: under which id a space is
// shown, what is in no list, which role is meant for what.
func TestPlace(t *testing.T) {
	t.Parallel()
	permission := func(role, name string, kind segmentapi.ScopeType, ids ...string) segmentapi.Permission {
		p := segmentapi.Permission{RoleID: role, RoleName: name}
		for _, id := range ids {
			p.Scopes = append(p.Scopes, segmentapi.Scope{Type: kind, ID: id})
		}
		return p
	}
	const listed, foretold = " listed", " foretold"
	all := map[string]map[string]string{
		typeRole:   {"src": "Source Admin", "uni": "Unify and Engage Admin", "renamed": "Source Admin"},
		typeSource: {"s": "Web"}, typeSpace: {"spa_a": "A", "b": "B", "spa_c": "C", "c": "Bare C"},
	}
	for name, c := range map[string]struct {
		lists      map[string]map[string]string
		permission segmentapi.Permission
		want       []string
	}{
		"foretold":                    {all, permission("src", "Source Admin", "SOURCE", "s"), []string{"source:s:src" + listed + foretold}},
		"the same twice":              {all, permission("src", "Source Admin", "SOURCE", "s", "gone", "s", "gone"), []string{"source:s:src" + listed + foretold, "source:gone:src"}},
		"resource not listed":         {all, permission("src", "Source Admin", "SOURCE", "gone"), []string{"source:gone:src"}},
		"role not listed":             {all, permission("ghost", "Source Admin", "SOURCE", "s"), []string{"source:s:ghost" + listed}},
		"role not listed, workspace":  {all, permission("ghost", "Ghost", "WORKSPACE", "ws"), []string{"role:ghost:assigned"}},
		"role listed, workspace":      {all, permission("src", "", "WORKSPACE", "ws"), []string{"role:src:assigned" + listed + foretold}},
		"role for something else":     {all, permission("uni", "Unify and Engage Admin", "SOURCE", "s"), []string{"source:s:uni" + listed}},
		"the list's name counts":      {all, permission("renamed", "Tracking Plan Admin", "SOURCE", "s"), []string{"source:s:renamed" + listed + foretold}},
		"the list's name counts, too": {all, permission("uni", "Source Admin", "SOURCE", "s"), []string{"source:s:uni" + listed}},
		"space with the prefix":       {all, permission("uni", "", "SPACE", "spa_a"), []string{"space:spa_a:uni" + listed + foretold}},
		"space lacks the prefix":      {all, permission("uni", "", "SPACE", "a"), []string{"space:spa_a:uni" + listed + foretold}},
		"space is listed bare":        {all, permission("uni", "", "SPACE", "spa_b", "b"), []string{"space:b:uni" + listed + foretold}},
		"both forms are listed":       {all, permission("uni", "", "SPACE", "c", "spa_c"), []string{"space:c:uni" + listed + foretold, "space:spa_c:uni" + listed + foretold}},
		"neither form is listed":      {all, permission("uni", "", "SPACE", "d", "spa_d"), []string{"space:spa_d:uni"}},
		"two forms of one":            {all, permission("uni", "", "SPACE", "a", "spa_spa_a"), []string{"space:spa_a:uni" + listed + foretold}},
		"only spaces have forms":      {all, permission("src", "", "SOURCE", "spa_s"), []string{"source:spa_s:src"}},
		"nothing was listed":          {nil, permission("src", "Source Admin", "SOURCE", "s"), []string{"source:s:src" + listed}},
		"nothing was listed, and the role is for something else": {nil, permission("uni", "Unify and Engage Admin", "SOURCE", "s"), []string{"source:s:uni" + listed}},
		"nothing was listed, space":                              {nil, permission("uni", "Unify", "SPACE", "e"), []string{"space:e:uni" + listed}},
		"roles were not listed":                                  {map[string]map[string]string{typeSource: {}}, permission("src", "Source Admin", "SOURCE", "s"), []string{"source:s:src"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := session{store: &memory{values: map[string][]byte{}}}
			for typeID, rows := range c.lists {
				if err := s.list(t.Context(), typeID, rows); err != nil {
					t.Fatal(err)
				}
				if err := s.finish(t.Context(), typeID, len(rows)); err != nil {
					t.Fatal(err)
				}
				if _, _, err := s.static(t.Context(), typeID); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for _, p := range must(s.place(t.Context(), []segmentapi.Permission{c.permission}))(t) {
				line := p.typeID + ":" + p.id + ":" + p.slug
				if p.listed {
					line += listed
				}
				if p.foretold {
					line += foretold
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("placed (-want +got):\n%s", diff)
			}
		})
	}
}
