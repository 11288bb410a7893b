package sim

import (
	"net/http"
	"time"
)

// A Request is an entry of the journal. It never has headers or bodies, so that the
// journal discloses no token and no secret.
type Request struct {
	Time time.Time `json:"time"`
	// Operation is the official client's name of the operation, empty for a route
	// that does not exist.
	Operation string `json:"operation"`
	Method    string `json:"method"`
	Path      string `json:"path"`
	// Query is as it was sent.
	Query string `json:"query,omitempty"`
	// Status is the status of the answer. It is 0 until there is one, and remains 0
	// if the caller left or a fault broke the connection.
	Status int       `json:"status"`
	Fault  FaultKind `json:"fault,omitempty"`
}

// Journal returns all requests since the server was made or the journal was
// reset, in the order in which they arrived.
func (s *Server) Journal() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return mapSlice(s.journal, func(r *Request) Request { return *r })
}

// ResetJournal empties the journal. Ordinals of faults and edits count from here again,
// and the next read of each path is answered by the first replica.
func (s *Server) ResetJournal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal = nil
	clear(s.readsOf)
	for _, f := range s.faults {
		f.seen = 0
	}
	for _, e := range s.edits {
		e.seen = 0
	}
}

// recordRequest adds a request to the journal and returns the fault that applies to
// it and the edits planned before it.
func (s *Server) recordRequest(op *operation, r *http.Request) (*Request, *Fault, []func(*Workspace)) {
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
		// All of them count the request; the first that matches applies.
		if f.count(entry) && fault == nil {
			fault, entry.Fault = &f.fault, f.fault.Kind
		}
	}
	var edits []func(*Workspace)
	for _, e := range s.edits {
		if e.count(entry) {
			edits = append(edits, e.edit)
		}
	}
	return entry, fault, edits
}

// recordStatus completes the entry of a request.
func (s *Server) recordStatus(entry *Request, a *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.breakAt != breakBeforeAnswer {
		entry.Status = a.status
	}
}
