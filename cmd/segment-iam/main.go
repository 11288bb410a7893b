// Segment-iam shows who reaches what in a Twilio Segment workspace, and through what. It reads
// a file that baton-segment has synced, or the workspace itself. It changes nothing, except
// with doctor --try-writes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/baton-segment/baton-segment/cmd/segment-iam/internal/doctor"
)

// version is set by the release build.
var version = "dev"

// The exit codes. They are part of the interface.
const (
	exitNotFound = 1 // What was asked for is not in the workspace, or could be several things.
	exitUsage    = 2 // The command line is wrong.
	exitFailed   = 3 // Everything else, such as a file that cannot be used.
	// The doctor has found something that makes syncing or provisioning unsafe.
	exitSync      = 4
	exitProvision = 5
)

func main() {
	// Go's HTTP library logs what a broken server sends, which may be anything.
	log.SetOutput(io.Discard)
	// The SDK unpacks a file in the temporary folder, and removes that when it ends.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // A second signal terminates the process.
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run runs one command and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cmd := newCommand()
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.ExecuteContext(ctx)
	var wrong usageError
	var missing notFoundError
	var found unsafeError
	switch {
	case err == nil:
		return 0
	case ctx.Err() == nil, errors.As(err, &found):
	case errors.Is(err, doctor.ErrLeftBehind):
		err = fmt.Errorf("stopped: %w", err)
	default:
		err = errors.New("stopped") // Other errors that a stop leads to say nothing more.
	}
	_, _ = fmt.Fprintln(stderr, "segment-iam:", err)
	switch {
	case errors.As(err, &found):
		return found.code
	case errors.As(err, &missing):
		return exitNotFound
	case errors.As(err, &wrong):
		_, _ = fmt.Fprintln(stderr, "See segment-iam --help.")
		return exitUsage
	}
	return exitFailed
}

// A usageError is a mistake on the command line.
type usageError struct{ error }

// Unwrap returns the error itself.
func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// newCommand returns the program's command with all that it can do.
func newCommand() *cobra.Command {
	var s settings
	root := &cobra.Command{
		Use:   "segment-iam",
		Short: "Show who reaches what in a Twilio Segment workspace, and through what",
		Long: `segment-iam shows who reaches what in a Twilio Segment workspace, and through what.

It reads a file that baton-segment has synced (-f FILE, by default sync.c1z), or the
workspace itself (--live). It changes nothing, except with doctor --try-writes. For one
answer over several workspaces, repeat -f with a file of each. Each row then names its
workspace.

Segment does not say which roles apply to sources, functions, spaces or warehouses.
segment-iam infers it from the name of the role, and marks such rows with a star.`,
		Example: `  segment-iam who ios                    who reaches the source "ios"
  segment-iam who "Source Admin"         who holds the role, at any scope
  segment-iam what ann@example.com       what a person reaches
  segment-iam owners                     who owns the workspace
  segment-iam diff monday.c1z friday.c1z who gained or lost what
  segment-iam serve                      all of it, in a browser
  segment-iam report -o access.html      all of it, as one file`,
		Version: version, SilenceErrors: true, SilenceUsage: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("%q is not a command", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newWho(&s), newWhat(&s), newOwners(&s), newDiff(&s), newReport(&s), newServe(&s), newDoctor(&s))
	return root
}

// exactly refuses another number of arguments.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("%s takes %s, not %d arguments", cmd.Name(), what, len(args))
		}
		return nil
	}
}
