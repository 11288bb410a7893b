package e2e

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	"github.com/conductorone/baton-sdk/pkg/connectorstore"
	"github.com/conductorone/baton-sdk/pkg/dotc1z"
	"github.com/conductorone/baton-sdk/pkg/dotc1z/c1zstore"
	sdksync "github.com/conductorone/baton-sdk/pkg/sync"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// segment-iam refuses each file from which it could not tell the whole truth, with one
// line that says why.
func TestIAM_RefusesFiles(t *testing.T) {
	t.Parallel()
	interrupt := func(t *testing.T, file string, opts ...sdksync.SyncOpt) {
		t.Helper()
		s := serve(t, sim.Demo())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if err := s.Before("getUser", 3, func(*sim.Workspace) { cancel() }); err != nil {
			t.Fatal(err)
		}
		r := newRunner(t.Context(), t, s, 0)
		if err := r.Sync(ctx, file, opts...); !errors.Is(err, context.Canceled) {
			t.Fatalf("the sync ends with %v", err)
		}
	}
	sync := func(t *testing.T, file string, opts ...sdksync.SyncOpt) {
		t.Helper()
		syncInProcess(t, serve(t, sim.Demo()), file, 0, opts...)
	}
	sqlite := sdksync.WithStorageEngine(c1zstore.EngineSQLite)
	for name, tt := range map[string]struct {
		make func(t *testing.T, file string)
		says string
	}{
		"none":   {func(*testing.T, string) {}, "there is no such file"},
		"folder": {func(t *testing.T, file string) { checkErr(t, os.Mkdir(file, 0o700)) }, "it is a folder"},
		"empty":  {func(t *testing.T, file string) { checkErr(t, os.WriteFile(file, nil, 0o600)) }, "it is empty"},
		"garbage": {func(t *testing.T, file string) {
			checkErr(t, os.WriteFile(file, []byte(strings.Repeat("garbage", 100)), 0o600))
		}, "not a file that baton-segment has written"},
		"cut short": {func(t *testing.T, file string) {
			sync(t, file)
			checkErr(t, os.Truncate(file, 1000))
		}, "not a file that baton-segment has written"},
		"unfinished":        {func(t *testing.T, file string) { interrupt(t, file) }, "its sync has not ended"},
		"unfinished sqlite": {func(t *testing.T, file string) { interrupt(t, file, sqlite) }, "its sync has not ended"},
		"unfinished after a finished one": {func(t *testing.T, file string) {
			sync(t, file, sqlite)
			interrupt(t, file, sqlite)
		}, "its newest sync has not ended"},
		"unfinished after a finished one in pebble": {func(t *testing.T, file string) {
			sync(t, file)
			interrupt(t, file)
		}, "sync has not ended"},
		"filtered": {func(t *testing.T, file string) {
			sync(t, file, sdksync.WithSyncResourceTypes([]string{typeUser, typeGroup, typeRole, typeWorkspace}))
		}, "these types are not in it: invite, source, warehouse, function, space, label"},
		"targeted": {func(t *testing.T, file string) {
			ws := sim.Demo()
			s := serve(t, ws)
			must(t, s.Env(), "baton-segment", "-f", file, "--sync-resources", "bid:r:user/"+ws.Users[0].ID)
		}, "of a part of the workspace only"},
		"another connector":                  {func(t *testing.T, file string) { writeForeign(t, file, "user") }, "another connector wrote it, or these types were left out: workspace, invite"},
		"another connector with other types": {func(t *testing.T, file string) { writeForeign(t, file, "repository") }, "another connector wrote it"},
		"an older version":                   {func(t *testing.T, file string) { writeForeign(t, file, builtTypes()...) }, "a version of baton-segment that is too old"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "sync.c1z")
			tt.make(t, file)
			r := run(t, nil, "segment-iam", "owners", "-f", file)
			t.Logf("%s", r.stderr)
			if r.code != 3 || r.stdout != "" || !strings.Contains(r.stderr, tt.says) || strings.Count(r.stderr, "\n") != 1 {
				t.Errorf("exit code %d, want 3 and the line %q\n%s%s", r.code, tt.says, r.stdout, r.stderr)
			}
		})
	}
}

func checkErr(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// writeForeign writes a finished full sync with one resource of each type, whose profiles
// are empty.
func writeForeign(t *testing.T, file string, types ...string) {
	t.Helper()
	ctx := t.Context()
	store, err := dotc1z.NewStore(ctx, file)
	checkErr(t, err)
	_, err = store.StartNewSync(ctx, connectorstore.SyncTypeFull, "")
	checkErr(t, err)
	for _, typeID := range types {
		checkErr(t, store.PutResourceTypes(ctx, v2.ResourceType_builder{Id: typeID, DisplayName: typeID}.Build()))
		id := v2.ResourceId_builder{ResourceType: typeID, Resource: "1"}.Build()
		checkErr(t, store.PutResources(ctx, v2.Resource_builder{Id: id, DisplayName: "1"}.Build()))
	}
	checkErr(t, errors.Join(store.EndSync(ctx), store.Close(ctx)))
}
