package segmentapi

import (
	"context"
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

func TestPermissionsMissingOrNone(t *testing.T) {
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

// The samples are the documented ones, and answers that are known to differ from them.
func TestSamples(t *testing.T) {
	t.Parallel()
	const (
		source = `{"id":"qQEHquLrjRDN9j1ByrChyn","slug":"ios","name":"","workspaceId":"9aQ1Lj62S4bomZKLF4DPqW","enabled":true,
			"writeKeys":["3YdEudTwjouyC5WPjpbTik"],
			"metadata":{"id":"UBrsG9RVzw","slug":"ios","name":"iOS","categories":["Mobile"],"description":"","logos":{"default":"https://example.com/d","alt":"https://example.com/a"},"options":[],"isCloudEventSource":false},
			"settings":{},"labels":[{"key":"environment","value":"prod"}]}`
		warehouse = `{"id":"kjU72LCJexvrqL7G4TMHHN","workspaceId":"9aQ1Lj62S4bomZKLF4DPqW","enabled":true,
			"metadata":{"id":"55d3d3aea3c","slug":"postgres","name":"Postgres","description":"Open source data warehouse","logos":{"default":"https://example.com/d","mark":"","alt":""},"options":[{"name":"port","required":true,"type":"string"}]},
			"settings":`
		function = `,"description":"My source function","logoUrl":"https://example.com/l","createdAt":"2006-01-02T15:04:05.000Z","createdBy":"sgJDWk3K21k6LE3tLU9nRK",
			"catalogId":"wXzcDGFR3KmjLDrtSawNHf","resourceType":"SOURCE","code":"// Fake.","settings":[{"name":"key","label":"Key","description":"","type":"STRING","required":false,"sensitive":false}],
			"previewWebhookUrl":"","batchMaxCount":0,"deployedAt":null,"isLatestVersion":true,"workspaceId":"9aQ1Lj62S4bomZKLF4DPqW","buildpack":"boreal"}`
	)
	sources := func(c *Client) (getFunc[Source], pageFunc[Source]) { return c.Sources.Get, c.Sources.List }
	sample(t, "source", "qQEHquLrjRDN9j1ByrChyn", source,
		Source{ID: "qQEHquLrjRDN9j1ByrChyn", Slug: "ios", Enabled: true, Kind: "iOS", Labels: []Label{{Key: "environment", Value: "prod"}}}, sources)
	sample(t, "source", "s1", `{"id":"s1","slug":"s","name":"S","writeKeys":null,"labels":null,"settings":null}`, Source{ID: "s1", Slug: "s", Name: "S"}, sources)
	sample(t, "source", "s1", `{"id":"s1","labels":[{"key":"b","value":"2","description":"d"},{"key":"a","value":"1","description":null}]}`,
		Source{ID: "s1", Labels: []Label{{Key: "b", Value: "2", Description: "d"}, {Key: "a", Value: "1"}}}, sources)

	for settings, name := range map[string]string{
		`{"host":"aws.redshift.dev","name":"Redshift Dev"}`: "Redshift Dev",
		`{"host":"aws.redshift.dev"}`:                       "",
		`{"name":""}`:                                       "", `{"name":null}`: "", `{"name":7}`: "", `{"name":{"name":"x"}}`: "", `{}`: "", `null`: "",
	} {
		sample(t, "warehouse", "kjU72LCJexvrqL7G4TMHHN", warehouse+settings+"}", Warehouse{ID: "kjU72LCJexvrqL7G4TMHHN", Name: name, Enabled: true, Kind: "Postgres"},
			func(c *Client) (getFunc[Warehouse], pageFunc[Warehouse]) { return c.Warehouses.Get, c.Warehouses.List })
	}

	functions := func(c *Client) (getFunc[Function], pageFunc[Function]) {
		return c.Functions.Get, func(ctx context.Context, opts ListOptions) (*Page[Function], error) {
			return c.Functions.List(ctx, FunctionSource, opts)
		}
	}
	for display, name := range map[string]string{`,"displayName":"PAPI Source Function"`: "PAPI Source Function", `,"displayName":null`: "", `,"displayName":""`: "", ``: ""} {
		sample(t, "function", "sfnc_wXzcDGFR3KmjLDrtSawNHf", `{"id":"sfnc_wXzcDGFR3KmjLDrtSawNHf"`+display+function,
			Function{ID: "sfnc_wXzcDGFR3KmjLDrtSawNHf", Name: name, Description: "My source function", Type: FunctionSource}, functions)
	}
	sample(t, "function", "f1", `{"id":"f1","description":null,"resourceType":"PLANET"}`, Function{ID: "f1", Type: "PLANET"}, functions)

	sample(t, "space", "9aQ1Lj62S4bomZKLF4DPqW", `{"id":"9aQ1Lj62S4bomZKLF4DPqW","slug":"space","name":"Space"}`, Space{ID: "9aQ1Lj62S4bomZKLF4DPqW", Slug: "space", Name: "Space"},
		func(c *Client) (getFunc[Space], pageFunc[Space]) { return c.Spaces.Get, c.Spaces.List })

	c, _ := serve(t, answer(200, jsonType, `{"data":{"invites":["foo@example.com","Foo+Bar@Example.COM"],"pagination":{"current":"MA=="},
		"labels":[{"key":"environment","value":"prod","description":"Production"},{"key":"map_env","value":""}]}}`))
	invites, err := c.Invites.List(t.Context(), ListOptions{})
	if diff := cmp.Diff(&Page[string]{Items: []string{"foo@example.com", "Foo+Bar@Example.COM"}, Total: -1}, invites); err != nil || diff != "" {
		t.Errorf("invites %v (-want +got):\n%s", err, diff)
	}
	labels, err := c.Labels.List(t.Context())
	if diff := cmp.Diff([]Label{{Key: "environment", Value: "prod", Description: "Production"}, {Key: "map_env"}}, labels); err != nil || diff != "" {
		t.Errorf("labels %v (-want +got):\n%s", err, diff)
	}
	c, _ = serve(t, answer(200, jsonType, `{"data":{"labels":[]}}`))
	if labels, err = c.Labels.List(t.Context()); err != nil || len(labels) != 0 {
		t.Errorf("no labels: got %v, %v", labels, err)
	}
}

// sample reads one row as a detail and as a list of one.
func sample[T any](t *testing.T, what, id, row string, want T, of func(*Client) (getFunc[T], pageFunc[T])) {
	t.Helper()
	c, _ := serve(t, answer(200, jsonType, `{"data":{"`+what+`":`+row+`,"`+what+`s":[`+row+`],"pagination":{"current":"MA=="}}}`))
	get, list := of(c)
	got, err := get(t.Context(), id)
	if diff := cmp.Diff(&want, got); err != nil || diff != "" {
		t.Errorf("%s %v (-want +got):\n%s", row, err, diff)
	}
	page, err := list(t.Context(), ListOptions{})
	if diff := cmp.Diff(&Page[T]{Items: []T{want}, Total: -1}, page); err != nil || diff != "" {
		t.Errorf("%s in a list %v (-want +got):\n%s", row, err, diff)
	}
}
