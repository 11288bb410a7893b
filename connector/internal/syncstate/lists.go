package syncstate

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/conductorone/baton-sdk/pkg/types/sessions"
)

// A Mark is one thing that may be known of the list of a resource type.
type Mark struct{ typeID, what string }

func (m Mark) key() string { return m.typeID + "/" + m.what }

// Begun is set once rows of a type's list have been added in this sync, even none.
func Begun(typeID string) Mark { return Mark{typeID, "begun"} }

// Ended is set once the list has been read to its end, to its number of rows. In
// a targeted or filtered sync it is not set: then a row that is not known may
// exist all the same.
func Ended(typeID string) Mark { return Mark{typeID, "rows"} }

// Static is set once the type's static entitlements have been returned, so that
// all of its rows have them.
func Static(typeID string) Mark { return Mark{typeID, "static"} }

// NamesRead is set if the list was read for its ids and names alone, in a sync
// that does not list the type.
func NamesRead(typeID string) Mark { return Mark{typeID, "names"} }

// OwnerSeen is set once a row of the type is known to own the workspace.
func OwnerSeen(typeID string) Mark { return Mark{typeID, "owner"} }

// OwnersNoted is set once the list has been read to its end by a version that sets
// OwnerSeen. A sync that an earlier version began is resumed without it.
func OwnersNoted(typeID string) Mark { return Mark{typeID, "owners"} }

// Mark keeps a mark with a value.
func (s Sync) Mark(ctx context.Context, m Mark, value int) error {
	stored, err := setMany(ctx, s, partMarks, map[string]int{m.key(): value})
	if stored {
		t, unlock := s.track()
		t.marks[m] = value
		unlock()
	}
	return err
}

// Marks returns those of marks that are set, with their values. It asks the store
// in one call for all that this process has not seen set. A mark that is not set
// costs such a call each time, so ask for what a full sync sets.
func (s Sync) Marks(ctx context.Context, marks ...Mark) (map[Mark]int, error) {
	if s.store == nil {
		return map[Mark]int{}, nil
	}
	t, unlock := s.track()
	reads := t.reads
	known := map[Mark]int{}
	var missing []string
	for _, m := range marks {
		if value, ok := t.marks[m]; ok {
			known[m] = value
		} else {
			missing = append(missing, m.key())
		}
	}
	unlock()
	found, err := getMany[int](ctx, s, partMarks, missing)
	if err != nil || len(found) == 0 {
		return known, err
	}
	t, unlock = s.track()
	defer unlock()
	for _, m := range marks {
		if value, ok := found[m.key()]; ok {
			known[m] = value
			if t.reads == reads {
				t.marks[m] = value
			}
		}
	}
	return known, nil
}

// Marked returns the value of one mark, and whether it is set.
func (s Sync) Marked(ctx context.Context, m Mark) (int, bool, error) {
	known, err := s.Marks(ctx, m)
	value, ok := known[m]
	return value, ok, err
}

// BeginList forgets everything about a type and its rows, because its list is
// read from the start. An interrupted sync may be resumed a week later: what it
// knew then must not be taken for the present.
func (s Sync) BeginList(ctx context.Context, typeID string) error {
	t, unlock := s.track()
	t.forgetList(typeID)
	unlock()
	_, again, err := get[int](ctx, s, partMarks, Begun(typeID).key())
	if err != nil {
		return err
	}
	if !again { // The SDK logs a line for each Clear.
		return nil
	}
	return s.clearList(ctx, typeID)
}

// clearList deletes what is stored of a type. It deletes the mark Begun last, so
// that a process that is killed half-way leaves the rest to the next BeginList.
func (s Sync) clearList(ctx context.Context, typeID string) error {
	if err := s.store.Clear(ctx, sessions.WithPrefix(partRows(typeID))); err != nil {
		return fmt.Errorf("session store: %w", err)
	}
	ofType := func(key string) bool { return strings.HasPrefix(key, typeID+"/") }
	if err := remove(ctx, s, partGone, func(key string, _ bool) bool { return ofType(key) }); err != nil {
		return err
	}
	if err := remove(ctx, s, partUnknown, func(_ string, u unknown) bool { return u.TypeID == typeID }); err != nil {
		return err
	}
	if err := remove(ctx, s, partSkipped, func(key, _ string) bool { return key == typeID }); err != nil {
		return err
	}
	for _, m := range []Mark{Ended(typeID), Static(typeID), NamesRead(typeID), OwnerSeen(typeID), OwnersNoted(typeID), Begun(typeID)} {
		if err := s.store.Delete(ctx, m.key(), sessions.WithPrefix(partMarks)); err != nil {
			return fmt.Errorf("session store: %w", err)
		}
	}
	return nil
}

// A Row is a row of a list, as other calls refer to it.
type Row struct {
	ID   string
	Name string
	// Email finds users and invites. It may be empty.
	Email string
}

// AddRows keeps rows of a type's list.
func (s Sync) AddRows(ctx context.Context, typeID string, rows []Row) error {
	if err := s.begin(ctx, typeID); err != nil {
		return err
	}
	values := make(map[string]string, 2*len(rows))
	for _, row := range rows {
		values[keyName+row.ID] = row.Name
		s.addEmail(values, row)
	}
	_, err := setMany(ctx, s, partRows(typeID), values)
	return err
}

// begin sets the mark Begun, before anything is kept, so that BeginList finds what an
// interrupted call kept.
func (s Sync) begin(ctx context.Context, typeID string) error {
	t, unlock := s.track()
	_, begun := t.marks[Begun(typeID)]
	unlock()
	if begun {
		return nil
	}
	return s.Mark(ctx, Begun(typeID), 1)
}

// AddEmails keeps who has which e-mail, of rows that no list returned.
func (s Sync) AddEmails(ctx context.Context, typeID string, rows []Row) error {
	values := make(map[string]string, len(rows))
	for _, row := range rows {
		s.addEmail(values, row)
	}
	_, err := setMany(ctx, s, partRows(typeID), values)
	return err
}

// addEmail adds the keys of a row's e-mail. If two e-mails differ only in case, each
// is found by its own spelling.
func (s Sync) addEmail(values map[string]string, row Row) {
	if row.Email == "" {
		return
	}
	values[keyEmail+row.Email] = row.ID
	if folded := s.fold(row.Email); folded != row.Email {
		values[keyFolded+folded] = row.ID
	}
}

// IDsByEmail returns the ids of the rows of a type that have these e-mails, by
// e-mail. The same spelling comes before another case of it.
func (s Sync) IDsByEmail(ctx context.Context, typeID string, emails []string) (map[string]string, error) {
	var keys []string
	for _, email := range emails {
		if folded := s.fold(email); email != "" {
			keys = append(keys, keyEmail+email, keyEmail+folded, keyFolded+folded)
		}
	}
	found, err := getMany[string](ctx, s, partRows(typeID), keys)
	if err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for _, email := range emails {
		folded := s.fold(email)
		if id := cmp.Or(found[keyEmail+email], found[keyEmail+folded], found[keyFolded+folded]); id != "" && email != "" {
			ids[email] = id
		}
	}
	return ids, nil
}

// Names returns the names of those of ids that the type's list returned.
func (s Sync) Names(ctx context.Context, typeID string, ids []string) (map[string]string, error) {
	if s.store == nil {
		return map[string]string{}, nil
	}
	t, unlock := s.track()
	reads := t.reads
	names := map[string]string{}
	var missing []string
	for _, id := range ids {
		if name, ok := t.names[rowID{typeID, id}]; ok {
			names[id] = name
		} else {
			missing = append(missing, keyName+id)
		}
	}
	unlock()
	found, err := getMany[string](ctx, s, partRows(typeID), missing)
	if err != nil {
		return nil, err
	}
	t, unlock = s.track()
	defer unlock()
	if len(t.names)+len(found) > maxNames {
		clear(t.names)
	}
	for key, name := range found {
		id := strings.TrimPrefix(key, keyName)
		names[id] = name
		if t.reads == reads {
			t.names[rowID{typeID, id}] = name
		}
	}
	return names, nil
}

// AllNames returns the names of all rows of a type, by id. It is for types with
// few rows.
func (s Sync) AllNames(ctx context.Context, typeID string) (map[string]string, error) {
	values, err := getAll[string](ctx, s, partRows(typeID))
	names := make(map[string]string, len(values))
	for key, name := range values {
		if id, ok := strings.CutPrefix(key, keyName); ok {
			names[id] = name
		}
	}
	return names, err
}

// KeepWorkspace keeps the id of the workspace that the sync reads, unless it has one,
// and returns the one that the sync has. A resumed sync may be handed the token of
// another workspace. Each process asks the store once.
func (s Sync) KeepWorkspace(ctx context.Context, id string) (string, error) {
	if s.store == nil {
		return id, nil
	}
	t, unlock := s.track()
	kept := t.workspace
	unlock()
	if kept != "" {
		return kept, nil
	}
	kept, known, err := get[string](ctx, s, partWorkspace, workspaceKey)
	if err == nil && !known {
		kept = id
		_, err = setMany(ctx, s, partWorkspace, map[string]string{workspaceKey: id})
	}
	if err != nil {
		return "", err
	}
	t, unlock = s.track()
	t.workspace = kept
	unlock()
	return kept, nil
}
