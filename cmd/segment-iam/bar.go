package main

import (
	"io"
	"os"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"golang.org/x/term"

	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// requestTimeout is how long one request may take.
const requestTimeout = 60 * time.Second

// A bar shows on a terminal how far the reading of a workspace has come: how many people
// and groups of all, how fast, and how long it takes. Elsewhere it shows nothing.
type bar struct {
	writer  progress.Writer
	tracker *progress.Tracker
	// drawn is closed when nothing more is drawn.
	drawn chan struct{}
}

func newBar(out io.Writer) *bar {
	if !isTerminal(out) {
		return &bar{}
	}
	b := &bar{writer: progress.NewWriter(), tracker: &progress.Tracker{Message: "Reading users and groups"}, drawn: make(chan struct{})}
	b.writer.SetOutputWriter(out)
	b.writer.SetStyle(progress.StyleDefault)
	b.writer.Style().Visibility.Speed = true
	b.writer.Style().Visibility.ETA = true
	b.writer.Style().Options.SpeedSuffix = " a second"
	b.writer.AppendTracker(b.tracker)
	b.writer.SetAutoStop(true)
	go func() {
		defer close(b.drawn)
		b.writer.Render()
	}()
	return b
}

func (b *bar) update(p access.Progress) {
	if b.writer == nil {
		return
	}
	b.tracker.UpdateTotal(int64(p.All))
	b.tracker.SetValue(int64(p.Read))
}

func (b *bar) stop(err error) {
	if b.writer == nil {
		return
	}
	if err != nil {
		b.tracker.MarkAsErrored()
	} else {
		b.tracker.MarkAsDone()
	}
	<-b.drawn
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(descriptor(f))
}

// descriptor returns the number of a file, which is small.
func descriptor(f *os.File) int { return int(f.Fd()) } //nolint:gosec // See above.
