package pacing

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/mail"
	"strconv"
	"strings"
	"time"
)

// An announcement is what the headers of one answer report about the window.
type announcement struct {
	remaining float64
	reset     time.Time
	used      float64
	hasUsed   bool
}

// announced reads the limit headers. It reports false if the count or the end of
// the window is missing.
func announced(h http.Header, now time.Time) (announcement, bool) {
	var a announcement
	var hasReset, hasRemaining bool
	a.reset, hasReset = parseReset(h.Get("X-RateLimit-Reset"), now)
	a.remaining, hasRemaining = parseCount(h.Get("X-RateLimit-Remaining"))
	a.used, a.hasUsed = parseCount(h.Get("X-RateLimit-Consumed"))
	return a, hasReset && hasRemaining
}

// refusalLength is how long a 429 asks to wait. The order is Segment's: since API
// 73.1.0 Retry-After comes first; the body's msBeforeNext is older; the reset
// header is the end of the window. A refusal that reports none of them lasts for
// a window.
func refusalLength(now time.Time, h http.Header, body []byte) time.Duration {
	if d, ok := retryAfter(h, now); ok {
		return d
	}
	if ms, ok := refusalNumber(body, "msBeforeNext"); ok && ms >= 0 {
		return time.Duration(min(ms, float64(maxBlock/time.Millisecond)) * float64(time.Millisecond))
	}
	if reset, ok := parseReset(h.Get("X-RateLimit-Reset"), now); ok && reset.After(now) {
		return reset.Sub(now)
	}
	return windowLength
}

// requestsRemain reports whether a 429 itself says that requests remain in the window.
// Then the server limits concurrent requests. The body comes first: it
// is about the limit that refused the request, and an endpoint may have its own, while
// the header is about the token.
func requestsRemain(h http.Header, body []byte) bool {
	if n, ok := refusalNumber(body, "remainingPoints"); ok {
		return n > 0
	}
	n, ok := parseCount(h.Get("X-RateLimit-Remaining"))
	return ok && n > 0
}

// retryAfter reads Retry-After: a date, or seconds, which are rounded up. A fraction is not
// in the standard, but a widely used limiter sends one.
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	s := strings.TrimSpace(h.Get("Retry-After"))
	if strings.Trim(s, "0123456789.") == "" { // Neither an exponent nor the name of infinity.
		n, err := strconv.ParseFloat(s, 64)
		if err == nil || errors.Is(err, strconv.ErrRange) {
			return time.Duration(min(math.Ceil(n), maxBlock.Seconds())) * time.Second, true
		}
	}
	if at, err := http.ParseTime(s); err == nil && at.After(now) {
		return at.Sub(now), true
	}
	return 0, false
}

// refusalNumber reads a number in the body of a 429.
func refusalNumber(body []byte, name string) (float64, bool) {
	var refusal struct {
		Errors []struct {
			Data map[string]any `json:"data"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &refusal) != nil {
		return 0, false
	}
	for _, e := range refusal.Errors {
		if n, ok := e.Data[name].(float64); ok {
			return n, true
		}
	}
	return 0, false
}

// parseCount reads a number of requests.
func parseCount(s string) (float64, bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	return float64(n), err == nil
}

// parseReset reads X-RateLimit-Reset. If the time has no fraction of a second, it
// was truncated: the window ends within the following second.
func parseReset(s string, now time.Time) (time.Time, bool) {
	at, ok := parseInstant(strings.TrimSpace(s), now)
	if at.Nanosecond() == 0 {
		at = at.Add(time.Second)
	}
	return at, ok
}

// parseInstant reads a point in time. Segment documents "RFC 5322"; servers of
// this kind are known to send the other forms, JavaScript's Date among them.
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
		withoutZoneName, _, _ := strings.Cut(s, " (")
		if at, err := time.Parse(layout, withoutZoneName); err == nil {
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
