package segmentapitest_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/segmentapitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWhatATestAddsIsServed(t *testing.T) {
	t.Parallel()
	server := segmentapitest.NewServer(t, segmentapitest.WithWorkspace("empty"))
	ctx := t.Context()
	admin, err := server.Client.Roles.Find(ctx, segmentapi.RoleSourceAdmin)
	if err != nil {
		t.Fatal(err)
	}
	permission := segmentapi.Permission{RoleID: admin.ID, RoleName: admin.Name, Scopes: []segmentapi.Scope{
		segmentapi.OnLabels(segmentapi.Label{Key: "environment", Value: "prod"}),
	}}

	// A role that no list has.
	retired := segmentapi.Permission{RoleID: "retired", RoleName: "Retired", Scopes: []segmentapi.Scope{{Type: segmentapi.ScopeSource, ID: "deleted"}}}
	user := server.AddUser(segmentapi.User{Name: "Ada", Email: "ada@example.com", Permissions: []segmentapi.Permission{permission, retired}})
	server.AddInvite("bob@example.com")
	group := server.AddGroup(segmentapi.Group{Name: "Admins", Permissions: []segmentapi.Permission{permission}}, "ada@example.com", "bob@example.com")

	for _, added := range [][]segmentapi.Permission{user.Permissions, group.Permissions} {
		if id := added[0].Scopes[0].ID; id != server.WorkspaceID() {
			t.Errorf("the workspace of a permission is %q", id)
		}
	}
	gotUser, err := server.Client.Users.Get(ctx, user.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&user, gotUser); diff != "" {
		t.Errorf("user (-added +served):\n%s", diff)
	}
	gotGroup, err := server.Client.Groups.Get(ctx, group.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&group, gotGroup); diff != "" {
		t.Errorf("group (-added +served):\n%s", diff)
	}
	want := []segmentapitest.Request{
		{Operation: "listRoles", Method: "GET", Path: "/roles", Query: "pagination[count]=1000", Status: 200},
		{Operation: "getUser", Method: "GET", Path: "/users/" + user.ID, Status: 200},
		{Operation: "getUserGroup", Method: "GET", Path: "/groups/" + group.ID, Status: 200},
	}
	if diff := cmp.Diff(want, server.Requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestNamedWorkspaces(t *testing.T) {
	t.Parallel()
	for name, users := range map[string]int{"empty": 0, "demo": 40, "hostile": 27, "sized:users=3,groups=2": 3} {
		server := segmentapitest.NewServer(t, segmentapitest.InProcess(), segmentapitest.WithWorkspace(name))
		page, err := server.Client.Users.List(t.Context(), segmentapi.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Items) != users {
			t.Errorf("%s has %d users, want %d", name, len(page.Items), users)
		}
	}
}

func TestFailAndRecover(t *testing.T) {
	t.Parallel()
	server := segmentapitest.NewServer(t)
	server.Fail("getUser", http.StatusForbidden)
	if _, err := server.Client.Users.Get(t.Context(), "nobody"); !errors.Is(err, segmentapi.ErrForbidden) {
		t.Errorf("error is %v", err)
	}
	server.Recover()
	if _, err := server.Client.Users.Get(t.Context(), "nobody"); !errors.Is(err, segmentapi.ErrNotFound) {
		t.Errorf("error is %v", err)
	}
}

func TestWaitsTakeNoTimeInProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := segmentapitest.NewServer(t, segmentapitest.InProcess(), segmentapitest.WithLimit(1000))
		if _, err := server.Client.Workspace.Get(t.Context()); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		server.RateLimit("getWorkspace", 20*time.Second)
		if _, err := server.Client.Workspace.Get(t.Context()); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited < 20*time.Second {
			t.Errorf("waited %v, was told 20 s", waited)
		}
		statuses := []int{}
		for _, r := range server.Requests() {
			statuses = append(statuses, r.Status)
		}
		if diff := cmp.Diff([]int{200, 429, 200}, statuses); diff != "" {
			t.Errorf("statuses (-want +got):\n%s", diff)
		}
	})
}

func TestStartPanicsWhereATestWouldEnd(t *testing.T) {
	t.Parallel()
	defer func() {
		if text, ok := recover().(string); !ok || !strings.Contains(text, `no workspace "huge"`) {
			t.Errorf("it says %q", text)
		}
	}()
	segmentapitest.Start(segmentapitest.WithWorkspace("huge"))
}
