package e2e

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	logs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	traces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/baton-segment/baton-segment/internal/sim"
)

// A collector keeps the traces and logs that programs send to it.
type collector struct {
	traces.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans []string
	text  strings.Builder // everything, as text
}

// Export receives traces.
func (c *collector) Export(_ context.Context, in *traces.ExportTraceServiceRequest) (*traces.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.WriteString(prototext.Format(in))
	for _, resource := range in.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				c.spans = append(c.spans, span.GetName())
			}
		}
	}
	return &traces.ExportTraceServiceResponse{}, nil
}

// A logCollector is the part of a collector for logs.
type logCollector struct {
	logs.UnimplementedLogsServiceServer
	*collector
}

// Export receives logs.
func (c logCollector) Export(_ context.Context, in *logs.ExportLogsServiceRequest) (*logs.ExportLogsServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.WriteString(prototext.Format(in))
	return &logs.ExportLogsServiceResponse{}, nil
}

// collect serves a collector until the test ends, and returns its address.
func collect(t *testing.T) (*collector, string) {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{}
	server := grpc.NewServer()
	traces.RegisterTraceServiceServer(server, c)
	logs.RegisterLogsServiceServer(server, logCollector{collector: c})
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(listener); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
	})
	return c, listener.Addr().String()
}

// Both processes of a run send traces and logs to an OpenTelemetry collector. These contain
// neither the token nor secrets of the workspace, even if Segment's answer repeats the token.
func TestTelemetry(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]*sim.Fault{
		"healthy": nil,
		"refused": {
			Operation: "getUser", Ordinal: 3, Kind: sim.FaultStatus, Status: 403,
			Body: `{"errors":[{"type":"forbidden","message":"` + token + ` may not"}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, address := collect(t)
			s := serve(t, sim.Hostile())
			if fault != nil {
				if err := s.Inject(*fault); err != nil {
					t.Fatal(err)
				}
			}
			r := run(t, s.Env(), "baton-segment", "--log-level", "debug",
				"--otel-collector-endpoint", address, "--otel-collector-endpoint-tls-insecure")
			if (r.code == 0) != (fault == nil) {
				t.Fatalf("exit code %d\n%s", r.code, r.stderr)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			slices.Sort(c.spans)
			t.Logf("%d spans: %q", len(c.spans), slices.Compact(slices.Clone(c.spans)))
			for _, span := range []string{"syncer.Sync", "c1.connector.v2.ResourcesService/ListResources"} {
				if !slices.Contains(c.spans, span) {
					t.Errorf("there is no span %s", span)
				}
			}
			all := c.text.String()
			if line := "Syncing resources..."; !strings.Contains(all, line) {
				t.Errorf("the logs do not have %q", line)
			}
			for _, secret := range []string{secretMark, s.Token()} {
				if i := strings.Index(all, secret); i >= 0 {
					t.Errorf("%q is among the traces and logs: %s", secret, all[max(0, i-300):min(len(all), i+100)])
				}
			}
		})
	}
}
