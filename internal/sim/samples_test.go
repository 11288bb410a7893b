package sim

import (
	"net/http"
	"testing"
	"time"
)

// sampleWorkspace returns the workspace of Segment's documented samples.
func sampleWorkspace() *Workspace {
	const workspace = "9aQ1Lj62S4bomZKLF4DPqW"
	empty, name := "", "PAPI Source Function"
	owner := []Permission{{RoleID: roleOwner, Resources: []Resource{{ID: workspace, Type: typeWorkspace}}}}
	return &Workspace{
		ID:   workspace,
		Slug: "my-workspace-slug",
		Name: "My workspace name",
		Users: []User{
			{ID: "i2VTJURQprNfqdwjLFPWYx", Name: "Sloth", Email: "sloth@example.com"},
			{ID: "sgJDWk3K21k6LE3tLU9nRK", Name: "", Email: "papi@example.com", Permissions: owner},
		},
		Groups: []Group{
			{ID: "my-group-id", Name: "my group name", Permissions: owner},
			{ID: "full", Name: "full", Members: []string{"sloth@example.com", "foo@example.com"}},
		},
		Invites: []Invite{{Email: "foo@example.com"}},
		Roles:   builtInRoles(),
		Labels:  []Label{{Key: "environment", Value: "prod"}},
		Sources: []Source{{
			ID: "qQEHquLrjRDN9j1ByrChyn", Slug: "ios", Name: &empty, Enabled: true,
			WriteKeys: []string{"SECRET-write-key-ios"},
			Metadata:  Metadata{ID: "UBrsG9RVzw", Slug: "ios", Name: "iOS"},
			Labels:    []Label{{Key: "environment", Value: "prod"}},
		}},
		Warehouses: []Warehouse{{
			ID: "kjU72LCJexvrqL7G4TMHHN", Enabled: true,
			Metadata: Metadata{ID: "55d3d3aea3c", Slug: "postgres", Name: "Postgres"},
			Settings: map[string]any{"host": "aws.redshift.dev", "name": "Redshift Dev"},
		}},
		Functions: []Function{{
			ID: "sfnc_wXzcDGFR3KmjLDrtSawNHf", DisplayName: &name, Description: "My source function",
			ResourceType: "SOURCE", Code: "// Sample.",
		}},
		Spaces: []Space{{ID: workspace, Slug: "space", Name: "Space"}},
	}
}

// sampleEvent returns the event of the sample, which has no values for most fields.
func sampleEvent() AuditEvent {
	return AuditEvent{
		ID: "event", Time: time.Date(2025, 1, 14, 15, 4, 5, 0, time.UTC), Type: "Policy Created", Actor: "sgJDWk3K21k6LE3tLU9nRK",
		ActorEmail: "a@example.com", ResourceID: "i2VTJURQprNfqdwjLFPWYx", ResourceType: "USER", ResourceName: "Sloth",
	}
}

// The samples are from Segment's documentation, the fixtures of its Terraform provider
// and the official clients. Catalog fields that a sample omits are added.
func TestDocumentedSamplesAreServed(t *testing.T) {
	t.Parallel()
	const (
		owner  = `{"roleId":"1WDUuRLxv84rrfCNUwvkrRtkxnS","roleName":"Workspace Owner","resources":[{"id":"9aQ1Lj62S4bomZKLF4DPqW","type":"WORKSPACE","labels":[]}]}`
		source = `{"id":"qQEHquLrjRDN9j1ByrChyn","slug":"ios","name":"","workspaceId":"9aQ1Lj62S4bomZKLF4DPqW","enabled":true,
			"writeKeys":["SECRET-write-key-ios"],
			"metadata":{"id":"UBrsG9RVzw","slug":"ios","name":"iOS","categories":[],"description":"","logos":{"default":"https://logos.example.com/ios.svg"},"options":[],"isCloudEventSource":false,"status":"PUBLIC"},
			"settings":{},"labels":[{"key":"environment","value":"prod"}]}`
		warehouse = `{"id":"kjU72LCJexvrqL7G4TMHHN","workspaceId":"9aQ1Lj62S4bomZKLF4DPqW","enabled":true,
			"metadata":{"id":"55d3d3aea3c","slug":"postgres","name":"Postgres","description":"","logos":{"default":"https://logos.example.com/postgres.svg"},"options":[]},
			"settings":{"host":"aws.redshift.dev","name":"Redshift Dev"}}`
		function = `"id":"sfnc_wXzcDGFR3KmjLDrtSawNHf","displayName":"PAPI Source Function","description":"My source function","logoUrl":"https://logos.example.com/function.svg","createdAt":"2006-01-02T15:04:05.000Z","createdBy":"i2VTJURQprNfqdwjLFPWYx","catalogId":"wXzcDGFR3KmjLDrtSawNHf","resourceType":"SOURCE"`
		asked    = `{"permissions":[{"roleId":"1WDUuRLxv84rrfCNUwvkrRtkxnS","resources":[{"id":"9aQ1Lj62S4bomZKLF4DPqW","type":"WORKSPACE"}]}]}`
		status   = `{"status":"SUCCESS"}`
	)
	for _, sample := range []struct {
		method, target, body string
		status               int
		data                 string
	}{
		{"GET", "/", "", 200, `{"workspace":{"id":"9aQ1Lj62S4bomZKLF4DPqW","slug":"my-workspace-slug","name":"My workspace name"}}`},
		{"GET", "/users", "", 200, `{"users":[{"id":"i2VTJURQprNfqdwjLFPWYx","name":"Sloth","email":"sloth@example.com"},
			{"id":"sgJDWk3K21k6LE3tLU9nRK","name":"","email":"papi@example.com"}],"pagination":{"current":"MA==","totalEntries":2}}`},
		{"GET", "/users/sgJDWk3K21k6LE3tLU9nRK", "", 200, `{"user":{"id":"sgJDWk3K21k6LE3tLU9nRK","name":"","email":"papi@example.com","permissions":[` + owner + `]}}`},
		{"GET", "/users/i2VTJURQprNfqdwjLFPWYx/groups", "", 200, `{"groups":[{"id":"full","name":"full"}],"pagination":{"current":"MA==","totalEntries":1}}`},
		{"PUT", "/users/sgJDWk3K21k6LE3tLU9nRK/permissions", asked, 200, `{"permissions":[` + owner + `]}`},
		{"DELETE", "/users?userIds.0=i2VTJURQprNfqdwjLFPWYx", "", 200, status},
		{"GET", "/invites", "", 200, `{"invites":["foo@example.com"],"pagination":{"current":"MA=="}}`},
		{"POST", "/invites", `{"invites":[{"email":"bar@example.com","permissions":[{"roleId":"1WDUuRLxv84rrfCNUwvkrRtkxnS","resources":[{"id":"9aQ1Lj62S4bomZKLF4DPqW","type":"WORKSPACE"}]}]}]}`, 201, `{"emails":["bar@example.com"]}`},
		{"DELETE", "/invites?emails.0=foo%40example.com", "", 200, status},
		{"GET", "/groups", "", 200, `{"userGroups":[{"id":"my-group-id","name":"my group name","memberCount":0},{"id":"full","name":"full","memberCount":2}],"pagination":{"current":"MA==","totalEntries":2}}`},
		{"GET", "/groups/my-group-id", "", 200, `{"userGroup":{"id":"my-group-id","name":"my group name","memberCount":0,"permissions":[` + owner + `]}}`},
		{"PATCH", "/groups/my-group-id", `{"name":"G2"}`, 200, `{"userGroup":{"id":"my-group-id","name":"G2","memberCount":0}}`},
		{"DELETE", "/groups/my-group-id", "", 200, status},
		{"GET", "/groups/full/users", "", 200, `{"users":[{"id":"i2VTJURQprNfqdwjLFPWYx","email":"sloth@example.com","name":"Sloth"}],"pagination":{"current":"MA==","totalEntries":1}}`},
		{"GET", "/groups/full/invites", "", 200, `{"emails":["foo@example.com"],"pagination":{"current":"MA==","totalEntries":1}}`},
		{"POST", "/groups/my-group-id/users", `{"emails":["papi@example.com"]}`, 200, `{"userGroup":{"id":"my-group-id","name":"my group name","memberCount":1}}`},
		{"PUT", "/group/full/users", `{"emails":[]}`, 200, `{"userGroup":{"id":"full","name":"full","memberCount":0}}`},
		{"DELETE", "/group/full/users?emails.0=sloth%40example.com", "", 200, status},
		{"PUT", "/groups/full/permissions", asked, 200, `{"permissions":[` + owner + `]}`},
		{"GET", "/roles?pagination[count]=2", "", 200, `{"roles":[
			{"id":"1WDUuRLxv84rrfCNUwvkrRtkxnS","name":"Workspace Owner","description":"Owners have full read and edit access to everything in the workspace, including Sources, Destinations, add-on products, and settings. Owners have full edit access to all Team Permissions."},
			{"id":"1aEWAcU0fArxScocwH9xxLgW7r3","name":"Minimal Workspace Access","description":"Access to view the workspace. Cannot view any sub resources or make changes to the workspace."}],
			"pagination":{"current":"MA==","next":"Mg=="}}`},
		{"GET", "/sources", "", 200, `{"sources":[` + source + `],"pagination":{"current":"MA==","totalEntries":1}}`},
		{"GET", "/sources/qQEHquLrjRDN9j1ByrChyn", "", 200, `{"source":` + source + `,"trackingPlanId":null}`},
		{"GET", "/warehouses", "", 200, `{"warehouses":[` + warehouse + `],"pagination":{"current":"MA==","totalEntries":1}}`},
		{"GET", "/warehouses/kjU72LCJexvrqL7G4TMHHN", "", 200, `{"warehouse":` + warehouse + `}`},
		{"GET", "/functions?resourceType=SOURCE", "", 200, `{"functions":[{` + function + `}],"pagination":{"current":"MQ=="}}`},
		{"GET", "/functions?resourceType=DESTINATION", "", 200, `{"functions":[],"pagination":{"current":"MQ=="}}`},
		{"GET", "/functions/sfnc_wXzcDGFR3KmjLDrtSawNHf", "", 200, `{"function":{` + function + `,"code":"// Sample.","settings":[],"previewWebhookUrl":"","batchMaxCount":0,"deployedAt":null,"isLatestVersion":true}}`},
		{"GET", "/spaces", "", 200, `{"spaces":[{"id":"9aQ1Lj62S4bomZKLF4DPqW","slug":"space","name":"Space"}],"pagination":{"current":"MA==","totalEntries":1}}`},
		{"GET", "/spaces/9aQ1Lj62S4bomZKLF4DPqW", "", 200, `{"space":{"id":"9aQ1Lj62S4bomZKLF4DPqW","slug":"space","name":"Space"}}`},
		{"GET", "/labels", "", 200, `{"labels":[{"key":"environment","value":"prod"}]}`},
		{"POST", "/labels", `{"label":{"key":"environment","value":"dev","description":"Development"}}`, 201, `{"label":{"key":"environment","value":"dev","description":"Development"}}`},
		{"GET", "/audit-events", "", 200, `{"events":[{"id":"event","timestamp":"2025-01-14T15:04:05.000Z","type":"Policy Created","actor":"sgJDWk3K21k6LE3tLU9nRK","actorEmail":"a@example.com",
			"resourceId":"i2VTJURQprNfqdwjLFPWYx","resourceType":"USER","resourceName":"Sloth"}],"pagination":{"current":"MCAyMDI1LTAxLTE1VDE1OjA0OjA1LjAwMDAwMDAwMVo="}}`},
	} {
		t.Run(sample.method+" "+sample.target, func(t *testing.T) {
			t.Parallel()
			w := newRawClient(t, New(sampleWorkspace(), WithAuditEvents(sampleEvent()), WithClock(func() time.Time {
				return sampleEvent().Time.Add(24 * time.Hour)
			})))
			got := w.want(t, sample.status, sample.method, sample.target, sample.body)
			equal(t, "data", jsonValue(t, sample.data), any(got.Data))
		})
	}
}

// The documented answer of POST names policy and subject, unlike that of PUT.
func TestAddedPermissionsNamePolicyAndSubject(t *testing.T) {
	t.Parallel()
	w := newRawClient(t, New(sampleWorkspace()))
	for subjectType, path := range map[string]string{"user": "/users/sgJDWk3K21k6LE3tLU9nRK", "group": "/groups/my-group-id"} {
		body := `{"permissions":[{"roleId":"` + roleOwner + `","resources":[{"id":"9aQ1Lj62S4bomZKLF4DPqW","type":"WORKSPACE"}]}]}`
		got := w.want(t, http.StatusOK, http.MethodPost, path+"/permissions", body)
		list, isList := got.Data["permissions"].([]any)
		if !isList || len(list) != 1 {
			t.Fatalf("%s: %s", subjectType, got.Raw)
		}
		permission, isObject := list[0].(map[string]any)
		if !isObject {
			t.Fatalf("%s: %s", subjectType, got.Raw)
		}
		equal(t, "subject type", any(subjectType), permission["subjectType"])
		if id, isString := permission["policyId"].(string); !isString || len(id) != idLength {
			t.Errorf("%s: policy id %v", subjectType, permission["policyId"])
		}
		for _, key := range []string{"subjectId", "roleName"} {
			if permission[key] == "" || permission[key] == nil {
				t.Errorf("%s: no %s", subjectType, key)
			}
		}
	}
}
