package main

import (
	"io"
	"log"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.uber.org/zap"
	"google.golang.org/grpc/grpclog"
)

// takeOverLoggers takes over the loggers that libraries share in a process and that
// write to standard error whatever a peer sends. Go's HTTP library, for one, logs an
// answer that it has not asked for: from a broken proxy that is somebody's write keys, or
// the token. The program's own log is the SDK's, which these loggers do not use.
//
// A program that embeds the connector has loggers of its own, so this is for main.
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
