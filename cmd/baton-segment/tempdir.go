package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// tempDirPrefix begins the name of the folder for temporary files.
const tempDirPrefix = "baton-segment-"

// makeTempDir makes a folder for the temporary files of this process and its child,
// so that all of them can be removed at the end. If a grant or a revocation fails,
// baton-sdk v0.26.0 leaves an unpacked copy of the file behind: it closes the file
// after a success only. That copy is in the default folder, whatever --c1z-temp-dir
// says.
func makeTempDir() (string, error) {
	dir, err := os.MkdirTemp("", tempDirPrefix)
	if err != nil {
		return "", err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	for _, variable := range []string{"TMPDIR", "TMP", "TEMP"} { // The latter two are for Windows.
		err = errors.Join(err, os.Setenv(variable, dir))
	}
	return dir, err
}

// An ending is how a process ends: with an exit code or, if the signal is not zero,
// by the signal.
type ending struct {
	code   int
	signal syscall.Signal
}

// removeVariable has an ending and a folder, separated by spaces. A process that has
// it in its environment removes the folder and ends so.
const removeVariable = "BATON_SEGMENT_REMOVE"

// removeTempDir removes the folder if it is empty. Else a database in it may be
// open: it would report the loss of its files as a corruption and end the process with
// another exit code. Then this process becomes one that removes the folder and does
// nothing else. Windows cannot do that, so the folder stays there.
func removeTempDir(dir string, e ending) {
	if dir == "" || os.Remove(dir) == nil {
		return
	}
	program, err := os.Executable()
	if err == nil {
		env := append(os.Environ(), fmt.Sprintf("%s=%d %d %s", removeVariable, e.code, e.signal, dir))
		err = syscall.Exec(program, []string{os.Args[0]}, env) // #nosec G204 G702 -- It is this program. It does not return.
	}
	fmt.Fprintf(os.Stderr, "temporary files are left in %s: %v\n", dir, err)
}

// finishRemoval does what removeTempDir has begun in this process, if it has.
func finishRemoval() {
	var e ending
	var dir string
	value := os.Getenv(removeVariable)
	if _, err := fmt.Sscanf(value, "%d %d", &e.code, &e.signal); err != nil {
		return
	}
	if parts := strings.SplitN(value, " ", 3); len(parts) == 3 {
		dir = parts[2]
	}
	if strings.HasPrefix(filepath.Base(dir), tempDirPrefix) {
		if err := os.RemoveAll(dir); err != nil { // #nosec G703 -- Who sets the environment can remove the folder as well.
			fmt.Fprintf(os.Stderr, "temporary files are left: %v\n", err)
		}
	}
	e.end()
}
