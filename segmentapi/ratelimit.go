package segmentapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/baton-segment/baton-segment/segmentapi/internal/pacing"
)

// limiters has one limiter for reads and one for writes.
type limiters struct {
	reads  *pacing.Limiter
	writes *pacing.Limiter
}

func (l limiters) limiter(method string) *pacing.Limiter {
	if method == http.MethodGet {
		return l.reads
	}
	return l.writes
}

// opens is when the next request with this method may be sent.
func (l limiters) opens(method string) time.Time { return l.limiter(method).NextAllowed() }

// waitForLimit waits until lim lets a request pass, and returns how long that
// took. If it would take longer than maxWait, the error is a *RateLimitError. After
// success the caller must call lim.Done.
func waitForLimit(ctx context.Context, lim *pacing.Limiter, maxWait time.Duration) (time.Duration, error) {
	waited, err := lim.Wait(ctx, maxWait)
	var tooLong *pacing.WaitError
	if errors.As(err, &tooLong) {
		err = &RateLimitError{Wait: tooLong.Wait, Reset: tooLong.Until}
	}
	return waited, err
}
