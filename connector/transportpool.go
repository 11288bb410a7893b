package connector

import (
	"net/http"
	"sync"
)

// A transportPool sends each request over a transport that no other request uses
// at the time, preferring the one used last. Each transport of the SDK keeps two
// idle connections to a host: with a single transport, most requests of several
// workers would open a connection of their own where HTTP/2 is not offered.
type transportPool struct {
	open func() (http.RoundTripper, error)
	mu   sync.Mutex
	idle []http.RoundTripper
}

// RoundTrip sends req.
func (p *transportPool) RoundTrip(req *http.Request) (*http.Response, error) {
	transport, err := p.take()
	if err != nil {
		return nil, err
	}
	defer p.release(transport)
	return transport.RoundTrip(req)
}

func (p *transportPool) take() (http.RoundTripper, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := len(p.idle) - 1
	if last < 0 {
		return p.open()
	}
	transport := p.idle[last]
	p.idle = p.idle[:last]
	return transport, nil
}

func (p *transportPool) release(transport http.RoundTripper) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, transport)
}
