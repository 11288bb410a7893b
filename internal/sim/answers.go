package sim

import (
	"encoding/json"
	"net/http"
)

// An Answer is what a server is about to send, for a function of [WithAnswers].
type Answer struct {
	// Operation is one of [Operations], or empty if the request has no route.
	Operation string
	// Request must not be changed.
	Request *http.Request
	Status  int
	Header  http.Header
	// Body is decoded JSON.
	Body map[string]any
}

// Data returns the value of "data" in the body, or nil if there is none.
func (a *Answer) Data() map[string]any {
	data, _ := a.Body["data"].(map[string]any)
	return data
}

// Fail replaces the answer by an error of Segment's form.
func (a *Answer) Fail(status int) {
	f := Fault{Status: status}
	failed := f.statusAnswer()
	a.Status, a.Header, a.Body = failed.status, failed.header, nil
	_ = json.Unmarshal(failed.body, &a.Body) // It is an object.
}

// WithAnswers adds a function that may change each answer, refusals included. It plays
// answers that no document excludes and that no other option has. A [Fault] takes
// precedence. The function may be called by several goroutines at a time.
func WithAnswers(edit func(*Answer)) Option {
	return func(s *Server) { s.edits = append(s.edits, edit) }
}

// edit applies the functions of WithAnswers.
func (s *Server) edit(op *operation, r *http.Request, a *answer) *answer {
	if len(s.edits) == 0 {
		return a
	}
	edited := Answer{Request: r, Status: a.status, Header: a.header}
	if op != nil {
		edited.Operation = op.Name
	}
	if err := json.Unmarshal(a.body, &edited.Body); err != nil {
		return a
	}
	for _, edit := range s.edits {
		edit(&edited)
	}
	out := jsonAnswer(edited.Status, edited.Body)
	for name, values := range edited.Header {
		out.header[http.CanonicalHeaderKey(name)] = values
	}
	out.altered = true
	return out
}
