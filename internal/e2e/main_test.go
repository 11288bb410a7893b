// Package e2e runs the real programs against a simulated Segment workspace and
// compares what they wrote with what an independent oracle expects.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http/httptest"
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
)

const repository = "../.."

var (
	update = flag.Bool("update", false, "rewrite golden files and the files that ship with the binary")

	// The folder that TestMain builds the programs into.
	programs string
)

func TestMain(m *testing.M) {
	// A case is a whole sync. The command line may still ask for others.
	err := errors.Join(flag.Set("rapid.checks", "50"), flag.Set("rapid.shrinktime", "2m"))
	flag.Parse()
	code := 1
	if err == nil {
		code, err = buildAndRun(m)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "baton-segment-e2e-")
	if err != nil {
		return 0, err
	}
	programs = filepath.Join(dir, "bin")
	// A folder of this run's own shows what a test leaves behind.
	temp := filepath.Join(dir, "tmp")
	if err = errors.Join(os.Mkdir(temp, 0o700), os.Setenv("TMPDIR", temp)); err != nil {
		return 0, errors.Join(err, os.RemoveAll(dir))
	}
	build := exec.CommandContext(context.Background(), "make", "build", "BIN="+programs)
	build.Dir = repository
	out, err := build.CombinedOutput()
	if err != nil {
		return 0, errors.Join(fmt.Errorf("make build: %w\n%s", err, out), os.RemoveAll(dir))
	}
	code := m.Run()
	if code == 0 {
		err = errors.Join(goleak.Find(), leftovers(temp))
	}
	return code, errors.Join(err, os.RemoveAll(dir))
}

// leftovers are an error that names what is in a folder that should be empty.
func leftovers(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, fmt.Errorf("a temporary file is left behind: %s", e.Name()))
	}
	return err
}

// testingT is what a test and a case of a property test have in common.
type testingT interface {
	Helper()
	Cleanup(func())
	Context() context.Context
	Error(...any)
	Errorf(string, ...any)
	Fatal(...any)
	Fatalf(string, ...any)
}

// A workspace served to programs and clients of a test.
type server struct {
	*sim.Server
	URL string
}

// token is one that appears nowhere by chance.
const token = "token-of-the-simulated-workspace"

func serve(t testingT, ws *sim.Workspace, opts ...sim.Option) server {
	t.Helper()
	s := sim.New(ws, append(opts, sim.WithToken(token))...)
	listener := httptest.NewServer(s)
	t.Cleanup(listener.Close)
	return server{Server: s, URL: listener.URL}
}

// env is how the programs find the workspace.
func (s server) env() []string {
	return []string{"BATON_TOKEN=" + s.Token(), "BATON_BASE_URL=" + s.URL}
}

// requests counts the journal by operation. Every request must have succeeded.
func (s server) requests(t testingT) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, r := range s.Journal() {
		counts[r.Operation]++
		if r.Status != 200 {
			t.Errorf("%s %s?%s: status %d", r.Method, r.Path, r.Query, r.Status)
		}
	}
	return counts
}

type result struct {
	stdout, stderr string
	code           int
}

// run starts a program in an empty folder with nothing in its environment but
// what it needs, and waits for it to end.
func run(t *testing.T, env []string, program string, args ...string) result {
	t.Helper()
	return runIn(t, t.TempDir(), env, filepath.Join(programs, program), args...)
}

func runIn(t *testing.T, dir string, env []string, program string, args ...string) result {
	t.Helper()
	// Long enough for a busy machine; a program that hangs must say what it
	// hung on, and the test run as a whole would not.
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

// environment is env and what every program needs: it keeps what it writes in
// dir.
func environment(dir string, env []string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}, env...)
}

// must runs a program that has to succeed.
func must(t *testing.T, env []string, program string, args ...string) result {
	t.Helper()
	r := run(t, env, program, args...)
	if r.code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s%s", program, strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r
}

// syncFile reads a workspace with the real binary and returns the path of the file
// that it wrote.
func syncFile(t *testing.T, s server, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sync.c1z")
	must(t, s.env(), "baton-segment", slices.Concat([]string{"-f", file, "--log-level", "error"}, args)...)
	return file
}

// golden compares got with a committed file, or rewrites that file.
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

// A crowd is subtests side by side, more of them than the machine has
// processors: programs that start, or wait to try again, leave it idle.
type crowd struct {
	t    *testing.T
	turn chan struct{}
	all  sync.WaitGroup
}

func newCrowd(t *testing.T) *crowd { return &crowd{t: t, turn: make(chan struct{}, 6)} }

func (c *crowd) run(name string, test func(*testing.T)) {
	c.turn <- struct{}{}
	c.all.Go(func() {
		defer func() { <-c.turn }()
		c.t.Run(name, test)
	})
}

func (c *crowd) wait() { c.all.Wait() }

// A table collects what rows of a test came to, for people to read.
type table struct {
	title, heading string
	mu             sync.Mutex
	lines          map[string]string
}

func newTable(title string, columns ...string) *table {
	return &table{title: title, heading: strings.Join(columns, "\t"), lines: map[string]string{}}
}

// add notes a row. The keys sort the rows.
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

// A tally counts how often rows of a test came to the same.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (c *tally) add(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[what]++
}

// String lists the counts, sorted.
func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprint(c.counts)
}
