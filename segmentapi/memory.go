package segmentapi

import (
	"context"
	"sync"
	"time"
)

// memoryTime is how long a client remembers what it has written.
const memoryTime = time.Minute

// exists is the name of the fact that an object exists.
const exists = ""

// memory holds what this process has written in the last minute and Segment has
// accepted, for each object: a user's permissions, a group's members. An edit
// compares what it reads with this, because a read may be stale.
type memory struct {
	mu    sync.Mutex
	facts map[string]map[string]fact
	// unknown is when a write to an object last ended in a way that leaves its state open.
	unknown map[string]time.Time
}

// A fact is that an object has something, or no longer has it.
type fact struct {
	has bool
	at  time.Time
}

// A changedFact is what a write makes true: that an object has something, or no longer has
// it. If an object no longer exists, it has nothing else either.
type changedFact struct {
	object, name string
	has          bool
}

// note remembers facts.
func (m *memory) note(facts []changedFact) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetOld()
	for _, f := range facts {
		if f.name == exists && !f.has {
			delete(m.facts, f.object)
		}
		if m.facts[f.object] == nil {
			m.facts[f.object] = map[string]fact{}
		}
		m.facts[f.object][f.name] = fact{f.has, time.Now()}
	}
}

// hasOpposite reports whether this process has made the opposite of one of the facts true
// within the last minute.
func (m *memory) hasOpposite(facts []changedFact) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetOld()
	for _, f := range facts {
		if known, ok := m.facts[f.object][f.name]; ok && known.has != f.has {
			return true
		}
	}
	return false
}

// factsOf returns what a change of the permissions of an object makes true.
func factsOf(object string, change Difference) []changedFact {
	var facts []changedFact
	for _, a := range change.Removed {
		facts = append(facts, changedFact{object, a.fact(), false})
	}
	for _, a := range change.Added {
		facts = append(facts, changedFact{object, a.fact(), true})
	}
	return facts
}

// noteUnknown remembers that the state of an object is unknown.
func (m *memory) noteUnknown(object string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.facts, object)
	m.unknown[object] = time.Now()
}

// knownIn returns how long it takes until a read shows what a write with an unknown
// outcome has done to an object.
func (m *memory) knownIn(object string, settleTime time.Duration) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetOld()
	at, ok := m.unknown[object]
	if !ok {
		return 0
	}
	return time.Until(at.Add(settleTime))
}

// hasLost reports whether something was taken from an object within the last minute.
func (m *memory) hasLost(object, name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetOld()
	f, ok := m.facts[object][name]
	return ok && !f.has
}

// hasAny reports whether an object was given something within the last minute.
func (m *memory) hasAny(object string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetOld()
	for _, f := range m.facts[object] {
		if f.has {
			return true
		}
	}
	return false
}

// anyHas reports whether any object was given something, within the last minute, whose
// name matches.
func (m *memory) anyHas(match func(name string) bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetOld()
	for _, facts := range m.facts {
		for name, f := range facts {
			if f.has && match(name) {
				return true
			}
		}
	}
	return false
}

// objectsWith returns the objects that were given something within the last minute.
func (m *memory) objectsWith(name string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetOld()
	var objects []string
	for object, facts := range m.facts {
		if facts[name].has {
			objects = append(objects, object)
		}
	}
	return objects
}

// contradicts reports whether a read shows a state other than the remembered one. The
// function shows reports whether the read shows something, and whether it was read at all.
func (m *memory) contradicts(object string, shows func(name string) (has, read bool)) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forgetOld()
	for name, f := range m.facts[object] {
		if has, read := shows(name); read && has != f.has {
			return true
		}
	}
	return false
}

// forgetContradicted drops what a read contradicts and was noted before it began.
func (m *memory) forgetContradicted(object string, began time.Time, shows func(name string) (has, read bool)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, f := range m.facts[object] {
		if has, read := shows(name); read && has != f.has && f.at.Before(began) {
			delete(m.facts[object], name)
		}
	}
}

// forget drops what is remembered of an object.
func (m *memory) forget(object string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.facts, object)
}

// forgetOld drops what is older than memoryTime, with the lock held.
func (m *memory) forgetOld() {
	for object, at := range m.unknown {
		if time.Since(at) > memoryTime {
			delete(m.unknown, object)
		}
	}
	for object, facts := range m.facts {
		for name, f := range facts {
			if time.Since(f.at) > memoryTime {
				delete(facts, name)
			}
		}
		if len(facts) == 0 {
			delete(m.facts, object)
		}
	}
}

// readRemembering repeats a read that contradicts what this process has written,
// until it no longer does, or until a read cannot be that old. Then the read counts
// and the memory is dropped: another program has changed the object. If the outcome of the
// last write is unknown, it first waits until a read shows it. The error of read may say
// that the object is gone.
func readRemembering[T any](
	ctx context.Context, c *Client, object string, read func(context.Context) (T, error), shows func(T, string) (has, read bool),
) (T, error) {
	var out T
	if err := sleep(ctx, c.writer.memory.knownIn(object, c.writer.settleTime)); err != nil {
		return out, err
	}
	var readErr error
	began := time.Now()
	showsFact := func(name string) (bool, bool) {
		switch {
		case readErr != nil:
			return false, true
		case name == exists:
			return true, true
		}
		return shows(out, name)
	}
	agrees, err := c.readUntil(ctx, func(ctx context.Context) (bool, error) {
		out, readErr = read(ctx)
		if readErr != nil && !gone(readErr) {
			return false, readErr
		}
		return !c.writer.memory.contradicts(object, showsFact), nil
	})
	if err == nil && !agrees {
		c.writer.memory.forgetContradicted(object, began, showsFact)
	}
	if err != nil {
		return out, err
	}
	return out, readErr
}
