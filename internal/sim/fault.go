package sim

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A FaultKind names what goes wrong.
type FaultKind string

// The kinds of faults. "Instead" means that the operation is not carried out.
const (
	// FaultStatus answers Status (default 500) with Segment's error envelope,
	// or with Body as JSON, instead. A 429 has the documented body, of which
	// the time to wait is one minute.
	FaultStatus FaultKind = "status"
	// FaultHTML answers Status (default 502) with an HTML page, instead.
	FaultHTML FaultKind = "html"
	// FaultEmpty answers Status (default 200) with an empty body, instead.
	FaultEmpty FaultKind = "empty"
	// FaultNull answers Status (default 200) with the body null, instead.
	FaultNull FaultKind = "null"
	// FaultEmptyObject answers Status (default 200) with the body {}, instead.
	FaultEmptyObject FaultKind = "empty-object"
	// FaultRedirect answers Status (default 307), instead. Without a Location
	// in Header it leads to /.
	FaultRedirect FaultKind = "redirect"
	// FaultReset breaks the connection, instead. Note that net/http repeats a
	// GET on its own if the connection had been used before.
	FaultReset FaultKind = "reset"
	// FaultDrop carries the operation out and breaks the connection.
	FaultDrop FaultKind = "drop"
	// FaultLateStatus carries the operation out and answers as FaultStatus.
	FaultLateStatus FaultKind = "late-status"
	// FaultTruncate breaks the connection after half of the body.
	FaultTruncate FaultKind = "truncate"
	// FaultNoPagination leaves the pagination out of a list.
	FaultNoPagination FaultKind = "no-pagination"
	// FaultRepeatCursor gives a page's own cursor as that of the next page.
	FaultRepeatCursor FaultKind = "repeat-cursor"
	// FaultShrinkCursor gives the cursor of the page before as that of the next
	// page, and on the first page its own.
	FaultShrinkCursor FaultKind = "shrink-cursor"
	// FaultExpiredCursor refuses a request that has a cursor, as one that the
	// list did not make, and lets all others pass.
	FaultExpiredCursor FaultKind = "expired-cursor"
	// FaultRepeatRow lets the first row come once more at the end: of a list, or
	// of the permissions of a user or a group.
	FaultRepeatRow FaultKind = "repeat-row"
	// FaultContradict lets the first row come once more at the end, with other
	// words about the same: a name, a description, the case of an address.
	FaultContradict FaultKind = "contradict"
	// FaultContentType sends the right body as text/plain.
	FaultContentType FaultKind = "content-type"
	// FaultMalformed sends half of the body as if it were all.
	FaultMalformed FaultKind = "malformed"
	// FaultSlow sends the body a byte a second.
	FaultSlow FaultKind = "slow"
	// FaultEndless begins with half of the body and goes on until the caller
	// leaves.
	FaultEndless FaultKind = "endless"
	// FaultDelay only waits for Delay.
	FaultDelay FaultKind = "delay"
)

// A Fault is one thing that goes wrong. The first fault that fits a request
// is the one that it meets.
type Fault struct {
	// Operation is one of Operations.
	Operation string
	// Query makes only requests count whose query, as it was sent, contains it:
	// "resourceType=SOURCE" is one list of functions.
	Query string
	// Ordinal counts the requests of this operation, and with this Query, as
	// the journal shows them, from 1. Zero is every one of them.
	Ordinal int
	Kind    FaultKind
	// Status replaces the status of the kind's answer.
	Status int
	// Header is added to the answer and replaces what has the same name.
	Header http.Header
	// Body replaces the body of FaultStatus and FaultLateStatus. It is sent as JSON.
	Body string
	// Delay is waited for first, whatever the kind.
	Delay time.Duration
}

// A mishap answers a request in the place of handle, which carries it out.
type mishap func(f *Fault, r *http.Request, handle func() *answer) *answer

type faultKind struct {
	kind   FaultKind
	mishap mishap
}

func faultKinds() []faultKind {
	return []faultKind{
		{FaultStatus, instead((*Fault).statusAnswer)},
		{FaultHTML, instead(fixed(http.StatusBadGateway, "text/html; charset=utf-8", "<html><body><h1>Bad Gateway</h1></body></html>\n"))},
		{FaultEmpty, instead(fixed(http.StatusOK, "application/json", ""))},
		{FaultNull, instead(fixed(http.StatusOK, "application/json", "null"))},
		{FaultEmptyObject, instead(fixed(http.StatusOK, "application/json", "{}"))},
		{FaultRedirect, instead(func(f *Fault) *answer {
			a := fixed(http.StatusTemporaryRedirect, "text/html; charset=utf-8", "")(f)
			a.header.Set("Location", "/")
			return a
		})},
		{FaultReset, instead(func(*Fault) *answer { return &answer{header: http.Header{}, cut: cutBefore} })},
		{FaultDrop, afterwards(func(_ *Fault, a *answer) *answer {
			a.cut = cutBefore
			return a
		})},
		{FaultLateStatus, afterwards(func(f *Fault, _ *answer) *answer { return f.statusAnswer() })},
		{FaultTruncate, afterwards(func(_ *Fault, a *answer) *answer {
			a.cut = cutBody
			return a
		})},
		{FaultNoPagination, afterwards(func(_ *Fault, a *answer) *answer {
			return editData(a, func(data map[string]any) { delete(data, "pagination") })
		})},
		{FaultRepeatCursor, afterwards(func(_ *Fault, a *answer) *answer {
			return editData(a, func(data map[string]any) {
				if p, paged := data["pagination"].(map[string]any); paged {
					p["next"] = p["current"]
				}
			})
		})},
		{FaultShrinkCursor, afterwards(func(_ *Fault, a *answer) *answer {
			return editData(a, func(data map[string]any) {
				if p, paged := data["pagination"].(map[string]any); paged {
					p["next"] = p["current"]
					if previous, there := p["previous"].(string); there && previous != "" {
						p["next"] = previous
					}
				}
			})
		})},
		{FaultExpiredCursor, func(_ *Fault, r *http.Request, handle func() *answer) *answer {
			if _, there := pageParameter(r.URL.Query(), "cursor"); there {
				return envelope(unknownCursor())
			}
			return handle()
		}},
		{FaultRepeatRow, afterwards(func(_ *Fault, a *answer) *answer {
			return editData(a, func(data map[string]any) { repeatRow(data, func(row any) any { return row }) })
		})},
		{FaultContradict, afterwards(func(_ *Fault, a *answer) *answer {
			return editData(a, func(data map[string]any) { repeatRow(data, contradiction) })
		})},
		{FaultContentType, afterwards(func(_ *Fault, a *answer) *answer {
			a.header.Set("Content-Type", "text/plain; charset=utf-8")
			return a
		})},
		{FaultMalformed, afterwards(func(_ *Fault, a *answer) *answer {
			a.body = a.body[:len(a.body)/2]
			return a
		})},
		{FaultSlow, afterwards(func(_ *Fault, a *answer) *answer {
			a.flow = flowSlow
			return a
		})},
		{FaultEndless, afterwards(func(_ *Fault, a *answer) *answer {
			a.body, a.flow = a.body[:len(a.body)/2], flowEndless
			return a
		})},
		{FaultDelay, afterwards(func(_ *Fault, a *answer) *answer { return a })},
	}
}

// FaultKinds lists every kind of fault.
func FaultKinds() []FaultKind {
	return each(faultKinds(), func(k faultKind) FaultKind { return k.kind })
}

func instead(f func(*Fault) *answer) mishap {
	return func(fault *Fault, _ *http.Request, _ func() *answer) *answer { return f(fault) }
}

func afterwards(f func(*Fault, *answer) *answer) mishap {
	return func(fault *Fault, _ *http.Request, handle func() *answer) *answer { return f(fault, handle()) }
}

// fixed makes an answer that depends on the fault's status at most.
func fixed(status int, contentType, body string) func(*Fault) *answer {
	return func(f *Fault) *answer {
		a := &answer{status: status, header: http.Header{"Content-Type": {contentType}}, body: []byte(body)}
		if f.Status != 0 {
			a.status = f.Status
		}
		return a
	}
}

func (f *Fault) statusAnswer() *answer {
	status := f.Status
	if status == 0 {
		status = http.StatusInternalServerError
	}
	if f.Body != "" {
		return fixed(status, "application/json", f.Body)(f)
	}
	if status == http.StatusTooManyRequests {
		return envelope(tooManyRequests(limitWindow, 1))
	}
	kind := strings.ReplaceAll(strings.ToLower(http.StatusText(status)), " ", "-")
	return envelope(&problem{Type: kind, Message: "Injected by a fault plan", Status: status})
}

// editData changes what stands under "data" in an answer, if there is any.
func editData(a *answer, edit func(map[string]any)) *answer {
	var body struct {
		Data map[string]any `json:"data"`
	}
	if err := json.Unmarshal(a.body, &body); err != nil || body.Data == nil {
		return a
	}
	edit(body.Data)
	edited := jsonAnswer(a.status, body)
	a.body = edited.body
	return a
}

// repeatRow appends the first row to the rows in an answer, in other words:
// those of a list, or the permissions of the one that it is about.
func repeatRow(data map[string]any, reword func(any) any) {
	for key, value := range data {
		switch value := value.(type) {
		case []any:
			if len(value) > 0 {
				data[key] = append(value, reword(value[0]))
			}
		case map[string]any:
			if key != "pagination" {
				repeatRow(value, reword)
			}
		}
	}
}

// contradiction says something else about what a row is about.
func contradiction(row any) any {
	if text, ok := row.(string); ok {
		return strings.ToUpper(text)
	}
	object, ok := row.(map[string]any)
	if !ok {
		return row
	}
	object = maps.Clone(object)
	for _, field := range []string{"name", "displayName", "roleName", "description"} {
		if _, there := object[field]; there {
			object[field] = "Contradiction"
		}
	}
	return object
}

// apply answers a request that meets f; a nil f lets it pass.
func (f *Fault) apply(r *http.Request, handle func() *answer) *answer {
	if f == nil {
		return handle()
	}
	kinds := faultKinds()
	i := slices.IndexFunc(kinds, func(k faultKind) bool { return k.kind == f.Kind })
	a := kinds[i].mishap(f, r, handle)
	for k, v := range f.Header {
		a.header[http.CanonicalHeaderKey(k)] = slices.Clone(v)
	}
	return a
}

// A plannedFault is a fault and how far its time is off.
type plannedFault struct {
	moment
	fault Fault
}

func (f *Fault) moment() moment {
	return moment{operation: f.Operation, query: f.Query, ordinal: f.Ordinal}
}

// check reports what makes f unusable.
func (f *Fault) check() error {
	at := f.moment()
	if err := at.check("fault on"); err != nil {
		return err
	}
	switch {
	case !slices.Contains(FaultKinds(), f.Kind):
		return fmt.Errorf("sim: unknown fault kind %q", f.Kind)
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("sim: fault on %s: status %d is not between 200 and 599", f.Operation, f.Status)
	case f.Delay < 0:
		return fmt.Errorf("sim: fault on %s: negative delay %v", f.Operation, f.Delay)
	}
	return nil
}

// Inject adds faults to the plan, all or none. It fails on an operation or a
// kind that does not exist, because such a fault would never strike.
func (s *Server) Inject(faults ...Fault) error {
	for i := range faults {
		if err := faults[i].check(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		planned := &plannedFault{f.moment(), f}
		planned.catchUp(s)
		s.faults = append(s.faults, planned)
	}
	return nil
}

// ClearFaults empties the plan.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}
