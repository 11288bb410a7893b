package pacing

import (
	"testing"
	"time"
)

// A lane sends as many requests at a time as a concurrency allows, 32 at most, to a server
// that takes limit and answers after 100 ms.
type lane struct {
	c     concurrency
	now   time.Time
	limit int
	// refused is how many were refused, and rounds how many times some were.
	refused, rounds int
}

func (l *lane) roundTrip() {
	n := 0
	for n < 32 && l.c.allows(n) {
		n++
		l.c.noteSent(l.now, n)
	}
	sent, until := l.now, l.now
	l.now = l.now.Add(100 * time.Millisecond)
	for i := range n {
		if i < l.limit {
			l.c.accept(sent, l.now)
			continue
		}
		l.refused++
		if at := l.c.refuse(sent, l.now, 0); at.After(until) {
			until = at
		}
	}
	if n > l.limit {
		l.rounds++
	}
	if until.After(l.now) {
		l.now = until
	}
}

func (l *lane) run(d time.Duration) {
	for end := l.now.Add(d); l.now.Before(end); {
		l.roundTrip()
	}
}

func TestConcurrency_FindsEachLimit(t *testing.T) {
	t.Parallel()
	for limit := 1; limit < 32; limit++ {
		l := &lane{limit: limit, now: time.Date(2025, 1, 14, 15, 4, 0, 0, time.UTC)}
		l.run(20 * time.Second)
		if l.c.most != limit || !l.c.found() || l.rounds > 9 {
			t.Errorf("limit %d: %d are kept under way (found %t) after %d round trips with refusals", limit, l.c.most, l.c.found(), l.rounds)
		}
		refused := l.refused
		l.run(30 * time.Second)
		if l.refused != refused {
			t.Errorf("limit %d: %d refusals after it was found", limit, l.refused-refused)
		}
	}
}

// A limit that rises is followed by one in each window, and one that falls at once.
func TestConcurrency_FollowsTheLimit(t *testing.T) {
	t.Parallel()
	l := &lane{limit: 4, now: time.Date(2025, 1, 14, 15, 4, 0, 0, time.UTC)}
	l.run(20 * time.Second)
	l.limit = 8
	for want := 5; want <= 8; want++ {
		l.run(windowLength + time.Second)
		if l.c.most != want {
			t.Errorf("%d are kept under way, want %d", l.c.most, want)
		}
	}
	refused := l.refused
	l.run(10 * windowLength)
	if n := l.refused - refused; l.c.most != 8 || n < 8 || n > 11 {
		t.Errorf("%d are kept under way, %d refusals in 10 windows", l.c.most, n)
	}
	l.limit = 3
	l.run(5 * time.Second)
	if l.c.most != 3 {
		t.Errorf("%d are kept under way, want 3", l.c.most)
	}
}

// The pause doubles while nothing is accepted, and a longer wait that the server asks for
// is kept.
func TestConcurrency_Pauses(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 1, 14, 15, 4, 0, 0, time.UTC)
	c := concurrency{}
	for i, want := range []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 8 * time.Second} {
		c.noteSent(now, 32>>i)
		until := c.refuse(now, now, 0)
		if got := until.Sub(now); got != want {
			t.Errorf("pause %d is %s, want %s", i+1, got, want)
		}
		// The others of the same round trip change nothing, unless they ask for more.
		most := c.most
		if got := c.refuse(now, now, 0); got.After(now) || c.most != most {
			t.Errorf("another refusal holds back for %s and leaves %d of %d", got.Sub(now), c.most, most)
		}
		if got := c.refuse(now, now, 9*time.Second).Sub(now); got != 9*time.Second {
			t.Errorf("the server asks for 9s, the pause is %s", got)
		}
		now = until
	}
	if got := c.refuse(now, now, 24*time.Hour).Sub(now); got != maxBlock {
		t.Errorf("the pause is %s", got)
	}
}
