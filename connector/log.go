package connector

import (
	"context"
	"strings"
	"sync"

	"github.com/grpc-ecosystem/go-grpc-middleware/logging/zap/ctxzap"
	"go.uber.org/zap"
)

// Why a row is missing, in the log.
const (
	whyPending  = "pending invites in groups are not shown"
	whyUnlisted = "members of groups that the list of users does not have"
	whyVanished = "users and groups that have gone since they were listed"
)

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

// reportUnknown logs the totals of noteUnknown, one warning for each kind. All
// permissions are known when the first grants are asked for, so that is when,
// and once in a sync.
func (s session) reportUnknown(ctx context.Context) error {
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

// A tally words the log of the sync that runs in this process. It has no say
// in what is returned.
type tally struct {
	mu      sync.Mutex
	syncID  string
	counts  map[string]int
	started bool
}

// enter makes the tally that of syncID. The lock is held.
func (t *tally) enter(syncID string) {
	if t.counts == nil || t.syncID != syncID {
		t.syncID, t.counts, t.started = syncID, map[string]int{}, false
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
