package connector

import (
	"context"
	"errors"
	"maps"
	"sync"

	"google.golang.org/grpc/status"
)

// A merger stores in one call what several workers have to store: each call goes
// to the process that has the store, and a sync of many users makes one for
// each. While one is under way, what comes up gathers for the next. Nobody goes
// on before what it stored is there.
type merger struct {
	mu   sync.Mutex
	next *merged
	// last ends when the latest call that has begun ends, in the sync lastOf.
	last   chan struct{}
	lastOf string
}

// A merged is one call for several workers.
type merged struct {
	store  session
	values map[string]subject
	done   chan struct{}
	err    error
}

// set stores subjects. Where the call of several fails, each makes its own: it
// may have failed for the one who made it.
func (m *merger) set(ctx context.Context, s session, subjects map[string]subject) error {
	if m == nil || s.store == nil || len(subjects) == 0 {
		_, err := sessionSet(ctx, s, partSubject, subjects)
		return err
	}
	call, first := m.join(s, subjects)
	if first {
		m.run(ctx, call)
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
	_, err := sessionSet(ctx, s, partSubject, subjects)
	return err
}

// join adds subjects to the next call of their sync, and reports whether they
// are the first: then the caller has to run it.
func (m *merger) join(s session, subjects map[string]subject) (*merged, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	call, first := m.next, false
	if call == nil || call.store.syncID != s.syncID {
		call, first = &merged{store: s, values: map[string]subject{}, done: make(chan struct{})}, true
		m.next = call
	}
	maps.Copy(call.values, subjects)
	return call, first
}

// run makes a call once the one before has ended, unless that is of another sync.
func (m *merger) run(ctx context.Context, call *merged) {
	defer close(call.done)
	call.err = errBrokenOff
	m.mu.Lock()
	last := m.last
	if m.lastOf != call.store.syncID {
		last = nil
	}
	m.last, m.lastOf = call.done, call.store.syncID
	m.mu.Unlock()
	if last != nil {
		select {
		case <-last:
		case <-ctx.Done(): // The call fails at once, and the others make their own.
		}
	}
	m.mu.Lock()
	if m.next == call {
		m.next = nil
	}
	m.mu.Unlock()
	if ctx.Err() != nil {
		call.err = status.FromContextError(ctx.Err()).Err()
		return
	}
	_, call.err = sessionSet(ctx, call.store, partSubject, call.values)
}

// errBrokenOff is the error of a call that panics, for those who did not make it.
var errBrokenOff = errors.New("the call was broken off")

// A fresh is the lists whose reading this process has begun. If no other process
// serves the sync, nothing of the users and groups in them can be in the store
// yet, which saves each of them a call. Whenever one might be asked about a second
// time it forgets.
type fresh struct {
	mu       sync.Mutex
	syncID   string
	readings map[string]int64
}

func (f *fresh) begin(syncID, typeID string, reading int64) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.syncID != syncID || f.readings == nil {
		f.syncID, f.readings = syncID, map[string]int64{}
	}
	f.readings[typeID] = reading
}

func (f *fresh) has(syncID, typeID string, reading int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return reading != 0 && f.syncID == syncID && f.readings[typeID] == reading
}

func (f *fresh) forget() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readings = nil
}
