package pacing

import "time"

const (
	// firstPause is the wait after a refusal for too many requests at a time. It doubles
	// up to lastPause while nothing is accepted in between.
	firstPause = 250 * time.Millisecond
	lastPause  = 8 * time.Second
)

// A concurrency keeps the number of requests under way within the server's limit, if there
// is one. The server does not announce it, so it is searched for: a refusal halves the
// number, and a number between one that was accepted and one that was refused is tried
// next. When the two are neighbors, one more is tried in each window, because the limit may
// have risen.
type concurrency struct {
	// most is the current limit. Zero means no limit.
	most int
	// accepted is the largest number that is known to be accepted, and refused the
	// smallest that is known to be refused.
	accepted, refused int
	// since is when requests could first be sent under most. Answers to earlier requests
	// are ignored.
	since time.Time
	// peak is the largest number under way since then.
	peak int
	// reached is when as many as most were first under way, zero until then.
	reached time.Time
	// inRow is how many requests since reached have been accepted. Twice as many as most
	// are two round trips without a refusal: during the first, some may not have reached
	// the server yet.
	inRow int
	// pause is the wait after the last refusal, zero once a request has been accepted.
	pause time.Duration
}

// allows reports whether one more request may be sent besides those under way.
func (c *concurrency) allows(underWay int) bool { return c.most == 0 || underWay < c.most }

// noteSent notes that a request is sent, as the last of underWay.
func (c *concurrency) noteSent(now time.Time, underWay int) {
	c.peak = max(c.peak, underWay)
	if c.most == 0 || underWay < c.most {
		return
	}
	if c.most+1 >= c.refused && now.Sub(c.since) >= windowLength {
		c.change(c.most+1, now)
		c.refused = max(c.refused, c.most+1)
		return
	}
	if c.reached.IsZero() {
		c.reached = now
	}
}

func (c *concurrency) change(most int, since time.Time) {
	c.most, c.since, c.peak, c.reached, c.inRow = most, since, 0, time.Time{}, 0
}

// refuse notes a refusal and returns when the next request may be sent. asked is how long
// the server asks to wait. All refusals of one round trip count as one.
func (c *concurrency) refuse(sent, now time.Time, asked time.Duration) time.Time {
	until := now.Add(min(asked, maxBlock))
	if sent.Before(c.since) {
		return until
	}
	c.refused = max(c.peak, 1)
	if c.refused <= c.accepted { // It is no longer accepted: others may use the same token.
		c.accepted = 0
	}
	c.pause = min(max(2*c.pause, firstPause), lastPause)
	if at := now.Add(c.pause); at.After(until) {
		until = at
	}
	c.change(max(1, c.accepted, c.refused/2), until)
	return until
}

// accept notes an answer that is not a refusal.
func (c *concurrency) accept(sent, now time.Time) {
	if c.most == 0 || sent.Before(c.since) {
		return
	}
	c.pause = 0
	if c.reached.IsZero() || sent.Before(c.reached) {
		return
	}
	if c.inRow++; c.inRow < 2*c.most {
		return
	}
	c.accepted = c.most
	if c.most+1 < c.refused {
		c.change((c.most+c.refused)/2, now)
	}
}

// found reports whether the search has ended.
func (c *concurrency) found() bool {
	return c.most > 0 && c.most == c.accepted && c.most+1 >= c.refused
}
