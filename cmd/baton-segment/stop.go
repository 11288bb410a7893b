package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/conductorone/baton-sdk/pkg/connectorrunner"
)

// untilStopped returns a context that ends with the first SIGTERM or SIGINT,
// and a function that makes the program die of that signal if it came.
//
// The SDK listens for SIGINT only. SIGTERM is what schedulers send, and would
// leave an unpacked copy of the file in the temporary folder and no file to
// resume from. A run that is stopped between two tasks returns no error
// either, which must not read as a run that is complete.
//
// The child process has the same main function and so outlives a signal to
// the whole process group, as Ctrl-C sends. Its parent, which else would take
// its end for a crash and save nothing, ends it.
func untilStopped() (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	// Later ones change nothing: timeout(1), for one, sends its signal twice.
	go func() { cancel(stopped{<-signals}) }()
	return ctx, func() {
		var s stopped
		if errors.As(context.Cause(ctx), &s) {
			die(s.signal)
		}
	}
}

// die ends the program the way the signal would have. The first process of a
// container cannot die of its own signal, and nothing on Windows can: they end
// with the code that a shell makes of the signal.
func die(s os.Signal) {
	if os.Getpid() != 1 {
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
