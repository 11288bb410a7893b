package connector

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	sdksession "github.com/conductorone/baton-sdk/pkg/session"
	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/conductorone/baton-sdk/pkg/types/sessions"

	"github.com/baton-segment/baton-segment/segmentapi"
)

// A session is what the connector knows within one sync. It lives in the file
// that the sync writes until the sync ends, so no secret goes in.
//
// A connector must also work without one: then nothing is ever known.
type session struct {
	store  sessions.SessionStore
	syncID string
	tally  *tally
	merger *merger
	fresh  *fresh
	// facts are those that this call has asked for, nil for one that is not
	// there. A call is served by one goroutine and lets nothing else change them.
	facts map[string]*int64
}

func (c *Connector) session(opts rs.SyncOpAttrs) session {
	return session{store: opts.Session, syncID: opts.SyncID, tally: &c.tally, merger: &c.merger, fresh: &c.fresh, facts: map[string]*int64{}}
}

// The session's parts. The SDK's stores put a part and a key together without
// anything in between, hence the slashes. Others may not, so what is asked for
// by one part has been stored by it.
const (
	partWorkspace = "workspace/" // One key, its id.
	partFact      = "fact/"      // What is known of a resource type as a whole, by type and fact.
	partListed    = "listed/"    // Resource type and id to listedRow.
	partRole      = "role/"      // Role id to listedRow, to have them all.
	partSubject   = "subject/"   // A user or group to what it holds.
	partVanished  = "vanished/"  // The users and groups that have gone, to the reading that had them.
	partUnknown   = "unknown/"   // What cannot be shown, by kind and subject, to a count.
	partSkipped   = "skipped/"   // What the plan lacks, to the resource type it is of.
	partReported  = "reported/"  // Parts that have been logged.
	partProgress  = "progress/"  // A reading of the lists to how much has been answered since.
)

// What is known of a resource type as a whole.
const (
	factReading = "reading" // When the reading of its list began.
	factRows    = "rows"    // How many rows its whole list had.
	factStatic  = "static"  // Set if all its rows have the same entitlements.
	factForms   = "forms"   // Set if its list was read for the ids alone.
)

// partEmail is an e-mail to the owner, the user or invite that has it, and
// partFolded the lower-cased e-mail of those that are not lower case.
func partEmail(typeID string) string  { return "email/" + typeID + "/" }
func partFolded(typeID string) string { return "folded/" + typeID + "/" }

// A subject is what the connector read about a user or a group.
type subject struct {
	// Reading is the reading of the list that it comes after. A sync that was
	// broken off may be taken up days later; what it knew is worth nothing once
	// the list is read again.
	Reading int64 `json:"reading,omitempty"`
	// Vanished is set when it had gone by then, and Back when it is there again.
	Vanished    bool                    `json:"vanished,omitempty"`
	Back        bool                    `json:"back,omitempty"`
	Permissions []segmentapi.Permission `json:"permissions,omitempty"`
}

// keyOf is a key of what is kept by resource type: an id, or a fact.
func keyOf(typeID, of string) string { return typeID + "/" + of }

// maxKey is the longest key that the SDK's store takes.
const maxKey = 512

func sessionKey(key string) string {
	if len(key) <= maxKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

func foldEmail(email string) string { return strings.ToLower(strings.TrimSpace(email)) }

// present reports whether there is a store, judging by what using it returned.
func (s session) present(err error) (bool, error) {
	switch {
	case s.store == nil, errors.Is(err, sdksession.ErrSessionStoreDisabled):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("session store: %w", err)
	}
	return true, nil
}

// usable reports whether what is stored now can be read later.
func (s session) usable(ctx context.Context) (bool, error) {
	if len(s.facts) > 0 { // Only a store that is there has answered.
		return true, nil
	}
	var err error
	if s.store != nil {
		_, _, err = s.store.Get(ctx, typeWorkspace, sessions.WithPrefix(partWorkspace))
	}
	return s.present(err)
}

// learn asks for facts, all at once, and returns what this call knows by then. A
// key that is missing costs a call of the process that has the store, each time:
// callers ask for what a full sync has.
func (s session) learn(ctx context.Context, keys ...string) (map[string]*int64, error) {
	unknown := make([]string, 0, len(keys))
	for _, key := range keys {
		if _, ok := s.facts[key]; !ok {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) == 0 {
		return s.facts, nil
	}
	found, stored, err := sessionGetMany[int64](ctx, s, partFact, unknown)
	if err != nil || !stored {
		return nil, err
	}
	known := s.facts
	if known == nil {
		known = map[string]*int64{}
	}
	for _, key := range unknown {
		known[key] = nil
		if value, ok := found[key]; ok {
			known[key] = &value
		}
	}
	return known, nil
}

// fact is one fact of a type, and whether it is there.
func (s session) fact(ctx context.Context, typeID, fact string) (int64, bool, error) {
	known, err := s.learn(ctx, keyOf(typeID, fact))
	value := known[keyOf(typeID, fact)]
	if value == nil || err != nil {
		return 0, false, err
	}
	return *value, true, nil
}

// note keeps a fact.
func (s session) note(ctx context.Context, typeID, fact string, value int64) error {
	key := keyOf(typeID, fact)
	stored, err := sessionSet(ctx, s, partFact, map[string]int64{key: value})
	if stored && s.facts != nil {
		s.facts[key] = &value
	}
	return err
}

// sessionGet returns what is known by one key. It asks for several: while one
// worker looks for a key that is missing, the SDK's Get tells the others that
// it is there, and empty.
func sessionGet[T any](ctx context.Context, s session, part, key string) (T, bool, error) {
	values, _, err := sessionGetMany[T](ctx, s, part, []string{key})
	value, ok := values[key]
	return value, ok, err
}

// sessionGetMany returns those of keys that are known, and whether there is a
// store.
func sessionGetMany[T any](ctx context.Context, s session, part string, keys []string) (map[string]T, bool, error) {
	var found map[string]T
	var err error
	short := make([]string, 0, len(keys))
	for _, key := range keys {
		if key != "" {
			short = append(short, sessionKey(key))
		}
	}
	slices.Sort(short)
	short = slices.Compact(short)
	if s.store != nil && len(short) > 0 {
		found, err = sdksession.GetManyJSON[T](ctx, s.store, short, sessions.WithPrefix(part))
	}
	stored, err := s.present(err)
	if err != nil {
		return nil, false, err
	}
	for _, key := range keys {
		if len(key) <= maxKey {
			continue
		}
		if value, ok := found[sessionKey(key)]; ok {
			delete(found, sessionKey(key))
			found[key] = value
		}
	}
	return found, stored, nil
}

// sessionSet stores values and reports whether there is a store.
func sessionSet[T any](ctx context.Context, s session, part string, values map[string]T) (bool, error) {
	var err error
	short := make(map[string]T, len(values))
	for key, value := range values {
		if key != "" {
			short[sessionKey(key)] = value
		}
	}
	if s.store != nil && len(short) > 0 {
		err = sdksession.SetManyJSON(ctx, s.store, short, sessions.WithPrefix(part))
	}
	return s.present(err)
}

func sessionAll[T any](ctx context.Context, s session, part string) (map[string]T, error) {
	var values map[string]T
	var err error
	if s.store != nil {
		values, err = sdksession.GetAllJSON[T](ctx, s.store, sessions.WithPrefix(part))
	}
	_, err = s.present(err)
	return values, err
}

// A listedRow is a row that a list returned.
type listedRow struct {
	// Reading is the reading of the list that had the row; see subject.
	Reading int64  `json:"reading"`
	Name    string `json:"name"`
	// id is the row's own, which may not be the one that was asked for.
	id string
}

// list keeps the names of rows, by resource id.
func (s session) list(ctx context.Context, typeID string, names map[string]string) error {
	reading, err := s.reading(ctx, typeID)
	if err != nil {
		return err
	}
	rows := make(map[string]listedRow, len(names))
	roles := map[string]listedRow{}
	for id, name := range names {
		rows[keyOf(typeID, id)] = listedRow{Reading: reading, Name: name}
		if typeID == typeRole {
			roles[id] = rows[keyOf(typeID, id)]
		}
	}
	if _, err = sessionSet(ctx, s, partListed, rows); err != nil {
		return err
	}
	_, err = sessionSet(ctx, s, partRole, roles)
	return err
}

// begin says that the list of a type is being read from its start.
func (s session) begin(ctx context.Context, typeID string) error {
	now := time.Now().UnixNano()
	s.fresh.begin(s.syncID, typeID, now)
	// This call asks for it anew, once it has the rows: they are of the latest
	// reading, which another process may have begun meanwhile.
	delete(s.facts, keyOf(typeID, factReading))
	_, err := sessionSet(ctx, s, partFact, map[string]int64{keyOf(typeID, factReading): now})
	return err
}

// reading is the latest begin of a type's list, 0 if it was not read.
func (s session) reading(ctx context.Context, typeID string) (int64, error) {
	began, _, err := s.fact(ctx, typeID, factReading)
	return began, err
}

// finish says that the list of a type has been read to its end.
func (s session) finish(ctx context.Context, typeID string, rows int) error {
	return s.note(ctx, typeID, factRows, int64(rows))
}

// rows is how many rows the whole list of a type had, or false as long as it
// has not been read to its end in this sync, as in a targeted or filtered one.
func (s session) rows(ctx context.Context, typeID string) (int, bool, error) {
	rows, read, err := s.fact(ctx, typeID, factRows)
	return int(rows), read, err
}

// listed returns what the type's list knows each of ids by, and whether it is
// known that the list does not have the others.
func (s session) listed(ctx context.Context, typeID string, ids []string) (map[string]listedRow, bool, error) {
	found, err := s.listedOf(ctx, map[string][]string{typeID: ids})
	if err != nil {
		return nil, false, err
	}
	_, read, err := s.rows(ctx, typeID)
	return found[typeID], read, err
}

// listedOf returns what the lists of several types know ids by. The second form
// of an id is asked for where the first is not there: see learn.
func (s session) listedOf(ctx context.Context, asked map[string][]string) (map[string]map[string]listedRow, error) {
	type wanted struct{ typeID, id, form string }
	found := map[string]map[string]listedRow{}
	for n := range 2 {
		want := map[string][]wanted{}
		for typeID, ids := range asked {
			for _, id := range ids {
				_, there := found[typeID][id]
				if all := forms(typeID, id); !there && n < len(all) {
					key := keyOf(typeID, all[n])
					want[key] = append(want[key], wanted{typeID, id, all[n]})
				}
			}
		}
		rows, _, err := sessionGetMany[listedRow](ctx, s, partListed, slices.Collect(maps.Keys(want)))
		if err != nil {
			return nil, err
		}
		for key, row := range rows {
			for _, w := range want[key] {
				reading, err := s.reading(ctx, w.typeID)
				if err != nil {
					return nil, err
				}
				if row.Reading != reading {
					continue
				}
				if found[w.typeID] == nil {
					found[w.typeID] = map[string]listedRow{}
				}
				row.id = w.form
				found[w.typeID][w.id] = row
			}
		}
	}
	return found, nil
}

// An owner is who has an e-mail.
type owner struct {
	// Reading is the reading of the list that said so; see subject.
	Reading int64  `json:"reading"`
	ID      string `json:"id"`
}

// rememberEmails keeps who has which e-mail. Of two that differ in nothing but
// case, each is found by its own.
func (s session) rememberEmails(ctx context.Context, typeID string, emails, ids []string) error {
	reading, err := s.reading(ctx, typeID)
	if err != nil {
		return err
	}
	exact, folded := map[string]owner{}, map[string]owner{}
	for i, email := range emails {
		exact[email] = owner{Reading: reading, ID: ids[i]}
		if key := foldEmail(email); key != email {
			folded[key] = exact[email]
		}
	}
	if _, err = sessionSet(ctx, s, partEmail(typeID), exact); err != nil {
		return err
	}
	_, err = sessionSet(ctx, s, partFolded(typeID), folded)
	return err
}

// byEmail returns the ids of those of emails that the type's list has, as they
// are or in another case.
func (s session) byEmail(ctx context.Context, typeID string, emails []string) (map[string]string, error) {
	var keys []string
	for _, email := range emails {
		keys = append(keys, email, foldEmail(email))
	}
	exact, _, err := sessionGetMany[owner](ctx, s, partEmail(typeID), keys)
	if err != nil {
		return nil, err
	}
	folded, _, err := sessionGetMany[owner](ctx, s, partFolded(typeID), keys)
	if err != nil {
		return nil, err
	}
	reading, err := s.reading(ctx, typeID)
	if err != nil {
		return nil, err
	}
	older := func(_ string, o owner) bool { return o.Reading != reading }
	maps.DeleteFunc(exact, older)
	maps.DeleteFunc(folded, older)
	ids := map[string]string{}
	for _, email := range emails {
		key := foldEmail(email)
		if o := cmp.Or(exact[email], exact[key], folded[key]); o.ID != "" {
			ids[email] = o.ID
		}
	}
	return ids, nil
}
