package sim

import (
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// DefaultToken is the token that segment-sim accepts by default. The token of a server
// without WithToken begins with it. It gives access to simulators only.
const DefaultToken = "sim-token"

// newToken returns a token that no other server has. Clients may share memory and locks
// with other clients of the same token and base URL, and all simulators in process can
// have the same base URL.
func newToken() string { return DefaultToken + "-" + rand.Text() }

// maxBody bounds the request bodies that a server reads, in bytes.
const maxBody = 8 << 20

// A Server is a simulated Segment Public API: one workspace behind one token.
// It serves HTTP itself and through RoundTripper, and is safe for concurrent
// use.
//
// It ignores the Accept header and answers as the stable API, which is the answer to
// application/json.
type Server struct {
	token             string
	moreTokens        []string
	permissionsInList bool
	next              NextForm
	without           []Feature
	gateStatus        int
	post              PostForm
	roleScopes        bool
	clock             func() time.Time
	readLimit         *limiter
	writeLimit        *limiter
	underWay          occupancy
	maxCount          int
	// edits are the functions of WithAnswers.
	edits []func(*Answer)

	routes *http.ServeMux

	mu sync.Mutex
	// newest is the state. older has the states that it replaced, in order, as far as
	// a read may still show them.
	newest     *version
	older      []*version
	lag        time.Duration
	replicas   int
	replicaLag time.Duration
	// normalizing are the ways in which writes and answers are changed.
	normalizing []Normalization
	// readsOf counts the reads of each path, to select the replica.
	readsOf map[string]int
	created int
	audit   auditTrail
	journal []*Request
	faults  []*planned[Fault]
	before  []*planned[func(*Workspace)]
	after   []*planned[func(*Workspace)]
	// committed are the calls before the answer.
	committed []*planned[func(context.Context)]
}

// An Option changes how a Server behaves.
type Option func(*Server)

// WithToken sets the token that requests must carry. The default is another token for
// each server.
func WithToken(token string) Option {
	return func(s *Server) { s.token = token }
}

// WithTokens adds tokens of the same workspace, for clients that must not share
// anything. The limits count the requests of all tokens together.
func WithTokens(more ...string) Option {
	return func(s *Server) { s.moreTokens = append(s.moreTokens, more...) }
}

// WithPermissionsInLists adds permissions to the lists of users and groups. The schema
// allows it, but by all evidence Segment does not.
func WithPermissionsInLists() Option {
	return func(s *Server) { s.permissionsInList = true }
}

// WithNext sets how the last page of a list ends. The default is NextAbsent.
func WithNext(form NextForm) Option {
	return func(s *Server) { s.next = form }
}

// A PostForm is the effect of adding permissions on those that the principal holds.
// Segment documents that POST adds, and its audit trail that POST may update. Whether an
// update keeps the same role on other resources is not known.
type PostForm int

// The forms of POST. A careful client loses no permission with any of them.
const (
	PostMerges PostForm = iota
	// PostReplaces removes all permissions that were not requested.
	PostReplaces
	// PostReplacesRole does the same within each requested role, and keeps other
	// roles.
	PostReplacesRole
)

// WithPost sets the effect of adding permissions. The default is PostMerges.
func WithPost(form PostForm) Option {
	return func(s *Server) { s.post = form }
}

// WithRoleScopes refuses a permission with 422 if Segment's documentation of roles does not
// name the type of the resource for its role. A role may always be on the workspace, and what
// is held may be written again. By default a role may be on any type: it is not known whether
// Segment checks that.
func WithRoleScopes() Option {
	return func(s *Server) { s.roleScopes = true }
}

// WithLimit sets the number of requests a minute, without the operations that
// WithWriteLimit counts. Zero, the default, is no limit.
func WithLimit(perMinute int) Option {
	return func(s *Server) { s.readLimit = newLimiter(perMinute) }
}

// WithWriteLimit sets the number of requests a minute over all operations that Segment
// documents with 60 a minute. Zero, the default, is no limit. It is not documented
// whether Segment counts them together or separately; together is stricter.
func WithWriteLimit(perMinute int) Option {
	return func(s *Server) { s.writeLimit = newLimiter(perMinute) }
}

// WithClock replaces time.Now as the clock of limits, journal and audit trail.
func WithClock(now func() time.Time) Option {
	return func(s *Server) { s.clock = now }
}

// New returns a server over a copy of ws.
func New(ws *Workspace, opts ...Option) *Server {
	s := &Server{
		gateStatus: defaultGateStatus,
		maxCount:   maxCount,
		clock:      time.Now,
		routes:     newRoutes(),
		newest:     &version{state: ws.clone()},
		readsOf:    map[string]int{},
	}
	for _, opt := range opts {
		opt(s)
	}
	if s.token == "" {
		s.token = newToken()
	}
	s.newest.state.addUnknownFields(s.normalizing)
	return s
}

// Token returns the token that the server accepts, without those of WithTokens.
func (s *Server) Token() string { return s.token }

// accepts reports whether a request carries a token of the workspace.
func (s *Server) accepts(r *http.Request) bool {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return found && (token == s.token || slices.Contains(s.moreTokens, token))
}

// Workspace returns a copy of the current state.
func (s *Server) Workspace() *Workspace {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest.state.clone()
}

// Update edits the state as another administrator would: atomically, without
// an entry in the journal. The function must not keep the workspace, nor call
// the server.
func (s *Server) Update(edit func(*Workspace)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeEdits([]func(*Workspace){edit})
}

// ServeHTTP implements http.Handler. A connection that a fault breaks ends
// with http.ErrAbortHandler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, err := s.answer(r)
	if err != nil || a.breakAt == breakBeforeAnswer {
		panic(http.ErrAbortHandler)
	}
	for k, v := range a.header {
		w.Header()[k] = v
	}
	if length := a.length(); length > 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	}
	w.WriteHeader(a.status)
	if a.delivery == deliverAtOnce {
		_, err = w.Write(a.sent()) //nolint:gosec // G705: an API answers JSON, no browser renders it.
	} else {
		_, err = io.Copy(flushing{w}, a.reader(r.Context()))
	}
	if err == nil && a.breakAt == breakInBody {
		// The buffered half of the body must be sent before the connection breaks.
		err = http.NewResponseController(w).Flush()
	}
	if err != nil || a.breakAt == breakInBody {
		panic(http.ErrAbortHandler)
	}
}

// answer handles a request from its route to its answer. An error is one of reading
// the request or of its context.
func (s *Server) answer(r *http.Request) (*answer, error) {
	if strings.HasPrefix(r.URL.Path, controlPrefix) {
		return s.controlAnswer(r)
	}
	op, r := s.route(r)
	e := s.recordRequest(op, r)
	leave, room := s.underWay.enter()
	defer leave()
	if e.fault != nil && e.fault.Kind != FaultLateDelay {
		if err := sleep(r.Context(), e.fault.Delay); err != nil {
			return nil, err
		}
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	if err := r.Context().Err(); err != nil {
		return nil, context.Cause(r.Context())
	}
	handled, done := false, false
	a := e.fault.apply(r, func() *answer {
		if !room {
			return envelope(s.tooManyAtOnce(op))
		}
		a := s.handle(op, r, body, e)
		handled, done = true, a.status < http.StatusMultipleChoices
		return s.edit(op, r, a)
	})
	if !handled {
		for _, edit := range slices.Concat(e.before, e.after) {
			s.Update(edit)
		}
	}
	if done {
		if err := e.beforeAnswer(r.Context()); err != nil {
			return nil, err
		}
	}
	s.recordStatus(e.entry, a)
	return a, nil
}

// beforeAnswer makes the calls and the wait that come between a request that has been
// carried out and its answer. It returns an error if the caller has left meanwhile.
func (e *arrival) beforeAnswer(ctx context.Context) error {
	for _, f := range e.committed {
		f(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if e.fault != nil && e.fault.Kind == FaultLateDelay {
		return sleep(ctx, e.fault.Delay)
	}
	return nil
}

// handle carries a request out, between the edits that are planned before and after it.
func (s *Server) handle(op *operation, r *http.Request, body []byte, e *arrival) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.makeEdits(e.before)
	c := &call{Server: s, query: r.URL.Query(), arg: r.PathValue, body: body, after: e.after}
	// The answer has been encoded when the edits are made that remain.
	defer c.makeEditsAfter()
	if !s.accepts(r) {
		return envelope(unauthorized())
	}
	if op == nil {
		return envelope(&problem{Type: "not-found", Message: "There is no such route", Status: http.StatusNotFound})
	}
	limit := s.readLimit
	if op.write {
		limit = s.writeLimit
	}
	limits, p := limit.take(s.clock())
	if p != nil {
		return envelope(p)
	}
	if p = s.gate(op); p != nil {
		return envelope(p)
	}
	if op.Method == http.MethodGet {
		c.version = s.versionFor(r.URL.Path)
	} else {
		c.version = s.beginCommit()
	}
	out, p := op.handle(c)
	if op.Method != http.MethodGet {
		c.idx = nil
	}
	if p != nil {
		return envelope(p)
	}
	// Encode with the server locked, because the data shares memory with the state.
	a := jsonAnswer(out.status, map[string]any{"data": out.data})
	for k, v := range limits {
		a.header[k] = v
	}
	a.altered = c.altered
	return a
}

// A call is one request as an operation sees it, with the server locked. Its version is
// the newest for a write.
type call struct {
	*Server
	*version
	query url.Values
	arg   func(string) string
	body  []byte
	// after are the edits that are still to be made after the request.
	after []func(*Workspace)
	// altered is set if the answer is one that no document allows.
	altered bool
}

// makeEditsAfter makes the edits that are planned after the request, and makes the newest
// state that of the call.
func (c *call) makeEditsAfter() {
	c.makeEdits(c.after)
	c.after = nil
	c.version = c.newest
}

// newID returns an id that nothing in the state has.
func (c *call) newID() string {
	for {
		c.created++
		id := makeID("created", c.created)
		if !has(c.index().groups, id) && !has(c.index().users, id) {
			return id
		}
	}
}

// flushing sends each write at once.
type flushing struct{ http.ResponseWriter }

// Write implements io.Writer.
func (f flushing) Write(p []byte) (int, error) {
	n, err := f.ResponseWriter.Write(p)
	if err == nil {
		err = http.NewResponseController(f.ResponseWriter).Flush()
	}
	return n, err
}

func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	return io.ReadAll(io.LimitReader(r.Body, maxBody))
}

// sleep waits for d. It works on the fake time of testing/synctest. A wait of zero needs no
// timer: with the race detector, such a timer may crash Go 1.26 there.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
