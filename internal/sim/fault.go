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
	// or with Body as JSON, instead. A 429 has the documented body, with one
	// minute as the time to wait.
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
	// FaultExpiredCursor refuses each cursor as unknown. It does not affect
	// requests without a cursor.
	FaultExpiredCursor FaultKind = "expired-cursor"
	// FaultEmptyPages answers a list with an empty page and a cursor that no answer had
	// before. The list has no end if the fault applies to all of its requests.
	FaultEmptyPages FaultKind = "empty-pages"
	// FaultNewCursors does the same with the rows of the first page.
	FaultNewCursors FaultKind = "new-cursors"
	// FaultRepeatRow repeats the first row at the end: of a list, or of the
	// permissions of a user or a group.
	FaultRepeatRow FaultKind = "repeat-row"
	// FaultContradict repeats the first row at the end with another name or
	// description, or an address in another case.
	FaultContradict FaultKind = "contradict"
	// FaultContentType sends the right body as text/plain.
	FaultContentType FaultKind = "content-type"
	// FaultMalformed sends half of the body as if it were all.
	FaultMalformed FaultKind = "malformed"
	// FaultSlow sends the body a byte a second.
	FaultSlow FaultKind = "slow"
	// FaultEndless begins with half of the body and continues until the caller
	// leaves.
	FaultEndless FaultKind = "endless"
	// FaultDelay only waits for Delay.
	FaultDelay FaultKind = "delay"
	// FaultLateDelay carries the operation out, waits for Delay and answers. If the
	// caller leaves meanwhile, the operation remains carried out. An operation that is
	// refused is answered at once.
	FaultLateDelay FaultKind = "late-delay"
)

// A Fault makes requests of an operation go wrong. If several faults match a
// request, the first of them applies.
type Fault struct {
	// Operation is one of Operations.
	Operation string
	// Query limits the fault to requests whose raw query contains it:
	// "resourceType=SOURCE" is one list of functions.
	Query string
	// Ordinal selects one request of this operation and Query, counted from 1 as
	// in the journal. Zero selects all of them.
	Ordinal int
	Kind    FaultKind
	// Status replaces the status of the kind's answer.
	Status int
	// Header is added to the answer and replaces headers of the same name.
	Header http.Header
	// Body replaces the body of FaultStatus and FaultLateStatus. It is sent as JSON.
	Body string
	// Delay is how long the request waits first, with any kind but FaultLateDelay.
	Delay time.Duration
}

// A mishap answers a request. If the kind of fault is to carry the request out, it
// calls handle, which does.
type mishap func(f *Fault, r *http.Request, handle func() *answer) *answer

type faultKind struct {
	kind   FaultKind
	mishap mishap
}

func faultKinds() []faultKind {
	return []faultKind{
		{FaultStatus, answerInstead((*Fault).statusAnswer)},
		{FaultHTML, answerInstead(fixedAnswer(http.StatusBadGateway, "text/html; charset=utf-8", "<html><body><h1>Bad Gateway</h1></body></html>\n"))},
		{FaultEmpty, answerInstead(fixedAnswer(http.StatusOK, "application/json", ""))},
		{FaultNull, answerInstead(fixedAnswer(http.StatusOK, "application/json", "null"))},
		{FaultEmptyObject, answerInstead(fixedAnswer(http.StatusOK, "application/json", "{}"))},
		{FaultRedirect, answerInstead(func(f *Fault) *answer {
			a := fixedAnswer(http.StatusTemporaryRedirect, "text/html; charset=utf-8", "")(f)
			a.header.Set("Location", "/")
			return a
		})},
		{FaultReset, answerInstead(func(*Fault) *answer { return &answer{header: http.Header{}, breakAt: breakBeforeAnswer} })},
		{FaultDrop, editAnswer(func(_ *Fault, a *answer) *answer {
			a.breakAt = breakBeforeAnswer
			return a
		})},
		{FaultLateStatus, editAnswer(func(f *Fault, _ *answer) *answer { return f.statusAnswer() })},
		{FaultTruncate, editAnswer(func(_ *Fault, a *answer) *answer {
			a.breakAt = breakInBody
			return a
		})},
		{FaultNoPagination, editAnswer(func(_ *Fault, a *answer) *answer {
			return editData(a, func(data map[string]any) { delete(data, "pagination") })
		})},
		{FaultRepeatCursor, editAnswer(func(_ *Fault, a *answer) *answer {
			return editData(a, func(data map[string]any) {
				if p, paged := data["pagination"].(map[string]any); paged {
					p["next"] = p["current"]
				}
			})
		})},
		{FaultShrinkCursor, editAnswer(func(_ *Fault, a *answer) *answer {
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
		{FaultEmptyPages, endlessPages(emptyRows)},
		{FaultNewCursors, endlessPages(func(map[string]any) {})},
		{FaultRepeatRow, editAnswer(func(_ *Fault, a *answer) *answer {
			return editData(a, func(data map[string]any) { repeatRow(data, func(row any) any { return row }) })
		})},
		{FaultContradict, editAnswer(func(_ *Fault, a *answer) *answer {
			return editData(a, func(data map[string]any) { repeatRow(data, contradiction) })
		})},
		{FaultContentType, editAnswer(func(_ *Fault, a *answer) *answer {
			a.header.Set("Content-Type", "text/plain; charset=utf-8")
			return a
		})},
		{FaultMalformed, editAnswer(func(_ *Fault, a *answer) *answer {
			a.body = a.body[:len(a.body)/2]
			return a
		})},
		{FaultSlow, editAnswer(func(_ *Fault, a *answer) *answer {
			a.delivery = deliverSlowly
			return a
		})},
		{FaultEndless, editAnswer(func(_ *Fault, a *answer) *answer {
			a.body, a.delivery = a.body[:len(a.body)/2], deliverEndlessly
			return a
		})},
		{FaultDelay, unchangedAnswer()},
		{FaultLateDelay, unchangedAnswer()},
	}
}

// FaultKinds lists every kind of fault.
func FaultKinds() []FaultKind {
	return mapSlice(faultKinds(), func(k faultKind) FaultKind { return k.kind })
}

// answerInstead makes a mishap that does not carry the request out.
func answerInstead(f func(*Fault) *answer) mishap {
	return func(fault *Fault, _ *http.Request, _ func() *answer) *answer { return f(fault) }
}

// editAnswer makes a mishap that carries the request out and changes the answer.
func editAnswer(f func(*Fault, *answer) *answer) mishap {
	return func(fault *Fault, _ *http.Request, handle func() *answer) *answer { return f(fault, handle()) }
}

// unchangedAnswer makes a mishap that is in the time of the answer, not in the answer.
func unchangedAnswer() mishap {
	return editAnswer(func(_ *Fault, a *answer) *answer { return a })
}

// fixedAnswer makes an answer that depends on nothing but the fault's status.
func fixedAnswer(status int, contentType, body string) func(*Fault) *answer {
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
		return fixedAnswer(status, "application/json", f.Body)(f)
	}
	if status == http.StatusTooManyRequests {
		return envelope(tooManyRequests(limitWindow, 1))
	}
	kind := strings.ReplaceAll(strings.ToLower(http.StatusText(status)), " ", "-")
	return envelope(&problem{Type: kind, Message: "Injected by a fault plan", Status: status})
}

// editData changes the value of "data" in an answer, if there is one.
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

// repeatRow appends a changed copy of the first row to the rows in an answer: to those
// of a list, or to the permissions of a user or group.
func repeatRow(data map[string]any, change func(any) any) {
	for key, value := range data {
		switch value := value.(type) {
		case []any:
			if len(value) > 0 {
				data[key] = append(value, change(value[0]))
			}
		case map[string]any:
			if key != "pagination" {
				repeatRow(value, change)
			}
		}
	}
}

// contradiction returns a row of the same identity with other values.
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

// apply answers a request to which f applies. A nil f changes nothing.
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

func (f *Fault) trigger() trigger {
	return trigger{operation: f.Operation, query: f.Query, ordinal: f.Ordinal}
}

// check returns an error if f can never apply.
func (f *Fault) check() error {
	when := f.trigger()
	if err := when.check("fault on"); err != nil {
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

// Inject adds faults to the plan, all or none. It fails on an operation or a kind that
// does not exist, because such a fault would never apply.
func (s *Server) Inject(faults ...Fault) error {
	for i := range faults {
		if err := faults[i].check(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		p := &planned[Fault]{f.trigger(), f}
		p.countJournal(s)
		s.faults = append(s.faults, p)
	}
	return nil
}

// ClearFaults empties the plan.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}
