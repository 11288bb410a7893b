package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// controlPrefix is the path of the control plane, which needs no token and is not in
// the journal:
//
//	GET    /_sim/journal    {"requests": [...]}
//	DELETE /_sim/journal    empties it
//	POST   /_sim/faults     adds {"faults": [...]} to the plan
//	DELETE /_sim/faults     empties the plan
//	GET    /_sim/workspace  {"workspace": {...}}, the whole state
//	GET    /_sim/modes      {"lag": "0s", "replicas": 1, "replicaLag": "0s", "normalizing": []}
//	POST   /_sim/modes      changes those of them that it names
const controlPrefix = "/_sim/"

// A wireFault is a Fault as the control plane takes it.
type wireFault struct {
	Operation string      `json:"operation"`
	Query     string      `json:"query"`
	Ordinal   int         `json:"ordinal"`
	Kind      FaultKind   `json:"kind"`
	Status    int         `json:"status"`
	Header    http.Header `json:"header"`
	Body      string      `json:"body"`
	// Delay is a duration in the form of time.ParseDuration.
	Delay string `json:"delay"`
}

func (w wireFault) fault() (Fault, error) {
	f := Fault{
		Operation: w.Operation,
		Query:     w.Query,
		Ordinal:   w.Ordinal,
		Kind:      w.Kind,
		Status:    w.Status,
		Header:    w.Header,
		Body:      w.Body,
	}
	if w.Delay == "" {
		return f, nil
	}
	d, err := time.ParseDuration(w.Delay)
	f.Delay = d
	return f, err
}

func (s *Server) controlAnswer(r *http.Request) (*answer, error) {
	done := &answer{status: http.StatusNoContent, header: http.Header{}}
	switch r.Method + " " + r.URL.Path {
	case "GET /_sim/journal":
		return jsonAnswer(http.StatusOK, map[string]any{"requests": append([]Request{}, s.Journal()...)}), nil
	case "DELETE /_sim/journal":
		s.ResetJournal()
		return done, nil
	case "POST /_sim/faults":
		body, err := readBody(r)
		if err != nil {
			return nil, err
		}
		if p := s.injectJSON(body); p != nil {
			return envelope(p), nil
		}
		return done, nil
	case "DELETE /_sim/faults":
		s.ClearFaults()
		return done, nil
	case "GET /_sim/modes":
		return jsonAnswer(http.StatusOK, s.modes()), nil
	case "POST /_sim/modes":
		body, err := readBody(r)
		if err != nil {
			return nil, err
		}
		if err := s.setModesJSON(body); err != nil {
			return envelope(refusedControl(err)), nil
		}
		return done, nil
	case "GET /_sim/workspace":
		return jsonAnswer(http.StatusOK, map[string]any{"workspace": s.Workspace()}), nil
	}
	return envelope(notFound("control", r.Method+" "+r.URL.Path)), nil
}

// injectJSON adds a fault plan, or returns why it is refused.
func (s *Server) injectJSON(body []byte) *problem {
	faults, err := parseFaults(body)
	if err == nil {
		err = s.Inject(faults...)
	}
	if err != nil {
		return refusedControl(err)
	}
	return nil
}

func refusedControl(err error) *problem {
	return &problem{Type: "input-validation", Message: err.Error(), Status: http.StatusUnprocessableEntity}
}

func parseFaults(body []byte) ([]Fault, error) {
	var plan struct {
		Faults []wireFault `json:"faults"`
	}
	d := json.NewDecoder(bytes.NewReader(body))
	// A fault with a misspelled ordinal would apply to every request.
	d.DisallowUnknownFields()
	if err := d.Decode(&plan); err != nil {
		return nil, err
	}
	faults := make([]Fault, 0, len(plan.Faults))
	for _, w := range plan.Faults {
		f, err := w.fault()
		if err != nil {
			return nil, err
		}
		faults = append(faults, f)
	}
	return faults, nil
}

// wireModes are the modes of a server as the control plane takes and sends them.
type wireModes struct {
	// Lag and ReplicaLag are durations in the form of time.ParseDuration.
	Lag         *string          `json:"lag"`
	Replicas    *int             `json:"replicas"`
	ReplicaLag  *string          `json:"replicaLag"`
	Normalizing *[]Normalization `json:"normalizing"`
}

// modes returns all modes, none of them nil.
func (s *Server) modes() wireModes {
	s.mu.Lock()
	defer s.mu.Unlock()
	lag, replicaLag := s.lag.String(), s.replicaLag.String()
	replicas := max(1, s.replicas)
	forms := append([]Normalization{}, s.normalizing...)
	return wireModes{&lag, &replicas, &replicaLag, &forms}
}

// setModesJSON changes all modes in a body, or none.
func (s *Server) setModesJSON(body []byte) error {
	m := s.modes()
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return err
	}
	if m.Lag == nil || m.Replicas == nil || m.ReplicaLag == nil || m.Normalizing == nil {
		return errors.New("a mode must not be null")
	}
	lag, err := parseLag(*m.Lag)
	if err != nil {
		return err
	}
	replicaLag, err := parseLag(*m.ReplicaLag)
	if err != nil {
		return err
	}
	if *m.Replicas < 1 {
		return fmt.Errorf("there cannot be %d replicas", *m.Replicas)
	}
	for _, n := range *m.Normalizing {
		if !slices.Contains(Normalizations(), n) {
			return fmt.Errorf("unknown normalization %q", n)
		}
	}
	s.SetLag(lag)
	s.SetReplicas(*m.Replicas, replicaLag)
	s.SetNormalizing(*m.Normalizing...)
	return nil
}

func parseLag(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err == nil && d < 0 {
		err = fmt.Errorf("negative lag %s", text)
	}
	return d, err
}
