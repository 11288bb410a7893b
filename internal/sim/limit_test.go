package sim

import (
	"net/http"
	"net/mail"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestWithLimit(t *testing.T) {
	t.Parallel()
	v := validator(t)
	synctest.Test(t, func(t *testing.T) {
		w := rawClient{New(Demo(), WithLimit(3)), v}
		<-time.After(300 * time.Millisecond) // Fake time.
		start := time.Now()
		for n := 1; n <= 3; n++ {
			a := w.want(t, http.StatusOK, http.MethodGet, "/users", "")
			equal(t, "consumed", strconv.Itoa(n), a.Header.Get("X-RateLimit-Consumed"))
			equal(t, "remaining", strconv.Itoa(3-n), a.Header.Get("X-RateLimit-Remaining"))
			reset, err := mail.ParseDate(a.Header.Get("X-RateLimit-Reset"))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "reset", start.Add(time.Minute).Truncate(time.Second).UTC(), reset.UTC())
			<-time.After(time.Second)
		}
		a := w.want(t, http.StatusTooManyRequests, http.MethodGet, "/users", "")
		equal(t, "429", jsonValue(t, `{"errors":[{"type":"RequestError","message":"Too many requests",
			"data":{"remainingPoints":0,"msBeforeNext":57000,"consumedPoints":4}}]}`), jsonValue(t, string(a.Raw)))
		equal(t, "headers of a 429", http.Header{"Content-Type": {"application/json"}}, a.Header)

		// Writes are not counted here. Their own limit is off by default.
		w.want(t, http.StatusOK, http.MethodPost, "/groups", `{"name":"G"}`)
		// A request without a valid token is not counted.
		w.sendAs(t, "wrong", http.MethodGet, "/users", "")

		<-time.After(57*time.Second - time.Millisecond)
		a = w.want(t, http.StatusTooManyRequests, http.MethodGet, "/roles", "")
		equal(t, "wait", any(map[string]any{"remainingPoints": 0.0, "msBeforeNext": 1.0, "consumedPoints": 5.0}), a.Errors[0].Data)
		<-time.After(time.Millisecond)
		a = w.want(t, http.StatusOK, http.MethodGet, "/roles", "")
		equal(t, "remaining", "2", a.Header.Get("X-RateLimit-Remaining"))
	})
}

func TestWithWriteLimit(t *testing.T) {
	t.Parallel()
	v := validator(t)
	synctest.Test(t, func(t *testing.T) {
		w := rawClient{New(Demo(), WithWriteLimit(2)), v}
		w.want(t, http.StatusOK, http.MethodPost, "/groups", `{"name":"G"}`)
		// A refused request is counted as well.
		w.want(t, http.StatusUnprocessableEntity, http.MethodPost, "/groups", `{}`)
		w.want(t, http.StatusTooManyRequests, http.MethodPost, "/labels", `{"label":{"key":"a","value":"b"}}`)
		a := w.want(t, http.StatusOK, http.MethodGet, "/labels", "")
		equal(t, "limit headers without a limit", "", a.Header.Get("X-RateLimit-Remaining"))
		<-time.After(time.Minute)
		w.want(t, http.StatusCreated, http.MethodPost, "/labels", `{"label":{"key":"a","value":"b"}}`)
	})
}
