package segmentapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/mail"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// unknownReset is how long a refusal lasts that does not say how long:
	// Segment's windows are one minute.
	unknownReset = time.Minute
	// longestBlock bounds what one answer can hold the client back for. After
	// it one request is tried, which costs less than a client stuck for a day.
	longestBlock = 5 * time.Minute
	// shortestBlock is how long a refusal lasts at least: one that is said to be
	// over, as by a clock that is off, must not be followed by a burst.
	shortestBlock = time.Second
	// spreadBelow is the share of a window below which requests are spread
	// over what is left of its time; above it they cost no wait.
	spreadBelow = 0.2
)

// A limiter paces one kind of request by what Segment says is left of the
// current window. It holds no lock while waiting.
type limiter struct {
	reserve float64
	steady  *rate.Limiter

	mu sync.Mutex
	// blocked is the instant before which nothing is sent.
	blocked time.Time
	// reset ends the window that size and left describe; past it both are
	// unknown until the next answer.
	reset time.Time
	size  float64
	left  float64
	// slot is the earliest instant for the next request while spreading.
	slot time.Time
}

// newLimiter takes perMinute 0 for no pace of its own.
func newLimiter(reserve float64, perMinute int) *limiter {
	l := &limiter{reserve: reserve}
	if perMinute > 0 {
		l.steady = rate.NewLimiter(rate.Every(time.Minute/time.Duration(perMinute)), 1)
	}
	return l
}

// wait returns when the caller may send, and how long that took. If it would
// take longer than limit it returns a *RateLimitError at once.
func (l *limiter) wait(ctx context.Context, limit time.Duration) (time.Duration, error) {
	start := time.Now()
	if l.steady != nil {
		r := l.steady.ReserveN(start, 1)
		if d := r.DelayFrom(start); d > limit {
			r.CancelAt(start)
			return 0, &RateLimitError{Wait: d, Reset: start.Add(d)}
		} else if err := sleep(ctx, d); err != nil {
			r.Cancel()
			return time.Since(start), err
		}
	}
	for {
		now := time.Now()
		at := l.take(now)
		if !at.After(now) {
			return now.Sub(start), nil
		}
		if d := at.Sub(now); now.Sub(start)+d > limit {
			return now.Sub(start), &RateLimitError{Wait: d, Reset: at}
		}
		if err := sleep(ctx, at.Sub(now)); err != nil {
			return time.Since(start), err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// take claims one request if it may be sent now; otherwise it says when to ask
// again.
func (l *limiter) take(now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.next(now)
	if at.After(now) {
		return at
	}
	if now.Before(l.reset) {
		if free := l.free(); free < spreadBelow*l.size {
			l.slot = now.Add(time.Duration(float64(l.reset.Sub(now)) / free))
		}
		l.left--
	}
	return now
}

// next says when a request may be sent. The lock is held.
func (l *limiter) next(now time.Time) time.Time {
	switch {
	case now.Before(l.blocked):
		return l.blocked
	case !now.Before(l.reset):
		return now
	case l.free() < 1:
		return l.reset
	case now.Before(l.slot):
		return l.slot
	}
	return now
}

// free is what this client may still send in the current window.
func (l *limiter) free() float64 { return l.left - l.reserve*l.size }

// opens is when a request could be sent, without claiming it.
func (l *limiter) opens(now time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next(now)
}

// observe learns from an answer's headers, and from the body of a 429.
func (l *limiter) observe(now time.Time, status int, h http.Header, body []byte) {
	reset, hasReset := parseReset(h.Get("X-RateLimit-Reset"), now)
	left, leftErr := strconv.ParseFloat(h.Get("X-RateLimit-Remaining"), 64)
	used, usedErr := strconv.ParseFloat(h.Get("X-RateLimit-Consumed"), 64)
	l.mu.Lock()
	defer l.mu.Unlock()
	if status == http.StatusTooManyRequests {
		until := now.Add(min(max(refusedFor(now, h, body), shortestBlock), longestBlock))
		if until.After(l.blocked) {
			l.blocked = until
		}
		return
	}
	if !hasReset || leftErr != nil || !reset.After(now) || reset.Sub(now) > longestBlock {
		return
	}
	// Answers overtake each other: within one window only the lower count is
	// news. The same window can read a second off.
	switch d := reset.Sub(l.reset); {
	case now.Before(l.reset) && d <= -2*time.Second:
		return // An answer of the window before, arrived late.
	case now.Before(l.reset) && d < 2*time.Second:
		l.left = min(l.left, left)
	default:
		l.left, l.reset, l.slot = left, reset, time.Time{}
	}
	l.size = max(left, l.left)
	if usedErr == nil {
		l.size = max(left+used, l.left)
	}
}

// refusedFor is how long a 429 asks to wait. The order is Segment's: since API
// 73.1.0 Retry-After is to be preferred; the body's msBeforeNext is the older
// word; the reset header is the end of the window.
func refusedFor(now time.Time, h http.Header, body []byte) time.Duration {
	if s := h.Get("Retry-After"); s != "" {
		if n, err := strconv.Atoi(s); err == nil && n >= 0 {
			return time.Duration(min(n, int(longestBlock/time.Second))) * time.Second
		}
		if at, err := http.ParseTime(s); err == nil && at.After(now) {
			return at.Sub(now)
		}
	}
	var refusal struct {
		Errors []struct {
			Data struct {
				MsBeforeNext *float64 `json:"msBeforeNext"`
			} `json:"data"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &refusal) == nil {
		for _, e := range refusal.Errors {
			if ms := e.Data.MsBeforeNext; ms != nil && *ms >= 0 {
				return time.Duration(min(*ms, float64(longestBlock/time.Millisecond)) * float64(time.Millisecond))
			}
		}
	}
	if reset, ok := parseReset(h.Get("X-RateLimit-Reset"), now); ok && reset.After(now) {
		return reset.Sub(now)
	}
	return unknownReset
}

// parseReset reads X-RateLimit-Reset. A time in whole seconds is cut: the window
// ends somewhere in the second that follows.
func parseReset(s string, now time.Time) (time.Time, bool) {
	at, ok := parseInstant(strings.TrimSpace(s), now)
	if at.Nanosecond() == 0 {
		at = at.Add(time.Second)
	}
	return at, ok
}

// parseInstant reads a point in time. Segment documents "RFC 5322"; the other
// forms are what servers like it are known to send, JavaScript's Date among
// them.
func parseInstant(s string, now time.Time) (time.Time, bool) {
	if s == "" {
		return time.Time{}, false
	}
	if at, err := mail.ParseDate(s); err == nil {
		return at, true
	}
	if at, err := http.ParseTime(s); err == nil {
		return at, true
	}
	for _, layout := range []string{time.RFC3339, "Mon Jan 02 2006 15:04:05 GMT-0700"} {
		text, _, _ := strings.Cut(s, " (")
		if at, err := time.Parse(layout, text); err == nil {
			return at, true
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err != nil || n < 0:
		return time.Time{}, false
	case n < 1e6: // Seconds from now.
		return now.Add(time.Duration(n) * time.Second), true
	case n > 1e11: // Milliseconds since 1970.
		return time.UnixMilli(n), true
	}
	return time.Unix(n, 0), true
}
