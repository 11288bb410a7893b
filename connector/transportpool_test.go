package connector

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// Requests of many workers reuse connections, although the SDK's transport keeps
// only two idle ones to a host.
func TestTransportPool_ReusesConnections(t *testing.T) {
	t.Parallel()
	const workers, rounds = 8, 20
	s := sim.New(small())
	var opened atomic.Int32
	var together sync.WaitGroup
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		together.Done()
		together.Wait() // All requests are under way at the same time.
		s.ServeHTTP(w, r)
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	c := must(New(t.Context(), Options{Token: s.Token(), BaseURL: server.URL}))(t)
	together.Add(1)
	must(c.client.Users.Get(t.Context(), "u1"))(t) // The first answer has the rate limit.
	for range rounds {
		together.Add(workers)
		var round sync.WaitGroup
		for range workers {
			round.Go(func() {
				if _, err := c.client.Users.Get(t.Context(), "u1"); err != nil {
					t.Error(err)
				}
			})
		}
		round.Wait()
	}
	// The connection of the request before may not be idle yet.
	if n := opened.Load(); n > 2*workers {
		t.Errorf("%d workers open %d connections for %d requests", workers, n, workers*rounds)
	}
}
