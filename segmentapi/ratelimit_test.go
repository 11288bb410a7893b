package segmentapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestHowLongARefusalLasts(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 1, 14, 15, 4, 0, 0, time.UTC)
	const body = `{"errors":[{"type":"RequestError","message":"Too many requests","data":{"remainingPoints":0,"msBeforeNext":57647,"consumedPoints":21}}]}`
	tests := map[string]struct {
		retryAfter, reset, body string
		want                    time.Duration
	}{
		"nothing":                        {"", "", "", time.Minute},
		"retry-after first":              {"7", "Tue, 14 Jan 2025 15:04:05 +0000", body, 7 * time.Second},
		"retry-after 0":                  {"0", "", body, 0},
		"retry-after as a date":          {"Tue, 14 Jan 2025 15:04:09 GMT", "", body, 9 * time.Second},
		"retry-after that is not one":    {"soon", "", body, 57647 * time.Millisecond},
		"retry-after in the past":        {"Tue, 14 Jan 2025 15:03:05 GMT", "", body, 57647 * time.Millisecond},
		"negative retry-after":           {"-1", "", body, 57647 * time.Millisecond},
		"retry-after of a day":           {"86400", "", "", longestBlock},
		"retry-after beyond all numbers": {"99999999999999999999", "", body, 57647 * time.Millisecond},
		"body next":                      {"", "Tue, 14 Jan 2025 15:04:05 +0000", body, 57647 * time.Millisecond},
		"huge body":                      {"", "", `{"errors":[{"data":{"msBeforeNext":1e300}}]}`, longestBlock},
		"negative body":                  {"", "", `{"errors":[{"data":{"msBeforeNext":-5}}]}`, time.Minute},
		"body of another kind":           {"", "", `{"errors":[{"data":"x"}]}`, time.Minute},
		"html":                           {"", "", `<html>`, time.Minute},
		"reset last":                     {"", "Tue, 14 Jan 2025 15:04:05 +0000", "", 6 * time.Second},
		"reset in the past":              {"", "Tue, 14 Jan 2025 15:03:05 +0000", "", time.Minute},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			if tt.retryAfter != "" {
				h.Set("Retry-After", tt.retryAfter)
			}
			if tt.reset != "" {
				h.Set("X-RateLimit-Reset", tt.reset)
			}
			if got := refusedFor(now, h, []byte(tt.body)); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestResetForms(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 1, 14, 15, 4, 0, 0, time.UTC)
	want := time.Date(2025, 1, 14, 15, 4, 5, 0, time.UTC)
	for _, s := range []string{
		"Tue, 14 Jan 2025 15:04:05 +0000", "Tue, 14 Jan 2025 15:04:05 GMT", "14 Jan 2025 15:04:05 +0000", "Tue, 14 Jan 2025 16:04:05 +0100",
		"Tuesday, 14-Jan-25 15:04:05 GMT", "Tue Jan 14 15:04:05 2025",
		"Tue Jan 14 2025 15:04:05 GMT+0000 (Coordinated Universal Time)", "Tue Jan 14 2025 16:04:05 GMT+0100",
		"2025-01-14T15:04:05Z", "2025-01-14T15:04:05.000Z", "1736867045", "1736867045000", "5",
	} {
		if got, ok := parseInstant(s, now); !ok || !got.Equal(want) {
			t.Errorf("%q: got %s, %t", s, got, ok)
		}
	}
	for _, s := range []string{"", "soon", "-5", "1.5e300", "Tue"} {
		if got, ok := parseInstant(s, now); ok {
			t.Errorf("%q: got %s, want nothing", s, got)
		}
	}
}

// window is a server that counts requests per minute, as Segment documents it.
type window struct {
	limit   int
	refused int

	mu    sync.Mutex
	start time.Time
	used  int
}

func (w *window) serve(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if now.Sub(w.start) >= time.Minute {
		w.start, w.used = now, 0
	}
	reset := w.start.Add(time.Minute)
	w.used++
	if w.used > w.limit {
		w.refused++
		body := fmt.Sprintf(`{"errors":[{"type":"RequestError","message":"Too many requests","data":{"msBeforeNext":%d}}]}`, reset.Sub(now).Milliseconds())
		answer(429, jsonType, body)(rw, r)
		return
	}
	rw.Header().Set("X-RateLimit-Consumed", fmt.Sprint(w.used))
	rw.Header().Set("X-RateLimit-Remaining", fmt.Sprint(w.limit-w.used))
	rw.Header().Set("X-RateLimit-Reset", reset.UTC().Format(time.RFC1123Z))
	answer(200, jsonType, `{"data":{"workspace":{"id":"w1"}}}`)(rw, r)
}

func TestReadsStayBelowTheLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &window{limit: 100}
		<-time.After(300 * time.Millisecond) // Windows rarely begin on the second.
		c, sent := serve(t, w.serve)
		start := time.Now()
		for i := range 300 {
			if _, err := c.Workspace.Get(t.Context()); err != nil {
				t.Fatalf("request %d: %v", i, err)
			}
		}
		// 90 of 100 per minute are ours, so 300 need four windows.
		if took := time.Since(start); w.refused != 0 || *sent != 300 || took < 3*time.Minute || took > 4*time.Minute+4*time.Second {
			t.Errorf("%d requests, %d refused, in %s", *sent, w.refused, took)
		}
	})
}

func TestReadsFarFromTheLimitDoNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &window{limit: 1000}
		c, _ := serve(t, w.serve)
		start := time.Now()
		for range 700 {
			if _, err := c.Workspace.Get(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("took %s", took)
		}
	})
}

func TestAfterARefusalNobodySends(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var refusals, early int
		opens := time.Now().Add(30 * time.Second)
		hc := &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {jsonType}}, Request: r}
			if time.Now().Before(opens) {
				if refusals++; refusals > 1 {
					early++
				}
				resp.StatusCode = 429
				resp.Header.Set("Retry-After", "30")
				resp.Body = http.NoBody
				return resp, nil
			}
			resp.Body = io.NopCloser(strings.NewReader(`{"data":{"workspace":{"id":"w1"}}}`))
			return resp, nil
		})}
		c, err := New(testToken, WithBaseURL("http://localhost"), WithHTTPClient(hc))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = c.Workspace.Get(t.Context()); err != nil {
			t.Error(err)
		}
		opens = time.Now().Add(30 * time.Second)
		refusals = 0
		first := make(chan error)
		go func() {
			_, err := c.Workspace.Get(t.Context())
			first <- err
		}()
		synctest.Wait() // The first of them is refused and now waits.
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				if _, err := c.Workspace.Get(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := <-first; err != nil {
			t.Error(err)
		}
		if early != 0 {
			t.Errorf("%d requests were sent while the window was closed", early)
		}
	})
}

func TestWaitIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, sent := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "30")
			answer(429, jsonType, `{"errors":[{"type":"RequestError","message":"Too many requests"}]}`)(w, r)
		}, WithRetry(RetryPolicy{MaxAttempts: 3, MaxWait: 10 * time.Second}))
		start := time.Now()
		_, err := c.Users.List(t.Context(), ListOptions{})
		var limited *RateLimitError
		if !errors.As(err, &limited) || !errors.Is(err, ErrRateLimited) {
			t.Fatalf("got %v", err)
		}
		if limited.Wait != 30*time.Second || !limited.Reset.Equal(start.Add(30*time.Second)) || time.Since(start) != 0 || *sent != 1 {
			t.Errorf("got wait %s until %s after %s and %d requests", limited.Wait, limited.Reset, time.Since(start), *sent)
		}
		var e *Error
		if !errors.As(err, &e) || e.StatusCode != http.StatusTooManyRequests || len(e.Details) != 1 {
			t.Errorf("the answer behind it is lost: %+v", e)
		}
		// While it is closed nothing is sent at all.
		_, err = c.Users.List(t.Context(), ListOptions{})
		if !errors.As(err, &limited) || !limited.Reset.Equal(start.Add(30*time.Second)) || *sent != 1 {
			t.Errorf("second call: %v after %d requests", err, *sent)
		}
		if !errors.As(err, &e) || e.Attempts != 0 || e.Operation != "listUsers" {
			t.Errorf("second call: %+v", e)
		}
	})
}

func TestWaitsOfOneCallAddUp(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		retryAfter string
		attempts   int
		took, wait time.Duration
	}{
		"until the bound": {"4", 9, 8 * time.Second, 4 * time.Second},
		// Over by its own account: it must not be followed by a burst.
		"a second at least": {"0", 3, 2 * time.Second, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, sent := serve(t, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Retry-After", tt.retryAfter)
					answer(429, jsonType, "")(w, r)
				}, WithRetry(RetryPolicy{MaxAttempts: tt.attempts, MaxWait: 10 * time.Second}))
				start := time.Now()
				_, err := c.Users.List(t.Context(), ListOptions{})
				var limited *RateLimitError
				if !errors.As(err, &limited) || limited.Wait != tt.wait || *sent != 3 || time.Since(start) != tt.took {
					t.Errorf("got %v after %d requests and %s", err, *sent, time.Since(start))
				}
				var e *Error
				if !errors.Is(err, ErrRateLimited) || !errors.As(err, &e) || e.StatusCode != http.StatusTooManyRequests || e.Attempts != 3 {
					t.Errorf("the last answer is lost: %+v", e)
				}
			})
		})
	}
}

func TestWritesAreSpaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(0.1, 60)
		start := time.Now()
		for range 61 {
			if _, err := l.wait(t.Context(), time.Minute); err != nil {
				t.Fatal(err)
			}
			l.land()
		}
		if took := time.Since(start); took != time.Minute {
			t.Errorf("61 writes took %s, want a minute", took)
		}
	})
}

func TestCancelledWaiterLeavesAtOnce(t *testing.T) {
	t.Parallel()
	for name, perMinute := range map[string]int{"blocked": 0, "spaced": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(0.1, perMinute)
				if name == "spaced" {
					if _, err := l.wait(t.Context(), 0); err != nil {
						t.Fatal(err)
					}
				} else {
					l.observe(time.Now(), 429, http.Header{"Retry-After": {"30"}}, nil)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				waited, err := l.wait(ctx, time.Hour)
				if !errors.Is(err, context.DeadlineExceeded) || waited != 5*time.Second {
					t.Errorf("got %v after %s", err, waited)
				}
			})
		})
	}
}

func TestLateAnswersDoNotReopenAWindow(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 1, 14, 15, 4, 0, 0, time.UTC)
	header := func(left int, reset time.Time) http.Header { return limits(left, 100-left, reset) }
	l := newLimiter(0, 0)
	this, before := now.Add(time.Minute), now.Add(20*time.Second)
	l.observe(now, 200, header(10, this), nil)
	l.observe(now, 200, header(30, this), nil)
	l.observe(now, 200, header(30, this.Add(time.Second)), nil)
	l.observe(now, 200, header(99, before), nil)
	l.observe(now, 200, http.Header{"X-Ratelimit-Remaining": {"99"}}, nil)
	l.observe(now, 200, header(99, now.Add(24*time.Hour)), nil)
	if l.left != 10 || !l.reset.Equal(this.Add(time.Second)) || l.size != 100 {
		t.Errorf("left %v of %v until %s", l.left, l.size, l.reset)
	}
	l.observe(now.Add(61*time.Second), 200, header(99, now.Add(2*time.Minute)), nil)
	if l.left != 99 {
		t.Errorf("a new window was not seen: left %v", l.left)
	}
}

// What an answer makes of a window that was thought to be another.
func TestWindowsFollowEachOther(t *testing.T) {
	t.Parallel()
	start := time.Date(2025, 1, 14, 15, 4, 0, 0, time.UTC)
	in := start.Add
	take := func(t *testing.T, l *limiter, now time.Time) {
		t.Helper()
		if at, full := l.take(now); !at.Equal(now) || full {
			t.Errorf("nothing to take before %s, full %t", at.Sub(start), full)
		}
	}
	known := func(left int) *limiter {
		l := newLimiter(0, 0)
		l.observe(start, 200, limits(left, 100-left, in(59*time.Second)), nil)
		return l
	}
	for name, c := range map[string]struct {
		act         func(t *testing.T, l *limiter)
		l           *limiter
		left, size  float64
		reset, slot time.Duration
	}{
		"a new one is guessed": {
			func(t *testing.T, l *limiter) { take(t, l, in(70*time.Second)) }, known(50), 99, 100, 130 * time.Second, 70 * time.Second,
		},
		"the guess was wrong": {func(t *testing.T, l *limiter) {
			take(t, l, in(70*time.Second))
			l.observe(in(71*time.Second), 200, limits(80, 20, in(89*time.Second)), nil)
		}, known(50), 80, 100, 90 * time.Second, 70 * time.Second},
		"the guess was right, and answers overtook each other": {func(t *testing.T, l *limiter) {
			for range 3 {
				take(t, l, in(70*time.Second))
			}
			l.observe(in(71*time.Second), 200, limits(99, 1, in(130*time.Second)), nil)
		}, known(50), 97, 100, 131 * time.Second, 70 * time.Second},
		"a refusal ends one": {func(t *testing.T, l *limiter) {
			l.observe(in(time.Second), 429, http.Header{"Retry-After": {"20"}}, nil)
			take(t, l, in(21*time.Second))
		}, known(50), 99, 100, 81 * time.Second, 21 * time.Second},
		"what was spread over the old one is not held back": {func(t *testing.T, l *limiter) {
			take(t, l, in(time.Second)) // The next one at 31 s.
			l.observe(in(2*time.Second), 200, limits(99, 1, in(89*time.Second)), nil)
		}, known(2), 99, 100, 90 * time.Second, 2 * time.Second},
		"a server that does not say what was used": {func(_ *testing.T, l *limiter) {
			l.observe(in(time.Second), 200, http.Header{"X-Ratelimit-Remaining": {"40"}, "X-Ratelimit-Reset": {in(59 * time.Second).Format(time.RFC1123Z)}}, nil)
		}, known(50), 40, 100, 60 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.act(t, c.l)
			if c.l.left != c.left || c.l.size != c.size || !c.l.reset.Equal(in(c.reset)) || c.slot != 0 && !c.l.slot.Equal(in(c.slot)) {
				t.Errorf("%v of %v left until %s, the next at %s", c.l.left, c.l.size, c.l.reset.Sub(start), c.l.slot.Sub(start))
			}
		})
	}
}

func limits(left, used int, reset time.Time) http.Header {
	return http.Header{"X-Ratelimit-Remaining": {fmt.Sprint(left)}, "X-Ratelimit-Consumed": {fmt.Sprint(used)}, "X-Ratelimit-Reset": {reset.Format(time.RFC1123Z)}}
}

func TestTheReserveIsLeftToOthers(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 1, 14, 15, 4, 0, 0, time.UTC)
	l := newLimiter(0.1, 0)
	l.observe(now, 200, limits(10, 90, now.Add(time.Minute)), nil)
	// A second later than the header says, which has no fractions.
	if at := l.opens(now); !at.Equal(now.Add(61 * time.Second)) {
		t.Errorf("opens at %s with only the reserve left", at)
	}
}

// Requests on their way count before their answers arrive, and only a part of
// what is left is on its way at a time.
func TestRequestsInFlightAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(0, 0)
		start := time.Now()
		l.observe(start, 200, limits(25, 75, start.Add(time.Minute)), nil)
		sent, answered := atomic.Int64{}, make(chan struct{})
		var all sync.WaitGroup
		for range 25 {
			all.Go(func() {
				if _, err := l.wait(t.Context(), time.Hour); err != nil {
					t.Error(err)
				}
				sent.Add(1)
				<-answered
				l.land()
			})
		}
		synctest.Wait()
		if n := sent.Load(); n != 5 {
			t.Errorf("%d of 25 are on their way, want 5", n)
		}
		close(answered)
		all.Wait()
		// The last 20 of 100 are spread over the minute.
		if took := time.Since(start); took < 55*time.Second || took > 61*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// Before the first answer nobody knows what the limit is.
func TestTheFirstAnswerIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, says := range map[string]bool{"that says what is left": true, "that says nothing": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				header := http.Header{}
				if says {
					header = limits(1000, 8, time.Now().Add(time.Minute))
				}
				l := newLimiter(0.1, 0)
				sent := atomic.Int64{}
				for range 64 {
					go func() {
						if _, err := l.wait(t.Context(), time.Hour); err != nil {
							t.Error(err)
						}
						sent.Add(1)
					}()
				}
				synctest.Wait()
				if n := sent.Load(); n != firstFlight {
					t.Errorf("%d were sent at once", n)
				}
				l.observe(time.Now(), 200, header, nil)
				l.land()
				synctest.Wait()
				if n := sent.Load(); n != 64 {
					t.Errorf("%d were sent after the first answer", n)
				}
			})
		})
	}
}

// Who came first goes first, and nobody waits for somebody who has left.
func TestTheQueueIsServedInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(0, 60)
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
				waited, err := l.wait(mine, time.Hour)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					left = append(left, waited)
					return
				}
				order = append(order, i)
				l.land()
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

// Who would stand in the queue for too long is told so at once, and when to
// come back.
func TestTheQueueIsForeseen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(0, 60)
		start := time.Now()
		refused := 0
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 64 {
			all.Go(func() {
				_, err := l.wait(t.Context(), 10*time.Second)
				var limited *RateLimitError
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					l.land()
				case !errors.As(err, &limited):
					t.Error(err)
				default:
					refused++
					if time.Since(start) != 0 || limited.Wait <= 10*time.Second || !limited.Reset.Equal(start.Add(limited.Wait)) {
						t.Errorf("after %s: %+v", time.Since(start), limited)
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

// Clients with different patience must not send what either was told to hold
// back.
func TestOneLimitForEveryPatience(t *testing.T) {
	t.Parallel()
	for name, refusedFirst := range map[string]bool{"the hasty one is refused": true, "the patient one is refused": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				refused := 0
				opens := time.Now().Add(30 * time.Second)
				patient, sent := serve(t, func(w http.ResponseWriter, r *http.Request) {
					if time.Now().Before(opens) {
						refused++
						w.Header().Set("Retry-After", "30")
						answer(429, jsonType, "")(w, r)
						return
					}
					answer(200, jsonType, `{"data":{"workspace":{"id":"w1"}}}`)(w, r)
				}, WithRetry(RetryPolicy{MaxAttempts: 5, MaxWait: 65 * time.Second}))
				hasty, err := patient.WithRetry(RetryPolicy{MaxAttempts: 3, MaxWait: 10 * time.Second})
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				giveUp := func(status int) {
					_, err := hasty.Workspace.Get(t.Context())
					var limited *RateLimitError
					if !errors.As(err, &limited) || !limited.Reset.Equal(start.Add(30*time.Second)) || time.Since(start) != 0 {
						t.Errorf("the hasty client got %v after %s", err, time.Since(start))
					}
					var e *Error
					if !errors.As(err, &e) || e.StatusCode != status {
						t.Errorf("the hasty client got %+v, want status %d", e, status)
					}
				}
				if refusedFirst {
					giveUp(http.StatusTooManyRequests)
				}
				waited := make(chan error, 1)
				go func() {
					_, err := patient.Workspace.Get(t.Context())
					waited <- err
				}()
				synctest.Wait()
				giveUp(0) // Not even sent.
				if err := <-waited; err != nil || time.Since(start) != 30*time.Second {
					t.Errorf("the patient client got %v after %s", err, time.Since(start))
				}
				if _, err := hasty.Workspace.Get(t.Context()); err != nil || refused != 1 || *sent != 3 {
					t.Errorf("got %v after %d requests, %d of them refused; want 3, 1", err, *sent, refused)
				}
			})
		})
	}
}

// Who does not wait for the limit still stands in the queue, and waits for the
// first answers: neither is the limit's doing.
func TestCrowdWithoutPatience(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{0, 1000} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &window{limit: max(limit, 1)}
				hc := &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
					<-time.After(50 * time.Millisecond)
					rec := httptest.NewRecorder()
					if limit > 0 {
						w.serve(rec, r)
					} else {
						answer(200, jsonType, `{"data":{"workspace":{"id":"w1"}}}`)(rec, r)
					}
					return rec.Result(), nil
				})}
				c, err := New(testToken, WithBaseURL("http://localhost"), WithHTTPClient(hc), WithRetry(RetryPolicy{MaxAttempts: 1}))
				if err != nil {
					t.Fatal(err)
				}
				var all sync.WaitGroup
				for range 64 {
					all.Go(func() {
						if _, err := c.Workspace.Get(t.Context()); err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
			})
		})
	}
}

// A new window lets go who waits for an answer that does not come.
func TestResetWakesWhoWaitsForAFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(0, 0)
		start := time.Now()
		l.observe(start, 200, limits(3, 97, start.Add(4*time.Second)), nil)
		if _, err := l.wait(t.Context(), time.Hour); err != nil { // never lands within the test
			t.Fatal(err)
		}
		waited, err := l.wait(t.Context(), 10*time.Second)
		if err != nil || waited > 5*time.Second {
			t.Errorf("waited %s: %v; a new window began after 5 s", waited, err)
		}
	})
}

// A queue that is longer than the window is not spread over the next one.
func TestQueueOverTheReset(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &window{limit: 600, start: time.Now(), used: 519} // Others have used it.
		<-time.After(10 * time.Second)
		c, _ := serve(t, w.serve)
		if _, err := c.Workspace.Get(t.Context()); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var all sync.WaitGroup
		var mu sync.Mutex
		failed, longest := 0, time.Duration(0)
		var last error
		for range 64 {
			all.Go(func() {
				_, err := c.Workspace.Get(t.Context())
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failed++
					last = err
				} else {
					longest = max(longest, time.Since(start))
				}
			})
		}
		all.Wait()
		if failed > 0 {
			t.Errorf("%d of 64 failed (the longest wait of the others %s): %v", failed, longest, last)
		}
	})
}

// An answer that puts a guess right wakes who sleeps by it.
func TestAGuessPutRightWakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(0.1, 0)
		start := time.Now()
		l.observe(start, 200, limits(1, 1, start.Add(9*time.Second)), nil)
		<-time.After(30 * time.Second)
		if _, err := l.wait(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		done := make(chan time.Duration)
		go func() {
			_, err := l.wait(t.Context(), 65*time.Second)
			if err != nil {
				t.Error(err)
			}
			done <- time.Since(start)
		}()
		synctest.Wait()
		<-time.After(time.Second) // the answer: the window ends at 40 s
		l.observe(time.Now(), 200, limits(1, 1, start.Add(39*time.Second)), nil)
		l.land()
		if at := <-done; at > 41*time.Second {
			t.Errorf("sent at %s, the window began at 40s", at)
		}
	})
}

// Callers who merely meet are not refused.
func TestNoPatienceInACrowd(t *testing.T) {
	t.Parallel()
	l := newLimiter(0, 0)
	l.answered = true
	if n, last := refusals(t.Context(), l, 64, 2000, 0); n > 0 {
		t.Errorf("%d refused by nothing: %v", n, last)
	}
}

// refusals lets callers send at the same time, each so many times, and counts
// who is refused. It returns the last refusal.
func refusals(ctx context.Context, l *limiter, callers, times int, patience time.Duration) (int, error) {
	var all sync.WaitGroup
	var mu sync.Mutex
	n := 0
	var last error
	for range callers {
		all.Go(func() {
			for range times {
				_, err := l.wait(ctx, patience)
				if err == nil {
					l.land()
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

// Nor is who may wait for exactly as long as it takes.
func TestExactlyAsLongAsAllowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(0.1, 0)
		l.observe(time.Now(), 429, map[string][]string{"Retry-After": {"10"}}, nil)
		if n, last := refusals(t.Context(), l, 8, 1, 10*time.Second); n > 0 {
			t.Errorf("%d of 8 refused: %v", n, last)
		}
	})
}

// However small the limit and however large the reserve, something is sent.
func TestTinyLimits(t *testing.T) {
	t.Parallel()
	for limit := 1; limit < 10; limit++ {
		for _, reserve := range []float64{0, 0.1, 0.9} {
			t.Run(fmt.Sprint(limit, reserve), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := &window{limit: limit}
					c, sent := serve(t, w.serve, WithRetry(RetryPolicy{MaxAttempts: 3, MaxWait: 3 * time.Hour}), WithLimits(Limits{WritesPerMinute: 60, Reserve: reserve}))
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
					defer cancel()
					var all sync.WaitGroup
					for range 3 {
						all.Go(func() {
							for ctx.Err() == nil {
								if _, err := c.Workspace.Get(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
									t.Error(err)
								}
							}
						})
					}
					all.Wait()
					want := max(1, int(float64(limit)*(1-reserve)))
					if *sent < want*9 {
						t.Errorf("sent %d in 10 min, want %d a minute; refused %d", *sent, want, w.refused)
					}
				})
			})
		}
	}
}
