package sim

import (
	"context"
	"net/http"
	"slices"
	"testing"

	"github.com/segmentio/public-api-sdk-go/api"
)

func TestOperations_AreThoseOfTheContract(t *testing.T) {
	t.Parallel()
	served := map[string]string{}
	mux := newRoutes()
	for _, op := range operations() {
		served[op.Name] = op.Method
	}
	for _, op := range validator(t).Operations() {
		if served[op.ID] != op.Method {
			t.Errorf("%s: served with method %q, contract has %s", op.ID, served[op.ID], op.Method)
		}
		delete(served, op.ID)
		r, err := http.NewRequestWithContext(t.Context(), op.Method, "https://api.segment.test"+op.Path, nil)
		if err != nil {
			t.Fatal(err)
		}
		m := &match{header: http.Header{}}
		mux.ServeHTTP(m, r)
		if m.operation == nil || m.operation.Name != op.ID {
			t.Errorf("%s %s: served by %v, want %s", op.Method, op.Path, m.operation, op.ID)
			continue
		}
		if m.operation.write != (op.RateLimit == 60) {
			t.Errorf("%s: write is %v, contract has a limit of %d", op.ID, m.operation.write, op.RateLimit)
		}
	}
	for name := range served {
		t.Errorf("%s: not in the contract", name)
	}
}

// The official client decodes the answer of every operation, over both transports, and
// requests and responses follow the contract.
func TestOfficialClient_CallsEveryOperation(t *testing.T) {
	t.Parallel()
	for name, connect := range map[string]func(testing.TB, *Server) (context.Context, *api.APIClient){
		"in process": inProcess,
		"over HTTP":  overHTTP,
	} {
		for options, opts := range map[string][]Option{
			"default":     nil,
			"null":        {WithNext(NextNull), WithLimit(100_000), WithWriteLimit(100_000)},
			"empty, full": {WithNext(NextEmpty), WithPermissionsInLists(), WithToken("another token")},
		} {
			t.Run(name+"/"+options, func(t *testing.T) {
				t.Parallel()
				s := New(Demo(), opts...)
				ctx, client := connect(t, s)
				callEverything(ctx, t, client, s)
				called := map[string]bool{}
				for _, r := range s.Journal() {
					called[r.Operation] = true
					if r.Status != http.StatusOK && r.Status != http.StatusCreated {
						t.Errorf("%s %s: status %d", r.Method, r.Path, r.Status)
					}
				}
				for _, op := range Operations() {
					if !called[op.Name] {
						t.Errorf("%s was not called", op.Name)
					}
				}
			})
		}
	}
}

// unpack returns the value of a call of Execute, and ends the test on an error.
func unpack[T any](t *testing.T) func(*T, *http.Response, error) *T {
	return func(out *T, resp *http.Response, err error) *T {
		t.Helper()
		if resp != nil && resp.Body != nil {
			defer closeBody(t, resp)
		}
		if err != nil {
			t.Fatal(err)
		}
		if out == nil {
			t.Fatal("no answer")
		}
		return out
	}
}

//nolint:bodyclose // unpack closes every response.
func callEverything(ctx context.Context, t *testing.T, c *api.APIClient, s *Server) {
	t.Helper()
	demo := Demo()
	pagination := *api.NewPaginationInput(2)
	ada, jonas, group := demo.Users[0], demo.Users[9], demo.Groups[1]
	workspace := api.PermissionResourceV1{Id: demo.ID, Type: typeWorkspace, Labels: []api.AllowedLabelBeta{{Key: "environment", Value: "dev"}}}
	source := api.PermissionResourceV1{Id: demo.Sources[0].ID, Type: typeSource}
	asked := []api.PermissionInputV1{{RoleId: roleSourceAdmin, Resources: []api.PermissionResourceV1{workspace, source}}}

	ws := unpack[api.GetWorkspace200Response](t)(c.WorkspacesAPI.GetWorkspace(ctx).Execute())
	equal(t, "workspace", api.WorkspaceV1{Id: demo.ID, Slug: demo.Slug, Name: demo.Name}, ws.Data.Workspace)

	users := unpack[api.ListUsers200Response](t)(c.IAMUsersAPI.ListUsers(ctx).Pagination(pagination).Execute())
	equal(t, "users on a page", 2, len(users.Data.Users))
	equal(t, "total", float32(len(demo.Users)), users.Data.Pagination.GetTotalEntries())
	user := unpack[api.GetUser200Response](t)(c.IAMUsersAPI.GetUser(ctx, ada.ID).Execute())
	equal(t, "role", "Workspace Owner", user.Data.User.Permissions[0].RoleName)
	groups := unpack[api.ListUserGroupsFromUser200Response](t)(c.IAMUsersAPI.ListUserGroupsFromUser(ctx, jonas.ID).Pagination(pagination).Execute())
	equal(t, "groups of a user", []api.MinimalUserGroupV1{{Id: group.ID, Name: group.Name}}, groups.Data.Groups)
	added := unpack[api.AddPermissionsToUser200Response](t)(c.IAMUsersAPI.AddPermissionsToUser(ctx, jonas.ID).
		AddPermissionsToUserV1Input(api.AddPermissionsToUserV1Input{Permissions: asked}).Execute())
	equal(t, "permissions", 2, len(added.Data.Permissions))
	replaced := unpack[api.ReplacePermissionsForUser200Response](t)(c.IAMUsersAPI.ReplacePermissionsForUser(ctx, jonas.ID).
		ReplacePermissionsForUserV1Input(api.ReplacePermissionsForUserV1Input{Permissions: asked}).Execute())
	equal(t, "permissions", 1, len(replaced.Data.Permissions))

	invites := unpack[api.ListInvites200Response](t)(c.IAMUsersAPI.ListInvites(ctx).Pagination(pagination).Execute())
	equal(t, "invites", []string{demo.Invites[0].Email, demo.Invites[1].Email}, invites.Data.Invites)
	invited := unpack[api.CreateInvites201Response](t)(c.IAMUsersAPI.CreateInvites(ctx).CreateInvitesV1Input(api.CreateInvitesV1Input{
		Invites: []api.InviteV1{
			{Email: "new@example.com", Permissions: []api.InvitePermissionV1{{
				RoleId:    roleSourceAdmin,
				Resources: []api.ResourceV1{{Id: demo.ID, Type: typeWorkspace}},
				Labels:    []api.AllowedLabelBeta{{Key: "environment", Value: "prod"}},
			}}},
			{Email: "bare@example.com"},
		},
	}).Execute())
	equal(t, "invited", []string{"new@example.com", "bare@example.com"}, invited.Data.Emails)
	unpack[api.DeleteInvites200Response](t)(c.IAMUsersAPI.DeleteInvites(ctx).Emails([]string{"bare@example.com"}).Execute())
	unpack[api.DeleteUsers200Response](t)(c.IAMUsersAPI.DeleteUsers(ctx).UserIds([]string{demo.Users[20].ID, demo.Users[21].ID}).Execute())

	unpack[api.ListUserGroups200Response](t)(c.IAMGroupsAPI.ListUserGroups(ctx).Pagination(pagination).Execute())
	created := unpack[api.CreateUserGroup200Response](t)(c.IAMGroupsAPI.CreateUserGroup(ctx).
		CreateUserGroupV1Input(api.CreateUserGroupV1Input{Name: "New"}).Execute()).Data.UserGroup
	renamed := unpack[api.UpdateUserGroup200Response](t)(c.IAMGroupsAPI.UpdateUserGroup(ctx, created.Id).
		UpdateUserGroupV1Input(api.UpdateUserGroupV1Input{Name: "Newer"}).Execute())
	equal(t, "renamed", "Newer", renamed.Data.UserGroup.Name)
	filled := unpack[api.AddUsersToUserGroup200Response](t)(c.IAMGroupsAPI.AddUsersToUserGroup(ctx, created.Id).
		AddUsersToUserGroupV1Input(api.AddUsersToUserGroupV1Input{Emails: []string{ada.Email, jonas.Email}}).Execute())
	equal(t, "members", float32(2), filled.Data.UserGroup.MemberCount)
	unpack[api.ReplaceUsersInUserGroup200Response](t)(c.IAMGroupsAPI.ReplaceUsersInUserGroup(ctx, created.Id).
		ReplaceUsersInUserGroupV1Input(api.ReplaceUsersInUserGroupV1Input{Emails: []string{ada.Email, "new@example.com"}}).Execute())
	pending := unpack[api.ListInvitesFromUserGroup200Response](t)(c.IAMGroupsAPI.ListInvitesFromUserGroup(ctx, created.Id).Pagination(pagination).Execute())
	equal(t, "pending", []string{"new@example.com"}, pending.Data.Emails)
	unpack[api.RemoveUsersFromUserGroup200Response](t)(c.IAMGroupsAPI.RemoveUsersFromUserGroup(ctx, created.Id).Emails([]string{"new@example.com"}).Execute())
	members := unpack[api.ListUsersFromUserGroup200Response](t)(c.IAMGroupsAPI.ListUsersFromUserGroup(ctx, created.Id).Pagination(pagination).Execute())
	equal(t, "members", []api.MinimalUserV1{{Id: ada.ID, Name: ada.Name, Email: ada.Email}}, members.Data.Users)
	unpack[api.AddPermissionsToUserGroup200Response](t)(c.IAMGroupsAPI.AddPermissionsToUserGroup(ctx, created.Id).
		AddPermissionsToUserGroupV1Input(api.AddPermissionsToUserGroupV1Input{Permissions: asked}).Execute())
	one := unpack[api.GetUserGroup200Response](t)(c.IAMGroupsAPI.GetUserGroup(ctx, created.Id).Execute())
	equal(t, "permissions", 2, len(one.Data.UserGroup.Permissions))
	unpack[api.ReplacePermissionsForUserGroup200Response](t)(c.IAMGroupsAPI.ReplacePermissionsForUserGroup(ctx, created.Id).
		ReplacePermissionsForUserGroupV1Input(api.ReplacePermissionsForUserGroupV1Input{Permissions: asked}).Execute())
	unpack[api.DeleteUserGroup200Response](t)(c.IAMGroupsAPI.DeleteUserGroup(ctx, created.Id).Execute())

	unpack[api.ListRoles200Response](t)(c.IAMRolesAPI.ListRoles(ctx).Pagination(pagination).Execute())
	sources := unpack[api.ListSources200Response](t)(c.SourcesAPI.ListSources(ctx).Pagination(pagination).Execute())
	equal(t, "write keys", demo.Sources[0].WriteKeys, sources.Data.Sources[0].WriteKeys)
	unpack[api.GetSource200Response](t)(c.SourcesAPI.GetSource(ctx, demo.Sources[0].ID).Execute())
	unpack[api.ListWarehouses200Response](t)(c.WarehousesAPI.ListWarehouses(ctx).Pagination(pagination).Execute())
	warehouse := unpack[api.GetWarehouse200Response](t)(c.WarehousesAPI.GetWarehouse(ctx, demo.Warehouses[0].ID).Execute())
	equal(t, "name", any(`"Analytics"`), warehouse.Data.Warehouse.Settings["name"])
	unpack[api.ListFunctions200Response](t)(c.FunctionsAPI.ListFunctions(ctx).ResourceType("DESTINATION").Pagination(pagination).Execute())
	function := unpack[api.GetFunction200Response](t)(c.FunctionsAPI.GetFunction(ctx, demo.Functions[0].ID).Execute())
	equal(t, "code", demo.Functions[0].Code, function.Data.Function.Get().GetCode())
	unpack[api.ListSpaces200Response](t)(c.SpacesAPI.ListSpaces(ctx).Pagination(pagination).Execute())
	unpack[api.GetSpace200Response](t)(c.SpacesAPI.GetSpace(ctx, demo.Spaces[0].ID).Execute())

	label := api.LabelV1{Key: "team", Value: "growth"}
	unpack[api.CreateLabel201Response](t)(c.LabelsAPI.CreateLabel(ctx).CreateLabelV1Input(api.CreateLabelV1Input{Label: label}).Execute())
	labels := unpack[api.ListLabels200Response](t)(c.LabelsAPI.ListLabels(ctx).Execute())
	if !slices.ContainsFunc(labels.Data.Labels, func(l api.LabelV1) bool { return l.Key == "team" }) {
		t.Error("the new label is not listed")
	}
	unpack[api.DeleteLabel200Response](t)(c.LabelsAPI.DeleteLabel(ctx, "team", "growth").Execute())

	events := unpack[api.ListAuditEvents200Response](t)(c.AuditTrailAPI.ListAuditEvents(ctx).StartTime("2025-01-02T00:00:00+02:00").
		ResourceId("team:growth").ResourceType("LABEL").Pagination(pagination).Execute())
	equal(t, "newest event", "Label Deleted", events.Data.Events[0].Type)

	after := s.Workspace()
	equal(t, "users left", len(demo.Users)-2, len(after.Users))
	equal(t, "groups left", len(demo.Groups), len(after.Groups))
}

// Other connectors use the plural path, but no official client does.
func TestRemoveMembers_OnTheSingularPathOnly(t *testing.T) {
	t.Parallel()
	s := New(Demo())
	w := newRawClient(t, s)
	g := Demo().Groups[0]
	for _, method := range []string{http.MethodDelete, http.MethodPut} {
		w.want(t, http.StatusNotFound, method, "/groups/"+g.ID+"/users?emails.0="+g.Members[0], "")
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		w.want(t, http.StatusNotFound, method, "/group/"+g.ID+"/users", "")
	}
	equal(t, "members", g.Members, s.Workspace().Groups[0].Members)
	w.want(t, http.StatusOK, http.MethodDelete, "/group/"+g.ID+"/users?emails.0="+g.Members[0], "")
	equal(t, "members", g.Members[1:], s.Workspace().Groups[0].Members)
}
