package sim

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// limitWindow is the time in which a limit counts.
const limitWindow = time.Minute

// A limiter allows a number of requests in a window that begins with the first
// of them. The field names of Segment's 429 are those of a widely used limiter
// that works this way, and like it a limiter counts what it rejects.
type limiter struct {
	points int

	mu       sync.Mutex
	end      time.Time
	consumed int
}

// newLimiter returns nil, which never limits, unless perMinute is positive.
func newLimiter(perMinute int) *limiter {
	if perMinute <= 0 {
		return nil
	}
	return &limiter{points: perMinute}
}

// take counts one request and returns the headers that a success carries, or
// the documented rejection. Segment does not say whether a rejection carries
// the headers too, so it has none.
func (l *limiter) take(now time.Time) (http.Header, *problem) {
	if l == nil {
		return nil, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !now.Before(l.end) {
		l.end = now.Add(limitWindow)
		l.consumed = 0
	}
	l.consumed++
	if l.consumed > l.points {
		return nil, tooManyRequests(l.end.Sub(now), l.consumed)
	}
	return http.Header{
		"X-Ratelimit-Consumed":  {strconv.Itoa(l.consumed)},
		"X-Ratelimit-Remaining": {strconv.Itoa(l.points - l.consumed)},
		// RFC 5322 knows no fractions: the window may end up to a second after
		// the time that the header gives.
		"X-Ratelimit-Reset": {l.end.UTC().Format(time.RFC1123Z)},
	}, nil
}

// tooManyRequests is the documented body of a 429.
func tooManyRequests(wait time.Duration, consumed int) *problem {
	return &problem{
		Type:    "RequestError",
		Message: "Too many requests",
		Data: map[string]int64{
			"remainingPoints": 0,
			// Rounded up, so that who waits as told is not rejected again.
			"msBeforeNext":   int64((wait + time.Millisecond - 1) / time.Millisecond),
			"consumedPoints": int64(consumed),
		},
		Status: http.StatusTooManyRequests,
		bare:   true,
	}
}
