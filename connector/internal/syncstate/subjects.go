package syncstate

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// Users and groups are subjects: each is asked for once, and what it holds is
// kept for the later calls about it.

// KeepSubjects keeps a value for each subject of a type, by id. Values of several
// workers go to the store in one call; each worker returns when its values are
// stored.
func KeepSubjects[V any](ctx context.Context, s Sync, typeID string, values map[string]V) error {
	if s.store == nil || len(values) == 0 {
		return nil
	}
	encoded := make(map[string]json.RawMessage, len(values))
	for id, value := range values {
		raw, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("encoding %s %s for the session store: %w", typeID, id, err)
		}
		encoded[keySubject+id] = raw
	}
	_, err := s.tracker.stores.do(ctx, s, partRows(typeID), encoded, storeValues)
	return err
}

// Subject returns the value that was kept for a subject, and whether there is
// one. If several workers ask at a time, one call of the store answers them.
func Subject[V any](ctx context.Context, s Sync, typeID, id string) (V, bool, error) {
	var value V
	if s.store == nil {
		return value, false, nil
	}
	part, key := partRows(typeID), keySubject+id
	found, err := s.tracker.loads.do(ctx, s, part, map[string]json.RawMessage{key: nil}, loadValues)
	if err != nil { // Together they may be more than one message holds.
		found, err = loadValues(ctx, s, part, map[string]json.RawMessage{key: nil})
	}
	raw, ok := found[key]
	if !ok || err != nil {
		return value, false, err
	}
	if err = json.Unmarshal(raw, &value); err != nil {
		return value, false, fmt.Errorf("reading %s %s from the session store: %w", typeID, id, err)
	}
	return value, true, nil
}

// AddGone counts a subject that has vanished since it was listed. It returns how
// many have, and whether this is the first time that this one is counted.
func (s Sync) AddGone(ctx context.Context, typeID, id string) (int, bool, error) {
	key := typeID + "/" + id
	gone, err := getAll[bool](ctx, s, partGone)
	if err != nil {
		return 0, false, err
	}
	_, counted := gone[shortKey(key)]
	if !counted {
		stored, err := setMany(ctx, s, partGone, map[string]bool{key: true})
		if err != nil {
			return 0, false, err
		}
		if !stored {
			n, first := s.addGoneInMemory(rowID{typeID, id})
			return n, first, nil
		}
		// Another worker may have added one as well.
		if gone, err = getAll[bool](ctx, s, partGone); err != nil {
			return 0, false, err
		}
	}
	return len(gone), !counted, nil
}

// AnyGone reports whether a subject is known to have vanished since it was listed.
func (s Sync) AnyGone(ctx context.Context) (bool, error) {
	gone, err := getAll[bool](ctx, s, partGone)
	return len(gone) > 0, err
}

func (s Sync) addGoneInMemory(id rowID) (int, bool) {
	t, unlock := s.track()
	defer unlock()
	counted := t.gone[id]
	t.gone[id] = true
	return len(t.gone), !counted
}

// An unknown is a number of scopes of one kind that a subject holds and that
// cannot be shown.
type unknown struct {
	TypeID string `json:"type"`
	Kind   string `json:"kind"`
	Count  int    `json:"count"`
}

// AddUnknown keeps how many scopes of which kind a subject holds that cannot be
// shown, for the report. It returns false if there is no store to keep them in.
func (s Sync) AddUnknown(ctx context.Context, typeID, id string, kinds map[string]int) (bool, error) {
	values := make(map[string]unknown, len(kinds))
	for kind, n := range kinds {
		values[typeID+"/"+id+"|"+kind] = unknown{TypeID: typeID, Kind: kind, Count: n}
	}
	return setMany(ctx, s, partUnknown, values)
}

// Skip keeps a description of a type, or a part of one, that the workspace's
// plan lacks, for the report.
func (s Sync) Skip(ctx context.Context, typeID, description string) error {
	_, err := setMany(ctx, s, partSkipped, map[string]string{typeID: description})
	return err
}

// Skipped returns the descriptions that Skip has kept, sorted.
func (s Sync) Skipped(ctx context.Context) ([]string, error) {
	skipped, err := getAll[string](ctx, s, partSkipped)
	return slices.Sorted(maps.Values(skipped)), err
}

// Report calls check, once in each process, and then do with what the file will
// lack: how many scopes of each kind cannot be shown, and the descriptions of the
// skipped types, sorted. It calls do once in a sync, whatever the number of
// processes. After an error the next call begins again.
func (s Sync) Report(ctx context.Context, check func() error, do func(unknown map[string]int, skipped []string)) error {
	t, unlock := s.track()
	reported := t.reported
	t.reported = true
	unlock()
	if reported {
		return nil
	}
	err := check()
	if err == nil {
		err = s.report(ctx, do)
	}
	if err != nil {
		t, unlock = s.track()
		t.reported = false
		unlock()
	}
	return err
}

func (s Sync) report(ctx context.Context, do func(unknown map[string]int, skipped []string)) error {
	if _, done, err := get[bool](ctx, s, partReport, reportKey); done || err != nil {
		return err
	}
	all, err := getAll[unknown](ctx, s, partUnknown)
	if err != nil {
		return err
	}
	kinds := map[string]int{}
	for _, u := range all {
		kinds[u.Kind] += u.Count
	}
	skipped, err := s.Skipped(ctx)
	if err != nil {
		return err
	}
	do(kinds, skipped)
	_, err = setMany(ctx, s, partReport, map[string]bool{reportKey: true})
	return err
}
