package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
)

// stopHelper in the environment makes the test binary the program that is
// stopped.
const stopHelper = "BATON_SEGMENT_TEST_STOP"

// A program that is stopped and has nothing to complain about dies of the
// signal instead of ending with 0. Until then it goes on, however often the
// signal comes.
func TestStoppedProgramDiesOfItsSignal(t *testing.T) {
	t.Parallel()
	if os.Getenv(stopHelper) != "" {
		beStopped()
	}
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestStoppedProgramDiesOfItsSignal$")
			cmd.Env = append(os.Environ(), stopHelper+"=1")
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
			err = cmd.Wait()
			if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != s {
				t.Errorf("ended with %v, want death by %v", err, s)
			}
		})
	}
}

func beStopped() {
	ctx, dieIfStopped := untilStopped()
	dieIfStopped() // Nobody has stopped it yet.
	arrivals := make(chan os.Signal, 2)
	signal.Notify(arrivals, syscall.SIGTERM, syscall.SIGINT)
	fmt.Println("ready")
	<-ctx.Done()
	<-arrivals
	fmt.Println("stopped")
	<-arrivals
	dieIfStopped()
	os.Exit(0)
}
