// Package details has what all readers of details have in common: those that list users or
// groups and then ask for each of them.
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

// Recheck asks, and once more a second later if gone says of the error that something was
// not found.
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

// TooManyGone reports whether more rows have gone since they were listed than is normal: a
// few are in a long run, and a single one is in a small workspace. More than one in a
// hundred mean that something else is wrong.
func TooManyGone(gone, listed int) bool { return listed > 0 && gone > 1 && gone*100 > listed }
