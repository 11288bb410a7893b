package sim

import (
	"fmt"
	"slices"
	"strings"
)

// A moment is when something happens that a test has planned: at one request
// of an operation, or at each of them.
type moment struct {
	operation string
	// query is what the raw query of a request that counts contains.
	query   string
	ordinal int
	// seen is how many requests have counted so far.
	seen int
}

func (m *moment) check(what string) error {
	switch {
	case !slices.ContainsFunc(Operations(), func(o Operation) bool { return o.Name == m.operation }):
		return fmt.Errorf("sim: %s unknown operation %q", what, m.operation)
	case m.ordinal < 0:
		return fmt.Errorf("sim: %s %s: negative ordinal %d", what, m.operation, m.ordinal)
	}
	return nil
}

// counts says whether a request is one that m counts.
func (m *moment) counts(r *Request) bool {
	return r.Operation == m.operation && strings.Contains(r.Query, m.query)
}

// catchUp counts what has arrived already, with the server locked.
func (m *moment) catchUp(s *Server) {
	m.seen = 0
	for _, r := range s.journal {
		if m.counts(r) {
			m.seen++
		}
	}
}

// comes counts a request that arrives and says whether it is the one.
func (m *moment) comes(r *Request) bool {
	if !m.counts(r) {
		return false
	}
	m.seen++
	return m.ordinal == 0 || m.ordinal == m.seen
}

// A plannedEdit is what another administrator will do.
type plannedEdit struct {
	moment
	edit func(*Workspace)
}

// Before plans an edit of the state for the moment at which a request of an
// operation is carried out, so that rows move between two pages, or change
// between a list and the detail. The ordinal counts as that of a Fault: from 1
// since the journal was reset, and zero is every request.
//
// The edit and the request are one step that no other request can divide. It
// is another administrator's edit, as with Update: it is not in the journal,
// and it is made even if the request itself is refused or meets a fault. Edits
// for the same request are made in the order in which they were planned.
// ResetJournal lets ordinals come again, and with them the edits.
//
// It fails on an operation that does not exist and on a negative ordinal.
func (s *Server) Before(operation string, ordinal int, edit func(*Workspace)) error {
	planned := &plannedEdit{moment{operation: operation, ordinal: ordinal}, edit}
	if err := planned.check("edit before"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	planned.catchUp(s)
	s.edits = append(s.edits, planned)
	return nil
}

// makeEdits edits the state, with the server locked.
func (s *Server) makeEdits(edits []func(*Workspace)) {
	for _, edit := range edits {
		s.idx = nil
		edit(s.state)
	}
}
