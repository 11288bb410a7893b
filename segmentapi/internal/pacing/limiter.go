// Package pacing keeps requests within a rate limit that the server announces:
// how many requests are left in the current window, when the window ends, and
// how long a refusal (429) lasts. It knows Segment's headers and nothing else of
// its API.
package pacing

import (
	"context"
	"math"
	"sync"
	"time"
)

const (
	// windowLength is the time in which Segment counts requests.
	windowLength = time.Minute
	// maxBlock bounds how long one answer can hold the client back. After it one
	// request is tried, which costs less than a client that is stuck for a day.
	maxBlock = 5 * time.Minute
	// minBlock is the shortest refusal. According to a server whose clock is off, a
	// refusal may already be over: no burst must follow.
	minBlock = time.Second
	// spreadBelow is the share of a window below which the remaining requests are
	// spread over its remaining time, if others use the window as well. Above it
	// requests are not delayed.
	spreadBelow = 0.2
	// aloneShare is the part of the reserve that is kept in the first window of a burst
	// while nobody else uses it. So work that fits into one window ends in it.
	aloneShare = 0.2
	// inFlightShare is the part of the remaining requests that may be in flight at
	// a time: the count is known only when answers arrive, here and in other
	// programs with the same token.
	inFlightShare = 0.25
	// firstInFlight is how many requests may be in flight before the first answer
	// announces the limit.
	firstInFlight = 8
	// minQueueWait is how long a caller waits in the queue and for answers to
	// others, even if its own maximum is shorter: both take a round trip.
	minQueueWait = 10 * time.Second
)

// A Limiter paces one kind of request. Callers queue; the first of them waits
// until it may send. No lock is held meanwhile. A Limiter is safe for concurrent
// use; make it with [New].
type Limiter struct {
	reserve float64
	// interval is the least time between two requests, if any.
	interval time.Duration
	// head holds a token of the first in the queue: a channel serves senders in
	// the order in which they came.
	head chan struct{}
	// finished wakes the first in the queue when a request has finished.
	finished chan struct{}

	mu sync.Mutex
	// queued is the length of the queue, its first included.
	queued   int
	inFlight int
	// answered is set with the first answer: whether the server announces a limit
	// is known from then on.
	answered bool
	// blockedUntil is the end of the last refusal.
	blockedUntil time.Time
	// blocked is how long all refusals last together.
	blocked     time.Duration
	window      window
	concurrency concurrency
	// earliest is when the next request may be sent, by the interval and while
	// requests are spread.
	earliest time.Time
}

// New returns a Limiter that leaves a share of each window, from 0 to below 1,
// to others, and sends perMinute requests at most, evenly spaced. A perMinute of
// 0 means no spacing.
func New(reserve float64, perMinute int) *Limiter {
	l := &Limiter{reserve: reserve, head: make(chan struct{}, 1), finished: make(chan struct{}, 1)}
	if perMinute > 0 {
		l.interval = time.Minute / time.Duration(perMinute)
	}
	return l
}

// A WaitError means that a request would have to wait for longer than allowed.
type WaitError struct {
	// Wait is how long to wait, counted from when the error was made.
	Wait time.Duration
	// Until is the instant at which a request may be sent.
	Until time.Time
}

// Error names the time to wait.
func (e *WaitError) Error() string { return "the rate limit opens in " + e.Wait.String() }

// Wait blocks until the caller may send a request, and returns how long that took. If
// the server limits concurrent requests, the wait for others to end is not included. The
// request counts as in flight until the caller calls Done. If the wait would be longer
// than maxWait, Wait returns a [*WaitError], at once where that can be foreseen.
func (l *Limiter) Wait(ctx context.Context, maxWait time.Duration) (time.Duration, error) {
	start := time.Now()
	maxWait = max(maxWait, 0) // A caller that has used up its time may still send what needs no wait.
	before := l.blockedBefore(start)
	err := l.joinQueue(ctx, start, maxWait)
	if err != nil {
		return time.Since(start), err
	}
	defer l.leaveQueue()
	for {
		now, queueEnd := time.Now(), l.queueEnd(start, maxWait)
		at, full := l.claim(now)
		waited := l.waited(start, now, before)
		switch {
		case !full && !at.After(now):
			return waited, nil
		case !full && waited+at.Sub(now) > maxWait:
			err = &WaitError{Wait: at.Sub(now), Until: at}
		case full && !now.Before(queueEnd):
			err = l.waitError()
		case full && (!at.After(now) || at.After(queueEnd)): // No window is known, or none ends in time.
			err = l.sleepOrFinished(ctx, queueEnd.Sub(now))
		default:
			err = l.sleepOrFinished(ctx, at.Sub(now))
		}
		if err != nil {
			return time.Since(start), err
		}
	}
}

// joinQueue returns when all earlier callers have left the queue.
func (l *Limiter) joinQueue(ctx context.Context, start time.Time, maxWait time.Duration) error {
	l.mu.Lock()
	now := time.Now() // Taken under the lock: not before what others have noted.
	if at := l.estimate(now); at.After(now) && at.Sub(start) > maxWait {
		l.mu.Unlock()
		return &WaitError{Wait: at.Sub(now), Until: at}
	}
	l.queued++
	l.mu.Unlock()
	select { // Without a queue no timer is needed.
	case l.head <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(time.Until(l.queueEnd(start, maxWait)))
	defer timer.Stop()
	var err error
	for err == nil {
		select {
		case l.head <- struct{}{}:
			return nil
		case <-ctx.Done():
			err = ctx.Err()
		case <-timer.C:
			if l.canSend() { // The queue is moving: those before are about to send.
				timer.Reset(time.Millisecond)
				continue
			}
			if left := time.Until(l.queueEnd(start, maxWait)); left > 0 {
				timer.Reset(left)
				continue
			}
			err = l.waitError()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queued--
	return err
}

// queueEnd is when a caller that came at start has waited for long enough in the queue and
// for answers to others. If the server limits concurrent requests, that is not a wait for
// the window, and may take long.
func (l *Limiter) queueEnd(start time.Time, maxWait time.Duration) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.concurrency.most > 0 {
		return start.Add(max(maxWait, maxBlock))
	}
	return start.Add(max(maxWait, minQueueWait))
}

// waited is how long a caller that came at start has waited. before is what blockedBefore
// returned then.
func (l *Limiter) waited(start, now time.Time, before time.Duration) time.Duration {
	blocked := l.blockedBefore(now) - before
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.concurrency.most > 0 {
		return min(now.Sub(start), blocked)
	}
	return now.Sub(start)
}

// blockedBefore returns how long refusals have held requests back until now, in all.
func (l *Limiter) blockedBefore(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.blocked - max(l.blockedUntil.Sub(now), 0)
}

func (l *Limiter) leaveQueue() {
	l.mu.Lock()
	l.queued--
	l.mu.Unlock()
	<-l.head
}

// sleepOrFinished sleeps for d, or until a request has finished: its answer may
// have changed when the next one may be sent.
func (l *Limiter) sleepOrFinished(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-l.finished:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Start notes that a request is sent now, after an earlier Wait and Done.
func (l *Limiter) Start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight++
	l.window.own++
	l.concurrency.noteSent(time.Now(), l.inFlight)
}

// Done notes that a request is no longer in flight.
func (l *Limiter) Done() {
	l.mu.Lock()
	l.inFlight--
	l.mu.Unlock()
	select {
	case l.finished <- struct{}{}:
	default: // A signal is already pending.
	}
}

// Concurrency returns how many requests the server accepts at a time, and whether that is
// known: whether it has refused one more.
func (l *Limiter) Concurrency() (int, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.concurrency.most, l.concurrency.found()
}

// NextAllowed returns when a request could be sent, without claiming it.
func (l *Limiter) NextAllowed() time.Time {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nextAllowed(now)
}

func (l *Limiter) waitError() error {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.nextAllowed(now)
	return &WaitError{Wait: at.Sub(now), Until: at}
}

// claim takes one request off the window if it may be sent now. Otherwise it
// returns when to ask again, or, with true, that too many requests are in flight
// and when the window ends.
func (l *Limiter) claim(now time.Time) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.nextAllowed(now)
	switch {
	case at.After(now):
		return at, false
	case l.full(now):
		return l.window.reset, true
	}
	if l.window.limit > 0 && !now.Before(l.window.reset) {
		l.window = l.window.next(now, l.inFlight)
	}
	l.earliest = now.Add(l.spacing(now))
	l.window.remaining--
	l.window.own++
	l.inFlight++
	l.concurrency.noteSent(now, l.inFlight)
	return now, false
}

// canSend reports whether the first in the queue need not wait for anything.
func (l *Limiter) canSend() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	return !l.nextAllowed(now).After(now) && !l.full(now)
}

// full reports whether no more requests may be in flight. The lock is held.
func (l *Limiter) full(now time.Time) bool {
	switch {
	case !l.concurrency.allows(l.inFlight):
		return true
	case !l.answered:
		return l.inFlight >= firstInFlight
	case now.Before(l.window.reset):
		return l.inFlight > 0 && float64(l.inFlight) >= inFlightShare*l.available()
	}
	return false
}

// nextAllowed is when a request may be sent. The lock is held.
func (l *Limiter) nextAllowed(now time.Time) time.Time {
	at := now
	switch {
	case now.Before(l.blockedUntil):
		at = l.blockedUntil
	case now.Before(l.window.reset) && l.available() < 1:
		at = l.window.reset
	}
	if at.Before(l.earliest) {
		at = l.earliest
	}
	return at
}

// spacing is the time from one request to the next. The lock is held.
func (l *Limiter) spacing(now time.Time) time.Duration {
	w := l.window
	if n := l.available(); w.shared() && now.Before(w.reset) && n >= 1 && n < spreadBelow*w.limit {
		return max(l.interval, time.Duration(float64(w.reset.Sub(now))/n))
	}
	return l.interval
}

// estimate is when a caller that joins the queue now may send. The lock is held.
func (l *Limiter) estimate(now time.Time) time.Time {
	at := l.nextAllowed(now)
	last := at.Add(time.Duration(l.queued) * l.spacing(now))
	reset := l.window.reset
	if at.Before(reset) && last.After(reset) { // The next window is not spread from its beginning.
		last = at.Add(time.Duration(l.queued) * l.interval)
		if last.Before(reset) {
			last = reset
		}
	}
	return last
}

// available is how many requests this client may still send in the window. The
// lock is held.
func (l *Limiter) available() float64 {
	reserve := l.reserve
	if l.window.first && !l.window.shared() {
		reserve *= aloneShare
	}
	return l.window.remaining - math.Floor(reserve*l.window.limit)
}
