package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// A report that cannot be written fails before anything is read. Root may write into any
// folder, so if root runs the test, its thread accesses files as nobody.
func TestReport_ReadOnlyFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// Everybody may enter the folder, so that only writing is refused.
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o555)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "access.html")
	r := asNobody(t, func() result { return runArgs(t, "report", "-o", file, "-f", "absent.c1z") })
	if r.code != exitFailed || r.stderr != "segment-iam: "+file+" cannot be written: permission denied\n" {
		t.Errorf("exit code %d\n%s", r.code, r.stderr)
	}
	checkEntries(t, dir)
}

// asNobody runs do in a thread of its own. If the process is root's, the thread accesses
// files with the rights of a user who owns none.
func asNobody(t *testing.T, do func() result) result {
	t.Helper()
	if os.Geteuid() != 0 {
		return do()
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // It is never unlocked, so the thread ends with the goroutine.
		if err := unix.Setfsuid(65534); err != nil {
			t.Error(err)
		}
		done <- do()
	}()
	return <-done
}
