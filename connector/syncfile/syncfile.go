// Package syncfile reads a file that baton-segment has synced, for the questions of
// package access. It takes a file only if what it answers from it would be the whole
// truth about the workspace: see [Read].
package syncfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	readerv2 "github.com/conductorone/baton-sdk/pb/c1/reader/v2"
	"github.com/conductorone/baton-sdk/pkg/connectorstore"
	"github.com/conductorone/baton-sdk/pkg/dotc1z"
	"github.com/conductorone/baton-sdk/pkg/dotc1z/c1zstore"

	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// ErrUnusable is returned for a file that does not show a whole workspace. The error
// says why, and what to do.
var ErrUnusable = errors.New("unusable file")

// types are the types of resources that a whole file has.
var types = []string{
	access.TypeWorkspace, access.TypeUser, access.TypeInvite, access.TypeGroup, access.TypeRole,
	access.TypeSource, access.TypeWarehouse, access.TypeFunction, access.TypeSpace, access.TypeLabel,
}

// Read reads a file into a snapshot. It returns an error that matches [ErrUnusable]
// unless the newest run in the file is a full sync that has ended, of this connector,
// in a version that stores what is needed, and with all types of resources.
//
// It reads what Segment says, and not what Baton has derived from it: grants that a
// group passes on to its members hide the way, so they are left out.
func Read(ctx context.Context, path string) (*access.Snapshot, error) {
	if err := checkFile(path); err != nil {
		return nil, err
	}
	store, err := dotc1z.NewStore(ctx, path, dotc1z.WithReadOnly(true))
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, unusable(path, "it is not a file that baton-segment has written: %v", err)
	}
	r := reader{ctx: ctx, path: path, store: store}
	snapshot, err := r.readAll()
	if err = errors.Join(err, store.Close(context.WithoutCancel(ctx))); err != nil {
		return nil, err
	}
	return snapshot, nil
}

// readAll checks the file and reads it.
func (r reader) readAll() (*access.Snapshot, error) {
	began, err := r.checkRun()
	if err != nil {
		return nil, err
	}
	if err = r.checkTypes(); err != nil {
		return nil, err
	}
	snapshot, err := r.read()
	if err == nil {
		snapshot.Began = began
	}
	return snapshot, err
}

func unusable(path, format string, args ...any) error {
	return fmt.Errorf("%s: %w: %s", path, ErrUnusable, fmt.Sprintf(format, args...))
}

// checkFile refuses what the SDK would take for a new file.
func checkFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return unusable(path, "there is no such file: sync one with baton-segment -f %s", path)
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	case info.IsDir():
		return unusable(path, "it is a folder")
	case !info.Mode().IsRegular():
		return unusable(path, "it is not a regular file")
	case info.Size() == 0:
		return unusable(path, "it is empty: sync again")
	}
	file, err := os.Open(path) //nolint:gosec // The caller's choice.
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	return file.Close()
}

// A reader reads one file.
type reader struct {
	ctx   context.Context //nolint:containedctx // A reader lives for one call.
	path  string
	store c1zstore.Store
}

// checkRun refuses a file whose newest run is not a full sync that has ended. The SDK
// would serve an older run in its place. It returns when the run began.
func (r reader) checkRun() (time.Time, error) {
	runs, err := pages(func(token string) ([]*readerv2.SyncRun, string, error) {
		resp, err := r.store.ListSyncs(r.ctx, readerv2.SyncsReaderServiceListSyncsRequest_builder{PageToken: token}.Build())
		return resp.GetSyncs(), resp.GetNextPageToken(), err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: reading its syncs: %w", r.path, err)
	}
	if len(runs) == 0 {
		return time.Time{}, unusable(r.path, "there is no sync in it: sync again")
	}
	newest := slices.MaxFunc(runs, func(a, b *readerv2.SyncRun) int {
		return a.GetStartedAt().AsTime().Compare(b.GetStartedAt().AsTime())
	})
	switch {
	case newest.GetEndedAt() == nil && len(runs) > 1:
		return time.Time{}, unusable(r.path, "its newest sync has not ended, and the one before it may be out of date: run the sync again to resume it")
	case newest.GetEndedAt() == nil:
		return time.Time{}, unusable(r.path, "its sync has not ended: run it again to resume it")
	case newest.GetSyncType() != string(connectorstore.SyncTypeFull):
		return time.Time{}, unusable(r.path, "its newest sync was of a part of the workspace only (%s): sync without --sync-resources into a new file", newest.GetSyncType())
	}
	return newest.GetStartedAt().AsTime(), nil
}

// checkTypes refuses a file that lacks types of resources.
func (r reader) checkTypes() error {
	rows, err := pages(func(token string) ([]*v2.ResourceType, string, error) {
		resp, err := r.store.ListResourceTypes(r.ctx, v2.ResourceTypesServiceListResourceTypesRequest_builder{PageToken: token}.Build())
		return resp.GetList(), resp.GetNextPageToken(), err
	})
	if err != nil {
		return fmt.Errorf("%s: reading its types of resources: %w", r.path, err)
	}
	missing := slices.Clone(types)
	for _, row := range rows {
		missing = slices.DeleteFunc(missing, func(id string) bool { return id == row.GetId() })
	}
	switch {
	case len(missing) == 0:
		return nil
	case len(missing) == len(types):
		return unusable(r.path, "another connector wrote it")
	case missing[0] == access.TypeWorkspace: // Its row would tell.
		return unusable(r.path, "another connector wrote it, or these types were left out: %s: sync without --sync-resource-types into a new file", strings.Join(missing, ", "))
	}
	return unusable(r.path, "these types are not in it: %s: sync without --sync-resource-types into a new file", strings.Join(missing, ", "))
}

// pages reads all pages of a list.
func pages[T any](list func(token string) ([]T, string, error)) ([]T, error) {
	var all []T
	for token := ""; ; {
		rows, next, err := list(token)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
		if token = next; token == "" {
			return all, nil
		}
	}
}
