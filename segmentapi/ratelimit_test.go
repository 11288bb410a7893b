package segmentapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

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

func TestRefusal_HoldsBackAllRequests(t *testing.T) {
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

func TestMaxWait_BoundsOneCall(t *testing.T) {
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

func TestMaxWait_WaitsOfOneCallAddUp(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		retryAfter string
		attempts   int
		took, wait time.Duration
	}{
		"until the bound": {"4", 9, 8 * time.Second, 4 * time.Second},
		// The refusal claims to be over: no burst must follow.
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

// If one of two clients is refused, the other sends nothing either.
func TestWithRetry_SharesTheLimit(t *testing.T) {
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

// A call that may not wait for the limit still queues, and waits for the first answers:
// neither is the limit's doing.
func TestMaxWait_ZeroStillQueues(t *testing.T) {
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

// A queue that is longer than the window is not spread over the next one.
func TestQueueLongerThanTheWindow(t *testing.T) {
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

// However small the limit and however large the reserve, something is sent.
func TestTinyLimits(t *testing.T) {
	t.Parallel()
	for limit := 1; limit < 10; limit++ {
		for _, reserve := range []float64{0, 0.1, 0.9} {
			t.Run(fmt.Sprint(limit, reserve), func(t *testing.T) {
				t.Parallel()
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
