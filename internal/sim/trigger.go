package sim

import (
	"fmt"
	"slices"
	"strings"
)

// A trigger selects the requests at which a planned fault or edit happens: one request
// of an operation, or all of them.
type trigger struct {
	operation string
	// query is a part that the raw query must contain.
	query   string
	ordinal int
	// seen is how many requests have matched so far.
	seen int
}

func (t *trigger) check(what string) error {
	switch {
	case !slices.ContainsFunc(Operations(), func(o Operation) bool { return o.Name == t.operation }):
		return fmt.Errorf("sim: %s unknown operation %q", what, t.operation)
	case t.ordinal < 0:
		return fmt.Errorf("sim: %s %s: negative ordinal %d", what, t.operation, t.ordinal)
	}
	return nil
}

// matches reports whether a request is of t's operation and query.
func (t *trigger) matches(r *Request) bool {
	return r.Operation == t.operation && strings.Contains(r.Query, t.query)
}

// countJournal counts the requests that have arrived already, with the server locked.
func (t *trigger) countJournal(s *Server) {
	t.seen = 0
	for _, r := range s.journal {
		if t.matches(r) {
			t.seen++
		}
	}
}

// count counts an arriving request and reports whether t selects it.
func (t *trigger) count(r *Request) bool {
	if !t.matches(r) {
		return false
	}
	t.seen++
	return t.ordinal == 0 || t.ordinal == t.seen
}

// A plannedEdit is a future edit by another administrator.
type plannedEdit struct {
	trigger
	edit func(*Workspace)
}

// Before plans an edit of the state directly before a request of an operation is
// carried out, so that rows move between two pages, or change between a list and the
// detail. The ordinal is as in a Fault: it counts from 1 since the last reset of the
// journal, and zero selects all requests.
//
// Edit and request are one atomic step. As with Update, the edit is another
// administrator's: it is not in the journal, and it is made even if the request is
// refused or a fault applies to it. Edits before the same request are made in the order
// in which they were planned. After ResetJournal ordinals count from 1 again, and the
// edits are made again.
//
// It fails on an operation that does not exist and on a negative ordinal.
func (s *Server) Before(operation string, ordinal int, edit func(*Workspace)) error {
	planned := &plannedEdit{trigger{operation: operation, ordinal: ordinal}, edit}
	if err := planned.check("edit before"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	planned.countJournal(s)
	s.edits = append(s.edits, planned)
	return nil
}

// makeEdits edits the state, with the server locked.
func (s *Server) makeEdits(edits []func(*Workspace)) {
	if len(edits) == 0 {
		return
	}
	v := s.beginCommit()
	for _, edit := range edits {
		edit(v.state)
	}
	v.idx = nil
}
