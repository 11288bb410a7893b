package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// openTerminal opens a pseudo terminal. It returns the side of the person and the side of the
// program.
func openTerminal(t *testing.T) (*os.File, *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal("this test needs pseudo terminals: ", err)
	}
	t.Cleanup(func() { _ = person.Close() }) // The reader has closed it, unless the test fails.
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err = unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	program, err := os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return person, program
}

// runOnTerminal runs a sync whose standard error, and standard output unless it is piped,
// are a terminal. It returns what the terminal shows.
func runOnTerminal(t *testing.T, s server, piped bool, args ...string) string {
	t.Helper()
	person, terminal := openTerminal(t)
	cmd := exec.CommandContext(t.Context(), program(t, "baton-segment"), args...)
	cmd.Dir = t.TempDir()
	cmd.Env = environment(cmd.Dir, s.Env())
	cmd.Stderr = terminal
	if !piped {
		cmd.Stdout = terminal
	}
	if err := errors.Join(cmd.Start(), terminal.Close()); err != nil {
		t.Fatal(err)
	}
	var shown bytes.Buffer
	// When all processes have closed a terminal, reading it ends with this error.
	if _, err := io.Copy(&shown, person); err != nil && !errors.Is(err, syscall.EIO) {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, &shown)
	}
	return strings.ReplaceAll(shown.String(), "\r\n", "\n")
}

// On a terminal, the log is for people: time, level, message and fields. In a pipe, it is
// JSON. The flag overrides both.
func TestLog_Terminal(t *testing.T) {
	t.Parallel()
	s := serve(t, sim.Demo())
	people := regexp.MustCompile(`^[-:.T0-9]+Z\tINFO\t[A-Z][^\t]*\n(?s:.*)\tINFO\twrote sync\.c1z: 40 users, 8 groups, [^\t{]* 217 grants\n$`)
	machines := regexp.MustCompile(`^{"level":"info",(?s:.*),"msg":"wrote sync\.c1z: .*}\n$`)
	for name, c := range map[string]struct {
		piped bool
		args  []string
		want  *regexp.Regexp
	}{
		"terminal":                  {want: people},
		"standard output is a pipe": {piped: true, want: people},
		"with the flag":             {args: []string{"--log-format", "json"}, want: machines},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if shown := runOnTerminal(t, s, c.piped, c.args...); !c.want.MatchString(shown) || strings.Contains(shown, ".go:") != (c.want == machines) {
				t.Errorf("shown:\n%s", shown)
			}
		})
	}
	t.Run("pipe, with the flag", func(t *testing.T) {
		t.Parallel()
		if r := must(t, s.Env(), "baton-segment", "--log-format", "console"); !people.MatchString(r.stderr) {
			t.Errorf("printed:\n%s", r.stderr)
		}
	})
	t.Run("pipe, with the variable", func(t *testing.T) {
		t.Parallel()
		if r := must(t, append(s.Env(), "BATON_LOG_FORMAT=console"), "baton-segment"); !people.MatchString(r.stderr) {
			t.Errorf("printed:\n%s", r.stderr)
		}
	})
	t.Run("into a file", func(t *testing.T) {
		t.Parallel()
		file := t.TempDir() + "/log"
		runOnTerminal(t, s, false, "--log-path", file)
		if log, err := os.ReadFile(file); err != nil || !machines.Match(log) {
			t.Errorf("%v\n%s", err, log)
		}
	})
}
