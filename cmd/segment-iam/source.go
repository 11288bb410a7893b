package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/baton-segment/baton-segment/cmd/segment-iam/internal/wording"
	"github.com/baton-segment/baton-segment/connector/syncfile"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// settings are the flags of the command line.
type settings struct {
	files   []string
	since   []string
	live    bool
	token   string
	region  string
	baseURL string
	output  string
}

// addOutput adds the flag that says in which format an answer is printed.
func (s *settings) addOutput(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&s.output, "output", "o", formatTable, "table, csv or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	cmd.PreRunE = func(*cobra.Command, []string) error { return s.checkFormat() }
}

// addSource adds the flags that say where the data comes from.
func (s *settings) addSource(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVarP(&s.files, "file", "f", []string{"sync.c1z"}, "`FILE` that baton-segment has synced (may be repeated)")
	_ = cmd.MarkFlagFilename("file", "c1z")
	f.BoolVar(&s.live, "live", false, "read the workspace itself instead of a file")
	s.addAccount(cmd)
}

// addAccount adds the flags that say which workspace to read.
func (s *settings) addAccount(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.token, "token", "", "Segment Public API token. Set BATON_TOKEN instead: other users of the machine can see the flag")
	f.StringVar(&s.region, "region", "", "us or eu (BATON_REGION; default us)")
	f.StringVar(&s.baseURL, "base-url", "", "endpoint of a simulator (BATON_BASE_URL)")
	_ = f.MarkHidden("base-url")
}

// load returns the workspaces that a command is about, sorted by name. There is at least
// one.
func (s *settings) load(cmd *cobra.Command) ([]*access.Snapshot, error) {
	snapshots, _, err := s.loadWithFiles(cmd)
	return snapshots, err
}

// loadWithFiles is load that also returns the file of each workspace, by the workspace's id.
func (s *settings) loadWithFiles(cmd *cobra.Command) ([]*access.Snapshot, map[string]string, error) {
	if s.live && cmd.Flags().Changed("file") {
		return nil, nil, usagef("--live reads the workspace itself, so leave out --file")
	}
	if !s.live {
		return readFiles(cmd.Context(), s.files)
	}
	client, err := s.client()
	if err != nil {
		return nil, nil, err
	}
	snapshot, err := readLive(cmd.Context(), client, cmd.ErrOrStderr())
	if err != nil {
		return nil, nil, err
	}
	return []*access.Snapshot{snapshot}, nil, nil
}

// loadAndFind returns the workspaces, and the thing of some types that a text means in
// each.
func (s *settings) loadAndFind(cmd *cobra.Command, text string, types []string) ([]place, error) {
	snapshots, err := s.load(cmd)
	if err != nil {
		return nil, err
	}
	return find(snapshots, text, types)
}

// readFiles reads files of different workspaces. It returns these sorted by name, and the
// file of each by the id of the workspace.
func readFiles(ctx context.Context, files []string) ([]*access.Snapshot, map[string]string, error) {
	snapshots := make([]*access.Snapshot, 0, len(files))
	fileOf := make(map[string]string, len(files))
	for _, file := range files {
		snapshot, err := syncfile.Read(ctx, file)
		if err != nil {
			return nil, nil, err
		}
		id := snapshot.Workspace.ID
		if other, ok := fileOf[id]; ok {
			return nil, nil, usagef("%s and %s are both of workspace %s: give one of them, or compare them with segment-iam diff",
				other, file, wording.Named(snapshot.WorkspaceThing()))
		}
		fileOf[id] = file
		snapshots = append(snapshots, snapshot)
	}
	slices.SortFunc(snapshots, func(a, b *access.Snapshot) int {
		x, y := a.WorkspaceThing(), b.WorkspaceThing()
		return cmp.Or(strings.Compare(x.Name, y.Name), strings.Compare(x.ID, y.ID))
	})
	return snapshots, fileOf, nil
}

// client returns a client that cannot change anything.
func (s *settings) client() (*segmentapi.Client, error) {
	token, err := s.tokenOf(s.token, "--live")
	if err != nil {
		return nil, err
	}
	return s.clientWith(token, readOnly{segmentapi.DefaultTransport()})
}

// tokenOf returns the token that a command needs.
func (s *settings) tokenOf(flag, needs string) (string, error) {
	token := strings.TrimSpace(fromEnv(flag, "BATON_TOKEN"))
	if token == "" {
		return "", usagef("%s needs a token of the Segment Public API: set BATON_TOKEN", needs)
	}
	return token, nil
}

// clientWith returns a client with a token, whose requests go through a transport.
func (s *settings) clientWith(token string, transport http.RoundTripper, more ...segmentapi.Option) (*segmentapi.Client, error) {
	options := append([]segmentapi.Option{
		segmentapi.WithUserAgent("segment-iam/" + version),
		segmentapi.WithHTTPClient(&http.Client{Transport: transport, Timeout: requestTimeout}),
	}, more...)
	if region := fromEnv(s.region, "BATON_REGION"); region != "" {
		options = append(options, segmentapi.WithRegion(segmentapi.Region(region)))
	}
	if base := fromEnv(s.baseURL, "BATON_BASE_URL"); base != "" {
		options = append(options, segmentapi.WithBaseURL(base))
	}
	client, err := segmentapi.New(token, options...)
	if err != nil {
		return nil, usageError{err}
	}
	return client, nil
}

func fromEnv(flag, name string) string {
	if flag != "" {
		return flag
	}
	return os.Getenv(name)
}

// readOnly refuses every request that could change something.
type readOnly struct{ base http.RoundTripper }

var errReadOnly = errors.New("segment-iam sends only GET requests")

// RoundTrip implements http.RoundTripper.
func (r readOnly) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodGet {
		return nil, fmt.Errorf("%s %s: %w", req.Method, req.URL.Path, errReadOnly)
	}
	return r.base.RoundTrip(req)
}

func readLive(ctx context.Context, client *segmentapi.Client, stderr io.Writer) (*access.Snapshot, error) {
	bar := newBar(stderr)
	snapshot, err := access.Read(ctx, client, access.ReadOptions{Progress: bar.update})
	bar.stop(err)
	if err != nil {
		return nil, err
	}
	for _, gap := range wording.Gaps(snapshot) {
		_, printErr := fmt.Fprintln(stderr, gap)
		err = errors.Join(err, printErr)
	}
	return snapshot, err
}
