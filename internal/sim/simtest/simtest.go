// Package simtest holds what the tests of several packages do with a simulator:
// serve it, send requests through the contract, plan faults and edits, and read
// the journal.
//
// It imports none of the packages that it helps to test, so that their internal
// tests can use it. Those of package sim and of package contract cannot.
package simtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"

	"github.com/baton-segment/baton-segment/internal/contract"
	"github.com/baton-segment/baton-segment/internal/sim"
)

// TB is the part of testing.TB that the functions here need. A rapid.T, which
// cannot be a testing.TB, has it as well.
type TB interface {
	Helper()
	Cleanup(f func())
	Error(args ...any)
	Fatal(args ...any)
}

// A Server is a simulator behind a real listener.
type Server struct {
	*sim.Server
	// URL is the base URL, without a slash at its end.
	URL string
}

// Serve serves a new simulator of ws over HTTP until the test ends.
func Serve(t TB, ws *sim.Workspace, opts ...sim.Option) Server {
	t.Helper()
	return Listen(t, sim.New(ws, opts...))
}

// Listen serves s over HTTP until the test ends.
func Listen(t TB, s *sim.Server) Server {
	t.Helper()
	listener := httptest.NewServer(s)
	t.Cleanup(listener.Close)
	return Server{Server: s, URL: listener.URL}
}

// Env returns the variables that point the programs of this module to s.
func (s Server) Env() []string {
	return []string{"BATON_TOKEN=" + s.Token(), "BATON_BASE_URL=" + s.URL}
}

// Client returns a client whose requests s answers in process, whatever their
// host. It works on the fake time of testing/synctest.
func Client(s *sim.Server) *http.Client {
	return &http.Client{Transport: s.RoundTripper()}
}

// CheckedClient is [Client] with the contract between client and server: each
// breach is an error of the test, except in a response that a fault or a normalization
// has altered, or in another of the same operation and status.
func CheckedClient(t TB, s *sim.Server) *http.Client {
	t.Helper()
	v := Must(validator())(t)
	return &http.Client{Transport: v.RoundTripper(s.RoundTripper(), func(err error) {
		var breach *contract.Error
		if errors.As(err, &breach) && breach.Status != 0 && slices.ContainsFunc(s.Journal(), func(r sim.Request) bool {
			// Another request may have arrived since, so that this one is not the last.
			return r.Operation == breach.Operation && r.Status == breach.Status && (r.Fault != "" || r.Altered)
		}) {
			return
		}
		t.Error(err)
	})}
}

// validator reads the contract once. A validator has no state.
var validator = sync.OnceValues(contract.New)

// Inject adds faults to the plan of s.
func Inject(t TB, s *sim.Server, faults ...sim.Fault) {
	t.Helper()
	if err := s.Inject(faults...); err != nil {
		t.Fatal(err)
	}
}

// Before plans an edit by another administrator, as [sim.Server.Before] does.
func Before(t TB, s *sim.Server, operation string, ordinal int, edit func(*sim.Workspace)) {
	t.Helper()
	if err := s.Before(operation, ordinal, edit); err != nil {
		t.Fatal(err)
	}
}

// After plans an edit by another administrator, as [sim.Server.After] does.
func After(t TB, s *sim.Server, operation string, ordinal int, edit func(*sim.Workspace)) {
	t.Helper()
	if err := s.After(operation, ordinal, edit); err != nil {
		t.Fatal(err)
	}
}

// Committed plans a call between a commit and its answer, as [sim.Server.Committed] does.
func Committed(t TB, s *sim.Server, operation string, ordinal int, f func(context.Context)) {
	t.Helper()
	if err := s.Committed(operation, ordinal, f); err != nil {
		t.Fatal(err)
	}
}

// HoldAnswer makes the first request of an operation wait between its commit and its
// answer. The channel is closed at the commit; the function lets the answer go.
func HoldAnswer(t TB, s *sim.Server, operation string) (<-chan struct{}, func()) {
	t.Helper()
	committed, released := make(chan struct{}), make(chan struct{})
	Committed(t, s, operation, 1, func(context.Context) {
		close(committed)
		<-released
	})
	release := sync.OnceFunc(func() { close(released) })
	t.Cleanup(release)
	return committed, release
}

// Operations returns the operation of each request, in order.
func Operations(journal []sim.Request) []string {
	var names []string
	for _, r := range journal {
		names = append(names, r.Operation)
	}
	return names
}

// Writes returns the operation of each request that is not a read, in order.
func Writes(journal []sim.Request) []string {
	var names []string
	for _, r := range journal {
		if r.Method != http.MethodGet {
			names = append(names, r.Operation)
		}
	}
	return names
}

// Count returns how many requests of each operation there are.
func Count(journal []sim.Request) map[string]int {
	counts := map[string]int{}
	for _, r := range journal {
		counts[r.Operation]++
	}
	return counts
}

// Must takes the results of a call and returns a function that returns the
// first, or ends the test if there is an error:
//
//	content := simtest.Must(os.ReadFile(name))(t)
func Must[T any](v T, err error) func(TB) T {
	return func(t TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// FreePort returns a port on which no process listens. It is below those that Linux
// gives to connections and to listeners that ask for any port, which other tests do
// before somebody listens on this one.
func FreePort(t TB) string {
	t.Helper()
	var err error
	for range 100 {
		port := strconv.Itoa(20000 + rand.IntN(10000)) //nolint:gosec // Any port does.
		var listener net.Listener
		if listener, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", net.JoinHostPort("0.0.0.0", port)); err != nil {
			continue
		}
		if err = listener.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal(err)
	return ""
}
