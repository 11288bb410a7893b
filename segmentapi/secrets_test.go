package segmentapi_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/baton-segment/baton-segment/internal/sim"
	"github.com/baton-segment/baton-segment/segmentapi"
)

// Secrets of a workspace arrive with answers and go no further.
func TestSecretsStayOnTheWire(t *testing.T) {
	t.Parallel()
	srv := sim.New(sim.Demo())
	var mu sync.Mutex
	var wire, out bytes.Buffer
	hc := &http.Client{Transport: transportFunc(func(r *http.Request) (*http.Response, error) {
		resp, err := srv.RoundTripper().RoundTrip(r)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		wire.Write(body)
		resp.Body = io.NopCloser(bytes.NewReader(body))
		return resp, nil
	})}
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c, err := segmentapi.New(srv.Token(), segmentapi.WithSettleTime(0), segmentapi.WithBaseURL("http://localhost"), segmentapi.WithHTTPClient(hc), segmentapi.WithLogger(logger))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, s := range collect(t, c.Sources.All(ctx)) {
		show(t, &out, c.Sources.Get, s.ID, s)
	}
	for _, w := range collect(t, c.Warehouses.All(ctx)) {
		show(t, &out, c.Warehouses.Get, w.ID, w)
	}
	for _, kind := range segmentapi.FunctionTypes() {
		for _, f := range collect(t, c.Functions.All(ctx, kind)) {
			show(t, &out, c.Functions.Get, f.ID, f)
		}
	}
	for _, s := range collect(t, c.Spaces.All(ctx)) {
		show(t, &out, c.Spaces.Get, s.ID, s)
	}
	fmt.Fprintf(&out, "%#v", collect(t, c.Audit.All(ctx, segmentapi.AuditOptions{})))
	labels, err := c.Labels.List(ctx)
	fmt.Fprintf(&out, "%#v %v %#v", labels, err, collect(t, c.Invites.All(ctx)))

	for _, secret := range []string{"SECRET-write-key", "SECRET-source-setting", "SECRET-warehouse-password", "SECRET-function-code"} {
		if !strings.Contains(wire.String(), secret) {
			t.Errorf("no %s came over the wire: this proves nothing", secret)
		}
	}
	for line := range strings.Lines(out.String()) {
		if strings.Contains(line, "SECRET-") || strings.Contains(line, srv.Token()) {
			t.Errorf("a secret came out: %s", line)
		}
	}
	if !strings.Contains(out.String(), "Web Shop") || !strings.Contains(out.String(), "operation=getFunction") {
		t.Errorf("results or logs are missing: %s", out.String())
	}
}

// show writes a row as listed, and its detail.
func show[T any](t *testing.T, out *bytes.Buffer, get func(context.Context, string) (*T, error), id string, listed T) {
	t.Helper()
	got, err := get(t.Context(), id)
	if err != nil {
		t.Error(err)
	}
	fmt.Fprintf(out, "%#v %#v\n", listed, got)
}
