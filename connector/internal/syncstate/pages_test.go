package syncstate

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
	"github.com/conductorone/baton-sdk/pkg/types/sessions"
	"github.com/google/go-cmp/cmp"

	"github.com/baton-segment/baton-segment/connector/internal/syncstate/statetest"
)

// A page is returned as it was kept, in whatever number of values, until the list of the
// type that it was kept for begins again.
func TestKeepPage(t *testing.T) {
	t.Parallel()
	half := strings.Repeat("x", maxPart/2)
	for name, c := range map[string]struct {
		rows  []string
		parts int
	}{
		"no rows":                     {nil, 1},
		"one row":                     {[]string{"a"}, 1},
		"rows of more than one value": {[]string{half, half, half, half, "a", "b"}, 4},
		"a row of its own size":       {[]string{"a", strings.Repeat("y", maxRow-2), "b"}, 3},
		"a row that is too large":     {[]string{"a", strings.Repeat("y", maxRow)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := statetest.New()
			open := func() Sync {
				return new(Tracker).Open(rs.SyncOpAttrs{Session: store, SyncID: "sync"}, strings.ToLower)
			}
			cursor := strings.Repeat("long ", 200)
			kept := Page[string]{Rows: c.rows, Next: "next", Read: time.Now().UTC()}
			check(t, KeepPage(t.Context(), open(), "invite", "user", cursor, kept))
			got, ok, err := KeptPage[string](t.Context(), open(), "invite", "user", cursor)
			check(t, err)
			if ok != (c.parts > 0) {
				t.Fatalf("kept: %t", ok)
			}
			if !ok {
				return
			}
			if diff := cmp.Diff(kept, got); diff != "" {
				t.Errorf("page (-want +got):\n%s", diff)
			}
			if values := len(store.Values); values != c.parts+2 { // The head and the mark.
				t.Errorf("%d values in the store, want %d", values, c.parts+2)
			}
			check(t, open().BeginList(t.Context(), "user"))
			if _, ok, err = KeptPage[string](t.Context(), open(), "invite", "user", cursor); !ok || err != nil {
				t.Errorf("lost when another list began: %v", err)
			}
			check(t, open().BeginList(t.Context(), "invite"))
			if _, ok, err = KeptPage[string](t.Context(), open(), "invite", "user", cursor); ok || err != nil {
				t.Errorf("not forgotten: %v", err)
			}
		})
	}
}

// A messageStore refuses to return more than one message holds, as the cache does that the
// SDK has in front of its store. It counts the values that it has returned.
type messageStore struct {
	*statetest.Memory
	returned int
}

func (m *messageStore) GetMany(ctx context.Context, keys []string, opts ...sessions.SessionStoreOption) (map[string][]byte, []string, error) {
	found, _, err := m.Memory.GetMany(ctx, keys, opts...)
	size := 0
	for _, value := range found {
		size += len(value)
	}
	if size > sessions.MaxSessionStoreSizeLimit {
		return nil, nil, errors.New("get many returned unprocessed keys")
	}
	m.returned += len(found)
	return found, nil, err
}

// A page may be larger than a message. Of a page that is too old, the store returns no rows.
func TestKeptPage_LargerThanAMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &messageStore{Memory: statetest.New()}
		open := func() Sync {
			return new(Tracker).Open(rs.SyncOpAttrs{Session: store, SyncID: "sync"}, strings.ToLower)
		}
		kept := Page[string]{Next: "next", Read: time.Now().UTC()}
		for range 8 {
			kept.Rows = append(kept.Rows, strings.Repeat("x", maxPart-10))
		}
		check(t, KeepPage(t.Context(), open(), "user", "user", "", kept))
		got, ok, err := FreshPage[string](t.Context(), open(), "user", "user", "")
		check(t, err)
		if diff := cmp.Diff(kept, got); !ok || diff != "" {
			t.Errorf("kept: %t, page (-want +got):\n%s", ok, diff)
		}
		<-time.After(maxAge)
		store.returned = 0
		if _, ok, err = FreshPage[string](t.Context(), open(), "user", "user", ""); ok || err != nil || store.returned != 1 {
			t.Errorf("after ten minutes: fresh %t, %d values read, want the head alone: %v", ok, store.returned, err)
		}
	})
}
