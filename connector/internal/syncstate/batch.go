package syncstate

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A batcher makes one call of the store for several workers: each call goes to the
// process that has the store, and a sync makes some for each user. While one call
// is under way, what further workers want is collected for the next.
type batcher struct {
	mu   sync.Mutex
	next *batch
	// running is closed when the latest call that has begun ends. It is a call of
	// the sync runningID.
	running   chan struct{}
	runningID string
}

// A storeCall stores the values of one part, or returns those that the store has
// for the same keys.
type storeCall func(context.Context, Sync, string, map[string]json.RawMessage) (map[string]json.RawMessage, error)

func storeValues(ctx context.Context, s Sync, part string, values map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	_, err := setMany(ctx, s, part, values)
	return nil, err
}

func loadValues(ctx context.Context, s Sync, part string, keys map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	return getMany[json.RawMessage](ctx, s, part, slices.Collect(maps.Keys(keys)))
}

// A batch is one call for several workers.
type batch struct {
	sync   Sync
	values map[string]map[string]json.RawMessage // By part and key.
	found  map[string]map[string]json.RawMessage // The same, once done is closed.
	done   chan struct{}
	err    error
}

// do makes a call for the caller's values, together with those of other callers,
// and returns what was found for all of them. If the call for several callers
// fails, each makes its own, because it may have failed for the one who made it.
func (b *batcher) do(ctx context.Context, s Sync, part string, values map[string]json.RawMessage, call storeCall) (map[string]json.RawMessage, error) {
	joined, first := b.join(s, part, values)
	if first {
		b.run(ctx, joined, call)
		return joined.found[part], joined.err
	}
	select {
	case <-joined.done:
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	if joined.err == nil {
		return joined.found[part], nil
	}
	return call(ctx, s, part, values)
}

// join adds values to the next batch of their sync. It reports whether they are
// the first in it: then the caller must run the batch.
func (b *batcher) join(s Sync, part string, values map[string]json.RawMessage) (*batch, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	call, first := b.next, false
	if call == nil || call.sync.id != s.id {
		call, first = &batch{sync: s, values: map[string]map[string]json.RawMessage{}, done: make(chan struct{})}, true
		b.next = call
	}
	if call.values[part] == nil {
		call.values[part] = map[string]json.RawMessage{}
	}
	maps.Copy(call.values[part], values)
	return call, first
}

// run waits for the call before, if that is of the same sync, and makes the
// call.
func (b *batcher) run(ctx context.Context, call *batch, do storeCall) {
	defer close(call.done)
	call.err = errInterrupted
	b.mu.Lock()
	before := b.running
	if b.runningID != call.sync.id {
		before = nil
	}
	b.running, b.runningID = call.done, call.sync.id
	b.mu.Unlock()
	if before != nil {
		select {
		case <-before:
		case <-ctx.Done(): // The call fails at once, and the others make their own.
		}
	}
	b.mu.Lock()
	if b.next == call {
		b.next = nil
	}
	b.mu.Unlock()
	if ctx.Err() != nil {
		call.err = status.FromContextError(ctx.Err()).Err()
		return
	}
	found := map[string]map[string]json.RawMessage{}
	var err error
	for part, values := range call.values {
		if found[part], err = do(ctx, call.sync, part, values); err != nil {
			break
		}
	}
	call.found, call.err = found, err
}

// errInterrupted is the error of a batch whose call to the store panicked. The
// workers that did not make the call get it, and make their own.
var errInterrupted = status.Error(codes.Internal, "the call to the session store was interrupted")
