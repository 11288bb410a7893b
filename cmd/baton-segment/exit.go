package main

import (
	"context"
	"sync"

	"github.com/grpc-ecosystem/go-grpc-middleware/logging/zap/ctxzap"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc/codes"
)

// Messages that baton-sdk v0.26.0 logs around the end of a one-shot run.
const (
	childEnded   = "connector service quit expectedly"
	childCrashed = "connector service quit unexpectedly"
	taskFailed   = "runner: error processing on-demand task"
	runEnded     = "runner: one-shot mode enabled. Exiting."
	runnerFailed = "error running connector"
	// The code follows. If the parent stops, the child can log this for each call.
	callFinished = "finished unary call with code "
)

// guardExitCode leaves the exit code to the main goroutine.
//
// At the end of a one-shot run the SDK cancels the context of its child
// process. The goroutine that waits for the child then calls os.Exit(0), while
// the main goroutine is about to exit with the code of the failure. The first
// of the two determines the exit code. Before it exits, the goroutine only
// calls the SDK's logger, so the logger blocks it for the rest of the process.
// The main goroutine also closes everything that this goroutine would close.
//
// If the child has crashed, the goroutine logs that and exits with 1, which is right.
// In between it calls crashed.
//
// If the work is stopped, each interrupted call would log an error. The guard drops these.
//
// The SDK passes its logger in ctx and keeps the pointer. Replacing the logger
// behind the pointer therefore reaches every user of it. Entries that the guard
// does not drop go through logLevels.
func (p *process) guardExitCode(ctx context.Context) {
	logger := ctxzap.Extract(ctx)
	*logger = *logger.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return exitGuard{
			Core: newLogLevels(core, p.console()), stopped: p.stopped, ended: sync.OnceFunc(p.sendTelemetry),
			hold: func() { select {} }, crashed: func() { p.finish(ending{code: 1}) },
		}
	}))
}

// exitGuard watches the log for the end of the child.
type exitGuard struct {
	zapcore.Core
	// ended is called when the work of a one-shot run is done, or has failed.
	hold, crashed, ended func()
	stopped              func() bool
}

// Enabled lets every level reach Check, which asks the core itself.
func (g exitGuard) Enabled(zapcore.Level) bool { return true }

// With keeps the guard on loggers with fields.
func (g exitGuard) With(fields []zapcore.Field) zapcore.Core {
	g.Core = g.Core.With(fields)
	return g
}

// Check holds the goroutine that would exit. It also drops the entries that
// repeat an error which is logged before them and printed after them, and those about
// calls that the caller has given up.
func (g exitGuard) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if (e.Message == runEnded || e.Message == taskFailed) && !g.stopped() {
		g.ended()
	}
	switch {
	case e.Message == childEnded:
		g.hold()
	case e.Message == childCrashed:
		return g.Core.Check(e, ce).After(e, afterWrite(g.crashed))
	case e.Message == taskFailed, e.Message == runnerFailed, e.Message == callFinished+codes.Canceled.String(), !g.Core.Enabled(e.Level):
		return ce
	case g.stopped():
		return ce.AddCore(e, g)
	}
	return g.Core.Check(e, ce)
}

// Write writes an entry, unless it is about a call that the stop has cut off.
func (g exitGuard) Write(e zapcore.Entry, fields []zapcore.Field) error {
	for _, f := range fields {
		if err, is := f.Interface.(error); is && cutOff(err.Error()) {
			return nil
		}
	}
	return g.Core.Write(e, fields)
}

// afterWrite is called when an entry is in the log.
type afterWrite func()

// OnWrite implements zapcore.CheckWriteHook.
func (f afterWrite) OnWrite(*zapcore.CheckedEntry, []zapcore.Field) { f() }
