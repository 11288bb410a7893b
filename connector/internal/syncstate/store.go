package syncstate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	sdksession "github.com/conductorone/baton-sdk/pkg/session"
	"github.com/conductorone/baton-sdk/pkg/types/sessions"
)

// The parts of the store, each a prefix of its keys. The SDK's stores join prefix
// and key without a separator, hence the slashes; other stores may keep them
// apart, so a key is always read and cleared with the prefix it was stored with.
const (
	partWorkspace = "workspace/" // One key, to the workspace's id.
	partMarks     = "list/"      // What is known of the list of a type, to a number.
	partGone      = "gone/"      // Users and groups that have vanished.
	partUnknown   = "unshown/"   // Scopes that cannot be shown, by subject.
	partSkipped   = "lacking/"   // A type that the plan lacks, to a description.
	partReport    = "report/"    // One key, once the report has been made.
)

// partRows is the part of a type's rows: their names, their e-mails, what they
// hold, and pages that were read for them.
func partRows(typeID string) string { return "rows/" + typeID + "/" }

const (
	workspaceKey = "id"
	reportKey    = "done"

	keyName     = "name/"     // With the id of a row, to its name.
	keyEmail    = "email/"    // With an e-mail, to the id of the row that has it.
	keyFolded   = "folded/"   // With a folded e-mail, to the same.
	keySubject  = "subject/"  // With the id of a user or group, to what it holds.
	keyPage     = "page/"     // With a list and a cursor, to a page of the list.
	keyAccepted = "accepted/" // With a folded e-mail, if the invite's address is a user's.
)

// maxKey is the longest key that the SDK's store takes, in bytes.
const maxKey = 512

// shortKey replaces a key that is too long by its checksum.
func shortKey(key string) string {
	if len(key) <= maxKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// present reports whether there is a store, from what using it returned.
func (s Sync) present(err error) (bool, error) {
	switch {
	case s.store == nil, errors.Is(err, sdksession.ErrSessionStoreDisabled):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("session store: %w", err)
	}
	return true, nil
}

// Usable reports whether what is kept now can be read later.
func (s Sync) Usable(ctx context.Context) (bool, error) {
	if s.store == nil {
		return false, nil
	}
	t, unlock := s.track()
	known := len(t.marks) // Only a store that is there has answered.
	unlock()
	if known > 0 {
		return true, nil
	}
	_, _, err := s.store.Get(ctx, workspaceKey, sessions.WithPrefix(partWorkspace))
	return s.present(err)
}

// get returns the value of one key. It uses GetMany: while one worker looks for
// a missing key, the SDK's Get returns an empty value for it to all others.
func get[T any](ctx context.Context, s Sync, part, key string) (T, bool, error) {
	values, err := getMany[T](ctx, s, part, []string{key})
	value, ok := values[key]
	return value, ok, err
}

// getMany returns the values of those keys that are in the store.
func getMany[T any](ctx context.Context, s Sync, part string, keys []string) (map[string]T, error) {
	if s.store == nil || len(keys) == 0 {
		return nil, nil
	}
	short := make([]string, len(keys))
	for i, key := range keys {
		short[i] = shortKey(key)
	}
	slices.Sort(short)
	found, err := sdksession.GetManyJSON[T](ctx, s.store, slices.Compact(short), sessions.WithPrefix(part))
	stored, err := s.present(err)
	if !stored || err != nil {
		return nil, err
	}
	for _, key := range keys {
		if value, ok := found[shortKey(key)]; ok && len(key) > maxKey {
			delete(found, shortKey(key))
			found[key] = value
		}
	}
	return found, nil
}

// setMany stores values and reports whether there is a store.
func setMany[T any](ctx context.Context, s Sync, part string, values map[string]T) (bool, error) {
	if s.store == nil || len(values) == 0 {
		return s.store != nil, nil
	}
	short := make(map[string]T, len(values))
	for key, value := range values {
		short[shortKey(key)] = value
	}
	return s.present(sdksession.SetManyJSON(ctx, s.store, short, sessions.WithPrefix(part)))
}

// getAll returns everything in a part. Keys that were too long are checksums.
func getAll[T any](ctx context.Context, s Sync, part string) (map[string]T, error) {
	if s.store == nil {
		return nil, nil
	}
	values, err := sdksession.GetAllJSON[T](ctx, s.store, sessions.WithPrefix(part))
	stored, err := s.present(err)
	if !stored || err != nil {
		return nil, err
	}
	return values, nil
}

// remove deletes the keys of a part that match.
func remove[T any](ctx context.Context, s Sync, part string, match func(key string, value T) bool) error {
	values, err := getAll[T](ctx, s, part)
	if err != nil {
		return err
	}
	for key, value := range values {
		if !match(key, value) {
			continue
		}
		if err = s.store.Delete(ctx, key, sessions.WithPrefix(part)); err != nil {
			return fmt.Errorf("session store: %w", err)
		}
	}
	return nil
}
