//go:build unix

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// A process is a running program and the output that it has printed so far.
type process struct {
	cmd   *exec.Cmd
	dir   string
	ended chan struct{}
	// closed receives the error that ended the output. It is nil when every
	// process that could print, the children included, has ended.
	closed chan error
	output *os.File

	mu        sync.Mutex
	lines     []string
	sightings []*sighting
	// logged is the sighting that start was called with.
	logged <-chan struct{}
}

// A sighting is closed when as many lines as are left contain a string.
type sighting struct {
	text string
	left int
	done chan struct{}
}

// start runs the connector in dir, in a process group of its own, so that the
// cleanup can kill a program that the test left running with all its children.
// The program's logged channel waits for a line that contains awaited.
func start(t *testing.T, dir string, env []string, awaited string, args ...string) *process {
	t.Helper()
	return startProgram(t, "baton-segment", dir, env, awaited, args...)
}

func startProgram(t *testing.T, name, dir string, env []string, awaited string, args ...string) *process {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{
		cmd: exec.CommandContext(t.Context(), program(t, name), args...),
		dir: dir, ended: make(chan struct{}), closed: make(chan error, 1), output: r,
	}
	p.logged = p.sight(awaited, 1)
	p.cmd.Dir = dir
	p.cmd.Env = environment(dir, env)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// The program hands a file on to its child, unlike a buffer.
	p.cmd.Stdout, p.cmd.Stderr = w, w
	err = p.cmd.Start()
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	go p.listen()
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // The process state has the exit code.
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // Usually all have ended.
		<-p.ended
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func (p *process) listen() {
	in := bufio.NewReader(p.output)
	for {
		line, err := in.ReadString('\n')
		p.mu.Lock()
		if line != "" {
			p.lines = append(p.lines, line)
		}
		for _, s := range p.sightings {
			s.look(line)
		}
		p.mu.Unlock()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			p.closed <- err
			return
		}
	}
}

// sight returns a channel that is closed when n lines contain a string, those of the
// past included. An empty string is never seen.
func (p *process) sight(text string, n int) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &sighting{text: text, left: n, done: make(chan struct{})}
	for _, line := range p.lines {
		s.look(line)
	}
	p.sightings = append(p.sightings, s)
	return s.done
}

func (s *sighting) look(line string) {
	if s.text == "" || s.left == 0 || !strings.Contains(line, s.text) {
		return
	}
	if s.left--; s.left == 0 {
		close(s.done)
	}
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "")
}

// endTimeout is long for what takes milliseconds on an idle machine, and well
// below the timeouts of the program itself.
const endTimeout = 20 * time.Second

// await waits for an event, and fails the test if the program ends before it.
func (p *process) await(t *testing.T, event <-chan struct{}) {
	t.Helper()
	select {
	case <-event:
	case <-p.ended:
		// The last lines of the output may still be in the pipe.
		select {
		case <-event:
		case <-time.After(endTimeout):
			t.Fatalf("ended too early: %v\n%s", p.cmd.ProcessState, p.text())
		}
	case <-time.After(time.Minute):
		t.Fatalf("the awaited event did not occur\n%s", p.text())
	}
}

// stop sends the signal and waits until the program and all of its children
// have ended. It returns the exit code, or -1 and the signal that terminated
// the program.
func (p *process) stop(t *testing.T, by interruption) (int, syscall.Signal) {
	t.Helper()
	p.signal(t, by)
	return p.wait(t)
}

func (p *process) signal(t *testing.T, by interruption) {
	t.Helper()
	pid := p.cmd.Process.Pid
	if by.group {
		pid = -pid
	}
	// A run that waits for nothing may have ended already.
	if err := syscall.Kill(pid, by.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Fatal(err)
	}
}

func (p *process) wait(t *testing.T) (int, syscall.Signal) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(endTimeout):
		t.Fatalf("has not ended in %v\n%s", endTimeout, p.text())
	}
	if err := p.output.SetReadDeadline(time.Now().Add(endTimeout)); err != nil {
		t.Fatal(err)
	}
	if err := <-p.closed; err != nil {
		t.Errorf("a child process is still running: %v", err)
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return p.cmd.ProcessState.ExitCode(), 0
	}
	return -1, status.Signal()
}

// An interruption is a signal that ends a program.
type interruption struct {
	name   string
	signal syscall.Signal
	// group sends the signal to the children as well, as a terminal does with
	// Ctrl-C and systemd with SIGTERM.
	group bool
}

func interruptions() []interruption {
	return []interruption{
		{name: "SIGKILL", signal: syscall.SIGKILL},
		{name: "SIGTERM", signal: syscall.SIGTERM},
		{name: "SIGTERM to all", signal: syscall.SIGTERM, group: true},
		{name: "SIGINT", signal: syscall.SIGINT},
		{name: "SIGINT to all", signal: syscall.SIGINT, group: true},
	}
}

// pauseAt makes the simulator stop answering at a request. The channel is closed
// when the request is there, and every answer waits until the function is called.
func pauseAt(t *testing.T, s server, operation string, ordinal int) (<-chan struct{}, func()) {
	t.Helper()
	arrived, released := make(chan struct{}), make(chan struct{})
	var once sync.Once
	err := s.Before(operation, ordinal, func(*sim.Workspace) {
		once.Do(func() { // A later run may reach the ordinal again.
			close(arrived)
			<-released
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	resume := sync.OnceFunc(func() { close(released) })
	t.Cleanup(resume)
	return arrived, resume
}

// A moment in a sync is a request, counted from 1, or else a line of the log that
// contains a string.
type moment struct {
	operation string
	ordinal   int
	log       string
}

// startUntil starts a program and returns at the moment. If that is a request, it
// is answered once the function is called.
func startUntil(t *testing.T, s server, dir string, m moment, args ...string) (*process, func()) {
	t.Helper()
	if m.log != "" {
		p := start(t, dir, s.Env(), m.log, append(args, "--log-level", "debug")...)
		p.await(t, p.logged)
		return p, func() {}
	}
	arrived, resume := pauseAt(t, s, m.operation, m.ordinal)
	p := start(t, dir, s.Env(), "", append(args, "--log-level", "error")...)
	p.await(t, arrived)
	return p, resume
}

// entries lists a folder, without the numbers at the end of names.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range all {
		names = append(names, strings.TrimRight(e.Name(), "0123456789"))
	}
	slices.Sort(names)
	return names
}

// syncName is the name of the file that these tests sync into.
const syncName = "sync.c1z"

func isSyncFile(name string) bool { return name == syncName }

// smallPageArgs are the arguments of a sync whose lists have several pages.
func smallPageArgs(file string, more ...string) []string {
	return slices.Concat([]string{"-f", file, "--page-size", fmt.Sprint(smallPage)}, more)
}

// syncAgain reads the workspace into the file of an interrupted run.
func syncAgain(t *testing.T, s server, file string, more ...string) contents {
	t.Helper()
	r := runIn(t, filepath.Dir(file), s.Env(), program(t, "baton-segment"), smallPageArgs(file, append(more, "--log-level", "error")...)...)
	if r.code != 0 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	return readFile(t, file).contents(t)
}
