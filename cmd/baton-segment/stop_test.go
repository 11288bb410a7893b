package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"
)

// stopHelper in the environment makes the test binary the program that is
// stopped.
const stopHelper = "BATON_SEGMENT_TEST_STOP"

// A program that is stopped and has nothing to complain about is terminated by the
// signal instead of ending with 0. Until then it goes on, however often the signal
// comes.
func TestProcess_TerminatedBySignal(t *testing.T) {
	t.Parallel()
	if os.Getenv(stopHelper) != "" {
		beStopped()
	}
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			state := stopHelperProcess(t, s, os.Args[0])
			if status, ok := state.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != s {
				t.Errorf("ended with %v, want termination by %v", state, s)
			}
		})
	}
}

// A process that was started with SIGINT ignored, as by nohup or in the background of
// a script, cannot be terminated by it. It ends with the code that a shell makes of
// the signal.
func TestProcess_StartedWithSignalIgnored(t *testing.T) {
	t.Parallel()
	for s, want := range map[syscall.Signal]string{syscall.SIGTERM: "signal: terminated", syscall.SIGINT: "exit status 130"} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			if state := stopHelperProcess(t, s, "/bin/sh", "-c", `trap "" INT TERM; exec "$0" "$@"`, os.Args[0]); state.String() != want {
				t.Errorf("ended with %v, want %s", state, want)
			}
		})
	}
}

// stopHelperProcess runs this test binary as the program, sends it a signal twice and
// returns how it ended.
func stopHelperProcess(t *testing.T, s syscall.Signal, command ...string) *os.ProcessState {
	t.Helper()
	command = append(command, "-test.run", "^TestProcess_TerminatedBySignal$")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	dir := t.TempDir()
	cmd.Env = append(os.Environ(), stopHelper+"=1", "TMPDIR="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err = cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for range 2 { // Once when it is ready, once when it knows.
		if !lines.Scan() {
			t.Error("ended too early")
			break
		}
		if err = cmd.Process.Signal(s); err != nil {
			t.Error(err)
		}
	}
	_ = cmd.Wait() // The process state has the outcome.
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	return cmd.ProcessState
}

func beStopped() {
	p := newProcess()
	arrivals := make(chan os.Signal, 2)
	signal.Notify(arrivals, syscall.SIGTERM, syscall.SIGINT)
	fmt.Println("ready")
	<-p.ctx.Done()
	<-arrivals
	fmt.Println("stopped")
	<-arrivals
	p.exit(nil)
}
