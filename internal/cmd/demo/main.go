// Demo syncs a simulated workspace with the real programs and prints some of the file,
// as an access reviewer would read it. `make demo` runs it.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	bin := flag.String("bin", "bin", "folder with baton-segment, segment-sim and baton")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *bin, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run leaves no simulator behind, even if it fails. The files of the demo stay in the
// folder demo beside the programs, so that one can ask them more.
func run(ctx context.Context, bin string, out io.Writer) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	dir := filepath.Join(bin, "demo")
	if err = errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o750)); err != nil {
		return err
	}
	d := demo{bin: bin, dir: dir, out: bufio.NewWriter(out)}
	sim, err := d.startSimulator(ctx)
	if err == nil {
		err = errors.Join(d.show(ctx, sim), sim.stop())
	}
	return errors.Join(err, d.out.Flush())
}

// A demo writes to out, which keeps the first error until it is flushed.
type demo struct {
	bin, dir string
	out      *bufio.Writer
}

func (d demo) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, program), args...) //nolint:gosec // the folder comes from the Makefile, the names from here
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// finish runs a program to its end. If the program fails, its stderr is in the error.
func finish(cmd *exec.Cmd) error {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, &stderr)
	}
	return nil
}

// A simulator is segment-sim, running.
type simulator struct {
	cmd        *exec.Cmd
	output     io.ReadCloser
	url, token string
}

func (d demo) startSimulator(ctx context.Context) (*simulator, error) {
	cmd := d.command(ctx, "segment-sim", "-addr", "127.0.0.1:0", "-workspace", "demo")
	cmd.Stderr = os.Stderr
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &simulator{cmd: cmd, output: output}
	if err := s.readAddress(); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// readAddress waits until the simulator has printed its URL and its token.
func (s *simulator) readAddress() error {
	lines := bufio.NewScanner(s.output)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "URL="); ok {
			s.url = url
		}
		if token, ok := strings.CutPrefix(lines.Text(), "TOKEN="); ok {
			s.token = token
		}
		if s.url != "" && s.token != "" {
			return nil
		}
	}
	return errors.Join(errors.New("segment-sim did not print its URL and token"), lines.Err())
}

// stop interrupts the simulator and waits for its end.
func (s *simulator) stop() error {
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return s.cmd.Wait()
}

// The demo's people and things are those of the simulated workspace.
const (
	source   = "Web Shop"
	somebody = "dana.whitfield@example.com"
	// newcomer is given a role on another source.
	newcomer = "jonas.weber@example.com"
	given    = "Billing"
)

func (d demo) show(ctx context.Context, sim *simulator) error {
	d.printf("A simulated Segment workspace runs at %s. Nobody in it exists.\n", sim.url)
	began := time.Now()
	if err := d.run(ctx, sim, "baton-segment", "-f", "sync.c1z"); err != nil {
		return err
	}
	d.printf("  It was read in %s.\n", time.Since(began).Round(10*time.Millisecond))
	d.printf("Who reaches a source, and through what:")
	if err := d.run(ctx, sim, "segment-iam", "who", source); err != nil {
		return err
	}
	d.printf("What somebody reaches:")
	if err := d.run(ctx, sim, "segment-iam", "what", somebody); err != nil {
		return err
	}
	return d.showChange(ctx, sim)
}

// showChange grants a role, reads the workspace again, and compares the two files.
func (d demo) showChange(ctx context.Context, sim *simulator) error {
	entitlement, person, err := d.change(ctx)
	if err != nil {
		return err
	}
	d.printf("A role is granted, in the workspace itself:")
	if err := d.run(ctx, sim, "baton-segment", "-f", "sync.c1z", "--grant-entitlement", entitlement, "--grant-principal", person, "--grant-principal-type", "user"); err != nil {
		return err
	}
	if err := d.run(ctx, sim, "baton-segment", "-f", "later.c1z"); err != nil {
		return err
	}
	d.printf("What has changed since:")
	if err := d.run(ctx, sim, "segment-iam", "diff", "sync.c1z", "later.c1z"); err != nil {
		return err
	}
	d.printf("The files stay in bin/demo, to ask them more: bin/segment-iam owners -f bin/demo/sync.c1z")
	d.printf("All of it in a browser: bin/segment-iam serve -f bin/demo/later.c1z --since bin/demo/sync.c1z")
	d.printf("A simulated workspace to try changes on: bin/segment-sim -workspace demo")
	d.printf("Your own workspace: BATON_TOKEN=<a Segment Public API token> bin/baton-segment -f sync.c1z   (EU: add --region eu)")
	return nil
}

// change returns the ids of the entitlement that is granted and of the person.
func (d demo) change(ctx context.Context) (string, string, error) {
	var who struct {
		Resource struct{ ID string }
		Paths    []struct {
			Role   struct{ ID, Name string }
			HeldOn struct{ Type string } `json:"held_on"`
		}
	}
	var what struct{ Person struct{ ID string } }
	err := errors.Join(d.readJSON(ctx, &who, "segment-iam", "who", given), d.readJSON(ctx, &what, "segment-iam", "what", newcomer))
	for _, p := range who.Paths {
		if p.HeldOn.Type == "source" {
			return "source:" + who.Resource.ID + ":" + p.Role.ID, what.Person.ID, err
		}
	}
	return "", "", errors.Join(err, errors.New("nobody holds a role on the source "+given))
}

// run shows a command and what it prints.
func (d demo) run(ctx context.Context, sim *simulator, program string, args ...string) error {
	shown := make([]string, len(args))
	for i, arg := range args {
		if strings.Contains(arg, " ") {
			arg = strconv.Quote(arg)
		}
		shown[i] = arg
	}
	d.printf("$ %s %s", program, strings.Join(shown, " "))
	cmd := d.command(ctx, program, args...)
	if program == "baton-segment" {
		cmd.Args = append(cmd.Args, "--log-level", "error")
		cmd.Env = append(cmd.Env, "BATON_TOKEN="+sim.token, "BATON_BASE_URL="+sim.url)
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := finish(cmd); err != nil {
		return err
	}
	d.printf("%s", out.String())
	return d.out.Flush()
}

func (d demo) printf(format string, args ...any) {
	fmt.Fprintf(d.out, format+"\n", args...) //nolint:errcheck // run flushes and sees it
}

// readJSON decodes the JSON output of a command about sync.c1z.
func (d demo) readJSON(ctx context.Context, into any, program string, args ...string) error {
	cmd := d.command(ctx, program, append(args, "-f", "sync.c1z", "-o", "json")...)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	if err := finish(cmd); err != nil {
		return err
	}
	if err := json.Unmarshal(stdout.Bytes(), into); err != nil {
		return fmt.Errorf("%s %s: %w", program, args[0], err)
	}
	return nil
}
