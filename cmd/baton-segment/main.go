// Baton-segment reads a Twilio Segment workspace into Baton.
package main

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/conductorone/baton-sdk/pkg/cli"
	sdk "github.com/conductorone/baton-sdk/pkg/config"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/conductorone/baton-sdk/pkg/connectorrunner"

	"github.com/baton-segment/baton-segment/connector"
	"github.com/baton-segment/baton-segment/connector/config"
)

// version is set by the release build.
var version = "dev"

// garbage lets the heap grow to three times what is in use, not to twice that: a
// tenth more memory for a tenth less processor time. GOGC changes it.
const garbage = 200

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	ctx, dieIfStopped := untilStopped()
	sdk.RunConnector(ctx, "baton-segment", version, config.Schema(), open,
		connectorrunner.WithDefaultCapabilitiesConnectorBuilderV2(&connector.Connector{}),
		connectorrunner.WithSessionStoreEnabled(),
		connectorrunner.WithWorkerCount(connector.Workers)) // --workers changes it.
	dieIfStopped()
}

func open(ctx context.Context, cfg *config.Segment, _ *cli.ConnectorOpts) (connectorbuilder.ConnectorBuilderV2, []connectorbuilder.Opt, error) {
	guardExitCode(ctx)
	c, err := connector.New(ctx, connector.Options{
		Token: cfg.Token, Region: cfg.Region, BaseURL: cfg.BaseURL, PageSize: cfg.PageSize, Version: version,
		// AWS starts as many processes as it has calls to serve.
		Alone: os.Getenv("AWS_LAMBDA_FUNCTION_NAME") == "",
	})
	return c, nil, err
}
