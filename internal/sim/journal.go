package sim

import (
	"net/http"
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

// ResetJournal empties the journal. Ordinals of faults and edits count from
// here again.
func (s *Server) ResetJournal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal = nil
	for _, f := range s.faults {
		f.seen = 0
	}
	for _, e := range s.edits {
		e.seen = 0
	}
}

// arrive writes a request into the journal and finds the fault that it meets
// and the edits that come before it.
func (s *Server) arrive(op *operation, r *http.Request) (*Request, *Fault, []func(*Workspace)) {
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
		return entry, nil, nil
	}
	entry.Operation = op.Name
	var fault *Fault
	for _, f := range s.faults {
		// All of them count the request; the first that fits is met.
		if f.comes(entry) && fault == nil {
			fault, entry.Fault = &f.fault, f.fault.Kind
		}
	}
	var edits []func(*Workspace)
	for _, e := range s.edits {
		if e.comes(entry) {
			edits = append(edits, e.edit)
		}
	}
	return entry, fault, edits
}

// depart completes the entry of a request.
func (s *Server) depart(entry *Request, a *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.cut != cutBefore {
		entry.Status = a.status
	}
}
