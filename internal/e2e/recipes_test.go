package e2e

import (
	"archive/zip"
	"bufio"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// A recipe runs the commands of a section of a document.
type recipe struct {
	// blocks is the number of blocks. If there are more, the test runs too few.
	blocks int
	run    func(*testing.T, []string)
}

// runRecipes runs every block of a document.
func runRecipes(t *testing.T, file string, recipes map[string]recipe) {
	t.Helper()
	_, blocks := document(t, file)
	sections := map[string][]string{}
	for _, b := range blocks {
		if b.language != "sh" && b.language != "yaml" {
			t.Errorf("%s: no case runs a block of the language %q", file, b.language)
		}
		sections[b.heading] = append(sections[b.heading], b.text)
	}
	for heading, texts := range sections {
		r, known := recipes[heading]
		if !known || len(texts) != r.blocks {
			t.Errorf("%s: %d blocks below %q, of which %d are run", file, len(texts), heading, r.blocks)
			continue
		}
		t.Run(heading, func(t *testing.T) {
			t.Parallel()
			r.run(t, texts)
		})
	}
	for heading := range recipes {
		if sections[heading] == nil {
			t.Errorf("%s: there is no block below %q", file, heading)
		}
	}
}

// firstSync is the sync that all recipes but the first require.
const firstSync = "baton-segment -f sync.c1z --log-level error\n"

// plain returns the environment that the first recipe sets for all others.
func plain(s server) []string { return append(s.Env(), "NO_COLOR=1") }

// The commands of the recipes print the rows that the recipes promise, and no
// others.
func TestRecipes(t *testing.T) {
	t.Parallel()
	ws := sim.Demo()
	source, person, group := ws.Sources[2], ws.Users[19], ws.Groups[2]
	values := map[string]string{
		"<source>": text(source.Name), "<group>": group.Name, "<role>": "Source Admin", "<key>": "environment", "<value>": "prod",
		"<e-mail>": person.Email, "<user id>": person.ID, "<name>": person.Name,
	}
	if !slices.Contains(group.Members, person.Email) {
		t.Fatalf("%s is not in %s", person.Name, group.Name)
	}
	of := func(principal string) func(grant) bool { return func(g grant) bool { return g.Principal == principal } }
	pending := func(g grant) bool { return strings.HasPrefix(g.Principal, typeInvite+":") }
	// ask runs a block and compares the grants that it prints. The output must also
	// contain the words.
	ask := func(t *testing.T, commands string, belongs func(grant) bool, words ...string) {
		t.Helper()
		s := serve(t, sim.Demo())
		fill := map[string]string{}
		for placeholder, value := range values {
			if strings.Contains(commands, placeholder) {
				fill[placeholder] = value
			}
		}
		_, r := runScript(t, plain(s), firstSync+commands, fill)
		checkShown(t, r.stdout, belongs)
		for _, word := range words {
			if !strings.Contains(r.stdout, word) {
				t.Errorf("the output does not contain %q:\n%s", word, r.stdout)
			}
		}
	}
	nothing := func(grant) bool { return false }
	runRecipes(t, "cmd/baton-segment/recipes.md", map[string]recipe{
		"Recipes": {2, func(t *testing.T, blocks []string) {
			checkFirstSync(t, blocks[0])
			ask(t, blocks[1], nothing, person.ID+" | "+person.Name)
		}},
		"Who can reach this source, and how?": {2, func(t *testing.T, blocks []string) {
			ask(t, blocks[0], nothing, "Workspace Owner", person.Email, group.Name, "label environment=prod and region=americas")
			ask(t, blocks[1], nothing, "Who holds role Source Admin", "Who holds a role on label environment=prod", "Who is in group "+group.Name)
		}},
		"What does this person have?": {2, func(t *testing.T, blocks []string) {
			ask(t, blocks[0], nothing, group.Name, "source "+text(source.Name))
			ask(t, blocks[1], of("user:"+person.ID))
		}},
		"Who owns the workspace?": {1, func(t *testing.T, blocks []string) { ask(t, blocks[0], nothing, ws.Users[0].Email, "2 people") }},
		"Who is invited, and has not come?": {1, func(t *testing.T, blocks []string) {
			var emails []string
			for _, i := range ws.Invites {
				emails = append(emails, i.Email)
			}
			ask(t, blocks[0], pending, emails...)
		}},
		"Several workspaces, one answer":    {1, checkWorkspaces},
		"What has changed since last week?": {1, checkHistory},
		"Is reality what Git says?":         {2, checkApproved},
		"A spreadsheet, please":             {2, checkSheets},
		"Does it fit this workspace?": {1, func(t *testing.T, blocks []string) {
			ask(t, blocks[0], nothing, "Safe to sync.", "Safe to provision.")
		}},
		"Try it without Segment":         {2, checkSimulator},
		"Browse it":                      {2, checkPages},
		"Somebody leaves":                {3, checkLeaver},
		"Somebody moves to another team": {1, checkMover},
	})
}

// checkShown compares the ids of grants in the output with those that belong there.
func checkShown(t *testing.T, stdout string, belongs func(grant) bool) {
	t.Helper()
	var want, got []string
	for _, g := range expected(sim.Demo(), builtTypes()).Grants {
		if belongs(g) {
			want = append(want, g.ID)
		}
	}
	for line := range strings.Lines(stdout) {
		if first, _, _ := strings.Cut(line, "|"); strings.Count(first, ":") >= 4 && !strings.Contains(first, `"`) {
			got = append(got, strings.TrimSpace(first))
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("grants that are shown (-want +got):\n%s", diff)
	}
}

// checkFirstSync runs commands that only sync.
func checkFirstSync(t *testing.T, commands string) {
	t.Helper()
	ws := sim.Demo()
	s := serve(t, ws)
	dir, _ := runScript(t, []string{"BATON_BASE_URL=" + s.URL}, commands, map[string]string{"<token>": s.Token()})
	compare(t, expected(ws, builtTypes()), readFile(t, filepath.Join(dir, "sync.c1z")).contents(t))
}

// checkWorkspaces asks about two workspaces that share a person, in another spelling, and
// a role.
func checkWorkspaces(t *testing.T, blocks []string) {
	other := sim.Hostile()
	other.Users[1].Email = strings.ToUpper(sim.Demo().Users[0].Email)
	dir := t.TempDir()
	runScriptIn(t, dir, plain(serve(t, other)), strings.ReplaceAll(firstSync, "sync.c1z", "other.c1z"), nil)
	values := map[string]string{"<e-mail>": sim.Demo().Users[0].Email, "<role>": "Workspace Owner"}
	out := runScriptIn(t, dir, plain(serve(t, sim.Demo())), firstSync+blocks[0], values).stdout
	for _, want := range []string{"What Ada Lindqvist <", "Who holds role Workspace Owner", "workspace,workspace id,person,", "\n " + other.Name + " ", "\n Velo Northwind "} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
}

// checkHistory compares two syncs, between which one user was granted a role and
// another was removed.
func checkHistory(t *testing.T, blocks []string) {
	s := serve(t, sim.Demo())
	ws := s.Workspace()
	dir, promoted, leaver := t.TempDir(), ws.Users[1], ws.Users[len(ws.Users)-1]
	runScriptIn(t, dir, plain(s), strings.ReplaceAll(firstSync, "sync.c1z", "last-week.c1z"), nil)
	s.Update(func(ws *sim.Workspace) {
		grantRole(typeUser, promoted.ID, ws.Roles[2].ID, onResource("SOURCE", ws.Sources[0].ID))(ws)
		removeUserByID(leaver.ID)(ws)
	})
	out := runScriptIn(t, dir, plain(s), firstSync+blocks[0], nil).stdout
	for _, want := range []string{
		`(?m)^ gained +` + promoted.Name + ` <\S+> +Source Admin +source ` + text(ws.Sources[0].Name) + ` `,
		`(?m)^ lost +` + leaver.Name + ` `, `(?m)^removed: user ` + leaver.Name + ` `,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("the output lacks %s:\n%s", want, out)
		}
	}
}

// checkApproved commits the lists of a workspace, which are the same the next time. Then a
// role is granted, and the difference names the person.
func checkApproved(t *testing.T, blocks []string) {
	s := serve(t, sim.Demo())
	ws := s.Workspace()
	dir, promoted := t.TempDir(), ws.Users[1]
	env := append(plain(s), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	write := strings.ReplaceAll(blocks[0], "<source>", text(ws.Sources[0].Name))
	runScriptIn(t, dir, env, "git init -q\n"+firstSync+write+"git add *.csv\ngit commit -q -m approved\n", nil)
	if out := runScriptIn(t, dir, env, firstSync+write+blocks[1], nil).stdout; out != "" {
		t.Errorf("nothing has changed, and there is a difference:\n%s", out)
	}
	s.Update(grantRole(typeUser, promoted.ID, ws.Roles[2].ID, onResource("SOURCE", ws.Sources[0].ID)))
	r := runIn(t, dir, append(env, pathWithPrograms(t)), "sh", "-e", "-c", firstSync+write+blocks[1])
	if r.code != 1 || !regexp.MustCompile(`(?m)^\+`+promoted.Name+`,.*,Source Admin,`).MatchString(r.stdout) {
		t.Errorf("exit code %d, and the difference does not name %s:\n%s%s", r.code, promoted.Name, r.stdout, r.stderr)
	}
}

// checkSheets writes the sheet of one answer, and that of all grants.
func checkSheets(t *testing.T, blocks []string) {
	ws := sim.Demo()
	ws.Users[0].Name = "=1+1"
	dir, _ := runScript(t, plain(serve(t, ws)), firstSync+blocks[0], map[string]string{"<source>": text(ws.Sources[0].Name)})
	sheet, err := os.ReadFile(filepath.Join(dir, "source.csv"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(sheet), "\n'=1+1,"+ws.Users[0].Email+",user,Workspace Owner,") {
		t.Errorf("the owner is not in the sheet, or could be run:\n%s", sheet)
	}
	checkExport(t, blocks[1:])
}

// checkSimulator starts the simulator as a user does, and reads it.
func checkSimulator(t *testing.T, blocks []string) {
	dir := t.TempDir()
	port := simtest.FreePort(t)
	ctx, stop := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "sh", "-c", "exec "+fillIn(t, blocks[0], map[string]string{"<port>": port}))
	cmd.Dir, cmd.Env = dir, []string{pathWithPrograms(t)}
	output, err := cmd.StdoutPipe()
	if err = errors.Join(err, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stop()
		_ = cmd.Wait() // It was killed.
	}()
	token := ""
	for lines := bufio.NewScanner(output); token == "" && lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "TOKEN="); ok {
			token = value
		}
	}
	r := runScriptIn(t, dir, []string{"NO_COLOR=1"}, blocks[1], map[string]string{"<port>": port, "<token>": token})
	if !strings.Contains(r.stdout, "2 people") {
		t.Errorf("the owners are not shown:\n%s%s", r.stdout, r.stderr)
	}
}

// checkExport reads the spreadsheet of a workspace in which nobody is invited, and in
// which names begin like formulas.
func checkExport(t *testing.T, blocks []string) {
	ws := sim.Demo()
	for _, i := range ws.Invites {
		for _, g := range ws.Groups {
			removeMember(g.ID, i.Email)(ws)
		}
	}
	ws.Invites = nil
	name := "=HYPERLINK(1)"
	ws.Users[1].Name, ws.Sources[0].Name, ws.Groups[0].Name, ws.Spaces[0].Name = "+Adder @Home", &name, "-1", "@SUM(1)"
	s := serve(t, ws)
	dir, _ := runScript(t, plain(s), blocks[0], nil)
	all := expected(ws, builtTypes())
	people, named, entitlements := map[string]string{}, map[string]string{}, map[string]entitlement{}
	var want []string
	for _, r := range all.Resources {
		named[r.Type+":"+r.ID] = r.Name
		if r.Type == typeUser {
			people[r.Type+":"+r.ID] = r.Email
			want = append(want, "Identity|"+r.Email+"||")
		}
	}
	for _, e := range all.Entitlements {
		entitlements[e.ID] = e
		want = append(want, strings.Join([]string{"Entitlement", "", e.ID, named[e.Resource]}, "|"))
	}
	for _, g := range all.Grants {
		if email, person := people[g.Principal]; person {
			want = append(want, strings.Join([]string{"Grant", email, g.Entitlement, named[entitlements[g.Entitlement].Resource]}, "|"))
		}
	}
	var got []string
	for _, row := range readSheet(t, filepath.Join(dir, "sync.xlsx"))[1:] {
		got = append(got, strings.Join([]string{row["A"], row["F"], row["H"], row["J"]}, "|"))
		if row["A"] == "Identity" && row["F"] == ws.Users[1].Email && row["C"]+" "+row["B"] != ws.Users[1].Name {
			t.Errorf("the person of another name is %v", row)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// readSheet returns the rows of a spreadsheet by the letters of their columns. All cells
// must be text.
func readSheet(t *testing.T, name string) []map[string]string {
	t.Helper()
	file, err := zip.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	decode := func(part string, into any) {
		content, openErr := file.Open(part)
		if openErr != nil {
			t.Fatal(openErr)
		}
		if decodeErr := errors.Join(xml.NewDecoder(content).Decode(into), content.Close()); decodeErr != nil {
			t.Fatal(decodeErr)
		}
	}
	var texts struct {
		Texts []string `xml:"si>t"`
	}
	var sheet struct {
		Rows []struct {
			Cells []struct {
				Place   string `xml:"r,attr"`
				Kind    string `xml:"t,attr"`
				Value   string `xml:"v"`
				Formula string `xml:"f"`
			} `xml:"c"`
		} `xml:"sheetData>row"`
	}
	decode("xl/sharedStrings.xml", &texts)
	decode("xl/worksheets/sheet1.xml", &sheet)
	if err = file.Close(); err != nil {
		t.Fatal(err)
	}
	var rows []map[string]string
	for _, r := range sheet.Rows {
		row := map[string]string{}
		for _, c := range r.Cells {
			i, err := strconv.Atoi(c.Value)
			if err != nil || c.Kind != "s" || c.Formula != "" {
				t.Fatalf("cell %s is no text: %+v", c.Place, c)
			}
			row[strings.TrimRight(c.Place, "0123456789")] = texts.Texts[i]
		}
		rows = append(rows, row)
	}
	return rows
}

// checkPages serves a file until two pages have been read, and writes a report of it.
func checkPages(t *testing.T, blocks []string) {
	s := serve(t, sim.Demo())
	dir, _ := runScript(t, plain(s), firstSync+"cp sync.c1z last-week.c1z\n"+blocks[1], nil)
	source := sim.Demo().Sources[0]
	report, err := os.ReadFile(filepath.Join(dir, "access.html"))
	if err != nil || !strings.Contains(string(report), *source.Name) || !strings.Contains(string(report), "What has changed") {
		t.Errorf("the report: %v\n%s", err, report)
	}
	address := closedAddress(t)
	_, port, _ := strings.Cut(address, ":")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, shell, "-c", "exec "+fillIn(t, blocks[0], map[string]string{"<port>": port}))
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + programs(t), "HOME=" + dir, "TMPDIR=" + dir}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err = cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for page, word := range map[string]string{"/": "Workspace owners", "/source?id=" + source.ID: *source.Name} {
		if body := openPage(ctx, t, "http://"+address+page, ended); !strings.Contains(body, word) {
			t.Errorf("%s does not show %q:\n%s", page, word, body)
		}
	}
	cancel()
	<-ended // It was interrupted.
}

// openPage polls until the server answers.
func openPage(ctx context.Context, t *testing.T, url string, ended <-chan error) string {
	t.Helper()
	next := time.NewTicker(20 * time.Millisecond)
	defer next.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Do(req)
		if err == nil {
			body, readErr := io.ReadAll(resp.Body)
			if readErr != nil || resp.Body.Close() != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("%s: status %d, %v", url, resp.StatusCode, readErr)
			}
			return string(body)
		}
		select {
		case <-next.C:
		case endErr := <-ended:
			t.Fatalf("the server ended: %v", endErr)
		case <-ctx.Done():
			t.Fatalf("the server does not answer: %v", err)
		}
	}
}

// checkLeaver removes a user and an invite, and checks that no grant remains.
func checkLeaver(t *testing.T, blocks []string) {
	s := serve(t, sim.Demo())
	ws := s.Workspace()
	leaver, invite := ws.Users[9], ws.Invites[1].Email
	values := map[string]string{"<user id>": leaver.ID}
	dir := t.TempDir()
	checkShown(t, runScriptIn(t, dir, plain(s), firstSync+blocks[0], values).stdout, func(g grant) bool { return g.Principal == "user:"+leaver.ID })
	runScriptIn(t, dir, plain(s), blocks[1], map[string]string{"<e-mail>": invite})
	r := runScriptIn(t, dir, plain(s), blocks[2], values)
	if r.stdout != "nothing is left\n" {
		t.Errorf("the output is:\n%s", r.stdout)
	}
	removeUserByID(leaver.ID)(ws)
	ws.Invites = slices.Delete(ws.Invites, 1, 2)
	for _, g := range ws.Groups {
		removeMember(g.ID, invite)(ws)
	}
	checkLeft(t, s, ws)
}

// checkMover moves a user from one group to another.
func checkMover(t *testing.T, blocks []string) {
	s := serve(t, sim.Demo())
	ws := s.Workspace()
	mover, from, to := ws.Users[9], ws.Groups[1], ws.Groups[2]
	runScript(t, plain(s), firstSync+blocks[0], map[string]string{
		"<user id>": mover.ID, "<group id>": from.ID, "<other group id>": to.ID,
	})
	removeMember(from.ID, mover.Email)(ws)
	addMember(to.ID, mover.Email)(ws)
	checkLeft(t, s, ws)
}

// checkLeft compares a workspace after commands with the expected one.
func checkLeft(t *testing.T, s server, want *sim.Workspace) {
	t.Helper()
	if diff := cmp.Diff(stateOf(want), stateOf(s.Workspace()), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the commands leave the workspace (-want +got):\n%s", diff)
	}
}
