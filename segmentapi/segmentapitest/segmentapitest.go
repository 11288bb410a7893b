// Package segmentapitest runs a simulated Segment workspace, to test code that
// uses package segmentapi:
//
//	func TestOffboard(t *testing.T) {
//		server := segmentapitest.NewServer(t)
//		ada := server.AddUser(segmentapi.User{Name: "Ada", Email: "ada@example.com"})
//
//		if err := offboard(t.Context(), server.Client, ada.Email); err != nil {
//			t.Fatal(err)
//		}
//		if _, err := server.Client.Users.Get(t.Context(), ada.ID); !errors.Is(err, segmentapi.ErrNotFound) {
//			t.Errorf("she is still there: %v", err)
//		}
//	}
//
// The simulator keeps state, pages its lists, leaves permissions out of them,
// and returns errors and rate limits as Segment does. A test can begin with another
// workspace ([WithWorkspace]) and add to it, make operations fail
// ([Server.Fail], [Server.RateLimit]), and inspect the requests
// ([Server.Requests]):
//
//	server.Fail("deleteUsers", http.StatusForbidden)
//	err := offboard(t.Context(), server.Client, ada.Email)
//	if !errors.Is(err, segmentapi.ErrForbidden) {
//		t.Errorf("error is %v", err)
//	}
//
// Waits for a rate limit take no time in a bubble of testing/synctest, with
// [InProcess].
package segmentapitest

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// A Server is a simulated workspace that lasts as long as its test. It is safe
// for concurrent use, except that methods which may end the test must be called
// from the test's goroutine.
type Server struct {
	// URL is the base URL, for [segmentapi.WithBaseURL].
	URL string
	// Token is what requests must carry. It is valid nowhere else.
	Token string
	// Client is a client of this server, with default options.
	Client *segmentapi.Client

	t     testing.TB
	sim   *sim.Server
	close func()
}

// An Option configures a Server.
type Option func(*settings)

type settings struct {
	workspace string
	inProcess bool
	limit     int
}

// WithWorkspace selects what is in the workspace at first: "demo", the default,
// is a company of about forty people; "empty" has the built-in roles and the
// default labels only; "hostile" is small and holds everything odd that code
// should survive; "sized:users=1000,groups=50,seed=7" has as many rows as the
// name says, and none of what it does not mention. Its keys are users, groups,
// memberspergroup (10 if not mentioned), invites, sources, warehouses,
// functions, spaces, labels and seed. The same name is the same workspace, ids
// included, in every run of one version of this module.
func WithWorkspace(name string) Option {
	return func(s *settings) { s.workspace = name }
}

// WithLimit limits the requests per minute, counted as Segment counts them. The
// default is no limit.
func WithLimit(perMinute int) Option {
	return func(s *settings) { s.limit = perMinute }
}

// InProcess uses no network: Client talks to the simulator directly, and nothing
// else can, whatever URL says. In a bubble of testing/synctest waits
// for a limit then take no time.
func InProcess() Option {
	return func(s *settings) { s.inProcess = true }
}

// NewServer starts a server and closes it with the test. It ends the test if
// that fails.
func NewServer(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s := newServer(t, opts)
	t.Cleanup(s.Close)
	return s
}

// Start is [NewServer] for code outside a test: an Example, TestMain, a program
// to try something with. Close the server when done. Failures that would end a
// test panic.
func Start(opts ...Option) *Server { return newServer(noTest{}, opts) }

// A noTest is as much of a test as a server needs.
type noTest struct{ testing.TB }

// Helper implements testing.TB.
func (noTest) Helper() {}

// Fatal implements testing.TB.
func (noTest) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func newServer(t testing.TB, opts []Option) *Server {
	t.Helper()
	set := settings{workspace: "demo"}
	for _, opt := range opts {
		opt(&set)
	}
	workspace, err := sim.Named(set.workspace)
	if err != nil {
		t.Fatal(err)
	}
	core := sim.New(workspace, sim.WithLimit(set.limit))
	s := &Server{URL: "https://segment.invalid", Token: core.Token(), t: t, sim: core, close: func() {}}
	var hc *http.Client
	if set.inProcess {
		hc = &http.Client{Transport: core.RoundTripper()}
	} else {
		server := httptest.NewServer(core)
		s.URL, hc, s.close = server.URL, server.Client(), server.Close
	}
	s.Client, err = segmentapi.New(s.Token, segmentapi.WithBaseURL(s.URL), segmentapi.WithHTTPClient(hc))
	if err != nil {
		s.Close()
		t.Fatal(err)
	}
	return s
}

// Close ends the server. Only callers of [Start] need it.
func (s *Server) Close() { s.close() }

// AddUser adds a user and returns it as the workspace has it. The e-mail must
// be given; an empty ID is filled in. The name of a role is served as given only
// if the workspace does not list the role.
func (s *Server) AddUser(u segmentapi.User) segmentapi.User {
	s.t.Helper()
	if u.Email == "" {
		s.t.Fatal("segmentapitest: a user needs an e-mail")
	}
	s.sim.Update(func(w *sim.Workspace) {
		if u.ID == "" {
			u.ID = fmt.Sprintf("test-user-%d", len(w.Users)+1)
		}
		u.Permissions = inWorkspace(w.ID, u.Permissions)
		w.Users = append(w.Users, sim.User{ID: u.ID, Name: u.Name, Email: u.Email, Permissions: permissions(u.Permissions)})
	})
	return u
}

// AddGroup adds a group with members, each the e-mail of a user or of an
// invite, and returns it as the workspace has it. An empty ID is filled in,
// and MemberCount counted.
func (s *Server) AddGroup(g segmentapi.Group, members ...string) segmentapi.Group {
	s.sim.Update(func(w *sim.Workspace) {
		if g.ID == "" {
			g.ID = fmt.Sprintf("test-group-%d", len(w.Groups)+1)
		}
		g.MemberCount = len(members)
		g.Permissions = inWorkspace(w.ID, g.Permissions)
		w.Groups = append(w.Groups, sim.Group{
			ID: g.ID, Name: g.Name, Members: slices.Clone(members), Permissions: permissions(g.Permissions),
		})
	})
	return g
}

// AddInvite adds a pending invite.
func (s *Server) AddInvite(email string) {
	s.sim.Update(func(w *sim.Workspace) { w.Invites = append(w.Invites, sim.Invite{Email: email}) })
}

// WorkspaceID returns the workspace's id, which workspace-wide permissions name.
func (s *Server) WorkspaceID() string { return s.sim.Workspace().ID }

// Fail makes every request of an operation fail with a status and Segment's
// error envelope, until Recover. Operations are named as in
// [segmentapi.Error], such as "listUsers".
func (s *Server) Fail(operation string, status int) {
	s.t.Helper()
	s.inject(sim.Fault{Operation: operation, Kind: sim.FaultStatus, Status: status})
}

// RateLimit refuses the next request of an operation with 429 and a time to
// wait, in milliseconds as Segment sends it.
func (s *Server) RateLimit(operation string, wait time.Duration) {
	s.t.Helper()
	next := 1
	for _, r := range s.sim.Journal() {
		if r.Operation == operation {
			next++
		}
	}
	s.inject(sim.Fault{
		Operation: operation,
		Ordinal:   next,
		Kind:      sim.FaultStatus,
		Status:    http.StatusTooManyRequests,
		Body: fmt.Sprintf(`{"errors":[{"type":"RequestError","message":"Too many requests","data":{"remainingPoints":0,"msBeforeNext":%d,"consumedPoints":1}}]}`,
			wait.Milliseconds()),
	})
}

// Recover undoes Fail and RateLimit.
func (s *Server) Recover() { s.sim.ClearFaults() }

func (s *Server) inject(f sim.Fault) {
	s.t.Helper()
	if err := s.sim.Inject(f); err != nil {
		s.t.Fatal(err)
	}
}

// A Request is one that the server received.
type Request struct {
	// Operation is empty if no route matches.
	Operation string
	Method    string
	Path      string
	// Query is as it was sent.
	Query  string
	Status int
}

// Requests returns the requests that the server has received, in order.
func (s *Server) Requests() []Request {
	journal := s.sim.Journal()
	out := make([]Request, 0, len(journal))
	for _, r := range journal {
		out = append(out, Request{r.Operation, r.Method, r.Path, r.Query, r.Status})
	}
	return out
}

// inWorkspace fills in the id of the workspace, which scopes of segmentapi may leave out.
func inWorkspace(id string, ps []segmentapi.Permission) []segmentapi.Permission {
	filled := slices.Clone(ps)
	for i := range filled {
		filled[i].Scopes = slices.Clone(filled[i].Scopes)
		for j, scope := range filled[i].Scopes {
			if scope.Type == segmentapi.ScopeWorkspace {
				filled[i].Scopes[j].ID = cmp.Or(scope.ID, id)
			}
		}
	}
	return filled
}

func permissions(ps []segmentapi.Permission) []sim.Permission {
	out := make([]sim.Permission, 0, len(ps))
	for _, p := range ps {
		stored := sim.Permission{RoleID: p.RoleID, RoleName: p.RoleName}
		for _, scope := range p.Scopes {
			r := sim.Resource{ID: scope.ID, Type: string(scope.Type)}
			for _, l := range scope.Labels {
				r.Labels = append(r.Labels, sim.Label(l))
			}
			stored.Resources = append(stored.Resources, r)
		}
		out = append(out, stored)
	}
	return out
}
