package segmentapi

import (
	"context"
	"fmt"
	"iter"
)

// MaxPageSize is the largest page the API serves. (API 57.3.0: count is
// "between 1 and 1000".)
const MaxPageSize = 1000

// ListOptions select one page of a list.
type ListOptions struct {
	// Cursor is the Next of the page before; empty for the first page.
	Cursor string
	// Count is how many rows to ask for, 1 to [MaxPageSize]; 0 means the
	// client's page size.
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

// all streams the rows of every page. It stops at the first error, and refuses a
// repeated cursor: such a list would never end.
func all[T any](ctx context.Context, operation string, list func(context.Context, ListOptions) (*Page[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		var opts ListOptions
		seen := map[string]bool{}
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
			if seen[page.Next] {
				// The error leaves the cursor out, which may have any length.
				yield(zero, fmt.Errorf("segment %s: %w: a cursor came twice, after %d pages", operation, ErrBadResponse, len(seen)+1))
				return
			}
			seen[page.Next] = true
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
