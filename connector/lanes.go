package connector

import (
	"net/http"
	"sync"
)

// lanes sends each request over a transport that no other is using at the time,
// the one used last first. Each transport of the SDK keeps two idle connections
// to a host: over one alone, most requests of several workers would open a
// connection of their own where HTTP/2 is not offered.
type lanes struct {
	open func() (http.RoundTripper, error)
	mu   sync.Mutex
	free []http.RoundTripper
}

// RoundTrip sends req.
func (l *lanes) RoundTrip(req *http.Request) (*http.Response, error) {
	lane, err := l.take()
	if err != nil {
		return nil, err
	}
	defer l.put(lane)
	return lane.RoundTrip(req)
}

func (l *lanes) take() (http.RoundTripper, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := len(l.free) - 1
	if last < 0 {
		return l.open()
	}
	lane := l.free[last]
	l.free = l.free[:last]
	return lane, nil
}

func (l *lanes) put(lane http.RoundTripper) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = append(l.free, lane)
}
