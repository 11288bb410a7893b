package main

import (
	"bytes"
	"context"
	"go/ast"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// An edit is a change to a file that a later version of the client might have.
type edit struct{ file, old, changed string }

// apply returns the edited content of a file in the folder of the generated package.
func (e edit) apply(t *testing.T, dir string) []byte {
	t.Helper()
	content := string(simtest.Must(os.ReadFile(filepath.Join(dir, e.file)))(t))
	if !strings.Contains(content, e.old) {
		t.Fatalf("%s does not contain %q", e.file, e.old)
	}
	return []byte(strings.ReplaceAll(content, e.old, e.changed))
}

// clientFolder returns the folder of the generated package in use.
var clientFolder = sync.OnceValues(func() (string, error) {
	_, dir, err := module{}.client(context.Background())
	return dir, err
})

// clientFiles returns the parsed files of the generated package in use. Parsing them
// takes seconds with the race detector.
var clientFiles = sync.OnceValues(func() (map[string]*ast.File, error) {
	dir, err := clientFolder()
	if err != nil {
		return nil, err
	}
	return parseClient(dir)
})

// factsWith returns the facts of the client in use with an edit.
func factsWith(t *testing.T, e edit, operations []string) facts {
	t.Helper()
	files := maps.Clone(simtest.Must(clientFiles())(t))
	files[e.file] = simtest.Must(parseFile(e.file, e.apply(t, simtest.Must(clientFolder())(t))))(t)
	return simtest.Must(newSource(files).facts(operations))(t)
}

// edited returns the folder of a copy of the client in use, with an edit.
func edited(t *testing.T, e edit) string {
	t.Helper()
	api := simtest.Must(clientFolder())(t)
	folder := t.TempDir()
	if err := os.CopyFS(filepath.Join(folder, "api"), os.DirFS(api)); err != nil {
		t.Fatal(err)
	}
	gomod := simtest.Must(os.ReadFile(filepath.Join(api, "..", "go.mod")))(t)
	if err := os.WriteFile(filepath.Join(folder, "go.mod"), gomod, 0o600); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(folder, "api", e.file)
	// Files from the module cache are read-only.
	if err := os.Chmod(name, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, e.apply(t, api), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// diff has each kind of change in the operations that are used, and no other changes.
func TestFacts_Diff(t *testing.T) {
	t.Parallel()
	operations := simtest.Must(usedOperations())(t)
	before := simtest.Must(factsOf(simtest.Must(clientFolder())(t), operations))(t)
	for _, id := range operations {
		for _, status := range []string{"404", "422", "429"} {
			if _, ok := before[id+" has "+status]; !ok || before[id] == "" {
				t.Errorf("%s is not described", id)
			}
		}
	}
	for name, c := range map[string]struct {
		edit edit
		want string
	}{
		"nothing":          {edit{"api_iam_roles.go", "bytes", "bytes"}, ""},
		"what is not used": {edit{"api_destinations.go", `localBasePath + "/destinations"`, `localBasePath + "/targets"`}, ""},
		"field removed": {
			edit{"model_role_v1.go", "\tDescription string `json:\"description\"`\n", ""},
			"- RoleV1.Description: string `json:\"description\"`\n- RoleV1.Description says: The human-readable description of the role.",
		},
		"field added": {
			edit{"model_role_v1.go", "type RoleV1 struct {\n", "type RoleV1 struct {\n\tRetired *bool `json:\"retired,omitempty\"`\n"},
			"+ RoleV1.Retired: *bool `json:\"retired,omitempty\"`",
		},
		"field of another type": {
			edit{"model_workspace_v1.go", "Slug string `json:\"slug\"`", "Slug int32 `json:\"slug\"`"},
			"- WorkspaceV1.Slug: string `json:\"slug\"`\n+ WorkspaceV1.Slug: int32 `json:\"slug\"`",
		},
		"field optional": {
			edit{"model_workspace_v1.go", "Slug string `json:\"slug\"`", "Slug *string `json:\"slug,omitempty\"`"},
			"- WorkspaceV1.Slug: string `json:\"slug\"`\n+ WorkspaceV1.Slug: *string `json:\"slug,omitempty\"`",
		},
		"path": {
			edit{"api_iam_groups.go", `"/group/{userGroupId}/users"`, `"/groups/{userGroupId}/members"`},
			"- removeUsersFromUserGroup has \"/group/{userGroupId}/users\"\n+ removeUsersFromUserGroup has \"/groups/{userGroupId}/members\"" +
				"\n- replaceUsersInUserGroup has \"/group/{userGroupId}/users\"\n+ replaceUsersInUserGroup has \"/groups/{userGroupId}/members\"",
		},
		"method": {
			edit{"api_iam_groups.go", "http.MethodPatch", "http.MethodPut"},
			"- updateUserGroup has http.MethodPatch\n+ updateUserGroup has http.MethodPut",
		},
		"query": {
			edit{"api_functions.go", `"resourceType"`, `"kind"`},
			"+ listFunctions has \"kind\"\n- listFunctions has \"resourceType\"",
		},
		"parameter of the request": {
			edit{"api_iam_roles.go", "pagination *PaginationInput\n", "pagination *PaginationInput\n\tfilter *string\n"},
			"+ ApiListRolesRequest.filter: *string",
		},
		"parameter of the method": {
			edit{"api_iam_roles.go", "ListRoles(ctx context.Context)", "ListRoles(ctx context.Context, scope string)"},
			"- listRoles: IAMRolesAPIService.ListRoles(ctx context.Context) ApiListRolesRequest" +
				"\n+ listRoles: IAMRolesAPIService.ListRoles(ctx context.Context, scope string) ApiListRolesRequest",
		},
		"version of the API": {
			edit{"api_iam_roles.go", "\t\t\"application/vnd.segment.v1+json\",\n", ""},
			`- listRoles has "application/vnd.segment.v1+json"`,
		},
		"errors": {
			edit{"api_iam_roles.go", "StatusCode == 422", "StatusCode == 400"},
			"+ listRoles has 400\n- listRoles has 422",
		},
		"documentation": {
			edit{"api_iam_roles.go", "Returns a list of Roles", "This endpoint is in Alpha.\n\nReturns a list of Roles"},
			"+ listRoles says: This endpoint is in Alpha.",
		},
		"decoding": {
			edit{"model_role_v1.go", "func (o RoleV1) ToMap()", "func (o *RoleV1) UnmarshalJSON([]byte) error { return nil }\n\nfunc (o RoleV1) ToMap()"},
			"- RoleV1: struct\n+ RoleV1: struct with a way of its own to decode JSON",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			after := factsWith(t, c.edit, operations)
			if diff := cmp.Diff(c.want, strings.Join(before.diff(after), "\n")); diff != "" {
				t.Errorf("shown (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("operation removed", func(t *testing.T) {
		t.Parallel()
		after := factsWith(t, edit{"api_labels.go", ") ListLabels(", ") ListAllLabels("}, operations)
		lines := strings.Join(before.diff(after), "\n")
		for _, want := range []string{"- listLabels: LabelsAPIService.ListLabels(ctx context.Context) ApiListLabelsRequest\n", "- listLabels has \"/labels\"\n"} {
			if !strings.Contains(lines, want) {
				t.Errorf("%q is not shown:\n%s", want, lines)
			}
		}
	})
}

// If the program cannot read a client, it does not report the client as unchanged.
func TestFactsOf_UnreadableClient(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		folder, want string
	}{
		"another form of code": {edited(t, edit{"api_iam_roles.go", `localBasePath + "/roles"`, "a.path()"}), "listRoles: the code of the client no longer shows its method and path"},
		"no Go":                {edited(t, edit{"api_iam_roles.go", "package api", "pack age"}), "expected 'package'"},
		"no client":            {t.TempDir(), "holds no service of the official client"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := factsOf(filepath.Join(c.folder, "api"), simtest.Must(usedOperations())(t)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

// A whole run needs no network, tests the client with the contract, and leaves the
// module as it is.
func TestTry(t *testing.T) {
	t.Setenv("GOPROXY", "off")
	// The compiled packages of the edited copy then do not depend on its folder, so that
	// the next run finds them in the build cache. Those of a release are shared as well.
	t.Setenv("GOFLAGS", "-trimpath -buildvcs=false")
	t.Setenv("CGO_ENABLED", "0")
	scratch := t.TempDir()
	t.Setenv("TMPDIR", scratch)
	root := filepath.Join("..", "..", "..")
	current := simtest.Must(module{}.output(t.Context(), "list", "-m", "-f", "{{.Version}}", official))(t)
	for _, c := range []struct {
		name, client, want, err string
	}{
		{"same version", current, "\n  nothing\nok  \t", ""},
		{
			"copy with another path", edited(t, edit{"api_iam_roles.go", `localBasePath + "/roles"`, `localBasePath + "/iam/roles"`}),
			"\n  + listRoles has \"/iam/roles\"\n  - listRoles has \"/roles\"\n--- FAIL: TestOfficialClient", "the tests do not pass with this client: go test: exit status 1",
		},
		{"no such version", "v0.0.0-20250113195817-000000000000", "", "no client v0.0.0-20250113195817-000000000000: "},
		{"no such folder", filepath.Join(t.TempDir(), "none"), "", "does not exist"},
		{"no version", "latest version", "", "latest version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := files(t, root)
			var out bytes.Buffer
			err := try(t.Context(), &out, c.client, []string{"-run=^TestOfficialClient$", "./internal/contract"})
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("got %v, want an error with %q", err, c.err)
			}
			if !strings.Contains(out.String(), c.want) {
				t.Errorf("%q is not in the output:\n%s", c.want, out.String())
			}
			if diff := cmp.Diff(before, files(t, root)); diff != "" {
				t.Errorf("the module changed (-before +after):\n%s", diff)
			}
		})
	}
	if left := simtest.Must(filepath.Glob(filepath.Join(scratch, "tryclient-*")))(t); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// The command of the guide for maintainers passes the client on, and fails if there is
// no such client.
func TestMake_TryClient(t *testing.T) {
	t.Parallel()
	const none = "v0.0.0-20250113195817-000000000000"
	cmd := exec.CommandContext(t.Context(), "make", "try-client", "CLIENT="+none)
	cmd.Dir, cmd.Env = filepath.Join("..", "..", ".."), append(os.Environ(), "GOPROXY=off")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "tryclient: no client "+none) {
		t.Errorf("make try-client: %v\n%s", err, out)
	}
	cmd = exec.CommandContext(t.Context(), "make", "-n", "--no-print-directory", "try-client", "CLIENT="+none)
	cmd.Dir = filepath.Join("..", "..", "..")
	if out, err = cmd.Output(); err != nil || !strings.Contains(string(out), "'"+none+"' ./internal/contract ./segmentapi\n") {
		t.Errorf("make -n try-client: %v\n%s", err, out)
	}
}

func files(t *testing.T, root string) map[string]string {
	t.Helper()
	content := map[string]string{}
	for _, name := range []string{"go.mod", "go.sum"} {
		content[name] = string(simtest.Must(os.ReadFile(filepath.Join(root, name)))(t))
	}
	return content
}
