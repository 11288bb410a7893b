package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/public-api-sdk-go/api"
	"go.uber.org/goleak"

	"github.com/baton-segment/baton-segment/internal/contract"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loadContract reads the contract once. A validator has no state.
var loadContract = sync.OnceValues(contract.New)

func validator(t testing.TB) *contract.Validator {
	t.Helper()
	v, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// inProcess returns the official client with the server's own transport, and the
// contract between the two.
func inProcess(t testing.TB, s *Server) (context.Context, *api.APIClient) {
	t.Helper()
	v := validator(t)
	return official(t, s, "https://api.segment.test", &http.Client{
		Transport: v.RoundTripper(s.RoundTripper(), func(err error) { t.Error(err) }),
	})
}

// overHTTP returns the same over a real connection.
func overHTTP(t testing.TB, s *Server) (context.Context, *api.APIClient) {
	t.Helper()
	v := validator(t)
	server := httptest.NewServer(v.Handler(s, func(err error) { t.Error(err) }))
	t.Cleanup(server.Close)
	return official(t, s, server.URL, server.Client())
}

func official(t testing.TB, s *Server, base string, client *http.Client) (context.Context, *api.APIClient) {
	t.Helper()
	config := api.NewConfiguration()
	config.HTTPClient = client
	config.Servers = api.ServerConfigurations{{URL: base}}
	return context.WithValue(t.Context(), api.ContextAccessToken, s.Token()), api.NewAPIClient(config)
}

// A rawClient sends requests that the official client cannot make, one at a time, and
// compares the answers with the contract.
type rawClient struct {
	server   *Server
	contract *contract.Validator
}

func newRawClient(t testing.TB, s *Server) rawClient {
	t.Helper()
	return rawClient{s, validator(t)}
}

// A response is a decoded answer. Data and Errors are the values of "data" and
// "errors".
type response struct {
	Status int
	Header http.Header
	Data   map[string]any
	Errors []problem
	Raw    []byte
}

// testingT is the part of testing.T that a rapid.T has as well.
type testingT interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Context() context.Context
}

func (c rawClient) send(t testingT, method, target, body string) response {
	t.Helper()
	return c.sendAs(t, c.server.Token(), method, target, body)
}

func (c rawClient) sendAs(t testingT, token, method, target, body string) response {
	t.Helper()
	// The path is sent as it is, even if a mux would redirect it.
	u := &url.URL{Scheme: "https", Host: "api.segment.test"}
	rawPath, query, _ := strings.Cut(target, "?")
	p, err := url.PathUnescape(rawPath)
	if err != nil {
		t.Fatalf("path %q: %v", rawPath, err)
	}
	u.Path, u.RawPath, u.RawQuery = p, rawPath, query
	r, err := http.NewRequestWithContext(t.Context(), method, "https://api.segment.test", strings.NewReader(body))
	if err != nil {
		t.Fatalf("%v", err)
	}
	r.URL = u
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	} else {
		r.Body = nil
	}
	operation, _ := c.contract.Request(r)
	resp, err := c.server.RoundTripper().RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	if operation != "" {
		err := c.contract.Response(operation, resp.StatusCode, resp.Header, raw)
		journal := c.server.Journal()
		// An answer that a normalization has altered must breach the contract: otherwise it
		// need not be marked.
		if altered := journal[len(journal)-1].Altered; (err != nil) != altered {
			t.Errorf("%s %s: altered is %v, contract: %v", method, target, altered, err)
		}
	}
	out := response{Status: resp.StatusCode, Header: resp.Header, Raw: raw}
	var envelope struct {
		Data   map[string]any `json:"data"`
		Errors []problem      `json:"errors"`
	}
	if err := json.Unmarshal(raw, &envelope); err != nil {
		t.Fatalf("%s %s: %v in %s", method, target, err, raw)
	}
	if (envelope.Data == nil) == (envelope.Errors == nil) {
		t.Errorf("%s %s: want either data or errors in %s", method, target, raw)
	}
	out.Data, out.Errors = envelope.Data, envelope.Errors
	return out
}

// want sends a request and ends the test if the status is another one.
func (c rawClient) want(t testingT, status int, method, target, body string) response {
	t.Helper()
	a := c.send(t, method, target, body)
	if a.Status != status {
		t.Fatalf("%s %s %s: status %d, want %d: %s", method, target, body, a.Status, status, a.Raw)
	}
	return a
}

func equal(t testingT, what string, want, got any, opts ...cmp.Option) {
	t.Helper()
	if diff := cmp.Diff(want, got, opts...); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func jsonValue(t testing.TB, s string) any {
	t.Helper()
	var v any
	d := json.NewDecoder(bytes.NewBufferString(s))
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func toJSON(t testingT, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return string(b)
}

func closeBody(t testing.TB, resp *http.Response) {
	t.Helper()
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
}
