package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// A block is a fenced block of a document, with the heading above it.
type block struct {
	heading, language, text string
}

// document reads a document of the repository and its blocks.
func document(t *testing.T, name string) (string, []block) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repository, name))
	if err != nil {
		t.Fatal(err)
	}
	var blocks []block
	heading := ""
	for _, m := range regexp.MustCompile("(?ms)^#+ ([^\n]*)$|^```(\\w*)\n(.*?)^```$").FindAllStringSubmatch(string(content), -1) {
		if m[1] != "" {
			heading = m[1]
			continue
		}
		blocks = append(blocks, block{heading: heading, language: m[2], text: m[3]})
	}
	return string(content), blocks
}

// Every command and program in the README works as printed. A block that no case
// runs is an error.
func TestReadme(t *testing.T) {
	t.Parallel()
	text, blocks := document(t, "README.md")
	for i, b := range blocks {
		t.Run(fmt.Sprintf("%d %s", i, b.language), func(t *testing.T) {
			t.Parallel()
			switch {
			case b.language == "sh" && b.text == "make demo\n":
				checkDemo(t)
			case b.language == "sh" && b.text == "make test\n":
				// It runs this test, so running it here would not end.
			case b.language == "sh" && strings.HasPrefix(b.text, "sha256sum "):
				checkArchive(t, b.text)
			case b.language == "sh" && strings.HasPrefix(b.text, "go install "):
				checkGoInstall(t, b.text)
			case b.language == "sh" && strings.HasPrefix(b.text, "export BATON_TOKEN="):
				checkRealUse(t, b.text)
			case b.language == "sh" && strings.Contains(b.text, "--sync-resources"):
				checkPartialUse(t, b.text)
			case b.language == "sh" && strings.Contains(b.text, "--grant-entitlement"):
				checkChanges(t, b.text)
			case b.language == "go":
				checkSnippet(t, b.text)
			default:
				t.Errorf("no case runs this block:\n%s", b.text)
			}
		})
	}
	checkTargets(t, text)
}

// checkTargets fails the test if the text names a make target that does not exist.
func checkTargets(t *testing.T, text string) {
	t.Helper()
	help := runIn(t, repository, nil, "make", "help").stdout
	for _, m := range regexp.MustCompile("(?m)(?:^|`)(make [a-z]+)(?:$|`)").FindAllStringSubmatch(text, -1) {
		if !strings.Contains(help, m[1]+" ") {
			t.Errorf("the README names %q, which make help does not list:\n%s", m[1], help)
		}
	}
}

// checkDemo runs the demo and compares its output with the workspace.
func checkDemo(t *testing.T) {
	t.Helper()
	r := runIn(t, repository, goEnv(t), "make", "demo", "BIN="+programs(t))
	if r.code != 0 {
		t.Fatalf("make demo: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if r.stderr != "" {
		t.Errorf("make demo prints to stderr:\n%s", r.stderr)
	}
	for part, want := range map[string]string{
		"who reaches a source": `(?m)^ Who reaches source Web Shop \(\S+\) *$`,
		"its owner":            `(?m)^ Ada Lindqvist <\S+> +Workspace Owner +the workspace +now *$`,
		"a group's role":       `(?m)^ Dana Whitfield <\S+> +Source Admin \* +label environment=prod +Data Platform +now *$`,
		"a person's access":    `(?m)^ What Dana Whitfield <\S+> reaches *$`,
		"what was granted":     `(?m)^ gained +Jonas Weber <\S+> +Source Admin +source Billing +now *$`,
		"next step":            `BATON_TOKEN=.*bin/baton-segment.*\n$`,
	} {
		if !regexp.MustCompile(want).MatchString(r.stdout) {
			t.Errorf("make demo does not show %s (%s):\n%s", part, want, r.stdout)
		}
	}
}

// checkRealUse runs the commands against the simulator, with its token in the
// place of the reader's and its address in the environment.
func checkRealUse(t *testing.T, commands string) {
	t.Helper()
	ws := sim.Demo()
	s := serve(t, ws)
	_, r := runScript(t, []string{"BATON_BASE_URL=" + s.URL}, commands, map[string]string{"<token>": s.Token()})
	for _, g := range expected(ws, builtTypes()).Grants {
		if !strings.Contains(r.stdout, g.ID) {
			t.Errorf("grant %s is not shown", g.ID)
		}
	}
}

// checkPartialUse runs the commands and compares the types in the files.
func checkPartialUse(t *testing.T, commands string) {
	t.Helper()
	ws := sim.Demo()
	s := serve(t, ws)
	dir, _ := runScript(t, s.Env(), commands, map[string]string{"<user id>": ws.Users[1].ID})
	for file, want := range map[string]map[string]int{
		"people.c1z": {typeUser: len(ws.Users), typeGroup: len(ws.Groups), typeRole: len(ws.Roles)},
		"person.c1z": {typeUser: 1, typeRole: len(ws.Users[1].Permissions), typeWorkspace: 1},
	} {
		got := map[string]int{}
		for _, r := range readFile(t, filepath.Join(dir, file)).resources {
			got[r.GetId().GetResourceType()]++
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("resources in %s by type (-want +got):\n%s", file, diff)
		}
	}
}

// checkChanges runs the commands after a sync, and compares the workspace with the
// changes that they name.
func checkChanges(t *testing.T, commands string) {
	t.Helper()
	ws := sim.Demo()
	s := serve(t, ws)
	source, group := ws.Sources[0], ws.Groups[0]
	admin, readOnly := ws.Roles[2], ws.Roles[3]
	leaver := ws.Users[len(ws.Users)-1]
	loser := ws.Users[slices.IndexFunc(ws.Users, func(u sim.User) bool {
		return len(u.Permissions) > 1 && u.Permissions[1].RoleID == readOnly.ID && u.Permissions[1].Resources[0].Type == "SOURCE"
	})]
	lost := loser.Permissions[1].Resources[0]
	const email = "new.colleague@example.com"
	runScript(t, s.Env(), "baton-segment -f sync.c1z\n"+commands, map[string]string{
		"<entitlement id>": "source:" + source.ID + ":" + admin.ID,
		"<user id>":        leaver.ID,
		"<grant id>":       "source:" + lost.ID + ":" + readOnly.ID + ":user:" + loser.ID,
		"<e-mail>":         email,
		"<group>":          group.Name,
	})
	granted := false
	for _, r := range s.Journal() {
		granted = granted || r.Path == "/users/"+leaver.ID+"/permissions" && r.Status == http.StatusOK
	}
	if !granted {
		t.Errorf("%s was granted nothing", leaver.Email)
	}
	// The last command removes the user who was granted the role.
	removeUserByID(leaver.ID)(ws)
	revokeRole(typeUser, loser.ID, readOnly.ID, lost)(ws)
	ws.Invites = append(ws.Invites, sim.Invite{
		Email: email, Permissions: []sim.Permission{{RoleID: readOnly.ID, Resources: []sim.Resource{onResource("WORKSPACE", ws.ID)}}},
	})
	addMember(group.ID, email)(ws)
	if diff := cmp.Diff(stateOf(ws), stateOf(s.Workspace()), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the commands leave the workspace (-want +got):\n%s", diff)
	}
}

// runScript runs commands of a document in a new folder.
func runScript(t *testing.T, env []string, commands string, values map[string]string) (string, result) {
	t.Helper()
	dir := t.TempDir()
	return dir, runScriptIn(t, dir, env, commands, values)
}

// runScriptIn runs commands in a folder, with the programs in PATH. They must succeed.
func runScriptIn(t *testing.T, dir string, env []string, commands string, values map[string]string) result {
	t.Helper()
	commands = fillIn(t, commands, values)
	r := runIn(t, dir, append(env, pathWithPrograms(t)), "sh", "-e", "-c", commands)
	if r.code != 0 {
		t.Fatalf("exit code %d\n%s\n%s%s", r.code, commands, r.stdout, r.stderr)
	}
	return r
}

// pathWithPrograms returns the variable PATH, with the programs first.
func pathWithPrograms(t *testing.T) string {
	t.Helper()
	return "PATH=" + programs(t) + string(os.PathListSeparator) + os.Getenv("PATH")
}

// fillIn replaces the placeholders in commands.
func fillIn(t *testing.T, commands string, values map[string]string) string {
	t.Helper()
	for placeholder, value := range values {
		if !strings.Contains(commands, placeholder) {
			t.Errorf("the commands do not contain %s", placeholder)
		}
		commands = strings.ReplaceAll(commands, placeholder, value)
	}
	if left := regexp.MustCompile("<[^<>\n]+>").FindString(commands); left != "" {
		t.Fatalf("no value replaces %s", left)
	}
	return commands
}

// checkSnippet compiles and runs a program, with the address of the simulator in
// the place of the region.
func checkSnippet(t *testing.T, program string) {
	t.Helper()
	ws := sim.Demo()
	s := serve(t, ws)
	redirected := strings.Replace(program, "segmentapi.WithRegion(segmentapi.RegionUS)", fmt.Sprintf("segmentapi.WithBaseURL(%q)", s.URL), 1)
	if redirected == program {
		t.Fatal("the program does not set a region")
	}
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(redirected), 0o600); err != nil {
		t.Fatal(err)
	}
	r := runIn(t, repository, append(goEnv(t), s.Env()...), "go", "run", file)
	if r.code != 0 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	var want strings.Builder
	roles := map[string]string{}
	for _, role := range ws.Roles {
		roles[role.ID] = role.Name
	}
	for _, u := range ws.Users {
		for _, p := range u.Permissions {
			fmt.Fprintln(&want, u.Email, "is", roles[p.RoleID])
		}
	}
	if diff := cmp.Diff(want.String(), r.stdout); diff != "" {
		t.Errorf("output of the program (-want +got):\n%s", diff)
	}
}

// goEnv returns the variables that the go command needs besides those of run.
func goEnv(t *testing.T) []string {
	t.Helper()
	names := map[string]bool{"HOME": true, "TMPDIR": true}
	var env []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "GO") || strings.HasPrefix(name, "CGO_") || names[name] {
			env = append(env, variable)
		}
	}
	return env
}
