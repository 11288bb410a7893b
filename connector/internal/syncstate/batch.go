package syncstate

import (
	"context"
	"encoding/json"
	"maps"
	"sync"

	"google.golang.org/grpc/status"
)

// A batcher stores in one call what several workers have to store at a time: each
// call goes to the process that has the store, and a sync makes one for each
// user. While one call is under way, further values are collected for the next.
type batcher struct {
	mu   sync.Mutex
	next *batch
	// running is closed when the latest call that has begun ends. It is a call of
	// the sync runningID.
	running   chan struct{}
	runningID string
}

// A batch is one call for several workers.
type batch struct {
	sync   Sync
	values map[string]map[string]json.RawMessage // By part and key.
	done   chan struct{}
	err    error
}

// set stores values and returns when they are stored. If the call for several
// workers fails, each makes its own, because it may have failed for the one who
// made it.
func (b *batcher) set(ctx context.Context, s Sync, part string, values map[string]json.RawMessage) error {
	call, first := b.join(s, part, values)
	if first {
		b.run(ctx, call)
		return call.err
	}
	select {
	case <-call.done:
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
	if call.err == nil {
		return nil
	}
	_, err := setMany(ctx, s, part, values)
	return err
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
func (b *batcher) run(ctx context.Context, call *batch) {
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
	var err error
	for part, values := range call.values {
		if _, err = setMany(ctx, call.sync, part, values); err != nil {
			break
		}
	}
	call.err = err
}
