// Package e2e runs the real programs against a simulated Segment workspace and
// compares what they wrote with what an independent oracle expects.
package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
)

const repository = "../.."

var (
	slow   = flag.Bool("slow", false, "run every case of the long tables instead of every other one")
	update = flag.Bool("update", false, "rewrite golden files and the files that ship with the binary")

	// binDir is the folder of the programs, and syncedDir that of the files of
	// sharedSync.
	binDir, syncedDir string
)

func TestMain(m *testing.M) {
	// Each case is a whole sync. The command line overrides both numbers.
	err := errors.Join(flag.Set("rapid.checks", "50"), flag.Set("rapid.shrinktime", "2m"))
	flag.Parse()
	code := 1
	if err == nil {
		code, err = runTests(m)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "baton-segment-e2e-")
	if err != nil {
		return 0, err
	}
	binDir, syncedDir = filepath.Join(dir, "bin"), filepath.Join(dir, "synced")
	// In a folder of its own, a temporary file that a test leaves behind is found.
	temp := filepath.Join(dir, "tmp")
	if err = errors.Join(os.Mkdir(syncedDir, 0o700), os.Mkdir(temp, 0o700), os.Setenv("TMPDIR", temp)); err != nil {
		return 0, errors.Join(err, os.RemoveAll(dir))
	}
	code := m.Run()
	if code == 0 {
		err = errors.Join(goleak.Find(), leftovers(temp))
	}
	return code, errors.Join(err, os.RemoveAll(dir))
}

// buildPrograms builds the programs when the first test needs them, once for all.
var buildPrograms = sync.OnceValue(func() error {
	build := exec.CommandContext(context.Background(), "make", "build", "BIN="+binDir)
	build.Dir = repository
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("make build: %w\n%s", err, out)
	}
	return nil
})

// programs returns the folder of the programs.
func programs(t *testing.T) string {
	t.Helper()
	if err := buildPrograms(); err != nil {
		t.Fatal(err)
	}
	return binDir
}

func program(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(programs(t), name)
}

// leftovers returns an error for each entry of a folder that should be empty.
func leftovers(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, fmt.Errorf("a temporary file is left behind: %s", e.Name()))
	}
	return err
}

// testingT has the methods that *testing.T and *rapid.T share.
type testingT interface {
	Helper()
	Cleanup(func())
	Context() context.Context
	Error(...any)
	Errorf(string, ...any)
	Fatal(...any)
	Fatalf(string, ...any)
}

// Lines of the SDK. If the rate limit is used up, the first is of the level debug.
const (
	retrying     = "retrying operation"
	syncComplete = "Sync complete."
)

// A server serves a simulated workspace to the programs and clients of a test.
type server struct{ simtest.Server }

// token appears nowhere by chance, so a test that finds it has found a leak.
const token = "token-of-the-simulated-workspace"

func serve(t testingT, ws *sim.Workspace, opts ...sim.Option) server {
	t.Helper()
	return server{simtest.Serve(t, ws, append(opts, sim.WithToken(token))...)}
}

// requests counts the requests in the journal by operation, and fails the test
// if one of them has failed.
func (s server) requests(t testingT) map[string]int {
	t.Helper()
	for _, r := range s.Journal() {
		if r.Status != 200 {
			t.Errorf("%s %s?%s: status %d", r.Method, r.Path, r.Query, r.Status)
		}
	}
	return simtest.Count(s.Journal())
}

type result struct {
	stdout, stderr string
	code           int
}

// run starts a program in an empty folder, with only the variables that it needs
// in its environment, and waits until it ends.
func run(t *testing.T, env []string, name string, args ...string) result {
	t.Helper()
	return runIn(t, t.TempDir(), env, program(t, name), args...)
}

func runIn(t *testing.T, dir string, env []string, program string, args ...string) result {
	t.Helper()
	// Long enough for a busy machine. When the timeout of the whole test run
	// ends a program that hangs, its output is lost.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = environment(dir, env)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%s %s: %v %v\n%s%s", filepath.Base(program), strings.Join(args, " "), err, ctx.Err(), &stdout, &stderr)
	}
	return result{stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}
}

// environment adds to env the variables that every program needs. Temporary
// files go into dir.
func environment(dir string, env []string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}, env...)
}

// must runs a program, and fails the test unless it succeeds.
func must(t *testing.T, env []string, program string, args ...string) result {
	t.Helper()
	r := run(t, env, program, args...)
	if r.code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s%s", program, strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r
}

// syncFile syncs a workspace with the real program and returns the path of the
// file.
func syncFile(t *testing.T, s server, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sync.c1z")
	must(t, s.Env(), "baton-segment", slices.Concat([]string{"-f", file, "--log-level", "error"}, args)...)
	return file
}

// A sharedFile is a file of sharedSync. It is empty if the sync has failed.
type sharedFile struct {
	once sync.Once
	path string
}

// sharedFiles has a *sharedFile for each workspace, by its JSON.
var sharedFiles sync.Map

// sharedSync syncs a workspace with the real program, once for all tests, and
// returns the path of the file. No test may change it.
func sharedSync(t *testing.T, ws *sim.Workspace) string {
	t.Helper()
	key, err := json.Marshal(ws)
	if err != nil {
		t.Fatal(err)
	}
	entry, _ := sharedFiles.LoadOrStore(string(key), &sharedFile{})
	file, ok := entry.(*sharedFile)
	if !ok {
		t.Fatalf("%T is no file", entry)
	}
	file.once.Do(func() {
		path := filepath.Join(syncedDir, fmt.Sprintf("%x.c1z", sha256.Sum256(key)))
		must(t, serve(t, ws).Env(), "baton-segment", "-f", path, "--log-level", "error")
		file.path = path
	})
	if file.path == "" {
		t.Fatal("the sync of this workspace failed in another test")
	}
	return file.path
}

// golden compares got with a committed file. With -update it rewrites the file.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: run `make generate` if this is meant (-want +got):\n%s", file, diff)
	}
}

// A subtestPool runs subtests in parallel. It runs more of them than most
// machines have processors, because a program that starts or waits for a retry
// leaves its processor idle.
type subtestPool struct {
	t       *testing.T
	slots   chan struct{}
	running sync.WaitGroup
}

func newSubtestPool(t *testing.T) *subtestPool {
	return &subtestPool{t: t, slots: make(chan struct{}, 6)}
}

func (p *subtestPool) run(name string, test func(*testing.T)) {
	p.slots <- struct{}{}
	p.running.Go(func() {
		defer func() { <-p.slots }()
		p.t.Run(name, test)
	})
}

func (p *subtestPool) wait() { p.running.Wait() }

// isLeftOut reports whether a case of a long table runs only with -slow. These are every other one
// of a row, beginning with the second in one row and with the first in the next, so that cases of
// every row and every column always run.
func isLeftOut(row, column int) bool { return !*slow && (row+column)%2 != 0 }

// A table collects the outcomes of a test's cases and logs them for people.
type table struct {
	title, heading string
	mu             sync.Mutex
	lines          map[string]string
}

func newTable(title string, columns ...string) *table {
	return &table{title: title, heading: strings.Join(columns, "\t"), lines: map[string]string{}}
}

// add adds a row. The rows are sorted by key.
func (b *table) add(key string, cells ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines[key] = strings.Join(cells, "\t")
}

func (b *table) log(t *testing.T) {
	t.Helper()
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	_, err := fmt.Fprintln(w, b.heading)
	for _, key := range slices.Sorted(maps.Keys(b.lines)) {
		_, lineErr := fmt.Fprintln(w, b.lines[key])
		err = errors.Join(err, lineErr)
	}
	if err = errors.Join(err, w.Flush()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s:\n%s", b.title, &text)
}

// A counter counts the cases of a test by outcome.
type counter struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *counter) add(outcome string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[outcome]++
}

// String lists the counts, sorted by outcome.
func (c *counter) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprint(c.counts)
}
