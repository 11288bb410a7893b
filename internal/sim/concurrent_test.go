package sim

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestWithConcurrency(t *testing.T) {
	t.Parallel()
	v := validator(t)
	synctest.Test(t, func(t *testing.T) {
		s := New(Demo(), WithConcurrency(2), WithLimit(10))
		if err := s.Inject(Fault{Operation: "listUsers", Kind: FaultDelay, Delay: time.Second}); err != nil {
			t.Fatal(err)
		}
		w := rawClient{s, v}
		done := make(chan struct{})
		for range 2 {
			go func() {
				w.want(t, http.StatusOK, http.MethodGet, "/users", "")
				done <- struct{}{}
			}()
		}
		synctest.Wait()
		a := w.want(t, http.StatusTooManyRequests, http.MethodGet, "/roles", "")
		// The two have not been counted yet, and this one is not.
		equal(t, "429", jsonValue(t, `{"errors":[{"type":"RequestError","message":"Too many requests",
			"data":{"remainingPoints":10,"msBeforeNext":0,"consumedPoints":0}}]}`), jsonValue(t, string(a.Raw)))
		w.want(t, http.StatusTooManyRequests, http.MethodPost, "/groups", `{"name":"G"}`)
		equal(t, "groups", len(Demo().Groups), len(s.Workspace().Groups))
		<-done
		<-done
		a = w.want(t, http.StatusOK, http.MethodGet, "/roles", "")
		equal(t, "remaining", "7", a.Header.Get("X-RateLimit-Remaining"))
	})
}

func TestWithMaxCount(t *testing.T) {
	t.Parallel()
	w := newRawClient(t, New(Demo(), WithMaxCount(200)))
	for target, want := range map[string]int{
		"/users": 200, "/users?pagination.count=200": 200, "/users?pagination[count]=201": 400, "/groups?pagination.count=1000": 400, "/users?pagination.count=1001": 422,
	} {
		a := w.want(t, want, http.MethodGet, target, "")
		if want == http.StatusBadRequest {
			equal(t, target, jsonValue(t, `{"errors":[{"type":"input-validation","message":"\"pagination.count\" must be less than or equal to 200","field":"pagination.count"}]}`),
				jsonValue(t, string(a.Raw)))
		}
	}
	newRawClient(t, New(Demo(), WithMaxCount(2000))).want(t, http.StatusOK, http.MethodGet, "/users?pagination.count=1001", "")
}
