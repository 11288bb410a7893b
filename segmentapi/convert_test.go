package segmentapi

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPermissionsAsDocumented(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		permissions string
		want        []Permission
	}{
		"absent": {``, []Permission{}},
		"null":   {`,"permissions":null`, []Permission{}},
		"empty":  {`,"permissions":[]`, []Permission{}},
		"whole workspace": {
			`,"permissions":[{"roleId":"owner","roleName":"Workspace Owner","resources":[{"id":"w1","type":"WORKSPACE","labels":[]}]}]`,
			[]Permission{{RoleID: "owner", RoleName: "Workspace Owner", Scopes: []Scope{{Type: ScopeWorkspace, ID: "w1"}}}},
		},
		"labels on the resource": {
			`,"permissions":[{"roleId":"r","roleName":"Source Admin","resources":[{"id":"w1","type":"WORKSPACE","labels":[{"key":"environment","value":"prod"}]}]}]`,
			[]Permission{{RoleID: "r", RoleName: "Source Admin", Scopes: []Scope{{Type: ScopeWorkspace, ID: "w1", Labels: []Label{{Key: "environment", Value: "prod"}}}}}},
		},
		"labels on the permission restrict every resource": {
			`,"permissions":[{"roleId":"r","roleName":"R","labels":[{"key":"a","value":"1","description":"d"}],
			  "resources":[{"id":"w1","type":"WORKSPACE"},{"id":"w1","type":"WORKSPACE","labels":[{"key":"b","value":"2"},{"key":"a","value":"1"}]}]}]`,
			[]Permission{{RoleID: "r", RoleName: "R", Scopes: []Scope{
				{Type: ScopeWorkspace, ID: "w1", Labels: []Label{{Key: "a", Value: "1", Description: "d"}}},
				{Type: ScopeWorkspace, ID: "w1", Labels: []Label{{Key: "b", Value: "2"}, {Key: "a", Value: "1"}}},
			}}},
		},
		"several resources": {
			`,"permissions":[{"roleId":"r","roleName":"Functions Admin","resources":[{"id":"dfn_1","type":"FUNCTION","labels":[]},{"id":"spa_1","type":"SPACE"},{"id":"x","type":"PLANET"}]}]`,
			[]Permission{{RoleID: "r", RoleName: "Functions Admin", Scopes: []Scope{{Type: ScopeFunction, ID: "dfn_1"}, {Type: ScopeSpace, ID: "spa_1"}, {Type: "PLANET", ID: "x"}}}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := serve(t, answer(200, jsonType, `{"data":{"user":{"id":"u1","name":"","email":"papi@example.com"`+tt.permissions+`}}}`))
			got, err := c.Users.Get(t.Context(), "u1")
			if err != nil {
				t.Fatal(err)
			}
			want := &User{ID: "u1", Email: "papi@example.com", Permissions: tt.want}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			c, _ = serve(t, answer(200, jsonType, `{"data":{"userGroup":{"id":"g1","name":"my group name","memberCount":3`+tt.permissions+`}}}`))
			group, err := c.Groups.Get(t.Context(), "g1")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&Group{ID: "g1", Name: "my group name", MemberCount: 3, Permissions: tt.want}, group); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestListsTellSilenceFromNone(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, answer(200, jsonType, `{"data":{"users":[{"id":"silent"},{"id":"none","permissions":[]}],"pagination":{"current":"MA==","totalEntries":2}}}`))
	page, err := c.Users.List(t.Context(), ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if page.Total != 2 || page.Items[0].Permissions != nil || page.Items[1].Permissions == nil {
		t.Errorf("got %#v", page)
	}
}
