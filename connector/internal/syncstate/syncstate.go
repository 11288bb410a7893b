// Package syncstate keeps what one sync knows between the calls that the SDK
// makes to a connector: which lists have been read, the rows they returned, what
// users and groups hold, and what the log has to mention in the end.
//
// The state lives in the session store of the sync, which is part of the file
// until the sync ends, so several processes can serve one sync. Never put a
// secret into it. Nothing else in the connector uses the store.
//
// A sync may have no store. Then nothing is kept, and nothing is known; see
// [Sync.Usable].
package syncstate

import (
	"maps"
	"sync"
	"time"

	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/conductorone/baton-sdk/pkg/types/sessions"
)

// A Tracker is the part of the state that one process has in memory: what it
// need not ask the store for again, and counts for its log. It tracks one sync
// at a time, that of the latest call. The zero value is ready, and it is safe
// for concurrent use.
type Tracker struct {
	// stores and loads batch the calls for subjects.
	stores, loads batcher

	mu sync.Mutex
	// turn is that of Turn: it holds a value while a caller has it.
	turn   chan struct{}
	syncID string
	// since is when marks and names were last empty.
	since time.Time
	// reads counts the lists that this process has begun to read. An answer of
	// the store that was asked for before the latest of them is not remembered.
	reads int
	// marks and names are answers of the store. Only what was found is here: what
	// is missing may be stored later, by any process.
	marks map[Mark]int
	names map[rowID]string
	// counts are those of Count.
	counts map[string]int
	// gone are the users and groups of AddGone, if there is no store.
	gone     map[rowID]bool
	reported bool
	// workspace is the one that the sync reads, once it is known.
	workspace string
}

// maxNames bounds the names in memory. A workspace has a few hundred things that
// roles are held on; one that has more asks the store again.
const maxNames = 10_000

// maxAge is how long answers of the store are remembered, as in the SDK's own cache:
// another process may begin a list again.
const maxAge = 10 * time.Minute

// A rowID is the type and the id of a row.
type rowID struct{ typeID, id string }

// A Sync is the state of one sync, as one call of the SDK uses it.
type Sync struct {
	store   sessions.SessionStore
	id      string
	tracker *Tracker
	fold    func(email string) string
}

// Open returns the state of the sync that a call belongs to. E-mails are one
// person's if fold returns the same for both.
func (t *Tracker) Open(opts rs.SyncOpAttrs, fold func(email string) string) Sync {
	return Sync{store: opts.Session, id: opts.SyncID, tracker: t, fold: fold}
}

// ID is the id of the sync.
func (s Sync) ID() string { return s.id }

// track locks the tracker for this sync and returns the function that unlocks
// it.
func (s Sync) track() (*Tracker, func()) {
	t := s.tracker
	t.mu.Lock()
	if t.marks == nil || t.syncID != s.id {
		t.syncID, t.reported, t.workspace = s.id, false, ""
		t.counts, t.gone = map[string]int{}, map[rowID]bool{}
		t.since = time.Time{}
	}
	if now := time.Now(); now.Sub(t.since) >= maxAge {
		t.since = now
		t.marks, t.names = map[Mark]int{}, map[rowID]string{}
		t.reads++
	}
	return t, t.mu.Unlock
}

// forgetList drops what is remembered of a type's list.
func (t *Tracker) forgetList(typeID string) {
	t.reads++
	maps.DeleteFunc(t.marks, func(m Mark, _ int) bool { return m.typeID == typeID })
	maps.DeleteFunc(t.names, func(r rowID, _ string) bool { return r.typeID == typeID })
}

// Count adds n to a count of this process and returns the powers of ten that it
// has reached by that: when a log line about something frequent is due.
func (s Sync) Count(what string, n int) []int {
	t, unlock := s.track()
	defer unlock()
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

// Counted returns a count of this process.
func (s Sync) Counted(what string) int {
	t, unlock := s.track()
	defer unlock()
	return t.counts[what]
}
