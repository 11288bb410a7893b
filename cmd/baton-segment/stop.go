package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/conductorone/baton-sdk/pkg/connectorrunner"
	"github.com/conductorone/baton-sdk/pkg/exit"

	"github.com/baton-segment/baton-segment/cmd/baton-segment/internal/writing"
)

const (
	// stopTime is how long a stop waits for changes under way. The library gives
	// them 25 s.
	stopTime = 30 * time.Second
	// answerTime is how long a stop waits, when the last change has ended, until the
	// SDK has printed its outcome or reported it to ConductorOne. A run that makes
	// one change ends by itself.
	answerTime = 2 * time.Second

	// childCommand is the last argument of the SDK's child process.
	childCommand = "_connector-service"
)

// A process is this process: the parent, which reads commands and writes files, or
// its child, which talks to Segment.
type process struct {
	// ctx ends when the process is to stop.
	ctx context.Context //nolint:containedctx // It is that of the whole process.
	// over is closed when all work is done.
	over chan struct{}
	// cleanUp removes temporary files.
	cleanUp func()

	// signals receives SIGTERM and SIGINT, and received has the first of them. Later
	// ones change nothing: timeout(1), for one, sends its signal twice.
	signals  chan os.Signal
	received atomic.Pointer[os.Signal]
	// early receives a SIGINT for as long as the SDK receives it as well.
	early chan os.Signal
	// ignored is whether the process was started with SIGINT ignored, as by nohup.
	ignored bool
	// changes has the changes that the child has under way. It is nil in the child.
	changes *writing.Register
}

func newProcess() *process {
	p := &process{
		ctx: context.Background(), over: make(chan struct{}), cleanUp: func() {},
		signals: make(chan os.Signal, 1), early: make(chan os.Signal, 1), ignored: signal.Ignored(os.Interrupt),
	}
	signal.Notify(p.signals, os.Interrupt, syscall.SIGTERM)
	// The child outlives a signal to the whole process group, as Ctrl-C sends. Its
	// parent ends it, when it has ended the change under way.
	if os.Args[len(os.Args)-1] != childCommand {
		p.startParent()
	}
	return p
}

// startParent prepares a process that ends its work with the first SIGTERM or
// SIGINT.
//
// The SDK listens for SIGINT only. SIGTERM is what schedulers send, and would
// leave an unpacked copy of the file in the temporary folder and no file to
// resume from. A run that is stopped between two tasks returns no error
// either, which must not read as a run that is complete.
func (p *process) startParent() {
	signal.Notify(p.early, os.Interrupt)
	dir, err := makeTempDir()
	if err == nil {
		p.cleanUp = sync.OnceFunc(func() { _ = os.RemoveAll(dir) }) // Windows keeps files that are open.
	} // Without a temporary folder the SDK says what it needs it for.
	if p.changes, err = writing.Listen(dir, p.takeOverInterrupt); err == nil {
		err = os.Setenv(p.changes.Env())
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "if the run is stopped, it will not wait for changes: %v\n", err)
	}
	ctx, cancel := context.WithCancelCause(p.ctx)
	p.ctx = ctx
	go func() {
		s := <-p.signals
		p.received.Store(&s)
		p.waitForChanges()
		cancel(stopped{s})
	}()
}

// takeOverInterrupt takes SIGINT away from the SDK, which ends its context and with
// it the child at once. The SDK listens from the start of a run, and the child's
// first change begins after that. It returns false if a SIGINT has reached the SDK.
func (p *process) takeOverInterrupt() bool {
	signal.Reset(os.Interrupt)
	signal.Notify(p.signals, os.Interrupt)
	return len(p.early) == 0
}

// waitForChanges lets no further change begin and waits for those under way.
func (p *process) waitForChanges() {
	if p.changes == nil {
		return
	}
	underWay, ended := p.changes.Stop()
	if len(underWay) == 0 {
		return
	}
	fmt.Fprintf(os.Stderr, "stopping when this has ended: %s\n", strings.Join(underWay, ", "))
	select {
	case <-ended:
		select {
		case <-p.over:
		case <-time.After(answerTime):
		}
	case <-p.over:
	case <-time.After(stopTime):
		fmt.Fprintf(os.Stderr, "stopped after %v before the end of: %s. Look at it in Segment.\n", stopTime, strings.Join(p.changes.UnderWay(), ", "))
	}
}

// exit ends the process with the code of the error. If there is none and a signal
// has come, the process is terminated by the signal.
func (p *process) exit(err error) {
	close(p.over)
	if p.changes != nil {
		_ = p.changes.Close()
	}
	p.cleanUp()
	if s := p.received.Load(); s != nil && err == nil {
		p.die(*s)
	}
	exit.LogExit(err)
}

// die ends the program the way the signal would have. The first process of a
// container cannot be terminated by its own signal, nor can a process that was
// started with the signal ignored, nor any on Windows. They end with the code that
// a shell makes of the signal.
func (p *process) die(s os.Signal) {
	if os.Getpid() != 1 && !(s == os.Interrupt && p.ignored) {
		signal.Reset(s)
		if self, err := os.FindProcess(os.Getpid()); err == nil && self.Signal(s) == nil {
			select {}
		}
	}
	code := 1
	if n, ok := s.(syscall.Signal); ok {
		code = 128 + int(n)
	}
	os.Exit(code)
}

// stopped is why the context has ended.
type stopped struct{ signal os.Signal }

// Error implements error.
func (s stopped) Error() string { return "stopped: " + s.signal.String() }

// Unwrap makes it what the SDK takes for an orderly end, and what it exits
// with the code of a cancelled call for.
func (s stopped) Unwrap() []error { return []error{connectorrunner.ErrSigTerm, context.Canceled} }

// makeTempDir makes a folder for the temporary files of this process and of its
// child. The SDK leaves files behind if a grant or a revocation fails, because it
// closes the file after a successful one only, and in the default folder at that,
// whatever --c1z-temp-dir says.
func makeTempDir() (string, error) {
	dir, err := os.MkdirTemp("", "baton-segment-")
	if err != nil {
		return "", err
	}
	for _, variable := range []string{"TMPDIR", "TMP", "TEMP"} { // The latter two are those of Windows.
		err = errors.Join(err, os.Setenv(variable, dir))
	}
	return dir, err
}
