package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/conductorone/baton-sdk/pkg/connectorrunner"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The child's end is logged at debug level, which is usually off, and by
// loggers with fields: the guard must notice all the same, and otherwise leave
// the log as it is.
func TestExitGuard(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zapcore.WarnLevel)
	held, crashes, ended, stopped := 0, 0, 0, false
	logger := zap.New(exitGuard{
		Core: core, stopped: func() bool { return stopped },
		hold: func() { held++ }, crashed: func() { crashes += logs.Len() }, ended: func() { ended++ },
	})

	logger.Debug("quiet")
	logger.Warn("loud")
	logger.Error(taskFailed)
	logger.Error(runnerFailed)
	logger.Warn(callFinished + "Canceled")
	if held != 0 || logs.Len() != 1 || logs.All()[0].Message != "loud" {
		t.Errorf("held %d times, logged %v", held, logs.All())
	}
	logger.Debug(childEnded)
	logger.With(zap.String("a", "b")).Debug(childEnded)
	if held != 2 || crashes != 0 {
		t.Errorf("held %d times, want 2, crashed %d times", held, crashes)
	}
	logger.With(zap.String("a", "b")).Error(childCrashed)
	if held != 2 || crashes != 2 || logs.Len() != 2 {
		t.Errorf("after a crash held %d times, called at entry %d, want 2, logged %v", held, crashes, logs.All())
	}
	logger.Debug(runEnded)
	stopped = true
	logger.Debug(runEnded)
	if ended != 2 { // Once after a failure.
		t.Errorf("the work has ended %d times, want 2", ended)
	}
	for _, err := range []error{
		status.Error(codes.Unavailable, "the child is gone"),
		fmt.Errorf("code of its own: %w", context.Canceled),
		errors.New("no space left"),
	} {
		logger.Warn("failed", zap.Error(err))
	}
	logger.Info("quiet")
	if last := logs.All()[logs.Len()-1]; logs.Len() != 3 || last.ContextMap()["error"] != "no space left" {
		t.Errorf("after a stop logged %v", logs.All())
	}
}

// A stopped run does not repeat the errors of the calls that the stop has cut off, and
// prints any other one.
func TestStopText(t *testing.T) {
	t.Parallel()
	cut := []error{status.Error(codes.Unavailable, "the child is gone"), context.Canceled, stopped{syscall.SIGTERM}, connectorrunner.ErrSigTerm}
	if got := stopText(errors.Join(cut...)); got != "stopped before the end" {
		t.Errorf("printed: %s", got)
	}
	if got := stopText(errors.Join(append(cut, errors.New("no space left"))...)); got != "stopped before the end: no space left" {
		t.Errorf("printed: %s", got)
	}
}

// The program goes by strings of the SDK. If an upgrade changes them, this fails. The
// race itself shows in one failing run out of twenty.
func TestSDK_StringsUnchanged(t *testing.T) {
	t.Parallel()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/conductorone/baton-sdk").Output()
	if err != nil {
		t.Fatal(err)
	}
	for message, file := range map[string]string{
		childEnded:   "internal/connector/connector.go",
		childCrashed: "internal/connector/connector.go",
		childCommand: "internal/connector/connector.go",
		taskFailed:   "pkg/connectorrunner/runner.go",
		runEnded:     "pkg/connectorrunner/runner.go",
		runnerFailed: "pkg/cli/commands.go",
		callFinished: "pkg/ugrpc/logging.go",
		retrying:     "pkg/retry/retry.go",
		callError:    "pkg/ratelimit/grpc.go",
	} {
		source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), file))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(source), `"`+message+`"`) {
			t.Errorf("%s does not have %q", file, message)
		}
	}
}
