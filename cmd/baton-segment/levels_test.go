package main

import (
	"errors"
	"fmt"
	"testing"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// rateLimit is the error of a call that the rate limit did not allow.
func rateLimit(t *testing.T) error {
	t.Helper()
	st, err := status.New(codes.Unavailable, "rate limited").WithDetails(
		v2.RateLimitDescription_builder{Status: v2.RateLimitDescription_STATUS_OVERLIMIT}.Build())
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Errorf("listing users: %w", st.Err())
}

// Lines of the SDK's internals have the level debug. Warnings and errors keep their level,
// except those about an expected wait.
func TestLevel(t *testing.T) {
	t.Parallel()
	const (
		syncer = "github.com/conductorone/baton-sdk/pkg/sync.(*syncer).Sync"
		task   = "github.com/conductorone/baton-sdk/pkg/tasks/c1api.(*fullSyncTaskHandler).HandleTask"
		client = "github.com/conductorone/baton-sdk/pkg/ratelimit.UnaryInterceptor.func1"
		ours   = "github.com/baton-segment/baton-segment/connector.auditLog.Handle"
		debug  = zapcore.DebugLevel
		info   = zapcore.InfoLevel
		warn   = zapcore.WarnLevel
		fault  = zapcore.ErrorLevel
	)
	limit, down := rateLimit(t), status.Error(codes.Unavailable, "503")
	for _, c := range []struct {
		from             zapcore.Level
		function, text   string
		err              error
		want             zapcore.Level
		callerIsNotKnown bool
	}{
		{from: info, function: syncer, text: "Synced resources", want: debug},
		{from: info, function: syncer, text: "Syncing grants...", want: info},
		{from: info, function: task, text: "Handling full sync task.", want: info},
		{from: info, function: ours, text: "changed", want: info},
		{from: info, function: "main.(*process).reportFile", text: "wrote", want: info},
		{from: info, function: "google.golang.org/grpc/grpclog.(*componentData).InfoDepth", text: "Server created", want: debug},
		{from: info, function: "example.com/a/library/of/a/later/version.F", text: "something", want: debug},
		{from: info, text: "something", want: info, callerIsNotKnown: true},
		{from: debug, function: ours, text: "request", want: debug},
		{from: warn, function: syncer, text: "sync completed with warnings", want: warn},
		{from: fault, function: syncer, text: "an error of a later version", err: limit, want: fault},
		{from: fault, function: task, text: "runner: error processing task", err: limit, want: fault},

		{from: warn, function: syncer, text: retrying, err: limit, want: debug},
		{from: warn, function: syncer, text: retrying, err: down, want: warn},
		{from: fault, function: client, text: callError, err: limit, want: debug},
		{from: fault, function: client, text: callError, err: down, want: debug},
		{from: fault, function: client, text: callError, err: status.Error(codes.PermissionDenied, "403"), want: fault},
		{from: fault, function: client, text: callError, err: errors.New("of no code"), want: fault},
		{from: fault, function: client, text: callError, want: fault},
		{from: warn, function: client, text: callUnavailable, err: limit, want: debug},
		{from: warn, function: client, text: callFinished + "PermissionDenied", err: limit, want: warn},
	} {
		e := zapcore.Entry{Level: c.from, Message: c.text, Caller: zapcore.EntryCaller{Defined: !c.callerIsNotKnown, Function: c.function}}
		if got := level(e, c.err); got != c.want {
			t.Errorf("%s %s: %q with %v is logged at %s, want %s", c.from, c.function, c.text, c.err, got, c.want)
		}
	}
}

// stoppedClock is a clock that shows the time that it is set to.
type stoppedClock struct{ now time.Time }

func (c *stoppedClock) Now() time.Time                       { return c.now }
func (*stoppedClock) NewTicker(d time.Duration) *time.Ticker { return time.NewTicker(d) }

// The log has one line, with the time, for many lines about one wait for the rate limit. At
// the level debug, it has all of them.
func TestLogLevels_Waiting(t *testing.T) {
	t.Parallel()
	for lowest, want := range map[zapcore.Level][]string{
		zapcore.InfoLevel:  {"info " + waiting, "info " + waiting},
		zapcore.DebugLevel: {"info " + waiting, "debug " + retrying, "debug " + retrying, "info " + waiting, "debug " + retrying},
		zapcore.WarnLevel:  nil,
	} {
		core, logs := observer.New(lowest)
		clock := &stoppedClock{now: time.Unix(1_800_000_000, 0)}
		log := zap.New(newLogLevels(core, false), zap.WithClock(clock))
		for _, later := range []time.Duration{0, time.Second, waitingEvery} {
			clock.now = clock.now.Add(later)
			log.With(zap.String("a", "b")).Warn(retrying, zap.Error(rateLimit(t)), zap.Duration("wait", 41*time.Second+123*time.Millisecond))
		}
		var got []string
		for _, e := range logs.All() {
			got = append(got, e.Level.String()+" "+e.Message)
			if e.Message == waiting && !cmp.Equal(e.ContextMap(), map[string]any{"a": "b", "wait": 41*time.Second + 100*time.Millisecond}) {
				t.Errorf("the line has %v", e.ContextMap())
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("at %s (-want +got):\n%s", lowest, diff)
		}
	}
}

// The log for people omits the fields about calls of the child and the place in the code,
// unless its level is debug. The log for machines has both.
func TestLogLevels_Console(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lowest  zapcore.Level
		console bool
		want    map[string]any
	}{
		{zapcore.InfoLevel, true, map[string]any{"subject": "user u"}},
		{zapcore.InfoLevel, false, map[string]any{"subject": "user u", "grpc.method": "Grant", "peer.address": "127.0.0.1:1"}},
		{zapcore.DebugLevel, true, map[string]any{"subject": "user u", "grpc.method": "Grant", "peer.address": "127.0.0.1:1"}},
	} {
		core, logs := observer.New(c.lowest)
		log := zap.New(newLogLevels(core, c.console), zap.AddCaller())
		log.With(zap.String("grpc.method", "Grant"), zap.String("peer.address", "127.0.0.1:1")).Info("changed", zap.String("subject", "user u"))
		e := logs.All()[0]
		if diff := cmp.Diff(c.want, e.ContextMap()); diff != "" || e.Caller.Defined != (len(c.want) > 1) {
			t.Errorf("%+v: caller %v (-want +got):\n%s", c, e.Caller.Defined, diff)
		}
	}
}
