// Baton-segment reads a Twilio Segment workspace into Baton.
package main

import (
	"context"

	"github.com/conductorone/baton-sdk/pkg/cli"
	sdk "github.com/conductorone/baton-sdk/pkg/config"
	"github.com/conductorone/baton-sdk/pkg/connectorbuilder"
	"github.com/conductorone/baton-sdk/pkg/connectorrunner"

	"github.com/baton-segment/baton-segment/connector"
	"github.com/baton-segment/baton-segment/connector/config"
)

// version is set by the release build.
var version = "dev"

// workers is how many requests a sync has under way; --workers changes it.
const workers = 4

func main() {
	ctx, dieIfStopped := untilStopped()
	sdk.RunConnector(ctx, "baton-segment", version, config.Schema(), open,
		connectorrunner.WithDefaultCapabilitiesConnectorBuilderV2(&connector.Connector{}),
		connectorrunner.WithSessionStoreEnabled(),
		connectorrunner.WithWorkerCount(workers))
	dieIfStopped()
}

func open(ctx context.Context, cfg *config.Segment, _ *cli.ConnectorOpts) (connectorbuilder.ConnectorBuilderV2, []connectorbuilder.Opt, error) {
	guardExitCode(ctx)
	c, err := connector.New(ctx, connector.Options{
		Token: cfg.Token, Region: cfg.Region, BaseURL: cfg.BaseURL, PageSize: cfg.PageSize, Version: version,
	})
	return c, nil, err
}
