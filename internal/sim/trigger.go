package sim

import (
	"context"
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

// A planned action is one that the requests which a trigger selects cause.
type planned[T any] struct {
	trigger
	action T
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
	return plan(s, &s.before, "edit before", operation, ordinal, edit)
}

// After plans an edit of the state directly after a request of an operation has been
// carried out. The answer to a write of permissions is computed after the edit, so that it
// shows what another administrator has granted meanwhile. All other answers are
// computed before it. Otherwise it is like Before.
func (s *Server) After(operation string, ordinal int, edit func(*Workspace)) error {
	return plan(s, &s.after, "edit after", operation, ordinal, edit)
}

// Committed plans a call between the end of a request and its answer, if the request has
// been carried out without an error. The server is not locked meanwhile: f can look at the
// workspace, send other requests, and block to delay the answer. Its context is that of
// the request. If it has ended when f returns, nothing is answered, but what the request has
// changed remains changed. The ordinal is as for Before. A fault applies to the answer
// as well; a delay of FaultLateDelay begins after f has returned.
//
// It fails on an operation that does not exist and on a negative ordinal.
func (s *Server) Committed(operation string, ordinal int, f func(ctx context.Context)) error {
	return plan(s, &s.committed, "call after", operation, ordinal, f)
}

// plan adds an action to those of its kind.
func plan[T any](s *Server, all *[]*planned[T], what, operation string, ordinal int, action T) error {
	p := &planned[T]{trigger{operation: operation, ordinal: ordinal}, action}
	if err := p.check(what); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.countJournal(s)
	*all = append(*all, p)
	return nil
}

// selected counts an arriving request for all actions and returns those that it causes.
func selected[T any](all []*planned[T], r *Request) []T {
	var actions []T
	for _, p := range all {
		if p.count(r) {
			actions = append(actions, p.action)
		}
	}
	return actions
}

// recount makes the ordinals of all actions count from 1 again.
func recount[T any](all []*planned[T]) {
	for _, p := range all {
		p.seen = 0
	}
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
