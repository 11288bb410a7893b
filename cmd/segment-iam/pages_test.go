package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/cmd/segment-iam/internal/page"
	"github.com/baton-segment/baton-segment/connector"
	"github.com/baton-segment/baton-segment/connector/inprocess"
	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

// firstUser is the name of the first user of the demo workspace. In the workspace of
// renamed, the same user has the name renamedUser, and newUser has come.
const (
	firstUser   = "Ada Lindqvist"
	renamedUser = "Renamed Person"
	newUser     = "Late Arrival"
)

func renamed() *sim.Workspace {
	ws := sim.Demo()
	ws.Users[0].Name = renamedUser
	ws.Users = append(ws.Users, sim.User{ID: "user-late", Name: newUser, Email: "late@example.com"})
	return ws
}

// unfinishedFile returns a file of a sync that was interrupted.
func unfinishedFile(t *testing.T) string {
	t.Helper()
	s := simtest.Serve(t, sim.Demo())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	simtest.Before(t, s.Server, "getUser", 3, func(*sim.Workspace) { cancel() })
	segment, err := connector.New(t.Context(), connector.Options{Token: s.Token(), BaseURL: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	runner, err := inprocess.New(t.Context(), segment)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sync.c1z")
	if err = runner.Sync(ctx, file); !errors.Is(err, context.Canceled) {
		t.Fatalf("the sync ends with %v", err)
	}
	if err = runner.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return file
}

func readText(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func writeText(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// checkEntries fails the test unless a folder has exactly these entries, in order.
func checkEntries(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
		t.Errorf("the folder differs (-want +got):\n%s", diff)
	}
}

// mustReport writes a report and returns it.
func mustReport(t *testing.T, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "access.html")
	if out := mustRun(t, append([]string{"report", "-o", file}, args...)...); out != "" {
		t.Errorf("report prints %q", out)
	}
	checkEntries(t, dir, "access.html")
	return readText(t, file)
}

// isWhole reports whether a report has its beginning and its end.
func isWhole(text string) bool {
	return strings.HasPrefix(text, "<!DOCTYPE html>\n") && strings.HasSuffix(text, "</body>\n</html>\n")
}

// A report is a whole file that only its owner can read. An earlier file or link of the
// name is replaced and not written to, so that other names of the file keep its content.
func TestReport_ReplacesFile(t *testing.T) {
	t.Parallel()
	synced := demoFile.copy(t)
	dir := t.TempDir()
	file, other := filepath.Join(dir, "access.html"), filepath.Join(dir, "other.html")
	for name, prepare := range map[string]func() error{
		"no file": func() error { return nil },
		"earlier report": func() error {
			return errors.Join(os.WriteFile(other, []byte("old"), 0o600), os.Chmod(other, 0o644), os.Link(other, file))
		},
		"read-only file": func() error {
			return errors.Join(os.WriteFile(other, []byte("old"), 0o600), os.Chmod(other, 0o400), os.Link(other, file))
		},
		"symbolic link": func() error { return errors.Join(os.WriteFile(other, []byte("old"), 0o600), os.Symlink(other, file)) },
		"dangling link": func() error { return os.Symlink(filepath.Join(dir, "absent", "x.html"), file) },
		"link to a report": func() error {
			return errors.Join(os.WriteFile(other, []byte("old"), 0o600), os.Symlink("other.html", file))
		},
	} {
		if err := prepare(); err != nil {
			t.Fatal(err)
		}
		_, err := os.Lstat(other)
		kept := err == nil
		if out := mustRun(t, "report", "-o", file, "-f", synced); out != "" {
			t.Errorf("%s: report prints %q", name, out)
		}
		info, err := os.Lstat(file)
		if err != nil {
			t.Fatal(err)
		}
		if text := readText(t, file); info.Mode() != 0o600 || !isWhole(text) || !strings.Contains(text, firstUser) {
			t.Errorf("%s: the mode is %v, the text %.80q", name, info.Mode(), text)
		}
		want := []string{"access.html"}
		if kept {
			want = append(want, "other.html")
			if text := readText(t, other); text != "old" {
				t.Errorf("%s: the earlier file is now %.80q", name, text)
			}
		}
		checkEntries(t, dir, want...)
		for _, entry := range want {
			if err = os.Remove(filepath.Join(dir, entry)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// The path of a report may have no folder, and both endings of HTML files in any case.
func TestReport_Paths(t *testing.T) {
	synced := demoFile.copy(t)
	t.Chdir(t.TempDir())
	for _, file := range []string{"access.html", "a.b.htm", "./ACCESS.HTML", "-.html", "with space.Htm"} {
		mustRun(t, "report", "-o", file, "-f", synced)
		if text := readText(t, file); !isWhole(text) {
			t.Errorf("%s has the text %.80q", file, text)
		}
	}
}

func TestReport_FailureLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	s := simtest.Serve(t, sim.Demo())
	demo, later := syncFile(t, s), syncFile(t, s)
	hostile, unfinished := hostileFile.copy(t), unfinishedFile(t)
	const earlier = "an earlier report"
	for name, tt := range map[string]struct {
		output string // In a folder that has the file access.html, the folder folder.html and the link linked.html to it.
		args   []string
		code   int
		says   string
	}{
		"no output":                  {"", []string{"-f", demo}, exitUsage, "report needs the file to write, such as -o access.html\n"},
		"the format of an answer":    {"json", []string{"-f", demo}, exitUsage, "report needs the file to write, such as -o access.html\n"},
		"another kind of file":       {"access.pdf", []string{"-f", demo}, exitUsage, "report needs the file to write, such as -o access.html\n"},
		"a hidden file":              {"html", []string{"-f", demo}, exitUsage, "report needs the file to write, such as -o access.html\n"},
		"an argument":                {"access.html", []string{"-f", demo, "people"}, exitUsage, "report takes no argument"},
		"a flag that it lacks":       {"access.html", []string{"--port", "1"}, exitUsage, "--port"},
		"file and live":              {"access.html", []string{"-f", demo, "--live"}, exitUsage, "--live reads the workspace itself"},
		"a workspace twice":          {"access.html", []string{"-f", demo, "-f", later}, exitUsage, demo + " and " + later + " are both of workspace"},
		"no folder":                  {"absent/access.html", []string{"-f", demo}, exitFailed, "access.html cannot be written: no such file or directory\n"},
		"no folder and no file":      {"absent/access.html", []string{"-f", "absent.c1z"}, exitFailed, "access.html cannot be written: no such file or directory\n"},
		"a file as the folder":       {"access.html/access.html", []string{"-f", demo}, exitFailed, "access.html cannot be written: not a directory\n"},
		"a folder as the file":       {"folder.html", []string{"-f", demo}, exitFailed, "folder.html cannot be written: it is a folder\n"},
		"a linked folder":            {"linked.html", []string{"-f", demo}, exitFailed, "linked.html cannot be written: it is a folder\n"},
		"no such file":               {"access.html", []string{"-f", "absent.c1z"}, exitFailed, "absent.c1z: unusable file: there is no such file"},
		"unfinished":                 {"access.html", []string{"-f", unfinished}, exitFailed, "its sync has not ended"},
		"the second file unfinished": {"access.html", []string{"-f", hostile, "-f", unfinished}, exitFailed, unfinished + ": unusable file: its sync has not ended"},
		"no such file before":        {"access.html", []string{"-f", demo, "--since", "absent.c1z"}, exitFailed, "absent.c1z: unusable file: there is no such file"},
		"unfinished before":          {"access.html", []string{"-f", demo, "--since", unfinished}, exitFailed, "its sync has not ended"},
		"another workspace before":   {"access.html", []string{"-f", demo, "--since", hostile}, exitFailed, "--since " + hostile + " is of workspace " + sim.Hostile().Name},
		"a workspace before, twice":  {"access.html", []string{"-f", demo, "--since", demo, "--since", later}, exitUsage, "--since " + demo + " and " + later + " are both of workspace Velo Northwind"},
		"a report as the file":       {"access.html", []string{"-f", "access.html"}, exitFailed, "access.html: unusable file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			writeText(t, filepath.Join(dir, "access.html"), earlier)
			if err := errors.Join(os.Mkdir(filepath.Join(dir, "folder.html"), 0o700), os.Symlink("folder.html", filepath.Join(dir, "linked.html"))); err != nil {
				t.Fatal(err)
			}
			args := append([]string{"report"}, tt.args...)
			if tt.output != "" {
				args = append(args, "-o", filepath.Join(dir, tt.output))
			}
			for i, arg := range args {
				if arg == "access.html" {
					args[i] = filepath.Join(dir, arg)
				}
			}
			r := runArgs(t, args...)
			lines := 1
			if tt.code == exitUsage {
				lines++ // See segment-iam --help.
			}
			if r.code != tt.code || r.stdout != "" || !strings.Contains(r.stderr, tt.says) || strings.Count(r.stderr, "\n") != lines {
				t.Errorf("exit code %d, want %d; stdout %q; stderr, want %q:\n%s", r.code, tt.code, r.stdout, tt.says, r.stderr)
			}
			checkEntries(t, dir, "access.html", "folder.html", "linked.html")
			checkEntries(t, filepath.Join(dir, "folder.html"))
			if text := readText(t, filepath.Join(dir, "access.html")); text != earlier {
				t.Errorf("the earlier report is now %.80q", text)
			}
		})
	}
}

// An endingContext is done once its error has been asked for a number of times.
type endingContext struct {
	context.Context
	left atomic.Int64
}

// Err implements context.Context.
func (c *endingContext) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// A report that is stopped before any of its writes does not replace the earlier one.
func TestReport_StoppedWhileWriting(t *testing.T) {
	t.Parallel()
	var set settings
	cmd := newReport(&set)
	cmd.SetContext(t.Context())
	set.files = []string{demoFile.copy(t)}
	sources, err := set.sources(cmd)
	if err != nil {
		t.Fatal(err)
	}
	site := page.New("test", sources...)
	dir := t.TempDir()
	file := filepath.Join(dir, "access.html")
	const earlier = "an earlier report"
	// write stops the report after some writes. It returns how many more there could be.
	write := func(writes int64) (int64, error) {
		writeText(t, file, earlier)
		ctx := &endingContext{Context: t.Context()}
		ctx.left.Store(writes)
		err = writeReport(ctx, file, func() (*page.Site, error) { return site, nil })
		checkEntries(t, dir, "access.html")
		return ctx.left.Load(), err
	}
	const enough = 1 << 40
	left, err := write(enough)
	all := enough - left
	if text := readText(t, file); err != nil || !isWhole(text) || all < 10 {
		t.Fatalf("in %d writes, with the error %v, the report is %.80q", all, err, text)
	}
	for _, n := range []int64{0, 1, all / 2, all - 1} {
		if _, err = write(n); !errors.Is(err, context.Canceled) || readText(t, file) != earlier {
			t.Errorf("stopped after write %d of %d, with the error %v, the report is %.80q", n, all, err, readText(t, file))
		}
	}
	if _, err = write(all); err != nil {
		t.Errorf("after all %d writes, the error is %v", all, err)
	}
}

// readOn says where the data of a report is from, and when it was read.
var readOn = regexp.MustCompile(`(sync\.c1z|Segment), read on [^<]+`)

// A report of the workspace itself is that of its file, and the workspace is only read.
func TestReport_LiveIsLikeFile(t *testing.T) {
	t.Parallel()
	s := simtest.Serve(t, sim.Demo())
	file := syncFile(t, s)
	ofFile := mustReport(t, "-f", file)
	s.ResetJournal()
	ofWorkspace := mustReport(t, "--live", "--token", s.Token(), "--base-url", s.URL)
	for from, text := range map[string]string{"sync.c1z": ofFile, "Segment": ofWorkspace} {
		said := readOn.FindAllString(text, -1)
		if len(said) == 0 || slices.ContainsFunc(said, func(s string) bool { return !strings.HasPrefix(s, from+",") }) {
			t.Errorf("the report from %s says that it is from %q", from, said)
		}
	}
	ofFile, ofWorkspace = readOn.ReplaceAllString(ofFile, ""), readOn.ReplaceAllString(ofWorkspace, "")
	if diff := cmp.Diff(strings.Split(ofFile, "\n"), strings.Split(ofWorkspace, "\n")); diff != "" {
		t.Errorf("the reports differ (-file +live):\n%s", diff)
	}
	if len(s.Journal()) == 0 {
		t.Error("nothing was read")
	}
	for _, r := range s.Journal() {
		if r.Method != http.MethodGet {
			t.Errorf("%s %s was sent", r.Method, r.Path)
		}
	}
}

// A report of several files has the people of each, whatever their order, and what has
// changed in each of which there is an earlier file.
func TestReport_SeveralFiles(t *testing.T) {
	t.Parallel()
	demo, later, hostile := demoFile.copy(t), syncFile(t, simtest.Serve(t, renamed())), hostileFile.copy(t)
	text := mustReport(t, "-f", later, "-f", hostile)
	if diff := cmp.Diff(text, mustReport(t, "-f", hostile, "-f", later)); diff != "" {
		t.Errorf("the order of the files changes the report:\n%s", diff)
	}
	for _, want := range []string{renamedUser, "user-malformed", sim.Hostile().Name, "Velo Northwind"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	const heading = ">What has changed<"
	if strings.Contains(text, heading) {
		t.Error("without an earlier file, there are changes")
	}
	_, changes, _ := strings.Cut(mustReport(t, "-f", hostile, "-f", later, "--since", demo), heading)
	if changes, _, _ = strings.Cut(changes, "<h2"); !strings.Contains(changes, newUser) {
		t.Errorf("the changes since an earlier file are %q", changes)
	}
}

// A port that cannot be used is an error before the workspace is read.
func TestServe_PortInUse(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if closeErr := listener.Close(); closeErr != nil {
			t.Error(closeErr)
		}
	})
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	r := runArgs(t, "serve", "--port", port, "-f", "absent.c1z")
	if r.code != exitFailed || r.stdout != "" || !strings.HasPrefix(r.stderr, "segment-iam: port "+port+" cannot be used: choose another with --port: ") || !strings.HasSuffix(r.stderr, "address already in use\n") {
		t.Errorf("exit code %d, stdout %q, stderr:\n%s", r.code, r.stdout, r.stderr)
	}
}

func TestServe_ExitCodes(t *testing.T) {
	t.Parallel()
	demo, hostile := demoFile.copy(t), hostileFile.copy(t)
	for name, tt := range map[string]struct {
		args []string
		code int
		says string
	}{
		"an argument":              {[]string{"people"}, exitUsage, "serve takes no argument"},
		"no number":                {[]string{"--port", "http"}, exitUsage, "--port"},
		"no port":                  {[]string{"--port", strconv.Itoa(1 << 16)}, exitUsage, "--port"},
		"a negative port":          {[]string{"--port", "-1"}, exitUsage, "--port"},
		"a flag that it lacks":     {[]string{"-o", "x.html"}, exitUsage, "-o"},
		"a host":                   {[]string{"--host", "0.0.0.0"}, exitUsage, "--host"},
		"file and live":            {[]string{"--live", "-f", demo}, exitUsage, "--live"},
		"a workspace before twice": {[]string{"-f", demo, "--since", demo, "--since", demo}, exitUsage, "give one of them"},
		"another workspace before": {[]string{"-f", demo, "--since", hostile}, exitFailed, "is of workspace " + sim.Hostile().Name},
		"no such file":             {[]string{"-f", "absent.c1z"}, exitFailed, "there is no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r := runArgs(t, append([]string{"serve"}, tt.args...)...); r.code != tt.code || r.stdout != "" || !strings.Contains(r.stderr, tt.says) {
				t.Errorf("exit code %d, want %d; stdout %q; stderr, want %q:\n%s", r.code, tt.code, r.stdout, tt.says, r.stderr)
			}
		})
	}
}

// Shells complete the flags and files that these commands take, and nothing else.
func TestPages_Completion(t *testing.T) {
	t.Parallel()
	const noFiles, byEnding = ":4\n", ":8\n"
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"report", ""}, noFiles},
		{[]string{"report", "-o", ""}, "html\nhtm\n" + byEnding},
		{[]string{"report", "--output", ""}, "html\nhtm\n" + byEnding},
		{[]string{"report", "-f", ""}, "c1z\n" + byEnding},
		{[]string{"report", "--since", ""}, "c1z\n" + byEnding},
		{[]string{"serve", ""}, noFiles},
		{[]string{"serve", "--port", ""}, noFiles},
		{[]string{"serve", "-f", ""}, "c1z\n" + byEnding},
		{[]string{"serve", "--since", ""}, "c1z\n" + byEnding},
		{[]string{"serve", "--p"}, "--port\tport to listen on; 0 takes a free one\n" + noFiles},
		{[]string{"repo"}, "report\tWrite a page about the whole workspace, for a review\n" + noFiles},
		{[]string{"ser"}, "serve\tShow the pages of a report in a browser on this machine\n" + noFiles},
	} {
		if r := runArgs(t, append([]string{"__complete"}, tt.args...)...); r.code != 0 || r.stdout != tt.want {
			t.Errorf("completions of %q: exit code %d, %q, want %q", tt.args, r.code, r.stdout, tt.want)
		}
	}
}

// The help of the two commands has examples and flags. It warns of personal data, and says
// that serve is not reachable from other machines.
func TestPages_Help(t *testing.T) {
	t.Parallel()
	for command, texts := range map[string][]string{
		"report": {"segment-iam report -o FILE.html [flags]", "segment-iam report -o access.html\n", "-o, --output string", "replaced if it exists", "personal data."},
		"serve":  {"segment-iam serve [flags]", "segment-iam serve -f friday.c1z", "--port uint16", "Other machines cannot connect", "To stop it, press Ctrl-C"},
	} {
		help := mustRun(t, command, "--help")
		for _, text := range append(texts, "-f, --file FILE", "--since file", "may be repeated", "--live", "BATON_TOKEN") {
			if !strings.Contains(help, text) {
				t.Errorf("%s --help lacks %q:\n%s", command, text, help)
			}
		}
		if strings.Contains(help, "base-url") {
			t.Errorf("%s --help shows a hidden flag:\n%s", command, help)
		}
		if root := mustRun(t, "--help"); !strings.Contains(root, "\n  "+command+" ") || !strings.Contains(root, "segment-iam "+command) {
			t.Errorf("segment-iam --help lacks the command %s or its example:\n%s", command, root)
		}
	}
}
