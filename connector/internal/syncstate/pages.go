package syncstate

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/grpc/status"
)

// Two types may need the same list of Segment's. The first that asks for a page keeps
// it, and the other takes it.

// A Page is one page of a list of Segment's.
type Page[V any] struct {
	Rows []V
	// Next is the cursor of the next page, empty on the last one.
	Next string
	// Read is when Segment was asked.
	Read time.Time
}

// Bounds of what is kept of a page, in bytes. The store takes no value of more than
// 4 MiB.
const (
	maxPart = 1 << 20
	maxRow  = 3 << 20
)

// A pageHead is what is stored of a page besides its rows, which may be too many for
// one value.
type pageHead struct {
	Next  string    `json:"next"`
	Read  time.Time `json:"read"`
	Parts int       `json:"parts"`
}

// fresh reports whether the page is recent enough to be reused. An interrupted sync may be
// resumed a week later, by any process.
func (h pageHead) fresh() bool { return time.Since(h.Read) < maxAge }

func pageKey(list, cursor string) string { return keyPage + list + "/" + cursor }

// partKey differs for each answer, so that parts of two never mix.
func (h pageHead) partKey(list, cursor string, n int) string {
	return pageKey(list, cursor) + "/" + strconv.FormatInt(h.Read.UnixNano(), 10) + "/" + strconv.Itoa(n)
}

// KeepPage keeps the page of a list that a cursor leads to. It is kept among the rows of
// the type typeID, whose list makes it known, and forgotten when that list begins again.
// A page with a row of more than 3 MiB is not kept.
func KeepPage[V any](ctx context.Context, s Sync, typeID, list, cursor string, page Page[V]) error {
	if s.store == nil {
		return nil
	}
	parts, err := encodeParts(page.Rows)
	if err != nil || parts == nil {
		return err
	}
	if err = s.begin(ctx, typeID); err != nil {
		return err
	}
	head := pageHead{Next: page.Next, Read: page.Read, Parts: len(parts)}
	raw, err := json.Marshal(head)
	if err != nil {
		return fmt.Errorf("encoding a page for the session store: %w", err)
	}
	values := map[string]json.RawMessage{pageKey(list, cursor): raw}
	for n, part := range parts {
		values[head.partKey(list, cursor, n)] = part
	}
	_, err = setMany(ctx, s, partRows(typeID), values)
	return err
}

// encodeParts encodes rows as lists of bounded size. It returns nil if a row is too
// large, and at least one list otherwise.
func encodeParts[V any](rows []V) ([]json.RawMessage, error) {
	var parts []json.RawMessage
	part := []byte("[")
	for _, row := range rows {
		raw, err := json.Marshal(row)
		if err != nil {
			return nil, fmt.Errorf("encoding a page for the session store: %w", err)
		}
		if len(raw) > maxRow {
			return nil, nil
		}
		if len(part) > 1 {
			if len(part)+len(raw) > maxPart {
				parts, part = append(parts, append(part, ']')), []byte("[")
			} else {
				part = append(part, ',')
			}
		}
		part = append(part, raw...)
	}
	return append(parts, append(part, ']')), nil
}

// KeptPage returns what KeepPage kept, and whether it is there.
func KeptPage[V any](ctx context.Context, s Sync, typeID, list, cursor string) (Page[V], bool, error) {
	return keptPage[V](ctx, s, typeID, list, cursor, func(pageHead) bool { return true })
}

// FreshPage is KeptPage for a page that is recent enough to be reused.
func FreshPage[V any](ctx context.Context, s Sync, typeID, list, cursor string) (Page[V], bool, error) {
	return keptPage[V](ctx, s, typeID, list, cursor, pageHead.fresh)
}

// keptPage reads the parts of a page one at a time, because together they may be more than
// one message holds.
func keptPage[V any](ctx context.Context, s Sync, typeID, list, cursor string, usable func(pageHead) bool) (Page[V], bool, error) {
	head, ok, err := get[pageHead](ctx, s, partRows(typeID), pageKey(list, cursor))
	if !ok || err != nil || !usable(head) {
		return Page[V]{}, false, err
	}
	page := Page[V]{Next: head.Next, Read: head.Read}
	for n := range head.Parts {
		rows, stored, err := get[[]V](ctx, s, partRows(typeID), head.partKey(list, cursor, n))
		if !stored || err != nil {
			return Page[V]{}, false, err
		}
		page.Rows = append(page.Rows, rows...)
	}
	return page, true, nil
}

// Turn serializes its callers in this process; call the returned function to release it.
// To ask for each page once, look for a kept page and ask Segment in one turn.
func (s Sync) Turn(ctx context.Context) (func(), error) {
	t := s.tracker
	t.mu.Lock()
	if t.turn == nil {
		t.turn = make(chan struct{}, 1)
	}
	turn := t.turn
	t.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// AddAccepted records that the addresses of some invites are users'.
func (s Sync) AddAccepted(ctx context.Context, typeID string, emails []string) error {
	values := make(map[string]bool, len(emails))
	for _, email := range emails {
		values[keyAccepted+s.fold(email)] = true
	}
	_, err := setMany(ctx, s, partRows(typeID), values)
	return err
}

// Accepted returns those of emails that AddAccepted kept, in any case.
func (s Sync) Accepted(ctx context.Context, typeID string, emails []string) (map[string]bool, error) {
	keys := make([]string, len(emails))
	for i, email := range emails {
		keys[i] = keyAccepted + s.fold(email)
	}
	found, err := getMany[bool](ctx, s, partRows(typeID), keys)
	accepted := map[string]bool{}
	for _, email := range emails {
		if found[keyAccepted+s.fold(email)] {
			accepted[email] = true
		}
	}
	return accepted, err
}
