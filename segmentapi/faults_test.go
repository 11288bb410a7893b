package segmentapi_test

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// If anything goes wrong with one answer, a list over real HTTP is complete or an
// error, never truncated.
func TestLists_FaultsOverHTTP(t *testing.T) {
	t.Parallel()
	verdicts := map[sim.FaultKind]error{ // nil: complete.
		sim.FaultStatus:       nil,
		sim.FaultHTML:         nil,
		sim.FaultEmpty:        segmentapi.ErrBadResponse,
		sim.FaultNull:         segmentapi.ErrBadResponse,
		sim.FaultEmptyObject:  segmentapi.ErrBadResponse,
		sim.FaultRedirect:     segmentapi.ErrBadResponse,
		sim.FaultReset:        nil,
		sim.FaultDrop:         nil,
		sim.FaultLateStatus:   nil,
		sim.FaultTruncate:     nil,
		sim.FaultNoPagination: segmentapi.ErrBadResponse,
		sim.FaultRepeatCursor: segmentapi.ErrBadResponse,
		sim.FaultShrinkCursor: segmentapi.ErrBadResponse,
		sim.FaultContentType:  segmentapi.ErrBadResponse,
		sim.FaultMalformed:    segmentapi.ErrBadResponse,
		sim.FaultSlow:         nil,
		sim.FaultEndless:      segmentapi.ErrBadResponse,
		sim.FaultDelay:        nil,
		sim.FaultLateDelay:    nil,
		// Only Segment knows where a list continues.
		sim.FaultExpiredCursor: segmentapi.ErrInvalid,
		sim.FaultEmptyPages:    segmentapi.ErrInvalid,
		sim.FaultNewCursors:    segmentapi.ErrInvalid,
		// Both rows are what Segment sent; whoever reads them has their ids.
		sim.FaultRepeatRow:  nil,
		sim.FaultContradict: nil,
	}
	for _, kind := range sim.FaultKinds() {
		want, covered := verdicts[kind]
		if !covered {
			t.Errorf("fault %q has no verdict", kind)
		}
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			ws := sim.Demo()
			srv := sim.New(ws)
			if err := srv.Inject(sim.Fault{Operation: "listUsers", Ordinal: 2, Kind: kind, Delay: time.Millisecond}); err != nil {
				t.Fatal(err)
			}
			server := simtest.Listen(t, srv)
			web := &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()} //nolint:errcheck // It is one.
			if kind == sim.FaultSlow {
				web.Timeout = 50 * time.Millisecond
			}
			c, err := segmentapi.New(srv.Token(), segmentapi.WithSettleTime(0), segmentapi.WithBaseURL(server.URL), segmentapi.WithHTTPClient(web),
				segmentapi.WithPageSize(15), segmentapi.WithMaxBody(1<<20))
			if err != nil {
				t.Fatal(err)
			}
			defer c.CloseIdleConnections()
			ids := map[string]bool{}
			var failure error
			for u, err := range c.Users.All(t.Context()) {
				if err != nil {
					failure = err
					break
				}
				ids[u.ID] = true
			}
			switch {
			case want != nil && (!errors.Is(failure, want) || !strings.Contains(failure.Error(), "listUsers")):
				t.Errorf("got %v, want %v", failure, want)
			case want == nil && failure != nil:
				t.Error(failure)
			case want == nil && len(ids) != len(ws.Users):
				t.Errorf("got %d of %d users", len(ids), len(ws.Users))
			}
		})
	}
}

// The token goes to the base URL only.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s was asked for %s", r.Host, r.URL)
	}))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	c, err := segmentapi.New("token", segmentapi.WithBaseURL(server.URL), segmentapi.WithHTTPClient(server.Client()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Workspace.Get(t.Context()); !errors.Is(err, segmentapi.ErrBadResponse) {
		t.Errorf("got %v", err)
	}
}

// No server can make a client use a version older than TLS 1.2.
func TestOldTLSIsNotOffered(t *testing.T) {
	t.Parallel()
	offered := make(chan []uint16, 1)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		offered <- hello.SupportedVersions
		return nil, errors.New("seen enough")
	}}
	server.StartTLS()
	defer server.Close()
	c, err := segmentapi.New("token", segmentapi.WithBaseURL(server.URL), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 1}))
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	if _, err = c.Workspace.Get(t.Context()); !errors.Is(err, segmentapi.ErrConnection) {
		t.Errorf("got %v", err)
	}
	if versions := <-offered; slices.Min(versions) < tls.VersionTLS12 {
		t.Errorf("it offers the versions %#x", versions)
	}
}
