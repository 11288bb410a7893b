package sim

import (
	"context"
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
	// Altered is set if a normalization has made the answer one that no document
	// allows.
	Altered bool `json:"altered,omitempty"`
}

// Journal returns all requests since the server was made or the journal was
// reset, in the order in which they arrived.
func (s *Server) Journal() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return mapSlice(s.journal, func(r *Request) Request { return *r })
}

// ResetJournal empties the journal. Ordinals of faults, edits and calls count from here
// again, and the next read of each path is answered by the first replica.
func (s *Server) ResetJournal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.journal = nil
	clear(s.readsOf)
	recount(s.faults)
	recount(s.before)
	recount(s.after)
	recount(s.committed)
}

// An arrival is a request and what is planned for it.
type arrival struct {
	entry         *Request
	fault         *Fault
	before, after []func(*Workspace)
	committed     []func(context.Context)
}

// recordRequest adds a request to the journal and returns what is planned for it. If
// several faults match, the first applies.
func (s *Server) recordRequest(op *operation, r *http.Request) *arrival {
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
		return &arrival{entry: entry}
	}
	entry.Operation = op.Name
	e := &arrival{
		entry:     entry,
		before:    selected(s.before, entry),
		after:     selected(s.after, entry),
		committed: selected(s.committed, entry),
	}
	if faults := selected(s.faults, entry); len(faults) > 0 {
		e.fault, entry.Fault = &faults[0], faults[0].Kind
	}
	return e
}

// recordStatus completes the entry of a request.
func (s *Server) recordStatus(entry *Request, a *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.breakAt != breakBeforeAnswer {
		entry.Status, entry.Altered = a.status, a.altered
	}
}
