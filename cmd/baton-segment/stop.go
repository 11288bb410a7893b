package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/conductorone/baton-sdk/pkg/connectorrunner"
	"github.com/spf13/viper"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

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
	ctx context.Context
	// over is closed when all work is done.
	over chan struct{}
	// tempDir is the folder for temporary files. It is empty in the child.
	tempDir string
	// settings are those of the run, once main has them.
	settings *viper.Viper

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
		ctx: context.Background(), over: make(chan struct{}),
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
	var err error
	_ = setTraceDelay() // Without it, traces may be missing.
	if p.tempDir, err = makeTempDir(); err != nil {
		p.tempDir = "" // If the SDK needs such a folder, it reports the error.
	}
	if p.changes, err = writing.Listen(p.tempDir, p.takeOverInterrupt); err == nil {
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
		// If the context of a change that has not begun ended, the SDK would tell
		// ConductorOne that the task has failed for good.
		if n, ok := s.(syscall.Signal); ok && p.changes != nil && p.changes.HeldBack() {
			p.finish(ending{signal: n})
		}
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
		fmt.Fprintf(os.Stderr, "stopped after %v, before this change ended: %s. Check its result in Segment.\n", stopTime, strings.Join(p.changes.UnderWay(), ", "))
	}
}

// exit prints the error, if there is one, and ends the process with its code. If
// there is none and a signal has come, the process is terminated by the signal.
func (p *process) exit(err error) {
	signal.Stop(p.early)   // It returns when a signal on its way has arrived.
	stopped := p.stopped() // Before the stop learns that the work is over.
	close(p.over)
	e := ending{code: exitCode(err)}
	switch {
	case err != nil && stopped:
		// The error is of the calls that the stop has cut off, and its code depends on
		// what they were waiting for.
		e.code = int(codes.Canceled)
		fmt.Fprintln(os.Stderr, stopText(err))
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
	default:
		e.signal = p.firstSignal()
	}
	p.finish(e)
}

// firstSignal returns the signal that has come, or 0. If it is a SIGINT, the SDK may have
// ended the work before received has it.
func (p *process) firstSignal() syscall.Signal {
	if s := p.received.Load(); s != nil {
		n, _ := (*s).(syscall.Signal)
		return n
	}
	if len(p.early) > 0 {
		return syscall.SIGINT
	}
	return 0
}

// stopped reports whether a signal has ended the context of the work. A SIGINT that the
// SDK receives ends it at once.
func (p *process) stopped() bool { return p.ctx.Err() != nil || len(p.early) > 0 }

// stopText is what a stopped run prints instead of its error: that it was stopped, and
// what else the error says, such as that the file cannot be written.
func stopText(err error) string {
	text := "stopped before the end"
	for line := range strings.Lines(err.Error()) {
		if !cutOff(line) {
			text += ": " + strings.TrimSpace(line)
		}
	}
	return text
}

// cutOff reports whether a line of an error is what becomes of a call when the context
// ends and the child is killed. The errors have lost their types and codes on the way.
func cutOff(line string) bool {
	return slices.ContainsFunc([]string{
		context.Canceled.Error(), connectorrunner.ErrSigTerm.Error(), "stopped: ",
		"code = Canceled ", "code = Unavailable ", "code = DeadlineExceeded ",
	}, func(part string) bool { return strings.Contains(line, part) })
}

// finish ends the process and leaves no temporary files behind.
func (p *process) finish(e ending) {
	if p.changes != nil {
		_ = p.changes.Close() // It removes its socket.
	}
	removeTempDir(p.tempDir, e)
	if e.signal == syscall.SIGINT && p.ignored {
		e = ending{code: e.signalCode()}
	}
	e.end()
}

// end ends the process. The first process of a container cannot be terminated by its
// own signal, and neither can any process on Windows. They end with the code that a
// shell makes of the signal.
func (e ending) end() {
	if e.signal == 0 {
		os.Exit(e.code)
	}
	if os.Getpid() != 1 {
		signal.Reset(e.signal)
		if self, err := os.FindProcess(os.Getpid()); err == nil && self.Signal(e.signal) == nil {
			select {}
		}
	}
	os.Exit(e.signalCode())
}

func (e ending) signalCode() int { return 128 + int(e.signal) }

// exitCode returns the code of an error as the SDK's package exit does.
func exitCode(err error) int {
	code := status.Code(err)
	_, isStatus := status.FromError(err)
	switch {
	case isStatus && code == codes.OK && err != nil:
		code = codes.Internal
	case isStatus:
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	}
	return int(code)
}

// stopped is why the context has ended.
type stopped struct{ signal os.Signal }

// Error implements error.
func (s stopped) Error() string { return "stopped: " + s.signal.String() }

// Unwrap makes it what the SDK takes for an orderly end, and what it exits
// with the code of a cancelled call for.
func (s stopped) Unwrap() []error { return []error{connectorrunner.ErrSigTerm, context.Canceled} }
