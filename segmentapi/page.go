package segmentapi

import (
	"context"
	"fmt"
	"hash/maphash"
	"iter"
)

// MaxPageSize is the largest page the API serves. (API 57.3.0: count is
// "between 1 and 1000".)
const MaxPageSize = 1000

// smallPageSize is the largest page of older versions of the API. If Segment refuses a
// larger one, the client asks for this many rows from then on.
const smallPageSize = 200

// MaxPages is how many pages a list may have. All fails with [ErrBadResponse] beyond that,
// because the list might never end.
const MaxPages = 1_000_000

// MaxEmptyPages is how many pages in a row may be empty. All fails in the same way beyond
// that. Rows that vanish while a list is read leave an empty page now and then. A hundred
// are read within a minute.
const MaxEmptyPages = 100

// ListOptions select one page of a list.
type ListOptions struct {
	// Cursor is the Next of the previous page; empty for the first page.
	Cursor string
	// Count is how many rows to ask for, 1 to [MaxPageSize]; 0 means the
	// client's page size. If Segment refuses more than 200 rows, the older maximum, List
	// asks again for 200, and so do all later calls.
	Count int
}

// A Page is what one list request returned.
type Page[T any] struct {
	Items []T
	// Next is the cursor of the next page, empty on the last one. Treat it as
	// opaque.
	Next string
	// Total is how many rows the list has in all, or -1 if the answer has no total.
	Total int
}

// all streams the rows of every page. It stops at the first error, and refuses lists that
// might never end: those that repeat a cursor, and those beyond MaxPages or
// MaxEmptyPages. It keeps a hash of each cursor, because a cursor may have any length.
func all[T any](ctx context.Context, operation string, list func(context.Context, ListOptions) (*Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		var opts ListOptions
		seed, seen, empty := maphash.MakeSeed(), map[uint64]bool{}, 0
		for {
			page, err := list(ctx, opts)
			if err != nil {
				yield(zero, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			if empty++; len(page.Items) > 0 {
				empty = 0
			}
			cursor, why := maphash.String(seed, page.Next), ""
			switch {
			case seen[cursor]: // The error leaves it out.
				why = "a cursor came twice"
			case empty >= MaxEmptyPages:
				why = "the last pages were all empty"
			case len(seen)+1 >= MaxPages:
				why = "the list does not end"
			}
			if why != "" {
				yield(zero, fmt.Errorf("segment %s: %w: %s, after %d pages", operation, ErrBadResponse, why, len(seen)+1))
				return
			}
			seen[cursor] = true
			opts.Cursor = page.Next
		}
	}
}

// scanned streams rows as all does, and takes each request off the budget of the search.
func scanned[T any](ctx context.Context, s *ownerSearch, list func(context.Context, ListOptions) (*Page[T], error)) iter.Seq2[T, error] {
	return all(ctx, "owner search", func(ctx context.Context, opts ListOptions) (*Page[T], error) {
		if err := s.spend(); err != nil {
			return nil, err
		}
		return list(ctx, opts)
	})
}
