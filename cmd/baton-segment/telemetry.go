package main

import (
	"context"
	"os"
	"time"

	"go.opentelemetry.io/otel"
)

const (
	// traceDelay is the variable with the interval in milliseconds at which a process sends
	// its traces, by default 5000.
	traceDelay = "OTEL_BSP_SCHEDULE_DELAY"
	// telemetryWait is longer than the intervals at which both processes send traces, set
	// here, and logs, which the SDK sends once a second.
	telemetryWait = 1200 * time.Millisecond
	// telemetryTime is the time limit for sending the last traces.
	telemetryTime = 2 * time.Second
)

// setTraceDelay makes both processes of a run send traces as often as logs.
func setTraceDelay() error {
	if os.Getenv(traceDelay) != "" {
		return nil
	}
	return os.Setenv(traceDelay, "1000")
}

// sendTelemetry sends the remaining traces and logs to the collector, if there is one. It is
// called when the work is done and the child still runs. Otherwise the SDK would kill the
// child before it sends anything, and close its own connection before it sends the rest:
// baton-sdk v0.26.0 then tries for ten seconds and loses the rest.
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
