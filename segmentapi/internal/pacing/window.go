package pacing

import (
	"net/http"
	"time"
)

// A window is what is known of the period in which the server counts requests.
type window struct {
	limit     float64
	remaining float64
	// reset is the end of the window.
	reset time.Time
	// guessed is set until an answer from this window has arrived.
	guessed bool
	// own is how many of the client's own requests the window may count, at most. If it
	// counts more, others use it, and others is set. othersBefore is that of the window
	// before.
	own                  int
	others, othersBefore bool
	// first is set if the client has sent nothing in the minute before.
	first bool
}

// shared reports whether others used this window, or the one before.
func (w window) shared() bool { return w.others || w.othersBefore }

// next guesses the window that begins with a request at now: a window like the
// one before. Without the guess, many callers would send at once to find out. The
// requests that are in flight may still count in the new window.
func (w window) next(now time.Time, inFlight int) window {
	idle := now.Sub(w.reset) >= windowLength
	return window{
		limit: w.limit, remaining: w.limit, reset: now.Add(windowLength), guessed: true,
		own: inFlight, othersBefore: w.others && !idle, first: idle,
	}
}

// Observe learns from the answer to a request that was sent at the given time: from its
// headers, and from the body of a 429. It reports whether the answer is a refusal because
// too many requests were under way. Call it before Done.
func (l *Limiter) Observe(sent, now time.Time, status int, h http.Header, body []byte) bool {
	refused := status == http.StatusTooManyRequests
	tooManyAtOnce := refused && requestsRemain(h, body)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answered = true
	switch {
	case tooManyAtOnce:
		asked, _ := retryAfter(h, now)
		l.block(now, l.concurrency.refuse(sent, now, asked))
	case !refused:
		l.concurrency.accept(sent, now)
	}
	l.observeWindow(now, refused && !tooManyAtOnce, h, body)
	return tooManyAtOnce
}

// block holds all requests back until a time. The lock is held.
func (l *Limiter) block(now, until time.Time) {
	if !until.After(l.blockedUntil) {
		return
	}
	l.blocked += min(until.Sub(now), until.Sub(l.blockedUntil))
	l.blockedUntil = until
}

// observeWindow learns what is left of the window. The lock is held.
func (l *Limiter) observeWindow(now time.Time, exhausted bool, h http.Header, body []byte) {
	w := &l.window
	if exhausted {
		l.block(now, now.Add(min(max(refusalLength(now, h, body), minBlock), maxBlock)))
		w.others = true          // This client keeps a reserve, so alone it is not refused.
		if now.Before(w.reset) { // Nothing remains, and a new window begins after the refusal.
			w.remaining, w.reset = 0, l.blockedUntil
		}
		return
	}
	said, ok := announced(h, now)
	if !ok || !said.reset.After(now) || said.reset.Sub(now) > maxBlock {
		return
	}
	limit := said.remaining + said.used
	switch d := said.reset.Sub(w.reset); {
	case !now.Before(w.reset), !w.guessed && d >= 2*time.Second: // A new window.
		*w = w.next(now, l.inFlight)
		w.remaining, w.reset = said.remaining, said.reset
		if at := now.Add(l.interval); at.Before(l.earliest) { // It was spread over the window before.
			l.earliest = at
		}
	case !w.guessed && d <= -2*time.Second:
		return // A late answer from the window before.
	default:
		// Answers overtake each other, so within one window only a lower count is
		// news. The end of one window can read a second off.
		w.remaining = min(w.remaining, said.remaining)
		if w.guessed {
			w.reset = said.reset
		}
		if !said.hasUsed {
			limit = max(limit, w.limit)
		}
	}
	w.limit, w.guessed = max(limit, w.remaining), false
	w.others = w.others || said.hasUsed && said.used > float64(w.own)
}
