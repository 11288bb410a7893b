package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// inBoth is a user of the demo workspace who is invited to the hostile one, in another
// spelling.
const inBoth = "rosa.jimenez@example.com"

func hostileWithInvite() *sim.Workspace {
	ws := sim.Hostile()
	email := strings.ToUpper(inBoth)
	ws.Invites = append(ws.Invites, sim.Invite{Email: email})
	i := slices.IndexFunc(ws.Groups, func(g sim.Group) bool { return g.ID == "group-shares" })
	ws.Groups[i].Members = append(ws.Groups[i].Members, email)
	return ws
}

// The commands of the golden files over the demo and the hostile workspace, by the name
// of the file.
var severalCommands = map[string][]string{
	"owners": {"owners"}, "who-role": {"who", "Source Read-only"}, "who-label": {"who", "environment=prod"}, "who-in-one": {"who", "Web Shop"},
	"who-unlisted": {"who", "source-deleted"}, "what-person": {"what", inBoth}, "what-in-one": {"what", "user-label-odd"},
}

func TestSeveral_Golden(t *testing.T) {
	t.Parallel()
	demo, hostile := demoFile.copy(t), syncFile(t, simtest.Serve(t, hostileWithInvite()))
	for command, args := range severalCommands {
		for _, format := range formats {
			r := runArgs(t, append(args, "-f", demo, "-f", hostile, "-o", format)...)
			golden(t, filepath.Join("several", command+"."+format), r.stdout)
			// A table ends with the workspaces that lack what is asked about. Beside an
			// answer for programs, they are named on stderr.
			lacking := (strings.HasSuffix(command, "in-one") || command == "who-unlisted") && format != formatTable
			if r.code != 0 || strings.Contains(r.stderr, " has no ") != lacking {
				t.Errorf("%s as %s: exit code %d, stderr:\n%s", command, format, r.code, r.stderr)
			}
		}
	}
}

// severalFiles syncs three workspaces that share roles, a label and people.
func severalFiles(t *testing.T) map[string]string {
	t.Helper()
	sized := sim.Sized(sim.Size{Users: 30, Groups: 4, Sources: 5, Warehouses: 1, Functions: 5, Spaces: 3, Invites: 3, Labels: 4, MembersPerGroup: 8})
	sized.Users[7].Email = inBoth
	sized.Labels = append(sized.Labels, sim.Label{Key: "environment", Value: "prod"})
	files := map[string]string{}
	for name, ws := range map[string]*sim.Workspace{"demo": sim.Demo(), "hostile": hostileWithInvite(), "sized": sized} {
		files[name] = syncFile(t, simtest.Serve(t, ws))
	}
	return files
}

// The answer over several workspaces is those over each, put together, whatever the order
// of the files.
func TestSeveral_UnionOfSingleAnswers(t *testing.T) {
	t.Parallel()
	files := severalFiles(t)
	for command, args := range severalCommands {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			single := map[string]part{}
			for name, file := range files {
				single[name] = singleAnswer(t, args, file)
			}
			for _, names := range [][]string{{"hostile", "demo"}, {"demo", "sized"}, {"sized", "hostile"}, {"hostile", "sized", "demo"}, {"demo", "hostile", "sized"}} {
				var want part
				all := slices.Clone(args)
				for _, name := range names {
					all = append(all, "-f", files[name])
					want.paths, want.rows = append(want.paths, single[name].paths...), append(want.rows, single[name].rows...)
				}
				if len(want.paths) == 0 {
					continue // None of the workspaces has it.
				}
				slices.SortStableFunc(want.paths, func(a, b access.Path) int { return strings.Compare(a.Workspace.Name, b.Workspace.Name) })
				slices.SortStableFunc(want.rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
				asJSON, asCSV := runArgs(t, append(all, "-o", formatJSON)...), runArgs(t, append(all, "-o", formatCSV)...)
				if diff := cmp.Diff(want.paths, decode(t, asJSON.stdout).Paths); diff != "" {
					t.Errorf("%v as JSON (-want +got):\n%s", names, diff)
				}
				if diff := cmp.Diff(want.rows, readCSV(t, asCSV.stdout)[1:]); diff != "" {
					t.Errorf("%v as CSV (-want +got):\n%s", names, diff)
				}
			}
		})
	}
}

// A part of an answer over several workspaces is about one of them.
type part struct {
	paths []access.Path
	rows  [][]string // Of CSV.
}

// singleAnswer returns what the answer from one file is to be among those of several. It
// is nothing if the workspace does not have what is asked about.
func singleAnswer(t *testing.T, args []string, file string) part {
	t.Helper()
	args = append(slices.Clone(args), "-f", file, "-o")
	r := runArgs(t, append(args, formatJSON)...)
	if r.code == exitNotFound {
		return part{}
	}
	workspace := decode(t, mustRun(t, "owners", "-f", file, "-o", formatJSON)).Resource
	single := decode(t, r.stdout)
	for i := range single.Paths {
		p := &single.Paths[i]
		p.Workspace = &workspace
		if p.Resource == nil {
			p.Resource = &single.Resource
		}
	}
	rows := readCSV(t, mustRun(t, append(args, formatCSV)...))[1:]
	for i := range rows {
		rows[i] = append([]string{workspace.Name, workspace.ID}, rows[i]...)
	}
	return part{single.Paths, rows}
}

func decode(t *testing.T, text string) thingAnswer {
	t.Helper()
	var a thingAnswer
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return a
}

func readCSV(t *testing.T, text string) [][]string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) == 0 {
		t.Fatalf("%v:\n%s", err, text)
	}
	return rows
}

func TestSeveral_ExitCodes(t *testing.T) {
	t.Parallel()
	s := simtest.Serve(t, sim.Demo())
	demo, later, hostile := syncFile(t, s), syncFile(t, s), hostileFile.copy(t)
	for name, tt := range map[string]struct {
		args []string
		code int
		says []string
	}{
		"in no workspace":        {[]string{"who", "nothing of this name", "-f", demo, "-f", hostile}, exitNotFound, []string{"workspace Velo Northwind has no source,", "\nworkspace " + sim.Hostile().Name + " has no source,"}},
		"ambiguous in one":       {[]string{"who", "same name", "-f", demo, "-f", hostile}, exitNotFound, []string{"so use the id:", "  in workspace " + sim.Hostile().Name}},
		"same workspace twice":   {[]string{"owners", "-f", demo, "-f", hostile, "-f", later}, exitUsage, []string{demo + " and " + later + " are both of workspace Velo Northwind (hX5kzTqWvN2bRc8JmYpL4d)", "segment-iam diff"}},
		"the second file absent": {[]string{"owners", "-f", demo, "-f", "absent.c1z"}, exitFailed, []string{"absent.c1z", "there is no such file"}},
		"files and live":         {[]string{"owners", "--live", "-f", demo, "-f", hostile}, exitUsage, []string{"--live"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := runArgs(t, tt.args...)
			if r.code != tt.code || r.stdout != "" {
				t.Errorf("exit code %d, want %d; stdout:\n%s", r.code, tt.code, r.stdout)
			}
			for _, text := range tt.says {
				if !strings.Contains(r.stderr, text) {
					t.Errorf("stderr lacks %q:\n%s", text, r.stderr)
				}
			}
		})
	}
}

// The flag for the format belongs to the commands that print an answer, and may come
// before their names.
func TestOutputFlag(t *testing.T) {
	t.Parallel()
	file := demoFile.copy(t)
	after, before := mustRun(t, "owners", "-f", file, "-o", "json"), mustRun(t, "-o", "json", "-f", file, "owners")
	if before != after {
		t.Errorf("segment-iam -o json owners differs:\n%s", cmp.Diff(after, before))
	}
	for _, args := range [][]string{{"who", "x"}, {"what", "x"}, {"owners"}, {"diff", "a", "b"}} {
		if r := runArgs(t, append(args, "-o", "xml")...); r.code != exitUsage || !strings.Contains(r.stderr, "use one of table, csv, json") {
			t.Errorf("%s -o xml: exit code %d\n%s", args[0], r.code, r.stderr)
		}
		if r := runArgs(t, "__complete", args[0], "-o", ""); !strings.HasPrefix(r.stdout, "table\ncsv\njson\n") {
			t.Errorf("completions of %s -o: %q", args[0], r.stdout)
		}
	}
	if r := runArgs(t, "completion", "bash", "-o", "json"); r.code != exitUsage {
		t.Errorf("completion -o json: exit code %d", r.code)
	}
	for _, command := range []string{"who", "what", "owners"} {
		if help := mustRun(t, command, "--help"); !strings.Contains(help, "-f, --file FILE") || !strings.Contains(help, "may be repeated") {
			t.Errorf("%s --help does not say that -f may be repeated:\n%s", command, help)
		}
	}
}

func TestFind_SeveralWorkspaces(t *testing.T) {
	t.Parallel()
	snapshot := func(name string, groups []access.Group, resources []access.Resource, people ...access.Person) *access.Snapshot {
		return &access.Snapshot{Workspace: segmentapi.Workspace{ID: "id-" + name, Name: name}, Groups: groups, Resources: resources, People: people}
	}
	web := []access.Resource{{Type: access.TypeSource, ID: "s1", Name: "Web"}}
	user := access.Person{Type: access.TypeUser, ID: "u1", Email: "ann@example.com", Name: "Ann"}
	invite := access.Person{Type: access.TypeInvite, ID: "ANN@example.com", Email: "ANN@example.com"}
	namesake := access.Person{Type: access.TypeUser, ID: "u2", Email: "ann@example.org", Name: "Ann"}
	renamed := access.Person{Type: access.TypeUser, ID: "u1", Email: "ann.lee@example.com", Name: "Ann"}
	first := snapshot("First", nil, web, user)
	for name, tt := range map[string]struct {
		second *access.Snapshot
		text   string
		types  []string
		says   string // Empty if the text is not ambiguous.
		lacks  string
	}{
		"same type":   {second: snapshot("Second", nil, []access.Resource{{Type: access.TypeSource, ID: "s2", Name: "web"}}), text: "Web", types: thingTypes},
		"other types": {second: snapshot("Second", []access.Group{{ID: "g1", Name: "Web"}}, nil), text: "Web", types: thingTypes, says: "so use --type or the id:\n  source     s1  Web  in workspace First\n  group      g1  Web  in workspace Second"},
		"one type is asked for": {
			second: snapshot("Second", []access.Group{{ID: "g1", Name: "Web"}}, nil), text: "Web", types: []string{access.TypeSource},
			lacks: `workspace Second has no source "Web" (and none at all of: source)`,
		},
		"several of one type": {
			second: snapshot("Second", nil, []access.Resource{{Type: access.TypeSource, ID: "s2", Name: "Web"}, {Type: access.TypeSource, ID: "s3", Name: "Web"}}),
			text:   "Web", types: thingTypes, says: "so use the id:\n  source     s1  Web  in workspace First\n  source     s2  Web  in workspace Second\n  source     s3  Web  in workspace Second",
		},
		"near miss":        {second: snapshot("Second", []access.Group{{ID: "g1", Name: "Web site"}}, []access.Resource{{Type: access.TypeSource, ID: "s2", Name: "Web shop"}}), text: "Web", types: thingTypes, lacks: "workspace Second has no source \"Web\"; did you mean:\n  source     s2  Web shop"},
		"user and invite":  {second: snapshot("Second", nil, nil, invite), text: "ann@example.com", types: people},
		"user in one":      {second: snapshot("Second", nil, nil), text: "ann@example.com", types: people, lacks: `workspace Second has no user, invite "ann@example.com" (and none at all of: user, invite)`},
		"another address":  {second: snapshot("Second", nil, nil, renamed), text: "u1", types: people},
		"another name":     {second: snapshot("Second", nil, nil, access.Person{Type: access.TypeUser, ID: "u3", Email: "Ann@example.com", Name: "Annie"}), text: "Ann", types: people},
		"absent by e-mail": {second: snapshot("Second", nil, nil), text: "u1", types: people, lacks: `workspace Second has no user, invite "ann@example.com"`},
		"invited twice": {
			second: snapshot("Second", nil, nil, invite, access.Person{Type: access.TypeInvite, ID: "Ann@example.com", Email: "Ann@example.com"}), text: "u1", types: people,
			says: "  in workspace First\n  invite     ANN@example.com  ANN@example.com  ANN@example.com  in workspace Second\n  invite     Ann@example.com  Ann@example.com  Ann@example.com  in workspace Second",
		},
		"people of one name":   {second: snapshot("Second", nil, nil, namesake), text: "ann", types: people, says: "so use the e-mail or the id:\n  user       u1  Ann  ann@example.com  in workspace First\n  user       u2  Ann  ann@example.org  in workspace Second"},
		"workspaces, one name": {second: &access.Snapshot{Workspace: segmentapi.Workspace{ID: "other", Name: "First"}}, text: "Web", types: []string{access.TypeSource}, lacks: "workspace First (other) has no source"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			places, err := find([]*access.Snapshot{first, tt.second}, tt.text, tt.types)
			if tt.says != "" {
				if missing := (notFoundError{}); !errors.As(err, &missing) || !strings.HasSuffix(err.Error(), tt.says) {
					t.Fatalf("the error is %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if places[0].match == nil || (places[1].match == nil) != (tt.lacks != "") || !strings.HasPrefix(places[1].missing, tt.lacks) {
				t.Errorf("found %v and %v; it says %q", places[0].match, places[1].match, places[1].missing)
			}
		})
	}
}

// Workspaces of the same name have their ids in a table, people count once, and a
// workspace without rows is named.
func TestSeveral_Table(t *testing.T) {
	t.Parallel()
	snapshot := func(id, name string, emails ...string) *access.Snapshot {
		s := &access.Snapshot{Workspace: segmentapi.Workspace{ID: id, Name: name}, Held: map[access.Ref][]access.Target{}}
		for _, email := range emails {
			p := access.Person{Type: access.TypeUser, ID: id + email, Email: email}
			s.People = append(s.People, p)
			s.Held[p.Ref()] = []access.Target{{Type: access.TypeRole, ID: "owner", RoleID: "owner", RoleName: segmentapi.RoleWorkspaceOwner}}
		}
		return s
	}
	snapshots := []*access.Snapshot{snapshot("1", "Same\n", "ann@example.com", "kim@example.com", ""), snapshot("2", "Same ", "ANN@example.com", "\u212aim@example.com"), snapshot("3", "None")}
	var out bytes.Buffer
	if err := (writer{out: &out, format: formatTable}).owners(newAnswer(workspaces(snapshots), func(p place) []access.Path { return p.Owners() })); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Who owns 3 workspaces", "\n Workspace ", "\n Same  (1) ", "\n Same  (2) ", "\n4 people\nnobody in workspace None\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &out)
		}
	}
}
