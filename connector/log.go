package connector

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/grpc-ecosystem/go-grpc-middleware/logging/zap/ctxzap"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Why a row is missing, in the log.
const (
	whyUnlisted  = "members of groups that the list of users does not have"
	whyUninvited = "pending members of groups that the list of invites does not have"
	whyVanished  = "users and groups that have gone since they were listed"
)

// skip says that the workspace's plan lacks what one list is of.
func (s session) skip(ctx context.Context, what, why string) error {
	ctxzap.Extract(ctx).Warn("skipped: the workspace's plan or a feature is missing",
		zap.String("resource_type", what), zap.String("reason", why))
	_, err := sessionSet(ctx, s, partSkipped, map[string]bool{what: true})
	return err
}

// noteUnknown keeps how much of what subjects hold cannot be shown. The keys
// of counts come from unknownKey.
func (s session) noteUnknown(ctx context.Context, counts map[string]int) error {
	kept, err := sessionSet(ctx, s, partUnknown, counts)
	if err != nil || kept {
		return err
	}
	for key, n := range counts {
		logUnknown(ctx, unknownKind(key), n)
	}
	return nil
}

func unknownKey(kind, subject string) string { return kind + "|" + subject }

func unknownKind(key string) string {
	kind, _, _ := strings.Cut(key, "|")
	return kind
}

// report logs what the file will lack: what was skipped, named once more, and
// the totals of noteUnknown, one warning for each kind. The SDK tells nobody
// when a sync ends. All lists and permissions are known when the first grants
// are asked for, so that is when, and once in a sync.
func (s session) report(ctx context.Context) error {
	if !s.tally.first(s.syncID) {
		return nil
	}
	if _, done, err := sessionGet[bool](ctx, s, partReported, partUnknown); done || err != nil {
		return err
	}
	counts, err := sessionAll[int](ctx, s, partUnknown)
	if err != nil {
		return err
	}
	totals := map[string]int{}
	for key, n := range counts {
		totals[unknownKind(key)] += n
	}
	for kind, n := range totals {
		logUnknown(ctx, kind, n)
	}
	skipped, err := sessionAll[bool](ctx, s, partSkipped)
	if err != nil {
		return err
	}
	if len(skipped) > 0 {
		ctxzap.Extract(ctx).Warn("not in the file, because the workspace's plan or a feature is missing",
			zap.Strings("resource_types", slices.Sorted(maps.Keys(skipped))))
	}
	_, err = sessionSet(ctx, s, partReported, map[string]bool{partUnknown: true})
	return err
}

func logUnknown(ctx context.Context, kind string, n int) {
	ctxzap.Extract(ctx).Warn("permissions of a kind that is not shown: no grants for them",
		zap.String("scope", kind), zap.Int("count", n))
}

// leftOut counts what is missing from the result and logs the 1st, 10th, 100th
// and so on, with the count so far: there may be thousands.
func (s session) leftOut(ctx context.Context, why, example string, n int) {
	for _, count := range s.tally.add(s.syncID, why, n) {
		ctxzap.Extract(ctx).Warn("left out: "+why, zap.String("example", example), zap.Int("count", count))
	}
}

// A tally counts for the log of the sync that runs in this process. Where there
// is no session store, it also tells how many users and groups have gone.
type tally struct {
	mu       sync.Mutex
	syncID   string
	counts   map[string]int
	vanished map[string]bool
	started  bool
	pace     pace
}

// enter makes the tally that of syncID. The lock is held.
func (t *tally) enter(syncID string) {
	if t.counts == nil || t.syncID != syncID {
		t.syncID, t.counts, t.vanished, t.started, t.pace = syncID, map[string]int{}, map[string]bool{}, false, pace{}
	}
}

// first reports whether this is its first call in a sync.
func (t *tally) first(syncID string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.enter(syncID)
	started := t.started
	t.started = true
	return !started
}

// gone notes a subject that has gone. It returns how many have, and whether
// this one is new.
func (t *tally) gone(syncID, subject string) (int, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.enter(syncID)
	first := !t.vanished[subject]
	t.vanished[subject] = true
	return len(t.vanished), first
}

// count is what has been added.
func (t *tally) count(syncID, what string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.enter(syncID)
	return t.counts[what]
}

// add counts n more and returns the powers of ten that were reached.
func (t *tally) add(syncID, what string, n int) []int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.enter(syncID)
	before := t.counts[what]
	t.counts[what] += n
	var reached []int
	for p := 1; p <= t.counts[what]; p *= 10 {
		if p > before {
			reached = append(reached, p)
		}
	}
	return reached
}

// auditLog hands the library's lines about changes, and at the level debug about
// requests, to the logger of the context, where the SDK looks for it.
type auditLog struct{ fields []zap.Field }

// Enabled goes by the logger of the context.
func (auditLog) Enabled(ctx context.Context, level slog.Level) bool {
	return ctxzap.Extract(ctx).Core().Enabled(zapLevel(level))
}

func zapLevel(level slog.Level) zapcore.Level {
	switch {
	case level >= slog.LevelWarn:
		return zapcore.WarnLevel
	case level >= slog.LevelInfo:
		return zapcore.InfoLevel
	}
	return zapcore.DebugLevel
}

// Handle writes one line.
func (l auditLog) Handle(ctx context.Context, r slog.Record) error {
	fields := slices.Clone(l.fields)
	r.Attrs(func(a slog.Attr) bool {
		fields = append(fields, zap.Any(a.Key, a.Value.Any()))
		return true
	})
	ctxzap.Extract(ctx).Log(zapLevel(r.Level), r.Message, fields...)
	return nil
}

// WithAttrs returns a handler that adds attrs to each line.
func (l auditLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	fields := slices.Clone(l.fields)
	for _, a := range attrs {
		fields = append(fields, zap.Any(a.Key, a.Value.Any()))
	}
	return auditLog{fields: fields}
}

// WithGroup returns l: the library makes no groups.
func (l auditLog) WithGroup(string) slog.Handler { return l }
