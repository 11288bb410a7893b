package pacing

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestWait_SpacesRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := New(0.1, 60)
		start := time.Now()
		for range 61 {
			if _, err := l.Wait(t.Context(), time.Minute); err != nil {
				t.Fatal(err)
			}
			l.Done()
		}
		if took := time.Since(start); took != time.Minute {
			t.Errorf("61 requests took %s, want a minute", took)
		}
	})
}

func TestWait_CancelledCallerLeavesAtOnce(t *testing.T) {
	t.Parallel()
	for name, perMinute := range map[string]int{"blocked": 0, "spaced": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := New(0.1, perMinute)
				if name == "spaced" {
					if _, err := l.Wait(t.Context(), 0); err != nil {
						t.Fatal(err)
					}
				} else {
					l.Observe(time.Now(), time.Now(), 429, http.Header{"Retry-After": {"30"}}, nil)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				waited, err := l.Wait(ctx, time.Hour)
				if !errors.Is(err, context.DeadlineExceeded) || waited != 5*time.Second {
					t.Errorf("got %v after %s", err, waited)
				}
			})
		})
	}
}

// Requests count before their answers arrive, and only a part of the remaining
// ones is in flight at a time.
func TestWait_BoundsRequestsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := New(0, 0)
		start := time.Now()
		l.Observe(start, start, 200, limits(25, 75, start.Add(time.Minute)), nil)
		sent, answered := atomic.Int64{}, make(chan struct{})
		var all sync.WaitGroup
		for range 25 {
			all.Go(func() {
				if _, err := l.Wait(t.Context(), time.Hour); err != nil {
					t.Error(err)
				}
				sent.Add(1)
				<-answered
				l.Done()
			})
		}
		synctest.Wait()
		if n := sent.Load(); n != 5 {
			t.Errorf("%d of 25 are in flight, want 5", n)
		}
		close(answered)
		all.Wait()
		// The last 20 of 100 are spread over the minute.
		if took := time.Since(start); took < 55*time.Second || took > 61*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// Before the first answer the limit is not known.
func TestWait_FewInFlightBeforeTheFirstAnswer(t *testing.T) {
	t.Parallel()
	for name, announced := range map[string]bool{"with limit headers": true, "without limit headers": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				header := http.Header{}
				if announced {
					header = limits(1000, 8, time.Now().Add(time.Minute))
				}
				l := New(0.1, 0)
				sent := atomic.Int64{}
				for range 64 {
					go func() {
						if _, err := l.Wait(t.Context(), time.Hour); err != nil {
							t.Error(err)
						}
						sent.Add(1)
					}()
				}
				synctest.Wait()
				if n := sent.Load(); n != firstInFlight {
					t.Errorf("%d were sent at once", n)
				}
				l.Observe(time.Now(), time.Now(), 200, header, nil)
				l.Done()
				synctest.Wait()
				if n := sent.Load(); n != 64 {
					t.Errorf("%d were sent after the first answer", n)
				}
			})
		})
	}
}

// Callers are served in the order in which they came, and a caller who has left
// the queue delays nobody.
func TestWait_ServesTheQueueInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := New(0, 60)
		start := time.Now()
		var mu sync.Mutex
		var order []int
		var left []time.Duration
		var all sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 64 {
			all.Go(func() {
				mine := t.Context()
				if i%8 == 3 {
					mine = ctx
				}
				waited, err := l.Wait(mine, time.Hour)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					left = append(left, waited)
					return
				}
				order = append(order, i)
				l.Done()
			})
			synctest.Wait()
		}
		<-time.After(1500 * time.Millisecond)
		cancel()
		all.Wait()
		if len(order) != 56 || !slices.IsSorted(order) {
			t.Errorf("order %v", order)
		}
		if took := time.Since(start); took != 55*time.Second {
			t.Errorf("56 requests a second apart took %s", took)
		}
		if len(left) != 8 || slices.Max(left) > 1500*time.Millisecond {
			t.Errorf("left after %v", left)
		}
	})
}

// If the queue is too long for a caller, the error comes at once and names when to
// come back.
func TestWait_LongQueueIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := New(0, 60)
		start := time.Now()
		refused := 0
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				_, err := l.Wait(t.Context(), 10*time.Second)
				var tooLong *WaitError
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					l.Done()
				case !errors.As(err, &tooLong):
					t.Error(err)
				default:
					refused++
					if time.Since(start) != 0 || tooLong.Wait <= 10*time.Second || !tooLong.Until.Equal(start.Add(tooLong.Wait)) {
						t.Errorf("after %s: %+v", time.Since(start), tooLong)
					}
				}
			})
			synctest.Wait()
		}
		all.Wait()
		if took := time.Since(start); refused != 53 || took != 10*time.Second {
			t.Errorf("%d refused, the others in %s", refused, took)
		}
	})
}

// A caller that waits for an answer to another request waits no longer than the
// window lasts.
func TestWait_NewWindowEndsTheWaitForAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := New(0, 0)
		start := time.Now()
		l.Observe(start, start, 200, limits(3, 97, start.Add(4*time.Second)), nil)
		if _, err := l.Wait(t.Context(), time.Hour); err != nil { // Never done within the test.
			t.Fatal(err)
		}
		waited, err := l.Wait(t.Context(), 10*time.Second)
		if err != nil || waited > 5*time.Second {
			t.Errorf("waited %s: %v; a new window began after 5 s", waited, err)
		}
	})
}

// If an answer corrects the guessed end of a window, callers that sleep until then
// wake.
func TestWait_CorrectedGuessEndsTheWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := New(0.1, 0)
		start := time.Now()
		l.Observe(start, start, 200, limits(1, 1, start.Add(9*time.Second)), nil)
		<-time.After(30 * time.Second)
		if _, err := l.Wait(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		done := make(chan time.Duration)
		go func() {
			_, err := l.Wait(t.Context(), 65*time.Second)
			if err != nil {
				t.Error(err)
			}
			done <- time.Since(start)
		}()
		synctest.Wait()
		<-time.After(time.Second) // The answer: the window ends at 40 s.
		l.Observe(time.Now(), time.Now(), 200, limits(1, 1, start.Add(39*time.Second)), nil)
		l.Done()
		if at := <-done; at > 41*time.Second {
			t.Errorf("sent at %s, the window began at 40s", at)
		}
	})
}

// Callers that may not wait pass, however many come at once.
func TestWait_ConcurrentCallersWithoutAWaitPass(t *testing.T) {
	t.Parallel()
	l := New(0, 0)
	l.answered = true
	if n, last := refusals(t.Context(), l, 64, 2000, 0); n > 0 {
		t.Errorf("%d refused by nothing: %v", n, last)
	}
}

// refusals runs callers at the same time, each so many times, and returns the
// number of refusals and the last of them.
func refusals(ctx context.Context, l *Limiter, callers, times int, maxWait time.Duration) (int, error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	n := 0
	var last error
	for range callers {
		all.Go(func() {
			for range times {
				_, err := l.Wait(ctx, maxWait)
				if err == nil {
					l.Done()
					continue
				}
				mu.Lock()
				n++
				last = err
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return n, last
}

// A caller that may wait for exactly as long as it takes is not refused.
func TestWait_ExactlyAsLongAsAllowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := New(0.1, 0)
		l.Observe(time.Now(), time.Now(), 429, map[string][]string{"Retry-After": {"10"}}, nil)
		if n, last := refusals(t.Context(), l, 8, 1, 10*time.Second); n > 0 {
			t.Errorf("%d of 8 refused: %v", n, last)
		}
	})
}
