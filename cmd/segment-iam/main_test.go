package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/baton-segment/baton-segment/connector"
	"github.com/baton-segment/baton-segment/connector/inprocess"
	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// syncFile syncs a workspace into a new file.
func syncFile(t *testing.T, s simtest.Server) string {
	t.Helper()
	segment, err := connector.New(t.Context(), connector.Options{Token: s.Token(), BaseURL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	runner, err := inprocess.New(t.Context(), segment)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sync.c1z")
	if err = errors.Join(runner.Sync(t.Context(), file), runner.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	return file
}

// The files of the workspaces that most tests are about.
var (
	demoFile    = sharedFile{of: sim.Demo}
	hostileFile = sharedFile{of: sim.Hostile}
)

// A sharedFile is synced once for all tests.
type sharedFile struct {
	of      func() *sim.Workspace
	once    sync.Once
	content []byte
}

// copy returns a copy of the file that belongs to the test.
func (f *sharedFile) copy(t *testing.T) string {
	t.Helper()
	f.once.Do(func() {
		content, err := os.ReadFile(syncFile(t, simtest.Serve(t, f.of())))
		if err != nil {
			t.Fatal(err)
		}
		f.content = content
	})
	file := filepath.Join(t.TempDir(), "sync.c1z")
	if err := os.WriteFile(file, f.content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

type result struct {
	code           int
	stdout, stderr string
}

func runArgs(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// mustRun runs a command that must succeed, and returns what it prints.
func mustRun(t *testing.T, args ...string) string {
	t.Helper()
	r := runArgs(t, args...)
	if r.code != 0 || r.stderr != "" {
		t.Fatalf("segment-iam %q: exit code %d\n%s", args, r.code, r.stderr)
	}
	return r.stdout
}

// A golden file is what a command prints about a workspace.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o750), os.WriteFile(file, []byte(got), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// The commands of the golden files, by the name of the file.
var goldenCommands = map[string]map[string][]string{
	"demo": {
		"owners": {"owners"}, "who-source": {"who", "Web Shop"}, "who-space": {"who", "marketing"}, "who-function": {"who", "Fraud Check (Velo Northwind)"},
		"who-warehouse": {"who", "Analytics"}, "who-role": {"who", "Source Admin"}, "who-label": {"who", "environment=prod"},
		"who-group": {"who", "Data Platform"}, "what-user": {"what", "rosa.jimenez@example.com"}, "what-invite": {"what", "paolo.ricci@example.com"},
	},
	"hostile": {
		"owners": {"owners"}, "who-unlisted": {"who", "source-deleted"}, "who-set": {"who", "environment=prod,team=growth"},
		"who-role": {"who", "role-unlisted"}, "what-malformed": {"what", "user-malformed"}, "what-odd": {"what", "user-label-odd"},
		"who-group": {"who", "--type", "group", "group-shares"},
	},
}

func TestCommands_Golden(t *testing.T) {
	t.Parallel()
	for name, ws := range map[string]*sim.Workspace{"demo": sim.Demo(), "hostile": sim.Hostile()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := syncFile(t, simtest.Serve(t, ws))
			for command, args := range goldenCommands[name] {
				for _, format := range formats {
					golden(t, filepath.Join(name, command+"."+format), mustRun(t, append(args, "-f", file, "-o", format)...))
				}
			}
		})
	}
}

// Changes by a grant, a removal, a membership and an accepted invite.
func TestDiff_Golden(t *testing.T) {
	t.Parallel()
	s := simtest.Serve(t, sim.Demo())
	before := syncFile(t, s)
	s.Update(func(ws *sim.Workspace) {
		ws.Users = ws.Users[:len(ws.Users)-1]
		ws.Users[9].Permissions = append(ws.Users[9].Permissions, ws.Users[5].Permissions[1])
		ws.Groups[0].Members = append(ws.Groups[0].Members, ws.Users[9].Email)
		ws.Users = append(ws.Users, sim.User{ID: "accepted", Name: "Noor van Dijk", Email: ws.Invites[0].Email})
		ws.Invites = ws.Invites[1:]
	})
	after := syncFile(t, s)
	for _, format := range formats {
		golden(t, filepath.Join("demo", "diff."+format), mustRun(t, "diff", before, after, "-o", format))
	}
	if got := mustRun(t, "diff", before, before); !strings.Contains(got, "\nnothing\n") {
		t.Errorf("a file differs from itself:\n%s", got)
	}
}

// The workspace itself gives the same answers as its file, and is only read.
func TestLive_SameAnswersReadOnly(t *testing.T) {
	for name, ws := range map[string]*sim.Workspace{"demo": sim.Demo(), "hostile": sim.Hostile()} {
		s := simtest.Serve(t, ws)
		file := syncFile(t, s)
		t.Setenv("BATON_TOKEN", s.Token())
		t.Setenv("BATON_BASE_URL", s.URL)
		for _, args := range goldenCommands[name] {
			args = append(args, "-o", "json")
			live := runArgs(t, append(args, "--live")...)
			if hint := strings.Contains(live.stderr, "DESTINATION (4)"); live.code != 0 || hint != (name == "hostile") {
				t.Errorf("%q: exit code %d\n%s", args, live.code, live.stderr)
			}
			// The file has shorter names where Baton takes no longer ones.
			if diff := cmp.Diff(mustRun(t, append(args, "-f", file)...), live.stdout); name == "demo" && diff != "" {
				t.Errorf("%q differs (-file +live):\n%s", args, diff)
			}
		}
		for _, r := range s.Journal() {
			if r.Method != http.MethodGet {
				t.Errorf("%s: %s %s was sent", name, r.Method, r.Path)
			}
		}
	}
}

func TestReadOnly_RefusesWrites(t *testing.T) {
	t.Parallel()
	s := simtest.Serve(t, sim.Demo())
	set := settings{token: s.Token(), baseURL: s.URL}
	client, err := set.client()
	if err != nil {
		t.Fatal(err)
	}
	if _, err = client.Groups.Create(t.Context(), "New"); !errors.Is(err, errReadOnly) {
		t.Errorf("creating a group returns %v", err)
	}
	for _, r := range s.Journal() {
		if r.Method != http.MethodGet {
			t.Errorf("%s %s was sent", r.Method, r.Path)
		}
	}
}

func TestRun_ExitCodes(t *testing.T) {
	t.Setenv("BATON_TOKEN", "")
	file := hostileFile.copy(t)
	for name, tt := range map[string]struct {
		args []string
		code int
		says string
	}{
		"help":                 {[]string{"--help"}, 0, ""},
		"version":              {[]string{"--version"}, 0, ""},
		"completion":           {[]string{"completion", "bash"}, 0, ""},
		"not found":            {[]string{"who", "nothing of this name", "-f", file}, exitNotFound, `no source, space, function, warehouse, role, label, group "nothing of this name"`},
		"a near miss":          {[]string{"who", "source-delete", "-f", file}, exitNotFound, "did you mean:\n  source     source-deleted"},
		"a typing error":       {[]string{"what", "user-malfromed", "-f", file}, exitNotFound, "user-malformed"},
		"ambiguous":            {[]string{"who", "same name", "-f", file}, exitNotFound, "may be any of these"},
		"no such command":      {[]string{"whom"}, exitUsage, `"whom" is not a command`},
		"no such flag":         {[]string{"who", "x", "--loud"}, exitUsage, "--loud"},
		"no such format":       {[]string{"owners", "-o", "xml"}, exitUsage, "use one of table, csv, json"},
		"no such type":         {[]string{"who", "x", "--type", "user"}, exitUsage, "use one of source"},
		"no argument":          {[]string{"who"}, exitUsage, "who takes one thing"},
		"too many arguments":   {[]string{"owners", "x"}, exitUsage, "owners takes no argument"},
		"file and live":        {[]string{"owners", "--live", "-f", file}, exitUsage, "live"},
		"live without a token": {[]string{"owners", "--live"}, exitUsage, "BATON_TOKEN"},
		"an unknown region":    {[]string{"owners", "--live", "--token", "t", "--region", "mars"}, exitUsage, "mars"},
		"no such file":         {[]string{"owners", "-f", "absent.c1z"}, exitFailed, "there is no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			r := runArgs(t, tt.args...)
			if r.code != tt.code || !strings.Contains(r.stderr, tt.says) {
				t.Errorf("exit code %d, want %d; stderr, want %q:\n%s", r.code, tt.code, tt.says, r.stderr)
			}
			if r.code != 0 && r.stdout != "" {
				t.Errorf("stdout:\n%s", r.stdout)
			}
		})
	}
}

// Names that a spreadsheet would run, or that would change what a terminal shows, do
// neither.
func TestOutput_HostileNames(t *testing.T) {
	t.Parallel()
	ws := sim.Demo()
	const formula = `=cmd|' /C notepad'!'A1'`
	const evil = "evil\x1b[31m\x07\nname\u202e"
	ws.Users[0].Name, ws.Users[1].Name = formula, evil
	ws.Users = append(ws.Users, sim.User{ID: "new", Name: evil, Email: "new@example.com"})
	ws.Labels = append(ws.Labels, sim.Label{Key: evil, Value: "1"})
	file := syncFile(t, simtest.Serve(t, ws))
	rows, err := csv.NewReader(strings.NewReader(mustRun(t, "owners", "-f", file, "-o", "csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got := rows[1][0] + rows[2][0]; !strings.Contains(got, "'"+formula) {
		t.Errorf("the name is %q", got)
	}
	before := demoFile.copy(t)
	miss := runArgs(t, "who", "evil", "-f", file)
	for name, text := range map[string]string{
		"owners": mustRun(t, "owners", "-f", file), "what": mustRun(t, "what", ws.Users[1].ID, "-f", file),
		"diff": mustRun(t, "diff", before, file), "suggestions": miss.stderr,
	} {
		if !strings.Contains(text, "evil") {
			t.Errorf("%s lacks the name:\n%s", name, text)
		}
		for _, r := range text {
			if r != '\n' && (r < ' ' || r == '\u202e') {
				t.Errorf("%s has the character %q", name, r)
			}
		}
	}
	var answer thingAnswer
	if err = json.Unmarshal([]byte(mustRun(t, "owners", "-f", file, "-o", "json")), &answer); err != nil {
		t.Fatal(err)
	}
	if got := answer.Paths[0].Person.Name; got != formula {
		t.Errorf("JSON has the name %q", got)
	}
}

// The JSON of answers, as programs may rely on it. Fields that an answer does not name
// here must not be in it.
type (
	jsonThing  struct{ Type, ID, Name *string }
	jsonPerson struct{ Type, ID, Email, Name *string }
	jsonPath   struct {
		Person *jsonPerson
		Role   *struct{ ID, Name *string }
		HeldOn *jsonThing `json:"held_on"`
		Group  *jsonThing
		When   *string
		ByName bool `json:"by_name"`
		// The resource is in the answers of what, and in those over several workspaces.
		Resource  *jsonThing
		Reaches   map[string]int
		Workspace *jsonThing
	}
	jsonWho struct {
		Resource *jsonThing
		Paths    *[]jsonPath
	}
	jsonWhat struct {
		Person *jsonPerson
		Paths  *[]jsonPath
	}
	jsonDiff struct {
		Gained, Lost *[]jsonPath
		People       *struct{ Came, Went *[]jsonPerson }
	}
)

func TestJSON_Contract(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		if filepath.Base(filepath.Dir(file)) == "doctor" {
			continue // It has a contract of its own.
		}
		var paths []jsonPath
		switch {
		case strings.HasPrefix(name, "what"):
			answer := decodeStrictly[jsonWhat](t, file, content)
			checkComplete(t, file, answer.Person, answer.Paths)
			paths = *answer.Paths
		case strings.HasPrefix(name, "diff"):
			answer := decodeStrictly[jsonDiff](t, file, content)
			checkComplete(t, file, answer.Gained, answer.Lost, answer.People, answer.People.Came, answer.People.Went)
			paths = append(*answer.Gained, *answer.Lost...)
		default:
			answer := decodeStrictly[jsonWho](t, file, content)
			checkComplete(t, file, answer.Resource, answer.Paths)
			paths = *answer.Paths
		}
		for _, p := range paths {
			checkComplete(t, file, p.Person, p.Role, p.HeldOn, p.When, p.Person.Type, p.Person.ID, p.Person.Email, p.Person.Name, p.Role.ID, p.Role.Name, p.HeldOn.Type, p.HeldOn.ID, p.HeldOn.Name)
			several := filepath.Base(filepath.Dir(file)) == "several"
			if (p.Resource != nil) != (several || strings.HasPrefix(name, "what")) || (p.Workspace != nil) != several {
				t.Errorf("%s: the resource of a path is %v, its workspace %v", file, p.Resource, p.Workspace)
			}
			if several {
				checkComplete(t, file, p.Workspace.Type, p.Workspace.ID, p.Workspace.Name, p.Resource.Type, p.Resource.ID, p.Resource.Name)
			}
			if !slices.Contains([]string{"now", "accepted", "if labeled"}, *p.When) {
				t.Errorf("%s: when is %q", file, *p.When)
			}
		}
	}
}

func decodeStrictly[T any](t *testing.T, file string, content []byte) T {
	t.Helper()
	var answer T
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(&answer); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return answer
}

// checkComplete fails the test if a field is missing or null.
func checkComplete(t *testing.T, file string, fields ...any) {
	t.Helper()
	for i, f := range fields {
		if reflect.ValueOf(f).IsNil() {
			t.Fatalf("%s: field %d is missing", file, i)
		}
	}
}
