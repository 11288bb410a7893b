package segmentapi

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/baton-segment/baton-segment/segmentapi/internal/details"
)

// readAhead is how many details may be read, or be under way, ahead of the caller.
// It is more than the workers, so that one slow answer does not keep all others waiting.
const readAhead = 4 * details.Workers

// A detail is a row of a list whose detail is being read. The other fields may be used once
// done is closed.
type detail[T any] struct {
	row  T
	err  error
	gone bool
	done chan struct{}
}

// withDetails streams the rows of a list in their order. read completes a row; it runs for
// several rows at the same time. Rows that Segment no longer finds are left out, but too
// many of them are an error, because a list that lacks rows must not look complete. When
// the loop ends, no request is under way any more.
func withDetails[T any](parent context.Context, operation string, list func(context.Context) iter.Seq2[T, error], read func(context.Context, *T) error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		ctx, cancel := context.WithCancel(parent)
		var lister sync.WaitGroup
		defer lister.Wait()
		defer cancel()
		rows := make(chan *detail[T], readAhead)
		var cut error // Set before rows is closed.
		lister.Go(func() {
			defer close(rows)
			cut = listDetails(ctx, list(ctx), rows, read)
		})
		var zero T
		var lastGone error
		listed, left := 0, 0
		for row := range rows {
			<-row.done
			listed++
			switch {
			case row.gone:
				left++
				lastGone = row.err
			case row.err != nil:
				yield(zero, row.err)
				return
			case !yield(row.row, nil):
				return
			}
		}
		switch {
		case cut != nil:
			yield(zero, fmt.Errorf("segment %s: %w", operation, cut))
		case details.TooManyGone(left, listed):
			// Not as a cause: it must not match ErrNotFound.
			yield(zero, fmt.Errorf("segment %s: %w: %d of %d were not found after they were listed (the last: %s)", operation, ErrBadResponse, left, listed, lastGone.Error()))
		}
	}
}

// listDetails sends the rows of a list to out, in their order, and has read complete them.
// The last row may be an error instead. It returns when no request is under way any
// more, with an error if the context ended before the list.
func listDetails[T any](ctx context.Context, list iter.Seq2[T, error], out chan<- *detail[T], read func(context.Context, *T) error) error {
	var workers errgroup.Group
	workers.SetLimit(details.Workers)
	defer func() { _ = workers.Wait() }() // Errors are in the rows.
	for row, err := range list {
		d := &detail[T]{row: row, err: err, done: make(chan struct{})}
		select {
		case out <- d:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err != nil {
			close(d.done)
			return nil
		}
		workers.Go(func() error {
			defer close(d.done)
			d.err = read(ctx, &d.row)
			d.gone = gone(d.err)
			return nil
		})
	}
	return nil
}

// complete replaces a row of a list with its detail.
func complete[T any](ctx context.Context, row *T, get func() (*T, error)) error {
	read, err := details.Recheck(ctx, gone, get)
	if err == nil {
		*row = *read
	}
	return err
}
