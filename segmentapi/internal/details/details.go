// Package details is shared by the readers that list users or groups and then request each
// of them.
package details

import (
	"context"
	"time"
)

// Workers is how many requests are under way at a time. That many are needed to use 6000
// requests a minute of 320 ms each.
const Workers = 32

// recheckAfter is how long to wait before asking again for what was not found: reads may
// lag behind writes.
const recheckAfter = time.Second

// Recheck calls ask, and once more a second later if gone reports that the error means not
// found.
func Recheck[T any](ctx context.Context, gone func(error) bool, ask func() (T, error)) (T, error) {
	answer, err := ask()
	if !gone(err) {
		return answer, err
	}
	timer := time.NewTimer(recheckAfter)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ask()
	case <-ctx.Done():
		return answer, ctx.Err()
	}
}

// TooManyGone reports whether more listed rows are gone than is normal. A few are normal in
// a long run, and a single one is in a small workspace. More than one in a hundred mean that
// something else is wrong.
func TooManyGone(gone, listed int) bool { return listed > 0 && gone > 1 && gone*100 > listed }
