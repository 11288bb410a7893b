package segmentapi_test

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/internal/sim/simtest"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// loopbackHosts are all forms of hosts to which http is allowed, of which some may be
// refused.
func loopbackHosts() []string {
	return []string{
		"localhost", "LOCALHOST", "LocalHost", "127.0.0.1", "127.0.0.2", "127.255.255.254", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]",
		"[::FFFF:127.0.0.1]", "[::1%25lo]", "[::1%25LO]", "[::ffff:127.0.0.1%25lo]", "[::1%25%C3%A9]", "localhost.", "127.1", "localho\u017ft", "LOCALHO%C5%BFT",
	}
}

// proxyTestBaseURL makes the test below request this URL, in a process whose environment
// has a proxy: net/http reads it once.
const proxyTestBaseURL = "SEGMENTAPI_TEST_PROXIED_URL"

// No form of a host that is allowed with http goes through a proxy: it would see the token.
func TestBaseURL_LoopbackIsNotProxied(t *testing.T) {
	t.Parallel()
	if base := os.Getenv(proxyTestBaseURL); base != "" {
		c, err := segmentapi.New("sgp_token", segmentapi.WithBaseURL(base), segmentapi.WithRetry(segmentapi.RetryPolicy{MaxAttempts: 1}))
		if err != nil {
			t.Logf("refused: %v", err)
			return
		}
		defer c.CloseIdleConnections()
		_, err = c.Workspace.Get(t.Context())
		t.Log(err)
		return
	}
	server := simtest.Listen(t, sim.New(sim.Demo(), sim.WithToken("sgp_token")))
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	for _, host := range loopbackHosts() {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			proxy, connections := countConnections(t)
			program := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBaseURL_LoopbackIsNotProxied$", "-test.v")
			program.Env = append(os.Environ(), proxyTestBaseURL+"=http://"+host+":"+port, "HTTP_PROXY="+proxy, "http_proxy="+proxy, "HTTPS_PROXY="+proxy, "NO_PROXY=", "no_proxy=")
			out, err := program.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if n := connections.Load(); n != 0 {
				t.Errorf("%d connections to the proxy\n%s", n, out)
			}
		})
	}
}

// countConnections listens as a proxy and counts the connections to it.
func countConnections(t *testing.T) (string, *atomic.Int64) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // It listens until the test ends.
	if err != nil {
		t.Fatal(err)
	}
	connections := &atomic.Int64{}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				connections.Add(1)
			}
		},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return "http://" + listener.Addr().String(), connections
}
