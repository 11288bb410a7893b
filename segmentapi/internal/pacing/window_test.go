package pacing

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestObserve_LateAnswerDoesNotReopenTheWindow(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 1, 14, 15, 4, 0, 0, time.UTC)
	header := func(left int, reset time.Time) http.Header { return limits(left, 100-left, reset) }
	l := New(0, 0)
	this, before := now.Add(time.Minute), now.Add(20*time.Second)
	l.Observe(now, now, 200, header(10, this), nil)
	l.Observe(now, now, 200, header(30, this), nil)
	l.Observe(now, now, 200, header(30, this.Add(time.Second)), nil)
	l.Observe(now, now, 200, header(99, before), nil)
	l.Observe(now, now, 200, header(3, before), nil)
	l.Observe(now, now, 200, http.Header{"X-Ratelimit-Remaining": {"99"}}, nil)
	l.Observe(now, now, 200, header(99, now.Add(24*time.Hour)), nil)
	if l.window.remaining != 10 || !l.window.reset.Equal(this.Add(time.Second)) || l.window.limit != 100 {
		t.Errorf("%v of %v remain until %s", l.window.remaining, l.window.limit, l.window.reset)
	}
	l.Observe(now.Add(61*time.Second), now.Add(61*time.Second), 200, header(99, now.Add(2*time.Minute)), nil)
	if l.window.remaining != 99 {
		t.Errorf("a new window was not seen: %v remain", l.window.remaining)
	}
}

// Each case is one answer, and the window that the limiter then knows.
func TestObserve_NextWindow(t *testing.T) {
	t.Parallel()
	start := time.Date(2025, 1, 14, 15, 4, 0, 0, time.UTC)
	in := start.Add
	claim := func(t *testing.T, l *Limiter, now time.Time) {
		t.Helper()
		if at, full := l.claim(now); !at.Equal(now) || full {
			t.Errorf("nothing to claim before %s, full %t", at.Sub(start), full)
		}
	}
	known := func(left int) *Limiter {
		l := New(0, 0)
		l.Observe(start, start, 200, limits(left, 100-left, in(59*time.Second)), nil)
		return l
	}
	for name, c := range map[string]struct {
		act              func(t *testing.T, l *Limiter)
		l                *Limiter
		remaining, limit float64
		reset, earliest  time.Duration
	}{
		"a new one is guessed": {
			func(t *testing.T, l *Limiter) { claim(t, l, in(70*time.Second)) }, known(50), 99, 100, 130 * time.Second, 70 * time.Second,
		},
		"the guess was wrong": {func(t *testing.T, l *Limiter) {
			claim(t, l, in(70*time.Second))
			l.Observe(in(71*time.Second), in(71*time.Second), 200, limits(80, 20, in(89*time.Second)), nil)
		}, known(50), 80, 100, 90 * time.Second, 70 * time.Second},
		"the guess was right, and answers overtook each other": {func(t *testing.T, l *Limiter) {
			for range 3 {
				claim(t, l, in(70*time.Second))
			}
			l.Observe(in(71*time.Second), in(71*time.Second), 200, limits(99, 1, in(130*time.Second)), nil)
		}, known(50), 97, 100, 131 * time.Second, 70 * time.Second},
		"a refusal ends one": {func(t *testing.T, l *Limiter) {
			l.Observe(in(time.Second), in(time.Second), 429, http.Header{"Retry-After": {"20"}}, nil)
			claim(t, l, in(21*time.Second))
		}, known(50), 99, 100, 81 * time.Second, 21 * time.Second},
		"spacing of the old one ends with it": {func(t *testing.T, l *Limiter) {
			claim(t, l, in(time.Second)) // The next one at 31 s.
			l.Observe(in(2*time.Second), in(2*time.Second), 200, limits(99, 1, in(89*time.Second)), nil)
		}, known(2), 99, 100, 90 * time.Second, 2 * time.Second},
		"a server that does not report what was used": {func(_ *testing.T, l *Limiter) {
			l.Observe(in(time.Second), in(time.Second), 200, http.Header{"X-Ratelimit-Remaining": {"40"}, "X-Ratelimit-Reset": {in(59 * time.Second).Format(time.RFC1123Z)}}, nil)
		}, known(50), 40, 100, 60 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.act(t, c.l)
			if c.l.window.remaining != c.remaining || c.l.window.limit != c.limit || !c.l.window.reset.Equal(in(c.reset)) || c.earliest != 0 && !c.l.earliest.Equal(in(c.earliest)) {
				t.Errorf("%v of %v remain until %s, the next at %s", c.l.window.remaining, c.l.window.limit, c.l.window.reset.Sub(start), c.l.earliest.Sub(start))
			}
		})
	}
}

func TestNextAllowed_LeavesTheReserve(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 1, 14, 15, 4, 0, 0, time.UTC)
	l := New(0.1, 0)
	l.Observe(now, now, 200, limits(10, 90, now.Add(time.Minute)), nil)
	// A second later than the header says, which has no fractions.
	if at := l.nextAllowed(now); !at.Equal(now.Add(61 * time.Second)) {
		t.Errorf("allowed at %s with only the reserve left", at)
	}
}

func limits(left, used int, reset time.Time) http.Header {
	return http.Header{"X-Ratelimit-Remaining": {fmt.Sprint(left)}, "X-Ratelimit-Consumed": {fmt.Sprint(used)}, "X-Ratelimit-Reset": {reset.Format(time.RFC1123Z)}}
}

// sendable is how many requests the limiter would send at once, each answered with
// headers that count those of others as well.
func sendable(t *testing.T, l *Limiter, limit, others int, reset time.Time) int {
	t.Helper()
	for n := 0; ; n++ {
		if _, err := l.Wait(t.Context(), 0); err != nil {
			return n
		}
		used := n + 1 + others
		l.Observe(time.Now(), time.Now(), 200, limits(limit-used, used, reset), nil)
		l.Done()
	}
}

// In the first window of a burst a client that is alone leaves 2 % of the window, in the
// next 10 %. After a pause of a minute the next window is a first one again.
func TestReserve_DependsOnUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := New(0.1, 0)
		for i, want := range []int{98, 90, 90, 98} {
			if i == 3 {
				<-time.After(windowLength)
			}
			if got := sendable(t, l, 100, 0, time.Now().Add(time.Minute)); got != want {
				t.Errorf("window %d: %d requests of 100 are sent, want %d", i, got, want)
			}
			<-time.After(61 * time.Second) // The header has no fractions of a second.
		}
	})
}

// If others use the window, 10 % of it are left, and what remains below 20 % is spread:
// a request that would have to wait is not sent at once. This holds in the next window.
func TestReserve_Others(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := New(0.1, 0)
		if got := sendable(t, l, 100, 1, time.Now().Add(time.Minute)); got != 71 {
			t.Errorf("%d requests of 100 are sent at once beside one of others, want 71", got)
		}
		for i, want := range []int{72, 90} {
			<-time.After(61 * time.Second)
			if got := sendable(t, l, 100, 0, time.Now().Add(time.Minute)); got != want {
				t.Errorf("window %d: %d requests of 100 are sent at once, want %d", i+2, got, want)
			}
		}
		<-time.After(61 * time.Second)
		sendable(t, l, 100, 1, time.Now().Add(time.Minute))
		<-time.After(61*time.Second + windowLength)
		if got := sendable(t, l, 100, 0, time.Now().Add(time.Minute)); got != 98 {
			t.Errorf("%d requests of 100 are sent at once when the others have long gone, want 98", got)
		}
	})
}

// A client that is refused shares the window with others.
func TestReserve_Refused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := New(0.1, 0)
		sendable(t, l, 100, 0, time.Now().Add(time.Minute))
		l.Observe(time.Now(), time.Now(), http.StatusTooManyRequests, http.Header{}, nil)
		<-time.After(61 * time.Second)
		if got := sendable(t, l, 100, 0, time.Now().Add(time.Minute)); got != 72 {
			t.Errorf("%d requests of 100 are sent at once after a refusal, want 72", got)
		}
	})
}
