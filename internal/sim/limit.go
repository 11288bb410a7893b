package sim

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// limitWindow is the time for which a limit counts.
const limitWindow = time.Minute

// A limiter allows a number of requests in a window that begins with the first of
// them, and counts rejected requests as well. A widely used limiter, whose field names
// Segment's 429 has, works this way.
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

// take counts one request. It returns the headers for a success, or the documented
// rejection. A rejection has no such headers, because Segment does not document any.
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
		// RFC 5322 has no fractions of a second: the window may end up to a second
		// later than the header says.
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
			// Rounded up, so that a caller that waits this long is not rejected again.
			"msBeforeNext":   int64((wait + time.Millisecond - 1) / time.Millisecond),
			"consumedPoints": int64(consumed),
		},
		Status: http.StatusTooManyRequests,
		bare:   true,
	}
}
