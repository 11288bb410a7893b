package main

import (
	"errors"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"testing"

	"go.opentelemetry.io/otel"
	"google.golang.org/grpc/grpclog"
)

// loggersHelper in the environment makes the test binary a program whose libraries log
// a secret.
const loggersHelper = "BATON_SEGMENT_TEST_LOGGERS"

// The output of the program does not contain what its libraries log.
func TestTakeOverLoggers(t *testing.T) {
	t.Parallel()
	if os.Getenv(loggersHelper) != "" {
		takeOverLoggers()
		const secret = "secret"
		log.Print(secret)
		slog.Error(secret)
		slog.Default().Error(secret)
		grpclog.Error(secret)
		grpclog.Component("core").Error(secret)
		otel.Handle(errors.New(secret))
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestTakeOverLoggers$")
	cmd.Env = append(os.Environ(), loggersHelper+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "PASS\n" {
		t.Errorf("%v\n%s", err, out)
	}
}
