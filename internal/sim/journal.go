package sim

import (
	"net/http"
	"slices"
	"time"
)

// A Request is an entry of the journal. It never holds headers or bodies, so
// that no token and no secret can leak through it.
type Request struct {
	Time time.Time `json:"time"`
	// Operation is the official client's name of it, empty for a route that
	// does not exist.
	Operation string `json:"operation"`
	Method    string `json:"method"`
	Path      string `json:"path"`
	// Query is as it was sent.
	Query string `json:"query,omitempty"`
	// Status is what was answered: 0 as long as nothing was, and for good
	// where the caller left or a fault broke the connection.
	Status int       `json:"status"`
	Fault  FaultKind `json:"fault,omitempty"`
}

// Journal returns all requests since the server was made or the journal was
// reset, in the order in which they arrived.
func (s *Server) Journal() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return each(s.journal, func(r *Request) Request { return *r })
}

// ResetJournal empties the journal. Ordinals of faults count from here again.
func (s *Server) ResetJournal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal = nil
	clear(s.counts)
}

// arrive writes a request into the journal and finds the fault that it meets.
func (s *Server) arrive(op *operation, r *http.Request) (*Request, *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry := &Request{
		Time:   s.clock(),
		Method: r.Method,
		Path:   r.URL.EscapedPath(),
		Query:  r.URL.RawQuery,
	}
	s.journal = append(s.journal, entry)
	if op == nil {
		return entry, nil
	}
	entry.Operation = op.Name
	s.counts[op.Name]++
	i := slices.IndexFunc(s.faults, func(f Fault) bool {
		return f.Operation == op.Name && (f.Ordinal == 0 || f.Ordinal == s.counts[op.Name])
	})
	if i < 0 {
		return entry, nil
	}
	fault := s.faults[i]
	entry.Fault = fault.Kind
	return entry, &fault
}

// depart completes the entry of a request.
func (s *Server) depart(entry *Request, a *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.cut != cutBefore {
		entry.Status = a.status
	}
}
