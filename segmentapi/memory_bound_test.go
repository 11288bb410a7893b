package segmentapi

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// respondWith makes a client whose every answer has this body.
func respondWith(t *testing.T, body string) *Client {
	t.Helper()
	c, err := New(testToken, WithHTTPClient(&http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
		return respond(r, http.StatusOK, map[string]string{"Content-Type": jsonType}, body), nil
	})}))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fill repeats a row in a list until the body has about size bytes.
func fill(before, row, after string, size int) string {
	n := (size - len(before) - len(after)) / (len(row) + 1)
	return before + strings.Repeat(row+",", n-1) + row + after
}

// peakHeap returns how much the heap grew at most while f ran.
func peakHeap(f func()) uint64 {
	runtime.GC()
	var start runtime.MemStats
	runtime.ReadMemStats(&start)
	stop, done := make(chan struct{}), make(chan struct{})
	peak := atomic.Uint64{}
	go func() {
		defer close(done)
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			peak.Store(max(peak.Load(), now.HeapAlloc))
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	f()
	close(stop)
	<-done
	return peak.Load() - min(peak.Load(), start.HeapAlloc)
}

// An answer of many small values is refused before it is decoded, which would take many
// times its size.
func TestMemory_AnswersOfManyValues(t *testing.T) {
	const user, end = `{"data":{"user":{"id":"u","permissions":[`, `]}}}`
	const users, pages = `{"data":{"users":[`, `],"pagination":{"current":"MA=="}}}`
	for name, c := range map[string]struct {
		body string
		list bool
	}{
		"16 MiB of {} in a detail": {body: fill(user, "{}", end, maxDetail)},
		"16 MiB of 1 in a detail":  {body: fill(user, "1", end, maxDetail)},
		"60 MB of {} in a detail":  {body: fill(user, "{}", end, 60_000_000)},
		"64 MiB of {} in a list":   {body: fill(users, "{}", pages, DefaultMaxBody), list: true},
	} {
		client := respondWith(t, c.body)
		var err error
		peak := peakHeap(func() {
			if c.list {
				_, err = client.Users.List(t.Context(), ListOptions{})
			} else {
				_, err = client.Users.Get(t.Context(), "u")
			}
		})
		t.Logf("%s: %d MB of heap for %d MB, %.150v", name, peak>>20, len(c.body)>>20, err)
		if !errors.Is(err, errTooLarge) || !errors.Is(err, ErrBadResponse) || peak > 3*uint64(len(c.body)) {
			t.Errorf("%s: %v with %d bytes of heap", name, err, peak)
		}
	}
}

// The largest real subject is far below the bounds.
func TestMemory_ManyScopes(t *testing.T) {
	t.Parallel()
	const scopes = 20_000
	var rows []string
	for i := range scopes {
		rows = append(rows, fmt.Sprintf(`{"id":"9aQ1Lj62S4bomZKLF4D%05d","type":"SOURCE","labels":[{"key":"environment","value":"prod, \"{x}\""},{"key":"team","value":"growth","description":"a, b, c"}]}`, i))
	}
	body := `{"data":{"user":{"id":"u","permissions":[{"roleId":"r","roleName":"R","resources":[` + strings.Join(rows, ",") + `]}]}}}`
	got, err := respondWith(t, body).Users.Get(t.Context(), "u")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(got.Permissions[0].Scopes); n != scopes || len(got.Permissions[0].Scopes[n-1].Labels) != 2 {
		t.Errorf("%d scopes", n)
	}
}
