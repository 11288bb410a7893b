package main

import (
	"context"
	"os"
	"time"

	"go.opentelemetry.io/otel"
)

const (
	// traceDelay is the variable with the milliseconds after which a process sends its
	// traces, 5000 by default.
	traceDelay = "OTEL_BSP_SCHEDULE_DELAY"
	// telemetryWait is longer than both processes keep traces, with the delay set here, and
	// logs, which the SDK sends each second.
	telemetryWait = 1200 * time.Millisecond
	// telemetryTime is how long the last traces may take.
	telemetryTime = 2 * time.Second
)

// setTraceDelay makes both processes of a run send their traces as often as their logs.
func setTraceDelay() error {
	if os.Getenv(traceDelay) != "" {
		return nil
	}
	return os.Setenv(traceDelay, "1000")
}

// sendTelemetry sends what is left for the collector of telemetry, if there is one. The
// work is done, and the child is still there. The SDK would kill the child, which sends
// nothing then, and close its own connection before it sends the rest: baton-sdk v0.26.0
// loses that, and tries for ten seconds.
func (p *process) sendTelemetry() {
	if p.settings.GetString("otel-collector-endpoint") == "" {
		return
	}
	time.Sleep(telemetryWait)
	provider, is := otel.GetTracerProvider().(interface{ Shutdown(context.Context) error })
	if !is { // Tracing is disabled.
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, telemetryTime)
	defer cancel()
	if err := provider.Shutdown(ctx); err != nil {
		otel.Handle(err)
	}
}
