package connector

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	v2 "github.com/conductorone/baton-sdk/pb/c1/connector/v2"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/grpc-ecosystem/go-grpc-middleware/logging/zap/ctxzap"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate"
	"github.com/baton-segment/baton-segment/segmentapi"
	"github.com/baton-segment/baton-segment/segmentapi/access"
)

// The reasons for missing rows, as the log gives them.
const (
	whyUnlisted  = "members of groups who are not in the list of users"
	whyUninvited = "pending members of groups who are not in the list of invites"
	whyAccepted  = "invites whose address belongs to a user"
	whyVanished  = "users and groups that were not found after they were listed"
)

// logSkipped warns that the workspace's plan lacks what one list is of.
func logSkipped(ctx context.Context, what, why string) {
	ctxzap.Extract(ctx).Warn("skipped: the workspace's plan or a feature is missing",
		zap.String("resource_type", what), zap.String("reason", why))
}

// noteUnknown keeps how many scopes of a subject's permissions cannot be shown, by
// kind, for the report. Without a session store it logs them at once.
func noteUnknown(ctx context.Context, s syncstate.Sync, id *v2.ResourceId, permissions []segmentapi.Permission) error {
	_, kinds := access.Targets(permissions)
	if len(kinds) == 0 {
		return nil
	}
	kept, err := s.AddUnknown(ctx, id.GetResourceType(), id.GetResource(), kinds)
	if err != nil || kept {
		return err
	}
	logUnknown(ctx, kinds)
	return nil
}

// report fails if the token does not see permissions, and logs what the file will
// lack, once in a sync: one warning for each kind of scope that cannot be shown, and
// one that repeats what was skipped. The SDK tells a connector nothing when a sync
// ends. All lists and permissions are known when the first grants are asked for, so
// it is made then.
func report(ctx context.Context, s syncstate.Sync) error {
	return s.Report(ctx, func() error { return checkOwner(ctx, s) }, func(unknown map[string]int, skipped []string) {
		logUnknown(ctx, unknown)
		if len(skipped) > 0 {
			ctxzap.Extract(ctx).Warn("not in the file, because the workspace's plan or a feature is missing",
				zap.Strings("resource_types", skipped))
		}
	})
}

// Skipped returns what a sync has left out because the workspace's plan or a feature is
// missing: ids of resource types, or descriptions of parts of one, sorted. It is known
// until the SDK's Cleanup empties the session store of the sync. Without a store, nothing
// is known.
func Skipped(ctx context.Context, sync rs.SyncOpAttrs) ([]string, error) {
	return new(syncstate.Tracker).Open(sync, strings.ToLower).Skipped(ctx)
}

// withWorkspace returns a context whose log lines name the workspace, those of the
// library included.
func withWorkspace(ctx context.Context, id string) context.Context {
	return ctxzap.ToContext(ctx, ctxzap.Extract(ctx).With(zap.String(fieldWorkspace, id)))
}

// logUnchanged logs the one line that a change leaves if there was nothing to change.
func logUnchanged(ctx context.Context, operation string, subject *v2.ResourceId, why string, fields ...zap.Field) {
	ctxzap.Extract(ctx).Info("nothing to change: "+why, append(fields,
		zap.String("operation", operation), zap.String("subject", subject.GetResourceType()+" "+subject.GetResource()))...)
}

// noSuch is the reason if the workspace does not have what a change is about.
func noSuch(workspace string, id *v2.ResourceId) string {
	return fmt.Sprintf("workspace %s has no %s %s", workspace, id.GetResourceType(), id.GetResource())
}

func logUnknown(ctx context.Context, kinds map[string]int) {
	for kind, n := range kinds {
		ctxzap.Extract(ctx).Warn("permissions on unknown types of resources: no grants for them",
			zap.String("scope", kind), zap.Int("count", n))
	}
}

// logLeftOut counts rows that are missing from the result. It logs the 1st, 10th,
// 100th and so on, with the count so far, because there may be thousands.
func logLeftOut(ctx context.Context, s syncstate.Sync, why, example string, n int) {
	for _, count := range s.Count(why, n) {
		ctxzap.Extract(ctx).Warn("left out: "+why, zap.String("example", example), zap.Int("count", count))
	}
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

// Handle writes one line. It drops the library's line about a change that is not needed:
// logUnchanged knows more about the reason.
func (l auditLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "nothing to change" {
		return nil
	}
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
		if a.Key != fieldWorkspace { // The logger of the context has it, see withWorkspace.
			fields = append(fields, zap.Any(a.Key, a.Value.Any()))
		}
	}
	return auditLog{fields: fields}
}

// WithGroup returns l: the library makes no groups.
func (l auditLog) WithGroup(string) slog.Handler { return l }
