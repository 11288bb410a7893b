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
)

const (
	// limitWindow is the time in which Segment counts.
	limitWindow = time.Minute
	// unknownReset is how long a refusal lasts that does not say how long.
	unknownReset = limitWindow
	// longestBlock bounds what one answer can hold the client back for. After
	// it one request is tried, which costs less than a client stuck for a day.
	longestBlock = 5 * time.Minute
	// shortestBlock is how long a refusal lasts at least: one that is said to be
	// over, as by a clock that is off, must not be followed by a burst.
	shortestBlock = time.Second
	// spreadBelow is the share of a window below which requests are spread
	// over what is left of its time; above it they cost no wait.
	spreadBelow = 0.2
	// flightShare is the part of what is left that may be on its way at a time:
	// others on the same token see what is left only when answers arrive, and so
	// do we.
	flightShare = 0.25
	// firstFlight is how many requests may be on their way before the first
	// answer says what the limit is.
	firstFlight = 8
	// longestFlight is how long a call waits in the queue and for answers to
	// others, whatever its patience with the limit. Both take a round trip.
	longestFlight = 10 * time.Second
)

// A limiter paces one kind of request by what Segment says is left of the
// current window. Who wants to send stands in a queue, and the first in it waits
// for the time; nobody holds a lock meanwhile.
type limiter struct {
	reserve float64
	// interval is the least time between two requests, if any.
	interval time.Duration
	// turn is held by the first in the queue: a channel serves senders in the
	// order in which they came.
	turn chan struct{}
	// landed tells the first in the queue that an answer has arrived.
	landed chan struct{}

	mu sync.Mutex
	// queued is how many stand in the queue, the first among them.
	queued int
	// flying is how many requests are on their way.
	flying int
	// answered is set once it is known whether Segment says what is left.
	answered bool
	// blocked is the instant before which nothing is sent.
	blocked time.Time
	// reset ends the window that size and left describe. It is guessed where no
	// answer from the window has arrived yet.
	reset   time.Time
	guessed bool
	size    float64
	left    float64
	// slot is the earliest instant for the next request, while spreading and by
	// the interval.
	slot time.Time
}

// newLimiter takes perMinute 0 for no pace of its own.
func newLimiter(reserve float64, perMinute int) *limiter {
	l := &limiter{reserve: reserve, turn: make(chan struct{}, 1), landed: make(chan struct{}, 1)}
	if perMinute > 0 {
		l.interval = time.Minute / time.Duration(perMinute)
	}
	return l
}

// wait returns when the caller may send, and how long that took. Who may send
// calls land afterwards. If it would take longer than limit it returns a
// *RateLimitError, at once where that can be foreseen.
func (l *limiter) wait(ctx context.Context, limit time.Duration) (time.Duration, error) {
	start := time.Now()
	limit = max(limit, 0) // Who has waited as long as they would need not be late.
	err := l.enter(ctx, start, limit)
	if err != nil {
		return time.Since(start), err
	}
	defer l.leave()
	end, last := start.Add(limit), start.Add(max(limit, longestFlight))
	for {
		now := time.Now()
		at, full := l.take(now)
		switch {
		case !full && !at.After(now):
			return now.Sub(start), nil
		case !full && at.After(end):
			err = &RateLimitError{Wait: at.Sub(now), Reset: at}
		case full && !now.Before(last):
			err = l.tooLong()
		case full && (!at.After(now) || at.After(last)): // No window is known, or none ends in time.
			err = l.sleepUntilLanded(ctx, last.Sub(now))
		default:
			err = l.sleepUntilLanded(ctx, at.Sub(now))
		}
		if err != nil {
			return time.Since(start), err
		}
	}
}

// enter stands in the queue until all who came before have gone.
func (l *limiter) enter(ctx context.Context, start time.Time, limit time.Duration) error {
	l.mu.Lock()
	now := time.Now() // Not before what others have noted.
	if at := l.expected(now); at.After(now) && at.Sub(start) > limit {
		l.mu.Unlock()
		return &RateLimitError{Wait: at.Sub(now), Reset: at}
	}
	l.queued++
	l.mu.Unlock()
	select { // No timer where there is no queue.
	case l.turn <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(max(limit, longestFlight))
	defer timer.Stop()
	var err error
	for err == nil {
		select {
		case l.turn <- struct{}{}:
			return nil
		case <-ctx.Done():
			err = ctx.Err()
		case <-timer.C:
			if l.moves() { // Only those before have to go, who do not wait either.
				timer.Reset(time.Millisecond)
				continue
			}
			err = l.tooLong()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queued--
	return err
}

func (l *limiter) leave() {
	l.mu.Lock()
	l.queued--
	l.mu.Unlock()
	<-l.turn
}

// land notes that a request is not on its way any more.
func (l *limiter) land() {
	l.mu.Lock()
	l.flying--
	l.mu.Unlock()
	select {
	case l.landed <- struct{}{}:
	default: // Who waits has been told.
	}
}

// fly notes that a request is sent whose turn has come before.
func (l *limiter) fly() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flying++
}

// sleepUntilLanded sleeps for d, or until an answer has arrived, which may say
// something new.
func (l *limiter) sleepUntilLanded(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-l.landed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// moves says that the first in the queue need not wait for anything.
func (l *limiter) moves() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	return !l.next(now).After(now) && !l.full(now)
}

// tooLong is the error of who has waited as long as they would.
func (l *limiter) tooLong() error {
	now := time.Now()
	at := l.opens(now)
	return &RateLimitError{Wait: at.Sub(now), Reset: at}
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

// take claims one request if it may be sent now. Otherwise it says when to ask
// again, or that too many are on their way, as long as the window lasts that it
// returns.
func (l *limiter) take(now time.Time) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.next(now)
	switch {
	case at.After(now):
		return at, false
	case l.full(now):
		return l.reset, true
	}
	if l.size > 0 && !now.Before(l.reset) {
		// A window begins with its first request. That it is like the one before
		// is a guess, which keeps many callers from finding out all at once.
		l.left, l.reset, l.guessed = l.size, now.Add(limitWindow), true
	}
	l.slot = now.Add(l.apart(now))
	l.left--
	l.flying++
	return now, false
}

// full says that enough is on its way. The lock is held.
func (l *limiter) full(now time.Time) bool {
	switch {
	case !l.answered:
		return l.flying >= firstFlight
	case now.Before(l.reset):
		return l.flying > 0 && float64(l.flying) >= flightShare*l.free()
	}
	return false
}

// next says when a request may be sent. The lock is held.
func (l *limiter) next(now time.Time) time.Time {
	at := now
	switch {
	case now.Before(l.blocked):
		at = l.blocked
	case now.Before(l.reset) && l.free() < 1:
		at = l.reset
	}
	if at.Before(l.slot) {
		at = l.slot
	}
	return at
}

// apart is the time from one request to the next. The lock is held.
func (l *limiter) apart(now time.Time) time.Duration {
	if free := l.free(); now.Before(l.reset) && free >= 1 && free < spreadBelow*l.size {
		return max(l.interval, time.Duration(float64(l.reset.Sub(now))/free))
	}
	return l.interval
}

// expected is when somebody who comes now may send, after all who stand in the
// queue. The lock is held.
func (l *limiter) expected(now time.Time) time.Time {
	at := l.next(now)
	last := at.Add(time.Duration(l.queued) * l.apart(now))
	if at.Before(l.reset) && last.After(l.reset) { // The next window is not spread from its beginning.
		last = at.Add(time.Duration(l.queued) * l.interval)
		if last.Before(l.reset) {
			last = l.reset
		}
	}
	return last
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
	left, hasLeft := parseCount(h.Get("X-RateLimit-Remaining"))
	used, hasUsed := parseCount(h.Get("X-RateLimit-Consumed"))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answered = true
	if status == http.StatusTooManyRequests {
		until := now.Add(min(max(refusedFor(now, h, body), shortestBlock), longestBlock))
		if until.After(l.blocked) {
			l.blocked = until
		}
		if now.Before(l.reset) { // Nothing is left, and a window begins when it opens.
			l.left, l.reset = 0, l.blocked
		}
		return
	}
	if !hasReset || !hasLeft || !reset.After(now) || reset.Sub(now) > longestBlock {
		return
	}
	size := left + used
	switch d := reset.Sub(l.reset); {
	case !now.Before(l.reset), !l.guessed && d >= 2*time.Second:
		l.left, l.reset = left, reset
		if at := now.Add(l.interval); at.Before(l.slot) { // It was spread over the window before.
			l.slot = at
		}
	case !l.guessed && d <= -2*time.Second:
		return // An answer of the window before, arrived late.
	default:
		// Answers overtake each other: within one window only the lower count is
		// news. The same window can read a second off.
		l.left = min(l.left, left)
		if l.guessed {
			l.reset = reset
		}
		if !hasUsed {
			size = max(size, l.size)
		}
	}
	l.size, l.guessed = max(size, l.left), false
}

// parseCount reads a number of requests.
func parseCount(s string) (float64, bool) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	return float64(n), err == nil
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
