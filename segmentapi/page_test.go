package segmentapi

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// A list that goes on with new cursors ends with an error, however its pages look.
func TestAll_ListsWithoutAnEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rows  func(page int) int
		pages int
	}{
		"empty pages":               {func(int) int { return 0 }, MaxEmptyPages},
		"empty pages after some":    {func(page int) int { return max(0, 7-page) }, 7 + MaxEmptyPages},
		"empty pages in the middle": {func(page int) int { return min(1, page%MaxEmptyPages) }, MaxPages},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pages, rows, want := 0, 0, 0
			var last error
			for _, err := range all(t.Context(), "listThings", func(context.Context, ListOptions) (*Page[int], error) {
				n := c.rows(pages)
				pages++
				want += n
				if pages > 2*MaxPages {
					return nil, errors.New("it did not end")
				}
				return &Page[int]{Items: make([]int, n), Next: fmt.Sprint(pages)}, nil
			}) {
				if last = err; err == nil {
					rows++
				}
			}
			if !errors.Is(last, ErrBadResponse) || pages != c.pages || rows != want {
				t.Errorf("%v after %d pages and %d of %d rows, want %d pages", last, pages, rows, want, c.pages)
			}
		})
	}
}

// Cursors may have any length: they are not kept.
func TestAll_LongCursorsAreNotKept(t *testing.T) {
	const pages, size = 500, 1 << 20
	n := 0
	var before, after runtime.MemStats
	for _, err := range all(t.Context(), "listThings", func(_ context.Context, _ ListOptions) (*Page[int], error) {
		if n++; n == pages {
			runtime.GC()
			runtime.ReadMemStats(&after)
			return &Page[int]{}, nil
		}
		if n == 1 {
			runtime.GC()
			runtime.ReadMemStats(&before)
		}
		return &Page[int]{Items: []int{n}, Next: fmt.Sprint(n) + strings.Repeat("c", size)}, nil
	}) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); n != pages || grown > 10*size {
		t.Errorf("%d pages, the heap grew by %d bytes", n, grown)
	}
}
