package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	readerv2 "github.com/conductorone/baton-sdk/pb/c1/reader/v2"
	"github.com/conductorone/baton-sdk/pkg/connectorstore"
	"github.com/conductorone/baton-sdk/pkg/dotc1z"
	"go.uber.org/zap"
)

// reportFile summarizes the file of a completed sync in the last log line of the run. The
// counts are read from the file, so they are also right after a resumed sync.
func (p *process) reportFile() {
	log := zap.L()
	if p.changes == nil || p.settings.GetString("client-id") != "" || log.Check(zap.InfoLevel, "") == nil {
		return
	}
	synced := p.changes.Synced()
	if synced == nil { // The run was not a sync.
		return
	}
	file := p.settings.GetString("file")
	f, err := readFileStats(p.ctx, file, p.settings.GetString("c1z-temp-dir"), synced.ID)
	if err != nil {
		if p.ctx.Err() == nil {
			log.Warn("the file is written, but its rows cannot be counted", zap.String("file", file), zap.Error(err))
		}
		return
	}
	f.name, f.skipped = file, synced.Skipped
	if p.console() {
		log.Info(f.sentence())
		return
	}
	log.Info(f.sentence(), zap.String("file", f.name), zap.String("sync_id", synced.ID), zap.String("sync_type", string(f.kind)),
		zap.Any("resources", f.stats.GetResourcesByResourceType()), zap.Int64("entitlements", f.stats.GetEntitlements()),
		zap.Int64("grants", f.stats.GetGrants()), zap.Strings("skipped", f.skipped))
}

// fileStats is the summary of a file for the log.
type fileStats struct {
	name    string
	kind    connectorstore.SyncType
	stats   *readerv2.SyncStats
	skipped []string
}

// readFileStats reads the counts that the SDK writes to the file at the end of a sync.
func readFileStats(ctx context.Context, file, tempDir, syncID string) (fileStats, error) {
	store, err := dotc1z.NewStore(ctx, file, dotc1z.WithReadOnly(true), dotc1z.WithTmpDir(tempDir))
	if err != nil {
		return fileStats{}, err
	}
	run, err := store.SyncMeta().LatestFinishedSyncOfAnyType(ctx)
	switch {
	case err != nil:
	case run == nil || run.ID != syncID:
		err = fmt.Errorf("it does not have the sync %s", syncID)
	default:
		f := fileStats{kind: run.Type}
		f.stats, err = store.SyncMeta().StatsV2(ctx, connectorstore.SyncTypeAny, syncID)
		return f, errors.Join(err, store.Close(ctx))
	}
	return fileStats{}, errors.Join(err, store.Close(ctx))
}

// sentence summarizes the file. It begins with users and groups, and omits types without rows.
func (f fileStats) sentence() string {
	counts := f.stats.GetResourcesByResourceType()
	types := slices.Sorted(maps.Keys(counts))
	slices.SortStableFunc(types, func(a, b string) int { return rank(a) - rank(b) })
	var parts []string
	for _, t := range types {
		if counts[t] > 0 {
			parts = append(parts, plural(counts[t], t))
		}
	}
	parts = append(parts, plural(f.stats.GetGrants(), "grant"))
	text := "wrote " + f.name
	if f.kind != connectorstore.SyncTypeFull {
		text += " with a part of the workspace"
	}
	text += ": " + strings.Join(parts, ", ")
	if n := len(f.skipped); n > 0 {
		text += fmt.Sprintf(", %s skipped (%s)", plural(int64(n), "type"), strings.Join(f.skipped, ", "))
	}
	return text
}

func rank(typeID string) int {
	if i := slices.Index([]string{"user", "group"}, typeID); i >= 0 {
		return i
	}
	return 2
}

func plural(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
