package main

import (
	"io"
	"log"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.uber.org/zap"
	"google.golang.org/grpc/grpclog"
)

// takeOverLoggers replaces the global loggers of libraries, which write data from peers to
// standard error. For example, Go's HTTP library logs unsolicited answers. If a proxy is
// broken, these can contain write keys or the token. The program's own log is the SDK's,
// which does not use these loggers.
//
// Only main calls it, because a program that embeds the connector has its own loggers.
func takeOverLoggers() {
	// Those of net/http, Pebble and, by default, package slog.
	log.SetOutput(io.Discard)
	// In the child, the SDK replaces it by its own.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	otel.SetLogger(logr.Discard())
	// Only a run with a collector of telemetry has such errors, and they are about it.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		zap.L().Warn("telemetry", zap.Error(err))
	}))
}
