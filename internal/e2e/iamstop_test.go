//go:build unix

package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/conductorone/baton-sdk/pkg/dotc1z/c1zstore"
	sdksync "github.com/conductorone/baton-sdk/pkg/sync"
	"github.com/fsnotify/fsnotify"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// iamStops are the signals that end segment-iam.
func iamStops() []interruption {
	return slices.DeleteFunc(interruptions(), func(by interruption) bool { return by.signal == syscall.SIGKILL || by.group })
}

// readers are the commands that read a whole workspace in different ways.
var readers = []string{"owners", "report", "serve"}

// readerArgs returns the arguments of one of readers. A report goes into a folder.
func readerArgs(command, reports string) []string {
	if command == "report" {
		return []string{command, "-o", filepath.Join(reports, "access.html")}
	}
	return []string{command}
}

// segment-iam that is stopped while it reads a file ends with exit code 3, one line, and
// nothing left in the folder where baton-sdk unpacks it.
func TestIAM_StoppedWhileReadingFile(t *testing.T) {
	t.Parallel()
	for _, engine := range []c1zstore.Engine{c1zstore.EnginePebble, c1zstore.EngineSQLite} {
		file := filepath.Join(t.TempDir(), syncName)
		syncInProcess(t, serve(t, sim.Sized(sim.Size{Users: 500, Groups: 20, Sources: 200})), file, 0, sdksync.WithStorageEngine(engine))
		for _, by := range iamStops() {
			for _, command := range readers {
				t.Run(string(engine)+"/"+by.name+"/"+command, func(t *testing.T) {
					t.Parallel()
					dir, reports := t.TempDir(), t.TempDir()
					unpacked := firstEntry(t, dir)
					p := startProgram(t, "segment-iam", dir, nil, "", append(readerArgs(command, reports), "-f", file)...)
					p.await(t, unpacked)
					checkIAMStopped(t, p, by, reports)
				})
			}
		}
	}
}

// The same while it waits for an answer of Segment.
func TestIAM_StoppedWhileReadingLive(t *testing.T) {
	t.Parallel()
	for _, by := range iamStops() {
		for _, command := range readers {
			t.Run(by.name+"/"+command, func(t *testing.T) {
				t.Parallel()
				reports := t.TempDir()
				s := serve(t, sim.Demo())
				arrived, release := pauseAt(t, s, "getUser", 3)
				defer release()
				p := startProgram(t, "segment-iam", t.TempDir(), s.Env(), "", append(readerArgs(command, reports), "--live")...)
				p.await(t, arrived)
				checkIAMStopped(t, p, by, reports)
			})
		}
	}
}

// checkIAMStopped stops a program, which must leave nothing behind in its folder for
// temporary files, nor in that for reports.
func checkIAMStopped(t *testing.T, p *process, by interruption, reports string) {
	t.Helper()
	code, signal := p.stop(t, by)
	if text := p.text(); signal != 0 || code != 3 || text != "segment-iam: stopped\n" {
		t.Errorf("exit code %d, signal %v; it says %q", code, signal, text)
	}
	if left := append(entries(t, p.dir), entries(t, reports)...); len(left) > 0 {
		t.Errorf("left behind: %s", strings.Join(left, ", "))
	}
}

// firstEntry returns a channel that is closed when something is made in a folder.
func firstEntry(t *testing.T, dir string) <-chan struct{} {
	t.Helper()
	return firstEvent(t, dir, fsnotify.Create)
}

// firstEvent returns a channel that is closed at the first event of a kind in a folder.
func firstEvent(t *testing.T, dir string, kind fsnotify.Op) <-chan struct{} {
	t.Helper()
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		err = watcher.Add(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		once := false
		for e := range watcher.Events {
			if e.Has(kind) && !once {
				once = true
				close(seen)
			}
		}
	}()
	t.Cleanup(func() {
		if err := watcher.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return seen
}
