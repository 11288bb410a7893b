package e2e

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// The program takes the regions as Segment's own pages write them, and sends nothing
// through a proxy of the environment if Segment is on this machine.
func TestProgram_RegionsAndProxy(t *testing.T) {
	t.Parallel()
	s := serve(t, sim.Demo())
	seen := atomic.Int64{}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		seen.Add(1)
		w.WriteHeader(http.StatusBadGateway)
	}))
	t.Cleanup(proxy.Close)
	env := append(s.Env(), "HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL, "NO_PROXY=", "no_proxy=",
		"BATON_BASE_URL="+strings.Replace(s.URL, "127.0.0.1", "LOCALHOST", 1))
	for _, args := range [][]string{{"--region", "EU"}, {"--region", "US"}, {"--region", "eu1"}, {"--region", "eu"}} {
		if r := run(t, env, "baton-segment", args...); r.code != 0 {
			t.Errorf("%v: exit code %d\n%s", args, r.code, r.stderr)
		}
	}
	if r := run(t, append(env, "BATON_REGION=EU"), "baton-segment"); r.code != 0 {
		t.Errorf("BATON_REGION=EU: exit code %d\n%s", r.code, r.stderr)
	}
	if r := run(t, env, "baton-segment", "--region", "us1"); r.code != 2 || !strings.Contains(r.stdout+r.stderr, "[us eu US EU eu1]") {
		t.Errorf("another region: exit code %d\n%s", r.code, r.stderr)
	}
	if n := seen.Load(); n != 0 {
		t.Errorf("%d requests went to the proxy", n)
	}
}
