// Package release tests the files around the program: image, deployment, release and
// workflows. It runs them, except those that need someone else's platform, which it
// reads and compares.
package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v4"
)

const (
	repository = "../.."
	shipped    = repository + "/cmd/baton-segment"

	// version is the version that the tests give to the programs that they build.
	version = "1.2.3-test"
)

func TestMain(m *testing.M) {
	code := m.Run()
	err := os.RemoveAll(releaseDir())
	if code == 0 {
		err = errors.Join(err, goleak.Find())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// releaseDir returns the folder of the release for this run of the tests.
var releaseDir = sync.OnceValue(func() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("baton-segment-release-%d", os.Getpid()))
})

// target returns this machine's system and processor in the form of the Makefile.
func target() string { return runtime.GOOS + "/" + runtime.GOARCH }

// release builds the program as a release does and returns the folder.
var release = sync.OnceValues(func() (string, error) {
	cmd := exec.CommandContext(context.Background(), "make", "release-snapshot",
		"BIN="+releaseDir(), "TARGETS="+target(), "VERSION="+version)
	cmd.Dir = repository
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("make release-snapshot: %w\n%s", err, out)
	}
	return filepath.Join(releaseDir(), "release"), nil
})

// released returns the path of the program of a release for this machine.
func released(t *testing.T) string {
	t.Helper()
	dir, err := release()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "baton-segment_"+strings.ReplaceAll(target(), "/", "_"))
}

func read(t *testing.T, name ...string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(name...))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// decodeDocument reads the next document of a YAML file into a T. A field that T lacks
// is an error, because it may be misspelt.
func decodeDocument[T any](t *testing.T, decoder *yaml.Decoder) T {
	t.Helper()
	decoder.KnownFields(true)
	var d T
	if err := decoder.Decode(&d); err != nil {
		t.Fatal(err)
	}
	return d
}

// readYAML reads a YAML file of one document.
func readYAML[T any](t *testing.T, name ...string) T {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(read(t, name...)))
	d := decodeDocument[T](t, decoder)
	expectEnd(t, decoder)
	return d
}

func expectEnd(t *testing.T, decoder *yaml.Decoder) {
	t.Helper()
	var rest any
	if err := decoder.Decode(&rest); !errors.Is(err, io.EOF) {
		t.Errorf("the file has another document: %v, %v", rest, err)
	}
}

type result struct {
	stdout, stderr string
	code           int
}

// run runs a command with additional variables in its environment.
func run(t *testing.T, dir string, env []string, name string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	return runToEnd(t, cmd)
}

func runToEnd(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return result{stdout: stdout.String(), stderr: stderr.String(), code: cmd.ProcessState.ExitCode()}
}

// mustRun returns the output of a command, and ends the test if the command fails.
func mustRun(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	r := run(t, dir, env, name, args...)
	if r.code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s%s", name, strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r.stdout
}
