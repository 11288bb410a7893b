package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/baton-segment/baton-segment/cmd/segment-iam/internal/page"
	"github.com/baton-segment/baton-segment/cmd/segment-iam/internal/wording"
	"github.com/baton-segment/baton-segment/connector/syncfile"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

func newReport(s *settings) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "report -o FILE.html",
		Short: "Write a page about the whole workspace, for a review",
		Long: `report writes one HTML file about the whole workspace: owners, people who see personal
data, roles on everything, pending invites, and each person, group, role, resource and
label. The file is self-contained, so it can be sent and printed. It contains personal data.`,
		Example: `  segment-iam report -o access.html
  segment-iam report -o access.html -f friday.c1z --since monday.c1z`,
		Args:              exactly(0, "no argument"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ext := strings.ToLower(filepath.Ext(output)); ext != ".html" && ext != ".htm" {
				return usagef("report needs the file to write, such as -o access.html")
			}
			return writeReport(cmd.Context(), output, func() (*page.Site, error) {
				sources, err := s.sources(cmd)
				if err != nil {
					return nil, err
				}
				return page.New(version, sources...), nil
			})
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write, which is replaced if it exists")
	_ = cmd.MarkFlagFilename("output", "html", "htm")
	s.addSource(cmd)
	s.addSince(cmd)
	return cmd
}

// writeReport writes a report that only its owner can read. The file is complete or not
// there. Reading a workspace can take minutes, so an unusable path is an error before that.
func writeReport(ctx context.Context, path string, load func() (*page.Site, error)) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s cannot be written: it is a folder", path)
	}
	out, err := os.CreateTemp(filepath.Dir(path), ".segment-iam-*")
	if err != nil {
		return notWritten(path, err)
	}
	site, err := load()
	if err != nil {
		return errors.Join(err, out.Close(), os.Remove(out.Name()))
	}
	err = page.Report(stoppable{ctx, out}, site)
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(out.Name(), path)
	}
	if err != nil {
		return errors.Join(notWritten(path, err), os.Remove(out.Name()))
	}
	return nil
}

// notWritten returns the error for a report that cannot be written. It names the path that
// the user knows, and not that of the temporary file.
func notWritten(path string, err error) error {
	if cause := syscall.Errno(0); errors.As(err, &cause) {
		err = cause
	}
	return fmt.Errorf("%s cannot be written: %w", path, err)
}

// A stoppable writer fails once its context is done.
type stoppable struct {
	ctx context.Context //nolint:containedctx // A writer lives for one call.
	out io.Writer
}

// Write implements io.Writer.
func (s stoppable) Write(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.out.Write(p)
}

func newServe(s *settings) *cobra.Command {
	var port uint16
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Show the pages of a report in a browser on this machine",
		Long: `serve shows the pages of a report in a browser on this machine, with a page for each
person and resource, and a search. Other machines cannot connect. If a file is replaced,
the next page that is loaded shows the new file. To stop it, press Ctrl-C.`,
		Example: `  segment-iam serve
  segment-iam serve -f friday.c1z --since monday.c1z --port 8080`,
		Args:              exactly(0, "no argument"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			listener, err := (&net.ListenConfig{}).Listen(cmd.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				return fmt.Errorf("port %d cannot be used: choose another with --port: %w", port, err)
			}
			shown, err := s.show(cmd)
			if err != nil {
				return errors.Join(err, listener.Close())
			}
			defer shown.end()
			return serve(cmd, listener, shown.current)
		},
	}
	cmd.Flags().Uint16Var(&port, "port", 0, "port to listen on; 0 takes a free one")
	_ = cmd.RegisterFlagCompletionFunc("port", cobra.NoFileCompletions)
	s.addSource(cmd)
	s.addSince(cmd)
	return cmd
}

func (s *settings) addSince(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&s.since, "since", nil, "older `file` of the workspace, to show what has changed (may be repeated)")
	_ = cmd.MarkFlagFilename("since", "c1z")
}

// sources returns the workspaces that a command is about, as pages show them.
func (s *settings) sources(cmd *cobra.Command) ([]page.Source, error) {
	snapshots, fileOf, err := s.loadWithFiles(cmd)
	if err != nil {
		return nil, err
	}
	sources := make([]page.Source, len(snapshots))
	for i, snapshot := range snapshots {
		sources[i] = page.Source{Snapshot: snapshot, From: "Segment"}
		if file, ok := fileOf[snapshot.Workspace.ID]; ok {
			sources[i].From = filepath.Base(file)
		}
	}
	sinceOf := make(map[string]string, len(s.since)) // By the id of the workspace.
	for _, file := range s.since {
		before, err := syncfile.Read(cmd.Context(), file)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(snapshots, func(s *access.Snapshot) bool { return s.Workspace.ID == before.Workspace.ID })
		switch {
		case i < 0:
			return nil, fmt.Errorf("--since %s is of workspace %s, which the pages do not show", file, wording.Named(before.WorkspaceThing()))
		case sources[i].Before != nil:
			return nil, usagef("--since %s and %s are both of workspace %s: give one of them", sinceOf[before.Workspace.ID], file, wording.Named(before.WorkspaceThing()))
		}
		sources[i].Before, sources[i].BeforeFrom = before, filepath.Base(file)
		sinceOf[before.Workspace.ID] = file
	}
	return sources, nil
}

// serve shows pages until the command is stopped.
func serve(cmd *cobra.Command, listener net.Listener, current page.Current) error {
	ctx := cmd.Context()
	handler, err := page.Handler(listener.Addr(), current)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	if _, err = fmt.Fprintf(cmd.OutOrStdout(), "http://%s/ shows who reaches what, on this machine only. To stop, press Ctrl-C.\n", listener.Addr()); err != nil {
		return errors.Join(err, listener.Close())
	}
	if err = server.Serve(listener); ctx.Err() != nil {
		return nil
	}
	return err
}

// A shown site follows its files: one that was replaced is read before the next page.
type shown struct {
	load  func() ([]page.Source, error)
	files []string

	mu      sync.Mutex
	site    *page.Site
	ids     []string      // Of the workspaces.
	seen    []os.FileInfo // As the files were when they were read, or could not be.
	warning string
}

// show reads the workspaces that a command is about. Those of files follow the files.
func (s *settings) show(cmd *cobra.Command) (*shown, error) {
	shown := &shown{load: func() ([]page.Source, error) { return s.sources(cmd) }}
	if !s.live {
		shown.files = slices.Concat(s.files, s.since)
	}
	shown.seen = shown.stat() // A file may be replaced while it is read.
	return shown, shown.read()
}

// current returns the site, and why it is not that of the files if they cannot be read.
func (s *shown) current() (*page.Site, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.stat()
	if slices.EqualFunc(now, s.seen, sameFile) {
		return s.site, s.warning
	}
	s.seen, s.warning = now, ""
	if err := s.read(); err != nil {
		s.warning = "The new files cannot be shown, so the pages still show the previous ones: " + wording.Plain(err.Error())
	}
	return s.site, s.warning
}

// read reads the site. It refuses files of other workspaces than before, because a reloaded
// page must not silently show another workspace.
func (s *shown) read() error {
	sources, err := s.load()
	if err != nil {
		return err
	}
	ids := make([]string, len(sources))
	for i, source := range sources {
		ids[i] = source.Snapshot.Workspace.ID
		if s.site != nil && !slices.Contains(s.ids, ids[i]) {
			return fmt.Errorf("%s is now of workspace %s: to see it, start segment-iam again", source.From, wording.Named(source.Snapshot.WorkspaceThing()))
		}
	}
	s.site, s.ids = page.New(version, sources...), ids
	return nil
}

// end waits until no file is being read, and prevents later reads. A program that ends
// during a read leaves an unpacked file in the temporary folder.
func (s *shown) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files, s.seen = nil, nil
}

// stat returns what identifies the present files. It is nil for one that cannot be found.
func (s *shown) stat() []os.FileInfo {
	infos := make([]os.FileInfo, len(s.files))
	for i, file := range s.files {
		if info, err := os.Stat(file); err == nil {
			infos[i] = info
		}
	}
	return infos
}

func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == b
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
