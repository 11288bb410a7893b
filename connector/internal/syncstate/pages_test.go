package syncstate

import (
	"strings"
	"testing"
	"time"

	rs "github.com/conductorone/baton-sdk/pkg/types/resource"
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
			if diff := cmp.Diff(kept, got); diff != "" || !got.Fresh() {
				t.Errorf("fresh: %t, page (-want +got):\n%s", got.Fresh(), diff)
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
