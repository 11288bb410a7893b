package main

import (
	"strings"
	"sync/atomic"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Messages of baton-sdk v0.26.0 about a call that has failed.
const (
	// The SDK waits and repeats the call. If the rate limit is used up, this is not a
	// failure.
	retrying = "retrying operation"
	// Both repeat the error of a call, in the parent and in the child.
	callError       = "ratelimit: error running client request"
	callUnavailable = callFinished + "Unavailable"
)

// waiting replaces retrying if the rate limit is used up.
const waiting = "waiting for the rate limit"

// waitingEvery is the minimum time between two such lines, because all workers wait at the
// same time.
const waitingEvery = 10 * time.Second

// isPhase reports whether a message of the SDK's syncer shows the progress of a sync.
func isPhase(message string) bool {
	switch message {
	case "Syncing resources...", "Syncing entitlements...", "Syncing grants...", "Expanding grants...",
		"resumed previous sync", "sync run duration has expired, exiting sync early", "ratelimit overlimit - waiting":
		return true
	}
	return false
}

// isForUsers reports whether a function logs for the person who runs the program. The
// name of a function begins with the path of its package. These are the packages of this
// module, and those of the SDK that receive tasks and report their results. All others,
// including those that a later version adds, log for their developers only.
func isForUsers(function string) bool {
	const sdk = "github.com/conductorone/baton-sdk/pkg/"
	for _, path := range []string{
		"main.", "github.com/baton-segment/baton-segment/",
		sdk + "tasks", sdk + "cli", sdk + "connectorrunner", sdk + "healthcheck",
	} {
		if strings.HasPrefix(function, path) {
			return true
		}
	}
	return false
}

// level returns the level for an entry, given its error, if any. It lowers info lines of
// packages that do not log for users, and lines about a call that the SDK repeats. Any other
// warning or error keeps its level.
func level(e zapcore.Entry, err error) zapcore.Level {
	switch {
	case e.Level == zapcore.InfoLevel:
		if e.Caller.Defined && !isForUsers(e.Caller.Function) && !isPhase(e.Message) {
			return zapcore.DebugLevel
		}
	case e.Message == callError, e.Message == callUnavailable:
		// The line about the retry, or the end of the run, has the same error.
		if status.Code(err) == codes.Unavailable {
			return zapcore.DebugLevel
		}
	case e.Message == retrying && isRateLimit(err):
		return zapcore.DebugLevel // The line about waiting replaces it.
	}
	return e.Level
}

// isRateLimit reports whether the SDK waits after an error until the rate limit allows
// requests again.
func isRateLimit(err error) bool {
	if status.Code(err) != codes.Unavailable {
		return false
	}
	for _, detail := range status.Convert(err).Details() {
		if d, is := detail.(*v2.RateLimitDescription); is && d.GetStatus() == v2.RateLimitDescription_STATUS_OVERLIMIT {
			return true
		}
	}
	return false
}

// logLevels is a log whose lines at the level info and above are for the person who runs
// the program. At the level debug, it has all lines.
type logLevels struct {
	zapcore.Core
	// console is set if the log is in the format for people. Its lines then omit the place in
	// the code, and the fields about calls of the child.
	console bool
	// waited is when the last line about waiting was written, in Unix nanoseconds.
	waited *atomic.Int64
}

func newLogLevels(core zapcore.Core, console bool) zapcore.Core {
	return logLevels{Core: core, console: console && !core.Enabled(zapcore.DebugLevel), waited: new(atomic.Int64)}
}

// With adds fields to each line.
func (l logLevels) With(fields []zapcore.Field) zapcore.Core {
	if l.console {
		var kept []zapcore.Field
		for _, f := range fields {
			if !strings.HasPrefix(f.Key, "grpc.") && !strings.HasPrefix(f.Key, "peer.") {
				kept = append(kept, f)
			}
		}
		fields = kept
	}
	l.Core = l.Core.With(fields)
	return l
}

// Check passes each entry to Write, where the caller is known.
func (l logLevels) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if l.Enabled(e.Level) {
		return ce.AddCore(e, l)
	}
	return ce
}

// Write writes an entry at its level, if the log has that level.
func (l logLevels) Write(e zapcore.Entry, fields []zapcore.Field) error {
	err := fieldError(fields)
	if e.Message == retrying && isRateLimit(err) {
		if werr := l.writeWaiting(e, fields); werr != nil {
			return werr
		}
	}
	e.Level = level(e, err)
	if l.console {
		e.Caller = zapcore.EntryCaller{}
	}
	if !l.Enabled(e.Level) {
		return nil
	}
	return l.Core.Write(e, fields)
}

// writeWaiting writes how long the SDK waits for the rate limit, at most once in
// waitingEvery.
func (l logLevels) writeWaiting(e zapcore.Entry, fields []zapcore.Field) error {
	last := l.waited.Load()
	if !l.Enabled(zapcore.InfoLevel) || e.Time.UnixNano()-last < int64(waitingEvery) || !l.waited.CompareAndSwap(last, e.Time.UnixNano()) {
		return nil
	}
	var kept []zapcore.Field
	for _, f := range fields {
		if f.Type == zapcore.DurationType {
			kept = append(kept, zap.Duration(f.Key, time.Duration(f.Integer).Round(100*time.Millisecond)))
		}
	}
	e.Level, e.Message = zapcore.InfoLevel, waiting
	if l.console {
		e.Caller = zapcore.EntryCaller{}
	}
	return l.Core.Write(e, kept)
}

// fieldError returns the error that an entry has, or nil.
func fieldError(fields []zapcore.Field) error {
	for _, f := range fields {
		if err, is := f.Interface.(error); is && f.Type == zapcore.ErrorType {
			return err
		}
	}
	return nil
}
