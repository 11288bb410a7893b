package release

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
)

// containerVariable is a variable that makes the test binary enter a container. Its
// value is the container as JSON.
const containerVariable = "BATON_SEGMENT_TEST_CONTAINER"

// A container is an image that runs with a read-only root, as a user without rights and
// as process 1, with the additions of a runtime: /proc, /dev/null and mounts.
type container struct {
	Root    string
	Workdir string
	User    int
	Command []string
	Env     []string
	Mounts  map[string]string // The folder for each mount point; "" is a new tmpfs.
}

// canMakeContainers reports whether this machine lets the test make containers. The test
// must be root, and not in a container that lacks the right.
var canMakeContainers = sync.OnceValue(func() bool {
	cmd := exec.CommandContext(context.Background(), "true")
	cmd.SysProcAttr = namespaces()
	return cmd.Run() == nil
})

func namespaces() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
}

// command returns a command that runs the container. If the test cannot make containers,
// the command runs the program in an empty folder. That proves less, and the log reports
// it.
func (c container) command(t *testing.T, certificates string) *exec.Cmd {
	t.Helper()
	if !canMakeContainers() {
		t.Log("NOT IN A CONTAINER: the test needs root to make one; this run does not prove that the image has all that the program needs")
		dir := t.TempDir()
		cmd := exec.CommandContext(t.Context(), filepath.Join(c.Root, c.Command[0]), c.Command[1:]...)
		cmd.Dir = dir
		if host := c.Mounts[c.Workdir]; host != "" {
			cmd.Dir = host
		}
		cmd.Env = slices.Concat(c.Env, []string{"TMPDIR=" + dir, "SSL_CERT_FILE=" + certificates})
		return cmd
	}
	for _, dir := range []string{"proc", "dev", "etc"} {
		if err := os.MkdirAll(filepath.Join(c.Root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"dev/null": "", "etc/hosts": "127.0.0.1 localhost\n"} {
		if err := os.WriteFile(filepath.Join(c.Root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestImage$")
	cmd.Env = []string{containerVariable + "=" + string(text)}
	cmd.SysProcAttr = namespaces()
	return cmd
}

// enterContainer replaces this process with that of the container. It returns only if
// that fails.
func enterContainer() error {
	var c container
	if err := json.Unmarshal([]byte(os.Getenv(containerVariable)), &c); err != nil {
		return err
	}
	type step = func() error
	mount := func(source, where, kind string, flags uintptr, data string) step {
		return func() error { return syscall.Mount(source, where, kind, flags, data) }
	}
	steps := []step{
		mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		mount(c.Root, c.Root, "", syscall.MS_BIND, ""),
		mount("proc", filepath.Join(c.Root, "proc"), "proc", 0, ""),
		mount("/dev/null", filepath.Join(c.Root, "dev", "null"), "", syscall.MS_BIND, ""),
	}
	for where, source := range c.Mounts {
		if source == "" {
			steps = append(steps, mount("tmpfs", filepath.Join(c.Root, where), "tmpfs", 0, "mode=1777"))
		} else {
			steps = append(steps, mount(source, filepath.Join(c.Root, where), "", syscall.MS_BIND, ""))
		}
	}
	steps = append(steps,
		mount("", c.Root, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""),
		func() error { return syscall.Chroot(c.Root) },
		func() error { return syscall.Chdir(c.Workdir) },
		func() error { return syscall.Setgroups(nil) },
		func() error { return syscall.Setgid(c.User) },
		func() error { return syscall.Setuid(c.User) },
		func() error { return syscall.Exec(c.Command[0], c.Command, c.Env) })
	for i, do := range steps {
		if err := do(); err != nil {
			return fmt.Errorf("step %d into the container: %w", i, err)
		}
	}
	return nil
}
