package access

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// Every role that Segment is known to have, in all spellings that its documents,
// API and history use, and names that only look like one.
func TestApplies(t *testing.T) {
	t.Parallel()
	const source, space, spaceOnly = "source label", "space label", "space"
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
		"Entities Admin":                    spaceOnly,
		"Entities Read-only":                spaceOnly,
		"Entity Admin":                      spaceOnly,
		"Entitie Admin":                     "",
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
		for _, typeID := range []string{"workspace", "user", "invite", "group", TypeSource, TypeWarehouse, TypeFunction, TypeSpace, TypeLabel} {
			if Applies(name, typeID) {
				got = append(got, typeID)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q can be held on %q, want %q", name, got, want)
		}
		if !Applies(name, TypeRole) {
			t.Errorf("%q cannot be held on the workspace", name)
		}
	}
}

// Each scope leads to one target, shown as type:id:role, or is counted by its kind.
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
		"workspace":               {"r", []segmentapi.Scope{on("WORKSPACE", "ws")}, "role:r:r", nil},
		"workspace without an id": {"r", []segmentapi.Scope{on("WORKSPACE", "")}, "role:r:r", nil},
		"another workspace":       {"r", []segmentapi.Scope{on("WORKSPACE", "other")}, "role:r:r", nil},
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
			"source:s:r role:r:r source:s:r label:env=prod:r source:s2:r", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			targets, unknown := Targets([]segmentapi.Permission{{RoleID: c.role, RoleName: "Role", Scopes: c.scopes}})
			var got []string
			for _, target := range targets {
				got = append(got, target.Type+":"+target.ID+":"+target.RoleID)
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
