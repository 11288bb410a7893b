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

// segment-iam that is stopped while it reads a file ends with exit code 3, one line, and
// nothing left in the folder where baton-sdk unpacks it.
func TestIAM_StoppedWhileReadingFile(t *testing.T) {
	t.Parallel()
	for _, engine := range []c1zstore.Engine{c1zstore.EnginePebble, c1zstore.EngineSQLite} {
		file := filepath.Join(t.TempDir(), syncName)
		syncInProcess(t, serve(t, sim.Sized(sim.Size{Users: 500, Groups: 20, Sources: 200})), file, 0, sdksync.WithStorageEngine(engine))
		for _, by := range iamStops() {
			t.Run(string(engine)+"/"+by.name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				unpacked := firstEntry(t, dir)
				p := startProgram(t, "segment-iam", dir, nil, "", "owners", "-f", file)
				p.await(t, unpacked)
				checkIAMStopped(t, p, by)
			})
		}
	}
}

// The same while it waits for an answer of Segment.
func TestIAM_StoppedWhileReadingLive(t *testing.T) {
	t.Parallel()
	for _, by := range iamStops() {
		t.Run(by.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, sim.Demo())
			arrived, release := pauseAt(t, s, "getUser", 3)
			defer release()
			p := startProgram(t, "segment-iam", t.TempDir(), s.Env(), "", "owners", "--live")
			p.await(t, arrived)
			checkIAMStopped(t, p, by)
		})
	}
}

func checkIAMStopped(t *testing.T, p *process, by interruption) {
	t.Helper()
	code, signal := p.stop(t, by)
	if text := p.text(); signal != 0 || code != 3 || text != "segment-iam: stopped\n" {
		t.Errorf("exit code %d, signal %v; it says %q", code, signal, text)
	}
	if left := entries(t, p.dir); len(left) > 0 {
		t.Errorf("left behind: %s", strings.Join(left, ", "))
	}
}

// firstEntry returns a channel that is closed when something is made in a folder.
func firstEntry(t *testing.T, dir string) <-chan struct{} {
	t.Helper()
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		err = watcher.Add(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	made := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		once := false
		for e := range watcher.Events {
			if e.Has(fsnotify.Create) && !once {
				once = true
				close(made)
			}
		}
	}()
	t.Cleanup(func() {
		if err := watcher.Close(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return made
}
